package safe

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// EraseStep is how far the execution of an erasure has come.
type EraseStep string

// The steps. Cut off: nothing new can come in or be seen. Deleted: the record holds nothing of what was due. Purged: neither
// does the stream.
const (
	StepNone    EraseStep = ""
	StepCutOff  EraseStep = "cut off"
	StepDeleted EraseStep = "deleted"
	StepPurged  EraseStep = "purged"
)

// EraseTask is an erasure that is being carried out.
type EraseTask struct {
	Erasure
	Step   EraseStep
	Stream string // identity of the stream that End belongs to
	End    uint64 // of the stream, that every cursor has to pass before the next step; 0: it is not known yet
	Claim  int    // counts who took the request: whose number is an older one changes nothing any more
}

// Traces are by what the stream's envelopes are known to hold something of a person.
type Traces struct {
	Patients []vital.PatientID
	Sensors  []vital.SensorID
	Devices  []vital.DeviceID
}

// EraseStore is the record as the Eraser needs it. Each step is a transaction; a step that is done already is a success. One of a
// task that another process has taken since is fault.Conflict.
type EraseStore interface {
	Clock(ctx context.Context) (time.Time, error)
	// ClaimErasure takes a request that is due at now and that no other process is at; ok is false when there is none.
	ClaimErasure(ctx context.Context, now time.Time) (task EraseTask, ok bool, err error)
	// ReleaseErasure lets a look at a time or later have the task, after others that wait longer.
	ReleaseErasure(ctx context.Context, task EraseTask, until time.Time) error
	// CutOff ends what could bring in or show something new of the person.
	CutOff(ctx context.Context, task EraseTask, now time.Time) error
	// AwaitStream notes up to where the stream has to be committed.
	AwaitStream(ctx context.Context, task EraseTask, stream string, end uint64) error
	// Committed returns the position that every cursor of the stream has passed.
	Committed(ctx context.Context, stream string) (uint64, error)
	// DeleteDue removes what is due of the person from every table, blanks the audit and enters it in the ledger.
	DeleteDue(ctx context.Context, task EraseTask, now time.Time) error
	// Traces returns by what the person is known in the stream.
	Traces(ctx context.Context, task EraseTask) (Traces, error)
	// Purged notes that the stream holds nothing up to its end.
	Purged(ctx context.Context, task EraseTask) error
	// RewriteErased writes the tables anew that the task has touched, so that no free space holds what was deleted; it returns
	// those that are too large to be locked for so long.
	RewriteErased(ctx context.Context, task EraseTask) (left []string, err error)
	// FinishErasure keeps the receipt and notes when the next class goes, if any.
	FinishErasure(ctx context.Context, task EraseTask, now time.Time, receipt func(organisation string, e *Erasure, p Policy) ([]byte, error)) error
	// Ledger returns what was carried out, the oldest first, and LedgerLength how many entries that are.
	Ledger(ctx context.Context) ([]LedgerEntry, error)
	LedgerLength(ctx context.Context) (int64, error)
	// ForgetFarewells takes away what browsers of erased people were told before a time.
	ForgetFarewells(ctx context.Context, before time.Time) error
}

// EraseStream is the stream as the Eraser needs it.
type EraseStream interface {
	Identity() string
	// End returns the sequence of the newest message.
	End(ctx context.Context) (uint64, error)
	// Erase overwrites the messages up to and including a sequence that hold something of the traces, and purges all up to it.
	Erase(ctx context.Context, upTo uint64, t Traces) error
}

// Eraser carries out what was decided and confirmed, and later, by itself, what had to be kept until a day. Any number of
// processes may run one.
type Eraser struct {
	Store  EraseStore
	Stream EraseStream
	Key    ed25519.PrivateKey                                     // signs the receipts; nil: they are not signed
	Keep   func(ctx context.Context, entries []LedgerEntry) error // keeps the ledger beside the backups; nil: nowhere
	Scrub  func(ctx context.Context) error                        // overwrites what the database's own logs still hold; nil: they grow old by themselves
	Every  time.Duration                                          // between two looks; 0 is a second
	Log    *slog.Logger
	Watch  func(state ErasureState) // told of each execution that ends; may be nil

	kept   *int64    // entries of the ledger that were kept; nil: this process has kept none yet
	forgot time.Time // when farewells were looked through last
}

// FarewellLasts is how long the browser of somebody who was erased is told so [J].
const FarewellLasts = 90 * 24 * time.Hour

const eraseEvery = time.Second

// eraseRest is how long an erasure that failed lets others go first [J].
const eraseRest = 30 * time.Second

// Run looks for what is due until ctx ends. What fails is tried again at the next look.
func (r *Eraser) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(r.Every, eraseEvery), r.look, func(err error, first bool) {
		if first {
			r.Log.Error("an erasure cannot go on just now", "error", err, "kind", string(fault.KindOf(err)))
		}
	})
}

func (r *Eraser) look(ctx context.Context) error {
	now, err := r.Store.Clock(ctx)
	if err != nil {
		return err
	}
	return r.RunOnce(ctx, now)
}

// RunOnce takes one erasure that is due at now as far as it goes.
func (r *Eraser) RunOnce(ctx context.Context, now time.Time) error {
	if err := r.keepLedger(ctx); err != nil {
		return err
	}
	if now.Sub(r.forgot) >= time.Hour {
		if err := r.Store.ForgetFarewells(ctx, now.Add(-FarewellLasts)); err != nil {
			return err
		}
		r.forgot = now
	}
	task, ok, err := r.Store.ClaimErasure(ctx, now)
	if err != nil || !ok {
		return err
	}
	for err == nil {
		var again bool
		if again, err = r.step(ctx, &task, now); !again {
			break
		}
	}
	until := now
	if err != nil {
		until = now.Add(eraseRest)
	}
	if free := r.Store.ReleaseErasure(context.WithoutCancel(ctx), task, until); err == nil {
		err = free
	}
	return err
}

// step does the next step of a task, and reports whether another can follow at once.
func (r *Eraser) step(ctx context.Context, task *EraseTask, now time.Time) (bool, error) {
	if task.Step == StepNone {
		if err := r.Store.CutOff(ctx, *task, now); err != nil {
			return false, err
		}
		task.Step, task.End = StepCutOff, 0
	}
	if task.Step == StepPurged {
		return false, r.finish(ctx, task, now)
	}
	passed, err := r.passed(ctx, task)
	if err != nil || !passed {
		return false, err
	}
	if task.Step == StepCutOff {
		if err := r.Store.DeleteDue(ctx, *task, now); err != nil {
			return false, err
		}
		task.Step, task.End = StepDeleted, 0
		return true, r.keepLedger(ctx)
	}
	traces, err := r.Store.Traces(ctx, *task)
	if err != nil {
		return false, err
	}
	if err := r.Stream.Erase(ctx, task.End, traces); err != nil {
		return false, err
	}
	task.Step = StepPurged
	return true, r.Store.Purged(ctx, *task)
}

// passed reports whether every cursor has passed the end that the stream had when the step before was done. A stream that was
// made anew holds nothing from before.
func (r *Eraser) passed(ctx context.Context, task *EraseTask) (bool, error) {
	if task.End == 0 || task.Stream != r.Stream.Identity() {
		end, err := r.Stream.End(ctx)
		if err != nil {
			return false, err
		}
		task.Stream, task.End = r.Stream.Identity(), max(end, 1)
		if err := r.Store.AwaitStream(ctx, *task, task.Stream, task.End); err != nil {
			return false, err
		}
		if end == 0 {
			return true, nil
		}
	}
	committed, err := r.Store.Committed(ctx, task.Stream)
	return committed >= task.End, err
}

// finish rewrites what was touched and hands out the receipt.
func (r *Eraser) finish(ctx context.Context, task *EraseTask, now time.Time) error {
	left, err := r.Store.RewriteErased(ctx, *task)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		r.Log.Warn("tables are too large to be written anew while others use them: run `hale erase scrub` in a quiet hour", "tables", left)
	}
	if r.Scrub != nil {
		if err := r.Scrub(ctx); err != nil {
			return err
		}
	}
	err = r.Store.FinishErasure(ctx, *task, now, func(organisation string, e *Erasure, p Policy) ([]byte, error) {
		return NewReceipt(organisation, e, p, now).Sign(r.Key)
	})
	if err == nil && r.Watch != nil {
		r.Watch(ErasureDone)
	}
	return err
}

// keepLedger keeps the ledger when it has grown, by whichever process, and once at the start.
func (r *Eraser) keepLedger(ctx context.Context) error {
	if r.Keep == nil {
		return nil
	}
	length, err := r.Store.LedgerLength(ctx)
	if err != nil || r.kept != nil && *r.kept == length {
		return err
	}
	entries, err := r.Store.Ledger(ctx)
	if err != nil {
		return err
	}
	if err := r.Keep(ctx, entries); err != nil {
		return err
	}
	length = int64(len(entries))
	r.kept = &length
	return nil
}
