package alerts

import (
	"math"
	"slices"
	"time"

	"hale/vital"
)

// history is what a trend rule remembers of the readings of the last days: every value of the part of the day that it
// looks at (daysReadings of each sensor at most), or per local half-day a sum, however many readings there were. A rule whose
// versions see days differently (another zone, another part of the day) has one set of days for each. It is not changed
// once it is in a Runner: a changed copy takes its place.
type history struct {
	metric vital.Metric
	sets   []days
}

// gathering is how readings become the values of local days.
type gathering struct {
	zone        string
	from, until int  // minutes of the local day
	whole       bool // the readings of the part of the day, mostly all of it, count in sums; else one by one
}

type days struct {
	gathering
	zone     *time.Location
	back     int32     // how many days before the newest one are kept
	sessions []session // by date
	values   []single  // by date, of one date in the order of measuring
}

// noon is the minute of the local day at which its second session begins [J]. The schedule of home blood pressure measures in
// the morning and in the evening (clinical/scores.md, section 3).
const noon = 12 * 60

// session is the sum of all readings of a local half-day. Readings of one half-day say one thing of the person, however many
// they are: somebody who repeats a bad value until it is good has not had a good week.
type session struct {
	half    int32    // local half-days since 1970-01-01: an even one is before noon
	n       [3]int32 // readings per component
	sum     [3]int64 // thousandths of the canonical unit
	reading int32    // readings
}

// date is the session's local day, in days since 1970-01-01 by the local calendar.
func (s *session) date() int32 { return s.half >> 1 }

// single is one reading in the part of the day.
type single struct {
	date   int32
	sensor vital.SensorID
	id     int64
	at     int64 // milliseconds since 1970
	value  int64 // thousandths of the canonical unit
}

// daysReadings is how many readings of one sensor are kept of one day: of more, the first ones and the last. Nobody weighs
// themselves so often in a morning; a scale that sends without end must not fill the memory [J].
const daysReadings = 16

// thousand is how many parts a canonical unit is compared in: weights in grams.
const thousand = 1000

func (t *Trend) gathering() (gathering, bool) {
	g := gathering{zone: t.Zone}
	var part DayPart
	switch {
	case t.Change != nil:
		part = t.Change.Part
	case t.Reference != nil:
		part = t.Reference.Part
	case t.MovingAverage != nil:
		part = t.MovingAverage.Part
	case t.Baseline != nil && t.Baseline.Part != nil:
		g.whole, part = true, *t.Baseline.Part
	case t.Average != nil, t.Baseline != nil:
		g.whole, g.until = true, 24*60
		return g, true
	default:
		return g, false
	}
	var err error
	g.from, g.until, err = part.minutes() // Check has refused what cannot be read
	return g, err == nil
}

// zones keeps the time zones that a Decider has loaded; loading one reads a file. A nil one keeps nothing.
type zones map[string]*time.Location

// load returns the zone. Of one that this machine does not know any more the days are those of UTC: judging on is
// better than not judging.
func (z zones) load(name string) *time.Location {
	if loc, ok := z[name]; ok {
		return loc
	}
	loc := vital.ZoneOrUTC(name)
	if z != nil {
		z[name] = loc
	}
	return loc
}

func newHistory(rule *Rule, known zones) *history {
	h := &history{metric: rule.Metric}
	for i := range rule.Versions {
		t := rule.Versions[i].Trend
		if t == nil {
			continue
		}
		g, ok := t.gathering()
		if !ok {
			continue
		}
		back := int32(t.back())
		if at := slices.IndexFunc(h.sets, func(s days) bool { return s.gathering == g }); at >= 0 {
			h.sets[at].back = max(h.sets[at].back, back)
			continue
		}
		h.sets = append(h.sets, days{gathering: g, zone: known.load(g.zone), back: back})
	}
	return h
}

// with returns the history after one more reading.
func (h *history) with(p *Point) *history {
	if !slices.ContainsFunc(h.sets, func(s days) bool { _, wanted := s.wants(p); return wanted }) {
		return h
	}
	own := &history{metric: h.metric, sets: slices.Clone(h.sets)}
	for i := range own.sets {
		own.sets[i].sessions, own.sets[i].values = slices.Clone(own.sets[i].sessions), slices.Clone(own.sets[i].values)
	}
	own.take(p)
	return own
}

// take adds the next reading in place.
func (h *history) take(p *Point) {
	for i := range h.sets {
		h.sets[i].take(h.metric, p)
	}
}

// wants reports whether the reading has a part in a day, and of which date.
func (s *days) wants(p *Point) (date int32, wanted bool) {
	if len(p.Values) == 0 || math.IsNaN(p.Values[0]) {
		return 0, false
	}
	date, minute := s.local(p.At)
	return date, minute >= s.from && minute < s.until
}

func (s *days) take(metric vital.Metric, p *Point) {
	date, wanted := s.wants(p)
	if !wanted {
		return
	}
	s.forget(date)
	if s.whole {
		s.add(metric, p)
		return
	}
	ofDay := func(v single) bool { return v.date == date && v.sensor == p.Sensor }
	n, last := 0, 0
	for i := range s.values {
		if ofDay(s.values[i]) {
			n, last = n+1, i
		}
	}
	if n >= daysReadings {
		s.values = slices.Delete(s.values, last, last+1)
	}
	// A clock that goes back over midnight brings yesterday again.
	at, _ := slices.BinarySearchFunc(s.values, date+1, func(o single, want int32) int { return int(o.date - want) })
	s.values = slices.Insert(s.values, at, single{
		date: date, sensor: p.Sensor, id: p.ID, at: p.At.UnixMilli(), value: thousandths(vital.Rounded(metric, p.Values[0])),
	})
}

// add counts the reading in the sum of its session.
func (s *days) add(metric vital.Metric, p *Point) {
	date, minute := s.local(p.At)
	half := 2 * date
	if minute >= noon {
		half++
	}
	at, found := slices.BinarySearchFunc(s.sessions, half, func(o session, want int32) int { return int(o.half - want) })
	if !found {
		s.sessions = slices.Insert(s.sessions, at, session{half: half})
	}
	d := &s.sessions[at]
	d.reading++
	for c := 0; c < len(p.Values) && c < len(d.sum); c++ {
		if !math.IsNaN(p.Values[c]) {
			d.n[c]++
			d.sum[c] += thousandths(vital.Rounded(metric, p.Values[c]))
		}
	}
}

// forget drops the days that nothing looks at any more. One day more is kept, for a clock that goes back over midnight, as
// in St. John's until 2011: after readings of today come some of yesterday, which looks back one day further.
func (s *days) forget(newest int32) {
	oldest := newest - s.back - 1
	s.sessions = slices.DeleteFunc(s.sessions, func(d session) bool { return d.date() < oldest })
	s.values = slices.DeleteFunc(s.values, func(v single) bool { return v.date < oldest })
}

// local returns the local date of an instant and the minute of that day.
func (s *days) local(at time.Time) (date int32, minute int) {
	l := at.In(s.zone)
	y, m, d := l.Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)), l.Hour()*60 + l.Minute()
}

func thousandths(v float64) int64 { return int64(math.Round(v * thousand)) }

// set returns the days as the trend sees them; nil for a trend without a form.
func (h *history) set(t *Trend) *days {
	g, ok := t.gathering()
	if !ok {
		return nil
	}
	i := slices.IndexFunc(h.sets, func(s days) bool { return s.gathering == g })
	if i < 0 {
		return nil
	}
	return &h.sets[i]
}
