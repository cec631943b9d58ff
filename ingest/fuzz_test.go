package ingest_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/ingest"
	"hale/vital"
)

// FuzzDecode holds the decoder against the standard library's: it takes what that takes, finds the same elements, and
// an accepted reading says what the element says.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"metric":"blood_pressure","systolic":{"value":128,"unit":"mm[Hg]"},"diastolic":{"value":79,"unit":"mm[Hg]"},"pulse":{"value":66,"unit":"/min"},"time":"2026-11-21T07:25:00Z","seq":7,"findings":["irregular_pulse"]}`,
		`{"metric":"blood_pressure","systolic":128,"diastolic":79,"pulse":66,"unit":"mm[Hg]","time":"2026-11-21T07:25:00Z"}`,
		`[{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:25:00.250+01:00","receipt":true},{"metric":"glucose","value":6.70}]`,
		`[{"metric":"steps","value":-0e1,"unit":"{steps}"},7,"a\u00e9\ud83d\ude00\\",null,[[]],{},{"a":{"b":[1,{}]}}]`,
		`{"metric":"heart_rate","value":NaN,"unit":"/min"}`,
		`{"metric":"heart_rate","metric":"steps","value":01}`,
		`{"m\u0065tric":"sleep_duration","value":7.5e0,"unit":"h","seq":0}`,
		"[ ]", "", " ", "[", `{"`, `{"a":"\u12`, "\xff\xfe", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	} {
		f.Add([]byte(seed))
	}
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
	snapshot := registry()
	f.Fuzz(func(t *testing.T, payload []byte) {
		given := bytes.Clone(payload)
		m := message(readings, "")
		m.Payload = payload
		records, receipt := core.Decode(snapshot, m)
		if !bytes.Equal(payload, given) {
			t.Fatal("the payload was changed")
		}
		if len(records) != receipt.Accepted+len(receipt.Refused) {
			t.Fatalf("%d records, receipt %+v", len(records), receipt)
		}
		if whole := refusedWhole(receipt); whole != "" {
			ours := strings.Contains(whole, "deep in each other") || strings.Contains(whole, "more than 1000") || strings.Contains(whole, "an object or a list")
			if !ours && json.Valid(payload) {
				t.Fatalf("refused JSON: %s", whole)
			}
			return
		}
		compare(t, payload, records, receipt)
	})
}

func refusedWhole(r ingest.Receipt) string {
	if len(r.Refused) == 1 && (strings.HasPrefix(r.Refused[0].Detail, "not JSON") || strings.HasPrefix(r.Refused[0].Detail, "the list has more than 1000")) {
		return r.Refused[0].Detail
	}
	return ""
}

func compare(t *testing.T, payload []byte, records []vital.Record, receipt ingest.Receipt) {
	t.Helper()
	if !json.Valid(payload) {
		t.Fatal("took what is no JSON")
	}
	var elements []json.RawMessage
	if one := bytes.TrimSpace(payload); one[0] == '{' {
		elements = append(elements, one)
	} else if err := json.Unmarshal(payload, &elements); err != nil {
		t.Fatal(err)
	}
	if len(records) != len(elements) {
		t.Fatalf("%d elements became %d records", len(elements), len(records))
	}
	next := 0
	for i, e := range elements {
		n := i - next
		if n < len(receipt.Refused) && receipt.Refused[n].Index == i {
			kept := records[receipt.Accepted+n].Refused
			if len(e) <= ingest.RawKept && !bytes.Equal(kept.Raw, e) || kept.Length != int64(len(e)) {
				t.Fatalf("element %d is %q, kept is %q", i, e, kept.Raw)
			}
			continue
		}
		same(t, e, records[next].Reading)
		next++
	}
	if next != receipt.Accepted {
		t.Fatalf("%d of %d readings belong to an element", next, receipt.Accepted)
	}
}

// same checks a reading against a slow and plain decoding of its element.
func same(t *testing.T, element []byte, r *vital.Reading) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(element, &fields); err != nil {
		t.Fatalf("%q: %v", element, err)
	}
	word := func(raw json.RawMessage) (s string) {
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		return s
	}
	if m, ok := vital.ParseMetric(word(fields["metric"])); !ok || m != r.Metric {
		t.Fatalf("%q became %s", element, r.Metric)
	}
	definition, _ := vital.Define(r.Metric)
	for i, q := range r.Sent[:r.N] {
		code := definition.Components[i].Code
		value, unit := fields[code], fields["unit"]
		if value[0] == '{' {
			var nested map[string]json.RawMessage
			if err := json.Unmarshal(value, &nested); err != nil {
				t.Fatal(err)
			}
			value, unit = nested["value"], nested["unit"]
		} else if code == "pulse" {
			unit = json.RawMessage(`"/min"`)
		}
		if want, err := strconv.ParseFloat(string(value), 64); err != nil || q.Float() != want {
			t.Fatalf("%s %s became %s (%v)", code, value, q, err)
		}
		if u, ok := vital.ParseUnit(word(unit)); !ok || u != q.Unit {
			t.Fatalf("unit %s became %s", unit, q.Unit.UCUM())
		}
	}
	d, _ := vital.Define(r.Metric)
	if _, _, ok := d.Check(r.Sent[:r.N]); !ok || r.N == 0 {
		t.Fatalf("%q is not plausible", element)
	}
	if r.HasSequence != (fields["seq"] != nil && string(fields["seq"]) != "null") || r.HasSequence && strconv.FormatInt(r.Tie, 10) != string(fields["seq"]) {
		t.Fatalf("sequence %s became %d", fields["seq"], r.Tie)
	}
	sent := moment()
	if raw := fields["time"]; raw != nil && string(raw) != "null" {
		var err error
		if sent, err = time.Parse(time.RFC3339Nano, word(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if !r.SentAt.Equal(sent.Truncate(time.Microsecond)) || !vital.ClockPlausible(r.SentAt, moment()) || r.SentAt.Location() != time.UTC {
		t.Fatalf("time %s became %s", fields["time"], r.SentAt)
	}
}

// FuzzFormats holds the whole way of a message in a format of the world: whatever is sent, each part of it becomes one record, and
// what is taken as a reading is one that a person can have, at a time that can be.
func FuzzFormats(f *testing.F) {
	endings := []string{"fhir", "omh", "gatt/2A18", "gatt/2A19", "gatt/2A1C", "gatt/2A34", "gatt/2A35", "gatt/2A37", "gatt/2A5E", "gatt/2A5F", "gatt/2A9D"}
	f.Add(uint8(0), []byte(observation("final", "61.0", "")))
	f.Add(uint8(0), []byte(`{"resourceType":"Bundle","type":"collection","entry":[{"resource":`+observation("entered-in-error", "61.0", `,"id":"x"`)+`},{"resource":{}}]}`))
	f.Add(uint8(1), []byte(`[{"header":{"id":"a","creation_date_time":"2026-02-05T07:25:00Z","schema_id":{"namespace":"omh","name":"heart-rate","version":"2.0"}},"body":{"heart_rate":{"value":61,"unit":"beats/min"},"effective_time_frame":{"time_interval":{"date":"2026-02-05","part_of_day":"night"}}}}]`))
	for i := range endings[2:] {
		f.Add(uint8(i+2), []byte("\x1e\x8e\x00\x5b\x00\x6c\x00\xea\x07\x0b\x15\x07\x19\x00\x42\x00\x01\x04\x00"))
		f.Add(uint8(i+2), []byte("\x57"))
	}
	snapshot := registry()
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
	f.Fuzz(func(t *testing.T, ending uint8, payload []byte) {
		given := bytes.Clone(payload)
		m := message("hale/v1/cuff-7/"+endings[int(ending)%len(endings)], "")
		m.Payload = payload
		records, receipt := core.Decode(snapshot, m)
		if !bytes.Equal(payload, given) {
			t.Fatal("the payload was changed")
		}
		taken := 0
		for _, r := range records {
			switch {
			case r.Reading != nil:
				taken++
				sane(t, r.Reading)
			case r.Original != nil && !bytes.Equal(r.Original.Raw, given):
				t.Fatal("what is kept is not what was sent")
			}
		}
		if taken != receipt.Accepted || taken == 0 && len(receipt.Refused) == 0 && len(records) == 0 {
			t.Fatalf("%d readings, receipt %+v", taken, receipt)
		}
	})
}

// sane fails unless the reading is one that can be.
func sane(t *testing.T, r *vital.Reading) {
	t.Helper()
	d, ok := vital.Define(r.Metric)
	if !ok || r.Sensor == 0 || r.Device != ours || !vital.ClockPlausible(r.MeasuredAt, r.ReceivedAt) {
		t.Fatalf("taken was %+v", r)
	}
	if r.N == 0 {
		if r.More == nil || r.More.Standing == vital.Final && !r.HasSequence {
			t.Fatalf("without a number and without a word was taken %+v", r)
		}
		return
	}
	if _, detail, ok := d.Check(r.Sent[:r.N]); !ok {
		t.Fatalf("taken was %+v: %s", r, detail)
	}
}
