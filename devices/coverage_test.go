package devices_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/vital"
)

// TestWhatBecomesOfASlot judges one day of blood pressure at 08:00 and 20:00 (an hour before and after each) at 22:30.
func TestWhatBecomesOfASlot(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time { return moment(t, "2026-06-01T"+clock+":00+02:00") }
	measured := func(clocks ...string) (all []devices.Mark) {
		for _, c := range clocks {
			all = append(all, devices.Mark{Metric: vital.BloodPressure, At: at(c)})
		}
		return all
	}
	pause := func(kind devices.PauseKind, from, to string) []devices.Pause {
		p := devices.Pause{Kind: kind, From: at(from)}
		if to != "" {
			p.To = at(to)
		}
		return []devices.Pause{p}
	}
	silent := func(since string) map[vital.Metric]time.Time {
		return map[vital.Metric]time.Time{vital.BloodPressure: at(since)}
	}
	for name, c := range map[string]struct {
		now    string
		seen   devices.Seen
		am, pm devices.Cover
	}{
		"both were measured":                       {"22:30", devices.Seen{Measured: measured("07:00", "20:59")}, devices.CoverMeasured, devices.CoverMeasured},
		"nothing was":                              {"22:30", devices.Seen{}, devices.CoverMissed, devices.CoverMissed},
		"another metric is not it":                 {"22:30", devices.Seen{Measured: []devices.Mark{{Metric: vital.Glucose, At: at("08:00")}}}, devices.CoverMissed, devices.CoverMissed},
		"before and in a window":                   {"19:30", devices.Seen{}, devices.CoverMissed, devices.CoverDue},
		"in the morning the evening is ahead":      {"08:30", devices.Seen{}, devices.CoverDue, devices.CoverAhead},
		"a window ends before its last moment":     {"22:30", devices.Seen{Measured: measured("21:00")}, devices.CoverMissed, devices.CoverOtherTime},
		"too early counts for the nearest":         {"22:30", devices.Seen{Measured: measured("06:30")}, devices.CoverOtherTime, devices.CoverMissed},
		"twice in one window is that window's":     {"22:30", devices.Seen{Measured: measured("07:30", "08:30")}, devices.CoverMeasured, devices.CoverMissed},
		"at noon the morning was measured already": {"22:30", devices.Seen{Measured: measured("08:00", "12:00")}, devices.CoverMeasured, devices.CoverMissed},
		"a pause of the whole day":                 {"22:30", devices.Seen{Pauses: pause(devices.OnHoliday, "00:00", "")}, devices.CoverPaused, devices.CoverPaused},
		"in hospital from noon on":                 {"22:30", devices.Seen{Pauses: pause(devices.InHospital, "12:00", "")}, devices.CoverMissed, devices.CoverHospital},
		"what was measured in a pause is measured": {"22:30", devices.Seen{Pauses: pause(devices.OtherPause, "00:00", "12:00"), Measured: measured("08:00")}, devices.CoverMeasured, devices.CoverMissed},
		"a pause that ended before":                {"22:30", devices.Seen{Pauses: pause(devices.OtherPause, "00:00", "08:00")}, devices.CoverMissed, devices.CoverMissed},
		"the gateway is not heard since noon":      {"22:30", devices.Seen{Silent: silent("12:00")}, devices.CoverMissed, devices.CoverSilent},
		"silent, but the window is still open":     {"20:30", devices.Seen{Silent: silent("12:00")}, devices.CoverMissed, devices.CoverDue},
		"silent since before the morning":          {"22:30", devices.Seen{Silent: silent("05:00")}, devices.CoverSilent, devices.CoverSilent},
		"a clock that cannot be right":             {"22:30", devices.Seen{Clock: measured("08:10")}, devices.CoverClock, devices.CoverMissed},
		"a wrong clock and then a right one":       {"22:30", devices.Seen{Clock: measured("08:10"), Measured: measured("08:20")}, devices.CoverMeasured, devices.CoverMissed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := home(t, "Europe/Ljubljana")
			s := devices.Schedule{Number: 1, Lines: []devices.Line{{Metric: vital.BloodPressure, First: "2026-05-01", Times: daily(8, 20)}}}
			slots := devices.Slots([]devices.Schedule{s}, zone, at("00:00"), at("23:59"))
			var got []devices.Cover
			for _, one := range devices.Coverage(slots, c.seen, zone, at(c.now)) {
				got = append(got, one.Cover)
				if (one.Cover == devices.CoverMeasured || one.Cover == devices.CoverOtherTime) == one.At.IsZero() {
					t.Errorf("%+v", one)
				}
			}
			if diff := cmp.Diff([]devices.Cover{c.am, c.pm}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
