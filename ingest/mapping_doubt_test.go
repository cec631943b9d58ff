package ingest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/ingest"
	"hale/vital"
)

// Where it is in doubt whose reading it is, which number, or when, it is none.

// named is a rule whose sensor's name is made of the template.
func named(template string) string {
	return "  - name: one\n    topic: v/{a}/{b}\n    values: {user: u}\n    sensor: '" + template + "'\n    time: {path: t, format: unix_s}\n    readings: [{metric: body_weight, value: w, unit: kg}]\n"
}

func TestTwoSensorsNeverHaveOneName(t *testing.T) {
	t.Parallel()
	const blurred = "separates it from its neighbour in the sensor's name"
	for name, c := range map[string]struct{ template, topic, user, want string }{
		"each value by itself":                             {"{a}-{b}", "v/x/y", `1`, "x-y body_weight"},
		"the separator in the first":                       {"{a}-{b}", "v/x-y/z", `1`, blurred},
		"the separator in the last":                        {"{a}-{b}", "v/x/y-z", `1`, blurred},
		"a colon that becomes the separator":               {"{a}-{b}", "v/x:y/z", `1`, blurred},
		"the first ends as a separator of two begins":      {"{a}--{b}", "v/x-/y", `1`, blurred},
		"the last begins as a separator of two ends":       {"{a}--{b}", "v/x/-y", `1`, blurred},
		"another separator, and an address":                {"{a}_{b}", "v/x-y/AA:BB", `1`, "x-y_AA-BB body_weight"},
		"three values, the one between holds the second's": {"{a}-{b}.{user}", "v/x/y.z", `1`, blurred},
		"three values":                                     {"{a}-{b}.{user}", "v/x/y", `1`, "x-y.1 body_weight"},
		"text before the only value holds what it holds":   {"s-{a}-x", "v/a-b/c", `1`, "s-a-b-x body_weight"},
		"an empty level of the topic":                      {"s{a}", "v//c", `1`, "the sensor's name needs {a}, which is empty"},
		"an empty text":                                    {"scale{user}", "v/x/y", `""`, "the sensor's name needs {user}, which is empty"},
		"text":                                             {"scale{user}", "v/x/y", `"\u0061b"`, "scaleab body_weight"},
		"a number":                                         {"scale{user}", "v/x/y", `12345678901234567890`, "scale12345678901234567890 body_weight"},
		"zero":                                             {"scale{user}", "v/x/y", `0`, "scale0 body_weight"},
		"a number that is rounded":                         {"scale{user}", "v/x/y", `1.0000000000000000001`, "stands 1.0000000000000000001, which is no plain whole number"},
		"a number with a point":                            {"scale{user}", "v/x/y", `1.0`, "which is no plain whole number"},
		"a number with an exponent":                        {"scale{user}", "v/x/y", `1e0`, "which is no plain whole number"},
		"a number below zero":                              {"scale{user}", "v/x/y", `-0`, "which is no plain whole number"},
		"neither text nor number":                          {"scale{user}", "v/x/y", `true`, "at u stands true or false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := told(mapped(t, named(c.template)).Try("cuff-7", c.topic, []byte(`{"w":78,"t":1779346815,"u":`+c.user+`}`), moment()))
			if !strings.Contains(got, c.want) || strings.Contains(c.want, "body_weight") == strings.HasPrefix(got, "0 sensor ") {
				t.Errorf("it became %s", got)
			}
		})
	}
	if err := mistakes(named("{a}{user}")); !strings.Contains(err, "nothing stands between {a} and {user}") {
		t.Errorf("two names with nothing between them: %s", err)
	}
}

// mistakes reads a file that is to be refused, and returns why; "" when it is taken.
func mistakes(rules string) string {
	_, err := ingest.ReadMappings([]byte("version: 1\nbrokers:\n  - {name: b, url: mqtt://h, client_id: c, device: d, subscribe: ['#']}\nmappings:\n" + rules))
	if err == nil {
		return ""
	}
	return err.Error()
}

// paths is a rule with paths that may find more than one value.
const paths = `
  - name: one
    topic: v/{dev}
    ignore: [{path: 'k.*.kind', is: goal}]
    values: {user: 'u.#(now==true).id'}
    sensor: "{dev}_{user}"
    time: {path: 'c.clock*', format: unix_s}
    findings: {body_movement: 'f.#(n=="moved").v'}
    readings:
      - {when: {path: 's.*', is: fine}, metric: body_temperature, value: 'd.MI32-*.T', unit: Cel}
      - {metric: heart_rate, value: 'm.#(type==1).value', unit: {path: 'm.#(type==1).unit', translate: {bpm: /min}}}
`

func TestOfSeveralValuesNoneIsTaken(t *testing.T) {
	t.Parallel()
	const base = `{"u":[{"now":false,"id":1},{"now":true,"id":2}],"c":{"clock":1779346815},"s":{"x":"fine"},`
	many := func(path string) string {
		return "0 unparsable mapping one: more than one value stands at " + path + "; name the one that is meant, or use each: for all of them"
	}
	const rate = "a_2 heart_rate 61 /min 2026-05-21T07:00:15Z"
	for name, c := range map[string]struct {
		payload string
		want    []string // the beginning of each line
	}{
		"one of each":                         {base + `"d":{"MI32-a":{"T":36.6},"other":{"T":39}},"m":[{"type":1,"value":61,"unit":"bpm"},{"type":2,"value":9}]}`, []string{"a_2 body_temperature 36.6", rate}},
		"two names that fit":                  {base + `"d":{"MI32-a":{"T":36.6},"MI32-b":{"T":39.9}},"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{rate, many("d.MI32-*.T")}},
		"two names, one without the number":   {base + `"d":{"MI32-a":{"H":55},"MI32-b":{"T":39.9}}}`, []string{many("d.MI32-*.T")}},
		"two entries that fit":                {base + `"m":[{"type":1,"value":61,"unit":"bpm"},{"type":1,"value":62,"unit":"bpm"}]}`, []string{many("m.#(type==1).value")}},
		"number and unit from different ones": {base + `"m":[{"type":1,"value":61},{"type":1,"unit":"bpm"}]}`, []string{many("m.#(type==1).value")}},
		"two sensors":                         {strings.Replace(base, `"now":false`, `"now":true`, 1) + `"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{many("u.#(now==true).id")}},
		"two clocks":                          {strings.Replace(base, `"clock":`, `"clock2":1,"clock":`, 1) + `"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{many("c.clock*")}},
		"two findings":                        {base + `"f":[{"n":"moved","v":0},{"n":"moved","v":1}],"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{many(`f.#(n=="moved").v`)}},
		"two conditions of a reading":         {strings.Replace(base, `"x":"fine"`, `"x":"fine","y":"bad"`, 1) + `"d":{"MI32-a":{"T":36.6}},"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{rate, many("s.*")}},
		"two that might be ignored":           {base + `"k":{"x":{"kind":"goal"},"y":{"kind":"no"}},"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{many("k.*.kind")}},
		"one that is ignored":                 {base + `"k":{"x":{"kind":"goal"}},"m":[{"type":1,"value":61,"unit":"bpm"}]}`, nil},
		"a name twice":                        {base + `"m":[{"type":1,"value":61,"value":99,"unit":"bpm"}]}`, []string{`0 unparsable mapping one: "value" stands more than once in one object; send each field once`}},
		"a name twice in two spellings":       {base + `"m":[{"type":1,"v\u0061lue":61,"value":99,"unit":"bpm"}]}`, []string{`0 unparsable mapping one: "value" stands more than once`}},
		"a name twice where nobody looks":     {base + `"x":{"":1,"":1},"m":[{"type":1,"value":61,"unit":"bpm"}]}`, []string{`0 unparsable mapping one: "" stands more than once`}},
		"one name in two objects":             {base + `"value":7,"m":[{"type":1,"value":61,"unit":"bpm"},{"value":1}]}`, []string{rate}},
		"a query where no list is":            {base + `"m":{"type":1,"value":61,"unit":"bpm"}}`, []string{"0 metric"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := told(mapped(t, paths).Try("cuff-7", "v/a", []byte(c.payload), moment()))
			lines := strings.Split(got, "\n")
			if got == "" {
				lines = nil
			}
			if len(lines) != len(c.want) {
				t.Fatalf("it became %s", got)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %d is %s, want %s", i, lines[i], want)
				}
			}
		})
	}
}

func TestPathsThatMightFindManyAreRefusedInTheFile(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"a.#": "uses # for all elements", "#.a": "uses # for all elements", "a.#(b==1)#.c": "which finds many", "a..b": "empty step", "a.": "empty step",
		".a": "empty step", "a|b": "has a pipe", "a.@reverse": "uses @", "a.#(b==1": "bracket", "a.#(b.#(c==1).d==2).e": "within #(...)", "a.#(b*==1).c": "uses * within",
		"a.#(b).c": "no comparison", `a.#(b=="x).c`: "bracket", `a.#(b=="x"y")`: "quote without", "a(b": "bracket", "a.#(@this==1)": "uses @ within", "a.#(b==f(1)).c": "put the text into quotes",
		"a.b.0.c": "", `a.#(b=="x(y).z").c`: "", "MI32-*.T": "", `a\.b.c`: "", "a.#(b!=1).c": "", `a.#(b%"D*").c`: "", "$.a.b": "",
	} {
		err := mistakes("  - {name: one, topic: v/x, sensor: s, time: arrival, readings: [{metric: steps, value: '" + path + "', unit: '{steps}'}]}\n")
		if (err == "") != (want == "") || !strings.Contains(err, want) {
			t.Errorf("%s: %s", path, err)
		}
	}
	for each, want := range map[string]string{"$": "", "MI32-{x}": "", "a.{x}": "", "$.a.s{x}": "", "a.s{x}.b": "no form of names", "{x": "no form of names", "a.s{x}{y}": "no form of names", "a.s{X Y}": "no form of names", "a.*{x}": "no form of names", "s{b}": "stands in the topic and in each"} {
		err := mistakes("  - {name: one, topic: 'v/{b}', each: '" + each + "', sensor: s, time: arrival, readings: [{metric: steps, value: v, unit: '{steps}'}]}\n")
		if (err == "") != (want == "") || !strings.Contains(err, want) {
			t.Errorf("each: %s: %s", each, err)
		}
	}
}

func TestALayoutShowsNoZoneBesideTheMappings(t *testing.T) {
	t.Parallel()
	read := func(layout string) string {
		return mistakes("  - name: one\n    topic: v/x\n    sensor: s\n    time: {path: t, format: local, zone: Europe/Ljubljana, layout: '" + layout + "'}\n    readings: [{metric: steps, value: v, unit: '{steps}'}]\n")
	}
	for _, zone := range []string{
		"-0700", "-07:00", "-07", "-070000", "-07:00:00", "Z0700", "Z07:00", "Z07", "Z070000", "Z07:00:00", "MST", " MST", " -0700", // offsets that the time package reads
		"Z", " Z", " UTC", " GMT", "+01:00", "+02", " UTC+2", // and those that it passes over as text, or reads as a day
	} {
		for _, wall := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04", "20060102150405", "02.01.06 15:04:05.000"} {
			if err := read(wall + zone); !strings.Contains(err, "shows a zone") {
				t.Errorf("%q: %q", wall+zone, err)
			}
		}
	}
	for _, good := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04", "02.01.2006 15:04", "20060102150405", "Jan 2, 2006 at 3:04pm", "Monday, 02-Jan-06 15:04:05"} {
		if err := read(good); err != "" {
			t.Errorf("%q: %s", good, err)
		}
	}
	for _, poor := range []string{"2006-01-02", "15:04", "2006-01-02 03:04"} {
		if err := read(poor); !strings.Contains(err, "must show year, month, day, hour and minute") {
			t.Errorf("%q: %q", poor, err)
		}
	}
}

func TestEachOfAMessageThatIsAList(t *testing.T) {
	t.Parallel()
	rule := strings.Replace(plainRule, "    sensor", "    each: $\n    sensor", 1)
	const one = `{"hr":61,"u":"slag","t":"2026-11-21T07:00:00Z"}`
	line := fmt.Sprintf("a heart_rate 61 /min 2026-11-21T07:00:00Z %d", through)
	for name, c := range map[string]struct{ payload, want string }{
		"two":                                  {"[" + one + "," + one + "]", line + "\n" + line},
		"none":                                 {"[]", ""},
		"a message of no list":                 {one, "0 unparsable mapping one: at $ stands an object; a list is expected"},
		"as many as there may be and one more": {"[" + strings.Repeat(one+",", ingest.MaxElements) + one + "]", "0 unparsable mapping one: at $ stand more than 1000 elements; send them in parts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, told(mapped(t, rule).Try("cuff-7", "v/a", []byte(c.payload), moment()))); diff != "" {
				t.Error(diff)
			}
		})
	}
	full := "[" + strings.Repeat(one+",", ingest.MaxElements-1) + one + "]"
	if got := mapped(t, rule).Try("cuff-7", "v/a", []byte(full), moment()); len(got) != ingest.MaxElements || got[999].Reading == nil {
		t.Errorf("a list of as many as there may be became %d", len(got))
	}
}

func TestEachMemberIsAnElement(t *testing.T) {
	t.Parallel()
	rule := `
  - name: one
    topic: v/{dev}
    each: d.MI32-{address}
    sensor: "{dev}_{address}"
    time: {path: $.t, format: rfc3339}
    readings: [{metric: body_temperature, value: T, unit: Cel}]
`
	const at = `},"t":"2026-11-21T07:00:00Z"}`
	line := func(sensor, degrees string) string {
		return fmt.Sprintf("a_%s body_temperature %s Cel 2026-11-21T07:00:00Z %d", sensor, degrees, through)
	}
	members := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"MI32-%d":{"T":36.6}`, i))
		}
		return `{"d":{` + strings.Join(list, ",") + at
	}
	for name, c := range map[string]struct{ payload, want string }{
		"two devices and something else": {`{"d":{"MI32-a":{"T":36.6},"Time":7,"MI32-b":{"T":39.9}` + at, line("a", "36.6") + "\n" + line("b", "39.9")},
		"a name without its part":        {`{"d":{"MI32-":{"T":36.6}` + at, "0 sensor mapping one: the sensor's name needs {address}, which is empty"},
		"no such name":                   {`{"d":{"AM2301":{"T":36.6}` + at, "0 metric mapping one: at d no name is of the form MI32-{address}; name the readings that stand there, or add an entry under ignore"},
		"no object":                      {`{"d":[{"T":36.6}],"x":{` + at, "0 unparsable mapping one: at d stands a list; an object is expected"},
		"too many":                       {members(ingest.MaxElements + 1), "0 unparsable mapping one: at d stand more than 1000 elements; send them in parts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, told(mapped(t, rule).Try("cuff-7", "v/a", []byte(c.payload), moment()))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := mapped(t, rule).Try("cuff-7", "v/a", []byte(members(ingest.MaxElements)), moment()); len(got) != ingest.MaxElements || got[999].Reading == nil {
		t.Errorf("as many members as there may be became %d", len(got))
	}
}

func TestATriedMessageHasTheBridgesLimit(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/examples/samples/native.json")
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.TrimSpace(string(text)))
	m := mapped(t, "  - {name: n, topic: hale/v1/#, native: true}\n")
	for _, c := range []struct {
		size int
		want string
	}{{ingest.LargestForeign, "cuff-1 blood_pressure"}, {ingest.LargestForeign + 1, "0 too_large the message has 262145 bytes"}} {
		payload := string(text) + strings.Repeat(" ", c.size-len(text))
		if got := told(m.Try("cuff-7", "hale/v1/cuff-1/readings", []byte(payload), moment())); !strings.HasPrefix(got, c.want) {
			t.Errorf("%d bytes became %s", c.size, got)
		}
	}
}

func TestARetainedMessageWithoutATimeIsNoReading(t *testing.T) {
	t.Parallel()
	rule := func(time string) string { return strings.Replace(plainRule, "{path: t, format: rfc3339}", time, 1) }
	native := "  - {name: n, topic: hale/v1/#, native: true}\n"
	const wire, timed = `{"metric":"heart_rate","value":61,"unit":"/min"}`, `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:00:00Z"}`
	for name, c := range map[string]struct {
		rules, topic, payload string
		taken                 bool
	}{
		"mapped, as measured on arrival": {rule("arrival"), "v/scale-1", `{"hr":61,"u":"slag"}`, false},
		"mapped, with its own time":      {plainRule, "v/scale-1", `{"hr":61,"u":"slag","t":"2026-11-21T07:00:00Z"}`, true},
		"native, without a time":         {native, "hale/v1/watch/readings", wire, false},
		"native, a list":                 {native, "hale/v1/watch/readings", "[" + wire + "]", false},
		"native, with its own time":      {native, "hale/v1/watch/readings", timed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
			snapshot := registry()
			watch := *snapshot.Devices[ownUID]
			watch.UID = "watch"
			snapshot.Devices["watch"] = &watch
			for _, retained := range []bool{false, true} {
				m := message(c.topic, c.payload)
				m.Mapping, m.Retained = mapped(t, c.rules), retained
				records, receipt := core.Decode(snapshot, m)
				if len(records) != 1 || receipt.Err != nil {
					t.Fatalf("%d records, %v", len(records), receipt.Err)
				}
				no := records[0].Refused
				if want := c.taken || !retained; (no == nil) != want || no != nil && (no.Reason != vital.ReasonClock || !strings.Contains(no.Detail, "retain flag")) {
					t.Errorf("retained %v: %+v", retained, no)
				}
			}
		})
	}
}
