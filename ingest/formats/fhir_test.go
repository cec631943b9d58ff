package formats_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/fhir"
	"hale/ingest/formats"
	"hale/vital"
)

func TestFHIR(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/fhir.txt", func(t *testing.T, given string) formats.Message {
		t.Helper()
		m := formats.FHIR([]byte(given))
		for i := range m.Drafts {
			again(t, &m.Drafts[i])
		}
		return m
	})
}

// again writes a measurement and reads it: it must mean the same.
func again(t *testing.T, d *formats.Draft) {
	t.Helper()
	o, err := formats.Observation(d)
	if err != nil {
		t.Fatalf("%s cannot be written: %v", draftLine(*d), err)
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatalf("%s cannot be written: %v", draftLine(*d), err)
	}
	m := formats.FHIR(text)
	if len(m.Drafts) != 1 || len(m.Refused) != 0 || !formats.Same(d, &m.Drafts[0]) {
		t.Fatalf("%s was written as\n%s\nand read as\n%s", draftLine(*d), text, told(m))
	}
}

func TestEveryMetricIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, def := range vital.Metrics() {
		for _, u := range def.Components[0].Accepted {
			d := formats.Draft{Metric: def.Metric, N: 1, Identifier: "urn:x|1", Time: formats.Time{At: time.Date(2026, 3, 29, 6, 1, 0, 0, time.UTC)}}
			d.Sent[0] = vital.Quantity{Mantissa: 1210, Exponent: -2, Unit: u}
			if len(def.Components) > 1 {
				d.N = 3
				d.Sent[1], d.Sent[2] = vital.Quantity{Mantissa: 79, Unit: u}, vital.Quantity{Mantissa: 66, Unit: vital.PerMinute}
			}
			d.Findings = vital.PoorSignal | vital.IrregularPulse
			d.Facts = []vital.Fact{{Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "contact", Value: "not detected"}}
			again(t, &d)
		}
	}
}

func TestWhatCannotBeSaidInFHIRIsNotWritten(t *testing.T) {
	t.Parallel()
	good := formats.Draft{Metric: vital.HeartRate, N: 1, Sent: [3]vital.Quantity{{Mantissa: 61, Unit: vital.PerMinute}}}
	local, summary := good, good
	local.Time = formats.Time{At: time.Date(2026, 3, 29, 6, 1, 0, 0, time.UTC), Local: true}
	summary.Standing = vital.Summary
	for name, d := range map[string]formats.Draft{"a time without zone": local, "a statistic": summary} {
		if _, err := formats.Observation(&d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again(t, &good)
}

func TestANameIsWrittenInItsSystem(t *testing.T) {
	t.Parallel()
	d := formats.Draft{Metric: vital.HeartRate, N: 1, Sent: [3]vital.Quantity{{Mantissa: 61, Unit: vital.PerMinute}}}
	for name, want := range map[string]fhir.Observation{
		"urn:x|a|b":     {Identifier: []fhir.Identifier{{System: "urn:x", Value: "a|b"}}},
		"|a|b":          {Identifier: []fhir.Identifier{{Value: "a|b"}}},
		"a":             {Identifier: []fhir.Identifier{{Value: "a"}}},
		"Observation/7": {ID: "7"},
		"":              {},
	} {
		d.Identifier = name
		o, err := formats.Observation(&d)
		again(t, &d)
		if diff := cmp.Diff(want, fhir.Observation{ID: o.ID, Identifier: o.Identifier}); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", name, err, diff)
		}
	}
}

func TestMeasurementsThatDifferAreNotTheSame(t *testing.T) {
	t.Parallel()
	a := formats.Draft{Metric: vital.HeartRate, N: 1, Sent: [3]vital.Quantity{{Mantissa: 61, Unit: vital.PerMinute}}, Identifier: "a"}
	for name, change := range map[string]func(*formats.Draft){
		"another metric":  func(d *formats.Draft) { d.Metric = vital.RespiratoryRate },
		"another number":  func(d *formats.Draft) { d.Sent[0].Mantissa = 62 },
		"another power":   func(d *formats.Draft) { d.Sent[0].Exponent = 1 },
		"no number":       func(d *formats.Draft) { d.N = 0 },
		"another time":    func(d *formats.Draft) { d.Time.At = time.Unix(1, 0) },
		"another end":     func(d *formats.Draft) { d.Time.Until = time.Unix(1, 0) },
		"a date":          func(d *formats.Draft) { d.Time.Precision = formats.ToDay },
		"no zone":         func(d *formats.Draft) { d.Time.Local = true },
		"an amendment":    func(d *formats.Draft) { d.Standing = vital.Amended },
		"another name":    func(d *formats.Draft) { d.Identifier = "b" },
		"another finding": func(d *formats.Draft) { d.Findings = vital.PoorSignal },
	} {
		b := a
		if change(&b); formats.Same(&a, &b) {
			t.Error(name)
		}
	}
	b := a
	b.Sent[0] = vital.Quantity{Mantissa: 610, Exponent: -1, Unit: vital.PerMinute}
	if !formats.Same(&a, &b) {
		t.Error("61 and 61.0 do not mean the same")
	}
}

// FuzzFHIR: no text ends the decoder, whatever it returns is sound, and a measurement is written and read as the same.
func FuzzFHIR(f *testing.F) {
	for _, seed := range goldenInputs(f, "testdata/fhir.txt") {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := formats.FHIR(text)
		sound(t, m)
		for i := range m.Drafts {
			again(t, &m.Drafts[i])
		}
	})
}
