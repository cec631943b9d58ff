package alerts

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// start is a place from which a track can be folded anew: outside any interval, with the readings before it that
// still count. It lies at the beginning of a stored interval, or where the condition did not hold.
type start struct {
	at     Mark
	state  Runner     // after the latest readings before it, since the interval before ended
	stored []Interval // what is stored from there on
}

// restart finds the place from which everything that a change at the mark can alter follows.
func (j *judgement) restart(ctx context.Context, change Mark, without []Point) (start, error) {
	stored, err := j.intervalsFrom(ctx, change)
	if err != nil {
		return start{}, err
	}
	s := start{at: change, stored: stored}
	var floor Mark
	if len(stored) > 0 && stored[0].From.Before(change) {
		last := stored[0]
		if last.Open() || !last.To.Before(change) { // the change lies inside it
			s.at = last.From
			floor, err = j.endBefore(ctx, last.From)
		} else {
			s.stored, floor = stored[1:], last.To
		}
	}
	if err != nil {
		return start{}, err
	}
	s.state, err = j.begin(ctx, s.at, floor, without)
	return s, err
}

// intervalsFrom returns the intervals as they are with what this batch has changed already.
func (j *judgement) intervalsFrom(ctx context.Context, from Mark) ([]Interval, error) {
	base := from
	if j.dirty && j.dropFrom.Before(from) {
		base = j.dropFrom
	}
	list, err := j.facts.Intervals(ctx, j.patient.id, j.track.rule.ID, base)
	if err != nil {
		return nil, fmt.Errorf("read intervals: %w", err)
	}
	if !j.dirty {
		return list, nil
	}
	list = append(slices.DeleteFunc(list, func(iv Interval) bool { return !iv.From.Before(j.dropFrom) }), j.intervals...)
	i := slices.IndexFunc(list, func(iv Interval) bool { return !iv.From.Before(from) })
	if i < 0 {
		i = len(list)
	}
	return list[max(0, i-1):], nil
}

// replace notes that these intervals stand for all from a place on, beside what this batch has changed before it.
func (j *judgement) replace(from Mark, intervals []Interval) {
	if j.dirty && j.dropFrom.Before(from) {
		i := slices.IndexFunc(j.intervals, func(iv Interval) bool { return !iv.From.Before(from) })
		if i < 0 {
			i = len(j.intervals)
		}
		from, intervals = j.dropFrom, slices.Concat(j.intervals[:i], intervals)
	}
	j.dirty, j.dropFrom, j.intervals = true, from, intervals
}

// endBefore returns where the interval before the one that begins at from ended; the zero mark when there is none.
func (j *judgement) endBefore(ctx context.Context, from Mark) (Mark, error) {
	if j.track.rule.window() == 1 {
		return Mark{}, nil // nobody asks what was before
	}
	list, err := j.intervalsFrom(ctx, from)
	if err != nil || len(list) == 0 || !list[0].From.Before(from) {
		return Mark{}, err
	}
	return list[0].To, nil
}

// begin returns the state outside any interval after the readings before a mark that its window still sees, without some of this batch.
func (j *judgement) begin(ctx context.Context, before, floor Mark, without []Point) (Runner, error) {
	if j.track.rule.sums() {
		return j.summed(ctx, before, without)
	}
	points, err := j.since(ctx, before, floor, without)
	return j.track.begin(points), err
}

// sumPage is how many readings are in memory at once when those of weeks are summed up: a sensor that sends without a pause has
// millions.
const sumPage = 32_768

// summed returns the state of a rule that remembers sums of half-days, for which the order of the readings is nothing.
func (j *judgement) summed(ctx context.Context, before Mark, without []Point) (Runner, error) {
	state := j.track.begin(nil)
	if before.At.IsZero() {
		return state, nil // there are none
	}
	for floor := (Mark{At: before.At.Add(-j.track.rule.reach()), ID: math.MinInt64}); ; {
		points, err := j.facts.PointsBefore(ctx, j.patient.id, j.track.rule.Metric, before, floor, sumPage)
		if err != nil {
			return state, fmt.Errorf("read the readings of the days before: %w", err)
		}
		whole := len(points) < sumPage
		if !whole {
			before = points[0].Mark
		}
		for _, p := range except(points, without) {
			state.past.take(&p)
		}
		if whole {
			return state, nil
		}
	}
}

// since returns the readings before a mark that its window still sees, without some of this batch.
func (j *judgement) since(ctx context.Context, before, floor Mark, without []Point) ([]Point, error) {
	if j.track.rule.Kind == KindTrend {
		return j.lookedBackOn(ctx, before, without)
	}
	within, err := j.lookedBackOn(ctx, before, without)
	if err != nil {
		return nil, err
	}
	within = slices.DeleteFunc(within, func(p Point) bool { return !floor.Before(p.Mark) })
	n := j.track.rule.window() - 1
	if j.track.rule.counting(within) >= n {
		return within, nil
	}
	for ask := n; ; ask *= 4 {
		points, err := j.facts.PointsBefore(ctx, j.patient.id, j.track.rule.Metric, before, floor, ask+len(without))
		if err != nil {
			return nil, fmt.Errorf("read readings before: %w", err)
		}
		whole := len(points) < ask+len(without)
		if points = except(points, without); whole || j.track.rule.counting(points) >= n {
			return points, nil // more than those of the time that a duration looks at
		}
	}
}

// lookedBackOn returns the readings before a mark that a trend or a duration can still see, without some of this batch.
func (j *judgement) lookedBackOn(ctx context.Context, before Mark, without []Point) ([]Point, error) {
	if before.At.IsZero() || j.track.rule.reach() == 0 {
		return nil, nil // there are none
	}
	points, err := j.facts.PointsSince(ctx, j.patient.id, j.track.rule.Metric, before.At.Add(-j.track.rule.reach()), before)
	if err != nil {
		return nil, fmt.Errorf("read the readings of the days before: %w", err)
	}
	return except(points, without), nil
}

// counting returns how many of the readings count among the last N.
func (r *Rule) counting(points []Point) int {
	n := 0
	for i := range points {
		if _, counts := r.counts(points[i]); counts {
			n++
		}
	}
	return n
}

// except returns the points without some others.
func except(points, without []Point) []Point {
	if len(without) == 0 {
		return points
	}
	return slices.DeleteFunc(points, func(p Point) bool {
		return slices.ContainsFunc(without, func(o Point) bool { return o.Compare(p.Mark) == 0 })
	})
}

// pointsFrom returns the stored readings from a mark on (it included) up to the newest one before this batch: what is
// newer is stepped through afterwards.
func (j *judgement) pointsFrom(ctx context.Context, from Mark) ([]Point, error) {
	after := from
	if after.ID > math.MinInt64 {
		after.ID--
	}
	points, err := j.facts.Points(ctx, j.patient.id, j.track.rule.Metric, after)
	if err != nil {
		return nil, fmt.Errorf("read readings: %w", err)
	}
	return slices.DeleteFunc(points, func(p Point) bool { return j.track.newest.Before(p.Mark) }), nil
}

// revision says why and from where the past is judged anew.
type revision struct {
	change  Mark
	cause   Cause
	renews  bool    // because of another version of the rule, which may say something else of what is counted already
	fewer   bool    // readings that were judged may be there no more
	without []Point // of the batch: they are judged afterwards
}

// revise judges anew from a change in the past up to the newest reading before this batch.
func (j *judgement) revise(ctx context.Context, r revision) error {
	t := j.track
	from, err := j.restart(ctx, r.change, r.without)
	if err != nil {
		return err
	}
	points, err := j.pointsFrom(ctx, from.at)
	if err != nil {
		return err
	}
	now := fold(from.state, except(points, r.without))
	after := intervalsOf(now.found)
	t.state, t.ready = now.after, true
	switch {
	case len(after) > 0:
		t.last = after[len(after)-1]
	case len(from.stored) > 0:
		t.last, err = j.lastBefore(ctx, from.at)
		if err != nil {
			return err
		}
	}
	if !slices.EqualFunc(from.stored, after, Interval.same) {
		j.replace(from.at, after)
	}
	taken := r.fewer && j.follower.mayLoseAck()
	if len(from.stored) == 0 && len(after) == 0 && !taken {
		return nil
	}
	logged, err := j.logged(ctx, from.at)
	if err != nil {
		return err
	}
	lost := taken && j.follower.losesAck(points, now.found, logged)
	if len(from.stored) == 0 && len(after) == 0 {
		return nil
	}
	if err := j.recall(ctx, from.earliest(now.found)); err != nil {
		return err
	}
	was := j.follower.open
	j.follower.revised(from.stored, now.found, logged, r.cause)
	if r.renews && was != nil {
		j.follower.renewed(was, now.found, logged, r.cause)
	}
	if lost {
		j.follower.callsAgain(now.found)
	}
	return nil
}

// earliest returns the time of the first reading that an interval of the stretch counts.
func (s *start) earliest(found []found) time.Time {
	if len(found) > 0 {
		return found[0].From.At
	}
	return s.stored[0].From.At
}

// logged returns the readings from the mark on that an episode tells of, this batch's included.
func (j *judgement) logged(ctx context.Context, from Mark) ([]Told, error) {
	told, err := j.facts.Logged(ctx, j.patient.id, j.track.rule.ID, from)
	if err != nil {
		return nil, fmt.Errorf("read what was logged: %w", err)
	}
	for _, c := range j.follower.changes {
		for _, e := range c.Entries {
			if e.Tells() && !e.Reading.Before(from) {
				told = append(told, Told{Mark: e.Reading, Episode: c.Episode.ID})
			}
		}
	}
	slices.SortFunc(told, func(a, b Told) int { return a.Compare(b.Mark) })
	return told, nil
}

// lastBefore returns the newest stored interval that begins before the mark.
func (j *judgement) lastBefore(ctx context.Context, from Mark) (Interval, error) {
	list, err := j.intervalsFrom(ctx, from)
	if err != nil || len(list) == 0 || !list[0].From.Before(from) {
		return Interval{}, err
	}
	return list[0], nil
}

// resume folds the open interval from its beginning to the newest reading before this batch, or takes the readings
// since the last one ended. When what is stored
// does not follow from the readings, the track is judged anew from there: a wrong track is mended in the open, with
// an annotation, rather than allowed to stop a whole partition.
func (j *judgement) resume(ctx context.Context) (err error) {
	t := j.track
	if !t.holds() {
		t.state, err = j.begin(ctx, Mark{At: t.newest.At, ID: t.newest.ID + 1}, t.last.To, nil)
		t.ready = true
		return err
	}
	floor, err := j.endBefore(ctx, t.last.From)
	if err != nil {
		return err
	}
	before, err := j.begin(ctx, t.last.From, floor, nil)
	if err != nil {
		return err
	}
	points, err := j.pointsFrom(ctx, t.last.From)
	if err != nil {
		return err
	}
	now := fold(before, points)
	if !now.is(t.last) {
		j.mended = true
		return j.revise(ctx, revision{change: t.last.From, cause: CauseLate}) // nobody changed a rule: this may close nothing
	}
	t.state, t.ready = now.after, true
	return nil
}

// is reports whether the stretch is exactly this one interval.
func (f *folded) is(iv Interval) bool { return len(f.found) == 1 && f.found[0].same(iv) }

// same reports whether two intervals say the same.
func (i Interval) same(o Interval) bool {
	return i.From.Compare(o.From) == 0 && i.To.Compare(o.To) == 0 && i.Peak == o.Peak && i.Count == o.Count && i.Last.Compare(o.Last) == 0
}
