package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// mountTechnique puts the pages on the app on which what is doubtful about measurements is answered.
func (w *Web) mountTechnique(get, post func(string, fiber.Handler)) {
	if w.Technique == nil {
		return
	}
	get("/doubts", func(c *fiber.Ctx) error { return w.doubtsPage(c, http.StatusOK, "") })
	post("/doubts/:id/answer", w.answerDoubt)
}

// techniqueView is how a patient's measurements were taken: a part of their page.
type techniqueView struct {
	CSRF     string
	Waiting  []doubtView
	Answered []doubtView
	Sittings []sittingView
}

// doubtView is a doubt in words, and the form that answers it.
type doubtView struct {
	ID      vital.UID
	Patient vital.UID
	Name    string
	Back    vital.UID // the patient to whose page an answer leads back; empty: the list
	Before  vital.UID // of the page of the list that it stands on
	CSRF    string
	Title   string
	Text    string
	When    moment
	Weight  bool // it asks whose it is
	May     bool // the reader may answer
	Said    string
	Note    string
}

// sittingView is a sitting of more than one reading.
type sittingView struct {
	When string
	Text string   // "3 readings in one sitting, mean 131/82 mm[Hg]"
	Each []string // "10:04:10 128/80 mm[Hg]"
	Tag  string
}

// technique returns how the patient's measurements were taken; nothing for whoever may not see it.
func (w *Web) technique(ctx context.Context, s account.Session, patient vital.UID) (*techniqueView, error) {
	if w.Technique == nil || s.Actor.Staff == 0 {
		return nil, nil //nolint:nilnil // no part of the page is an answer here
	}
	sat, err := w.Technique.Of(ctx, s.Actor, patient, shortStrip)
	if err != nil {
		return nil, err
	}
	k := clock{now: w.Now()}.in(sat.Patient.Zone)
	v := &techniqueView{CSRF: s.CSRF}
	const mostAnswered = 10
	for i := range sat.Questions {
		d := viewDoubt(&sat.Questions[i], s, k)
		d.Back = patient
		switch {
		case sat.Questions[i].Answer == measuring.Waiting:
			v.Waiting = append(v.Waiting, d)
		case len(v.Answered) < mostAnswered:
			v.Answered = append(v.Answered, d)
		}
	}
	for i := range slices.Backward(sat.Sittings) {
		if len(sat.Sittings[i].Readings) > 1 {
			v.Sittings = append(v.Sittings, viewSitting(&sat.Sittings[i], k))
		}
	}
	if len(v.Waiting)+len(v.Answered)+len(v.Sittings) == 0 {
		return nil, nil //nolint:nilnil // as above
	}
	return v, nil
}

func viewSitting(s *measuring.Sitting, k clock) sittingView {
	v := sittingView{
		When: k.exact(s.Readings[0].At),
		Text: fmt.Sprintf("%d readings in one sitting, mean %s", len(s.Readings), valueWords(vital.BloodPressure, s.Mean())),
	}
	for i, r := range s.Readings {
		text := r.At.In(k.zone).Format("15:04:05") + " " + valueWords(vital.BloodPressure, r.Values)
		if d, some := s.Doubts[i]; some {
			text += ", " + doubtWord(d)
		}
		v.Each = append(v.Each, text)
	}
	if len(s.Doubts) > 0 {
		v.Tag = "doubtful"
	}
	return v
}

func doubtWord(d measuring.Doubt) string {
	switch d {
	case measuring.TooSoon:
		return "too soon after the one before"
	case measuring.FarApart:
		return "far from the one before"
	case measuring.OtherPerson:
		return "somebody else's?"
	}
	return string(d)
}

func viewDoubt(q *measuring.Question, s account.Session, k clock) doubtView {
	v := doubtView{
		ID: q.UID, Patient: q.Patient.UID, Name: q.Patient.Name, CSRF: s.CSRF, When: k.measured(q.MeasuredAt, q.Vague), Weight: q.Doubt == measuring.OtherPerson, Note: q.Note,
		May: q.Answer == measuring.Waiting && account.Allow(s.Actor, account.Refile, &q.Patient) == nil,
	}
	v.Title, v.Text = doubtWords(q)
	if q.Answer != measuring.Waiting {
		v.Said = answerWord(q.Answer) + ", by " + q.AnsweredBy + ", " + k.exact(q.AnsweredAt)
	}
	return v
}

// doubtWords says what is doubtful; without numbers for whoever may not see readings.
func doubtWords(q *measuring.Question) (title, text string) {
	value, compared := valueWords(q.Metric, q.Values), valueWords(q.Metric, q.Compared)
	by := " Measured by " + q.Sensor + "."
	if value == "" {
		value, compared = "what was measured", "what was measured before"
	}
	switch q.Doubt {
	case measuring.OtherPerson:
		return "Is this " + q.Patient.Name + "'s weight?", "It is " + value + "; the middle of the week before is " + compared + "." + by
	case measuring.TooSoon:
		return "Blood pressure taken again too soon", fmt.Sprintf("It is %s, %s after %s: the arm needs at least half a minute of rest.%s", value, secondsWord(q.Apart), compared, by)
	case measuring.FarApart:
		return "Blood pressures of one sitting far apart", fmt.Sprintf("It is %s, %s after %s: more than 20 mm[Hg] apart in one sitting.%s", value, secondsWord(q.Apart), compared, by)
	}
	return "A measurement in doubt", value + "." + by
}

func secondsWord(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return span(d)
}

func answerWord(a measuring.Answer) string {
	switch a {
	case measuring.Theirs:
		return "It is theirs"
	case measuring.NotTheirs:
		return "Somebody else's: it waits for its owner"
	case measuring.Closed:
		return "Seen to"
	case measuring.Waiting:
		return "Waits"
	}
	return string(a)
}

// doubtsView is the list of what waits for an answer.
type doubtsView struct {
	Desk   bool // the reader looks after devices
	Error  string
	Count  int // that wait, on all pages
	Doubts []doubtView
	Older  vital.UID // the doubt before which more are found; empty: these are all
	Paged  bool
}

// doubtsShown is how many doubts a page lists.
const doubtsShown = 50

func (w *Web) doubtsPage(c *fiber.Ctx, status int, problem string) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	before := vital.UID(c.Query("before", c.FormValue("before")))
	page, err := w.Technique.Waiting(ctx, s.Actor, before, doubtsShown+1)
	if err != nil {
		return err
	}
	view, list := doubtsView{Error: problem, Desk: may(s.Actor, account.SeeDevices), Count: page.Waiting, Paged: before != ""}, page.List
	if len(list) > doubtsShown {
		list = list[:doubtsShown]
		view.Older = list[doubtsShown-1].UID
	}
	for i := range list {
		k := clock{now: w.Now()}.in(list[i].Patient.Zone)
		k.afar = true
		d := viewDoubt(&list[i], s, k)
		d.Before = before
		view.Doubts = append(view.Doubts, d)
	}
	c.Status(status)
	return w.page(c, "doubts", "Measurements in doubt", "doubts", view)
}

// answerDoubt answers POST /doubts/{id}/answer, and leads back to where the question was read.
func (w *Web) answerDoubt(c *fiber.Ctx) error {
	ctx := c.UserContext()
	_, err := w.Technique.Settle(ctx, session.Actor(ctx), vital.UID(c.Params("id")), measuring.Answer(c.FormValue("answer")), c.FormValue("note"))
	if amiss(err) {
		return w.doubtsPage(c, session.Status(err), sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	if back := strings.TrimSpace(c.FormValue("back")); back != "" {
		return c.Redirect(local("/patients/"+back)+"#technique", http.StatusSeeOther)
	}
	if before := strings.TrimSpace(c.FormValue("before")); before != "" {
		return c.Redirect("/doubts?before="+url.QueryEscape(before), http.StatusSeeOther)
	}
	return c.Redirect("/doubts", http.StatusSeeOther)
}
