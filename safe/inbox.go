package safe

import (
	"context"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Waiting are readings of one sensor, sent by one device, that wait for an owner for one reason.
type Waiting struct {
	Sensor, Device, Model string
	Reason                string // no_owner, revoked, refiled, clock_uncertain, ...
	Count                 int
	First, Last           time.Time   // measured
	Vague                 vital.Vague // of both, at most
	Readings              []Parked    // the newest
	Suggestions           []Suggestion
}

// Parked is one reading that waits.
type Parked struct {
	Metric                 vital.Metric
	Values                 []float64 // canonical units
	MeasuredAt, ReceivedAt time.Time
	Vague                  vital.Vague // of MeasuredAt
	Findings               vital.Finding
}

// Suggestion is somebody whose the readings may be, with the reasons: for a person to decide. What was given to somebody by a claim
// is no reason for the next: a guess that feeds itself would become certain by being repeated.
type Suggestion struct {
	Patient account.Patient
	Reasons []string // "held the sensor until 3 March 2026, 10:00 UTC"
}

// InboxBook is the record as Inbox needs it. Suggestions are of the patients within the actor's view only.
type InboxBook interface {
	Waiting(ctx context.Context, actor account.Actor, limit int) ([]Waiting, error)
	// Dismiss puts aside what waits of the sensor for the reason, measured in [from, to), and returns how many readings that were. They
	// stay, and what is sent again meets them. An unknown sensor is fault.NotFound.
	Dismiss(ctx context.Context, actor account.Actor, d Dismissal) (int, error)
	// Aside lists what was put aside and can be brought back, the newest first.
	Aside(ctx context.Context, actor account.Actor, limit int) ([]Aside, error)
	// BringBack lets what was put aside wait again, and returns how many readings that were. What stood for an unverified red is on the list
	// again. An unknown sensor is fault.NotFound.
	BringBack(ctx context.Context, actor account.Actor, r Return) (int, error)
}

// Aside are readings of one sensor that one person put aside at one time.
type Aside struct {
	Waiting        // why they had waited; suggestions are none
	By, Why string // who put them aside
	At      time.Time
}

// Return says what was put aside and is to wait again.
type Return struct {
	Sensor   string
	Device   string    // that sent it; empty: any
	From, To time.Time // measured
	At       time.Time // put aside; zero: at any time
}

// Dismissal says what nobody is to look for an owner of.
type Dismissal struct {
	Sensor   string
	Device   string    // that sent it; empty: any
	Reason   string    // for which it waits; empty: any
	From, To time.Time // measured
	Why      string
}

// Inbox is where readings wait whose owner is not known. The device desk and those who care for patients look after it.
type Inbox struct {
	Book    InboxBook
	Refiles *Refiles
	Looks   *account.Looks // nil writes nothing
}

// mostWaiting is how many groups are listed.
const mostWaiting = 200

// List returns what waits, the newest first.
func (b *Inbox) List(ctx context.Context, actor account.Actor) ([]Waiting, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return nil, err
	}
	list, err := b.Book.Waiting(ctx, actor, mostWaiting)
	if err != nil {
		return nil, err
	}
	var named []vital.PatientID
	for i := range list {
		for _, s := range list[i].Suggestions {
			named = append(named, s.Patient.ID)
		}
	}
	return list, b.Looks.Saw(ctx, actor, "inbox", "", named...)
}

// Claim gives what waits of the sensor, measured in [from, to), to a patient within the actor's reach: it keeps its measured time, is
// filed by the processor, and everybody concerned is judged anew. What a revoked device sent stays. Errors are those of Refiles.Ask.
func (b *Inbox) Claim(ctx context.Context, actor account.Actor, sensor string, from, to time.Time, patient vital.UID, reason string) (Refile, error) {
	return b.ClaimOf(ctx, actor, Wish{Sensor: sensor, From: from, To: to, BelongsTo: patient, Reason: reason})
}

// ClaimOf does the same of what one device sent, where the wish names one: several may speak for a sensor, each in another home.
func (b *Inbox) ClaimOf(ctx context.Context, actor account.Actor, w Wish) (Refile, error) {
	if w.BelongsTo == "" {
		return Refile{}, fault.New(fault.Invalid, "patient: say whose the readings are")
	}
	if w.To.IsZero() {
		return Refile{}, fault.New(fault.Invalid, "to: say until when, for example a moment after the last of them")
	}
	w.Owner, w.Claim = "", true
	return b.Refiles.Ask(ctx, actor, w)
}

// Dismiss puts readings aside that are nobody's: tests, a visitor's, a demonstration. See InboxBook.
func (b *Inbox) Dismiss(ctx context.Context, actor account.Actor, d Dismissal) (int, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return 0, err
	}
	var err error
	d.From, d.To = d.From.UTC().Truncate(time.Microsecond), d.To.UTC().Truncate(time.Microsecond)
	switch d.Why, err = text("why", strings.TrimSpace(d.Why)); {
	case err != nil:
		return 0, err
	case d.Sensor == "":
		return 0, fault.New(fault.Invalid, "sensor: say of which")
	case d.From.IsZero() || !d.To.After(d.From):
		return 0, fault.New(fault.Invalid, "from, to: say which readings, by when they were measured")
	}
	n, err := b.Book.Dismiss(ctx, actor, d)
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "nothing of the sensor %q waits there any more", d.Sensor)
	}
	return n, err
}

// ListAside returns what was put aside, the newest first. What its device took back is not among it.
func (b *Inbox) ListAside(ctx context.Context, actor account.Actor) ([]Aside, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return nil, err
	}
	list, err := b.Book.Aside(ctx, actor, mostWaiting)
	if err != nil {
		return nil, err
	}
	return list, b.Looks.Saw(ctx, actor, "inbox", "")
}

// BringBack lets what was put aside wait again, whoever put it aside. See InboxBook.
func (b *Inbox) BringBack(ctx context.Context, actor account.Actor, r Return) (int, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return 0, err
	}
	r.From, r.To, r.At = r.From.UTC().Truncate(time.Microsecond), r.To.UTC().Truncate(time.Microsecond), r.At.UTC().Truncate(time.Microsecond)
	switch {
	case r.Sensor == "":
		return 0, fault.New(fault.Invalid, "sensor: say of which")
	case r.From.IsZero() || !r.To.After(r.From):
		return 0, fault.New(fault.Invalid, "from, to: say which readings, by when they were measured")
	}
	n, err := b.Book.BringBack(ctx, actor, r)
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "nothing of the sensor %q that was put aside is there any more", r.Sensor)
	}
	return n, err
}
