package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
	"hale/simulators"
)

// TestACodeFromTheNursesScreenToThePatientsPhone makes a code on a wide screen, and signs in with it on a narrow one.
func TestACodeFromTheNursesScreenToThePatientsPhone(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	nina := told // a nurse: whoever runs the place lets nobody in
	nina.Login, nina.Password = "nina", frontPassword
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(nina.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	var said, wrong bytes.Buffer
	set := []string{"staff", "--database", told.Database, "--organisation", organisation, "--login", nina.Login, "--name", "Nina Nurse", "--role", "nurse", "--new-password-file", file}
	if code := run(t.Context(), set, &said, &wrong, func(string) string { return "" }); code != 0 {
		t.Fatal(wrong.String())
	}
	patient, err := staff.AddPatient(t.Context(), simulators.Person{Name: "Marija Zupančič", Number: "17", Sex: "female", Zone: "Europe/Ljubljana"})
	if err != nil {
		t.Fatal(err)
	}
	chrome := browser.Start(t)
	nurse, phone := chrome.Tab(t, 1280, 900), browser.Start(t).Tab(t, 390, 844)
	look := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
	}
	signInAt(nurse, nina)
	nurse.Open(told.URL + "/patients/" + patient.ID)
	nurse.Do(chromedp.Click(`a[href$="/signin"]`))
	nurse.Until("the page of signing in", `document.querySelector('#make') !== null`)
	look(nurse, "inviting-wide")
	nurse.Do(chromedp.Click(`form[action$="/signin"] button`))
	nurse.Until("the code", `document.querySelector('#newcode') !== null && document.querySelector('svg.qr path') !== null`)
	look(nurse, "inviting-code-wide")
	code := browser.Eval[string](nurse, `document.querySelector('#newcode').textContent`)

	phone.Open(told.URL + "/signin")
	phone.Do(chromedp.Click(`a[href="/code"]`))
	phone.Until("the field", `document.querySelector('#code') !== null`)
	look(phone, "code")
	phone.Do(chromedp.SendKeys(`#code`, "k7w2"), chromedp.Click(`.door button`))
	phone.Until("that is no whole code", `document.querySelector('#why')?.textContent.includes('twelve letters') && document.querySelector('#code').value === 'k7w2'`)
	look(phone, "code-part")
	phone.Do(chromedp.SetValue(`#code`, "k7w2 9xq4 m0st"), chromedp.Click(`.door button`))
	phone.Until("that code does not open", `document.querySelector('#why')?.textContent.includes('does not open')`)
	look(phone, "code-wrong")
	// As the camera opens it: the code leaves the address, and nothing is sent before the button.
	phone.Open("about:blank")
	phone.Open(told.URL + "/code#" + strings.ReplaceAll(code, "-", ""))
	phone.Until("the code is in the field and not in the address", `document.querySelector('#code').value === '`+code+`' && location.hash === '' && location.pathname === '/code'`)
	look(phone, "code-scanned")
	phone.Do(chromedp.Click(`.door button`))
	phone.Until("signed in", `document.querySelector('form.who') !== null && document.querySelector('form.who').textContent.includes('Marija')`)
	look(phone, "code-opened")
	phone.Open(told.URL + "/me")
	phone.Until("her devices", `document.querySelectorAll('.devices li').length === 1 && document.body.innerText.includes('this device') && document.body.innerText.includes('with a code of nurse Nina Nurse')`)
	look(phone, "me-patient")

	// Somebody else's device, with another code: the patient sees it where she looks anyway, and it is hers to end.
	nurse.Open(told.URL + "/patients/" + patient.ID + "/signin")
	nurse.Do(chromedp.Click(`form[action$="/signin"] button`))
	nurse.Until("another code", `document.querySelector('#newcode') !== null`)
	other := browser.Start(t).Tab(t, 1280, 900)
	other.Open(told.URL + "/code#" + strings.ReplaceAll(browser.Eval[string](nurse, `document.querySelector("#newcode").textContent`), "-", ""))
	other.Until("the code is in the field", `document.querySelector('#code').value !== ''`)
	other.Do(chromedp.Click(`.door button`))
	other.Until("another device is in", `document.querySelector('form.who') !== null`)
	look(other, "new-device-wide")
	phone.Open(told.URL + "/")
	phone.Until("the new device is named, and her own is not", `document.querySelectorAll('main p.notice').length === 1 && document.querySelector('main p.notice').textContent.includes('was let in with a code of nurse Nina Nurse')`)
	look(phone, "new-device")
	phone.Do(chromedp.Click(`main p.notice a[href="/me"]`))
	phone.Until("both devices", `document.querySelectorAll('.devices li').length === 2`)
	phone.Do(chromedp.Click(`.devices li:not(:has(.tag.by)) button`))
	phone.Until("it was ended", `document.querySelectorAll('.devices li').length === 1`)
	other.Open(told.URL + "/me")
	other.Until("it is out", `location.pathname === '/signin'`)
	phone.Open(told.URL + "/")
	phone.Until("nothing is new", `document.querySelector('form.who') !== null && document.querySelectorAll('main p.notice').length === 0`)

	nurse.Open(told.URL + "/patients/" + patient.ID + "/signin")
	nurse.Until("the phone is listed", `document.querySelectorAll('.devices li').length === 1`)
	look(nurse, "inviting-listed-wide")
	nurse.Do(chromedp.Click(`.devices button`))
	nurse.Until("it was ended", `document.querySelectorAll('.devices li').length === 0`)
	phone.Open(told.URL + "/me")
	phone.Until("the phone is out", `location.pathname === '/signin'`)

	narrow := browser.Start(t).Tab(t, 390, 844)
	signInAt(narrow, nina)
	narrow.Open(told.URL + "/patients/" + patient.ID + "/signin")
	narrow.Do(chromedp.Click(`form[action$="/signin"] button`))
	narrow.Until("the code", `document.querySelector('#newcode') !== null`)
	look(narrow, "inviting-code")

	// The administrator's own page, a password, and keys; on both widths.
	boss := browser.Start(t)
	for name, tab := range map[string]*browser.Tab{"": boss.Tab(t, 390, 844), "-wide": boss.Tab(t, 1280, 900)} {
		tab.Open(told.URL + "/me")
		if !browser.Eval[bool](tab, `document.querySelector('.devices') !== null`) { // the other width has not signed in yet
			signInAt(tab, told)
		}
		tab.Open(told.URL + "/me")
		tab.Until("the sessions", `document.querySelector('.devices') !== null`)
		tab.Do(chromedp.Click(`summary`))
		look(tab, "me-staff"+name)
		tab.Open(told.URL + "/keys")
		tab.Do(chromedp.SetValue(`input[name="name"]`, "Hospital interface"+name), chromedp.Click(`main form button.main`))
		tab.Until("what is wrong", `document.querySelector('#why')?.textContent.includes('Scopes') && document.querySelector('input[name="name"]').value !== ''`)
		tab.Do(chromedp.Click(`input[value="see patients"]`), chromedp.Click(`input[value="see readings"]`), chromedp.Click(`main form button.main`))
		tab.Until("the key", `document.querySelector('#newkey')?.textContent.startsWith('hale_key_')`)
		look(tab, "keys"+name)
	}
	for _, complaint := range append(nurse.Complaints(), phone.Complaints()...) {
		if !strings.Contains(complaint, "status of 4") { // the refusals above
			t.Errorf("the console says: %s", complaint)
		}
	}
}
