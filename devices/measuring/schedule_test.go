package measuring_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

func home(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// hourly is a window that is due at an hour and open from an hour before to an hour after it.
func hourly(hour int) measuring.Window {
	return measuring.Window{From: (hour - 1) * 60, At: hour * 60, To: (hour + 1) * 60}
}

func daily(hours ...int) []measuring.Window {
	var all []measuring.Window
	for _, h := range hours {
		all = append(all, hourly(h))
	}
	return all
}

// dues lists slots as "metric ordinal due", in the time of the home.
func dues(slots []measuring.Slot, zone *time.Location) []string {
	var all []string
	for _, s := range slots {
		all = append(all, fmt.Sprintf("%s %d %s", s.Metric, s.Ordinal, s.Due.In(zone).Format("Mon 02 Jan 15:04")))
	}
	return all
}

func TestAScheduleExpectsEachMeasurementOnItsDay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone     string
		from, to string
		lines    []measuring.Line
		want     []string
	}{
		"every day, twice": {
			"Europe/Ljubljana", "2026-06-01T00:00:00+02:00", "2026-06-03T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.BloodPressure, First: "2026-05-01", Times: daily(8, 20)}},
			[]string{"blood_pressure 0 Mon 01 Jun 08:00", "blood_pressure 1 Mon 01 Jun 20:00", "blood_pressure 0 Tue 02 Jun 08:00", "blood_pressure 1 Tue 02 Jun 20:00"},
		},
		"on some weekdays": {
			"Europe/Ljubljana", "2026-06-01T00:00:00+02:00", "2026-06-08T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.BodyWeight, First: "2026-05-01", Days: measuring.Days{Weekdays: []time.Weekday{time.Monday, time.Friday}}, Times: daily(7)}},
			[]string{"body_weight 0 Mon 01 Jun 07:00", "body_weight 0 Fri 05 Jun 07:00"},
		},
		"at other hours at the weekend, counted as one metric": {
			"Europe/Ljubljana", "2026-06-05T00:00:00+02:00", "2026-06-07T00:00:00+02:00",
			[]measuring.Line{
				{Metric: vital.BodyWeight, First: "2026-05-01", Days: measuring.Days{Weekdays: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}}, Times: daily(7)},
				{Metric: vital.BodyWeight, First: "2026-05-01", Days: measuring.Days{Weekdays: []time.Weekday{time.Saturday, time.Sunday}}, Times: daily(9, 12)},
			},
			[]string{"body_weight 0 Fri 05 Jun 07:00", "body_weight 0 Sat 06 Jun 09:00", "body_weight 1 Sat 06 Jun 12:00"},
		},
		"every third day from the first on, over a change of clocks": {
			"Europe/Ljubljana", "2026-03-20T00:00:00+01:00", "2026-04-03T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.BodyWeight, First: "2026-03-25", Days: measuring.Days{Every: 3}, Times: daily(8)}},
			[]string{"body_weight 0 Wed 25 Mar 08:00", "body_weight 0 Sat 28 Mar 08:00", "body_weight 0 Tue 31 Mar 08:00"},
		},
		"denser at first": {
			"Europe/Ljubljana", "2026-06-01T00:00:00+02:00", "2026-06-05T00:00:00+02:00",
			[]measuring.Line{{
				Metric: vital.OxygenSat, First: "2026-06-01", Days: measuring.Days{Every: 3}, Times: daily(8),
				Intro: &measuring.Intro{For: 2, Times: daily(8, 16)},
			}},
			[]string{
				"oxygen_saturation 0 Mon 01 Jun 08:00", "oxygen_saturation 1 Mon 01 Jun 16:00", "oxygen_saturation 0 Tue 02 Jun 08:00", "oxygen_saturation 1 Tue 02 Jun 16:00",
				"oxygen_saturation 0 Thu 04 Jun 08:00",
			},
		},
		"until its last day": {
			"Europe/Ljubljana", "2026-06-01T00:00:00+02:00", "2026-06-05T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.Glucose, First: "2026-05-01", Last: "2026-06-02", Times: daily(8)}},
			[]string{"glucose 0 Mon 01 Jun 08:00", "glucose 0 Tue 02 Jun 08:00"},
		},
		"in an hour that does not exist it is an hour later": {
			"Europe/Ljubljana", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.Glucose, First: "2026-03-01", Times: []measuring.Window{{From: 90, At: 150, To: 300}}}},
			[]string{"glucose 0 Sun 29 Mar 03:30"},
		},
		"in an hour that is there twice it is the first": {
			"Europe/Ljubljana", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00",
			[]measuring.Line{{Metric: vital.Glucose, First: "2026-03-01", Times: []measuring.Window{{From: 90, At: 150, To: 300}}}},
			[]string{"glucose 0 Sun 25 Oct 02:30"},
		},
		"a window until midnight": {
			"Europe/Ljubljana", "2026-06-01T00:00:00+02:00", "2026-06-02T00:00:00+02:00",
			[]measuring.Line{{Metric: vital.Glucose, First: "2026-03-01", Times: []measuring.Window{{From: 22 * 60, At: 23 * 60, To: 24 * 60}}}},
			[]string{"glucose 0 Mon 01 Jun 23:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := home(t, c.zone)
			s := measuring.Schedule{Number: 1, EffectiveFrom: moment(t, "2026-01-01T00:00:00Z"), Lines: c.lines}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			got := measuring.Slots([]measuring.Schedule{s}, zone, moment(t, c.from), moment(t, c.to))
			if diff := cmp.Diff(c.want, dues(got, zone)); diff != "" {
				t.Error(diff)
			}
			for _, slot := range got {
				if slot.Due.Before(slot.Opens) || !slot.Closes.After(slot.Due) {
					t.Errorf("%+v", slot)
				}
			}
		})
	}
}

// TestANewVersionChangesNothingThatHasBegun checks that each slot is of the version in force when it opened.
func TestANewVersionChangesNothingThatHasBegun(t *testing.T) {
	t.Parallel()
	zone := home(t, "Europe/Ljubljana")
	versions := []measuring.Schedule{
		{Number: 2, EffectiveFrom: moment(t, "2026-06-01T13:00:00+02:00"), Lines: []measuring.Line{{Metric: vital.Glucose, First: "2026-06-01", Times: daily(10, 18)}}},
		{Number: 1, EffectiveFrom: moment(t, "2026-05-01T00:00:00+02:00"), Lines: []measuring.Line{{Metric: vital.Glucose, First: "2026-05-01", Times: daily(8, 20)}}},
	}
	got := measuring.Slots(versions, zone, moment(t, "2026-06-01T00:00:00+02:00"), moment(t, "2026-06-03T00:00:00+02:00"))
	want := []string{"glucose 0 Mon 01 Jun 08:00", "glucose 1 Mon 01 Jun 18:00", "glucose 0 Tue 02 Jun 10:00", "glucose 1 Tue 02 Jun 18:00"}
	if diff := cmp.Diff(want, dues(got, zone)); diff != "" {
		t.Error(diff)
	}
	if got := measuring.Slots(versions, zone, moment(t, "2026-04-01T00:00:00Z"), moment(t, "2026-04-08T00:00:00Z")); len(got) != 0 {
		t.Errorf("before the first version %v is expected", got)
	}
}

func TestAScheduleSaysWhatToMend(t *testing.T) {
	t.Parallel()
	good := func() measuring.Line {
		return measuring.Line{Metric: vital.Glucose, First: "2026-06-01", Times: daily(8)}
	}
	with := func(change func(*measuring.Line)) []measuring.Line {
		l := good()
		change(&l)
		return []measuring.Line{l}
	}
	weekdays := func(d ...time.Weekday) measuring.Days { return measuring.Days{Weekdays: d} }
	for name, c := range map[string]struct {
		lines []measuring.Line
		says  string // "": it is good
	}{
		"a good one":                         {[]measuring.Line{good()}, ""},
		"nothing at all":                     {nil, ""},
		"an unknown metric":                  {with(func(l *measuring.Line) { l.Metric = 99 }), "metric"},
		"no first day":                       {with(func(l *measuring.Line) { l.First = "2026-06" }), "first"},
		"a last day before the first":        {with(func(l *measuring.Line) { l.Last = "2026-05-31" }), "last"},
		"no times":                           {with(func(l *measuring.Line) { l.Times = nil }), "times"},
		"a window that ends before its time": {with(func(l *measuring.Line) { l.Times[0].To = l.Times[0].At }), "window"},
		"a window beyond midnight":           {with(func(l *measuring.Line) { l.Times[0].To = 24*60 + 1 }), "within one day"},
		"windows that overlap":               {with(func(l *measuring.Line) { l.Times = daily(8, 9) }), "overlap"},
		"windows that touch":                 {with(func(l *measuring.Line) { l.Times = daily(8, 10) }), ""},
		"weekdays and n-th days":             {with(func(l *measuring.Line) { l.Days = measuring.Days{Every: 2, Weekdays: []time.Weekday{1}} }), "not both"},
		"a weekday twice":                    {with(func(l *measuring.Line) { l.Days = weekdays(1, 1) }), "weekday once"},
		"an eighth weekday":                  {with(func(l *measuring.Line) { l.Days = weekdays(7) }), "weekday once"},
		"an intro of no days":                {with(func(l *measuring.Line) { l.Intro = &measuring.Intro{Times: daily(8)} }), "intro"},
		"an intro whose windows overlap":     {with(func(l *measuring.Line) { l.Intro = &measuring.Intro{For: 7, Times: daily(8, 9)} }), "overlap"},
		"two lines that overlap":             {[]measuring.Line{good(), good()}, "overlap"},
		"two lines of other metrics":         {append(with(func(l *measuring.Line) { l.Metric = vital.HeartRate }), good()), ""},
		"two lines one after the other": {append(with(func(l *measuring.Line) { l.Last = "2026-07-01" }),
			with(func(l *measuring.Line) { l.First = "2026-07-02" })...), ""},
		"two lines on other weekdays":    {append(with(func(l *measuring.Line) { l.Days = weekdays(1) }), with(func(l *measuring.Line) { l.Days = weekdays(2, 0) })...), ""},
		"two lines on a weekday of both": {append(with(func(l *measuring.Line) { l.Days = weekdays(1, 2) }), with(func(l *measuring.Line) { l.Days = weekdays(2, 0) })...), "overlap"},
		"two n-th days that may meet":    {append(with(func(l *measuring.Line) { l.Days.Every = 2 }), with(func(l *measuring.Line) { l.Days.Every = 3 })...), "overlap"},
		"an intro that meets another line": {append(with(func(l *measuring.Line) {
			l.Times, l.Intro = daily(20), &measuring.Intro{For: 7, Times: daily(8)}
		}), good()), "overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := measuring.Schedule{Lines: c.lines}
			err := s.Check()
			if c.says == "" && err != nil || c.says != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("it said %v, want %q", err, c.says)
			}
		})
	}
}
