package formats

import (
	"slices"
	"strconv"
	"strings"

	"hale/vital"
)

// spelling is a unit as Open mHealth spells it: the number times factor (0 is 1) times ten to the power of shift is one of unit.
// NoUnit is a unit that the schema takes and Hale does not keep.
type spelling struct {
	word   string
	unit   vital.Unit
	factor int64
	shift  int8
}

func spelled(units []spelling) string {
	all := make([]string, len(units))
	for i, u := range units {
		all[i] = u.word
	}
	return strings.Join(all, ", ")
}

// besides is a field beside the numbers: a text of these words (nil: any), or a number with one of these units.
type besides struct {
	name  string
	words []string
	units []spelling
}

// timing is what a schema wants of effective_time_frame.
type timing uint8

const (
	optional timing = iota
	required
	interval // required, and never a moment
)

// schemaRules is what a schema says of a body.
type schemaRules struct {
	metric      vital.Metric
	values      []string // the fields that hold the numbers, in the order of the metric's components
	units       []spelling
	bare        vital.Unit // the numbers stand alone, in this unit
	timing      timing
	ieee        bool // its time frame is that of IEEE 1752.1, which has no parts of a day
	fields      []besides
	noStatistic bool
}

// version is a version of a schema. A minor version that was not written yet adds fields and takes none away.
type version struct{ major, minor int }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// majors are the versions of each schema that Hale reads.
func majors(name string) int {
	switch name {
	case "blood-pressure", "body-temperature", "blood-glucose":
		return 4
	case "heart-rate", "oxygen-saturation", "body-weight", "respiratory-rate", "step-count":
		return 3
	case "sleep-duration":
		return 2
	case "total-sleep-time":
		return 1
	}
	return 0
}

// Schemas are the names of the schemas of Open mHealth that Hale reads.
func Schemas() []string {
	return []string{
		"blood-glucose", "blood-pressure", "body-temperature", "body-weight", "heart-rate", "oxygen-saturation", "respiratory-rate", "sleep-duration",
		"step-count", "total-sleep-time",
	}
}

// rulesOf returns the rules of a schema (github.com/openmhealth/schemas, folder schema/omh, in its state of 2024).
func rulesOf(s Schema) (schemaRules, *Refusal) {
	if !slices.Contains(Schemas(), s.Name) {
		return schemaRules{}, notKept("schema_id.name", "%s is no schema that Hale reads; it reads %s",
			strconv.Quote(clipped(s.Name, 60)), strings.Join(Schemas(), ", "))
	}
	major, minor, _ := strings.Cut(s.Version, ".")
	v := version{}
	var err [2]error
	v.major, err[0] = strconv.Atoi(major)
	v.minor, err[1] = strconv.Atoi(minor)
	if minor == "x" || minor == "" {
		v.minor, err[1] = 1<<16, nil
	}
	if err[0] != nil || err[1] != nil || v.major < 1 || v.major > majors(s.Name) {
		return schemaRules{}, refuse(vital.ReasonUnparsable, "schema_id.version", "%s of %s is not known; Hale reads 1.0 to %d.x",
			strconv.Quote(clipped(s.Version, 40)), s.Name, majors(s.Name))
	}
	switch s.Name {
	case "blood-pressure":
		return bloodPressureRules(v), nil
	case "blood-glucose":
		return bloodGlucoseRules(v), nil
	case "body-temperature":
		return temperatureRules(v), nil
	case "oxygen-saturation":
		return saturationRules(v), nil
	case "step-count":
		return stepRules(v), nil
	case "sleep-duration", "total-sleep-time":
		return sleepRules(s.Name, v), nil
	case "body-weight":
		return schemaRules{metric: vital.BodyWeight, values: []string{"body_weight"}, units: masses(), timing: since(v, 2), ieee: v.major >= 3}, nil
	case "respiratory-rate":
		r := schemaRules{metric: vital.RespiratoryRate, values: []string{"respiratory_rate"}, timing: since(v, 2), ieee: v.major >= 3}
		r.units = []spelling{{word: "breaths/min", unit: vital.PerMinute}}
		r.fields = []besides{activity()}
		return r, nil
	}
	return heartRules(v), nil
}

// since is what a schema wants of its time frame when it wants one from a version on.
func since(v version, major int) timing {
	if v.major >= major {
		return required
	}
	return optional
}

func bloodPressureRules(v version) schemaRules {
	r := schemaRules{metric: vital.BloodPressure, values: []string{"systolic_blood_pressure", "diastolic_blood_pressure"}, timing: since(v, 3), ieee: v.major >= 4}
	r.units = []spelling{{word: "mmHg", unit: vital.MmHg}}
	if v.major == 1 {
		r.fields = append(r.fields, besides{name: "position_during_measurement", words: []string{"sitting", "lying down", "standing"}})
	} else {
		r.fields = append(r.fields, besides{name: "body_posture", words: []string{"sitting", "lying down", "standing", "semi-recumbent"}})
	}
	if v.major <= 2 {
		r.fields = append(r.fields, notes())
		return r
	}
	r.fields = append(r.fields, besides{name: "measurement_location", words: []string{
		"left ankle", "right ankle", "left hip", "right hip", "left thigh", "right thigh", "left thorax", "middle left thorax", "left upper arm",
		"right upper arm", "left wrist", "right wrist",
	}})
	if v.atLeast(3, 1) {
		r.fields = append(r.fields, activity())
	}
	return r
}

func heartRules(v version) schemaRules {
	r := schemaRules{metric: vital.HeartRate, values: []string{"heart_rate"}, timing: since(v, 2), ieee: v.major >= 3, fields: []besides{activity()}}
	r.units = []spelling{{word: "beats/min", unit: vital.PerMinute}}
	if v.atLeast(1, 1) {
		r.fields = append(r.fields, asleep())
	}
	if v.major == 1 {
		r.fields = append(r.fields, notes())
	}
	return r
}

func saturationRules(v version) schemaRules {
	r := schemaRules{metric: vital.OxygenSat, values: []string{"oxygen_saturation"}, timing: since(v, 2), ieee: v.major >= 3}
	r.units = []spelling{{word: "%", unit: vital.Percent}}
	r.fields = []besides{
		{name: "system", words: []string{"peripheral capillary"}},
		{name: "supplemental_oxygen_flow_rate", units: []spelling{{word: "L/min", unit: vital.LitrePerMin}}},
		{name: "oxygen_therapy_mode_of_administration", words: []string{"nasal cannula"}},
		{name: "measurement_method", words: []string{"pulse oximetry"}},
	}
	return r
}

func temperatureRules(v version) schemaRules {
	r := schemaRules{metric: vital.BodyTemperature, values: []string{"body_temperature"}, timing: since(v, 3), ieee: v.major >= 4}
	r.units = []spelling{{word: "K", unit: vital.Kelvin}, {word: "F", unit: vital.Fahrenheit}, {word: "C", unit: vital.Celsius}}
	places := []string{"axillary", "finger", "forehead", "oral", "rectal", "temporal artery", "toe", "tympanic", "wrist", "vagina"}
	if v.major == 1 {
		places = []string{"oral", "rectal", "vaginal", "axillary", "otic", "wrist", "chest", "temporal"}
	}
	r.fields = []besides{{name: "measurement_location", words: places}}
	if v.major >= 2 {
		r.fields = append(r.fields, asleep())
	}
	return r
}

func bloodGlucoseRules(v version) schemaRules {
	r := schemaRules{metric: vital.Glucose, values: []string{"blood_glucose"}, timing: since(v, 3), ieee: v.major >= 4}
	r.units = []spelling{{word: "mg/dL", unit: vital.MgPerDL}, {word: "mmol/L", unit: vital.MmolPerL}}
	switch v.major {
	case 1:
		r.fields = []besides{{name: "blood_specimen_type", words: []string{"whole blood", "plasma", "serum"}}}
	case 2:
		r.fields = []besides{{name: "specimen_source", words: []string{"interstitial fluid", "capillary blood", "plasma", "serum", "tears", "whole blood"}}}
	default:
		r.fields = []besides{{name: "specimen_source", words: []string{
			"breath", "capillary blood", "interstitial fluid", "lacrimal fluid", "saliva", "sweat", "tears", "urine",
		}}}
	}
	r.fields = append(r.fields, besides{name: "temporal_relationship_to_meal", words: []string{
		"fasting", "not fasting", "before meal", "after meal", "before breakfast", "after breakfast", "before lunch", "after lunch", "before dinner",
		"after dinner", "2 hours postprandial",
	}}, asleep())
	if v.major <= 2 {
		r.fields = append(r.fields, notes())
	}
	return r
}

func stepRules(v version) schemaRules {
	r := schemaRules{metric: vital.StepCount, values: []string{"step_count"}, bare: vital.Steps}
	if v.major == 1 {
		r.noStatistic = true
		return r
	}
	r.timing = interval
	r.fields = []besides{{name: "descriptive_statistic_denominator"}}
	if v.major >= 3 {
		r.bare, r.units = vital.NoUnit, []spelling{{word: "steps", unit: vital.Steps}}
	}
	return r
}

func sleepRules(name string, v version) schemaRules {
	r := schemaRules{metric: vital.SleepDuration, values: []string{strings.ReplaceAll(name, "-", "_")}, timing: interval}
	r.fields = []besides{{name: "descriptive_statistic_denominator"}}
	r.units = []spelling{{word: "sec", unit: vital.Second}, {word: "min", unit: vital.Minute}, {word: "h", unit: vital.Hour}}
	switch {
	case name == "total-sleep-time":
		r.units = durations()
	case v.major == 1:
		r.timing, r.noStatistic, r.fields = optional, true, []besides{notes()}
	}
	return r
}

func notes() besides { return besides{name: "user_notes"} }

func activity() besides {
	return besides{name: "temporal_relationship_to_physical_activity", words: []string{
		"at rest", "active", "before exercise", "after exercise", "during exercise",
	}}
}

func asleep() besides {
	return besides{name: "temporal_relationship_to_sleep", words: []string{"before sleeping", "during sleep", "on waking"}}
}

// masses are the units of mass-unit-value. An ounce is exactly a sixteenth of a pound, a ton (of 2000 pounds) exactly that; a
// grain is no decimal part of either.
func masses() []spelling {
	return []spelling{
		{"fg", vital.Gram, 0, -15},
		{"pg", vital.Gram, 0, -12},
		{"ng", vital.Gram, 0, -9},
		{"ug", vital.Gram, 0, -6},
		{"mg", vital.Gram, 0, -3},
		{"g", vital.Gram, 0, 0},
		{"kg", vital.Kilogram, 0, 0},
		{"Metric Ton", vital.Kilogram, 0, 3},
		{"gr", vital.NoUnit, 0, 0},
		{"oz", vital.Pound, 625, -4},
		{"lb", vital.Pound, 0, 0},
		{"Ton", vital.Pound, 2, 3},
	}
}

// durations are the units of duration-unit-value. How long a month or a year is, is not said by it.
func durations() []spelling {
	return []spelling{
		{"ps", vital.Second, 0, -12},
		{"ns", vital.Second, 0, -9},
		{"us", vital.Second, 0, -6},
		{"ms", vital.Second, 0, -3},
		{"sec", vital.Second, 0, 0},
		{"min", vital.Minute, 0, 0},
		{"h", vital.Hour, 0, 0},
		{"d", vital.Hour, 24, 0},
		{"wk", vital.Hour, 168, 0},
		{"Mo", vital.NoUnit, 0, 0},
		{"yr", vital.NoUnit, 0, 0},
	}
}

func statistics() []string {
	return []string{
		"average", "count", "maximum", "median", "minimum", "standard deviation", "sum", "variance", "20th percentile", "80th percentile",
		"lower quartile", "upper quartile", "quartile deviation", "1st quintile", "2nd quintile", "3rd quintile", "4th quintile",
	}
}
