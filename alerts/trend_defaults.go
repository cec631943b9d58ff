package alerts

import (
	"time"

	"hale/vital"
)

// Old is the age from which the home blood pressure average has another bound (clinical decision 5).
const Old = 80

// TrendDefaults returns the trend rules that a patient starts with who was born in a year, 0 when it is not known, and is
// taken in at a time. Days are local days of zone. A comparison with a personal reference, such as the dry weight, has no
// default. A weight is never more than yellow by itself: a rise is red only with breathlessness or falling oxygen
// (clinical/vitals.csv). What the age of 80 will change is to be reviewed on the first day of the year of that birthday.
func TrendDefaults(zone string, born int, at time.Time) []Default {
	all := trendDefaults(zone, born != 0 && at.Year()-born >= Old)
	if born != 0 && at.Year()-born < Old {
		for i := range all {
			if t := all[i].Version.Trend; t.Average != nil {
				all[i].Version.ReviewBy = time.Date(born+Old, 1, 1, 0, 0, 0, 0, zones(nil).load(zone)).UTC()
			}
		}
	}
	return all
}

func trendDefaults(zone string, old bool) []Default {
	return []Default{weightChange(zone), weightAverage(zone), pressureAverage(zone, old)}
}

// morning is the part of the day whose weight counts [J: the morning of the home blood pressure schedule].
func morning() DayPart { return DayPart{From: "04:00", Until: "12:00"} }

// weightChange has the fixed rules of heart failure (clinical/scores.md, section 2).
func weightChange(zone string) Default {
	const (
		threeDays = 2.0   // kg, and more
		oneDay    = 1.36  // kg: 3 lb are 1.3608
		sevenDays = 2.267 // kg: 5 lb are 2.26796
		lost      = 2.0   // kg, and more
	)
	d := trend(vital.BodyWeight, zone, Trend{Change: &TrendChange{
		Part: morning(), SameSensor: true, Unlike: likelyKilogram, Steps: []TrendStep{
			{Level: Yellow, Direction: Rise, By: threeDays, MoreThan: true, Days: 3},
			{Level: Yellow, Direction: Rise, By: oneDay, Days: 1},
			{Level: Yellow, Direction: Rise, By: sevenDays, Days: 7},
			{Level: Yellow, Direction: Fall, By: lost, MoreThan: true, Days: 3},
		},
	}})
	d.Grades = []Grade{
		{"rise in 3 days", "more_than", threeDays, "V", "heartfailurematters.org (ESC): report more than 2 kg in 3 days"},
		{"rise in 1 day", "by", oneDay, "2", "3 lb in a day; sources say 2 to 3 lb"},
		{"rise in 7 days", "by", sevenDays, "2", "5 lb in a week"},
		{"fall in 3 days", "more_than", lost, "M", "over-diuresis or dehydration"},
		unlikeGrade(),
	}
	return d
}

func unlikeGrade() Grade {
	return Grade{"median of 7 days", "unlike", likelyKilogram, "J", "further away it may be somebody else's weight"}
}

// weightAverage stands beside the fixed rules, which find one decompensation in five: a slow rise against the person's
// own median. That a moving average does better is known (Gyllensten 2016, PMC4777885), its numbers here are ours.
func weightAverage(zone string) Default {
	const (
		rise                  = 1.0 // kg
		back                  = 0.5 // kg
		short, leastShort     = 3, 2
		baseline, leastOfBase = 7, 4
	)
	d := trend(vital.BodyWeight, zone, Trend{MovingAverage: &TrendMovingAverage{
		Part: morning(), SameSensor: true, ShortDays: short, LeastShort: leastShort, LongDays: baseline, LeastLong: leastOfBase, Unlike: likelyKilogram, Margin: back,
		Steps: []TrendStep{{Level: Yellow, Direction: Rise, By: rise}},
	}})
	d.Grades = []Grade{
		{"mean over median", "by", rise, "J", "about three standard deviations of a stable weight"},
		{"mean over median", "margin", back, "J", "deadband"},
		{"mean", "days", short, "J", "a day's noise is halved"},
		{"mean", "least_days", leastShort, "J", "one weight is no mean"},
		{"median", "days", baseline, "J", "the week before; clinical/scores.md, section 2, names it without a source"},
		{"median", "least_days", leastOfBase, "J", "more than half of the days"},
		unlikeGrade(),
	}
	return d
}

// pressureAverage is the home blood pressure average: readings of 7 days without the first, at least 12 on at least 4
// days (Stergiou 2018, doi 10.1111/jch.13284).
func pressureAverage(zone string, old bool) Default {
	const (
		days, skipped, readings, leastDays = 7, 1, 12, 4
		systolic, diastolic, systolicOld   = 135.0, 85.0, 145.0
		tooLow, margin                     = 110.0, 5.0
	)
	high := Grade{"systolic", boundYellowHigh, systolic, "V", "home hypertension from 135/85: Stergiou 2018, ESH"}
	backGrade := Grade{"systolic", boundMargin, margin, "V", "normal is below 130/80"}
	if old {
		high = Grade{"systolic", boundYellowHigh, systolicOld, "V", "NICE NG136: 145/85 at home from the age of 80"}
		backGrade.Grade, backGrade.Source = "J", "deadband"
	}
	low, upper := tooLow, diastolic
	d := trend(vital.BloodPressure, zone, Trend{Average: &TrendAverage{
		Days: days, SkipDays: skipped, LeastReadings: readings, LeastDays: leastDays, Components: []Bounds{
			{YellowLow: &low, YellowHigh: &high.Value, Margin: margin}, {YellowHigh: &upper, Margin: margin}, {},
		},
	}})
	d.Grades = []Grade{
		high, {"systolic", boundYellowLow, tooLow, "J", "too low under treatment: for the pharmacist"}, backGrade,
		{"diastolic", boundYellowHigh, diastolic, "V", "home hypertension from 135/85: Stergiou 2018, ESH"},
		{"diastolic", boundMargin, margin, "V", "normal is below 130/80"},
		{"schedule", "days", days, "V", "7-day schedule"}, {"schedule", "skip_days", skipped, "V", "the first day is left out"},
		{"schedule", "least_readings", readings, "V", "not fewer than 12 readings"}, {"schedule", "least_days", leastDays, "V", "on not fewer than 4 days"},
	}
	return d
}

func trend(m vital.Metric, zone string, t Trend) Default {
	t.Zone, t.ClearAfter = zone, 1 // a value of a whole day, or a mean of days, needs no second one [J]
	return Default{Metric: m, Version: Version{Number: 1, EffectiveFrom: alwaysInForce(), Enabled: true, Reason: DefaultReason, Trend: &t}}
}
