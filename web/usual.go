package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// mountUsual puts the pages on the app on which the care team says how far from what is usual for a person is too far.
func (w *Web) mountUsual(get, post func(string, fiber.Handler)) {
	get("/patients/:id/usual", w.usualMetrics)
	get("/patients/:id/usual/:metric", func(c *fiber.Ctx) error { return w.usualPage(c, http.StatusOK, nil, "") })
	post("/patients/:id/usual/:metric", w.setUsual)
}

// usualView is the rule of one metric, with the form that sets another version.
type usualView struct {
	ID           vital.UID
	Name         string
	Metric, Code string
	Unit         string
	May          bool
	Rule         limitView
	Set, On      bool
	Offer        []string // where the numbers come from that are offered
	Lost         bool     // the version in force has more than the form shows
	Error        string
	Form         *usualForm
}

type usualMetric struct {
	Code, Title, Said string
}

// usualFor reads the patient and their baselines, for whoever of the staff may see readings.
func (w *Web) usualFor(ctx context.Context, c *fiber.Ctx) (p account.Patient, rules []alerts.Rule, usual map[alerts.RuleKey]alerts.Standing, err error) {
	actor := session.Actor(ctx)
	if err = account.Allow(actor, account.SeeReadings, nil); err != nil {
		return p, nil, nil, err
	}
	if actor.Staff == 0 {
		return p, nil, nil, fault.New(fault.Forbidden, "this page is for the care team")
	}
	if p, err = w.Directory.Patient(ctx, actor, vital.UID(c.Params("id"))); err != nil {
		return p, nil, nil, err
	}
	if rules, err = w.Limits.Get(ctx, actor, p.UID); err != nil {
		return p, nil, nil, err
	}
	usual, err = w.Limits.Standings(ctx, actor, p.UID, rules)
	return p, rules, usual, err
}

// usualMetrics answers GET /patients/{id}/usual: of what a baseline can be set, and of what it is.
func (w *Web) usualMetrics(c *fiber.Ctx) error {
	p, rules, usual, err := w.usualFor(c.UserContext(), c)
	if err != nil {
		return err
	}
	view := struct {
		ID      vital.UID
		Name    string
		Metrics []usualMetric
	}{ID: p.UID, Name: p.Name}
	for _, d := range vital.Metrics() {
		if alerts.LeastSpread(d.Metric) == 0 {
			continue
		}
		one, key := usualMetric{Code: d.Code, Title: metricWord(d.Metric), Said: "nothing is set"}, alerts.TrendOn(d.Metric, alerts.FormBaseline)
		for i := range rules {
			if v, ok := rules[i].InForce(w.Now()); ok && rules[i].Key() == key {
				if one.Said = "switched off"; v.Enabled {
					one.Said = "set"
				}
			}
		}
		if s, ok := usual[key]; ok {
			one.Said = s.Words(d.Metric)
		}
		view.Metrics = append(view.Metrics, one)
	}
	return w.page(c, "usuals", "What is usual", "patients", view)
}

// usualMetricOf reads the metric of the address.
func usualMetricOf(c *fiber.Ctx) (vital.Metric, error) {
	m, ok := vital.ParseMetric(c.Params("metric"))
	if !ok || alerts.LeastSpread(m) == 0 {
		return 0, fault.New(fault.NotFound, "there is no measurement of this name that can be compared with what is usual")
	}
	return m, nil
}

func (w *Web) usualPage(c *fiber.Ctx, status int, form *usualForm, problem string) error {
	ctx := c.UserContext()
	m, err := usualMetricOf(c)
	if err != nil {
		return err
	}
	p, rules, usual, err := w.usualFor(ctx, c)
	if err != nil {
		return err
	}
	k, key := clock{now: w.Now()}.in(p.Zone), alerts.TrendOn(m, alerts.FormBaseline)
	view := usualView{
		ID: p.UID, Name: p.Name, Metric: metricWord(m), Code: m.String(), Unit: unitWord(m), Error: problem, Form: form,
		May: account.Allow(session.Actor(ctx), account.SetLimits, &p) == nil,
	}
	offer, grades, _ := alerts.BaselineOffer(m)
	version, now := 0, &alerts.Version{Trend: &alerts.Trend{ClearAfter: 2, Baseline: &offer}}
	for i := range rules {
		if r := &rules[i]; r.Key() == key && len(r.Versions) > 0 {
			version = r.Versions[len(r.Versions)-1].Number
			if view.Rule, view.Set = viewLimit(r, k); view.Set {
				now, _ = r.InForce(k.now)
				view.On = now.Enabled
			}
		}
	}
	if s, ok := usual[key]; ok {
		view.Rule.Usual = sentence(s.Words(m))
	}
	if !view.Set {
		for _, g := range grades {
			view.Offer = append(view.Offer, g.Component+", "+strings.ReplaceAll(g.Bound, "_", " ")+" "+number(g.Value)+" ("+g.Grade+": "+g.Source+")")
		}
	}
	if view.Form == nil {
		view.Form, view.Lost = formOfUsual(now, m, version)
	}
	c.Status(status)
	return w.page(c, "usual", "What is usual", "patients", view)
}

// setUsual answers POST /patients/{id}/usual/{metric}. What was typed stands in the form again when something was wrong with it.
func (w *Web) setUsual(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.SetLimits, nil); err != nil {
		return err
	}
	m, err := usualMetricOf(c)
	if err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	if err := account.Allow(actor, account.SetLimits, &p); err != nil { // before anything of the form is read
		return err
	}
	form := readUsualForm(c)
	expected, err := strconv.Atoi(form.Version)
	if err != nil {
		return fault.New(fault.Invalid, "version: load the page anew")
	}
	v, err := form.version(vital.ZoneOrUTC(p.Zone))
	if err == nil {
		_, err = w.Limits.SetTrend(ctx, actor, p.UID, m, alerts.FormBaseline, expected, v)
	}
	if amiss(err) {
		return w.usualPage(c, session.Status(err), form, sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/patients/"+string(p.UID)+"/usual/"+m.String(), http.StatusSeeOther)
}

// usualForm is a baseline as people type it.
type usualForm struct {
	Version                         string
	Days, Gap                       string
	LeastDays, LeastSessions        string
	LeastSpread, Margin, ClearAfter string
	PartFrom, PartUntil             string
	Steps                           []usualStep
	From, Advice, Reason            string
	off                             bool
}

// usualStep is a step of the form: there is one of each level and direction.
type usualStep struct {
	Level, Direction, Title string
	By, Spreads             string
}

func usualSteps() []usualStep {
	return []usualStep{
		{Level: "yellow", Direction: "fall", Title: "Yellow, below the usual"}, {Level: "yellow", Direction: "rise", Title: "Yellow, above the usual"},
		{Level: "red", Direction: "fall", Title: "Red, below the usual"}, {Level: "red", Direction: "rise", Title: "Red, above the usual"},
	}
}

// formOfUsual fills the form with a version. Lost is whether it says more than the form can: several steps of one level and
// direction, or one that fires only beyond its distance.
func formOfUsual(v *alerts.Version, m vital.Metric, version int) (form *usualForm, lost bool) {
	form = &usualForm{Version: strconv.Itoa(version), Steps: usualSteps(), Advice: v.Advice}
	b := &alerts.TrendBaseline{LeastSpread: alerts.LeastSpread(m)}
	form.ClearAfter = "2"
	if v.Trend != nil && v.Trend.Baseline != nil {
		b, form.ClearAfter = v.Trend.Baseline, strconv.Itoa(v.Trend.ClearAfter)
	}
	form.Days, form.Gap, form.LeastDays, form.LeastSessions = strconv.Itoa(b.Days), strconv.Itoa(b.GapDays), strconv.Itoa(b.LeastDays), strconv.Itoa(b.LeastSessions)
	form.LeastSpread, form.Margin = number(b.LeastSpread), number(b.Margin)
	if b.Part != nil {
		form.PartFrom, form.PartUntil = b.Part.From, b.Part.Until
	}
	for i := range b.Steps {
		s := &b.Steps[i]
		lost = lost || s.MoreThan
		for j := range form.Steps {
			f := &form.Steps[j]
			if f.Level != s.Level.String() || f.Direction != string(s.Direction) {
				continue
			}
			if f.By != "" || f.Spreads != "" {
				lost = true
				continue
			}
			f.By, f.Spreads = orNothing(s.By), orNothing(s.Spreads)
		}
	}
	return form, lost
}

func orNothing(v float64) string {
	if v == 0 {
		return ""
	}
	return number(v)
}

func readUsualForm(c *fiber.Ctx) *usualForm {
	field := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	form := &usualForm{
		Version: field("version"), Days: field("days"), Gap: field("gap"), LeastDays: field("leastdays"), LeastSessions: field("leastsessions"),
		LeastSpread: field("leastspread"), Margin: field("margin"), ClearAfter: field("clearafter"), PartFrom: field("partfrom"), PartUntil: field("partuntil"),
		Steps: usualSteps(), From: field("from"), Advice: field("advice"), Reason: field("reason"), off: field("off") != "",
	}
	for i := range form.Steps {
		s := &form.Steps[i]
		s.By, s.Spreads = field("by-"+s.Level+"-"+s.Direction), field("spreads-"+s.Level+"-"+s.Direction)
	}
	return form
}

// version reads what was typed; fault.Invalid says what cannot be understood.
func (f *usualForm) version(zone *time.Location) (alerts.Version, error) {
	v := alerts.Version{Enabled: !f.off, Reason: f.Reason, Advice: f.Advice}
	var err error
	if f.From != "" {
		if v.EffectiveFrom, err = time.ParseInLocation(formTime, f.From, zone); err != nil {
			return v, fault.New(fault.Invalid, "from when: give the date and the time, or leave both out")
		}
	}
	if f.off {
		return v, nil
	}
	b := &alerts.TrendBaseline{}
	v.Trend = &alerts.Trend{Baseline: b}
	for _, one := range []struct {
		what, text string
		to         *int
	}{
		{"days", f.Days, &b.Days}, {"days that are left out", f.Gap, &b.GapDays}, {"least days", f.LeastDays, &b.LeastDays},
		{"least sessions", f.LeastSessions, &b.LeastSessions}, {"readings in a row that are back", f.ClearAfter, &v.Trend.ClearAfter},
	} {
		if *one.to, err = wholeNumber(one.what, one.text); err != nil {
			return v, err
		}
	}
	if b.LeastSpread, err = decimal("smallest usual spread", f.LeastSpread); err != nil {
		return v, err
	}
	if b.Margin, err = decimal("margin", f.Margin); err != nil {
		return v, err
	}
	if f.PartFrom != "" || f.PartUntil != "" {
		b.Part = &alerts.DayPart{From: f.PartFrom, Until: f.PartUntil}
	}
	b.Steps, err = f.steps()
	return v, err
}

func (f *usualForm) steps() ([]alerts.TrendStep, error) {
	var steps []alerts.TrendStep
	for i := range f.Steps {
		s := &f.Steps[i]
		if s.By == "" && s.Spreads == "" {
			continue
		}
		step := alerts.TrendStep{Direction: alerts.Direction(s.Direction), Level: alerts.Yellow}
		if s.Level == alerts.Red.String() {
			step.Level = alerts.Red
		}
		var err error
		if step.By, err = decimal(strings.ToLower(s.Title), s.By); err != nil {
			return nil, err
		}
		if step.Spreads, err = decimal(strings.ToLower(s.Title)+", usual spreads", s.Spreads); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// decimal reads a number with a point, or a comma; nothing is 0.
func decimal(what, text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%s: %q is no number", what, text)
	}
	return v, nil
}

// unitWord is the unit in which distances are typed.
func unitWord(m vital.Metric) string {
	d, ok := vital.Define(m)
	if !ok {
		return ""
	}
	return d.Components[0].Canonical.Word()
}
