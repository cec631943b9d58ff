package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/api"
	"hale/api/feed"
	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

const (
	ana   = "0198c0de-0000-7000-8000-000000000001"
	bor   = "0198c0de-0000-7000-8000-000000000002" // of another organisation
	alarm = "0198c0de-0000-7000-8000-00000000000a"
)

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// door knows people by tokens that are their role's name.
type door struct{}

func (door) SignIn(_ context.Context, _ netip.Addr, p account.Proof) (string, account.Session, error) {
	switch {
	case p.Login == "guesser":
		return "", account.Session{}, &fault.Error{Kind: fault.Unavailable, Message: "too many wrong attempts", Err: wait{}}
	case p.Login == "pharmacist" && p.Password == "right" && p.Code == "":
		return "", account.Session{}, &fault.Error{Kind: fault.Unauthenticated, Message: "a code is needed", Err: code{}}
	case p.Password != "right":
		return "", account.Session{}, fault.New(fault.Unauthenticated, "login or password is wrong")
	}
	s, err := door{}.SessionOf(context.Background(), p.Login)
	return p.Login, s, err
}

type code struct{}

func (code) Error() string  { return "code" }
func (code) Ticket() string { return "t" }

type wait struct{}

func (wait) Error() string             { return "wait" }
func (wait) RetryAfter() time.Duration { return 7 * time.Second }

func (door) SessionOf(_ context.Context, token string) (account.Session, error) {
	if token == "away" {
		return account.Session{}, fault.New(fault.Unavailable, "the record is away")
	}
	for _, role := range []account.Role{account.Nurse, account.Pharmacist, account.DeviceDesk, account.Researcher, account.Administrator} {
		if token == string(role) {
			return account.Session{UID: "s", CSRF: "csrf-" + token, ExpiresAt: noon().Add(time.Hour), Actor: account.Actor{Org: 1, Staff: 7, Name: "Nina", Role: role}}, nil
		}
	}
	return account.Session{}, fault.New(fault.Unauthenticated, "no session")
}

func (door) SignOut(context.Context, string) error { return nil }

// house is one organisation in memory, behind the real services: account.Directory, alerts.Triage and alerts.Limits.
type house struct {
	mu      sync.Mutex
	people  []account.Patient
	audit   []account.Audit
	episode alerts.Alert
	log     []alerts.Entry
	rule    alerts.Rule
	trend   alerts.Rule
	series  []alerts.SeriesQuery
	buckets []alerts.Bucket
	broken  error
}

func (h *house) Patients(context.Context, account.Actor, string, int) ([]account.Patient, error) {
	return h.people[:1], h.broken
}

func (h *house) Patient(_ context.Context, _ account.Actor, uid vital.UID) (account.Patient, error) {
	for _, p := range h.people {
		if p.UID == uid {
			return p, nil
		}
	}
	return account.Patient{}, fault.New(fault.NotFound, "there is no such patient")
}

func (h *house) AddPatient(_ context.Context, _ account.Actor, p account.Patient) (account.Patient, error) {
	if p.Number == h.people[0].Number {
		return p, fault.New(fault.Conflict, "the number %q was given already and cannot be given again", p.Number)
	}
	p.UID = alarm
	h.people = append(h.people, p)
	return p, nil
}

func (h *house) Record(_ context.Context, a account.Audit) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.audit = append(h.audit, a)
	return nil
}

func (h *house) Alerts(context.Context, account.Actor, alerts.Filter) ([]alerts.Alert, error) {
	return []alerts.Alert{h.episode}, nil
}

func (h *house) Worklist(context.Context, account.Actor) ([]alerts.Alert, error) {
	return []alerts.Alert{h.episode}, nil
}

func (h *house) Alert(_ context.Context, _ account.Actor, uid vital.UID) (alerts.Alert, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if uid != h.episode.UID {
		return alerts.Alert{}, fault.New(fault.NotFound, "there is no such alert")
	}
	return h.episode, nil
}

func (h *house) Log(context.Context, account.Actor, vital.UID) ([]alerts.Entry, error) {
	return h.log, nil
}

func (h *house) Amend(_ context.Context, _ account.Actor, uid vital.UID, decide alerts.Amendment) (alerts.Alert, []alerts.Event, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if uid != h.episode.UID {
		return alerts.Alert{}, nil, fault.New(fault.NotFound, "there is no such alert")
	}
	entries, err := decide(h.episode, noon())
	if err != nil {
		return alerts.Alert{}, nil, err
	}
	for _, e := range entries {
		h.log = append(h.log, e)
		h.episode.Version++
		if e.Kind == alerts.EntryAcknowledged {
			h.episode.State, h.episode.AckName, h.episode.AckUntil = alerts.Acknowledged, e.Actor.Name, e.Until
		} else {
			h.episode.State, h.episode.Closing, h.episode.NextStep, h.episode.ClosedAt = alerts.Closed, alerts.ClosedByPerson, e.NextStep, e.RecordedAt
		}
	}
	return h.episode, nil, nil
}

func (h *house) EventsSince(context.Context, vital.OrgID, int64, int) ([]alerts.Event, error) {
	return nil, nil
}

func (h *house) Rules(context.Context, account.Actor, vital.UID) ([]alerts.Rule, error) {
	return []alerts.Rule{h.rule, h.trend}, nil
}

func (h *house) AddVersion(_ context.Context, _ account.Actor, _ vital.UID, key alerts.RuleKey, expected int, v alerts.Version) (alerts.Rule, error) {
	rule := h.rule
	switch key {
	case h.rule.Key():
	case h.trend.Key():
		rule = h.trend
		v.Trend.Zone = h.people[0].Zone
	default:
		return alerts.Rule{}, fault.New(fault.Internal, "select rule: connection reset by 10.0.0.7")
	}
	if expected != len(rule.Versions) {
		return alerts.Rule{}, fault.New(fault.Conflict, "Zala set version %d", len(rule.Versions))
	}
	v.Number = expected + 1
	rule.Versions = append(rule.Versions[:len(rule.Versions):len(rule.Versions)], v)
	return rule, nil
}

func (h *house) Series(_ context.Context, _ account.Actor, q alerts.SeriesQuery) ([]alerts.Bucket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.series = append(h.series, q)
	return h.buckets, nil
}

func (h *house) Latest(context.Context, account.Actor, vital.UID) ([]alerts.Point, error) {
	return []alerts.Point{{Mark: alerts.Mark{At: noon()}, Metric: vital.BloodPressure, Values: []float64{172, 96}}}, nil
}

// The desk that the API is wired to in cmd fits it.
var _ api.Desk = (*devices.Desk)(nil)

// kit is a desk with one device.
type kit struct{}

func (kit) Devices(_ context.Context, actor account.Actor, _ int) ([]devices.Device, error) {
	err := account.Allow(actor, account.SeeDevices, nil)
	return []devices.Device{{UID: "hub-1", Model: "Hub", Sensors: map[string]vital.SensorID{"b": 2, "a": 1}}}, err
}

func (kit) Enrol(_ context.Context, actor account.Actor, e devices.Enrolment) (devices.Enrolled, error) {
	if e.UID == "" {
		e.UID = "made-up"
	}
	return devices.Enrolled{Device: devices.Device{UID: e.UID}, Secret: "secret"}, account.Allow(actor, account.EnrolDevice, nil)
}

func (kit) Assign(_ context.Context, actor account.Actor, b devices.Binding) (devices.Assignment, error) {
	return devices.Assignment{From: b.From, To: b.To}, account.Allow(actor, account.AssignDevice, nil)
}

func (kit) Intake(_ context.Context, actor account.Actor, _ string) (devices.Intake, error) {
	return devices.Intake{Stored: 3, Parked: 1, Quarantined: map[vital.Reason]int{vital.ReasonUnit: 2}}, account.Allow(actor, account.SeeDevices, nil)
}

func (kit) Revoke(_ context.Context, actor account.Actor, uid string) error {
	if uid != "hub-1" {
		return fault.New(fault.NotFound, "there is no device %q", uid)
	}
	return account.Allow(actor, account.EnrolDevice, nil)
}

func newHouse() *house {
	low := 90.0
	average := alerts.TrendDefaults("Europe/Ljubljana", 1941, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))[2]
	second := average.Version
	second.Number, second.Enabled, second.Reason, second.Author = 2, false, "in hospital", 3
	return &house{
		trend: alerts.Rule{UID: bor, Org: 1, Patient: 1, Kind: alerts.KindTrend, Form: alerts.FormAverage, Metric: average.Metric, Versions: []alerts.Version{average.Version, second}},
		people: []account.Patient{
			{ID: 1, UID: ana, Org: 1, Name: "Ana Novak", Number: "P-1", BirthYear: 1941, Sex: "female", Zone: "Europe/Ljubljana", Relation: account.Relation{Team: true}},
			{ID: 2, UID: bor, Org: 2, Name: "Bor"},
		},
		episode: alerts.Alert{
			Episode: alerts.Episode{
				UID: alarm, Org: 1, Patient: 1, Metric: vital.BloodPressure, State: alerts.Open, Level: alerts.Red, Version: 2,
				OpenedAt: noon(), First: alerts.Mark{At: noon(), ID: 9}, LastValues: []float64{172, 96}, Occurrences: 1,
			},
			PatientUID: ana, PatientName: "Ana Novak", PatientNumber: "P-1", RuleUID: ana, Relation: account.Relation{Team: true},
		},
		log: []alerts.Entry{{ID: 1, Kind: alerts.EntryWorsened, Level: alerts.Red, RecordedAt: noon(), Reading: alerts.Mark{At: noon(), ID: 1 << 62}, Values: []float64{172, 96}}},
		rule: alerts.Rule{UID: ana, Org: 1, Patient: 1, Kind: alerts.KindLimit, Metric: vital.BloodPressure, Versions: []alerts.Version{
			{Number: 1, EffectiveFrom: noon().AddDate(0, -2, 0), Enabled: true, Limit: alerts.Limit{Components: []alerts.Bounds{{RedLow: &low}}, K: 1, N: 1, ClearAfter: 1}},
			{Number: 2, EffectiveFrom: noon().AddDate(0, 0, -3), Enabled: false},
		}},
	}
}

// server is a whole API over the house.
func server(t *testing.T, change ...func(*api.Config)) (*api.Server, *house) {
	t.Helper()
	h := newHouse()
	log := slog.New(slog.DiscardHandler)
	cfg := api.Config{
		Directory: &account.Directory{People: h, Now: noon}, Triage: &alerts.Triage{Cases: h, Now: noon},
		Limits: &alerts.Limits{Book: h, Past: h, Now: noon}, Charts: h, Desk: kit{}, Session: &session.Keeper{SignIn: door{}}, Door: hall{},
		Feed: feed.NewHub(silence{}, h, log), Log: log, Now: noon,
	}
	for _, f := range change {
		f(&cfg)
	}
	return api.New(cfg), h
}

// silence announces nothing.
type silence struct{}

func (silence) Listen(ctx context.Context, _ func(vital.OrgID, alerts.Event)) error {
	<-ctx.Done()
	return nil
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// json reads the body into a map.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return m
}

// object is a JSON object within an answer.
func object(t *testing.T, v any) map[string]any {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%v is no object", v)
	}
	return m
}

// item is one entry of a JSON list within an answer.
func item(t *testing.T, v any, i int) map[string]any {
	t.Helper()
	list, ok := v.([]any)
	if !ok || len(list) <= i {
		t.Fatalf("%v has no item %d", v, i)
	}
	return object(t, list[i])
}

// ask sends a request as whoever's role the token names; headers come in pairs.
func ask(t *testing.T, s *api.Server, token, method, path, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader([]byte(body)))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.App().Test(r, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(b)}
}

// wantProblem fails unless the answer is a problem of the status whose detail contains the words.
func wantProblem(t *testing.T, a answer, status int, words string) {
	t.Helper()
	if a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s: %s, want a problem %d", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	p := a.json(t)
	if detail, _ := p["detail"].(string); !strings.Contains(detail, words) || p["status"] != float64(status) || p["title"] != http.StatusText(status) {
		t.Errorf("problem %s, want detail with %q", a.body, words)
	}
}
