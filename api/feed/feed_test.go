package feed

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// air is an in-process source.
type air struct {
	mu    sync.Mutex
	heard func(vital.OrgID, alerts.Event)
	ready chan struct{}
}

func (a *air) Listen(ctx context.Context, heard func(vital.OrgID, alerts.Event)) error {
	a.mu.Lock()
	a.heard = heard
	a.mu.Unlock()
	close(a.ready)
	<-ctx.Done()
	return ctx.Err()
}

func (a *air) announce(events ...alerts.Event) {
	<-a.ready
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range events {
		a.heard(e.Org, e)
	}
}

// ledger is a record that answers, as the real one may, with events that were told before.
type ledger struct {
	mu     sync.Mutex
	events []alerts.Event
	err    error
	window int64 // how far behind the id it looks, as the real one does by time; 10 when 0
	asked  []int64
}

func (l *ledger) EventsSince(_ context.Context, org vital.OrgID, id int64, limit int) ([]alerts.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, id)
	window := l.window
	if window == 0 {
		window = 10
	}
	var list []alerts.Event
	for _, e := range l.events {
		if e.Org == org && e.ID > id-window && e.ID != id && len(list) < limit {
			list = append(list, e)
		}
	}
	return list, l.err
}

func (l *ledger) write(events ...alerts.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, events...)
}

// door knows tokens as "<org>:<role>" or "<org>:<role>:<session>"; a person can be sent away.
type door struct {
	mu    sync.Mutex
	gone  error
	asked int
}

func (d *door) SessionOf(_ context.Context, token string) (account.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	org, role, _ := strings.Cut(token, ":")
	n, err := strconv.Atoi(org)
	if err != nil {
		return account.Session{}, fault.New(fault.Unauthenticated, "no session")
	}
	d.asked++
	role, name, _ := strings.Cut(role, ":")
	return account.Session{Actor: account.Actor{Org: vital.OrgID(n), Role: account.Role(role), Name: name, Session: vital.UID(name)}}, d.gone
}

func (d *door) close(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = err
}

// register is the people: everybody of the actor's organisation is in their care team, but for those who have left it.
type register struct {
	mu    sync.Mutex
	left  bool
	err   error
	asked int
}

// AlertsHeard says that every alert may be heard of but those that are private.
func (r *register) AlertsHeard(_ context.Context, _ account.Actor, uids []vital.UID) (map[vital.UID]bool, error) {
	heard := map[vital.UID]bool{}
	for _, uid := range uids {
		heard[uid] = uid != "private"
	}
	return heard, nil
}

// HearsAny says that nothing is shared with who is called a stranger.
func (r *register) HearsAny(_ context.Context, actor account.Actor) (bool, error) {
	return actor.Name != "stranger", nil
}

func (r *register) PatientsOf(_ context.Context, actor account.Actor, uids []vital.UID) ([]account.Patient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	var list []account.Patient
	for _, uid := range uids {
		if uid == patientOf(actor.Org) {
			list = append(list, account.Patient{UID: uid, Org: actor.Org, Relation: account.Relation{Team: !r.left}})
		}
	}
	return list, r.err
}

func (r *register) set(left bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.err = left, err
}

func patientOf(org vital.OrgID) vital.UID { return vital.UID(fmt.Sprintf("p%d", org)) }

type tokenKey struct{}

// who is the part of api/session that a feed needs.
func (b *bed) who(ctx context.Context) (account.Actor, string) {
	token, _ := ctx.Value(tokenKey{}).(string)
	s, err := b.door.SessionOf(ctx, token)
	if err != nil {
		return account.Actor{}, ""
	}
	return s.Actor, token
}

func statuses() map[fault.Kind]int {
	return map[fault.Kind]int{
		fault.Unauthenticated: http.StatusUnauthorized, fault.Forbidden: http.StatusForbidden, fault.Unavailable: http.StatusServiceUnavailable,
	}
}

// bed is a feed on a port of its own.
type bed struct {
	hub  *Hub
	air  *air
	log  *ledger
	door *door
	reg  *register
	url  string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{air: &air{ready: make(chan struct{})}, log: &ledger{}, door: &door{}, reg: &register{}}
	b.hub = NewHub(b.air, b.log, slog.New(slog.DiscardHandler))
	app := fiber.New(fiber.Config{DisableStartupMessage: true, Immutable: true, ErrorHandler: func(c *fiber.Ctx, err error) error {
		return c.Status(statuses()[fault.KindOf(err)]).SendString(fault.MessageOf(err))
	}})
	stream := &Stream{Hub: b.hub, Who: b.who, Sessions: b.door, People: b.reg, Heartbeat: 20 * time.Millisecond, Recheck: 20 * time.Millisecond}
	app.Get("/v1/feed", func(c *fiber.Ctx) error {
		c.SetUserContext(context.WithValue(c.UserContext(), tokenKey{}, c.Get("Authorization")))
		return stream.Handle(c)
	})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + l.Addr().String() + "/v1/feed"
	served := make(chan error, 1)
	go func() { served <- app.Listener(l) }()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- b.hub.listen(ctx) }() // the tests themselves say when to catch up
	t.Cleanup(func() {
		cancel()
		b.hub.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b
}

// ear is one open feed, read line by line.
type ear struct {
	res   *http.Response
	lines *bufio.Scanner
	hub   *Hub
}

func (b *bed) open(t *testing.T, token, lastID string) *ear {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	if id, err := strconv.ParseInt(lastID, 10, 64); err == nil {
		org, _, _ := strings.Cut(token, ":")
		n, _ := strconv.Atoi(org)
		r.Header.Set("Last-Event-ID", b.hub.cursors.of(vital.OrgID(n), id))
	} else if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return &ear{res: res, lines: bufio.NewScanner(res.Body), hub: b.hub}
}

// next returns the next event as "id event data", or "" when the feed has ended. Heartbeats are passed over.
func (e *ear) next() string {
	var id, name, data string
	for e.lines.Scan() {
		field, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch field {
		case "id":
			id = readable(e.hub, value)
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if name != "" {
				return strings.TrimSpace(id + " " + name + " " + data)
			}
		}
	}
	if err := e.lines.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// readable returns the number behind an event's id.
func readable(h *Hub, id string) string {
	for _, org := range []vital.OrgID{1, 2} {
		if n, ok := h.cursors.read(org, id); ok {
			return strconv.FormatInt(n, 10)
		}
	}
	return id
}

// lone returns a listener without a server, with a place of its own.
func lone(t *testing.T, s *Stream, actor account.Actor, token string, out *strings.Builder) *listener {
	t.Helper()
	s.Hub = NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	place, err := s.Hub.subscribe(actor)
	if err != nil {
		t.Fatal(err)
	}
	return &listener{Stream: s, place: place, actor: actor, token: token, out: bufio.NewWriter(out), told: map[int64]struct{}{}}
}

func event(org vital.OrgID, id int64) alerts.Event {
	return alerts.Event{ID: id, Org: org, Patient: patientOf(org), Alert: vital.UID(fmt.Sprintf("a%d", id)), Version: int(id)}
}

func told(id int64) string { return toldOf(1, id) }

func toldOf(org vital.OrgID, id int64) string {
	return fmt.Sprintf(`%d alert {"alert":"a%d","patient":%q,"version":%d}`, id, id, patientOf(org), id)
}

const reload = "reload {}"

func (e *ear) want(t *testing.T, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if got := e.next(); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func TestEveryBoardOfTheOrganisationHearsAnEventOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	one, two, other := b.open(t, "1:nurse", ""), b.open(t, "1:pharmacist", ""), b.open(t, "2:nurse", "")
	for _, e := range []*ear{one, two, other} {
		e.want(t, reload)
	}
	b.air.announce(event(1, 5), event(1, 5), event(2, 6), event(1, 4))
	b.air.announce(event(1, 9), event(2, 9))
	one.want(t, told(5), told(4), told(9))
	two.want(t, told(5), told(4), told(9))
	other.want(t, toldOf(2, 6), toldOf(2, 9))
}

func TestALostAnnouncementIsCaughtUp(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.open(t, "1:nurse", "")
	e.want(t, reload)
	b.air.announce(event(1, 20))
	b.log.write(event(1, 19), event(1, 20), event(1, 21), event(2, 22))
	b.hub.runOnce(t.Context(), time.Now())
	b.air.announce(event(1, 23))
	e.want(t, told(20), told(19), told(21), told(23))
}

func TestResume(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for id := int64(1); id <= 30; id++ {
		b.log.write(event(1, id))
	}
	e := b.open(t, "1:nurse", "25")
	for id := int64(16); id <= 30; id++ {
		if id != 25 {
			e.want(t, told(id))
		}
	}
	b.air.announce(event(1, 30), event(1, 31))
	e.want(t, told(31))
}

func TestWhoMissedTooMuchLoadsAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for id := int64(1); id <= resumeLimit+20; id++ {
		b.log.write(event(1, id))
	}
	e := b.open(t, "1:nurse", "5")
	e.want(t, reload)
	b.log.err = fault.New(fault.Unavailable, "away")
	b.open(t, "1:nurse", "20020").want(t, reload)
}

func TestAFloodIsOneReload(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.log.window = 1_000_000
	e := b.open(t, "1:nurse", "")
	e.want(t, reload)
	for id := int64(1); id <= catchUpLimit+5; id++ {
		b.log.write(event(1, id))
	}
	now := time.Now()
	b.hub.runOnce(t.Context(), now)
	b.hub.runOnce(t.Context(), now.Add(reloadEvery)) // nothing in it that was not told
	b.air.announce(event(1, 100_000))
	e.want(t, reload, told(100_000))

	b.log.mu.Lock()
	b.log.events = append([]alerts.Event{event(1, 99_000)}, b.log.events...)
	b.log.mu.Unlock()
	b.hub.runOnce(t.Context(), now.Add(reloadEvery/2)) // too soon for another
	b.air.announce(event(1, 100_001))
	e.want(t, told(100_001))
	b.hub.runOnce(t.Context(), now.Add(reloadEvery))
	e.want(t, reload)
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	if last := b.log.asked[len(b.log.asked)-1]; last != 100_001 {
		t.Errorf("the record was asked for what came after %d", last)
	}
}

func TestEachEventIsAskedAbout(t *testing.T) {
	t.Parallel()
	for role, want := range map[account.Role]bool{account.Nurse: true, account.DeviceDesk: false} {
		var sent strings.Builder
		l := lone(t, &Stream{People: &register{}}, account.Actor{Org: 1, Role: role}, "", &sent)
		if !l.tell(t.Context(), news{event: event(1, 3)}, news{event: event(2, 4)}) {
			t.Fatal("the client is gone")
		}
		if got := strings.Contains(sent.String(), `{"alert":"a3"`); got != want || strings.Contains(sent.String(), "a4") {
			t.Errorf("%s was told %q", role, sent.String())
		}
	}
}

func TestWhoLeavesTheCareTeamHearsNoMoreOfThePatient(t *testing.T) {
	t.Parallel()
	var sent strings.Builder
	reg := &register{}
	l := lone(t, &Stream{People: reg}, account.Actor{Org: 1, Role: account.Nurse}, "", &sent)
	ask := func(at time.Time) (hears, ok bool) {
		got, ok := l.ask(t.Context(), []news{{event: event(1, 3)}, {event: event(1, 4)}, {event: event(1, 5)}}, at)
		return got["p1"], ok
	}
	now := time.Now()
	if hears, ok := ask(now); !ok || !hears || reg.asked != 1 {
		t.Fatalf("the team's nurse: %v %v, after %d questions", hears, ok, reg.asked)
	}
	reg.set(true, nil)
	if _, ok := ask(now.Add(reachLasts)); !ok || reg.asked != 1 {
		t.Errorf("asked %d times within a second", reg.asked)
	}
	if hears, ok := ask(now.Add(reachLasts + time.Millisecond)); !ok || hears {
		t.Errorf("who left the team still hears: %v %v", hears, ok)
	}
	reg.set(false, fault.New(fault.Unavailable, "away"))
	if _, ok := ask(now.Add(3 * reachLasts)); ok || l.tell(t.Context(), news{event: event(1, 6)}) {
		t.Error("told although nobody can say who may hear it")
	}
}

func TestWhoMayNotListenIsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for token, want := range map[string]int{"x": 401, "1:device_desk": 403, "1:researcher": 403, "1:caregiver:stranger": 403} {
		if e := b.open(t, token, ""); e.res.StatusCode != want {
			t.Errorf("%s: %d, want %d", token, e.res.StatusCode, want)
		}
	}
	if n := b.hub.Count(); n != 0 {
		t.Errorf("%d connections were kept for requests that were refused", n)
	}
}

func TestASessionsEndClosesItsFeeds(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.open(t, "1:nurse", "")
	e.want(t, reload)
	b.door.close(fault.New(fault.Unauthenticated, "ended"))
	e.want(t, "")
	waitFor(t, "the connection to leave the hub", func() bool { return b.hub.Count() == 0 })
}

func TestARecordThatIsAwayForAMomentClosesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.open(t, "1:nurse", "")
	e.want(t, reload)
	b.door.close(fault.New(fault.Unavailable, "away"))
	for range 10 { // ten heartbeats: as many looks at the session
		for e.lines.Scan() && e.lines.Text() != ":" {
			continue
		}
	}
	b.air.announce(event(1, 7))
	e.want(t, told(7))
}

func TestTheSessionIsAskedForTooLong(t *testing.T) {
	t.Parallel()
	nurse := account.Actor{Org: 1, Role: account.Nurse}
	l := lone(t, &Stream{Sessions: &door{gone: fault.New(fault.Unavailable, "away")}, People: &register{}}, nurse, "1:nurse", &strings.Builder{})
	start := time.Now()
	for after, want := range map[time.Duration]bool{0: true} {
		if got := l.stillSignedIn(t.Context(), start.Add(after)); got != want {
			t.Errorf("after %s: %v", after, got)
		}
	}
	if !l.stillSignedIn(t.Context(), start.Add(awayAtMost-time.Second)) {
		t.Error("closed too early")
	}
	if l.stillSignedIn(t.Context(), start.Add(awayAtMost)) {
		t.Error("a session that nobody can check goes on for ever")
	}
	for token, want := range map[string]bool{"1:nurse": true, "1:device_desk": false, "2:nurse": false} {
		l := lone(t, &Stream{Sessions: &door{}, People: &register{}}, nurse, token, &strings.Builder{})
		if got := l.stillSignedIn(t.Context(), start); got != want {
			t.Errorf("a session that has become %s goes on: %v", token, got)
		}
	}
}

func TestAClientThatIsGoneLeaves(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.open(t, "1:nurse", "")
	e.want(t, reload)
	if b.hub.Count() != 1 {
		t.Fatalf("%d connections", b.hub.Count())
	}
	e.res.Body.Close()
	waitFor(t, "a heartbeat to find that the client is gone", func() bool { return b.hub.Count() == 0 })
}

// waitFor polls a condition until it holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestACaregiverHearsNeitherOfAPrivateAlertNorThatThereWasOne: not a byte is sent at its moment.
func TestACaregiverHearsNeitherOfAPrivateAlertNorThatThereWasOne(t *testing.T) {
	t.Parallel()
	var sent strings.Builder
	caregiver := account.Actor{Org: 1, Caregiver: 7, Role: account.CaregiverRole}
	l := lone(t, &Stream{People: &register{}}, caregiver, "", &sent)
	l.place.person.reach[patientOf(1)] = reached{yes: true, at: time.Now()}
	private := event(1, 3)
	private.Alert = "private"
	if !l.tell(t.Context(), news{event: private}) || sent.Len() != 0 {
		t.Errorf("of a private alert they are sent %q", sent.String())
	}
	if !l.tell(t.Context(), news{event: private}, news{event: event(1, 4)}) || !strings.Contains(sent.String(), "id: "+l.Hub.cursors.of(1, 4)+"\n") || strings.Contains(sent.String(), "private") {
		t.Errorf("of another beside it %q", sent.String())
	}
}
