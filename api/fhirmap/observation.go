package fhirmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hale/account"
	"hale/fhir"
	"hale/safe"
	"hale/vital"
)

const (
	loinc      = "http://loinc.org"
	ucum       = "http://unitsofmeasure.org"
	mdc        = "urn:iso:std:iso:11073:10101"
	categories = "http://terminology.hl7.org/CodeSystem/observation-category"
	profiles   = "http://hl7.org/fhir/StructureDefinition/"
	lookAction = account.LookAction
)

// form is how a metric is written: its category, the profile that it keeps to, the units that this profile takes (none: every
// one that Hale takes), and codes beside the LOINC code (clinical/fhir.md, section 1; clinical/vitals.csv).
type form struct {
	category, title string
	profile         string
	units           []vital.Unit
	also            []fhir.Coding
}

func formOf(m vital.Metric) form {
	sign := func(profile, code, ref string, units ...vital.Unit) form {
		return form{"vital-signs", "Vital Signs", profile, units, []fhir.Coding{{System: mdc, Code: code, Display: ref}}}
	}
	switch m {
	case vital.BloodPressure:
		return sign("bp", "150020", "MDC_PRESS_BLD_NONINV", vital.MmHg, vital.PerMinute)
	case vital.HeartRate:
		return form{"vital-signs", "Vital Signs", "heartrate", []vital.Unit{vital.PerMinute}, nil} // its MDC code is the device's, which we do not know
	case vital.OxygenSat:
		f := sign("oxygensat", "150456", "MDC_PULS_OXIM_SAT_O2", vital.Percent)
		f.also = append([]fhir.Coding{{System: loinc, Code: "59408-5", Display: "Oxygen saturation in Arterial blood by Pulse oximetry"}}, f.also...)
		return f
	case vital.BodyWeight:
		return sign("bodyweight", "188736", "MDC_MASS_BODY_ACTUAL", vital.Kilogram, vital.Pound, vital.Gram)
	case vital.BodyTemperature:
		return sign("bodytemp", "150364", "MDC_TEMP_BODY", vital.Celsius, vital.Fahrenheit)
	case vital.RespiratoryRate:
		return sign("resprate", "151562", "MDC_RESP_RATE", vital.PerMinute)
	case vital.OxygenFlow:
		return form{category: "vital-signs", title: "Vital Signs", profile: "vitalsigns"}
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal, vital.INR:
		return form{category: "laboratory", title: "Laboratory"}
	case vital.StepCount, vital.SleepDuration:
		return form{category: "activity", title: "Activity"}
	case vital.PainScore:
		return form{category: "survey", title: "Survey"}
	case vital.FEV1, vital.PeakFlow, vital.BodyWater, vital.MuscleMass, vital.SkinTemperature:
		return form{category: "exam", title: "Exam"}
	}
	return form{category: "exam", title: "Exam"}
}

func (d *document) observation(r *safe.Reading) fhir.Observation {
	def, _ := vital.Define(r.Metric)
	f := formOf(r.Metric)
	o := fhir.Observation{
		ResourceType: "Observation", Identifier: []fhir.Identifier{{System: System + "reading", Value: strconv.FormatInt(r.ID, 10)}}, Status: "final",
		Category: []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: categories, Code: f.category, Display: f.title}}}},
		Code:     fhir.CodeableConcept{Text: def.Display}, Subject: d.subject(),
		EffectiveDateTime: d.dateTime(r.MeasuredAt), Issued: d.instant(r.ReceivedAt),
	}
	if f.profile != "" {
		o.Meta = &fhir.Meta{Profile: []string{profiles + f.profile}}
		if f.profile != "vitalsigns" {
			o.Meta.Profile = append([]string{profiles + "vitalsigns"}, o.Meta.Profile...)
		}
	}
	o.Code.Coding = append([]fhir.Coding{wholeCode(def, r)}, f.also...)
	if url, known := d.devices[r.Device]; known {
		o.Device = &fhir.Reference{Reference: url}
	}
	for i, sent := range r.Sent {
		if i >= len(def.Components) || i >= len(r.Values) {
			break
		}
		c := def.Components[i]
		q, note := quantity(c, sent, r.Values[i], f.units)
		if note != "" {
			o.Note = append(o.Note, fhir.Annotation{Text: note})
		}
		if len(def.Components) == 1 {
			o.ValueQuantity = &q
			continue
		}
		o.Component = append(o.Component, fhir.Component{
			Code: fhir.CodeableConcept{Coding: []fhir.Coding{{System: loinc, Code: c.LOINC}}, Text: c.Code}, ValueQuantity: &q,
		})
	}
	o.Note = append(o.Note, notes(r)...)
	return o
}

// wholeCode is the code of an Observation. LOINC names amounts of substance apart from masses, so that glucose in mmol/L has
// another code than in mg/dL; what LOINC has no code for has ours.
func wholeCode(def vital.Definition, r *safe.Reading) fhir.Coding {
	switch def.Metric { //nolint:exhaustive // the others have one code
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal:
		if len(r.Sent) > 0 && r.Sent[0].Unit == vital.MmolPerL {
			return fhir.Coding{System: loinc, Code: "14743-9", Display: "Glucose [Moles/volume] in Capillary blood by Glucometer"}
		}
	}
	if def.LOINC == "" {
		return fhir.Coding{System: System + "metric", Code: def.Code, Display: def.Display}
	}
	return fhir.Coding{System: loinc, Code: def.LOINC, Display: def.Display}
}

// quantity writes a number as it was sent where the profile takes its unit, digit by digit, and else in the canonical unit with a
// note of what was sent.
func quantity(c vital.Component, sent vital.Quantity, value float64, units []vital.Unit) (fhir.Quantity, string) {
	write := func(number string, u vital.Unit) fhir.Quantity {
		word := u.Word()
		if word == "" {
			word = u.UCUM()
		}
		return fhir.Quantity{Value: fhir.Decimal(number), Unit: word, System: ucum, Code: u.UCUM()}
	}
	if units == nil || slices.Contains(units, sent.Unit) {
		return write(sent.String(), sent.Unit), ""
	}
	note := fmt.Sprintf("%s was sent as %s %s", c.Code, sent.String(), sent.Unit.UCUM())
	if sent.Unit == vital.Fraction && c.Canonical == vital.Percent {
		return write(vital.Quantity{Mantissa: sent.Mantissa, Exponent: sent.Exponent + 2}.String(), vital.Percent), note // exact
	}
	return write(safe.Converted(value), c.Canonical), note
}

// notes tell what a device, Hale or the patient noticed about a reading.
func notes(r *safe.Reading) []fhir.Annotation {
	var all []fhir.Annotation
	for _, name := range r.Findings.Names() {
		text := strings.ReplaceAll(name, "_", " ")
		if name == "disputed" {
			text = "disputed by the patient"
		}
		all = append(all, fhir.Annotation{Text: text})
	}
	if off := r.Offset(); off != 0 {
		all = append(all, fhir.Annotation{Text: fmt.Sprintf("the device's clock was corrected by %s s", strconv.FormatFloat(off.Seconds(), 'f', -1, 64))})
	}
	return all
}
