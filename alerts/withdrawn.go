package alerts

import (
	"slices"
	"time"

	"hale/account"
)

// Undone is why a reading that an alert tells of stands there no more.
type Undone string

// The ways. A reading that was another person's comes back when that is undone.
const (
	InError  Undone = "entered_in_error" // its device or a person took it back
	Amended  Undone = "amended"          // its device sent another in its place
	NotHere  Undone = "not_theirs"       // a person said that it is somebody else's
	Restored Undone = "restored"         // it is this person's all the same: what was said of it before holds no more
)

// Retraction says of a reading which an alert tells of that it stands no more. The alert goes on showing what people were shown, and
// says so.
type Retraction struct {
	Reading Mark
	Values  []float64 `json:",omitempty"` // as it was, canonical units; nil when the alert never kept them
	How     Undone
	By      string `json:",omitempty"` // who said it; empty: the device
	At      time.Time
	Instead *Instead `json:",omitempty"` // of one that was amended: what stands in its place, when that is this person's
}

// Instead is the reading that stands in the place of one that was amended.
type Instead struct {
	Reading Mark
	Values  []float64
}

// mostRetracted is how many retractions an episode keeps beside those of its last and its worst reading: its log has all.
const mostRetracted = 16

// retracted notes what an entry retracts or restores.
func (e *Episode) retracted(entry Entry) {
	for _, r := range entry.Retracts {
		all := slices.DeleteFunc(slices.Clone(e.Retracted), func(o Retraction) bool { return o.Reading.Compare(r.Reading) == 0 })
		if r.How != Restored {
			all = append(all, r)
		}
		if len(all) > mostRetracted {
			i := slices.IndexFunc(all, func(o Retraction) bool {
				return o.Reading.Compare(e.Last) != 0 && o.Reading.Compare(e.Worst) != 0
			})
			all = slices.Delete(all, i, i+1) // the oldest that nobody is shown; the bound is more than two
		}
		e.Retracted = slices.Clip(all)
		if len(e.Retracted) == 0 {
			e.Retracted = nil
		}
	}
}

// Retraction returns what was said of a reading that the episode tells of; nil when it stands.
func (e *Episode) Retraction(m Mark) *Retraction {
	for i := range e.Retracted {
		if e.Retracted[i].Reading.Compare(m) == 0 {
			return &e.Retracted[i]
		}
	}
	return nil
}

// Was returns the amended reading in whose place this one stands; nil when it stands in the place of none.
func (e *Episode) Was(m Mark) *Retraction {
	for i := range e.Retracted {
		if r := &e.Retracted[i]; r.Instead != nil && r.Instead.Reading.Compare(m) == 0 {
			return r
		}
	}
	return nil
}

// RetractedIn returns what a log says of readings that stand no more, by their ids.
func RetractedIn(log []Entry) map[int64]*Retraction {
	all := map[int64]*Retraction{}
	for i := range log {
		for j := range log[i].Retracts {
			r := &log[i].Retracts[j]
			if all[r.Reading.ID] = r; r.How == Restored {
				delete(all, r.Reading.ID)
			}
		}
	}
	return all
}

// valuesOf returns what the episode knows of a reading's values.
func (e *Episode) valuesOf(m Mark) []float64 {
	switch {
	case m.Compare(e.Last) == 0:
		return e.LastValues
	case m.Compare(e.Worst) == 0:
		return e.WorstValues
	}
	return nil
}

// Withdrawn returns an alert with the entry that a reading it told of was taken back: by its device, or by a person. Whatever its state
// is, it keeps it: what follows for the condition is judged by the processor.
func Withdrawn(e *Episode, by account.Actor, r Retraction, why string, now time.Time) EpisodeChange {
	r.By, r.At = by.Name, now
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: now, Actor: by, Evaluator: Evaluator, Cause: CauseWithdrawn, Reading: r.Reading, Values: r.Values, Retracts: []Retraction{r},
		Note: why,
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}

// CorrectionRefused returns an alert with the entry that the device of a reading it told of sent a correction of it that was refused. The
// reading stands: what it should be, nobody knows.
func CorrectionRefused(e *Episode, reading Mark, values []float64, now time.Time) EpisodeChange {
	entry := Entry{Kind: EntryAnnotated, RecordedAt: now, Evaluator: Evaluator, Cause: CauseRefused, Reading: reading, Values: values}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}

// StandsAgain returns an alert with the entry that a reading of which it said that its device took it back stands: the device has sent it
// again in the place of what it sent since.
func StandsAgain(e *Episode, reading Mark, now time.Time) EpisodeChange {
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: now, Evaluator: Evaluator, Cause: CauseWithdrawn, Reading: reading, Retracts: []Retraction{{Reading: reading, How: Restored, At: now}},
		Note: "the reading stands again: the device amended it back",
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}
