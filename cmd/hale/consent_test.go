package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
)

// TestAPatientDecidesOnThePhoneAndTheNurseEndsCare walks through every page of consent: the patient agrees, lets a daughter in,
// keeps something private and freezes what she sees; the nurse records a guardian; the patient stops care, and the nurse ends it.
func TestAPatientDecidesOnThePhoneAndTheNurseEndsCare(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("../../web/testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-24*time.Hour))
	look := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
		small := browser.Eval[string](tab, `[...document.querySelectorAll('.safe button, .safe select, .safe input:not([type=hidden]):not([type=radio]):not([type=checkbox]), .safe summary')]
			.filter(e => e.getBoundingClientRect().height > 0 && e.getBoundingClientRect().height < 47.5).map(e => e.outerHTML.slice(0, 80)).join('; ')`)
		if small != "" {
			t.Errorf("%s: targets of less than 48 pixels: %s", name, small)
		}
		for _, violation := range tab.Axe(string(axe)) {
			t.Errorf("%s: %s", name, violation)
		}
	}
	chrome := browser.Start(t)
	nurse, phone := chrome.Tab(t, 1280, 900), browser.Start(t).Tab(t, 390, 844)
	// signUp lets somebody sign in with a code that the nurse made.
	signUp := func(tab *browser.Tab, form string) {
		t.Helper()
		nurse.Open(told.URL + "/patients/" + k.patient.ID + "/signin")
		nurse.Do(chromedp.Click(form))
		nurse.Until("the code", `document.querySelector('#newcode') !== null`)
		code := browser.Eval[string](nurse, `document.querySelector('#newcode').textContent`)
		tab.Open(told.URL + "/code#" + strings.ReplaceAll(code, "-", ""))
		tab.Until("the code is in the field", `document.querySelector('#code')?.value !== ''`)
		tab.Do(chromedp.Click(`.door button`))
		tab.Until("the own data", `location.pathname.startsWith('/safe/')`)
	}
	signInAt(nurse, asNurse(t, told))
	signUp(phone, `form[action$="/signin"] button`)
	safe, desk := told.URL+"/safe/"+k.patient.ID, told.URL+"/patients/"+k.patient.ID+"/consents"

	nurse.Open(told.URL + "/consents")
	nurse.Until("she is to be asked", `document.body.innerText.includes('It has not been asked for yet')`)
	look(nurse, "consents-due-wide")
	phone.Open(safe + "/consents")
	phone.Until("three purposes", `document.querySelectorAll('section.one').length === 3`)
	look(phone, "consents-asked")
	for _, purpose := range []string{"care", "caregiver_sharing"} {
		phone.Do(chromedp.Click(`input[value^="` + purpose + ` given"] ~ button`))
		phone.Until("agreed to "+purpose, `document.querySelector('input[value^="`+purpose+` withdrawn"]') !== null`)
	}
	look(phone, "consents-agreed")

	phone.Open(safe + "/caregivers")
	phone.Do(chromedp.SetValue(`input[name="name"]`, "Eva Novak"), chromedp.Click(`section form.stack button.main`))
	phone.Until("she is let in", `document.querySelector('.card.one')?.innerText.includes('Eva Novak')`)
	look(phone, "caregivers")
	phone.Do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('input[name="scope"]').forEach(e => e.checked = false)`),
		chromedp.SetValue(`#new ~ form input[name="name"]`, "X"), chromedp.Click(`#new ~ form button`))
	phone.Until("nothing to see is refused", `document.querySelector('#why')?.textContent.includes('choose at least one')`)
	phone.Open(safe + "/consents")
	phone.Do(chromedp.Click(`section:has(#p-caregiver_sharing) summary`), chromedp.Click(`input[value^="caregiver_sharing withdrawn"] ~ button`))
	phone.Until("whom a yes lets in again", `document.querySelector('#wakes')?.innerText.includes('Eva Novak')`)
	look(phone, "consents-wakes")
	phone.Open(safe + "/caregivers")
	phone.Until("she sees nothing meanwhile", `document.body.innerText.includes('Sees nothing now')`)
	look(phone, "caregivers-asleep")
	phone.Open(safe + "/consents")
	phone.Do(chromedp.Click(`input[value^="caregiver_sharing given"] ~ button`))
	phone.Until("agreed again", `document.querySelector('input[value^="caregiver_sharing withdrawn"]') !== null`)

	daughter := browser.Start(t).Tab(t, 390, 844)
	signUp(daughter, `form:has(input[name="caregiver"]) button`)
	daughter.Open(told.URL + "/patients/" + k.patient.ID)
	daughter.Until("she sees the record", `document.body.innerText.includes('Measurements')`)

	phone.Open(safe + "/private")
	phone.Until("the page of what is private", `document.querySelector('#hide') !== null`)
	phone.Do(chromedp.SetValue(`select[name="metric"]`, "body_weight"), chromedp.Click(`#hide ~ form button`))
	phone.Until("weight is private", `document.body.innerText.includes('Show it again')`)
	// The limits of what is private are not on her page any more; from here on nothing changes there.
	daughter.Open(told.URL + "/patients/" + k.patient.ID)
	daughter.Until("her page without it", `document.body.innerText.includes('Measurements')`)
	before := browser.Eval[string](daughter, `document.querySelector('main').innerText.replace(/[0-9]+:[0-9]+/g, '')`)
	phone.Do(chromedp.Click(`form[action$="/frozen"] button`))
	phone.Until("she sees nothing new", `document.body.innerText.includes('sees nothing new')`)
	look(phone, "private")

	// A reading of today: the nurse sees it, the daughter's page is word for word what it was.
	line := k.dial(t, told.MQTT)
	if err := line.Publish(t.Context(), k.topic(), pressure(128, 76, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	nurse.Open(told.URL + "/patients/" + k.patient.ID)
	eventually(t, 20*time.Second, func() string {
		nurse.Open(told.URL + "/patients/" + k.patient.ID)
		if !browser.Eval[bool](nurse, `document.body.innerText.includes('128/76')`) {
			return "the nurse does not see the reading"
		}
		return ""
	})
	daughter.Open(told.URL + "/patients/" + k.patient.ID)
	daughter.Until("her page", `document.body.innerText.includes('Measurements')`)
	if after := browser.Eval[string](daughter, `document.querySelector('main').innerText.replace(/[0-9]+:[0-9]+/g, '')`); after != before {
		t.Errorf("the daughter sees that something changed:\n%s\n---\n%s", before, after)
	}
	for _, path := range []string{"/private", "/caregivers"} {
		daughter.Open(safe + path)
		daughter.Until("that is not for her", `document.body.innerText.includes('Not Found') || document.body.innerText.includes('Forbidden')`)
	}

	nurse.Open(desk)
	nurse.Until("the desk", `document.querySelector('#protect') !== null`)
	nurse.Do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('details').forEach(e => e.open = true)`))
	look(nurse, "consent-desk-wide")
	nurse.Do(chromedp.SetValue(`form:has(input[name="guardian"]) input[name="name"]`, "Gal Kos"), chromedp.SetValue(`form:has(input[name="guardian"]) input[name="document"]`, "court 12/26"),
		chromedp.SetValue(`form:has(input[name="guardian"]) input[name="to"]`, time.Now().AddDate(1, 0, 0).Format(time.DateOnly)),
		chromedp.SetValue(`form:has(input[name="guardian"]) input[name="reason"]`, "the order itself"), chromedp.Click(`form:has(input[name="guardian"]) button`))
	nurse.Until("a second person has to look", `document.body.innerText.includes('waits for a second look at the document')`)

	phone.Open(safe + "/consents")
	phone.Do(chromedp.Click(`section:has(#p-care) summary`), chromedp.Click(`input[value^="care withdrawn"] ~ button`))
	phone.Until("it goes on for now", `document.body.innerText.includes('It is still watched over')`)
	look(phone, "consents-stopping")
	nurse.Open(told.URL + "/patients/" + k.patient.ID)
	nurse.Until("the patient's page says so", `document.body.innerText.includes('Consent to care was withdrawn')`)
	nurse.Open(desk)
	look(nurse, "consent-ending-wide")
	nurse.Do(chromedp.Click(`input[name="how"][value="phone"]`), chromedp.Click(`form[action$="/ending"] button`))
	nurse.Until("the watch has stopped", `document.body.innerText.includes('Nobody watches over the measurements any more')`)
	nurse.Do(chromedp.Click(`form[action$="/ending"] button`))
	nurse.Until("the record is locked", `document.body.innerText.includes('nothing is added to it')`)
	look(nurse, "consent-locked-wide")
	narrow := chrome.Tab(t, 390, 844)
	signInAt(narrow, told)
	narrow.Open(desk)
	look(narrow, "consent-desk")
	phone.Open(safe + "/consents")
	phone.Until("the patient reads how care ended", `document.body.innerText.includes('How care ended')`)
	look(phone, "consents-ended")
	daughter.Open(told.URL + "/patients/" + k.patient.ID)
	daughter.Until("the daughter finds nothing", `document.body.innerText.includes('Not Found')`)
}
