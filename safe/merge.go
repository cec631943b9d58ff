package safe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/vital"
)

// MergeState is how far a merge is.
type MergeState string

// The states of a merge.
const (
	MergeRunning MergeState = "running"
	MergeDone    MergeState = "done"
	MergeUndoing MergeState = "undoing"
	MergeUndone  MergeState = "undone"
)

// Known is what a system of the world calls a patient.
type Known struct{ System, Value, Key string }

// Twin is one of two records that may be one person's: what is compared before they are merged.
type Twin struct {
	Patient     account.Patient
	Identifiers []Known // in force
	Sensors     int
	OpenAlerts  int
	Erasure     ErasureState                       // of a request that is open; empty: there is none
	Choices     map[consent.Purpose]consent.Choice // the newest of each purpose
}

// Comparison sets two records side by side. Whoever merges them confirms that they have seen this.
type Comparison struct {
	From, Into Twin
	Alike      []string // what speaks for one person, in words; a name does not
	Differ     []string // what speaks against it
	Confirm    string   // stands for what was compared: another one when anything of it has changed
}

// MergeWish says that the patient and Into are one person, who is to be known as Into.
type MergeWish struct {
	Patient, Into vital.UID
	Confirm       string // of the Comparison that was seen
	Reason        string
	Override      string // why it is one person although something speaks against it, or nothing but the name for it
}

// Merge is two records that were found to be one person's.
type Merge struct {
	UID              vital.UID
	From, Into       Party
	State            MergeState
	Reason, Override string
	AskedBy          string
	AskedAt, EndedAt time.Time
	UndoReason       string
	UndoBy           string
	UndoAt           time.Time
	Total, Moved     int      // readings, of the refiles that it or its undoing is made of
	Troubles         []Refile // those of them that stand still or have failed; told of one merge, not of a list
}

// MergeBook is the record as Merges needs it. Every method is bound to the actor's organisation and view.
type MergeBook interface {
	// Compare loads both records; fault.NotFound when one is out of reach.
	Compare(ctx context.Context, actor account.Actor, from, into vital.UID) (Comparison, error)
	// AskMerge loads both, lets decide look, and then marks the first as merged, moves what belongs to the person and asks
	// for the refiles of all the sensors. Both patients get an audit row.
	AskMerge(ctx context.Context, actor account.Actor, w MergeWish, decide func(Comparison) error) (Merge, error)
	// UndoMerge loads the open erasure of either, lets decide look, takes it all back and asks for the refiles back.
	UndoMerge(ctx context.Context, actor account.Actor, uid vital.UID, reason string, decide func(ErasureState) error) (Merge, error)
	Merge(ctx context.Context, actor account.Actor, uid vital.UID) (Merge, error)
	// MergesOf returns the merges of the patient, newest first.
	MergesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Merge, error)
}

// Merges is where two records of one person become one, and apart again.
type Merges struct {
	People People
	Book   MergeBook
	Looks  *account.Looks // nil writes nothing
}

// Compare sets two records side by side, to be looked at before they are merged.
func (m *Merges) Compare(ctx context.Context, actor account.Actor, from, into vital.UID) (Comparison, error) {
	if err := m.both(ctx, actor, from, into); err != nil {
		return Comparison{}, err
	}
	c, err := m.Book.Compare(ctx, actor, from, into)
	if err != nil {
		return Comparison{}, err
	}
	return c.weighed(), m.Looks.Saw(ctx, actor, "merges", "", c.From.Patient.ID, c.Into.Patient.ID)
}

// Ask merges two records. Errors: fault.Invalid when what speaks against it was not answered (Override), fault.Conflict when
// the comparison was not seen as it is now, or when one of them is merged, locked, being refiled or to be erased.
func (m *Merges) Ask(ctx context.Context, actor account.Actor, w MergeWish) (Merge, error) {
	if err := m.both(ctx, actor, w.Patient, w.Into); err != nil {
		return Merge{}, err
	}
	var err error
	if w.Reason, err = text("reason", w.Reason); err != nil {
		return Merge{}, err
	}
	if w.Override = strings.TrimSpace(w.Override); w.Override != "" {
		if w.Override, err = text("override", w.Override); err != nil {
			return Merge{}, err
		}
	}
	return m.Book.AskMerge(ctx, actor, w, func(c Comparison) error { return c.weighed().decide(w) })
}

func (m *Merges) both(ctx context.Context, actor account.Actor, from, into vital.UID) error {
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return err
	}
	if from == into {
		return fault.New(fault.Invalid, "into: name another patient than the one to be merged")
	}
	for _, uid := range []vital.UID{from, into} {
		if _, err := reach(ctx, m.People, actor, account.MergePatients, uid); err != nil {
			return err
		}
	}
	return nil
}

// weighed says what speaks for one person and what against it.
func (c Comparison) weighed() Comparison {
	a, b := &c.From.Patient, &c.Into.Patient
	c.Alike, c.Differ = nil, nil
	switch {
	case a.BirthDate == "" || b.BirthDate == "":
	case a.BirthDate.Agrees(b.BirthDate):
		c.Alike = append(c.Alike, "the date of birth")
	default:
		c.Differ = append(c.Differ, "the date of birth")
	}
	if a.Sex != "unknown" && b.Sex != "unknown" && a.Sex != b.Sex {
		c.Differ = append(c.Differ, "the sex")
	}
	for _, x := range c.From.Identifiers {
		for _, y := range c.Into.Identifiers {
			switch {
			case x.System != y.System:
			case x.Key == y.Key:
				c.Alike = append(c.Alike, "the identifier of "+x.System)
			default:
				c.Differ = append(c.Differ, "the identifier of "+x.System)
			}
		}
	}
	if c.consentsDiffer() {
		c.Differ = append(c.Differ, "the consents")
	}
	c.Confirm = c.token()
	return c
}

// token stands for what was compared.
func (c *Comparison) token() string {
	type seen struct {
		UID                      vital.UID
		Name, Birth, Sex, Number string
		Identifiers              []Known
	}
	of := func(t *Twin) seen {
		p := &t.Patient
		return seen{p.UID, p.Name, string(p.BirthDate), p.Sex, p.Number, t.Identifiers}
	}
	b, err := json.Marshal([]seen{of(&c.From), of(&c.Into)})
	if err != nil {
		return "" // strings only: it cannot fail
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

func (c Comparison) decide(w MergeWish) error {
	for _, p := range []*account.Patient{&c.From.Patient, &c.Into.Patient} {
		if p.State != account.Active {
			return fault.New(fault.Conflict, "only records that are in use can be merged, and one of these is %s", p.State)
		}
	}
	for _, t := range []*Twin{&c.From, &c.Into} {
		if err := apartWhileErased(t.Erasure); err != nil {
			return err
		}
	}
	if err := c.overruled(); err != nil {
		return err
	}
	switch {
	case w.Confirm == "":
		return fault.New(fault.Invalid, "confirm: compare the identifiers and the dates of birth first, and give the value that the comparison shows")
	case w.Confirm != c.Confirm:
		return fault.New(fault.Conflict, "confirm: what was compared is not what the records say now; compare them again")
	case len(c.Differ) > 0 && w.Override == "":
		return fault.New(fault.Invalid, "override: they differ in %s; say why this is one person all the same", strings.Join(c.Differ, ", "))
	case len(c.Alike) == 0 && w.Override == "":
		return fault.New(fault.Invalid, "override: nothing but the name speaks for one person; say how it is known")
	}
	return nil
}

// overruled refuses to let what was agreed to under the record that stays hold for what was refused under the other: only the
// decisions of the one that stays count afterwards.
func (c *Comparison) overruled() error {
	if !c.consentsDiffer() {
		return nil
	}
	// Whoever merges need not be one who may know what somebody decided.
	return fault.New(fault.Conflict, "the consents of the two records differ: let somebody of the care team ask the person first, and write the answers down in the record that is to stay")
}

// consentsDiffer reports whether something that was refused under the record that goes is agreed to under the one that stays.
func (c *Comparison) consentsDiffer() bool {
	for purpose, choice := range c.From.Choices {
		if choice != consent.Given && c.Into.Choices[purpose] == consent.Given {
			return true
		}
	}
	return false
}

// apartWhileErased refuses to make one record of two, or two of one, while somebody has asked for the erasure of either: the request
// is about what stands in that record, and neither more nor less may stand there when it is carried out.
func apartWhileErased(s ErasureState) error {
	if s == "" {
		return nil
	}
	return fault.New(fault.Conflict, "the erasure of one of these records was asked for: let the privacy officer settle that request first, or withdraw it, and ask again afterwards")
}

// Undo makes two records of them again. What was measured since by sensors that were the first one's goes with them; what is
// the second one's own stays. The reason may be empty.
func (m *Merges) Undo(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (Merge, error) {
	was, err := m.Get(ctx, actor, uid)
	if err != nil {
		return Merge{}, err
	}
	if was.From.UID == "" || was.Into.UID == "" {
		return Merge{}, fault.New(fault.Conflict, "one of these records is closed: they cannot be made two any more")
	}
	if err := m.both(ctx, actor, was.From.UID, was.Into.UID); err != nil {
		return Merge{}, err
	}
	if reason == "" {
		reason = usualUndo
	}
	if reason, err = text("reason", reason); err != nil {
		return Merge{}, err
	}
	return m.Book.UndoMerge(ctx, actor, uid, reason, apartWhileErased)
}

// Get returns one merge, for who may merge.
func (m *Merges) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Merge, error) {
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return Merge{}, err
	}
	one, err := m.Book.Merge(ctx, actor, uid)
	if err != nil {
		return Merge{}, err
	}
	return one, sawParties(ctx, m.Looks, actor, "merges", one.From, one.Into)
}

// Of returns the merges of a patient, newest first, for everybody who sees the patient.
func (m *Merges) Of(ctx context.Context, actor account.Actor, uid vital.UID) ([]Merge, error) {
	p, err := reach(ctx, m.People, actor, account.SeePatients, uid)
	if err != nil {
		return nil, err
	}
	return m.Book.MergesOf(ctx, actor, p.ID)
}

// Successor returns under which record a merged patient is known now; empty when the patient is not merged.
func (m *Merges) Successor(ctx context.Context, actor account.Actor, uid vital.UID) (Party, error) {
	list, err := m.Of(ctx, actor, uid)
	if err != nil {
		return Party{}, err
	}
	for i := range list {
		if list[i].From.UID == uid && (list[i].State == MergeRunning || list[i].State == MergeDone) {
			return list[i].Into, nil
		}
	}
	return Party{}, nil
}

// Moved is the answer to a link that still names a merged patient.
func (p Party) Moved() error {
	if p.UID == "" {
		return fault.New(fault.Gone, "this patient is known under another record now")
	}
	return fault.New(fault.Gone, "this patient is known under another record now: /v1/patients/%s", p.UID)
}
