package alerts

import (
	"time"

	"hale/account"
)

// Withdrawn returns an alert with the entry that a reading it told of was taken back: by its device, or by a person. Whatever its state
// is, it keeps it: what follows for the condition is judged by the processor.
func Withdrawn(e *Episode, by account.Actor, measured time.Time, why string, now time.Time) EpisodeChange {
	entry := Entry{
		Kind: EntryAnnotated, RecordedAt: now, Actor: by, Evaluator: Evaluator,
		Note: "the reading measured at " + measured.UTC().Format("2006-01-02 15:04:05") + " UTC was withdrawn: " + why,
	}
	after := e.Apply(entry)
	return EpisodeChange{Episode: &after, Entries: []Entry{entry}}
}
