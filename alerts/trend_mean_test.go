package alerts_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// TestAMeanOfDaysIsRoundedAsItsMetric: whole numbers are the clinical rule for blood pressure; the bounds of other metrics lie
// between them.
func TestAMeanOfDaysIsRoundedAsItsMetric(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric vital.Metric
		bounds alerts.Bounds
		values []float64 // one a day
		want   string
	}{
		"a temperature of 37.5 is below 37.9": {vital.BodyTemperature, alerts.Bounds{YellowHigh: ptr(37.9)}, []float64{37.5, 37.5, 37.5}, "none"},
		"a mean temperature is rounded half up to 0.1": {
			vital.BodyTemperature, alerts.Bounds{YellowHigh: ptr(37.9)}, []float64{37.8, 37.9},
			"yellow: 7-day average 37.9 °C from 2 readings in 2 sessions on 2 days",
		},
		"and 37.83 is 37.8": {vital.BodyTemperature, alerts.Bounds{YellowHigh: ptr(37.9)}, []float64{37.8, 37.8, 37.9}, "none"},
		"an INR of 2.45 is beyond 2.4": {
			vital.INR, alerts.Bounds{RedHigh: ptr(2.4)}, []float64{2.45, 2.45, 2.45},
			"red: 7-day average 2.45 from 3 readings in 3 sessions on 3 days",
		},
		"an INR a thousandth below 2.4 is not": {vital.INR, alerts.Bounds{RedHigh: ptr(2.4)}, []float64{2.399, 2.399}, "none"},
		"a mean INR is compared in thousandths": {
			vital.INR, alerts.Bounds{YellowHigh: ptr(2.467)}, []float64{2.4, 2.5, 2.5},
			"yellow: 7-day average 2.47 from 3 readings in 3 sessions on 3 days",
		},
		"a mean saturation is rounded down": {
			vital.OxygenSat, alerts.Bounds{RedLow: ptr(92)}, []float64{91, 92, 92},
			"red: 7-day average 91 % from 3 readings in 3 sessions on 3 days",
		},
		"a heart rate of 100.5 is below 101": {vital.HeartRate, alerts.Bounds{YellowHigh: ptr(101)}, []float64{100, 101}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := &alerts.Trend{Zone: "UTC", ClearAfter: 1, Average: &alerts.TrendAverage{Days: 7, LeastReadings: 2, LeastDays: 2, Components: []alerts.Bounds{c.bounds}}}
			if err := trend.Check(c.metric); err != nil {
				t.Fatal(err)
			}
			var points []alerts.Point
			for day, value := range c.values {
				at := time.Date(2026, 5, day+1, 8, 0, 0, 0, time.UTC)
				points = append(points, alerts.Point{Mark: alerts.Mark{At: at, ID: int64(day + 1)}, Metric: c.metric, Values: []float64{value}, ReceivedAt: at})
			}
			if got := sayOf(judged(c.metric, trend, points), c.metric); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestAMeanIsRoundedOnce: thousands of readings bring a mean within half a thousandth of the next whole number or half of a
// tenth; rounded to thousandths on the way it would get there.
func TestAMeanIsRoundedOnce(t *testing.T) {
	t.Parallel()
	type many struct {
		n     int
		value float64
	}
	for name, c := range map[string]struct {
		metric vital.Metric
		values []many
		want   float64
	}{
		"a saturation just below 92 is 91":          {vital.OxygenSat, []many{{2999, 92}, {1, 91}}, 91},
		"one of 92 is 92":                           {vital.OxygenSat, []many{{3000, 92}}, 92},
		"a temperature just below 37.85 is 37.8":    {vital.BodyTemperature, []many{{601, 37.8}, {599, 37.9}}, 37.8},
		"one of 37.85 is 37.9":                      {vital.BodyTemperature, []many{{600, 37.8}, {600, 37.9}}, 37.9},
		"a skin temperature just below 33.25: 33.2": {vital.SkinTemperature, []many{{601, 33.2}, {599, 33.3}}, 33.2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := &alerts.Trend{Zone: "UTC", ClearAfter: 1, Average: &alerts.TrendAverage{
				Days: 7, LeastReadings: 2, LeastDays: 1, Components: []alerts.Bounds{{YellowHigh: ptr(10)}},
			}}
			var points []alerts.Point
			for _, m := range c.values {
				for range m.n {
					at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(len(points)) * 10 * time.Second)
					points = append(points, alerts.Point{Mark: alerts.Mark{At: at, ID: int64(len(points) + 1)}, Metric: c.metric, Values: []float64{m.value}, ReceivedAt: at})
				}
			}
			s := judged(c.metric, trend, points)
			if s.Grounds == nil || s.Grounds.Sessions != 1 || s.Grounds.Means[0] != c.want {
				t.Errorf("said %+v, want a mean of %v", s.Grounds, c.want)
			}
		})
	}
}

// TestTheMeanOfOneValueIsThatValue: a mean is rounded as a value of its metric is; of blood pressure alone it is a whole number.
func TestTheMeanOfOneValueIsThatValue(t *testing.T) {
	t.Parallel()
	for _, d := range vital.Metrics() {
		metric := d.Metric
		for _, value := range []float64{36.949, 36.95, 91.999, 92.001} {
			want := vital.Rounded(metric, value)
			if metric == vital.BloodPressure {
				want = math.Round(value)
			}
			if got := alerts.MeanOf(metric, value); got != want {
				t.Errorf("%v: the mean of %v is %v, want %v", metric, value, got, want)
			}
		}
	}
}

// burst is so many readings of one value, a minute apart, from a time of a day of May 2026 on.
type burst struct {
	day   int
	from  string
	n     int
	value string
}

func bursts(t *testing.T, list []burst) []alerts.Point {
	t.Helper()
	var points []alerts.Point
	for _, b := range list {
		from, err := time.Parse("2 15:04", strconv.Itoa(b.day)+" "+b.from)
		if err != nil {
			t.Fatal(err)
		}
		upper, lower, _ := strings.Cut(b.value, "/")
		for i := range b.n {
			at := time.Date(2026, 5, from.Day(), from.Hour(), from.Minute()+i, 0, 0, time.UTC)
			points = append(points, alerts.Point{
				Mark: alerts.Mark{At: at, ID: int64(len(points) + 1)}, Metric: vital.BloodPressure, Values: []float64{float64(atoi(upper)), float64(atoi(lower))}, ReceivedAt: at,
			})
		}
	}
	return points
}

// kept is the schedule of some days with the same values morning and evening.
func kept(first, last int, value string) []burst {
	var list []burst
	for day := first; day <= last; day++ {
		list = append(list, burst{day, "08:00", 2, value}, burst{day, "19:00", 2, value})
	}
	return list
}

// TestEverySessionWeighsTheSame: how often somebody measures in one half of a day says nothing of the week.
func TestEverySessionWeighsTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bursts []burst
		want   string
	}{
		"thirty good readings of an afternoon hide no low mean": {
			append(kept(1, 7, "106/60"), burst{7, "20:00", 30, "128/70"}),
			"yellow: 7-day average 108/61 mmHg from 54 readings in 12 sessions on 6 days, first day left out",
		},
		"forty bad ones of an evening make no high mean": {append(kept(1, 7, "130/80"), burst{7, "20:00", 40, "179/100"}), "none"},
		"before noon and from noon on are two": {
			append(append(kept(1, 6, "130/80"), burst{7, "11:30", 30, "160/80"}), burst{7, "12:00", 1, "170/80"}),
			"yellow: 7-day average 136/80 mmHg from 51 readings in 12 sessions on 6 days, first day left out",
		},
		"a session of one reading weighs as one of two": {
			append(append(kept(1, 6, "130/80"), burst{7, "08:00", 2, "130/80"}), burst{7, "19:00", 1, "184/80"}),
			"yellow: 7-day average 135/80 mmHg from 23 readings in 12 sessions on 6 days, first day left out",
		},
		"134.5 is rounded half up": {
			append(append(kept(1, 6, "134/80"), burst{7, "08:00", 3, "134/80"}), burst{7, "19:00", 7, "140/80"}),
			"yellow: 7-day average 135/80 mmHg from 30 readings in 12 sessions on 6 days, first day left out",
		},
		"thirds of three sessions are whole again": {
			append(kept(1, 1, "170/90"), thirds()...),
			"yellow: 7-day average 135/80 mmHg from 35 readings in 12 sessions on 6 days, first day left out",
		},
		"one burst is no week": {[]burst{{1, "08:00", 1, "170/100"}, {2, "14:00", 60, "170/100"}}, "none"},
		"nor are bursts of three days": {
			[]burst{{1, "08:00", 1, "170/100"}, {2, "14:00", 30, "170/100"}, {3, "14:00", 30, "170/100"}, {4, "14:00", 30, "170/100"}}, "none",
		},
		"nor four days without twelve readings": {
			[]burst{{1, "08:00", 20, "170/100"}, {2, "14:00", 5, "170/100"}, {3, "14:00", 2, "170/100"}, {4, "14:00", 2, "170/100"}, {5, "14:00", 2, "170/100"}}, "none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := trendOf(t, vital.BloodPressure, alerts.FormAverage, "UTC", 0)
			if got := sayOf(judged(vital.BloodPressure, trend, bursts(t, c.bursts)), vital.BloodPressure); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// thirds are twelve sessions of days 2 to 7 whose mean is 134.5: three of 403/3, eight of 134.5 and one of 135.
func thirds() []burst {
	list := []burst{{3, "19:00", 1, "135/80"}}
	for _, at := range []burst{{2, "08:00", 2, "134/80"}, {2, "19:00", 4, "134/80"}, {3, "08:00", 6, "134/80"}} {
		list = append(list, at, burst{at.day, at.from[:3] + "10", at.n / 2, "135/80"})
	}
	for day := 4; day <= 7; day++ {
		for _, hour := range []string{"08", "19"} {
			list = append(list, burst{day, hour + ":00", 1, "134/80"}, burst{day, hour + ":01", 1, "135/80"})
		}
	}
	return list
}

// TestTheNameOfAReference: it is counted in characters, not in bytes, and stands in the sentence of an alert.
func TestTheNameOfAReference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		name string
		ok   bool
	}{
		"a hundred letters of two bytes": {strings.Repeat("č", 100), true},
		"one more":                       {strings.Repeat("č", 101), false},
		"a line break":                   {"dry\nweight", false},
		"a bell":                         {"dry\aweight", false},
		"what turns the line around":     {"dry \u202eweight", false},
		"half a letter":                  {"dry weight \xc4", false},
		"nothing":                        {"", false},
		"suha teža":                      {"suha teža", true},
	} {
		trend := alerts.Trend{Zone: "UTC", ClearAfter: 1, Reference: &alerts.TrendReference{
			Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Name: c.name, Value: 66, Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}},
		}}
		err := trend.Check(vital.BodyWeight)
		if c.ok && err != nil || !c.ok && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "up to 100 printable characters")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
