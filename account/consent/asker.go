package consent

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
)

// AskStore is the record as the Asker needs it.
type AskStore interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// AskAgain owes the patient and the team a notice of every consent that is to be asked again at now, once for each
	// decision and reason, and cancels the waiting notices whose consent has lapsed. It returns how many of each.
	AskAgain(ctx context.Context, now time.Time) (asked, cancelled int, err error)
}

// Asker asks for consents again. Any number of processes may run one.
type Asker struct {
	Store AskStore
	Every time.Duration // between two looks; 0 is a minute
	Log   *slog.Logger
}

const askEvery = time.Minute

// Run asks until ctx ends. What fails is tried again at the next look.
func (a *Asker) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(a.Every, askEvery), a.runOnce, func(err error, first bool) {
		if first {
			a.Log.Error("consents cannot be asked for just now", "error", err)
		}
	})
}

func (a *Asker) runOnce(ctx context.Context) error {
	now, err := a.Store.Clock(ctx)
	if err != nil {
		return err
	}
	asked, cancelled, err := a.Store.AskAgain(ctx, now)
	if err == nil && asked+cancelled > 0 {
		a.Log.Info("consents are asked for again", "notices", asked, "cancelled", cancelled)
	}
	return err
}
