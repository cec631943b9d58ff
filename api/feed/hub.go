// Package feed tells open boards, in the moment it is committed, that an alert changed. A Hub hears what the
// processors announce, asks the record for what an announcement may have missed, and hands it to every connection of
// the organisation; Stream is one such connection as server-sent events. An event carries ids and a version only:
// whoever hears it fetches the alert through normal authorisation.
package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// Source is where announcements come from.
type Source interface {
	// Listen calls heard for every announcement until ctx ends or the connection is lost; heard must not block.
	Listen(ctx context.Context, heard func(org vital.OrgID, e alerts.Event)) error
}

// Record answers what was committed after an event, or lately when it knows no event of that id; see alerts.Cases.
type Record interface {
	EventsSince(ctx context.Context, org vital.OrgID, id int64, limit int) ([]alerts.Event, error)
}

const (
	catchUpEvery   = 2 * time.Second // an announcement may be lost; the record is asked this often
	catchUpLimit   = 2_000           // more than this at once is not told one by one
	reloadEvery    = 10 * time.Second
	queueLength    = 20_000 // events that a connection may lag behind
	rememberedIDs  = 16_384 // event ids per organisation that are known to have been told
	mostConnection = 2_000
)

// Hub hands events to the connections of their organisation. Create it with NewHub and let Run work.
type Hub struct {
	// Ended tells which sessions are over; without it their connections close only when End says so, or their own next look at
	// the session. Set it before Run.
	Ended Ended

	source  Source
	record  Record
	log     *slog.Logger
	cursors cursors
	asking  chan struct{} // holds a token for each question under way

	mu       sync.Mutex
	rooms    map[vital.OrgID]*room
	persons  map[account.Actor]*person
	sittings map[vital.UID]*sitting
	count    int
	guests   int // patients and caregivers among them
	closed   bool
}

// room is one organisation that has connections.
type room struct {
	members map[*subscription]struct{}
	told    map[int64]struct{} // ids that were handed out
	order   []int64            // the same, oldest first, as a ring
	next    int
	last    int64 // the greatest id that was handed out; 0 asks the record for the latest news

	owesReload bool      // more was missed than is worth telling one by one
	reloaded   time.Time // when that was last told
}

// news is what a connection is told: one event, or that it must fetch anew whatever it shows.
type news struct {
	event  alerts.Event
	reload bool
}

// NewHub returns a hub that nobody listens to yet.
func NewHub(source Source, record Record, log *slog.Logger) *Hub {
	return &Hub{
		source: source, record: record, log: log, cursors: newCursors(), asking: make(chan struct{}, mostAsking),
		rooms: map[vital.OrgID]*room{}, persons: map[account.Actor]*person{}, sittings: map[vital.UID]*sitting{},
	}
}

// Run hears and hands on until ctx ends; then every connection is closed.
func (h *Hub) Run(ctx context.Context) error {
	defer h.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.listen(ctx) })
	g.Go(func() error { return h.catchUp(ctx) })
	g.Go(func() error { return h.watchSessions(ctx) })
	return g.Wait()
}

// listen stays with the source; when it is lost, the record still tells everything (a little later) until it is back.
func (h *Hub) listen(ctx context.Context) error {
	for {
		err := h.source.Listen(ctx, h.hand)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how Run is asked to end
		}
		h.log.WarnContext(ctx, "live feed lost its source", "error", err)
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

func (h *Hub) catchUp(ctx context.Context) error {
	tick := time.NewTicker(catchUpEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			h.runOnce(ctx, now)
		}
	}
}

// runOnce asks the record, for every organisation with connections, what no announcement told.
func (h *Hub) runOnce(ctx context.Context, now time.Time) {
	for org, last := range h.lastOf() {
		asking, cancel := context.WithTimeout(ctx, catchUpEvery)
		events, err := h.record.EventsSince(asking, org, last, catchUpLimit)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.log.WarnContext(ctx, "live feed could not catch up", "kind", string(fault.KindOf(err)), "error", err)
		case len(events) >= catchUpLimit:
			h.owe(org, events)
		default:
			for _, e := range events {
				h.hand(org, e)
			}
		}
	}
	h.settle(now)
}

func (h *Hub) lastOf() map[vital.OrgID]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := make(map[vital.OrgID]int64, len(h.rooms))
	for org, r := range h.rooms {
		last[org] = r.last
	}
	return last
}

// hand gives an event to every connection of its organisation, once.
func (h *Hub) hand(org vital.OrgID, e alerts.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[org]
	if r == nil || e.Org != org || !r.remember(e.ID) {
		return
	}
	h.tell(r, news{event: e})
}

// owe notes that there is more news than is worth telling one by one. In a flood the record names its oldest part only:
// as long as all of that was announced, nothing is owed. The next question is for the latest news again (0), so that
// the part that is named moves on and in the end all of it was.
func (h *Hub) owe(org vital.OrgID, events []alerts.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[org]
	if r == nil {
		return
	}
	for _, e := range events {
		r.owesReload = r.remember(e.ID) || r.owesReload
	}
	r.last = 0
}

// settle tells the rooms that are owed a reload, each at most once in reloadEvery.
func (h *Hub) settle(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		if r.owesReload && now.Sub(r.reloaded) >= reloadEvery {
			r.owesReload, r.reloaded = false, now
			h.tell(r, news{reload: true})
		}
	}
}

// tell puts news into every queue of the room. A connection that lags behind is closed: its client resumes from the
// last event that it saw. h.mu is held.
func (h *Hub) tell(r *room, n news) {
	for s := range r.members {
		if !s.put(n) {
			h.remove(s)
		}
	}
}

// remember reports whether the id is new, and keeps it.
func (r *room) remember(id int64) bool {
	if _, old := r.told[id]; old {
		return false
	}
	if len(r.order) < rememberedIDs {
		r.order = append(r.order, id)
	} else {
		delete(r.told, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % rememberedIDs
	}
	r.told[id] = struct{}{}
	r.last = max(r.last, id)
	return true
}

// subscribe opens a place in the room of the actor's organisation; fault.Unavailable when there is none.
func (h *Hub) subscribe(actor account.Actor) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.count >= mostConnection {
		return nil, errFull()
	}
	r := h.rooms[actor.Org]
	s := &subscription{org: actor.Org, actor: actor, session: actor.Session, wake: make(chan struct{}, 1)}
	if err := h.seat(s, r); err != nil {
		return nil, err
	}
	if r == nil {
		r = &room{members: map[*subscription]struct{}{}, told: map[int64]struct{}{}}
		h.rooms[actor.Org] = r
	}
	r.members[s] = struct{}{}
	h.count++
	return s, nil
}

func (h *Hub) leave(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(s)
}

// remove closes a subscription, once, and the room behind the last one. h.mu is held.
func (h *Hub) remove(s *subscription) {
	r := h.rooms[s.org]
	if r == nil {
		return
	}
	if _, in := r.members[s]; !in {
		return
	}
	delete(r.members, s)
	s.close()
	h.unseat(s)
	h.count--
	if len(r.members) == 0 {
		delete(h.rooms, s.org)
	}
}

// Count returns how many connections are open.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// Close ends every connection and takes no more. A server calls it before it waits for its connections to end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.rooms {
		for s := range r.members {
			h.remove(s)
		}
	}
}
