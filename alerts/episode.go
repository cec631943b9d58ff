package alerts

import (
	"time"

	"hale/account"
	"hale/vital"
)

// EpisodeID is an episode inside the house.
type EpisodeID int64

// State is where people are with an episode.
type State string

// The states. An acknowledgement can expire, which makes an acknowledged episode open again (see InForce).
const (
	Open         State = "open"
	Acknowledged State = "acknowledged"
	Closed       State = "closed"
)

// Closing says how a closed episode ended.
type Closing string

// The ways to end.
const (
	ClosedByPerson    Closing = "resolved" // a person resolved it with a next step
	ClosedByCondition Closing = "cleared"  // a yellow one whose condition went away before anybody acted
)

// NextStep is what follows a resolved episode; there must be one.
type NextStep string

// The next steps.
const (
	StepNone     NextStep = "none"
	StepRecheck  NextStep = "recheck"
	StepCall     NextStep = "call"
	StepHandOver NextStep = "hand_over"
)

// EntryKind is a kind of entry in an episode's log.
type EntryKind string

// The kinds of entry. The first group comes from the track, the second from people.
const (
	EntryOpened    EntryKind = "opened"
	EntryOccurred  EntryKind = "occurred"  // a further reading beyond the limit
	EntryWorsened  EntryKind = "worsened"  // the condition reached a worse level; breaks an acknowledgement
	EntryCleared   EntryKind = "cleared"   // the condition no longer holds
	EntryResumed   EntryKind = "resumed"   // the condition holds again while the episode is open
	EntryAnnotated EntryKind = "annotated" // late data changed what is known of the past; undoes nothing

	EntryAcknowledged EntryKind = "acknowledged"
	EntryResolved     EntryKind = "resolved"
	EntryNoted        EntryKind = "noted"
)

// Cause says why an entry that no reading beyond a limit made stands in a log.
type Cause string

// The causes.
const (
	CauseReturned Cause = "returned"    // readings were back inside the limits
	CauseRuleOff  Cause = "rule off"    // a reading came that the rule, switched off by then, judges no more
	CauseRule     Cause = "judged anew" // somebody changed the limits
	CauseLate     Cause = "late data"   // readings came that were measured before others known already

	CauseTaken   Cause = "filed elsewhere" // readings were somebody else's and were taken away (refile)
	CauseBrought Cause = "filed here"      // readings that were filed elsewhere, or under nobody, were this person's (refile)

	CauseWithdrawn Cause = "taken back" // readings were taken back, by their device or by a person (withdrawal)

	CauseRefused Cause = "correction refused" // its device wants a reading changed, and what it sent for it was refused
)

// settled reports whether a person changed what is judged, by other limits or by taking readings away: then what holds no more
// may close. What only adds readings closes nothing but by their own return.
func (c Cause) settled() bool { return c == CauseRule || c.fewer() }

// fewer reports whether readings that were judged are there no more.
func (c Cause) fewer() bool { return c == CauseTaken || c == CauseWithdrawn }

// refiled reports whether readings were filed anew.
func (c Cause) refiled() bool { return c == CauseTaken || c == CauseBrought }

// Evaluator is the version of the judgement: it is raised whenever the same readings and limits would be judged
// otherwise than before, and stands in every entry that Hale makes.
const Evaluator = 2

// Entry is one line of an episode's log (the timeline). Episodes are a fold over their entries in recorded order.
type Entry struct {
	ID          int64
	Kind        EntryKind
	RecordedAt  time.Time
	Actor       account.Actor // zero for Hale itself
	Level       Level         // opened, occurred, worsened: the level of the reading or condition
	Reading     Mark          // the reading it tells of; zero for acts
	Vague       vital.Vague   // of the time of that reading
	Values      []float64     // of that reading
	Findings    vital.Finding // of that reading, as it is stored; not written with the entry
	Grounds     *Grounds      // of a trend rule: the numbers that decided; nil of a limit
	RuleVersion int           // in force for that reading
	Historic    bool          // that reading came too late to page anybody
	Closes      bool          // cleared: a yellow episode nobody acted on closes with its condition
	Breaks      bool          // worsened: it ends an acknowledgement although its reading may have come late; annotated: so does it
	Contact     bool          // the reading came too late to page, but is the last that is known: contact was asked for
	Worst       bool          // no reading of the episode before lies further beyond the limits; of one that renews, none at all
	Cause       Cause         // cleared and annotated: why
	Evaluator   int           // of entries that Hale made: the Evaluator; 0 for acts
	Until       time.Time     // acknowledged: when the acknowledgement expires
	NextStep    NextStep      // resolved
	NextStepAt  time.Time     // resolved with recheck or call
	Note        string

	Retracts []Retraction // annotated: readings that it tells of and that stand no more, or again
}

// Tells reports whether the entry tells of a reading beyond a limit.
func (e *Entry) Tells() bool {
	switch e.Kind {
	case EntryOpened, EntryOccurred, EntryWorsened, EntryAnnotated:
		return !e.Reading.IsZero()
	case EntryCleared, EntryResumed, EntryAcknowledged, EntryResolved, EntryNoted:
	}
	return false
}

// Renews reports whether the entry tells what another version of the rule says of a reading that is counted already: it
// takes the place of what was said of the worst reading (Worst), or of the last.
func (e *Entry) Renews() bool {
	return e.Kind == EntryAnnotated && e.RuleVersion != 0 && !e.Reading.IsZero()
}

// Episode is a time in which a rule asks for a person's attention: at most one is open per patient and rule.
type Episode struct {
	ID          EpisodeID
	UID         vital.UID
	Org         vital.OrgID
	Patient     vital.PatientID
	Rule        RuleID
	Metric      vital.Metric
	State       State
	Holds       bool      // the condition holds, apart from State; of a closed one: it held when it was closed
	Level       Level     // worst since it opened
	Historic    bool      // every reading in it came too late to page
	Contact     bool      // such a reading was the last known, and contact was asked for
	Paged       Level     // worst of what came in time to page; None when Historic
	Ended       Cause     // why the condition holds no more; empty while it does
	RuleVersion int       // at opening
	LastVersion int       // of the rule: it judged Last
	OpenedAt    time.Time // recorded
	Since       time.Time // the earliest reading that counts in it was measured then; earlier than First when one came late
	First, Last Mark      // readings that opened it and that it last occurred at
	LastValues  []float64
	LastGrounds *Grounds // of a trend rule: the numbers that decided at the latest occurrence; nil of a limit

	Worst        Mark // the reading furthest beyond the limits; zero when that is not known (of before Hale kept it)
	WorstLevel   Level
	WorstValues  []float64
	WorstGrounds *Grounds // of a trend rule
	ContactAbout Mark     // the reading that contact was last asked for; zero when it never was

	FirstVague, SinceVague, LastVague, WorstVague vital.Vague // how well these times are known

	Occurrences int
	AckBy       account.StaffID
	AckName     string
	AckAt       time.Time
	AckUntil    time.Time
	AckLevel    Level // the level that whoever acknowledged it has seen
	ClosedAt    time.Time
	Closing     Closing
	NextStep    NextStep
	NextStepAt  time.Time
	Note        string
	Version     int // counts changes that a person must have seen before acting: level, state

	Retracted []Retraction // of the readings that it tells of, those that stand no more: of its last and its worst, and the newest of the others
}

// AckInForce reports whether somebody has taken the episode and that has not expired.
func (e *Episode) AckInForce(now time.Time) bool {
	return e.State == Acknowledged && now.Before(e.AckUntil)
}

// Past reports whether the episode tells only of the past: nobody was to be paged for it, nor asked to get in touch.
func (e *Episode) Past() bool { return e.Historic && !e.Contact }

// ActedOn reports whether a person has done anything with the episode: it then never closes by itself.
func (e *Episode) ActedOn() bool { return e.State != Open || e.AckBy != 0 || e.Note != "" }

// FoldLog returns the episode that its log tells. Only the identity is taken from first: ID, UID, Org, Patient, Rule
// and Metric.
func FoldLog(first Episode, entries []Entry) Episode {
	e := Episode{ID: first.ID, UID: first.UID, Org: first.Org, Patient: first.Patient, Rule: first.Rule, Metric: first.Metric}
	for _, entry := range entries {
		e = e.Apply(entry)
	}
	return e
}

// Apply returns the episode after one more entry of its log. Nothing opens a closed episode again.
func (e Episode) Apply(entry Entry) Episode {
	switch entry.Kind {
	case EntryOpened:
		e.State, e.Holds, e.Level, e.Historic = Open, true, entry.Level, entry.Historic
		e.RuleVersion, e.OpenedAt, e.First, e.Version = entry.RuleVersion, entry.RecordedAt, entry.Reading, 1
		e.FirstVague = entry.Vague
		e.occurred(entry)
	case EntryOccurred:
		e.occurred(entry)
	case EntryWorsened:
		e.worsened(entry)
	case EntryCleared:
		e.Holds, e.Ended = false, entry.Cause
		if entry.Closes && e.State != Closed {
			e.State, e.Closing, e.ClosedAt = Closed, ClosedByCondition, entry.RecordedAt
			e.Version++
		}
	case EntryResumed:
		e.Holds, e.Ended = true, ""
		e.Version++ // who saw it as over has not seen this
	case EntryAcknowledged:
		e.State, e.AckBy, e.AckName = Acknowledged, entry.Actor.Staff, entry.Actor.Name
		e.AckAt, e.AckUntil, e.AckLevel = entry.RecordedAt, entry.Until, e.stands()
		e.noted(entry)
		e.Version++
	case EntryResolved:
		e.State, e.Closing, e.ClosedAt = Closed, ClosedByPerson, entry.RecordedAt
		e.NextStep, e.NextStepAt = entry.NextStep, entry.NextStepAt
		e.noted(entry)
		e.Version++
	case EntryNoted:
		e.noted(entry)
	case EntryAnnotated: // others stand in the log for people to read
		e.retracted(entry)
		if entry.Breaks && e.State == Acknowledged {
			e.unacknowledged()
			e.Version++
		}
		if entry.Renews() {
			e.renewed(entry)
		}
	}
	return e
}

func (e *Episode) occurred(entry Entry) {
	e.Occurrences++
	if e.Since.IsZero() || entry.Reading.At.Before(e.Since) {
		e.Since, e.SinceVague = entry.Reading.At, entry.Vague
	}
	if entry.Worst {
		e.worstIs(entry)
	}
	e.Historic = e.Historic && entry.Historic
	if !entry.Historic {
		e.Paged = max(e.Paged, min(entry.Level, e.Level))
	}
	if e.Last.IsZero() || e.Last.Before(entry.Reading) {
		e.lastIs(entry)
	}
	e.contacts(entry)
}

func (e *Episode) worstIs(entry Entry) {
	e.Worst, e.WorstLevel, e.WorstValues, e.WorstGrounds, e.WorstVague = entry.Reading, entry.Level, entry.Values, entry.Grounds, entry.Vague
}

func (e *Episode) lastIs(entry Entry) {
	e.Last, e.LastValues, e.LastGrounds, e.LastVersion, e.LastVague = entry.Reading, entry.Values, entry.Grounds, entry.RuleVersion, entry.Vague
}

// renewed takes what another version says of a counted reading. The worst one is the last as well unless that is later and stands; what
// that version does not count any more may have been the last until now.
func (e *Episode) renewed(entry Entry) {
	if entry.Worst {
		e.worstIs(entry)
		e.Paged, e.AckLevel = min(e.Paged, e.stands()), min(e.AckLevel, e.stands())
	}
	if !entry.Worst || !entry.Reading.Before(e.Last) || e.Retraction(e.Last) != nil {
		e.lastIs(entry)
	}
}

// stands is the level of what the episode tells of and what stands. It is less than Level where the worst was taken back: who was called
// for that, or has acknowledged it, has not been told of a worse one that comes.
func (e *Episode) stands() Level {
	if len(e.Retracted) == 0 || e.Worst.IsZero() || e.Retraction(e.Worst) != nil {
		return e.Level
	}
	return min(e.Level, e.WorstLevel)
}

// worsened raises the level. The person who acknowledged a lesser one has not seen this, so the episode is open
// again; what came too late to page anybody undoes no act, unless it asks for contact. An entry without a reading tells of readings that were
// counted before and are now judged to be worse.
func (e *Episode) worsened(entry Entry) {
	e.Level = max(e.Level, entry.Level)
	if e.State == Acknowledged && (!entry.Historic || entry.Breaks) {
		e.unacknowledged()
	}
	e.Version++
	if !entry.Reading.IsZero() {
		e.occurred(entry)
		return
	}
	e.contacts(entry)
	if !entry.Historic {
		e.Paged = max(e.Paged, entry.Level)
	}
}

func (e *Episode) unacknowledged() {
	e.State, e.AckBy, e.AckName, e.AckAt, e.AckUntil, e.AckLevel = Open, 0, "", time.Time{}, time.Time{}, None
}

// contacts notes that contact was asked for. That is only ever done for the newest reading of all (follower.asks), which
// then is the episode's last.
func (e *Episode) contacts(entry Entry) {
	if entry.Contact {
		e.Contact, e.ContactAbout = true, e.Last
	}
}

func (e *Episode) noted(entry Entry) {
	if entry.Note != "" {
		e.Note = entry.Note
	}
}
