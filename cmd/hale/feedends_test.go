package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/signin"
	"hale/postgres"
	"hale/simulators"
)

// follow opens a live feed and returns what is closed when the feed ends.
func follow(t *testing.T, url string, headers ...string) <-chan struct{} {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/feed", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the feed was answered with %d", res.StatusCode)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = res.Body.Close() }()
		b := make([]byte, 4096)
		for first := true; ; first = false {
			n, err := res.Body.Read(b)
			if first && n > 0 {
				close(begun)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-begun: // it is told to load, so its place is taken
	case <-time.After(10 * time.Second):
		t.Fatal("the feed says nothing")
	}
	return ended
}

// TestTheEndOfASessionClosesItsFeedsOnEveryAPI: two processes with role api over one record and one NATS.
func TestTheEndOfASessionClosesItsFeedsOnEveryAPI(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	addr := freeAddr(t)
	isReady(t, a.serve(t, "api", "--http", addr))
	here, there := &front{url: "http://" + a.http}, &front{url: "http://" + addr}
	signInAs := func(login, password string) []string {
		in := here.ask(t, "POST", "/v1/session", `{"login":"`+login+`","password":"`+password+`"}`)
		if in.status != http.StatusOK {
			t.Fatalf("%d %s", in.status, in.body)
		}
		return bearer(in.text(t, "token"))
	}
	signIn := func() []string { return signInAs("ana", a.password) }
	boss := signIn()
	_, err := postgres.Operator{AdminURL: a.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{
		Organisation: "Home", Login: "nina", Name: "Nina", Role: account.Nurse, PasswordHash: signin.Hash(frontPassword), Founding: postgres.KnownOnly,
	})
	if err != nil {
		t.Fatal(err)
	}
	nurse := signInAs("nina", frontPassword)
	patient, err := a.staff.AddPatient(t.Context(), simulators.Person{Name: "Person", Number: "1", Sex: "unknown", Zone: "Europe/Ljubljana"})
	if err != nil {
		t.Fatal(err)
	}
	id := func(of []string) string {
		_, rest, _ := strings.Cut(here.ask(t, "GET", "/v1/me/sessions", "", of...).body, `"id":"`)
		return rest[:36]
	}
	console := func(args ...string) {
		p := start(t, append(args, "--database", a.db.AdminURL())...)
		<-p.ended
		if p.stderr.String() != "" {
			t.Fatal(p.stderr.String())
		}
	}
	want := func(status int, a answered) {
		t.Helper()
		if a.status != status {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	bystander := follow(t, there.url, signIn()...)
	for _, c := range []struct {
		name string
		end  func(t *testing.T) (feeds []<-chan struct{}, end func())
	}{
		{"signing out", func(t *testing.T) ([]<-chan struct{}, func()) {
			t.Helper()
			who := signIn()
			return []<-chan struct{}{follow(t, here.url, who...), follow(t, there.url, who...)}, func() { want(http.StatusNoContent, here.ask(t, "DELETE", "/v1/session", "", who...)) }
		}},
		{"ending it from another session, at the other API", func(t *testing.T) ([]<-chan struct{}, func()) {
			t.Helper()
			who := signIn()
			session := id(who)
			return []<-chan struct{}{follow(t, here.url, who...), follow(t, there.url, who...)}, func() { want(http.StatusNoContent, there.ask(t, "DELETE", "/v1/me/sessions/"+session, "", boss...)) }
		}},
		{"a lost phone", func(t *testing.T) ([]<-chan struct{}, func()) {
			t.Helper()
			code := here.ask(t, "POST", "/v1/patients/"+patient.ID+"/codes", `{}`, nurse...).text(t, "code")
			in := there.redeem(t, code)
			who := phone{token: in.text(t, "token"), device: in.text(t, "device")}.headers()
			path := "/v1/patients/" + patient.ID + "/sessions/" + id(who)
			return []<-chan struct{}{follow(t, here.url, who...), follow(t, there.url, who...)}, func() { want(http.StatusNoContent, here.ask(t, "DELETE", path, "", nurse...)) }
		}},
		{"a revoked key", func(t *testing.T) ([]<-chan struct{}, func()) {
			t.Helper()
			made := here.ask(t, "POST", "/v1/keys", `{"name":"feed","scopes":["see alerts"]}`, boss...)
			who := bearer(made.text(t, "token"))
			return []<-chan struct{}{follow(t, here.url, who...), follow(t, there.url, who...)}, func() {
				want(http.StatusNoContent, here.ask(t, "DELETE", "/v1/keys/"+made.text(t, "id"), "", boss...))
			}
		}},
	} {
		feeds, end := c.end(t)
		began := time.Now()
		end()
		for i, feed := range feeds {
			closesBy(t, c.name, i, feed, began.Add(time.Second))
		}
	}
	select {
	case <-bystander:
		t.Error("the feed of a session that goes on was closed")
	default:
	}

	// The console tells nobody: each process finds out from the record. What counts is the moment of the record's row.
	who := signIn()
	feeds := []<-chan struct{}{follow(t, here.url, who...), follow(t, there.url, who...), bystander}
	ended := make(chan time.Time, len(feeds))
	for _, feed := range feeds {
		go func() {
			<-feed
			ended <- time.Now()
		}()
	}
	console("staff", "end-sessions", "--login", "ana")
	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var at time.Time
	if err := conn.QueryRow(t.Context(), `SELECT max(ended_at) FROM session`).Scan(&at); err != nil {
		t.Fatal(err)
	}
	for range feeds {
		select {
		case closed := <-ended:
			if took := closed.Sub(at); took > time.Second {
				t.Errorf("after the console ended the session, a feed lived on for %s", took)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("after the console ended the session, a feed lives on")
		}
	}
}

func closesBy(t *testing.T, name string, i int, feed <-chan struct{}, by time.Time) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), by)
	defer cancel()
	select {
	case <-feed:
	case <-ctx.Done():
		t.Errorf("%s: the feed at API %d lives on after a second", name, i+1)
	}
}
