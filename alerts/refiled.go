package alerts

import "time"

// Refiled returns an alert with the entry that readings it told of were taken away from the patient at now, as somebody had
// asked: because they are another person's, or this person's under another record. Whatever its state is, it keeps it: what
// follows for the condition is judged by the processor.
func Refiled(e *Episode, now time.Time, askedBy string, samePerson bool) EpisodeChange {
	why := "readings that it told of are somebody else's"
	if samePerson {
		why = "this is one person with another record, where these readings are now"
	}
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: now, Cause: CauseTaken, Evaluator: Evaluator,
		Note: string(CauseTaken) + ": " + why + ", as " + askedBy + " said",
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}
