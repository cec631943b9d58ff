package web

import (
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

func TestAReadingSaysHowItsTimeWasArrivedAt(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		clock vital.Clock
		want  string
	}{
		"as it was sent": {vital.Clock{}, ""},
		"ahead":          {vital.Clock{Offset: -37 * time.Minute, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}, "sent as 08:00 by its own clock, 37 min taken off (it said what its clock showed), to the minute"},
		"behind":         {vital.Clock{Offset: 3 * time.Hour, Method: vital.ClockGateway, Uncertainty: 22 * time.Minute}, "sent as 08:00 by its own clock, 3 h added (its gateway compared the clocks), within 22 min"},
		"without zone":   {vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: 5 * time.Minute}, "sent as 08:00 without a zone, read as the patient's own, within 5 min"},
		"only a date":    {vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: 24*time.Hour + 5*time.Minute}, "only a date was sent, read as the patient's own"},
		"changed":        {vital.Clock{Method: vital.ClockCoincident, Uncertainty: time.Hour}, "the device's clock was changed about then, within 60 min"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := sent
			if c.clock.Uncertainty > 24*time.Hour {
				sent = sent.Truncate(24 * time.Hour)
			}
			if got := clockWords(alerts.Bucket{SentAt: sent, Clock: c.clock}); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestNoTimeIsToldThatIsNotKnown: a span, or the day, and never how long ago a time was that nobody knows.
func TestNoTimeIsToldThatIsNotKnown(t *testing.T) {
	t.Parallel()
	const day = 24*time.Hour + 5*time.Minute
	now := time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
	at := func(text string) time.Time {
		moment, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for name, c := range map[string]struct {
		zone, at     string
		within       time.Duration
		afar         bool
		short, exact string
	}{
		"known":                           {"UTC", "2026-11-22 10:04", 0, false, "10:04", "22 Nov 2026, 10:04 UTC"},
		"known but for a few minutes":     {"UTC", "2026-11-22 10:04", 5 * time.Minute, false, "10:04", "22 Nov 2026, 10:04 UTC"},
		"today's date":                    {"UTC", "2026-11-22 00:00", day, false, "today, the time of day was not sent", "on 22 Nov 2026, the time of day was not sent"},
		"today's date, from afar":         {"Pacific/Auckland", "2026-11-22 11:00", day, true, "today, the time of day was not sent", "on 23 Nov 2026, the time of day was not sent"},
		"yesterday's":                     {"Pacific/Auckland", "2026-11-21 11:00", day, true, "yesterday, the time of day was not sent", "on 22 Nov 2026, the time of day was not sent"},
		"an older one":                    {"UTC", "2026-11-03 00:00", day, false, "on 3 Nov, the time of day was not sent", "on 3 Nov 2026, the time of day was not sent"},
		"of years ago":                    {"UTC", "2019-11-03 00:00", day, false, "on 3 Nov 2019, the time of day was not sent", "on 3 Nov 2019, the time of day was not sent"},
		"a date of nobody":                {"Europe/Ljubljana", "2026-11-22 00:00", 2 * day, false, "today, the time of day was not sent", "on 22 Nov 2026, the time of day was not sent"},
		"some hours of today":             {"UTC", "2026-11-22 11:00", 3 * time.Hour, false, "between 08:00 and 14:00 today", "between 22 Nov 2026, 08:00 UTC and 22 Nov 2026, 14:00 UTC"},
		"until it came":                   {"UTC", "2026-11-22 13:00", 3 * time.Hour, false, "between 10:00 and 14:04 today", "between 22 Nov 2026, 10:00 UTC and 22 Nov 2026, 14:04 UTC"},
		"until it came, from afar":        {"UTC", "2026-11-22 13:00", 3 * time.Hour, true, "between 4 h ago and 1 min ago", "between 22 Nov 2026, 10:00 UTC and 22 Nov 2026, 14:04 UTC"},
		"within one hour of long ago":     {"UTC", "2026-11-20 17:45", 15 * time.Minute, true, "about 44 h ago", "between 20 Nov 2026, 17:30 UTC and 20 Nov 2026, 18:00 UTC"},
		"some hours of another day":       {"UTC", "2026-11-20 11:00", 3 * time.Hour, false, "between 20 Nov, 08:00 and 14:00", "between 20 Nov 2026, 08:00 UTC and 20 Nov 2026, 14:00 UTC"},
		"over a midnight":                 {"UTC", "2026-11-20 23:00", 3 * time.Hour, false, "between 20 Nov, 20:00 and 21 Nov, 02:00", "between 20 Nov 2026, 20:00 UTC and 21 Nov 2026, 02:00 UTC"},
		"a day, of a clock that tells it": {"UTC", "2026-11-22 10:00", day, false, "between 21 Nov, 09:55 and 14:04", "between 21 Nov 2026, 09:55 UTC and 22 Nov 2026, 14:04 UTC"},
	} {
		k := clock{now: now, zone: vital.ZoneOrUTC(c.zone), afar: c.afar}
		m := k.measured(at(c.at), vital.VagueWithin(c.within, now.Add(-time.Minute)))
		if m.Short != c.short || m.Exact != c.exact {
			t.Errorf("%s: %q, %q", name, m.Short, m.Exact)
		}
		if vague := c.within > vital.VagueFrom; m.Vague != vague || vague != (m.ISO == "" && m.For == "" && m.Since == "") {
			t.Errorf("%s: %+v", name, m)
		}
	}
}
