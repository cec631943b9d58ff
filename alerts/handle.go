package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Triage is what people do with alerts.
type Triage struct {
	Cases     Cases
	Announcer Announcer // nil: nobody listens
	Looks     *account.Looks
	Now       func() time.Time
}

// Why an act was refused with fault.Conflict; the message says who did what.
var (
	ErrStale  = errors.New("the alert has changed since it was read")
	ErrClosed = errors.New("the alert is closed")
)

// The bounds of what people may ask for.
const (
	AcknowledgeFor    = time.Hour      // an acknowledgement lasts so long unless said otherwise
	AcknowledgeAtMost = 24 * time.Hour // ... and never longer
	StepWithin        = 90 * 24 * time.Hour
	defaultPage       = 100
	largestPage       = 500
)

// List returns alerts, newest first.
func (t *Triage) List(ctx context.Context, actor account.Actor, f Filter) ([]Alert, error) {
	if err := account.Allow(actor, account.SeeAlerts, nil); err != nil {
		return nil, err
	}
	var err error
	if f.Limit, err = account.ListLength(f.Limit, defaultPage, largestPage); err != nil {
		return nil, err
	}
	for _, s := range f.States {
		switch s {
		case Open, Acknowledged, Closed:
		default:
			return nil, fault.New(fault.Invalid, "state must be %s, %s or %s", Open, Acknowledged, Closed)
		}
	}
	if f.Before != "" {
		if _, err := t.Get(ctx, actor, f.Before); fault.Is(err, fault.NotFound) {
			return nil, nil // nothing comes after an alert that there is not
		} else if err != nil {
			return nil, err
		}
	}
	list, err := t.Cases.Alerts(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	return t.seen(ctx, actor, "alerts", allowed(actor, list))
}

// seen writes down whose alerts the actor is about to see; when that fails nothing is shown.
func (t *Triage) seen(ctx context.Context, actor account.Actor, what string, list []Alert) ([]Alert, error) {
	patients := make([]vital.PatientID, len(list))
	for i := range list {
		patients[i] = list[i].Patient
	}
	if err := t.Looks.Saw(ctx, actor, what, "", patients...); err != nil {
		return nil, err
	}
	return list, nil
}

// Get returns one alert.
func (t *Triage) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Alert, error) {
	if err := account.Allow(actor, account.SeeAlerts, nil); err != nil {
		return Alert{}, err
	}
	a, err := t.Cases.Alert(ctx, actor, uid)
	if err == nil {
		err = a.allow(actor, account.SeeAlerts)
	}
	if err == nil {
		err = t.Looks.Saw(ctx, actor, "alert "+string(uid), "", a.Patient)
	}
	if err != nil {
		return Alert{}, err
	}
	return a, nil
}

// allowed leaves out the alerts of patients whom the actor does not reach.
func allowed(actor account.Actor, list []Alert) []Alert {
	return slices.DeleteFunc(list, func(a Alert) bool { return a.allow(actor, account.SeeAlerts) != nil })
}

// Log returns the timeline of one alert, oldest entry first.
func (t *Triage) Log(ctx context.Context, actor account.Actor, uid vital.UID) ([]Entry, error) {
	if _, err := t.Get(ctx, actor, uid); err != nil {
		return nil, err
	}
	return t.Cases.Log(ctx, actor, uid)
}

// Acknowledge takes the alert until a time (zero: for AcknowledgeFor), which says: I am looking after it. expected is
// the version that the actor has seen. Errors: fault.Invalid with what to mend; fault.Conflict wrapping ErrStale or
// ErrClosed, with who did what.
func (t *Triage) Acknowledge(ctx context.Context, actor account.Actor, uid vital.UID, expected int, until time.Time, note string) (Alert, error) {
	return t.act(ctx, actor, uid, expected, note, func(now time.Time) (Entry, error) {
		if until.IsZero() {
			until = now.Add(AcknowledgeFor)
		}
		if !until.After(now) || until.After(now.Add(AcknowledgeAtMost)) {
			return Entry{}, fault.New(fault.Invalid, "an acknowledgement must end within the next %d hours", int(AcknowledgeAtMost.Hours()))
		}
		return Entry{Kind: EntryAcknowledged, Until: until.UTC()}, nil
	})
}

// Resolve closes the alert with what follows from it. A recheck and a call need a time, the others
// have none; a hand-over needs a note that says to whom. expected
// and the errors are as in Acknowledge.
func (t *Triage) Resolve(ctx context.Context, actor account.Actor, uid vital.UID, expected int, next NextStep, at time.Time, note string) (Alert, error) {
	return t.act(ctx, actor, uid, expected, note, func(now time.Time) (Entry, error) {
		switch next {
		case StepRecheck, StepCall:
			if !at.After(now) || at.After(now.Add(StepWithin)) {
				return Entry{}, fault.New(fault.Invalid, "say when to %s: a time within the next %d days", next, int(StepWithin.Hours()/24))
			}
		case StepNone, StepHandOver:
			if !at.IsZero() {
				return Entry{}, fault.New(fault.Invalid, "next step %q has no time; leave it out", next)
			}
			if next == StepHandOver && strings.TrimSpace(note) == "" {
				return Entry{}, fault.New(fault.Invalid, "say in the note to whom it is handed over")
			}
		default:
			return Entry{}, fault.New(fault.Invalid, "a next step is needed: %s, %s, %s or %s", StepNone, StepRecheck, StepCall, StepHandOver)
		}
		entry := Entry{Kind: EntryResolved, NextStep: next}
		if !at.IsZero() {
			entry.NextStepAt = at.UTC()
		}
		return entry, nil
	})
}

func (t *Triage) act(ctx context.Context, actor account.Actor, uid vital.UID, expected int, note string, entryAt func(now time.Time) (Entry, error)) (Alert, error) {
	if err := account.Allow(actor, account.HandleAlert, nil); err != nil {
		return Alert{}, err
	}
	note = strings.TrimSpace(note)
	switch {
	case expected < 1:
		return Alert{}, fault.New(fault.Invalid, "say which version of the alert you have seen")
	case utf8.RuneCountInString(note) > longestReason || !utf8.ValidString(note):
		return Alert{}, fault.New(fault.Invalid, "a note may have %d characters of UTF-8 at most", longestReason)
	}
	if _, err := entryAt(t.Now().UTC()); err != nil { // refuse what can never be right before anything is locked
		return Alert{}, err
	}
	// Whoever may not learns it before anything is locked, by the same work as of an alert that does not exist.
	seen, err := t.Cases.Alert(ctx, actor, uid)
	if err == nil {
		err = seen.allow(actor, account.HandleAlert)
	}
	if err != nil {
		return Alert{}, err
	}
	after, events, err := t.Cases.Amend(ctx, actor, uid, func(a Alert, now time.Time) ([]Entry, error) {
		if err := a.allow(actor, account.HandleAlert); err != nil {
			return nil, err
		}
		if err := a.actable(expected); err != nil {
			return nil, err
		}
		entry, err := entryAt(now)
		if err != nil {
			return nil, err
		}
		entry.Actor, entry.RecordedAt, entry.Note = actor, now, note
		return []Entry{entry}, nil
	})
	if errors.Is(err, ErrStale) || errors.Is(err, ErrClosed) {
		return Alert{}, t.explain(ctx, actor, uid, err)
	}
	if err != nil {
		return Alert{}, err
	}
	if t.Announcer != nil && len(events) > 0 {
		t.Announcer.Announce(ctx, events)
	}
	return after, nil
}

// actable reports whether somebody who has seen the expected version may act on the episode.
func (e *Episode) actable(expected int) error {
	switch {
	case e.State == Closed:
		return fault.Wrap(fault.Conflict, ErrClosed, "the alert is closed")
	case e.Version != expected:
		return fault.Wrap(fault.Conflict, ErrStale, "the alert has changed since you read it")
	}
	return nil
}

// explain makes the refusal say who did what: the latest change that whoever acts must have seen.
func (t *Triage) explain(ctx context.Context, actor account.Actor, uid vital.UID, refusal error) error {
	log, err := t.Cases.Log(ctx, actor, uid)
	if err != nil {
		return refusal // the short form is true as well
	}
	why := ErrStale
	if errors.Is(refusal, ErrClosed) {
		why = ErrClosed
	}
	for i := len(log) - 1; i >= 0; i-- {
		if what := log[i].said(); what != "" {
			return fault.Wrap(fault.Conflict, why, "%s at %s UTC; look again", what, log[i].RecordedAt.UTC().Format("15:04"))
		}
	}
	return refusal
}

// said tells in words what an entry changed that somebody must have seen before acting; "" when nothing.
func (e *Entry) said() string {
	switch e.Kind {
	case EntryAcknowledged:
		return fmt.Sprintf("%s acknowledged it", e.Actor.Name)
	case EntryResolved:
		return fmt.Sprintf("%s resolved it", e.Actor.Name)
	case EntryWorsened:
		return fmt.Sprintf("it became %s", e.Level)
	case EntryCleared:
		if e.Closes {
			switch {
			case e.Cause == CauseRule:
				return "it closed by itself, the limits were changed,"
			case e.Cause.refiled():
				return "it closed by itself, its readings were filed under another record,"
			case e.Cause == CauseWithdrawn:
				return "it closed by itself, its readings were taken back,"
			}
			return "it closed by itself, the readings were back inside the limits,"
		}
	case EntryResumed:
		return "its condition holds again"
	case EntryOpened, EntryOccurred, EntryAnnotated, EntryNoted:
	}
	return ""
}
