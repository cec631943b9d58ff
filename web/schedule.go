package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// mountSchedules puts the page on the app on which the care team says what a patient is to measure, and when.
func (w *Web) mountSchedules(get, post func(string, fiber.Handler)) {
	if w.Schedules == nil {
		return
	}
	get("/patients/:id/schedule", func(c *fiber.Ctx) error { return w.schedulePage(c, http.StatusOK, nil, "") })
	post("/patients/:id/schedule", w.setSchedule)
	post("/patients/:id/pauses", w.addPause)
	post("/patients/:id/pauses/:pause/end", w.endPause)
}

// expectView is what a patient is to measure, and what became of it: a part of their page, and the head of the page of its own.
type expectView struct {
	ID     vital.UID
	Zone   string
	May    bool // the reader may change it
	Set    bool // somebody has said what to measure
	Lines  []expectLine
	Said   string // who set it, and why
	Ahead  []string
	Pauses []pauseLine
	Strip  stripView
}

type expectLine struct {
	Title string
	Words []string
}

type pauseLine struct {
	ID   vital.UID
	Text string
	Why  string
	Now  bool
	Ends bool // the reader may end it
}

// stripView is a table with a row for every time of the day at which a metric is expected, and a column for every day, the newest
// first: it is what a phone shows of it.
type stripView struct {
	Days    []stripDay
	Rows    []stripRow
	Count   int // days
	Summary string
	Other   int // the other length that it can have
}

type stripDay struct{ Weekday, Number, Long string }

type stripRow struct {
	Title, Window string
	Cells         []stripCell
	order         int
}

type stripCell struct{ Code, Sign, Text string }

// The lengths of a strip, in days.
const (
	shortStrip = 14
	longStrip  = 30
)

// expected returns what is expected of the patient, and what became of it; nothing for whoever may not see it.
func (w *Web) expected(ctx context.Context, actor account.Actor, patient vital.UID, days int) (*expectView, error) {
	if w.Schedules == nil || actor.Staff == 0 {
		return nil, nil //nolint:nilnil // no part of the page is an answer here
	}
	strip, err := w.Schedules.Strip(ctx, actor, patient, days)
	if err != nil {
		return nil, err
	}
	now := w.Now()
	k := clock{now: now}.in(strip.Patient.Zone)
	v := &expectView{ID: strip.Patient.UID, Zone: strip.Patient.Zone, Set: len(strip.Versions) > 0, May: account.Allow(actor, account.SetSchedule, &strip.Patient) == nil}
	plan := strip.Plan()
	if in, ok := plan.InForce(now); ok {
		for i := range in.Lines {
			v.Lines = append(v.Lines, expectLine{metricWord(in.Lines[i].Metric), expectWords(&in.Lines[i])})
		}
		v.Said = saidOf(strip.Versions, in.Number, k)
	}
	for i := range strip.Versions {
		if a := &strip.Versions[i]; a.EffectiveFrom.After(now) {
			v.Ahead = append(v.Ahead, fmt.Sprintf("Another schedule begins %s, set by %s: %s", k.at(a.EffectiveFrom).When, a.Author, a.Reason))
		}
	}
	for i := range slices.Backward(strip.Breaks) {
		b := &strip.Breaks[i]
		if p := b.Pause(); !b.Over(now) || p.To.After(strip.From) && p.To.After(p.From) {
			v.Pauses = append(v.Pauses, pauseLine{
				ID: b.UID, Text: pauseWord(b.Kind) + " " + pauseSpan(p, k), Why: b.Reason + " (" + b.Author + ")", Now: p.Covers(now), Ends: v.May && !b.Over(now),
			})
		}
	}
	v.Strip = stripOf(&strip, days, k)
	return v, nil
}

func saidOf(all []measuring.Authored, number int, k clock) string {
	for i := range all {
		if a := &all[i]; a.Number == number {
			return fmt.Sprintf("Set by %s on %s: %s", a.Author, k.exact(a.CreatedAt), a.Reason)
		}
	}
	return ""
}

func pauseSpan(p measuring.Pause, k clock) string {
	if p.To.IsZero() {
		return "since " + k.exact(p.From) + ", until somebody ends it"
	}
	return "from " + k.exact(p.From) + " to " + k.exact(p.To)
}

func stripOf(s *measuring.Strip, days int, k clock) stripView {
	v := stripView{Count: days, Other: longStrip}
	if days == longStrip {
		v.Other = shortStrip
	}
	column := map[vital.Date]int{}
	for day := s.To.In(k.zone).AddDate(0, 0, -1); !day.Before(s.From); day = day.AddDate(0, 0, -1) {
		column[vital.Date(day.Format(time.DateOnly))] = len(v.Days)
		v.Days = append(v.Days, stripDay{day.Format("Mon"), day.Format("2"), day.Format("Monday 2 January")})
	}
	row := map[string]int{}
	counts := map[measuring.Cover]int{}
	for i := range s.Slots {
		c := &s.Slots[i]
		opens, closes := c.Opens.In(k.zone), c.Closes.In(k.zone)
		title, window := metricWord(c.Metric), opens.Format("15:04")+"-"+closes.Format("15:04")
		at, known := row[title+window]
		if !known {
			at = len(v.Rows)
			row[title+window] = at
			v.Rows = append(v.Rows, stripRow{Title: title, Window: window, Cells: make([]stripCell, len(v.Days)), order: int(c.Metric)*minutesOfDay + opens.Hour()*60 + opens.Minute()})
		}
		sign, text := coverWords(c, k)
		v.Rows[at].Cells[column[c.Date]] = stripCell{Code: string(c.Cover), Sign: sign, Text: text}
		counts[c.Cover]++
	}
	slices.SortStableFunc(v.Rows, func(a, b stripRow) int { return cmp.Compare(a.order, b.order) })
	v.Summary = stripWords(counts)
	return v
}

// minutesOfDay keeps rows of different metrics apart.
const minutesOfDay = 24 * 60

// stripWords says how many slots ended how: "21 of 24 measured, 2 missed, 1 paused".
func stripWords(counts map[measuring.Cover]int) string {
	measured := counts[measuring.CoverMeasured] + counts[measuring.CoverOtherTime]
	past := measured
	var others []string
	for _, c := range []struct {
		cover measuring.Cover
		word  string
	}{
		{measuring.CoverMissed, "missed"}, {measuring.CoverSilent, "not arrived"}, {measuring.CoverClock, "with a wrong clock"},
		{measuring.CoverPaused, "paused"}, {measuring.CoverHospital, "in hospital"},
	} {
		if n := counts[c.cover]; n > 0 {
			others, past = append(others, strconv.Itoa(n)+" "+c.word), past+n
		}
	}
	if past == 0 {
		return "Nothing was due yet."
	}
	return strings.Join(append([]string{fmt.Sprintf("%d of %d measured", measured, past)}, others...), ", ") + "."
}

// scheduleView is the page on which the schedule is changed.
type scheduleView struct {
	Name     string
	Expect   *expectView
	Error    string
	Form     *scheduleForm
	Metrics  []metricChoice
	Versions []expectVersion
}

type expectVersion struct {
	Title string
	Said  string
	Lines []expectLine
}

func (w *Web) schedulePage(c *fiber.Ctx, status int, form *scheduleForm, problem string) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.SeeReadings, nil); err != nil {
		return err
	}
	if actor.Staff == 0 {
		return fault.New(fault.Forbidden, "this page is for the care team")
	}
	days := shortStrip
	if c.Query("days") == strconv.Itoa(longStrip) {
		days = longStrip
	}
	m, err := w.Schedules.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	view := scheduleView{Name: m.Patient.Name, Error: problem, Form: form, Metrics: metricChoices()}
	if view.Expect, err = w.expected(ctx, actor, m.Patient.UID, days); err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(m.Patient.Zone)
	if view.Form == nil {
		view.Form = formOfSchedule(&m, k)
	}
	for i := range slices.Backward(m.Versions) {
		a := &m.Versions[i]
		one := expectVersion{Title: fmt.Sprintf("Version %d, from %s", a.Number, k.exact(a.EffectiveFrom)), Said: fmt.Sprintf("Set by %s on %s: %s", a.Author, k.exact(a.CreatedAt), a.Reason)}
		for j := range a.Lines {
			one.Lines = append(one.Lines, expectLine{metricWord(a.Lines[j].Metric), expectWords(&a.Lines[j])})
		}
		view.Versions = append(view.Versions, one)
	}
	c.Status(status)
	return w.page(c, "schedule", "Measurement schedule", "patients", view)
}

// setSchedule answers POST /patients/{id}/schedule. What was typed stands in the form again when something was wrong with it.
func (w *Web) setSchedule(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor, patient := session.Actor(ctx), vital.UID(c.Params("id"))
	if err := account.Allow(actor, account.SetSchedule, nil); err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, patient)
	if err != nil {
		return err
	}
	if err := account.Allow(actor, account.SetSchedule, &p); err != nil { // before anything of the form is read
		return err
	}
	form := readScheduleForm(c)
	version, err := strconv.Atoi(form.Version)
	if err != nil {
		return fault.New(fault.Invalid, "version: load the page anew")
	}
	a, err := form.schedule(vital.ZoneOrUTC(p.Zone))
	if err == nil {
		_, err = w.Schedules.Set(ctx, actor, patient, version, a)
	}
	return w.scheduleDone(c, patient, form, err)
}

// scheduleDone leads back to the page, or shows it again with what is to mend.
func (w *Web) scheduleDone(c *fiber.Ctx, patient vital.UID, form *scheduleForm, err error) error {
	if amiss(err) {
		return w.schedulePage(c, session.Status(err), form, sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/patients/"+string(patient)+"/schedule", http.StatusSeeOther)
}

// addPause answers POST /patients/{id}/pauses. A day until which it lasts is part of it.
func (w *Web) addPause(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor, patient := session.Actor(ctx), vital.UID(c.Params("id"))
	if err := account.Allow(actor, account.SetSchedule, nil); err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, patient)
	if err != nil {
		return err
	}
	if err := account.Allow(actor, account.SetSchedule, &p); err != nil { // before anything of the form is read
		return err
	}
	zone := vital.ZoneOrUTC(p.Zone)
	b := measuring.Break{Kind: measuring.PauseKind(c.FormValue("kind")), Reason: c.FormValue("reason")}
	if text := c.FormValue("from"); text != "" {
		if b.From, err = time.ParseInLocation(formTime, text, zone); err != nil {
			err = fault.New(fault.Invalid, "from: give the date and the time, or leave both out")
		}
	}
	if text := c.FormValue("to"); text != "" && err == nil {
		if b.To, err = time.ParseInLocation(formTime, text, zone); err != nil {
			err = fault.New(fault.Invalid, "until: give the date and the time, or leave both out")
		}
	}
	if err == nil {
		_, err = w.Schedules.Pause(ctx, actor, patient, b)
	}
	return w.scheduleDone(c, patient, nil, err)
}

// endPause answers POST /patients/{id}/pauses/{pause}/end.
func (w *Web) endPause(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor, patient := session.Actor(ctx), vital.UID(c.Params("id"))
	_, err := w.Schedules.EndPause(ctx, actor, patient, vital.UID(c.Params("pause")))
	return w.scheduleDone(c, patient, nil, err)
}
