package ingest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/vital"
)

// TestOfWhatAMappingRefusesTheNumbersAreRead: a maker that writes one field otherwise hides no emergency.
func TestOfWhatAMappingRefusesTheNumbersAreRead(t *testing.T) {
	t.Parallel()
	const rules = "  - name: m\n    topic: v/x\n    each: body\n    values: {who: s}\n    sensor: '{who}'\n    time: {path: date, format: unix_s}\n    sequence: n\n" +
		"    readings:\n      - {metric: oxygen_saturation, value: spo2, unit: {path: u, translate: {pct: '%'}}}\n" +
		"      - {metric: blood_pressure, systolic: {path: hi, exponent_path: e}, diastolic: lo, unit: 'mm[Hg]'}\n"
	const stamp = `"date":1795245600`
	type seen struct {
		Reason   vital.Reason
		Timeless bool
		Numbers  []string
	}
	for name, c := range map[string]struct {
		element string
		want    seen
	}{
		"no time":                     {`"s":"cuff-7","spo2":66,"u":"pct"`, seen{vital.ReasonClock, true, []string{"66 %"}}},
		"a time of another form":      {`"s":"cuff-7","spo2":66,"u":"pct","date":"soon"`, seen{vital.ReasonClock, true, []string{"66 %"}}},
		"a unit of another word":      {`"s":"cuff-7","spo2":66,"u":"percent",` + stamp, seen{vital.ReasonUnit, false, []string{"66 "}}},
		"neither unit nor time":       {`"s":"cuff-7","spo2":66,"u":"percent"`, seen{vital.ReasonUnit, true, []string{"66 "}}},
		"no name of a sensor":         {`"spo2":66,"u":"pct",` + stamp, seen{vital.ReasonSensor, false, []string{"66 %"}}},
		"neither name nor time":       {`"spo2":66,"u":"pct"`, seen{vital.ReasonSensor, true, []string{"66 %"}}},
		"a power of ten that is none": {`"s":"cuff-7","hi":250,"lo":140,"e":"x",` + stamp, seen{vital.ReasonNotANumber, false, []string{"0 ", "140 mm[Hg]"}}},
		"no number":                   {`"s":"cuff-7","spo2":"none","u":"pct"`, seen{vital.ReasonClock, false, nil}},
	} {
		m := message("v/x", `{"body":[{`+c.element+`}]}`)
		m.Mapping = mapped(t, rules)
		records, receipt := decode(m)
		if len(records) != 1 || records[0].Refused == nil || len(receipt.Refused) != 1 {
			t.Errorf("%s: %d records, told %+v", name, len(records), receipt)
			continue
		}
		no := records[0].Refused
		got := seen{Reason: no.Reason}
		for _, s := range no.All() {
			got.Timeless = s.Read.MeasuredAt.IsZero()
			for _, q := range s.Read.Sent[:s.Read.N] {
				got.Numbers = append(got.Numbers, q.String()+" "+q.Unit.UCUM())
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s\n%s", name, no.Detail, diff)
		}
	}
}
