package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// teamsView is the list of care teams.
type teamsView struct {
	Error   string
	Manage  bool
	Staff   bool // the reader makes accounts
	Notices bool // the reader says where notices are sent
	Teams   []teamLine
}

type teamLine struct {
	ID         vital.UID
	Name       string
	Usual      bool
	Patients   int
	People     int
	Unattended bool
	Ends       string // from when its patients have nobody; empty while somebody stays
	Watch      string // "Staffed until 16:00"; empty when nobody has said
}

// teamView is one care team: its people, its patients, when it watches and who is on duty.
type teamView struct {
	Error    string
	Manage   bool
	Phone    string
	Team     teamLine
	Members  []memberLine
	Others   []account.Colleague // who could join
	Patients []patientLine
	Sees     bool // the reader sees patients
	Hours    hoursForm
	Version  int
	Chosen   bool
	Said     string // who set the hours, and why
	Days     []dayLine
	Shifts   []shiftLine
	Zone     string
}

type memberLine struct {
	ID   vital.UID
	Name string
	Role string
	When string
}

// dayLine is one day of the roster, in words.
type dayLine struct {
	Day     string
	Watches []string
	Gaps    []string
}

type shiftLine struct {
	ID   vital.UID
	Name string
	Duty string
	When string
}

func (w *Web) mountTeams(get, post func(path string, h fiber.Handler)) {
	if w.Teams == nil {
		return
	}
	get("/teams", func(c *fiber.Ctx) error { return w.teamsPage(c, "") })
	manage := func(path string, h fiber.Handler) {
		post(path, func(c *fiber.Ctx) error { // before anything of the form is read
			if err := account.Allow(session.Actor(c.UserContext()), account.ManageTeams, nil); err != nil {
				return err
			}
			return h(c)
		})
	}
	manage("/teams", w.addTeam)
	get("/teams/:id", func(c *fiber.Ctx) error { return w.teamPage(c, teamView{}) })
	manage("/teams/:id/rename", w.teamAct(func(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
		name, phone := c.FormValue("name"), c.FormValue("phone")
		return w.Teams.Set(c.UserContext(), actor, team, &name, &phone)
	}))
	manage("/teams/:id/end", w.endTeam)
	manage("/teams/:id/members", w.teamAct(w.joinTeam))
	manage("/teams/:id/members/:staff/leave", w.teamAct(func(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
		return w.Teams.Leave(c.UserContext(), actor, team, vital.UID(c.Params("staff")))
	}))
	manage("/teams/:id/patients", w.teamAct(w.takeIn))
	manage("/teams/:id/patients/:patient/leave", w.teamAct(func(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
		return w.Teams.HandOn(c.UserContext(), actor, team, vital.UID(c.Params("patient")))
	}))
	manage("/teams/:id/hours", w.setHours)
	manage("/teams/:id/shifts", w.teamAct(w.addShift))
	manage("/teams/:id/shifts/:shift/cancel", w.teamAct(func(c *fiber.Ctx, actor account.Actor, _ vital.UID) error {
		return w.Rosters.CancelShift(c.UserContext(), actor, vital.UID(c.Params("shift")))
	}))
}

// amiss reports whether an error is for the reader to mend: the page comes back with it.
func amiss(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict)
}

func (w *Web) teamsPage(c *fiber.Ctx, problem string) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	list, err := w.Teams.List(ctx, actor)
	if err != nil {
		return err
	}
	view := teamsView{Error: problem, Manage: may(actor, account.ManageTeams), Staff: w.Staffing != nil && may(actor, account.ManageStaff), Notices: w.Webhooks != nil && may(actor, account.ManageWebhooks)}
	for i := range list {
		line, err := w.teamLine(c, &list[i])
		if err != nil {
			return err
		}
		view.Teams = append(view.Teams, line)
	}
	return w.page(c, "teams", "Care teams", "teams", view)
}

func (w *Web) teamLine(c *fiber.Ctx, t *account.Team) (teamLine, error) {
	line := teamLine{ID: t.UID, Name: t.Name, Usual: t.Usual, Patients: t.Patients, People: len(t.Members), Unattended: t.Unattended()}
	now := w.Now()
	if ends := t.Ends(); !ends.IsZero() {
		line.Ends = clock{now: now, zone: w.Zone}.short(ends)
	}
	versions, err := w.Rosters.Hours(c.UserContext(), session.Actor(c.UserContext()), t.UID)
	if err != nil || len(versions) == 0 {
		return line, err
	}
	periods := account.WatchBetween(versions, now, now.Add(8*24*time.Hour))
	k := clock{now: now, zone: zoneOf(versions, w.Zone)}
	line.Watch = sentence(string(periods[0].Watch))
	if len(periods) > 1 {
		line.Watch = strings.TrimSuffix(line.Watch, ".") + " until " + k.short(periods[0].To)
	}
	return line, nil
}

// zoneOf returns the zone in which a team's hours are set; the staff's own while nobody has set them.
func zoneOf(versions []account.HoursVersion, otherwise *time.Location) *time.Location {
	if len(versions) == 0 {
		return otherwise
	}
	return clock{}.in(versions[len(versions)-1].Hours.Zone).zone
}

// addTeam answers POST /teams.
func (w *Web) addTeam(c *fiber.Ctx) error {
	t, err := w.Teams.Add(c.UserContext(), session.Actor(c.UserContext()), c.FormValue("name"))
	if amiss(err) {
		c.Status(session.Status(err))
		return w.teamsPage(c, sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/teams/"+string(t.UID), http.StatusSeeOther)
}

// endTeam answers POST /teams/{id}/end.
func (w *Web) endTeam(c *fiber.Ctx) error {
	err := w.Teams.End(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if amiss(err) {
		return w.teamAgain(c, teamView{}, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/teams", http.StatusSeeOther)
}

// teamAct answers a form of a team's page: it comes back to the page, with what was wrong.
func (w *Web) teamAct(act func(c *fiber.Ctx, actor account.Actor, team vital.UID) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		team := vital.UID(c.Params("id"))
		err := act(c, session.Actor(c.UserContext()), team)
		if amiss(err) {
			return w.teamAgain(c, teamView{}, err)
		}
		if err != nil {
			return err
		}
		return c.Redirect("/teams/"+string(team), http.StatusSeeOther)
	}
}

func (w *Web) teamAgain(c *fiber.Ctx, view teamView, err error) error {
	view.Error = sentence(fault.MessageOf(err))
	c.Status(session.Status(err))
	return w.teamPage(c, view)
}

func (w *Web) joinTeam(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
	return w.Teams.Join(c.UserContext(), actor, team, vital.UID(c.FormValue("staff")), time.Time{}, time.Time{})
}

// takeIn finds the patient by the whole number, as it stands on their papers.
func (w *Web) takeIn(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
	number := strings.TrimSpace(c.FormValue("number"))
	list, err := w.Directory.Patients(c.UserContext(), actor, number, account.MostPatients)
	if err != nil {
		return err
	}
	for i := range list {
		if number != "" && list[i].Number == number {
			return w.Teams.TakeIn(c.UserContext(), actor, team, list[i].UID)
		}
	}
	return fault.New(fault.Invalid, "nobody has the number %q: give it whole, as it stands in the list of patients", number)
}

func (w *Web) addShift(c *fiber.Ctx, actor account.Actor, team vital.UID) error {
	versions, err := w.Rosters.Hours(c.UserContext(), actor, team)
	if err != nil {
		return err
	}
	zone := zoneOf(versions, w.Zone)
	from, err := time.ParseInLocation(formTime, c.FormValue("from"), zone)
	if err != nil {
		return fault.New(fault.Invalid, "from: give a date and a time")
	}
	to, err := time.ParseInLocation(formTime, c.FormValue("to"), zone)
	if err != nil {
		return fault.New(fault.Invalid, "to: give a date and a time")
	}
	_, err = w.Rosters.AddShift(c.UserContext(), actor, team, account.Shift{
		Staff: vital.UID(c.FormValue("staff")), Duty: account.Duty(c.FormValue("duty")), From: from, To: to,
	})
	return err
}

// setHours answers POST /teams/{id}/hours. What was typed stands in the form again when something was wrong with it.
func (w *Web) setHours(c *fiber.Ctx) error {
	actor, team := session.Actor(c.UserContext()), vital.UID(c.Params("id"))
	form := hoursForm{Zone: c.FormValue("zone"), Holidays: c.FormValue("holidays"), Reason: c.FormValue("reason")}
	for i := range form.Days {
		form.Days[i] = dayForm{Name: weekday(i), Field: fmt.Sprintf("day%d", i), Spans: c.FormValue(fmt.Sprintf("day%d", i))}
	}
	var version int
	if _, err := fmt.Sscan(c.FormValue("version"), &version); err != nil {
		return fault.New(fault.Invalid, "version: load the page anew")
	}
	hours, err := form.hours()
	if err == nil {
		_, err = w.Rosters.SetHours(c.UserContext(), actor, team, version, account.HoursVersion{Hours: hours, Reason: form.Reason})
	}
	if amiss(err) {
		return w.teamAgain(c, teamView{Hours: form}, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/teams/"+string(team)+"#hours", http.StatusSeeOther)
}

// rosterDays is how far ahead the page shows who is on duty.
const rosterDays = 14

// teamPage shows a team. view may hold an error and the hours that led to it.
func (w *Web) teamPage(c *fiber.Ctx, view teamView) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	t, err := w.Teams.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	if view.Team, err = w.teamLine(c, &t); err != nil {
		return err
	}
	view.Phone = t.Phone
	view.Manage, view.Sees = may(actor, account.ManageTeams), may(actor, account.SeePatients)
	if err := w.addMembers(c, &view, &t); err != nil {
		return err
	}
	if view.Sees {
		people, err := w.Teams.Patients(ctx, actor, t.UID)
		if err != nil {
			return err
		}
		for i := range people {
			view.Patients = append(view.Patients, patientLine{ID: people[i].UID, Name: people[i].Name, Number: people[i].Number})
		}
	}
	if err := w.addRoster(c, &view, t.UID); err != nil {
		return err
	}
	return w.page(c, "team", t.Name, "teams", view)
}

func (w *Web) addMembers(c *fiber.Ctx, view *teamView, t *account.Team) error {
	k := clock{now: w.Now(), zone: w.Zone}
	in := map[vital.UID]bool{}
	for _, m := range t.Members {
		line := memberLine{ID: m.Staff, Name: m.Name, Role: roleWord(m.Role)}
		if m.From.After(k.now) {
			line.When = "from " + k.short(m.From)
		}
		if !m.To.IsZero() {
			line.When = strings.TrimSpace(line.When + " until " + k.short(m.To))
		}
		in[m.Staff] = true
		view.Members = append(view.Members, line)
	}
	if !view.Manage {
		return nil
	}
	all, err := w.Teams.Colleagues(c.UserContext(), session.Actor(c.UserContext()))
	view.Others = slices.DeleteFunc(all, func(one account.Colleague) bool { return in[one.UID] })
	return err
}

func (w *Web) addRoster(c *fiber.Ctx, view *teamView, team vital.UID) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	versions, err := w.Rosters.Hours(ctx, actor, team)
	if err != nil {
		return err
	}
	zone := zoneOf(versions, w.Zone)
	k := clock{now: w.Now(), zone: zone}
	today := k.now.In(zone)
	from := time.Date(today.Year(), today.Month(), today.Day(), 0, 0, 0, 0, zone)
	roster, err := w.Rosters.Roster(ctx, actor, team, from, time.Date(today.Year(), today.Month(), today.Day()+rosterDays, 0, 0, 0, 0, zone))
	if err != nil {
		return err
	}
	view.Chosen, view.Zone = roster.Chosen, zoneName(zone)
	if n := len(versions); n > 0 {
		last := versions[n-1]
		view.Version = last.Number
		view.Said = fmt.Sprintf("Set by %s %s; it holds %s: %s", last.AuthorName, k.at(last.CreatedAt).When, k.at(last.EffectiveFrom).Since, last.Reason)
		if view.Hours.Days[0].Name == "" {
			view.Hours = formOf(last.Hours)
		}
	} else if view.Hours.Days[0].Name == "" {
		view.Hours = formOf(account.Hours{Zone: zoneName(zone)})
	}
	view.Days = dayLines(roster, from)
	for _, s := range roster.Shifts {
		view.Shifts = append(view.Shifts, shiftLine{ID: s.UID, Name: s.Name, Duty: dutyWord(s.Duty), When: k.short(s.From) + " to " + k.short(s.To)})
	}
	return nil
}

// zoneName returns the IANA name of a zone; empty for the server's own, which has none.
func zoneName(zone *time.Location) string {
	if zone == time.Local {
		return ""
	}
	return zone.String()
}

func dutyWord(d account.Duty) string {
	if d == account.OnDuty {
		return "on duty"
	}
	return string(d)
}

// dayLines puts a roster into words, day by day.
func dayLines(r account.Roster, from time.Time) []dayLine {
	lines := make([]dayLine, rosterDays)
	for i := range lines {
		day := time.Date(from.Year(), from.Month(), from.Day()+i, 0, 0, 0, 0, from.Location())
		end := time.Date(from.Year(), from.Month(), from.Day()+i+1, 0, 0, 0, 0, from.Location())
		lines[i].Day = day.Format("Mon 2 Jan")
		for _, p := range r.Periods {
			if text := within(p.From, p.To, day, end); text != "" && p.Watch != account.Unstaffed {
				lines[i].Watches = append(lines[i].Watches, string(p.Watch)+" "+text)
			}
		}
		for _, s := range slices.SortedFunc(slices.Values(r.Shifts), func(a, b account.Shift) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Duty, b.Duty)) }) {
			if text := within(s.From, s.To, day, end); text != "" {
				lines[i].Watches = append(lines[i].Watches, s.Name+" "+dutyWord(s.Duty)+" "+text)
			}
		}
		for _, g := range r.Gaps {
			if text := within(g.From, g.To, day, end); text != "" {
				lines[i].Gaps = append(lines[i].Gaps, text)
			}
		}
	}
	return lines
}

// within says which part of a day a time covers: "08:00 to 16:00", "all day", or nothing.
func within(from, to, day, end time.Time) string {
	if !from.Before(end) || !to.After(day) {
		return ""
	}
	if !from.After(day) && !to.Before(end) {
		return "all day"
	}
	last := "24:00"
	if to.Before(end) {
		last = to.In(day.Location()).Format("15:04")
	}
	if from.Before(day) {
		from = day
	}
	return from.In(day.Location()).Format("15:04") + " to " + last
}
