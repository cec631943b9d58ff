package alerts

import "time"

// Refiling is what the alerts of whom readings were taken from say of it.
type Refiling struct {
	AskedBy    string
	SamePerson bool // the readings are this person's, under another record: what they said stands
	At         time.Time
}

// Refiled returns an alert with the entry that readings it told of were taken away from the patient, as somebody had asked: because
// they are another person's, or this person's under another record. Whatever its state is, it keeps it: what follows for the
// condition is judged by the processor. taken are those of the readings that were taken away now by which the alert is known: its last,
// its worst. That they are somebody else's is said of each.
func Refiled(e *Episode, r Refiling, taken []Mark) EpisodeChange {
	why := "readings that it told of are somebody else's"
	if r.SamePerson {
		why = "this is one person with another record, where these readings are now"
	}
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: r.At, Cause: CauseTaken, Evaluator: Evaluator,
		Note: string(CauseTaken) + ": " + why + ", as " + r.AskedBy + " said",
	}
	if !r.SamePerson {
		for _, m := range taken {
			entry.Retracts = append(entry.Retracts, Retraction{Reading: m, Values: e.valuesOf(m), How: NotHere, By: r.AskedBy, At: r.At})
		}
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}

// Returned returns an alert with the entry that readings of which it said that they are somebody else's are this person's after all.
func Returned(e *Episode, r Refiling, back []Mark) EpisodeChange {
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: r.At, Cause: CauseBrought, Evaluator: Evaluator,
		Note: string(CauseBrought) + ": readings that it told of are this person's after all, as " + r.AskedBy + " said",
	}
	for _, m := range back {
		entry.Retracts = append(entry.Retracts, Retraction{Reading: m, How: Restored, By: r.AskedBy, At: r.At})
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}
