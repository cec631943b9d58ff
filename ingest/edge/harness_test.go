package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

const patience = 10 * time.Second

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, what, holds)
}

// eventuallyWithin is eventually for what takes its time on a busy machine.
func eventuallyWithin(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(within); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("this did not come: %s", what)
		}
	}
}

// recorder stands for the ingest core: it keeps what is submitted, and the test says when that is durable.
type recorder struct {
	always func(ingest.Message) ingest.Receipt // when set, everything is durable at once
	forget bool                                // with always: nothing is kept

	mu    sync.Mutex
	taken []taken
	full  chan struct{} // when set, Submit waits until it is closed
}

type taken struct {
	ingest.Message
	done func(ingest.Receipt)
}

func (r *recorder) Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt)) {
	r.mu.Lock()
	full := r.full
	r.mu.Unlock()
	if full != nil {
		select {
		case <-full:
		case <-ctx.Done():
			done(ingest.Receipt{Err: fault.Wrap(fault.Unavailable, ctx.Err(), "submit")})
			return
		}
	}
	if !r.forget {
		r.mu.Lock()
		r.taken = append(r.taken, taken{m, done})
		r.mu.Unlock()
	}
	if r.always != nil {
		done(r.always(m))
	}
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.taken)
}

// wait returns the messages when there are n, and fails when there are more.
func (r *recorder) wait(t *testing.T, n int) []taken {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages at the core", n), func() bool { return r.count() >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.taken) != n {
		t.Fatalf("%d messages at the core, want %d", len(r.taken), n)
	}
	return append([]taken{}, r.taken...)
}

func accepted(ingest.Message) ingest.Receipt { return ingest.Receipt{Accepted: 1} }

// house is a running server with its core and registry.
type house struct {
	*Server
	core     *recorder
	registry atomic.Pointer[devices.Snapshot]
	away     atomic.Bool               // the registry cannot be reached
	clock    atomic.Int64              // nanoseconds by which this edge's clock is wrong
	still    atomic.Pointer[time.Time] // when set, the clock stands there
	bus      *bus                      // on which it speaks to other edges; nil: to nobody
	stop     context.CancelFunc
	ended    chan error
}

const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"

// kit makes a snapshot of devices that have the secret.
func kit(version int64, uids ...string) *devices.Snapshot {
	s := &devices.Snapshot{Version: version, Devices: map[string]*devices.Device{}}
	for i, uid := range uids {
		s.Devices[uid] = &devices.Device{ID: vital.DeviceID(i + 1), Org: 1, UID: uid, SecretHash: sha256.Sum256([]byte(secret)), Own: vital.SensorID(i + 1)}
	}
	return s
}

// open starts a server on a free port, with the devices d1, d2, d3.
func open(t *testing.T, limits Limits, core *recorder) *house {
	t.Helper()
	return openOn(t, nil, 0, limits, core)
}

// openOn starts one of several servers that speak to each other, with a clock that is wrong.
func openOn(t *testing.T, on *bus, wrong time.Duration, limits Limits, core *recorder) *house {
	t.Helper()
	return openAs(t, on, wrong, limits, core, nil)
}

// openDoors starts a server with several doors, each on a free port.
func openDoors(t *testing.T, limits Limits, core *recorder, doors ...Listener) *house {
	t.Helper()
	for i := range doors {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doors[i].Listener = l
	}
	return openAs(t, nil, 0, limits, core, doors)
}

func openAs(t *testing.T, on *bus, wrong time.Duration, limits Limits, core *recorder, doors []Listener) *house {
	t.Helper()
	h := &house{core: core, bus: on, ended: make(chan error, 1)}
	h.clock.Store(int64(wrong))
	h.registry.Store(kit(1, "d1", "d2", "d3"))
	if limits.WatchEvery == 0 {
		limits.WatchEvery = 10 * time.Millisecond
	}
	h.Server = New(Config{
		Addr: "127.0.0.1:0", Listeners: doors,
		Snapshot: func() (*devices.Snapshot, bool) { return h.registry.Load(), !h.away.Load() },
		Core:     core,
		NodeID:   "edge-1",
		Now:      h.time,
		Tell: func(word []byte) {
			if h.bus != nil {
				h.bus.tell(h, word)
			}
		},
		Limits: limits,
	})
	if on != nil {
		on.join(h)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	if err := h.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { h.ended <- h.Run(ctx) }()
	eventually(t, "ready", h.Ready)
	t.Cleanup(func() {
		stop()
		h.core.mu.Lock()
		left := h.core.taken
		h.core.mu.Unlock()
		for _, m := range left { // what a test left open does not hold the drain up; done twice is ignored
			m.done(ingest.Receipt{Err: errors.New("the test is over")})
		}
		select {
		case err := <-h.ended:
			h.ended <- err
		case <-time.After(patience):
			t.Error("the server does not stop")
		}
	})
	return h
}

// time is what the clock of the edge shows.
func (h *house) time() time.Time {
	now := time.Now()
	if at := h.still.Load(); at != nil {
		now = *at
	}
	return now.Add(time.Duration(h.clock.Load()))
}

// stopped lets the clock of the edge stand still: it goes on by h.clock only.
func (h *house) stopped() {
	now := time.Now()
	h.still.Store(&now)
}

// raw is a client that is no more than a socket.
type raw struct {
	t *testing.T
	net.Conn
}

func (h *house) dial(t *testing.T) raw {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return raw{t, conn}
}

func hello(uid string) *packets.ConnectPacket {
	p := blank[*packets.ConnectPacket](packets.Connect)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession = "MQTT", 4, true
	p.ClientIdentifier, p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = uid, true, uid, true, []byte(secret)
	return p
}

// connect returns a client that is signed in.
func (h *house) connect(t *testing.T, uid string, change ...func(*packets.ConnectPacket)) raw {
	t.Helper()
	r := h.dial(t)
	p := hello(uid)
	for _, c := range change {
		c(p)
	}
	r.send(p)
	r.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
	return r
}

func (r raw) send(list ...packets.ControlPacket) {
	r.t.Helper()
	var b bytes.Buffer
	for _, p := range list {
		if err := p.Write(&b); err != nil {
			r.t.Fatal(err)
		}
	}
	r.write(b.String())
}

func (r raw) write(data string) {
	r.t.Helper()
	if err := r.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(r.Conn, data); err != nil {
		r.t.Fatal(err)
	}
}

// receive returns the next packet.
func (r raw) receive() packets.ControlPacket {
	r.t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	p, err := packets.ReadPacket(r.Conn)
	if err != nil {
		r.t.Fatalf("no packet: %v", err)
	}
	return p
}

// expect reads packets and compares them as paho prints them.
func (r raw) expect(want ...string) {
	r.t.Helper()
	for _, w := range want {
		if got := r.receive().String(); got != w {
			r.t.Fatalf("received %q, want %q", got, w)
		}
	}
}

// closed waits until the server has closed the connection, without another packet before.
func (r raw) closed() {
	r.t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	rest, err := io.ReadAll(r.Conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatal("the connection stays open")
	}
	if len(rest) > 0 {
		r.t.Fatalf("received %x before the end", rest)
	}
}

// quiet fails when a packet comes or the connection ends within that time.
func (r raw) quiet(within time.Duration) {
	r.t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(within)); err != nil {
		r.t.Fatal(err)
	}
	var b [1]byte
	if n, err := r.Read(b[:]); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatalf("received %x, %v; want silence", b[:n], err)
	}
}

func message(topic string, qos byte, id uint16, payload string) *packets.PublishPacket {
	p := blank[*packets.PublishPacket](packets.Publish)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topic, qos, id, []byte(payload)
	return p
}

func (r raw) subscribe(id uint16, filters ...string) {
	r.t.Helper()
	p := blank[*packets.SubscribePacket](packets.Subscribe)
	p.MessageID, p.Topics, p.Qoss = id, filters, make([]byte, len(filters))
	r.send(p)
}

func (r raw) ping() {
	r.t.Helper()
	r.send(packets.NewControlPacket(packets.Pingreq))
	r.expect("PINGRESP: dup: false qos: 0 retain: false rLength: 0")
}

func ack(name string, id int) string {
	return fmt.Sprintf("%s: dup: false qos: 0 retain: false rLength: 2 MessageID: %d", name, id)
}
