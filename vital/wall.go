package vital

import "time"

// Occurs tells how often a clock on the wall shows a time on one day.
type Occurs uint8

// The answers.
const (
	Once  Occurs = iota
	Twice        // the clocks go back over it
	Never        // the clocks go forward over it
)

// wallReach is further than any two zones are apart: the offsets from UTC that can be meant stand within it.
const wallReach = 26 * time.Hour

// Wall returns the moment at which a clock on the wall of a zone shows the digits of a time (its own zone is not looked at). Where
// that is twice, it is the first; where it is never, it is as if the clock had not gone forward yet: 02:30 becomes 03:30.
// (time.Date does not promise which it takes, and takes different ones: clinical/medication.md, section 3, after RFC 5545.)
func Wall(digits time.Time, zone *time.Location) (time.Time, Occurs) {
	asUTC := time.Date(digits.Year(), digits.Month(), digits.Day(), digits.Hour(), digits.Minute(), digits.Second(), digits.Nanosecond(), time.UTC)
	before := offsetAt(asUTC.Add(-wallReach), zone)
	after := offsetAt(asUTC.Add(wallReach), zone)
	first, second := asUTC.Add(-before), asUTC.Add(-after)
	shownFirst, shownSecond := offsetAt(first, zone) == before, offsetAt(second, zone) == after
	switch {
	case before == after:
		return first, Once
	case shownFirst && shownSecond:
		return earlier(first, second), Twice
	case shownFirst:
		return first, Once
	case shownSecond:
		return second, Once
	}
	return first, Never
}

func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
