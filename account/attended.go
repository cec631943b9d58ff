package account

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// attendedUntil returns until when a team has somebody at the bedside if nobody joins it any more: now when there is nobody, zero when
// somebody is there without an end. Whoever begins before the one before them has ended goes on for them.
func attendedUntil(members []Membership, now time.Time) time.Time {
	until := now
	for longer := true; longer; {
		longer = false
		for _, m := range members {
			switch {
			case !m.AtBedside || m.From.After(until):
			case m.To.IsZero():
				return time.Time{}
			case m.To.After(until):
				until, longer = m.To, true
			}
		}
	}
	return until
}

// Attend sets until when the team is attended, from its members as they are at now.
func (t *Team) Attend(now time.Time) { t.AttendedUntil = attendedUntil(t.Members, now) }

// AloneSooner reports whether the team's patients have somebody at the bedside for a shorter time than they had in before.
func (t *Team) AloneSooner(before *Team) bool {
	return t.Patients > 0 && !t.AttendedUntil.IsZero() && (before.AttendedUntil.IsZero() || t.AttendedUntil.Before(before.AttendedUntil))
}

// Ends returns by when the team's patients have nobody any more, when somebody is there just now and nobody stays; zero otherwise.
func (t *Team) Ends() time.Time {
	if t.Patients == 0 || t.Bedside == 0 {
		return time.Time{}
	}
	return t.AttendedUntil
}

// AloneStore is the record as the Watchman needs it.
type AloneStore interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// TellOfTeams owes whoever manages teams a notice of every care team that has patients and nobody at the bedside at now, since
	// the time of somebody has ended: once until somebody is there again. It returns how many.
	TellOfTeams(ctx context.Context, now time.Time) (told int, err error)
}

// Watchman looks for care teams that were left alone by nothing but time. Any number of processes may run one.
type Watchman struct {
	Store AloneStore
	Every time.Duration // between two looks; 0 is a minute
	Log   *slog.Logger
}

const watchEvery = time.Minute

// Run looks until ctx ends. What fails is tried again at the next look.
func (w *Watchman) Run(ctx context.Context) error {
	return Rounds(ctx, cmp.Or(w.Every, watchEvery), w.look, func(err error, first bool) {
		if first {
			w.Log.Error("care teams that are left alone cannot be told of just now", "error", err)
		}
	})
}

func (w *Watchman) look(ctx context.Context) error {
	now, err := w.Store.Clock(ctx)
	if err != nil {
		return err
	}
	told, err := w.Store.TellOfTeams(ctx, now)
	if err == nil && told > 0 {
		w.Log.Warn("care teams have patients and nobody for them", "teams", told)
	}
	return err
}
