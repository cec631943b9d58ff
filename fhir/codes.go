package fhir

import (
	"fmt"
	"slices"

	"hale/vital"
)

// The code systems of what Hale reads and writes.
const (
	LOINC               = "http://loinc.org"
	UCUM                = "http://unitsofmeasure.org"
	MDC                 = "urn:iso:std:iso:11073:10101"
	ObservationCategory = "http://terminology.hl7.org/CodeSystem/observation-category"
	Profiles            = "http://hl7.org/fhir/StructureDefinition/"
	Hale                = "urn:hale:" // the root of the names that Hale gives
)

// Form is how a metric is written: its category, the profile that it keeps to, the units that this profile takes (nil: every
// one that Hale takes), and codes beside the LOINC code (clinical/fhir.md, section 1; clinical/vitals.csv).
type Form struct {
	Category, Title string
	Profile         string
	Units           []vital.Unit
	Also            []Coding
}

// FormOf returns the form of a metric.
func FormOf(m vital.Metric) Form {
	sign := func(profile, code, ref string, units ...vital.Unit) Form {
		return Form{"vital-signs", "Vital Signs", profile, units, []Coding{{System: MDC, Code: code, Display: ref}}}
	}
	switch m {
	case vital.BloodPressure:
		return sign("bp", "150020", "MDC_PRESS_BLD_NONINV", vital.MmHg, vital.PerMinute)
	case vital.HeartRate:
		return Form{"vital-signs", "Vital Signs", "heartrate", []vital.Unit{vital.PerMinute}, nil} // its MDC code is the device's, which we do not know
	case vital.OxygenSat:
		f := sign("oxygensat", "150456", "MDC_PULS_OXIM_SAT_O2", vital.Percent)
		f.Also = append([]Coding{{System: LOINC, Code: "59408-5", Display: "Oxygen saturation in Arterial blood by Pulse oximetry"}}, f.Also...)
		return f
	case vital.BodyWeight:
		return sign("bodyweight", "188736", "MDC_MASS_BODY_ACTUAL", vital.Kilogram, vital.Pound, vital.Gram)
	case vital.BodyTemperature:
		return sign("bodytemp", "150364", "MDC_TEMP_BODY", vital.Celsius, vital.Fahrenheit)
	case vital.RespiratoryRate:
		return sign("resprate", "151562", "MDC_RESP_RATE", vital.PerMinute)
	case vital.OxygenFlow:
		return Form{Category: "vital-signs", Title: "Vital Signs", Profile: "vitalsigns"}
	case vital.GlucoseFasting, vital.GlucosePostMeal:
		return Form{Category: "laboratory", Title: "Laboratory", Also: []Coding{local(m)}} // LOINC has no code for these in every unit
	case vital.Glucose, vital.INR:
		return Form{Category: "laboratory", Title: "Laboratory"}
	case vital.StepCount, vital.SleepDuration:
		return Form{Category: "activity", Title: "Activity"}
	case vital.PainScore:
		return Form{Category: "survey", Title: "Survey"}
	case vital.FEV1, vital.PeakFlow, vital.BodyWater, vital.MuscleMass, vital.SkinTemperature:
		return Form{Category: "exam", Title: "Exam"}
	}
	return Form{Category: "exam", Title: "Exam"}
}

// Meta tells the profiles that a form keeps to, nil when there is none.
func (f Form) Meta() *Meta {
	switch f.Profile {
	case "":
		return nil
	case "vitalsigns":
		return &Meta{Profile: []string{Profiles + f.Profile}}
	}
	return &Meta{Profile: []string{Profiles + "vitalsigns", Profiles + f.Profile}}
}

func local(m vital.Metric) Coding {
	def, _ := vital.Define(m)
	return Coding{System: Hale + "metric", Code: def.Code, Display: def.Display}
}

// CodeOf returns the codes of an Observation whose first number was sent in a unit. LOINC names amounts of substance apart from
// masses, so that glucose in mmol/L has another code than in mg/dL; what LOINC has no code for has ours.
func CodeOf(m vital.Metric, sent vital.Unit) []Coding {
	def, _ := vital.Define(m)
	first := Coding{System: LOINC, Code: def.LOINC, Display: def.Display}
	switch m { //nolint:exhaustive // the others have one code
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal:
		if sent == vital.MmolPerL {
			first = Coding{System: LOINC, Code: "14743-9", Display: "Glucose [Moles/volume] in Capillary blood by Glucometer"}
		}
	}
	if def.LOINC == "" {
		first = local(m)
	}
	return append([]Coding{first}, FormOf(m).Also...)
}

// MetricOf finds the metric that a code names (clinical/vitals.csv); what it does not know it reports as false.
func MetricOf(c Coding) (vital.Metric, bool) {
	switch c.System {
	case Hale + "metric":
		return vital.ParseMetric(c.Code)
	case LOINC:
		return metricOfLOINC(c.Code)
	case MDC:
		return metricOfMDC(c.Code)
	}
	return 0, false
}

func metricOfLOINC(code string) (vital.Metric, bool) {
	switch code {
	case "85354-9", "55284-4", "35094-2":
		return vital.BloodPressure, true
	case "8867-4", "8889-8", "40443-4":
		return vital.HeartRate, true
	case "2708-6", "59408-5":
		return vital.OxygenSat, true
	case "29463-7", "3141-9":
		return vital.BodyWeight, true
	case "8310-5", "8331-1", "8328-7", "8332-9", "8333-7": // somewhere, in the mouth, armpit, rectum, ear
		return vital.BodyTemperature, true
	case "9279-1":
		return vital.RespiratoryRate, true
	case "41653-7", "14743-9", "2339-0", "15074-8", "2345-7", "14749-6", "99504-3":
		return vital.Glucose, true
	case "41604-0", "1558-6", "14771-0":
		return vital.GlucoseFasting, true
	case "41950-7", "55423-8":
		return vital.StepCount, true
	case "93832-4":
		return vital.SleepDuration, true
	case "20150-9":
		return vital.FEV1, true
	case "33452-4":
		return vital.PeakFlow, true
	case "34714-6", "6301-6":
		return vital.INR, true
	case "72514-3":
		return vital.PainScore, true
	case "3151-8":
		return vital.OxygenFlow, true
	}
	return 0, false
}

func metricOfMDC(code string) (vital.Metric, bool) {
	switch code {
	case "150020":
		return vital.BloodPressure, true
	case "147842", "149530", "149546": // of an ECG, an oximeter, a cuff
		return vital.HeartRate, true
	case "150456":
		return vital.OxygenSat, true
	case "188736":
		return vital.BodyWeight, true
	case "150364":
		return vital.BodyTemperature, true
	case "151562":
		return vital.RespiratoryRate, true
	case "160184", "160368": // of capillary whole blood, undetermined plasma
		return vital.Glucose, true
	case "160260":
		return vital.INR, true
	case "152584":
		return vital.PeakFlow, true
	case "152586":
		return vital.FEV1, true
	}
	return 0, false
}

// MealOf finds the metric that the meal context of a glucose names (MDC_CTXT_GLU_MEAL; clinical/vitals.csv).
func MealOf(c Coding) (vital.Metric, bool) {
	switch c.System + "|" + c.Code {
	case MDC + "|8417876", MDC + "|8417868": // fasting, before a meal
		return vital.GlucoseFasting, true
	case MDC + "|8417872":
		return vital.GlucosePostMeal, true
	}
	return 0, false
}

// ComponentOf finds the part of a blood pressure that a code names: "systolic", "diastolic", "pulse" or "mean_pressure".
func ComponentOf(c Coding) (string, bool) {
	switch c.System + "|" + c.Code {
	case LOINC + "|8480-6", MDC + "|150021":
		return "systolic", true
	case LOINC + "|8462-4", MDC + "|150022":
		return "diastolic", true
	case LOINC + "|8867-4", LOINC + "|8889-8", MDC + "|149546":
		return "pulse", true
	case LOINC + "|8478-0", MDC + "|150023":
		return "mean_pressure", true
	}
	return "", false
}

// UnitOf finds a unit by its code in UCUM. It takes no everyday spellings: in UCUM C is the coulomb and F the farad.
func UnitOf(code string) (vital.Unit, bool) {
	switch code {
	case "":
		return vital.NoUnit, false
	case "{beats}/min", "{breaths}/min", "{Beats}/min", "{Breaths}/min", "1/min":
		return vital.PerMinute, true
	case "{INR}":
		return vital.Fraction, true
	case "1/(24.h)", "{#}", "/d", "1/d":
		return vital.Steps, true
	case "mg/dl":
		return vital.MgPerDL, true
	case "mmol/l":
		return vital.MmolPerL, true
	case "l":
		return vital.Litre, true
	case "ml":
		return vital.Millilitre, true
	case "l/min":
		return vital.LitrePerMin, true
	}
	u, ok := vital.ParseUnit(code)
	return u, ok && u.UCUM() == code
}

// Amount writes a number as it was sent where the profile takes its unit, digit by digit, and else in the canonical unit, of which
// canonical is the text, with a note of what was sent.
func Amount(c vital.Component, sent vital.Quantity, canonical string, units []vital.Unit) (Quantity, string) {
	write := func(number string, u vital.Unit) Quantity {
		word := u.Word()
		if word == "" {
			word = u.UCUM()
		}
		return Quantity{Value: Decimal(number), Unit: word, System: UCUM, Code: u.UCUM()}
	}
	if units == nil || slices.Contains(units, sent.Unit) {
		return write(sent.String(), sent.Unit), ""
	}
	note := fmt.Sprintf("%s was sent as %s %s", c.Code, sent.String(), sent.Unit.UCUM())
	if sent.Unit == vital.Fraction && c.Canonical == vital.Percent {
		return write(vital.Quantity{Mantissa: sent.Mantissa, Exponent: sent.Exponent + 2}.String(), vital.Percent), note // exact
	}
	return write(canonical, c.Canonical), note
}
