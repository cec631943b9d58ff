package edge

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// stricter lists, by the words of the violation, what the edge refuses although paho's decoder takes it: paho checks
// little of what it receives, since a client trusts its server. Each has the statement of the standard that asks for the
// refusal and one of malformedPackets that shows the difference.
func stricter() map[violation]struct{ statement, example string } {
	return map[violation]struct{ statement, example string }{
		"PUBLISH with QoS 3":                                                {"3.3.1-4", "a PUBLISH of QoS 3"},
		"PUBLISH of QoS 0 marked as a duplicate":                            {"3.3.1-2", "a duplicate of QoS 0"},
		"reserved flags are not 0010":                                       {"2.2.2-2", "a PUBREL without its flag"},
		"reserved flags are not 0000":                                       {"2.2.2-2", "a PINGREQ with a flag"},
		"remaining length of more than four bytes":                          {"section 2.2.3", "a remaining length of five bytes"},
		"packet ends within a field":                                        {"3.10.3-2", "an UNSUBSCRIBE without filters"},
		"text is not well-formed UTF-8 without U+0000":                      {"1.5.3-1", "a topic that is not UTF-8"},
		"packet identifier 0":                                               {"2.3.1-1", "a PUBLISH of packet id 0"},
		"bytes behind the last field":                                       {"4.8.0-1", "a PUBACK that is too long"},
		"CONNECT of another protocol":                                       {"3.1.2-1", "a CONNECT of another protocol"},
		"reserved flag of CONNECT is set":                                   {"3.1.2-3", "a CONNECT with the reserved flag"},
		"CONNECT with a password and no user name":                          {"3.1.2-22", "a CONNECT with a password alone"},
		"CONNECT without a will has flags of a will":                        {"3.1.2-11", "a CONNECT with QoS of no will"},
		"will with QoS 3":                                                   {"3.1.2-14", "a CONNECT with a will of QoS 3"},
		"will on a topic that is empty, has a wildcard or starts with $":    {"4.7.1-1", "a CONNECT with a will on a wildcard"},
		"PUBLISH to a topic that is empty, has a wildcard or starts with $": {"3.3.2-2", "a PUBLISH to a wildcard"},
		"SUBSCRIBE with a QoS above 2":                                      {"3.8.3-4", "a SUBSCRIBE with QoS 3"},
		"filter that is empty or has a misplaced wildcard":                  {"4.7.1-2", "a SUBSCRIBE with # in the middle"},
	}
}

// claimed returns the remaining length that a packet claims, in its first four bytes of it.
func claimed(data []byte) int {
	n := 0
	for i := 1; i < len(data) && i <= 4; i++ {
		n |= int(data[i]&127) << (7 * (i - 1))
		if data[i]&128 == 0 {
			break
		}
	}
	return n
}

// differ says what is wrong when the edge and paho make different things of the same bytes: what the edge takes paho
// must take too and read alike, and what it refuses paho may take only for a reason that is listed.
func differ(data []byte) error {
	ours, rest, err := decodeOurs(data)
	if claimed(data) > len(data) {
		if err == nil {
			return fmt.Errorf("%x: more is claimed than came, and it was taken", data)
		}
		return nil // paho would set aside what is claimed, up to 256 MiB
	}
	theirs, refused := decodePaho(data[:len(data)-len(rest)])
	var why violation
	switch {
	case err == nil && ours.Connect != nil && (ours.Connect.ProtocolName != "MQTT" || ours.Connect.ProtocolVersion != 4):
		return nil // nothing behind the level is read: it is another version's
	case err == nil && refused != nil:
		return fmt.Errorf("%x: we take it, paho says %w", data, refused)
	case err == nil:
		if diff := sameAsPaho(ours, theirs); diff != "" {
			return fmt.Errorf("%x (-paho +ours):\n%s", data, diff)
		}
	case errors.As(err, &why) && refused == nil:
		if _, listed := stricter()[why]; !listed {
			return fmt.Errorf("%x: paho takes it, and no reason is listed for %w", data, err)
		}
	case refused == nil && !errors.Is(err, errOnlySent):
		return fmt.Errorf("%x: paho takes it, we say %w", data, err)
	}
	return nil
}

func TestWhereTheEdgeIsStricterThanPaho(t *testing.T) {
	t.Parallel()
	examples := malformedPackets()
	for why, c := range stricter() {
		t.Run(string(why), func(t *testing.T) {
			t.Parallel()
			data, there := examples[c.example]
			if !there {
				t.Fatalf("no packet %q", c.example)
			}
			var got violation
			if _, _, err := decodeOurs([]byte(data)); !errors.As(err, &got) || got != why {
				t.Errorf("we say %v, want %q [%s]", err, why, c.statement)
			}
			if _, err := decodePaho([]byte(data)); err != nil {
				t.Errorf("paho refuses it too (%v): this is no difference", err)
			}
		})
	}
}

func TestMutatedPacketsMeanTheSameToPahoOrTheReasonIsListed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := encodePaho(t, anyPacket(t))
		for range rapid.IntRange(1, 3).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
			switch rapid.SampledFrom([]string{"set", "flip", "insert", "remove", "cut", "length"}).Draw(t, "how") {
			case "set":
				data[at] = rapid.Byte().Draw(t, "value")
			case "flip":
				data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			case "insert":
				data = append(data[:at:at], append([]byte{rapid.Byte().Draw(t, "value")}, data[at:]...)...)
			case "remove":
				data = append(data[:at:at], data[at+1:]...)
			case "cut":
				data = data[:at+1]
			case "length": // of the packet as it is now, so that its fields no longer fit
				if len(data) > 1 {
					data[1] = byte(min(127, len(data)-2))
				}
			}
			if len(data) == 0 {
				return
			}
		}
		if err := differ(data); err != nil {
			t.Fatal(err)
		}
	})
}

// seeds gives a fuzz target lawful packets of one kind, or of all with kind 0, and the malformed ones of that kind: whole,
// or their bodies alone.
func seeds(f *testing.F, kind packetType, add func(first byte, body []byte)) {
	f.Helper()
	packet := func(data []byte) {
		if kind != 0 && packetType(data[0]>>4) != kind {
			return
		}
		r := bytes.NewReader(data[1:])
		for b, err := r.ReadByte(); err == nil && b&128 != 0; b, err = r.ReadByte() {
		}
		add(data[0], data[len(data)-r.Len():])
	}
	for seed := range 150 {
		packet(encodePaho(f, rapid.Custom(anyPacket).Example(seed)))
	}
	for _, data := range malformedPackets() {
		packet([]byte(data))
	}
}

// framed puts a fixed header before a body, as a sender would.
func framed(first byte, body []byte) []byte {
	return append(appendHeader(nil, packetType(first>>4), first&15, len(body)), body...)
}

// FuzzDecode takes anything for a packet.
func FuzzDecode(f *testing.F) {
	seeds(f, 0, func(first byte, body []byte) { f.Add(framed(first, body)) })
	for _, data := range malformedPackets() {
		f.Add([]byte(data))
	}
	f.Add([]byte{0xc0, 0x80, 0x80, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		if err := differ(data); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzBodies takes anything for the body of a packet of one kind.
func fuzzBodies(f *testing.F, kind packetType, flags byte) {
	f.Helper()
	seeds(f, kind, func(_ byte, body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := differ(framed(byte(kind)<<4|flags, body)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzConnect(f *testing.F)     { fuzzBodies(f, typeConnect, 0) }
func FuzzSubscribe(f *testing.F)   { fuzzBodies(f, typeSubscribe, 2) }
func FuzzUnsubscribe(f *testing.F) { fuzzBodies(f, typeUnsubscribe, 2) }
func FuzzAck(f *testing.F)         { fuzzBodies(f, typePubrel, 2) }

// FuzzPublish takes anything for the flags and the body of a PUBLISH.
func FuzzPublish(f *testing.F) {
	seeds(f, typePublish, func(first byte, body []byte) { f.Add(first, body) })
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		if err := differ(framed(byte(typePublish)<<4|flags&15, body)); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzHeader takes anything for a fixed header: what is taken is written again as it is, save for padding, and neither
// reading nor writing goes past the four bytes of the length.
func FuzzHeader(f *testing.F) {
	seeds(f, 0, func(first byte, body []byte) { f.Add(framed(first, body)) })
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0xc0, 0x80, 0x80, 0x80, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		h, err := readHeader(r)
		read := len(data) - r.Len()
		if read > 5 || h.length < 0 || h.length > 268_435_455 {
			t.Fatalf("%x: %d bytes were read, length %d", data, read, h.length)
		}
		if err != nil {
			return
		}
		written := appendHeader(nil, h.kind, h.flags, h.length)
		again, err := readHeader(bytes.NewReader(written))
		if err != nil || again != h || len(written) > read {
			t.Fatalf("%x: %+v was written as %x and read as %+v, %v", data[:read], h, written, again, err)
		}
	})
}

// FuzzFilter takes anything for a filter of a device, and asks what it could hear by it.
func FuzzFilter(f *testing.F) {
	for _, filter := range []string{
		"hale/v1/d1/receipts", "hale/v1/d1/commands", "hale/v1/d1/#", "hale/v1/d1/+", "hale/v1/d1/##", "hale/v1/+/receipts",
		"hale/v1/d1", "hale/v1/d1/", "#", "+", "+/+/d1/#", "$share/g/hale/v1/d1/#", "hale/v1/d11/#", "hale/v1/d1/receipts/#", "\x00", "\xff",
	} {
		f.Add(filter)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		var s subscriptions
		slot := s.slot("d1", filter)
		if slot == nil {
			return
		}
		*slot = true
		if !validFilter(filter) || !wellFormed([]byte(filter)) {
			t.Fatalf("%q is granted and is no filter", filter)
		}
		for _, kind := range []Kind{Receipts, Commands} {
			if s.wants(kind) != matches(filter, downTopic("d1", kind)) {
				t.Errorf("%q: %s is wanted: %t, and matches: %t", filter, kind, s.wants(kind), !s.wants(kind))
			}
			if matches(filter, downTopic("d2", kind)) || matches(filter, downTopic("d11", kind)) {
				t.Errorf("%q is granted and matches another device's %s", filter, kind)
			}
		}
	})
}

// matches is section 4.7 in its plainest form.
func matches(filter, topic string) bool {
	f, t := bytes.Split([]byte(filter), []byte("/")), bytes.Split([]byte(topic), []byte("/"))
	for i, level := range f {
		if string(level) == "#" {
			return true
		}
		if i >= len(t) || (string(level) != "+" && !bytes.Equal(level, t[i])) {
			return false
		}
	}
	return len(f) == len(t)
}
