package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
)

// TestANewOrganisationFromItsFirstAdministratorToTheFirstCode goes the way of somebody who has read nothing: from the empty board by
// what stands on the pages to a nurse, a patient, and a code with which that patient signs in; on a phone and on a desk.
func TestANewOrganisationFromItsFirstAdministratorToTheFirstCode(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	told.Password = frontPassword
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(told.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	b := browser.Start(t)
	for name, width := range map[string]int{"narrow": 390, "wide": 1280} {
		var said, wrong bytes.Buffer
		create := []string{"organisation", "create", "Home care " + name, "--database", told.Database, "--login", "ada-" + name, "--name", "Ada First", "--new-password-file", file}
		if code := run(t.Context(), create, &said, &wrong, func(string) string { return "" }); code != 0 {
			t.Fatal(wrong.String())
		}
		boss := atDesk(t, b, told, "ada-"+name, width, 844)
		boss.looks("newcomer-board-"+name, "Make accounts for those who work here")
		boss.Do(chromedp.Click(`#worklist a[href="/staff"]`))
		boss.Until("the page of staff", `document.querySelector('form[action="/staff"]') !== null`)
		boss.fill(`form[action="/staff"]`, "name", "Nela Kos", "login", "nela-"+name)
		boss.looks("newcomer-code-"+name, "choose a password at "+told.URL+"/welcome")
		first := browser.Eval[string](boss.Tab, `document.querySelector('#firstcode').textContent`)
		boss.Do(chromedp.Click(`a.brand`))
		boss.Until("the board", `document.querySelector('#worklist a[href="/new-patient"]') !== null`)
		boss.Do(chromedp.Click(`#worklist a[href="/new-patient"]`))
		boss.Until("the form", `document.querySelector('main form[action="/new-patient"]') !== null`)
		boss.fill(`main form[action="/new-patient"]`, "name", "Marija Zupan", "zone", "Europe/Ljubljana")
		boss.looks("newcomer-patient-"+name, "makes the code with which this person signs in")
		boss.Do(chromedp.Click(`a.brand`))
		boss.Until("the board knows the patient at once", `document.body.innerText.includes('1 of 1 patients')`)
		boss.Do(chromedp.Click(`form.who button`))
		boss.Until("she is out", `location.pathname === '/signin'`)

		// The nurse comes to the door, and not to the address that she was told.
		nurse := boss
		nurse.looks("newcomer-door-"+name, "I am new here")
		nurse.Do(chromedp.Click(`a[href="/welcome"]`))
		nurse.Until("the welcome", `document.querySelector('main form[action="/welcome"]') !== null`)
		nurse.Do(chromedp.SetValue(`main [name="code"]`, first), chromedp.SetValue(`main [name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
		nurse.looks("newcomer-welcome-"+name, "You sign in as")
		nurse.Do(chromedp.Click(`main a[href="/signin"]`))
		nurse.Until("the door", `document.querySelector('input[name="login"]') !== null`)
		nurse.Do(chromedp.SendKeys(`input[name="login"]`, "nela-"+name), chromedp.SendKeys(`input[name="password"]`, "tulip rabbit kettle"), chromedp.Click(`main form button`))
		nurse.Until("the nurse's board", `document.querySelector('.quiet-line a[href="/patients"]') !== null`)
		nurse.Do(chromedp.Click(`.quiet-line a[href="/patients"]`))
		nurse.Until("her patients", `document.querySelector('tbody th a') !== null`)
		nurse.Do(chromedp.Click(`tbody th a`))
		nurse.Until("the patient", `document.querySelector('a[href$="/signin"]') !== null`)
		nurse.Do(chromedp.Click(`a[href$="/signin"]`))
		nurse.Until("the page of signing in", `document.querySelector('#make') !== null`)
		nurse.Do(chromedp.Click(`form[action$="/signin"] button`))
		nurse.looks("newcomer-signin-"+name, told.URL+"/code")
	}
}

// TestNoCodeIsMadeForAForeignAddress: who stands between a nurse and Hale, and can write the host into her request, gets no code that
// leads to a page of theirs; and none is made that nobody can use.
func TestNoCodeIsMadeForAForeignAddress(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/v1/patients/"+string(f.ana.UID)+"/codes", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.test"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(nina[0], nina[1])
	res, err := (&http.Client{Transport: f.lines}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("status %d", res.StatusCode)
	}
	if n := f.count(t, `SELECT count(*) FROM invitation`); n != 0 {
		t.Errorf("%d codes were made", n)
	}
	if address := f.ask(t, "POST", "/v1/patients/"+string(f.ana.UID)+"/codes", `{}`, nina...).text(t, "address"); !strings.HasPrefix(address, f.url+"/code#") {
		t.Errorf("the code leads to %q", address)
	}
}
