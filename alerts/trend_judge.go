package alerts

import (
	"math/big"
	"slices"
	"sort"
	"time"

	"hale/vital"
)

// judge returns what a trend says of a reading that the history has taken already. A reading that the trend does not
// compare (not the first of its day, or with too little before it) is not judged: it is neither better nor worse.
func (h *history) judge(t *Trend, p *Point) verdict {
	s := h.set(t)
	if s == nil {
		return verdict{}
	}
	switch {
	case t.Change != nil:
		return t.Change.judge(s, p)
	case t.Reference != nil:
		return t.Reference.judge(s, p)
	case t.MovingAverage != nil:
		return t.MovingAverage.judge(s, p)
	case t.Average != nil:
		return t.Average.judge(s, h.metric, p)
	case t.Baseline != nil:
		return t.Baseline.judge(s, h.metric, p)
	}
	return verdict{}
}

// reaches reports whether a distance in thousandths reaches the step, less the margin.
func (s *TrendStep) reaches(by, margin int64) bool {
	bound := thousandths(s.By) - margin
	return by > bound || by == bound && !s.MoreThan
}

// towards returns how far value lies from against in the step's direction.
func (s *TrendStep) towards(value, against int64) int64 {
	if s.Direction == Fall {
		return against - value
	}
	return value - against
}

func (c *TrendChange) judge(s *days, p *Point) verdict {
	l, ok := s.likely(p, c.SameSensor, c.Unlike, c.back())
	if !ok {
		return verdict{}
	}
	said := verdict{}
	for i := range c.Steps {
		step := &c.Steps[i]
		window := lastDays(l.before, l.today.date, step.Days)
		if len(window) == 0 {
			continue
		}
		said.judged = true
		against := slices.MinFunc(window, func(a, b sitting) int { return int(step.towards(a.value, b.value)) })
		by := step.towards(l.today.value, against.value)
		if step.Level > said.level && step.reaches(by, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormChange, Direction: step.Direction, Day: dateText(l.today.date), Value: units(l.today.value),
				Against: units(against.value), AgainstDay: dateText(against.date), By: units(by), Days: step.Days,
			}
		}
	}
	said.returned = said.level == None
	return l.doubt(FormChange, said)
}

func (r *TrendReference) judge(s *days, p *Point) verdict {
	l, ok := s.likely(p, false, r.Unlike, 0)
	if !ok {
		return verdict{}
	}
	said := verdict{judged: true, returned: true}
	against := thousandths(r.Value)
	for i := range r.Steps {
		step := &r.Steps[i]
		by := step.towards(l.today.value, against)
		said.returned = said.returned && !step.reaches(by, thousandths(r.Margin))
		if step.Level > said.level && step.reaches(by, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormReference, Direction: step.Direction, Name: r.Name, Day: dateText(l.today.date), Value: units(l.today.value),
				Against: r.Value, By: units(by),
			}
		}
	}
	return l.doubt(FormReference, said)
}

func (m *TrendMovingAverage) judge(s *days, p *Point) verdict {
	l, ok := s.likely(p, m.SameSensor, m.Unlike, m.back())
	if !ok {
		return verdict{}
	}
	short := append(slices.Clone(lastDays(l.before, l.today.date, m.ShortDays-1)), l.today)
	long := lastDays(l.before, l.today.date, m.ShortDays+m.LongDays-1)
	long = long[:len(long)-len(short)+1] // without those of the mean, of which today is none of the days before
	if l.unlike || len(short) < m.LeastShort || len(long) < m.LeastLong {
		return l.doubt(FormMovingAverage, verdict{})
	}
	mean, median := meanOf(short), medianOf(long)
	said := verdict{judged: true, returned: true}
	for i := range m.Steps {
		step := &m.Steps[i]
		by := step.towards(mean, median)
		said.returned = said.returned && !step.reaches(by, thousandths(m.Margin))
		if step.Level > said.level && step.reaches(by, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormMovingAverage, Direction: step.Direction, Day: dateText(l.today.date), Value: units(mean), Against: units(median), By: units(by),
				Days: m.ShortDays, DaysWith: len(short), LongDays: m.LongDays, LongDaysWith: len(long),
			}
		}
	}
	return l.doubt(FormMovingAverage, said)
}

func (a *TrendAverage) judge(s *days, metric vital.Metric, p *Point) verdict {
	date, _ := s.local(p.At)
	window, daysWith, skipped := a.window(s.sessions, date)
	readings := 0
	for i := range window {
		readings += int(window[i].reading)
	}
	if readings < a.LeastReadings || daysWith < a.LeastDays {
		return verdict{}
	}
	said := verdict{returned: true}
	var means []float64
	for c := range min(len(a.Components), len(session{}.sum)) {
		exact, measured := meanOfSessions(window, c)
		if !measured {
			break
		}
		mean := roundedMean(metric, exact)
		means = append(means, mean)
		if b := &a.Components[c]; b.any() {
			said.judged = true
			said.level = max(said.level, b.level(mean, false))
			said.returned = said.returned && b.returned(mean)
		}
	}
	if said.level > None {
		said.grounds = &Grounds{
			Form: FormAverage, Day: dateText(date), Means: means, Days: a.Days, DaysWith: daysWith, Sessions: len(window), Readings: readings, Skipped: skipped,
		}
	}
	return said
}

// window returns the sessions of the days that are averaged, on how many days they lie, and how many days were left out.
func (a *TrendAverage) window(all []session, date int32) (window []session, daysWith, skipped int) {
	from := sort.Search(len(all), func(i int) bool { return all[i].date() > date-int32(a.Days) })
	until := sort.Search(len(all), func(i int) bool { return all[i].date() > date })
	first := from // after the days that are left out
	for i := from; i < until; i++ {
		switch again := i > from && all[i].date() == all[i-1].date(); {
		case !again && skipped < a.SkipDays:
			skipped++
		case !again:
			daysWith++
		}
		if daysWith == 0 {
			first = i + 1
		}
	}
	return all[first:until], daysWith, skipped
}

// fraction is an exact number of thousandths; its divisor is positive.
type fraction struct{ of, by *big.Int }

// meanOfSessions is the mean of the sessions' means of a component, exact, so that no order of readings changes it: each session
// weighs the same, however many readings it has [J]. When all have as many it is the mean of all readings. It is not measured
// when no session has the component.
func meanOfSessions(window []session, component int) (mean fraction, measured bool) {
	type kind struct{ n, sum int64 } // the sessions that have so many readings
	var room [4]kind
	kinds := room[:0]
	sessions := int64(0)
	for i := range window {
		n := int64(window[i].n[component])
		if n == 0 {
			continue
		}
		sessions++
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.n == n })
		if at < 0 {
			at, kinds = len(kinds), append(kinds, kind{n: n})
		}
		kinds[at].sum += window[i].sum[component]
	}
	mean = fraction{new(big.Int), big.NewInt(1)}
	for _, k := range kinds {
		n, sum := big.NewInt(k.n), big.NewInt(k.sum)
		mean.of.Add(mean.of.Mul(mean.of, n), sum.Mul(sum, mean.by))
		mean.by.Mul(mean.by, n)
	}
	mean.by.Mul(mean.by, big.NewInt(sessions))
	return mean, sessions > 0
}

// roundedMean is a mean as it is compared, the exact one rounded once: of blood pressure to a whole number, half up
// (clinical/scores.md, section 3), else as a value of the metric is (vital.Rounded), which for most is to thousandths here.
func roundedMean(metric vital.Metric, mean fraction) float64 {
	switch metric { //nolint:exhaustive // every other metric is compared in thousandths
	case vital.BloodPressure:
		return float64(mean.halfUp(thousand))
	case vital.OxygenSat:
		return float64(mean.down(thousand))
	case vital.BodyTemperature, vital.SkinTemperature:
		return float64(mean.halfUp(thousand/10)) / 10
	}
	return units(mean.halfUp(1))
}

// down divides by so many and rounds down.
func (f fraction) down(by int64) int64 {
	divisor := big.NewInt(by)
	return divisor.Div(f.of, divisor.Mul(divisor, f.by)).Int64()
}

// halfUp divides by so many and rounds half up.
func (f fraction) halfUp(by int64) int64 {
	divisor := big.NewInt(by)
	divisor.Mul(divisor, f.by)
	twice := new(big.Int).Lsh(f.of, 1)
	twice.Add(twice, divisor)
	return twice.Div(twice, divisor.Lsh(divisor, 1)).Int64() // Div rounds down
}

// halfUp divides and rounds half up; by is positive.
func halfUp(sum, by int64) int64 {
	q := (2*sum + by) / (2 * by)
	if 2*sum+by < 0 && (2*sum+by)%(2*by) != 0 {
		q--
	}
	return q
}

func meanOf(list []sitting) int64 {
	var sum int64
	for i := range list {
		sum += list[i].value
	}
	return halfUp(sum, int64(len(list)))
}

func medianOf(list []sitting) int64 {
	values := make([]int64, len(list))
	for i := range list {
		values[i] = list[i].value
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return halfUp(values[middle-1]+values[middle], 2)
}

func units(thousandths int64) float64 { return float64(thousandths) / thousand }

// dateText is the date as in "2026-05-12".
func dateText(date int32) string {
	return time.Unix(int64(date)*24*60*60, 0).UTC().Format(time.DateOnly)
}
