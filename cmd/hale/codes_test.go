package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hale/vital"
)

// another returns a code that differs from the given one in its last sign, or in its first.
func another(code string, first bool) string {
	at := len(code) - 1
	if first {
		at = 0
	}
	sign := "7"
	if code[at] == '7' {
		sign = "8"
	}
	return code[:at] + sign + code[at+1:]
}

func TestACodeIsForgivingAndOpensOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	code := f.code(t, nina, f.ana)
	if n := f.count(t, `SELECT count(*) FROM invitation WHERE position($1 IN row_to_json(invitation)::text) > 0`, strings.ToLower(strings.ReplaceAll(code, "-", ""))); n != 0 {
		t.Error("the code itself is in the record")
	}
	for _, part := range []string{"K7W2", "K7W2-9XQ4-M0S", "K7W2-9XQ4-M0ST-7", "K7W2-9XQ4-M0S*", "zapri oči"} {
		if a := f.redeem(t, part); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.text(t, "detail"), "twelve letters and digits") {
			t.Errorf("%q: %d %s", part, a.status, a.body)
		}
	}
	typed := " " + strings.NewReplacer("-", " ", "0", "O", "1", "l").Replace(strings.ToLower(code)) + "."
	in := f.redeem(t, typed)
	if in.status != http.StatusOK || in.text(t, "role") != "patient" || in.text(t, "name") != "Ana Novak" {
		t.Fatalf("%q: %d %s", typed, in.status, in.body)
	}
	if a := f.redeem(t, code); a.status != http.StatusUnauthorized {
		t.Errorf("a second time: %d %s", a.status, a.body)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action = 'sign in' AND actor_role = 'patient' AND patient_id = $1 AND session_uid <> ''`, int64(f.ana.ID)); n != 1 {
		t.Errorf("%d audit rows of signing in", n)
	}
}

func TestAStolenSessionWithoutItsDeviceIsRefused(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	hers, his := f.phone(t, nina, f.ana), f.phone(t, nina, f.bor)
	for name, headers := range map[string][]string{
		"the token alone":                    {"Authorization", "Bearer " + hers.token},
		"with another person's device":       {"Authorization", "Bearer " + hers.token, "Hale-Device", his.device},
		"with a device that is no secret":    {"Authorization", "Bearer " + hers.token, "Hale-Device", "x"},
		"the cookie alone":                   {"Cookie", "hale_session=" + hers.token},
		"the cookie with a foreign device":   {"Cookie", "hale_session=" + hers.token + "; hale_device=" + his.device},
		"the device alone":                   {"Cookie", "hale_device=" + hers.device},
		"the token twice":                    {"Authorization", "Bearer " + hers.token, "Hale-Device", hers.token},
		"the device from header for cookies": {"Cookie", "hale_session=" + hers.token, "Hale-Device", hers.device},
	} {
		if a := f.ask(t, "GET", "/v1/session", "", headers...); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// The person is not cut off, and sees it; it stands in the trail once.
	if a := f.ask(t, "GET", "/v1/session", "", hers.headers()...); a.status != http.StatusOK {
		t.Errorf("the device itself: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", "/v1/me/sessions", "", hers.headers()...); !strings.Contains(a.body, `"misused_at"`) || strings.Count(a.body, `"id"`) != 1 {
		t.Errorf("her sessions: %s", a.body)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action = 'refuse session of another device' AND patient_id = $1`, int64(f.ana.ID)); n != 1 {
		t.Errorf("%d audit rows of the theft", n)
	}
	if n := f.count(t, `SELECT count(*) FROM session WHERE patient_id IS NOT NULL AND (token_hash = $1::text::bytea OR device_hash = $2::text::bytea)`, hers.token, hers.device); n != 0 {
		t.Error("a secret is in the record")
	}
}

func TestACookieThatWasPlantedIsNotTheSessionAfterwards(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	planted := f.phone(t, nina, f.bor) // the attacker's own session, put into the victim's browser
	in := f.redeem(t, f.code(t, nina, f.ana), "Cookie", planted.cookies())
	if in.status != http.StatusOK || in.cookies["hale_session"] == planted.token || in.cookies["hale_device"] == planted.device || in.cookies["hale_session"] == "" {
		t.Fatalf("%d %v", in.status, in.cookies)
	}
	for name, cookie := range map[string]string{
		"the planted session on the new device": "hale_session=" + planted.token + "; hale_device=" + in.cookies["hale_device"],
		"the new session on the planted device": "hale_session=" + in.cookies["hale_session"] + "; hale_device=" + planted.device,
	} {
		if a := f.ask(t, "GET", "/v1/session", "", "Cookie", cookie); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := f.ask(t, "GET", "/v1/session", "", "Cookie", planted.cookies()); a.status != http.StatusUnauthorized {
		t.Errorf("the planted session lives on: %d %s", a.status, a.body)
	}
	staff := f.ask(t, "POST", "/v1/session", `{"login":"nina","password":"`+frontPassword+`"}`, "Cookie", planted.cookies())
	if got := staff.cookies["hale_session"]; got == "" || got == planted.token {
		t.Errorf("staff got %q", got)
	}
	// A token that nobody has opened does not become a session by signing in with it.
	made := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	f.ask(t, "POST", "/v1/session", `{"login":"nina","password":"`+frontPassword+`"}`, "Cookie", "hale_session="+made)
	if a := f.ask(t, "GET", "/v1/session", "", "Cookie", "hale_session="+made); a.status != http.StatusUnauthorized {
		t.Errorf("a token of the attacker's making: %d %s", a.status, a.body)
	}
}

func TestNobodyElsesPageSpeaksForAPatient(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	hers, his := f.phone(t, nina, f.ana), f.phone(t, nina, f.bor)
	out := func(headers ...string) int {
		return f.ask(t, "DELETE", "/v1/session", "", append(headers, "Cookie", hers.cookies())...).status
	}
	for name, headers := range map[string][]string{
		"without the value":               {},
		"with another session's value":    {"X-CSRF-Token", his.csrf},
		"from another origin":             {"X-CSRF-Token", hers.csrf, "Origin", "https://evil.test"},
		"from a sandboxed page":           {"X-CSRF-Token", hers.csrf, "Origin", "null"},
		"from a neighbour without Origin": {"X-CSRF-Token", hers.csrf, "Sec-Fetch-Site", "same-site"},
	} {
		if status := out(headers...); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	// Nobody is signed in as somebody else by a foreign page either.
	if a := f.redeem(t, f.code(t, nina, f.bor), "Origin", "https://evil.test"); a.status != http.StatusForbidden {
		t.Errorf("a foreign page redeemed a code: %d %s", a.status, a.body)
	}
	if status := out("X-CSRF-Token", hers.csrf, "Origin", f.url); status != http.StatusNoContent {
		t.Errorf("her own page: %d", status)
	}
	if a := f.ask(t, "GET", "/v1/session", "", hers.headers()...); a.status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", a.status)
	}
}

// TestLookingAtALinkUsesNothingUp: a messenger that fetches the address before the person does leaves the code as it is.
func TestLookingAtALinkUsesNothingUp(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	made := f.ask(t, "POST", "/v1/patients/"+string(f.ana.UID)+"/codes", `{}`, f.signIn(t, "nina")...)
	code := made.text(t, "code")
	path, secret, _ := strings.Cut(strings.TrimPrefix(made.text(t, "address"), f.url), "#")
	if path != "/code" || secret != strings.ReplaceAll(code, "-", "") {
		t.Errorf("address %s", made.text(t, "address"))
	}
	for _, method := range []string{"GET", "HEAD"} {
		for _, at := range []string{path, path + "?code=" + code, "/v1/session/code", "/v1/session/code?code=" + code} {
			f.ask(t, method, at, "")
		}
	}
	if a := f.redeem(t, code); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestFiveWrongGuessesEndACode(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	for guesses, want := range map[int]int{4: http.StatusOK, 5: http.StatusUnauthorized} {
		code := f.code(t, nina, f.ana)
		for range guesses {
			if a := f.redeem(t, another(code, false)); a.status != http.StatusUnauthorized {
				t.Fatalf("a guess: %d %s", a.status, a.body)
			}
		}
		if a := f.redeem(t, code); a.status != want {
			t.Errorf("the right code after %d guesses: %d %s", guesses, a.status, a.body)
		}
	}
}

func TestGuessesAllAtOnceAreNoMoreThanFive(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	code := f.code(t, f.signIn(t, "nina"), f.ana)
	var all sync.WaitGroup
	var wrong, others atomic.Int32
	for i := range 200 {
		guess := fmt.Sprintf("%s%08d", code[:4], 22_000_000+i)
		all.Go(func() {
			switch a, err := f.try(t.Context(), "POST", "/v1/session/code", `{"code":"`+guess+`"}`); {
			case err != nil:
				t.Error(err)
			case a.status == http.StatusUnauthorized:
				wrong.Add(1)
			default:
				others.Add(1)
			}
		})
	}
	all.Wait()
	if wrong.Load() != 200 || others.Load() != 0 {
		t.Errorf("%d were refused, %d answered otherwise", wrong.Load(), others.Load())
	}
	if n := f.count(t, `SELECT attempts FROM sign_in_code_guess`); n != 200 {
		t.Errorf("%d of 200 guesses were counted", n)
	}
	if a := f.redeem(t, code); a.status != http.StatusUnauthorized {
		t.Errorf("the code lives on after 200 guesses: %d %s", a.status, a.body)
	}
}

func TestOfTwoHundredWhoRedeemOneCodeOneWins(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	code := f.code(t, f.signIn(t, "nina"), f.ana)
	var all sync.WaitGroup
	var won atomic.Int32
	start := make(chan struct{})
	for range 200 {
		all.Go(func() {
			<-start
			if a, err := f.try(t.Context(), "POST", "/v1/session/code", `{"code":"`+code+`"}`); err != nil {
				t.Error(err)
			} else if a.status == http.StatusOK {
				won.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if n := f.count(t, `SELECT count(*) FROM session WHERE patient_id IS NOT NULL`); won.Load() != 1 || n != 1 {
		t.Errorf("%d won, and %d sessions were opened", won.Load(), n)
	}
}

func TestWhateverIsWrongWithACodeTheAnswerAndTheWorkAreTheSame(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	used := f.code(t, nina, f.ana)
	f.redeem(t, used)
	expired := f.code(t, nina, f.ana)
	f.pass(16 * time.Minute)
	replaced := f.code(t, nina, f.bor)
	living := f.code(t, nina, f.bor)
	dead := f.code(t, nina, f.cene)
	for range 5 {
		f.redeem(t, another(dead, false))
	}
	if n := f.count(t, `SELECT count(*) FROM invitation WHERE used_at IS NULL AND ended_at IS NULL`); n != 3 {
		t.Fatalf("%d codes are open, with the old one and the one that was guessed at", n)
	}
	cases := map[string]string{
		"a wrong one": another(living, false), "an unknown one": another(living, true), "a used one": used, "an old one": expired,
		"one that was replaced": replaced, "one that was guessed at": dead,
	}
	var first answered
	work := `SELECT (SELECT sum(attempts) FROM sign_in_code_minute) + (SELECT sum(attempts) FROM sign_in_code_guess)`
	for name, code := range cases {
		before := f.count(t, work)
		a := f.redeem(t, code)
		if first.body == "" {
			first = a
		}
		if a.status != http.StatusUnauthorized || a.body != first.body || len(a.cookies) != 0 {
			t.Errorf("%s: %d %s %v, and another %s", name, a.status, a.body, a.cookies, first.body)
		}
		if did := f.count(t, work) - before; did != 2 {
			t.Errorf("%s: %d counts were written", name, did)
		}
	}
	// The clock says so too, within what a busy machine allows: half of the attempts at one take no more than thrice the other's.
	took := map[string][]time.Duration{}
	for i := range 30 {
		for name, code := range map[string]string{"known": living[:4] + fmt.Sprintf("%08d", 30_000_000+i), "unknown": another(living[:4], true) + fmt.Sprintf("%08d", 30_000_000+i)} {
			began := time.Now()
			f.redeem(t, code)
			took[name] = append(took[name], time.Since(began))
		}
	}
	for _, list := range took {
		slices.Sort(list)
	}
	if known, unknown := took["known"][15], took["unknown"][15]; known > 3*unknown || unknown > 3*known {
		t.Errorf("a code that is there takes %s, one that is not %s", known, unknown)
	}
}

func TestCodesAreBoundedByAddressAndOverall(t *testing.T) {
	t.Parallel()
	f := newFront(t, "127.0.0.1")
	nina := f.signIn(t, "nina")
	code := f.code(t, nina, f.ana)
	for i := range 30 {
		if a := f.redeem(t, fmt.Sprintf("22%02d22222222", i), "X-Forwarded-For", "203.0.113.9"); a.status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d %s", i, a.status, a.body)
		}
	}
	if a := f.redeem(t, code, "X-Forwarded-For", "203.0.113.9"); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("guess 31 from one address: %d %s", a.status, a.body)
	}
	f.exec(t, `INSERT INTO sign_in_code_minute VALUES (date_trunc('minute', $1::timestamptz), 600) ON CONFLICT (minute) DO UPDATE SET attempts = 600`, f.clock())
	if a := f.redeem(t, another(code, false), "X-Forwarded-For", "203.0.113.10"); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "60" {
		t.Errorf("attempt 601 of a minute: %d %s", a.status, a.body)
	}
	// Guessers keep nobody out who has a code.
	if a := f.redeem(t, code, "X-Forwarded-For", "203.0.113.10"); a.status != http.StatusOK {
		t.Errorf("the right code in the same minute: %d %s", a.status, a.body)
	}
	f.pass(time.Minute)
	if a := f.redeem(t, another(code, true), "X-Forwarded-For", "203.0.113.10"); a.status != http.StatusUnauthorized {
		t.Errorf("a minute later: %d %s", a.status, a.body)
	}
}

func TestACodeIsMadeByThoseWhoLookAfterThePerson(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina, eva := f.signIn(t, "nina"), f.signIn(t, "eva")
	hers := f.phone(t, nina, f.ana)
	path := "/v1/patients/" + string(f.ana.UID)
	for name, who := range map[string][]string{"a nurse of another organisation": eva, "the patient": hers.headers(), "nobody": nil} {
		want := map[string]int{"a nurse of another organisation": 404, "the patient": 403, "nobody": 401}[name]
		if a := f.ask(t, "POST", path+"/codes", `{}`, who...); a.status != want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if a := f.ask(t, "GET", path+"/sessions", "", who...); a.status != want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	f.exec(t, `UPDATE team_patient SET to_at = from_at WHERE patient_id = $1`, int64(f.ana.ID))
	if a := f.ask(t, "POST", path+"/codes", `{}`, nina...); a.status != http.StatusNotFound {
		t.Errorf("a nurse of no common team: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", path+"/sessions", "", nina...); a.status != http.StatusNotFound {
		t.Errorf("a nurse of no common team: %d %s", a.status, a.body)
	}
}

func TestACaregiverSignsInAsThemselves(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	var tine, other vital.UID
	add := `WITH c AS (INSERT INTO caregiver (org_id, uid, name, created_at) VALUES ($1, gen_random_uuid(), $2, now() - interval '1 day') RETURNING org_id, id, uid, created_at),
		g AS (INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, scopes, from_at) SELECT org_id, $3, id, 'see patients', created_at FROM c) SELECT uid::text FROM c`
	if err := f.admin.QueryRow(t.Context(), add, int32(f.ana.Org), "Tine Novak", int64(f.ana.ID)).Scan(&tine); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.QueryRow(t.Context(), add, int32(f.ana.Org), "Of Bor", int64(f.bor.ID)).Scan(&other); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, through, recorded_by, decided_at, created_at)
		SELECT $1, gen_random_uuid(), $2, 'caregiver_sharing', 1, 'en', 'given', 'self', 'own_session', 'Ana Novak', now(), now()`, int32(f.ana.Org), int64(f.ana.ID))
	path := "/v1/patients/" + string(f.ana.UID)
	if a := f.ask(t, "POST", path+"/codes", `{"caregiver":"`+string(other)+`"}`, nina...); a.status != http.StatusNotFound {
		t.Errorf("another patient's caregiver: %d %s", a.status, a.body)
	}
	made := f.ask(t, "POST", path+"/codes", `{"caregiver":"`+string(tine)+`"}`, nina...)
	if made.text(t, "name") != "Tine Novak" {
		t.Fatalf("%d %s", made.status, made.body)
	}
	in := f.redeem(t, made.text(t, "code"))
	if in.text(t, "role") != "caregiver" || in.text(t, "name") != "Tine Novak" {
		t.Fatalf("%d %s", in.status, in.body)
	}
	his := phone{token: in.text(t, "token"), device: in.text(t, "device")}
	if a := f.ask(t, "GET", path, "", his.headers()...); a.status != http.StatusOK {
		t.Errorf("what is shared: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", "/v1/patients/"+string(f.bor.UID), "", his.headers()...); a.status != http.StatusNotFound {
		t.Errorf("another patient: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", path+"/sessions", "", nina...); !strings.Contains(a.body, `"Tine Novak"`) {
		t.Errorf("the nurse sees %s", a.body)
	}
	// What the patient takes back ends what he reaches at once; the session itself is his.
	f.exec(t, `UPDATE caregiver_grant SET to_at = now() WHERE patient_id = $1`, int64(f.ana.ID))
	if a := f.ask(t, "GET", path, "", his.headers()...); a.status != http.StatusNotFound {
		t.Errorf("after it was taken back: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "POST", path+"/codes", `{"caregiver":"`+string(tine)+`"}`, nina...); a.status != http.StatusNotFound {
		t.Errorf("a code for who is let in no more: %d %s", a.status, a.body)
	}
}

func TestSessionsAreEndedByThoseTheyAreOf(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	hers, his := f.phone(t, nina, f.ana), f.phone(t, nina, f.bor)
	id := func(of []string) string {
		t.Helper()
		_, rest, _ := strings.Cut(f.ask(t, "GET", "/v1/me/sessions", "", of...).body, `"id":"`)
		return rest[:36]
	}
	herID, hisID, ninas := id(hers.headers()), id(his.headers()), id(nina)
	for _, foreign := range []string{hisID, ninas, "0198c0de-0000-7000-8000-000000000001"} {
		if a := f.ask(t, "DELETE", "/v1/me/sessions/"+foreign, "", hers.headers()...); a.status != http.StatusNotFound {
			t.Errorf("somebody else's: %d %s", a.status, a.body)
		}
	}
	path := "/v1/patients/" + string(f.ana.UID) + "/sessions/"
	if a := f.ask(t, "DELETE", path+hisID, "", nina...); a.status != http.StatusNotFound {
		t.Errorf("another patient's by the wrong name: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "DELETE", path+herID, "", nina...); a.status != http.StatusNoContent {
		t.Errorf("the lost phone: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "DELETE", "/v1/me/sessions/"+hisID, "", his.headers()...); a.status != http.StatusNoContent {
		t.Errorf("his own: %d %s", a.status, a.body)
	}
	for _, p := range []phone{hers, his} {
		if a := f.ask(t, "GET", "/v1/session", "", p.headers()...); a.status != http.StatusUnauthorized {
			t.Errorf("after its end: %d %s", a.status, a.body)
		}
	}
}

func TestASessionOfADeviceLastsAndRunsOut(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	idle, busy := f.phone(t, nina, f.ana), f.phone(t, nina, f.bor)
	for range 8 { // 176 days
		f.pass(22 * 24 * time.Hour)
		if a := f.ask(t, "GET", "/v1/session", "", busy.headers()...); a.status != http.StatusOK {
			t.Fatalf("a busy device: %d %s", a.status, a.body)
		}
	}
	if a := f.ask(t, "GET", "/v1/session", "", idle.headers()...); a.status != http.StatusUnauthorized {
		t.Errorf("an idle device: %d %s", a.status, a.body)
	}
	f.pass(5 * 24 * time.Hour)
	if a := f.ask(t, "GET", "/v1/session", "", busy.headers()...); a.status != http.StatusUnauthorized {
		t.Errorf("after half a year: %d %s", a.status, a.body)
	}
}
