package edge

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
)

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{})
	away := open(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{})
	away.away.Store(true)
	empty := open(t, Limits{}, &recorder{})
	empty.registry.Store(nil)
	for _, one := range []*house{h, away} {
		withRevoked := kit(1, "d1", "d2", "gone")
		withRevoked.Devices["gone"].Revoked = true
		one.registry.Store(withRevoked)
	}
	as := func(f func(*packets.ConnectPacket)) *packets.ConnectPacket {
		p := hello("d1")
		f(p)
		return p
	}
	cases := map[string]struct {
		at   *house
		with *packets.ConnectPacket
		code connackCode
	}{
		"a device with its secret":                   {h, hello("d1"), codeAccepted},
		"a device that asks for a session gets none": {h, as(func(p *packets.ConnectPacket) { p.ClientIdentifier, p.Username, p.CleanSession = "d2", "d2", false }), codeAccepted},
		"MQTT 5":                                {h, as(func(p *packets.ConnectPacket) { p.ProtocolVersion = 5 }), codeProtocol},
		"MQTT 3.1":                              {h, as(func(p *packets.ConnectPacket) { p.ProtocolName, p.ProtocolVersion = "MQIsdp", 3 }), codeProtocol},
		"a client id that is not the user name": {h, as(func(p *packets.ConnectPacket) { p.ClientIdentifier = "d2" }), codeIdentifier},
		"no client id":                          {h, as(func(p *packets.ConnectPacket) { p.ClientIdentifier = "" }), codeIdentifier},
		"no user name":                          {h, as(func(p *packets.ConnectPacket) { p.UsernameFlag, p.PasswordFlag = false, false }), codeCredentials},
		"no secret":                             {h, as(func(p *packets.ConnectPacket) { p.PasswordFlag = false }), codeCredentials},
		"a wrong secret":                        {h, as(func(p *packets.ConnectPacket) { p.Password = []byte("wrong") }), codeCredentials},
		"an unknown device":                     {h, hello("nobody"), codeCredentials},
		"a revoked device":                      {h, hello("gone"), codeCredentials},
		"a known device while the registry is away":              {away, hello("d1"), codeAccepted},
		"an unknown device while the registry is away":           {away, hello("nobody"), codeUnavailable},
		"a wrong secret while the registry is away":              {away, as(func(p *packets.ConnectPacket) { p.Password = []byte("new") }), codeUnavailable},
		"a revoked device while the registry is away":            {away, hello("gone"), codeUnavailable},
		"any device before the registry has been seen for once":  {empty, hello("d1"), codeUnavailable},
		"a wrong client id before the registry has been reached": {empty, as(func(p *packets.ConnectPacket) { p.ClientIdentifier = "d2" }), codeIdentifier},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.at.dial(t)
			// The PUBLISH behind it must not make the answer get lost.
			d.send(c.with, message("hale/v1/d1/readings", 1, 1, "x"))
			d.expect(fmt.Sprintf("CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: %d", c.code))
			if c.code != codeAccepted {
				d.closed()
			}
		})
	}
}

func TestWhoIsNoDeviceIsHungUpOn(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{ConnectWithin: 200 * time.Millisecond}, &recorder{})
	noise := make([]byte, 10_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	noise[0] = 0xff
	cases := map[string]string{
		"garbage":                    string(noise),
		"a web browser":              "GET / HTTP/1.1\r\nHost: hale\r\n\r\n",
		"PINGREQ first":              "\xc0\x00",
		"PUBLISH first":              "\x30\x03\x00\x01a",
		"a CONNECT that is too long": "\x10\x81\x40" + string(make([]byte, 8193)),
		"a CONNECT of a gigabyte":    "\x10\xff\xff\xff\x7f",
		"silence":                    "",
		"a CONNECT that never ends":  "\x10\x20\x00\x04MQTT",
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := h.dial(t)
			if data != "" {
				_, _ = io.WriteString(d, data) // the server may hang up in the middle
			}
			d.closed()
		})
	}
}

func TestABreachOfTheProtocolEndsTheConnectionAndNothingElse(t *testing.T) {
	t.Parallel()
	const long = "\x82\x81\x40"
	cases := map[string]string{
		"a second CONNECT":              "\x10\x00",
		"a packet of the server":        "\x20\x02\x00\x00",
		"type 15":                       "\xf0\x00",
		"a wildcard topic":              "\x30\x05\x00\x03a/#",
		"a $ topic":                     "\x30\x06\x00\x04$SYS",
		"a topic above 1 KiB":           "\x30\xff\x7f\x04\x01" + string(make([]byte, 1100)),
		"a PUBLISH without a head":      "\x30\x01\x00",
		"a SUBSCRIBE that is too long":  long,
		"a packet that stops half-way":  "\x30\x7f\x00\x03a/bcd",
		"a fixed header that stops":     "\x30\x80",
		"a remaining length of 5 bytes": "\xc0\x80\x80\x80\x80\x01",
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{ChunkWithin: 200 * time.Millisecond}, &recorder{always: accepted})
			d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
				p.WillFlag, p.WillTopic, p.WillMessage = true, "hale/v1/d1/status", []byte("gone")
			})
			neighbour := h.connect(t, "d2")
			d.send(message("hale/v1/d1/readings", 1, 1, "x"))
			d.expect(ack("PUBACK", 1))
			_, _ = io.WriteString(d, data)
			d.closed()
			neighbour.ping()
			if got := h.core.wait(t, 2); got[1].Topic != "hale/v1/d1/status" || string(got[1].Payload) != "gone" {
				t.Errorf("the will is %+v", got[1].Message)
			}
		})
	}
}

func TestASilentDeviceIsDisconnected(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) { p.Keepalive = 1 })
	forever := h.connect(t, "d2", func(p *packets.ConnectPacket) { p.Keepalive = 0 })
	began := time.Now()
	d.closed()
	if after := time.Since(began); after < 1400*time.Millisecond || after > 6*time.Second {
		t.Errorf("closed after %v, want one and a half seconds", after)
	}
	forever.ping()
}

func TestWhenAWillIsTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		end  func(h *house, d raw)
		told bool
	}{
		"a connection that breaks": {func(_ *house, d raw) { _ = d.Close() }, true},
		"a goodbye":                {func(_ *house, d raw) { d.send(packets.NewControlPacket(packets.Disconnect)) }, false},
		"another connection":       {func(h *house, d raw) { h.connect(d.t, "d1") }, false},
		"another edge":             {func(h *house, _ raw) { h.told(t, "d1") }, false},
		"a revocation":             {func(h *house, _ raw) { h.registry.Store(kit(2, "d2")) }, false},
		"the end of the server":    {func(h *house, _ raw) { h.stop() }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
				p.WillFlag, p.WillQos, p.WillTopic, p.WillMessage = true, 1, "hale/v1/d1/status", []byte(`{"online":false}`)
			})
			h.mu.Lock()
			one := h.sessions["d1"]
			h.mu.Unlock()
			c.end(h, d)
			eventually(t, "the session is over", func() bool {
				one.mu.Lock()
				defer one.mu.Unlock()
				return one.finished
			})
			if !c.told {
				h.stop()
				if err := <-h.ended; err != nil { // after this nothing can be told any more
					t.Fatal(err)
				}
				h.ended <- nil
				h.core.wait(t, 0)
				return
			}
			got := h.core.wait(t, 1)[0]
			if got.Topic != "hale/v1/d1/status" || string(got.Payload) != `{"online":false}` || got.Device.UID != "d1" {
				t.Errorf("the will is %+v", got.Message)
			}
		})
	}
}

func TestASecondConnectionTakesOver(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	first := h.connect(t, "d1")
	other := h.connect(t, "d2")
	second := h.connect(t, "d1")
	first.closed()
	second.send(message("hale/v1/d1/readings", 1, 1, "x"))
	second.expect(ack("PUBACK", 1))
	other.ping()
}

func TestWhatWasReceivedBeforeATakeOverIsNotLost(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{full: make(chan struct{})})
	first := h.connect(t, "d1")
	for id := 1; id <= 5; id++ {
		first.send(message("hale/v1/d1/readings", 1, uint16(id), fmt.Sprint(id)))
	}
	first.ping()
	h.connect(t, "d1")
	first.closed()
	close(h.core.full)
	for i, m := range h.core.wait(t, 5) {
		if string(m.Payload) != fmt.Sprint(i+1) {
			t.Errorf("message %d is %q", i, m.Payload)
		}
	}
}

func TestAWillIsNotToldWhenTheDeviceIsBackBeforeItCouldBe(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{full: make(chan struct{}), always: accepted})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillTopic, p.WillMessage = true, "hale/v1/d1/status", []byte("gone")
	})
	d.send(message("hale/v1/d1/readings", 1, 1, "x"))
	d.ping()
	h.mu.Lock()
	one := h.sessions["d1"]
	h.mu.Unlock()
	_ = d.Close()
	eventually(t, "the end is noticed", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.ended == causeGone
	})
	h.connect(t, "d1").ping()
	close(h.core.full)
	eventually(t, "the session is over", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.finished
	})
	h.stop()
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	h.ended <- nil
	h.core.wait(t, 1)
}

func TestCredentialsAreWatchedWhileConnected(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(s *devices.Snapshot)
		stays  bool
	}{
		"a revoked device is disconnected":                {func(s *devices.Snapshot) { s.Devices["d1"].Revoked = true }, false},
		"a device with a new secret is disconnected":      {func(s *devices.Snapshot) { s.Devices["d1"].SecretHash[0]++ }, false},
		"a device that is not there any more is too":      {func(s *devices.Snapshot) { delete(s.Devices, "d1") }, false},
		"a device with another grant goes on and has it":  {func(s *devices.Snapshot) { s.Devices["d1"].Own = 99 }, true},
		"a device goes on when only others have changed":  {func(s *devices.Snapshot) { s.Devices["d1"].Own = 99; delete(s.Devices, "d2") }, true},
		"a device with another model and the same secret": {func(s *devices.Snapshot) { s.Devices["d1"].Own, s.Devices["d1"].Model = 99, "m" }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			d := h.connect(t, "d1")
			changed := kit(2, "d1", "d2")
			c.change(changed)
			h.registry.Store(changed)
			if !c.stays {
				d.closed()
				return
			}
			id := 0
			eventually(t, "messages of the device as it is now", func() bool {
				id++
				d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
				d.expect(ack("PUBACK", id))
				return h.core.wait(t, id)[id-1].Device.Own == 99
			})
		})
	}
}

func TestADeviceHearsOnlyItsOwnTopics(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		filter             string
		granted            bool
		receipts, commands bool
	}{
		"its receipts":                    {"hale/v1/d1/receipts", true, true, false},
		"its commands":                    {"hale/v1/d1/commands", true, false, true},
		"all below it":                    {"hale/v1/d1/#", true, true, true},
		"a level below it":                {"hale/v1/d1/+", true, true, true},
		"another device's receipts":       {"hale/v1/d2/receipts", false, false, false},
		"another device, by a wildcard":   {"hale/v1/+/receipts", false, false, false},
		"everything":                      {"#", false, false, false},
		"everything of this version":      {"hale/v1/#", false, false, false},
		"its own readings":                {"hale/v1/d1/readings", false, false, false},
		"a device whose name starts so":   {"hale/v1/d11/receipts", false, false, false},
		"the server's own state":          {"$SYS/#", false, false, false},
		"a shared subscription of its":    {"$share/g/hale/v1/d1/receipts", false, false, false},
		"its receipts with a slash after": {"hale/v1/d1/receipts/", false, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			d := h.connect(t, "d1")
			d.subscribe(1, "hale/v1/d2/commands", c.filter)
			got, ok := d.receive().(*packets.SubackPacket)
			want := []byte{0x80, 0x80}
			if c.granted {
				want[1] = 0
			}
			if !ok || string(got.ReturnCodes) != string(want) {
				t.Fatalf("answer %v, want codes %x", got, want)
			}
			if h.Deliver("d1", Receipts, []byte("r")) != c.receipts || h.Deliver("d1", Commands, []byte("c")) != c.commands {
				t.Errorf("delivery is not as subscribed")
			}
			if h.Deliver("d2", Commands, []byte("c")) {
				t.Errorf("delivered to a device that is not connected")
			}
			if c.receipts {
				d.expect("PUBLISH: dup: false qos: 0 retain: false rLength: 22 topicName: hale/v1/d1/receipts MessageID: 0 payload: r")
			}
			if c.commands {
				d.expect("PUBLISH: dup: false qos: 0 retain: false rLength: 22 topicName: hale/v1/d1/commands MessageID: 0 payload: c")
			}
			leave := blank[*packets.UnsubscribePacket](packets.Unsubscribe)
			leave.MessageID, leave.Topics = 2, []string{c.filter}
			d.send(leave)
			d.expect(ack("UNSUBACK", 2))
			if h.Deliver("d1", Receipts, nil) || h.Deliver("d1", Commands, nil) {
				t.Error("delivered after UNSUBSCRIBE")
			}
		})
	}
}

func TestAnotherDevicesTopicIsForTheCoreToRefuse(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.connect(t, "d1")
	d.send(message("hale/v1/d2/readings", 1, 1, "x"))
	d.expect(ack("PUBACK", 1))
	if got := h.core.wait(t, 1)[0]; got.Topic != "hale/v1/d2/readings" || got.Device.UID != "d1" {
		t.Errorf("the core was handed %+v", got.Message)
	}
}

func TestTheServerDrainsWhenItStops(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d, idle := h.connect(t, "d1"), h.connect(t, "d2")
	half := h.dial(t)
	half.write("\x10\x20")
	for id := 1; id <= 3; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
	}
	got := h.core.wait(t, 3)
	h.stop()
	idle.closed()
	half.closed()
	if h.Ready() {
		t.Error("it says that it is ready")
	}
	var dialer net.Dialer
	if conn, err := dialer.DialContext(t.Context(), "tcp", h.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("it still accepts connections")
	}
	d.send(message("hale/v1/d1/readings", 1, 4, "too late"))
	for _, m := range got {
		m.done(ingest.Receipt{})
	}
	d.expect(ack("PUBACK", 1), ack("PUBACK", 2), ack("PUBACK", 3))
	d.closed()
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	h.ended <- nil
	h.core.wait(t, 3)
}

func TestADrainIsBounded(t *testing.T) {
	t.Parallel()
	cases := map[string]*recorder{
		"with messages that never become durable": {},
		"with a core that has no room":            {full: make(chan struct{})},
	}
	for name, core := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{DrainWithin: 50 * time.Millisecond, Window: 2, ReadAhead: 1}, core)
			d := h.connect(t, "d1")
			for id := 1; id <= 10; id++ {
				d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
			}
			if core.full == nil {
				core.wait(t, 2)
			}
			h.stop()
			d.closed()
			if err := <-h.ended; err != nil {
				t.Error(err)
			}
			h.ended <- nil
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{Connections: 2}, &recorder{})
	first, second := h.connect(t, "d1"), h.connect(t, "d2")
	h.dial(t).closed()
	first.ping()
	second.ping()
	_ = first.Close()
	eventually(t, "room for another", func() bool { return h.open.Load() == 1 })
	h.connect(t, "d3")
}

func TestStartingAServer(t *testing.T) {
	t.Parallel()
	snapshot := func() (*devices.Snapshot, bool) { return kit(1), true }
	var listenConfig net.ListenConfig
	t.Run("an address that is taken is unavailable", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{})
		s := New(Config{Addr: h.Addr().String(), Snapshot: snapshot, Core: &recorder{}})
		if err := s.Run(context.Background()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("error %v, want unavailable", err)
		}
		if s.Addr() != nil || s.Ready() {
			t.Error("it says that it listens")
		}
	})
	t.Run("a given listener is used", func(t *testing.T) {
		t.Parallel()
		l, err := listenConfig.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewPedanticRegistry()
		s := New(Config{Listeners: []Listener{{Listener: l}}, Snapshot: snapshot, Core: &recorder{}, Registerer: registry})
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		eventually(t, "ready", s.Ready)
		if s.Addr() != l.Addr() {
			t.Errorf("address %v, want %v", s.Addr(), l.Addr())
		}
		families, err := registry.Gather()
		if err != nil || len(families) < 4 {
			t.Errorf("%d metrics are shown, %v", len(families), err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("a listener that breaks is an error", func(t *testing.T) {
		t.Parallel()
		l, err := listenConfig.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Listeners: []Listener{{Listener: l}}, Snapshot: snapshot, Core: &recorder{}})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(context.Background()) }()
		eventually(t, "ready", s.Ready)
		_ = l.Close()
		if err := <-ended; !fault.Is(err, fault.Unavailable) {
			t.Errorf("error %v, want unavailable", err)
		}
	})
}
