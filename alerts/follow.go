package alerts

import (
	"fmt"
	"slices"
	"time"

	"hale/push"
	"hale/vital"
)

// ContactWithin is the age up to which a historic reading that is still the patient's newest asks for contact [J].
const ContactWithin = 48 * time.Hour

// What an annotation says of the cause.
const (
	causeLate = "late data"
	causeRule = "judged anew"
)

// follower turns what happens to one track into entries of episodes and notices. It decides without looking at
// anything but what it is given.
type follower struct {
	org     vital.OrgID
	patient vital.PatientID
	rule    *Rule
	now     time.Time
	newest  Mark // newest reading of the metric, this batch included

	open    *Episode // the open one as it is now; nil when there is none
	changes []EpisodeChange
	notices []push.Notice
	spoken  int // notices there were before the latest episode was opened
}

// step follows one reading that is newer than all before it.
func (f *follower) step(p Point, s Step) {
	switch {
	case s.Occurred && f.open == nil:
		f.opens(occurrence{p, s})
	case s.Occurred:
		if !f.open.Holds {
			f.append(f.told(EntryResumed, occurrence{p, s}))
		}
		f.occurs(occurrence{p, s})
	case s.Ended && f.open != nil && f.open.Holds:
		f.clears(p.Mark, true)
	}
}

// revised follows a stretch of track that was judged anew, because of late readings or of a changed rule. logged are
// the readings of the stretch that some episode has counted already.
func (f *follower) revised(before []Interval, after []found, logged []Mark, cause string) {
	had := f.open // the episode that was open before
	shrunk := had != nil && f.shrunk(before, after, had)
	for i := range after {
		f.revise(before, &after[i], logged, cause)
	}
	if f.open == nil {
		return
	}
	holds := len(after) > 0 && after[len(after)-1].Open()
	if shrunk {
		f.annotates(Mark{}, cause+": the condition held for a shorter time than was known")
	}
	switch {
	case holds && !f.open.Holds:
		f.append(Entry{Kind: EntryResumed, RecordedAt: f.now})
	case f.open.Holds && !holds:
		// Only its own end, or a person who changed the rule, closes a yellow episode: no late normal reading takes
		// an alert away.
		to, own := f.endOf(after)
		f.clears(to, own || cause == causeRule)
	}
}

// revise follows one interval of a stretch that was judged anew.
func (f *follower) revise(before []Interval, iv *found, logged []Mark, cause string) {
	was, wasOpen := None, false
	for _, b := range before {
		if overlaps(b, iv.Interval) {
			was, wasOpen = max(was, b.Peak), wasOpen || b.Open()
		}
	}
	var unlogged []occurrence
	for _, o := range iv.occurrences {
		if _, seen := slices.BinarySearchFunc(logged, o.Mark, Mark.Compare); !seen {
			unlogged = append(unlogged, o)
		}
	}
	worse, again := iv.Peak > was, iv.Open() && !wasOpen
	if len(unlogged) == 0 && !worse && !again {
		return
	}
	if f.open == nil {
		f.discovers(iv, unlogged, worse)
		return
	}
	if iv.Open() && !f.open.Holds {
		f.append(Entry{Kind: EntryResumed, RecordedAt: f.now})
	}
	for _, o := range unlogged {
		f.occurs(o)
	}
	if worse {
		f.worsens(iv, cause)
	}
	switch n := len(unlogged); {
	case n == 1:
		f.annotates(unlogged[0].Mark, cause+": 1 more reading beyond the limit")
	case n > 1:
		f.annotates(unlogged[0].Mark, fmt.Sprintf("%s: %d more readings beyond the limit", cause, n))
	case again:
		f.annotates(Mark{}, cause+": the condition still holds")
	}
}

// discovers opens an episode for an interval that no open episode tells of: of readings nobody has counted yet, or,
// when all were counted in episodes that are closed, of the one at which it became worse than those had seen, else of
// the latest.
func (f *follower) discovers(iv *found, unlogged []occurrence, worse bool) {
	switch {
	case len(unlogged) > 0:
	case worse:
		unlogged = []occurrence{iv.peakAt()}
	default:
		unlogged = iv.occurrences[len(iv.occurrences)-1:]
	}
	f.opens(unlogged[0])
	for _, o := range unlogged[1:] {
		f.occurs(o)
	}
	if !iv.Open() {
		f.clears(iv.To, true)
	}
}

func (f *follower) opens(o occurrence) {
	f.open = &Episode{Org: f.org, Patient: f.patient, Rule: f.rule.ID, Metric: f.rule.Metric}
	f.changes = append(f.changes, EpisodeChange{Episode: f.open})
	f.spoken = len(f.notices)
	entry := f.told(EntryOpened, o)
	entry.Level = o.Condition
	f.append(entry)
	if !entry.Historic {
		f.notify(push.AlertOpened, f.dedup(o.Mark), entry.Level)
	}
	f.contact(o)
}

func (f *follower) occurs(o occurrence) {
	unpaged := f.open.Historic
	entry := f.told(EntryOccurred, o)
	if o.Condition > f.open.Level {
		entry.Kind, entry.Level = EntryWorsened, o.Condition
	}
	f.append(entry)
	switch {
	case entry.Historic:
	case unpaged: // until now everything in this episode came too late to page
		f.notify(push.AlertOpened, f.dedup(o.Mark), f.open.Level)
	case entry.Kind == EntryWorsened:
		f.notify(push.AlertWorsened, f.dedup(o.Mark), entry.Level)
	}
	f.contact(o)
}

// worsens tells that readings counted before amount to a worse condition now.
func (f *follower) worsens(iv *found, cause string) {
	if iv.Peak <= f.open.Level {
		return
	}
	at := iv.peakAt()
	historic := f.historic(at.Point)
	f.append(Entry{
		Kind: EntryWorsened, RecordedAt: f.now, Level: iv.Peak, RuleVersion: at.Version, Historic: historic,
		Note: cause + ": the condition is worse than was known",
	})
	if !historic {
		f.notify(push.AlertWorsened, f.dedup(at.Mark), iv.Peak)
	}
}

// clears tells that the condition holds no more. A yellow episode nobody acted on closes with it; one that opened in
// the same batch is there to be read, but nobody is called for what was over before it was known.
func (f *follower) clears(to Mark, mayClose bool) {
	closes := mayClose && f.open.Level == Yellow && !f.open.ActedOn()
	if closes && f.open.ID == 0 {
		f.notices = f.notices[:f.spoken]
	}
	f.append(Entry{Kind: EntryCleared, RecordedAt: f.now, Reading: to, Closes: closes})
}

func (f *follower) annotates(reading Mark, note string) {
	f.append(Entry{Kind: EntryAnnotated, RecordedAt: f.now, Reading: reading, Note: note})
}

// told is an entry about a reading.
func (f *follower) told(kind EntryKind, o occurrence) Entry {
	return Entry{
		Kind: kind, RecordedAt: f.now, Level: o.Level, Reading: o.Mark, Values: o.Values,
		RuleVersion: o.Version, Historic: f.historic(o.Point),
	}
}

// append puts an entry into the log of the open episode, as part of its one change in this batch.
func (f *follower) append(entry Entry) {
	i := slices.IndexFunc(f.changes, func(c EpisodeChange) bool { return c.Episode == f.open })
	if i < 0 {
		own := *f.open // what was given in stays as it is: the batch may have to be decided again
		f.open = &own
		f.changes = append(f.changes, EpisodeChange{Episode: f.open})
		i = len(f.changes) - 1
	}
	*f.open = f.open.Apply(entry)
	f.changes[i].Entries = append(f.changes[i].Entries, entry)
	if f.open.State == Closed {
		f.open = nil
	}
}

// historic reports whether the reading is too old to page for, by the clock: when it arrived, or by now.
func (f *follower) historic(p Point) bool {
	return p.Historic() || f.now.Sub(p.At) > vital.HistoricAfter
}

// contact asks for contact when a reading came too late to page but is red and the last that is known of the patient.
// One such notice per episode is enough.
func (f *follower) contact(o occurrence) {
	if f.historic(o.Point) && o.Level >= Red && o.Compare(f.newest) == 0 && f.now.Sub(o.At) <= ContactWithin {
		f.notify(push.ContactNow, f.dedup(f.open.First), o.Level)
	}
}

func (f *follower) notify(topic push.Topic, dedup string, level Level) {
	f.notices = append(f.notices, push.Notice{
		Org: f.org, Patient: f.patient, Topic: topic, Dedup: dedup, Severity: level.String(), CreatedAt: f.now,
	})
}

func (f *follower) dedup(reading Mark) string { return fmt.Sprintf("%d-%d", f.rule.ID, reading.ID) }

// shrunk reports whether some of the time in which the condition held, within the episode's reach, is held no more.
func (f *follower) shrunk(before []Interval, after []found, e *Episode) bool {
	for _, b := range before {
		if !b.Open() && b.To.Before(e.First) {
			continue
		}
		covered := slices.ContainsFunc(after, func(a found) bool {
			return !b.From.Before(a.From) && (a.Open() || !b.Open() && !a.To.Before(b.To))
		})
		if !covered {
			return true
		}
	}
	return false
}

// endOf returns where the interval with the episode's latest occurrence ended; own is false when it lies in none.
func (f *follower) endOf(after []found) (to Mark, own bool) {
	for i := range after {
		if !f.open.Last.Before(after[i].From) && !after[i].Open() && !after[i].To.Before(f.open.Last) {
			return after[i].To, true
		}
	}
	return Mark{}, false
}

// overlaps reports whether two intervals share a time.
func overlaps(a, b Interval) bool {
	return (a.Open() || !a.To.Before(b.From)) && (b.Open() || !b.To.Before(a.From))
}
