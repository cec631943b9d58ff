package stream

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// Decode returns the records of an envelope; they share no memory with b. An envelope that is damaged, cut short or of
// a version that this reader does not know is an error of kind fault.Internal that names what is wrong.
func Decode(b []byte) ([]vital.Record, error) {
	_, records, err := decode(b)
	return records, err
}

// decode also returns the number of partitions that the writer knew.
func decode(b []byte) (partitions int, records []vital.Record, err error) {
	if len(b) < headerSize {
		return 0, nil, fault.New(fault.Internal, "envelope of %d bytes is shorter than its header of %d", len(b), headerSize)
	}
	if string(b[:len(magic)]) != magic {
		return 0, nil, fault.New(fault.Internal, "envelope does not begin with %s: this is no envelope", magic)
	}
	// The version comes before the checksum: another version may keep it elsewhere.
	version := b[len(magic)]
	if version < oldestVersion || version > currentVersion {
		return 0, nil, fault.New(fault.Internal, "envelope is of format version %d, this reader takes %d to %d", version, oldestVersion, currentVersion)
	}
	if want, got := binary.LittleEndian.Uint32(b[checksumAt:]), checksum(b); want != got {
		return 0, nil, fault.New(fault.Internal, "envelope is damaged: its checksum is %08x, its contents have %08x", want, got)
	}
	partitions = int(binary.LittleEndian.Uint16(b[5:]))
	if partitions == 0 {
		return 0, nil, fault.New(fault.Internal, "envelope was written for 0 partitions")
	}
	records, err = decodeBody(b[headerSize:], binary.LittleEndian.Uint32(b[7:]), version)
	return partitions, records, err
}

// leastRecord is a lower bound of the bytes of any record; it keeps a lying count from reserving memory.
const leastRecord = 8

// decodeBody reads records of every version: a later one has more kinds, and more behind a reading and a refusal.
func decodeBody(body []byte, count uint32, version byte) ([]vital.Record, error) {
	if uint64(count)*leastRecord > uint64(len(body)) {
		return nil, fault.New(fault.Internal, "envelope says %d records in %d bytes", count, len(body))
	}
	s := source{rest: body, version: version}
	records := make([]vital.Record, 0, count)
	readings := make([]vital.Reading, 0, count) // one allocation; never grows, so pointers into it hold
	for i := range count {
		switch kind := s.byte("kind"); {
		case kind == kindReading:
			readings = append(readings, s.reading())
			records = append(records, vital.Record{Reading: &readings[len(readings)-1]})
		case kind == kindRefused:
			refused := s.refused()
			records = append(records, vital.Record{Refused: &refused})
		case kind == kindCanary && version >= canaryVersion:
			canary := s.canary()
			records = append(records, vital.Record{Canary: &canary})
		case kind == kindStatus && version >= moreVersion:
			status := s.status()
			records = append(records, vital.Record{Status: &status})
		case kind == kindOriginal && version >= moreVersion:
			original := s.original()
			records = append(records, vital.Record{Original: &original})
		default:
			s.fail(fmt.Sprintf("kind %d is unknown", kind))
		}
		if s.bad != "" {
			return nil, fault.New(fault.Internal, "envelope record %d of %d: %s", i, count, s.bad)
		}
	}
	if len(s.rest) > 0 {
		return nil, fault.New(fault.Internal, "envelope has %d bytes behind its %d records", len(s.rest), count)
	}
	return records, nil
}

// source reads a record field by field. After the first failure all reads return zero and bad holds the reason.
type source struct {
	rest    []byte
	version byte
	bad     string
}

func (s *source) fail(why string) {
	if s.bad == "" {
		s.bad = why
	}
	s.rest = nil
}

func (s *source) reading() (r vital.Reading) {
	flags := s.byte("flags")
	known := byte(flagSequence)
	if s.version >= moreVersion {
		known |= flagMore
	}
	if flags&^known != 0 {
		s.fail(fmt.Sprintf("flags %#x are unknown", flags))
	}
	r.HasSequence = flags&flagSequence != 0
	r.Sensor = vital.SensorID(s.varint("sensor"))
	r.Metric = vital.Metric(s.bounded("metric", math.MinInt16, math.MaxInt16))
	sent := s.varint("time as sent")
	measured := sent + s.varint("time of measurement")
	received := measured + s.varint("time of arrival")
	r.SentAt, r.MeasuredAt, r.ReceivedAt = instant(sent), instant(measured), instant(received)
	r.Tie = s.varint("tie")
	r.Org = vital.OrgID(s.bounded("organisation", math.MinInt32, math.MaxInt32))
	r.Device = vital.DeviceID(s.varint("device"))
	r.Patient = vital.PatientID(s.varint("patient"))
	r.Assignment = vital.AssignmentID(s.varint("assignment"))
	r.Epoch = int32(s.bounded("epoch", math.MinInt32, math.MaxInt32))
	findings := s.uvarint("findings")
	if findings > math.MaxUint32 {
		s.fail("findings are out of range")
	}
	r.Findings = vital.Finding(findings)
	r.N = s.byte("number of quantities")
	if int(r.N) > len(r.Sent) {
		s.fail(fmt.Sprintf("%d quantities are more than %d", r.N, len(r.Sent)))
		r.N = 0
	}
	for i := range r.Sent[:r.N] {
		r.Sent[i] = s.quantity()
	}
	if flags&flagMore != 0 && s.bad == "" {
		more := s.more()
		r.More = &more
	}
	return r
}

func (s *source) more() (m vital.More) {
	m.Clock.Method = vital.ClockMethod(s.byte("method of the clock"))
	m.Standing = vital.Standing(s.byte("standing"))
	m.Clock.Offset = s.duration("offset of the clock")
	m.Clock.Uncertainty = s.duration("uncertainty of the clock")
	m.Name = s.varint("name")
	n := s.uvarint("number of facts")
	if n > uint64(len(s.rest))/2 { // each takes two lengths at least
		s.fail("facts are cut short")
		return m
	}
	for range n {
		m.Facts = append(m.Facts, vital.Fact{Name: string(s.text("name of a fact")), Value: string(s.text("fact"))})
	}
	return m
}

func (s *source) refused() (r vital.Refused) {
	r.Org = vital.OrgID(s.bounded("organisation", math.MinInt32, math.MaxInt32))
	r.Device = vital.DeviceID(s.varint("device"))
	r.ReceivedAt = instant(s.varint("time of arrival"))
	r.Topic = string(s.text("topic"))
	r.Reason = vital.Reason(s.text("reason"))
	r.Detail = string(s.text("detail"))
	r.Raw = s.raw()
	r.Length = s.varint("length")
	copy(r.Hash[:], s.take("hash", len(r.Hash)))
	if s.version < moreVersion {
		return r
	}
	r.Beyond = vital.Beyond(s.byte("side"))
	many := s.byte("what was read")
	if many > readSeveral {
		s.fail("what was read is neither nothing, one nor several")
	}
	if s.bad != "" || many == readNothing {
		return r
	}
	read := s.reading()
	if r.Read = &read; many == readSeveral {
		r.Also = s.also()
	}
	return r
}

// also reads the further measurements of a refusal.
func (s *source) also() (all []vital.Seen) {
	n := s.uvarint("number of measurements")
	if n > uint64(len(s.rest)) { // each takes several bytes
		s.fail("measurements are cut short")
		return nil
	}
	for range n {
		if s.bad != "" {
			return nil
		}
		beyond := vital.Beyond(s.byte("side"))
		all = append(all, vital.Seen{Read: s.reading(), Beyond: beyond})
	}
	return all
}

func (s *source) status() (t vital.Status) {
	t.Org = vital.OrgID(s.bounded("organisation", math.MinInt32, math.MaxInt32))
	t.Device = vital.DeviceID(s.varint("device"))
	t.Sensor = vital.SensorID(s.varint("sensor"))
	t.ReceivedAt = instant(s.varint("time of arrival"))
	t.Kind = vital.StatusKind(s.byte("kind of status"))
	t.Connection = s.varint("connection")
	t.HasBattery = s.bit("battery")
	t.Battery = s.byte("battery")
	t.Signal = int16(s.bounded("signal", math.MinInt16, math.MaxInt16))
	t.Firmware = string(s.text("firmware"))
	if s.bit("clock") {
		t.Clock = instant(s.varint("clock"))
	}
	t.Raw = s.raw()
	if s.bit("answer") {
		t.Answer = &vital.Answer{Command: vital.UID(s.text("command")), Done: s.bit("outcome"), Detail: string(s.text("detail of an answer"))}
	}
	if s.bit("look at a clock") {
		t.Look = &vital.ClockLook{Clock: vital.Clock{Method: vital.ClockMethod(s.byte("method of a look"))}, Local: s.bit("zone of a clock")}
		t.Look.At = instant(s.varint("time of a look"))
		t.Look.Offset, t.Look.Uncertainty = s.duration("offset of a look"), s.duration("uncertainty of a look")
	}
	t.Edge = string(s.text("edge"))
	return t
}

func (s *source) original() (o vital.Original) {
	o.Org = vital.OrgID(s.bounded("organisation", math.MinInt32, math.MaxInt32))
	o.Device = vital.DeviceID(s.varint("device"))
	o.ReceivedAt = instant(s.varint("time of arrival"))
	o.Topic = string(s.text("topic"))
	o.Raw = s.raw()
	copy(o.Hash[:], s.take("hash", len(o.Hash)))
	return o
}

// raw returns bytes of their own, nil when there are none.
func (s *source) raw() []byte {
	if raw := s.text("raw bytes"); len(raw) > 0 {
		return slices.Clone(raw)
	}
	return nil
}

// bit reads a byte that is 0 or 1.
func (s *source) bit(what string) bool {
	b := s.byte(what)
	if b > 1 {
		s.fail(what + " is neither there nor absent")
	}
	return b == 1
}

func (s *source) duration(what string) time.Duration {
	const most = math.MaxInt64 / int64(time.Microsecond)
	return time.Duration(s.bounded(what, -most, most)) * time.Microsecond
}

func (s *source) canary() (c vital.Canary) {
	c.Edge = string(s.text("edge"))
	partition := s.uvarint("partition")
	if partition > math.MaxUint16 {
		s.fail("partition is out of range")
	}
	c.Partition = int(partition)
	c.Number = s.varint("number")
	c.SentAt = instant(s.varint("time as sent"))
	c.Value = s.quantity()
	return c
}

func (s *source) quantity() (q vital.Quantity) {
	q.Mantissa = s.varint("mantissa")
	q.Exponent = int8(s.byte("exponent"))
	q.Unit = vital.Unit(s.bounded("unit", math.MinInt16, math.MaxInt16))
	return q
}

func instant(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func (s *source) take(what string, n int) []byte {
	if n > len(s.rest) {
		s.fail(what + " is cut short")
		return nil
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *source) byte(what string) byte {
	if b := s.take(what, 1); b != nil {
		return b[0]
	}
	return 0
}

func (s *source) uvarint(what string) uint64 {
	v, n := binary.Uvarint(s.rest)
	if n <= 0 {
		s.fail(what + " is cut short or too long")
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *source) varint(what string) int64 {
	v, n := binary.Varint(s.rest)
	if n <= 0 {
		s.fail(what + " is cut short or too long")
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *source) bounded(what string, least, most int64) int64 {
	v := s.varint(what)
	if v < least || v > most {
		s.fail(what + " is out of range")
		return 0
	}
	return v
}

func (s *source) text(what string) []byte {
	n := s.uvarint(what)
	if n > uint64(len(s.rest)) {
		s.fail(what + " is cut short")
		return nil
	}
	return s.take(what, int(n))
}
