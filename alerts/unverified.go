package alerts

import (
	"context"
	"errors"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// VerifyWithin is by when somebody is to look at an unverified red (design/product.md section 1).
const VerifyWithin = 10 * time.Minute

// HushFor is how long the same value of the same sensor opens nothing new after a person said that it is not real, unless it is worse
// (clinical/alarms.md section 3: 30 min for red).
const HushFor = 30 * time.Minute

// Place is where the value of an unverified red is.
type Place string

// The places.
const (
	InInbox      Place = "inbox"      // it waits for an owner
	InQuarantine Place = "quarantine" // it was refused
	InRecord     Place = "record"     // it is stored, and no limit judges it: a summary
)

// Closing of an unverified red by a person.
const (
	ClosedAsClaimed Closing = "claimed"  // somebody said whose it is; where it could be filed, that one was judged by it before this ended
	ClosedAsNotReal Closing = "not_real" // nobody's emergency: a test, a fault of the device
	ClosedAsHandled Closing = "handled"  // looked after; whose it is was not said
)

// Closing of an unverified red by what became of its value elsewhere (EndOf), besides ClosedAsClaimed.
const (
	ClosedAsDismissed Closing = "dismissed"  // somebody put it aside in the inbox
	ClosedAsTakenBack Closing = "taken_back" // its device said that it was entered in error, or amended it
	ClosedAsReadAgain Closing = "read_again" // it had been refused and was accepted when it was decoded again
)

// FiledWithin is how long a claim may take until it is filed and judged; then the unverified red calls again.
const FiledWithin = time.Minute

// Unverified is a value that may be somebody's emergency, and that no limit of a known person judged.
type Unverified struct {
	ID         int64
	UID        vital.UID
	Org        vital.OrgID
	Device     string // its UID
	Sensor     string // its UID
	Metric     vital.Metric
	Level      Level
	Ground     Ground
	Beyond     vital.Beyond
	Values     []float64 // the worst; as read when Unitless, NaN where nobody can have it
	Unitless   bool
	Findings   vital.Finding
	MeasuredAt time.Time // zero: not known
	Vague      vital.Vague
	ReceivedAt time.Time
	LastAt     time.Time // when such a value came last
	Times      int
	Place      Place
	Why        string // the reason in that place
	Historic   bool   // it tells of the past: nobody is called
	OpenedAt   time.Time
	Deadline   time.Time // zero of a historic one
	LoudAt     time.Time // since when it is overdue; zero: not
	State      State
	AckBy      account.StaffID
	AckName    string
	AckUntil   time.Time
	ClosedAt   time.Time
	Closing    Closing
	ClosedBy   string
	Note       string
	Version    int
	Holders    []Holder          // of those whom the reader reaches
	All        []UnverifiedValue // that it stands for, the worst and then the first of them first, MostShown at most; of one that is asked for by itself
	Log        []UnverifiedEntry // likewise
}

// MostShown is how many of the values that an unverified red stands for are shown.
const MostShown = 100

// Holder is somebody whose an unverified value may be.
type Holder struct {
	ID           vital.PatientID
	Patient      vital.UID
	Name, Number string
	How          string // "holds" the sensor then, "held" it before or after, has something "near" it, "claimed": somebody said so
	From, To     time.Time
}

// AckInForce reports whether somebody looks after it at now.
func (u *Unverified) AckInForce(now time.Time) bool {
	return u.State == Acknowledged && u.AckUntil.After(now)
}

// Loud reports whether the time to look at it has passed and nobody does.
func (u *Unverified) Loud(now time.Time) bool {
	return u.State != Closed && !u.Historic && !u.AckInForce(now) && !u.Deadline.IsZero() && !now.Before(u.Deadline)
}

// UnverifiedFilter chooses unverified reds; the zero one is those that are open, the newest 100.
type UnverifiedFilter struct {
	Closed bool // those that are closed instead
	Limit  int  // 1 to 500; 0 means 100
}

// UnverifiedAct is what a person does to an unverified red.
type UnverifiedAct struct {
	Kind    EntryKind // EntryAcknowledged or EntryResolved
	Until   time.Time
	Closing Closing
	Claimed vital.PatientID // whose it is: with ClosedAsClaimed, or until it is filed and judged with EntryAcknowledged
	Note    string
	// Unclaimed is the value that is not Claimed's after all, and nobody's again; 0: it is another act.
	Unclaimed int64
}

// UnverifiedBook is the record as Watchlist needs it. Every method is bound to the actor's organisation; holders are those within the
// actor's view.
type UnverifiedBook interface {
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error)
	Unverifieds(ctx context.Context, actor account.Actor, f UnverifiedFilter) ([]Unverified, error)
	Unverified(ctx context.Context, actor account.Actor, uid vital.UID) (Unverified, error)
	// AmendUnverified locks it, asks decide, and writes the act with its entry and audit row in one transaction.
	AmendUnverified(ctx context.Context, actor account.Actor, uid vital.UID, decide func(u Unverified, now time.Time) (UnverifiedAct, error)) (Unverified, []Event, error)
}

// Claimer gives what waits of a sensor, measured in [from, to), to the patient.
type Claimer interface {
	Claim(ctx context.Context, actor account.Actor, sensor string, from, to time.Time, patient vital.UID, reason string) error
}

// Watchlist is what people do with unverified reds. They are everybody's who handles alerts in the organisation.
type Watchlist struct {
	Book      UnverifiedBook
	Claimer   Claimer
	Announcer Announcer // nil: nobody listens
	Looks     *account.Looks
	Now       func() time.Time
}

// MayWatch reports whether the actor is shown unverified reds.
func MayWatch(actor account.Actor) bool { return account.Allow(actor, account.HandleAlert, nil) == nil }

// List returns unverified reds: those that nobody looks after first, the worst and then the oldest of them first; closed ones newest first.
func (w *Watchlist) List(ctx context.Context, actor account.Actor, f UnverifiedFilter) ([]Unverified, error) {
	if err := account.Allow(actor, account.HandleAlert, nil); err != nil {
		return nil, err
	}
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	if f.Limit < 1 || f.Limit > largestPage {
		return nil, fault.New(fault.Invalid, "limit must be 1 to %d", largestPage)
	}
	list, err := w.Book.Unverifieds(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	var seen []vital.PatientID
	for i := range list {
		for _, h := range list[i].Holders {
			seen = append(seen, h.ID)
		}
	}
	return list, w.Looks.Saw(ctx, actor, "unverified reds", "", seen...)
}

// Get returns one.
func (w *Watchlist) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Unverified, error) {
	if err := account.Allow(actor, account.HandleAlert, nil); err != nil {
		return Unverified{}, err
	}
	u, err := w.Book.Unverified(ctx, actor, uid)
	if err != nil {
		return Unverified{}, err
	}
	var seen []vital.PatientID
	for _, h := range u.Holders {
		seen = append(seen, h.ID)
	}
	return u, w.Looks.Saw(ctx, actor, "unverified red "+string(uid), "", seen...)
}

// Acknowledge takes it until a time (zero: for AcknowledgeFor). expected is the version that the actor has seen. Errors as in Triage.
func (w *Watchlist) Acknowledge(ctx context.Context, actor account.Actor, uid vital.UID, expected int, until time.Time) (Unverified, error) {
	return w.act(ctx, actor, uid, expected, func(now time.Time) (UnverifiedAct, error) {
		if until.IsZero() {
			until = now.Add(AcknowledgeFor)
		}
		if !until.After(now) || until.After(now.Add(AcknowledgeAtMost)) {
			return UnverifiedAct{}, fault.New(fault.Invalid, "an acknowledgement must end within the next %d hours", int(AcknowledgeAtMost.Hours()))
		}
		return UnverifiedAct{Kind: EntryAcknowledged, Until: until.UTC()}, nil
	})
}

// Close ends it: as not real, or as handled. Both need a note that says why.
func (w *Watchlist) Close(ctx context.Context, actor account.Actor, uid vital.UID, expected int, how Closing, note string) (Unverified, error) {
	return w.act(ctx, actor, uid, expected, func(time.Time) (UnverifiedAct, error) {
		note = strings.TrimSpace(note)
		switch {
		case how != ClosedAsNotReal && how != ClosedAsHandled:
			return UnverifiedAct{}, fault.New(fault.Invalid, "say how it ends: %s or %s", ClosedAsNotReal, ClosedAsHandled)
		case note == "" || !account.Printable(note, longestReason):
			return UnverifiedAct{}, fault.New(fault.Invalid, "note: say why, in at most %d characters", longestReason)
		}
		return UnverifiedAct{Kind: EntryResolved, Closing: how, Note: note}, nil
	})
}

// Claim says whose it is, a patient within the actor's reach. What waits in the inbox, measured in that moment, is filed to them and
// judged by their own limits; until then the actor looks after it, and it ends by itself once they were judged, or calls again after
// FiledWithin. A refused value cannot be filed, and of an average no limit judges: that it was theirs is written down, which ends it.
func (w *Watchlist) Claim(ctx context.Context, actor account.Actor, uid vital.UID, expected int, patient vital.UID, note string) (Unverified, error) {
	u, err := w.Get(ctx, actor, uid)
	if err != nil {
		return Unverified{}, err
	}
	if err := u.current(expected); err != nil {
		return Unverified{}, err
	}
	p, err := w.Book.Patient(ctx, actor, patient)
	if err != nil {
		return Unverified{}, err
	}
	if err := account.Allow(actor, account.HandleAlert, &p); err != nil {
		return Unverified{}, err
	}
	act := UnverifiedAct{Kind: EntryResolved, Closing: ClosedAsClaimed, Claimed: p.ID, Note: strings.TrimSpace(note)}
	filed := u.Place == InInbox && !u.MeasuredAt.IsZero() && w.Claimer != nil
	if filed {
		if err := w.Claimer.Claim(ctx, actor, u.Sensor, u.MeasuredAt, u.MeasuredAt.Add(time.Microsecond), patient, claimReason(note)); err != nil {
			return Unverified{}, err
		}
		if u.Findings&vital.NotJudged == 0 {
			act.Kind, act.Closing = EntryAcknowledged, ""
		}
	}
	after, err := w.act(ctx, actor, uid, expected, func(now time.Time) (UnverifiedAct, error) {
		act.Until = now.Add(FiledWithin)
		return act, nil
	})
	if filed && errors.Is(err, ErrClosed) { // it was filed and judged in this moment
		return w.Get(ctx, actor, uid)
	}
	return after, err
}

func claimReason(note string) string {
	if note = strings.TrimSpace(note); note != "" {
		return note
	}
	return "said at an unverified red"
}

func (w *Watchlist) act(ctx context.Context, actor account.Actor, uid vital.UID, expected int, decide func(now time.Time) (UnverifiedAct, error)) (Unverified, error) {
	return w.amend(ctx, actor, uid, func(u Unverified, now time.Time) (UnverifiedAct, error) {
		if err := u.current(expected); err != nil {
			return UnverifiedAct{}, err
		}
		return decide(now)
	})
}

func (w *Watchlist) amend(ctx context.Context, actor account.Actor, uid vital.UID, decide func(u Unverified, now time.Time) (UnverifiedAct, error)) (Unverified, error) {
	if err := account.Allow(actor, account.HandleAlert, nil); err != nil {
		return Unverified{}, err
	}
	after, events, err := w.Book.AmendUnverified(ctx, actor, uid, decide)
	if err != nil {
		return Unverified{}, err
	}
	if w.Announcer != nil && len(events) > 0 {
		w.Announcer.Announce(ctx, events)
	}
	return after, nil
}

// current refuses an act on what is closed, or has changed since it was seen.
func (u *Unverified) current(expected int) error {
	switch {
	case u.State == Closed:
		return fault.Wrap(fault.Conflict, ErrClosed, "%s has closed it already", u.ClosedBy)
	case u.Version != expected:
		return fault.Wrap(fault.Conflict, ErrStale, "it has changed: look at it again (version %d by now)", u.Version)
	}
	return nil
}
