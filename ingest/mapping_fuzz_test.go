package ingest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

// FuzzMapping holds what a mapping finds against the standard library's reading of the same message: only JSON becomes a
// reading, and a reading's number is the one that stands at the path, digit by digit.
func FuzzMapping(f *testing.F) {
	for _, seed := range []string{
		`{"l":[{"hr":61,"u":"slag"},{"hr":62.50,"u":1}],"t":"2026-11-21T07:00:00Z"}`,
		`{"l":[{"hr":"61","u":"slag"},7,null,[],{}],"t":"2026-11-21T07:00:00Z"}`,
		`{"l":[{"hr":6e1,"u":"sl\u0061g","hr":7}],"t":"2026-11-21T07:00:00Z"}`,
		`{"l":{"hr":61}}`, `{"l":[{"hr":-0,"u":"slag"}],"t":7}`, `{"l":[{"h\u0072":61,"u":"slag"}],"t":null}`,
		`{"l":[[{"hr":61}]]}`, `[1]`, `{`, ``, "\xff", `{"l":[{"hr":61,"u":"slag"}],"t":"2026-11-21T07:00:00Z"}}`,
	} {
		f.Add([]byte(seed))
	}
	m := mapped(f, `
  - name: one
    topic: v/{dev}
    each: l
    sensor: "{dev}"
    time: {path: $.t, format: rfc3339}
    readings: [{metric: heart_rate, value: hr, unit: {path: u, translate: {slag: /min, "1": Hz}}}]
`)
	f.Fuzz(func(t *testing.T, payload []byte) {
		given := bytes.Clone(payload)
		tried := m.Try("cuff-7", "v/a", payload, moment())
		if !bytes.Equal(payload, given) {
			t.Fatal("the payload was changed")
		}
		if !json.Valid(payload) {
			if len(tried) != 1 || tried[0].Refusal == nil || tried[0].Refusal.Reason != vital.ReasonUnparsable {
				t.Fatalf("no JSON became %s", told(tried))
			}
			return
		}
		numbers := numbersOf(t, payload)
		for _, one := range tried {
			if one.Reading == nil {
				continue
			}
			q := one.Reading.Sent[0]
			q.Unit = 0
			if !numbers[q] {
				t.Fatalf("%s does not stand in %s", q, payload)
			}
		}
	})
}

// numbersOf returns every number of a message as a quantity without unit.
func numbersOf(t *testing.T, payload []byte) map[vital.Quantity]bool {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	all := map[vital.Quantity]bool{}
	for {
		token, err := d.Token()
		if err != nil {
			return all
		}
		if n, ok := token.(json.Number); ok {
			if mantissa, exponent, err := vital.ParseDecimal(n.String()); err == nil {
				all[vital.Quantity{Mantissa: mantissa, Exponent: exponent}] = true
			}
		}
	}
}

// FuzzMappingFile throws files at the reader of mapping files: one that is taken maps any message, and one that is not
// says why.
func FuzzMappingFile(f *testing.F) {
	example, err := os.ReadFile("../docs/examples/mapping.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("version: 1\nbrokers: &a [*a]\nmappings: {<<: *a}"))
	f.Add([]byte("version: 1\nbrokers: [{name: b, url: mqtt://h, client_id: c, device: d, subscribe: ['#']}]\nmappings: [{name: n, topic: '{x}/#', sensor: '{x}', time: arrival, readings: [{metric: steps, value: 'a.#(b==\"c\").d', unit: count}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		brokers, err := ingest.ReadMappings(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v is of kind %s", err, fault.KindOf(err))
			}
			return
		}
		for _, b := range brokers {
			for _, topic := range []string{"a/b", "vendor/x/measures", "hale/v1/d/readings", "", "/", "$SYS/x"} {
				if len(b.Mapping.Try(b.Device, topic, []byte(`{"a":[{"b":"c","d":5}],"body":{"measuregrps":[{"date":1779346815}]}}`), moment())) > 100 {
					t.Fatal("a small message became a hundred readings")
				}
			}
		}
	})
}
