package web_test

import (
	"math"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// furnished is a house with what makes screens difficult: every level, every state, long and hostile names, units of
// all kinds, a data set of years ago, limits that changed.
type furnished struct {
	*house
	ana, hostile, old, weak     account.Patient
	extreme, red, taken, closed vital.UID
}

func furnish(t *testing.T) furnished {
	t.Helper()
	now := time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC)
	f := furnished{house: newHouse(now)}
	f.ana = f.admit("Ana Novak", "K-0017", 1946, "female", "Europe/Ljubljana")
	f.hostile = f.admit(`<script>alert("x")</script> & O'Brien-Wolfeschlegelsteinhausenbergerdorff`, `"><b>9`, 0, "unknown", "Pacific/Chatham")
	f.old = f.admit("Maria del Carmen Fernández", "TIHM-12", 1939, "female", "Europe/London")
	f.weak = f.admit("Franc Kranjc", "K-0021", 1951, "male", "Europe/Ljubljana")
	calm := f.admit("Jože Horvat", "K-0030", 1944, "male", "Europe/Ljubljana")

	f.anaMonth(now)
	f.red = f.alarm(f.ana, alerts.Red, now.Add(-12*time.Minute), vital.BloodPressure, false, 182, 104, 88)
	f.alarm(f.ana, alerts.Yellow, now.Add(-3*time.Hour), vital.BodyTemperature, false, 38.1)
	f.extreme = f.alarm(f.hostile, alerts.Extreme, now.Add(-40*time.Second), vital.OxygenSat, false, 82)
	f.taken = f.alarm(f.weak, alerts.Red, now.Add(-95*time.Minute), vital.Glucose, false, 51.5)
	f.log(f.taken,
		alerts.Entry{Kind: alerts.EntryOccurred, RecordedAt: now.Add(-80 * time.Minute), Level: alerts.Red, Reading: alerts.Mark{At: now.Add(-81 * time.Minute), ID: 900}, Values: []float64{50}, RuleVersion: 1, Worst: true},
		alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: now.Add(-20 * time.Minute), Until: now.Add(40 * time.Minute), Actor: f.staff["jan"], Note: "Calling his daughter."},
		alerts.Entry{Kind: alerts.EntryCleared, RecordedAt: now.Add(-5 * time.Minute), Reading: alerts.Mark{At: now.Add(-6 * time.Minute), ID: 901}, Cause: alerts.CauseReturned},
	)
	expired := f.alarm(f.weak, alerts.Yellow, now.Add(-5*time.Hour), vital.HeartRate, false, 104)
	f.log(expired, alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: now.Add(-4 * time.Hour), Until: now.Add(-3 * time.Hour), Actor: f.staff["mira"]})

	f.oldYears()
	f.closed = f.alarm(f.ana, alerts.Red, now.Add(-50*time.Hour), vital.BloodPressure, false, 186, 99, 90)
	f.log(f.closed, alerts.Entry{
		Kind: alerts.EntryResolved, RecordedAt: now.Add(-49 * time.Hour), Actor: f.staff["mira"], NextStep: alerts.StepRecheck,
		NextStepAt: now.Add(-25 * time.Hour), Note: "Forgot the morning tablet;\nhas taken it now.",
	})
	f.measure(calm, vital.StepCount, now.Add(-time.Hour), 4210)
	f.measure(calm, vital.INR, now.Add(-26*time.Hour), 2.4)
	f.measure(calm, vital.PainScore, now.Add(-27*time.Hour), 3)
	return f
}

// anaMonth is a month of home blood pressure with four days without any, and limits that became narrower in it.
func (f furnished) anaMonth(now time.Time) {
	for day := 35; day >= 1; day-- {
		if day > 14 && day < 19 {
			continue
		}
		for i, hour := range []int{7, 19} {
			at := now.AddDate(0, 0, -day).Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour)
			wave := math.Sin(float64(day*2+i) * 1.7)
			f.measure(f.ana, vital.BloodPressure, at, math.Round(148+14*wave), math.Round(86+7*wave), math.Round(74+5*wave))
			f.measure(f.ana, vital.BodyWeight, at.Add(5*time.Minute), 71.2+wave/3)
		}
	}
	rules := f.rules[f.ana.UID]
	for i := range rules {
		if rules[i].Key() != alerts.LimitOn(vital.BloodPressure) {
			continue
		}
		v := rules[i].Versions[0]
		v.Number, v.Author, v.AuthorName, v.Reason = 2, 9, "Dr. Eva Hribar", "tighter after the stroke in October"
		v.EffectiveFrom, v.Advice = now.AddDate(0, 0, -12), "Sit down, rest five minutes and measure again."
		bounds := append([]alerts.Bounds(nil), v.Limit.Components...)
		yellow, red := 150.0, 175.0
		bounds[0].YellowHigh, bounds[0].RedHigh = &yellow, &red
		v.Limit.Components = bounds
		rules[i].Versions = append(rules[i].Versions, v)
	}
}

// oldYears is a replay: three months of 2019, eight readings a day, with an alert that came too late for anybody.
func (f furnished) oldYears() {
	start := time.Date(2019, 4, 1, 0, 0, 0, 0, time.UTC)
	for i := range 91 * 8 {
		wave := math.Sin(float64(i) / 9)
		f.measure(f.old, vital.HeartRate, start.Add(time.Duration(i)*3*time.Hour), math.Round(78+16*wave+float64(i%5)))
	}
	f.alarm(f.old, alerts.Red, start.AddDate(0, 0, 80), vital.HeartRate, true, 134)
}
