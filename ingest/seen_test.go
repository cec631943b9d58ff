package ingest_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/ingest"
	"hale/vital"
)

// TestOfAMessageThatIsRefusedTheNumbersAreRead: what cannot be taken apart, or says two things at once, may be an emergency.
func TestOfAMessageThatIsRefusedTheNumbersAreRead(t *testing.T) {
	t.Parallel()
	oxygen := func(value string) string {
		return `{"metric":"oxygen_saturation","unit":"%","value":` + value + `,"time":"2026-11-21T07:20:00Z"}`
	}
	many := func(value string, n int) string { return strings.Repeat(oxygen(value)+",", n) }
	for name, c := range map[string]struct {
		payload string
		want    []string
	}{
		"more than a list holds":                {"[" + many("97", ingest.MaxElements) + oxygen("72") + "]", []string{"97", "72"}},
		"all of many":                           {"[" + many("72", ingest.MaxElements) + oxygen("72") + "]", []string{"72"}},
		"many that are refused by themselves":   {"[" + many(`"71"`, ingest.MaxElements) + oxygen("98") + "]", []string{"71", "98"}},
		"a list that ends too early":            {"[" + oxygen("97") + "," + oxygen("72") + ",", []string{"97", "72"}},
		"a list that ends in its second part":   {"[" + many("97", ingest.MaxElements) + oxygen("72") + ",{", []string{"97", "72"}},
		"a value twice":                         {oxygen(`98,"value":72`), []string{"72", "98"}},
		"a value twice, the first worse":        {"[" + oxygen(`72,"value":98`) + "]", []string{"98", "72"}},
		"a value twice that is the same":        {oxygen(`72,"value":72`), []string{"72"}},
		"a value twice, of which one is none":   {oxygen(`72,"value":null`), []string{"72"}},
		"a unit twice, of which one is no unit": {oxygen(`72,"unit":"none"`), []string{"72 without unit", "72"}},
	} {
		records, receipt := decode(message(readings, c.payload))
		if len(records) != 1 || records[0].Refused == nil || records[0].Refused.Reason != vital.ReasonUnparsable {
			t.Errorf("%s: %+v", name, records)
			continue
		}
		var read []string
		for _, s := range records[0].Refused.All() {
			q := s.Read.Sent[0]
			words := q.String()
			if q.Unit == vital.NoUnit {
				words += " without unit"
			}
			read = append(read, words)
		}
		if diff := cmp.Diff(c.want, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(receipt.Refused) != 1 || receipt.Accepted != 0 {
			t.Errorf("%s: %+v", name, receipt)
		}
	}
}

// TestOfARefusedListEveryMeasurementIsSeen: what is judged by somebody's own limits, of a moment, of one of several users, is not told by
// the lowest and the highest of a list, and a device that measured nothing sends numbers lower than any.
func TestOfARefusedListEveryMeasurementIsSeen(t *testing.T) {
	t.Parallel()
	at := func(i int) time.Time { return moment().Truncate(time.Second).Add(-time.Duration(i) * time.Second) }
	stamp := func(i int) string { return at(i).Format(time.RFC3339) }
	unix := func(i int) string { return strconv.FormatInt(at(i).Unix(), 10) }
	join := func(n int, one func(int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = one(i)
		}
		return strings.Join(all, ",")
	}
	value := func(i int) int { return 50 + i%100 }
	const n = ingest.MaxElements + 1
	rule := "  - {name: m, topic: v/x, each: l, sensor: cuff-7, time: {path: t, format: unix_s}, readings: [{metric: heart_rate, value: w, unit: '/min'}]}\n"
	members := "  - {name: m, topic: v/x, each: 'l.a{k}', sensor: cuff-7, time: {path: t, format: unix_s}, readings: [{metric: heart_rate, value: w, unit: '/min'}]}\n"
	list := `{"l":[` + join(n, func(i int) string { return fmt.Sprintf(`{"t":%s,"w":%d}`, unix(i), value(i)) }) + `]}`
	report := func(i int) string {
		return fmt.Sprintf(`{"time":%s,"type":"reportAttribute","data":{"value":{"blood_glucose":%d}}}`, unix(i), value(i))
	}
	group := func(i int) string {
		return fmt.Sprintf(`{"attrib":0,"date":%s,"category":1,"measures":[{"value":%d,"type":11,"unit":0}]}`, unix(i), value(i))
	}
	entry := func(i int) string {
		return fmt.Sprintf(`{"resource":{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},`+
			`"effectiveDateTime":%q,"valueQuantity":{"value":%d,"system":"http://unitsofmeasure.org","code":"/min"}}}`, stamp(i), value(i))
	}
	for name, c := range map[string]struct{ topic, rules, payload string }{
		"the wire": {readings, "", "[" + join(n, func(i int) string {
			return fmt.Sprintf(`{"metric":"heart_rate","unit":"/min","value":%d,"time":%q}`, value(i), stamp(i))
		}) + "]"},
		"a mapping":                      {"v/x", rule, list},
		"a mapping, a name twice":        {"v/x", rule, strings.Replace(list, `]}`, `],"m":1,"m":2}`, 1)},
		"a mapping of members":           {"v/x", members, `{"l":{` + join(n, func(i int) string { return fmt.Sprintf(`"a%d":{"t":%s,"w":%d}`, i, unix(i), value(i)) }) + `}}`},
		"a gateway":                      {"hale/v1/cuff-7/gateway", "", "[" + join(n, report) + "]"},
		"Withings":                       {"hale/v1/cuff-7/withings", "", `{"status":0,"body":{"measuregrps":[` + join(n, group) + `]}}`},
		"FHIR":                           {"hale/v1/cuff-7/fhir", "", `{"resourceType":"Bundle","type":"history","entry":[` + join(n, entry) + `]}`},
		"FHIR, a list":                   {"hale/v1/cuff-7/fhir", "", `[` + join(n, entry) + `]`},
		"FHIR, cut off":                  {"hale/v1/cuff-7/fhir", "", `{"resourceType":"Bundle","type":"batch","entry":[` + join(n, entry) + `,{"resource":{"res`},
		"FHIR, one a line":               {"hale/v1/cuff-7/fhir", "", strings.ReplaceAll(join(n, entry), `}}},{`, "}}}\n{")},
		"Withings, something behind it":  {"hale/v1/cuff-7/withings", "", `{"status":0,"body":{"measuregrps":[` + join(n, group) + `]}} x`},
		"a gateway, cut off":             {"hale/v1/cuff-7/gateway", "", "[" + join(n, report)},
		"a mapping, cut off":             {"v/x", rule, strings.TrimSuffix(list, "]}")},
		"a mapping, cut in a number":     {"v/x", rule, strings.TrimSuffix(list, "]}") + `,{"t":` + unix(n) + `,"w":7`},
		"a mapping, one that is no list": {"v/x", rule, `{"l":{"t":` + unix(0) + `,"w":` + strconv.Itoa(value(0)) + `}}`},
		"a mapping, something behind it": {"v/x", rule, list + " x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message(c.topic, c.payload)
			if c.rules != "" {
				m.Mapping = mapped(t, c.rules)
			}
			records, receipt := decode(m)
			if len(records) != 1 || records[0].Refused == nil || receipt.Accepted != 0 || len(receipt.Refused) != 1 {
				t.Fatalf("became %d records, told %+v", len(records), receipt)
			}
			want := map[time.Time]int64{}
			for i := range n {
				if i == 0 || !strings.HasSuffix(name, "one that is no list") {
					want[at(i)] = int64(value(i))
				}
			}
			got := map[time.Time]int64{}
			for _, s := range records[0].Refused.All() {
				if s.Read.Patient == anna && s.Read.Sensor == own {
					got[s.Read.MeasuredAt] = s.Read.Sent[0].Mantissa
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %.1000s", records[0].Refused.Detail, diff)
			}
		})
	}
}

// TestOfMoreThanIsScreenedTheOutermostAre: of each user, of now and of the past, and of what can be a person's, by themselves.
func TestOfMoreThanIsScreenedTheOutermostAre(t *testing.T) {
	t.Parallel()
	var list []string
	add := func(n, least int, field, at string) {
		for i := range n {
			list = append(list, fmt.Sprintf(`{"metric":"heart_rate","unit":"/min","value":%d.%d%s,"time":"2026-11-2%s"}`, least+i%9, i, field, at))
		}
	}
	add(1200, 0, "", "1T07:20:00Z")  // nothing measured
	add(500, 60, "", "0T07:20:00Z")  // the past
	add(1, 30, "", "1T07:20:00Z")    // now
	add(500, 60, "", "1T07:20:00Z")  // as well
	add(1, 40, "", "0T07:20:00Z")    // the past
	add(300, 400, "", "1T07:20:00Z") // nothing measured
	add(1, 500, "", "1T07:20:00.9Z") // the highest of all
	records, receipt := decode(message(readings, "["+strings.Join(list, ",")+"]"))
	if len(records) != 1 || records[0].Refused == nil || len(receipt.Refused) != 1 {
		t.Fatalf("%d records, told %+v", len(records), receipt)
	}
	no := records[0].Refused
	seen := map[string]bool{}
	for _, s := range no.All() {
		seen[s.Read.Sent[0].String()] = true
	}
	if len(no.All()) != ingest.MostSeen || !seen["30.0"] || !seen["40.0"] || !seen["500.0"] || !seen["0.0"] {
		t.Errorf("%d, %v %v %v %v", len(no.All()), seen["30.0"], seen["40.0"], seen["500.0"], seen["0.0"])
	}
	want := "the list has more than 1000 elements; send it in parts (2503 numbers were read of it, and the 2000 outermost are looked at for emergencies)"
	if no.Detail != want || receipt.Refused[0].Detail != want {
		t.Errorf("%s, told %s", no.Detail, receipt.Refused[0].Detail)
	}
	if cost := ingest.CostOf(records[0]); cost > ingest.MaxEnvelope {
		t.Errorf("it takes %d bytes of an envelope", cost)
	}
}

// TestOfAListOfFHIRNoMoreIsScreenedThanOfAnyOther: an envelope has room for so many.
func TestOfAListOfFHIRNoMoreIsScreenedThanOfAnyOther(t *testing.T) {
	t.Parallel()
	list := make([]string, ingest.MostSeen+3)
	for i := range list {
		list[i] = observation("final", fmt.Sprintf("70.%04d", i), "")
	}
	records, receipt := decode(message("hale/v1/cuff-7/fhir", "["+strings.Join(list, ",")+"]"))
	if len(records) != 1 || records[0].Refused == nil || len(receipt.Refused) != 1 {
		t.Fatalf("%d records, told %+v", len(records), receipt)
	}
	no := records[0].Refused
	want := "it is a list; an object belongs here (2003 numbers were read of it, and the 2000 outermost are looked at for emergencies)"
	if len(no.All()) != ingest.MostSeen || no.Detail != want || receipt.Refused[0].Detail != want {
		t.Errorf("%d: %s, told %s", len(no.All()), no.Detail, receipt.Refused[0].Detail)
	}
}

// TestWhatIsRefusedOfOnePartTravelsTogether: the record looks at what it finds new, and the second of two in another envelope would not be.
func TestWhatIsRefusedOfOnePartTravelsTogether(t *testing.T) {
	t.Parallel()
	records, receipt := decode(message("hale/v1/cuff-7/gateway", `[{"time":"soon","type":"reportAttribute","data":{"value":{"spo2":70,"pulse":31}}},{"time":"soon","type":"reportAttribute","data":{"value":{"temp":"40"}}}]`))
	if len(records) != 2 || len(records[0].Refused.All()) != 2 || len(records[1].Refused.All()) != 1 || len(receipt.Refused) != 2 {
		t.Fatalf("%d records, told %+v", len(records), receipt)
	}
	also := records[0].Refused.Also[0]
	if also.Read.Metric != vital.HeartRate || also.Read.Patient != anna || !also.Read.MeasuredAt.Equal(moment()) {
		t.Errorf("%+v", also)
	}
}
