package main

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
)

// send sends a file of people and reads the answer.
func (a *asker) send(query, text string, want int) map[string]any {
	a.Helper()
	r, err := http.NewRequestWithContext(a.Context(), http.MethodPost, a.url+"/v1/imports?"+query, strings.NewReader(text))
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		a.Fatalf("%d, want %d: %s %v", answer.StatusCode, want, b, err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		a.Fatal(err)
	}
	return m
}

// people is a file of patients as a spreadsheet writes it: n good rows and four others.
func people(from, n int) string {
	var b strings.Builder
	b.WriteString("\ufeffname;birth_date;sex;number;identifier:urn:example:card\r\n")
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "\"Novak; Person %d\";%d-03-02;female;N-%d;card %d\r\n", i, 1930+i%20, i, i)
	}
	return b.String()
}

func TestPeopleComeInByFiles(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	_, told := up(t, dir, "--demo=false")
	a := newAsker(t, told)
	odd := "Ana Novak;2.3.1941;;;\r\n\"=HYPERLINK(1)\";1941;woman;;\r\n\"Novak; Person 3\";1933;;;\r\n;;;N-1;card 2\r\n"
	checked := a.send("kind=patients&zone=Europe/Ljubljana", people(0, 200)+odd, http.StatusCreated)
	if got := fmt.Sprint(checked["counts"]); got != "map[changed:0 double:1 new:200 refused:3 same:0]" {
		t.Fatalf("checked: %s", got)
	}
	path := fmt.Sprint("/v1/imports/", checked["id"])
	var done struct {
		State  string
		Counts struct{ New, Refused, Double int }
	}
	for done.State != "done" {
		a.ask(http.MethodPost, path+"/commit", nil, http.StatusOK, &done)
	}
	if done.Counts.New != 200 || done.Counts.Refused != 3 || done.Counts.Double != 1 {
		t.Errorf("%+v", done)
	}
	var found struct {
		Patients []struct {
			ID, Name, Number string
			Born             string `json:"birth_date"`
		}
	}
	a.ask(http.MethodGet, "/v1/patients?identifier=urn:example:card%7Ccard%207", nil, http.StatusOK, &found)
	if len(found.Patients) != 1 || found.Patients[0].Number != "N-7" || found.Patients[0].Born != "1937-03-02" {
		t.Errorf("by an identifier: %+v", found)
	}
	again := a.send("kind=patients&zone=Europe/Ljubljana", people(0, 200)+odd, http.StatusCreated)
	if got := fmt.Sprint(again["counts"]); got != "map[changed:0 double:1 new:0 refused:3 same:200]" {
		t.Errorf("the same file: %s", got)
	}
	a.exportComesBack(t, dir, found.Patients[0].ID)
	a.byVerb(t, dir)
	a.staffComeIn(t, dir, told)
	a.lookAtImports(t, told, found.Patients[0].ID)
}

// exportComesBack sends what was exported of a patient back: it is known, by the number and by what others call the person.
func (a *asker) exportComesBack(t *testing.T, dir, patient string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "copy.zip")
	var told, errs bytes.Buffer
	if code := run(t.Context(), []string{"export", "--organisation", organisation, "--patient", patient, "--data", dir, "--out", out}, &told, &errs, func(string) string { return "" }); code != 0 {
		t.Fatalf("%s%s", told.String(), errs.String())
	}
	archive, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	file, err := archive.Open("fhir.json")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := io.ReadAll(file)
	if err != nil || !bytes.Contains(bundle, []byte(`"system":"urn:hale:number:0`)) || !bytes.Contains(bundle, []byte(`"system":"urn:example:card"`)) || !bytes.Contains(bundle, []byte("urn:hale:zone")) {
		t.Errorf("the Patient says too little: %.2000s %v", bundle, err)
	}
	checked := a.send("kind=patients", string(bundle), http.StatusCreated)
	first, _ := checked["lines"].([]any)[0].(map[string]any)
	if first["outcome"] != "same" || first["patient"] != patient || first["entry"] != 1.0 {
		t.Errorf("what was exported comes back as %v", first)
	}
}

// byVerb takes people in at the console.
func (a *asker) byVerb(t *testing.T, dir string) {
	t.Helper()
	file, left := filepath.Join(t.TempDir(), "people.csv"), filepath.Join(t.TempDir(), "left.csv")
	if err := os.WriteFile(file, []byte(people(100, 300)+"Ana Novak;2.3.1941;;;\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hale := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"import"}, args...), &out, &errs, func(string) string { return "" }); code != want {
			t.Fatalf("hale import %v ended with %d: %s%s", args, code, out.String(), errs.String())
		}
		return out.String()
	}
	common := []string{"patients", file, "--organisation", organisation, "--data", dir, "--zone", "Europe/Ljubljana"}
	if told := hale(0, common...); !strings.HasPrefix(told, "301 rows: 200 new, 100 the same, 0 changed, 0 possible doubles, 1 refused") || !strings.Contains(told, "Nobody came in") || !strings.Contains(told, "line 302: refused: birth_date: ") {
		t.Errorf("it said %q", told)
	}
	if told := hale(0, append(common, "--commit", "--left", left)...); !strings.HasPrefix(told, "301 rows: 200 new, 100 the same, 0 changed, 0 possible doubles, 1 refused") || strings.Contains(told, "Nobody") {
		t.Errorf("it said %q", told)
	}
	if b, err := os.ReadFile(left); err != nil || !strings.Contains(string(b), `302,"birth_date: `) {
		t.Errorf("left: %q %v", b, err)
	}
	if told := hale(0, append(common, "--commit")...); !strings.HasPrefix(told, "301 rows: 0 new, 300 the same") {
		t.Errorf("the same file: %q", told)
	}
	hale(1, "patients", file, "--org", "Nowhere", "--data", dir)
	hale(1, append(common, "--left", left)...) // it is there already
}

// staffComeIn makes an account by a file, whose owner chooses a password and signs in.
func (a *asker) staffComeIn(t *testing.T, dir string, told announcement) {
	t.Helper()
	file, result := filepath.Join(t.TempDir(), "staff.csv"), filepath.Join(t.TempDir(), "codes.csv")
	login := "nina-" + strings.Repeat("č", 105) // who may be invited can sign in
	if err := os.WriteFile(file, []byte("login,name,role,team\n"+login+",Nina Kos,nurse,Home care\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"import", "staff", file, "--organisation", organisation, "--data", dir, "--commit", "--result", result}, &out, &errs, func(string) string { return "" }); code != 0 {
		t.Fatalf("%s%s", out.String(), errs.String())
	}
	b, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%q %v", b, err)
	}
	code := rows[1][1]
	if strings.Contains(out.String(), code) {
		t.Error("the code was printed")
	}
	const chosen = "violet-otter-sings-loudly"
	for _, c := range []struct {
		code, password string
		want           int
	}{
		{"k7w2-9xq4-m0st-83bd", chosen, http.StatusNotFound}, {code, "nina-kos-nina-kos", http.StatusUnprocessableEntity},
		{" " + strings.ToUpper(code), chosen, http.StatusOK}, {code, chosen, http.StatusNotFound},
	} {
		a.ask(http.MethodPost, "/v1/staff-invitations/accept", map[string]string{"code": c.code, "password": c.password}, c.want, nil)
	}
	nina := &asker{T: t, url: told.URL}
	var s struct{ Role, Token string }
	nina.ask(http.MethodPost, "/v1/session", map[string]string{"login": login, "password": chosen}, http.StatusOK, &s)
	if s.Role != "nurse" {
		t.Errorf("she is %q", s.Role)
	}
	nina.token = s.Token
	nina.ask(http.MethodGet, "/v1/imports", nil, http.StatusForbidden, nil)
}

// lookAtImports goes through the screens on a phone and at a desk.
func (a *asker) lookAtImports(t *testing.T, told announcement, patient string) {
	t.Helper()
	axe, err := os.ReadFile("../../web/testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	start := browser.Start(t)
	for _, screen := range []struct {
		name       string
		wide, high int
	}{{"phone", 390, 844}, {"desk", 1280, 900}} {
		tab := start.Tab(t, screen.wide, screen.high)
		look := func(name string) {
			t.Helper()
			tab.Keep(name + "-" + screen.name)
			if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
				t.Errorf("%s is wider than the %s", name, screen.name)
			}
			for _, violation := range tab.Axe(string(axe)) {
				t.Errorf("%s on the %s: axe: %s", name, screen.name, violation)
			}
		}
		signInAt(tab, told)
		tab.Open(told.URL + "/imports")
		look("imports")
		text := "name,birth_date,zone,number,identifier:urn:example:card,as_new\nBor " + screen.name + ",,,,bor " + screen.name + ",\nMira " + screen.name + ",,,,,\nMira " + screen.name + ",,,,,yes\n" +
			"Ana " + screen.name + ",1937-03-02,,N-7,card 7,\nF F,,,N-8,,\nEva,,soon,,,\nEva,,,N-1,card 2,\n"
		file := filepath.Join(t.TempDir(), "people.csv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tab.Do(chromedp.SetUploadFiles(`input[name="file"]`, []string{file}), chromedp.SetValue(`input[name="zone"]`, "Europe/Ljubljana"), chromedp.Click(`main form button`))
		tab.Until("what would become of it", `document.querySelector('#sum') !== null && document.body.innerText.includes('would')`)
		look("import-checked")
		tab.Do(chromedp.Click(`main form button`))
		tab.Until("what became of it", `document.body.innerText.includes('came in')`)
		look("import-done")
		tab.Open(told.URL + "/imports")
		if err := os.WriteFile(file, []byte("name,zone\nEva,soon\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		tab.Do(chromedp.SetUploadFiles(`input[name="file"]`, []string{file}), chromedp.Click(`main form button`))
		tab.Until("nothing to take in", `document.querySelector('#sum') !== null && document.body.innerText.includes('No row of this file') && document.querySelector('main form') === null`)
		look("import-nothing")
		tab.Open(told.URL + "/new-patient")
		look("new-patient")
		tab.Do(chromedp.SendKeys(`input[name="name"]`, "Kos Žiga "+screen.name), chromedp.SendKeys(`input[name="birth_date"]`, "1941-02-30"), chromedp.SetValue(`input[name="zone"]`, "Europe/Ljubljana"), chromedp.Click(`main form button`))
		tab.Until("the date is wrong", `document.querySelector('#wrong') !== null`)
		look("new-patient-wrong")
		tab.Do(chromedp.SetValue(`input[name="birth_date"]`, "1941-02-03"), chromedp.Click(`main form button`))
		tab.Until("the patient is there", `location.pathname.startsWith('/patients/')`)
		tab.Open(told.URL + "/new-patient")
		tab.Do(chromedp.SendKeys(`input[name="name"]`, "ziga kos "+screen.name), chromedp.SetValue(`input[name="zone"]`, "Europe/Ljubljana"), chromedp.Click(`main form button`))
		tab.Until("it may be the same person", `location.pathname === '/doubles' && document.body.innerText.includes('ziga kos')`)
		tab.Do(chromedp.Click(`//main//a[contains(., "ziga kos")]`))
		tab.Until("both", `document.querySelector('#side') !== null`)
		tab.Do(chromedp.SendKeys(`textarea[name="reason"]`, "uncle and nephew"), chromedp.Click(`section[aria-labelledby="two"] button`))
		tab.Until("it is settled", `location.pathname === '/doubles'`)
		tab.Open(told.URL + "/patients/" + patient + "/identity")
		tab.Until("the change by the file", `document.body.innerText.includes('became Ana `+screen.name+`')`)
		tab.Do(chromedp.SendKeys(`input[name="system"]`, "urn:example:card"), chromedp.SendKeys(`input[name="value"]`, "card 8"), chromedp.Click(`section[aria-labelledby="add"] button`))
		tab.Until("it is somebody's", `document.querySelector('#wrong') !== null`)
		look("identity")
		tab.Open(told.URL + "/doubles")
		look("doubles")
		tab.Do(chromedp.Click(`main .moves a`))
		tab.Until("side by side", `document.querySelector('#side') !== null`)
		look("double")
		tab.Do(chromedp.SendKeys(`textarea[name="reason"]`, "mother and daughter"), chromedp.Click(`section[aria-labelledby="two"] button`))
		tab.Until("nobody waits", `location.pathname === '/doubles' && document.querySelector('.empty') !== null`)
		tab.Open(told.URL + "/welcome")
		tab.Do(chromedp.SendKeys(`input[name="code"]`, "k7w2-9xq4-m0st-83bd"), chromedp.SendKeys(`input[name="password"]`, "violet-otter-sings-loudly"), chromedp.Click(`main form button`))
		tab.Until("the code is wrong", `document.querySelector('#why') !== null`)
		look("welcome")
		for _, complaint := range tab.Complaints() {
			if !strings.Contains(complaint, "status of 4") { // the refusals above
				t.Errorf("the console says: %s", complaint)
			}
		}
	}
}
