package edge

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gate is a porch whose askings the test ends.
type gate struct {
	*porch
	at      time.Time
	asked   []*arrival
	refused map[string]int
}

func newGate(limits Limits) *gate {
	g := &gate{at: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), refused: map[string]int{}}
	g.porch = newPorch(limits.withDefaults(), func() time.Time { return g.at })
	g.ask = func(a *arrival) { g.asked = append(g.asked, a) }
	g.refuse = func(_ *arrival, why string) { g.refused[why]++ }
	return g
}

func (g *gate) come(from string, n int) {
	for range n {
		g.arrive(&arrival{from: netip.MustParsePrefix(from), since: g.at})
	}
}

// names returns from where those come who were asked, and forgets it.
func (g *gate) names() (list []string) {
	for _, a := range g.asked {
		list = append(list, a.from.Addr().String())
	}
	g.asked = nil
	return list
}

const (
	here  = "192.0.2.1/32"
	there = "192.0.2.2/32"
)

func TestAddressesTakeTurnsOnThePorch(t *testing.T) {
	t.Parallel()
	g := newGate(Limits{Handshakes: 2, AddressHandshakes: 2, Waiting: 20})
	g.come(here, 8)
	g.come(there, 2)
	if got := fmt.Sprint(g.names()); got != "[192.0.2.1 192.0.2.1]" || g.waiting != 8 {
		t.Fatalf("asked %s, %d wait", got, g.waiting)
	}
	order := ""
	for range 8 {
		g.left(netip.MustParsePrefix(here))
		for _, n := range g.names() {
			order += n[len(n)-1:]
		}
	}
	if order != "12121111" && order != "21211111" {
		t.Errorf("asked in the order %s, want in turn", order)
	}
}

func TestOneAddressHasItsShareOnly(t *testing.T) {
	t.Parallel()
	g := newGate(Limits{Handshakes: 4, Waiting: 10})
	g.come(here, 20)
	if n := len(g.names()); n != 2 || g.refused["full"] != 20-2-5 {
		t.Fatalf("%d are asked and %v refused, want 2 asked and 5 in line", n, g.refused)
	}
	g.come(there, 2)
	if n := len(g.names()); n != 2 {
		t.Fatalf("%d of the other address are asked", n)
	}
	g.come(there, 5)
	g.come("192.0.2.3/32", 1)
	if n := len(g.names()); n != 0 || g.waiting != 10 || g.refused["full"] != 14 {
		t.Errorf("%d are asked, %d wait, %v refused", n, g.waiting, g.refused)
	}
}

func TestTwoAddressesDoNotKeepAThirdOut(t *testing.T) {
	t.Parallel()
	g := newGate(Limits{Handshakes: 2, Waiting: 10})
	g.come(here, 20)
	g.come(there, 20)
	if n := len(g.names()); n != 2 || g.waiting != 10 {
		t.Fatalf("%d are asked, %d wait: the line is not full", n, g.waiting)
	}
	before := g.refused["full"]
	g.come("192.0.2.3/32", 10)
	// 5 and 5 become 4, 3 and 3: another of the third would be more than any has.
	lengths := fmt.Sprint(len(g.callers[netip.MustParsePrefix(here)].waiting)+len(g.callers[netip.MustParsePrefix(there)].waiting),
		len(g.callers[netip.MustParsePrefix("192.0.2.3/32")].waiting))
	if lengths != "7 3" || g.waiting != 10 || g.refused["full"] != before+10 {
		t.Errorf("%s wait, %d in all, %v refused", lengths, g.waiting, g.refused)
	}
	g.come("192.0.2.4/32", 1)
	g.left(netip.MustParsePrefix(here))
	g.left(netip.MustParsePrefix(there))
	order := ""
	for len(g.asked) > 0 {
		who := g.asked[0]
		g.asked = g.asked[1:]
		order += who.from.Addr().String()[8:]
		g.left(who.from)
	}
	if len(order) != 10 || !strings.Contains(order[:4], "3") || !strings.Contains(order[:5], "4") || g.waiting != 0 || len(g.longest) != 0 || len(g.line) != 0 {
		t.Errorf("asked in the order %s, %d wait", order, g.waiting)
	}
}

// TestTheLongestLineIsKnown compares what the porch knows of the longest line with a look at all of them.
func TestTheLongestLineIsKnown(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		g := newGate(Limits{Handshakes: 3, Waiting: 30, AdmitWithin: 300 * time.Millisecond, ConnectsPerSecond: 200, AddressConnectsPerSecond: 50})
		at := g.at
		for step := range 2000 {
			switch from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(random.IntN(12) + 1))}), 32); random.IntN(4) {
			case 0, 1:
				g.arrive(&arrival{from: from, since: at})
			case 2:
				g.mu.Lock() // the porch has a timer that runs by itself
				var who []*arrival
				if len(g.asked) > 0 {
					who, g.asked = g.asked[:1], g.asked[1:]
				}
				g.mu.Unlock()
				for _, a := range who {
					g.left(a.from)
				}
			case 3:
				at = at.Add(time.Duration(random.IntN(20)) * time.Millisecond)
				g.mu.Lock()
				g.at = at
				g.mu.Unlock()
				g.again()
			}
			g.mu.Lock()
			most, sum := 0, 0
			for _, c := range g.callers {
				most, sum = max(most, len(c.waiting)), sum+len(c.waiting)
			}
			known := 0
			if len(g.longest) > 0 {
				known = len(g.longest[0].waiting)
			}
			if known != most || len(g.longest) != len(g.line) || sum != g.waiting || sum > 30 {
				t.Fatalf("seed %d, step %d: %d of %d callers is thought to be the longest of %d, %d wait of %d", seed, step, known, len(g.longest), most, sum, g.waiting)
			}
			g.mu.Unlock()
		}
	}
}

func TestStrangersLeaveDevicesTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, connections := range []int{1, 2, 10, 900, 20_000} {
		l := Limits{Connections: connections}.withDefaults()
		if connections >= 8 && l.Waiting+l.Handshakes > connections*3/4 || l.Waiting < 1 || l.Handshakes < 1 || l.AddressHandshakes < 1 {
			t.Errorf("of %d connections %d may wait and %d be asked", connections, l.Waiting, l.Handshakes)
		}
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for name, door := range map[string]Listener{"by themselves": {}, "through a load balancer": {Proxies: loopback}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := openDoors(t, Limits{Connections: 16, Handshakes: 4, AdmitWithin: time.Hour, ConnectWithin: 1500 * time.Millisecond}, &recorder{always: accepted}, door)
			uids := []string{}
			for i := range 12 {
				uids = append(uids, fmt.Sprintf("d%d", i))
			}
			h.registry.Store(kit(2, uids...))
			enter := func(host byte) raw {
				if door.Proxies == nil {
					return h.dialFrom(t, fmt.Sprintf("127.0.0.%d", host))
				}
				d := h.dial(t)
				d.write(fmt.Sprintf("PROXY TCP4 192.0.2.%d 192.0.2.99 4660 1883\r\n", host))
				return d
			}
			in := []raw{}
			for i, uid := range uids {
				if i == 4 { // two hosts take every place that is left
					for range 12 {
						enter(7)
						enter(8)
					}
					eventually(t, "there is no place left", func() bool { return h.open.Load() == 16 })
				}
				d := enter(byte(20 + i))
				d.send(hello(uid))
				d.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
				in = append(in, d)
			}
			for _, d := range in {
				d.ping()
			}
		})
	}
}

func TestRatesAreKept(t *testing.T) {
	t.Parallel()
	g := newGate(Limits{ConnectsPerSecond: 10, AddressConnectsPerSecond: 4})
	g.come(here, 10)
	g.come(there, 10)
	if n := len(g.names()); n != 8 {
		t.Errorf("%d are asked at once, want 4 of each", n)
	}
	g.come("192.0.2.3/32", 4)
	if n := len(g.names()); n != 2 {
		t.Errorf("%d of the third are asked at once, want what is left of 10", n)
	}
	g.at = g.at.Add(500 * time.Millisecond)
	g.again()
	if n := len(g.names()); n != 5 {
		t.Errorf("%d are asked after half a second, want 5", n)
	}
	g.at = g.at.Add(time.Hour)
	g.again()
	if n := len(g.names()); n != 0 || g.waiting != 0 || g.refused["waited"] != 9 {
		t.Errorf("%d are asked after an hour, %d wait, %v refused", n, g.waiting, g.refused)
	}
}

func TestThePorchForgetsAddresses(t *testing.T) {
	t.Parallel()
	g := newGate(Limits{ConnectsPerSecond: 1 << 30})
	for i := range callersKept {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		g.arrive(&arrival{from: from, since: g.at})
		if i > 0 {
			g.left(from)
		}
	}
	g.at = g.at.Add(time.Minute)
	g.come(here, 1)
	if len(g.callers) != 2 {
		t.Errorf("%d addresses are remembered, want the new one and the one that is still here", len(g.callers))
	}
}

func TestAStormOfKnownDevicesIsLetInOrderly(t *testing.T) {
	t.Parallel()
	const devices = 400
	h := open(t, Limits{Handshakes: 8, AddressHandshakes: 4}, &recorder{always: accepted})
	uids := make([]string, devices)
	for i := range uids {
		uids[i] = fmt.Sprintf("storm-%d", i)
	}
	h.registry.Store(kit(2, uids...))
	// Somebody at another address holds as many connections half open as he can.
	for range 40 {
		from := h.dialFrom(t, "127.0.0.2")
		from.write("\x10\x20")
	}
	var crowd sync.WaitGroup
	codes := make([]byte, devices)
	for i, uid := range uids {
		d := h.dial(t)
		crowd.Go(func() {
			codes[i] = 255
			if hello(uid).Write(d) != nil || d.SetReadDeadline(time.Now().Add(patience)) != nil {
				return
			}
			if p, err := packets.ReadPacket(d); err == nil {
				if c, ok := p.(*packets.ConnackPacket); ok {
					codes[i] = c.ReturnCode
				}
			}
		})
	}
	crowd.Wait()
	for i, code := range codes {
		if code != 0 {
			t.Fatalf("device %d has the answer %d", i, code)
		}
	}
	if n := counted(t, h.metrics.connects.WithLabelValues(doorPlain, "0")); n != devices {
		t.Errorf("%v connections are counted", n)
	}
}

func (h *house) dialFrom(t *testing.T, address string) raw {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return raw{t, conn}
}

func TestWhoWaitsTooLongIsHungUpOn(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{Handshakes: 1, AddressHandshakes: 1, AdmitWithin: 100 * time.Millisecond, ConnectWithin: 400 * time.Millisecond}, &recorder{})
	first, second := h.dial(t), h.dial(t)
	second.closed()
	first.closed()
	h.connect(t, "d1").ping()
}

func TestALoadBalancerSaysForWhomItSpeaks(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	v2 := func(command, family byte, body string) string {
		return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
	}
	const four = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x34\x07\x5b"
	six := "\x20\x01\x0d\xb8\x00\x01\x00\x02" + string(make([]byte, 8)) + "\x20\x01\x0d\xb8" + string(make([]byte, 12)) + "\x12\x34\x07\x5b"
	cases := map[string]struct {
		says string
		from string
	}{
		"version 2, IPv4":                     {v2(1, 0x11, four), "192.0.2.7/32"},
		"version 2, IPv4 and more":            {v2(1, 0x11, four+"\x04\x00\x02ab"), "192.0.2.7/32"},
		"version 2, IPv6":                     {v2(1, 0x21, six), "2001:db8:1:2::/64"},
		"version 2, looking whether we live":  {v2(0, 0x00, ""), "127.0.0.1/32"},
		"version 1":                           {"PROXY TCP4 192.0.2.7 192.0.2.1 4660 1883\r\n", "192.0.2.7/32"},
		"version 1, IPv6":                     {"PROXY TCP6 2001:db8:1:2::7 2001:db8::1 4660 1883\r\n", "2001:db8:1:2::/64"},
		"version 1, from nobody knows where":  {"PROXY UNKNOWN\r\n", "127.0.0.1/32"},
		"nothing":                             {"", ""},
		"version 2 that is longer than it is": {v2(1, 0x11, four+string(make([]byte, 600))), ""},
		"version 2 that is cut short":         {v2(1, 0x11, four[:8]), ""},
		"version 1 without an end":            {"PROXY TCP4 " + string(make([]byte, 200)), ""},
		"version 1 of nonsense":               {"PROXY TCP4 1.2.3 4 5 6\r\n", ""},
		"version 3":                           {"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := openDoors(t, Limits{ConnectWithin: 300 * time.Millisecond}, &recorder{always: accepted}, Listener{Proxies: loopback})
			d := h.dial(t)
			_, _ = io.WriteString(d, c.says+string(encodePaho(t, hello("d1")))) // it may hang up in the middle
			if c.from == "" {
				_ = d.SetReadDeadline(time.Now().Add(patience))
				if b, _ := io.ReadAll(d); len(b) > 0 {
					t.Fatalf("received %x", b)
				}
				return
			}
			d.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
			h.porch.mu.Lock()
			defer h.porch.mu.Unlock()
			if h.porch.callers[netip.MustParsePrefix(c.from)] == nil || len(h.porch.callers) != 1 {
				t.Errorf("it is taken for %v", h.porch.callers)
			}
		})
	}
	t.Run("somebody else cannot say who he is", func(t *testing.T) {
		t.Parallel()
		h := openDoors(t, Limits{}, &recorder{}, Listener{Proxies: loopback})
		d := h.dialFrom(t, "127.0.0.2")
		_, _ = io.WriteString(d, v2(1, 0x11, four)+string(encodePaho(t, hello("d1"))))
		_ = d.SetReadDeadline(time.Now().Add(patience))
		if b, _ := io.ReadAll(d); len(b) > 0 {
			t.Fatalf("received %x", b)
		}
		e := h.dialFrom(t, "127.0.0.2")
		e.send(hello("d1"))
		e.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
	})
}

func TestPlainAndTLSDoorsAtOnce(t *testing.T) {
	t.Parallel()
	h := openDoors(t, Limits{ConnectWithin: 500 * time.Millisecond}, &recorder{always: accepted}, Listener{}, Listener{TLS: selfSigned(t)})
	plain := h.connect(t, "d1")
	secure := h.secure(t, "d2")
	for id := 1; id <= 3; id++ {
		for i, d := range []raw{plain, secure} {
			d.send(message(fmt.Sprintf("hale/v1/d%d/readings", i+1), 1, uint16(id), string(make([]byte, id*40_000))))
			d.expect(ack("PUBACK", id))
		}
	}
	if n := counted(t, h.metrics.connections.WithLabelValues(doorTLS)); n != 1 {
		t.Errorf("%v connections with TLS are counted", n)
	}
	// Neither silence nor plain MQTT at the TLS door keeps anybody out.
	silent, wrong := h.dialDoor(t, 1), h.dialDoor(t, 1)
	wrong.send(hello("d3"))
	_ = wrong.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(wrong); err == nil && len(b) > 0 && b[0] != 0x15 { // an alert of TLS
		t.Errorf("received %x", b)
	}
	h.secure(t, "d3").ping()
	began := time.Now()
	silent.closed()
	if after := time.Since(began); after > 5*time.Second {
		t.Errorf("silence is hung up on after %v", after)
	}
	eventually(t, "both are counted", func() bool {
		return counted(t, h.metrics.connects.WithLabelValues(doorTLS, "tls")) == 2
	})
	h.stop()
	secure.closed()
	plain.closed()
}

// secure returns a client that is signed in at the second door, which speaks TLS.
func (h *house) secure(t *testing.T, uid string, change ...func(*packets.ConnectPacket)) raw {
	t.Helper()
	r := raw{t, tls.Client(h.dialDoor(t, 1).Conn, &tls.Config{InsecureSkipVerify: true})}
	p := hello(uid)
	for _, c := range change {
		c(p)
	}
	r.send(p)
	r.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
	return r
}

func (h *house) dialDoor(t *testing.T, n int) raw {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.listeners[n].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return raw{t, conn}
}

// counted returns what a counter or gauge shows.
func counted(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var shown dto.Metric
	if err := m.Write(&shown); err != nil {
		t.Fatal(err)
	}
	return shown.GetCounter().GetValue() + shown.GetGauge().GetValue()
}
