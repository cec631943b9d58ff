package formats_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/ingest/formats"
	"hale/vital"
)

// TestOfWhatIsRefusedTheNumbersAreRead: what cannot be kept may be an emergency, and is screened by its numbers.
func TestOfWhatIsRefusedTheNumbersAreRead(t *testing.T) {
	t.Parallel()
	const (
		ucum     = `"system":"http://unitsofmeasure.org"`
		loinc    = `"code":{"coding":[{"system":"http://loinc.org","code":"59408-5"}]}`
		panel    = `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},"effectiveDateTime":"2026-03-29T08:01:00Z","component":[`
		systolic = `{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":210,` + ucum + `,"code":"mm[Hg]"}}`
		absent   = `{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"dataAbsentReason":{"coding":[{"code":"error"}]}}`
		header   = `{"header":{"id":"a","creation_date_time":"2026-02-05T07:25:00Z","schema_id":{"namespace":"omh","name":"NAME","version":"VERSION"}},"body":`
		glucose  = `{"blood_glucose":{"value":38,"unit":"mg/dl"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}`
		oxygen   = `{"oxygen_saturation":{"value":66,"unit":"%"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}}}`
	)
	fhir := func(status, quantity, more string) string {
		return `{"resourceType":"Observation","status":"` + status + `",` + loinc + `,"effectiveDateTime":"2026-03-29T08:01:00Z","valueQuantity":{"value":71,` + quantity + `}` + more + `}`
	}
	omh := func(name, version, body string) string {
		return strings.NewReplacer("NAME", name, "VERSION", version).Replace(header) + body
	}
	report := func(value string) string {
		return `{"time":1739360702,"type":"reportAttribute","data":{"value":` + value + `}}`
	}
	group := func(category, measures string) string {
		return `{"status":0,"body":{"measuregrps":[{"grpid":17,"attrib":0,"date":1645943416,"category":` + category + `,"measures":[` + measures + `]}]}}`
	}
	for name, c := range map[string]struct{ format, payload, read string }{
		"FHIR: an interim result":                      {"fhir", fhir("preliminary", ucum+`,"code":"%"`, ""), "71 %"},
		"FHIR: a status that is none":                  {"fhir", fhir("done", ucum+`,"code":"%"`, ""), "71 %"},
		"FHIR: nothing was measured":                   {"fhir", fhir("cancelled", ucum+`,"code":"%"`, ""), ""},
		"FHIR: a unit that is not spelled so":          {"fhir", fhir("final", ucum+`,"code":"percent"`, ""), "71"},
		"FHIR: a unit of no system":                    {"fhir", fhir("final", `"unit":"%"`, ""), "71"},
		"FHIR: a value, and why there is none":         {"fhir", fhir("final", ucum+`,"code":"%"`, `,"dataAbsentReason":{"coding":[{"code":"error"}]}`), "71 %"},
		"FHIR: a time that is none":                    {"fhir", strings.Replace(fhir("final", ucum+`,"code":"%"`, ""), "08:01:00Z", "08:01", 1), "71 %"},
		"FHIR: a diastolic that is not there":          {"fhir", panel + systolic + "," + absent + "]}", "210 mm[Hg]"},
		"FHIR: a diastolic that is missing":            {"fhir", panel + systolic + "]}", "210 mm[Hg]"},
		"FHIR: a systolic that is not there":           {"fhir", panel + strings.ReplaceAll(absent, "8462-4", "8480-6") + "," + strings.Replace(systolic, "8480-6", "8462-4", 1) + "]}", "-; 210 mm[Hg]"},
		"FHIR: two measurements in one":                {"fhir", strings.Replace(fhir("final", ucum+`,"code":"%"`, ""), `"code":"59408-5"}`, `"code":"59408-5"},{"system":"http://loinc.org","code":"8867-4"}`, 1), ""},
		"FHIR: a number in quotes":                     {"fhir", strings.Replace(fhir("final", ucum+`,"code":"%"`, ""), "71", `" 71.0 "`, 1), "71.0 %"},
		"FHIR: no number in quotes":                    {"fhir", strings.Replace(fhir("final", ucum+`,"code":"%"`, ""), "71", `"71,0"`, 1), ""},
		"FHIR: a pressure in quotes":                   {"fhir", panel + strings.Replace(systolic, "210", `"210"`, 1) + "," + strings.Replace(systolic, "8480-6", "8462-4", 1) + "]}", "210 mm[Hg]; 210 mm[Hg]"},
		"FHIR: a field of another form":                {"fhir", fhir("final", ucum+`,"code":"%"`, `,"note":"ill","category":7`), "71 %"},
		"FHIR: a component of another form":            {"fhir", fhir("final", ucum+`,"code":"%"`, `,"component":["70"]`), "71 %"},
		"FHIR: the value is of another form":           {"fhir", fhir("final", ucum+`,"code":7`, ""), ""},
		"FHIR: what changes the meaning of the rest":   {"fhir", fhir("final", ucum+`,"code":"%"`, `,"modifierExtension":[{"url":"http://example.org/m","valueBoolean":true}]`), "71 %"},
		"FHIR: a history":                              {"fhir", `{"resourceType":"Bundle","type":"history","entry":[{"resource":` + fhir("final", ucum+`,"code":"%"`, "") + `}]}`, "71 %"},
		"FHIR: a bound":                                {"fhir", fhir("final", ucum+`,"code":"%","comparator":"<"`, ""), "71 %"},
		"FHIR: a unit twice":                           {"fhir", fhir("final", ucum+`,"code":"%","code":"%"`, ""), "71 %"},
		"Open mHealth: a unit that is not spelled so":  {"omh", omh("oxygen-saturation", "2.0", strings.Replace(oxygen, `"%"`, `"percent"`, 1)), "66"},
		"Open mHealth: a version that nobody knows":    {"omh", omh("oxygen-saturation", "9.0", oxygen), "66 %"},
		"Open mHealth: a number in quotes":             {"omh", omh("oxygen-saturation", "2.0", strings.Replace(oxygen, "66", `"66"`, 1)), "66 %"},
		"Open mHealth: a header without a time":        {"omh", strings.Replace(omh("oxygen-saturation", "2.0", oxygen), `"creation_date_time":"2026-02-05T07:25:00Z",`, "", 1), "66 %"},
		"Open mHealth: a schema that is not kept":      {"omh", omh("minutes-moderate-activity", "2.0", oxygen), ""},
		"Open mHealth: no systolic":                    {"omh", omh("blood-pressure", "3.0", `{"diastolic_blood_pressure":{"value":140,"unit":"mmHg"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}}}`), "-; 140 mm[Hg]"},
		"Open mHealth: blood in a unit not spelled so": {"omh", omh("blood-glucose", "3.0", glucose+`}}`), "38"},
		"Open mHealth: urine in a unit not spelled so": {"omh", omh("blood-glucose", "3.0", glucose+`,"specimen_source":"urine"}}`), ""},
		"Open mHealth: tears are no blood":             {"omh", omh("blood-glucose", "3.0", strings.Replace(glucose, "mg/dl", "mg/dL", 1)+`,"specimen_source":"tears"}}`), ""},
		"Bluetooth: a diastolic that is not there":     {"gatt:2A35", bytesOf(t, "00 D200 FF07 FF07"), "210 mm[Hg]"},
		"Bluetooth: a systolic that is not there":      {"gatt:2A35", bytesOf(t, "04 FF07 8C00 FF07 5000"), "-; 140 mm[Hg]; 80 /min"},
		"Bluetooth: a byte too many":                   {"gatt:2A35", bytesOf(t, "00 D200 8200 FF07 00"), "210 mm[Hg]; 130 mm[Hg]"},
		"Bluetooth: a byte too few":                    {"gatt:2A35", bytesOf(t, "00 D200 82"), "210 mm[Hg]"},
		"Bluetooth: a date that cannot be":             {"gatt:2A18", bytesOf(t, "02 0700 EA070D01071E00 26B0 11"), "38 mg/dL"},
		"Bluetooth: a flag that nobody knows":          {"gatt:2A35", bytesOf(t, "80 D200 8200 FF07"), ""},
		"Bluetooth: control solution":                  {"gatt:2A18", bytesOf(t, "02 0700 EA070501071E00 26B0 1A"), ""},
		"a gateway: a number in quotes":                {"gateway", `{"systolic":"210","diastolic":130,"timestamp":"2026-02-05T07:25:00Z"}`, "210 mm[Hg]; 130 mm[Hg]"},
		"a gateway: a glucose of either unit":          {"gateway", report(`{"blood_glucose":20}`), "20"},
		"a gateway: a weight of either unit":           {"gateway", report(`{"weight":150}`), "150"},
		"a gateway: a unit that nobody knows":          {"gateway", report(`{"blood_glucose":20,"unit":"mg"}`), "20"},
		"a gateway: pressures of either unit":          {"gateway", report(`{"bp_high":26.7,"bp_low":17.3,"pr":70}`), "26.7; 17.3; 70 /min"},
		"a gateway: a time in milliseconds":            {"gateway", strings.Replace(report(`{"blood_glucose":41}`), "702", "702000", 1), "41 mg/dL"},
		"a gateway: no kind of message":                {"gateway", strings.Replace(report(`{"blood_glucose":41}`), "type", "kind", 1), "41 mg/dL"},
		"a gateway: a cuff without a time":             {"gateway", `{"systolic":210,"diastolic":130}`, "210 mm[Hg]; 130 mm[Hg]"},
		"a gateway: a user that is none":               {"gateway", `{"systolic":210,"diastolic":130,"timestamp":"2026-02-05T07:25:00Z","user_slot":-1}`, "210 mm[Hg]; 130 mm[Hg]"},
		"Withings: a number in quotes":                 {"withings", group(`1`, `{"value":"720","type":54,"unit":-1}`), "72.0 %"},
		"Withings: no whole number":                    {"withings", group(`1`, `{"value":72.5,"type":54,"unit":0}`), "72.5 %"},
		"Withings: one of several is none":             {"withings", group(`1`, `{"value":null,"type":11,"unit":0},{"value":210,"type":10,"unit":0},{"value":130,"type":9,"unit":0}`), "210 mm[Hg]; 130 mm[Hg]"},
		"Withings: half a blood pressure":              {"withings", group(`1`, `{"value":210,"type":10,"unit":0}`), "210 mm[Hg]"},
		"Withings: the other half":                     {"withings", group(`1`, `{"value":140,"type":9,"unit":0}`), "-; 140 mm[Hg]"},
		"Withings: the same twice":                     {"withings", group(`1`, `{"value":72,"type":54,"unit":0},{"value":73,"type":54,"unit":0}`), "72 %"},
		"Withings: no category":                        {"withings", strings.Replace(group(`1`, `{"value":72,"type":54,"unit":0}`), "category", "kind", 1), "72 %"},
		"Withings: no attribute":                       {"withings", strings.Replace(group(`1`, `{"value":72,"type":54,"unit":0}`), "attrib", "kind", 1), "72 %"},
		"Withings: a time in milliseconds":             {"withings", strings.Replace(group(`1`, `{"value":72,"type":54,"unit":0}`), "3416", "3416000", 1), "72 %"},
		"Withings: a goal at a time that is none":      {"withings", strings.Replace(group(`2`, `{"value":72,"type":54,"unit":0}`), "3416", "3416000", 1), ""},
		"Withings: no power of ten":                    {"withings", group(`1`, `{"value":72,"type":54}`), ""},
		"a gateway: nothing was measured":              {"gateway", `{"systolic":210,"diastolic":65535,"timestamp":"2026-02-05T07:25:00Z"}`, "210 mm[Hg]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := formats.Read(c.format, []byte(c.payload))
			if err != nil || len(m.Drafts) != 0 || len(m.Refused) != 1 {
				t.Fatalf("%+v, %v", m, err)
			}
			var words []string
			if d := m.Refused[0].Draft; d != nil {
				for _, q := range d.Measured() {
					switch {
					case q == vital.Quantity{}:
						words = append(words, "-")
					case q.Unit == vital.NoUnit:
						words = append(words, q.String())
					default:
						words = append(words, q.String()+" "+q.Unit.UCUM())
					}
				}
			}
			if diff := cmp.Diff(c.read, strings.Join(words, "; ")); diff != "" {
				t.Errorf("%s\n%s", m.Refused[0].Detail, diff)
			}
		})
	}
}

// TestEachMeasurementOfWhatIsRefusedIsRead: a part may hold several, and any of them may be the emergency.
func TestEachMeasurementOfWhatIsRefusedIsRead(t *testing.T) {
	t.Parallel()
	const measures = `[{"value":98,"type":54,"unit":0},{"value":22,"type":11,"unit":0}]`
	for name, c := range map[string]struct{ format, payload, field string }{
		"a group of Withings":               {"withings", `{"status":0,"body":{"measuregrps":[{"grpid":17,"attrib":0,"date":"soon","category":1,"measures":` + measures + `}]}}`, "body.measuregrps[0].date"},
		"an oximeter":                       {"gateway", `{"time":"soon","type":"reportAttribute","data":{"value":{"spo2":98,"pulse":22}}}`, "time"},
		"an oximeter's bytes":               {"gatt:2A5E", bytesOf(t, "00 6200 1600 00"), ""},
		"an oximeter that calls it invalid": {"gatt:2A5E", bytesOf(t, "02 6200 1600 0080"), "measurement_status"},
		"an oximeter that has none":         {"gatt:2A5E", bytesOf(t, "02 6200 1600 0020"), "measurement_status"},
	} {
		m, err := formats.Read(c.format, []byte(c.payload))
		if err != nil || len(m.Drafts) != 0 || len(m.Refused) != 2 {
			t.Errorf("%s: %+v, %v", name, m, err)
			continue
		}
		read := map[vital.Metric]float64{}
		for _, no := range m.Refused {
			if no.Field != c.field {
				t.Errorf("%s: the field is %q", name, no.Field)
			}
			read[no.Draft.Metric] = no.Draft.Sent[0].Float()
		}
		if diff := cmp.Diff(map[vital.Metric]float64{vital.OxygenSat: 98, vital.HeartRate: 22}, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestOfWhatStandsTwiceBothAreRead: which of them was meant is not known, and either may be the emergency.
func TestOfWhatStandsTwiceBothAreRead(t *testing.T) {
	t.Parallel()
	const panel = `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},"effectiveDateTime":"2026-03-29T08:01:00Z","component":[`
	part := func(code, value string) string {
		return `{"code":{"coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"valueQuantity":{"value":` + value + `,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`
	}
	point := func(value string) string {
		return `{"header":{"id":"a","creation_date_time":"2026-02-05T07:25:00Z","schema_id":{"namespace":"omh","name":"oxygen-saturation","version":"2.0"}},` +
			`"body":{"oxygen_saturation":{` + value + `,"unit":"%"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}}}`
	}
	group := `{"grpid":17,"attrib":0,"date":1645943416,"category":1,"measures":[{"value":98,"type":54,"unit":0,"value":72}]}`
	for name, c := range map[string]struct {
		format, payload, field string
		read                   []string
	}{
		"a component": {"fhir", panel + part("8480-6", "120") + "," + part("8480-6", "235") + "," + part("8462-4", "80") + "]}", "component[1]", []string{"120 80", "235"}},
		"a bound beside a number": {"fhir", panel + part("8480-6", `250`) + "," + part("8462-4", `30,"comparator":"<"`) + "]}", "component[1].valueQuantity.comparator",
			[]string{"250", "- 30 bound"}},
		"a value of Open mHealth":        {"omh", point(`"value":98,"value":72`), "body.oxygen_saturation.value", []string{"98", "72"}},
		"a value of one of several":      {"omh", "[" + point(`"value":97`) + "," + point(`"value":72,"value":98`) + "]", "[1].body.oxygen_saturation.value", []string{"97", "72", "98"}},
		"a value of FHIR":                {"fhir", panel + part("8480-6", `120,"value":235`) + "," + part("8462-4", "80") + "]}", "component[0].valueQuantity.value", []string{"120 80", "235 80"}},
		"a value of Withings":            {"withings", `{"status":0,"body":{"measuregrps":[` + group + `]}}`, "body.measuregrps[0].measures[0].value", []string{"98", "72"}},
		"a value of a gateway":           {"gateway", `{"time":1739360702,"type":"reportAttribute","data":{"value":{"blood_glucose":41,"blood_glucose":110}}}`, "data.value.blood_glucose", []string{"41", "110"}},
		"more than a list holds, of omh": {"omh", "[" + strings.Repeat(point(`"value":97`)+",", 1000) + point(`"value":72`) + "]", "", []string{"97", "72"}},
		"more than a Bundle holds": {"fhir", `{"resourceType":"Bundle","type":"batch","entry":[` + strings.Repeat(`{},`, 1000) + `{"resource":` + panel + part("8480-6", "235") + "," +
			part("8462-4", "80") + "]}}]}", "entry", []string{"235 80"}},
	} {
		m, err := formats.Read(c.format, []byte(c.payload))
		if err != nil || len(m.Drafts) != 0 {
			t.Errorf("%s: %+v, %v", name, m.Drafts, err)
			continue
		}
		var read []string
		for _, no := range m.Refused {
			if no.Field != c.field || no.Part != nil {
				t.Errorf("%s: the field is %q of %q", name, no.Field, no.Part)
			}
			var words []string
			for _, q := range no.Draft.Measured() {
				if words = append(words, q.String()); q == (vital.Quantity{}) {
					words[len(words)-1] = "-"
				}
			}
			if no.Beyond.Bound() {
				words = append(words, "bound")
			}
			read = append(read, strings.Join(words, " "))
		}
		if diff := cmp.Diff(c.read, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestOfAMessageOfAnotherFormTheMeasurementsAreRead: where they stand is not where they belong, or the text ends too early, and each of
// them is whole.
func TestOfAMessageOfAnotherFormTheMeasurementsAreRead(t *testing.T) {
	t.Parallel()
	observation := func(value string) string {
		return `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"59408-5"}]},` +
			`"effectiveDateTime":"2026-03-29T08:01:00Z","valueQuantity":{"value":` + value + `,"system":"http://unitsofmeasure.org","code":"%"}}`
	}
	entry := func(value string) string { return `{"resource":` + observation(value) + `}` }
	bundle := func(entries string) string {
		return `{"resourceType":"Bundle","type":"batch","entry":` + entries + `}`
	}
	point := func(value string) string {
		return `{"header":{"id":"a","creation_date_time":"2026-02-05T07:25:00Z","schema_id":{"namespace":"omh","name":"oxygen-saturation","version":"2.0"}},` +
			`"body":{"oxygen_saturation":{"value":` + value + `,"unit":"%"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}}}`
	}
	group := func(value string) string {
		return `{"grpid":17,"attrib":0,"date":1645943416,"category":1,"measures":[{"value":` + value + `,"type":54,"unit":0}]}`
	}
	groups := func(of string) string { return `{"status":0,"body":{"measuregrps":` + of + `}}` }
	report := func(value string) string {
		return `{"time":1739360702,"type":"reportAttribute","data":{"value":{"spo2":` + value + `}}}`
	}
	cut := func(s string, n int) string { return s[:len(s)-n] }
	both := []string{"97", "72"}
	for name, c := range map[string]struct {
		format, payload, field string
		read                   []string
	}{
		"FHIR: a list":                          {"fhir", "[" + observation("97") + "," + observation("72") + "]", "", both},
		"FHIR: a list of entries and Bundles":   {"fhir", "[" + entry("97") + "," + bundle("["+entry("72")+"]") + "]", "", both},
		"FHIR: an entry without a method":       {"fhir", bundle(`[{"request":{"url":"Observation"},` + entry("72")[1:] + "]"), "entry[0].request.method", []string{"72"}},
		"FHIR: one entry that is no list":       {"fhir", bundle(entry("72")), "entry", []string{"72"}},
		"FHIR: an entry that is a list":         {"fhir", bundle("[[" + entry("97") + "," + entry("72") + "]]"), "entry[0]", both},
		"FHIR: a resource that is a list":       {"fhir", bundle(`[{"resource":[` + observation("97") + "," + observation("72") + "]}]"), "entry[0].resource", both},
		"FHIR: a Bundle in a Bundle":            {"fhir", bundle(`[{"resource":` + bundle("["+entry("97")+","+entry("72")+"]") + "}]"), "entry[0].resource.resourceType", both},
		"FHIR: what another resource contains":  {"fhir", `{"resourceType":"DiagnosticReport","contained":[` + observation("72") + "]}", "resourceType", []string{"72"}},
		"FHIR: what a group contains":           {"fhir", `{"resourceType":"Observation","status":"final","contained":[` + observation("72") + "]}", "code", []string{"72"}},
		"FHIR: a wrapper":                       {"fhir", `{"observations":[` + observation("72") + "]}", "resourceType", []string{"72"}},
		"FHIR: something behind it":             {"fhir", observation("72") + " x", "", []string{"72"}},
		"FHIR: a brace too many":                {"fhir", bundle("["+entry("72")+"]") + "}", "", []string{"72"}},
		"FHIR: one a line":                      {"fhir", observation("97") + "\n" + observation("72"), "", both},
		"FHIR: cut behind whole entries":        {"fhir", cut(bundle("["+entry("97")+","+entry("72")+","), 1), "", both},
		"FHIR: cut in an entry":                 {"fhir", cut(bundle("["+entry("97")+","+entry("72")+","+entry("70")), 90), "", both},
		"FHIR: cut in a number":                 {"fhir", bundle("[" + entry("97") + "," + cut(entry("72"), 56)), "", []string{"97"}},
		"FHIR: cut behind the last":             {"fhir", cut(bundle("["+entry("72")+"]"), 3), "", []string{"72"}},
		"FHIR: no number":                       {"fhir", bundle("[" + entry("97") + "," + entry("NaN") + "]"), "", []string{"97"}},
		"FHIR: a number with a comma":           {"fhir", bundle("[" + entry("97") + "," + entry("7,2") + "]"), "", []string{"97", "7 without unit"}},
		"FHIR: a number that is none":           {"fhir", bundle("[" + entry("97") + "," + entry("7x2") + "]"), "", []string{"97"}},
		"FHIR: a comma too many":                {"fhir", bundle("[" + entry("97") + "," + entry("72") + ",]"), "", both},
		"FHIR: not UTF-8":                       {"fhir", bundle("[" + entry("97") + `,{"fullUrl":"` + "\xfc" + `",` + entry("72")[1:] + "]"), "", both},
		"FHIR: too deep":                        {"fhir", bundle("[" + entry("72") + "," + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "]"), "entry[1]" + strings.Repeat("[0]", 30), []string{"72"}},
		"FHIR: cut, and a value twice":          {"fhir", cut(bundle("["+entry(`97,"value":72`)+"]"), 1), "", both},
		"Open mHealth: a list in a list":        {"omh", "[[" + point("97") + "," + point("72") + "]]", "[0]", both},
		"Open mHealth: a wrapper":               {"omh", `{"data":[` + point("72") + "]}", "header", []string{"72"}},
		"Open mHealth: a list of bodies":        {"omh", strings.Replace(point("72"), `"body":`, `"body":[`, 1)[:len(point("72"))] + "]}", "body", []string{"72"}},
		"Open mHealth: something behind it":     {"omh", point("72") + " x", "", []string{"72"}},
		"Open mHealth: cut behind whole ones":   {"omh", "[" + point("97") + "," + point("72") + ",", "", both},
		"Withings: a list of answers":           {"withings", "[" + groups("["+group("97")+"]") + "," + groups("["+group("72")+"]") + "]", "", both},
		"Withings: a list of groups":            {"withings", "[" + group("97") + "," + group("72") + "]", "", both},
		"Withings: the body of an answer":       {"withings", `{"measuregrps":[` + group("72") + "]}", "status", []string{"72"}},
		"Withings: an error":                    {"withings", strings.Replace(groups("["+group("72")+"]"), "0", "601", 1), "status", []string{"72"}},
		"Withings: one group that is no list":   {"withings", groups(group("72")), "body.measuregrps", []string{"72"}},
		"Withings: one measure that is no list": {"withings", groups("[" + strings.NewReplacer("[", "", "]", "").Replace(group("72")) + "]"), "body.measuregrps[0].measures", []string{"72"}},
		"Withings: something behind it":         {"withings", groups("["+group("72")+"]") + " x", "", []string{"72"}},
		"Withings: cut behind whole ones":       {"withings", cut(groups("["+group("97")+","+group("72")+","), 2), "", both},
		"a gateway: a list in a list":           {"gateway", "[[" + report("97") + "," + report("72") + "]]", "[0]", both},
		"a gateway: a wrapper":                  {"gateway", `{"type":"batch","data":[` + report("97") + "," + report("72") + "]}", "type", both},
		"a gateway: a wrapper without a type":   {"gateway", `{"messages":[` + report("72") + "]}", "type", []string{"72"}},
		"a gateway: something behind it":        {"gateway", report("72") + " x", "", []string{"72"}},
		"a gateway: cut behind whole ones":      {"gateway", "[" + report("97") + "," + report("72") + ",", "", both},
		"a gateway: cut in a number":            {"gateway", "[" + report("97") + "," + cut(report("72"), 4), "", []string{"97"}},
	} {
		m, err := formats.Read(c.format, []byte(c.payload))
		if err != nil || len(m.Drafts) != 0 {
			t.Errorf("%s: %+v, %v", name, m.Drafts, err)
			continue
		}
		var read []string
		for _, no := range m.Refused {
			if no.Field != c.field || no.NotKept {
				t.Errorf("%s: %+v", name, no)
			}
			if no.Draft == nil || no.Draft.N == 0 {
				read = append(read, "none")
				continue
			}
			words := no.Draft.Sent[0].String()
			if no.Draft.Sent[0].Unit == vital.NoUnit {
				words += " without unit"
			}
			read = append(read, words)
		}
		if diff := cmp.Diff(c.read, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestWhatHoldsNoMeasurementIsRefusedOnce: what stands around it is read for measurements, and of none nothing is told.
func TestWhatHoldsNoMeasurementIsRefusedOnce(t *testing.T) {
	t.Parallel()
	for payload, notKept := range map[string]bool{
		`{"resourceType":"DiagnosticReport","contained":[{"resourceType":"Device"}]}`:                          true,
		`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Bundle","entry":[]}}]}`: true,
		`[{"resourceType":"Device"},{},7]`:  false,
		`{"resourceType":"Observation","st`: false,
		`[`:                                 false,
		` `:                                 false,
		`[{"resourceType":"Observation","status":"entered-in-error","code":{"coding":[{"system":"http://loinc.org","code":"59408-5"}]},` +
			`"id":"a","effectiveDateTime":"2026-03-29T08:01:00Z","valueQuantity":{"value":72,"system":"http://unitsofmeasure.org","code":"%"}}]`: false,
	} {
		m := formats.FHIR([]byte(payload))
		if len(m.Drafts) != 0 || len(m.Refused) != 1 || m.Refused[0].NotKept != notKept || m.Refused[0].Draft != nil {
			t.Errorf("%s: %+v", payload, m)
		}
	}
}

func TestTheFieldOfAnObservationThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`"valueQuantity":{"value":"5.4"}`:                    "valueQuantity.value",
		`"component":[{},{"valueQuantity":{"value":"5.4"}}]`: "component[1].valueQuantity.value",
		`"valueQuantity":{"value":true}`:                     "valueQuantity.value",
		`"valueQuantity":{"value":5.4,"code":null}`:          "valueQuantity.code",
		`"status":null`: "status",
		`"category":7`:  "category",
		`"note":[{"text":7}],"valueQuantity":{"value":"unknown"}`: "valueQuantity.value",
	} {
		m := formats.FHIR([]byte(`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Observation",` + sent + `}}]}`))
		if len(m.Refused) != 1 || m.Refused[0].Field != "entry[0].resource."+want {
			t.Errorf("%s: %+v", sent, m.Refused)
		}
	}
	beyond := formats.FHIR([]byte(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2339-0"}]},` +
		`"valueQuantity":{"value":"LO","system":"http://unitsofmeasure.org","code":"mg/dL"}}`))
	if no := beyond.Refused[0]; no.Beyond != vital.Below || no.Draft == nil || no.Draft.Metric != vital.Glucose {
		t.Errorf("LO in the place of a number: %+v", no)
	}
}

func TestAnIntervalThatEndsBeforeItBeginsIsRefused(t *testing.T) {
	t.Parallel()
	sleep := func(interval string) string {
		return `{"total_sleep_time":{"value":465,"unit":"min"},"effective_time_frame":{"time_interval":{` + interval + `}}}`
	}
	for sent, want := range map[string][2]string{
		`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"59408-5"}]},` +
			`"effectivePeriod":{"start":"2026-11-21T07:00:00Z","end":"2026-11-20T08:00:00Z"},"valueQuantity":{"value":71,"system":"http://unitsofmeasure.org","code":"%"}}`: {"fhir", "effectivePeriod.end"},
		sleep(`"start_date_time":"2026-11-21T07:00:00Z","duration":{"value":-5,"unit":"min"}`): {"omh:total-sleep-time:1.0", "effective_time_frame.time_interval.duration"},
		sleep(`"end_date_time":"2026-11-21T07:00:00Z","duration":{"value":-5,"unit":"min"}`):   {"omh:total-sleep-time:1.0", "effective_time_frame.time_interval.duration"},
	} {
		m, err := formats.Read(want[0], []byte(sent))
		if err != nil || len(m.Drafts) != 0 || len(m.Refused) != 1 || m.Refused[0].Reason != vital.ReasonClock || m.Refused[0].Field != want[1] || m.Refused[0].Draft.N != 1 {
			t.Errorf("%s: %+v, %v", sent, m, err)
		}
	}
}

func TestWhatAMeterCouldNotMeasureIsToldWhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	m := formats.GATT("2A18", octets(t, "02 0700 EA070D01071E00 FE07 11")) // HI, in the month 13
	if len(m.Refused) != 1 || m.Refused[0].Reason != vital.ReasonClock || m.Refused[0].Beyond != vital.Above {
		t.Errorf("%+v", m.Refused)
	}
}

func bytesOf(t *testing.T, digits string) string {
	t.Helper()
	return string(octets(t, digits))
}
