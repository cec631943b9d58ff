// Package measuring is what a patient is to measure and when, what came of it (Coverage), and whether what came was measured well
// (Sittings, Technician).
package measuring

import (
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// Schedule is one version of what a patient is to measure, and when, by the clock of their home. A version is never changed: a
// newer one takes its place from EffectiveFrom on, and what was expected before stays as it was.
type Schedule struct {
	Number        int
	EffectiveFrom time.Time
	Lines         []Line
}

// Line is one measurement that is to be repeated.
type Line struct {
	Metric vital.Metric
	First  vital.Date // the first day; n-th days and the intro count from it
	Last   vital.Date // the last day; "" while there is none
	Days   Days
	Times  []Window
	// Intro takes the place of Days and Times at first, while a new rhythm is learned or a change is watched; nil for none.
	Intro *Intro
}

// Intro is a denser rhythm for so many days from a line's first on.
type Intro struct {
	For   int // days
	Days  Days
	Times []Window
}

// Days says on which days something is measured: on some weekdays, or every n-th day. The zero Days are all of them.
type Days struct {
	Weekdays []time.Weekday // empty: all
	Every    int            // every so many days from the first on; 0 and 1: all
}

// Window is a time of the day, in minutes after midnight: due at At, and in time from From until before To.
type Window struct{ From, At, To int }

// Bounds of a schedule.
const (
	mostLines    = 64
	mostWindows  = 24
	longestIntro = 90  // days
	longestEvery = 366 // days
	minutesOfDay = 24 * 60
)

// Check returns fault.Invalid with what to mend. Two windows of a metric that can fall on one day must not overlap: a measurement
// is expected once.
func (s *Schedule) Check() error {
	if len(s.Lines) > mostLines {
		return fault.New(fault.Invalid, "lines: a schedule has at most %d", mostLines)
	}
	for i := range s.Lines {
		if err := s.Lines[i].check(); err != nil {
			return err
		}
		for j := range i {
			if a, b := &s.Lines[j], &s.Lines[i]; a.Metric == b.Metric && a.meets(b) {
				return fault.New(fault.Invalid, "lines: two windows of %s overlap: expect each measurement once", a.Metric)
			}
		}
	}
	return nil
}

func (l *Line) check() error {
	if _, ok := vital.Define(l.Metric); !ok {
		return fault.New(fault.Invalid, "metric: there is no such metric")
	}
	if !wholeDay(l.First) {
		return fault.New(fault.Invalid, "first: give the first day of %s as YYYY-MM-DD", l.Metric)
	}
	if l.Last != "" && (!wholeDay(l.Last) || l.Last < l.First) {
		return fault.New(fault.Invalid, "last: give the last day of %s as YYYY-MM-DD, not before the first; or leave it out", l.Metric)
	}
	if err := rhythm(l.Metric, l.Days, l.Times); err != nil {
		return err
	}
	if l.Intro == nil {
		return nil
	}
	if l.Intro.For < 1 || l.Intro.For > longestIntro {
		return fault.New(fault.Invalid, "intro: it lasts from 1 to %d days", longestIntro)
	}
	return rhythm(l.Metric, l.Intro.Days, l.Intro.Times)
}

func rhythm(m vital.Metric, days Days, times []Window) error {
	if days.Every < 0 || days.Every > longestEvery || days.Every > 1 && len(days.Weekdays) > 0 {
		return fault.New(fault.Invalid, "days: give weekdays, or every n-th day with n up to %d, not both", longestEvery)
	}
	for i, d := range days.Weekdays {
		if d < time.Sunday || d > time.Saturday || slices.Contains(days.Weekdays[:i], d) {
			return fault.New(fault.Invalid, "days: name each weekday once, from 0 (Sunday) to 6 (Saturday)")
		}
	}
	if len(times) == 0 || len(times) > mostWindows {
		return fault.New(fault.Invalid, "times: give 1 to %d times of the day for %s", mostWindows, m)
	}
	for i, w := range times {
		if w.From < 0 || w.From > w.At || w.At >= w.To || w.To > minutesOfDay {
			return fault.New(fault.Invalid, "times: a window of %s is from <= at < to, within one day", m)
		}
		if overlap(times[:i], w) {
			return fault.New(fault.Invalid, "times: two windows of %s overlap: expect each measurement once", m)
		}
	}
	return nil
}

func overlap(all []Window, w Window) bool {
	return slices.ContainsFunc(all, func(o Window) bool { return o.From < w.To && w.From < o.To })
}

func wholeDay(d vital.Date) bool { return d.Valid() && len(d) == len(time.DateOnly) }

// meets reports whether windows of two lines can overlap on one day: their spans and days may meet, and so do the windows.
func (l *Line) meets(o *Line) bool {
	if l.Last != "" && l.Last < o.First || o.Last != "" && o.Last < l.First {
		return false
	}
	for _, a := range l.rhythms() {
		for _, b := range o.rhythms() {
			if a.days.apart(b.days) {
				continue
			}
			if slices.ContainsFunc(b.times, func(w Window) bool { return overlap(a.times, w) }) {
				return true
			}
		}
	}
	return false
}

type rhythmOf struct {
	days  Days
	times []Window
}

func (l *Line) rhythms() []rhythmOf {
	all := []rhythmOf{{l.Days, l.Times}}
	if l.Intro != nil {
		all = append(all, rhythmOf{l.Intro.Days, l.Intro.Times})
	}
	return all
}

// apart reports whether two patterns have no day in common for certain.
func (d Days) apart(o Days) bool {
	return len(d.Weekdays) > 0 && len(o.Weekdays) > 0 &&
		!slices.ContainsFunc(d.Weekdays, func(w time.Weekday) bool { return slices.Contains(o.Weekdays, w) })
}

// Slot is one measurement that is expected: due at Due, and in time from Opens until before Closes.
type Slot struct {
	Metric             vital.Metric
	Date               vital.Date // by the clock of the home
	Ordinal            int        // which of the metric's slots of that day, from 0
	Opens, Due, Closes time.Time
}

// Slots returns what versions of a schedule expect of whoever lives in a zone, for slots that open in [from, to), by Opens. A slot
// is of the version in force when it opens, the newest that is effective by then.
func Slots(versions []Schedule, zone *time.Location, from, to time.Time) []Slot {
	var all []Slot
	last := to.In(zone)
	for day := dayOf(from.In(zone)); !day.After(dayOf(last)); day = day.AddDate(0, 0, 1) {
		for i := range versions {
			v := &versions[i]
			for _, s := range v.slotsOn(day, zone) {
				if !s.Opens.Before(from) && s.Opens.Before(to) && inForce(versions, s.Opens) == i {
					all = append(all, s)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Slot) int {
		if c := a.Opens.Compare(b.Opens); c != 0 {
			return c
		}
		return int(a.Metric) - int(b.Metric)
	})
	return numbered(all)
}

// numbered counts the slots of each metric and day.
func numbered(all []Slot) []Slot {
	type day struct {
		metric vital.Metric
		date   vital.Date
	}
	seen := map[day]int{}
	for i := range all {
		d := day{all[i].Metric, all[i].Date}
		all[i].Ordinal = seen[d]
		seen[d]++
	}
	return all
}

// inForce returns which version holds at a moment, -1 when none does yet.
func inForce(versions []Schedule, at time.Time) int {
	best := -1
	for i := range versions {
		v := &versions[i]
		if !v.EffectiveFrom.After(at) && (best < 0 || v.Number > versions[best].Number) {
			best = i
		}
	}
	return best
}

// dayOf returns a local date as its midnight in UTC: days are counted there, where each has 24 hours.
func dayOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

func (s *Schedule) slotsOn(day time.Time, zone *time.Location) []Slot {
	var all []Slot
	date := vital.Date(day.Format(time.DateOnly))
	for i := range s.Lines {
		l := &s.Lines[i]
		for _, w := range l.windowsOn(day, date) {
			at := func(minute int) time.Time {
				t, _ := vital.Wall(day.Add(time.Duration(minute)*time.Minute), zone)
				return t.UTC()
			}
			all = append(all, Slot{Metric: l.Metric, Date: date, Opens: at(w.From), Due: at(w.At), Closes: at(w.To)})
		}
	}
	return all
}

func (l *Line) windowsOn(day time.Time, date vital.Date) []Window {
	if date < l.First || l.Last != "" && date > l.Last {
		return nil
	}
	first, err := time.Parse(time.DateOnly, string(l.First))
	if err != nil {
		return nil // Check has refused it
	}
	n := int(day.Sub(first) / (24 * time.Hour))
	r := rhythmOf{l.Days, l.Times}
	if l.Intro != nil && n < l.Intro.For {
		r = rhythmOf{l.Intro.Days, l.Intro.Times}
	}
	if r.days.Every > 1 && n%r.days.Every != 0 || len(r.days.Weekdays) > 0 && !slices.Contains(r.days.Weekdays, day.Weekday()) {
		return nil
	}
	return r.times
}
