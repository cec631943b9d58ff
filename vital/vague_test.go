package vital_test

import (
	"testing"
	"time"

	"hale/vital"
)

func TestATimeThatIsNotKnownWellLiesInASpan(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		unsure, received time.Duration // of at
		first, last      time.Duration // of at
	}{
		"one that is known":                                {0, 10 * time.Hour, 0, 0},
		"a few minutes, as people set clocks":              {5 * time.Minute, 10 * time.Hour, 0, 0},
		"an hour, long ago":                                {time.Hour, 10 * time.Hour, -time.Hour, time.Hour},
		"an hour, and it arrived within it":                {time.Hour, 20 * time.Minute, -time.Hour, 20 * time.Minute},
		"an hour, by a clock that is a little ahead of us": {time.Hour, -time.Minute, -time.Hour, 0},
	} {
		v := vital.VagueWithin(c.unsure, at.Add(c.received))
		if first, last := v.Span(at); !first.Equal(at.Add(c.first)) || !last.Equal(at.Add(c.last)) {
			t.Errorf("%s: from %s to %s", name, first.Sub(at), last.Sub(at))
		}
		if v.IsZero() != (c.first == 0) {
			t.Errorf("%s: known: %v", name, v.IsZero())
		}
	}
}

func TestADateAloneIsToldFromATimeThatIsADayOff(t *testing.T) {
	t.Parallel()
	const day = 24*time.Hour + 5*time.Minute
	for name, c := range map[string]struct {
		zone, at string
		within   time.Duration
		day      bool
	}{
		"a midnight":                        {"Pacific/Auckland", "2026-11-21T11:00:00Z", day, true},
		"the same, where it is another's":   {"Europe/Ljubljana", "2026-11-21T11:00:00Z", day, false},
		"a midnight within the hour":        {"UTC", "2026-11-21T00:00:00Z", time.Hour, false},
		"a midnight that does not exist":    {"America/Santiago", "2026-09-06T04:00:00Z", day + time.Hour, true},
		"a microsecond after, of any clock": {"UTC", "2026-11-21T00:00:00.000001Z", day, false},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if v := vital.VagueWithin(c.within, at.Add(20*time.Hour)); v.Day(at, vital.ZoneOrUTC(c.zone)) != c.day {
			t.Errorf("%s: no more than the date was told: %v", name, !c.day)
		}
	}
}

func TestAReadingIsMarkedWhoseTimeIsNotKnownWell(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for unsure, marked := range map[time.Duration]bool{0: false, 5 * time.Minute: false, 6 * time.Minute: true, 24 * time.Hour: true} {
		r := vital.Reading{MeasuredAt: at, ReceivedAt: at.Add(20 * time.Hour), Findings: vital.TimeUnsure, More: &vital.More{Clock: vital.Clock{Uncertainty: unsure}}}
		if r.FindAge(); r.Findings&vital.TimeUnsure != 0 != marked {
			t.Errorf("within %s: marked %v", unsure, !marked)
		}
	}
}
