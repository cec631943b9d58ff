package vital

import (
	"fmt"
	"time"
)

// LoadZone returns the time zone of that name in the IANA data base. The empty name and "Local" would load, but mean the server's
// clock and not a patient's home; they and whatever this machine does not know are errors.
func LoadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	return time.LoadLocation(name)
}

// ZoneOrUTC is LoadZone for showing and counting on: what cannot be loaded is UTC, and the times then say so.
func ZoneOrUTC(name string) *time.Location {
	zone, err := LoadZone(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
