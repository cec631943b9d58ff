package fhir_test

import (
	"encoding/json"
	"strings"
	"testing"

	"hale/fault"
	"hale/fhir"
	"hale/vital"
)

const weight = `{"resourceType":"Observation","id":"w","status":"final","category":[],"code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},` +
	`"subject":{"reference":"Patient/1"},"effectiveDateTime":"2026-03-29",` +
	`"valueQuantity":{"value":78.350,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},` +
	`"component":[{"code":{"text":"x"},"modifierExtension":[]}],"encounter":{"reference":"Encounter/1"},"valueSampledData":{"origin":1.00}}`

func TestAnObservationIsWrittenAsItWasRead(t *testing.T) {
	t.Parallel()
	var o fhir.Observation
	if err := json.Unmarshal([]byte(weight), &o); err != nil {
		t.Fatal(err)
	}
	if o.ValueQuantity.Value != "78.350" {
		t.Errorf("78.350 became %s", o.ValueQuantity.Value)
	}
	text, err := json.Marshal(o)
	if err != nil || string(text) != weight {
		t.Errorf("%v: %s", err, text)
	}
	if got := strings.Join(o.Modifiers(), " "); got != "component.modifierExtension" {
		t.Errorf("modifiers %q", got)
	}
}

func TestWhatIsNoObservationIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, spoilt, want string }{
		"a value as text":        {`78.350`, `"78.350"`, "valueQuantity: value: a number belongs here"},
		"a value that is null":   {`78.350`, `null`, "valueQuantity: value is null"},
		"a code as a list":       {`"code":{"coding"`, `"code":[],"x":{"coding"`, "code: a JSON object"},
		"a status that is a one": {`"final"`, `1`, "status: this is not"},
	} {
		var o fhir.Observation
		err := json.Unmarshal([]byte(strings.Replace(weight, c.old, c.spoilt, 1)), &o)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.MessageOf(err), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var q fhir.Quantity
	if err := json.Unmarshal([]byte(`{"VALUE":1,"Code":"kg"}`), &q); err != nil || q != (fhir.Quantity{}) {
		t.Errorf("names in other letters were taken: %+v, %v", q, err)
	}
}

func TestEveryMetricIsKnownByItsCodes(t *testing.T) {
	t.Parallel()
	for _, def := range vital.Metrics() {
		for _, u := range def.Components[0].Accepted {
			exact := vital.Metric(0)
			for _, c := range fhir.CodeOf(def.Metric, u) {
				m, ok := fhir.MetricOf(c)
				if !ok {
					t.Errorf("%s: %s is not known", def.Code, c.Code)
				}
				if m == def.Metric {
					exact = m
				}
			}
			if exact != def.Metric {
				t.Errorf("%s in %s has no code of its own", def.Code, u.UCUM())
			}
			if got, ok := fhir.UnitOf(u.UCUM()); !ok || got != u {
				t.Errorf("unit %s became %s", u.UCUM(), got.UCUM())
			}
		}
		for _, c := range def.Components {
			if part, ok := fhir.ComponentOf(fhir.Coding{System: fhir.LOINC, Code: c.LOINC}); len(def.Components) > 1 && (!ok || part != c.Code) {
				t.Errorf("component %s became %s", c.Code, part)
			}
		}
	}
	for _, bad := range []string{"", "C", "F", "mmHg", "bpm", "lb", "KG"} {
		if u, ok := fhir.UnitOf(bad); ok {
			t.Errorf("%q was taken as %s", bad, u.UCUM())
		}
	}
}

func TestWordsAreWhatAPersonReads(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*fhir.CodeableConcept{
		"":     nil,
		"arm":  {Text: "arm", Coding: []fhir.Coding{{Display: "left"}}},
		"left": {Coding: []fhir.Coding{{Code: "1"}, {Display: "left"}}},
		"1":    {Coding: []fhir.Coding{{Code: "1"}}},
	} {
		if got := c.Words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
