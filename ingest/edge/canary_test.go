package edge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
)

// failures collects what a canary tells.
type failures struct {
	mu   sync.Mutex
	told []CanaryFailure
}

func (f *failures) add(c CanaryFailure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, c)
}

func (f *failures) has(c CanaryFailure) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, told := range f.told {
		if told == c {
			return true
		}
	}
	return false
}

// openWithCanary starts a server whose canary beats every 20 ms, with the device d1.
func openWithCanary(t *testing.T, core *recorder) (*house, *failures) {
	t.Helper()
	h, failed := &house{core: core, ended: make(chan error, 1)}, &failures{}
	h.registry.Store(kit(1, "d1"))
	h.Server = New(Config{
		Addr: "127.0.0.1:0", Core: core, NodeID: "edge-1", Limits: Limits{WatchEvery: 10 * time.Millisecond, RollCallEvery: 20 * time.Millisecond, DrainWithin: time.Second, WrongSecretFor: time.Millisecond},
		Snapshot: func() (*devices.Snapshot, bool) { return h.registry.Load(), true },
		Tell: func(word []byte) {
			if strings.Contains(string(word), ingest.CanaryUID) {
				t.Error("the canary's connection was told to other edges, which have canaries of their own")
			}
		},
		Canary: CanaryConfig{Name: "edge-1", Every: 20 * time.Millisecond, Failed: failed.add},
	})
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	if err := h.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { h.ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	})
	return h, failed
}

// beats returns the messages of the canary that the core was handed.
func (r *recorder) beats() (list []taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.taken {
		if m.Canary != "" {
			list = append(list, m)
		}
	}
	return list
}

func TestTheCanaryComesThroughTheDoorAndStaysWhateverTheRegistrySays(t *testing.T) {
	t.Parallel()
	h, failed := openWithCanary(t, &recorder{always: accepted})
	eventually(t, "five beats", func() bool { return len(h.core.beats()) >= 5 })
	beat := h.core.beats()[0]
	if beat.Canary != "edge-1" || beat.Topic != ingest.CanaryTopic || !strings.Contains(string(beat.Payload), `"metric":"heart_rate","value":168,"unit":"/min"`) || !strings.Contains(string(beat.Payload), `"seq":1`) {
		t.Errorf("the first beat: %+v %s", beat.Message, beat.Payload)
	}
	if second := string(h.core.beats()[1].Payload); !strings.Contains(second, `"value":72`) || !strings.Contains(second, `"seq":2`) {
		t.Errorf("the second beat: %s", second)
	}
	h.registry.Store(kit(2, "d1")) // credentials are looked at again
	n := len(h.core.beats())
	eventually(t, "ten more beats", func() bool { return len(h.core.beats()) >= n+10 })
	h.mu.Lock()
	epoch := h.sessions[ingest.CanaryUID].epoch.Load()
	h.mu.Unlock()
	for _, kind := range []wordKind{wordVerdict, wordClaim} { // a forged take-over
		h.Hear(fmt.Appendf(nil, `{"from":"elsewhere","kind":%q,"claim":[{"device":%q,"epoch":%d}]}`, kind, ingest.CanaryUID, epoch))
	}
	n = len(h.core.beats())
	eventually(t, "ten more beats", func() bool { return len(h.core.beats()) >= n+10 })
	for _, f := range []CanaryFailure{CanaryLost, CanaryConnect, CanaryUnheard} {
		if failed.has(f) {
			t.Errorf("failure: %s", f)
		}
	}
	if !h.Answers(patience) {
		t.Error("the door is said not to answer")
	}
	if h.core.count() != len(h.core.beats()) {
		t.Error("something but beats came")
	}
}

func TestNobodyElseCanBeTheCanary(t *testing.T) {
	t.Parallel()
	h, failed := openWithCanary(t, &recorder{always: accepted})
	eventually(t, "a beat", func() bool { return len(h.core.beats()) >= 1 })
	as := func(clientID, user, password string) *packets.ConnectPacket {
		p := hello(clientID)
		p.Username, p.Password = user, []byte(password)
		return p
	}
	own := string(h.canary.secret)
	cases := map[string]*packets.ConnectPacket{
		"with its client id and a device's credentials":      as(ingest.CanaryUID, "d1", secret),
		"with its client id and a guessed password":          as(ingest.CanaryUID, ingest.CanaryUID, secret),
		"with its very password, on another connection":      as(ingest.CanaryUID, ingest.CanaryUID, own),
		"with its very password and a device's client id":    as("d1", ingest.CanaryUID, own),
		"with its very password, as the user name of nobody": as("d1", "d1", own),
	}
	for name, p := range cases {
		r := h.dial(t)
		r.send(p)
		answer, ok := r.receive().(*packets.ConnackPacket)
		if !ok || answer.ReturnCode != byte(codeCredentials) && answer.ReturnCode != byte(codeIdentifier) {
			t.Errorf("%s: %v", name, answer)
		}
		r.closed()
	}
	n := len(h.core.beats())
	eventually(t, "five more beats", func() bool { return len(h.core.beats()) >= n+5 })
	if failed.has(CanaryLost) {
		t.Error("an outsider ended the canary's connection")
	}

	d1 := h.connect(t, "d1")
	d1.send(message(ingest.CanaryTopic, 1, 7, `{"metric":"heart_rate","value":72,"unit":"/min","seq":1}`))
	d1.expect(ack("PUBACK", 7))
	h.core.mu.Lock()
	defer h.core.mu.Unlock()
	for _, m := range h.core.taken {
		if m.Device.UID == "d1" && m.Canary != "" {
			t.Error("a device's message was taken for the canary's")
		}
	}
}

func TestACanaryThatHasTheSecretOfAnotherSocketIsNotBelieved(t *testing.T) {
	t.Parallel()
	h, _ := openWithCanary(t, &recorder{always: accepted})
	eventually(t, "a beat", func() bool { return len(h.core.beats()) >= 1 })
	p := connect{protocol: "MQTT", level: 4, clientID: ingest.CanaryUID, hasUser: true, user: ingest.CanaryUID, password: h.canary.secret}
	own := net.TCPAddrFromAddrPort(*h.canary.socket.Load())
	if !h.canary.admits(p, own) {
		t.Error("the canary itself is not admitted")
	}
	for _, from := range []net.Addr{&net.TCPAddr{IP: own.IP, Port: own.Port + 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: own.Port}, &net.UnixAddr{Name: "x"}} {
		if h.canary.admits(p, from) {
			t.Errorf("the canary's secret was taken from %s", from)
		}
	}
	p.password = append([]byte{}, p.password...)
	p.password[3]++
	if h.canary.admits(p, own) {
		t.Error("another secret was taken")
	}
}

func TestADoorThatDoesNotAcknowledgeIsSeen(t *testing.T) {
	t.Parallel()
	h, failed := openWithCanary(t, &recorder{}) // nothing becomes durable
	eventually(t, "a missing PUBACK", func() bool { return failed.has(CanaryUnheard) })
	if h.Answers(time.Millisecond) {
		t.Error("the door is said to answer")
	}
	eventually(t, "a PUBACK", func() bool {
		for _, m := range h.core.beats() {
			m.done(ingest.Receipt{Accepted: 1}) // done twice is ignored
		}
		return h.canary.heard.Load() != nil
	})
}

func TestABeatThatIsNotDurableEndsTheConnectionAndTheNextOneTriesAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	broken := true
	core := &recorder{always: func(ingest.Message) ingest.Receipt {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			return ingest.Receipt{Err: fault.New(fault.Unavailable, "the stream is away")}
		}
		return ingest.Receipt{Accepted: 1}
	}}
	h, failed := openWithCanary(t, core)
	eventually(t, "a lost connection", func() bool { return failed.has(CanaryLost) })
	mu.Lock()
	broken = false
	mu.Unlock()
	eventually(t, "a PUBACK", func() bool { return h.canary.heard.Load() != nil })
}

func TestTheCanarySpeaksAsALoadBalancerWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core := &recorder{always: accepted}
	s := New(Config{
		Listeners: []Listener{{Listener: l, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, Core: core,
		Snapshot: func() (*devices.Snapshot, bool) { return kit(1, "d1"), true }, Canary: CanaryConfig{Name: "edge-1", Every: 20 * time.Millisecond},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	eventually(t, "a PUBACK", func() bool { return s.canary.heard.Load() != nil })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACanaryFindsADoorOnEveryInterface(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := dialOwn(t.Context(), Listener{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	if a, b := socketOf(conn.LocalAddr()), socketOf(there.RemoteAddr()); a != b {
		t.Errorf("the door sees %s, the canary calls itself %s", fmt.Sprint(b), fmt.Sprint(a))
	}
}
