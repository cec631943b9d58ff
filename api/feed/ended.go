package feed

import (
	"context"
	"maps"
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// endedEvery is how often the record is asked, once for all connections of this process, which sessions are over. Whoever ends
// one tells all processes (End); the question is for those who cannot, such as the operator at the console, and for what was
// missed. It leaves half of the second within which a feed must close to the answer.
const endedEvery = 500 * time.Millisecond

// Ended answers which of the sessions and API keys that are listened to are over (postgres.App.EndedSessions).
type Ended func(ctx context.Context, uids []vital.UID) ([]vital.UID, error)

// End closes the connections of sessions and API keys that are over. What waits for them is not told any more.
func (h *Hub) End(uids ...vital.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		for s := range r.members {
			if slices.Contains(uids, s.session) {
				s.discard()
				h.remove(s)
			}
		}
	}
}

// watchSessions asks which sessions are over until ctx ends.
func (h *Hub) watchSessions(ctx context.Context) error {
	if h.Ended == nil {
		return nil
	}
	tick := time.NewTicker(endedEvery)
	defer tick.Stop()
	var away time.Time // since when the record has not answered; zero: it does
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			away = h.lookForEnded(ctx, now, away)
		}
	}
}

// lookForEnded closes the connections of sessions that are over. Sessions that cannot be checked for awayAtMost count as over:
// their clients come back when the record does. It returns since when the record is away.
func (h *Hub) lookForEnded(ctx context.Context, now, away time.Time) time.Time {
	heard := h.sessions()
	if len(heard) == 0 {
		return time.Time{}
	}
	asking, cancel := context.WithTimeout(ctx, awayAtMost/6)
	defer cancel()
	over, err := h.Ended(asking, heard)
	switch {
	case ctx.Err() != nil:
		return away
	case err == nil:
		h.End(over...)
		return time.Time{}
	case away.IsZero():
		h.log.WarnContext(ctx, "live feed cannot check sessions", "kind", string(fault.KindOf(err)), "error", err)
		return now
	case now.Sub(away) >= awayAtMost:
		h.End(heard...)
	}
	return away
}

// sessions returns the sessions of all connections, each once.
func (h *Hub) sessions() []vital.UID {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[vital.UID]struct{}{}
	for _, r := range h.rooms {
		for s := range r.members {
			if s.session != "" {
				seen[s.session] = struct{}{}
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}
