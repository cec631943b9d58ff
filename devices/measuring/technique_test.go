package measuring_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices/measuring"
	"hale/vital"
)

// pressures returns readings at so many seconds after eight in the morning.
func pressures(list ...[3]float64) (all []measuring.Taken) {
	eight := time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)
	for i, p := range list {
		all = append(all, measuring.Taken{Metric: vital.BloodPressure, ID: int64(i), At: eight.Add(time.Duration(p[0] * float64(time.Second))), Values: []float64{p[1], p[2], 70}})
	}
	return all
}

// dated are readings of which no more than the date is known.
func dated(list ...measuring.Taken) []measuring.Taken {
	for i := range list {
		list[i].Vague = vital.VagueWithin(24*time.Hour, list[i].At.Add(12*time.Hour))
	}
	return list
}

func TestReadingsOfOneSittingAreLookedAtTogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		readings []measuring.Taken
		want     []string // "number of readings, doubts" of each
	}{
		"nothing": {nil, nil},
		"one":     {pressures([3]float64{0, 130, 80}), []string{"1 map[]"}},
		"two, a minute apart, as the protocol says": {pressures([3]float64{0, 130, 80}, [3]float64{60, 126, 78}), []string{"2 map[]"}},
		"in the order of arrival, not of time":      {pressures([3]float64{60, 126, 78}, [3]float64{0, 130, 80}), []string{"2 map[]"}},
		"morning and evening":                       {pressures([3]float64{0, 130, 80}, [3]float64{601, 160, 95}), []string{"1 map[]", "1 map[]"}},
		"ten minutes are one sitting":               {pressures([3]float64{0, 130, 80}, [3]float64{600, 132, 80}), []string{"2 map[]"}},
		"without a rest":                            {pressures([3]float64{0, 130, 80}, [3]float64{29, 131, 80}), []string{"2 map[1:too_soon]"}},
		"half a minute is a rest":                   {pressures([3]float64{0, 130, 80}, [3]float64{30, 131, 80}), []string{"2 map[]"}},
		"twenty apart is not too far":               {pressures([3]float64{0, 130, 80}, [3]float64{60, 150, 100}), []string{"2 map[]"}},
		"systolic far apart":                        {pressures([3]float64{0, 130, 80}, [3]float64{60, 151, 80}), []string{"2 map[1:far_apart]"}},
		"diastolic far apart, downwards":            {pressures([3]float64{0, 130, 101}, [3]float64{60, 130, 80}), []string{"2 map[1:far_apart]"}},
		"the third against the second":              {pressures([3]float64{0, 160, 90}, [3]float64{60, 145, 85}, [3]float64{120, 130, 80}), []string{"3 map[]"}},
		"a weight in between is none of it": {
			append(pressures([3]float64{0, 130, 80}), measuring.Taken{Metric: vital.BodyWeight, At: time.Date(2026, 6, 1, 6, 0, 5, 0, time.UTC), Values: []float64{80}}), []string{"1 map[]"},
		},
		"of two days' dates nobody knows when they were taken": {dated(pressures([3]float64{0, 128, 79}, [3]float64{0, 152, 90})...), nil},
		"a date is not between two times":                      {append(pressures([3]float64{0, 130, 80}, [3]float64{60, 126, 78}), dated(pressures([3]float64{40, 160, 95})...)...), []string{"2 map[]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, s := range measuring.Sittings(c.readings) {
				got = append(got, fmt.Sprint(len(s.Readings), " ", s.Doubts))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAWeightOfSomebodyElseIsAskedAbout(t *testing.T) {
	t.Parallel()
	today := time.Date(2026, 6, 8, 6, 0, 0, 0, time.UTC)
	weight := func(daysAgo int, kg float64) measuring.Taken {
		return measuring.Taken{Metric: vital.BodyWeight, At: today.AddDate(0, 0, -daysAgo), Values: []float64{kg}}
	}
	week := []measuring.Taken{weight(1, 80.4), weight(2, 80), weight(3, 79.8)}
	for name, c := range map[string]struct {
		kg     float64
		before []measuring.Taken
		median float64
		doubt  bool
	}{
		"as always":                         {80.6, week, 80, false},
		"five more is heart failure, maybe": {85, week, 80, false},
		"more than that is asked about":     {85.1, week, 80, true},
		"and less":                          {62, week, 80, true},
		"an even number of weights":         {90, []measuring.Taken{weight(1, 80), weight(2, 81)}, 80.5, true},
		"one weight is no median":           {62, []measuring.Taken{weight(1, 80)}, 0, false},
		"weights of last month are none":    {62, []measuring.Taken{weight(30, 80), weight(31, 80)}, 0, false},
		"a week ago counts still":           {62, []measuring.Taken{weight(7, 80), weight(7, 80)}, 80, true},
		"what came after does not":          {62, []measuring.Taken{weight(-1, 80), weight(-2, 80)}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if median, doubt := measuring.SomebodyElse(weight(0, c.kg), c.before); median != c.median || doubt != c.doubt {
				t.Errorf("median %v, doubt %v; want %v, %v", median, doubt, c.median, c.doubt)
			}
		})
	}
}

func TestADoubtSaysWithWhatItWasCompared(t *testing.T) {
	t.Parallel()
	readings := pressures([3]float64{0, 131, 82}, [3]float64{12, 128, 80}, [3]float64{72, 150, 90}, [3]float64{80, 149, 90}) // of two that came too soon the first
	day := func(n int) time.Time { return time.Date(2026, 6, n, 6, 0, 0, 0, time.UTC) }
	for i, kg := range []float64{78, 78.2, 84.4} {
		readings = append(readings, measuring.Taken{Metric: vital.BodyWeight, ID: int64(10 + i), At: day(2 + i), Values: []float64{kg}})
	}
	var got []string
	for _, d := range measuring.Doubtful(readings) {
		got = append(got, fmt.Sprint(d.ID, " ", d.Doubt, " ", d.Compared, " ", d.Apart))
	}
	if diff := cmp.Diff([]string{"1 too_soon [131 82] 12s", "2 far_apart [128 80] 1m0s", "12 other_person [78.1] 0s"}, got); diff != "" {
		t.Error(diff)
	}
	sitting := measuring.Sittings(pressures([3]float64{0, 131, 82}, [3]float64{60, 128, 80}))[0]
	if diff := cmp.Diff([]float64{130, 81}, sitting.Mean()); diff != "" { // 129.5 is rounded up
		t.Error(diff)
	}
}
