package web

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// newPatientView is the form with which one patient is taken in by hand, as it was filled in.
type newPatientView struct {
	Error                          string
	Name, Birth, Sex, Zone, Number string
	Team                           vital.UID
	Teams                          []account.Team
}

// Sexes are those that can be chosen.
func (newPatientView) Sexes() []string { return []string{"unknown", "female", "male", "other"} }

// newPatient answers GET /new-patient.
func (w *Web) newPatient(c *fiber.Ctx) error {
	view := newPatientView{Sex: "unknown"}
	if zone := w.Zone.String(); zone != "UTC" && zone != "Local" { // those say nothing of where patients live
		view.Zone = zone
	}
	return w.newPatientPage(c, view)
}

func (w *Web) newPatientPage(c *fiber.Ctx, view newPatientView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.AddPatient, nil); err != nil {
		return err
	}
	if w.Teams != nil && may(actor, account.SeeTeams) {
		teams, err := w.Teams.List(ctx, actor)
		if err != nil {
			return err
		}
		view.Teams = teams
	}
	return w.page(c, "new-patient", "Take a patient in", "patients", view)
}

// addPatient answers POST /new-patient: it leads to the patient, or to the list of those who may be one person when the new
// one may be somebody who is there.
func (w *Web) addPatient(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	view := newPatientView{
		Name: c.FormValue("name"), Birth: strings.TrimSpace(c.FormValue("birth_date")), Sex: c.FormValue("sex"), Zone: strings.TrimSpace(c.FormValue("zone")),
		Number: c.FormValue("number"), Team: vital.UID(c.FormValue("team")),
	}
	p := account.Patient{Name: view.Name, BirthDate: vital.Date(view.Birth), Sex: view.Sex, Zone: view.Zone, Number: view.Number}
	if view.Team != "" {
		p.Teams = []vital.UID{view.Team}
	}
	p, err := w.Directory.AddPatient(ctx, actor, p)
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		view.Error = sentence(strings.Replace(fault.MessageOf(err), "birth_date:", "date of birth:", 1))
		c.Status(session.Status(err))
		return w.newPatientPage(c, view)
	}
	if err != nil {
		return err
	}
	if len(p.Alike) > 0 && w.Doubles != nil && may(actor, account.MergePatients) {
		return c.Redirect("/doubles", http.StatusSeeOther)
	}
	return c.Redirect("/patients/"+string(p.UID), http.StatusSeeOther)
}
