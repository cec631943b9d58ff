package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// glassView is the page on which somebody opens a record outside their care, with what they have opened so far.
type glassView struct {
	Error   string
	Number  string
	Reason  string
	Minutes int
	Lengths []lengthChoice
	Mine    []glassLine
}

type lengthChoice struct {
	Minutes int
	Word    string
	Chosen  bool
}

// glassLine is one breaking of the glass.
type glassLine struct {
	ID       vital.UID
	Patient  vital.UID
	Name     string
	Number   string
	Who      string
	Reason   string
	When     moment
	Until    moment
	Ended    string // how it stands, in words
	Open     bool
	Reviewed string
	Finding  string
}

func (w *Web) mountGlass(get, post func(path string, h fiber.Handler)) {
	if w.Emergencies == nil {
		return
	}
	get("/break-glass", func(c *fiber.Ctx) error { return w.glassPage(c, glassView{}) })
	post("/break-glass", w.breakGlass)
	post("/break-glass/:id/end", w.endGlass)
	get("/access", w.access)
	post("/access/:id/review", w.reviewGlass)
}

func lengths(chosen int) []lengthChoice {
	if chosen == 0 {
		chosen = int(account.GlassFor.Minutes())
	}
	list := []lengthChoice{{15, "15 minutes", false}, {60, "1 hour", false}, {240, "4 hours", false}, {480, "8 hours", false}}
	for i := range list {
		list[i].Chosen = list[i].Minutes == chosen
	}
	return list
}

func (w *Web) glassPage(c *fiber.Ctx, view glassView) error {
	actor := session.Actor(c.UserContext())
	if err := account.Allow(actor, account.BreakGlass, nil); err != nil {
		return err
	}
	list, err := w.Emergencies.List(c.UserContext(), actor)
	if err != nil {
		return err
	}
	view.Mine, view.Lengths = w.glassLines(list), lengths(view.Minutes)
	return w.page(c, "glass", "A record outside your care", "patients", view)
}

func (w *Web) glassLines(list []account.Glass) []glassLine {
	k := clock{now: w.Now(), zone: w.Zone}
	lines := make([]glassLine, len(list))
	for i := range list {
		g := &list[i]
		lines[i] = glassLine{
			ID: g.UID, Patient: g.Patient, Name: g.PatientName, Number: g.Number, Who: g.StaffName + ", " + roleWord(g.StaffRole),
			Reason: g.Reason, When: k.at(g.From), Until: k.at(g.Until), Open: g.InForce(k.now), Finding: g.Finding,
		}
		switch {
		case lines[i].Open:
			lines[i].Ended = "open until " + k.short(g.Until)
		case !g.EndedAt.IsZero():
			lines[i].Ended = "closed again after " + span(g.EndedAt.Sub(g.From))
		default:
			lines[i].Ended = "ended by itself after " + span(g.Until.Sub(g.From))
		}
		if !g.ReviewedAt.IsZero() {
			lines[i].Reviewed = fmt.Sprintf("%s, %s", g.Reviewer, k.short(g.ReviewedAt))
		}
	}
	return lines
}

// breakGlass answers POST /break-glass: it leads to the record, or back to the form with what was wrong.
func (w *Web) breakGlass(c *fiber.Ctx) error {
	view := glassView{Number: c.FormValue("number"), Reason: c.FormValue("reason")}
	view.Minutes, _ = strconv.Atoi(c.FormValue("minutes"))
	g, err := w.Emergencies.Break(c.UserContext(), session.Actor(c.UserContext()), view.Number, view.Reason, time.Duration(view.Minutes)*time.Minute)
	if amiss(err) || fault.Is(err, fault.NotFound) {
		view.Error = sentence(fault.MessageOf(err))
		c.Status(session.Status(err))
		return w.glassPage(c, view)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/patients/"+string(g.Patient), http.StatusSeeOther)
}

// endGlass answers POST /break-glass/{id}/end.
func (w *Web) endGlass(c *fiber.Ctx) error {
	if err := w.Emergencies.End(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id"))); err != nil {
		return err
	}
	return c.Redirect("/break-glass", http.StatusSeeOther)
}

// accessView is the privacy officer's list of broken glass.
type accessView struct {
	Waiting []glassLine
	Done    []glassLine
}

// access answers GET /access.
func (w *Web) access(c *fiber.Ctx) error {
	actor := session.Actor(c.UserContext())
	if err := account.Allow(actor, account.ReviewAccess, nil); err != nil {
		return err
	}
	list, err := w.Emergencies.List(c.UserContext(), actor)
	if err != nil {
		return err
	}
	view := accessView{}
	for _, line := range w.glassLines(list) {
		if line.Reviewed == "" {
			view.Waiting = append(view.Waiting, line)
		} else {
			view.Done = append(view.Done, line)
		}
	}
	return w.page(c, "access", "Access outside care", "access", view)
}

// reviewGlass answers POST /access/{id}/review.
func (w *Web) reviewGlass(c *fiber.Ctx) error {
	if err := w.Emergencies.Review(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")), c.FormValue("finding")); err != nil {
		return err
	}
	return c.Redirect("/access", http.StatusSeeOther)
}
