package measuring

import (
	"slices"
	"time"

	"hale/vital"
)

// Joined returns the versions to be appended to a schedule at now so that its patient measures what another schedule expects as well:
// two records were found to be one person's. What the own one says of a metric stays as it is; of the other come the metrics that the
// own one says nothing of, from now on, so that nothing is expected twice and nothing ceases to be. With nothing to be added it
// returns none; the same when both together are more than a schedule may hold. The numbers are to be given.
func Joined(own, other []Schedule, now time.Time) []Schedule {
	var all []Schedule
	added := false
	for _, at := range turns(now, own, other) {
		lines, more := linesAt(own, at), linesAt(other, at)
		for _, l := range more {
			if !slices.ContainsFunc(linesAt(own, at), func(o Line) bool { return o.Metric == l.Metric }) {
				lines, added = append(lines, l), true
			}
		}
		v := Schedule{EffectiveFrom: at, Lines: lines}
		if v.Check() != nil {
			return nil
		}
		all = append(all, v)
	}
	if !added {
		return nil
	}
	return all
}

// Alone returns the versions to be appended at now so that a schedule expects what it did before what was joined: nothing, when there
// were none.
func Alone(own []Schedule, now time.Time) []Schedule {
	var all []Schedule
	for _, at := range turns(now, own) {
		all = append(all, Schedule{EffectiveFrom: at, Lines: linesAt(own, at)})
	}
	return all
}

// turns returns now and the later times at which a version of any of the schedules begins.
func turns(now time.Time, schedules ...[]Schedule) []time.Time {
	all := []time.Time{now}
	for _, versions := range schedules {
		for i := range versions {
			if at := versions[i].EffectiveFrom; at.After(now) && !slices.ContainsFunc(all, at.Equal) {
				all = append(all, at)
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// linesAt returns what is expected at a moment.
func linesAt(versions []Schedule, at time.Time) []Line {
	i := inForce(versions, at)
	if i < 0 {
		return nil
	}
	day := vital.Date(at.UTC().AddDate(0, 0, -1).Format(time.DateOnly)) // wherever the home is, that day is over
	return slices.DeleteFunc(slices.Clone(versions[i].Lines), func(l Line) bool { return l.Last != "" && l.Last < day })
}
