package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/consent"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// mountConsentActs answers the forms of the consent pages. Each names its page, to which the browser goes back.
func (w *Web) mountConsentActs(post func(string, fiber.Handler)) {
	act := func(path string, f func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error) {
		post("/consents/:id"+path, func(c *fiber.Ctx) error {
			s, _ := session.Of(c.UserContext())
			return w.backTo(c, f(c, s.Actor, vital.UID(c.Params("id"))))
		})
	}
	act("/decide", w.decideConsent)
	act("/requests/:request", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		return w.Consents.Settle(c.UserContext(), actor, patient, vital.UID(c.Params("request")), c.FormValue("answer") == "accept")
	})
	act("/people", w.letIn)
	act("/people/:who/end", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		return w.Caregivers.End(c.UserContext(), actor, patient, vital.UID(c.Params("who")))
	})
	act("/people/:who/confirm", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		return w.Caregivers.Confirm(c.UserContext(), actor, patient, vital.UID(c.Params("who")))
	})
	act("/people/:who/frozen", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		return w.Caregivers.Suspend(c.UserContext(), actor, patient, vital.UID(c.Params("who")), c.FormValue("frozen") == "yes")
	})
	act("/private", w.markPrivate)
	act("/private/:item/show", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		return w.Caregivers.UnmarkPrivate(c.UserContext(), actor, patient, vital.UID(c.Params("item")))
	})
	act("/ending", func(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
		step := consent.EndingAct{Kind: consent.EndingKind(c.FormValue("step")), How: c.FormValue("how"), Note: c.FormValue("note")}
		return w.Offboarding.Take(c.UserContext(), actor, patient, step)
	})
}

// backTo sends the browser back to the form's page, or shows the page with what was wrong.
func (w *Web) backTo(c *fiber.Ctx, err error) error {
	pages := map[string]struct {
		path string
		show func(*fiber.Ctx, error) error
	}{
		"agreed": {"/safe/" + c.Params("id") + "/consents", w.agreedPage}, "people": {"/safe/" + c.Params("id") + "/caregivers", w.peoplePage},
		"private": {"/safe/" + c.Params("id") + "/private", w.privatePage}, "desk": {"/patients/" + c.Params("id") + "/consents", w.consentDesk},
	}
	page, known := pages[c.FormValue("page")]
	switch {
	case !known:
		return fault.New(fault.Invalid, "this form is of no page")
	case err == nil:
		return c.Redirect(page.path, http.StatusSeeOther)
	case fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict):
		c.Status(session.Status(err))
		return page.show(c, err)
	}
	return err
}

func (w *Web) decideConsent(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
	what := strings.Fields(c.FormValue("what")) // purpose, choice, version of the text
	if len(what) != 3 {
		return fault.New(fault.Invalid, "choose what was decided")
	}
	version, err := strconv.Atoi(what[2])
	if err != nil {
		return fault.New(fault.Invalid, "version: give a number")
	}
	act := consent.Act{Purpose: consent.Purpose(what[0]), Choice: consent.Choice(what[1]), Version: version}
	if actor.Staff != 0 {
		act.Through, act.Document, act.Witness = consent.Through(c.FormValue("through")), c.FormValue("document"), c.FormValue("witness")
		act.Guardian = vital.UID(c.FormValue("guardian"))
		if act.At, err = w.dateOf(c, patient, "decided", 0); err != nil {
			return err
		}
	}
	return w.Consents.Decide(c.UserContext(), actor, patient, act)
}

// dateOf reads a date of the patient's home as its first moment, so many days later; zero when none is given. Of today it is
// zero too, which the services take for now.
func (w *Web) dateOf(c *fiber.Ctx, patient vital.UID, field string, later int) (time.Time, error) {
	given := c.FormValue(field)
	if given == "" {
		return time.Time{}, nil
	}
	f, now, err := w.Consents.File(c.UserContext(), session.Actor(c.UserContext()), patient)
	if err != nil {
		return time.Time{}, err
	}
	zone := clock{now: now}.in(f.Patient.Zone).zone
	at, err := time.ParseInLocation(time.DateOnly, given, zone)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "give the date as year-month-day, for example 2026-11-21")
	}
	if later == 0 && given == now.In(zone).Format(time.DateOnly) {
		return time.Time{}, nil
	}
	return at.AddDate(0, 0, later), nil
}

func (w *Web) letIn(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
	l := consent.LetIn{Who: vital.UID(c.FormValue("who")), Name: c.FormValue("name"), Phone: c.FormValue("phone"), Reason: c.FormValue("reason"), Document: c.FormValue("document"), Guardian: c.FormValue("guardian") == "yes"}
	var scopes []account.Action
	for _, name := range c.Context().PostArgs().PeekMulti("scope") {
		scopes = append(scopes, account.Action(name))
	}
	l.Scopes = account.ScopesOf(scopes...)
	if l.Guardian {
		l.Scopes = account.ScopesOf(account.ForGuardians()...)
	}
	var err error
	if l.To, err = w.dateOf(c, patient, "to", 1); err != nil { // to the end of that day
		return err
	}
	_, err = w.Caregivers.LetIn(c.UserContext(), actor, patient, l)
	return err
}

func (w *Web) markPrivate(c *fiber.Ctx, actor account.Actor, patient vital.UID) error {
	item := consent.PrivateItem{Kind: consent.PrivateSpan}
	var err error
	if code := c.FormValue("metric"); code != "" {
		item.Kind = consent.PrivateMetric
		m, ok := vital.ParseMetric(code)
		if !ok {
			return fault.New(fault.Invalid, "choose what is to stay private")
		}
		item.Metric = m
	}
	if item.From, err = w.dateOf(c, patient, "from", 0); err != nil {
		return err
	}
	if item.To, err = w.dateOf(c, patient, "to", 1); err != nil {
		return err
	}
	if item.Kind == consent.PrivateSpan && item.From.IsZero() && c.FormValue("from") != "" { // today
		item.From = item.To.AddDate(0, 0, -1)
	}
	_, err = w.Caregivers.MarkPrivate(c.UserContext(), actor, patient, item)
	return err
}
