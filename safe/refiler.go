package safe

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
	"hale/fault"
)

// RefileStore is the record as the Refiler needs it.
type RefileStore interface {
	Clock(ctx context.Context) (time.Time, error)
	// StepRefile carries out the next step, due at now, of the refile that was stepped longest ago and that no other process is at: in one
	// transaction at most so many readings, the assignments with the first of them. One that cannot be carried out just now
	// is set back, with the reason in Trouble, and the next call takes another; an error concerns all.
	StepRefile(ctx context.Context, now time.Time, most int) (RefileStep, error)
	// EndMerges ends the merges, and the undoing of merges, whose refiles have all ended. It returns how many.
	EndMerges(ctx context.Context, now time.Time) (int, error)
}

// RefileStep tells what a step has done.
type RefileStep struct {
	Found    bool // there was one to be carried out
	Refile   string
	Moved    int
	Ended    bool
	Failed   bool
	Registry bool // assignments have changed
	Trouble  error
}

// Refiler carries out refiles and merges, in every process with role process: the record's locks give each refile to one.
type Refiler struct {
	Store   RefileStore
	Every   time.Duration             // between two looks; 0 is half a second
	Most    int                       // readings in one transaction; 0 is 1000
	Changed func(ctx context.Context) // assignments have changed: the edges are to look; nil: nobody is told
	Failed  func()                    // a step was not possible; nil: nobody counts
	Log     *slog.Logger
}

const (
	refileEvery = 500 * time.Millisecond
	// refileMost keeps a step well below the time for which a partition may be held up [J].
	refileMost = 1000
)

// Run carries out what there is until ctx ends. What fails is tried again later, and the others go on: a step is a transaction.
func (r *Refiler) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(r.Every, refileEvery), r.runOnce, func(err error, first bool) {
		if first {
			r.Log.Error("readings cannot be filed anew just now", "kind", fault.KindOf(err), "error", err)
		}
	})
}

// runOnce does steps until there is nothing more to do.
func (r *Refiler) runOnce(ctx context.Context) error {
	most := r.Most
	if most == 0 {
		most = refileMost
	}
	for {
		now, err := r.Store.Clock(ctx)
		if err != nil {
			return err
		}
		step, err := r.Store.StepRefile(ctx, now, most)
		if err != nil {
			return err
		}
		if !step.Found {
			_, err := r.Store.EndMerges(ctx, now)
			return err
		}
		if step.Trouble != nil {
			r.trouble(&step)
			continue
		}
		if step.Registry && r.Changed != nil {
			r.Changed(ctx)
		}
		if step.Ended {
			r.Log.Info("readings were filed anew", "refile", step.Refile, "failed", step.Failed)
		}
	}
}

func (r *Refiler) trouble(step *RefileStep) {
	if r.Failed != nil {
		r.Failed()
	}
	r.Log.Warn("readings of one refile cannot be filed anew", "refile", step.Refile, "failed", step.Failed, "kind", fault.KindOf(step.Trouble), "error", step.Trouble)
}
