package devices

import (
	"slices"
	"time"

	"hale/vital"
)

// Counted is a stored or waiting reading of a sensor that counts its readings, with its number.
type Counted struct {
	Metric vital.Metric
	Number int64
	SentAt time.Time // the device's own time
}

// Gap is that numbers are missing between two readings of one count: Missing of them, after the number After, which was sent at
// From, and before the number Before, sent at To.
type Gap struct {
	After, Before int64
	From, To      time.Time
	Missing       int64
}

// Sequence is what the numbers of a sensor tell of one metric.
type Sequence struct {
	Metric   vital.Metric // 0 when the sensor counts all its metrics together
	Gaps     []Gap        // in the order of time
	Repeated []Counted    // numbers that were seen before under another time: the reading is stored, and one of the two is doubtful
	Restarts []time.Time  // when the count began anew
}

// Missing returns how many numbers are missing.
func (s *Sequence) Missing() int64 {
	var n int64
	for _, g := range s.Gaps {
		n += g.Missing
	}
	return n
}

// mostAtOnce is how many numbers a gap has at most [J]: a device buffers thousands of readings, not more. A longer leap is a count
// that began anew.
const mostAtOnce = 10_000

// withinAMinute is how many readings a device may take beside one a second: a clock may show minutes only [J].
const withinAMinute = 60

// Sequences looks for numbers that are missing. A device counts on from reading to reading, in the order of its own time. Where the
// number falls, the count began anew, and so it did where it leaps by more than a reading for every second between the two (a
// minute's readings aside, since a clock may show minutes only), or by more than ten thousand: nothing counts as missing there. A
// number that falls for one reading only, or fills a gap, is no new count: a reading was sent late or under another time.
// docs/wire.md lets a device count each metric or all of them together; it counts each when most numbers of its rarer metrics stand
// under another metric too.
func Sequences(readings []Counted) []Sequence {
	byMetric := map[vital.Metric][]Counted{}
	for _, r := range readings {
		byMetric[r.Metric] = append(byMetric[r.Metric], r)
	}
	if len(byMetric) > 1 && !countsEach(byMetric) {
		return []Sequence{sequenceOf(0, slices.Clone(readings))}
	}
	var all []Sequence
	for m, list := range byMetric {
		all = append(all, sequenceOf(m, list))
	}
	slices.SortFunc(all, func(a, b Sequence) int { return int(a.Metric) - int(b.Metric) })
	return all
}

// countsEach reports whether most numbers of all metrics but the one with the most readings stand under another metric too.
func countsEach(byMetric map[vital.Metric][]Counted) bool {
	holders := map[int64]map[vital.Metric]bool{}
	most := 0
	for m, list := range byMetric {
		most = max(most, len(list))
		for _, r := range list {
			if holders[r.Number] == nil {
				holders[r.Number] = map[vital.Metric]bool{}
			}
			holders[r.Number][m] = true
		}
	}
	shared, of, left := 0, 0, false
	for _, list := range byMetric {
		if len(list) == most && !left {
			left = true // one of the most frequent is what the others are compared with
			continue
		}
		for _, r := range list {
			of++
			if len(holders[r.Number]) > 1 {
				shared++
			}
		}
	}
	return shared*2 > of
}

func sequenceOf(m vital.Metric, list []Counted) Sequence {
	slices.SortStableFunc(list, func(a, b Counted) int {
		if c := a.SentAt.Compare(b.SentAt); c != 0 {
			return c
		}
		return compareNumbers(a.Number, b.Number)
	})
	s := Sequence{Metric: m}
	var c count
	for i, r := range list {
		switch {
		case len(c.readings) == 0 || c.follows(r):
		case c.strays(r, list[i+1:]):
			if slices.ContainsFunc(c.readings, func(o Counted) bool { return o.Number == r.Number && !o.SentAt.Equal(r.SentAt) }) {
				s.Repeated = append(s.Repeated, r)
				continue
			}
		default:
			s.close(c.readings)
			c = count{}
			s.Restarts = append(s.Restarts, r.SentAt)
		}
		c.add(r)
	}
	s.close(c.readings)
	return s
}

// count is what a device has counted without beginning anew, in the order of time.
type count struct {
	readings []Counted
	highest  Counted
	least    int64
}

func (c *count) add(r Counted) {
	if len(c.readings) == 0 || r.Number > c.highest.Number {
		c.highest = r
	}
	if len(c.readings) == 0 || r.Number < c.least {
		c.least = r.Number
	}
	c.readings = append(c.readings, r)
}

func compareNumbers(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// follows reports whether the reading goes on with the count.
func (c *count) follows(r Counted) bool {
	leap := r.Number - c.highest.Number
	seconds := int64(r.SentAt.Sub(c.highest.SentAt) / time.Second)
	return leap > 0 && leap <= mostAtOnce && leap <= seconds+withinAMinute
}

// strays reports whether the reading fell out of the order of a count that goes on after it: the next number is beyond the count's
// again, or there is no next and the number lies within the count.
func (c *count) strays(r Counted, rest []Counted) bool {
	if r.Number > c.highest.Number {
		return false // a leap
	}
	for _, next := range rest {
		if !next.SentAt.Equal(r.SentAt) {
			return c.follows(next)
		}
	}
	return r.Number >= c.least
}

// close writes down what is missing in a run that has ended.
func (s *Sequence) close(run []Counted) {
	slices.SortStableFunc(run, func(a, b Counted) int { return compareNumbers(a.Number, b.Number) })
	for i := 1; i < len(run); i++ {
		before, r := run[i-1], run[i]
		if n := r.Number - before.Number - 1; n > 0 {
			s.Gaps = append(s.Gaps, Gap{After: before.Number, Before: r.Number, From: before.SentAt, To: r.SentAt, Missing: n})
		}
	}
}
