package devices

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Refusal is a message, or one reading of it, that was refused, as the desk looks after it: with its raw bytes, so that nothing is lost.
type Refusal struct {
	UID          vital.UID
	Device       string // UID of the device that sent it
	Topic        string
	Reason       vital.Reason
	Detail       string // what to mend
	Raw          []byte // as received; the head only when Length is larger
	Length       int64
	ReceivedAt   time.Time // first
	LastAt       time.Time // the same bytes again
	Times        int
	TriedAt      time.Time // when somebody had it decoded again; zero: nobody has
	TriedBy      string
	Accepted     int    // readings that came of it then
	RefusedAgain string // what to mend, by that try; empty when nothing was refused
	SettledAt    time.Time
}

// Whole reports whether all bytes of it are kept, so that it can be decoded again.
func (h *Refusal) Whole() bool { return int64(len(h.Raw)) == h.Length && h.Topic != "" }

// RefusalFilter chooses what was refused; the zero one is all that nobody has settled, the newest 100.
type RefusalFilter struct {
	Device  string // UID; empty: all
	Reason  vital.Reason
	Settled bool // what is settled instead
	All     bool // whether or not it is settled
	Limit   int  // 1 to 500; 0 means 100
}

// Retried is what became of a message that was decoded again.
type Retried struct {
	Accepted int
	Refused  string // what to mend; empty when nothing was refused
}

// RefusalBook is the record as Quarantine needs it. Every method is bound to the actor's organisation; wearers are those whose a message
// may be.
type RefusalBook interface {
	// Refusals lists them; a device that is not there is fault.NotFound.
	Refusals(ctx context.Context, actor account.Actor, f RefusalFilter) (list []Refusal, wearers []vital.PatientID, err error)
	Refusal(ctx context.Context, actor account.Actor, uid vital.UID) (Refusal, []vital.PatientID, error)
	// NoteRetried writes what became of it, with the audit row: it is settled when nothing was refused.
	NoteRetried(ctx context.Context, actor account.Actor, uid vital.UID, r Retried) (Refusal, error)
}

// Quarantine is where the device desk sees what was refused, and has it decoded again once the device or the mapping is mended.
type Quarantine struct {
	Book RefusalBook
	// Again decodes what was refused as the same device, on the same topic, received at the same time, and returns when it is durable.
	Again func(ctx context.Context, h *Refusal) (Retried, error)
	Looks *account.Looks // nil writes nothing
}

const (
	defaultHeld = 100
	mostHeld    = 500
)

// List returns what was refused, newest first. Errors: fault.Invalid for a limit that cannot be; fault.NotFound when there is no such device.
func (q *Quarantine) List(ctx context.Context, actor account.Actor, f RefusalFilter) ([]Refusal, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	var err error
	if f.Limit, err = account.ListLength(f.Limit, defaultHeld, mostHeld); err != nil {
		return nil, err
	}
	list, wearers, err := q.Book.Refusals(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	return list, q.Looks.Saw(ctx, actor, "quarantine", "", wearers...)
}

// Get returns one.
func (q *Quarantine) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Refusal, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return Refusal{}, err
	}
	h, wearers, err := q.Book.Refusal(ctx, actor, uid)
	if err != nil {
		return Refusal{}, err
	}
	return h, q.Looks.Saw(ctx, actor, "quarantine "+string(uid), "", wearers...)
}

// Retry decodes it again, as if it came now from the same device: what it was measured and received at stays. What is there already is
// stored once. Of what was too large only the head is kept, and a conflict stands however often it is decoded: fault.Invalid.
func (q *Quarantine) Retry(ctx context.Context, actor account.Actor, uid vital.UID) (Refusal, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Refusal{}, err
	}
	h, err := q.Get(ctx, actor, uid)
	switch {
	case err != nil:
		return Refusal{}, err
	case !h.SettledAt.IsZero():
		return Refusal{}, fault.New(fault.Conflict, "it is settled already: %s had it decoded again", h.TriedBy)
	case !h.Whole():
		return Refusal{}, fault.New(fault.Invalid, "it cannot be decoded again: only a part of it is kept, or it was taken apart before")
	case q.Again == nil:
		return Refusal{}, fault.New(fault.Unavailable, "nothing here decodes messages")
	}
	r, err := q.Again(ctx, &h)
	if err != nil {
		return Refusal{}, err
	}
	return q.Book.NoteRetried(ctx, actor, uid, r)
}
