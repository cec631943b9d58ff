package vital

import "math"

// Metric is what was measured, held as a small code. The numbers stand in the record: never renumber.
type Metric int16

// The metrics Hale keeps.
const (
	BloodPressure   Metric = 1 // one reading of systolic, diastolic and, where the cuff counts it, pulse
	HeartRate       Metric = 2
	OxygenSat       Metric = 3
	BodyWeight      Metric = 4
	BodyTemperature Metric = 5
	RespiratoryRate Metric = 6
	Glucose         Metric = 7
	GlucoseFasting  Metric = 8
	GlucosePostMeal Metric = 9
	StepCount       Metric = 10
	SleepDuration   Metric = 11
	FEV1            Metric = 12
	PeakFlow        Metric = 13
	INR             Metric = 14
	PainScore       Metric = 15
	OxygenFlow      Metric = 16
	BodyWater       Metric = 17 // local code, no default rule
	MuscleMass      Metric = 18 // local code, no default rule
	SkinTemperature Metric = 19 // local code, no default rule
)

const lastMetric = SkinTemperature

// Component is one number of a metric: its unit, the units that are accepted for it, and what a living person's
// value can be.
type Component struct {
	Code      string // our name for it in messages: "systolic"
	LOINC     string // empty for a local code
	Canonical Unit
	Accepted  []Unit
	Min, Max  float64 // plausible range in the canonical unit, bounds inclusive
	Optional  bool
	Whole     bool // only whole numbers are values of it
}

// Definition is everything we hold to be true of a metric. Source of codes, units and ranges: clinical/vitals.csv
// [V codes; plausible ranges are programme convention, J].
type Definition struct {
	Metric     Metric
	Code       string // name on the wire and in the API
	Display    string
	LOINC      string // of the whole; empty for a local code
	Components []Component
}

func one(m Metric, code, display, loinc string, canonical Unit, minimum, maximum float64, also ...Unit) Definition {
	return Definition{Metric: m, Code: code, Display: display, LOINC: loinc, Components: []Component{{
		Code: "value", LOINC: loinc, Canonical: canonical, Accepted: append([]Unit{canonical}, also...), Min: minimum, Max: maximum,
	}}}
}

// definitions is the table of all metrics by their numbers. Nothing changes it: it is made once because every component of
// every reading is looked up in it.
var definitions = func() (table [lastMetric + 1]Definition) {
	for m := range table {
		table[m], _ = define(Metric(m))
	}
	return table
}()

// Define returns the definition of m; ok is false for a number that is no metric. Its slices are shared: change nothing
// in them.
func Define(m Metric) (d Definition, ok bool) {
	if m < 0 || m > lastMetric || definitions[m].Metric == 0 {
		return Definition{}, false
	}
	return definitions[m], true
}

func define(m Metric) (d Definition, ok bool) {
	switch m {
	case BloodPressure:
		pressure := []Unit{MmHg, KiloPascal}
		return Definition{Metric: m, Code: "blood_pressure", Display: "Blood pressure", LOINC: "85354-9", Components: []Component{
			{Code: "systolic", LOINC: "8480-6", Canonical: MmHg, Accepted: pressure, Min: 50, Max: 280},
			{Code: "diastolic", LOINC: "8462-4", Canonical: MmHg, Accepted: pressure, Min: 30, Max: 180},
			{Code: "pulse", LOINC: "8867-4", Canonical: PerMinute, Accepted: []Unit{PerMinute, Hertz}, Min: 15, Max: 250, Optional: true},
		}}, true
	case HeartRate:
		return one(m, "heart_rate", "Heart rate", "8867-4", PerMinute, 15, 250, Hertz), true
	case OxygenSat:
		return one(m, "oxygen_saturation", "Oxygen saturation", "2708-6", Percent, 50, 100, Fraction), true
	case BodyWeight:
		return one(m, "body_weight", "Body weight", "29463-7", Kilogram, 20, 350, Gram, Pound, Stone), true
	case BodyTemperature:
		return one(m, "body_temperature", "Body temperature", "8310-5", Celsius, 30, 43, Fahrenheit, Kelvin), true
	case RespiratoryRate:
		return one(m, "respiratory_rate", "Respiratory rate", "9279-1", PerMinute, 4, 60), true
	case Glucose:
		return one(m, "glucose", "Blood glucose", "41653-7", MgPerDL, 10, 1000, MmolPerL), true
	case GlucoseFasting:
		return one(m, "glucose_fasting", "Blood glucose, fasting", "41604-0", MgPerDL, 10, 1000, MmolPerL), true
	case GlucosePostMeal:
		return one(m, "glucose_postmeal", "Blood glucose, after a meal", "41653-7", MgPerDL, 10, 1000, MmolPerL), true
	case StepCount:
		return one(m, "steps", "Steps", "41950-7", Steps, 0, 100000), true
	case SleepDuration:
		return one(m, "sleep_duration", "Sleep", "93832-4", Minute, 0, 1440, Hour, Second), true
	case FEV1:
		return one(m, "fev1", "FEV1", "20150-9", Litre, 0.2, 8, Millilitre), true
	case PeakFlow:
		return one(m, "peak_flow", "Peak expiratory flow", "33452-4", LitrePerMin, 30, 900, LitrePerSec), true
	case INR:
		return one(m, "inr", "INR", "34714-6", Fraction, 0.5, 20), true
	case PainScore:
		pain := one(m, "pain_score", "Pain (0-10)", "72514-3", Score, 0, 10)
		pain.Components[0].Whole = true
		return pain, true
	case OxygenFlow:
		return one(m, "oxygen_flow", "Oxygen flow", "3151-8", LitrePerMin, 0, 25, MlPerMin), true
	case BodyWater:
		return one(m, "body_water", "Body water", "", Percent, 20, 80), true // range [J]
	case MuscleMass:
		return one(m, "muscle_mass", "Muscle mass", "", Kilogram, 5, 120, Gram, Pound), true // range [J]
	case SkinTemperature:
		return one(m, "skin_temperature", "Skin temperature", "", Celsius, 20, 43, Fahrenheit, Kelvin), true // range [J]
	}
	return Definition{}, false
}

// Metrics returns all definitions in the order of their numbers.
func Metrics() []Definition {
	all := make([]Definition, 0, lastMetric)
	for m := BloodPressure; m <= lastMetric; m++ {
		if d, ok := Define(m); ok {
			all = append(all, d)
		}
	}
	return all
}

// ParseMetric finds a metric by its code on the wire, for example "blood_pressure".
func ParseMetric(code string) (Metric, bool) {
	for m := BloodPressure; m <= lastMetric; m++ {
		if d, ok := Define(m); ok && d.Code == code {
			return m, true
		}
	}
	return 0, false
}

// String returns the code on the wire.
func (m Metric) String() string {
	if d, ok := Define(m); ok {
		return d.Code
	}
	return "unknown"
}

// Convert turns a value in one unit into another of the same kind. The factors are exact where the unit is defined
// exactly (pound, stone), else those of clinical/vitals.csv: 1 mm[Hg] = 0.133322 kPa (UCUM), 1 mmol/L glucose =
// 18.0156 mg/dL (molar mass 180.156 g/mol). ok is false when no conversion exists.
func Convert(value float64, from, to Unit) (converted float64, ok bool) {
	if from == to {
		return value, true
	}
	type pair struct{ from, to Unit }
	switch (pair{from, to}) {
	case pair{KiloPascal, MmHg}:
		return value / 0.133322, true
	case pair{Hertz, PerMinute}:
		return value * 60, true
	case pair{Fraction, Percent}:
		return value * 100, true
	case pair{Gram, Kilogram}:
		return value / 1000, true
	case pair{Pound, Kilogram}:
		return value * 0.45359237, true
	case pair{Stone, Kilogram}:
		return value * 6.35029318, true
	case pair{Fahrenheit, Celsius}:
		return (value - 32) * 5 / 9, true
	case pair{Kelvin, Celsius}:
		return value - 273.15, true
	case pair{MmolPerL, MgPerDL}:
		return value * 18.0156, true
	case pair{Second, Minute}:
		return value / 60, true
	case pair{MlPerMin, LitrePerMin}, pair{Millilitre, Litre}:
		return value / 1000, true
	case pair{LitrePerSec, LitrePerMin}, pair{Hour, Minute}:
		return value * 60, true
	}
	return math.NaN(), false
}
