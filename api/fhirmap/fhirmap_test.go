package fhirmap_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/api/fhirmap"
	"hale/safe"
	"hale/vital"
)

func holder() safe.Holder {
	return safe.Holder{Organisation: "Home", Patient: account.Patient{
		UID: "01920000-0000-7000-8000-000000000001", Name: "Ana Novak", Number: "K-0017", BirthDate: "1941-05", Sex: "female", Zone: "Europe/Ljubljana",
	}}
}

func morning() time.Time { return time.Date(2026, 3, 29, 6, 1, 0, 0, time.UTC) } // after the clocks went forward

func reading(id int64, m vital.Metric, sent ...vital.Quantity) *safe.Reading {
	r := &safe.Reading{ID: id, Metric: m, MeasuredAt: morning(), SentAt: morning(), ReceivedAt: morning().Add(time.Second), Sent: sent, Device: "cuff-1", Sensor: "cuff-1"}
	d, _ := vital.Define(m)
	for i, q := range sent {
		v, _ := vital.Convert(q.Float(), q.Unit, d.Components[i].Canonical)
		r.Values = append(r.Values, v)
	}
	return r
}

func q(mantissa int64, exponent int8, unit vital.Unit) vital.Quantity {
	return vital.Quantity{Mantissa: mantissa, Exponent: exponent, Unit: unit}
}

// write makes a Bundle of things and returns it.
func write(t *testing.T, things ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	d, err := fhirmap.Exporter{}.Begin(&b, holder(), morning())
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range things {
		if err := d.Add(thing); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func everything() []any {
	things := []any{
		&safe.Device{UID: "cuff-1", Model: "cuff", Sensor: "cuff-1", From: morning()},
		&safe.Device{UID: "cuff-1", Model: "cuff", Sensor: "cuff-1", From: morning()},
		&safe.ConsentGiven{UID: "c1", Purpose: "care", Version: 1, Choice: "given", By: "self", DecidedAt: morning()},
		&safe.ConsentGiven{UID: "c2", Purpose: "research", Version: 2, Choice: "withdrawn", By: "self", DecidedAt: morning()},
		&safe.ConsentGiven{UID: "c3", Purpose: "caregiver_sharing", Version: 2, Choice: "refused", By: "guardian", DecidedAt: morning()},
		&safe.Alert{UID: "a1", Metric: vital.BloodPressure, Rule: "limit", Level: "red", State: "open", OpenedAt: morning()},
		&safe.Alert{UID: "a2", Metric: vital.BodyWater, Rule: "limit", Level: "yellow", State: "closed", OpenedAt: morning(), ClosedAt: morning().Add(time.Hour)},
		&safe.Look{ID: 1, At: morning(), Name: "Mira Zupan", Role: account.Nurse, Action: account.LookAction, Object: "worklist"},
		&safe.Look{ID: 2, At: morning(), Name: "hale", Action: "alert opened", Object: "alert a1"},
		&safe.Look{ID: 3, At: morning(), Name: "Jan", Role: account.Physician, Action: account.LookAction, Object: "patient x", Glass: "found on the floor"},
	}
	id := int64(100)
	for _, d := range vital.Metrics() {
		for _, u := range d.Components[0].Accepted {
			sent := []vital.Quantity{q(1200, -1, u)}
			if d.Metric == vital.BloodPressure {
				sent = []vital.Quantity{q(1600, -2, u), q(1060, -2, u), q(66, 0, vital.PerMinute)}
			}
			r := reading(id, d.Metric, sent...)
			r.Findings = vital.IrregularPulse | vital.Disputed | vital.Averaged
			r.Facts = []vital.Fact{{Name: vital.Until, Value: "2026-03-29T07:31:00Z"}, {Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "contact", Value: "detected"}, {Name: " ", Value: "x"}, {Name: "blank", Value: " "}}
			if id%2 == 0 {
				r.Facts, r.Findings = nil, vital.TimeLocal|vital.TimeUnsure
			}
			things, id = append(things, r), id+1
		}
	}
	return things
}

func TestWhatIsWrittenKeepsTheRulesOfR4(t *testing.T) {
	t.Parallel()
	for _, wrong := range checkBundle(t, write(t, everything()...)) {
		t.Error(wrong)
	}
}

// TestTheCheckerCanSeeEachMistake spoils what is right, one thing at a time.
func TestTheCheckerCanSeeEachMistake(t *testing.T) {
	t.Parallel()
	good := string(write(t, everything()...))
	for name, c := range map[string]struct{ old, spoilt string }{
		"an unknown status":                     {`"status":"final"`, `"status":"ready"`},
		"a value without a unit":                {`"unit":"/min",`, ``},
		"another system than UCUM":              {`"system":"http://unitsofmeasure.org"`, `"system":"http://example.org"`},
		"a unit that the profile does not take": {`"code":"Cel"`, `"code":"K"`},
		"a blood pressure without diastolic":    {`"code":"8462-4"`, `"code":"8462-5"`},
		"a weight with another code":            {`"code":"29463-7"`, `"code":"3141-9"`},
		"a saturation with one code":            {`"code":"59408-5"`, `"code":"59408-6"`},
		"no category":                           {`"code":"vital-signs"`, `"code":"vitals"`},
		"a moment without an offset":            {`"effectiveDateTime":"2026-03-29T08:01:00+02:00"`, `"effectiveDateTime":"2026-03-29T08:01:00"`},
		"an end before the beginning":           {`"end":"2026-03-29T09:31:00+02:00"`, `"end":"2026-03-29T07:31:00+02:00"`},
		"a period of which one is a day":        {`"end":"2026-03-29T09:31:00+02:00"`, `"end":"2026-03-30"`},
		"a month":                               {`"effectiveDateTime":"2026-03-29T08:01:00+02:00"`, `"effectiveDateTime":"2026-03"`},
		"a reference that leads nowhere":        {`"subject":{"reference":"urn:uuid:`, `"subject":{"reference":"urn:uuid:0`},
		"the same name twice":                   {`"fullUrl":"`, `"fullUrl":"x`},
		"an empty text":                         {`"text":"Blood pressure"`, `"text":""`},
		"an audit event without requestor":      {`"requestor":true`, `"asked":true`},
		"a consent without its policy":          {`"policyRule"`, `"policies"`},
		"a flag of another status":              {`"status":"inactive","category"`, `"status":"over","category"`},
		"an unknown gender":                     {`"gender":"female"`, `"gender":"F"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoilt := strings.Replace(good, c.old, c.spoilt, 1)
			if spoilt == good {
				t.Fatalf("%s is not there to be spoilt", c.old)
			}
			if len(checkBundle(t, []byte(spoilt))) == 0 {
				t.Error("the checker did not see it")
			}
		})
	}
}

// with is a reading with findings and facts.
func with(r *safe.Reading, findings vital.Finding, facts ...vital.Fact) *safe.Reading {
	r.Findings, r.Facts = findings, facts
	return r
}

// local is a reading by a clock without zone, or of a date, with the end of what lasted.
func local(t *testing.T, sent, until string) *safe.Reading {
	t.Helper()
	r := with(reading(1, vital.SleepDuration, q(6, 0, vital.Hour)), vital.TimeLocal)
	layout := "2006-01-02T15:04:05"
	if len(sent) == len(time.DateOnly) {
		layout = time.DateOnly
		r.Findings |= vital.TimeUnsure
	}
	sentAt, err := time.Parse(layout, sent)
	if err != nil {
		t.Fatal(err)
	}
	r.SentAt = sentAt
	r.MeasuredAt, _ = vital.Wall(r.SentAt, vital.ZoneOrUTC(holder().Zone)) // none of the times here occurs twice
	if until != "" {
		r.Facts = []vital.Fact{{Name: vital.Until, Value: until}}
	}
	return r
}

func TestNumbersAreWrittenDigitByDigitAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reading *safe.Reading
		want    []string
	}{
		"a trailing zero stays":                           {reading(1, vital.BodyTemperature, q(3650, -2, vital.Celsius)), []string{`"value":36.50,"unit":"°C"`}},
		"Fahrenheit is taken by the profile":              {reading(1, vital.BodyTemperature, q(980, -1, vital.Fahrenheit)), []string{`"value":98.0`, `"code":"[degF]"`}},
		"Kelvin is not, and is converted with a note":     {reading(1, vital.BodyTemperature, q(30965, -2, vital.Kelvin)), []string{`"value":36.5,`, `"code":"Cel"`, "was sent as 309.65 K"}},
		"a fraction is a percentage, exactly":             {reading(1, vital.OxygenSat, q(970, -3, vital.Fraction)), []string{`"value":97.0,`, `"code":"%"`, "was sent as 0.970 1"}},
		"kilopascal is written in mmHg":                   {reading(1, vital.BloodPressure, q(160, -1, vital.KiloPascal), q(106, -1, vital.KiloPascal)), []string{`"value":120.0102,`, "systolic was sent as 16.0 kPa"}},
		"a tenth of a gram is not lost":                   {reading(1, vital.BodyWeight, q(705001, -1, vital.Gram)), []string{`"value":70500.1`, `"code":"g"`}},
		"glucose in mmol/L has the code of its substance": {reading(1, vital.Glucose, q(67, -1, vital.MmolPerL)), []string{`"14743-9"`, `"value":6.7`, `"code":"mmol/L"`}},
		"glucose in mg/dL has that of its mass":           {reading(1, vital.Glucose, q(121, 0, vital.MgPerDL)), []string{`"41653-7"`, `"value":121`}},
		"words that stood beside it are a component": {with(reading(1, vital.BodyWeight, q(814, -1, vital.Kilogram)), vital.Amending, vital.Fact{Name: "body_posture", Value: "sitting"}),
			[]string{`{"code":{"text":"body_posture"},"valueString":"sitting"}`, `"status":"amended"`}},
		"so is an amount, with its code": {with(reading(1, vital.BloodPressure, q(128, 0, vital.MmHg), q(79, 0, vital.MmHg)), 0, vital.Fact{Name: "mean_pressure", Value: "95.0 mm[Hg]"}),
			[]string{`"code":"8478-0"`, `"text":"mean_pressure"},"valueQuantity":{"value":95.0,"unit":"mm[Hg]","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`}},
		"what is no amount of UCUM stays words": {with(reading(1, vital.HeartRate, q(61, 0, vital.PerMinute)), 0, vital.Fact{Name: "pace", Value: "60 bpm"}, vital.Fact{Name: "code", Value: "007 kg"}),
			[]string{`"valueString":"60 bpm"`, `"valueString":"007 kg"`}},
		"body site, method and note have their places": {with(reading(1, vital.HeartRate, q(61, 0, vital.PerMinute)), vital.PoorSignal, vital.Fact{Name: "measurement_location", Value: "left wrist"},
			vital.Fact{Name: "method", Value: "by hand"}, vital.Fact{Name: "note", Value: "after coffee"}),
			[]string{`"bodySite":{"text":"left wrist"}`, `"method":{"text":"by hand"}`, `"note":[{"text":"after coffee"},{"text":"poor signal"}]`}},
		"an average says that it is one": {with(reading(1, vital.HeartRate, q(61, 0, vital.PerMinute)), vital.Averaged, vital.Fact{Name: "descriptive_statistic", Value: "average"}),
			[]string{`"valueCodeableConcept":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-statistics","code":"average","display":"Average"}],"text":"average"}`}},
		"what lasted has its end": {with(reading(1, vital.SleepDuration, q(7, 0, vital.Hour)), 0, vital.Fact{Name: vital.Until, Value: "2026-03-29T07:01:00Z"}),
			[]string{`"effectivePeriod":{"start":"2026-03-29T08:01:00+02:00","end":"2026-03-29T09:01:00+02:00"}`}},
		"the end of a clock without zone is by the wall of the home": {local(t, "2026-03-29T00:30:00", "2026-03-29T06:30:00"),
			[]string{`"effectivePeriod":{"start":"2026-03-29T00:30:00+01:00","end":"2026-03-29T06:30:00+02:00"}`}},
		"of what is known to the day no more is said": {local(t, "2026-03-29", ""), []string{`"effectiveDateTime":"2026-03-29"`}},
		"so is a span of days":                        {local(t, "2026-03-29", "2026-03-30"), []string{`"effectivePeriod":{"start":"2026-03-29","end":"2026-03-30"}`}},
		"an end before the beginning is none": {with(reading(1, vital.HeartRate, q(61, 0, vital.PerMinute)), 0, vital.Fact{Name: vital.Until, Value: "2020-03-29T07:01:00Z"}),
			[]string{`"effectiveDateTime":"2026-03-29T08:01:00+02:00"`, `{"code":{"text":"until"},"valueString":"2020-03-29T07:01:00Z"}`}},
		"a local measurement has our own code": {reading(1, vital.BodyWater, q(551, -1, vital.Percent)), []string{`"urn:hale:metric"`, `"value":55.1`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := string(write(t, c.reading))
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s is not in %s", want, text)
				}
			}
		})
	}
}

func TestABloodPressureLooksAsInTheExample(t *testing.T) {
	t.Parallel()
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	text := write(t, &safe.Device{UID: "cuff-1", Model: "cuff"}, reading(7, vital.BloodPressure, q(128, 0, vital.MmHg), q(79, 0, vital.MmHg)))
	if err := json.Unmarshal(text, &bundle); err != nil || len(bundle.Entry) != 3 {
		t.Fatal(err, string(text))
	}
	got := string(bundle.Entry[2].Resource)
	for _, want := range []string{
		`"resourceType":"Observation"`, `"status":"final"`, `"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"`, `"effectiveDateTime":"2026-03-29T08:01:00+02:00"`,
		`{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}],"text":"systolic"},"valueQuantity":{"value":128,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`,
		`{"value":79,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}`, `"device":{"reference":"urn:uuid:`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, `"component":[]`) || strings.Contains(got, "Observation.valueQuantity") {
		t.Error(got)
	}
}

func TestAThingWithoutAFormIsAnError(t *testing.T) {
	t.Parallel()
	d, err := fhirmap.Exporter{}.Begin(&bytes.Buffer{}, holder(), morning())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(struct{}{}); err == nil {
		t.Error("it was left out in silence")
	}
}

func TestNamesAreTheSameEachTimeAndOfOnePersonOnly(t *testing.T) {
	t.Parallel()
	one := write(t, reading(7, vital.HeartRate, q(66, 0, vital.PerMinute)))
	if !bytes.Equal(one, write(t, reading(7, vital.HeartRate, q(66, 0, vital.PerMinute)))) {
		t.Error("the same record is written in two ways")
	}
	if other := fmt.Sprint(string(one)); strings.Count(other, "fullUrl") != 2 {
		t.Error(other)
	}
}

// TestWhatWasTakenBackIsEnteredInError, with the number as it was sent and who says so; what stands in the place of another is amended.
func TestWhatWasTakenBackIsEnteredInError(t *testing.T) {
	t.Parallel()
	final := reading(1, vital.HeartRate, q(61, 0, vital.PerMinute))
	amending := reading(2, vital.HeartRate, q(64, 0, vital.PerMinute))
	amending.Findings = vital.Amending
	corrected := reading(3, vital.HeartRate, q(46, 0, vital.PerMinute))
	corrected.Withdrawn = &safe.TakenBack{At: morning(), Amended: true}
	gone := reading(4, vital.HeartRate, q(200, 0, vital.PerMinute))
	gone.Findings, gone.Withdrawn = vital.Amending, &safe.TakenBack{At: morning(), By: "Nina Nurse", Why: "The strap was loose."}
	b := write(t, final, amending, corrected, gone)
	for _, wrong := range checkBundle(t, b) {
		t.Error(wrong)
	}
	var bundle struct {
		Entry []struct {
			Resource struct {
				Status        string
				ValueQuantity *struct{ Value float64 }
				Note          []struct{ Text string }
			}
		}
	}
	if err := json.Unmarshal(b, &bundle); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range bundle.Entry[1:] {
		said := fmt.Sprintf("%s %v", e.Resource.Status, e.Resource.ValueQuantity.Value)
		for _, n := range e.Resource.Note {
			said += "; " + n.Text
		}
		got = append(got, said)
	}
	want := []string{
		"final 61", "amended 64", "entered-in-error 46; corrected, another stands in its place, by the device",
		"entered-in-error 200; taken back by Nina Nurse: The strap was loose.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
