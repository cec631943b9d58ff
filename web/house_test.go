package web_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/api/feed"
	"hale/devices/measuring"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

const org vital.OrgID = 1

// house is a record in memory under the real services: what the screens show comes out of alerts.Triage,
// alerts.Limits, account.Directory, session.Keeper and feed.Hub.
type house struct {
	mu       sync.Mutex
	now      time.Time
	people   []account.Patient
	episodes []alerts.Alert
	logs     map[vital.UID][]alerts.Entry
	rules    map[vital.UID][]alerts.Rule
	points   map[vital.UID][]alerts.Point
	sessions map[string]account.Session
	staff    map[string]account.Actor // by login
	audit    []account.Audit
	events   []alerts.Event
	heard    func(vital.OrgID, alerts.Event)
	hub      *feed.Hub
	feeds    atomic.Int64  // how often the feed was asked for
	expected *expectations // what patients are to measure
	boxes    *boxes        // kits and devices
	folder   *folder       // certificates of devices
	pigeons  *pigeons      // where notices are sent
	troubles *troubles     // what is wrong with devices, and what they are asked
	lot      *lot          // what is parked
	safe     *safe.Safe    // nil: no screens of the data safe
	broken   error         // what every answer of the record is, when it is away
}

func newHouse(now time.Time) *house {
	h := &house{
		now: now, logs: map[vital.UID][]alerts.Entry{}, rules: map[vital.UID][]alerts.Rule{}, points: map[vital.UID][]alerts.Point{},
		sessions: map[string]account.Session{}, staff: map[string]account.Actor{},
	}
	h.boxes = newBoxes(h)
	h.folder = &folder{now: h.clock}
	h.pigeons = &pigeons{now: h.clock}
	h.troubles = &troubles{house: h}
	h.lot = &lot{house: h}
	h.expected = &expectations{house: h, plans: map[vital.UID]*measuring.History{}}
	for i, who := range []struct {
		login, name string
		role        account.Role
	}{
		{"mira", "Mira Zupan", account.Nurse}, {"jan", "Jan Kovač", account.Nurse}, {"pia", "Pia Oblak", account.Pharmacist},
		{"desk", "Dora Desk", account.DeviceDesk}, {"max", "Max Manager", account.Researcher}, {"admin", "Ada Admin", account.Administrator},
	} {
		h.staff[who.login] = account.Actor{Org: org, Staff: account.StaffID(i + 1), UID: vital.UID(who.login), Name: who.name, Role: who.role}
	}
	return h
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// pass moves the clock.
func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// demote gives everybody who is signed in another role, and closes their feeds.
func (h *house) demote(role account.Role) {
	h.mu.Lock()
	var over []vital.UID
	for token, s := range h.sessions {
		s.Actor.Role = role
		h.sessions[token], over = s, append(over, s.UID)
	}
	h.mu.Unlock()
	h.hub.End(over...)
}

func (h *house) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = err
}

// SignIn takes the login for the password.
func (h *house) SignIn(_ context.Context, _ netip.Addr, p account.Proof) (string, account.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	actor, known := h.staff[p.Login]
	if !known || p.Password != p.Login {
		return "", account.Session{}, fault.New(fault.Unauthenticated, "login or password is wrong")
	}
	n := strconv.Itoa(len(h.sessions) + 1)
	actor.Session = vital.UID("session-" + n)
	s := account.Session{UID: actor.Session, Actor: actor, CSRF: "csrf-" + n, CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(24 * 365 * 10 * time.Hour)}
	token := "token-" + rand.Text() // no two houses have the same: a browser keeps cookies by host, whatever the port
	h.sessions[token] = s
	return token, s, nil
}

func (h *house) SessionOf(_ context.Context, token string) (account.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.sessions[token]
	if !ok {
		return s, fault.New(fault.Unauthenticated, "the session has ended; sign in again")
	}
	return s, nil
}

func (h *house) SignOut(_ context.Context, token string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, token)
	return nil
}

func (h *house) Patients(_ context.Context, actor account.Actor, query string, limit int) ([]account.Patient, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []account.Patient
	for _, p := range h.people {
		if p.Org == actor.Org && strings.Contains(strings.ToLower(p.Name+" "+p.Number), strings.ToLower(query)) && len(found) < limit {
			found = append(found, p)
		}
	}
	return found, h.broken
}

func (h *house) Patient(_ context.Context, actor account.Actor, uid vital.UID) (account.Patient, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.people {
		if p.UID == uid && p.Org == actor.Org {
			return p, h.broken
		}
	}
	return account.Patient{}, fault.New(fault.NotFound, "there is no such patient")
}

func (h *house) AddPatient(_ context.Context, _ account.Actor, p account.Patient) (account.Patient, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.people = append(h.people, p)
	return p, nil
}

func (h *house) Record(_ context.Context, a account.Audit) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.audit = append(h.audit, a)
	return nil
}

// looks returns what was looked at, as the audit trail tells it.
func (h *house) looks() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, a := range h.audit {
		all = append(all, a.Actor.Name+" "+a.Object)
	}
	return all
}

func (h *house) HearsAny(context.Context, account.Actor) (bool, error) { return true, nil }

func (h *house) AlertsHeard(_ context.Context, _ account.Actor, uids []vital.UID) (map[vital.UID]bool, error) {
	heard := map[vital.UID]bool{}
	for _, uid := range uids {
		heard[uid] = true
	}
	return heard, nil
}

func (h *house) PatientsOf(ctx context.Context, actor account.Actor, uids []vital.UID) ([]account.Patient, error) {
	var list []account.Patient
	for _, uid := range uids {
		if p, err := h.Patient(ctx, actor, uid); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}

func (h *house) Alerts(_ context.Context, _ account.Actor, f alerts.Filter) ([]alerts.Alert, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []alerts.Alert
	past := f.Before == ""
	for _, a := range slices.Backward(h.episodes) {
		if past && (f.Patient == "" || f.Patient == a.PatientUID) && (len(f.States) == 0 || slices.Contains(f.States, a.State)) && len(found) < f.Limit {
			found = append(found, h.known(a))
		}
		past = past || a.UID == f.Before
	}
	return found, h.broken
}

func (h *house) Worklist(_ context.Context, _ account.Actor) ([]alerts.Alert, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var open []alerts.Alert
	for _, a := range h.episodes {
		if a.State != alerts.Closed {
			open = append(open, h.known(a))
		}
	}
	return open, h.broken
}

func (h *house) Alert(_ context.Context, _ account.Actor, uid vital.UID) (alerts.Alert, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.episodes {
		if a.UID == uid {
			return h.known(a), h.broken
		}
	}
	return alerts.Alert{}, fault.New(fault.NotFound, "there is no alert %s", uid)
}

// known notes whether something newer was measured than what contact was asked for. h.mu is held.
func (h *house) known(a alerts.Alert) alerts.Alert {
	a.Relation.Team = true
	a.Newer = slices.ContainsFunc(h.points[a.PatientUID], func(p alerts.Point) bool { return p.Metric == a.Metric && a.ContactAbout.Before(p.Mark) })
	return a
}

func (h *house) Log(_ context.Context, _ account.Actor, uid vital.UID) ([]alerts.Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.logs[uid]), nil
}

func (h *house) Amend(_ context.Context, actor account.Actor, uid vital.UID, decide alerts.Amendment) (alerts.Alert, []alerts.Event, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.episodes {
		if h.episodes[i].UID != uid {
			continue
		}
		entries, err := decide(h.known(h.episodes[i]), h.now)
		if err != nil {
			return alerts.Alert{}, nil, err
		}
		for _, e := range entries {
			e.Actor = actor
			h.append(i, e)
		}
		return h.episodes[i], []alerts.Event{h.events[len(h.events)-1]}, nil
	}
	return alerts.Alert{}, nil, fault.New(fault.NotFound, "there is no alert %s", uid)
}

// append writes an entry and the event that tells of it. h.mu is held.
func (h *house) append(i int, e alerts.Entry) {
	a := &h.episodes[i]
	e.ID = int64(len(h.events) + 1)
	if e.RecordedAt.IsZero() {
		e.RecordedAt = h.now
	}
	a.Episode = a.Apply(e)
	h.logs[a.UID] = append(h.logs[a.UID], e)
	h.events = append(h.events, alerts.Event{ID: e.ID, Org: org, Patient: a.PatientUID, Alert: a.UID, Version: a.Version})
}

func (h *house) EventsSince(_ context.Context, _ vital.OrgID, id int64, limit int) ([]alerts.Event, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var after []alerts.Event
	for _, e := range h.events {
		if e.ID > id && len(after) < limit {
			after = append(after, e)
		}
	}
	return after, nil
}

// Announce is heard by the feed.
func (h *house) Announce(_ context.Context, events []alerts.Event) {
	h.mu.Lock()
	heard := h.heard
	h.mu.Unlock()
	for _, e := range events {
		if heard != nil {
			heard(e.Org, e)
		}
	}
}

func (h *house) Listen(ctx context.Context, heard func(vital.OrgID, alerts.Event)) error {
	h.mu.Lock()
	h.heard = heard
	h.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (h *house) Rules(_ context.Context, _ account.Actor, patient vital.UID) ([]alerts.Rule, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rules[patient], nil
}

func (h *house) Latest(_ context.Context, _ account.Actor, patient vital.UID) ([]alerts.Point, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := map[vital.Metric]alerts.Point{}
	for _, p := range h.points[patient] {
		if old, some := newest[p.Metric]; !some || old.Before(p.Mark) {
			newest[p.Metric] = p
		}
	}
	var list []alerts.Point
	for _, d := range vital.Metrics() {
		if p, some := newest[d.Metric]; some {
			list = append(list, p)
		}
	}
	return list, nil
}

func (h *house) Series(_ context.Context, _ account.Actor, q alerts.SeriesQuery) ([]alerts.Bucket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []alerts.Bucket
	for _, p := range h.points[q.Patient] {
		if p.Metric == q.Metric && !p.At.Before(q.From) && p.At.Before(q.To) {
			b := alerts.Bucket{Start: p.At, Min: p.Values, Max: p.Values, Avg: p.Values, N: 1, SentAt: p.At, ReceivedAt: p.ReceivedAt}
			if p.Unsure > 0 {
				b.SentAt, b.Clock = p.At.Truncate(24*time.Hour), vital.Clock{Method: vital.ClockZone, Uncertainty: p.Unsure}
			}
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b alerts.Bucket) int { return a.Start.Compare(b.Start) })
	return list, nil
}

// admit takes a patient in, with the default limits.
func (h *house) admit(name, number string, born int, sex, zone string) account.Patient {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.people) + 1
	p := account.Patient{
		ID: vital.PatientID(n), UID: vital.UID(fmt.Sprintf("01920000-0000-7000-8000-%012d", n)), Org: org,
		Name: name, Number: number, BirthYear: born, Sex: sex, Zone: zone, CreatedAt: h.now, Relation: account.Relation{Team: true},
	}
	h.people = append(h.people, p)
	for _, d := range append(alerts.Defaults(), alerts.TrendDefaults(zone, born, h.now)...) {
		v := d.Version
		v.Number, v.EffectiveFrom, v.Enabled, v.Reason = 1, time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), true, alerts.DefaultReason
		h.rules[p.UID] = append(h.rules[p.UID], alerts.Rule{
			ID: alerts.RuleID(len(h.rules[p.UID]) + 100*n), UID: ruleUID(p.ID, d.Key()), Org: org, Patient: p.ID,
			Kind: d.Key().Kind, Form: d.Key().Form, Metric: d.Metric, Versions: []alerts.Version{v},
		})
	}
	return p
}

func ruleUID(patient vital.PatientID, key alerts.RuleKey) vital.UID {
	return vital.UID(fmt.Sprintf("rule-%d-%s", patient, key))
}

// measure stores a reading.
func (h *house) measure(p account.Patient, m vital.Metric, at time.Time, values ...float64) alerts.Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	point := alerts.Point{Mark: alerts.Mark{At: at, ID: int64(len(h.points[p.UID]) + 1)}, Metric: m, Values: values, ReceivedAt: at}
	h.points[p.UID] = append(h.points[p.UID], point)
	return point
}

// alarm opens an alert by a limit and returns its name.
func (h *house) alarm(p account.Patient, level alerts.Level, at time.Time, m vital.Metric, historic bool, values ...float64) vital.UID {
	return h.open(p, alerts.LimitOn(m), alerts.Entry{Level: level, Historic: historic}, h.measure(p, m, at, values...))
}

// trendAlarm opens a yellow alert by a trend and returns its name.
func (h *house) trendAlarm(p account.Patient, key alerts.RuleKey, at time.Time, grounds *alerts.Grounds, values ...float64) vital.UID {
	return h.open(p, key, alerts.Entry{Level: alerts.Yellow, Grounds: grounds}, h.measure(p, key.Metric, at, values...))
}

func (h *house) open(p account.Patient, key alerts.RuleKey, e alerts.Entry, point alerts.Point) vital.UID {
	h.mu.Lock()
	n := len(h.episodes) + 1
	uid := vital.UID(fmt.Sprintf("01930000-0000-7000-8000-%012d", n))
	h.episodes = append(h.episodes, alerts.Alert{
		Episode:    alerts.Episode{ID: alerts.EpisodeID(n), UID: uid, Org: org, Patient: p.ID, Rule: alerts.RuleID(n), Metric: key.Metric},
		PatientUID: p.UID, PatientName: p.Name, PatientNumber: p.Number, PatientZone: p.Zone, RuleUID: ruleUID(p.ID, key), RuleKind: key.Kind, RuleForm: key.Form,
	})
	e.Kind, e.RecordedAt, e.Reading, e.Values, e.RuleVersion, e.Worst = alerts.EntryOpened, point.ReceivedAt, point.Mark, point.Values, 1, true
	e.Vague = point.Vague()
	if e.Historic {
		e.RecordedAt = h.now.Add(-time.Hour)
	}
	h.append(n-1, e)
	event := h.events[len(h.events)-1]
	h.mu.Unlock()
	h.Announce(context.Background(), []alerts.Event{event})
	return uid
}

// log writes further entries of an alert.
func (h *house) log(uid vital.UID, entries ...alerts.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.episodes {
		if h.episodes[i].UID == uid {
			for _, e := range entries {
				h.append(i, e)
			}
		}
	}
}

// triage is the real service over this record.
func (h *house) triage() *alerts.Triage { return &alerts.Triage{Cases: h, Announcer: h, Now: h.clock} }
