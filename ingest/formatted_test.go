package ingest_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// The bytes of these payloads are examples of the Bluetooth SIG's layouts, as in formats/testdata/gatt.txt.
const (
	cuffOfUser1 = "1E 8E00 5B00 6C00 EA070B15071900 4200 01 0400" // 142/91, mean 108, 2026-11-21 07:25:00, pulse 66, user 1, irregular
	cuffNaN     = "00 FF07 FF07 FF07"
	cuffTooHigh = "00 FE07 5000 6400"
	meterSays   = "17 0800 EA070B15071900 0000 43C0 11" // sequence 8, 6.7 mmol/L
	meterMeal   = "02 0800 03"                          // sequence 8: fasting
	meterTest   = "17 0900 EA070B15071900 0000 43C0 1A" // control solution
)

func octets(t *testing.T, digits string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// oneReading returns the reading that a message became, and nothing else but its original.
func oneReading(t *testing.T, m ingest.Message) *vital.Reading {
	t.Helper()
	records, receipt := decode(m)
	if receipt.Accepted != 1 || len(records) != 2 || records[0].Reading == nil || records[1].Original == nil {
		t.Fatalf("became %d records, told %+v", len(records), receipt)
	}
	want := vital.Original{Org: ourOrg, Device: ours, ReceivedAt: moment(), Topic: m.Topic, Raw: m.Payload, Hash: records[1].Original.Hash}
	if diff := cmp.Diff(&want, records[1].Original); diff != "" || want.Hash == [32]byte{} {
		t.Errorf("its original %s", diff)
	}
	return records[0].Reading
}

func fact(name, value string) vital.Fact { return vital.Fact{Name: name, Value: value} }

func TestACuffsBytesBecomeAReadingWithWhatItSaidBeside(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"hale/v1/cuff-7/gatt/2A35", "hale/v1/cuff-7/gatt/2a35"} {
		got := oneReading(t, message(topic, octets(t, cuffOfUser1)))
		at := time.Date(2026, 11, 21, 7, 25, 0, 0, time.UTC)
		sent := []vital.Quantity{q(142, 0, vital.MmHg), q(91, 0, vital.MmHg), q(66, 0, vital.PerMinute)}
		if diff := cmp.Diff(sent, got.Sent[:got.N]); diff != "" {
			t.Error(diff)
		}
		if got.SentAt != at || got.Tie != vital.TieOf(sent) || got.Sensor != own || got.Patient != anna {
			t.Errorf("became %+v", got)
		}
		if want := vital.IrregularPulse | vital.TimeLocal; got.Findings&want != want {
			t.Errorf("findings %v", got.Findings.Names())
		}
		if diff := cmp.Diff([]vital.Fact{fact("mean_pressure", "108 mm[Hg]"), fact("status", "irregular pulse")}, got.More.Facts); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatHasNoTimeOfItsOwnHasThatOfItsDoor(t *testing.T) {
	t.Parallel()
	const withings = `{"status":0,"body":{"measuregrps":[{"attrib":0,"category":1,"date":1795245900,"measures":[{"value":97,"type":54,"unit":0}]}]}}`
	at := time.Date(2026, 11, 21, 7, 20, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		topic, payload string
		want           time.Time
	}{
		"an oximeter without a clock": {"hale/v1/cuff-7/gatt/2A37", octets(t, "00 3C"), at},
		"an answer of getmeas":        {"hale/v1/cuff-7/withings", withings, time.Unix(1795245900, 0).UTC()},
		"a report of a gateway":       {"hale/v1/cuff-7/gateway", `{"type":"reportAttribute","time":1795245900,"data":{"value":{"spo2":97}}}`, time.Unix(1795245900, 0).UTC()},
	} {
		m := message(c.topic, c.payload)
		m.Untimed = at
		r := oneReading(t, m)
		if !r.SentAt.Equal(c.want) || r.Findings&vital.TimeAssumed != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if again := oneReading(t, m); !cmp.Equal(again, r) {
			t.Errorf("%s: sent again it is another", name)
		}
	}
}

// TestWhatIsKeptOfARefusedPartCanBeDecodedAgain: the sensor is granted to its gateway later, and each part is there as a message.
func TestWhatIsKeptOfARefusedPartCanBeDecodedAgain(t *testing.T) {
	t.Parallel()
	group := `{"attrib":0,"category":1,"date":1795245900,"measures":[{"value":97,"type":54,"unit":0}]}`
	for ending, payload := range map[string]string{
		"fhir":     `{"resourceType":"Bundle","type":"batch","entry":[{"resource":` + observation("final", "61", "") + `}]}`,
		"omh":      `[{"header":{"id":"a","creation_date_time":"2026-11-21T07:20:00Z","schema_id":{"namespace":"omh","name":"heart-rate","version":"2.0"}},"body":{"heart_rate":{"value":61,"unit":"beats/min"},"effective_time_frame":{"date_time":"2026-11-21T07:20:00Z"}}}]`,
		"withings": `{"status":0,"body":{"measuregrps":[` + group + `]}}`,
		"gateway":  `[{"type":"reportAttribute","time":1795245900,"data":{"value":{"spo2":97}}}]`,
		"readings": `[{"metric":"heart_rate","value":61,"unit":"/min"}]`,
	} {
		records, receipt := decode(message("hale/v1/cuff-7/sensors/newox/"+ending, payload))
		if len(receipt.Refused) != 1 {
			t.Errorf("%s: told %+v", ending, receipt)
			continue
		}
		if _, receipt := decode(message("hale/v1/cuff-7/sensors/scale-1/"+ending, string(records[0].Refused.Raw))); receipt.Accepted != 1 {
			t.Errorf("%s: decoded again, told %+v", ending, receipt)
		}
	}
}

func TestAGatewaySendsEveryFormatForItsSensors(t *testing.T) {
	t.Parallel()
	const point = `{"header":{"id":"f1","creation_date_time":"2026-11-21T07:20:00Z","schema_id":{"namespace":"omh","name":"body-weight","version":"2.0"}},` +
		`"body":{"body_weight":{"value":81.40,"unit":"kg"},"effective_time_frame":{"date_time":"2026-11-21T07:20:00Z"}}}`
	got := oneReading(t, message("hale/v1/cuff-7/sensors/scale-1/omh", point))
	if got.Sensor != granted || got.Patient != bruno || got.Sent[0] != q(8140, -2, vital.Kilogram) || got.More.Name != vital.TieOfName("f1") || got.More.Name == 0 {
		t.Errorf("became %+v %+v", got, got.More)
	}
	got = oneReading(t, message("hale/v1/cuff-7/sensors/scale-1/gatt/2A9D", octets(t, "00 983A")))
	if got.Sensor != granted || got.Sent[0] != q(75000, -3, vital.Kilogram) || got.Findings&vital.TimeAssumed == 0 {
		t.Errorf("became %+v", got)
	}
	_, receipt := decode(message("hale/v1/cuff-7/sensors/scale-9/gatt/2A9D", octets(t, "00 983A")))
	if len(receipt.Refused) != 1 || receipt.Refused[0].Reason != vital.ReasonSensor {
		t.Errorf("a sensor that was not granted: %+v", receipt)
	}
	for _, topic := range []string{"hale/v1/cuff-7/gatt/2A2B", "hale/v1/cuff-7/gatt", "hale/v1/cuff-7/gatt/2A35/x", "hale/v1/cuff-7/fhir/x", "hale/v1/other/fhir"} {
		if _, receipt := decode(message(topic, "x")); len(receipt.Refused) != 1 || receipt.Refused[0].Reason != vital.ReasonTopic {
			t.Errorf("%s: %+v", topic, receipt)
		}
	}
}

// observation is a heart rate in FHIR R4.
func observation(status, value, more string) string {
	return `{"resourceType":"Observation","status":"` + status + `","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},` +
		`"effectiveDateTime":"2026-11-21T07:25:00+00:00","valueQuantity":{"value":` + value + `,"system":"http://unitsofmeasure.org","code":"/min"}` + more + `}`
}

func TestEntriesOfABundleStandAlone(t *testing.T) {
	t.Parallel()
	bad := observation("final", "61.0", `,"modifierExtension":[]`)
	bundle := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + observation("final", "61.0", "") + `},{"resource":` + bad + `},` +
		`{"resource":{"resourceType":"Patient"}},{"resource":` + observation("final", "900", "") + `}]}`
	records, receipt := decode(message("hale/v1/cuff-7/fhir", bundle))
	if receipt.Accepted != 1 || len(receipt.Refused) != 3 || records[0].Reading.Sent[0] != q(610, -1, vital.PerMinute) {
		t.Fatalf("told %+v", receipt)
	}
	reasons := map[int]vital.Reason{}
	for i, r := range receipt.Refused {
		reasons[r.Index] = r.Reason
		if kept := records[1+i].Refused; !bytes.HasPrefix(kept.Raw, []byte(`{"resource":`)) || int(kept.Length) != len(kept.Raw) || len(kept.Raw) >= len(bundle)/2 {
			t.Errorf("of entry %d is kept %s", r.Index, kept.Raw)
		}
		if r.Index == 1 && r.Field != "entry[1].resource.modifierExtension" {
			t.Errorf("the field is %q", r.Field)
		}
	}
	if diff := cmp.Diff(map[int]vital.Reason{1: vital.ReasonUnparsable, 2: vital.ReasonNotKept, 3: vital.ReasonImplausible}, reasons); diff != "" {
		t.Error(diff)
	}
}

func TestStandings(t *testing.T) {
	t.Parallel()
	name := `,"identifier":[{"system":"urn:x","value":"7"}]`
	amended := oneReading(t, message("hale/v1/cuff-7/fhir", observation("amended", "62", name)))
	if amended.N != 1 || amended.Findings&vital.Amending == 0 || amended.More.Standing != vital.Amended || amended.More.Name != vital.TieOfName("urn:x|7") {
		t.Errorf("amended became %+v %+v", amended, amended.More)
	}
	taken := oneReading(t, message("hale/v1/cuff-7/fhir", observation("entered-in-error", "61", name)))
	if taken.N != 0 || taken.Sent != [3]vital.Quantity{} || taken.HasSequence || taken.Tie != amended.More.Name || taken.More.Standing != vital.EnteredInError {
		t.Errorf("entered in error became %+v %+v", taken, taken.More)
	}
	if f := taken.More.Facts; len(f) != 1 || f[0] != fact(vital.Identifier, "urn:x|7") {
		t.Errorf("its sender's own words are %v", f)
	}
	records, _ := decode(message("hale/v1/cuff-7/fhir", strings.Replace(observation("amended", "62", name), "2026-11-21T07:25:00+00:00", "2000-01-01T00:00:00Z", 1)))
	if no := records[0].Refused; no == nil || no.Reason != vital.ReasonClock || no.Read.More.Standing != vital.Amended || no.Read.More.Name != amended.More.Name || no.Read.Sensor != amended.Sensor {
		t.Errorf("a correction of an impossible time became %+v", records[0])
	}
	for _, time := range []string{"2000-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2026-11", "2026-13-40"} { // its name alone says what it takes back
		again := strings.Replace(observation("entered-in-error", "61", name), "2026-11-21T07:25:00+00:00", time, 1)
		if r := oneReading(t, message("hale/v1/cuff-7/fhir", again)); r.N != 0 || r.More.Name != amended.More.Name || !r.MeasuredAt.Equal(r.ReceivedAt) {
			t.Errorf("entered in error, of %s, became %+v", time, r)
		}
	}
	const average = `{"header":{"id":"f1","creation_date_time":"2026-11-21T07:20:00Z","schema_id":{"namespace":"omh","name":"heart-rate","version":"2.0"}},` +
		`"body":{"heart_rate":{"value":190,"unit":"beats/min"},"descriptive_statistic":"average","effective_time_frame":{"time_interval":` +
		`{"start_date_time":"2026-11-21T06:00:00Z","end_date_time":"2026-11-21T07:00:00Z"}}}}`
	mean := oneReading(t, message("hale/v1/cuff-7/omh", average))
	if mean.Findings&vital.Averaged == 0 || mean.More.Standing != vital.Summary || mean.MeasuredAt.Hour() != 6 {
		t.Errorf("an average became %+v %+v", mean, mean.More)
	}
	if first := mean.More.Facts[0]; first != fact("until", "2026-11-21T07:00:00Z") { // however many facts there are, its end is kept
		t.Errorf("its first fact is %v", first)
	}
}

func TestWhatAMeterSaysOfNobodyIsNotKeptAndAMealStandsBeside(t *testing.T) {
	t.Parallel()
	r := oneReading(t, message("hale/v1/cuff-7/gatt/2A18", octets(t, meterSays)))
	if r.Metric != vital.Glucose || r.Tie != 8 || !r.HasSequence || r.Sent[0] != q(67, -1, vital.MmolPerL) {
		t.Errorf("became %+v", r)
	}
	meal := oneReading(t, message("hale/v1/cuff-7/gatt/2A34", octets(t, meterMeal)))
	if meal.N != 0 || meal.Tie != 8 || !meal.HasSequence || meal.Metric != vital.Glucose || meal.More.Facts[0] != fact("meal", "fasting") {
		t.Errorf("a meal became %+v %+v", meal, meal.More)
	}
	records, receipt := decode(message("hale/v1/cuff-7/gatt/2A18", octets(t, meterTest)))
	if len(records) != 1 || receipt.Refused[0].Reason != vital.ReasonNotKept || records[0].Refused.Read != nil {
		t.Errorf("control solution became %+v", receipt)
	}
}

func TestWhatADeviceCouldNotMeasureIsRefusedWithItsSide(t *testing.T) {
	t.Parallel()
	records, _ := decode(message("hale/v1/cuff-7/gatt/2A35", octets(t, cuffTooHigh)))
	no := records[0].Refused
	if no == nil || no.Reason != vital.ReasonNotANumber || no.Beyond != vital.Above || no.Read == nil || no.Read.Metric != vital.BloodPressure || no.Read.Sent[0] != (vital.Quantity{}) || no.Read.Sent[1] != q(80, 0, vital.MmHg) || no.Read.Patient != anna {
		t.Fatalf("became %+v", no)
	}
	if !strings.Contains(no.Detail, "systolic") {
		t.Errorf("the field is not named: %s", no.Detail)
	}
	records, _ = decode(message("hale/v1/cuff-7/gatt/2A35", octets(t, cuffNaN)))
	if no := records[0].Refused; no == nil || no.Beyond != 0 || no.Reason != vital.ReasonNotANumber {
		t.Errorf("a failed measurement became %+v", no)
	}
}

func TestABatteryIsAStatusOfWhoSentIt(t *testing.T) {
	t.Parallel()
	records, receipt := decode(message("hale/v1/cuff-7/sensors/scale-1/gatt/2A19", octets(t, "57")))
	if len(records) != 1 || receipt.Accepted != 0 || records[0].Status == nil || records[0].Status.Sensor != granted || records[0].Status.Battery != 87 {
		t.Errorf("became %+v, told %+v", records, receipt)
	}
}

func TestTheSlotOfAUserIsASensorOfItsOwn(t *testing.T) {
	t.Parallel()
	s := registry()
	const first, second vital.SensorID = 501, 502
	s.Slots = map[vital.SensorID]map[uint8]devices.UserSlot{own: {1: {Sensor: first}, 2: {Sensor: second}}}
	s.Assignments[first] = []devices.Assignment{{ID: 8, Org: ourOrg, Sensor: first, Patient: bruno, Epoch: 1}}
	s.Assignments[own] = nil
	core := ingest.New(ingest.Config{Snapshot: func() *devices.Snapshot { return s }, Publisher: taker{}})
	heart := func(slot string) string { return `{"metric":"heart_rate","value":61,"unit":"/min"` + slot + `}` }
	cases := map[string]struct {
		topic, payload string
		sensor         vital.SensorID
		patient        vital.PatientID
	}{
		"bytes with a user":                     {"hale/v1/cuff-7/gatt/2A35", octets(t, cuffOfUser1), first, bruno},
		"our own format with a user":            {readings, heart(`,"slot":1`), first, bruno},
		"a user whom nobody is":                 {readings, heart(`,"slot":2`), second, 0},
		"a user who is not known":               {readings, heart(`,"slot":3`), own, 0},
		"a sensor that does not know its users": {readings, heart(`,"slot":255`), own, 0},
		"no user":                               {readings, heart(""), own, 0},
	}
	alone := registry()
	for name, c := range map[string]struct{ topic, payload string }{
		"our own format":   {readings, heart(`,"slot":255`)},
		"bytes":            {"hale/v1/cuff-7/gatt/2A9D", octets(t, "04 B836 FF")},
		"another's weight": {"hale/v1/cuff-7/withings", `{"status":0,"body":{"measuregrps":[{"grpid":17,"attrib":1,"date":1795245600,"category":1,"measures":[{"value":70,"type":1,"unit":0}]}]}}`},
	} {
		records, receipt := core.Decode(alone, message(c.topic, c.payload))
		if receipt.Accepted != 1 || records[0].Reading.Sensor != own || records[0].Reading.Patient != 0 || records[0].Reading.Findings&vital.UserUnsure == 0 {
			t.Errorf("%s of a user who is not sure, of a sensor that one person holds: told %+v, became %+v", name, receipt, records[0].Reading)
		}
	}
	if records, _ := core.Decode(alone, message(readings, heart(`,"slot":1`))); records[0].Reading.Patient == 0 {
		t.Error("what a user sent whom the device knows waits, although one person holds the sensor")
	}
	for name, c := range cases {
		records, receipt := core.Decode(s, message(c.topic, c.payload))
		if receipt.Accepted != 1 || records[0].Reading.Sensor != c.sensor || records[0].Reading.Patient != c.patient {
			t.Errorf("%s: told %+v, became %+v", name, receipt, records[0].Reading)
		}
	}
	for _, slot := range []string{`"1"`, "256", "-1", "1.0", "true"} {
		if _, receipt := core.Decode(s, message(readings, heart(`,"slot":`+slot))); len(receipt.Refused) != 1 || !strings.Contains(receipt.Refused[0].Detail, "slot must be") {
			t.Errorf("slot %s: told %+v", slot, receipt)
		}
	}
}

func TestWhatCouldBeReadOfARefusedReadingIsKeptForScreening(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		payload string
		metric  vital.Metric
		sent    []vital.Quantity
		at      time.Time // as sent
	}{
		"a glucose without a unit": {`{"metric":"glucose","value":22,"time":"2026-11-21T07:20:00Z"}`, vital.Glucose, []vital.Quantity{q(22, 0, vital.NoUnit)}, time.Date(2026, 11, 21, 7, 20, 0, 0, time.UTC)},
		"a number that nobody has": {`{"metric":"oxygen_saturation","value":31,"unit":"%"}`, vital.OxygenSat, []vital.Quantity{q(31, 0, vital.Percent)}, moment()},
		"a time that cannot be":    {`{"metric":"oxygen_saturation","value":72,"unit":"%","time":"1970-01-01T00:00:09Z"}`, vital.OxygenSat, []vital.Quantity{q(72, 0, vital.Percent)}, time.Unix(9, 0).UTC()},
		"a time without zone":      {`{"metric":"oxygen_saturation","value":72,"unit":"%","time":"soon"}`, vital.OxygenSat, []vital.Quantity{q(72, 0, vital.Percent)}, moment()},
		"half a blood pressure":    {`{"metric":"blood_pressure","systolic":212,"unit":"mm[Hg]"}`, vital.BloodPressure, []vital.Quantity{q(212, 0, vital.MmHg)}, moment()},
	}
	for name, c := range cases {
		records, _ := decode(message(readings, c.payload))
		no := records[0].Refused
		if no == nil || no.Read == nil {
			t.Errorf("%s: nothing was read of it", name)
			continue
		}
		r := no.Read
		if r.Metric != c.metric || !cmp.Equal(c.sent, r.Sent[:r.N]) || !r.SentAt.Equal(c.at) || r.Sensor != own || r.Patient != anna || r.Org != ourOrg {
			t.Errorf("%s: read %+v", name, r)
		}
	}
	records, _ := decode(message(readings, `{"metric":"glucose","value":"unknown","unit":"mg/dL"}`))
	if no := records[0].Refused; no == nil || no.Read != nil {
		t.Errorf("of a text was read %+v", no)
	}
}
