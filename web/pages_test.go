package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

func TestEveryPageIsWholeWithDifficultData(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)
	nurse := visit(t, app, "mira")
	for name, c := range map[string]struct {
		path   string
		status int
		says   []string
	}{
		"the board": {"/", 200, []string{
			"2 to call, 2 to check, 0 taken", "Extreme", "Oxygen saturation 82 %", "Blood pressure 182/104 mmHg, pulse 88 /min",
			"opened 12 min ago", "Body temperature 38.1 °C", "Jan Kovač has it for another 40 min", "Mira Zupan had taken it; that has run out",
			"back inside the limits", "2 readings", "arrived late", "1 of 5 patients have no open alert.", "measured 20 Jun 2019",
		}},
		"the board's list": {"/board/list", 200, []string{`data-summary="2 to call`}},
		"an alert": {"/alerts/" + string(f.red), 200, []string{
			"Extreme systolic below 80 mmHg, or at or above 200 mmHg", "systolic below 91 mmHg, or at or above 180 mmHg; diastolic at or above 120 mmHg",
			"Version 1, the programme's default, to be signed by a clinician, in force from", "Opened: 182/104 mmHg, pulse 88 /min, measured 09:52", "What follows?", "(Europe/Ljubljana)",
			"Hale does not remind you of it yet: note it where you will see it.",
		}},
		"an alert that is taken": {"/alerts/" + string(f.taken), 200, []string{
			"Beyond a limit again: 50 mg/dL", "Acknowledged until 10:44", "Calling his daughter.", "Back inside the limits, measured 09:58",
		}},
		"an alert that is closed": {"/alerts/" + string(f.closed), 200, []string{
			"Resolved: measure again at 20 Nov 2026, 09:04 CET", "Forgot the morning tablet;", "Back to the board",
		}},
		"an alert of a name that would break a page": {"/alerts/" + string(f.extreme), 200, []string{"&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; O&#39;Brien"}},
		"the patients":  {"/patients", 200, []string{"Ana Novak", "K-0017", "1946", "not known", "Red 2 K-0017"}},
		"a search":      {"/patients?q=novak", 200, []string{"Ana Novak", `value="novak"`}},
		"a vain search": {"/patients?q=%3Ci%3Enobody", 200, []string{"Nobody has this name or number", `value="&lt;i&gt;nobody"`}},
		"a patient": {"/patients/" + string(f.ana.UID), 200, []string{
			"female, born 1946 (80 this year)", "at home it is Sat 21 Nov, 10:04 (Europe/Ljubljana)", "Blood pressure 182/104 mmHg, pulse 88 /min",
			"systolic 135 to 186 mmHg", "tighter after the stroke in October", "Version 2, by Dr. Eva Hribar", "Sit down, rest five minutes",
			"Other versions of Blood pressure (1)", "resolved 19 Nov, 09:04: measure again at 20 Nov, 09:04",
			"The 7 days up to the newest reading: 15 readings, systolic", "The 7 days up to the newest reading, as a table",
		}},
		"a patient of whom little is known": {"/patients/" + string(f.hostile.UID), 200, []string{"sex not known, year of birth not known", "(Pacific/Chatham)"}},
		"a patient of a replay":             {"/patients/" + string(f.old.UID), 200, []string{"20 Jun 2019", "7 years ago", "arrived late"}},
		"no such patient":                   {"/patients/01920000-0000-7000-8000-000000009999", 404, []string{"There is no such patient."}},
		"no such alert":                     {"/alerts/nonsense", 404, []string{"There is no alert"}},
		"no such page":                      {"/nonsense", 404, []string{"Not Found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, page := nurse.get(c.path)
			if answer.StatusCode != c.status {
				t.Errorf("status %d, want %d", answer.StatusCode, c.status)
			}
			wants(t, page, c.says...)
			if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<script>") || strings.Contains(page, "<no value>") {
				t.Errorf("the page is not escaped as it should be:\n%s", page)
			}
			if c.path == "/board/list" {
				return
			}
			wants(t, page, "Hale is not an emergency service.", `href="tel:112"`)
			policy := answer.Header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "unsafe") {
				t.Errorf("content security policy %q", policy)
			}
			if got := answer.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q: a browser would keep health data", got)
			}
			if regexp.MustCompile(`\son[a-z]+="|\sstyle="|<style|(src|href)="(https?:)?//`).MatchString(page) {
				t.Error("the page holds an inline script or style, or loads from elsewhere")
			}
		})
	}
}

func TestEmptyHouseSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	app := newHouse(time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC)).app(t)
	_, page := visit(t, app, "mira").get("/")
	wants(t, page, "No patients yet", "The device desk or an administrator adds patients")
	_, page = visit(t, app, "admin").get("/")
	wants(t, page, "No patients yet", "Take the first one in")
	_, page = visit(t, app, "mira").get("/patients")
	wants(t, page, "No patients yet")
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)

	t.Run("whoever is not signed in is asked to, and comes back to where they wanted", func(t *testing.T) {
		t.Parallel()
		v := visit(t, app, "")
		answer, _ := v.get("/patients")
		if got := answer.Header.Get("Location"); got != "/signin?next=%2Fpatients" {
			t.Errorf("sent to %q", got)
		}
		answer, _ = v.post("/signin", url.Values{"login": {"mira"}, "password": {"mira"}, "next": {"/patients"}})
		if got := answer.Header.Get("Location"); got != "/patients" {
			t.Errorf("after signing in sent to %q", got)
		}
		cookie := answer.Header.Get("Set-Cookie")
		if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("cookie %q", cookie)
		}
	})
	t.Run("a wrong password is said on the form, which keeps the login", func(t *testing.T) {
		t.Parallel()
		answer, page := visit(t, app, "").post("/signin", url.Values{"login": {"mira"}, "password": {"secret-guess"}})
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", answer.StatusCode)
		}
		wants(t, page, "Login or password is wrong.", `value="mira"`)
		if strings.Contains(page, "secret-guess") {
			t.Error("the page repeats the password")
		}
	})
	t.Run("signing in leads nowhere else", func(t *testing.T) {
		t.Parallel()
		for _, next := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "/\tevil", ""} {
			answer, _ := visit(t, app, "").post("/signin", url.Values{"login": {"mira"}, "password": {"mira"}, "next": {next}})
			if got := answer.Header.Get("Location"); got != "/" {
				t.Errorf("next %q leads to %q", next, got)
			}
		}
	})
	t.Run("a form that a foreign page sends is refused", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/signin", strings.NewReader("login=mira&password=mira"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		if answer, _ := visit(t, app, "").send(r); answer.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", answer.StatusCode)
		}
	})
	t.Run("whoever signs out is out", func(t *testing.T) {
		t.Parallel()
		v := visit(t, app, "mira")
		_, page := v.get("/")
		v.post("/signout", v.form(page, "/signout"))
		if answer, _ := v.get("/"); answer.Header.Get("Location") != "/signin" {
			t.Error("the old cookie still opens the board")
		}
	})
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()

	t.Run("without scripts the form leads back to the board, which says who has it", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "mira")
		_, page := v.get("/")
		action := "/alerts/" + string(f.extreme) + "/acknowledge"
		answer, _ := v.post(action, v.form(page, action))
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
			t.Errorf("status %d to %q", answer.StatusCode, answer.Header.Get("Location"))
		}
		_, page = v.get("/")
		wants(t, page, "You have it for another 60 min", "1 to call, 2 to check, 1 taken")
	})
	t.Run("an acknowledgement that has run out is no acknowledgement", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "mira")
		_, page := v.get("/")
		action := "/alerts/" + string(f.extreme) + "/acknowledge"
		v.post(action, v.form(page, action))
		f.pass(time.Hour)
		_, page = v.get("/")
		wants(t, page, "3 to call, 1 to check, 0 taken", "Mira Zupan had taken it; that has run out")
	})
	t.Run("a script gets the row as it is then", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "mira")
		_, page := v.get("/")
		v.script = true
		action := "/alerts/" + string(f.red) + "/acknowledge"
		answer, row := v.post(action, v.form(page, action))
		if answer.StatusCode != http.StatusOK || !strings.HasPrefix(row, `<li class="row" id="alert-`+string(f.red)) {
			t.Errorf("status %d, %s", answer.StatusCode, row)
		}
		wants(t, row, "You have it for another 60 min")
		if strings.Contains(row, ">Acknowledge<") {
			t.Error("the row still offers what was done")
		}
	})
	t.Run("whoever is second is told who was first, and sees the fresh row", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		app := f.app(t)
		mira, jan := visit(t, app, "mira"), visit(t, app, "jan")
		_, page := mira.get("/")
		_, hers := jan.get("/")
		action := "/alerts/" + string(f.red) + "/acknowledge"
		jan.post(action, jan.form(hers, action))
		answer, second := mira.post(action, mira.form(page, action))
		if answer.StatusCode != http.StatusConflict {
			t.Errorf("status %d", answer.StatusCode)
		}
		wants(t, second, "Jan Kovač acknowledged it at 09:04 UTC", "Jan Kovač has it until")
		mira.script = true
		answer, row := mira.post(action, mira.form(page, action))
		if answer.StatusCode != http.StatusConflict {
			t.Errorf("status %d for a script", answer.StatusCode)
		}
		wants(t, row, `hx-swap-oob="innerHTML"`, "Ana Novak: Jan Kovač acknowledged it", "Jan Kovač has it for another 60 min")
	})
	t.Run("a form without the session's value changes nothing", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "mira")
		_, page := v.get("/")
		action := "/alerts/" + string(f.red) + "/acknowledge"
		form := v.form(page, action)
		form.Set("csrf", "csrf-0")
		if answer, _ := v.post(action, form); answer.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", answer.StatusCode)
		}
		if a, err := f.Alert(t.Context(), f.staff["mira"], f.red); err != nil || a.State != alerts.Open {
			t.Errorf("state %s, %v", a.State, err)
		}
	})
	t.Run("whoever may not handle alerts is offered nothing and refused", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "pia")
		_, page := v.get("/alerts/" + string(f.red))
		wants(t, page, "Why this alert")
		if strings.Contains(page, "/acknowledge") || strings.Contains(page, "What follows?") {
			t.Error("the page offers what would be refused")
		}
		form := v.form(page, "/signout")
		form.Set("version", "1")
		if answer, _ := v.post("/alerts/"+string(f.red)+"/acknowledge", form); answer.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", answer.StatusCode)
		}
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step, at, note string
		status         int
		says           []string
	}{
		"nothing further needs no time, and takes none": {"none", "2026-11-22T09:00", "She is well.", 303, []string{"Resolved: nothing further", "She is well."}},
		"a recheck is by the patient's clock":           {"recheck", "2026-11-22T09:00", "", 303, []string{"measure again at 22 Nov 2026, 09:00 CET"}},
		"handing over needs to whom":                    {"hand_over", "", "", 422, []string{"Say in the note to whom", `value="hand_over" required checked`}},
		"handed over to somebody":                       {"hand_over", "", "Dr. Hribar", 303, []string{"Resolved: handed over", "Dr. Hribar"}},
		"a call needs a time":                           {"call", "", "kept <note>", 422, []string{"Say when", "kept &lt;note&gt;"}},
		"a call needs a time to come":                   {"call", "2026-11-20T09:00", "", 422, []string{"Say when", `value="2026-11-20T09:00"`}},
		"a next step there must be":                     {"", "", "", 422, []string{"A next step is needed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := furnish(t)
			v := visit(t, f.app(t), "mira")
			page := "/alerts/" + string(f.red)
			_, before := v.get(page)
			form := v.form(before, page+"/resolve")
			form.Set("next_step", c.step)
			form.Set("next_step_at", c.at)
			form.Set("note", c.note)
			answer, after := v.post(page+"/resolve", form)
			if answer.StatusCode != c.status {
				t.Errorf("status %d, want %d", answer.StatusCode, c.status)
			}
			if answer.StatusCode == http.StatusSeeOther {
				_, after = v.get(answer.Header.Get("Location"))
			}
			wants(t, after, c.says...)
		})
	}
	t.Run("whoever is second is told who was first", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		v := visit(t, f.app(t), "mira")
		page := "/alerts/" + string(f.red)
		_, before := v.get(page)
		if _, err := f.triage().Resolve(t.Context(), f.staff["jan"], f.red, 1, alerts.StepNone, time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		form := v.form(before, page+"/resolve")
		form.Set("next_step", "none")
		answer, after := v.post(page+"/resolve", form)
		if answer.StatusCode != http.StatusConflict {
			t.Errorf("status %d", answer.StatusCode)
		}
		wants(t, after, "Jan Kovač resolved it at 09:04 UTC", "resolved 10:04: nothing further")
	})
}

func TestRolesSeeWhatTheyMay(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)

	t.Run("the device desk has patients and no board", func(t *testing.T) {
		t.Parallel()
		v := visit(t, app, "desk")
		if answer, _ := v.get("/"); answer.Header.Get("Location") != "/patients" {
			t.Error("it is not led to the patients")
		}
		_, page := v.get("/patients")
		if strings.Contains(page, "Open alerts") {
			t.Error("it sees alerts")
		}
		_, page = v.get("/patients/" + string(f.ana.UID))
		for _, secret := range []string{"182/104", "Blood pressure", "tighter after"} {
			if strings.Contains(page, secret) {
				t.Errorf("it sees %q", secret)
			}
		}
	})
	t.Run("a researcher is led to their own page, and told that others are not theirs", func(t *testing.T) {
		t.Parallel()
		v := visit(t, app, "max")
		if answer, _ := v.get("/"); answer.Header.Get("Location") != "/me" {
			t.Errorf("it is led to %q", answer.Header.Get("Location"))
		}
		answer, page := v.get("/patients")
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", answer.StatusCode)
		}
		wants(t, page, "Your role (researcher) may not do this")
	})
	t.Run("whoever looks at a patient stands in the audit trail", func(t *testing.T) {
		t.Parallel()
		f := furnish(t)
		visit(t, f.app(t), "pia").get("/patients/" + string(f.ana.UID))
		if want := "Pia Oblak patient " + string(f.ana.UID); !slices.Contains(f.looks(), want) {
			t.Errorf("the trail lacks %q: %v", want, f.looks())
		}
	})
}

func TestTheRecordIsAway(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	v := visit(t, f.app(t), "mira")
	_, page := v.get("/")
	f.fail(fault.Wrap(fault.Unavailable, errors.New("dial /run/secret.sock"), "the record is away; try again"))
	answer, broken := v.get("/")
	if answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(broken, "secret.sock") {
		t.Errorf("status %d, %s", answer.StatusCode, broken)
	}
	wants(t, broken, "The record is away; try again.")
	v.script = true
	if answer, _ := v.get("/board/list"); answer.Header.Get("HX-Retarget") != "#notice" {
		t.Error("a script would put the fault in the list's place")
	}
	_ = page
}

func TestAPatientsAlertsAreToldInPages(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	for i := range 45 {
		uid := f.alarm(f.weak, alerts.Yellow, f.now.Add(-time.Duration(100-i)*time.Hour), vital.HeartRate, false, 105)
		f.log(uid, alerts.Entry{Kind: alerts.EntryCleared, Closes: true})
	}
	v := visit(t, f.app(t), "mira")
	seen := 0
	for next := "/patients/" + string(f.weak.UID); next != ""; {
		_, page := v.get(next)
		seen += strings.Count(page, "closed by itself")
		m := regexp.MustCompile(`href="(/patients/[^"]*before=[^"#]*)#past"`).FindStringSubmatch(page)
		next = ""
		if m != nil {
			next = m[1]
		}
	}
	if seen != 45 {
		t.Errorf("%d closed alerts on all pages, want 45", seen)
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	v := visit(t, furnish(t).app(t), "mira")
	_, page := v.get("/")
	for _, m := range regexp.MustCompile(`(?:src|href|data-feed)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		answer, body := v.get(m[1])
		if answer.StatusCode != http.StatusOK || body == "" {
			t.Errorf("%s: status %d", m[1], answer.StatusCode)
		}
		if got := answer.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control %q", m[1], got)
		}
	}
	if answer, _ := v.get("/static/0000/app.css"); answer.Header.Get("Cache-Control") != "no-cache" {
		t.Error("a file of another version would be kept for a year")
	}
	if answer, _ := v.get("/static/x/../web.go"); answer.StatusCode != http.StatusNotFound {
		t.Error("a path leads out of the static files")
	}
	if answer, _ := visit(t, v.app, "").get("/favicon.ico"); answer.StatusCode != http.StatusOK {
		t.Error("there is no icon")
	}
}
