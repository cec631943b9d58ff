package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/account/guess"
	"hale/internal/browser"
	"hale/safe"
)

// safePages looks at pages of the data safe: within their width, accessible, large enough, and by who they are.
type safePages struct {
	axe string
}

func (s safePages) look(t *testing.T, tab *browser.Tab, name string) {
	t.Helper()
	tab.Until("the page with its style", `document.readyState === 'complete'`)
	tab.Keep(name)
	if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
		t.Errorf("%s is wider than the screen", name)
	}
	if size := browser.Eval[float64](tab, `parseFloat(getComputedStyle(document.querySelector('.safe')).fontSize)`); size < 22 {
		t.Errorf("%s: the type is %v pixels", name, size)
	}
	small := browser.Eval[string](tab, `[...document.querySelectorAll('.safe button, .safe select, .safe input:not([type=hidden]):not([type=radio]), .safe .doors a, .safe summary, .safe a.button')]
		.filter(e => e.getBoundingClientRect().height > 0 && e.getBoundingClientRect().height < 47.5).map(e => e.outerHTML.slice(0, 80)).join('; ')`)
	if small != "" {
		t.Errorf("%s: targets of less than 48 pixels: %s", name, small)
	}
	for _, violation := range tab.Axe(s.axe) {
		t.Errorf("%s: %s", name, violation)
	}
}

// TestAPatientsDataSafeFromThePhone is a patient with their own data: who looked, the sheet, a link for a doctor, a correction that
// the nurse decides, and a copy of everything.
func TestAPatientsDataSafeFromThePhone(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("../../web/testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	pages := safePages{axe: string(axe)}
	dir := dataDir(t)
	_, told := up(t, dir, "--demo=false")
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-30*24*time.Hour))
	line := k.dial(t, told.MQTT)
	for i := range 20 {
		at := time.Now().Add(-time.Duration(20-i) * 8 * time.Hour)
		if err := line.Publish(t.Context(), k.topic(), pressure(128+i%9, 76+i%5, at), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := line.Publish(t.Context(), k.topic(), pressure(188, 106, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if list, err := staff.Alerts(t.Context(), k.patient.ID); err != nil || len(list) == 0 {
			return "the alert has not opened"
		}
		return ""
	})

	chrome := browser.Start(t)
	nurse, phone := chrome.Tab(t, 1280, 900), browser.Start(t).Tab(t, 390, 844)
	signInAt(nurse, asNurse(t, told))
	nurse.Until("the nurse sees the alert", `document.querySelector('article.case') !== null`)
	nurse.Open(told.URL + "/patients/" + k.patient.ID)
	nurse.Until("the chart", `document.querySelector('.uplot canvas') !== null`)
	nurse.Open(told.URL + "/patients/" + k.patient.ID + "/signin")
	nurse.Do(chromedp.Click(`form[action$="/signin"] button`))
	nurse.Until("the code", `document.querySelector('#newcode') !== null`)
	code := browser.Eval[string](nurse, `document.querySelector('#newcode').textContent`)
	phone.Open(told.URL + "/code#" + strings.ReplaceAll(code, "-", ""))
	phone.Until("the code is in the field", `document.querySelector('#code').value !== ''`)
	phone.Do(chromedp.Click(`.door button`))
	phone.Until("the own data", `location.pathname.startsWith('/safe/') && document.querySelectorAll('.doors li').length >= 5`)
	pages.look(t, phone, "safe-home")
	home := told.URL + "/safe/" + k.patient.ID

	phone.Open(home + "/looks")
	phone.Until("who looked", `document.querySelector('.looks li') !== null`)
	pages.look(t, phone, "safe-looks")
	text := browser.Eval[string](phone, `document.body.textContent`)
	for _, want := range []string{"your open alerts, in the care team's list", "your newest readings", "your limits", "nurse"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of looks lacks %q: %s", want, text)
		}
	}
	phone.Open(home + "/looks?from=2001-01-01&to=2001-01-02")
	phone.Until("nobody looked in 2001", `document.body.innerText.includes('Nobody looked in this time')`)

	phone.Open(home + "/sheet")
	phone.Until("the sheet", `document.querySelector('.sheet') !== null`)
	pages.look(t, phone, "safe-sheet")
	if text := browser.Eval[string](phone, `document.querySelector('.sheet').innerText`); !strings.Contains(text, "188/106") || !strings.Contains(text, "112") ||
		strings.Count(text, "not recorded here") < 4 || strings.Contains(text, "none\n") || !strings.Contains(text, "Ask for the newest") {
		t.Errorf("the sheet says %s", text)
	}
	if broken := browser.Eval[bool](phone, `(() => { const th = document.querySelector('.sheet th'); th.textContent = 'Body temperature'; th.nextElementSibling.textContent = 'Measured in the kitchen, '.repeat(9);
		const words = document.createRange(); words.setStart(th.firstChild, 5); words.setEnd(th.firstChild, 16); return words.getClientRects().length > 1; })()`); broken {
		t.Error("the sheet breaks a word")
	}

	secret := shareOnce(t, pages, phone, home)
	openShare(t, pages, chrome.Tab(t, 390, 844), told, secret)
	phone.Open(home + "/shares")
	phone.Until("it was opened once", `document.body.innerText.includes('Opened 1 of 3 times')`)
	phone.Do(chromedp.Click(`form[action$="/end"] button`))
	phone.Until("it was ended", `document.body.innerText.includes('Ended ') && document.querySelector('form[action$="/end"]') === null`)
	if answer, body := post(t, told.URL+"/s", url.Values{"code": {secret}}); answer.StatusCode != http.StatusNotFound || !strings.Contains(body, "opens nothing") {
		t.Errorf("the ended link: %d", answer.StatusCode)
	}

	correctReading(t, pages, phone, nurse, home, told.URL+"/safe/"+k.patient.ID)
	nurse.Open(told.URL + "/patients/" + k.patient.ID)
	nurse.Until("the chart says that a reading is disputed", `document.body.innerText.includes('disputed by the patient')`)

	phone.Open(home + "/copy")
	pages.look(t, phone, "safe-copy")
	takeCopy(t, phone, k.patient.ID)

	// What a wide screen shows, and staff.
	nurse.Open(told.URL + "/safe/" + k.patient.ID)
	pages.look(t, nurse, "safe-home-staff-wide")
	nurse.Open(told.URL + "/safe/" + k.patient.ID + "/sheet")
	pages.look(t, nurse, "safe-sheet-wide")
	for _, complaint := range append(nurse.Complaints(), phone.Complaints()...) {
		if !strings.Contains(complaint, "status of 4") { // the refusals above
			t.Errorf("the console says: %s", complaint)
		}
	}
	exportAtTheConsole(t, dir, k)
}

// shareOnce makes a link of the last 30 days and returns its secret.
func shareOnce(t *testing.T, pages safePages, phone *browser.Tab, home string) string {
	t.Helper()
	phone.Open(home + "/shares")
	pages.look(t, phone, "safe-shares")
	phone.Do(chromedp.Click(`input[value="month"]`), chromedp.Click(`form.stack button.main`))
	phone.Until("the new link", `document.querySelector('#share-code') !== null && document.querySelector('svg.qr path') !== null`)
	pages.look(t, phone, "safe-shares-fresh")
	address := browser.Eval[string](phone, `document.querySelector('#share-address').textContent`)
	_, secret, found := strings.Cut(address, "/s#")
	if !found || guess.Spelled(secret) != browser.Eval[string](phone, `document.querySelector('#share-code').textContent`) {
		t.Fatalf("the address is %s", address)
	}
	spills().plant("a share's secret", secret)
	return secret
}

// openShare opens the link as a doctor's computer does: the secret leaves the address, and nothing is sent before somebody presses.
func openShare(t *testing.T, pages safePages, doctor *browser.Tab, told announcement, secret string) {
	t.Helper()
	doctor.Open(told.URL + "/s#" + secret)
	doctor.Until("the code is in the field and not in the address", `document.querySelector('#code').value === '`+secret+`' && location.hash === ''`)
	pages.look(t, doctor, "share-door")
	doctor.Do(chromedp.Click(`.safe form button`))
	doctor.Until("the record", `document.querySelector('.sheet') !== null && document.querySelector('.record svg') !== null`)
	pages.look(t, doctor, "shared")
	if text := browser.Eval[string](doctor, `document.body.innerText`); !strings.Contains(text, "188/106") || !strings.Contains(text, "opens 2 more times") || strings.Contains(text, "Who looked") {
		t.Errorf("the doctor sees %s", text)
	}
	if cookie := browser.Eval[string](doctor, `document.cookie`); cookie != "" {
		t.Errorf("the link left a cookie: %q", cookie)
	}
	if said := doctor.Complaints(); len(said) != 0 {
		t.Errorf("the doctor's browser complains: %v", said)
	}
}

// correctReading disputes the newest reading from the phone; the nurse accepts.
func correctReading(t *testing.T, pages safePages, phone, nurse *browser.Tab, home, desk string) {
	t.Helper()
	phone.Open(home + "/corrections")
	pages.look(t, phone, "safe-corrections")
	phone.Do(
		chromedp.Evaluate[chromedp.Void](`document.querySelector('select[name="about"]').selectedIndex = 3`),
		chromedp.SendKeys(`textarea[name="wish"]`, "My neighbour tried the cuff."), chromedp.Click(`form.stack button.main`),
	)
	phone.Until("it waits", `document.body.innerText.includes('Waits for the care team') && document.body.innerText.includes('My neighbour tried the cuff.')`)
	pages.look(t, phone, "safe-corrections-asked")
	nurse.Open(desk + "/corrections")
	nurse.Until("the nurse can decide", `document.querySelector('textarea[name="answer"]') !== null`)
	pages.look(t, nurse, "safe-corrections-staff-wide")
	nurse.Do(chromedp.SendKeys(`textarea[name="answer"]`, "Marked; please measure again."), chromedp.Click(`button[value="accept"]`))
	nurse.Until("it is accepted", `document.body.innerText.includes('Accepted by')`)
	phone.Open(home + "/corrections")
	phone.Until("the patient reads the answer", `document.body.innerText.includes('Marked; please measure again.')`)
}

// takeCopy downloads the copy in the patient's own session and looks into it.
func takeCopy(t *testing.T, phone *browser.Tab, patient string) {
	t.Helper()
	encoded := browser.Eval[string](phone, `fetch(document.querySelector('form[action$="/copy"]').action, {method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('form[action$="/copy"]')))})
		.then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)].map(x => x.toString(16).padStart(2, '0')).join(''))`)
	b := make([]byte, len(encoded)/2)
	for i := range b {
		b[i] = unhex(encoded[2*i])<<4 | unhex(encoded[2*i+1])
	}
	lookInto(t, b, patient)
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func lookInto(t *testing.T, b []byte, patient string) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	in, err := archive.Open("fhir.json")
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Entry []struct{ Resource struct{ ResourceType string } }
	}
	if err := json.NewDecoder(in).Decode(&bundle); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range bundle.Entry {
		kinds[e.Resource.ResourceType]++
	}
	if kinds["Patient"] != 1 || kinds["Observation"] != 21 || kinds["Device"] != 1 || kinds["Flag"] == 0 || kinds["AuditEvent"] < 5 {
		t.Errorf("the Bundle holds %v", kinds)
	}
	var m safe.Manifest
	manifest, err := archive.Open("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(manifest).Decode(&m); err != nil || string(m.Patient) != patient {
		t.Errorf("the manifest is of %s, %v", m.Patient, err)
	}
}

// exportAtTheConsole takes the copy with the operator's verb.
func exportAtTheConsole(t *testing.T, dir string, k kit) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "copy.zip")
	var said, told bytes.Buffer
	arguments := []string{"export", "--organisation", organisation, "--patient", k.patient.Number, "--out", out, "--data", dir}
	if code := run(t.Context(), arguments, &said, &told, func(string) string { return "" }); code != 0 {
		t.Fatalf("hale export ended with %d: %s", code, told.String())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lookInto(t, b, k.patient.ID)
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
	if code := run(t.Context(), arguments, &said, &told, func(string) string { return "" }); code == 0 || !strings.Contains(told.String(), "is there already") {
		t.Errorf("the second copy went over the first: %s", told.String())
	}
	nobody := []string{"export", "--organisation", organisation, "--patient", "nobody", "--out", out + "2", "--data", dir}
	if code := run(t.Context(), nobody, &said, &told, func(string) string { return "" }); code == 0 || !strings.Contains(told.String(), "has no patient") {
		t.Errorf("nobody was exported: %s", told.String())
	}
	if _, err := os.Stat(out + "2"); err == nil {
		t.Error("a file stayed of an export that failed")
	}
}

func post(t *testing.T, address string, form url.Values) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}
