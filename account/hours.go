package account

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hale/fault"
)

// Watch says who watches over a care team's patients at a moment.
type Watch string

// The ways of watching. Unstaffed means that nobody does, and that everybody concerned must know it.
const (
	Staffed   Watch = "staffed"   // somebody looks at the worklist
	OnCall    Watch = "on call"   // somebody is called for what is urgent
	Unstaffed Watch = "unstaffed" // nobody
)

// Span is a part of a day by the wall clock, in minutes after midnight: [From, To). To is at most 1440, the end of the day.
type Span struct {
	From  int   `json:"from"`
	To    int   `json:"to"`
	Watch Watch `json:"watch"`
}

// Holiday is a local date with hours of its own, instead of its weekday's. Without spans it is unstaffed.
type Holiday struct {
	Date  string `json:"date"` // 2026-12-25
	Name  string `json:"name"`
	Spans []Span `json:"spans,omitempty"`
}

// Hours are when a care team watches: by the wall clock of a place, week by week, but for holidays. What no span covers is
// unstaffed. Spans of a day do not overlap; whoever works past midnight has a span on either day. On the day on which the clocks
// go forward a span loses what the clock leaves out, and on the day on which they go back it lasts as long as the clock shows it.
type Hours struct {
	Zone     string    `json:"zone"`     // IANA
	Weekly   [7][]Span `json:"weekly"`   // by time.Weekday: Sunday is 0
	Holidays []Holiday `json:"holidays"` // in any order, each date once
}

const (
	minutesOfDay   = 24 * 60
	mostHolidays   = 400 // some ten years of them
	longestHoliday = 80
	lookAheadDays  = 400 // a change of watch that comes later is no change
)

// Check reports what is wrong with the hours, as fault.Invalid.
func (h *Hours) Check() error {
	if _, err := LoadZone(h.Zone); err != nil {
		return err
	}
	for day := range h.Weekly {
		if err := checkSpans(time.Weekday(day).String(), h.Weekly[day]); err != nil {
			return err
		}
	}
	if len(h.Holidays) > mostHolidays {
		return fault.New(fault.Invalid, "holidays: %d at most", mostHolidays)
	}
	seen := map[string]bool{}
	for _, f := range h.Holidays {
		if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
			return fault.New(fault.Invalid, "holidays: %q is no date such as 2026-12-25", f.Date)
		}
		if seen[f.Date] {
			return fault.New(fault.Invalid, "holidays: %s is there twice", f.Date)
		}
		seen[f.Date] = true
		if f.Name == "" || !Printable(f.Name, longestHoliday) {
			return fault.New(fault.Invalid, "holidays: give %s a name of 1 to %d printable characters", f.Date, longestHoliday)
		}
		if err := checkSpans(f.Date, f.Spans); err != nil {
			return err
		}
	}
	return nil
}

func checkSpans(day string, spans []Span) error {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	end := 0
	for _, s := range sorted {
		switch s.Watch {
		case Staffed, OnCall, Unstaffed:
		default:
			return fault.New(fault.Invalid, "%s: watch is %q; give %s, %s or %s", day, s.Watch, Staffed, OnCall, Unstaffed)
		}
		if s.From < 0 || s.To > minutesOfDay || s.From >= s.To {
			return fault.New(fault.Invalid, "%s: a span begins before it ends, within 00:00 and 24:00; this one is %s to %s", day, clock(s.From), clock(s.To))
		}
		if s.From < end {
			return fault.New(fault.Invalid, "%s: two spans overlap at %s", day, clock(s.From))
		}
		end = s.To
	}
	return nil
}

// clock writes minutes after midnight as a clock shows them.
func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// spansOn returns the spans of a local date.
func (h *Hours) spansOn(day time.Time) []Span {
	date := day.Format(time.DateOnly)
	for _, f := range h.Holidays {
		if f.Date == date {
			return f.Spans
		}
	}
	return h.Weekly[day.Weekday()]
}

// At returns who watches at a moment. Hours that fail Check are unstaffed.
func (h *Hours) At(t time.Time) Watch {
	place, err := LoadZone(h.Zone)
	if err != nil {
		return Unstaffed
	}
	local := t.In(place)
	minute := local.Hour()*60 + local.Minute()
	for _, s := range h.spansOn(local) {
		if s.From <= minute && minute < s.To {
			return s.Watch
		}
	}
	return Unstaffed
}

// Period is a time in which the watch does not change: [From, To).
type Period struct {
	From, To time.Time
	Watch    Watch
}

// Between returns the periods of [from, to) in order, without a gap: each as long as the watch stays the same.
func (h *Hours) Between(from, to time.Time) []Period {
	var list []Period
	for at := from; at.Before(to); {
		next := h.next(at)
		if next.IsZero() || next.After(to) {
			next = to
		}
		list = append(list, Period{From: at.UTC(), To: next.UTC(), Watch: h.At(at)})
		at = next
	}
	return list
}

// Until returns how the watch is at a moment, and when it changes; the zero time when it does not change within a year.
func (h *Hours) Until(t time.Time) (Watch, time.Time) { return h.At(t), h.next(t) }

// next returns the first moment after t at which the watch is another. The watch can change only where a span begins or ends, at
// midnight, and where the clocks are changed; each of those is looked at.
func (h *Hours) next(t time.Time) time.Time {
	place, err := LoadZone(h.Zone)
	if err != nil {
		return time.Time{}
	}
	now := h.At(t)
	local := t.In(place)
	for n := range lookAheadDays {
		day := time.Date(local.Year(), local.Month(), local.Day()+n, 0, 0, 0, 0, place)
		for _, at := range h.edges(day, place) {
			if at.After(t) && h.At(at) != now {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}

// edges returns, in order, the moments of a local day at which the watch may change.
func (h *Hours) edges(day time.Time, place *time.Location) []time.Time {
	tomorrow := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, place)
	list := []time.Time{startOfDay(day, place)}
	for _, s := range h.spansOn(day.Add(12 * time.Hour)) {
		for _, minute := range []int{s.From, s.To} {
			list = append(list, moments(day, minute, place)...)
		}
	}
	if _, end := day.ZoneBounds(); !end.IsZero() && end.Before(tomorrow) {
		list = append(list, end)
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}

// startOfDay is the first moment of a local date: not always midnight, where the clocks change then.
func startOfDay(day time.Time, place *time.Location) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, place)
}

// moments returns when the wall clock shows a minute of a day: once, twice on the day on which it goes back, or never.
func moments(day time.Time, minute int, place *time.Location) []time.Time {
	first := time.Date(day.Year(), day.Month(), day.Day(), 0, minute, 0, 0, place)
	list := []time.Time{first}
	for _, shift := range []time.Duration{-2 * time.Hour, -time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour} {
		other := first.Add(shift)
		if other.Hour() == first.Hour() && other.Minute() == first.Minute() && other.Day() == first.Day() {
			list = append(list, other)
		}
	}
	return list
}
