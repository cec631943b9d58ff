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

// losesAck ends the acknowledgement of the open episode when what whoever gave it had been shown stands no more: no reading of it, whatever
// has come since, or none as bad as one that came since and was held back for its sake. It reports whether it did. points are the readings
// that are left, after what they amount to, and logged what the episode has told of, all since the episode began at least.
func (f *follower) losesAck(points []Point, after []found, logged []Told) bool {
	var shown []Mark
	for _, t := range logged {
		stands := slices.ContainsFunc(points, func(p Point) bool { return p.Compare(t.Mark) == 0 })
		if t.Episode == f.open.ID && t.Acked && stands {
			shown = append(shown, t.Mark)
		}
	}
	note := "what %s had acknowledged stands no more"
	if len(shown) > 0 {
		worst, since := None, None
		for i := range after {
			for _, o := range after[i].occurrences {
				if slices.ContainsFunc(shown, func(m Mark) bool { return m.Compare(o.Mark) == 0 }) {
					worst = max(worst, o.Level)
				} else {
					since = max(since, o.Level)
				}
			}
		}
		if since <= worst {
			return false
		}
		note = "the worst of " + note
	}
	f.append(Entry{Kind: EntryAnnotated, RecordedAt: f.now, Cause: f.undone(), Breaks: true, Note: fmt.Sprintf(note, f.open.AckName)})
	return true
}

// undone is how the newest reading that stands no more was taken from the open episode.
func (f *follower) undone() Cause {
	if f.open.Retracted[len(f.open.Retracted)-1].How == NotHere {
		return CauseTaken
	}
	return CauseWithdrawn
}

// callsAgain tells people of what still stands of an episode that lost its acknowledgement: nobody has been shown it. What came in time was
// held back for the sake of that acknowledgement, and is told however long it lasted.
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
	case latest.Historic(latest.ReceivedAt):
	case f.open.Paged == None:
		f.notify(push.AlertOpened, entry, latest.Mark)
	default:
		f.notify(push.AlertWorsened, entry, latest.Mark)
	}
}
