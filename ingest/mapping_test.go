package ingest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// mapped reads a mapping of one broker with the given rules.
func mapped(tb testing.TB, rules string) *ingest.Mapping {
	tb.Helper()
	brokers, err := ingest.ReadMappings([]byte("version: 1\nbrokers:\n  - {name: b, url: mqtt://h, client_id: c, device: cuff-7, subscribe: ['#']}\nmappings:\n" + rules))
	if err != nil {
		tb.Fatal(err)
	}
	return brokers[0].Mapping
}

// told is what a message became, as one line each.
func told(all []ingest.Tried) string {
	var lines []string
	for _, t := range all {
		if t.Refusal != nil {
			lines = append(lines, fmt.Sprintf("%d %s %s", t.Refusal.Index, t.Refusal.Reason, t.Refusal.Detail))
			continue
		}
		r := t.Reading
		line := t.Sensor + " " + r.Metric.String()
		for _, q := range r.Sent[:r.N] {
			line += fmt.Sprintf(" %s %s", q, q.Unit.UCUM())
		}
		line += " " + r.SentAt.Format(time.RFC3339Nano)
		if r.HasSequence {
			line += fmt.Sprintf(" #%d", r.Tie)
		}
		lines = append(lines, fmt.Sprintf("%s %d", line, r.Findings&^vital.Historic))
	}
	return strings.Join(lines, "\n")
}

// through is the finding that every reading through a broker has.
const through = int(vital.ThroughBroker)

func TestTheExampleMapsItsSamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/examples/mapping.yaml")
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := ingest.ReadMappings(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ sample, topic, want string }{
		"a vendor's cloud: a list, powers of ten beside the numbers, a goal that is none": {"scale.json", "vendor/scale-17/measures", fmt.Sprintf(
			"scale-17 body_weight 78.350 kg 2026-05-21T07:00:15Z #90121 %[1]d\nscale-17 blood_pressure 128 mm[Hg] 79 mm[Hg] 2026-05-21T07:00:40Z #90122 %[1]d\nscale-17 heart_rate 66 /min 2026-05-21T07:00:40Z #90122 %[1]d", through)},
		"a gateway: the sensor by its radio address, a finding": {"gateway.json", "qube/g1/up",
			fmt.Sprintf("ble-FF-22-01-0A-33-7C blood_pressure 142 mm[Hg] 91 mm[Hg] 66 /min 2026-05-21T07:00:15Z %d", through|int(vital.IrregularPulse))},
		"a home server: two devices by their names, numbers in quotes, a clock on the wall": {"thermometer.json", "tele/home-1/SENSOR",
			fmt.Sprintf("mi32-d7c5a1 body_temperature 36.80 Cel 2026-03-29T06:00:00Z %[1]d\nmi32-0b4e22 body_temperature 38.10 Cel 2026-03-29T06:00:00Z %[1]d", through)},
		"a message that is a list": {"list.json", "lab/meter-1/results",
			fmt.Sprintf("meter-1 glucose 5.4 mmol/L 2026-05-21T07:00:15Z %[1]d\nmeter-1 glucose 7.10 mmol/L 2026-05-21T12:10:00Z %[1]d", through)},
		"the wire itself": {"native.json", "hale/v1/cuff-1/readings",
			fmt.Sprintf("cuff-1 blood_pressure 128 mm[Hg] 79 mm[Hg] 66 /min 2026-05-21T07:00:15Z #7 %d", through)},
		"the wire, by a gateway": {"native.json", "hale/v1/gate-1/sensors/cuff-2/readings",
			fmt.Sprintf("cuff-2 blood_pressure 128 mm[Hg] 79 mm[Hg] 66 /min 2026-05-21T07:00:15Z #7 %d", through)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload, err := os.ReadFile("../docs/examples/samples/" + c.sample)
			if err != nil {
				t.Fatal(err)
			}
			b := brokers[0]
			if strings.HasPrefix(c.topic, "hale/") {
				b = brokers[1]
			}
			if diff := cmp.Diff(c.want, told(b.Mapping.Try(b.Device, c.topic, payload, moment()))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// plainRule is a rule of one number.
const plainRule = `
  - name: one
    topic: v/{dev}
    sensor: "{dev}"
    time: {path: t, format: rfc3339}
    readings:
      - {metric: heart_rate, value: hr, unit: {path: u, translate: {slag: /min, "1": Hz}}}
`

func TestMapping(t *testing.T) {
	t.Parallel()
	at := `,"t":"2026-11-21T07:00:00Z"}`
	simple := func(value, timeSpec string) string {
		return "  - name: one\n    topic: v/{dev}\n    sensor: '{dev}'\n    time: " + timeSpec + "\n    readings: [{metric: body_weight, value: " + value + ", unit: kg}]\n"
	}
	rfc := "{path: t, format: rfc3339}"
	for name, c := range map[string]struct{ rules, topic, payload, want string }{
		"a unit is translated":         {plainRule, "v/a", `{"hr":61,"u":"slag"` + at, fmt.Sprintf("a heart_rate 61 /min 2026-11-21T07:00:00Z %d", through)},
		"a unit code may be a number":  {plainRule, "v/a", `{"hr":1.1,"u":1` + at, fmt.Sprintf("a heart_rate 1.1 Hz 2026-11-21T07:00:00Z %d", through)},
		"an untranslated unit":         {plainRule, "v/a", `{"hr":61,"u":"bpm"` + at, `0 unit mapping one: the unit at u is "bpm", which the mapping does not translate; add it there`},
		"a missing unit":               {plainRule, "v/a", `{"hr":61` + at, `0 unit mapping one: the unit of value is missing; send one of /min, Hz`},
		"a number in quotes":           {plainRule, "v/a", `{"hr":"61","u":"slag"` + at, `0 not_a_number mapping one: value is text; send a number without quotes, for example 36.8`},
		"no number at all":             {plainRule, "v/a", `{"u":"slag"` + at, `0 metric mapping one: none of the readings that the mapping knows stands in this; add one, or an entry under ignore`},
		"null is no number":            {plainRule, "v/a", `{"hr":null,"u":"slag"` + at, `0 metric mapping one: none of the readings that the mapping knows stands in this; add one, or an entry under ignore`},
		"implausible":                  {plainRule, "v/a", `{"hr":0,"u":"slag"` + at, `0 implausible mapping one: heart_rate value 0 /min lies outside 15 to 250`},
		"no time":                      {plainRule, "v/a", `{"hr":61,"u":"slag"}`, `0 clock mapping one: no time stands at t`},
		"no zone":                      {plainRule, "v/a", `{"hr":61,"u":"slag","t":"2026-11-21T07:00:00"}`, `0 clock mapping one: time "2026-11-21T07:00:00" has no zone; add Z for UTC or an offset such as +01:00`},
		"no JSON":                      {plainRule, "v/a", `{"hr":NaN` + at, `0 unparsable not JSON at byte 6: NaN and Infinity are no numbers; leave out what was not measured`},
		"something behind the end":     {plainRule, "v/a", `{"hr":61,"u":"slag"` + at + `}`, `0 unparsable not JSON at byte 47: something follows the end of the message`},
		"an empty message":             {plainRule, "v/a", ``, `0 unparsable not JSON at byte 0: it ends too early`},
		"no object":                    {plainRule, "v/a", `7`, `0 metric mapping one: none of the readings that the mapping knows stands in this; add one, or an entry under ignore`},
		"a topic of no rule":           {plainRule, "w/a", `{}`, `0 topic no mapping of the bridge is for this topic; add one, or do not subscribe to it`},
		"a topic that is too long":     {plainRule, "v/a/b", `{}`, `0 topic no mapping of the bridge is for this topic; add one, or do not subscribe to it`},
		"a topic that is too short":    {plainRule, "v", `{}`, `0 topic no mapping of the bridge is for this topic; add one, or do not subscribe to it`},
		"a sensor of no form":          {plainRule, "v/ä", `{"hr":61,"u":"slag"` + at, `0 sensor mapping one: the sensor's name would be "ä"; it needs 1 to 64 letters, digits, points, dashes or underscores`},
		"digits stay as they were":     {simple("w", rfc), "v/a", `{"w":78.3500` + at, fmt.Sprintf("a body_weight 78.3500 kg 2026-11-21T07:00:00Z %d", through)},
		"a fixed power of ten":         {simple("{path: w, exponent: -1}", rfc), "v/a", `{"w":783` + at, fmt.Sprintf("a body_weight 78.3 kg 2026-11-21T07:00:00Z %d", through)},
		"two powers of ten":            {simple("{path: w, exponent: -1, exponent_path: e}", rfc), "v/a", `{"w":7830,"e":-1` + at, fmt.Sprintf("a body_weight 78.30 kg 2026-11-21T07:00:00Z %d", through)},
		"a power of ten that is none":  {simple("{path: w, exponent_path: e}", rfc), "v/a", `{"w":78,"e":0.5` + at, `0 not_a_number mapping one: the power of ten at e is 0.5; a whole number from -30 to 30 is expected`},
		"a missing power of ten":       {simple("{path: w, exponent_path: e}", rfc), "v/a", `{"w":78` + at, `0 not_a_number mapping one: the power of ten at e is absent; a whole number from -30 to 30 is expected`},
		"too many digits":              {simple("{path: w, exponent: -1}", rfc), "v/a", `{"w":78.12345678901234567890` + at, `0 not_a_number mapping one: value 78.12345678901234567890 has more than 18 digits or too large an exponent`},
		"quotes that are allowed":      {simple("{path: w, quoted: true}", rfc), "v/a", `{"w":"78.30"` + at, fmt.Sprintf("a body_weight 78.30 kg 2026-11-21T07:00:00Z %d", through)},
		"a comma is no point":          {simple("{path: w, quoted: true}", rfc), "v/a", `{"w":"78,3"` + at, `0 not_a_number mapping one: value is text; send a number without quotes, for example 36.8`},
		"unknown is never zero":        {simple("{path: w, quoted: true}", rfc), "v/a", `{"w":"unavailable"` + at, `0 not_a_number mapping one: value is text; send a number without quotes, for example 36.8`},
		"seconds with a fraction":      {simple("w", "{path: t, format: unix_s}"), "v/a", `{"w":78,"t":1779346815.250}`, fmt.Sprintf("a body_weight 78 kg 2026-05-21T07:00:15.25Z %d", through)},
		"seconds in quotes":            {simple("w", "{path: t, format: unix_s}"), "v/a", `{"w":78,"t":"1779346815"}`, fmt.Sprintf("a body_weight 78 kg 2026-05-21T07:00:15Z %d", through)},
		"milliseconds":                 {simple("w", "{path: t, format: unix_ms}"), "v/a", `{"w":78,"t":1779346815250}`, fmt.Sprintf("a body_weight 78 kg 2026-05-21T07:00:15.25Z %d", through)},
		"milliseconds as seconds":      {simple("w", "{path: t, format: unix_s}"), "v/a", `{"w":78,"t":1779346815250}`, `0 clock mapping one: the time 1779346815250 at t looks like milliseconds; the mapping says seconds`},
		"seconds as milliseconds":      {simple("w", "{path: t, format: unix_ms}"), "v/a", `{"w":78,"t":1779346815}`, `0 clock mapping one: time 1970-01-21T14:15:46Z lies before 2015; set the device's clock`},
		"no number of seconds":         {simple("w", "{path: t, format: unix_s}"), "v/a", `{"w":78,"t":"now"}`, `0 clock mapping one: the time "now" at t is no number of unix_s`},
		"a number beyond all time":     {simple("w", "{path: t, format: unix_ms}"), "v/a", `{"w":78,"t":1e30}`, `0 clock mapping one: the time 1e30 at t is no number of unix_ms`},
		"a wall clock in summer":       {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-07-01T08:00:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-07-01T06:00:00Z %d", through)},
		"the hour that comes twice":    {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-10-25T02:30:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-10-25T00:30:00Z %d", through)},
		"just after it":                {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-10-25T03:00:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-10-25T02:00:00Z %d", through)},
		"just before it":               {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-10-25T01:59:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-10-24T23:59:00Z %d", through)},
		"the hour that never comes":    {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-03-29T02:30:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-03-29T01:30:00Z %d", through)},
		"a wall clock that says Z":     {simple("w", "{path: t, format: local, zone: Europe/Ljubljana}"), "v/a", `{"w":78,"t":"2026-07-01T08:00:00Z"}`, `0 clock mapping one: the time "2026-07-01T08:00:00Z" at t is not of the form 2006-01-02T15:04:05`},
		"a layout of its own":          {simple("w", "{path: t, format: local, zone: America/New_York, layout: '02.01.2006 15:04'}"), "v/a", `{"w":78,"t":"01.07.2026 08:00"}`, fmt.Sprintf("a body_weight 78 kg 2026-07-01T12:00:00Z %d", through)},
		"arrival, because it says so":  {simple("w", "arrival"), "v/a", `{"w":78}`, fmt.Sprintf("a body_weight 78 kg 2026-11-21T07:25:00.25Z %d", through|int(vital.TimeAssumed))},
		"the future":                   {simple("w", rfc), "v/a", `{"w":78,"t":"2026-11-21T08:00:00Z"}`, `0 clock mapping one: time 2026-11-21T08:00:00Z is more than 5 minutes ahead of ours; set the device's clock`},
		"a patient in the payload":     {simple("w", rfc), "v/a", `{"w":78,"patient":"12"` + at, fmt.Sprintf("a body_weight 78 kg 2026-11-21T07:00:00Z %d", through)},
		"a list where none is":         {strings.Replace(plainRule, "    sensor", "    each: l\n    sensor", 1), "v/a", `{"l":{}}`, `0 unparsable mapping one: at l stands an object; a list is expected`},
		"an empty list":                {strings.Replace(plainRule, "    sensor", "    each: l\n    sensor", 1), "v/a", `{"l":[]}`, ``},
		"good and bad in one list":     {strings.Replace(plainRule, "    sensor", "    each: l\n    sensor", 1), "v/a", `{"l":[{"hr":61,"u":"slag"` + at + `,7,{"hr":999,"u":"slag"` + at + `]}`, fmt.Sprintf("a heart_rate 61 /min 2026-11-21T07:00:00Z %d\n1 metric mapping one: none of the readings that the mapping knows stands in this; add one, or an entry under ignore\n2 implausible mapping one: heart_rate value 999 /min lies outside 15 to 250", through)},
		"the message's own time":       {strings.Replace(strings.Replace(plainRule, "    sensor", "    each: l\n    sensor", 1), "path: t,", "path: $.t,", 1), "v/a", `{"l":[{"hr":61,"u":"slag"},{"hr":62,"u":"slag"}]` + at, fmt.Sprintf("a heart_rate 61 /min 2026-11-21T07:00:00Z %[1]d\na heart_rate 62 /min 2026-11-21T07:00:00Z %[1]d", through)},
		"native, not of the wire":      {"  - {name: n, topic: hale/v1/#, native: true}\n", "hale/v1/a/nothing", `{}`, `0 topic a device publishes to .../readings, .../fhir, .../omh, .../withings, .../gateway, .../gatt/{characteristic}, .../sensors/{sensor}/ and one of these, or .../status`},
		"the first rule that fits":     {"  - {name: n, topic: hale/v1/#, native: true}\n" + strings.Replace(plainRule, "v/{dev}", "'{dev}/#'", 1), "hale/v1/a/readings", `{"metric":"steps","value":5,"unit":"{steps}","time":"2026-11-21T07:00:00Z"}`, fmt.Sprintf("a steps 5 {steps} 2026-11-21T07:00:00Z %d", through)},
		"a sequence that is no number": {strings.Replace(plainRule, "    readings", "    sequence: s\n    readings", 1), "v/a", `{"hr":61,"u":"slag","s":"x"` + at, `0 unparsable mapping one: seq must be a whole number from 0 to 2^62, without quotes, point or exponent; leave it out if the device does not count`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := told(mapped(t, c.rules).Try("cuff-7", c.topic, []byte(c.payload), moment()))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAMappedMessageGoesThroughTheCore(t *testing.T) {
	t.Parallel()
	m := mapped(t, plainRule+"  - {name: n, topic: hale/v1/#, native: true}\n")
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
	snapshot := registry()
	snapshot.Devices["stranger"] = &devices.Device{ID: 77, Org: ourOrg + 1, UID: "stranger", Own: 770}
	snapshot.Devices["gone"] = &devices.Device{ID: 78, Org: ourOrg, UID: "gone", Own: 780, Revoked: true}
	snapshot.Devices["watch"] = &devices.Device{ID: 79, Org: ourOrg, UID: "watch", Own: 790}
	decode := func(topic, payload string) (vital.Record, ingest.Receipt) {
		t.Helper()
		msg := message(topic, payload)
		msg.Mapping = m
		records, receipt := core.Decode(snapshot, msg)
		if len(records) != 1 {
			t.Fatalf("%d records", len(records))
		}
		return records[0], receipt
	}
	body := `{"hr":61,"u":"slag","t":"2026-11-21T07:00:00Z","patient":12,"patient_id":"12"}`
	wire := `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:00:00Z"}`

	r, _ := decode("v/scale-1", body)
	if r.Reading == nil || r.Reading.Sensor != granted || r.Reading.Patient != bruno || r.Reading.Device != ours || r.Reading.Findings != vital.ThroughBroker {
		t.Errorf("a granted sensor: %+v", r.Reading)
	}
	if r, _ = decode("v/"+ownUID, body); r.Reading == nil || r.Reading.Sensor != own || r.Reading.Patient != anna {
		t.Errorf("the bridge's own sensor: %+v", r.Reading)
	}
	r, receipt := decode("v/scale-2", body)
	if r.Refused == nil || r.Refused.Reason != vital.ReasonSensor || string(r.Refused.Raw) != body || r.Refused.Device != ours || receipt.Accepted != 0 {
		t.Errorf("a sensor that was not granted: %+v", r.Refused)
	} else if read := r.Refused.Read; read == nil || read.Sensor != 0 || read.Patient != 0 || read.Sent[0].Mantissa != 61 {
		t.Errorf("what could be read of it: %+v", read)
	}
	if r, _ = decode("w/scale-1", body); r.Refused == nil || r.Refused.Reason != vital.ReasonTopic || r.Refused.Topic != "w/scale-1" || string(r.Refused.Raw) != body || r.Refused.Org != ourOrg {
		t.Errorf("a topic of no mapping: %+v", r.Refused)
	}
	if r, _ = decode("hale/v1/watch/readings", wire); r.Reading == nil || r.Reading.Device != 79 || r.Reading.Sensor != 790 || r.Reading.Findings&vital.ThroughBroker == 0 {
		t.Errorf("a device that speaks the wire to another broker: %+v %+v", r.Reading, r.Refused)
	}
	for _, uid := range []string{"nobody", "stranger", "gone"} { // unknown, another organisation's, revoked
		if r, _ = decode("hale/v1/"+uid+"/readings", wire); r.Refused == nil || r.Refused.Reason != vital.ReasonTopic || r.Refused.Device != ours || r.Refused.Org != ourOrg {
			t.Errorf("%s: %+v %+v", uid, r.Reading, r.Refused)
		}
	}
	direct, _ := core.Decode(snapshot, message(readings, wire))
	if direct[0].Reading.Findings&vital.ThroughBroker != 0 {
		t.Error("a reading of the edge is marked as one through a broker")
	}
}

func TestAMappingFileTellsAllItsMistakesAtOnce(t *testing.T) {
	t.Parallel()
	const bad = `version: 2
brokers:
  - name: Clinic
    url: mqtts://user:geheim@host
    client_id: a/b
    devise: x
    subscribe: [a/#/b, q/x]
  - name: second
    url: http://host
    client_id: c
    device: "no good"
    subscribe: [z/+]
    mappings: [missing]
mappings:
  - name: one
    topic: v/{dev}x
    sensor: "{other}"
    time: {path: t, format: local}
    readings:
      - {metric: heart_rate, systolic: a, unit: kg}
      - {metric: mood, value: a.#, unit: kg}
  - name: one
    topic: v/{dev}
    each: "@reverse"
    readings: []
    extra: 1
  - name: n
    topic: v/#
    native: true
    sensor: x
`
	_, err := ingest.ReadMappings([]byte(bad))
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{
		"line 1: this Hale reads version 1",
		`line 3: the broker's name "Clinic" must be`,
		"line 3: a broker needs \"device\"",
		"line 4: user name and password do not belong into the mapping file",
		"line 5: client_id must have",
		`line 6: a broker has no field "devise"; its fields are ca_file, client_id, credentials_file, device`,
		`line 7: "a/#/b" is no filter`,
		`line 7: no mapping of broker Clinic is for what "q/x" brings`,
		"line 9: a url begins with mqtt:// or mqtts://",
		`line 11: device "no good" is no UID`,
		`line 13: there is no mapping "missing"`,
		`line 16: in topic "v/{dev}x" the level "{dev}x" is none`,
		"line 17: mapping one: the sensor's name uses {other}",
		"line 18: a local time needs the zone",
		"line 20: heart_rate needs value",
		"line 20: heart_rate has no systolic",
		"line 20: heart_rate is not measured in kg; it is in one of /min, Hz",
		`line 21: metric "mood" is not known`,
		`line 21: value: the path "a.#" uses # for all elements`,
		"line 22: two mappings have the name one",
		`line 24: each: the path "@reverse" uses @`,
		"line 25: readings must be a list with at least one entry",
		`line 26: a mapping has no field "extra"`,
		`line 27: mapping n is native: the wire says what stands where; leave out "sensor"`,
		"line 27: mapping n is native: its topic begins with hale/v1/",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Error("it repeats the password")
	}
	if t.Failed() {
		t.Log(err)
	}
	for name, text := range map[string]string{"empty": "", "no YAML": "a: [", "two documents": "a: 1\n---\nb: 2\n", "a list": "[1]", "nothing in it": "{}", "a wild alias": "version: *x"} {
		if _, err := ingest.ReadMappings([]byte(text)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}
