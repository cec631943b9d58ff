package alerts

import (
	"fmt"
	"slices"

	"hale/push"
)

// mayLoseAck reports whether somebody has the open episode, and readings of it are said not to stand: of one person's two records that
// became one, all stand.
func (f *follower) mayLoseAck() bool {
	return f.open != nil && f.open.ID != 0 && f.open.AckInForce(f.now) && len(f.open.Retracted) > 0
}

// losesAck ends the acknowledgement of the open episode when no reading stands that whoever gave it had been shown, whatever has come
// since, and reports whether it did. points are the readings that are left, and logged what the episode has told of, both since the
// episode began at least.
func (f *follower) losesAck(points []Point, logged []Told) bool {
	for _, t := range logged {
		if t.Episode != f.open.ID || !t.Acked {
			continue
		}
		if slices.ContainsFunc(points, func(p Point) bool { return p.Compare(t.Mark) == 0 }) {
			return false
		}
	}
	f.append(Entry{
		Kind: EntryAnnotated, RecordedAt: f.now, Cause: f.undone(), Breaks: true,
		Note: fmt.Sprintf("what %s had acknowledged stands no more", f.open.AckName),
	})
	return true
}

// undone is how the newest reading that stands no more was taken from the open episode.
func (f *follower) undone() Cause {
	if f.open.Retracted[len(f.open.Retracted)-1].How == NotHere {
		return CauseTaken
	}
	return CauseWithdrawn
}

// callsAgain tells people of what still stands of an episode that lost its acknowledgement: nobody has been shown it.
func (f *follower) callsAgain(after []found) {
	if f.open == nil || !f.open.Holds || len(after) == 0 || !after[len(after)-1].Open() {
		return
	}
	iv := &after[len(after)-1]
	f.interval = iv.Interval
	latest := iv.occurrences[len(iv.occurrences)-1]
	entry := f.told(EntryAnnotated, latest)
	entry.Level = iv.Peak
	switch {
	case entry.Historic:
	case f.open.Paged == None:
		f.notify(push.AlertOpened, entry, latest.Mark)
	default:
		f.notify(push.AlertWorsened, entry, latest.Mark)
	}
}
