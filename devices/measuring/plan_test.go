package measuring_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices/measuring"
	"hale/vital"
)

// TestWhatWasExpectedBetweenTwoMoments asks for parts of days of a plan with two windows a day, which are paused on the second.
func TestWhatWasExpectedBetweenTwoMoments(t *testing.T) {
	t.Parallel()
	zone := home(t, "Europe/Ljubljana")
	plan := measuring.Plan{
		Zone:     zone,
		Versions: []measuring.Schedule{{Number: 1, Lines: []measuring.Line{{Metric: vital.BloodPressure, First: "2026-06-01", Times: daily(8, 20)}}}},
		Pauses:   []measuring.Pause{{Kind: measuring.OnHoliday, From: moment(t, "2026-06-02T00:00:00+02:00"), To: moment(t, "2026-06-03T00:00:00+02:00")}},
	}
	// Seen at half past six in the morning, beside every window: the morning's, also for who asks about the evening only.
	seen := measuring.Seen{Measured: []measuring.Mark{{Metric: vital.BloodPressure, At: moment(t, "2026-06-01T06:30:00+02:00")}}}
	now := moment(t, "2026-06-03T12:00:00+02:00")
	for name, c := range map[string]struct {
		from, to string
		want     []measuring.Cover
	}{
		"a day and a half": {"2026-06-01T00:00:00+02:00", "2026-06-02T12:00:00+02:00", []measuring.Cover{measuring.CoverOtherTime, measuring.CoverMissed, measuring.CoverPaused}},
		"the evening alone is not given the morning's": {"2026-06-01T12:00:00+02:00", "2026-06-01T23:00:00+02:00", []measuring.Cover{measuring.CoverMissed}},
		"a slot that opens at the end is not part":     {"2026-06-01T12:00:00+02:00", "2026-06-01T19:00:00+02:00", nil},
		"today: due before noon, ahead after it":       {"2026-06-03T00:00:00+02:00", "2026-06-04T00:00:00+02:00", []measuring.Cover{measuring.CoverMissed, measuring.CoverAhead}},
		"the wrong way round":                          {"2026-06-03T00:00:00+02:00", "2026-06-01T00:00:00+02:00", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []measuring.Cover
			for _, s := range plan.Expected(seen, moment(t, c.from), moment(t, c.to), now) {
				got = append(got, s.Cover)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	low, high := plan.Around(moment(t, "2026-10-25T12:00:00+01:00"), moment(t, "2026-10-25T13:00:00+01:00"))
	if high.Sub(low) != 25*time.Hour {
		t.Errorf("the day on which the clocks go back lasts %s", high.Sub(low))
	}
	if got := (&measuring.Plan{}).Expected(seen, low, high, now); got != nil {
		t.Errorf("an empty plan expects %v", got)
	}
}
