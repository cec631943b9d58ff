package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// makeKey lets an administrator make a key, and returns its token and its id.
func (f *front) makeKey(t *testing.T, boss []string, name, scopes string) (token, id string) {
	t.Helper()
	made := f.ask(t, "POST", "/v1/keys", `{"name":"`+name+`","scopes":`+scopes+`}`, boss...)
	if made.status != http.StatusCreated {
		t.Fatalf("%d %s", made.status, made.body)
	}
	return made.text(t, "token"), made.text(t, "id")
}

func bearer(token string, more ...string) []string {
	return append([]string{"Authorization", "Bearer " + token}, more...)
}

func TestAKeyMayWhatItWasGiven(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	boss, nina := f.signIn(t, "boss"), f.signIn(t, "nina")
	for name, who := range map[string][]string{"a nurse": nina, "a patient": f.phone(t, nina, f.ana).headers()} {
		for _, a := range []answered{f.ask(t, "GET", "/v1/keys", "", who...), f.ask(t, "POST", "/v1/keys", `{"name":"x","scopes":["see patients"]}`, who...)} {
			if a.status != http.StatusForbidden {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	}
	for body, want := range map[string]string{
		`{"name":"x","scopes":["manage API keys"]}`:                                        "scopes",
		`{"name":"x","scopes":[]}`:                                                         "scopes",
		`{"name":" ","scopes":["see patients"]}`:                                           "name",
		`{"name":"x","scopes":["see patients"],"expires_at":"2000-01-01T00:00:00Z"}`:       "expires_at",
		`{"name":"x","scopes":["see patients"],"expires_at":"2999-01-01T00:00:00Z"}`:       "expires_at",
		`{"name":"x\u0007","scopes":["see patients"],"expires_at":"2027-01-01T00:00:00Z"}`: "name",
	} {
		if a := f.ask(t, "POST", "/v1/keys", body, boss...); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	token, id := f.makeKey(t, boss, "interface", `["see patients"]`)
	if !regexp.MustCompile(`^hale_key_[0-9a-hjkmnp-tv-z]{59}$`).MatchString(token) {
		t.Errorf("the key has the form %d long", len(token))
	}
	if a := f.ask(t, "POST", "/v1/keys", `{"name":"interface","scopes":["see patients"]}`, boss...); a.status != http.StatusConflict {
		t.Errorf("the same name: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", "/v1/patients/"+string(f.ana.UID), "", bearer(token)...); a.status != http.StatusOK {
		t.Errorf("what it may: %d %s", a.status, a.body)
	}
	for path, want := range map[string]int{"/v1/worklist": 403, "/v1/keys": 403, "/v1/me/sessions": 403, "/v1/patients/" + string(f.ana.UID) + "/sessions": 403} {
		if a := f.ask(t, "GET", path, "", bearer(token)...); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	for name, headers := range map[string][]string{
		"one sign changed":      bearer(another(token, false)),
		"a part of it":          bearer(token[:len(token)-1]),
		"in the cookie":         {"Cookie", "hale_session=" + token},
		"with another's device": bearer(token, "Hale-Device", strings.Repeat("A", 43)),
	} {
		if a := f.ask(t, "GET", "/v1/patients", "", headers...); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := f.ask(t, "DELETE", "/v1/session", "", bearer(token)...); a.status != http.StatusNoContent {
		t.Errorf("signing out: %d %s", a.status, a.body)
	}
	list := f.ask(t, "GET", "/v1/keys", "", boss...)
	if strings.Contains(list.body, token) || !strings.Contains(list.body, `"used_at"`) || !strings.Contains(list.body, `"made_by":"boss of Home"`) {
		t.Errorf("the list: %s", list.body)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE actor_role = 'system' AND actor_name = 'interface' AND session_uid = $1 AND action = 'look' AND patient_id = $2`, id, int64(f.ana.ID)); n != 1 {
		t.Errorf("%d audit rows of the key's look", n)
	}
	if n := f.count(t, `SELECT count(*) FROM api_key WHERE row_to_json(api_key)::text LIKE '%' || $1 || '%' OR token_hash = $1::text::bytea`, token); n != 0 {
		t.Error("the key itself is in the record")
	}
	if a := f.ask(t, "DELETE", "/v1/keys/"+id, "", f.signIn(t, "eva")...); a.status != http.StatusForbidden {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "DELETE", "/v1/keys/"+id, "", boss...); a.status != http.StatusNoContent {
		t.Errorf("revoking: %d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", "/v1/patients", "", bearer(token)...); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d %s", a.status, a.body)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action IN ('make API key', 'revoke API key') AND object = 'key ' || $1`, id); n != 2 {
		t.Errorf("%d audit rows of the key's life", n)
	}
}

func TestAKeyRunsOut(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	token, _ := f.makeKey(t, f.signIn(t, "boss"), "interface", `["see patients"]`)
	f.pass(364 * 24 * time.Hour)
	if a := f.ask(t, "GET", "/v1/patients", "", bearer(token)...); a.status != http.StatusOK {
		t.Errorf("within its year: %d %s", a.status, a.body)
	}
	f.pass(25 * time.Hour)
	if a := f.ask(t, "GET", "/v1/patients", "", bearer(token)...); a.status != http.StatusUnauthorized {
		t.Errorf("after its year: %d %s", a.status, a.body)
	}
}

func TestWrongKeysWaitAndRightOnesDoNot(t *testing.T) {
	t.Parallel()
	f := newFront(t, "127.0.0.1")
	boss := f.signIn(t, "boss")
	known, _ := f.makeKey(t, boss, "known", `["see patients"]`)
	fresh, _ := f.makeKey(t, boss, "fresh", `["see patients"]`)
	gone, id := f.makeKey(t, boss, "gone", `["see patients"]`)
	f.ask(t, "DELETE", "/v1/keys/"+id, "", boss...)
	here, there := []string{"X-Forwarded-For", "203.0.113.9"}, []string{"X-Forwarded-For", "203.0.113.10"}
	use := func(key string, from []string) int {
		return f.ask(t, "GET", "/v1/patients", "", bearer(key, from...)...).status
	}
	if status := use(known, here); status != http.StatusOK {
		t.Fatal(status)
	}
	for i := range 30 {
		if status := use(gone, here); status != http.StatusUnauthorized {
			t.Fatalf("wrong key %d: %d", i, status)
		}
	}
	for _, c := range []struct {
		name, key string
		from      []string
		want      int
	}{
		{"a wrong key once more", gone, here, http.StatusTooManyRequests},
		{"a key that nobody has used", fresh, here, http.StatusTooManyRequests},
		{"one that was right before", known, here, http.StatusOK},
		{"the fresh one from elsewhere", fresh, there, http.StatusOK},
	} {
		if status := use(c.key, c.from); status != c.want {
			t.Errorf("%s: %d", c.name, status)
		}
	}
}

func TestTheOperatorsVerbsForKeys(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	hale := func(args ...string) (said, wrong string) {
		t.Helper()
		p := start(t, append(args, "--database", f.db.AdminURL(), "--organisation", "Home")...)
		<-p.ended
		return p.stdout.String(), p.stderr.String()
	}
	for scope, want := range map[string]string{"fly": "there is no", "see teams": "there is no", "manage API keys": "no key can be given"} {
		if said, wrong := hale("keys", "create", "--name", "x", "--scope", scope); said != "" || !strings.Contains(wrong, want) {
			t.Errorf("%s: %q %q", scope, said, wrong)
		}
	}
	said, wrong := hale("keys", "create", "--name", "interface", "--scope", "see patients,see devices", "--days", "30")
	token := strings.TrimSpace(said)
	if a := f.ask(t, "GET", "/v1/patients", "", bearer(token)...); a.status != http.StatusOK {
		t.Fatalf("%q %q: %d %s", said, wrong, a.status, a.body)
	}
	said, _ = hale("keys", "list")
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "see patients,see devices") || strings.Contains(said, token) {
		t.Fatalf("%q", said)
	}
	id, _, _ := strings.Cut(lines[1], " ")
	if said, wrong := hale("keys", "revoke", "--key", id); !strings.Contains(said, "refused") {
		t.Errorf("%q %q", said, wrong)
	}
	if a := f.ask(t, "GET", "/v1/patients", "", bearer(token)...); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d %s", a.status, a.body)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE actor_name = 'operator' AND action IN ('make API key', 'list API keys', 'revoke API key')`); n != 3 {
		t.Errorf("%d audit rows of the operator", n)
	}
}

func TestAPasswordIsChangedByItsOwner(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina, other := f.signIn(t, "nina"), f.signIn(t, "nina")
	change := func(current, chosen string) answered {
		return f.ask(t, "PUT", "/v1/me/password", `{"current":"`+current+`","new":"`+chosen+`"}`, nina...)
	}
	for _, c := range []struct {
		current, chosen string
		status          int
		says            string
	}{
		{"wrong", "violet window basket", http.StatusUnauthorized, "password is wrong"},
		{frontPassword, "short", http.StatusUnprocessableEntity, "too short"},
		{frontPassword, "nina-nina-basket", http.StatusUnprocessableEntity, "part of the login"},
		{frontPassword, frontPassword, http.StatusUnprocessableEntity, "choose another"},
	} {
		if a := change(c.current, c.chosen); a.status != c.status || !strings.Contains(a.body, c.says) {
			t.Errorf("%s to %s: %d %s", c.current, c.chosen, a.status, a.body)
		}
	}
	hers := f.phone(t, nina, f.ana)
	if a := f.ask(t, "PUT", "/v1/me/password", `{"current":"x","new":"violet window basket"}`, hers.headers()...); a.status != http.StatusForbidden {
		t.Errorf("a patient: %d %s", a.status, a.body)
	}
	if a := change(frontPassword, "violet window basket"); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := f.ask(t, "GET", "/v1/session", "", other...); a.status != http.StatusUnauthorized {
		t.Errorf("the other session goes on: %d", a.status)
	}
	if a := f.ask(t, "GET", "/v1/session", "", nina...); a.status != http.StatusOK {
		t.Errorf("her own session: %d", a.status)
	}
	for password, want := range map[string]int{frontPassword: http.StatusUnauthorized, "violet window basket": http.StatusOK} {
		if a := f.ask(t, "POST", "/v1/session", `{"login":"nina","password":"`+password+`"}`); a.status != want {
			t.Errorf("signing in with %s: %d %s", password, a.status, a.body)
		}
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action = 'change password' AND detail = '1 other sessions ended'`); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	// Guesses at the old password on an unlocked screen count as at the door.
	for range 5 {
		change("wrong", "purple lantern otter")
	}
	if a := change("violet window basket", "purple lantern otter"); a.status != http.StatusTooManyRequests {
		t.Errorf("after five: %d", a.status)
	}
}
