package web

import (
	"strconv"
	"time"

	"hale/vital"
)

// clock speaks of times as a page does: from one moment on, in one zone.
type clock struct {
	now  time.Time
	zone *time.Location
	// afar: the page speaks of patients in several zones to a reader in another, so a bare "10:04" would be read
	// wrongly. It says how long ago instead; what is exact names its zone.
	afar bool
}

// moment is a time in the words of a page: how far away, exactly, and for machines.
type moment struct {
	Ago   string // "12 min ago", "in 3 h"
	For   string // how long it has lasted: "12 min"
	Exact string // "21 Nov 2026, 10:04 CET"
	Short string // "10:04", or with the date when it is another day; from afar "12 min ago" or the date
	When  string // "at 10:04", "on 20 Nov, 10:04"; from afar "12 min ago"
	Since string // "since 10:04"; from afar "began 12 min ago"
	ISO   string
	Set   bool
	Vague bool // of a measurement whose time is not known well: the words say within which it lies, and ISO, For and Since say nothing
}

func (k clock) at(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	m := moment{Ago: k.away(t), For: span(k.now.Sub(t)), Exact: k.exact(t), Short: k.short(t), ISO: t.UTC().Format(time.RFC3339), Set: true}
	switch {
	case k.afar && m.Short == m.Ago:
		m.When, m.Since = m.Ago, "began "+m.Ago
	case len(m.Short) == len("10:04"):
		m.When, m.Since = "at "+m.Short, "since "+m.Short
	default:
		m.When, m.Since = "on "+m.Short, "since "+m.Short
	}
	return m
}

func (k clock) exact(t time.Time) string { return t.In(k.zone).Format("2 Jan 2006, 15:04 MST") }

func (k clock) short(t time.Time) string {
	local, today := t.In(k.zone), k.now.In(k.zone)
	switch {
	case k.afar && k.now.Sub(t).Abs() < 48*time.Hour:
		return k.away(t)
	case k.afar:
		return local.Format("2 Jan 2006")
	case local.Year() == today.Year() && local.YearDay() == today.YearDay():
		return local.Format("15:04")
	case local.Year() == today.Year():
		return local.Format("2 Jan, 15:04")
	}
	return local.Format("2 Jan 2006, 15:04")
}

func (k clock) away(t time.Time) string {
	if t.After(k.now) {
		return "in " + span(t.Sub(k.now))
	}
	if k.now.Sub(t) < time.Minute {
		return "just now"
	}
	return span(k.now.Sub(t)) + " ago"
}

// span returns a length of time as people say it, rounded down: who waits 59 min does not yet wait an hour.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "under a minute"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 2*day:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d < 2*365*day:
		return strconv.Itoa(int(d/day)) + " days"
	}
	return strconv.Itoa(int(d/(365*day))) + " years"
}

// in returns the clock of a patient's home; whatever zone cannot be loaded is UTC, and says so.
func (k clock) in(zone string) clock {
	return clock{now: k.now, zone: vital.ZoneOrUTC(zone)}
}

// formTime is how a browser sends a local date and time (HTML, section 2.3.5.5).
const formTime = "2006-01-02T15:04"
