package stream_test

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/stream"
	"hale/vital"
)

// drawTime draws instants over all of what a broken clock can say, in microseconds as the codec keeps them.
func drawTime(t *rapid.T, name string) time.Time {
	return time.UnixMicro(rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, name)).UTC()
}

func drawReading(t *rapid.T) *vital.Reading {
	r := &vital.Reading{
		Key: vital.Key{
			Sensor: vital.SensorID(rapid.Int64().Draw(t, "sensor")), Metric: vital.Metric(rapid.Int16().Draw(t, "metric")),
			SentAt: drawTime(t, "sent"), Tie: rapid.Int64().Draw(t, "tie"),
		},
		HasSequence: rapid.Bool().Draw(t, "sequence"), MeasuredAt: drawTime(t, "measured"), ReceivedAt: drawTime(t, "received"),
		Org: vital.OrgID(rapid.Int32().Draw(t, "org")), Device: vital.DeviceID(rapid.Int64().Draw(t, "device")),
		Patient: vital.PatientID(rapid.Int64().Draw(t, "patient")), Assignment: vital.AssignmentID(rapid.Int64().Draw(t, "assignment")),
		Epoch: rapid.Int32().Draw(t, "epoch"), Findings: vital.Finding(rapid.Uint32().Draw(t, "findings")),
		N: rapid.Uint8Range(0, 3).Draw(t, "n"),
	}
	for i := range r.Sent[:r.N] {
		r.Sent[i] = vital.Quantity{
			Mantissa: rapid.Int64().Draw(t, "mantissa"), Exponent: rapid.Int8().Draw(t, "exponent"), Unit: vital.Unit(rapid.Int16().Draw(t, "unit")),
		}
	}
	if rapid.Bool().Draw(t, "more") {
		r.More = drawMore(t)
	}
	return r
}

func drawMore(t *rapid.T) *vital.More {
	micro := rapid.Map(rapid.Int64Range(-1<<52, 1<<52), func(n int64) time.Duration { return time.Duration(n) * time.Microsecond })
	m := &vital.More{
		Clock:    vital.Clock{Offset: micro.Draw(t, "offset"), Uncertainty: micro.Draw(t, "uncertainty"), Method: vital.ClockMethod(rapid.Uint8().Draw(t, "method"))},
		Standing: vital.Standing(rapid.Uint8().Draw(t, "standing")), Name: rapid.Int64().Draw(t, "name"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "facts") {
		m.Facts = append(m.Facts, vital.Fact{Name: rapid.String().Draw(t, "name of a fact"), Value: rapid.String().Draw(t, "fact")})
	}
	return m
}

func drawStatus(t *rapid.T) *vital.Status {
	s := &vital.Status{
		Org: vital.OrgID(rapid.Int32().Draw(t, "org")), Device: vital.DeviceID(rapid.Int64().Draw(t, "device")),
		Sensor: vital.SensorID(rapid.Int64().Draw(t, "sensor")), ReceivedAt: drawTime(t, "received"),
		Kind: vital.StatusKind(rapid.Uint8().Draw(t, "kind")), Connection: rapid.Int64().Draw(t, "connection"), Edge: rapid.String().Draw(t, "edge"),
		Battery: rapid.Uint8().Draw(t, "battery"), HasBattery: rapid.Bool().Draw(t, "has battery"), Signal: rapid.Int16().Draw(t, "signal"),
		Firmware: rapid.String().Draw(t, "firmware"), Raw: drawRaw(t),
	}
	if rapid.Bool().Draw(t, "has clock") {
		s.Clock = drawTime(t, "clock")
	}
	if rapid.Bool().Draw(t, "has answer") {
		s.Answer = &vital.Answer{Command: vital.UID(rapid.String().Draw(t, "command")), Done: rapid.Bool().Draw(t, "done"), Detail: rapid.String().Draw(t, "detail")}
	}
	if rapid.Bool().Draw(t, "has look") {
		micro := rapid.Map(rapid.Int64Range(-1<<52, 1<<52), func(n int64) time.Duration { return time.Duration(n) * time.Microsecond })
		s.Look = &vital.ClockLook{At: drawTime(t, "look"), Local: rapid.Bool().Draw(t, "local"), Clock: vital.Clock{
			Offset: micro.Draw(t, "offset of a look"), Uncertainty: micro.Draw(t, "uncertainty of a look"), Method: vital.ClockMethod(rapid.Uint8().Draw(t, "method of a look"))}}
	}
	return s
}

func drawOriginal(t *rapid.T) *vital.Original {
	o := &vital.Original{
		Org: vital.OrgID(rapid.Int32().Draw(t, "org")), Device: vital.DeviceID(rapid.Int64().Draw(t, "device")), ReceivedAt: drawTime(t, "received"),
		Topic: rapid.String().Draw(t, "topic"), Raw: drawRaw(t),
	}
	copy(o.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return o
}

// drawRaw draws bytes, nil for none.
func drawRaw(t *rapid.T) []byte {
	if raw := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "raw"); len(raw) > 0 {
		return raw
	}
	return nil
}

func drawRefused(t *rapid.T) *vital.Refused {
	r := &vital.Refused{
		Org: vital.OrgID(rapid.Int32().Draw(t, "org")), Device: vital.DeviceID(rapid.Int64().Draw(t, "device")), ReceivedAt: drawTime(t, "received"),
		Topic: rapid.String().Draw(t, "topic"), Reason: vital.Reason(rapid.String().Draw(t, "reason")), Detail: rapid.String().Draw(t, "detail"),
		Length: rapid.Int64().Draw(t, "length"),
	}
	r.Raw = drawRaw(t)
	if r.Beyond = vital.Beyond(rapid.Int8().Draw(t, "beyond")); rapid.Bool().Draw(t, "read") {
		r.Read = drawReading(t)
		for range rapid.IntRange(0, 3).Draw(t, "also") {
			r.Also = append(r.Also, vital.Seen{Read: *drawReading(t), Beyond: vital.Beyond(rapid.Int8().Draw(t, "side"))})
		}
	}
	copy(r.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return r
}

func drawCanary(t *rapid.T) *vital.Canary {
	return &vital.Canary{
		Edge: rapid.String().Draw(t, "edge"), Partition: rapid.IntRange(0, math.MaxUint16).Draw(t, "partition"), Number: rapid.Int64().Draw(t, "number"),
		SentAt: drawTime(t, "sent"),
		Value:  vital.Quantity{Mantissa: rapid.Int64().Draw(t, "mantissa"), Exponent: rapid.Int8().Draw(t, "exponent"), Unit: vital.Unit(rapid.Int16().Draw(t, "unit"))},
	}
}

func drawRecord(t *rapid.T) vital.Record {
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return vital.Record{Refused: drawRefused(t)}
	case 1:
		return vital.Record{Canary: drawCanary(t)}
	case 2:
		return vital.Record{Status: drawStatus(t)}
	case 3:
		return vital.Record{Original: drawOriginal(t)}
	}
	return vital.Record{Reading: drawReading(t)}
}

func TestEveryRecordComesBackAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 0, 8).Draw(t, "records")
		prefix := []byte("before")
		b := stream.Encode(prefix, vital.Partitions, records)
		size := len(prefix) + 15
		for _, r := range records {
			size += stream.Size(r)
		}
		if len(b) != size {
			t.Fatalf("Size foretold %d bytes, Encode wrote %d", size, len(b))
		}
		got, err := stream.Decode(b[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]vital.Record{}, records...), got); diff != "" {
			t.Fatalf("the records changed (-sent +read):\n%s", diff)
		}
	})
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	t.Parallel()
	good := stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(1)}, {Reading: sample(2)}})
	for i := range good {
		for bit := range 8 {
			b := append([]byte{}, good...)
			b[i] ^= 1 << bit
			if _, err := stream.Decode(b); err == nil {
				t.Fatalf("bit %d of byte %d was flipped and nobody noticed", bit, i)
			}
		}
		if _, err := stream.Decode(good[:i]); err == nil {
			t.Fatalf("an envelope cut at byte %d was taken", i)
		}
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(1)}})
	change := func(f func(b []byte)) []byte {
		b := append([]byte{}, good...)
		f(b)
		return b
	}
	cases := map[string]struct {
		envelope []byte
		want     string
	}{
		"nothing is too short":                   {nil, "shorter than its header"},
		"another magic is no envelope":           {change(func(b []byte) { b[0] = 'X' }), "no envelope"},
		"a later version is named":               {change(func(b []byte) { b[4] = 4 }), "version 4"},
		"version nought is named":                {change(func(b []byte) { b[4] = 0 }), "version 0"},
		"a changed body fails its checksum":      {change(func(b []byte) { b[20]++ }), "checksum"},
		"version one knows no canaries":          {stream.AsVersion(1, stream.Encode(nil, vital.Partitions, []vital.Record{{Canary: beat()}})), "kind 3 is unknown"},
		"version two knows no more of a reading": {stream.AsVersion(2, stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: said()}})), "flags 0x3 are unknown"},
		"version two knows no statuses":          {stream.AsVersion(2, stream.Encode(nil, vital.Partitions, []vital.Record{{Status: &vital.Status{}}})), "kind 4 is unknown"},
		"version two knows no originals":         {stream.AsVersion(2, stream.Encode(nil, vital.Partitions, []vital.Record{{Original: &vital.Original{}}})), "kind 5 is unknown"},
		"no partitions make no envelope":         {stream.Encode(nil, 0, nil), "0 partitions"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := stream.Decode(c.envelope); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

// goldenV1 is an envelope of format version 1. It must be readable as long as version 1 is: when a later version comes,
// this stays.
const goldenV1 = "48414c4501080001000000f52bff6901010e0280aca0a0d283a50600e0c65b02020a10120e0002f0010002a0010002"

func TestVersionOneStaysReadable(t *testing.T) {
	t.Parallel()
	b, err := hex.DecodeString(goldenV1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]vital.Record{{Reading: sample(1)}}, got); diff != "" {
		t.Errorf("version 1 reads otherwise now (-want +got):\n%s", diff)
	}
}

// goldenV2 is an envelope of format version 2, with a reading and a canary in it: it stays as long as version 2 is read.
const goldenV2 = "48414c4502080002000000dfb8394b01010e0280aca0a0d283a50600e0c65b02020a10120e0002f0010002a00100020306656467652d31032280aca0a0d283a506d0020006"

func TestVersionTwoStaysReadable(t *testing.T) {
	t.Parallel()
	b, err := hex.DecodeString(goldenV2)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]vital.Record{{Reading: sample(1)}, {Canary: beat()}}, got); diff != "" {
		t.Errorf("version 2 reads otherwise now (-want +got):\n%s", diff)
	}
}

// goldenV3 is an envelope of format version 3, with one record of each kind in it: the version that edges write today. It
// stays for as long as readers of a later one must take it.
const goldenV3 = "48414c4503080006000000600e39cd01010e0280aca0a0d283a50600e0c65b02020a10120e0002f0010002a001000201030e0280aca0a0d283a50600e0c65b06020a10120e0002f0010002a00100020101ff8f9de91a80897ac601010c626f64795f706f73747572650773697474696e670306656467652d31032280aca0a0d283a506d002000602020a80aca0a0d283a50601740b696d706c61757369626c6501640172020000000000000000000000000000000000000000000000000000000000000000ff01010e0280aca0a0d283a50600e0c65b04020a10120e0002f0010002a001000204020a0e80aca0a0d283a506011201508d0103312e320180aca0a0d283a506027b7d01016301016401010180aca0a0d283a506ff8f9de91a80e3be0a06686572652f3105020a80aca0a0d283a506017401720000000000000000000000000000000000000000000000000000000000000000"

func TestVersionThreeStaysReadable(t *testing.T) {
	t.Parallel()
	records := []vital.Record{
		{Reading: sample(1)}, {Reading: said()}, {Canary: beat()},
		{Refused: &vital.Refused{Org: 1, Device: 5, ReceivedAt: beat().SentAt, Topic: "t", Reason: vital.ReasonImplausible, Detail: "d", Raw: []byte("r"), Length: 1, Read: sample(2), Beyond: vital.Below}},
		{Status: &vital.Status{Org: 1, Device: 5, Sensor: 7, ReceivedAt: beat().SentAt, Kind: vital.StatusTold, Connection: 9, Edge: "here/1", Battery: 80, HasBattery: true, Signal: -71, Firmware: "1.2", Clock: beat().SentAt, Raw: []byte("{}"), Answer: &vital.Answer{Command: "c", Done: true, Detail: "d"},
			Look: &vital.ClockLook{At: beat().SentAt, Local: true, Clock: vital.Clock{Offset: -time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}}},
		{Original: &vital.Original{Org: 1, Device: 5, ReceivedAt: beat().SentAt, Topic: "t", Raw: []byte("r")}},
	}
	if now := hex.EncodeToString(stream.Encode(nil, vital.Partitions, records)); now != goldenV3 {
		t.Errorf("what is written changed without a new version: %s", now)
	}
	b, err := hex.DecodeString(goldenV3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(records, got); diff != "" {
		t.Errorf("version 3 reads otherwise now (-want +got):\n%s", diff)
	}
}

// said is a reading with more beside it than numbers.
func said() *vital.Reading {
	r := sample(3)
	r.More = &vital.More{
		Clock: vital.Clock{Offset: -time.Hour, Method: vital.ClockCoincident, Uncertainty: time.Second}, Standing: vital.Amended, Name: 99,
		Facts: []vital.Fact{{Name: "body_posture", Value: "sitting"}},
	}
	return r
}

func beat() *vital.Canary {
	return &vital.Canary{
		Edge: "edge-1", Partition: 3, Number: 17, SentAt: time.Date(2026, 2, 5, 7, 25, 0, 0, time.UTC),
		Value: vital.Quantity{Mantissa: vital.CanaryBeyond, Unit: vital.PerMinute},
	}
}

func TestSizeLeavesTheRecordAlone(t *testing.T) {
	t.Parallel()
	r := vital.Record{Refused: &vital.Refused{Raw: make([]byte, 1000)}}
	if n := stream.Size(r); n < 1000 || n > 1100 || len(r.Refused.Raw) != 1000 {
		t.Errorf("Size = %d, raw now %d bytes", n, len(r.Refused.Raw))
	}
	o := vital.Record{Original: &vital.Original{Raw: make([]byte, 1000)}}
	if n := stream.Size(o); n < 1000 || n > 1100 || len(o.Original.Raw) != 1000 {
		t.Errorf("Size = %d, raw now %d bytes", n, len(o.Original.Raw))
	}
	if n := stream.Size(vital.Record{}); n != 0 {
		t.Errorf("an empty record takes %d bytes", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(stream.Encode(nil, vital.Partitions, nil))
	f.Add(stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(math.MaxInt32)}}))
	f.Add(stream.Encode(nil, 3, []vital.Record{{Refused: &vital.Refused{Topic: "t", Raw: []byte("x")}}, {Reading: sample(7)}}))
	f.Add(stream.Encode(nil, vital.Partitions, []vital.Record{{Canary: beat()}, {Canary: &vital.Canary{}}}))
	f.Add(stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: said()}, {Status: &vital.Status{Firmware: "1"}}, {Original: &vital.Original{Raw: []byte("x")}}}))
	f.Add(stream.Encode(nil, vital.Partitions, []vital.Record{{Refused: &vital.Refused{Read: said(), Beyond: vital.Above}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		// A fuzzer does not guess checksums: the decoder behind it is tried with a checksum made right.
		for _, candidate := range [][]byte{b, stream.Reseal(b)} {
			records, err := stream.Decode(candidate)
			if err != nil {
				continue
			}
			again, err := stream.Decode(stream.Encode(nil, vital.Partitions, records))
			if err != nil {
				t.Fatalf("what was read cannot be written and read again: %v", err)
			}
			if diff := cmp.Diff(records, again); diff != "" {
				t.Fatalf("what was read changes when written again:\n%s", diff)
			}
		}
	})
}

// sample is an ordinary blood pressure; n tells samples apart.
func sample(n int) *vital.Reading {
	at := time.Date(2026, 2, 5, 7, 25, 0, 0, time.UTC)
	return &vital.Reading{
		Key:        vital.Key{Sensor: vital.SensorID(7), Metric: vital.BloodPressure, SentAt: at, Tie: int64(n)},
		MeasuredAt: at, ReceivedAt: at.Add(750 * time.Millisecond),
		HasSequence: true, Org: 1, Device: 5, Patient: 8, Assignment: 9, Epoch: 7, N: 2,
		Sent: [3]vital.Quantity{{Mantissa: 120, Unit: vital.MmHg}, {Mantissa: 80, Unit: vital.MmHg}},
	}
}
