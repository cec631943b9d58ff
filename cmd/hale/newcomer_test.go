package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
)

// TestANewOrganisationFromItsFirstAdministratorToTheFirstCode goes the way of somebody who has read nothing: from the empty board by
// what stands on the pages to a nurse, a patient, and a code with which that patient signs in.
func TestANewOrganisationFromItsFirstAdministratorToTheFirstCode(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	told.Login, told.Password = "ada", frontPassword
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(told.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	var said, wrong bytes.Buffer
	create := []string{"organisation", "create", "Home care North", "--database", told.Database, "--login", told.Login, "--name", "Ada First", "--new-password-file", file}
	if code := run(t.Context(), create, &said, &wrong, func(string) string { return "" }); code != 0 {
		t.Fatal(wrong.String())
	}
	b := browser.Start(t)
	boss := atDesk(t, b, told, told.Login, 390, 844)
	boss.looks("newcomer-board", "No patients")
	boss.see("/patients", "newcomer-patients", "No patients")
	boss.see("/teams", "newcomer-teams", "Home care")
	boss.see("/staff", "newcomer-staff", "Somebody new")
	boss.fill(`form[action="/staff"]`, "name", "Nela Kos", "login", "nela")
	boss.looks("newcomer-code", "The code for Nela Kos")
	code := browser.Eval[string](boss.Tab, `document.querySelector('#firstcode').textContent`)
	boss.see("/new-patient", "newcomer-newpatient", "Who is it")
	boss.fill(`main form`, "name", "Marija Zupan", "zone", "Europe/Ljubljana")
	boss.looks("newcomer-patient", "Marija Zupan")
	wide := b.Tab(t, 1280, 900)
	for i, path := range []string{"/", "/patients", "/teams", "/staff", "/new-patient"} {
		wide.Open(told.URL + path)
		wide.Shot(filepath.Join(os.Getenv("HALE_SCREENS"), "w"+string(rune('0'+i))+".png"))
	}
	newcomer := desk{Tab: browser.Start(t).Tab(t, 1280, 900), t: t, told: told, axe: boss.axe}
	newcomer.see("/welcome", "newcomer-welcome", "code")
	newcomer.Do(chromedp.SetValue(`main [name="code"]`, code), chromedp.SetValue(`main [name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
	newcomer.looks("newcomer-chosen", "nela")
	newcomer.Open(told.URL + "/signin")
	newcomer.Do(chromedp.SendKeys(`input[name="login"]`, "nela"), chromedp.SendKeys(`input[name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
	newcomer.looks("newcomer-nurse", "Nela")
	newcomer.see("/patients", "newcomer-nurse-patients", "Marija")
}
