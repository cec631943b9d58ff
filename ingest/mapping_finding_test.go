package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/ingest"
	"hale/vital"
)

// noticing is a rule of one number and two findings.
const noticing = `
  - name: one
    topic: v/{dev}
    sensor: "{dev}"
    time: {path: t, format: rfc3339}
    findings: {irregular_pulse: ihb, body_movement: {path: moved, is: ja}}
    readings:
      - {metric: heart_rate, value: hr, unit: /min}
`

func TestAFindingThatCannotBeReadIsMarkedAndHidesNoNumber(t *testing.T) {
	t.Parallel()
	text := func(shown string) string {
		return "whether there is irregular_pulse cannot be read: at ihb stands " + shown + ", and neither true, false nor a number; say which text means it, as in irregular_pulse: {path: ihb, is: TEXT}"
	}
	inside := func(name, path, kind string) string {
		return "whether there is " + name + " cannot be read: at " + path + " stands " + kind + "; name one value in it"
	}
	for name, c := range map[string]struct {
		sent   string // beside the number
		marks  vital.Finding
		doubts []string
	}{
		"nothing":                       {``, 0, nil},
		"true":                          {`,"ihb":true`, vital.IrregularPulse, nil},
		"false":                         {`,"ihb":false`, 0, nil},
		"null":                          {`,"ihb":null,"moved":null`, 0, nil},
		"0":                             {`,"ihb":0`, 0, nil},
		"0 with a point":                {`,"ihb":0.0`, 0, nil},
		"1":                             {`,"ihb":1`, vital.IrregularPulse, nil},
		"a number below 0":              {`,"ihb":-0.5`, vital.IrregularPulse, nil},
		"true as text":                  {`,"ihb":"true"`, vital.FindingUnclear, []string{text(`"true"`)}},
		"1 as text":                     {`,"ihb":"1"`, vital.FindingUnclear, []string{text(`"1"`)}},
		"false as text":                 {`,"ihb":"false"`, vital.FindingUnclear, []string{text(`"false"`)}},
		"empty text":                    {`,"ihb":""`, vital.FindingUnclear, []string{text(`""`)}},
		"a list":                        {`,"ihb":["AF"]`, vital.FindingUnclear, []string{inside("irregular_pulse", "ihb", "a list")}},
		"an empty list":                 {`,"ihb":[]`, vital.FindingUnclear, []string{inside("irregular_pulse", "ihb", "a list")}},
		"an object":                     {`,"ihb":{"af":1}`, vital.FindingUnclear, []string{inside("irregular_pulse", "ihb", "an object")}},
		"the text that means it":        {`,"moved":"ja"`, vital.BodyMovement, nil},
		"the text in another spelling":  {`,"moved":"\u006aa"`, vital.BodyMovement, nil},
		"another text":                  {`,"moved":"nein"`, 0, nil},
		"a number where text means it":  {`,"moved":1`, 0, nil},
		"a list where text means it":    {`,"moved":["ja"]`, vital.FindingUnclear, []string{inside("body_movement", "moved", "a list")}},
		"one that is, and one in doubt": {`,"moved":"ja","ihb":"x"`, vital.BodyMovement | vital.FindingUnclear, []string{text(`"x"`)}},
		"two in doubt":                  {`,"moved":[],"ihb":"x"`, vital.FindingUnclear, []string{text(`"x"`), inside("body_movement", "moved", "a list")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := `{"hr":61,"t":"2026-11-21T07:00:00Z"` + c.sent + `}`
			m := mapped(t, noticing)
			all := m.Try("cuff-7", "v/a", []byte(payload), moment())
			if diff := cmp.Diff(fmt.Sprintf("a heart_rate 61 /min 2026-11-21T07:00:00Z %d", vital.ThroughBroker|c.marks), told(all)); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(c.doubts, all[0].Doubts); diff != "" {
				t.Error(diff)
			}
			msg := message("v/scale-1", payload) // and the same in earnest
			msg.Mapping = m
			records, _ := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}}).Decode(registry(), msg)
			if len(records) != 1 || records[0].Reading == nil || records[0].Reading.Findings != vital.ThroughBroker|c.marks {
				t.Errorf("it became %+v", records)
			}
		})
	}
}

func TestADoubtBelongsToItsElement(t *testing.T) {
	t.Parallel()
	rule := strings.Replace(strings.Replace(noticing, "    sensor", "    each: l\n    sensor", 1), "      - {metric", "      - {metric: steps, value: s, unit: '{steps}'}\n      - {metric", 1)
	const at = `,"t":"2026-11-21T07:00:00Z"`
	all := mapped(t, rule).Try("cuff-7", "v/a", []byte(`{"l":[{"hr":61`+at+`},{"hr":999,"ihb":"x"`+at+`},{"hr":62,"s":7,"ihb":"x"`+at+`},{"hr":63,"ihb":1`+at+`}]}`), moment())
	var got []string
	for _, one := range all {
		switch {
		case one.Refusal != nil:
			got = append(got, fmt.Sprintf("refused, %d doubts", len(one.Doubts)))
		default:
			got = append(got, fmt.Sprintf("%s, %d doubts, %t", one.Reading.Sent[0], len(one.Doubts), one.Reading.Findings&vital.FindingUnclear != 0))
		}
	}
	if diff := cmp.Diff([]string{"61, 0 doubts, false", "7, 1 doubts, true", "62, 1 doubts, true", "63, 0 doubts, false", "refused, 0 doubts"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFindingByItsTextIsWrittenInFull(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"{path: a, is: ja}": "", "a": "", "{path: a}": `needs "is"`, "{is: ja}": `needs "path"`, "{path: a, is: ''}": "is is empty", "{path: 'a.#', is: ja}": "uses # for all", "{path: a, ist: ja}": "no field", "[a]": "a condition",
	} {
		err := mistakes("  - {name: one, topic: v/x, sensor: s, time: arrival, findings: {cuff_loose: " + spec + "}, readings: [{metric: steps, value: v, unit: '{steps}'}]}\n")
		if (err == "") != (want == "") || !strings.Contains(err, want) {
			t.Errorf("%s: %s", spec, err)
		}
	}
}
