package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hale/account"
	"hale/safe"
)

// TestOnlyTheCareTeamLetsADeviceIn: whoever makes a code could use it themselves and would be the patient for half a year. So
// neither the device desk nor an administrator makes one, and a minute of broken glass is not enough.
func TestOnlyTheCareTeamLetsADeviceIn(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.staff(t, "Home", "desk", account.DeviceDesk)
	f.staff(t, "Home", "night", account.Nurse)
	f.exec(t, `UPDATE team_member SET to_at = clock_timestamp() WHERE staff_id = (SELECT id FROM staff WHERE login = 'night')`)
	f.exec(t, `INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at)
		SELECT org_id, gen_random_uuid(), $1, id, 'found on the floor', now(), now() + interval '1 hour' FROM staff WHERE login = 'night'`, int64(f.ana.ID))
	path := "/v1/patients/" + string(f.ana.UID)
	night := f.signIn(t, "night")
	if a := f.ask(t, "GET", path, "", night...); a.status != http.StatusOK {
		t.Fatalf("broken glass shows the patient: %d %s", a.status, a.body)
	}
	for name, who := range map[string][]string{"the device desk": f.signIn(t, "desk"), "an administrator": f.signIn(t, "boss"), "broken glass": night} {
		for _, r := range [][2]string{{"POST", "/codes"}, {"GET", "/sessions"}, {"DELETE", "/sessions/0198c0de-0000-7000-8000-000000000001"}} {
			body := ""
			if r[0] == "POST" {
				body = `{}`
			}
			if a := f.ask(t, r[0], path+r[1], body, who...); a.status != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d %s", name, r[0], r[1], a.status, a.body)
			}
		}
	}
	if n := f.count(t, `SELECT count(*) FROM invitation`); n != 0 {
		t.Errorf("%d codes were made", n)
	}
}

// TestThePatientSeesWhoLetADeviceIn: the one who made a code cannot use it silently.
func TestThePatientSeesWhoLetADeviceIn(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	hers := f.phone(t, nina, f.ana)
	f.phone(t, nina, f.ana) // the nurse herself
	for _, topic := range []string{"signin.code", "signin.device"} {
		if n := f.count(t, `SELECT count(*) FROM outbox WHERE topic = $1 AND patient_id = $2 AND audience = 'patient' AND purpose = 'care'`, topic, int64(f.ana.ID)); n != 2 {
			t.Errorf("%d notices %s are owed to the patient", n, topic)
		}
	}
	const trail = `SELECT count(*) FROM audit a JOIN staff s ON a.detail = 'code of staff ' || s.uid WHERE a.action = 'sign in' AND a.patient_id = $1 AND s.login = 'nina'`
	if n := f.count(t, trail, int64(f.ana.ID)); n != 2 {
		t.Errorf("%d of two rows say whose code it was", n)
	}
	if a := f.ask(t, "GET", "/v1/me/sessions", "", hers.headers()...); strings.Count(a.body, `"let_in_by":{"name":"nina of Home","role":"nurse"}`) != 2 {
		t.Errorf("her sessions: %s", a.body)
	}
	if a := f.ask(t, "GET", "/v1/me/sessions", "", nina...); strings.Contains(a.body, "let_in_by") {
		t.Errorf("a nurse's sessions: %s", a.body)
	}
	who := account.Actor{Org: f.ana.Org, Role: account.SelfRole, Self: f.ana.ID, UID: f.ana.UID, Name: f.ana.Name}
	looks, err := f.app.Looks(t.Context(), who, f.ana.ID, safe.LookFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for i := range looks {
		said[looks[i].Did(safe.Yours)]++
	}
	if said["signed in on a new device, with a code of nurse nina of Home"] != 2 || said["made a code with which you can sign in"] != 2 {
		t.Errorf("who looked: %v", said)
	}
}

// TestAnIdleSessionServesNobodyHoweverManyAskAtOnce: the first of many questions must not make it live for the others.
func TestAnIdleSessionServesNobodyHoweverManyAskAtOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	f.exec(t, `UPDATE session SET seen_at = seen_at - interval '12 hours 1 minute'`)
	uid := ""
	if err := f.admin.QueryRow(t.Context(), `SELECT uid::text FROM session`).Scan(&uid); err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			switch a, err := f.try(t.Context(), "GET", "/v1/patients", "", nina...); {
			case err != nil:
				t.Error(err)
			case a.status != http.StatusUnauthorized:
				served.Add(1)
			}
		})
	}
	all.Wait()
	if n := served.Load(); n != 0 {
		t.Errorf("%d of 40 were served", n)
	}
	if n := f.count(t, `SELECT count(*) FROM session WHERE seen_at > clock_timestamp() - interval '12 hours'`); n != 0 {
		t.Error("a question was a sign of life of a session that was over")
	}
	if n := f.count(t, `SELECT count(*) FROM ended_sessions(ARRAY[$1::uuid], clock_timestamp(), $2, $3)`, uid, account.IdleAfter, account.BoundIdleAfter); n != 1 {
		t.Error("its feeds go on")
	}
}

func TestSigningInEndsWhateverTheBrowserHadBefore(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	body := `{"login":"nina","password":"` + frontPassword + `"}`
	first := f.ask(t, "POST", "/v1/session", body)
	old := "hale_session=" + first.cookies["hale_session"]
	second := f.ask(t, "POST", "/v1/session", body, "Cookie", old)
	if second.status != http.StatusOK {
		t.Fatalf("%d %s", second.status, second.body)
	}
	if a := f.ask(t, "GET", "/v1/session", "", "Cookie", old); a.status != http.StatusUnauthorized {
		t.Errorf("the first session after the second: %d", a.status)
	}
	current := "hale_session=" + second.cookies["hale_session"]
	in := f.redeem(t, f.code(t, nina, f.ana), "Cookie", current)
	if a := f.ask(t, "GET", "/v1/session", "", "Cookie", current); in.status != http.StatusOK || a.status != http.StatusUnauthorized {
		t.Errorf("a code redeemed: %d; the nurse's session in that browser: %d", in.status, a.status)
	}
	hers := phone{token: in.cookies["hale_session"], device: in.cookies["hale_device"]}
	third := f.ask(t, "POST", "/v1/session", body, "Cookie", hers.cookies())
	if device, set := third.cookies["hale_device"]; !set || device != "" {
		t.Errorf("the device's secret stays beside a nurse's session: %q %v", device, set)
	}
	if a := f.ask(t, "GET", "/v1/session", "", hers.headers()...); a.status != http.StatusUnauthorized {
		t.Errorf("the patient's session in that browser: %d", a.status)
	}
	// A wrong password ends nothing, and a program's bearer token is not the browser's.
	again := "hale_session=" + third.cookies["hale_session"]
	f.ask(t, "POST", "/v1/session", `{"login":"nina","password":"wrong wrong wrong"}`, "Cookie", again)
	f.ask(t, "POST", "/v1/session", body, nina...)
	for _, of := range [][]string{{"Cookie", again}, nina} {
		if a := f.ask(t, "GET", "/v1/session", "", of...); a.status != http.StatusOK {
			t.Errorf("what was not replaced: %d %s", a.status, a.body)
		}
	}
}

func TestASignThatNoTextHoldsIsRefusedAndNoError(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	for name, login := range map[string]string{"a zero sign": `ni\u0000na`, "no UTF-8": "ni\xffna"} {
		if a := f.ask(t, "POST", "/v1/session", `{"login":"`+login+`","password":"x"}`); a.status != http.StatusUnauthorized && a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			t.Errorf("%s in a login: %d %s", name, a.status, a.body)
		}
		form := url.Values{"login": {strings.ReplaceAll(login, `\u0000`, "\x00")}, "password": {"x"}}.Encode()
		if a := f.ask(t, "POST", "/signin", form, "Content-Type", "application/x-www-form-urlencoded"); a.status >= 500 {
			t.Errorf("%s in the form: %d", name, a.status)
		}
	}
	nina := f.signIn(t, "nina")
	for _, path := range []string{"/v1/patients?query=%00", "/v1/patients?q=%00", "/v1/patients?query=%ff", "/patients?q=%00"} {
		if a := f.ask(t, "GET", path, "", nina...); a.status >= 500 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// TestOfCodesThatAreMadeAtOnceOneIsGood: a newer code takes the place of the older also when somebody clicks twice.
func TestOfCodesThatAreMadeAtOnceOneIsGood(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if a, err := f.try(t.Context(), "POST", "/v1/patients/"+string(f.ana.UID)+"/codes", `{}`, nina...); err != nil || a.status != http.StatusCreated {
				t.Errorf("%d %s %v", a.status, a.body, err)
			}
		})
	}
	f.code(t, nina, f.bor)
	all.Wait()
	if n := f.count(t, `SELECT count(*) FROM invitation WHERE patient_id = $1 AND used_at IS NULL AND ended_at IS NULL`, int64(f.ana.ID)); n != 1 {
		t.Errorf("%d codes of one person are good", n)
	}
	if n := f.count(t, `SELECT count(*) FROM invitation WHERE patient_id = $1 AND used_at IS NULL AND ended_at IS NULL`, int64(f.bor.ID)); n != 1 {
		t.Errorf("%d codes of somebody else are good", n)
	}
}

func TestSigningOutIsWrittenDownOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if _, err := f.try(t.Context(), "DELETE", "/v1/session", "", nina...); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action = 'sign out'`); n != 1 {
		t.Errorf("%d audit rows of one signing out", n)
	}
}

// TestARefusedBodyIsNotSentBack: it may hold a password, and whoever gets the problem logs it.
func TestARefusedBodyIsNotSentBack(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	for path, body := range map[string]string{
		"/v1/session":      `{"login":"nina","password":"hush-hush-hush","more":1}`,
		"/v1/session/code": `{"code":"hush-hush-hush","more":1}`,
	} {
		if a := f.ask(t, "POST", path, body); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "hush") || !strings.Contains(a.body, "more") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
