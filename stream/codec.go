package stream

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"hale/fault"
	"hale/vital"
)

// MaxEnvelope is the largest envelope that is published, in bytes. It is far below the 1 MiB that a NATS server takes
// by default, so that any site's server will do.
const MaxEnvelope = 512 << 10

// An envelope is laid out as
//
//	magic "HALE" | version uint8 | partitions uint16 | records uint32 | CRC-32C uint32 | records
//
// in little endian; the checksum covers everything but itself. Readers take version N and N-1, so that edges can be
// upgraded last: a change of layout raises currentVersion and keeps the decoder of the one before.
const (
	magic          = "HALE"
	currentVersion = 3
	oldestVersion  = 1
	canaryVersion  = 2 // the first one that has canaries
	moreVersion    = 3 // the first one that has more of a reading, what was read of a refusal, statuses and originals
	headerSize     = 15
	checksumAt     = 11
)

// The kinds of record and the flags of a reading. They stand in stored envelopes: never renumber.
const (
	kindReading  = 1
	kindRefused  = 2
	kindCanary   = 3 // from version 2 on
	kindStatus   = 4 // from version 3 on, and so is
	kindOriginal = 5

	// What was read of a refusal.
	readNothing = 0
	readOne     = 1
	readSeveral = 2

	flagSequence = 1 << 0
	flagMore     = 1 << 1 // from version 3 on
)

// Encode appends one envelope with the records to dst and returns the extended buffer. Times keep microseconds. Every
// record has one thing in it; one with none is left out, and of Sent the first N quantities travel.
func Encode(dst []byte, partitions int, records []vital.Record) []byte {
	start := len(dst)
	dst = appendHeader(dst, partitions)
	n := 0
	for _, r := range records {
		if things(r) == 0 {
			continue
		}
		dst = appendRecord(dst, r)
		n++
	}
	seal(dst[start:], n)
	return dst
}

// Size returns the number of bytes that a record takes in an envelope.
func Size(r vital.Record) int {
	if r.Reading == nil && r.Refused != nil {
		bare := *r.Refused
		bare.Raw = nil
		return len(appendRecord(nil, vital.Record{Refused: &bare})) - 1 + sizeOf(r.Refused.Raw)
	}
	if r.Original != nil {
		bare := *r.Original
		bare.Raw = nil
		return len(appendRecord(nil, vital.Record{Original: &bare})) - 1 + sizeOf(r.Original.Raw)
	}
	return len(appendRecord(make([]byte, 0, 128), r))
}

// sizeOf returns what a text or raw bytes take with their length.
func sizeOf(raw []byte) int { return len(binary.AppendUvarint(nil, uint64(len(raw)))) + len(raw) }

// split encodes records into as few envelopes of at most limit bytes as keep their order. It fails with
// fault.Invalid on a record that is empty, holds two things, or is too large by itself.
func split(partitions, limit int, records []vital.Record) ([][]byte, error) {
	var envelopes [][]byte
	b := appendHeader(make([]byte, 0, min(limit, headerSize+64*len(records))), partitions)
	n := 0
	for i, r := range records {
		if things(r) != 1 {
			return nil, fault.New(fault.Invalid, "record %d of %d is not exactly one of a reading, a refusal, a canary, a status and an original", i, len(records))
		}
		mark := len(b)
		b = appendRecord(b, r)
		if len(b) <= limit {
			n++
			continue
		}
		size := len(b) - mark
		if headerSize+size > limit {
			return nil, fault.New(fault.Invalid, "record %d takes %d bytes; an envelope holds %d", i, size, limit-headerSize)
		}
		next := append(appendHeader(make([]byte, 0, limit), partitions), b[mark:]...)
		seal(b[:mark], n)
		envelopes = append(envelopes, b[:mark])
		b, n = next, 1
	}
	if n > 0 {
		seal(b, n)
		envelopes = append(envelopes, b)
	}
	return envelopes, nil
}

// things returns how many things the record holds: one, or it is no record.
func things(r vital.Record) (n int) {
	for _, there := range [...]bool{r.Reading != nil, r.Refused != nil, r.Canary != nil, r.Status != nil, r.Original != nil} {
		if there {
			n++
		}
	}
	return n
}

func appendHeader(dst []byte, partitions int) []byte {
	dst = append(dst, magic...)
	dst = append(dst, currentVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(min(max(partitions, 0), math.MaxUint16)))
	return append(dst, 0, 0, 0, 0, 0, 0, 0, 0) // number of records and checksum: seal fills them in
}

// seal completes an envelope that holds n records.
func seal(envelope []byte, n int) {
	binary.LittleEndian.PutUint32(envelope[7:], uint32(n))
	binary.LittleEndian.PutUint32(envelope[checksumAt:], checksum(envelope))
}

func checksum(envelope []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(envelope[:checksumAt], table), table, envelope[headerSize:])
}

func appendRecord(dst []byte, r vital.Record) []byte {
	switch {
	case r.Reading != nil:
		return appendReading(append(dst, kindReading), r.Reading)
	case r.Refused != nil:
		return appendRefused(append(dst, kindRefused), r.Refused)
	case r.Canary != nil:
		return appendCanary(append(dst, kindCanary), r.Canary)
	case r.Status != nil:
		return appendStatus(append(dst, kindStatus), r.Status)
	case r.Original != nil:
		return appendOriginal(append(dst, kindOriginal), r.Original)
	}
	return dst
}

func appendReading(dst []byte, r *vital.Reading) []byte {
	var flags byte
	if r.HasSequence {
		flags |= flagSequence
	}
	if r.More != nil {
		flags |= flagMore
	}
	dst = append(dst, flags)
	dst = binary.AppendVarint(dst, int64(r.Sensor))
	dst = binary.AppendVarint(dst, int64(r.Metric))
	// The three times lie close together: two of them travel as differences. A difference that overflows wraps round
	// and comes back by wrapping again.
	sent, measured, received := r.SentAt.UnixMicro(), r.MeasuredAt.UnixMicro(), r.ReceivedAt.UnixMicro()
	dst = binary.AppendVarint(dst, sent)
	dst = binary.AppendVarint(dst, measured-sent)
	dst = binary.AppendVarint(dst, received-measured)
	dst = binary.AppendVarint(dst, r.Tie)
	dst = binary.AppendVarint(dst, int64(r.Org))
	dst = binary.AppendVarint(dst, int64(r.Device))
	dst = binary.AppendVarint(dst, int64(r.Patient))
	dst = binary.AppendVarint(dst, int64(r.Assignment))
	dst = binary.AppendVarint(dst, int64(r.Epoch))
	dst = binary.AppendUvarint(dst, uint64(r.Findings))
	n := min(int(r.N), len(r.Sent))
	dst = append(dst, byte(n))
	for _, q := range r.Sent[:n] {
		dst = appendQuantity(dst, q)
	}
	if r.More != nil {
		dst = appendMore(dst, r.More)
	}
	return dst
}

func appendMore(dst []byte, m *vital.More) []byte {
	dst = append(dst, byte(m.Clock.Method), byte(m.Standing))
	dst = binary.AppendVarint(dst, m.Clock.Offset.Microseconds())
	dst = binary.AppendVarint(dst, m.Clock.Uncertainty.Microseconds())
	dst = binary.AppendVarint(dst, m.Name)
	dst = binary.AppendUvarint(dst, uint64(len(m.Facts)))
	for _, f := range m.Facts {
		dst = appendText(appendText(dst, f.Name), f.Value)
	}
	return dst
}

func appendRefused(dst []byte, r *vital.Refused) []byte {
	dst = binary.AppendVarint(dst, int64(r.Org))
	dst = binary.AppendVarint(dst, int64(r.Device))
	dst = binary.AppendVarint(dst, r.ReceivedAt.UnixMicro())
	dst = appendText(dst, r.Topic)
	dst = appendText(dst, string(r.Reason))
	dst = appendText(dst, r.Detail)
	dst = appendBytes(dst, r.Raw)
	dst = binary.AppendVarint(dst, r.Length)
	dst = append(dst, r.Hash[:]...)
	dst = append(dst, byte(r.Beyond))
	switch {
	case r.Read == nil:
		return append(dst, readNothing)
	case len(r.Also) == 0:
		return appendReading(append(dst, readOne), r.Read)
	}
	dst = appendReading(append(dst, readSeveral), r.Read)
	dst = binary.AppendUvarint(dst, uint64(len(r.Also)))
	for i := range r.Also {
		dst = appendReading(append(dst, byte(r.Also[i].Beyond)), &r.Also[i].Read)
	}
	return dst
}

func appendStatus(dst []byte, s *vital.Status) []byte {
	dst = binary.AppendVarint(dst, int64(s.Org))
	dst = binary.AppendVarint(dst, int64(s.Device))
	dst = binary.AppendVarint(dst, int64(s.Sensor))
	dst = binary.AppendVarint(dst, s.ReceivedAt.UnixMicro())
	dst = append(dst, byte(s.Kind))
	dst = binary.AppendVarint(dst, s.Connection)
	dst = append(dst, bit(s.HasBattery), s.Battery)
	dst = binary.AppendVarint(dst, int64(s.Signal))
	dst = appendText(dst, s.Firmware)
	dst = append(dst, bit(!s.Clock.IsZero()))
	if !s.Clock.IsZero() {
		dst = binary.AppendVarint(dst, s.Clock.UnixMicro())
	}
	dst = append(appendBytes(dst, s.Raw), bit(s.Answer != nil))
	if a := s.Answer; a != nil {
		dst = appendText(append(appendText(dst, string(a.Command)), bit(a.Done)), a.Detail)
	}
	dst = append(dst, bit(s.Look != nil))
	if l := s.Look; l != nil {
		dst = append(dst, byte(l.Method), bit(l.Local))
		dst = binary.AppendVarint(dst, l.At.UnixMicro())
		dst = binary.AppendVarint(dst, l.Offset.Microseconds())
		dst = binary.AppendVarint(dst, l.Uncertainty.Microseconds())
	}
	return appendText(dst, s.Edge)
}

func appendOriginal(dst []byte, o *vital.Original) []byte {
	dst = binary.AppendVarint(dst, int64(o.Org))
	dst = binary.AppendVarint(dst, int64(o.Device))
	dst = binary.AppendVarint(dst, o.ReceivedAt.UnixMicro())
	dst = appendText(dst, o.Topic)
	dst = appendBytes(dst, o.Raw)
	return append(dst, o.Hash[:]...)
}

func bit(is bool) byte {
	if is {
		return 1
	}
	return 0
}

func appendCanary(dst []byte, c *vital.Canary) []byte {
	dst = appendText(dst, c.Edge)
	dst = binary.AppendUvarint(dst, uint64(max(c.Partition, 0)))
	dst = binary.AppendVarint(dst, c.Number)
	dst = binary.AppendVarint(dst, c.SentAt.UnixMicro())
	return appendQuantity(dst, c.Value)
}

func appendQuantity(dst []byte, q vital.Quantity) []byte {
	dst = binary.AppendVarint(dst, q.Mantissa)
	dst = append(dst, byte(q.Exponent))
	return binary.AppendVarint(dst, int64(q.Unit))
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
