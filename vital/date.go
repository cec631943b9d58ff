package vital

import (
	"strconv"
	"strings"
	"time"
)

// Date is a date as far as it is known: a year, a year and month, or a day, as FHIR R4 writes dates (YYYY, YYYY-MM,
// YYYY-MM-DD). "" is not known at all.
type Date string

// Valid reports whether the calendar has such a date. The empty Date is not valid.
func (d Date) Valid() bool {
	const form = "2006-01-02"
	switch len(d) {
	case len("2006"), len("2006-01"), len(form):
		at, err := time.Parse(form[:len(d)], string(d))
		return err == nil && at.Year() > 0
	}
	return false
}

// Year returns the year, 0 when it is not known.
func (d Date) Year() int {
	if !d.Valid() {
		return 0
	}
	year, _ := strconv.Atoi(string(d[:4])) // four digits
	return year
}

// Agrees reports whether both can be the same day: as far as both are known, they say the same.
func (d Date) Agrees(other Date) bool {
	return strings.HasPrefix(string(d), string(other)) || strings.HasPrefix(string(other), string(d))
}

// ValidWhen reports whether the text is a Date or a moment, as the ends of a FHIR R4 Period are written.
func ValidWhen(text string) bool {
	if Date(text).Valid() {
		return true
	}
	_, err := time.Parse(time.RFC3339Nano, text)
	return err == nil
}

// EndOf returns the moment at which a Date, or a moment as FHIR R4 writes it, is over: a date lasts until it has ended
// everywhere, twelve hours after its end in UTC. The zero time is returned for what is neither.
func EndOf(text string) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at.UTC()
	}
	if !Date(text).Valid() {
		return time.Time{}
	}
	first, err := time.Parse("2006-01-02"[:len(text)], text)
	if err != nil {
		return time.Time{}
	}
	switch len(text) {
	case len("2006"):
		first = first.AddDate(1, 0, 0)
	case len("2006-01"):
		first = first.AddDate(0, 1, 0)
	default:
		first = first.AddDate(0, 0, 1)
	}
	return first.Add(12 * time.Hour)
}
