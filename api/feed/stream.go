package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

const (
	heartbeatEvery = 5 * time.Second  // a client that is gone shows only in a failing flush
	sessionEvery   = 30 * time.Second // how often a feed is a sign of life of its person; that a session is over, Hub notices
	askWithin      = 3 * time.Second
	flushWithin    = 10 * time.Second
	reachLasts     = time.Second      // how long an answer about who reaches whom is good
	awayAtMost     = 30 * time.Second // how long the record may be away before a session that cannot be checked ends
	resumeLimit    = 20_000           // a client that missed more than this is told to load anew
)

// Sessions tells whether a session lasts (account/signin.Service); fault.Unauthenticated when it does not.
type Sessions interface {
	SessionOf(ctx context.Context, token string) (account.Session, error)
}

// People tells who is within an actor's view, and what the actor is to them (account.Patient.Relation).
type People interface {
	PatientsOf(ctx context.Context, actor account.Actor, uids []vital.UID) ([]account.Patient, error)
	// AlertsHeard is asked for caregivers besides: not every alert of a patient is for them.
	AlertsHeard(ctx context.Context, actor account.Actor, alerts []vital.UID) (map[vital.UID]bool, error)
	// HearsAny is asked for caregivers too: whether anybody shares alerts with them.
	HearsAny(ctx context.Context, actor account.Actor) (bool, error)
}

// Stream is the live feed as server-sent events: `alert` with the ids and the version of an alert that changed, and
// `reload` when the client must fetch anew whatever it shows: at the start, unless it resumes, and when it missed too
// much. A client that resumes names the last event it saw (Last-Event-ID, or ?last_event_id=); of an id that this process does
// not know it is told to load anew.
type Stream struct {
	Hub *Hub
	// Who returns who speaks in a request, and the token by which Sessions knows them.
	Who      func(ctx context.Context) (account.Actor, string)
	Sessions Sessions
	People   People

	// The intervals of heartbeats and of looks at the session; zero means 5 s and 30 s.
	Heartbeat, Recheck time.Duration
}

// Handle answers GET /v1/feed. It runs behind the middleware that finds out who speaks.
func (s *Stream) Handle(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor, token := s.Who(ctx)
	if err := s.mayHearAny(ctx, actor); err != nil {
		return err
	}
	after, resumes := s.Hub.cursors.read(actor.Org, c.Get("Last-Event-ID", c.Query("last_event_id")))
	place, err := s.Hub.subscribe(actor)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/event-stream; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no") // a proxy must hand on what it gets at once
	l := &listener{
		Stream: s, place: place, conn: c.Context().Conn(), actor: actor, token: token,
		after: after, resumes: resumes, told: map[int64]struct{}{},
	}
	lasting := context.WithoutCancel(ctx) // the stream outlives the request's handler and its deadline
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer s.Hub.leave(place)
		ctx, cancel := context.WithCancel(lasting)
		defer cancel()
		l.out = w
		l.run(ctx)
	})
	return nil
}

// listener is one open connection, run by one goroutine.
type listener struct {
	*Stream
	place   *subscription
	conn    net.Conn
	out     *bufio.Writer
	actor   account.Actor
	token   string
	after   int64
	resumes bool
	told    map[int64]struct{} // what the resumption told, so that the queue does not tell it again
	away    time.Time          // since when the session could not be checked; zero: it could
}

// run writes until the client is gone, lags behind, is signed out, or the server ends.
func (l *listener) run(ctx context.Context) {
	if !l.begin(ctx) {
		return
	}
	heartbeat := time.NewTicker(orElse(l.Heartbeat, heartbeatEvery))
	defer heartbeat.Stop()
	recheck := time.NewTicker(orElse(l.Recheck, sessionEvery))
	defer recheck.Stop()
	for {
		ok := false
		select {
		case <-l.place.wake:
			batch, open := l.place.take()
			ok = l.tell(ctx, batch...) && open
		case <-heartbeat.C:
			ok = l.flush(":\n\n")
		case now := <-recheck.C:
			ok = l.stillSignedIn(ctx, now)
		}
		if !ok {
			return
		}
	}
}

func orElse(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

// begin tells what the client missed, or that it must load; the subscription stands already, so nothing falls between.
func (l *listener) begin(ctx context.Context) bool {
	if !l.resumes {
		return l.tell(ctx, news{reload: true})
	}
	missed, err := l.Hub.record.EventsSince(ctx, l.actor.Org, l.after, resumeLimit)
	if err != nil || len(missed) >= resumeLimit {
		return l.tell(ctx, news{reload: true})
	}
	batch := make([]news, len(missed))
	for i, e := range missed {
		batch[i].event = e
	}
	if !l.tell(ctx, batch...) {
		return false
	}
	for _, e := range missed {
		l.told[e.ID] = struct{}{}
	}
	return true
}

// tell writes news, after asking of each event again whether this person may hear it. It flushes once, so that a client
// that catches up is not slowed down by what it waits for; an empty batch is a heartbeat. When nobody can say who may hear
// it, the connection ends: a client that comes back resumes where it was.
func (l *listener) tell(ctx context.Context, batch ...news) bool {
	hears, ok := l.ask(ctx, batch, time.Now())
	if !ok {
		return false
	}
	heard, ok := l.caregiverHears(ctx, batch)
	if !ok {
		return false
	}
	text := make([]byte, 0, 128*len(batch))
	for _, n := range batch {
		if n.reload {
			text = append(text, "event: reload\ndata: {}\n\n"...)
			continue
		}
		if _, again := l.told[n.event.ID]; again {
			continue
		}
		if n.event.Unverified {
			if alerts.MayWatch(l.actor) {
				text = append(text, l.frame(n.event)...)
			}
			continue
		}
		if hears[n.event.Patient] && (heard == nil || heard[n.event.Alert]) {
			text = append(text, l.frame(n.event)...)
		}
	}
	if len(text) == 0 {
		if len(batch) > 0 {
			return true // not even a comment: its moment would tell that something happened which is not for this person
		}
		text = append(text, ":\n\n"...)
	}
	return l.flush(string(text))
}

// caregiverHears finds out which alerts of the batch a caregiver may hear of just now; nil for anybody else. It returns
// false when the record does not answer.
func (l *listener) caregiverHears(ctx context.Context, batch []news) (heard map[vital.UID]bool, ok bool) {
	if l.actor.Role != account.CaregiverRole {
		return nil, true
	}
	var uids []vital.UID
	for _, n := range batch {
		if !n.reload && !n.event.Unverified {
			uids = append(uids, n.event.Alert)
		}
	}
	if len(uids) == 0 {
		return nil, true
	}
	_, ok = l.inTurn(ctx, func(ctx context.Context) (err error) {
		heard, err = l.People.AlertsHeard(ctx, l.actor, uids)
		return err
	})
	return heard, ok
}

// frame returns an event in the form of the HTML standard, section 9.2.
func (l *listener) frame(e alerts.Event) string {
	if e.Unverified {
		return fmt.Sprintf("id: %s\nevent: unverified\ndata: {\"unverified\":%q,\"version\":%d}\n\n", l.Hub.cursors.of(l.actor.Org, e.ID), e.Alert, e.Version)
	}
	data, err := json.Marshal(struct {
		Alert   vital.UID `json:"alert"`
		Patient vital.UID `json:"patient"`
		Version int       `json:"version"`
	}{e.Alert, e.Patient, e.Version})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("id: %s\nevent: alert\ndata: %s\n\n", l.Hub.cursors.of(l.actor.Org, e.ID), data)
}

// stillSignedIn looks at the session again, which keeps it from being idle. Whoever has another role by now comes back with it: the
// connection ends.
func (l *listener) stillSignedIn(ctx context.Context, now time.Time) bool {
	s, err := l.sessionNow(ctx, now)
	switch {
	case err == nil:
		l.away = time.Time{}
		return s.Actor == l.actor && !fault.Is(l.mayHearAny(ctx, l.actor), fault.Forbidden)
	case fault.Is(err, fault.Unauthenticated):
		return false
	case l.away.IsZero():
		l.away = now
	}
	return now.Sub(l.away) < awayAtMost
}

// flush sends text to the client; false means that the client is gone.
func (l *listener) flush(text string) bool {
	if l.conn != nil && l.conn.SetWriteDeadline(time.Now().Add(flushWithin)) != nil {
		return false
	}
	if _, err := l.out.WriteString(text); err != nil {
		return false
	}
	return l.out.Flush() == nil
}
