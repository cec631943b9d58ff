package safe

import (
	"testing"
	"time"

	"hale/vital"
)

// TestTheCopySaysNoTimeThatIsNotKnown: of what came with its date alone it is the day, whatever moment stands for it.
func TestTheCopySaysNoTimeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	g := &page{zone: vital.ZoneOrUTC("Europe/Ljubljana")}
	midnight := time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		r    Reading
		want string
	}{
		"a time that is known": {Reading{MeasuredAt: midnight, SentAt: midnight}, "22 November 2026, 00:00"},
		"a date alone": {
			Reading{MeasuredAt: midnight, SentAt: midnight.Add(time.Hour), Findings: vital.TimeLocal | vital.TimeUnsure}, "22 November 2026, the time of day was not sent",
		},
		"a clock that was changed": {
			Reading{MeasuredAt: midnight, SentAt: midnight, Findings: vital.TimeUnsure}, "22 November 2026, 00:00, or some time from it (when is not known well)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := g.measured(&c.r); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
