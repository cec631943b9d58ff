package web

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// patientView is one patient: what is open, what was measured, within which limits, and what was before.
type patientView struct {
	ID       vital.UID
	Name     string
	Number   string
	About    string // "female, 80 this year (born 1946)"
	Zone     string
	Local    string // the time at the patient's home
	Readings bool   // the reader may see readings
	Alerts   bool   // the reader may see alerts
	Open     []rowView
	Past     []rowView
	Older    vital.UID // the alert before which more are found; empty: these are all
	Paged    bool
	Charts   []chartView
	Limits   []limitView // of what is measured
	Unused   []limitView // of what is not
}

// chartView is one metric: a chart that a script draws, and the same in words and as a table.
type chartView struct {
	Patient  vital.UID
	Metric   string // code
	Title    string
	Zone     string
	Newest   moment
	End      int64 // of the newest reading, in milliseconds since 1970
	Latest   string
	Findings []string
	Summary  string
	Rows     []readingLine
	Left     int // readings of the summary that the table does not show
}

type readingLine struct {
	At     string
	Values string
}

// limitView is the rule of one metric.
type limitView struct {
	Title   string
	Off     bool
	Words   ruleWords
	Version string
	Advice  string
	Older   []string
}

const (
	summarySpan = 7 * 24 * time.Hour
	tableLength = 40
	pastAlerts  = 20
)

// patient answers GET /patients/{id}.
func (w *Web) patient(c *fiber.Ctx) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	p, err := w.Directory.Patient(ctx, s.Actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	view := patientView{
		ID: p.UID, Name: p.Name, Number: p.Number, About: aboutWords(p, k), Zone: p.Zone, Local: k.now.In(k.zone).Format("Mon 2 Jan, 15:04"),
		Readings: may(s.Actor, account.SeeReadings), Alerts: may(s.Actor, account.SeeAlerts),
	}
	if view.Alerts {
		maker := w.maker(s, k, "/patients/"+string(p.UID))
		if err := w.addAlerts(ctx, s.Actor, &view, maker, vital.UID(c.Query("before"))); err != nil {
			return err
		}
	}
	if view.Readings {
		if err := w.addReadings(ctx, s.Actor, &view, k); err != nil {
			return err
		}
	}
	return w.page(c, "patient", p.Name, "patients", view)
}

// aboutWords tells sex and age. Only the year of birth is known, so the age is the one reached this year.
func aboutWords(p account.Patient, k clock) string {
	text := p.Sex
	if p.Sex == "unknown" {
		text = "sex not known"
	}
	if p.BirthYear == 0 {
		return text + ", year of birth not known"
	}
	return fmt.Sprintf("%s, born %d (%d this year)", text, p.BirthYear, k.now.In(k.zone).Year()-p.BirthYear)
}

func (w *Web) addAlerts(ctx context.Context, actor account.Actor, view *patientView, maker rowMaker, before vital.UID) error {
	open, err := w.Triage.List(ctx, actor, alerts.Filter{Patient: view.ID, States: []alerts.State{alerts.Open, alerts.Acknowledged}})
	if err != nil {
		return err
	}
	if len(open) > 0 {
		for _, one := range alerts.SortWorklist(open, maker.clock.now) {
			for i := range one.Alerts {
				view.Open = append(view.Open, maker.row(&one.Alerts[i]))
			}
		}
	}
	past, err := w.Triage.List(ctx, actor, alerts.Filter{Patient: view.ID, States: []alerts.State{alerts.Closed}, Before: before, Limit: pastAlerts + 1})
	if err != nil {
		return err
	}
	view.Paged = before != ""
	if len(past) > pastAlerts {
		past = past[:pastAlerts]
		view.Older = past[pastAlerts-1].UID
	}
	for i := range past {
		view.Past = append(view.Past, maker.row(&past[i]))
	}
	return nil
}

func (w *Web) addReadings(ctx context.Context, actor account.Actor, view *patientView, k clock) error {
	if _, err := w.Directory.Readings(ctx, actor, view.ID, "newest of each metric"); err != nil {
		return err
	}
	latest, err := w.Charts.Latest(ctx, actor, view.ID)
	if err != nil {
		return err
	}
	for i := range latest {
		point := &latest[i]
		// The end of a query is not part of it.
		end := point.At.Add(time.Second)
		week, err := w.Charts.Series(ctx, actor, alerts.SeriesQuery{Patient: view.ID, Metric: point.Metric, From: end.Add(-summarySpan), To: end})
		if err != nil {
			return err
		}
		view.Charts = append(view.Charts, viewChart(view, point, week, k))
	}
	rules, err := w.Limits.Get(ctx, actor, view.ID)
	if fault.Is(err, fault.Forbidden) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range rules {
		v, ok := viewLimit(&rules[i], k)
		measured := slices.ContainsFunc(latest, func(p alerts.Point) bool { return p.Metric == rules[i].Metric })
		switch {
		case ok && measured:
			view.Limits = append(view.Limits, v)
		case ok:
			view.Unused = append(view.Unused, v)
		}
	}
	return nil
}

func viewChart(view *patientView, point *alerts.Point, week []alerts.Bucket, k clock) chartView {
	v := chartView{
		Patient: view.ID, Metric: point.Metric.String(), Title: metricWord(point.Metric), Zone: k.zone.String(), Newest: k.at(point.At),
		End: point.At.UnixMilli(), Latest: valueWords(point.Metric, point.Values), Findings: findingWords(point.Findings),
		Summary: summaryWords(point.Metric, week), Left: max(0, len(week)-tableLength),
	}
	for _, b := range slices.Backward(week) {
		if len(v.Rows) == tableLength {
			break
		}
		v.Rows = append(v.Rows, readingLine{At: k.exact(b.Start), Values: valueWords(point.Metric, b.Avg)})
	}
	return v
}

// summaryWords tells the last week of a metric: how many readings, and from where to where.
func summaryWords(m vital.Metric, week []alerts.Bucket) string {
	d, ok := vital.Define(m)
	if !ok || len(week) == 0 {
		return ""
	}
	readings := 0
	for _, b := range week {
		readings += b.N
	}
	if readings == 1 {
		return "7 days up to the newest reading: 1 reading."
	}
	text := "7 days up to the newest reading: " + strconv.Itoa(readings) + " readings"
	for i, part := range d.Components {
		low, high, some := spread(week, i)
		if !some {
			continue
		}
		name := ""
		if len(d.Components) > 1 {
			name = part.Code + " "
		}
		text += ", " + name + withUnit(number(low)+" to "+number(high), part.Canonical)
	}
	return text + "."
}

// spread returns the least and the greatest value of a component; some is false when it was never measured.
func spread(week []alerts.Bucket, i int) (low, high float64, some bool) {
	for _, b := range week {
		if i >= len(b.Min) || i >= len(b.Max) {
			continue
		}
		if !some {
			low, high, some = b.Min[i], b.Max[i], true
		}
		low, high = min(low, b.Min[i]), max(high, b.Max[i])
	}
	return low, high, some
}

// findingWords tells what the device or Hale noticed about a reading.
func findingWords(f vital.Finding) []string {
	words := []struct {
		bit  vital.Finding
		text string
	}{
		{vital.IrregularPulse, "irregular pulse"},
		{vital.BodyMovement, "moved while measuring"},
		{vital.CuffLoose, "cuff was loose"},
		{vital.PoorSignal, "poor signal"},
		{vital.LowPerfusion, "low perfusion"},
		{vital.TimeAssumed, "time of arrival stands in for the time of measurement"},
		{vital.Historic, "arrived late"},
		{vital.SequenceSeen, "sequence number was seen before"},
		{vital.PulseDropped, "sent with an impossible pulse, which was left out"},
	}
	var found []string
	for _, w := range words {
		if f&w.bit != 0 {
			found = append(found, w.text)
		}
	}
	return found
}

func viewLimit(r *alerts.Rule, k clock) (limitView, bool) {
	now, ok := r.InForce(k.now)
	if !ok {
		return limitView{}, false
	}
	v := limitView{
		Title: metricWord(r.Metric), Off: !now.Enabled, Words: limitWords(r.Metric, now.Limit), Version: versionWords(now, k), Advice: now.Advice,
	}
	for i := range slices.Backward(r.Versions) {
		other := &r.Versions[i]
		if other.Number == now.Number {
			continue
		}
		text := versionWords(other, k)
		for _, line := range limitWords(r.Metric, other.Limit).Lines {
			text += ". " + line.Word + ": " + line.Text
		}
		v.Older = append(v.Older, text)
	}
	return v, true
}
