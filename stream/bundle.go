package stream

import (
	"encoding/binary"
	"hash/crc32"

	"hale/fault"
)

// A bundle holds the envelopes of several partitions that left at the same moment, so that they cost one write to disk and
// not one each. It is laid out as
//
//	magic "HALB" | version uint8 | envelopes uint16 | CRC-32C uint32 | { partition uint16 | bytes uint32 } ... | envelopes
//
// in little endian; the checksum covers everything but itself and the envelopes, which have their own.
const (
	bundleMagic   = "HALB"
	bundleVersion = 1
	bundleHeader  = 11
	bundleCheckAt = 7
	bundlePlace   = 6 // of one envelope in the list
)

// parcel is the envelope of one partition on its way.
type parcel struct {
	partition int
	envelope  []byte
}

// encodeBundle appends a bundle of at least one envelope, each of another partition.
func encodeBundle(dst []byte, parcels []parcel) []byte {
	start := len(dst)
	dst = append(dst, bundleMagic...)
	dst = append(dst, bundleVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(parcels)))
	dst = append(dst, 0, 0, 0, 0)
	for _, p := range parcels {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(p.partition))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.envelope)))
	}
	head := dst[start:]
	binary.LittleEndian.PutUint32(head[bundleCheckAt:], bundleChecksum(head))
	for _, p := range parcels {
		dst = append(dst, p.envelope...)
	}
	return dst
}

// bundleSize is how many bytes a bundle of so many envelopes with so many bytes takes.
func bundleSize(envelopes, bytes int) int { return bundleHeader + envelopes*bundlePlace + bytes }

// openBundle returns the envelope of the partition, which shares b's memory, or nil when the bundle has none. A bundle that is
// damaged, cut short or of a version that this reader does not know is fault.Internal.
func openBundle(b []byte, partition int) (envelope []byte, err error) {
	if len(b) < bundleHeader || string(b[:len(bundleMagic)]) != bundleMagic {
		return nil, fault.New(fault.Internal, "%d bytes that do not begin with %s and a header are no bundle", len(b), bundleMagic)
	}
	if version := b[len(bundleMagic)]; version != bundleVersion {
		return nil, fault.New(fault.Internal, "bundle is of format version %d, this reader takes %d", version, bundleVersion)
	}
	n := int(binary.LittleEndian.Uint16(b[5:]))
	begin := bundleSize(n, 0)
	if len(b) < begin {
		return nil, fault.New(fault.Internal, "bundle of %d bytes is too short for its list of %d envelopes", len(b), n)
	}
	if want, got := binary.LittleEndian.Uint32(b[bundleCheckAt:]), bundleChecksum(b[:begin]); want != got {
		return nil, fault.New(fault.Internal, "bundle is damaged: its checksum is %08x, its list has %08x", want, got)
	}
	rest := b[begin:]
	for place := b[bundleHeader:begin]; len(place) > 0; place = place[bundlePlace:] {
		size := binary.LittleEndian.Uint32(place[2:])
		if uint64(size) > uint64(len(rest)) {
			return nil, fault.New(fault.Internal, "bundle is cut short: an envelope of %d bytes stands in the last %d", size, len(rest))
		}
		if int(binary.LittleEndian.Uint16(place)) == partition {
			envelope = rest[:size:size]
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return nil, fault.New(fault.Internal, "bundle has %d bytes behind its %d envelopes", len(rest), n)
	}
	return envelope, nil
}

// bundleChecksum covers the header but for the checksum itself, and the list.
func bundleChecksum(head []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head[:bundleCheckAt], table), table, head[bundleHeader:])
}
