package alerts

import (
	"reflect"
	"time"

	"hale/vital"
)

// Default is a rule that a new patient starts with. Grades says, for every number, where it comes
// from: V verified in a source, 2 secondary source, M from memory, J our judgement, to be signed by a clinician.
// None of it is medical advice.
type Default struct {
	Metric  vital.Metric
	Version Version
	Grades  []Grade
}

// Grade is the source of one number of a default.
type Grade struct {
	Component string // code of the component; of a trend, what of it
	Bound     string // as in the JSON of Bounds; of a trend, as in the JSON of its form
	Value     float64
	Grade     string // "V", "2", "M" or "J"
	Source    string
}

// Key names the rule.
func (d *Default) Key() RuleKey {
	if d.Version.Trend != nil {
		return TrendOn(d.Metric, d.Version.Trend.Form())
	}
	return LimitOn(d.Metric)
}

// DefaultReason is the reason that stands beside a default version.
const DefaultReason = "default of the programme"

// Defaults returns the default limits (clinical/vitals.csv). Metrics whose limits only make sense against a person's
// own normal (weight, steps, peak flow, FEV1) and those without a sourced limit have none.
func Defaults() []Default {
	return []Default{
		limit(vital.BloodPressure,
			component("systolic",
				extremeLow(80, "J", "systolic below 80 is acted on at once"), redLow(91, "V", "NEWS2: 90 or less scores 3"),
				yellowLow(101, "V", "NEWS2: 91 to 100 scores 2"), yellowHigh(160, "J", "programme convention for a single reading"),
				redHigh(180, "M", "NICE NG136: severe from 180/120"), extremeHigh(200, "J", "systolic from 200 is acted on at once"),
				margin(5, "J", "deadband")),
			component("diastolic",
				yellowLow(56, "J", "a low diastolic alone never pages"), yellowHigh(100, "J", "programme convention for a single reading"),
				redHigh(120, "M", "NICE NG136: severe from 180/120"), margin(5, "J", "deadband")),
			component("pulse")),
		limit(vital.HeartRate, component("value",
			extremeLow(35, "J", "below 35 is acted on at once"), redLow(41, "V", "NEWS2: 40 or less scores 3"),
			yellowLow(50, "J", "older people at rest; NEWS2 scores 41 to 50"), yellowHigh(101, "J", "above 100 at rest; NEWS2 scores from 91"),
			redHigh(131, "V", "NEWS2: 131 or more scores 3"), extremeHigh(150, "J", "from 150 is acted on at once"), margin(5, "J", "deadband"))),
		limit(vital.OxygenSat, component("value",
			extremeLow(85, "J", "below 85 is acted on at once"), redLow(92, "V", "NEWS2 scale 1: 91 or less scores 3"),
			yellowLow(94, "V", "NEWS2 scale 1: 92 to 93 scores 2"), margin(2, "J", "deadband"))),
		limit(vital.BodyTemperature, component("value",
			redLow(35.1, "V", "NEWS2: 35.0 or less scores 3"), yellowLow(35.5, "J", "mean minus 2 SD at over 60 is 35.7"),
			yellowHigh(37.9, "V", "IDSA 2008: one oral temperature above 37.8"), redHigh(39.1, "V", "NEWS2: 39.1 or more scores 2"), margin(0.3, "J", "deadband"))),
		limit(vital.RespiratoryRate, component("value",
			redLow(9, "V", "NEWS2: 8 or less scores 3"), yellowLow(12, "V", "NEWS2: 9 to 11 scores 1"),
			yellowHigh(21, "V", "NEWS2: 21 to 24 scores 2"), redHigh(25, "V", "NEWS2: 25 or more scores 3"))),
		limit(vital.Glucose, component("value", append(lowGlucose(),
			yellowHigh(251, "J", "programme convention: above 250, level 2 of the CGM consensus"), redHigh(300, "J", "programme convention"))...)),
		limit(vital.GlucoseFasting, component("value", append(lowGlucose(),
			yellowHigh(151, "V", "ADA 2024 older adults, complex health: fasting 90 to 150"), redHigh(251, "M", "CGM consensus: level 2 above 250"))...)),
		limit(vital.GlucosePostMeal, component("value", append(lowGlucose(),
			yellowHigh(181, "V", "ADA: below 180 after a meal"), redHigh(300, "J", "programme convention"))...)),
		limit(vital.INR, component("value",
			redLow(1.5, "2", "far below the target of 2 to 3"), yellowLow(2.0, "2", "target 2.0 to 3.0"),
			yellowHigh(3.51, "V", "BCSH 2011: within 0.5 of the target is noise"), redHigh(4.5, "J", "bleeding risk rises steeply above 4"),
			extremeHigh(5.01, "2", "above 5 is unacceptable; tonight's dose waits for a decision"))),
		limit(vital.PainScore, component("value", yellowHigh(4, "J", "programme convention; never red"))),
		limit(vital.SleepDuration, component("value",
			yellowLow(300, "J", "programme convention: under 5 hours"), yellowHigh(660, "J", "programme convention: 11 hours and more"))),
	}
}

// GradesOf returns the source of every number of a version that is the programme's default; nil for any other.
func GradesOf(m vital.Metric, v *Version) []Grade {
	if v.Author != 0 || v.Reason != DefaultReason {
		return nil
	}
	all := Defaults()
	if v.Trend != nil {
		all = append(trendDefaults(v.Trend.Zone, false), trendDefaults(v.Trend.Zone, true)...)
	}
	for _, d := range all {
		if d.Metric == m && reflect.DeepEqual(d.Version.Limit, v.Limit) && reflect.DeepEqual(d.Version.Trend, v.Trend) {
			return d.Grades
		}
	}
	return nil
}

// lowGlucose are the low limits of every kind of glucose, in mg/dL. Below 54 is red and extreme at once.
func lowGlucose() []Grade {
	return []Grade{
		extremeLow(54, "J", "below 54 is acted on at once"), redLow(54, "V", "ADA level 2: below 54"), yellowLow(70, "V", "ADA level 1: below 70"),
	}
}

// alwaysInForce is the earliest time that a reading can have.
func alwaysInForce() time.Time { return time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC) }

type graded struct {
	code   string
	grades []Grade
}

func component(code string, grades ...Grade) graded { return graded{code, grades} }

func limit(m vital.Metric, components ...graded) Default {
	d := Default{Metric: m, Version: Version{
		Number: 1, EffectiveFrom: alwaysInForce(), Enabled: true, Reason: DefaultReason,
		// One reading begins the condition; two in a row inside by the margin end it (clinical/alarms.md, hysteresis) [J].
		Limit: Limit{K: 1, N: 1, ClearAfter: 2},
	}}
	for _, c := range components {
		var b Bounds
		for _, g := range c.grades {
			g.Component = c.code
			b.set(g.Bound, g.Value)
			d.Grades = append(d.Grades, g)
		}
		d.Version.Limit.Components = append(d.Version.Limit.Components, b)
	}
	return d
}

// The names of the bounds in JSON.
const (
	boundExtremeLow  = "extreme_low"
	boundRedLow      = "red_low"
	boundYellowLow   = "yellow_low"
	boundYellowHigh  = "yellow_high"
	boundRedHigh     = "red_high"
	boundExtremeHigh = "extreme_high"
	boundMargin      = "margin"
)

func boundNames() [6]string {
	return [6]string{boundExtremeLow, boundRedLow, boundYellowLow, boundYellowHigh, boundRedHigh, boundExtremeHigh}
}

func (b *Bounds) set(name string, value float64) {
	switch name {
	case boundExtremeLow:
		b.ExtremeLow = &value
	case boundRedLow:
		b.RedLow = &value
	case boundYellowLow:
		b.YellowLow = &value
	case boundYellowHigh:
		b.YellowHigh = &value
	case boundRedHigh:
		b.RedHigh = &value
	case boundExtremeHigh:
		b.ExtremeHigh = &value
	case boundMargin:
		b.Margin = value
	}
}

func grade(bound string, value float64, grade, source string) Grade {
	return Grade{Bound: bound, Value: value, Grade: grade, Source: source}
}

func extremeLow(v float64, g, source string) Grade  { return grade(boundExtremeLow, v, g, source) }
func redLow(v float64, g, source string) Grade      { return grade(boundRedLow, v, g, source) }
func yellowLow(v float64, g, source string) Grade   { return grade(boundYellowLow, v, g, source) }
func yellowHigh(v float64, g, source string) Grade  { return grade(boundYellowHigh, v, g, source) }
func redHigh(v float64, g, source string) Grade     { return grade(boundRedHigh, v, g, source) }
func extremeHigh(v float64, g, source string) Grade { return grade(boundExtremeHigh, v, g, source) }
func margin(v float64, g, source string) Grade      { return grade(boundMargin, v, g, source) }
