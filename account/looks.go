package account

import (
	"context"
	"sync"
	"time"

	"hale/vital"
)

// LookAction is the action of an audit row that tells of a look: something was shown, and nothing changed.
const LookAction = "look"

// LookEvery is how long one row stands for all looks of one session at one thing of one patient. A board that renews itself
// every few seconds is one look that lasts, and not a thousand [J].
const LookEvery = 10 * time.Minute

// mostLooks bounds how many looks are remembered; when there are more, all are forgotten and written anew.
const mostLooks = 100_000

// LookLog is the record as Looks needs it.
type LookLog interface {
	// RecordLooks writes one audit row for each patient, all or none.
	RecordLooks(ctx context.Context, a Audit, patients []vital.PatientID) error
}

// Looks writes down who saw what of whom, before it is shown: what cannot be written down is not shown. All patients of one
// answer are one write, and what a session saw within LookEvery is not written again. A process remembers only its own looks,
// so that two may write one each; none is left out. The nil Looks writes nothing, for what stands in no record.
type Looks struct {
	Log LookLog
	Now func() time.Time

	mu    sync.Mutex
	seen  map[lookKey]time.Time
	swept time.Time
}

// lookKey is what one row stands for.
type lookKey struct {
	org       vital.OrgID
	session   vital.UID
	staff     StaffID
	self      vital.PatientID
	caregiver CaregiverID
	key       KeyID
	patient   vital.PatientID
	object    string
	detail    string
}

// Saw writes that the actor is about to see the object, and of it the detail, of these patients. Object and detail name
// things ("worklist", "alert 0192...", "limits") and hold nothing of health. An error means that nothing may be shown.
func (l *Looks) Saw(ctx context.Context, actor Actor, object, detail string, patients ...vital.PatientID) error {
	if l == nil || len(patients) == 0 {
		return nil
	}
	now := l.Now()
	fresh := l.unseen(actor, object, detail, patients, now)
	if len(fresh) == 0 {
		return nil
	}
	row := Audit{Org: actor.Org, At: now, Actor: actor, Action: LookAction, Object: object, Detail: detail}
	if err := l.Log.RecordLooks(ctx, row, fresh); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range fresh {
		l.seen[keyOf(actor, object, detail, p)] = now
	}
	return nil
}

// Listed writes that the actor is about to see a list in which patients are named ("patients", "team 0192..."). One row that names
// no patient stands for the whole list, and for the next LookEvery of the session: who pages through everybody is known by it.
func (l *Looks) Listed(ctx context.Context, actor Actor, list string) error {
	return l.Saw(ctx, actor, list, "", 0)
}

// unseen returns the patients, each once, of whom no row stands yet. Whoever looks in the same moment writes too: a row too
// many is better than an answer that comes before its row.
func (l *Looks) unseen(actor Actor, object, detail string, patients []vital.PatientID, now time.Time) []vital.PatientID {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	once := make(map[vital.PatientID]bool, len(patients))
	var fresh []vital.PatientID
	for _, p := range patients {
		at, known := l.seen[keyOf(actor, object, detail, p)]
		if once[p] || known && now.Sub(at) < LookEvery && !now.Before(at) {
			continue
		}
		once[p] = true
		fresh = append(fresh, p)
	}
	return fresh
}

// sweep forgets what has run out, once in LookEvery, and everything when it is too much.
func (l *Looks) sweep(now time.Time) {
	if l.seen == nil || len(l.seen) >= mostLooks {
		l.seen, l.swept = map[lookKey]time.Time{}, now
	}
	if now.Sub(l.swept) < LookEvery {
		return
	}
	l.swept = now
	for k, at := range l.seen {
		if now.Sub(at) >= LookEvery {
			delete(l.seen, k)
		}
	}
}

func keyOf(a Actor, object, detail string, p vital.PatientID) lookKey {
	return lookKey{
		org: a.Org, session: a.Session, staff: a.Staff, self: a.Self, caregiver: a.Caregiver, key: a.Key,
		patient: p, object: object, detail: detail,
	}
}
