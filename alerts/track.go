package alerts

import (
	"slices"
	"time"
)

// MaxWindow is the largest N of a rule: a state of N-1 readings can always be taken from a loaded Tail.
const MaxWindow = TailLength

// Runner is the state of a rule's condition track at a place in the order of readings. It is a plain value: a copy
// is an independent state. Outside an interval it depends on nothing but the last readings since the last interval
// ended (of a limit, and of one with a duration those of that time) or the readings of the last days (of a trend, Rule.reach),
// which is how it is resumed from what is stored; inside an interval it is only ever had by folding the interval from its beginning.
type Runner struct {
	rule    *Rule
	past    *history         // of a trend: what it remembers of the last days; never changed in place
	recent  [MaxWindow]Level // levels of the latest readings since the last end, the newest at n-1
	n       int
	runs    [Extreme + 1]time.Time // since when every reading was at a level; zero: the latest is below it
	latest  time.Time              // measured: of the readings in runs
	holds   bool
	current Interval // the one that holds, or the last one that this runner saw end
	streak  int      // readings in a row that were inside by the margin
	doubted int32    // the first local day of the interval on which it was asked who was measured; 0: none
	norm    norm     // of a baseline: what was usual when the interval began
}

// Step is what one reading did to a track.
type Step struct {
	Level     Level // of the reading itself
	Condition Level // of the condition after it: what at least K of the last N reach; None outside an interval
	Version   int   // of the rule that judged it; 0 when none was in force
	Began     bool  // it began an interval
	Ended     bool  // it ended the interval
	Off       bool  // no version was in force for it, or one that is switched off
	Doubt     bool  // it ended the interval, but on another day it was asked who was measured, which it does not answer; or what is usual has moved towards it
	Occurred  bool  // it lies in an interval and is itself beyond a limit

	Grounds *Grounds // of a trend: the numbers that put the reading at its level; nil at none
}

// Resume returns the state outside any interval after the given readings. Of a limit they are the latest ones (at least
// N-1 that count, when there are as many) since the last interval ended; of a trend all that its windows can still see.
func Resume(rule *Rule, since []Point) Runner { return resume(rule, nil, since) }

func resume(rule *Rule, zones zones, since []Point) Runner {
	r := Runner{rule: rule}
	if rule.Kind == KindTrend {
		r.past = newHistory(rule, zones)
		for i := range since {
			r.past.take(&since[i])
		}
		return r
	}
	for _, p := range since {
		if level, counts := rule.counts(p); counts {
			v, _ := rule.InForce(p.At)
			r.push(p.At, level, v)
		}
	}
	return r
}

// counts returns what the reading counts as among the last N. One in which nothing was measured that the rule looks
// at does not count; one that came while the rule was off counts as inside.
func (r *Rule) counts(p Point) (level Level, counts bool) {
	v, ok := r.InForce(p.At)
	if !ok || !v.judges() {
		return None, true
	}
	said := judge(v, r.Metric, p.Values)
	return said.level, said.judged
}

// Interval returns the interval that the last Step began, continued or ended.
func (r *Runner) Interval() Interval { return r.current }

// Step takes the next reading. Readings must come in the order of their marks.
func (r *Runner) Step(p Point) Step {
	if r.past != nil { // whatever judges it, later readings are compared with it
		r.past = r.past.with(&p)
	}
	v, ok := r.rule.InForce(p.At)
	if !ok || !v.judges() {
		return r.unjudged(p, v)
	}
	said := r.judge(v, &p)
	if !said.judged { // nothing of what the rule looks at was measured: neither better nor worse
		step := Step{Version: v.Number}
		if r.holds {
			step.Condition = Yellow
		}
		return step
	}
	r.push(p.At, said.level, v)
	step := Step{Level: said.level, Version: v.Number, Grounds: said.grounds}
	condition := r.condition(&v.Limit)
	switch {
	case r.holds:
		r.hold(p, v, said, condition, &step)
	case said.level >= Yellow && condition >= Yellow:
		r.holds, r.streak = true, 0
		r.current = Interval{From: p.Mark, Peak: condition, Count: 1, Last: p.Mark}
		r.doubted, r.norm = 0, said.norm
		r.doubt(&said)
		step.Began, step.Occurred, step.Condition = true, true, condition
	}
	return step
}

func (r *Runner) judge(v *Version, p *Point) verdict {
	if v.Trend != nil {
		return r.past.judge(v.Trend, p)
	}
	return judge(v, r.rule.Metric, p.Values)
}

func (r *Runner) hold(p Point, v *Version, said verdict, condition Level, step *Step) {
	switch {
	case said.level >= Yellow:
		// A reading beyond a limit inside an interval is at least yellow, even where K of N would not begin it anew.
		step.Condition = max(condition, Yellow)
		step.Occurred = true
		r.streak = 0
		r.current.Count++
		r.current.Last = p.Mark
		r.current.Peak = max(r.current.Peak, step.Condition)
		r.doubt(&said)
		return
	case said.returned:
		r.streak++
	default:
		r.streak = 0
	}
	step.Condition = Yellow
	if r.streak >= v.clearAfter() {
		r.end(p, step)
		// A value of the same day that is like the others has answered who was measured.
		step.Doubt = r.doubted != 0 && r.doubted != said.date || r.moved(v, &said)
	}
}

// doubt notes the day of the first question in the interval.
func (r *Runner) doubt(said *verdict) {
	if r.doubted == 0 && said.grounds.doubts() {
		r.doubted = said.date
	}
}

// clearAfter returns how many readings in a row must have returned for the condition to end.
func (v *Version) clearAfter() int {
	if v.Trend != nil {
		return max(1, v.Trend.ClearAfter)
	}
	return max(1, v.Limit.ClearAfter)
}

// unjudged takes a reading while the rule is switched off or not yet in force: that ends what held.
func (r *Runner) unjudged(p Point, v *Version) Step {
	step := Step{Off: true}
	if v != nil {
		step.Version = v.Number
	}
	r.push(p.At, None, v)
	if r.holds {
		r.end(p, &step)
	}
	return step
}

func (r *Runner) end(p Point, step *Step) {
	r.holds, r.streak, r.n, r.runs = false, 0, 0, [Extreme + 1]time.Time{}
	r.current.To = p.Mark
	step.Ended, step.Condition = true, None
}

// push counts a reading that the version, which may be nil, put at the level. What one without a duration judged is no part of any.
func (r *Runner) push(at time.Time, level Level, v *Version) {
	lasts := v != nil && v.Limit.ForMinutes > 0
	for l := Yellow; l <= Extreme; l++ {
		switch {
		case !lasts || level < l:
			r.runs[l] = time.Time{}
		case r.runs[l].IsZero() || at.Sub(r.latest) > minutes(v.Limit.GapMinutes):
			r.runs[l] = at
		}
	}
	r.latest = at
	if r.n == MaxWindow {
		copy(r.recent[:], r.recent[1:])
		r.n--
	}
	r.recent[r.n] = level
	r.n++
}

// condition returns the highest level that at least K of the last N readings reach, or that all readings of the limit's time
// reach. An extreme reading needs no second one, and no time.
func (r *Runner) condition(limit *Limit) Level {
	window := r.recent[max(0, r.n-max(1, min(limit.N, MaxWindow))):r.n]
	if window[len(window)-1] == Extreme {
		return Extreme
	}
	if limit.ForMinutes > 0 {
		return r.lasting(minutes(limit.ForMinutes))
	}
	for level := Extreme; level >= Yellow; level-- {
		reached := 0
		for _, l := range window {
			if l >= level {
				reached++
			}
		}
		if reached >= max(1, limit.K) {
			return level
		}
	}
	return None
}

// lasting returns the highest level that every reading of so long a time has reached.
func (r *Runner) lasting(long time.Duration) Level {
	for level := Extreme; level >= Yellow; level-- {
		if since := r.runs[level]; !since.IsZero() && r.latest.Sub(since) >= long {
			return level
		}
	}
	return None
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// window returns the largest N of all versions of the rule.
func (r *Rule) window() int {
	widest := 1
	for i := range r.Versions {
		widest = max(widest, min(r.Versions[i].Limit.N, MaxWindow))
	}
	return widest
}

// FoldAll is the reference: the whole track of a rule, from all readings of its metric in any order.
func FoldAll(rule *Rule, points []Point) []Interval {
	ordered := slices.Clone(points)
	slices.SortFunc(ordered, func(a, b Point) int { return a.Compare(b.Mark) })
	return intervalsOf(fold(Resume(rule, nil), ordered).found)
}

// Compare orders marks: negative when m comes before o, positive when after.
func (m Mark) Compare(o Mark) int {
	switch {
	case m.Before(o):
		return -1
	case o.Before(m):
		return 1
	}
	return 0
}

// occurrence is a reading beyond a limit that lies in an interval.
type occurrence struct {
	Point
	Step
}

// found is an interval with the readings that count in it.
type found struct {
	Interval
	occurrences []occurrence
	ending      Step // of the reading that ended it
}

// peakAt returns the reading at which the condition first reached its peak.
func (f *found) peakAt() occurrence {
	for _, o := range f.occurrences {
		if o.Condition == f.Peak {
			return o
		}
	}
	return f.occurrences[0]
}

// folded is a stretch of track and the state behind it.
type folded struct {
	found []found
	after Runner
}

// fold takes points in order from a state outside an interval.
func fold(r Runner, points []Point) folded {
	var all []found
	for _, p := range points {
		step := r.Step(p)
		if step.Began {
			all = append(all, found{})
		}
		if len(all) == 0 {
			continue
		}
		last := &all[len(all)-1]
		if step.Occurred {
			last.occurrences = append(last.occurrences, occurrence{p, step})
		}
		if step.Occurred || step.Ended {
			last.Interval = r.current
		}
		if step.Ended {
			last.ending = step
		}
	}
	return folded{found: all, after: r}
}

func intervalsOf(all []found) []Interval {
	var list []Interval
	for i := range all {
		list = append(list, all[i].Interval)
	}
	return list
}
