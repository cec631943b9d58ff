package alerts

import "time"

// Refiled returns an alert with the entry that readings it told of were taken away from the patient at now, as somebody had
// asked. Whatever its state is, it keeps it: what follows for the condition is judged by the processor.
func Refiled(e *Episode, now time.Time, askedBy string) EpisodeChange {
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: now, Cause: CauseTaken, Evaluator: Evaluator,
		Note: string(CauseTaken) + ": readings that it told of were somebody else's, as " + askedBy + " said",
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}
