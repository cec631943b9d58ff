package main

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
	"hale/internal/pgtest"
	"hale/postgres"
)

func TestTheOperatorsVerbsForStaff(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	file := filepath.Join(t.TempDir(), "password")
	hale := func(args ...string) (said, wrong string) {
		t.Helper()
		p := start(t, append(args, "--database", db.AdminURL())...)
		<-p.ended
		return p.stdout.String(), p.stderr.String()
	}
	if _, wrong := hale("staff", "--organisation", "Home care North", "--login", "ana.kovac", "--name", "Ana", "--role", "nurse"); !strings.Contains(wrong, "hale organisation create") {
		t.Errorf("a nurse of an organisation that there is not: %q", wrong)
	}
	found := []string{"organisation", "create", "Home care North", "--login", "ada", "--name", "Ada"}
	if said, wrong := hale(found...); !strings.HasPrefix(said, "Ada can sign in as ada with ") {
		t.Errorf("%q %q", said, wrong)
	}
	if _, wrong := hale(found...); !strings.Contains(wrong, "already") {
		t.Errorf("made twice: %q", wrong)
	}
	set := []string{"staff", "--organisation", "Home care North", "--login", "ana.kovac", "--name", "Ana", "--role", "nurse"}
	for password, want := range map[string]string{"tulip": "too short", "Ana.Kovac-2026": "part of the login", "Password2026!!": "tried first"} {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, wrong := hale(append(set, "--new-password-file", file)...); said != "" || !strings.Contains(wrong, want) || strings.Contains(wrong, password) {
			t.Errorf("%q: %q %q", password, said, wrong)
		}
	}
	if _, wrong := hale("staff", "unlock", "--login", "ana.kovac"); !strings.Contains(wrong, "nobody signs in as") {
		t.Errorf("a refused password made the person: %s", wrong)
	}
	if err := os.WriteFile(file, []byte("tulip rabbit kettle\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, wrong := hale(append(set, "--new-password-file", file)...); !strings.HasPrefix(said, "Ana can sign in as ana.kovac") || strings.Contains(said, "tulip") {
		t.Errorf("%q %q", said, wrong)
	}
	for verb, want := range map[string]string{
		"sessions": "no open session", "end-sessions": "ended: 0", "reset-second-factor": "had no second factor", "unlock": "was not locked",
	} {
		if said, wrong := hale("staff", verb, "--login", "ana.kovac"); !strings.Contains(said, want) {
			t.Errorf("%s: %q %q", verb, said, wrong)
		}
	}
	for _, want := range []string{"cannot sign in any more", "nothing was changed"} {
		if said, wrong := hale("staff", "disable", "--login", "ana.kovac"); !strings.Contains(said, want) {
			t.Errorf("%q %q", said, wrong)
		}
	}
	if said, wrong := hale("organisation", "list"); !strings.Contains(said, "Home care North") || !strings.Contains(said, "  1      0") {
		t.Errorf("%q %q", said, wrong)
	}
	if said, wrong := hale(append(set, "--new-password-file", file)...); !strings.HasPrefix(said, "Ana can sign in") {
		t.Errorf("let in again: %q %q", said, wrong)
	}
}

// TestWrongPasswordsTellNotWhoWorksHere tries a login that exists and one that does not, through the front door.
func TestWrongPasswordsTellNotWhoWorksHere(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	try := func(login string) (status int, said string) {
		t.Helper()
		body := strings.NewReader(`{"login":"` + login + `","password":"wrong"}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.http+"/v1/session", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b := make([]byte, 4096)
		n, _ := answer.Body.Read(b)
		return answer.StatusCode, string(b[:n])
	}
	for i := range 5 {
		known, one := try("ana")
		unknown, other := try("eva")
		if known != http.StatusUnauthorized || unknown != known || one != other {
			t.Errorf("attempt %d: %d %s; %d %s", i, known, one, unknown, other)
		}
	}
	known, one := try("ana")
	unknown, other := try("eva")
	if known != http.StatusTooManyRequests || unknown != known || one != other {
		t.Errorf("after five: %d %s; %d %s", known, one, unknown, other)
	}
}

// TestALockHoldsInEveryProcessAndTellsNothing guesses at one process and asks at another, over one record.
func TestALockHoldsInEveryProcessAndTellsNothing(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), pgtest.New(t)
	operator := postgres.Operator{AdminURL: db.AdminURL()}
	who := postgres.Staff{Organisation: "Home", Login: "ana", Name: "Ana", Role: account.Nurse, PasswordHash: signin.Hash("tulip rabbit kettle")}
	if _, err := operator.SetStaff(ctx, who); err != nil {
		t.Fatal(err)
	}
	app, err := postgres.OpenApp(ctx, db.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	now := time.Now().UTC().Truncate(time.Second)
	clock := func() time.Time { return now }
	here, there := signin.New(app, nil, clock), signin.New(app, nil, clock)
	try := func(at *signin.Service, login, password string) error {
		_, _, err := at.SignIn(ctx, netip.Addr{}, account.Proof{Login: login, Password: password})
		return err
	}
	for _, login := range []string{"ana", "eva"} {
		for i := range 10 {
			if err := try(here, login, "wrong"); fault.MessageOf(err) != "login or password is wrong" {
				t.Fatalf("%s, guess %d: %v", login, i, err)
			}
			now = now.Add(time.Minute)
		}
		now = now.Add(-10 * time.Minute)
	}
	now = now.Add(10 * time.Minute)
	known, unknown := try(there, "ana", "tulip rabbit kettle"), try(there, "eva", "tulip rabbit kettle")
	if !fault.Is(known, fault.Unavailable) || fault.MessageOf(known) != fault.MessageOf(unknown) || !strings.Contains(known.Error(), "840 s") {
		t.Errorf("locked: %v; a login that is nobody's: %v", known, unknown)
	}
	if was, err := operator.Unlock(ctx, "ana"); err != nil || !was {
		t.Errorf("unlock: %v, %v", was, err)
	}
	if err := try(there, "ana", "tulip rabbit kettle"); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
	if err := try(there, "eva", "tulip rabbit kettle"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the other one: %v", err)
	}
	now = now.Add(14 * time.Minute)
	if err := try(there, "eva", "tulip rabbit kettle"); fault.MessageOf(err) != "login or password is wrong" {
		t.Errorf("the other one after its time: %v", err)
	}
}
