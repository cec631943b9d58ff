package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/signin"
	"hale/internal/browser"
	"hale/postgres"
)

// desk is one person of a care organisation at a screen of their own.
type desk struct {
	*browser.Tab
	t    *testing.T
	told announcement
	axe  string
}

// atDesk signs somebody in; nobody is shown another's board.
func atDesk(t *testing.T, b *browser.Browser, told announcement, login string, width, height int) desk {
	t.Helper()
	axe, err := os.ReadFile("../../web/testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	d := desk{Tab: b.Tab(t, width, height), t: t, told: told, axe: string(axe)}
	d.Open(told.URL + "/signin")
	d.Do(chromedp.SendKeys(`input[name="login"]`, login), chromedp.SendKeys(`input[name="password"]`, told.Password), chromedp.Click(`main form button`))
	d.Until(login+" is signed in", `document.querySelector('form.who') !== null`)
	return d
}

// see opens a page and looks at it: that it says something, within its width, and to everybody.
func (d desk) see(path, name, says string) {
	d.t.Helper()
	d.Open(d.told.URL + path)
	d.looks(name, says)
}

func (d desk) looks(name, says string) {
	d.t.Helper()
	d.Until(name+" says "+says, `document.body.innerText.includes(`+"`"+says+"`"+`)`)
	d.Keep(name)
	if browser.Eval[bool](d.Tab, `document.documentElement.scrollWidth > innerWidth`) {
		d.t.Errorf("%s is wider than the screen", name)
	}
	for _, violation := range d.Axe(d.axe) {
		d.t.Errorf("%s: %s", name, violation)
	}
}

// fill types into a form and sends it.
func (d desk) fill(form string, fields ...string) {
	d.t.Helper()
	for i := 0; i+1 < len(fields); i += 2 {
		field := form + ` [name="` + fields[i] + `"]`
		d.Do(chromedp.SetValue(field, fields[i+1]))
	}
	d.Do(chromedp.Click(form + ` button`))
}

// TestCareTeamsFromAManagersDeskAndBrokenGlass: a manager makes a team and says when it watches; a patient who goes there is out of
// the other nurse's sight; she opens the record all the same, and the privacy officer reviews it.
func TestCareTeamsFromAManagersDeskAndBrokenGlass(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	operator := postgres.Operator{AdminURL: told.Database}
	for login, role := range map[string]account.Role{"nina": account.Nurse, "hana": account.Nurse, "max": account.Manager, "petra": account.PrivacyOfficer} {
		_, err := operator.SetStaff(t.Context(), postgres.Staff{Organisation: organisation, Login: login, Name: login, Role: role, PasswordHash: signin.Hash(told.Password)})
		if err != nil {
			t.Fatal(err)
		}
	}
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-time.Hour))
	record := told.URL + "/patients/" + k.patient.ID
	b := browser.Start(t)

	manager := atDesk(t, b, told, "max", 1280, 900)
	manager.see("/teams", "teams", "Home care")
	manager.fill(`form[action="/teams"]`, "name", "Home care")
	manager.looks("teams-taken", "There is a care team")
	manager.fill(`form[action="/teams"]`, "name", "Heart failure")
	manager.looks("team-new", "Unstaffed: nobody has said when the team watches")
	team := browser.Eval[string](manager.Tab, `location.pathname`)
	manager.Do(chromedp.Click(`#hours ~ details summary`))
	manager.fill(`form[action$="/hours"]`, "day0", "8 to 16", "zone", "Europe/Ljubljana", "reason", "the pilot begins")
	manager.looks("team-hours-wrong", "Monday: \"8 to 16\" cannot be read")
	week := []string{"zone", "Europe/Ljubljana", "reason", "the pilot begins", "holidays", "2026-12-25 Christmas Day"}
	for _, day := range []string{"day0", "day1", "day2", "day3", "day4", "day5", "day6"} {
		week = append(week, day, "00:00-24:00 on call")
	}
	manager.fill(`form[action$="/hours"]`, week...)
	manager.Until("the hours are set", `document.body.innerText.includes('Set by max')`)
	manager.fill(`form[action$="/patients"]`, "number", "nobody's")
	manager.looks("team-nobody", "Nobody has the number")
	manager.fill(`form[action$="/patients"]`, "number", k.patient.Number)
	manager.Until("a team of nobody is marked", `document.body.innerText.includes('no nurse or physician')`)
	manager.Do(chromedp.Click(`form[action$="/members"] button`)) // hana is the first of the list
	manager.Until("hana has joined", `document.querySelector('form[action*="/members/"][action$="/leave"]') !== null`)
	now := time.Now().In(ljubljana(t))
	manager.fill(`form[action$="/shifts"]`, "from", now.Format("2006-01-02T15:04"), "to", now.Add(8*time.Hour).Format("2006-01-02T15:04"))
	manager.looks("team", "hana on duty")
	hanasTimeEnds(t, told, `now() + interval '3 days'`)
	manager.Open(told.URL + team)
	manager.looks("team-ends", "Its patients have nobody from")
	manager.see("/teams", "teams-ends", "Its patients have nobody from")
	hanasTimeEnds(t, told, `NULL`)

	nurse := atDesk(t, b, told, "nina", 390, 844)
	nurse.Open(record)
	nurse.Until("the nurse of the first team sees the patient", `document.querySelector('#limits') !== null`)
	manager.Open(told.URL + team)
	manager.Open(told.URL + "/teams")
	manager.Do(chromedp.Click(`main section:first-of-type h2 a`))
	manager.Until("the usual team", `document.querySelector('form[action$="/leave"]') !== null && location.pathname !== '`+team+`'`)
	manager.Do(chromedp.Click(`form[action$="/patients/` + k.patient.ID + `/leave"] button`))
	manager.Until("the patient is handed on", `document.querySelector('form[action$="/patients/`+k.patient.ID+`/leave"]') === null`)

	nurse.see("/patients/"+k.patient.ID, "glass-absent", "There is no patient")
	nurse.see("/break-glass", "glass", "Open a record outside your care")
	nurse.fill(`main form`, "number", "nobody's", "reason", "found unconscious at home")
	nurse.looks("glass-nobody", "There is no patient of this number")
	nurse.fill(`main form`, "number", k.patient.Number, "reason", "found unconscious at home")
	nurse.Until("the record", `location.pathname === '/patients/`+k.patient.ID+`' && document.body.innerText.includes('because you broke the glass')`)

	officer := atDesk(t, b, told, "petra", 390, 844)
	officer.see("/access", "access", "found unconscious at home")
	officer.fill(`main form`, "finding", "asked the team: it was right")
	officer.looks("access-reviewed", "asked the team: it was right")

	nurse.see("/break-glass", "glass-open", "open until")
	nurse.Do(chromedp.Click(`form[action$="/end"] button`))
	nurse.Until("it is closed", `document.body.innerText.includes('closed again')`)
	nurse.see("/patients/"+k.patient.ID, "glass-closed", "There is no patient")
	for _, d := range []desk{manager, nurse, officer} {
		for _, complaint := range d.Complaints() {
			if !strings.Contains(complaint, "status of 4") { // the refusals above
				t.Errorf("the console says: %s", complaint)
			}
		}
	}
}

// TestAnAdministratorMakesAnAccountAndItsOwnerComesIn goes from the page of staff to the first password.
func TestAnAdministratorMakesAnAccountAndItsOwnerComesIn(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	b := browser.Start(t)
	boss := atDesk(t, b, told, told.Login, 390, 844)
	boss.see("/staff", "staff", "Somebody new")
	boss.fill(`form[action="/staff"]`, "name", "Nela Kos", "login", told.Login)
	boss.looks("staff-taken", "is taken")
	boss.fill(`form[action="/staff"]`, "name", "Nela Kos", "login", "nela")
	boss.looks("staff-code", "The code for Nela Kos")
	code := browser.Eval[string](boss.Tab, `document.querySelector('#firstcode').textContent`)

	newcomer := b.Tab(t, 390, 844)
	newcomer.Open(told.URL + "/welcome")
	newcomer.Do(chromedp.SetValue(`main [name="code"]`, code), chromedp.SetValue(`main [name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
	newcomer.Until("the password is chosen", `document.body.innerText.includes('nela')`)
	newcomer.Open(told.URL + "/signin")
	newcomer.Do(chromedp.SendKeys(`input[name="login"]`, "nela"), chromedp.SendKeys(`input[name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
	newcomer.Until("she is in", `document.querySelector('#worklist') !== null`)

	boss.Open(told.URL + "/staff")
	boss.Do(chromedp.Click(`tbody tr:first-of-type th a`)) // Nela stands before the Nurse on duty
	boss.looks("employee", "They have left")
	boss.Do(chromedp.Click(`form[action$="/disable"] button`))
	boss.looks("employee-out", "Let them in again")
	newcomer.Open(told.URL + "/patients")
	newcomer.Until("she is out", `location.pathname === '/signin'`)
	boss.Do(chromedp.Click(`form[action$="/enable"] button`))
	boss.looks("employee-back", "Care teams and shifts did not come back")
}

// hanasTimeEnds sets when her time ends in the team that is not the usual one.
func hanasTimeEnds(t *testing.T, told announcement, at string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), told.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	done, err := conn.Exec(t.Context(), `
UPDATE team_member m SET to_at = `+at+` FROM staff s, team t WHERE s.id = m.staff_id AND t.id = m.team_id AND s.login = 'hana' AND NOT t.usual`)
	if err != nil || done.RowsAffected() != 1 {
		t.Fatalf("%s, %v", done, err)
	}
}

func ljubljana(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}
