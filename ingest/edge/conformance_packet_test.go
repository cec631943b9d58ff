package edge

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// These are the tests that the table of statements in docs/wire.md names, for the packets behind a CONNECT.

// devicesFor returns a name of a device for each case, in the order of the cases' names.
func devicesFor[C any](cases map[string]C) map[string]string {
	names := make([]string, 0, len(cases))
	for name := range cases {
		names = append(names, name)
	}
	slices.Sort(names)
	uids := map[string]string{}
	for i, name := range names {
		uids[name] = fmt.Sprintf("case-%d", i)
	}
	return uids
}

func TestAMalformedPacketEndsTheConnectionAndIsNotTaken(t *testing.T) {
	t.Parallel()
	cases := malformedPackets()
	for name, data := range map[string]string{
		"a second CONNECT":          connectBytes("MQTT", 4, 2|64|128, 60, "d1", "d1", secret),
		"a CONNACK, of a server":    "\x20\x02\x00\x00",
		"a SUBACK, of a server":     "\x90\x03\x00\x01\x00",
		"an UNSUBACK, of a server":  "\xb0\x02\x00\x01",
		"a PINGRESP, of a server":   "\xd0\x00",
		"a topic of 65,535 bytes":   "\x30\x81\x80\x04\xff\xff" + strings.Repeat("a", 65535),
		"a topic above our own 1 K": "\x30\x93\x08\x04\x11" + strings.Repeat("a", 0x411),
	} {
		cases[name] = data
	}
	uids := devicesFor(cases)
	h := open(t, Limits{}, &recorder{always: accepted})
	registry := kit(1, "neighbour")
	for _, uid := range uids {
		registry.Devices[uid] = kit(1, uid).Devices[uid]
	}
	h.registry.Store(registry)
	neighbour := h.connect(t, "neighbour")
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		for name, data := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := h.dial(t)
				if data[0]>>4 != byte(typeConnect) || name == "a second CONNECT" {
					d = h.connect(t, uids[name])
				}
				_, _ = io.WriteString(d, data+"\xc0\x00"+publishBehind) // the server may hang up in the middle
				d.closed()
			})
		}
		t.Cleanup(func() {
			h.core.wait(t, 0)
			neighbour.ping()
		})
	})
}

func TestEveryLengthOfTheRemainingLengthIsUnderstood(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{Packet: 4 << 20}, &recorder{always: accepted})
	d := h.connect(t, "d1")
	const topic = "hale/v1/d1/readings"
	head := 2 + len(topic) + 2
	for i, length := range []int{head, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152} {
		d.send(message(topic, 1, uint16(i+1), strings.Repeat("x", length-head)))
		d.expect(ack("PUBACK", i+1))
		if got := h.core.wait(t, i+1)[i]; len(got.Payload) != length-head || got.Oversize != nil {
			t.Errorf("remaining length %d: %d bytes came, oversize %v", length, len(got.Payload), got.Oversize)
		}
	}
	d.write("\xc0\x80\x80\x80\x00") // padded to four bytes
	d.readsBytes("\xd0\x00")
}

func TestATopicIsHandedOnAsItCame(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"a byte order mark in front":       "\ufeffhale/v1/d1/readings",
		"a byte order mark inside":         "hale/v1/d1/\ufeffreadings",
		"a composed letter":                "hale/v1/d1/\u00e4",
		"the same letter, decomposed":      "hale/v1/d1/a\u0308",
		"a character beyond the first 64K": "hale/v1/d1/\U0001fa7a",
		"a character that is none":         "hale/v1/d1/\uffff",
		"a control character":              "hale/v1/d1/\x01",
		"spaces and capitals":              " Hale/V1/D1/Readings ",
		"empty levels":                     "//",
		"one character":                    "a",
	}
	for name, topic := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			d := h.connect(t, "d1")
			d.send(message(topic, 1, 1, "x"))
			d.expect(ack("PUBACK", 1))
			if got := h.core.wait(t, 1)[0]; got.Topic != topic {
				t.Errorf("the topic is %q, want %q", got.Topic, topic)
			}
		})
	}
}

func TestAWebSocketIsNotAnswered(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.dial(t)
	d.write("GET /mqtt HTTP/1.1\r\nHost: hale\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	d.closed()
}
