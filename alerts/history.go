package alerts

import (
	"math"
	"slices"
	"time"

	"hale/vital"
)

// history is what a trend rule remembers of the readings of the last days: per local day a value or a sum, however many
// readings there were. A rule whose versions see days differently (another zone, another part of the day) has one set of
// days for each. It is not changed once it is in a Runner: a changed copy takes its place.
type history struct {
	metric vital.Metric
	sets   []days
}

// gathering is how readings become the values of local days.
type gathering struct {
	zone        string
	from, until int  // minutes of the local day
	whole       bool // every reading counts, in sums; else the first of each sensor in the part of the day
}

type days struct {
	gathering
	zone *time.Location
	back int32 // how many days before the newest one are kept
	list []day // by date; of one date in the order of measuring
}

// day is a local day: its first reading by one sensor, or the sum of all of them.
type day struct {
	date    int32 // days since 1970-01-01 by the local calendar
	sensor  vital.SensorID
	first   int64    // id of the first reading
	n       [3]int32 // readings per component
	sum     [3]int64 // thousandths of the canonical unit
	reading int32    // readings
}

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
	case t.Average != nil:
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
	loc, err := time.LoadLocation(name)
	if err != nil {
		loc = time.UTC
	}
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
	if !slices.ContainsFunc(h.sets, func(s days) bool { _, _, wanted := s.wants(p); return wanted }) {
		return h
	}
	own := &history{metric: h.metric, sets: slices.Clone(h.sets)}
	for i := range own.sets {
		own.sets[i].list = slices.Clone(own.sets[i].list)
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

// wants reports whether the reading has a part in a day, of which date, and where that day stands in the list; -1: it is
// the day's first. Of days that keep their first reading none but that has.
func (s *days) wants(p *Point) (date int32, at int, wanted bool) {
	if len(p.Values) == 0 || math.IsNaN(p.Values[0]) {
		return 0, 0, false
	}
	date, minute := s.local(p.At)
	if minute < s.from || minute >= s.until {
		return date, 0, false
	}
	at = slices.IndexFunc(s.list, func(d day) bool { return d.date == date && (s.whole || d.sensor == p.Sensor) })
	return date, at, at < 0 || s.whole
}

func (s *days) take(metric vital.Metric, p *Point) {
	date, at, wanted := s.wants(p)
	if !wanted {
		return
	}
	if at < 0 {
		d := day{date: date, first: p.ID}
		if !s.whole {
			d.sensor = p.Sensor
		}
		s.forget(date)
		// A clock that goes back at midnight brings yesterday again.
		at, _ = slices.BinarySearchFunc(s.list, date+1, func(o day, want int32) int { return int(o.date - want) })
		s.list = slices.Insert(s.list, at, d)
	}
	d := &s.list[at]
	d.reading++
	for c := 0; c < len(p.Values) && c < len(d.sum); c++ {
		if !math.IsNaN(p.Values[c]) {
			d.n[c]++
			d.sum[c] += thousandths(vital.Rounded(metric, p.Values[c]))
		}
	}
}

// forget drops the days that nothing looks at any more; the day before a clock went back at midnight still may.
func (s *days) forget(newest int32) {
	s.list = slices.DeleteFunc(s.list, func(d day) bool { return d.date < newest-s.back-1 })
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

// today returns the day whose value the reading is; ok is false for a reading that is not the first of its day (with
// same: the first of its sensor).
func (s *days) today(p *Point, same bool) (today day, ok bool) {
	date, minute := s.local(p.At)
	if minute < s.from || minute >= s.until {
		return day{}, false
	}
	for i := range s.list {
		if s.list[i].date != date || same && s.list[i].sensor != p.Sensor {
			continue
		}
		return s.list[i], s.list[i].first == p.ID
	}
	return day{}, false
}

// span returns one value per local day from so many days before a date to so many, oldest first; with same those of the
// sensor only.
func (s *days) span(of day, oldest, newest int32, same bool) []day {
	var list []day
	for i := range s.list {
		d := &s.list[i]
		switch {
		case d.date < of.date-oldest || d.date > of.date-newest:
		case same && d.sensor != of.sensor:
		case len(list) > 0 && list[len(list)-1].date == d.date: // another sensor was first that day
		default:
			list = append(list, *d)
		}
	}
	return list
}
