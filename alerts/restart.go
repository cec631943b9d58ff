package alerts

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// start is a place from which a track can be folded anew: outside any interval, with the readings before it that
// still count. It lies at the beginning of a stored interval, or where the condition did not hold.
type start struct {
	at     Mark
	before []Point    // the latest readings before it, since the interval before ended
	stored []Interval // what is stored from there on
}

// restart finds the place from which everything that a change at the mark can alter follows.
func (j *judgement) restart(ctx context.Context, change Mark) (start, error) {
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
	s.before, err = j.since(ctx, s.at, floor)
	return s, err
}

func (j *judgement) intervalsFrom(ctx context.Context, from Mark) ([]Interval, error) {
	list, err := j.facts.Intervals(ctx, j.patient.id, j.track.rule.ID, from)
	if err != nil {
		return nil, fmt.Errorf("read intervals: %w", err)
	}
	return list, nil
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

// since returns the readings before a mark that its window still sees.
func (j *judgement) since(ctx context.Context, before, floor Mark) ([]Point, error) {
	n := j.track.rule.window() - 1
	if n == 0 {
		return nil, nil
	}
	points, err := j.facts.PointsBefore(ctx, j.patient.id, j.track.rule.Metric, before, floor, n)
	if err != nil {
		return nil, fmt.Errorf("read readings before: %w", err)
	}
	return points, nil
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

// revise judges anew from a change in the past up to the newest reading before this batch.
func (j *judgement) revise(ctx context.Context, change Mark, cause string) error {
	t := j.track
	from, err := j.restart(ctx, change)
	if err != nil {
		return err
	}
	points, err := j.pointsFrom(ctx, from.at)
	if err != nil {
		return err
	}
	now := fold(Resume(t.rule, from.before), points)
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
		j.dirty, j.dropFrom, j.intervals = true, from.at, after
	}
	if len(from.stored) == 0 && len(after) == 0 {
		return nil
	}
	logged, err := j.facts.Logged(ctx, j.patient.id, t.rule.ID, from.at)
	if err != nil {
		return fmt.Errorf("read what was logged: %w", err)
	}
	j.follower.revised(from.stored, now.found, logged, cause)
	return nil
}

// lastBefore returns the newest stored interval that begins before the mark.
func (j *judgement) lastBefore(ctx context.Context, from Mark) (Interval, error) {
	list, err := j.intervalsFrom(ctx, from)
	if err != nil || len(list) == 0 || !list[0].From.Before(from) {
		return Interval{}, err
	}
	return list[0], nil
}

// resume folds the open interval from its beginning to the newest reading before this batch. When what is stored
// does not follow from the readings, the track is judged anew from there: a wrong track is mended in the open, with
// an annotation, rather than allowed to stop a whole partition.
func (j *judgement) resume(ctx context.Context) error {
	t := j.track
	floor, err := j.endBefore(ctx, t.last.From)
	if err != nil {
		return err
	}
	before, err := j.since(ctx, t.last.From, floor)
	if err != nil {
		return err
	}
	points, err := j.pointsFrom(ctx, t.last.From)
	if err != nil {
		return err
	}
	now := fold(Resume(t.rule, before), points)
	if !now.is(t.last) {
		j.mended = true
		return j.revise(ctx, t.last.From, causeRule)
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
