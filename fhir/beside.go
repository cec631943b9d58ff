package fhir

import (
	"slices"
	"strings"
)

// Statistics is the code system of statistics over a time (http://hl7.org/fhir/R4/codesystem-observation-statistics.html).
const Statistics = "http://terminology.hl7.org/CodeSystem/observation-statistics"

// UnnamedStatistic is the code of a statistic of which Hale does not know which it is, among its own findings.
const (
	UnnamedStatistic = "averaged"
	findings         = Hale + "finding"
)

// Statistic returns what says that a number is a statistic over a time: of one that Hale knows by its words ("average", "lower quartile"),
// the word of FHIR, else ours beside the words of its sender, which may be empty.
func Statistic(words string) CodeableConcept {
	for _, c := range statistics() {
		if strings.EqualFold(c.Display, words) {
			return CodeableConcept{Coding: []Coding{c}, Text: words}
		}
	}
	return CodeableConcept{Coding: []Coding{{System: findings, Code: UnnamedStatistic}}, Text: words}
}

// IsStatistic reports whether a notion is a statistic over a time.
func IsStatistic(c *CodeableConcept) bool {
	return slices.ContainsFunc(c.Coding, func(w Coding) bool {
		return w.System == Statistics && w.Code != "" || w.System == findings && w.Code == UnnamedStatistic
	})
}

func statistics() []Coding {
	all := []Coding{
		{Code: "average", Display: "Average"},
		{Code: "maximum", Display: "Maximum"},
		{Code: "minimum", Display: "Minimum"},
		{Code: "count", Display: "Count"},
		{Code: "median", Display: "Median"},
		{Code: "std-dev", Display: "Standard Deviation"},
		{Code: "sum", Display: "Sum"},
		{Code: "variance", Display: "Variance"},
		{Code: "20-percent", Display: "20th Percentile"},
		{Code: "80-percent", Display: "80th Percentile"},
		{Code: "4-lower", Display: "Lower Quartile"},
		{Code: "4-upper", Display: "Upper Quartile"},
		{Code: "4-dev", Display: "Quartile Deviation"},
		{Code: "5-1", Display: "1st Quintile"},
		{Code: "5-2", Display: "2nd Quintile"},
		{Code: "5-3", Display: "3rd Quintile"},
		{Code: "5-4", Display: "4th Quintile"},
	}
	for i := range all {
		all[i].System = Statistics
	}
	return all
}

// FactCode returns what names a fact that stands beside the numbers of an Observation, with its code where LOINC has one that
// clinical/fhir.md or clinical/vitals.csv names.
func FactCode(name string) CodeableConcept {
	c := CodeableConcept{Text: name}
	switch name {
	case "mean_pressure":
		c.Coding = []Coding{{System: LOINC, Code: "8478-0", Display: "Mean blood pressure"}}
	case "body_mass_index":
		c.Coding = []Coding{{System: LOINC, Code: "39156-5", Display: "Body mass index (BMI) [Ratio]"}}
	case "body_height":
		c.Coding = []Coding{{System: LOINC, Code: "8302-2", Display: "Body height"}}
	case "supplemental_oxygen_flow_rate":
		c.Coding = []Coding{{System: LOINC, Code: "3151-8", Display: "Inhaled oxygen flow rate"}}
	}
	return c
}

// FactUnit reports whether the code of a unit of a fact is one of UCUM: those of measurements are, and those that only facts have.
func FactUnit(code string) bool {
	if _, known := UnitOf(code); known {
		return true
	}
	return slices.Contains([]string{"kg/m2", "m", "cm", "[in_i]", "kJ", "Ohm", "ms"}, code)
}
