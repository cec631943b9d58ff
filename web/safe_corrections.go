package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// correctionsView is what was said to be wrong, and the form to say it.
type correctionsView struct {
	CanAsk   bool
	Readings []offer // the newest readings, to choose from
	List     []correctionView
	Kind     string
	Wish     string
}

type correctionView struct {
	ID, Patient            vital.UID
	CSRF                   string
	About, Wish, Asked     string
	State, Answer          string
	Waits                  bool
	CanWithdraw, CanDecide bool
	NeedsName, NeedsBirth  bool
}

// safeCorrections answers GET /safe/{id}/corrections.
func (w *Web) safeCorrections(c *fiber.Ctx) error {
	return w.correctionsPage(c, correctionsView{Kind: c.Query("kind")}, "")
}

func (w *Web) correctionsPage(c *fiber.Ctx, view correctionsView, wrong string) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	p, list, err := w.Safe.Corrections.Of(ctx, s.Actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	v := safeFor(c, &p, nil)
	view.CanAsk = account.Allow(s.Actor, account.AskCorrection, &p) == nil
	if view.CanAsk && account.Allow(s.Actor, account.SeeReadings, &p) == nil {
		if view.Readings, err = w.newestChoices(c, s.Actor, p, k); err != nil {
			return err
		}
	}
	for i := range list {
		view.List = append(view.List, viewCorrection(&list[i], s, &p, k))
	}
	v.Body, v.Error = view, wrong
	return w.safePage(c, "corrections", "Something is wrong", v)
}

// newestChoices are the patient's newest readings, as a form offers them.
func (w *Web) newestChoices(c *fiber.Ctx, actor account.Actor, p account.Patient, k clock) ([]offer, error) {
	if _, err := w.Directory.Readings(c.UserContext(), actor, p.UID, "newest of each metric"); err != nil {
		return nil, err
	}
	latest, err := w.Charts.Latest(c.UserContext(), actor, p.UID)
	if err != nil {
		return nil, err
	}
	var list []offer
	for _, r := range latest {
		list = append(list, offer{
			Value: r.Metric.String() + " " + strconv.FormatInt(r.At.UnixMicro(), 10) + " " + strconv.FormatInt(r.ID, 10),
			Text:  metricWord(r.Metric) + " " + valueWords(r.Metric, r.Values) + ", " + k.measured(r.At, r.Vague()).Exact,
		})
	}
	return list, nil
}

func viewCorrection(one *safe.Correction, s account.Session, p *account.Patient, k clock) correctionView {
	v := correctionView{
		ID: one.UID, Patient: p.UID, CSRF: s.CSRF, About: aboutCorrection(one, k), Wish: one.Wish, Answer: one.Answer,
		Asked: one.AskedBy + ", " + k.exact(one.AskedAt), Waits: one.State == safe.Asked,
		NeedsName: one.Kind == safe.WrongName, NeedsBirth: one.Kind == safe.WrongBirth,
	}
	v.CanWithdraw = v.Waits && account.Allow(s.Actor, account.AskCorrection, p) == nil && safe.Own(s.Actor, one.Asker) == nil
	v.CanDecide = v.Waits && account.Allow(s.Actor, account.DecideCorrection, p) == nil
	switch one.State {
	case safe.Asked:
		v.State = "Waits for the care team"
	case safe.Accepted:
		v.State = "Accepted by " + one.DecidedBy + ", " + k.exact(one.DecidedAt)
	case safe.Refused:
		v.State = "Not accepted by " + one.DecidedBy + ", " + k.exact(one.DecidedAt)
	case safe.Withdrawn:
		v.State = "Taken back, " + k.exact(one.DecidedAt)
	}
	return v
}

func aboutCorrection(c *safe.Correction, k clock) string {
	about := wrongWords(c.Kind, c.Metric)
	if c.Kind == safe.WrongReading {
		about += " measured " + k.exact(c.ReadingAt)
	}
	return about
}

// wrongWords name what is said to be wrong; metric is of a reading.
func wrongWords(kind safe.Wrong, metric vital.Metric) string {
	switch kind {
	case safe.WrongReading:
		return metricWord(metric)
	case safe.WrongName:
		return "The name"
	case safe.WrongBirth:
		return "The date of birth"
	case safe.WrongNote:
		return "A note with an alert"
	}
	return ""
}

// safeAsk answers POST /safe/{id}/corrections. What is wrong is one choice: the name, the birth, or one of the readings.
func (w *Web) safeAsk(c *fiber.Ctx) error {
	ctx := c.UserContext()
	asked := safe.Correction{Kind: safe.Wrong(c.FormValue("about")), Wish: c.FormValue("wish")}
	if metric, at, id, ok := readingChoice(c.FormValue("about")); ok {
		asked.Kind, asked.Metric, asked.ReadingAt, asked.ReadingID = safe.WrongReading, metric, at, id
	}
	if alert, ok := strings.CutPrefix(c.FormValue("about"), "note "); ok {
		asked.Kind, asked.Alert = safe.WrongNote, vital.UID(alert)
	}
	_, err := w.Safe.Corrections.Ask(ctx, session.Actor(ctx), vital.UID(c.Params("id")), asked)
	return w.afterCorrection(c, err)
}

func readingChoice(value string) (metric vital.Metric, at time.Time, id int64, ok bool) {
	parts := strings.Fields(value)
	if len(parts) != 3 {
		return 0, time.Time{}, 0, false
	}
	metric, known := vital.ParseMetric(parts[0])
	micro, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || !known {
		return 0, time.Time{}, 0, false
	}
	id, err = strconv.ParseInt(parts[2], 10, 64)
	return metric, time.UnixMicro(micro).UTC(), id, err == nil
}

// safeWithdraw answers POST /safe/{id}/corrections/{correction}/withdraw.
func (w *Web) safeWithdraw(c *fiber.Ctx) error {
	_, err := w.Safe.Corrections.Withdraw(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("correction")))
	return w.afterCorrection(c, err)
}

// safeDecide answers POST /safe/{id}/corrections/{correction}/decide.
func (w *Web) safeDecide(c *fiber.Ctx) error {
	_, err := w.Safe.Corrections.Decide(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("correction")), safe.Decision{
		Accept: c.FormValue("decision") == "accept", Answer: c.FormValue("answer"),
		Name: strings.TrimSpace(c.FormValue("name")), Birth: vital.Date(strings.TrimSpace(c.FormValue("birth"))),
	})
	return w.afterCorrection(c, err)
}

// afterCorrection leads back to the list, or shows it with what was wrong and what was written.
func (w *Web) afterCorrection(c *fiber.Ctx, err error) error {
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		c.Status(session.Status(err))
		return w.correctionsPage(c, correctionsView{Wish: c.FormValue("wish"), Kind: c.FormValue("about")}, sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/safe/"+c.Params("id")+"/corrections", http.StatusSeeOther)
}
