package edge

import "encoding/binary"

// appendHeader appends a fixed header.
func appendHeader(dst []byte, kind packetType, flags byte, length int) []byte {
	dst = append(dst, byte(kind)<<4|flags)
	for length > 127 {
		dst = append(dst, byte(length)|128)
		length >>= 7
	}
	return append(dst, byte(length))
}

// appendConnack appends a CONNACK. Session present is always 0: the edge keeps no session, what must not be lost is
// in the record.
func appendConnack(dst []byte, code connackCode) []byte {
	return append(appendHeader(dst, typeConnack, 0, 2), 0, byte(code))
}

// appendAck appends a PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK.
func appendAck(dst []byte, kind packetType, id uint16) []byte {
	flags := byte(0)
	if kind == typePubrel {
		flags = 2
	}
	return binary.BigEndian.AppendUint16(appendHeader(dst, kind, flags, 2), id)
}

// appendSuback appends a SUBACK with one code for each filter.
func appendSuback(dst []byte, id uint16, codes []byte) []byte {
	dst = appendHeader(dst, typeSuback, 0, 2+len(codes))
	return append(binary.BigEndian.AppendUint16(dst, id), codes...)
}

// appendPingresp appends a PINGRESP.
func appendPingresp(dst []byte) []byte { return appendHeader(dst, typePingresp, 0, 0) }

// appendPublish appends a PUBLISH of QoS 0. The topic is one of ours and shorter than 64 KiB.
func appendPublish(dst []byte, topic string, payload []byte) []byte {
	dst = appendHeader(dst, typePublish, 0, 2+len(topic)+len(payload))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	return append(append(dst, topic...), payload...)
}
