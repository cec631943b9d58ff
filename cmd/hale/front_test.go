package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/consent"
	"hale/account/signin"
	"hale/alerts"
	"hale/api"
	"hale/api/feed"
	"hale/api/session"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
	"hale/web"
)

// The password of everybody whom a front knows.
const frontPassword = "tulip rabbit kettle"

// front is the API and the screens on a real record, with a clock that the test moves. A nurse, an administrator and a stranger
// of another organisation can sign in; the nurse looks after ana, bor and cene.
type front struct {
	db             pgtest.Database
	app            *postgres.App
	url            string
	lines          http.RoundTripper // of the requests
	admin          *pgx.Conn         // the database's superuser; not for two at once
	ana, bor, cene account.Patient

	mu  sync.Mutex
	now time.Time
}

func (f *front) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *front) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// mute announces nothing.
type mute struct{}

func (mute) Listen(ctx context.Context, _ func(vital.OrgID, alerts.Event)) error {
	<-ctx.Done()
	return nil
}

// newFront starts a front that believes the given proxies.
func newFront(t *testing.T, proxies ...string) *front {
	t.Helper()
	ctx, log := t.Context(), watched(t)
	f := &front{db: pgtest.New(t), lines: &http.Transport{DisableKeepAlives: true}, now: time.Now().UTC()}
	var err error
	if f.app, err = postgres.OpenApp(ctx, f.db.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.app.Close)
	if f.admin, err = pgx.Connect(ctx, f.db.AdminURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.admin.Close(context.Background()) })
	boss := f.staff(t, "Home", "boss", account.Administrator)
	f.staff(t, "Home", "nina", account.Nurse)
	f.staff(t, "Elsewhere", "eva", account.Nurse)
	for at, p := range map[*account.Patient]string{&f.ana: "Ana Novak", &f.bor: "Bor Kos", &f.cene: "Cene Rus"} {
		if *at, err = f.app.AddPatient(ctx, boss, account.Patient{Name: p, Sex: "unknown", Zone: "Europe/Ljubljana"}); err != nil {
			t.Fatal(err)
		}
	}
	trusted, err := session.ParseProxies(proxies)
	if err != nil {
		t.Fatal(err)
	}
	door := signin.New(f.app, nil, f.clock)
	keeper := &session.Keeper{SignIn: door, Codes: door, Keys: door, Proxies: trusted}
	directory := &account.Directory{People: f.app, Now: f.clock}
	triage := &alerts.Triage{Cases: f.app, Now: f.clock}
	limits := &alerts.Limits{Book: f.app, Now: f.clock}
	hub := feed.NewHub(mute{}, f.app, log)
	door.Ended = hub.End
	consents, caregivers, offboarding := &consent.Consents{Store: f.app}, &consent.Caregivers{Store: f.app}, &consent.Offboarding{Store: f.app}
	ownData := safe.New(f.app, nil, &account.Looks{Log: f.app, Now: f.clock}, f.clock)
	pages := web.New(web.Config{
		Directory: directory, Triage: triage, Limits: limits, Charts: f.app, Sessions: keeper, Factors: door, Log: log, Now: f.clock,
		Door: door, Safe: ownData, Consents: consents, Caregivers: caregivers, Offboarding: offboarding,
	})
	server := api.New(api.Config{
		Directory: directory, Triage: triage, Limits: limits, Charts: f.app, Session: keeper, Door: door,
		Consents: consents, Caregivers: caregivers, Offboarding: offboarding, Safe: ownData,
		Credentials: f.credentials(), Ways: f.ways,
		Feed: hub, People: f.app, Log: log, Now: f.clock,
		Organisation: f.app.Organisation, Mount: []api.Mount{pages.Mount}, ErrorPage: pages.ErrorPage,
	})
	at, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + at.Addr().String()
	serving, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(serving, at) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *front) staff(t *testing.T, org, login string, role account.Role) account.Actor {
	t.Helper()
	who, err := postgres.Operator{AdminURL: f.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{
		Organisation: org, Login: login, Name: login + " of " + org, Role: role, PasswordHash: signin.Hash(frontPassword),
	})
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// count asks the database as its superuser.
func (f *front) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := f.admin.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (f *front) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := f.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// answered is a response that was read.
type answered struct {
	status  int
	header  http.Header
	body    string
	cookies map[string]string
}

func (a answered) text(t *testing.T, field string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	s, _ := m[field].(string)
	return s
}

// ask sends a request; headers come in pairs.
func (f *front) ask(t *testing.T, method, path, body string, headers ...string) answered {
	t.Helper()
	a, err := f.try(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is ask for goroutines.
func (f *front) try(ctx context.Context, method, path, body string, headers ...string) (answered, error) {
	r, err := http.NewRequestWithContext(ctx, method, f.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answered{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: f.lines, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	a := answered{status: res.StatusCode, header: res.Header, body: string(b), cookies: map[string]string{}}
	for _, c := range res.Cookies() {
		a.cookies[c.Name] = c.Value
	}
	return a, err
}

// signIn returns the headers that speak for a member of staff.
func (f *front) signIn(t *testing.T, login string) []string {
	t.Helper()
	in := f.ask(t, "POST", "/v1/session", `{"login":"`+login+`","password":"`+frontPassword+`"}`)
	if in.status != http.StatusOK {
		t.Fatalf("%s: %d %s", login, in.status, in.body)
	}
	return []string{"Authorization", "Bearer " + in.text(t, "token")}
}

// code lets a nurse make a code for a patient.
func (f *front) code(t *testing.T, nurse []string, p account.Patient) string {
	t.Helper()
	made := f.ask(t, "POST", "/v1/patients/"+string(p.UID)+"/codes", `{}`, nurse...)
	if made.status != http.StatusCreated {
		t.Fatalf("%d %s", made.status, made.body)
	}
	return made.text(t, "code")
}

func (f *front) redeem(t *testing.T, code string, headers ...string) answered {
	t.Helper()
	return f.ask(t, "POST", "/v1/session/code", `{"code":"`+code+`"}`, headers...)
}

// phone is a patient's app that has signed in.
type phone struct{ token, device, csrf string }

func (p phone) headers() []string {
	return []string{"Authorization", "Bearer " + p.token, "Hale-Device", p.device}
}

func (p phone) cookies() string { return "hale_session=" + p.token + "; hale_device=" + p.device }

// phone signs a patient in.
func (f *front) phone(t *testing.T, nurse []string, of account.Patient) phone {
	t.Helper()
	in := f.redeem(t, f.code(t, nurse, of))
	if in.status != http.StatusOK {
		t.Fatalf("%d %s", in.status, in.body)
	}
	return phone{token: in.text(t, "token"), device: in.text(t, "device"), csrf: in.text(t, "csrf")}
}
