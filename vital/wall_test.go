package vital_test

import (
	"testing"
	"time"

	"hale/vital"
)

func TestAWallClocksTimeIsOneMoment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, digits, want string
		occurs             vital.Occurs
	}{
		"an ordinary morning":                       {"Europe/Ljubljana", "2026-06-01T08:00:00", "2026-06-01T06:00:00Z", vital.Once},
		"the hour that does not exist":              {"Europe/Ljubljana", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z", vital.Never},
		"the second before the clocks go forward":   {"Europe/Ljubljana", "2026-03-29T01:59:59", "2026-03-29T00:59:59Z", vital.Once},
		"the moment at which they have":             {"Europe/Ljubljana", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z", vital.Once},
		"the hour that is there twice":              {"Europe/Ljubljana", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", vital.Twice},
		"the hour after it":                         {"Europe/Ljubljana", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z", vital.Once},
		"a gap in the west, where time.Date errs":   {"America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00Z", vital.Never},
		"twice in the west":                         {"America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00Z", vital.Twice},
		"a midnight that does not exist":            {"America/Santiago", "2026-09-06T00:00:00", "2026-09-06T04:00:00Z", vital.Never},
		"a gap of half an hour":                     {"Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:45:00Z", vital.Never},
		"a zone that never changes":                 {"Asia/Kolkata", "2026-03-29T02:30:00", "2026-03-28T21:00:00Z", vital.Once},
		"the northern gap is an hour later in EEST": {"Europe/Helsinki", "2026-03-29T03:30:00", "2026-03-29T01:30:00Z", vital.Never},
		"a few hours before a change":               {"Europe/Ljubljana", "2026-03-28T22:00:00", "2026-03-28T21:00:00Z", vital.Once},
		"a few hours after a change":                {"Europe/Ljubljana", "2026-10-25T22:00:00", "2026-10-25T21:00:00Z", vital.Once},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			digits, err := time.Parse("2006-01-02T15:04:05", c.digits)
			if err != nil {
				t.Fatal(err)
			}
			at, occurs := vital.Wall(digits, zone)
			if got := at.UTC().Format(time.RFC3339); got != c.want || occurs != c.occurs {
				t.Errorf("%s, %d; want %s, %d", got, occurs, c.want, c.occurs)
			}
		})
	}
}

func TestWhatAClockShowsLeadsBackToTheMoment(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Ljubljana", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(2026, 1, 1, 0, 7, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(37 * time.Minute) {
			shown := at.In(zone)
			got, occurs := vital.Wall(shown, zone)
			if occurs == vital.Never {
				t.Fatalf("%s: %s was shown, and never is", name, shown)
			}
			if !got.Equal(at) && (occurs != vital.Twice || !got.Before(at) || at.Sub(got) > 2*time.Hour) {
				t.Fatalf("%s: %s leads to %s", name, shown, got.In(zone))
			}
		}
	}
}
