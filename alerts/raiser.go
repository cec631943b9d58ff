package alerts

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
	"hale/fault"
)

// RaiserStore is the record as the Raiser needs it.
type RaiserStore interface {
	Clock(ctx context.Context) (time.Time, error)
	// RaiseOverdue makes the unverified reds loud whose deadline, or acknowledgement, has run out at now: each once, with the notice
	// that it is overdue. It returns the events to announce.
	RaiseOverdue(ctx context.Context, now time.Time) ([]Event, error)
}

// Raiser raises what nobody has looked at in time, in every process with role process: the record gives each to one of them.
type Raiser struct {
	Store     RaiserStore
	Announcer Announcer     // nil: nobody listens
	Every     time.Duration // between two looks; 0 is a second
	Log       *slog.Logger
}

const raiseEvery = time.Second

// Run raises until ctx ends. What fails is tried again.
func (r *Raiser) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(r.Every, raiseEvery), r.runOnce, func(err error, first bool) {
		if first {
			r.Log.Error("overdue unverified reds cannot be raised just now", "kind", fault.KindOf(err), "error", err)
		}
	})
}

func (r *Raiser) runOnce(ctx context.Context) error {
	now, err := r.Store.Clock(ctx)
	if err != nil {
		return err
	}
	events, err := r.Store.RaiseOverdue(ctx, now)
	if err == nil && len(events) > 0 && r.Announcer != nil {
		r.Announcer.Announce(ctx, events)
	}
	return err
}
