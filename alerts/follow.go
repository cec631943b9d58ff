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

// follower turns what happens to one track into entries of episodes and notices. It decides without looking at
// anything but what it is given.
type follower struct {
	org     vital.OrgID
	patient vital.PatientID
	rule    *Rule
	now     time.Time
	newest  Mark // newest reading of the vital, this batch included

	interval Interval   // the one that is being told of
	resolved []*Episode // those that a person resolved and the readings told of may belong to
	open     *Episode   // the open one as it is now; nil when there is none
	changes  []EpisodeChange
	notices  []push.Notice
	spoken   int // notices there were before the latest episode was opened
}

// step follows one reading that is newer than all before it.
func (f *follower) step(p Point, s Step) {
	switch o := (occurrence{p, s}); {
	case s.Occurred && f.open == nil:
		if by := f.resolver(o); by != nil && !s.Began {
			f.remarks(by, p.Mark, CauseLate)
			return
		}
		f.opens(o)
	case s.Occurred:
		if !f.open.Holds {
			f.append(f.told(EntryResumed, o))
		}
		f.occurs(o)
	case s.Ended && f.open != nil && f.open.Holds:
		f.clears(f.interval, s)
	}
}

// revised follows a stretch of track that was judged anew, because of late readings or of a changed rule. logged are
// the readings of the stretch that some episode tells of already.
func (f *follower) revised(before []Interval, after []found, logged []Told, cause Cause) {
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
		f.annotates(Mark{}, cause, "the condition held for a shorter time than was known")
	}
	switch {
	case holds && !f.open.Holds:
		f.append(Entry{Kind: EntryResumed, RecordedAt: f.now, Cause: cause})
	case f.open.Holds && !holds:
		f.vanishes(after, cause)
	}
}

// vanishes tells that a condition which held does not, as it was judged anew. Only its own end, or a person who set
// other limits, closes a yellow episode: no late normal reading takes an alert away, nor does a rule that is off.
func (f *follower) vanishes(after []found, cause Cause) {
	if iv := f.own(after); iv != nil {
		f.clears(iv.Interval, iv.ending)
		return
	}
	v, ok := f.rule.InForce(f.open.Last.At)
	switch off := !ok || !v.judges(); {
	case cause == CauseRule && off:
		f.clears(Interval{}, Step{Off: true, Version: numberOf(v)})
	default:
		f.ends(Entry{Kind: EntryCleared, RecordedAt: f.now, Cause: cause}, f.answers(cause))
	}
}

// answers reports whether a condition that holds no more, as it was judged anew, may close an alert: where a person changed what is judged.
// A trend of which only what it compares with was taken away may not know any more how things stand, while what the alert tells of
// stands: that is for a person.
func (f *follower) answers(cause Cause) bool {
	return cause.settled() && (cause == CauseRule || f.rule.Kind != KindTrend || f.open.Retraction(f.open.Last) != nil)
}

// numberOf returns the version's number, 0 when there is none.
func numberOf(v *Version) int {
	if v == nil {
		return 0
	}
	return v.Number
}

// revise follows one interval of a stretch that was judged anew.
func (f *follower) revise(before []Interval, iv *found, logged []Told, cause Cause) {
	f.interval = iv.Interval
	was, wasOpen := None, false
	for _, b := range before {
		if overlaps(b, iv.Interval) {
			was, wasOpen = max(was, b.Peak), wasOpen || b.Open()
		}
	}
	var unlogged []occurrence
	for _, o := range iv.occurrences {
		if _, seen := slices.BinarySearchFunc(logged, o.Mark, func(t Told, m Mark) int { return t.Compare(m) }); !seen {
			unlogged = append(unlogged, o)
		}
	}
	worse, again := iv.Peak > was, iv.Open() && !wasOpen
	if len(unlogged) == 0 && !worse && !again {
		return
	}
	if f.open == nil {
		f.discovers(iv, unlogged, worse, cause)
		return
	}
	if iv.Open() && !f.open.Holds {
		f.append(Entry{Kind: EntryResumed, RecordedAt: f.now, Cause: cause})
	}
	for _, o := range unlogged {
		f.occurs(o)
	}
	if worse {
		f.worsens(iv, cause)
	}
	switch n := len(unlogged); {
	case n == 1:
		f.annotates(unlogged[0].Mark, cause, "1 more reading beyond the limit")
	case n > 1:
		f.annotates(unlogged[0].Mark, cause, fmt.Sprintf("%d more readings beyond the limit", n))
	case again:
		f.annotates(Mark{}, cause, "the condition still holds")
	}
}

// discovers tells of an interval that no open episode tells of. Readings that belong to an episode which a person has
// resolved are written there and open nothing. The others that nobody has counted yet open an episode; when all were
// counted, the one at which the condition became worse than those had seen does. That it only holds again opens
// nothing after late data, nor when a person has resolved it; of a rule that somebody changed, the latest opens.
func (f *follower) discovers(iv *found, unlogged []occurrence, worse bool, cause Cause) {
	var untold []occurrence
	for _, o := range unlogged {
		if by := f.resolver(o); by != nil {
			f.remarks(by, o.Mark, cause)
		} else {
			untold = append(untold, o)
		}
	}
	if len(untold) == 0 {
		latest := iv.occurrences[len(iv.occurrences)-1]
		switch {
		case worse:
			latest = iv.peakAt()
		case !cause.settled() || len(unlogged) > 0:
			return
		}
		if f.resolver(latest) != nil {
			return
		}
		untold = []occurrence{latest}
	}
	f.opens(untold[0])
	if cause.refiled() {
		f.annotates(Mark{}, cause, "that is how Hale came to know of it")
	}
	for _, o := range untold[1:] {
		f.occurs(o)
	}
	if !iv.Open() {
		f.clears(iv.Interval, iv.ending)
	}
}

// resolver returns the episode that a person resolved after the reading was measured, that told of the same interval,
// and that was no better than the reading; nil when there is none. What may have been measured since is not resolved, nor is what is worse
// than all that was shown, where some of that was corrected or taken back.
func (f *follower) resolver(o occurrence) *Episode {
	i := slices.IndexFunc(f.resolved, func(e *Episode) bool {
		return o.latest().Before(e.ClosedAt) && max(o.Level, o.Condition) <= e.Level &&
			(len(e.Retracted) == 0 || !f.worse(o, e.WorstLevel, e.WorstValues, e.WorstGrounds)) &&
			!e.Last.Before(f.interval.From) && (f.interval.Open() || !f.interval.To.Before(e.First))
	})
	if i < 0 {
		return nil
	}
	return f.resolved[i]
}

// remarks writes into the log of a resolved episode that a further reading belonged to it. Its state stays.
func (f *follower) remarks(e *Episode, reading Mark, cause Cause) {
	f.appendTo(e, Entry{
		Kind: EntryAnnotated, RecordedAt: f.now, Reading: reading, Cause: cause,
		Note: string(cause) + ": a reading beyond the limit, no worse, measured before this was resolved",
	})
}

func (f *follower) opens(o occurrence) {
	f.open = &Episode{Org: f.org, Patient: f.patient, Rule: f.rule.ID, Metric: f.rule.Metric}
	f.changes = append(f.changes, EpisodeChange{Episode: f.open})
	f.spoken = len(f.notices)
	entry := f.told(EntryOpened, o)
	entry.Level, entry.Contact, entry.Worst = o.Condition, f.asks(o), true
	f.append(entry)
	if !entry.Historic {
		f.notify(push.AlertOpened, entry, o.Mark)
	}
	f.contact(entry, o.Level)
}

// occurs tells of a further reading. What came in time to page is told to people when it is worse than what they were
// told so far, but not under an acknowledgement of something as bad.
func (f *follower) occurs(o occurrence) {
	entry := f.told(EntryOccurred, o)
	entry.Contact, entry.Worst = f.asks(o), f.worst(o)
	level := min(o.Level, f.open.Level)
	if o.Condition > f.open.Level {
		entry.Kind, entry.Level, level = EntryWorsened, o.Condition, o.Condition
	}
	// Nothing that the alert told of stands any more: who took it, or was told, took or was told what never was.
	void := f.open.Retraction(f.open.Last) != nil
	if f.open.State == Acknowledged && (level > f.open.AckLevel || void) && (!entry.Historic || entry.Contact) {
		// The alert may show this level already, by a reading that came late; whoever has it took a lesser one.
		if entry.Kind, entry.Level, entry.Breaks = EntryWorsened, level, true; void {
			entry.Note = "what was acknowledged stands no more"
		}
	}
	paged, taken := f.open.Paged, f.open.AckInForce(f.now) && !entry.Breaks
	f.append(entry)
	told := entry
	told.Level = level
	switch {
	case entry.Historic || taken || level <= paged && !void:
	case paged == None: // until now everything in this episode came too late to page
		f.notify(push.AlertOpened, told, o.Mark)
	default:
		f.notify(push.AlertWorsened, told, o.Mark)
	}
	if !taken {
		f.contact(entry, o.Level)
	}
}

// worsens tells that readings counted before amount to a worse condition now.
func (f *follower) worsens(iv *found, cause Cause) {
	if iv.Peak <= f.open.Level {
		return
	}
	at := iv.peakAt()
	entry := Entry{
		Kind: EntryWorsened, RecordedAt: f.now, Level: iv.Peak, RuleVersion: at.Version, Historic: f.historic(at.Point),
		Contact: f.asks(at), Cause: cause, Grounds: at.Grounds, Note: string(cause) + ": the condition is worse than was known",
	}
	entry.Breaks = f.open.State == Acknowledged && (!entry.Historic || entry.Contact)
	taken := f.open.AckInForce(f.now) && !entry.Breaks
	f.append(entry)
	if !entry.Historic {
		f.notify(push.AlertWorsened, entry, at.Mark)
	}
	if !taken {
		f.contact(entry, at.Level)
	}
}

// clears tells that a reading ended the condition. A yellow episode nobody acted on closes when readings returned; a
// rule that is off has judged nothing, the end of a rise is no return (Rule.returns), and a value that is back does not
// say whose the one in doubt was, so that a person must look.
func (f *follower) clears(iv Interval, ending Step) {
	entry := Entry{Kind: EntryCleared, RecordedAt: f.now, Reading: iv.To, Cause: CauseReturned}
	if ending.Off {
		entry.Cause, entry.Note, entry.RuleVersion = CauseRuleOff, f.offBy(ending.Version), ending.Version
	}
	f.ends(entry, !ending.Off && !ending.Doubt && f.rule.returns() && !f.outlived(iv))
}

// outlived reports whether the open episode of a rule that may ask who was measured tells of an interval before this one as
// well. The end of that one left it open for a person, who has not answered yet.
func (f *follower) outlived(iv Interval) bool {
	return f.rule.doubts() && f.open.First.Before(iv.From)
}

// offBy says who switched the rule off.
func (f *follower) offBy(version int) string {
	for i := range f.rule.Versions {
		if v := &f.rule.Versions[i]; v.Number == version && v.AuthorName != "" {
			return f.rule.Kind.plural() + " switched off by " + v.AuthorName
		}
	}
	return "no " + f.rule.Kind.plural() + " were in force"
}

// ends closes a yellow episode nobody acted on, when it may. One that opened in the same batch is there to be read,
// but nobody is called for what was over before it was known.
func (f *follower) ends(entry Entry, mayClose bool) {
	entry.Closes = mayClose && f.open.Level == Yellow && !f.open.ActedOn()
	if entry.Closes && f.open.ID == 0 {
		f.notices = f.notices[:f.spoken]
	}
	f.append(entry)
}

func (f *follower) annotates(reading Mark, cause Cause, note string) {
	f.append(Entry{Kind: EntryAnnotated, RecordedAt: f.now, Reading: reading, Cause: cause, Note: string(cause) + ": " + note})
}

// told is an entry about a reading.
func (f *follower) told(kind EntryKind, o occurrence) Entry {
	return Entry{
		Kind: kind, RecordedAt: f.now, Level: o.Level, Reading: o.Mark, Vague: o.Vague(), Values: slices.Clone(o.Values), // the batch shares one array
		RuleVersion: o.Version, Historic: f.historic(o.Point), Grounds: o.Grounds,
	}
}

// append puts an entry into the log of the open episode.
func (f *follower) append(entry Entry) {
	if !slices.ContainsFunc(f.changes, func(c EpisodeChange) bool { return c.Episode == f.open }) {
		own := *f.open // what was given in stays as it is: the batch may have to be decided again
		f.open = &own
	}
	f.appendTo(f.open, entry)
	if f.open.State == Closed {
		f.open = nil
	}
}

// appendTo puts an entry into the log of an episode, as part of its one change in this batch.
func (f *follower) appendTo(e *Episode, entry Entry) {
	entry.Evaluator = Evaluator
	i := slices.IndexFunc(f.changes, func(c EpisodeChange) bool { return c.Episode == e })
	if i < 0 {
		f.changes = append(f.changes, EpisodeChange{Episode: e})
		i = len(f.changes) - 1
	}
	*e = e.Apply(entry)
	f.changes[i].Entries = append(f.changes[i].Entries, entry)
}

// historic reports whether the reading is too old to page for, by the clock: when it arrived, or by now.
func (f *follower) historic(p Point) bool {
	return p.Historic(p.ReceivedAt) || p.Historic(f.now)
}

// asks reports whether the reading asks for contact: it came too late to page but is red and the last that is known
// of the patient.
func (f *follower) asks(o occurrence) bool {
	return f.historic(o.Point) && o.Level >= Red && o.Compare(f.newest) == 0 && f.now.Sub(o.latest()) <= ContactWithin
}

// contact asks for contact when the entry, just appended, does: once per episode, level and interval.
func (f *follower) contact(entry Entry, level Level) {
	if entry.Contact {
		e := f.open
		f.send(push.ContactNow, level, fmt.Sprintf("%d-%d-%d-%s-%d", f.rule.ID, e.First.ID, e.OpenedAt.UnixMicro(), level, f.interval.From.ID))
	}
}

// notify tells people of an entry. The same reading judged anew to the same level is not told twice; what a later
// version of the rule says of it is.
func (f *follower) notify(topic push.Topic, entry Entry, reading Mark) {
	f.send(topic, entry.Level, fmt.Sprintf("%d-%d-%s-%d", f.rule.ID, reading.ID, entry.Level, entry.RuleVersion))
}

func (f *follower) send(topic push.Topic, level Level, dedup string) {
	f.notices = append(f.notices, push.Notice{
		Org: f.org, Patient: f.patient, Topic: topic, Dedup: dedup, Severity: level.String(), CreatedAt: f.now,
	})
}

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

// own returns the interval with the episode's latest occurrence when that has ended; nil when it lies in none.
func (f *follower) own(after []found) *found {
	for i := range after {
		if !f.open.Last.Before(after[i].From) && !after[i].Open() && !after[i].To.Before(f.open.Last) {
			return &after[i]
		}
	}
	return nil
}

// overlaps reports whether two intervals share a time.
func overlaps(a, b Interval) bool {
	return (a.Open() || !a.To.Before(b.From)) && (b.Open() || !b.To.Before(a.From))
}
