// Package consent is what patients decide about their own data: consents per purpose and version, the people they let in and what
// is kept from them, guardians, and how care ends when consent does.
package consent

import (
	"math"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Purpose is what a patient is asked to agree to. Each is decided apart from the others.
type Purpose string

// The purposes.
const (
	ForCare     Purpose = "care"              // being watched over at home
	ForSharing  Purpose = "caregiver_sharing" // letting caregivers in
	ForResearch Purpose = "research"          // use without the name
)

// Purposes returns every purpose.
func Purposes() []Purpose { return []Purpose{ForCare, ForSharing, ForResearch} }

// Text is one version of what people agree to, in one language. It is never changed: other words are another version.
type Text struct {
	UID           vital.UID
	Purpose       Purpose
	Version       int    // counts from 1 for each purpose; its translations share it
	Language      string // BCP 47, for example "en" or "sl"
	Body          string
	EffectiveFrom time.Time
	AuthorName    string
	CreatedAt     time.Time
}

// Choice is what somebody decided.
type Choice string

// The choices.
const (
	Given     Choice = "given"
	Refused   Choice = "refused"   // of what had not been given
	Withdrawn Choice = "withdrawn" // of what had
)

// Decider is whose decision it is.
type Decider string

// Who can decide.
const (
	BySelf     Decider = "self"
	ByGuardian Decider = "guardian"
)

// Through is how a decision reached Hale.
type Through string

// The ways. All but the first are written down by staff, with a document or a witness.
const (
	ThroughOwnSession Through = "own_session"
	ThroughPaper      Through = "paper"
	ThroughInPerson   Through = "in_person"
	ThroughPhone      Through = "phone"
)

// Decision is one entry of the log of a patient's consents.
type Decision struct {
	ID         int64
	UID        vital.UID
	Purpose    Purpose
	Version    int // of the text that was decided about
	Language   string
	Choice     Choice
	By         Decider
	Guardian   account.CaregiverID // with ByGuardian
	Through    Through
	Staff      account.StaffID // who wrote it down; 0: the patient's own session
	RecordedBy string
	Document   string // reference of the paper, or of the guardian's document
	Witness    string
	DecidedAt  time.Time
	RecordedAt time.Time
	Private    bool // kept from caregivers and guardians
}

// The times of asking again: half a year after a decision the consent is asked for again (product, section 5), and who does
// not answer within the grace has sharing and research stopped [J]. Days, not months, so that the database counts alike.
const (
	AskAgainAfter = 182 * 24 * time.Hour
	AskGrace      = 30 * 24 * time.Hour
)

// State is how a consent stands.
type State string

// The states. Lapsed: it was given, asked for again, and nobody answered; care never lapses.
const (
	StateUnasked   State = "unasked"
	StateGiven     State = "given"
	StateRefused   State = "refused"
	StateWithdrawn State = "withdrawn"
	StateLapsed    State = "lapsed"
)

// Due says why a consent is to be asked for.
type Due string

// The reasons. DueNot: nobody need ask.
const (
	DueNot   Due = ""
	DueFirst Due = "never_asked"
	DueText  Due = "new_text"
	DueTime  Due = "half_a_year"
)

// Standing is how one consent of a patient stands at a moment: a fold over the log.
type Standing struct {
	Purpose  Purpose
	State    State
	Version  int       // of the text that was decided about; 0 before the first decision
	Newest   int       // version in force now
	Since    time.Time // of the newest decision
	Due      Due
	DueSince time.Time
	LapsesAt time.Time // zero: it does not lapse by itself
}

// Stands reports whether what was agreed to may go on.
func (s Standing) Stands() bool { return s.State == StateGiven }

// Stand folds a patient's log to how the consent for one purpose stands at a moment. The newest decision counts, by the time
// at which it was made and not written down. A new text renews nothing: who agreed to an older one stays with it until asked.
func Stand(purpose Purpose, texts []Text, log []Decision, at time.Time) Standing {
	s := Standing{Purpose: purpose, State: StateUnasked}
	var newestFrom time.Time
	for i := range texts {
		t := &texts[i]
		if t.Purpose == purpose && !t.EffectiveFrom.After(at) && t.Version > s.Newest {
			s.Newest, newestFrom = t.Version, t.EffectiveFrom
		}
	}
	last := newestDecision(purpose, log, at)
	if last == nil {
		if purpose == ForCare { // the others are asked when there is a reason to
			s.Due, s.DueSince = DueFirst, newestFrom
		}
		return s
	}
	s.Version, s.Since = last.Version, last.DecidedAt
	switch last.Choice {
	case Refused:
		s.State = StateRefused
		return s // a no is not asked again
	case Withdrawn:
		s.State = StateWithdrawn
		return s
	case Given:
		s.State = StateGiven
	}
	if askAt := last.DecidedAt.Add(AskAgainAfter); !at.Before(askAt) {
		s.Due, s.DueSince = DueTime, askAt
	}
	if s.Version < s.Newest && (s.Due == DueNot || newestFrom.Before(s.DueSince)) {
		s.Due, s.DueSince = DueText, newestFrom
	}
	if purpose != ForCare {
		s.LapsesAt = last.DecidedAt.Add(AskAgainAfter + AskGrace)
		if !at.Before(s.LapsesAt) {
			s.State = StateLapsed
		}
	}
	return s
}

func newestDecision(purpose Purpose, log []Decision, at time.Time) *Decision {
	var last *Decision
	for i := range log {
		d := &log[i]
		if d.Purpose != purpose || d.DecidedAt.After(at) {
			continue
		}
		if last == nil || d.DecidedAt.After(last.DecidedAt) || d.DecidedAt.Equal(last.DecidedAt) && d.ID > last.ID {
			last = d
		}
	}
	return last
}

// File is what is known of a patient's consents.
type File struct {
	Patient  account.Patient
	Texts    []Text     // of the organisation, all versions
	Log      []Decision // oldest first
	Grants   []Grant    // of guardians and caregivers, as far as the actor may know
	Steps    []EndingStep
	Requests []GuardianRequest
}

// Standings returns how every purpose stands.
func (f *File) Standings(at time.Time) []Standing {
	list := make([]Standing, 0, len(Purposes()))
	for _, p := range Purposes() {
		list = append(list, Stand(p, f.Texts, f.Log, at))
	}
	return list
}

// TextInForce returns the text of the purpose in force at a moment, in the language or else in any; false when there is none.
func TextInForce(texts []Text, purpose Purpose, language string, at time.Time) (Text, bool) {
	var found Text
	for i := range texts {
		t := &texts[i]
		if t.Purpose != purpose || t.EffectiveFrom.After(at) || t.Version < found.Version {
			continue
		}
		if t.Version > found.Version || t.Language == language {
			found = *t
		}
	}
	return found, found.Version > 0
}

// Act is a decision as somebody brings it.
type Act struct {
	Purpose  Purpose
	Version  int
	Language string // of the text that was read; any of the version when empty
	Choice   Choice
	// The rest is for staff who write down what was decided elsewhere.
	Through  Through
	Guardian vital.UID // whose decision it was, when it was a guardian's
	Document string
	Witness  string
	At       time.Time // when it was decided; now when zero
}

// The longest reference and the oldest form [J].
const (
	longestReference = 200
	oldestForm       = 365 * 24 * time.Hour
)

// Effect is what follows from a decision, in the same transaction.
type Effect struct {
	Decision Decision
	Stops    bool          // what was shared for the purpose stops, and its waiting notices are cancelled
	Step     EndingKind    // of off-boarding; empty: none
	State    account.State // of the patient afterwards; empty: as before
}

// Decide decides what an act makes of a patient's consents.
func Decide(f *File, actor account.Actor, act Act, now time.Time) (Effect, error) {
	d, err := actedDecision(f, actor, act, now)
	if err != nil {
		return Effect{}, err
	}
	text, err := textOf(f.Texts, act, d.DecidedAt)
	if err != nil {
		return Effect{}, err
	}
	d.Version, d.Language = text.Version, text.Language
	before := Stand(act.Purpose, f.Texts, f.Log, now)
	if err := fits(f, &before, &d, now); err != nil {
		return Effect{}, err
	}
	if actor.Role == account.CaregiverRole && f.waits(act.Purpose, act.Choice) {
		return Effect{}, fault.New(fault.Conflict, "you have asked for this already: wait for the answer of the care team")
	}
	e := Effect{Decision: d}
	last := d
	last.ID = math.MaxInt64 // it will have the highest
	after := Stand(act.Purpose, f.Texts, append(slices.Clone(f.Log), last), now)
	e.Stops = before.Stands() && !after.Stands()
	if act.Purpose == ForCare {
		e.Step, e.State = endingAfter(f.Patient.State, &after)
		if e.Step == StepReadmitted && actor.Staff == 0 {
			return Effect{}, fault.New(fault.Conflict, "your care has ended: ask the care team to take you in again")
		}
	}
	return e, nil
}

// actedDecision is the act as a decision, with who made it and who wrote it down.
func actedDecision(f *File, actor account.Actor, act Act, now time.Time) (Decision, error) {
	if !slices.Contains(Purposes(), act.Purpose) {
		return Decision{}, fault.New(fault.Invalid, "purpose: give care, caregiver_sharing or research")
	}
	if !slices.Contains([]Choice{Given, Refused, Withdrawn}, act.Choice) {
		return Decision{}, fault.New(fault.Invalid, "choice: give given, refused or withdrawn")
	}
	d := Decision{Purpose: act.Purpose, Version: act.Version, Choice: act.Choice, By: BySelf, Through: ThroughOwnSession, RecordedBy: actor.Name, DecidedAt: now, RecordedAt: now}
	if actor.Staff == 0 {
		if act.Through != "" || act.Guardian != "" || act.Document != "" || act.Witness != "" || !act.At.IsZero() {
			return Decision{}, fault.New(fault.Invalid, "through, guardian, document, witness and at are for staff who write down what was decided on paper or face to face")
		}
		return d, nil
	}
	d.Staff, d.Through = actor.Staff, act.Through
	d.Document, d.Witness = strings.TrimSpace(act.Document), strings.TrimSpace(act.Witness)
	switch {
	case !slices.Contains([]Through{ThroughPaper, ThroughInPerson, ThroughPhone}, act.Through):
		return Decision{}, fault.New(fault.Invalid, "through: give paper, in_person or phone")
	case act.Through == ThroughPaper && d.Document == "":
		return Decision{}, fault.New(fault.Invalid, "document: say where the signed paper is kept")
	case d.Document == "" && d.Witness == "":
		return Decision{}, fault.New(fault.Invalid, "witness: say who heard it beside you")
	case !account.Printable(d.Document, longestReference) || !account.Printable(d.Witness, longestReference):
		return Decision{}, fault.New(fault.Invalid, "document and witness: at most %d printable characters each", longestReference)
	}
	if !act.At.IsZero() {
		d.DecidedAt = act.At.UTC()
	}
	if d.DecidedAt.After(now) || now.Sub(d.DecidedAt) > oldestForm {
		return Decision{}, fault.New(fault.Invalid, "at: give when it was decided, within the last year and not in the future")
	}
	if act.Guardian != "" {
		g, ok := guardianOf(f.Grants, act.Guardian, d.DecidedAt)
		if !ok {
			return Decision{}, fault.New(fault.Invalid, "guardian: this person was no confirmed guardian of the patient at that time")
		}
		d.By, d.Guardian = ByGuardian, g.Caregiver
		if d.Document == "" {
			d.Document = g.Document
		}
	}
	return d, nil
}

// textOf finds the text that was decided about. Who reads it on a screen reads the one in force; a paper may be older. One from
// before the organisation had a text here is filed with the first: its words are those of the document that it names.
func textOf(texts []Text, act Act, at time.Time) (Text, error) {
	newest, ok := TextInForce(texts, act.Purpose, act.Language, at)
	if !ok {
		first, some := firstText(texts, act.Purpose)
		switch {
		case !some:
			return Text{}, fault.New(fault.Conflict, "the organisation has no text for this purpose yet")
		case act.Through == ThroughPaper:
			return first, nil
		}
		return Text{}, fault.New(fault.Conflict, "at: the first text for this purpose is of %s: from before that only a signed paper counts, which you name",
			first.EffectiveFrom.UTC().Format(time.RFC3339))
	}
	if act.Choice == Given && act.Through == "" && act.Version != newest.Version {
		return Text{}, fault.New(fault.Conflict, "the text has changed: read version %d before you agree", newest.Version)
	}
	for i := range texts {
		t := &texts[i]
		if t.Purpose == act.Purpose && t.Version == act.Version && !t.EffectiveFrom.After(at) && (act.Language == "" || act.Language == t.Language) {
			return *t, nil
		}
	}
	return Text{}, fault.New(fault.Invalid, "version: the organisation had no such text in that language at that time")
}

func firstText(texts []Text, purpose Purpose) (first Text, some bool) {
	for i := range texts {
		if t := &texts[i]; t.Purpose == purpose && (!some || t.Version < first.Version) {
			first, some = *t, true
		}
	}
	return first, some
}

// BeforeText reports whether a decision was made before the text was there that it is filed with: the paper has its own words.
func (d *Decision) BeforeText(texts []Text) bool {
	first, some := firstText(texts, d.Purpose)
	return some && d.DecidedAt.Before(first.EffectiveFrom)
}

// fits refuses a decision that makes no sense as the consent stands.
func fits(f *File, before *Standing, d *Decision, now time.Time) error {
	had := before.State == StateGiven || before.State == StateLapsed
	switch {
	case f.Patient.State == account.Merged:
		return fault.New(fault.Conflict, "this record was merged into another: decide there")
	case d.Choice == Withdrawn && !had:
		return fault.New(fault.Conflict, "there is nothing to withdraw: the consent is not given")
	case d.Choice == Refused && had:
		return fault.New(fault.Conflict, "the consent is given: withdraw it instead")
	case newestDecision(d.Purpose, f.Log, now) != nil && d.DecidedAt.Before(before.Since):
		return fault.New(fault.Conflict, "at: a newer decision of %s is on record, which this one does not change", before.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// GuardianRequest is what a guardian asked for; the team settles it.
type GuardianRequest struct {
	UID       vital.UID
	Guardian  vital.UID
	Name      string
	Purpose   Purpose
	Version   int
	Choice    Choice
	MadeAt    time.Time
	SettledAt time.Time // zero: it waits
	Accepted  bool
}

// waits reports whether a guardian, of whose view the file is, waits for the answer to the same request, as far as they know: in
// a frozen view an answer that came later is not there.
func (f *File) waits(purpose Purpose, choice Choice) bool {
	frozen := f.Patient.Relation.Frozen
	return slices.ContainsFunc(f.Requests, func(r GuardianRequest) bool {
		return r.Purpose == purpose && r.Choice == choice && (r.SettledAt.IsZero() || !frozen.IsZero() && !r.SettledAt.Before(frozen))
	})
}
