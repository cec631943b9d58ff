package edge

import (
	"unicode/utf8"
)

// packetType is the high half of a packet's first byte (MQTT 3.1.1, section 2.2.1).
type packetType byte

// The packet types.
const (
	typeConnect     packetType = 1
	typeConnack     packetType = 2
	typePublish     packetType = 3
	typePuback      packetType = 4
	typePubrec      packetType = 5
	typePubrel      packetType = 6
	typePubcomp     packetType = 7
	typeSubscribe   packetType = 8
	typeSuback      packetType = 9
	typeUnsubscribe packetType = 10
	typeUnsuback    packetType = 11
	typePingreq     packetType = 12
	typePingresp    packetType = 13
	typeDisconnect  packetType = 14
)

// violation is a breach of MQTT 3.1.1 by the other side: the connection is closed, as section 4.8 asks.
type violation string

// Error says what was wrong with the packet.
func (v violation) Error() string { return "mqtt: " + string(v) }

// connackCode is the return code of a CONNACK (section 3.2.2.3).
type connackCode byte

// The codes that are sent. 5 is not among them: devices give up on it.
const (
	codeAccepted    connackCode = 0
	codeProtocol    connackCode = 1
	codeIdentifier  connackCode = 2
	codeUnavailable connackCode = 3
	codeCredentials connackCode = 4
)

// subackFailure is the SUBACK code of a filter that is not granted (section 3.9.3).
const subackFailure = 0x80

// header is the fixed header of a packet.
type header struct {
	kind   packetType
	flags  byte
	length int // of what follows the fixed header
}

// connect is a CONNECT packet. When level is not 4 nothing behind it is decoded.
type connect struct {
	protocol     string
	level        byte
	cleanSession bool
	keepAlive    uint16 // seconds
	clientID     string
	will         *will
	hasUser      bool
	user         string
	hasPassword  bool
	password     []byte
}

// will is what a device leaves behind with its CONNECT, to be told when it vanishes.
type will struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
}

// publish is the head of a PUBLISH packet: all of it but the payload.
type publish struct {
	dup    bool
	qos    byte
	retain bool
	topic  []byte // valid only until the next read of the connection
	id     uint16 // zero with QoS 0
}

// subscription is one filter of a SUBSCRIBE packet.
type subscription struct {
	filter string
	qos    byte
}

// check refuses packet types that do not exist and flags that are reserved (sections 2.2.1 and 2.2.2).
func (h header) check() error {
	switch h.kind {
	case typePublish:
		qos := h.flags >> 1 & 3
		if qos == 3 {
			return violation("PUBLISH with QoS 3")
		}
		if qos == 0 && h.flags&8 != 0 {
			return violation("PUBLISH of QoS 0 marked as a duplicate")
		}
		return nil
	case typePubrel, typeSubscribe, typeUnsubscribe:
		if h.flags != 2 {
			return violation("reserved flags are not 0010")
		}
		return nil
	case typeConnect, typeConnack, typePuback, typePubrec, typePubcomp, typeSuback, typeUnsuback,
		typePingreq, typePingresp, typeDisconnect:
		if h.flags != 0 {
			return violation("reserved flags are not 0000")
		}
		return nil
	}
	return violation("unknown packet type")
}

// fields reads the fields of a packet's body one after the other. After the first one that is cut short or not
// well formed, err is set and everything else is empty.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail(v violation) {
	if f.err == nil {
		f.err = v
	}
	f.rest = nil
}

func (f *fields) take(n int) []byte {
	if len(f.rest) < n {
		f.fail("packet ends within a field")
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	b := f.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (f *fields) uint16() uint16 {
	b := f.take(2)
	if b == nil {
		return 0
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

// bytes reads binary data: a length of two bytes, and that many bytes.
func (f *fields) bytes() []byte {
	n := f.uint16()
	return f.take(int(n))
}

// text reads a UTF-8 string; the result points into the packet.
func (f *fields) text() []byte {
	b := f.bytes()
	if f.err == nil && !wellFormed(b) {
		f.fail("text is not well-formed UTF-8 without U+0000")
		return nil
	}
	return b
}

// packetID reads a packet identifier, which is never zero (section 2.3.1).
func (f *fields) packetID() uint16 {
	id := f.uint16()
	if f.err == nil && id == 0 {
		f.fail("packet identifier 0")
	}
	return id
}

// end refuses bytes behind the last field.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) > 0 {
		f.fail("bytes behind the last field")
	}
	return f.err
}

// wellFormed reports whether text is UTF-8 as section 1.5.3 wants it: no surrogates, no U+0000.
func wellFormed(text []byte) bool {
	for _, c := range text {
		if c == 0 {
			return false
		}
	}
	return utf8.Valid(text)
}
