package edge

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// These are the tests that the table of statements in docs/wire.md names, for CONNECT and CONNACK. They speak byte by
// byte over a socket, so that they can be wrong in ways that no client is.

// connectBytes builds a CONNECT whose fields have any order, number and content.
func connectBytes(protocol string, level, flags byte, keepAlive uint16, texts ...string) string {
	body := lengthPrefixed(protocol) + string([]byte{level, flags, byte(keepAlive >> 8), byte(keepAlive)})
	for _, f := range texts {
		body += lengthPrefixed(f)
	}
	return string(appendHeader(nil, typeConnect, 0, len(body))) + body
}

func lengthPrefixed(text string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(text)))) + text
}

// readsBytes reads as many bytes as it wants and compares them.
func (r raw) readsBytes(want string) {
	r.t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.Conn, got); err != nil || string(got) != want {
		r.t.Fatalf("received %x, %v; want %x", got, err, want)
	}
}

const publishBehind = "\x32\x18\x00\x13hale/v1/d1/readings\x00\x09x" // QoS 1, packet id 9

func TestAConnectThatBreaksTheStandardGetsNoAnswer(t *testing.T) {
	t.Parallel()
	const (
		clean, withWill, willQoS1, willQoS3, willRetain, withPassword, withUser = 2, 4, 8, 24, 32, 64, 128
		signedIn                                                                = clean | withUser | withPassword
	)
	mqtt := func(flags byte, texts ...string) string { return connectBytes("MQTT", 4, flags, 60, texts...) }
	cases := map[string]string{
		"the name of another protocol":                 connectBytes("AMQP", 4, signedIn, 60, "d1", "d1", secret),
		"the protocol's name in small letters":         connectBytes("mqtt", 4, signedIn, 60, "d1", "d1", secret),
		"no protocol name":                             connectBytes("", 4, signedIn, 60, "d1", "d1", secret),
		"a protocol name that is not UTF-8":            connectBytes("MQT\xff", 4, signedIn, 60, "d1", "d1", secret),
		"the reserved flag":                            mqtt(signedIn|1, "d1", "d1", secret),
		"flags in the fixed header":                    "\x12" + mqtt(signedIn, "d1", "d1", secret)[1:],
		"no client id":                                 mqtt(clean),
		"a client id that is not UTF-8":                mqtt(signedIn, "d\xff", "d\xff", secret),
		"a client id with U+0000":                      mqtt(signedIn, "d\x00", "d\x00", secret),
		"a client id with a surrogate":                 mqtt(signedIn, "d\xed\xa0\x80", "d\xed\xa0\x80", secret),
		"a client id of an overlong form":              mqtt(signedIn, "d\xc0\xb1", "d\xc0\xb1", secret),
		"a will flag without a topic":                  mqtt(clean|withWill, "d1"),
		"a will flag without a message":                mqtt(clean|withWill, "d1", "hale/v1/d1/status"),
		"a will without its flag":                      mqtt(signedIn, "d1", "hale/v1/d1/status", "gone", "d1", secret),
		"a QoS of a will that is not there":            mqtt(signedIn|willQoS1, "d1", "d1", secret),
		"a retain flag of a will that is not there":    mqtt(signedIn|willRetain, "d1", "d1", secret),
		"a will of QoS 3":                              mqtt(signedIn|withWill|willQoS3, "d1", "hale/v1/d1/status", "gone", "d1", secret),
		"a will topic that is not UTF-8":               mqtt(signedIn|withWill, "d1", "hale/\xff", "gone", "d1", secret),
		"a will topic with a wildcard":                 mqtt(signedIn|withWill, "d1", "hale/v1/d1/#", "gone", "d1", secret),
		"a will topic of no length":                    mqtt(signedIn|withWill, "d1", "", "gone", "d1", secret),
		"a user name without its flag":                 mqtt(clean, "d1", "d1"),
		"a user name flag without a user name":         mqtt(clean|withUser, "d1"),
		"a user name that is not UTF-8":                mqtt(signedIn, "d1", "d\xff", secret),
		"a password without its flag":                  mqtt(clean|withUser, "d1", "d1", secret),
		"a password flag without a password":           mqtt(signedIn, "d1", "d1"),
		"a password flag without the user name's flag": mqtt(clean|withPassword, "d1", secret),
		"bytes behind the last field":                  mqtt(signedIn, "d1", "d1", secret, ""),
	}
	h := open(t, Limits{}, &recorder{always: accepted})
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		for name, data := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := h.dial(t)
				_, _ = io.WriteString(d, data+publishBehind) // the server may hang up in the middle
				d.closed()
			})
		}
		t.Cleanup(func() { h.core.wait(t, 0) }) // of what came behind nothing was taken
	})
}

func TestAConnectThatIsRefusedIsToldWhyAndNothingBehindItIsTaken(t *testing.T) {
	t.Parallel()
	const clean, withUser, signedIn = 2, 128, 2 | 64 | 128
	cases := map[string]struct {
		with string
		code connackCode
	}{
		"MQTT 3.1":                                  {connectBytes("MQIsdp", 3, signedIn, 60, "d1", "d1", secret), codeProtocol},
		"MQTT 5":                                    {connectBytes("MQTT", 5, signedIn, 60, "", "d1", "d1", secret), codeProtocol},
		"MQTT with level 0":                         {connectBytes("MQTT", 0, signedIn, 60, "d1", "d1", secret), codeProtocol},
		"MQTT with level 3":                         {connectBytes("MQTT", 3, signedIn, 60, "d1", "d1", secret), codeProtocol},
		"a broker that bridges, by its level":       {connectBytes("MQTT", 0x84, signedIn, 60, "d1", "d1", secret), codeProtocol},
		"a level that comes with wrong flags":       {connectBytes("MQTT", 9, 0xff, 60), codeProtocol},
		"an empty client id and a session":          {connectBytes("MQTT", 4, 0, 60, ""), codeIdentifier},
		"an empty client id and no session":         {connectBytes("MQTT", 4, clean, 60, ""), codeIdentifier},
		"an empty client id and an empty user name": {connectBytes("MQTT", 4, clean|withUser, 60, "", ""), codeIdentifier},
		"an empty client id of a device":            {connectBytes("MQTT", 4, signedIn, 60, "", "d1", secret), codeIdentifier},
		"a client id that is not the user name":     {connectBytes("MQTT", 4, signedIn, 60, "d2", "d1", secret), codeIdentifier},
		"a wrong secret":                            {connectBytes("MQTT", 4, signedIn, 60, "d1", "d1", secret+"x"), codeCredentials},
		"an empty secret":                           {connectBytes("MQTT", 4, signedIn, 60, "d1", "d1", ""), codeCredentials},
		"no user name":                              {connectBytes("MQTT", 4, clean, 60, "d1"), codeCredentials},
		"a user name and no secret":                 {connectBytes("MQTT", 4, clean|withUser, 60, "d1", "d1"), codeCredentials},
		"a device that nobody knows":                {connectBytes("MQTT", 4, signedIn, 60, "d9", "d9", secret), codeCredentials},
	}
	h := open(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{always: accepted})
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := h.dial(t)
				d.write(c.with + publishBehind)
				d.readsBytes("\x20\x02\x00" + string([]byte{byte(c.code)})) // session present is 0
				d.closed()
			})
		}
		t.Cleanup(func() { h.core.wait(t, 0) })
	})
}

func TestAConnectThatIsGoodIsAccepted(t *testing.T) {
	t.Parallel()
	const signedIn, clean, withWill = 64 | 128, 2, 4
	longest := strings.Repeat("Z", 64)
	cases := map[string]struct {
		uid  string
		with func(uid string) string
	}{
		"a client id of one character": {"a", func(uid string) string { return connectBytes("MQTT", 4, signedIn|clean, 60, uid, uid, secret) }},
		"a client id of 23 characters": {"0123456789abcXYZ9876543", func(uid string) string { return connectBytes("MQTT", 4, signedIn|clean, 60, uid, uid, secret) }},
		"a client id of 64 characters": {longest, func(uid string) string { return connectBytes("MQTT", 4, signedIn|clean, 60, uid, uid, secret) }},
		"a session that is asked for":  {"s1", func(uid string) string { return connectBytes("MQTT", 4, signedIn, 60, uid, uid, secret) }},
		"no keep-alive":                {"k1", func(uid string) string { return connectBytes("MQTT", 4, signedIn|clean, 0, uid, uid, secret) }},
		"the longest keep-alive":       {"k2", func(uid string) string { return connectBytes("MQTT", 4, signedIn|clean, 65535, uid, uid, secret) }},
		"a will of no length": {"w1", func(uid string) string {
			return connectBytes("MQTT", 4, signedIn|clean|withWill, 60, uid, "hale/v1/w1/status", "", uid, secret)
		}},
		"a will that is not text": {"w2", func(uid string) string {
			return connectBytes("MQTT", 4, signedIn|clean|withWill, 60, uid, "hale/v1/w2/status", "\x00\xff", uid, secret)
		}},
	}
	h := open(t, Limits{}, &recorder{always: accepted})
	var uids []string
	for _, c := range cases {
		uids = append(uids, c.uid)
	}
	h.registry.Store(kit(1, uids...))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := h.dial(t)
			d.write(c.with(c.uid))
			d.readsBytes("\x20\x02\x00\x00")
			d.ping()
		})
	}
}

func TestPacketsComeInAnyPieces(t *testing.T) {
	t.Parallel()
	stream := connectBytes("MQTT", 4, 2|64|128, 60, "d1", "d1", secret) + publishBehind + "\xc0\x00"
	cases := map[string]int{"byte by byte": 1, "in pieces of seven bytes": 7, "all at once, before the answer": len(stream)}
	for name, size := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			d := h.dial(t)
			for rest := stream; rest != ""; rest = rest[min(size, len(rest)):] {
				d.write(rest[:min(size, len(rest))])
			}
			d.expect("CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0")
			// The PINGRESP may come before the PUBACK: the message has to become durable.
			got := d.receive().String() + d.receive().String()
			if !strings.Contains(got, ack("PUBACK", 9)) || !strings.Contains(got, "PINGRESP") {
				t.Errorf("received %s", got)
			}
			if m := h.core.wait(t, 1)[0]; m.Topic != "hale/v1/d1/readings" || string(m.Payload) != "x" {
				t.Errorf("the core was handed %+v", m.Message)
			}
		})
	}
}

func TestTheFieldsOfAConnectAreTakenInTheirOrder(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.dial(t)
	d.write(connectBytes("MQTT", 4, 2|4|64|128, 60, "d1", "hale/v1/d1/status", "gone", "d1", secret))
	d.readsBytes("\x20\x02\x00\x00")
	_ = d.Close()
	if m := h.core.wait(t, 1)[0]; m.Device.UID != "d1" || m.Topic != "hale/v1/d1/status" || string(m.Payload) != "gone" {
		t.Errorf("the will is %+v", m.Message)
	}
	wrong := h.dial(t)
	wrong.write(connectBytes("MQTT", 4, 2|4|64|128, 60, "d1", "d1", secret, "hale/v1/d1/status", "gone"))
	wrong.readsBytes("\x20\x02\x00\x02") // the will's topic stands where the user name belongs
	wrong.closed()
}

func TestNothingOfASessionOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean session %t", clean), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			asked := func(p *packets.ConnectPacket) { p.CleanSession = clean }
			d := h.connect(t, "d1", asked) // this expects that session present is 0
			d.subscribe(1, "hale/v1/d1/#")
			d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")
			d.send(message("hale/v1/d1/readings", 1, 7, "x"), message("hale/v1/d1/readings", 2, 8, "y"))
			left := h.core.wait(t, 2) // and not durable yet
			if !h.Deliver("d1", Commands, []byte("c")) {
				t.Fatal("the subscription does not last as long as its connection")
			}
			d.expect("PUBLISH: dup: false qos: 0 retain: false rLength: 22 topicName: hale/v1/d1/commands MessageID: 0 payload: c")
			d.send(packets.NewControlPacket(packets.Disconnect))
			d.closed()
			if h.Deliver("d1", Commands, []byte("kept?")) {
				t.Error("something was taken for a device that is away")
			}

			again := h.connect(t, "d1", asked)
			for _, m := range left { // what the first connection sent is not acknowledged on the second
				m.done(accepted(m.Message))
			}
			again.ping()
			if h.Deliver("d1", Commands, nil) || h.Deliver("d1", Receipts, nil) {
				t.Error("a subscription of the last connection is still there")
			}
			release := blank[*packets.PubrelPacket](packets.Pubrel)
			release.MessageID = 8
			again.send(message("hale/v1/d1/readings", 1, 7, "z"), release) // packet ids are new, and a PUBREL is answered
			again.expect(ack("PUBCOMP", 8))
			h.core.wait(t, 3)[2].done(accepted(left[0].Message))
			again.expect(ack("PUBACK", 7))
		})
	}
}

func TestAWillIsToldOnceAndKeptNowhere(t *testing.T) {
	t.Parallel()
	for qos := range byte(3) {
		for _, retain := range []bool{false, true} {
			t.Run(fmt.Sprintf("QoS %d, retain %t", qos, retain), func(t *testing.T) {
				t.Parallel()
				h := open(t, Limits{}, &recorder{always: accepted})
				d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
					p.WillFlag, p.WillQos, p.WillRetain = true, qos, retain
					p.WillTopic, p.WillMessage = "hale/v1/d1/commands", []byte("gone")
				})
				_ = d.Close()
				if got := h.core.wait(t, 1)[0]; got.Topic != "hale/v1/d1/commands" || string(got.Payload) != "gone" {
					t.Fatalf("the will is %+v", got.Message)
				}
				again := h.connect(t, "d1")
				again.subscribe(1, "hale/v1/d1/#")
				again.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")
				again.ping() // no retained will came before it
				_ = again.Close()
				h.stop()
				if err := <-h.ended; err != nil {
					t.Fatal(err)
				}
				h.ended <- nil
				h.core.wait(t, 1) // the second connection had no will of its own, and the first one's was told
			})
		}
	}
}

func TestAnyPacketKeepsAConnectionAliveAndSilenceIsAFailure(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
		p.Keepalive, p.WillFlag, p.WillTopic, p.WillMessage = 1, true, "hale/v1/d1/status", []byte("gone")
	})
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	const n = 6 // longer together than one and a half times the keep-alive
	for id := 1; id <= n; id++ {
		<-ticker.C
		if id%2 == 0 {
			d.ping()
			continue
		}
		d.send(message("hale/v1/d1/readings", 0, 0, "x"))
	}
	d.ping()
	h.core.wait(t, n/2)
	d.closed()
	if got := h.core.wait(t, n/2+1)[n/2]; string(got.Payload) != "gone" {
		t.Errorf("the will is %+v", got.Message)
	}
}

func TestSilenceIsBorneForOneAndAHalfTimesTheKeepAlive(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[uint16]time.Duration{
		0: 0, 1: 1500 * time.Millisecond, 60: 90 * time.Second, 65535: 98302500 * time.Millisecond,
	} {
		t.Run(fmt.Sprintf("a keep-alive of %d seconds", seconds), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			h.connect(t, "d1", func(p *packets.ConnectPacket) { p.Keepalive = seconds }).ping()
			h.mu.Lock()
			defer h.mu.Unlock()
			if got := h.sessions["d1"].keepAlive; got != want {
				t.Errorf("silence ends the connection after %v, want %v", got, want)
			}
		})
	}
}
