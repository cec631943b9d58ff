package fhirmap_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// This file is a checker of what we write, from the rules of FHIR R4 and not from our own types: it reads plain JSON
// (http://hl7.org/fhir/R4/, the vital signs profile and the invariants of Bundle, Observation, Flag, Consent, AuditEvent).

type object = map[string]any

// checker gathers what is wrong.
type checker struct {
	wrong []string
	urls  map[string]bool
}

func (c *checker) errorf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// checkBundle returns what is wrong with a Bundle.
func checkBundle(t *testing.T, text []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var bundle object
	if err := d.Decode(&bundle); err != nil {
		t.Fatalf("it is no JSON: %v", err)
	}
	c := &checker{urls: map[string]bool{}}
	c.empty("Bundle", bundle)
	if bundle["resourceType"] != "Bundle" || bundle["type"] != "collection" {
		c.errorf("no Bundle of type collection")
	}
	c.moment("Bundle.timestamp", bundle["timestamp"])
	entries, _ := bundle["entry"].([]any)
	for _, e := range entries {
		url, _ := e.(object)["fullUrl"].(string)
		if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(url) || c.urls[url] { // bdl-7
			c.errorf("fullUrl %q is no UUID, or is there twice", url)
		}
		c.urls[url] = true
	}
	for i, e := range entries {
		resource, _ := e.(object)["resource"].(object)
		c.resource(fmt.Sprintf("entry %d", i), resource)
	}
	return c.wrong
}

func (c *checker) resource(at string, r object) {
	kind, _ := r["resourceType"].(string)
	at += " " + kind
	c.references(at, r)
	switch kind {
	case "Patient":
		c.code(at+".gender", r["gender"], "male", "female", "other", "unknown")
		if birth, some := r["birthDate"].(string); some && !regexp.MustCompile(`^\d{4}(-\d\d(-\d\d)?)?$`).MatchString(birth) {
			c.errorf("%s.birthDate %q", at, birth)
		}
	case "Observation":
		c.observation(at, r)
	case "Device":
		for _, n := range list(r["deviceName"]) {
			c.need(at+".deviceName", n, "name", "type")
		}
	case "Flag":
		c.code(at+".status", r["status"], "active", "inactive", "entered-in-error")
		c.need(at, r, "code", "subject")
	case "Consent":
		c.code(at+".status", r["status"], "draft", "proposed", "active", "rejected", "inactive", "entered-in-error")
		c.need(at, r, "scope", "category", "patient", "policyRule") // ppc-1
	case "AuditEvent":
		c.need(at, r, "type", "recorded", "agent", "source")
		c.moment(at+".recorded", r["recorded"])
		for _, a := range list(r["agent"]) {
			if _, ok := a["requestor"].(bool); !ok {
				c.errorf("%s.agent has no requestor", at)
			}
		}
		source, _ := r["source"].(object)
		c.need(at+".source", source, "observer")
		c.code(at+".action", r["action"], "C", "R", "U", "D", "E")
		c.code(at+".outcome", r["outcome"], "0", "4", "8", "12")
	default:
		c.errorf("%s: no such resource", at)
	}
}

// profile is what the vital signs profiles fix (clinical: bp, heartrate, ...).
type profile struct {
	code  string
	units []string
}

func theProfiles() map[string]profile {
	return map[string]profile{
		"bp": {"85354-9", nil}, "heartrate": {"8867-4", []string{"/min"}}, "resprate": {"9279-1", []string{"/min"}}, "oxygensat": {"2708-6", []string{"%"}},
		"bodytemp": {"8310-5", []string{"Cel", "[degF]"}}, "bodyweight": {"29463-7", []string{"kg", "[lb_av]", "g"}}, "vitalsigns": {"", nil},
	}
}

func (c *checker) observation(at string, o object) {
	c.code(at+".status", o["status"], "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown")
	c.need(at, o, "category", "code", "subject")
	code, _ := o["code"].(object)
	c.effective(at, o)
	value, hasValue := o["valueQuantity"].(object)
	if hasValue {
		c.quantity(at, value)
	}
	components := list(o["component"])
	if !hasValue && len(components) == 0 && o["dataAbsentReason"] == nil && o["hasMember"] == nil { // vs-2
		c.errorf("%s has neither value nor component", at)
	}
	for _, one := range components {
		q, some := one["valueQuantity"].(object)
		if !some && one["dataAbsentReason"] == nil && one["valueString"] == nil && one["valueCodeableConcept"] == nil { // vs-3
			c.errorf("%s: a component without a value", at)
		}
		if some {
			c.quantity(at, q)
		}
		if hasValue && slices.Equal(codings(one["code"]), codings(code)) { // obs-7
			c.errorf("%s has a value beside a component of the same code", at)
		}
	}
	meta, _ := o["meta"].(object)
	names, _ := meta["profile"].([]any)
	for _, name := range names {
		url, _ := name.(string)
		c.profiled(at, strings.TrimPrefix(url, "http://hl7.org/fhir/StructureDefinition/"), o)
	}
}

// effective is a moment or a day, or a period between two that are given alike and in their order.
func (c *checker) effective(at string, o object) {
	when, some := o["effectiveDateTime"].(string)
	period, lasts := o["effectivePeriod"].(object)
	if some == lasts {
		c.errorf("%s has neither effectiveDateTime nor effectivePeriod, or both", at)
		return
	}
	times := []string{when}
	if lasts {
		start, _ := period["start"].(string)
		end, _ := period["end"].(string)
		if times = []string{start, end}; len(start) < len(end)-len("+02:00") || len(start) > len(end)+len("+02:00") {
			c.errorf("%s.effectivePeriod from %s to %s", at, start, end)
		}
	}
	var first time.Time
	for _, s := range times {
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			c.moment(at+".effective", s) // vs-1: at least to the day
			if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
				continue // it has been told
			}
		}
		if t.Before(first) { // per-1
			c.errorf("%s.effectivePeriod ends at %s, before it begins", at, s)
		}
		first = t
	}
}

func (c *checker) profiled(at, name string, o object) {
	p, known := theProfiles()[name]
	if !known {
		c.errorf("%s claims the profile %q", at, name)
		return
	}
	signs := 0
	for _, one := range list(o["category"]) {
		if slices.Contains(codings(one), "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs") {
			signs++
		}
	}
	if signs != 1 {
		c.errorf("%s: the profile wants the category vital-signs once, it is there %d times", at, signs)
	}
	if p.code != "" && !slices.Contains(codings(o["code"]), "http://loinc.org|"+p.code) {
		c.errorf("%s: %s wants the code %s", at, name, p.code)
	}
	if name == "oxygensat" && !slices.Contains(codings(o["code"]), "http://loinc.org|59408-5") {
		c.errorf("%s: oxygen saturation by pulse oximetry has both codes", at)
	}
	if name == "bp" {
		if o["valueQuantity"] != nil {
			c.errorf("%s: a blood pressure has no value of its own", at)
		}
		for _, want := range []string{"8480-6", "8462-4"} {
			n := 0
			for _, one := range list(o["component"]) {
				q, _ := one["valueQuantity"].(object)
				if slices.Contains(codings(one["code"]), "http://loinc.org|"+want) && (q == nil || q["code"] == "mm[Hg]") {
					n++
				}
			}
			if n != 1 {
				c.errorf("%s: the component %s in mm[Hg] is there %d times", at, want, n)
			}
		}
		return
	}
	if q, some := o["valueQuantity"].(object); some && p.units != nil {
		if unit, _ := q["code"].(string); !slices.Contains(p.units, unit) {
			c.errorf("%s: %s does not take the unit %q", at, name, unit)
		}
	}
}

func (c *checker) quantity(at string, q object) {
	c.need(at+" quantity", q, "value", "unit", "system", "code")
	if _, ok := q["value"].(json.Number); !ok || q["system"] != "http://unitsofmeasure.org" {
		c.errorf("%s: %v is no quantity in UCUM", at, q)
	}
}

// references must lead to a resource of the Bundle.
func (c *checker) references(at string, v any) {
	switch v := v.(type) {
	case object:
		if ref, some := v["reference"].(string); some && !c.urls[ref] {
			c.errorf("%s refers to %s, which is not there", at, ref)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			c.references(at, v[key])
		}
	case []any:
		for _, one := range v {
			c.references(at, one)
		}
	}
}

// empty finds what JSON in FHIR may not hold: null, and strings, lists and objects of nothing.
func (c *checker) empty(at string, v any) {
	switch v := v.(type) {
	case nil:
		c.errorf("%s is null", at)
	case string:
		if strings.TrimSpace(v) == "" {
			c.errorf("%s is an empty string", at)
		}
	case []any:
		if len(v) == 0 {
			c.errorf("%s is an empty list", at)
		}
		for _, one := range v {
			c.empty(at, one)
		}
	case object:
		if len(v) == 0 {
			c.errorf("%s is an empty object", at)
		}
		for key, one := range v {
			c.empty(at+"."+key, one)
		}
	}
}

func (c *checker) need(at string, o object, names ...string) {
	for _, name := range names {
		if o[name] == nil {
			c.errorf("%s has no %s", at, name)
		}
	}
}

func (c *checker) code(at string, v any, allowed ...string) {
	if s, _ := v.(string); !slices.Contains(allowed, s) {
		c.errorf("%s is %q, not one of %v", at, v, allowed)
	}
}

// moment is an instant: to the second at least, with an offset.
func (c *checker) moment(at string, v any) {
	s, _ := v.(string)
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
		c.errorf("%s is %q, no moment with an offset", at, v)
	}
}

func list(v any) []object {
	all, _ := v.([]any)
	var objects []object
	for _, one := range all {
		if o, ok := one.(object); ok {
			objects = append(objects, o)
		}
	}
	return objects
}

// codings returns "system|code" of a CodeableConcept.
func codings(v any) []string {
	o, _ := v.(object)
	var all []string
	for _, one := range list(o["coding"]) {
		all = append(all, fmt.Sprint(one["system"], "|", one["code"]))
	}
	return all
}
