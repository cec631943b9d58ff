package oidc_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/account"
	"hale/account/signin/oidc"
	"hale/fault"
	"hale/internal/oidcprovider"
	"hale/vital"
)

const (
	hale   = "https://hale.test"
	person = "8f1c-ana" // the provider's name for her
)

// record is a record in memory; the real one is tested in package postgres and with everything in cmd/hale.
type record struct {
	mu       sync.Mutex
	flows    map[string]string
	until    map[string]time.Time
	admitted []account.Admission
	sessions []account.Session
	refused  []string
	out      []account.SignedOut
	hint     []byte
	barred   error
}

func (r *record) BeginFlow(_ context.Context, hash []byte, next string, _, until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flows[string(hash)], r.until[string(hash)] = next, until
	return nil
}

func (r *record) TakeFlow(_ context.Context, hash []byte, now time.Time) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, there := r.flows[string(hash)]
	delete(r.flows, string(hash))
	if !there || !now.Before(r.until[string(hash)]) {
		return "", fault.New(fault.NotFound, "none")
	}
	return next, nil
}

func (r *record) Admit(_ context.Context, a account.Admission, _ []byte, s account.Session) (account.Session, []vital.UID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.barred != nil {
		return account.Session{}, nil, r.barred
	}
	r.admitted, r.sessions, r.hint = append(r.admitted, a), append(r.sessions, s), a.Hint
	s.Actor = account.Actor{Org: 1, Staff: 7, Name: a.Name, Role: a.Role, Session: s.UID}
	return s, nil, nil
}

func (r *record) Refuse(_ context.Context, _ account.Identity, reason string) ([]vital.UID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, reason)
	return []vital.UID{"refused"}, nil
}

func (r *record) EndSignedOut(_ context.Context, out account.SignedOut) ([]vital.UID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.out, func(o account.SignedOut) bool { return bytes.Equal(o.Token, out.Token) }) {
		return nil, fault.New(fault.Conflict, "said before")
	}
	r.out = append(r.out, out)
	return []vital.UID{"ended"}, nil
}

func (r *record) SignOutHint(context.Context, account.Actor) ([]byte, bool, error) {
	return r.hint, r.hint != nil, nil
}

// place is a provider with one person, and Hale's side of it.
type place struct {
	*oidcprovider.Provider
	service *oidc.Service
	record  *record
	log     *bytes.Buffer
	ended   []vital.UID
	now     func() time.Time
}

const mapping = `{"scopes": ["groups"], "rules": [{"claim": "groups", "value": "nurses", "organisation": "North", "role": "nurse", "teams": ["Day"]}]}`

func newPlace(t *testing.T, mapping string) *place {
	t.Helper()
	p := &place{Provider: oidcprovider.Start(t), record: &record{flows: map[string]string{}, until: map[string]time.Time{}}, log: &bytes.Buffer{}, now: time.Now}
	p.Register(t, hale+account.ProviderCallback, hale+"/signin")
	p.Know(person, map[string]any{"name": "Ana Novak", "email": "ana@example.org", "groups": []string{"nurses"}})
	p.service = p.hale(t, mapping)
	return p
}

// hale returns a Hale that has not asked the provider anything yet.
func (p *place) hale(t *testing.T, mapping string) *oidc.Service {
	t.Helper()
	s, err := oidc.New(oidc.Config{
		Issuer: p.Issuer, ClientID: oidcprovider.Client, ClientSecret: oidcprovider.Secret, Provider: "Care Login", URL: hale,
		Mapping: parse(t, mapping), Record: p.record, Log: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: func() time.Time { return p.now() },
		Ended: func(uids ...vital.UID) { p.ended = append(p.ended, uids...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// begin begins to sign in, and returns where the browser is sent and what it keeps.
func (p *place) begin(t *testing.T) (address, kept string) {
	t.Helper()
	address, kept, _, err := p.service.Begin(t.Context(), "/patients")
	if err != nil {
		t.Fatal(err)
	}
	return address, kept
}

// through signs somebody in at the provider, and returns what it sends back with the browser.
func through(t *testing.T, address, subject string) account.ProviderAnswer {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(url.Values{"subject": {subject}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if method == http.MethodGet {
			continue
		}
		to, err := res.Location()
		if err != nil {
			t.Fatalf("the provider answers with %s and sends nobody back: %v", res.Status, err)
		}
		if !strings.HasPrefix(to.String(), hale+account.ProviderCallback+"?") {
			t.Fatalf("the provider sends the browser to %s", to)
		}
		q := to.Query()
		return account.ProviderAnswer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), Label: "Firefox on Linux"}
	}
	return account.ProviderAnswer{}
}

// finish returns the error of the way back alone.
func (p *place) finish(t *testing.T, kept string, a account.ProviderAnswer) error {
	t.Helper()
	_, _, _, err := p.service.Finish(t.Context(), kept, a)
	return err
}

// nobodyIn checks that nobody came in, and that neither words nor log name anybody.
func (p *place) nobodyIn(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("answered with %v (%s), want %s", err, fault.KindOf(err), want)
	}
	if len(p.record.admitted) != 0 {
		t.Errorf("somebody came in: %+v", p.record.admitted)
	}
	p.namesNobody(t)
}

func (p *place) namesNobody(t *testing.T) {
	t.Helper()
	for _, secret := range []string{"Ana", "Novak", "ana@", person, oidcprovider.Secret} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, p.log)
		}
	}
}
