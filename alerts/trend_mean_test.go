package alerts_test

import (
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
			"yellow: 7-day average 37.9 °C from 2 readings on 2 days",
		},
		"and 37.83 is 37.8": {vital.BodyTemperature, alerts.Bounds{YellowHigh: ptr(37.9)}, []float64{37.8, 37.8, 37.9}, "none"},
		"an INR of 2.45 is beyond 2.4": {
			vital.INR, alerts.Bounds{RedHigh: ptr(2.4)}, []float64{2.45, 2.45, 2.45},
			"red: 7-day average 2.45 from 3 readings on 3 days",
		},
		"an INR a thousandth below 2.4 is not": {vital.INR, alerts.Bounds{RedHigh: ptr(2.4)}, []float64{2.399, 2.399}, "none"},
		"a mean INR is compared in thousandths": {
			vital.INR, alerts.Bounds{YellowHigh: ptr(2.467)}, []float64{2.4, 2.5, 2.5},
			"yellow: 7-day average 2.47 from 3 readings on 3 days",
		},
		"a mean saturation is rounded down": {
			vital.OxygenSat, alerts.Bounds{RedLow: ptr(92)}, []float64{91, 92, 92},
			"red: 7-day average 91 % from 3 readings on 3 days",
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
