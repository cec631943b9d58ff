package alerts

import (
	"fmt"
	"reflect"
	"slices"
)

// renewed renews what the open episode says of its worst and its last reading, after the readings that it counts were judged
// by another version of the rule: an alert must not be explained by a dry weight that is no longer in force. Nobody is told:
// what is worse than was known is told apart (worsens). When none of them counts any more, what was said stays as it was said.
// The episode was given as it was before. When readings were taken away, what is said must be of those that are left.
func (f *follower) renewed(was *Episode, after []found, logged []Told, cause Cause) {
	if f.open == nil || f.open.ID != was.ID { // one that has just opened says what the version says
		return
	}
	anew := f.rule.saysAnew(was) || cause.fewer()
	var counted []occurrence
	for i := range after {
		for _, o := range after[i].occurrences {
			if f.counts(o.Mark, logged) {
				counted = append(counted, o)
				anew = anew || was.Last.Before(o.Mark) // an older version did not count it
			}
		}
	}
	if len(counted) == 0 || !anew {
		return
	}
	worst, last := f.worstOf(counted), counted[len(counted)-1]
	renewsLast := func() bool {
		e := f.open
		return last.Compare(e.Last) != 0 || last.Version != e.LastVersion || !reflect.DeepEqual(last.Grounds, e.LastGrounds)
	}
	e := f.open
	renewsWorst := worst.Compare(e.Worst) != 0 || !reflect.DeepEqual(worst.Grounds, e.WorstGrounds) || f.rule.Kind == KindTrend && worst.Level != e.WorstLevel
	// One entry tells of both (Episode.renewed).
	both := worst.Compare(last.Mark) == 0 && (!worst.Before(e.Last) || e.Retraction(e.Last) != nil)
	switch {
	case both && (renewsWorst || renewsLast()):
		f.renews(worst, true, "its latest reading, which is its worst", cause)
	case renewsWorst:
		f.renews(worst, true, "its worst reading", cause)
	}
	if renewsLast() {
		f.renews(last, false, "its latest reading", cause)
	}
}

// saysAnew reports whether another version is in force for the last reading of the episode than has judged it.
func (r *Rule) saysAnew(e *Episode) bool {
	v, ok := r.InForce(e.Last.At)
	return ok && v.Number != e.LastVersion
}

// counts reports whether the reading is told of by the open episode, by what is stored or by this batch.
func (f *follower) counts(m Mark, logged []Told) bool {
	at, _ := slices.BinarySearchFunc(logged, m, func(t Told, m Mark) int { return t.Compare(m) })
	for ; at < len(logged) && logged[at].Compare(m) == 0; at++ {
		if logged[at].Episode == f.open.ID {
			return true
		}
	}
	i := slices.IndexFunc(f.changes, func(c EpisodeChange) bool { return c.Episode == f.open })
	return i >= 0 && slices.ContainsFunc(f.changes[i].Entries, func(e Entry) bool { return e.Tells() && e.Reading.Compare(m) == 0 })
}

// worstOf returns the worst of readings; of equal ones that which is the episode's worst already, else the first.
func (f *follower) worstOf(counted []occurrence) occurrence {
	worst := counted[0]
	if i := slices.IndexFunc(counted, func(o occurrence) bool { return o.Compare(f.open.Worst) == 0 }); i >= 0 {
		worst = counted[i]
	}
	for _, o := range counted {
		if f.worse(o, worst.Level, worst.Values, worst.Grounds) {
			worst = o
		}
	}
	return worst
}

// renews writes what is now said of a counted reading; which says which of the episode's it is.
func (f *follower) renews(o occurrence, worst bool, which string, cause Cause) {
	if !cause.refiled() && cause != CauseWithdrawn {
		cause = CauseRule
	}
	f.append(Entry{
		Kind: EntryAnnotated, RecordedAt: f.now, Level: o.Level, Reading: o.Mark, Vague: o.Vague(), Values: slices.Clone(o.Values), Grounds: o.Grounds,
		RuleVersion: o.Version, Worst: worst, Cause: cause, Note: renewedNote(cause, o.Version, which),
	})
}

// renewedNote says of which reading something is said anew, and why.
func renewedNote(cause Cause, version int, which string) string {
	if cause.refiled() || cause == CauseWithdrawn {
		return fmt.Sprintf("%s: without those readings this is %s", cause, which)
	}
	return fmt.Sprintf("%s by version %d: %s", cause, version, which)
}
