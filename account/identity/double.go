package identity

import (
	"context"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// DoubleState says what is known of two people who may be one.
type DoubleState string

// The states of a possible double. Merged is written by whoever merges.
const (
	DoubleOpen      DoubleState = "open"
	DoubleTwoPeople DoubleState = "two_people"
	DoubleMerged    DoubleState = "merged"
)

// Double is two records that may be one person's: the same name and no contradiction about the birth, but no identifier that
// both have. Nothing follows from it by itself.
type Double struct {
	UID       vital.UID
	One       account.Patient // the older record
	Other     account.Patient
	SameName  bool // the names have the same words, whatever their order, case and accents
	State     DoubleState
	FoundAt   time.Time
	DecidedAt time.Time // zero while it is open
	DecidedBy string
	Reason    string
}

// DoublePart is one thing that both records say, side by side.
type DoublePart struct {
	Field      string // "name", "birth_date", ..., or the URI of an identifier's system
	One, Other string
	Agree      bool
}

// DoubleBook is the record as Doubles needs it.
type DoubleBook interface {
	Doubles(ctx context.Context, actor account.Actor, state DoubleState, limit int) ([]Double, error)
	Double(ctx context.Context, actor account.Actor, uid vital.UID) (Double, error)
	Identifiers(ctx context.Context, actor account.Actor, patient vital.UID) ([]Identifier, error)
	// TwoPeople settles an open double, with the audit rows; fault.Conflict when somebody has settled it.
	TwoPeople(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (Double, error)
	Record(ctx context.Context, a account.Audit) error
}

// Doubles is the desk for two records that may be one person's.
type Doubles struct {
	Book  DoubleBook
	Now   func() time.Time
	Looks *account.Looks // of the list; nil writes nothing
}

// List returns the doubles of a state, the oldest first.
func (d *Doubles) List(ctx context.Context, actor account.Actor, state DoubleState, limit int) ([]Double, error) {
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return nil, err
	}
	switch state {
	case DoubleOpen, DoubleTwoPeople, DoubleMerged:
		if err := d.Looks.Listed(ctx, actor, "doubles"); err != nil {
			return nil, err
		}
		return d.Book.Doubles(ctx, actor, state, min(max(limit, 1), account.MostPatients))
	}
	return nil, fault.New(fault.Invalid, "state: give open, two_people or merged")
}

// Get returns a double with what both records say, side by side, and writes down that the actor looked at both.
func (d *Doubles) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Double, []DoublePart, error) {
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return Double{}, nil, err
	}
	two, err := d.Book.Double(ctx, actor, uid)
	if err != nil {
		return two, nil, err
	}
	var lists [2][]Identifier
	for i, p := range []*account.Patient{&two.One, &two.Other} {
		if err := account.AllowThing(actor, account.MergePatients, p, "possible double "+string(uid)); err != nil {
			return Double{}, nil, err
		}
		audit := account.Audit{Org: actor.Org, At: d.Now(), Actor: actor, Action: "look", Patient: p.ID, Object: "patient " + string(p.UID), Detail: "possible double"}
		if err := d.Book.Record(ctx, audit); err != nil {
			return Double{}, nil, err
		}
		if lists[i], err = d.Book.Identifiers(ctx, actor, p.UID); err != nil {
			return Double{}, nil, err
		}
	}
	return two, compareDoubles(&two, lists[0], lists[1], d.Now()), nil
}

func compareDoubles(two *Double, ones, others []Identifier, now time.Time) []DoublePart {
	a, b := &two.One, &two.Other
	sex := func(p *account.Patient) string {
		if p.Sex == "unknown" {
			return ""
		}
		return p.Sex
	}
	parts := []DoublePart{
		{columnName, a.Name, b.Name, two.SameName},
		{columnBirth, string(a.BirthDate), string(b.BirthDate), a.BirthDate != "" && a.BirthDate == b.BirthDate},
		{columnSex, sex(a), sex(b), a.Sex == b.Sex && sex(a) != ""},
		{columnZone, a.Zone, b.Zone, a.Zone == b.Zone},
		{columnNumber, a.Number, b.Number, false}, // no two patients have the same
	}
	of := func(list []Identifier, system string) string {
		var values []string
		for i := range list {
			if list[i].System == system && list[i].InForce(now) {
				values = append(values, list[i].Value)
			}
		}
		return strings.Join(values, ", ")
	}
	seen := map[string]bool{}
	for _, i := range append(ones[:len(ones):len(ones)], others...) {
		if !seen[i.System] && i.InForce(now) {
			seen[i.System] = true
			parts = append(parts, DoublePart{i.System, of(ones, i.System), of(others, i.System), false})
		}
	}
	return parts
}

// TwoPeople says that the two are two people: nobody is asked about them again.
func (d *Doubles) TwoPeople(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (Double, error) {
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return Double{}, err
	}
	reason = strings.TrimSpace(reason)
	if reason == "" || !account.Printable(reason, account.LongestReason) {
		return Double{}, fault.New(fault.Invalid, "reason: say in 1 to %d characters how it is known that they are two people", account.LongestReason)
	}
	return d.Book.TwoPeople(ctx, actor, uid, reason)
}
