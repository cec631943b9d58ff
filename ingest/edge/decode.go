package edge

import "bytes"

// byteReader gives one byte after the other; the connection's inflow is one.
type byteReader interface {
	ReadByte() (byte, error)
}

// readHeader reads and checks a fixed header. The remaining length has one to four bytes (section 2.2.3); padding it
// with zero digits is unusual but 3.1.1 allows it.
func readHeader(r byteReader) (header, error) {
	first, err := r.ReadByte()
	if err != nil {
		return header{}, err
	}
	h := header{kind: packetType(first >> 4), flags: first & 15}
	if err := h.check(); err != nil {
		return header{}, err
	}
	for shift := 0; shift <= 21; shift += 7 {
		digit, err := r.ReadByte()
		if err != nil {
			return header{}, err
		}
		h.length |= int(digit&127) << shift
		if digit&128 == 0 {
			return h, nil
		}
	}
	return header{}, violation("remaining length of more than four bytes")
}

// decodeConnect decodes the body of a CONNECT (section 3.1).
func decodeConnect(body []byte) (connect, error) {
	f := fields{rest: body}
	c := connect{protocol: string(f.text()), level: f.byte()}
	if f.err != nil {
		return connect{}, f.err
	}
	if c.protocol != "MQTT" && c.protocol != "MQIsdp" { // the latter is MQTT 3.1, which deserves an answer
		return connect{}, violation("CONNECT of another protocol")
	}
	if c.protocol != "MQTT" || c.level != 4 {
		return c, nil
	}
	flags := f.byte()
	c.keepAlive = f.uint16()
	c.clientID = string(f.text())
	if flags&1 != 0 {
		f.fail("reserved flag of CONNECT is set")
	}
	c.cleanSession = flags&2 != 0
	c.will = decodeWill(&f, flags)
	c.hasUser, c.hasPassword = flags&128 != 0, flags&64 != 0
	if c.hasUser {
		c.user = string(f.text())
	}
	if c.hasPassword && !c.hasUser {
		f.fail("CONNECT with a password and no user name")
	}
	if c.hasPassword {
		c.password = bytes.Clone(f.bytes())
	}
	return c, f.end()
}

func decodeWill(f *fields, flags byte) *will {
	qos, retain := flags>>3&3, flags&32 != 0
	if flags&4 == 0 {
		if qos != 0 || retain {
			f.fail("CONNECT without a will has flags of a will")
		}
		return nil
	}
	w := &will{topic: string(f.text()), payload: bytes.Clone(f.bytes()), qos: qos, retain: retain}
	if qos == 3 {
		f.fail("will with QoS 3")
	}
	if f.err == nil && !publishable([]byte(w.topic)) {
		f.fail("will on a topic that is empty, has a wildcard or starts with $")
	}
	return w
}

// publishHead returns how long the head of a PUBLISH is whose body starts with the two given bytes.
func publishHead(h header, length []byte) (int, error) {
	n := 2 + int(length[0])<<8 + int(length[1])
	if h.flags>>1&3 > 0 {
		n += 2
	}
	if n > h.length {
		return 0, violation("PUBLISH ends within its head")
	}
	return n, nil
}

// decodePublish decodes the head of a PUBLISH (section 3.3), which is everything before the payload.
func decodePublish(h header, head []byte) (publish, error) {
	f := fields{rest: head}
	p := publish{dup: h.flags&8 != 0, qos: h.flags >> 1 & 3, retain: h.flags&1 != 0, topic: f.text()}
	if p.qos > 0 {
		p.id = f.packetID()
	}
	if err := f.end(); err != nil {
		return publish{}, err
	}
	if !publishable(p.topic) {
		return publish{}, violation("PUBLISH to a topic that is empty, has a wildcard or starts with $")
	}
	return p, nil
}

// decodeSubscribe decodes the body of a SUBSCRIBE (section 3.8).
func decodeSubscribe(body []byte) (id uint16, filters []subscription, err error) {
	f := fields{rest: body}
	id = f.packetID()
	for first := true; first || len(f.rest) > 0; first = false {
		s := subscription{filter: string(f.text()), qos: f.byte()}
		if f.err == nil && s.qos > 2 {
			f.fail("SUBSCRIBE with a QoS above 2")
		}
		if f.err == nil && !validFilter(s.filter) {
			f.fail("filter that is empty or has a misplaced wildcard")
		}
		filters = append(filters, s)
	}
	if err := f.end(); err != nil {
		return 0, nil, err
	}
	return id, filters, nil
}

// decodeUnsubscribe decodes the body of an UNSUBSCRIBE (section 3.10).
func decodeUnsubscribe(body []byte) (id uint16, filters []string, err error) {
	f := fields{rest: body}
	id = f.packetID()
	for first := true; first || len(f.rest) > 0; first = false {
		filter := string(f.text())
		if f.err == nil && !validFilter(filter) {
			f.fail("filter that is empty or has a misplaced wildcard")
		}
		filters = append(filters, filter)
	}
	if err := f.end(); err != nil {
		return 0, nil, err
	}
	return id, filters, nil
}

// decodeAck decodes the body of a PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK, which is a packet identifier.
func decodeAck(body []byte) (id uint16, err error) {
	f := fields{rest: body}
	id = f.packetID()
	return id, f.end()
}

// decodeEmpty decodes the body of a PINGREQ, PINGRESP or DISCONNECT, which has none.
func decodeEmpty(body []byte) error {
	f := fields{rest: body}
	return f.end()
}
