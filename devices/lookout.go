package devices

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
	"hale/vital"
)

// LookBack is how far back it is looked for what was expected and did not come: who has measured nothing for longer is silent since
// then.
const LookBack = 72 * time.Hour

// PresenceStore is the record as a Lookout needs it.
type PresenceStore interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// LookAtPresence hands decide what is known at now of the devices of each organisation, and stores what it says. While another
	// process does so it does nothing.
	LookAtPresence(ctx context.Context, now time.Time, decide func(org vital.OrgID, w Watched, now time.Time) ([]Incident, []Silence)) error
	// ExpireCommands settles commands that are stale at now.
	ExpireCommands(ctx context.Context, now time.Time) error
}

// Lookout looks whether devices are there, judged by what is expected of them. Any number of processes may run one.
type Lookout struct {
	Store PresenceStore
	Every time.Duration // between two looks; 0 is a minute
	Log   *slog.Logger
}

// Run looks until ctx ends. What fails is tried again at the next look.
func (l *Lookout) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(l.Every, time.Minute), l.look, func(err error, first bool) {
		if first {
			l.Log.Error("whether devices are there cannot be seen just now", "error", err)
		}
	})
}

func (l *Lookout) look(ctx context.Context) error {
	now, err := l.Store.Clock(ctx)
	if err != nil {
		return err
	}
	return l.RunOnce(ctx, now)
}

// RunOnce looks once, at now.
func (l *Lookout) RunOnce(ctx context.Context, now time.Time) error {
	if err := l.Store.ExpireCommands(ctx, now); err != nil {
		return err
	}
	return l.Store.LookAtPresence(ctx, now, Outages)
}
