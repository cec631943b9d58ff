package web

import (
	"errors"
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

// alertView is one alert with its rule, its timeline, and the form that resolves it.
type alertView struct {
	Row        rowView
	Patient    vital.UID
	Name       string
	Number     string
	Zone       string
	Rule       ruleWords
	RuleTitle  string // "Version 2, by Ana Kos since 3 Nov 2026, 09:00 CET: reason"
	HasRule    bool
	OpenedBy   int // the version that opened it, when another judged its last reading
	Advice     string
	Note       string
	Timeline   []lineView
	Error      string // what was wrong with the form
	Notice     string // what somebody else did first
	Step       string // the form as it was sent
	StepAt     string
	StepNote   string
	StepChoice []choice
}

type choice struct{ Value, Text, Hint string }

// alert answers GET /alerts/{id}.
func (w *Web) alert(c *fiber.Ctx) error { return w.alertPage(c, http.StatusOK, alertView{}) }

// alertPage renders an alert as it is now, with what the given view says of a form that failed.
func (w *Web) alertPage(c *fiber.Ctx, status int, given alertView) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	a, err := w.Triage.Get(ctx, s.Actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	p, err := w.Directory.Readings(ctx, s.Actor, a.PatientUID, "alert "+a.Metric.String())
	if err != nil {
		return err
	}
	log, err := w.Triage.Log(ctx, s.Actor, a.UID)
	if err != nil {
		return err
	}
	rules, err := w.Limits.Get(ctx, s.Actor, a.PatientUID)
	if err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	view := viewAlert(&a, p, log, rules, w.maker(s, k, "/alerts/"+string(a.UID)))
	view.Error, view.Notice = given.Error, given.Notice
	view.Step, view.StepAt, view.StepNote = given.Step, given.StepAt, given.StepNote
	c.Status(status)
	return w.page(c, "alert", view.Row.Metric+" alert", "board", view)
}

func viewAlert(a *alerts.Alert, p account.Patient, log []alerts.Entry, rules []alerts.Rule, maker rowMaker) alertView {
	view := alertView{
		Row: maker.row(a), Patient: p.UID, Name: p.Name, Number: p.Number, Zone: p.Zone, Note: a.Note,
		StepChoice: []choice{
			{string(alerts.StepNone), "Nothing further", "the matter is settled"},
			{string(alerts.StepRecheck), "Measure again at", "give the time below"},
			{string(alerts.StepCall), "Call at", "give the time below"},
			{string(alerts.StepHandOver), "Handed over to", "say to whom in the note"},
		},
	}
	for i := range rules {
		if rules[i].UID != a.RuleUID {
			continue
		}
		for j := range rules[i].Versions {
			if v := &rules[i].Versions[j]; v.Number == a.LastVersion {
				view.Rule, view.HasRule, view.Advice = ruleWordsOf(a.RuleKey(), v), true, v.Advice
				view.RuleTitle = versionWords(v, maker.clock)
			}
		}
	}
	if a.LastVersion != a.RuleVersion {
		view.OpenedBy = a.RuleVersion
	}
	if a.Worst.IsZero() {
		view.Row.Last, view.Row.Worse = lastLevel(a, log)
		view.Row.Last = view.Row.Last && a.LastGrounds == nil // the sentence of a trend names its days
	}
	view.Timeline = timeline(a.RuleKey(), log, maker.clock)
	return view
}

// versionWords says which version of a rule this is, who made it and why.
func versionWords(v *alerts.Version, k clock) string {
	by := "the programme's default, to be signed by a clinician"
	if v.Author != 0 {
		by = "by " + v.AuthorName
	}
	text := "Version " + strconv.Itoa(v.Number) + ", " + by + ", in force from " + k.exact(v.EffectiveFrom)
	if v.Reason != "" && v.Reason != alerts.DefaultReason {
		text += ": " + v.Reason
	}
	return text
}

// lineView is one entry of a timeline in words.
type lineView struct {
	At    moment
	Kind  string
	Level levelView // of an entry that has one
	Text  string
	Note  string
	ByWho string
	Gone  string // "taken back by the device, 10:05": the text is struck out

	Folded []lineView // for which this one stands
}

func viewEntry(key alerts.RuleKey, e *alerts.Entry, k clock) lineView {
	line := lineView{At: k.at(e.RecordedAt), Kind: string(e.Kind), Note: e.Note, ByWho: e.Actor.Name}
	reading := ""
	switch {
	case e.Grounds != nil && key.Form == alerts.FormAverage && len(e.Values) > 0:
		reading = ": " + e.Grounds.Words(key.Metric) + "; the latest is " + valueWords(key.Metric, e.Values)
	case e.Grounds != nil:
		reading = ": " + e.Grounds.Words(key.Metric)
	case len(e.Values) > 0:
		reading = ": " + valueWords(key.Metric, e.Values)
	}
	if !e.Reading.IsZero() {
		reading += ", measured " + k.measured(e.Reading.At, e.Vague).Short
	}
	switch {
	case e.Contact:
		reading += " (came late; contact asked for)"
	case e.Historic:
		reading += " (arrived too late to call anybody)"
	}
	switch e.Kind {
	case alerts.EntryOpened:
		line.Text, line.Level = "Opened"+reading, viewLevel(e.Level)
	case alerts.EntryOccurred:
		line.Text, line.Level = againWord(key)+reading, viewLevel(e.Level)
	case alerts.EntryWorsened:
		line.Text, line.Level = "Became worse"+reading, viewLevel(e.Level)
	case alerts.EntryCleared:
		line.Text = endedWord(key, e.Cause) + reading
		if e.Closes {
			line.Text += "; closed by itself"
		}
	case alerts.EntryResumed:
		line.Text = resumedWord(key) + reading
	case alerts.EntryAnnotated:
		line.Text = changedWord(key, e.Cause) + reading
		if len(e.Retracts) == 1 && e.Cause == alerts.CauseWithdrawn {
			said := undoneWords(key.Metric, &e.Retracts[0], k)
			line.Text = strings.ToUpper(said[:1]) + said[1:] + reading
		}
		if e.Renews() {
			line.Text, line.Level = renewedWord(key)+reading, viewLevel(e.Level)
			switch e.Cause {
			case alerts.CauseTaken:
				line.Text = "What is left of its readings" + reading
			case alerts.CauseWithdrawn:
				line.Text = "Judged anew without what was taken back" + reading
			case alerts.CauseReturned, alerts.CauseRuleOff, alerts.CauseRule, alerts.CauseLate, alerts.CauseBrought, alerts.CauseRefused:
			}
		}
		if e.Breaks {
			line.Text = "The acknowledgement ended"
		}
	case alerts.EntryAcknowledged:
		line.Text = "Acknowledged until " + k.short(e.Until)
	case alerts.EntryResolved:
		line.Text = "Resolved: " + stepWord(e.NextStep)
		if !e.NextStepAt.IsZero() {
			line.Text += " at " + k.exact(e.NextStepAt)
		}
	case alerts.EntryNoted:
		line.Text = "Noted"
	}
	return line
}

// acknowledge answers POST /alerts/{id}/acknowledge: to a script with the row as it is then, else with the page that
// the form stood on.
func (w *Web) acknowledge(c *fiber.Ctx) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	uid, back := vital.UID(c.Params("id")), local(c.FormValue("back"))
	after, err := w.Triage.Acknowledge(ctx, s.Actor, uid, version(c), time.Time{}, c.FormValue("note"))
	switch {
	case fault.Is(err, fault.Conflict) && byScript(c):
		return w.tooLate(c, s, uid, back, err)
	case fault.Is(err, fault.Conflict):
		return w.alertPage(c, http.StatusConflict, alertView{Notice: sentence(fault.MessageOf(err))})
	case err != nil:
		return err
	case byScript(c):
		return w.row(c, s, &after, back, noticeView{})
	}
	return c.Redirect(back, http.StatusSeeOther)
}

// tooLate tells a script that somebody else was first, and shows the alert as it is now.
func (w *Web) tooLate(c *fiber.Ctx, s account.Session, uid vital.UID, back string, refusal error) error {
	fresh, err := w.Triage.Get(c.UserContext(), s.Actor, uid)
	if err != nil {
		return errors.Join(refusal, err)
	}
	c.Status(http.StatusConflict)
	return w.row(c, s, &fresh, back, noticeView{Bad: true, Text: fresh.PatientName + ": " + fault.MessageOf(refusal) + "."})
}

func (w *Web) row(c *fiber.Ctx, s account.Session, a *alerts.Alert, back string, notice noticeView) error {
	k := clock{now: w.Now(), zone: w.Zone, afar: true}
	if back != "/" { // a page of the patient speaks by the patient's clock
		p, err := w.Directory.Patient(c.UserContext(), s.Actor, a.PatientUID)
		if err != nil {
			return err
		}
		k = k.in(p.Zone)
	}
	return w.fragment(c, "row-answer", struct {
		Row    rowView
		Notice noticeView
	}{w.maker(s, k, back).row(a), notice})
}

// resolve answers POST /alerts/{id}/resolve. What is wrong is said beside the form, with what was written kept.
func (w *Web) resolve(c *fiber.Ctx) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	uid := vital.UID(c.Params("id"))
	given := alertView{Step: c.FormValue("next_step"), StepAt: c.FormValue("next_step_at"), StepNote: c.FormValue("note")}
	step := alerts.NextStep(given.Step)
	at, err := w.stepTime(c, s, uid, step, given.StepAt)
	if err == nil {
		_, err = w.Triage.Resolve(ctx, s.Actor, uid, version(c), step, at, given.StepNote)
	}
	switch {
	case fault.Is(err, fault.Invalid):
		given.Error = sentence(fault.MessageOf(err))
		return w.alertPage(c, http.StatusUnprocessableEntity, given)
	case fault.Is(err, fault.Conflict):
		given.Notice = sentence(fault.MessageOf(err))
		return w.alertPage(c, http.StatusConflict, given)
	case err != nil:
		return err
	}
	return c.Redirect("/alerts/"+string(uid), http.StatusSeeOther)
}

// stepTime reads the time of a recheck or a call, which stands in the form as the patient's clock shows it.
func (w *Web) stepTime(c *fiber.Ctx, s account.Session, uid vital.UID, step alerts.NextStep, text string) (time.Time, error) {
	if step != alerts.StepRecheck && step != alerts.StepCall {
		return time.Time{}, nil
	}
	a, err := w.Triage.Get(c.UserContext(), s.Actor, uid)
	if err != nil {
		return time.Time{}, err
	}
	p, err := w.Directory.Patient(c.UserContext(), s.Actor, a.PatientUID)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.ParseInLocation(formTime, text, clock{}.in(p.Zone).zone)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "say when: give the date and the time")
	}
	return at, nil
}

// version returns the version that the sender of a form has seen; 0, which none has, when it is missing.
func version(c *fiber.Ctx) int {
	n, err := strconv.Atoi(c.FormValue("version"))
	if err != nil {
		return 0
	}
	return n
}
