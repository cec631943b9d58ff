package main

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"hale/ingest"
	"hale/ingest/formats"
	"hale/vital"
)

// vectorsNow is when the vectors of these tests are sent.
func vectorsNow() time.Time { return time.Date(2026, 11, 21, 7, 30, 0, 0, time.UTC) }

// goldenOf returns what is sent in the cases of the decoders' own tests, by the names of the cases.
func goldenOf(tb testing.TB, format string) map[string]string {
	tb.Helper()
	text, err := os.ReadFile("../../ingest/formats/testdata/" + format + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range strings.Split("\n"+string(text), "\n# ")[1:] {
		name, rest, _ := strings.Cut(c, "\n")
		all[name], _, _ = strings.Cut(rest, "\n-> ")
	}
	return all
}

// TestWhatIsExportedMeansTheSame: whatever a decoder's own tests send, and Hale stores of it, is read again from the copy of the record as
// the same, with the end of what lasted, the kind of a statistic, and every fact.
func TestWhatIsExportedMeansTheSame(t *testing.T) {
	t.Parallel()
	for format, c := range map[string]struct {
		read  func(given string) formats.Message
		least int
	}{
		"fhir":     {func(given string) formats.Message { return formats.FHIR([]byte(given)) }, 25},
		"withings": {func(given string) formats.Message { return formats.Withings([]byte(given)) }, 5},
		"gateway":  {func(given string) formats.Message { return formats.Gateway([]byte(given)) }, 5},
		"omh": {func(given string) formats.Message {
			schema, body, _ := strings.Cut(given, "\n")
			m, _ := formats.Read("omh:"+strings.TrimPrefix(schema, "omh:"), []byte(body))
			return m
		}, 20},
		"gatt": {func(given string) formats.Message {
			name, digits, _ := strings.Cut(given, " ")
			value, _ := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
			return formats.GATT(name, value)
		}, 15},
	} {
		n := 0
		for name, given := range goldenOf(t, format) {
			m := c.read(given)
			for i := range m.Drafts {
				r, no := ingest.Judge(&m.Drafts[i], vectorsNow())
				if no != nil {
					continue
				}
				if err := againAs(&r, vectorsNow()); err != nil {
					t.Errorf("%s, %s: %v", format, name, err)
				}
				n++
			}
		}
		if n < c.least {
			t.Errorf("%s: %d measurements were written", format, n)
		}
	}
}

// aReading is one that a decoder's draft became.
func aReading(t *testing.T, d *formats.Draft) *vital.Reading {
	t.Helper()
	r, no := ingest.Judge(d, vectorsNow())
	if no != nil {
		t.Fatalf("%s: %s", d.Metric, no.Detail)
	}
	return &r
}

func TestEveryMetricIsReadAsItWasExported(t *testing.T) {
	t.Parallel()
	for _, def := range vital.Metrics() {
		for _, u := range def.Components[0].Accepted {
			d := formats.Draft{Metric: def.Metric, Time: formats.Time{At: time.Date(2026, 3, 29, 6, 1, 0, 0, time.UTC), Until: time.Date(2026, 3, 29, 7, 1, 0, 5000, time.UTC)}}
			d.Findings = vital.PoorSignal | vital.IrregularPulse
			d.Facts = []vital.Fact{{Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "mean_pressure", Value: "not-a-number"}, {Name: "contact", Value: "not detected"},
				{Name: "body_site", Value: "left arm"}, {Name: "measurement_location", Value: "left wrist"}, {Name: "energy", Value: "007 kJ"}, {Name: "pulse", Value: "60 bpm"},
				{Name: "method", Value: "by hand"}, {Name: "note", Value: "after coffee"}, {Name: "note", Value: "after tea"}, {Name: "until", Value: "later"}}
			for i, c := range def.Components {
				middle := (c.Min + c.Max) / 2
				if i == 0 && len(def.Components) > 1 {
					middle += (c.Max - c.Min) / 4
				}
				unit := c.Canonical
				if i < 2 {
					unit = u
				}
				none, _ := vital.Convert(0, unit, c.Canonical)
				one, _ := vital.Convert(1, unit, c.Canonical)
				x := (middle - none) / (one - none)
				d.Sent[i], d.N = vital.Quantity{Mantissa: int64(x * 100), Exponent: -2, Unit: unit}, uint8(i+1)
				if c.Whole {
					d.Sent[i].Mantissa = int64(x) * 100
				}
			}
			for _, standing := range []vital.Standing{vital.Final, vital.Amended, vital.Summary} {
				d.Standing = standing
				if err := againAs(aReading(t, &d), vectorsNow()); err != nil {
					t.Errorf("%s in %s, standing %d: %v", def.Code, u.UCUM(), standing, err)
				}
			}
		}
	}
}

func TestReadingsThatDifferDoNotMeanTheSame(t *testing.T) {
	t.Parallel()
	a := aReading(t, &formats.Draft{
		Metric: vital.HeartRate, N: 1, Sent: [3]vital.Quantity{{Mantissa: 61, Unit: vital.PerMinute}},
		Time: formats.Time{At: vectorsNow().Add(-time.Hour), Until: vectorsNow()}, Facts: []vital.Fact{{Name: "contact", Value: "detected"}},
	})
	for name, change := range map[string]func(*vital.Reading){
		"another metric": func(r *vital.Reading) { r.Metric = vital.RespiratoryRate },
		"another number": func(r *vital.Reading) { r.Sent[0].Mantissa = 62 },
		"another power":  func(r *vital.Reading) { r.Sent[0].Exponent = 1 },
		"no number":      func(r *vital.Reading) { r.N = 0 },
		"another time":   func(r *vital.Reading) { r.MeasuredAt = r.MeasuredAt.Add(time.Microsecond) },
		"a date": func(r *vital.Reading) {
			r.Findings |= vital.TimeLocal | vital.TimeUnsure
			r.SentAt = r.SentAt.Truncate(24 * time.Hour)
		},
		"another end":        func(r *vital.Reading) { r.More.Facts[0].Value = "2026-11-21T07:29:00Z" },
		"no end":             func(r *vital.Reading) { r.More.Facts = r.More.Facts[1:] },
		"another fact":       func(r *vital.Reading) { r.More.Facts[1].Value = "not detected" },
		"one fact more":      func(r *vital.Reading) { r.More.Facts = append(r.More.Facts, vital.Fact{Name: "energy", Value: "1 kJ"}) },
		"an amendment":       func(r *vital.Reading) { r.Findings |= vital.Amending },
		"an average":         func(r *vital.Reading) { r.Findings |= vital.Averaged },
		"another finding":    func(r *vital.Reading) { r.Findings |= vital.PoorSignal },
		"the same fact once": func(r *vital.Reading) { r.More.Facts[0] = r.More.Facts[1] },
	} {
		b := *a
		more := *a.More
		more.Facts = append([]vital.Fact{}, a.More.Facts...)
		b.More = &more
		if change(&b); unlike(a, &b) == "" {
			t.Error(name)
		}
	}
	b := *a
	b.Sent[0] = vital.Quantity{Mantissa: 610, Exponent: -1, Unit: vital.PerMinute}
	if differs := unlike(a, &b); differs != "" {
		t.Errorf("61 and 61.0: %s", differs)
	}
}

// TestConformanceCallsNothingRightThatIsRefused: of what a device would be refused for nothing is as expected, but that its time is before
// Hale's.
func TestConformanceCallsNothingRightThatIsRefused(t *testing.T) {
	t.Parallel()
	heart := func(effective, value string) []byte {
		return []byte(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},` + effective +
			`"valueQuantity":{"value":` + value + `,"system":"http://unitsofmeasure.org","code":"/min"}}`)
	}
	body := func(value, at string) []byte {
		return []byte(`{"heart_rate":{"value":` + value + `,"unit":"beats/min"},"effective_time_frame":{"date_time":"` + at + `"}}`)
	}
	const path = "heart-rate/2.0/shouldPass/a.json"
	for name, c := range map[string]struct {
		vector          vector
		verdict, reason string
	}{
		"a heart rate":                      {conformFHIR(heart(``, "61"), vectorsNow()), "ok", ""},
		"a heart rate of a day":             {conformFHIR(heart(`"effectiveDateTime":"2026-03-29",`, "61"), vectorsNow()), "ok", ""},
		"one of a month":                    {conformFHIR(heart(`"effectiveDateTime":"2026-11",`, "61"), vectorsNow()), "MISS", "effectiveDateTime: the time says no more than the month"},
		"one that nobody has":               {conformFHIR(heart(``, "900"), vectorsNow()), "MISS", "900 /min lies outside"},
		"one of tomorrow":                   {conformFHIR(heart(`"effectiveDateTime":"2026-11-22T08:00:00Z",`, "61"), vectorsNow()), "MISS", "ahead of ours"},
		"one of another time":               {conformFHIR(heart(`"effectiveDateTime":"1999-07-02",`, "61"), vectorsNow()), "old", ""},
		"one that nobody has, of then":      {conformFHIR(heart(`"effectiveDateTime":"1999-07-02",`, "900"), vectorsNow()), "MISS", "900 /min lies outside"},
		"one of Open mHealth":               {conformOMH(path, body("61", "2026-03-29T08:00:00Z"), vectorsNow()), "ok", ""},
		"one of Open mHealth, of then":      {conformOMH(path, body("61", "2013-02-05T07:25:00Z"), vectorsNow()), "old", ""},
		"one of Open mHealth nobody has":    {conformOMH(path, body("900", "2013-02-05T07:25:00Z"), vectorsNow()), "MISS", "900 /min lies outside"},
		"one of Open mHealth, of next year": {conformOMH(path, body("61", "2027-02-05T07:25:00Z"), vectorsNow()), "MISS", "ahead of ours"},
	} {
		if got := c.vector.verdict(); got != c.verdict || !strings.Contains(c.vector.got, c.reason) {
			t.Errorf("%s: %s %s", name, got, c.vector.got)
		}
	}
}

// FuzzWhatIsExported: whatever Hale takes as FHIR it writes into a copy so that it is read as the same.
func FuzzWhatIsExported(f *testing.F) {
	for _, seed := range goldenOf(f, "fhir") {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := formats.FHIR(text)
		for i := range m.Drafts {
			r, no := ingest.Judge(&m.Drafts[i], vectorsNow())
			if no != nil {
				continue
			}
			if err := againAs(&r, vectorsNow()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
