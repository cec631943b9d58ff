package alerts

import (
	"slices"
	"time"
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
		return t.Average.judge(s, p)
	}
	return verdict{}
}

func (d *day) value() int64 { return d.sum[0] }

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
	today, ok := s.today(p, c.SameSensor)
	if !ok {
		return verdict{}
	}
	before := s.span(today, s.back, 1, c.SameSensor)
	like, median, unlike := c.likely(today, before)
	said := verdict{}
	for i := range c.Steps {
		step := &c.Steps[i]
		window := lastDays(like, today.date, step.Days)
		if len(window) == 0 {
			continue
		}
		said.judged = true
		against := slices.MinFunc(window, func(a, b day) int { return int(step.towards(a.value(), b.value())) })
		by := step.towards(today.value(), against.value())
		if step.Level > said.level && step.reaches(by, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormChange, Direction: step.Direction, Day: today.text(), Value: units(today.value()),
				Against: units(against.value()), AgainstDay: against.text(), By: units(by), Days: step.Days,
			}
		}
	}
	if unlike && said.level == None { // a nurse looks at what may be somebody else's
		said.judged, said.level = true, Yellow
		said.grounds = &Grounds{Form: FormChange, Day: today.text(), Value: units(today.value())}
	}
	if unlike {
		said.grounds.Unlike, said.grounds.Median = true, units(median)
	}
	said.returned = said.level == None
	return said
}

// likely leaves out the days whose value is perhaps somebody else's, unless all are, and says whether today's is.
func (c *TrendChange) likely(today day, before []day) (like []day, median int64, unlike bool) {
	week := lastDays(before, today.date, unlikeDays)
	if c.Unlike <= 0 || len(week) < unlikeLeast {
		return before, 0, false
	}
	median = medianOf(week)
	far := func(v int64) bool { return max(v-median, median-v) > thousandths(c.Unlike) }
	like = slices.DeleteFunc(slices.Clone(before), func(d day) bool { return far(d.value()) })
	if len(like) == 0 { // two people in turn: nobody knows whose the scale is
		like = before
	}
	return like, median, far(today.value())
}

// lastDays returns those of the days that are among the last n before the date.
func lastDays(list []day, date int32, n int) []day {
	i := slices.IndexFunc(list, func(d day) bool { return d.date >= date-int32(n) })
	if i < 0 {
		return nil
	}
	return list[i:]
}

func (r *TrendReference) judge(s *days, p *Point) verdict {
	today, ok := s.today(p, false)
	if !ok {
		return verdict{}
	}
	said := verdict{judged: true, returned: true}
	against := thousandths(r.Value)
	for i := range r.Steps {
		step := &r.Steps[i]
		by := step.towards(today.value(), against)
		said.returned = said.returned && !step.reaches(by, thousandths(r.Margin))
		if step.Level > said.level && step.reaches(by, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormReference, Direction: step.Direction, Name: r.Name, Day: today.text(), Value: units(today.value()),
				Against: r.Value, By: units(by),
			}
		}
	}
	return said
}

func (m *TrendMovingAverage) judge(s *days, p *Point) verdict {
	today, ok := s.today(p, m.SameSensor)
	if !ok {
		return verdict{}
	}
	short := s.span(today, int32(m.ShortDays-1), 0, m.SameSensor)
	long := s.span(today, int32(m.ShortDays+m.LongDays-1), int32(m.ShortDays), m.SameSensor)
	if len(short) < m.LeastShort || len(long) < m.LeastLong {
		return verdict{}
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
				Form: FormMovingAverage, Direction: step.Direction, Day: today.text(), Value: units(mean), Against: units(median), By: units(by),
				Days: m.ShortDays, DaysWith: len(short), LongDays: m.LongDays, LongDaysWith: len(long),
			}
		}
	}
	return said
}

func (a *TrendAverage) judge(s *days, p *Point) verdict {
	date, _ := s.local(p.At)
	window := s.span(day{date: date}, int32(a.Days-1), 0, false)
	skipped := min(a.SkipDays, len(window))
	window = window[skipped:]
	var n [3]int32
	var sum [3]int64
	readings := 0
	for i := range window {
		readings += int(window[i].reading)
		for c := range sum {
			n[c] += window[i].n[c]
			sum[c] += window[i].sum[c]
		}
	}
	if readings < a.LeastReadings || len(window) < a.LeastDays {
		return verdict{}
	}
	said := verdict{returned: true}
	var means []float64
	for c := range min(len(a.Components), len(sum)) {
		if n[c] == 0 {
			break
		}
		mean := float64(halfUp(sum[c], int64(n[c])*thousand))
		means = append(means, mean)
		if b := &a.Components[c]; b.any() {
			said.judged = true
			said.level = max(said.level, b.level(mean, false))
			said.returned = said.returned && b.returned(mean)
		}
	}
	if said.level > None {
		said.grounds = &Grounds{
			Form: FormAverage, Day: (&day{date: date}).text(), Means: means, Days: a.Days, DaysWith: len(window), Readings: readings, Skipped: skipped,
		}
	}
	return said
}

// halfUp divides and rounds half up; by is positive.
func halfUp(sum, by int64) int64 {
	q := (2*sum + by) / (2 * by)
	if 2*sum+by < 0 && (2*sum+by)%(2*by) != 0 {
		q--
	}
	return q
}

func meanOf(list []day) int64 {
	var sum int64
	for i := range list {
		sum += list[i].value()
	}
	return halfUp(sum, int64(len(list)))
}

func medianOf(list []day) int64 {
	values := make([]int64, len(list))
	for i := range list {
		values[i] = list[i].value()
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return halfUp(values[middle-1]+values[middle], 2)
}

func units(thousandths int64) float64 { return float64(thousandths) / thousand }

// text is the date as in "2026-05-12".
func (d *day) text() string {
	return time.Unix(int64(d.date)*24*60*60, 0).UTC().Format(time.DateOnly)
}
