package safe

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// WithdrawnReading is a reading that was taken out of the record, by its device or by a person. It stays visible: nothing is retracted
// silently.
type WithdrawnReading struct {
	ID         int64
	Metric     vital.Metric
	Values     []float64
	MeasuredAt time.Time
	Vague      vital.Vague // of MeasuredAt
	Findings   vital.Finding
	At         time.Time // when it was withdrawn
	How        string    // "amended" or "entered_in_error"
	By         string    // empty: the device said it
	Why        string
}

// WithdrawnBook is the record as Withdrawals needs it.
type WithdrawnBook interface {
	// Withdraw takes a reading of the patient out of the record, has them judged anew, lets alerts say so that told of it, and owes the
	// patient a notice. fault.Conflict when there is no such reading any more.
	Withdraw(ctx context.Context, actor account.Actor, patient vital.PatientID, reading int64, measured time.Time, why string) error
	WithdrawnOf(ctx context.Context, actor account.Actor, patient vital.PatientID, limit int) ([]WithdrawnReading, error)
}

// Withdrawals is where a reading is marked as entered in error.
type Withdrawals struct {
	People People
	Book   WithdrawnBook
	Looks  *account.Looks // nil writes nothing
}

const mostWithdrawn = 100

// Of lists what was taken back of a patient's readings, newest first.
func (w *Withdrawals) Of(ctx context.Context, actor account.Actor, patient vital.UID) ([]WithdrawnReading, error) {
	p, err := reach(ctx, w.People, actor, account.SeeReadings, patient)
	if err != nil {
		return nil, err
	}
	if err := w.Looks.Saw(ctx, actor, "withdrawn readings", "", p.ID); err != nil {
		return nil, err
	}
	return w.Book.WithdrawnOf(ctx, actor, p.ID, mostWithdrawn)
}

// Withdraw marks a reading as entered in error; why must be said. Who may decide that something in the record is wrong may do it.
func (w *Withdrawals) Withdraw(ctx context.Context, actor account.Actor, patient vital.UID, reading int64, measured time.Time, why string) error {
	p, err := reach(ctx, w.People, actor, account.DecideCorrection, patient)
	if err != nil {
		return err
	}
	if p.State == account.Merged {
		return fault.New(fault.Conflict, "this patient is known under another record now: do it there")
	}
	if why, err = text("why", why); err != nil {
		return err
	}
	return w.Book.Withdraw(ctx, actor, p.ID, reading, measured.UTC(), why)
}

// WithdrawalStore is the record as the Withdrawer needs it.
type WithdrawalStore interface {
	Clock(ctx context.Context) (time.Time, error)
	// StepWithdrawal carries out some of what devices took back; found is false when nothing is due.
	StepWithdrawal(ctx context.Context, now time.Time) (found bool, err error)
}

// Withdrawer carries out what devices take back, in every process with role process: the record gives each to one.
type Withdrawer struct {
	Store WithdrawalStore
	Every time.Duration // between two looks; 0 is half a second
	Log   *slog.Logger
}

// Run carries out what there is until ctx ends. What fails is tried again.
func (w *Withdrawer) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(w.Every, refileEvery), w.runOnce, func(err error, first bool) {
		if first {
			w.Log.Error("what devices took back cannot be carried out just now", "kind", fault.KindOf(err), "error", err)
		}
	})
}

func (w *Withdrawer) runOnce(ctx context.Context) error {
	for {
		now, err := w.Store.Clock(ctx)
		if err != nil {
			return err
		}
		if found, err := w.Store.StepWithdrawal(ctx, now); err != nil || !found {
			return err
		}
	}
}
