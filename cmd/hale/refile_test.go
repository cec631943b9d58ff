package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
	"hale/simulators"
)

// asker speaks to the API of a running Hale as its administrator.
type asker struct {
	*testing.T
	url, token string
}

func newAsker(t *testing.T, told announcement) *asker {
	t.Helper()
	a := &asker{T: t, url: told.URL}
	var s struct{ Token string }
	a.ask(http.MethodPost, "/v1/session", map[string]string{"login": told.Login, "password": told.Password}, http.StatusOK, &s)
	a.token = s.Token
	return a
}

// ask sends a request, checks the status and reads the answer.
func (a *asker) ask(method, path string, in any, want int, out any) {
	a.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		a.Fatal(err)
	}
	r, err := http.NewRequestWithContext(a.Context(), method, a.url+path, bytes.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(answer.Body); err != nil {
		a.Fatal(err)
	}
	if answer.StatusCode != want {
		a.Fatalf("%s %s: %d, want %d: %s", method, path, answer.StatusCode, want, raw.String())
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(raw.Bytes(), out); err != nil {
		a.Fatalf("%s %s: %v: %s", method, path, err, raw.String())
	}
}

// TestAWrongPairingIsUndoneOnTheScreen is the way of a nurse who finds that a cuff was given to the wrong person: she looks
// what would move, lets it move, sees it on both records, and takes it back.
func TestAWrongPairingIsUndoneOnTheScreen(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-wrong", time.Now().Add(-48*time.Hour))
	right, err := staff.AddPatient(t.Context(), simulators.Person{Name: "Person whose it is", Number: "R-1", Sex: "unknown", Zone: "Europe/Ljubljana"})
	if err != nil {
		t.Fatal(err)
	}
	line := k.dial(t, told.MQTT)
	send := func(systolic int, at time.Time) {
		t.Helper()
		if err := line.Publish(t.Context(), k.topic(), pressure(systolic, 90, at), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	send(126, now.Add(-40*time.Minute))
	send(189, now.Add(-25*time.Minute))
	send(191, now.Add(-20*time.Minute))
	open := func(patient, want string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			list, err := staff.Alerts(t.Context(), patient)
			if err != nil {
				return err.Error()
			}
			if len(list) == 0 {
				return want
			}
			return ""
		})
	}
	open(k.patient.ID, "there is no alert of the person with the cuff yet")

	tab := browser.Start(t).Tab(t, 390, 844)
	look := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
	}
	signInAt(tab, told)
	tab.Open(told.URL + "/patients/" + k.patient.ID)
	tab.Do(chromedp.Click(`a[href$="/refile"]`))
	tab.Until("the form", `document.querySelector('input[name="sensor"]')?.value === 'cuff-wrong'`)
	look(tab, "refile-form")
	zone, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	fill := `document.querySelector('input[name="from"]').value = '` + now.Add(-time.Hour).In(zone).Format("2006-01-02T15:04") + `'; document.querySelector('input[name="who"]').value = 'whose it'; true`
	browser.Eval[bool](tab, fill)
	tab.Do(chromedp.Click(`main form button`))
	tab.Until("who it may be", `document.querySelector('input[name="other"][type="radio"]') !== null`)
	tab.Do(chromedp.Click(`input[name="other"][type="radio"]`), chromedp.Click(`main form button`))
	tab.Until("what would move", `document.body.innerText.includes('3 readings')`)
	look(tab, "refile-preview")
	tab.Do(chromedp.SendKeys(`textarea[name="reason"]`, "the boxes were mixed up"), chromedp.Click(`main form button.main`))
	tab.Until("it is done", `location.pathname.startsWith('/refiles/') && document.querySelector('#progress').textContent.includes('done: 3 of 3')`)
	look(tab, "refile-done")
	undo := browser.Eval[string](tab, `location.pathname`)
	open(right.ID, "there is no alert of the person whose cuff it is yet")

	wide := tab.Another(1280, 900)
	for name, patient := range map[string]string{"refile-was": k.patient.ID, "refile-is": right.ID} {
		for _, one := range []*browser.Tab{tab, wide} {
			one.Open(told.URL + "/patients/" + patient)
			one.Until("that it was filed anew", `document.querySelector('#anew') !== null && document.querySelector('section[aria-labelledby="anew"]').innerText.includes('the boxes were mixed up')`)
		}
		look(tab, name)
		look(wide, name+"-wide")
	}
	list, err := staff.Alerts(t.Context(), k.patient.ID)
	if err != nil || len(list) == 0 {
		t.Fatalf("the alerts of the person with the cuff: %v, %v", list, err)
	}
	tab.Open(told.URL + "/alerts/" + list[0].ID)
	tab.Until("the alert says whose its readings were", `document.querySelector('.timeline').innerText.includes("somebody else's") && document.querySelector('.rows').innerText.includes("somebody else's")`)
	look(tab, "refile-alert")

	send(131, now.Add(-10*time.Minute)) // by an edge that has heard of it by now
	tab.Open(told.URL + undo)
	tab.Do(chromedp.Click(`form.undo button`))
	tab.Until("it is undone, with what came since", `document.querySelector('#progress').textContent.includes('done: 4 of 4')`)
	for _, complaint := range tab.Complaints() {
		t.Errorf("the console says: %s", complaint)
	}
}

// TestTwoRecordsBecomeOneAndTwoAgain is the same for a person who was enrolled twice, by the API and on the screen.
func TestTwoRecordsBecomeOneAndTwoAgain(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff, api := signIn(t, told), newAsker(t, told)
	k := newKit(t, staff, "cuff-twice", time.Now().Add(-48*time.Hour))
	stays := newKit(t, staff, "cuff-stays", time.Now().Add(-48*time.Hour))
	line := k.dial(t, told.MQTT)
	for minute := range 2 {
		at := time.Now().Add(time.Duration(minute-5) * time.Minute)
		if err := line.Publish(t.Context(), k.topic(), pressure(186+minute, 90, at), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if list, err := staff.Alerts(t.Context(), k.patient.ID); err != nil || len(list) == 0 {
			return "there is no alert yet"
		}
		return ""
	})
	both := map[string]any{"patient": k.patient.ID, "into": stays.patient.ID, "dry_run": true}
	var seen struct {
		Comparison struct {
			Confirm string
			Alike   []string
		}
	}
	api.ask(http.MethodPost, "/v1/merges", both, http.StatusOK, &seen)
	if len(seen.Comparison.Alike) != 0 {
		t.Errorf("nothing is known of either, and alike is %v", seen.Comparison.Alike)
	}
	delete(both, "dry_run")
	both["reason"] = "enrolled twice"
	api.ask(http.MethodPost, "/v1/merges", both, http.StatusUnprocessableEntity, nil)
	both["confirm"] = seen.Comparison.Confirm
	api.ask(http.MethodPost, "/v1/merges", both, http.StatusUnprocessableEntity, nil) // nothing but a name

	tab := browser.Start(t).Tab(t, 1280, 900)
	look := func(name string) {
		t.Helper()
		tab.Keep(name)
	}
	signInAt(tab, told)
	tab.Open(told.URL + "/patients/" + k.patient.ID + "/merge?into=" + stays.patient.ID)
	tab.Until("both side by side", `document.querySelector('input[name="confirm"]') !== null`)
	look("merge-wide")
	narrow := tab.Another(390, 844)
	narrow.Open(told.URL + "/patients/" + k.patient.ID + "/merge?into=" + stays.patient.ID)
	narrow.Keep("merge")
	if browser.Eval[bool](narrow, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("the comparison is wider than a phone")
	}
	tab.Do(chromedp.Click(`input[name="seen"]`), chromedp.SendKeys(`textarea[name="override"]`, "her daughter brought both cards"),
		chromedp.SendKeys(`textarea[name="reason"]`, "enrolled twice"), chromedp.Click(`main form button.main`))
	tab.Until("it is done", `location.pathname.startsWith('/merges/') && document.querySelector('#progress').textContent.includes('done: 2 of 2')`)
	look("merged-wide")
	merge := strings.TrimPrefix(browser.Eval[string](tab, `location.pathname`), "/merges/")
	var gone struct{ Detail string }
	api.ask(http.MethodGet, "/v1/patients/"+k.patient.ID, nil, http.StatusGone, &gone)
	if !strings.Contains(gone.Detail, stays.patient.ID) {
		t.Errorf("the answer does not say who it is now: %q", gone.Detail)
	}
	tab.Open(told.URL + "/patients/" + k.patient.ID)
	tab.Until("who it is now", `document.body.innerText.includes('is now known as')`)
	look("merged-was")
	tab.Open(told.URL + "/patients/" + stays.patient.ID)
	look("merged-is")
	var m struct{ State string }
	api.ask(http.MethodPost, "/v1/merges/"+merge+"/undo", map[string]any{}, http.StatusAccepted, nil)
	eventually(t, 20*time.Second, func() string {
		api.ask(http.MethodGet, "/v1/merges/"+merge, nil, http.StatusOK, &m)
		if m.State != "undone" {
			return "the merge is " + m.State
		}
		return ""
	})
	api.ask(http.MethodGet, "/v1/patients/"+k.patient.ID, nil, http.StatusOK, nil)
	for _, complaint := range tab.Complaints() {
		t.Errorf("the console says: %s", complaint)
	}
}
