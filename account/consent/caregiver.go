package consent

import (
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Grant lets one caregiver, or a guardian, see one patient's record for a while. A change ends it and makes another.
type Grant struct {
	ID          int64
	UID         vital.UID
	Caregiver   account.CaregiverID
	Who         vital.UID // the caregiver's
	Name        string
	Phone       string // that was given with it; empty: none, or as it was
	Guardian    bool
	Scopes      account.Scopes
	From        time.Time
	To          time.Time       // zero: until further notice
	Document    string          // of a guardian: where the court's order is kept
	Reason      string          // of staff who write down the patient's wish
	Staff       account.StaffID // who wrote it down; 0: the patient
	RecordedBy  string
	ConfirmedAt time.Time // of a guardian, by a second member of staff; it has no force before
	SuspendedAt time.Time // from when their view is frozen; only the patient, the team and the privacy officer know
}

// In reports whether the grant is in force at a moment, apart from consent.
func (g *Grant) In(at time.Time) bool {
	if at.Before(g.From) || !g.To.IsZero() && !at.Before(g.To) {
		return false
	}
	return !g.Guardian || !g.ConfirmedAt.IsZero() && !at.Before(g.ConfirmedAt)
}

// Ended reports whether the grant is over.
func (g *Grant) Ended(at time.Time) bool { return !g.To.IsZero() && !at.Before(g.To) }

// WayOf folds grants and consents to what a caregiver is to the patient at a moment. What the patient shares needs their
// consent to sharing; what the law gives a guardian does not. The record does this sum in SQL (my_ways); a test of
// package postgres holds that against this function, which nothing else calls.
func WayOf(caregiver account.CaregiverID, grants []Grant, log []Decision, at time.Time) account.Relation {
	sharing := Stand(ForSharing, nil, log, at)
	var r account.Relation
	var shared []account.Action
	for i := range grants {
		g := &grants[i]
		if g.Caregiver != caregiver || !g.In(at) || !g.Guardian && !sharing.Stands() {
			continue
		}
		shared = append(shared, g.Scopes.Actions()...)
		r.Guardian = r.Guardian || g.Guardian
		if !g.SuspendedAt.IsZero() && !at.Before(g.SuspendedAt) && (r.Frozen.IsZero() || g.SuspendedAt.Before(r.Frozen)) {
			r.Frozen = g.SuspendedAt
		}
	}
	r.Shared = account.ScopesOf(shared...)
	return r
}

func guardianOf(grants []Grant, who vital.UID, at time.Time) (Grant, bool) {
	for i := range grants {
		if g := &grants[i]; g.Guardian && g.Who == who && g.In(at) {
			return *g, true
		}
	}
	return Grant{}, false
}

// LetIn is whom a patient lets in, or what they change of it.
type LetIn struct {
	Who      vital.UID // of somebody who was let in before; empty: somebody new, by Name
	Name     string
	Phone    string // for the emergency sheet; empty: not told, or as it was
	Guardian bool
	Scopes   account.Scopes
	From     time.Time // now when zero
	To       time.Time // zero: until further notice; a guardian's must end with the document
	Document string    // of a guardian
	Reason   string    // when staff write down the patient's wish
}

// longestGuardianship is how long one may last before its document is looked at again [J].
const longestGuardianship = 5 * 366 * 24 * time.Hour

// DecideLetIn decides whether somebody is let in. It returns the new grant, and the grants that it ends: the same person's of
// the same kind. A frozen view stays frozen through a change.
func DecideLetIn(f *File, actor account.Actor, l LetIn, now time.Time) (grant Grant, ends []Grant, err error) {
	if f.Patient.State != account.Active {
		return grant, nil, fault.New(fault.Conflict, "care of this patient is ending or has ended: nobody new is let in")
	}
	if grant, err = l.grant(actor, now); err != nil {
		return grant, nil, err
	}
	if sharing := Stand(ForSharing, f.Texts, f.Log, now); !l.Guardian && !sharing.Stands() {
		return grant, nil, fault.New(fault.Conflict, "ask for the consent to sharing first: without it nobody sees anything")
	}
	if l.Who == "" {
		return grant, nil, nil
	}
	known := false
	for i := range f.Grants {
		g := f.Grants[i]
		if g.Who != l.Who {
			continue
		}
		known = true
		grant.Caregiver, grant.Who, grant.Name = g.Caregiver, g.Who, g.Name
		if g.Guardian == l.Guardian && !g.Ended(now) {
			ends = append(ends, g)
		}
		if !g.Ended(now) && !g.SuspendedAt.IsZero() {
			grant.SuspendedAt = g.SuspendedAt
		}
	}
	if !known {
		return grant, nil, fault.New(fault.NotFound, "this patient has let no such person in")
	}
	return grant, ends, nil
}

func (l *LetIn) grant(actor account.Actor, now time.Time) (Grant, error) {
	g := Grant{
		Guardian: l.Guardian, Name: strings.TrimSpace(l.Name), Phone: strings.TrimSpace(l.Phone), Scopes: account.ScopesOf(l.Scopes.Actions()...), From: now, To: l.To.UTC(),
		Document: strings.TrimSpace(l.Document), Reason: strings.TrimSpace(l.Reason), Staff: actor.Staff, RecordedBy: actor.Name,
	}
	if l.To.IsZero() {
		g.To = time.Time{}
	}
	if l.From.After(now) {
		g.From = l.From.UTC()
	}
	can := account.ForCaregivers()
	if l.Guardian {
		can = account.ForGuardians()
	}
	switch {
	case l.Who == "" && (g.Name == "" || !account.Printable(g.Name, account.LongestName)):
		return g, fault.New(fault.Invalid, "name: give 1 to %d printable characters", account.LongestName)
	case account.CheckPhone(g.Phone) != nil:
		return g, account.CheckPhone(g.Phone)
	case g.Scopes == "" || slices.ContainsFunc(g.Scopes.Actions(), func(a account.Action) bool { return !slices.Contains(can, a) }):
		return g, fault.New(fault.Invalid, "scopes: choose at least one of what can be shared, and nothing else")
	case !g.Scopes.Has(account.SeePatients):
		g.Scopes = account.ScopesOf(append(g.Scopes.Actions(), account.SeePatients)...) // whoever sees anything sees whose it is
	}
	switch {
	case !g.To.IsZero() && !g.To.After(g.From):
		return g, fault.New(fault.Invalid, "to: give an end after the beginning, or none")
	case actor.Staff != 0 && g.Reason == "":
		return g, fault.New(fault.Invalid, "reason: say how you know that it is the patient's wish")
	case !account.Printable(g.Reason, account.LongestReason) || !account.Printable(g.Document, longestReference):
		return g, fault.New(fault.Invalid, "reason and document: at most %d and %d printable characters", account.LongestReason, longestReference)
	case !l.Guardian:
		g.Document = ""
		return g, nil
	case actor.Staff == 0:
		return g, errOwnGuardian()
	case g.Document == "":
		return g, fault.New(fault.Invalid, "document: say where the guardian's document is kept")
	case g.To.IsZero() || g.To.Sub(g.From) > longestGuardianship:
		return g, fault.New(fault.Invalid, "to: a guardian's document has an end; give it, at most five years away")
	}
	return g, nil
}

func errOwnGuardian() error {
	return fault.New(fault.Forbidden, "a guardian is recorded by the care team, who look at the document")
}

// DecideConfirm decides whether the actor can be the second person who has seen a guardian's document.
func DecideConfirm(g *Grant, actor account.Actor, now time.Time) error {
	switch {
	case !g.Guardian || g.Ended(now):
		return fault.New(fault.Conflict, "there is no guardianship to confirm")
	case !g.ConfirmedAt.IsZero():
		return fault.New(fault.Conflict, "this guardianship is confirmed already")
	case actor.Staff == 0 || g.Staff == actor.Staff:
		return fault.New(fault.Forbidden, "a second member of staff must look at the document: you recorded it yourself")
	}
	return nil
}

// PrivateKind is a kind of thing that can be private.
type PrivateKind string

// What a patient can keep from caregivers and guardians.
const (
	PrivateAlert      PrivateKind = "alert"
	PrivateMetric     PrivateKind = "metric" // in a span of time, or always
	PrivateSpan       PrivateKind = "span"   // everything that was measured in it
	PrivateConsent    PrivateKind = "consent"
	PrivateCorrection PrivateKind = "correction"
)

// PrivateItem is something that caregivers and guardians do not see, nor that it is hidden.
type PrivateItem struct {
	UID      vital.UID
	Kind     PrivateKind
	Ref      vital.UID // of the alert, decision or correction
	Metric   vital.Metric
	From     time.Time
	To       time.Time
	MarkedBy string
	MarkedAt time.Time
	Names    Named // what Ref names; filled in by CaregiverStore.PrivateItems
}

// Named says what a private item names: for people, who know no ids.
type Named struct {
	Metric  vital.Metric // of an alert, or a reading that is said to be wrong
	Purpose Purpose      // of a consent
	Wrong   string       // of a correction: its kind
	At      time.Time    // when the alert opened, the consent was decided on or the correction asked for
}

// check refuses what names nothing, or would leave a hole that nobody meant.
func (i *PrivateItem) check() error {
	named := i.Kind == PrivateAlert || i.Kind == PrivateConsent || i.Kind == PrivateCorrection
	switch {
	case !slices.Contains([]PrivateKind{PrivateAlert, PrivateMetric, PrivateSpan, PrivateConsent, PrivateCorrection}, i.Kind):
		return fault.New(fault.Invalid, "kind: give alert, metric, span, consent or correction")
	case named != (i.Ref != ""):
		return fault.New(fault.Invalid, "ref: give the id of the alert, consent or correction, and none for a metric or a span")
	case (i.Kind == PrivateMetric) != (i.Metric != 0):
		return fault.New(fault.Invalid, "metric: name it for kind metric, and only there")
	case i.Kind == PrivateSpan && (i.From.IsZero() || i.To.IsZero()):
		return fault.New(fault.Invalid, "from and to: a span has both")
	case named && (!i.From.IsZero() || !i.To.IsZero()):
		return fault.New(fault.Invalid, "from and to: only a metric or a span has them")
	case !i.From.IsZero() && !i.To.IsZero() && !i.To.After(i.From):
		return fault.New(fault.Invalid, "to: give an end after the beginning")
	}
	return nil
}
