package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/api/fhirmap"
	"hale/fault"
	"hale/fhir"
	"hale/ingest/formats"
	"hale/safe"
	"hale/vital"
)

// conformFHIR reads a resource, writes what would be stored of it as a person's copy has it, and reads that: it must mean the same. What is
// no measurement that Hale keeps must be refused with a reason; what a device that sends it is refused for is missed.
func conformFHIR(text []byte, now time.Time) vector {
	m := formats.FHIR(text)
	v := vector{got: messageWords(&m), ok: len(m.Drafts) > 0 || noneKept(&m)}
	for _, r := range m.Refused {
		v.ok = v.ok && r.NotKept && r.Detail != ""
	}
	sent := quantitiesOf(text)
	for i := range m.Drafts {
		for _, q := range m.Drafts[i].Measured() {
			if !slices.Contains(sent, q) {
				return vector{got: fmt.Sprintf("%s %s is not what was sent: %s", q, q.Unit.UCUM(), v.got)}
			}
		}
	}
	readings, err := v.taken(&m, now)
	for i := range readings {
		if err == nil {
			err = againAs(&readings[i], now)
		}
	}
	if err != nil {
		v.ok, v.got = false, v.got+": "+fault.MessageOf(err)
	}
	return v
}

// againAs writes a reading as a copy of the record has it in FHIR, and reads that; when it does not mean the same, the error says why. What
// takes another back has no number and is written as nothing.
func againAs(r *vital.Reading, now time.Time) error {
	if r.N == 0 {
		return nil
	}
	text, err := copied(r)
	if err != nil {
		return err
	}
	m := formats.FHIR(text)
	if len(m.Drafts) != 1 || len(m.Refused) != 1 || !m.Refused[0].NotKept { // the Patient is no measurement
		return fault.New(fault.Invalid, "it came back as %s", messageWords(&m))
	}
	v := vector{}
	again, err := v.taken(&m, now)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "it came back as %s", messageWords(&m))
	}
	if differs := unlike(r, &again[0]); differs != "" {
		return fault.New(fault.Invalid, "%s: it came back as %s", differs, messageWords(&m))
	}
	return nil
}

// copied writes a reading as the copy of its patient's record has it.
func copied(r *vital.Reading) ([]byte, error) {
	var text bytes.Buffer
	d, err := fhirmap.Exporter{}.Begin(&text, safe.Holder{Organisation: "sample", Patient: account.Patient{UID: "sample", Name: "Sample", Zone: "UTC"}}, r.ReceivedAt)
	if err != nil {
		return nil, err
	}
	if err := d.Add(exported(r)); err != nil {
		return nil, err
	}
	err = d.End()
	return text.Bytes(), err
}

// exported is a reading as the record gives it to a copy.
func exported(r *vital.Reading) *safe.Reading {
	e := &safe.Reading{
		ID: r.ID(), Metric: r.Metric, MeasuredAt: r.MeasuredAt, SentAt: r.SentAt, ReceivedAt: r.ReceivedAt, Tie: r.Tie,
		Sent: slices.Clone(r.Sent[:r.N]), Values: r.Values(), Findings: r.Findings, Sensor: "sample", Device: "sample",
	}
	if r.More != nil {
		e.Facts = r.More.Facts
	}
	return e
}

// unlike says in what two readings do not mean the same; "" when they do: what was measured, how much, when and how surely, what the
// device noticed, whether it is a statistic or amends another, and every fact. How it came is not looked at.
func unlike(a, b *vital.Reading) string {
	const noticed = vital.IrregularPulse | vital.BodyMovement | vital.CuffLoose | vital.PoorSignal | vital.LowPerfusion | vital.PulseDropped |
		vital.FindingUnclear | vital.Averaged | vital.Amending
	switch {
	case a.Metric != b.Metric || a.N != b.N:
		return "another measurement"
	case !a.MeasuredAt.Equal(b.MeasuredAt) || exported(a).Dated() != exported(b).Dated():
		return "another time"
	case (a.Findings^b.Findings)&noticed != 0:
		return "other findings"
	}
	for i, x := range a.Values() {
		if safe.Converted(x) != safe.Converted(b.Values()[i]) { // what the profile takes in one unit alone is written as finely as this
			return "another number"
		}
	}
	was, is := factsOf(a), factsOf(b)
	for _, fact := range slices.Sorted(maps.Keys(was)) {
		if is[fact] < was[fact] {
			return "without " + fact
		}
	}
	for _, fact := range slices.Sorted(maps.Keys(is)) {
		if is[fact] > was[fact] && !strings.HasPrefix(fact, "note ") { // Hale says in notes what it did
			return "besides with " + fact
		}
	}
	return ""
}

// factsOf counts the facts of a reading by what they mean.
func factsOf(r *vital.Reading) map[string]int {
	all := map[string]int{}
	for _, f := range exported(r).Facts {
		name, value := f.Name, f.Value
		switch name {
		case "measurement_location":
			name = "body_site"
		case "measurement_method":
			name = "method"
		case vital.Until:
			for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
				if at, err := time.Parse(form, value); err == nil {
					value = at.UTC().Format(time.RFC3339Nano)
				}
			}
		}
		all[name+" "+value]++
	}
	return all
}

// quantitiesOf finds the amounts of a resource without knowing what it is: whatever object has a value and a code of UCUM, and
// whatever stands as valueInteger.
func quantitiesOf(text []byte) []vital.Quantity {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var root any
	if d.Decode(&root) != nil {
		return nil
	}
	var found []vital.Quantity
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			number, ok := v["value"].(json.Number)
			code, _ := v["code"].(string)
			units := []vital.Unit{}
			if u, known := fhir.UnitOf(code); known && ok {
				units = append(units, u)
			}
			if whole, is := v["valueInteger"].(json.Number); is {
				number, units = whole, []vital.Unit{vital.Steps, vital.Score}
			}
			if m, e, err := vital.ParseDecimal(number.String()); err == nil {
				for _, u := range units {
					found = append(found, vital.Quantity{Mantissa: m, Exponent: e, Unit: u})
					if u == vital.Fraction { // a count may be written as 1
						found = append(found, vital.Quantity{Mantissa: m, Exponent: e, Unit: vital.Steps}, vital.Quantity{Mantissa: m, Exponent: e, Unit: vital.Score})
					}
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(root)
	return found
}
