package web

import (
	"time"

	"hale/vital"
)

// dayOnly is said of a date that came without a time of day.
const dayOnly = ", the time of day was not sent"

// measured is when something was measured. Where that is not known well, no time is told as if it were: not how long ago it was, but the
// span in which it lies.
func (k clock) measured(t time.Time, v vital.Vague) moment {
	if t.IsZero() || v.IsZero() {
		return k.at(t)
	}
	if zone := k.zoneOfDay(t, v); zone != nil {
		return k.onDay(t.In(zone))
	}
	first, last := v.Span(t)
	return k.between(first, last)
}

// measuredAgo says how long ago it was measured, or within which time.
func (k clock) measuredAgo(t time.Time, v vital.Vague) string {
	if v.IsZero() {
		return k.away(t)
	}
	return "measured " + k.measured(t, v).Short
}

// zoneOfDay is the zone of whose date no more was told than that; nil: it was not a date. Of a sensor that nobody ever held a date is taken
// as if it were UTC's, and may be another day by the clocks of others.
func (k clock) zoneOfDay(t time.Time, v vital.Vague) *time.Location {
	switch {
	case v.Day(t, k.zone):
		return k.zone
	case v.Within >= 48*time.Hour && v.Day(t, time.UTC):
		return time.UTC
	}
	return nil
}

func (k clock) onDay(day time.Time) moment {
	today := k.now.In(day.Location())
	exact := day.Format("2 Jan 2006")
	var short string
	switch {
	case exact == today.Format("2 Jan 2006"):
		short = "today"
	case exact == today.AddDate(0, 0, -1).Format("2 Jan 2006"):
		short = "yesterday"
	case day.Year() == today.Year():
		short = "on " + day.Format("2 Jan")
	default:
		short = "on " + exact
	}
	return vagueMoment(short+dayOnly, "on "+exact+dayOnly)
}

// between is of what was measured at some time from the first moment to the last.
func (k clock) between(first, last time.Time) moment {
	exact := "between " + k.exact(first) + " and " + k.exact(last)
	from, to := first.In(k.zone), last.In(k.zone)
	switch day := from.Format(time.DateOnly); {
	case k.short(first) == k.short(last):
		return vagueMoment("about "+k.short(first), exact)
	case k.afar || day != to.Format(time.DateOnly):
		return vagueMoment("between "+k.short(first)+" and "+k.short(last), exact)
	case day == k.now.In(k.zone).Format(time.DateOnly):
		return vagueMoment("between "+k.short(first)+" and "+k.short(last)+" today", exact)
	}
	return vagueMoment("between "+k.short(first)+" and "+to.Format("15:04"), exact)
}

// vagueMoment says the same wherever a page speaks of the moment: there is no time for machines, nor any that it has lasted.
func vagueMoment(short, exact string) moment {
	return moment{Ago: short, Short: short, When: short, Exact: exact, Set: true, Vague: true}
}
