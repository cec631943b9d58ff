package ingest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/vital"
)

// TestWhatStandsElsewhereThanTheMappingSaysIsRead: a message that is refused for its shape may hold an emergency.
func TestWhatStandsElsewhereThanTheMappingSaysIsRead(t *testing.T) {
	t.Parallel()
	rule := func(each, sensor string) string {
		return "  - {name: m, topic: v/x, each: '" + each + "', sensor: '" + sensor + "', time: {path: date, format: unix_s}, ignore: [{path: k.*, is: goal}],\n" +
			"     readings: [{metric: oxygen_saturation, value: spo2, unit: '%'}]}\n"
	}
	const low, late = `{"date":1795245600,"spo2":66}`, `{"spo2":61,"date":"soon"}`
	single := strings.Replace(rule("$", "cuff-7"), "each: '$', ", "", 1)
	list, members, wild := rule("body", "cuff-7"), rule("body.ox-{n}", "{n}"), rule("*.list", "cuff-7")
	for name, c := range map[string]struct {
		rules, payload string
		why            vital.Reason
		want           []string // each number, the sensor whose it is, and whether its time is known
	}{
		"an object where the list belongs":              {list, `{"body":` + low + `}`, vital.ReasonUnparsable, []string{"66 own timed"}},
		"an object of them where the list belongs":      {list, `{"body":{"a":` + low + `,"b":` + late + `,"n":2}}`, vital.ReasonUnparsable, []string{"66 own timed", "61 own"}},
		"no list, but the element":                      {list, low, vital.ReasonUnparsable, []string{"66 own timed"}},
		"a list without what it belongs in":             {list, `[` + low + `,` + late + `]`, vital.ReasonUnparsable, []string{"66 own timed", "61 own"}},
		"under another name":                            {list, `{"corpus":` + low + `}`, vital.ReasonUnparsable, []string{"66 own timed"}},
		"a list where the element belongs":              {single, `[` + low + `,` + late + `,7,{"x":1}]`, vital.ReasonMetric, []string{"66 own timed", "61 own"}},
		"a list in the list":                            {list, `{"body":[[` + low + `,` + late + `]]}`, vital.ReasonMetric, []string{"66 own timed", "61 own"}},
		"what is neither":                               {list, `{"body":7}`, vital.ReasonUnparsable, nil},
		"a list where the object of members belongs":    {members, `{"body":[` + low + `]}`, vital.ReasonUnparsable, []string{"66 nobody timed"}},
		"members whose names are not those":             {members, `{"body":{"room":` + low + `}}`, vital.ReasonMetric, nil},
		"a member whose sensor was not granted":         {members, `{"body":{"ox-9":` + late + `}}`, vital.ReasonSensor, []string{"61 nobody"}},
		"two lists where one is meant":                  {wild, `{"a":{"list":[` + low + `]},"b":{"list":[` + late + `]},"c":{"list":{"spo2":60}}}`, vital.ReasonUnparsable, []string{"66 own timed", "61 own", "60 own"}},
		"what may be ignored or not":                    {list, `{"body":[{"k":{"x":"goal","y":"no"},"date":1795245600,"spo2":66}]}`, vital.ReasonUnparsable, []string{"66 own timed"}},
		"cut off in the next":                           {list, `{"body":[` + low + `,{"date":1795245600,"spo2":6`, vital.ReasonUnparsable, []string{"66 own timed"}},
		"cut off before its time":                       {list, `{"body":[{"spo2":61,"date":17952`, vital.ReasonUnparsable, []string{"61 own"}},
		"cut off in the object where the list belongs":  {list, `{"body":{"date":1795245600,"spo2":66,"x":`, vital.ReasonUnparsable, []string{"66 own timed"}},
		"cut off before its time, of another of a list": {list, `{"body":[` + late + `,{"spo2":60,`, vital.ReasonUnparsable, []string{"61 own", "60 own"}},
	} {
		m := message("v/x", c.payload)
		m.Mapping = mapped(t, c.rules)
		records, receipt := decode(m)
		if len(records) != 1 || records[0].Refused == nil || len(receipt.Refused) != 1 || receipt.Accepted != 0 {
			t.Errorf("%s: %d records, told %+v", name, len(records), receipt)
			continue
		}
		no := records[0].Refused
		var got []string
		for _, s := range no.All() {
			words := []string{s.Read.Sent[0].String(), "nobody"}
			if s.Read.Sensor == own {
				words[1] = "own"
			}
			if !s.Read.MeasuredAt.IsZero() {
				words = append(words, "timed")
			}
			got = append(got, strings.Join(words, " "))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || no.Reason != c.why {
			t.Errorf("%s: %s %s: %s", name, no.Reason, no.Detail, diff)
		}
	}
}
