package alerts

import (
	"slices"
	"time"

	"hale/vital"
)

// Weights of a scale may be somebody else's. Clinical decision 12 asks "is this you?" at more than 5 kg from the 7-day
// median; how the median is taken when two people use the scale is ours [J].
const (
	likelyDays     = 7                         // before today, of which the median is taken
	likelyLonger   = furthestBack - likelyDays // days that are asked when two values are as usual in those
	likelyLeast    = 3                         // of them must have a value, or nothing is unlike
	likelyAgree    = 2                         // of them must agree
	likelyKilogram = 5.0                       // of a body weight: further from the median is unlike
	repeatWithin   = 10 * time.Minute          // of the first value of a sitting a further one is its repeat (clinical/scores.md, section 3)
)

// sitting is a value with its repeats, of which the last counts: who measures again at once does so because the first
// was wrong, and the middle of two values is half as wrong as the wrong one.
type sitting struct {
	date   int32
	sensor vital.SensorID
	id     int64 // of the reading that counts
	start  int64 // milliseconds since 1970, of the first
	value  int64 // thousandths of the canonical unit
}

// likely is what a reading is compared with, and whether it is likely the patient's.
type likely struct {
	today  sitting
	before []sitting // the values of the days before, one per day, oldest first
	median int64     // of the 7 days before; 0 when there are too few
	was    int64     // the median until these values became the usual ones; 0: they are so already
	unlike bool      // today's may be somebody else's
}

// likely compares the reading with the days before. It is not ok when there is nothing to judge: the reading is neither the
// value of its day nor unlike. All values of the part of the day are looked at, of the reading's sensor (with same) or
// of all; 0 is unlike nothing. Days before the week are looked at as far back as the form asks.
func (s *days) likely(p *Point, same bool, unlike float64, back int) (l likely, ok bool) {
	date, _ := s.local(p.At)
	far := thousandths(unlike)
	all := s.sittings(date, p.Sensor, same, far)
	i := slices.IndexFunc(all, func(x sitting) bool { return x.id == p.ID })
	if i < 0 {
		return l, false
	}
	l.today = all[i]
	from := slices.IndexFunc(all, func(x sitting) bool { return x.date == date })
	before, today := all[:from], all[from:]
	week, median, known := usual(before, date, far)
	if !known {
		l.before = firstOfDays(before, func(sitting) bool { return true })
		l.unlike = far > 0 && apart(l.today.value, today[0].value) > far // two people, and nobody knows who is who
		return l, l.unlike || l.today.id == today[0].id
	}
	older := lastDays(before[:firstOn(before, date-likelyDays)], date, back)
	l.before, l.median = follow(older, week, far), median
	if l.unlike = apart(l.today.value, l.median) > far; l.unlike {
		return l, true
	}
	last := before[len(before)-1].date // what was usual on the last day with a value?
	if _, was, known := usual(before[:firstOn(before, last)], last, far); known && apart(was, median) > far {
		l.was = was
	}
	first := slices.IndexFunc(today, func(x sitting) bool { return apart(x.value, l.median) <= far })
	return l, today[first].id == l.today.id
}

// doubt makes the verdict of a form at most yellow, and never less, for a value that may be somebody else's; and at least
// yellow when other values than before are the usual ones now.
func (l *likely) doubt(form Form, said verdict) verdict {
	said.date = l.today.date
	switch {
	case l.unlike:
		said.level = Yellow
	case l.was != 0:
		said.level = max(said.level, Yellow)
	default:
		return said
	}
	said.judged, said.returned = true, false
	if said.grounds == nil {
		said.grounds = &Grounds{Form: form, Day: dateText(l.today.date), Value: units(l.today.value)}
	}
	said.grounds.Unlike, said.grounds.Median, said.grounds.MedianWas = l.unlike, units(l.median), units(l.was)
	return said
}

// sittings returns the values up to a date, those without their repeats. A repeat is of the same sensor, and not so far from
// the value before that it is somebody else's.
func (s *days) sittings(date int32, sensor vital.SensorID, same bool, far int64) []sitting {
	list := make([]sitting, 0, len(s.values))
	for i := range s.values {
		v := &s.values[i]
		if v.date > date || v.date < date-s.back || same && v.sensor != sensor {
			continue
		}
		if of := repeated(list, v, far); of >= 0 {
			list[of].id, list[of].value = v.id, v.value
			continue
		}
		list = append(list, sitting{date: v.date, sensor: v.sensor, id: v.id, start: v.at, value: v.value})
	}
	return list
}

// repeated returns which sitting the value is a repeat of; -1 when of none.
func repeated(list []sitting, v *single, far int64) int {
	for i := len(list) - 1; i >= 0 && list[i].date == v.date; i-- {
		x := &list[i]
		if x.sensor == v.sensor && v.at-x.start <= repeatWithin.Milliseconds() && (far == 0 || apart(x.value, v.value) <= far) {
			return i
		}
	}
	return -1
}

// usual returns the median of the values of the week before a date on which the most days agree, and of each day the first
// value that is not far from it: they are the patient's most likely. Of two values as usual it is the one that was so on
// more days of the weeks before, then the earlier. It knows of none when too few days have a value or no two agree. What else
// was measured has no part in it; what is measured on most days becomes the usual.
func usual(before []sitting, date int32, far int64) (values []sitting, median int64, known bool) {
	week, longer := lastDays(before, date, likelyDays), lastDays(before, date, likelyLonger)
	if far == 0 || len(firstOfDays(week, func(sitting) bool { return true })) < likelyLeast {
		return nil, 0, false
	}
	centre, most, mostLonger := int64(0), 0, 0
	for i := range week {
		n := daysNear(week, week[i].value, far)
		if n < most {
			continue
		}
		if nLonger := daysNear(longer, week[i].value, far); n > most || nLonger > mostLonger {
			centre, most, mostLonger = week[i].value, n, nLonger
		}
	}
	if most < likelyAgree {
		return nil, 0, false
	}
	median = medianOf(firstNear(week, centre, far))
	return firstNear(week, median, far), median, true
}

// follow goes back from the usual values of the last week to the days before it: their value is the first that is like the
// median of the seven values after it. So a weight that changes over a month stays the patient's.
func follow(older, week []sitting, far int64) []sitting {
	if len(older) == 0 {
		return week
	}
	values := slices.Clone(week)
	slices.Reverse(values) // the newest first
	for to := len(older); to > 0; {
		from := firstOn(older, older[to-1].date)
		values = append(values, firstNear(older[from:to], medianOf(values[max(0, len(values)-likelyDays):]), far)...)
		to = from
	}
	slices.Reverse(values)
	return values
}

// firstNear returns the first value of each day that is not far from another.
func firstNear(list []sitting, value, far int64) []sitting {
	return firstOfDays(list, func(x sitting) bool { return apart(x.value, value) <= far })
}

// daysNear returns on how many days there is a value that is not far from another.
func daysNear(list []sitting, value, far int64) int {
	n, counted := 0, int32(0)
	for i := range list {
		if apart(list[i].value, value) <= far && (n == 0 || list[i].date != counted) {
			n, counted = n+1, list[i].date
		}
	}
	return n
}

// firstOfDays returns the first value of each day that is wanted.
func firstOfDays(list []sitting, wanted func(sitting) bool) []sitting {
	var values []sitting
	for _, x := range list {
		if n := len(values); (n == 0 || values[n-1].date != x.date) && wanted(x) {
			values = append(values, x)
		}
	}
	return values
}

// lastDays returns those of the values that are of the last n days before the date.
func lastDays(list []sitting, date int32, n int) []sitting {
	return list[firstOn(list, date-int32(n)):]
}

// firstOn returns where the values of a date and later begin.
func firstOn(list []sitting, date int32) int {
	i, _ := slices.BinarySearchFunc(list, date, func(x sitting, want int32) int { return int(x.date - want) })
	return i
}

func apart(a, b int64) int64 { return max(a-b, b-a) }
