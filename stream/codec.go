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
	currentVersion = 2
	oldestVersion  = 1
	canaryVersion  = 2 // the first one that has canaries
	headerSize     = 15
	checksumAt     = 11
)

// The kinds of record and the flags of a reading. They stand in stored envelopes: never renumber.
const (
	kindReading = 1
	kindRefused = 2
	kindCanary  = 3 // from version 2 on

	flagSequence = 1 << 0
)

// Encode appends one envelope with the records to dst and returns the extended buffer. Times keep microseconds. Every
// record has one of Reading, Refused and Canary; one with none is left out, and of Sent the first N quantities travel.
func Encode(dst []byte, partitions int, records []vital.Record) []byte {
	start := len(dst)
	dst = appendHeader(dst, partitions)
	n := 0
	for _, r := range records {
		if r.Reading == nil && r.Refused == nil && r.Canary == nil {
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
		n := len(r.Refused.Raw)
		return len(appendRecord(nil, vital.Record{Refused: &bare})) - 1 + len(binary.AppendUvarint(nil, uint64(n))) + n
	}
	return len(appendRecord(make([]byte, 0, 128), r))
}

// split encodes records into as few envelopes of at most limit bytes as keep their order. It fails with
// fault.Invalid on a record that is empty, holds two things, or is too large by itself.
func split(partitions, limit int, records []vital.Record) ([][]byte, error) {
	var envelopes [][]byte
	b := appendHeader(make([]byte, 0, min(limit, headerSize+64*len(records))), partitions)
	n := 0
	for i, r := range records {
		if !single(r) {
			return nil, fault.New(fault.Invalid, "record %d of %d is not exactly one of a reading, a refusal and a canary", i, len(records))
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

// single reports whether the record holds exactly one thing.
func single(r vital.Record) bool {
	if r.Canary != nil {
		return r.Reading == nil && r.Refused == nil
	}
	return (r.Reading == nil) != (r.Refused == nil)
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
	if r.Reading != nil {
		return appendReading(append(dst, kindReading), r.Reading)
	}
	if r.Refused != nil {
		return appendRefused(append(dst, kindRefused), r.Refused)
	}
	if r.Canary != nil {
		return appendCanary(append(dst, kindCanary), r.Canary)
	}
	return dst
}

func appendReading(dst []byte, r *vital.Reading) []byte {
	var flags byte
	if r.HasSequence {
		flags |= flagSequence
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
	return dst
}

func appendRefused(dst []byte, r *vital.Refused) []byte {
	dst = binary.AppendVarint(dst, int64(r.Org))
	dst = binary.AppendVarint(dst, int64(r.Device))
	dst = binary.AppendVarint(dst, r.ReceivedAt.UnixMicro())
	dst = appendText(dst, r.Topic)
	dst = appendText(dst, string(r.Reason))
	dst = appendText(dst, r.Detail)
	dst = binary.AppendUvarint(dst, uint64(len(r.Raw)))
	dst = append(dst, r.Raw...)
	dst = binary.AppendVarint(dst, r.Length)
	return append(dst, r.Hash[:]...)
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

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
