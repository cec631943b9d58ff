package measuring_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices/measuring"
	"hale/vital"
)

// TestWhatBecomesOfASlot judges one day of blood pressure at 08:00 and 20:00 (an hour before and after each) at 22:30.
func TestWhatBecomesOfASlot(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time { return moment(t, "2026-06-01T"+clock+":00+02:00") }
	measured := func(clocks ...string) (all []measuring.Mark) {
		for _, c := range clocks {
			all = append(all, measuring.Mark{Metric: vital.BloodPressure, At: at(c)})
		}
		return all
	}
	pause := func(kind measuring.PauseKind, from, to string) []measuring.Pause {
		p := measuring.Pause{Kind: kind, From: at(from)}
		if to != "" {
			p.To = at(to)
		}
		return []measuring.Pause{p}
	}
	silent := func(since string) map[vital.Metric][]measuring.Away {
		return map[vital.Metric][]measuring.Away{vital.BloodPressure: {{From: at(since)}}}
	}
	away := func(from, to string) map[vital.Metric][]measuring.Away {
		return map[vital.Metric][]measuring.Away{vital.BloodPressure: {{From: at("01:00"), To: at("02:00")}, {From: at(from), To: at(to)}}}
	}
	for name, c := range map[string]struct {
		now    string
		seen   measuring.Seen
		am, pm measuring.Cover
	}{
		"both were measured":                       {"22:30", measuring.Seen{Measured: measured("07:00", "20:59")}, measuring.CoverMeasured, measuring.CoverMeasured},
		"nothing was":                              {"22:30", measuring.Seen{}, measuring.CoverMissed, measuring.CoverMissed},
		"another metric is not it":                 {"22:30", measuring.Seen{Measured: []measuring.Mark{{Metric: vital.Glucose, At: at("08:00")}}}, measuring.CoverMissed, measuring.CoverMissed},
		"before and in a window":                   {"19:30", measuring.Seen{}, measuring.CoverMissed, measuring.CoverDue},
		"in the morning the evening is ahead":      {"08:30", measuring.Seen{}, measuring.CoverDue, measuring.CoverAhead},
		"a window ends before its last moment":     {"22:30", measuring.Seen{Measured: measured("21:00")}, measuring.CoverMissed, measuring.CoverOtherTime},
		"too early counts for the nearest":         {"22:30", measuring.Seen{Measured: measured("06:30")}, measuring.CoverOtherTime, measuring.CoverMissed},
		"twice in one window is that window's":     {"22:30", measuring.Seen{Measured: measured("07:30", "08:30")}, measuring.CoverMeasured, measuring.CoverMissed},
		"at noon the morning was measured already": {"22:30", measuring.Seen{Measured: measured("08:00", "12:00")}, measuring.CoverMeasured, measuring.CoverMissed},
		"a pause of the whole day":                 {"22:30", measuring.Seen{Pauses: pause(measuring.OnHoliday, "00:00", "")}, measuring.CoverPaused, measuring.CoverPaused},
		"in hospital from noon on":                 {"22:30", measuring.Seen{Pauses: pause(measuring.InHospital, "12:00", "")}, measuring.CoverMissed, measuring.CoverHospital},
		"what was measured in a pause is measured": {"22:30", measuring.Seen{Pauses: pause(measuring.OtherPause, "00:00", "12:00"), Measured: measured("08:00")}, measuring.CoverMeasured, measuring.CoverMissed},
		"a pause that ended before":                {"22:30", measuring.Seen{Pauses: pause(measuring.OtherPause, "00:00", "08:00")}, measuring.CoverMissed, measuring.CoverMissed},
		"the gateway is not heard since noon":      {"22:30", measuring.Seen{Silent: silent("12:00")}, measuring.CoverMissed, measuring.CoverSilent},
		"silent, but the window is still open":     {"20:30", measuring.Seen{Silent: silent("12:00")}, measuring.CoverMissed, measuring.CoverDue},
		"silent since before the morning":          {"22:30", measuring.Seen{Silent: silent("05:00")}, measuring.CoverSilent, measuring.CoverSilent},
		"an outage that is over":                   {"22:30", measuring.Seen{Silent: away("06:50", "22:00")}, measuring.CoverSilent, measuring.CoverSilent},
		"a reading of it comes":                    {"22:30", measuring.Seen{Silent: away("06:50", "22:00"), Measured: measured("08:00")}, measuring.CoverMeasured, measuring.CoverSilent},
		"it was over before the window closed":     {"22:30", measuring.Seen{Silent: away("06:50", "20:30")}, measuring.CoverSilent, measuring.CoverMissed},
		"it began when the window was open":        {"22:30", measuring.Seen{Silent: away("07:10", "22:00")}, measuring.CoverMissed, measuring.CoverSilent},
		"a clock that cannot be right":             {"22:30", measuring.Seen{Clock: measured("08:10")}, measuring.CoverClock, measuring.CoverMissed},
		"a wrong clock and then a right one":       {"22:30", measuring.Seen{Clock: measured("08:10"), Measured: measured("08:20")}, measuring.CoverMeasured, measuring.CoverMissed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := home(t, "Europe/Ljubljana")
			s := measuring.Schedule{Number: 1, Lines: []measuring.Line{{Metric: vital.BloodPressure, First: "2026-05-01", Times: daily(8, 20)}}}
			slots := measuring.Slots([]measuring.Schedule{s}, zone, at("00:00"), at("23:59"))
			var got []measuring.Cover
			for _, one := range measuring.Coverage(slots, c.seen, zone, at(c.now)) {
				got = append(got, one.Cover)
				if (one.Cover == measuring.CoverMeasured || one.Cover == measuring.CoverOtherTime) == one.At.IsZero() {
					t.Errorf("%+v", one)
				}
			}
			if diff := cmp.Diff([]measuring.Cover{c.am, c.pm}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
