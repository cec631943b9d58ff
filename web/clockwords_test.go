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
		"changed":        {vital.Clock{Method: vital.ClockCoincident, Uncertainty: time.Hour}, "the device's clock was changed about then, within 60 min"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := clockWords(alerts.Bucket{SentAt: sent, Clock: c.clock}); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
