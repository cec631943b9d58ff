package safe

import (
	"context"
	"slices"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Look is a row of the audit trail about a patient: somebody looked, or did something.
type Look struct {
	ID      int64
	At      time.Time
	Name    string       // of whoever it was; a program's is the name of its key
	Role    account.Role // empty for Hale itself, the operator at the console and whoever had a share's link
	Session string
	Action  string // account.LookAction, or what was done
	Object  string
	Detail  string
	// Glass is the reason with which the person had broken the glass at that moment; empty: they had not.
	Glass string
	// By is who made the code with which the person signed in, as "nurse Nina"; empty for any other act.
	By string
}

// LookFilter chooses looks: the newest first, From inclusive and To exclusive where they are set.
type LookFilter struct {
	From, To time.Time
	Before   int64 // page: only rows with a smaller ID; 0: from the newest
	Limit    int   // 1 to MostLooks; 0 means 500
	Hale     bool  // what Hale did by itself too: it opens and clears alerts
}

// MostLooks is how many rows one page of looks holds at most.
const MostLooks = 2000

const usualLooks = 500

// LookLog is the record as Looks needs it. Every method is bound to the actor's organisation.
type LookLog interface {
	// Looks returns the rows about the patient that the filter chooses, newest first.
	Looks(ctx context.Context, actor account.Actor, patient vital.PatientID, f LookFilter) ([]Look, error)
	// Record writes an audit row for something that changed nothing.
	Record(ctx context.Context, a account.Audit) error
}

// Looks tells patients who looked at their data.
type Looks struct {
	People People
	Log    LookLog
	Now    func() time.Time
}

// Visit is what one person did in one go: looks that follow each other closely.
type Visit struct {
	Look     // of the newest row: who it was
	From, To time.Time
	Rows     []Look // newest first
}

// List returns who looked, newest first, and the ID of the row before which more are found (0: these are all). That somebody
// of the staff looked at the trail is written down too.
func (l *Looks) List(ctx context.Context, actor account.Actor, uid vital.UID, f LookFilter) (account.Patient, []Visit, int64, error) {
	p, err := reach(ctx, l.People, actor, account.SeeLooks, uid)
	if err != nil {
		return account.Patient{}, nil, 0, err
	}
	if f.Limit, err = account.ListLength(f.Limit, usualLooks, MostLooks); err != nil {
		return account.Patient{}, nil, 0, err
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return account.Patient{}, nil, 0, fault.New(fault.Invalid, "from must lie before to")
	}
	if actor.Role != account.SelfRole {
		row := account.Audit{Org: actor.Org, At: l.Now(), Actor: actor, Action: account.LookAction, Patient: p.ID, Object: "looks"}
		if err := l.Log.Record(ctx, row); err != nil {
			return account.Patient{}, nil, 0, err
		}
	}
	wanted := f.Limit
	f.Limit++
	rows, err := l.Log.Looks(ctx, actor, p.ID, f)
	if err != nil {
		return account.Patient{}, nil, 0, err
	}
	var more int64
	if len(rows) > wanted {
		rows = rows[:wanted]
		more = rows[wanted-1].ID
	}
	return p, Visits(VisibleTo(actor, rows)), more, nil
}

// Silent are the actions of which a relative must learn nothing, even one who may read all else: a patient who shuts somebody
// out in silence, or keeps something private, does so because that person could make them suffer for it.
func Silent() []string { return []string{"protect from a relative"} }

// VisibleTo returns the rows that this reader may see: patients and staff all of them; a caregiver, guardians included, none
// that tells of a Silent action.
func VisibleTo(reader account.Actor, rows []Look) []Look {
	if reader.Role != account.CaregiverRole {
		return rows
	}
	// The record has left them out before; this stands behind it.
	silent := Silent()
	return slices.DeleteFunc(slices.Clone(rows), func(l Look) bool { return slices.Contains(silent, l.Action) })
}

// Few returns the visit with rows of at most so many different things, the first of them, and how many things it leaves out.
func (v *Visit) Few(most int, whose Whose) (Visit, int) {
	few := *v
	few.Rows = nil
	var things []string
	for i := range slices.Backward(v.Rows) {
		did := v.Rows[i].Did(whose)
		at := slices.Index(things, did)
		if at < 0 {
			things, at = append(things, did), len(things)
		}
		if at < most {
			few.Rows = append(few.Rows, v.Rows[i])
		}
	}
	slices.Reverse(few.Rows)
	return few, max(len(things)-most, 0)
}

// VisitGap is how long somebody may pause within one visit [J].
const VisitGap = 10 * time.Minute

// Visits gathers rows, newest first, into visits: those of one person and session that follow each other within VisitGap,
// whatever others did meanwhile. Looks and acts are told apart, and so is what was seen through broken glass.
func Visits(rows []Look) []Visit {
	type key struct {
		name, session, glass string
		role                 account.Role
		look                 bool
	}
	var visits []Visit
	open := map[key]int{}
	for _, r := range rows {
		k := key{r.Name, r.Session, r.Glass, r.Role, r.Action == account.LookAction}
		at, some := open[k]
		if some && visits[at].From.Sub(r.At) <= VisitGap {
			visits[at].Rows = append(visits[at].Rows, r)
			visits[at].From = r.At
			continue
		}
		open[k] = len(visits)
		visits = append(visits, Visit{Look: r, From: r.At, To: r.At, Rows: []Look{r}})
	}
	return visits
}
