package ingest_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

func decode(m ingest.Message) ([]vital.Record, ingest.Receipt) {
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
	return core.Decode(registry(), m)
}

func q(mantissa int64, exponent int8, u vital.Unit) vital.Quantity {
	return vital.Quantity{Mantissa: mantissa, Exponent: exponent, Unit: u}
}

// expect is a reading of Anna's that was sent at the moment of its arrival, save for what change says.
func expect(m vital.Metric, sent []vital.Quantity, change func(*vital.Reading)) vital.Reading {
	at := moment()
	r := vital.Reading{
		Key: vital.Key{Sensor: own, Metric: m, SentAt: at, Tie: vital.TieOf(sent)}, MeasuredAt: at, ReceivedAt: at,
		Org: ourOrg, Device: ours, Patient: anna, Assignment: 2, Epoch: 5, N: uint8(len(sent)),
	}
	copy(r.Sent[:], sent)
	if change != nil {
		change(&r)
	}
	return r
}

func sentAt(t time.Time) func(*vital.Reading) {
	return func(r *vital.Reading) { r.SentAt, r.MeasuredAt = t, t }
}

func TestEveryFormOfTheWireBecomesItsReading(t *testing.T) {
	t.Parallel()
	const now = `"time":"2026-11-21T07:25:00.250Z"`
	pressures := []vital.Quantity{q(128, 0, vital.MmHg), q(79, 0, vital.MmHg), q(66, 0, vital.PerMinute)}
	pulse := []vital.Quantity{q(61, 0, vital.PerMinute)}
	second := moment().Truncate(time.Second)
	cases := map[string]struct {
		payload string
		want    vital.Reading
	}{
		"a blood pressure is one reading of three numbers": {
			`{"metric":"blood_pressure","systolic":{"value":128,"unit":"mm[Hg]"},"diastolic":{"value":79,"unit":"mm[Hg]"},"pulse":{"value":66,"unit":"/min"},"time":"2026-11-21T07:25:00Z","seq":7,"findings":["irregular_pulse"]}`,
			expect(vital.BloodPressure, pressures, func(r *vital.Reading) {
				sentAt(second)(r)
				r.Tie, r.HasSequence, r.Findings = 7, true, vital.IrregularPulse
			}),
		},
		"the short form gives the unit of the pressures once": {
			`{"metric":"blood_pressure","systolic":128,"diastolic":79,"pulse":66,"unit":"mm[Hg]",` + now + `}`,
			expect(vital.BloodPressure, pressures, nil),
		},
		"the forms may be mixed": {
			`{"metric":"blood_pressure","systolic":{"unit":"mmHg","value":128},"diastolic":79,"pulse":66,"unit":"mmHg",` + now + `}`,
			expect(vital.BloodPressure, pressures, nil),
		},
		"the pulse of a cuff may be missing": {
			`{"metric":"blood_pressure","systolic":128,"diastolic":79,"unit":"mm[Hg]",` + now + `}`,
			expect(vital.BloodPressure, pressures[:2], nil),
		},
		"a pulse of null is a missing one": {
			`{"metric":"blood_pressure","systolic":128,"diastolic":79,"pulse":null,"unit":"mm[Hg]",` + now + `}`,
			expect(vital.BloodPressure, pressures[:2], nil),
		},
		"a pressure in kilopascal stays one": {
			`{"metric":"blood_pressure","systolic":17.1,"diastolic":10.5,"unit":"kPa",` + now + `}`,
			expect(vital.BloodPressure, []vital.Quantity{q(171, -1, vital.KiloPascal), q(105, -1, vital.KiloPascal)}, nil),
		},
		"a heart rate": {`{"metric":"heart_rate","value":61,"unit":"/min",` + now + `}`, expect(vital.HeartRate, pulse, nil)},
		"a trailing zero is part of what was measured": {
			`{"metric":"body_temperature","value":36.80,"unit":"Cel",` + now + `}`,
			expect(vital.BodyTemperature, []vital.Quantity{q(3680, -2, vital.Celsius)}, nil),
		},
		"a number with an exponent": {
			`{"metric":"steps","value":1.2e3,"unit":"{steps}",` + now + `}`,
			expect(vital.StepCount, []vital.Quantity{q(12, 2, vital.Steps)}, nil),
		},
		"glucose in mmol/L stays so": {
			`{"metric":"glucose","value":6.7,"unit":"mmol/L",` + now + `}`,
			expect(vital.Glucose, []vital.Quantity{q(67, -1, vital.MmolPerL)}, nil),
		},
		"a time with an offset is the same instant": {
			`{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T08:25:00.250+01:00"}`, expect(vital.HeartRate, pulse, nil),
		},
		"a time is kept to the microsecond": {
			`{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:25:00.123456789Z"}`,
			expect(vital.HeartRate, pulse, sentAt(second.Add(123456*time.Microsecond))),
		},
		"a missing time is that of the arrival, and says so": {
			`{"metric":"heart_rate","value":61,"unit":"/min"}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) { r.Findings = vital.TimeAssumed }),
		},
		"what is measured more than six hours before is historic, and belongs to whoever had the sensor then": {
			`{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-20T11:59:59Z"}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) {
				sentAt(time.Date(2026, 11, 20, 11, 59, 59, 0, time.UTC))(r)
				r.Findings, r.Patient, r.Assignment, r.Epoch = vital.Historic, bruno, 1, 4
			}),
		},
		"a reading of a time in which the sensor was nobody's has no patient": {
			`{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-20T12:00:00Z"}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) {
				sentAt(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))(r)
				r.Findings, r.Patient, r.Assignment, r.Epoch = vital.Historic, 0, 0, 0
			}),
		},
		"five minutes ahead are within a clock's right": {
			`{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:30:00.25Z"}`,
			expect(vital.HeartRate, pulse, sentAt(moment().Add(5*time.Minute))),
		},
		"a sequence of zero is one": {
			`{"metric":"heart_rate","value":61,"unit":"/min",` + now + `,"seq":0}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) { r.Tie, r.HasSequence = 0, true }),
		},
		"the highest sequence is 2^62": {
			`{"metric":"heart_rate","value":61,"unit":"/min",` + now + `,"seq":4611686018427387904}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) { r.Tie, r.HasSequence = 1<<62, true }),
		},
		"all findings of the wire, and one that is not": {
			`{"metric":"heart_rate","value":61,"unit":"/min",` + now + `,"findings":["irregular_pulse","body_movement","cuff_loose","poor_signal","low_perfusion","time_assumed","tired",7,null]}`,
			expect(vital.HeartRate, pulse, func(r *vital.Reading) {
				r.Findings = vital.IrregularPulse | vital.BodyMovement | vital.CuffLoose | vital.PoorSignal | vital.LowPerfusion
			}),
		},
		"findings that are no list hide no number": {`{"metric":"heart_rate","value":61,"unit":"/min",` + now + `,"findings":"tired"}`, expect(vital.HeartRate, pulse, nil)},
		"fields that the wire does not know are passed over, however deep": {
			`{"battery":{"volts":[3.0,{"a":null}]},"metric":"heart_rate","value":61,"unit":"/min",` + now + `,"systolic":-1}`, expect(vital.HeartRate, pulse, nil),
		},
		"names and texts may be escaped": {
			`{"m\u0065tric":"heart\u005frate","value":61,"unit":"\/min",` + now + `}`, expect(vital.HeartRate, pulse, nil),
		},
		"white space stands anywhere": {
			" \r\n\t[ { \"metric\" : \"heart_rate\" , \"value\" : 61 , \"unit\" : \" /min \" , " + now + " } ] \n", expect(vital.HeartRate, pulse, nil),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, receipt := decode(message(readings, c.payload))
			if len(records) != 1 || records[0].Reading == nil {
				t.Fatalf("want one reading, got %+v", receipt)
			}
			if diff := cmp.Diff(c.want, *records[0].Reading); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(ingest.Receipt{Accepted: 1}, receipt); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryMetricCanBeSentInEachOfItsUnits(t *testing.T) {
	t.Parallel()
	for _, d := range vital.Metrics() {
		if d.Metric == vital.BloodPressure {
			continue
		}
		c := d.Components[0]
		for _, u := range c.Accepted {
			low, _ := vital.Convert(1, u, c.Canonical)
			high, _ := vital.Convert(2, u, c.Canonical)
			value := ((c.Min+c.Max)/2 - (2*low - high)) / (high - low) // every conversion is linear
			if c.Canonical == vital.Celsius && u == vital.Celsius {
				value = 36.6
			}
			records, receipt := decode(message(readings, fmt.Sprintf(`{"metric":%q,"value":%.2f,"unit":%q}`, d.Code, value, u.UCUM())))
			if len(records) != 1 || records[0].Reading == nil || records[0].Reading.Metric != d.Metric || records[0].Reading.Sent[0].Unit != u {
				t.Errorf("%s of %.2f %s: %+v", d.Code, value, u.UCUM(), receipt)
			}
		}
	}
}

func TestWhatIsRefusedSaysWhatToMend(t *testing.T) {
	t.Parallel()
	heart := func(fields string) string { return `{"metric":"heart_rate",` + fields + `}` }
	at := func(time string) string { return heart(`"value":61,"unit":"/min","time":` + time) }
	seq := func(n string) string { return heart(`"value":61,"unit":"/min","seq":` + n) }
	bp := func(fields string) string { return `{"metric":"blood_pressure",` + fields + `}` }
	cases := map[string]struct {
		payload string
		reason  vital.Reason
		detail  string // part of it
	}{
		"no metric":                             {`{"value":61,"unit":"/min"}`, vital.ReasonMetric, "metric is missing"},
		"a metric of null":                      {`{"metric":null,"value":61,"unit":"/min"}`, vital.ReasonMetric, "metric is missing"},
		"a metric that is a number":             {`{"metric":7}`, vital.ReasonMetric, "a number"},
		"an unknown metric":                     {`{"metric":"mood","value":7,"unit":"1"}`, vital.ReasonMetric, `"mood" is not known`},
		"a long unknown metric is cut":          {`{"metric":"` + strings.Repeat("x", 5000) + `"}`, vital.ReasonMetric, `xx"... is not known`},
		"no value":                              {heart(`"unit":"/min"`), vital.ReasonMetric, "heart_rate needs value"},
		"a value of null":                       {heart(`"value":null,"unit":"/min"`), vital.ReasonNotANumber, "value is null"},
		"a value in quotes":                     {heart(`"value":"61","unit":"/min"`), vital.ReasonNotANumber, "without quotes"},
		"a value that is true":                  {heart(`"value":true,"unit":"/min"`), vital.ReasonNotANumber, "true or false"},
		"a value that is an object":             {heart(`"value":{"value":61,"unit":"/min"}`), vital.ReasonNotANumber, "an object"},
		"a value of too many digits":            {heart(`"value":1234567890123456789,"unit":"/min"`), vital.ReasonNotANumber, "18 digits"},
		"a value of a huge exponent":            {heart(`"value":1e400,"unit":"/min"`), vital.ReasonNotANumber, "exponent"},
		"no unit":                               {heart(`"value":61`), vital.ReasonUnit, "the unit of value is missing; send one of /min, Hz"},
		"glucose has no default unit":           {`{"metric":"glucose","value":6.7}`, vital.ReasonUnit, "send one of mg/dL, mmol/L"},
		"a unit of null":                        {heart(`"value":61,"unit":null`), vital.ReasonUnit, "is missing"},
		"a unit that is a number":               {heart(`"value":61,"unit":1`), vital.ReasonUnit, "a number"},
		"an unknown unit":                       {heart(`"value":61,"unit":"furlong"`), vital.ReasonUnit, `"furlong" of value is not known`},
		"a unit in the wrong case":              {`{"metric":"glucose","value":120,"unit":"MG/DL"}`, vital.ReasonUnit, "not known"},
		"a unit of another kind":                {heart(`"value":61,"unit":"kg"`), vital.ReasonUnit, `unit "kg" is not one of`},
		"a pressure without diastolic":          {bp(`"systolic":128,"unit":"mm[Hg]"`), vital.ReasonMetric, "needs diastolic"},
		"a pressure sent as a value":            {bp(`"value":128,"unit":"mm[Hg]"`), vital.ReasonMetric, "needs systolic"},
		"a pressure without a unit of its own":  {bp(`"systolic":{"value":128},"diastolic":{"value":79,"unit":"mm[Hg]"},"unit":"mm[Hg]"`), vital.ReasonUnit, "unit of systolic is missing"},
		"a pressure object without a value":     {bp(`"systolic":{"unit":"mm[Hg]"},"diastolic":79,"unit":"mm[Hg]"`), vital.ReasonMetric, "needs systolic"},
		"a pulse without a unit of its own":     {bp(`"systolic":128,"diastolic":79,"pulse":{"value":66},"unit":"mm[Hg]"`), vital.ReasonUnit, "unit of pulse is missing"},
		"a pulse in quotes":                     {bp(`"systolic":128,"diastolic":79,"pulse":"66","unit":"mm[Hg]"`), vital.ReasonNotANumber, "pulse is text"},
		"diastolic above systolic":              {bp(`"systolic":79,"diastolic":128,"unit":"mm[Hg]"`), vital.ReasonImplausible, "systolic must exceed"},
		"a value that nobody has":               {heart(`"value":900,"unit":"/min"`), vital.ReasonImplausible, "outside"},
		"a temperature of a summer day":         {`{"metric":"body_temperature","value":23.5,"unit":"Cel"}`, vital.ReasonImplausible, "outside"},
		"a time without a zone":                 {at(`"2026-11-21T07:25:00"`), vital.ReasonClock, "has no zone; add Z"},
		"a time that is none":                   {at(`"yesterday"`), vital.ReasonClock, "RFC 3339"},
		"a time of a wrong day":                 {at(`"2026-02-30T07:25:00Z"`), vital.ReasonClock, "RFC 3339"},
		"a date alone":                          {at(`"2026-11-21"`), vital.ReasonClock, "RFC 3339"},
		"a time with a comma":                   {at(`"2026-11-21T07:25:00,5Z"`), vital.ReasonClock, "RFC 3339"},
		"an hour of one digit":                  {at(`"2026-11-21T7:25:00Z"`), vital.ReasonClock, "RFC 3339"},
		"an offset of a day":                    {at(`"2026-11-21T07:25:00+24:00"`), vital.ReasonClock, "RFC 3339"},
		"an offset of minutes that are an hour": {at(`"2026-11-21T07:25:00+00:60"`), vital.ReasonClock, "RFC 3339"},
		"an empty time":                         {at(`""`), vital.ReasonClock, "RFC 3339"},
		"seconds since 1970":                    {at(`1795245900`), vital.ReasonClock, "a number"},
		"the factory's clock":                   {at(`"2000-01-01T00:00:00Z"`), vital.ReasonClock, "before 2015"},
		"a clock that is ahead":                 {at(`"2026-11-21T07:30:00.251Z"`), vital.ReasonClock, "ahead"},
		"a negative sequence":                   {seq(`-1`), vital.ReasonUnparsable, "seq must be"},
		"a sequence that is too high":           {seq(`4611686018427387905`), vital.ReasonUnparsable, "seq must be"},
		"a sequence with a point":               {seq(`7.0`), vital.ReasonUnparsable, "seq must be"},
		"a sequence in quotes":                  {seq(`"7"`), vital.ReasonUnparsable, "seq must be"},
		"a field that stands twice":             {heart(`"value":61,"unit":"/min","value":61`), vital.ReasonUnparsable, `"value" stands more than once`},
		"a field twice under an escaped name":   {heart(`"value":61,"unit":"/min","v\u0061lue":61`), vital.ReasonUnparsable, `"value" stands more than once`},
		"a field twice within a pressure":       {bp(`"systolic":{"value":128,"value":128,"unit":"mm[Hg]"},"diastolic":79,"unit":"mm[Hg]"`), vital.ReasonUnparsable, `"value" stands more than once`},
		"a list in the list":                    {`[]`, vital.ReasonUnparsable, "the element is a list"},
		"a number in the list":                  {`61`, vital.ReasonUnparsable, "the element is a number"},
		"an empty object":                       {`{}`, vital.ReasonMetric, "metric is missing"},
		"a number too small to be one measured": {heart(`"value":0.00000000000000000000000000000000000001,"unit":"/min"`), vital.ReasonNotANumber, "exponent"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := `{"metric":"heart_rate","value":61,"unit":"/min"}`
			records, receipt := decode(message(readings, "["+good+", "+c.payload+" ,"+good+"]"))
			if receipt.Accepted != 2 || len(records) != 3 || len(receipt.Refused) != 1 {
				t.Fatalf("want the neighbours and one refusal, got %+v", receipt)
			}
			told, kept := receipt.Refused[0], records[2].Refused
			if told.Index != 1 || told.Reason != c.reason || !strings.Contains(told.Detail, c.detail) || len(told.Detail) > 300 {
				t.Errorf("want %q with %q at 1, got %+v", c.reason, c.detail, told)
			}
			want := &vital.Refused{
				Org: ourOrg, Device: ours, ReceivedAt: moment(), Topic: readings, Reason: told.Reason, Detail: told.Detail,
				Raw: []byte(c.payload), Length: int64(len(c.payload)), Hash: sha256.Sum256([]byte(c.payload)), Read: kept.Read,
			}
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAMessageThatIsNotJSONIsKeptWhole(t *testing.T) {
	t.Parallel()
	good := `{"metric":"heart_rate","value":61,"unit":"/min","receipt":true}`
	cases := map[string]struct{ payload, detail string }{
		"nothing":                          {"", "ends too early"},
		"text that is no JSON":             {"61 bpm", "an object or a list"},
		"a text":                           {`"61"`, "an object or a list"},
		"null":                             {"null", "an object or a list"},
		"bytes":                            {"\x00\xff\x1b", "an object or a list"},
		"a byte order mark":                {"\ufeff" + good, "an object or a list"},
		"NaN":                              {`{"metric":"heart_rate","value":NaN,"unit":"/min"}`, "at byte 31: NaN"},
		"NaN takes its neighbours with it": {`[` + good + `,{"metric":"heart_rate","value":NaN,"unit":"/min"}]`, "NaN"},
		"-Infinity":                        {`{"metric":"heart_rate","value":-Infinity,"unit":"/min"}`, "a digit is missing"},
		"a hole":                           {`[` + good + `,,` + good + `]`, "a value is missing"},
		"a comma at the end":               {`[` + good + `,]`, "a value is missing"},
		"a comma at an object's end":       {`{"metric":"heart_rate",}`, "name in double quotes"},
		"a missing end":                    {`[` + good, "ends too early"},
		"something after the end":          {good + good, "follows the end"},
		"a leading zero":                   {`{"value":061}`, "a comma or } is missing"},
		"a point without digits":           {`{"value":61.}`, "after the point"},
		"an exponent without digits":       {`{"value":61e}`, "exponent has no digits"},
		"a newline in a text":              {"{\"unit\":\"/\nmin\"}", "control character"},
		"a wrong escape":                   {`{"unit":"\x"}`, "no known escape"},
		"half an escape":                   {`{"unit":"\u00`, "ends too early"},
		"a wrong hexadecimal digit":        {`{"unit":"\u00g0"}`, "hexadecimal"},
		"a name without quotes":            {`{metric:"heart_rate"}`, "name in double quotes"},
		"a missing colon":                  {`{"metric" "heart_rate"}`, "a colon"},
		"a word cut short":                 {`{"receipt":tru}`, "a value is missing"},
		"too deep":                         {`{"a":` + strings.Repeat("[", ingest.MaxDepth) + strings.Repeat("]", ingest.MaxDepth) + `}`, "deep"},
		"deeper than any stack":            {strings.Repeat("[", 200_000), "deep"},
		"too many elements":                {`[` + strings.Repeat(good+",", ingest.MaxElements) + good + `]`, "more than 1000 elements"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, receipt := decode(message(readings, c.payload))
			if len(records) != 1 || len(receipt.Refused) != 1 || receipt.Accepted != 0 || receipt.Wanted {
				t.Fatalf("want one refusal, got %+v", receipt)
			}
			told, kept := receipt.Refused[0], records[0].Refused
			if told.Index != 0 || told.Reason != vital.ReasonUnparsable || !strings.Contains(told.Detail, c.detail) {
				t.Errorf("want %q, got %+v", c.detail, told)
			}
			head := c.payload[:min(len(c.payload), ingest.RawKept)]
			if string(kept.Raw) != head || kept.Length != int64(len(c.payload)) || kept.Hash != sha256.Sum256([]byte(c.payload)) {
				t.Errorf("kept %d bytes, length %d of %d", len(kept.Raw), kept.Length, len(c.payload))
			}
		})
	}
}

func TestTheLimitsOfAMessageAreWithin(t *testing.T) {
	t.Parallel()
	good := `{"metric":"heart_rate","value":61,"unit":"/min"}`
	cases := map[string]struct {
		payload string
		want    int
	}{
		"an empty list holds nothing": {" [ ] ", 0},
		"a thousand elements":         {`[` + strings.Repeat(good+",", ingest.MaxElements-1) + good + `]`, ingest.MaxElements},
		"as deep as may be": {
			`{"a":` + strings.Repeat("[", ingest.MaxDepth-1) + strings.Repeat("]", ingest.MaxDepth-1) + `,` + good[1:], 1,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, receipt := decode(message(readings, c.payload))
			if len(records) != c.want || receipt.Accepted != c.want || receipt.Refused != nil {
				t.Errorf("got %d records, %d accepted, refused %+v", len(records), receipt.Accepted, receipt.Refused)
			}
		})
	}
}

func TestAReceiptIsWantedWhenAnyElementAsks(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]bool{
		`{"metric":"heart_rate","value":61,"unit":"/min"}`:                      false,
		`{"metric":"heart_rate","value":61,"unit":"/min","receipt":true}`:       true,
		`{"metric":"heart_rate","value":61,"unit":"/min","receipt":false}`:      false,
		`{"metric":"heart_rate","value":61,"unit":"/min","receipt":"true"}`:     false,
		`[{},{"receipt":true},{}]`:                                              true,
		`[{"metric":"heart_rate","value":61,"unit":"/min"},{"receipt":"true"}]`: false,
	} {
		if _, receipt := decode(message(readings, payload)); receipt.Wanted != want {
			t.Errorf("%s: wanted is %v", payload, receipt.Wanted)
		}
	}
}

func TestTheTopicSaysWhoseTheReadingIs(t *testing.T) {
	t.Parallel()
	const good = `{"metric":"heart_rate","value":61,"unit":"/min"}`
	cases := map[string]struct {
		topic   string
		sensor  vital.SensorID
		patient vital.PatientID
		reason  vital.Reason
	}{
		"the device's own readings":                {readings, own, anna, ""},
		"a sensor that the gateway speaks for":     {gateway, granted, bruno, ""},
		"a sensor that was not granted":            {"hale/v1/cuff-7/sensors/scale-2/readings", 0, 0, vital.ReasonSensor},
		"a sensor without a name":                  {"hale/v1/cuff-7/sensors//readings", 0, 0, vital.ReasonSensor},
		"another device's topic":                   {"hale/v1/cuff-8/readings", 0, 0, vital.ReasonTopic},
		"a name that begins like ours":             {"hale/v1/cuff-77/readings", 0, 0, vital.ReasonTopic},
		"another device's sensor":                  {"hale/v1/cuff-8/sensors/scale-1/readings", 0, 0, vital.ReasonTopic},
		"a topic that only the server publishes":   {"hale/v1/cuff-7/receipts", 0, 0, vital.ReasonTopic},
		"a topic with nothing behind the device":   {"hale/v1/cuff-7", 0, 0, vital.ReasonTopic},
		"a topic with more behind the readings":    {readings + "/now", 0, 0, vital.ReasonTopic},
		"a sensor's topic without readings":        {"hale/v1/cuff-7/sensors/scale-1", 0, 0, vital.ReasonTopic},
		"a sensor below a sensor":                  {"hale/v1/cuff-7/sensors/a/scale-1/readings", 0, 0, vital.ReasonTopic},
		"a later version of the wire":              {"hale/v2/cuff-7/readings", 0, 0, vital.ReasonTopic},
		"somebody else's tree":                     {"home/bathroom/scale", 0, 0, vital.ReasonTopic},
		"an empty topic":                           {"", 0, 0, vital.ReasonTopic},
		"a topic that no store takes":              {"hale/v1/\x00\xff/readings", 0, 0, vital.ReasonTopic},
		"a topic of a length that nobody can read": {strings.Repeat("x", 60_000), 0, 0, vital.ReasonTopic},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, receipt := decode(message(c.topic, good))
			if len(records) != 1 {
				t.Fatalf("%d records", len(records))
			}
			if c.reason == "" {
				if r := records[0].Reading; r == nil || r.Sensor != c.sensor || r.Patient != c.patient || r.Device != ours {
					t.Fatalf("got %+v, receipt %+v", r, receipt)
				}
				return
			}
			kept := records[0].Refused
			if kept == nil || kept.Reason != c.reason || kept.Detail == "" || string(kept.Raw) != good || kept.Device != ours {
				t.Fatalf("got %+v", kept)
			}
			if len(kept.Topic) > 1024 || !utf8.ValidString(kept.Topic) || strings.Contains(kept.Topic, "\x00") {
				t.Errorf("kept the topic %.60q of %d bytes", kept.Topic, len(kept.Topic))
			}
		})
	}
}

func TestAnAssignmentOfAnotherOrganisationIsNone(t *testing.T) {
	t.Parallel()
	s := registry()
	s.Assignments[own] = []devices.Assignment{{ID: 9, Org: ourOrg + 1, Sensor: own, Patient: 99, Epoch: 1}}
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}})
	records, _ := core.Decode(s, message(readings, `{"metric":"heart_rate","value":61,"unit":"/min"}`))
	if r := records[0].Reading; r == nil || r.Patient != 0 || r.Assignment != 0 || r.Org != ourOrg {
		t.Errorf("got %+v", r)
	}
}

func TestAMessageThatWasDrainedIsKeptAsItsHead(t *testing.T) {
	t.Parallel()
	whole := ingest.Oversize{Length: 1 << 20, Hash: [32]byte{1, 2, 3}}
	for topic, reason := range map[string]vital.Reason{
		readings: vital.ReasonTooLarge, gateway: vital.ReasonTooLarge, "hale/v1/cuff-7/status": vital.ReasonTooLarge, "elsewhere": vital.ReasonTopic,
	} {
		m := message(topic, `[{"metric":"heart_rate"`)
		m.Oversize = &whole
		records, receipt := decode(m)
		if len(records) != 1 || records[0].Refused == nil || len(receipt.Refused) != 1 {
			t.Fatalf("%s: %+v", topic, receipt)
		}
		if r := records[0].Refused; r.Reason != reason || r.Length != whole.Length || r.Hash != whole.Hash || string(r.Raw) != string(m.Payload) {
			t.Errorf("%s: kept %+v", topic, r)
		}
	}
}

func TestAStatusIsLookedAt(t *testing.T) {
	t.Parallel()
	for payload, refused := range map[string]int{`{"battery":0.8}`: 0, ` "online" `: 0, `online`: 1, ``: 1, `{} {}`: 1} {
		records, receipt := decode(message("hale/v1/cuff-7/status", payload))
		if len(records) != 1 || (records[0].Refused != nil) != (refused == 1) || len(receipt.Refused) != refused || receipt.Accepted != 0 {
			t.Errorf("status %q: %+v", payload, receipt)
		}
	}
}
