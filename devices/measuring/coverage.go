package measuring

import (
	"time"

	"hale/vital"
)

// Cover says what became of a slot. Missing is not normal, and why it is missing matters.
type Cover string

// What becomes of a slot.
const (
	CoverMeasured  Cover = "measured"
	CoverOtherTime Cover = "other_time"  // measured on that day, but outside of every window
	CoverAhead     Cover = "ahead"       // it has not opened yet
	CoverDue       Cover = "due"         // it is open
	CoverMissed    Cover = "missed"      // nothing was measured, as far as anybody knows
	CoverSilent    Cover = "not_arrived" // what would have brought it was not heard
	CoverClock     Cover = "clock_wrong" // something came whose clock cannot be right
	CoverPaused    Cover = "paused"
	CoverHospital  Cover = "hospital"
)

// PauseKind is why nothing is expected for a while.
type PauseKind string

// The kinds of pauses.
const (
	InHospital PauseKind = "hospital"
	OnHoliday  PauseKind = "holiday"
	OtherPause PauseKind = "other"
)

// Pause is a time in which nothing is expected of a patient; To is zero while it lasts.
type Pause struct {
	Kind     PauseKind
	From, To time.Time
}

// Covers reports whether the pause holds at t.
func (p Pause) Covers(t time.Time) bool {
	return !t.Before(p.From) && (p.To.IsZero() || t.Before(p.To))
}

// Mark is that something of a metric was measured, or arrived, at a moment.
type Mark struct {
	Metric vital.Metric
	At     time.Time
}

// Seen is what is known of a patient's measurements when their slots are judged.
type Seen struct {
	Measured []Mark // stored readings, by the time of measurement
	Pauses   []Pause
	// Silent says when whatever brings a patient's readings of a metric was not heard.
	Silent map[vital.Metric][]Away
	// Clock are arrivals that wait in quarantine because their clock cannot be right.
	Clock []Mark
}

// Away is a time in which something was not heard. What was measured since it began may still come while it lasts, when To is zero. When it
// is over, what was expected all within it is explained by it, until a reading comes.
type Away struct{ From, To time.Time }

// explains reports whether nothing is known of a slot because of it.
func (a Away) explains(s *Slot) bool {
	if a.To.IsZero() {
		return a.From.Before(s.Closes)
	}
	return !s.Opens.Before(a.From) && !s.Closes.After(a.To)
}

// Covered is a slot and what became of it; At is when it was measured.
type Covered struct {
	Slot
	Cover Cover
	At    time.Time
}

// Coverage says at now what became of each slot of a schedule. A measurement in a slot's window is that slot's; one outside of
// every window is that of the nearest slot of its metric and local day, when that has none.
func Coverage(slots []Slot, seen Seen, zone *time.Location, now time.Time) []Covered {
	all := make([]Covered, len(slots))
	for i, s := range slots {
		all[i].Slot = s
	}
	for _, m := range seen.Measured {
		if i := inWindow(all, m); i >= 0 && (all[i].At.IsZero() || m.At.Before(all[i].At)) {
			all[i].Cover, all[i].At = CoverMeasured, m.At
		}
	}
	for _, m := range seen.Measured {
		if inWindow(all, m) >= 0 {
			continue
		}
		if i := nearest(all, m, vital.Date(m.At.In(zone).Format(time.DateOnly))); i >= 0 {
			all[i].Cover, all[i].At = CoverOtherTime, m.At
		}
	}
	for i := range all {
		if all[i].Cover == "" {
			all[i].Cover = seen.without(&all[i].Slot, now)
		}
	}
	return all
}

func inWindow(all []Covered, m Mark) int {
	for i := range all {
		if s := &all[i]; s.Metric == m.Metric && !m.At.Before(s.Opens) && m.At.Before(s.Closes) {
			return i
		}
	}
	return -1
}

// nearest returns the slot of that day whose due time is nearest, -1 when that one has a measurement already, or there is none.
func nearest(all []Covered, m Mark, date vital.Date) int {
	best := -1
	for i := range all {
		s := &all[i]
		if s.Metric != m.Metric || s.Date != date {
			continue
		}
		if best < 0 || m.At.Sub(s.Due).Abs() < m.At.Sub(all[best].Due).Abs() {
			best = i
		}
	}
	if best >= 0 && all[best].Cover != "" {
		return -1
	}
	return best
}

// without says of a slot that nothing was measured for why that is.
func (k *Seen) without(s *Slot, now time.Time) Cover {
	for _, p := range k.Pauses {
		if p.Covers(s.Due) {
			if p.Kind == InHospital {
				return CoverHospital
			}
			return CoverPaused
		}
	}
	if now.Before(s.Opens) {
		return CoverAhead
	}
	for _, c := range k.Clock {
		if c.Metric == s.Metric && !c.At.Before(s.Opens) && c.At.Before(s.Closes) {
			return CoverClock
		}
	}
	if now.Before(s.Closes) {
		return CoverDue
	}
	for _, a := range k.Silent[s.Metric] {
		if a.explains(s) {
			return CoverSilent
		}
	}
	return CoverMissed
}
