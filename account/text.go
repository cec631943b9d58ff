package account

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hale/fault"
	"hale/vital"
)

// The longest texts that people give, in characters.
const (
	LongestName   = 200
	LongestNumber = 64
	LongestReason = 500
	longestPhone  = 40
)

// Printable reports whether a text has at most so many characters, and none that cannot be seen.
func Printable(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// FirstBirth is the earliest year of birth of a living person.
const FirstBirth = 1900

// maxAhead is how far the earliest zone is ahead of UTC.
const maxAhead = 14 * time.Hour

// Born reports whether a living person can have been born then: since FirstBirth, and not in the future anywhere on earth.
func Born(d vital.Date, now time.Time) bool {
	return d.Valid() && d.Year() >= FirstBirth && string(d) <= now.UTC().Add(maxAhead).Format(time.DateOnly)
}

// CheckPhone refuses what is neither empty nor can be dialled.
func CheckPhone(text string) error {
	if len(text) <= longestPhone && strings.Trim(text, "0123456789 +-/().") == "" && (text == "" || strings.ContainsAny(text, "0123456789")) {
		return nil
	}
	return fault.New(fault.Invalid, "phone: give digits, with spaces, +, -, / or brackets between them, %d characters at most; or leave it empty", longestPhone)
}

// CheckZone refuses what is no time zone of a home (see vital.LoadZone).
func CheckZone(zone string) error {
	_, err := LoadZone(zone)
	return err
}

// LoadZone is vital.LoadZone with an error that says what to mend.
func LoadZone(name string) (*time.Location, error) {
	zone, err := vital.LoadZone(name)
	if err != nil {
		return nil, fault.New(fault.Invalid, "zone: give a time zone of the IANA data base, for example Europe/Ljubljana")
	}
	return zone, nil
}
