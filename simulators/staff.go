package simulators

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Staff is a client of the staff API.
type Staff struct {
	URL   string // for example http://127.0.0.1:8080
	token string
	http  *http.Client
}

// SignIn opens a session at the staff API, trusting whom this machine trusts.
func SignIn(ctx context.Context, base, login, password string) (*Staff, error) {
	return SignInTrusting(ctx, nil, base, login, password)
}

// SignInTrusting opens a session at a staff API that speaks HTTPS with a certificate of its own authority; trust says
// whom to believe (see Trusting), nil means whom this machine trusts.
func SignInTrusting(ctx context.Context, trust *tls.Config, base, login, password string) (*Staff, error) {
	s := &Staff{URL: strings.TrimRight(base, "/"), http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, TLSClientConfig: trust}}}
	var in struct{ Token string }
	if err := s.call(ctx, http.MethodPost, "/v1/session", map[string]string{"login": login, "password": password}, nil, &in); err != nil {
		return nil, fmt.Errorf("sign in at %s as %s: %w", s.URL, login, err)
	}
	s.token = in.Token
	return s, nil
}

// Problem is an answer of the API that is no success.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error returns the status and what to mend.
func (p *Problem) Error() string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail)
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s: %s", e.Location, e.Message)
	}
	return text
}

func (s *Staff) call(ctx context.Context, method, path string, in any, header http.Header, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		p := &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p) // a body that is no problem document leaves the status
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// Person is a patient as the API shows one.
type Person struct {
	ID        string `json:"id,omitempty"`
	Name      string `json:"name"`
	Number    string `json:"number"`
	BirthYear int    `json:"birth_year,omitempty"`
	Sex       string `json:"sex,omitempty"`
	Zone      string `json:"zone"`
}

// FindPatient returns the patient with this number; ok is false when there is none.
func (s *Staff) FindPatient(ctx context.Context, number string) (p Person, ok bool, err error) {
	var found struct{ Patients []Person }
	if err := s.call(ctx, http.MethodGet, "/v1/patients?limit=10&q="+url.QueryEscape(number), nil, nil, &found); err != nil {
		return Person{}, false, fmt.Errorf("look for patient %s: %w", number, err)
	}
	for _, p := range found.Patients {
		if p.Number == number {
			return p, true, nil
		}
	}
	return Person{}, false, nil
}

// AddPatient enrols a patient and returns them with their id.
func (s *Staff) AddPatient(ctx context.Context, p Person) (Person, error) {
	var added Person
	if err := s.call(ctx, http.MethodPost, "/v1/patients", p, nil, &added); err != nil {
		return Person{}, fmt.Errorf("add patient %s: %w", p.Number, err)
	}
	return added, nil
}

// Enrol makes a device and returns its secret, which is shown this once.
func (s *Staff) Enrol(ctx context.Context, uid, model string) (secret string, err error) {
	return s.EnrolGateway(ctx, uid, model, nil)
}

// EnrolGateway makes a device that speaks for these sensors besides itself.
func (s *Staff) EnrolGateway(ctx context.Context, uid, model string, sensors []string) (secret string, err error) {
	var made struct{ Secret string }
	in := map[string]any{"uid": uid, "model": model}
	if len(sensors) > 0 {
		in["sensors"] = sensors
	}
	err = s.call(ctx, http.MethodPost, "/v1/devices", in, nil, &made)
	if err != nil {
		return "", fmt.Errorf("enrol device %s: %w", uid, err)
	}
	return made.Secret, nil
}

// Assign gives the device's own sensor to a patient from a time on.
func (s *Staff) Assign(ctx context.Context, device, patient string, from time.Time) error {
	return s.AssignSensor(ctx, device, "", patient, from)
}

// AssignSensor gives a sensor that the device speaks for, its own when the name is empty, to a patient from a time on.
func (s *Staff) AssignSensor(ctx context.Context, device, sensor, patient string, from time.Time) error {
	in := map[string]any{"patient": patient, "from": from.UTC().Format(time.RFC3339Nano)}
	if sensor != "" {
		in["sensor"] = sensor
	}
	if err := s.call(ctx, http.MethodPost, "/v1/devices/"+url.PathEscape(device)+"/assignments", in, nil, nil); err != nil {
		return fmt.Errorf("assign device %s: %w", device, err)
	}
	return nil
}

// Intake tells what became of what a device sent.
type Intake struct {
	Stored      int            `json:"stored"`
	Parked      int            `json:"parked"`
	Quarantined map[string]int `json:"quarantined"` // by reason
	Total       int            `json:"total"`       // of the three
}

// Intake asks what became of what the device sent so far.
func (s *Staff) Intake(ctx context.Context, device string) (Intake, error) {
	var in Intake
	if err := s.call(ctx, http.MethodGet, "/v1/devices/"+url.PathEscape(device)+"/intake", nil, nil, &in); err != nil {
		return Intake{}, fmt.Errorf("ask what became of the readings of %s: %w", device, err)
	}
	return in, nil
}

// Bounds are the limits of one component, as the API takes them.
type Bounds map[string]float64

// Limits is a patient's limit rule of one metric, as the API takes it.
type Limits struct {
	EffectiveFrom time.Time `json:"effective_from"`
	Reason        string    `json:"reason"`
	Enabled       bool      `json:"enabled"`
	Components    []Bounds  `json:"components"`
	K             int       `json:"k"`
	N             int       `json:"n"`
	ClearAfter    int       `json:"clear_after"`
}

// Rule is a patient's rule with its newest version.
type Rule struct {
	Metric   string   `json:"metric"`
	Version  int      `json:"version"`
	Versions []Limits `json:"versions"`
}

// Rules returns the patient's rules.
func (s *Staff) Rules(ctx context.Context, patient string) ([]Rule, error) {
	var out struct{ Rules []Rule }
	if err := s.call(ctx, http.MethodGet, "/v1/patients/"+patient+"/limits", nil, nil, &out); err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	return out.Rules, nil
}

// SetLimits makes a new version of the patient's rule of a metric on top of the given one.
func (s *Staff) SetLimits(ctx context.Context, patient, metric string, onTopOf int, l Limits) error {
	h := http.Header{"If-Match": {strconv.Quote(strconv.Itoa(onTopOf))}}
	if err := s.call(ctx, http.MethodPut, "/v1/patients/"+patient+"/limits/"+metric, l, h, nil); err != nil {
		return fmt.Errorf("set limits of %s: %w", metric, err)
	}
	return nil
}

// dryWeightForm is the rule that holds a dry weight.
const dryWeightForm = "reference"

// reference is a comparison with a personal reference, as the API takes it.
type reference struct {
	Part struct {
		From  string `json:"from"`
		Until string `json:"until"`
	} `json:"part"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Margin float64 `json:"margin"`
	Steps  []step  `json:"steps"`
}

// step is how far from a reference is looked at.
type step struct {
	Level     string  `json:"level"`
	Direction string  `json:"direction"`
	By        float64 `json:"by"`
}

// DryWeight returns the newest version of the patient's rule that holds a dry weight, and the weight in kg; zeros when
// there is none.
func (s *Staff) DryWeight(ctx context.Context, patient string) (version int, kilograms float64, err error) {
	var out struct {
		Rules []struct {
			Metric   string                           `json:"metric"`
			Form     string                           `json:"form"`
			Version  int                              `json:"version"`
			Versions []struct{ Reference *reference } `json:"versions"`
		}
	}
	if err := s.call(ctx, http.MethodGet, "/v1/patients/"+patient+"/trends", nil, nil, &out); err != nil {
		return 0, 0, fmt.Errorf("read trend rules: %w", err)
	}
	for _, r := range out.Rules {
		if r.Metric != "body_weight" || r.Form != dryWeightForm {
			continue
		}
		version = r.Version
		if n := len(r.Versions); n > 0 && r.Versions[n-1].Reference != nil {
			kilograms = r.Versions[n-1].Reference.Value
		}
	}
	return version, kilograms, nil
}

// SetDryWeight makes a rule like docs/examples/dry-weight.json with this weight in kg for a patient who has none yet.
func (s *Staff) SetDryWeight(ctx context.Context, patient string, kilograms float64, from time.Time) error {
	in := struct {
		EffectiveFrom time.Time `json:"effective_from"`
		Reason        string    `json:"reason"`
		Reference     reference `json:"reference"`
	}{from, "dry weight agreed on at enrolment", reference{Name: "dry weight", Value: kilograms, Margin: 0.3}}
	in.Reference.Part.From, in.Reference.Part.Until = "04:00", "12:00"
	in.Reference.Steps = []step{{Level: "yellow", Direction: "rise", By: 2}}
	if err := s.call(ctx, http.MethodPut, "/v1/patients/"+patient+"/trends/body_weight/"+dryWeightForm, in, http.Header{"If-Match": {"*"}}, nil); err != nil {
		return fmt.Errorf("set the dry weight: %w", err)
	}
	return nil
}

// Alert is an alert as the API shows it, as far as a score needs it.
type Alert struct {
	ID       string `json:"id"`
	Metric   string `json:"metric"`
	Kind     string `json:"kind"` // of the rule: limit or trend
	Level    string `json:"level"`
	State    string `json:"state"`
	Historic bool   `json:"historic"`
	Patient  struct {
		ID     string `json:"id"`
		Number string `json:"number"`
	} `json:"patient"`
}

// Entry is a line of an alert's timeline, as far as a score needs it.
type Entry struct {
	ID      int64  `json:"id"`
	Kind    string `json:"kind"`
	Level   string `json:"level"` // of the reading; empty where there is none
	Reading *struct {
		MeasuredAt time.Time `json:"measured_at"`
	} `json:"reading"`
}

// Alerts returns every alert of a patient.
func (s *Staff) Alerts(ctx context.Context, patient string) ([]Alert, error) {
	var all []Alert
	before := ""
	for {
		var page struct{ Alerts []Alert }
		if err := s.call(ctx, http.MethodGet, "/v1/alerts?limit=200&patient="+patient+before, nil, nil, &page); err != nil {
			return nil, fmt.Errorf("list alerts: %w", err)
		}
		all = append(all, page.Alerts...)
		if len(page.Alerts) < 200 {
			return all, nil
		}
		before = "&before=" + page.Alerts[len(page.Alerts)-1].ID
	}
}

// Alert returns one alert.
func (s *Staff) Alert(ctx context.Context, id string) (Alert, error) {
	var a Alert
	if err := s.call(ctx, http.MethodGet, "/v1/alerts/"+id, nil, nil, &a); err != nil {
		return Alert{}, fmt.Errorf("read alert: %w", err)
	}
	return a, nil
}

// Timeline returns the log of an alert, oldest first.
func (s *Staff) Timeline(ctx context.Context, alert string) ([]Entry, error) {
	var out struct{ Entries []Entry }
	if err := s.call(ctx, http.MethodGet, "/v1/alerts/"+alert+"/timeline", nil, nil, &out); err != nil {
		return nil, fmt.Errorf("read the timeline: %w", err)
	}
	return out.Entries, nil
}

// FeedEvent is what the live feed tells: ids and a version only.
type FeedEvent struct {
	Alert   string `json:"alert"`
	Patient string `json:"patient"`
	Version int    `json:"version"`
}

// Follow reads the live feed and hands each event to f, until ctx ends. A feed that breaks is opened again from the
// last event seen. It calls ready once the first feed is open.
func (s *Staff) Follow(ctx context.Context, ready func(), f func(FeedEvent)) error {
	last := ""
	for {
		err := s.follow(ctx, &last, ready, f)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how Follow is asked to end
		}
		var p *Problem
		if asProblem(err, &p) {
			return fmt.Errorf("follow the feed: %w", err)
		}
		ready = func() {}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func asProblem(err error, p **Problem) bool {
	return errors.As(err, p)
}

func (s *Staff) follow(ctx context.Context, last *string, ready func(), f func(FeedEvent)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/feed", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Accept", "text/event-stream")
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	resp, err := (&http.Client{Transport: s.http.Transport}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	}
	ready()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		if id, ok := strings.CutPrefix(line, "id:"); ok {
			*last = strings.TrimSpace(id)
		}
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			var e FeedEvent
			if json.Unmarshal([]byte(data), &e) == nil && e.Alert != "" {
				f(e)
			}
		}
	}
	return lines.Err()
}
