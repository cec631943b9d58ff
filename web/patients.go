package web

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/vital"
)

// patientsView is the list of patients.
type patientsView struct {
	Query      string
	List       []patientLine
	More       bool // there are more than the list shows
	SeesAlerts bool
	CanAdd     bool
	CanImport  bool // by a file
	CanMerge   bool // and say who is one person
	Consents   bool // there is a list of whom to ask
	Glass      bool // the reader may break the glass
}

type patientLine struct {
	ID     vital.UID
	Name   string
	Number string
	Before string // the number that was searched for: of a record that was merged into this one
	Born   string
	Sees   bool // the reader may see this patient's alerts
	Open   int
	Worst  levelView
}

const listedPatients = 200

// patients answers GET /patients.
func (w *Web) patients(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	query := c.Query("q")
	people, err := w.Directory.Patients(ctx, actor, query, listedPatients)
	if err != nil {
		return err
	}
	view := patientsView{Query: query, More: len(people) == listedPatients, SeesAlerts: may(actor, account.SeeAlerts), CanAdd: may(actor, account.AddPatient),
		CanImport: w.Imports != nil && may(actor, account.ImportPeople), CanMerge: w.Doubles != nil && may(actor, account.MergePatients),
		Consents: w.Consents != nil && actor.Staff != 0 && may(actor, account.SeeConsents)}
	view.Glass = w.Emergencies != nil && may(actor, account.BreakGlass)
	open := map[vital.UID]alerts.Case{}
	if view.SeesAlerts {
		cases, err := w.Triage.Worklist(ctx, actor)
		if err != nil {
			return err
		}
		for i := range cases {
			open[cases[i].Patient] = cases[i]
		}
	}
	for i := range people {
		p := &people[i]
		line := patientLine{ID: p.UID, Name: p.Name, Number: p.Number, Before: p.Before, Born: bornWord(p.BirthYear), Sees: account.Allow(actor, account.SeeAlerts, p) == nil}
		if one, some := open[p.UID]; some {
			line.Open, line.Worst = len(one.Alerts), viewLevel(worst(one.Alerts))
		}
		view.List = append(view.List, line)
	}
	return w.page(c, "patients", "Patients", "patients", view)
}

func worst(list []alerts.Alert) alerts.Level {
	level := alerts.None
	for i := range list {
		level = max(level, list[i].Level)
	}
	return level
}

func bornWord(year int) string {
	if year == 0 {
		return "not known"
	}
	return strconv.Itoa(year)
}
