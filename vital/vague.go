package vital

import "time"

// VagueFrom is from which uncertainty on the time of a measurement must not be told as if it were known. Up to it stands what people set
// by hand.
const VagueFrom = 5 * time.Minute

// Vague says of a time of measurement that it is not known well: it was measured within Within of it, either way, and not after it arrived.
// The zero Vague says that it is known.
type Vague struct {
	Within     time.Duration `json:"within"` // nanoseconds; more than VagueFrom
	ReceivedAt time.Time     `json:"received_at"`
}

// VagueWithin returns the Vague of a time that is uncertain by so much, of what arrived at received; the zero one when it is known.
func VagueWithin(unsure time.Duration, received time.Time) Vague {
	if unsure <= VagueFrom {
		return Vague{}
	}
	return Vague{Within: unsure, ReceivedAt: time.UnixMicro(received.UnixMicro()).UTC()}
}

// IsZero reports whether the time is known.
func (v Vague) IsZero() bool { return v.Within == 0 }

// Span returns the first and the last moment at which it can have been measured, of a time that is told as at. A clock may be ahead of
// ours: the last is not before at.
func (v Vague) Span(at time.Time) (first, last time.Time) {
	last = at.Add(v.Within)
	if !v.IsZero() && last.After(v.ReceivedAt) {
		last = v.ReceivedAt
	}
	if last.Before(at) {
		last = at
	}
	return at.Add(-v.Within), last
}

// Day reports whether no more than a date of the zone was told: the time is the first moment of a day there.
func (v Vague) Day(at time.Time, zone *time.Location) bool {
	return v.Within >= 24*time.Hour && at.In(zone).Format(time.DateOnly) != at.Add(-time.Microsecond).In(zone).Format(time.DateOnly)
}

// Vague returns how well the time of the reading is known.
func (r *Reading) Vague() Vague { return VagueWithin(r.Unsure(), r.ReceivedAt) }
