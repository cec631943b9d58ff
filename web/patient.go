package web

import (
	"context"
	"fmt"
	"slices"
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
	Glass    moment // until when the reader has broken the glass
	Locked   bool   // care has ended
	Readings bool   // the reader may see readings
	Alerts   bool   // the reader may see alerts
	Invites  bool   // the reader may let the patient sign in
	// TeamInvites says to those who take patients in that the care team lets them sign in, and they do not.
	TeamInvites bool
	Safe        bool // the reader has something to see in the patient's data safe
	Consents    bool // and of what the patient agreed to
	Ending      bool // care is ending
	Identity    bool // there is a page of what systems call the patient
	Kits        []patientKit
	Open        []rowView
	Past        []rowView
	Older       vital.UID // the alert before which more are found; empty: these are all
	Paged       bool
	History     historyView // whose readings these were, and which records are the person's
	Usuals      bool        // the reader may see what is usual for this person
	Charts      []chartView
	Claimed     []claimedView  // what may have been an emergency, and was said to be theirs
	Withdrawn   *withdrawnView // what was taken back
	Technique   *techniqueView // how it was measured
	Expect      *expectView    // what is to be measured, and what became of it
	Limits      []limitView    // of what is measured
	Unused      []limitView    // of what is not
}

// chartView is one metric: a chart that a script draws, and the same in words and as a table.
type chartView struct {
	Patient  vital.UID
	Metric   string // code
	Days     int    // what the chart shows at first, and the summary and the table always: so many days, 0: everything
	Span     string // the same in words: "The 7 days up to the newest reading"
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
	Clock  string // how the time was arrived at, when it was not taken as it was sent
}

// limitView is a limit or a trend rule.
type limitView struct {
	Title   string
	Off     bool
	Words   ruleWords
	Usual   string // of a baseline: what is usual now, or how much history it waits for
	Version string
	Advice  string
	Older   []string
}

const (
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
		Readings: account.Allow(s.Actor, account.SeeReadings, &p) == nil, Alerts: account.Allow(s.Actor, account.SeeAlerts, &p) == nil,
		Glass: k.at(p.Relation.Glass), Locked: p.State == account.Locked,
		Ending: p.State == account.Ending && s.Actor.Staff != 0, Consents: w.Consents != nil && s.Actor.Staff != 0 && account.Allow(s.Actor, account.SeeConsents, &p) == nil,
		Identity:    w.Identities != nil && s.Actor.Staff != 0,
		Usuals:      s.Actor.Staff != 0,
		Invites:     w.Door != nil && account.Allow(s.Actor, account.InvitePatient, &p) == nil,
		TeamInvites: w.Door != nil && p.State != account.Locked && may(s.Actor, account.AddPatient) && !may(s.Actor, account.InvitePatient),
		Safe:        w.Safe != nil && (may(s.Actor, account.SeeSheet) || may(s.Actor, account.SeeLooks)),
	}
	if view.History, err = w.historyOf(ctx, s.Actor, &p, k); err != nil {
		return err
	}
	if view.Kits, err = w.kitsOf(ctx, s.Actor, &p); err != nil {
		return err
	}
	if view.Claimed, err = w.claimedOf(ctx, s, &p, k); err != nil {
		return err
	}
	if view.Withdrawn, err = w.withdrawnOf(ctx, s, &p, k); err != nil {
		return err
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
		if view.Technique, err = w.technique(ctx, s, p.UID); err != nil {
			return err
		}
		if view.Expect, err = w.expected(ctx, s.Actor, p.UID, shortStrip); err != nil {
			return err
		}
	}
	return w.page(c, "patient", p.Name, "patients", view)
}

// aboutWords tells sex and age. Where only the year of birth is known, the age is the one reached this year.
func aboutWords(p account.Patient, k clock) string {
	text := p.Sex
	if p.Sex == "unknown" {
		text = "sex not known"
	}
	if p.BirthYear == 0 {
		return text + ", year of birth not known"
	}
	today := k.now.In(k.zone)
	if born, err := time.Parse(time.DateOnly, string(p.BirthDate)); err == nil {
		age := today.Year() - born.Year()
		if today.Month() < born.Month() || today.Month() == born.Month() && today.Day() < born.Day() {
			age--
		}
		return fmt.Sprintf("%s, born %s (%d)", text, born.Format("2 Jan 2006"), age)
	}
	return fmt.Sprintf("%s, born %d (%d this year)", text, p.BirthYear, today.Year()-p.BirthYear)
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
		span, err := w.newest(ctx, actor, view.ID, point)
		if err != nil {
			return err
		}
		view.Charts = append(view.Charts, viewChart(view, point, span, k))
	}
	rules, err := w.Limits.Get(ctx, actor, view.ID)
	if fault.Is(err, fault.Forbidden) {
		return nil
	}
	if err != nil {
		return err
	}
	usual, err := w.Limits.Standings(ctx, actor, view.ID, rules)
	if err != nil {
		return err
	}
	for i := range rules {
		v, ok := viewLimit(&rules[i], k)
		if s, is := usual[rules[i].Key()]; is {
			v.Usual = sentence(s.Words(rules[i].Metric))
		}
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
		{vital.PulseDropped, "sent with an impossible pulse, which was left out"},
		{vital.ThroughBroker, "came through another broker"},
		{vital.FindingUnclear, "the device said something beside it that could not be read"},
		{vital.Disputed, "disputed by the patient"},
		{vital.TimeLocal, "its clock tells no zone: that of the patient was taken"},
		{vital.TimeCorrected, "its clock was wrong: the time was put right"},
		{vital.Averaged, "an average over a time, which no limit judges"},
		{vital.Amending, "sent as a correction of an earlier one"},
		{vital.Claimed, "claimed: it had waited until somebody said whose it is"},
		{vital.UserUnsure, "the device was not sure which of its users it was"},
		{vital.TimeUnsure, "when it was measured is not known well"},
		{vital.CorrectionRefused, "its device sent a correction that was refused: ask"},
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
		Title: titleWords(r.Key()), Off: !now.Enabled, Words: ruleWordsOf(r.Key(), now), Version: versionWords(now, k), Advice: now.Advice,
	}
	for i := range slices.Backward(r.Versions) {
		other := &r.Versions[i]
		if other.Number == now.Number {
			continue
		}
		text := versionWords(other, k)
		for _, line := range ruleWordsOf(r.Key(), other).Lines {
			text += ". " + line.Word + ": " + line.Text
		}
		v.Older = append(v.Older, text)
	}
	return v, true
}
