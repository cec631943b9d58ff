package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/internal/browser"
)

// TestAnErasureAsThePatientSeesIt is one whole erasure that a guardian asked for, of somebody with a red alert: the patient's phone
// shows it and takes it back, asks for it, and reads at the end that the record is gone.
func TestAnErasureAsThePatientSeesIt(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("../../web/testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	_, told := up(t, dataDir(t), "--demo=false")
	k := newKit(t, signIn(t, told), "cuff-1", time.Now().Add(-48*time.Hour))
	one := officerOf(t, told, "olga")
	officerOf(t, told, "otto")
	policy := policyOfNothing()
	policy["cooling_days"] = 7
	one.call(t, http.MethodPut, "/v1/erasure-policy", policy, nil)
	line := k.dial(t, told.MQTT)
	if err := line.Publish(t.Context(), k.topic(), pressure(188, 106, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := func(login, password string) officer {
		o := officer{url: told.URL}
		var out struct{ Token string }
		o.call(t, http.MethodPost, "/v1/session", map[string]string{"login": login, "password": password}, &out)
		o.token = out.Token
		return o
	}
	nurse, boss := in(asNurse(t, told).Login, frontPassword), in(told.Login, told.Password)
	path := "/v1/patients/" + k.patient.ID
	var son struct{ Caregiver string }
	for range 2 { // father and son of one name: of both there is a card
		nurse.call(t, http.MethodPost, path+"/guardians", map[string]any{
			"name": "Saul Son", "scopes": []account.Action{account.AskErasure}, "document": "court 12/26", "reason": "seen", "to": time.Now().AddDate(1, 0, 0),
		}, &son)
		boss.call(t, http.MethodPost, path+"/guardians/"+son.Caregiver+"/confirm", nil, nil)
	}

	tabOf := func(width, height int) *browser.Tab { return browser.Start(t).Tab(t, width, height) }
	look := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
		for _, violation := range tab.Axe(string(axe)) {
			t.Errorf("%s: %s", name, violation)
		}
		// Whoever speaks to the screen says what stands on the button.
		unheard := browser.Eval[string](tab, `[...document.querySelectorAll('button[aria-label]')].filter(b => !b.ariaLabel.toLowerCase().includes(b.innerText.trim().toLowerCase())).map(b => b.outerHTML).join('; ')`)
		if unheard != "" {
			t.Errorf("%s: names without what stands there: %s", name, unheard)
		}
	}
	letIn := func(tab *browser.Tab, body map[string]string) {
		t.Helper()
		var made struct{ Code string }
		nurse.call(t, http.MethodPost, path+"/codes", body, &made)
		tab.Open(told.URL + "/code#" + strings.ReplaceAll(made.Code, "-", ""))
		tab.Until("the code is in the field", `document.querySelector('#code')?.value !== ''`)
		tab.Do(chromedp.Click(`.door button`))
		tab.Until("the data safe", `location.pathname.startsWith('/safe/')`)
	}
	ask := func(tab *browser.Tab) {
		t.Helper()
		tab.Open(told.URL + "/safe/" + k.patient.ID + "/erasure")
		tab.Until("the form", `document.querySelector('textarea[name="wish"]') !== null`)
		tab.Do(chromedp.Click(`main form button.main`))
		tab.Until("it was asked", `document.body.innerText.includes('Request ')`)
	}
	home := told.URL + "/safe/" + k.patient.ID
	phone, guardian := tabOf(390, 844), tabOf(390, 844)
	letIn(phone, map[string]string{})
	letIn(guardian, map[string]string{"caregiver": son.Caregiver})
	phone.Open(home + "/caregivers")
	look(phone, "erasure-walk-guardians")
	phone.Open(told.URL + "/me")
	look(phone, "erasure-walk-me")
	ask(guardian)
	if said := browser.Eval[string](guardian, `document.body.innerText`); strings.Contains(said, "paper") || !strings.Contains(said, "as their guardian") {
		t.Errorf("the guardian reads %s", said)
	}
	look(guardian, "erasure-walk-guardian-asked")

	phone.Open(home)
	phone.Until("the patient is told who asked", `document.body.innerText.includes('Asked by guardian Saul Son')`)
	look(phone, "erasure-walk-patient-told")
	phone.Do(chromedp.Click(`form[action$="/withdraw"] button`))
	phone.Until("it was taken back", `document.body.innerText.includes('Taken back')`)
	look(phone, "erasure-walk-patient-took-back")
	ask(phone)

	wide := tabOf(1280, 900)
	enter := func(login string) {
		t.Helper()
		wide.Open(told.URL + "/signin")
		wide.Do(chromedp.SendKeys(`input[name="login"]`, login), chromedp.SendKeys(`input[name="password"]`, "a long enough password of "+login), chromedp.Click(`main form button`))
		wide.Until("signed in", `document.querySelector('form.who') !== null`)
		wide.Open(told.URL + "/erasures")
		wide.Until("the list", `document.querySelector('main table a') !== null`)
	}
	enter("olga")
	wide.Do(chromedp.Click(`main table a`))
	wide.Until("the request", `document.querySelector('button[value="erase"]') !== null`)
	look(wide, "erasure-walk-decide-wide")
	wide.Do(chromedp.Click(`button[value="erase"]`))
	wide.Until("decided", `document.body.innerText.includes('Somebody else must confirm')`)
	wide.Do(chromedp.Click(`form.who button`))
	wide.Until("signed out", `location.pathname === '/signin'`)
	enter("otto")
	wide.Do(chromedp.Click(`main table a`))
	wide.Until("what comes first is said", `document.querySelector('textarea[name="told"]') !== null && document.body.innerText.includes('1 red alert of this person is open')`)
	look(wide, "erasure-walk-confirm-wide")
	confirm := func() {
		wide.Do(chromedp.SetValue(`textarea[name="told"]`, "Otto, in her kitchen."), chromedp.SetValue(`input[name="number"]`, "2"), chromedp.Click(`form[action$="/confirm"] button`))
	}
	confirm()
	wide.Until("not while it is red", `document.querySelector('#why') !== null && document.querySelector('textarea[name="told"]').value !== ''`)
	change := func(statement string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), told.Database)
		if err == nil {
			_, err = conn.Exec(t.Context(), statement)
		}
		if err == nil {
			err = conn.Close(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change(`UPDATE episode SET state = 'closed', closing = 'cleared', closed_at = now() WHERE state <> 'closed'`)
	confirm()
	wide.Until("it has its day", `document.body.innerText.includes('Will be erased on')`)
	look(wide, "erasure-walk-confirmed-wide")

	phone.Open(home)
	phone.Until("the patient reads the day", `document.body.innerText.includes('nobody watches any more from then on') && document.querySelector('form[action$="/withdraw"]') !== null`)
	look(phone, "erasure-walk-patient-day")
	phone.Open(home + "/erasure")
	look(phone, "erasure-walk-patient-page")
	if said := browser.Eval[string](phone, `document.body.innerText`); strings.Contains(said, "Erased at once") || !strings.Contains(said, "Asked by you") {
		t.Errorf("the patient reads %s", said)
	}
	change(`UPDATE erasure SET due_at = now() WHERE due_at IS NOT NULL`)
	eventually(t, 60*time.Second, func() string {
		wide.Open(told.URL + "/erasures")
		if said := browser.Eval[string](wide, `document.querySelector('main').innerText`); !strings.Contains(said, "nobody any more") {
			return said
		}
		return ""
	})
	look(wide, "erasure-walk-done-wide")
	phone.Open(home)
	phone.Until("the patient's phone says what happened", `document.body.innerText.includes('Your record was erased on') && document.body.innerText.includes('on your request') && document.body.innerText.includes('Nobody watches over you any more')`)
	look(phone, "erasure-walk-farewell")
	phone.Do(chromedp.Click(`a[href="/signin?staff=1"]`))
	phone.Until("staff sign in there all the same", `document.querySelector('input[name="login"]') !== null`)
	guardian.Open(home)
	guardian.Until("the guardian's phone does not", `location.pathname === '/signin' && !document.body.innerText.includes('was erased')`)
}
