package devices

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
)

// Lengths of an edge's lease.
const (
	// EdgeLease is how old the last renewal of an edge may be before a look finds that it is missing.
	EdgeLease = 30 * time.Second
	// renewEdge is how often an edge renews it.
	renewEdge = 5 * time.Second
	// leaveWithin bounds the last word of an edge that stops.
	leaveWithin = 2 * time.Second
)

// EdgeLife is one life of a device edge, as its lease tells by the record's clock. An edge that is killed tells nobody that its
// devices left: that its lease is not renewed does.
type EdgeLife struct {
	Name    string
	SeenAt  time.Time // renewed last
	EndedAt time.Time // it stopped in order; zero: not
	// MissedAt is when a look first found the lease old, zero when it has been renewed since. That look ends nothing: while the record
	// itself was away nobody could renew, so the edge has until a later look.
	MissedAt time.Time
}

// Over says at now whether the life has ended, when that was, and whether it ended without a goodbye.
func (e *EdgeLife) Over(now time.Time) (at time.Time, killed, over bool) {
	switch {
	case !e.EndedAt.IsZero():
		return e.EndedAt, false, true
	case !e.MissedAt.IsZero() && now.Sub(e.MissedAt) >= EdgeLease:
		return e.SeenAt, true, true
	}
	return time.Time{}, false, false
}

// EdgeStore is the record as a Lease needs it.
type EdgeStore interface {
	// RenewEdge says that the life of an edge goes on; the first time it begins.
	RenewEdge(ctx context.Context, edge string) error
	// LeaveEdge says that it has ended in order.
	LeaveEdge(ctx context.Context, edge string) error
}

// Lease says of one life of a device edge that it goes on: a write every few seconds, however many devices are connected.
type Lease struct {
	Store EdgeStore
	Edge  string        // names this life; never the same twice
	Every time.Duration // between two renewals; 0 is 5 s
	Log   *slog.Logger
}

// Run renews until ctx ends, and then says that the edge has stopped: end it after the edge. What fails is tried again at the next
// renewal; devices come and go meanwhile.
func (l *Lease) Run(ctx context.Context) error {
	renew := func(ctx context.Context) error { return l.Store.RenewEdge(ctx, l.Edge) }
	err := account.Rounds(ctx, cmp.Or(l.Every, renewEdge), renew, func(err error, first bool) {
		if first {
			l.Log.Warn("the lease of this edge cannot be renewed just now", "error", err)
		}
	})
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if left := l.Store.LeaveEdge(bounded, l.Edge); left != nil {
		l.Log.Warn("the connections of this edge end only when its lease does", "error", left)
	}
	return err
}
