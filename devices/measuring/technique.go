package measuring

import (
	"math"
	"slices"
	"time"

	"hale/vital"
)

// Taken is a stored reading, as technique looks at it.
type Taken struct {
	Metric vital.Metric
	At     time.Time
	ID     int64
	Values []float64   // in the metric's canonical units
	Key    vital.Key   // its identity; ID is a hash of it
	Vague  vital.Vague // of At
}

// Doubt is why a reading may not be what it seems. A doubt hides nothing: the reading counts, and a person is asked.
type Doubt string

// The doubts.
const (
	TooSoon     Doubt = "too_soon"     // so soon after the one before that the arm has not rested
	FarApart    Doubt = "far_apart"    // too different from the one before in the same session
	OtherPerson Doubt = "other_person" // a weight so far from this week's that somebody else may have stood on the scale
)

// Bounds of technique (design/product.md, section 1): two blood pressures about a minute apart are the home protocol.
const (
	sessionGap  = 10 * time.Minute // to the next reading of the same session [J]
	restAtLeast = 30 * time.Second // between two readings
	apartAtMost = 20.0             // mm[Hg], systolic or diastolic, between two readings of a session
	otherAbove  = 5.0              // kg from the median of the days before
	weighedFor  = 7 * 24 * time.Hour
	fewWeights  = 2 // with fewer there is no median to speak of [J]
)

// Sitting is a session: readings of one metric taken in one go, in the order of time, and what is doubtful about which (by its
// place in Readings).
type Sitting struct {
	Readings []Taken
	Doubts   map[int]Doubt
}

// Sittings groups the blood pressures among readings into sessions, each reading at most sessionGap after the one before. One of which no
// more is known than the day, or some hours, is in none: nobody knows what came before it, nor how soon.
func Sittings(readings []Taken) []Sitting {
	var list []Taken
	for _, r := range readings {
		if r.Metric == vital.BloodPressure && len(r.Values) >= 2 && r.Vague.IsZero() {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Taken) int { return a.At.Compare(b.At) })
	var all []Sitting
	for i, r := range list {
		if i == 0 || r.At.Sub(list[i-1].At) > sessionGap {
			all = append(all, Sitting{Doubts: map[int]Doubt{}})
		}
		s := &all[len(all)-1]
		s.Readings = append(s.Readings, r)
		if n := len(s.Readings); n > 1 {
			s.doubt(n - 1)
		}
	}
	return all
}

// doubt compares the i-th reading with the one before.
func (s *Sitting) doubt(i int) {
	before, r := s.Readings[i-1], s.Readings[i]
	switch {
	case r.At.Sub(before.At) < restAtLeast:
		s.Doubts[i] = TooSoon
	case math.Abs(r.Values[0]-before.Values[0]) > apartAtMost || math.Abs(r.Values[1]-before.Values[1]) > apartAtMost:
		s.Doubts[i] = FarApart
	}
}

// SomebodyElse reports whether a weight is so far from the median of those of the week before it that somebody else may have stood
// on the scale, and that median in kilograms. It does not with fewer than two weights to go by.
func SomebodyElse(weight Taken, before []Taken) (median float64, doubt bool) {
	var week []float64
	for _, r := range before {
		if r.Metric == vital.BodyWeight && len(r.Values) > 0 && r.At.Before(weight.At) && weight.At.Sub(r.At) <= weighedFor {
			week = append(week, r.Values[0])
		}
	}
	if weight.Metric != vital.BodyWeight || len(weight.Values) == 0 || len(week) < fewWeights {
		return 0, false
	}
	slices.Sort(week)
	median = (week[(len(week)-1)/2] + week[len(week)/2]) / 2
	return median, math.Abs(weight.Values[0]-median) > otherAbove
}

// Mean returns the mean of each component over all readings of the sitting, in canonical units, rounded half up to a whole number
// (clinical/scores.md, section 3: all readings of a session count).
func (s *Sitting) Mean() []float64 {
	const components = 2 // systolic and diastolic
	mean := make([]float64, components)
	for _, r := range s.Readings {
		for i := range mean {
			mean[i] += r.Values[i]
		}
	}
	for i := range mean {
		mean[i] = math.Floor(mean[i]/float64(len(s.Readings)) + 0.5)
	}
	return mean
}

// Doubted is a reading of which something is doubtful.
type Doubted struct {
	Taken
	Doubt    Doubt
	Compared []float64     // with what: the reading before it, or the median of the week, in canonical units
	Apart    time.Duration // from the reading before it; 0 of a weight
	// SatFrom and SatTo are the first and the last reading of its sitting; zero of a weight.
	SatFrom, SatTo time.Time
}

// Doubtful returns what is doubtful among the readings of one person, in the order of time. Of a sitting it is the first of each
// kind: the sitting is asked about, and a cuff that measures every few seconds is not asked about each time.
func Doubtful(readings []Taken) []Doubted {
	var all []Doubted
	for _, s := range Sittings(readings) {
		asked := map[Doubt]bool{}
		for i, r := range s.Readings {
			if d, some := s.Doubts[i]; some && !asked[d] {
				asked[d] = true
				before, last := s.Readings[i-1], s.Readings[len(s.Readings)-1]
				all = append(all, Doubted{Taken: r, Doubt: d, Compared: before.Values[:2], Apart: r.At.Sub(before.At), SatFrom: s.Readings[0].At, SatTo: last.At})
			}
		}
	}
	for _, r := range readings {
		if median, doubt := SomebodyElse(r, readings); doubt {
			all = append(all, Doubted{Taken: r, Doubt: OtherPerson, Compared: []float64{median}})
		}
	}
	slices.SortStableFunc(all, func(a, b Doubted) int { return a.At.Compare(b.At) })
	return all
}
