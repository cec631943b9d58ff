package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"hale/devices"
	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

// disk is a publisher that keeps what it was given by its identity, as the record does, unless the test says that it
// cannot.
type disk struct {
	failing atomic.Bool

	mu       sync.Mutex
	readings map[vital.Key]vital.Reading
	refused  []vital.Refused
	again    int // readings that were there already
}

func (d *disk) Publish(_ context.Context, _ int, _ vital.Lane, records []vital.Record) error {
	if d.failing.Load() {
		return errors.New("the disk is away")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readings == nil {
		d.readings = map[vital.Key]vital.Reading{}
	}
	for _, r := range records {
		if r.Refused != nil {
			d.refused = append(d.refused, *r.Refused)
			continue
		}
		if _, ok := d.readings[r.Reading.Key]; ok {
			d.again++
		}
		d.readings[r.Reading.Key] = *r.Reading
	}
	return nil
}

// held returns how many readings there are, and the sequence numbers of all.
func (d *disk) held() (n int, ties map[int64]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ties = map[int64]bool{}
	for k := range d.readings {
		ties[k.Tie] = true
	}
	return len(d.readings), ties
}

func (d *disk) quarantined() []vital.Refused {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]vital.Refused(nil), d.refused...)
}

// registry knows the bridge's device, which may speak for three sensors, and one device that speaks the wire.
func registry() *devices.Snapshot {
	return &devices.Snapshot{Devices: map[string]*devices.Device{
		"bridge-1": {ID: 5, Org: 1, UID: "bridge-1", Own: 50, Sensors: map[string]vital.SensorID{"s0": 51, "s1": 52, "s2": 53}},
		"cuff-1":   {ID: 6, Org: 1, UID: "cuff-1", Own: 60},
	}}
}

// rules maps {"n":7,"t":1779346815,"hr":61} on v/{sensor}.
const rules = `
  - name: simple
    topic: v/{sensor}
    sensor: "{sensor}"
    time: {path: t, format: unix_s}
    sequence: n
    readings: [{metric: heart_rate, value: hr, unit: /min}]
  - {name: wire, topic: hale/v1/#, native: true}
`

// read reads a mapping file of brokers, given as lines of YAML, with the rules above.
func read(tb testing.TB, brokers string) []ingest.Broker {
	tb.Helper()
	list, err := ingest.ReadMappings([]byte("version: 1\nbrokers:\n" + brokers + "\nmappings:" + rules))
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

// one is the ordinary entry of a broker.
func one(name, addr string, more ...string) string {
	return fmt.Sprintf("  - {name: %s, url: 'mqtt://%s', client_id: bridge-%s, device: bridge-1, subscribe: [v/+, hale/v1/#]%s}\n", name, addr, name, strings.Join(more, ""))
}

// payload is message n of the vendor.
func payload(n int) string { return fmt.Sprintf(`{"n":%d,"t":%d,"hr":61}`, n, 1779346815+n) }

// running is a bridge with its core.
type running struct {
	*bridge.Bridge
	metrics *prometheus.Registry
	stop    func() // ends the bridge, then its core
}

// brisk makes a bridge that does not wait long.
func brisk() bridge.Limits {
	return bridge.Limits{RetryFirst: 10 * time.Millisecond, RetryLongest: 50 * time.Millisecond, DrainWithin: 2 * time.Second, ResubscribeEvery: 100 * time.Millisecond, ConnectEvery: 50 * time.Millisecond}
}

func start(tb testing.TB, d ingest.Publisher, c bridge.Config) *running {
	tb.Helper()
	return startWith(tb, d, c, func(c bridge.Core) bridge.Core { return c })
}

// startWith starts a bridge whose core is seen through by the test.
func startWith(tb testing.TB, d ingest.Publisher, c bridge.Config, through func(bridge.Core) bridge.Core) *running {
	tb.Helper()
	snapshot := registry()
	core := ingest.New(ingest.Config{Snapshot: func() *devices.Snapshot { return snapshot }, Publisher: d})
	r := &running{metrics: prometheus.NewRegistry()}
	if c.Snapshot == nil {
		c.Snapshot = func() *devices.Snapshot { return snapshot }
	}
	if c.Limits == (bridge.Limits{}) {
		c.Limits = brisk()
	}
	c.Core, c.Registerer = through(core), r.metrics
	var err error
	if r.Bridge, err = bridge.New(c); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	coreCtx, cancelCore := context.WithCancel(context.Background())
	ended, coreEnded := make(chan error, 1), make(chan error, 1)
	go func() { coreEnded <- core.Run(coreCtx) }()
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
		cancelCore()
		if err := <-coreEnded; err != nil {
			tb.Errorf("Run of the core: %v", err)
		}
	})
	tb.Cleanup(r.stop)
	return r
}

// count returns a counter or gauge, summed over brokers or of one.
func (r *running) count(tb testing.TB, name string, broker ...string) int {
	tb.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "hale_bridge_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(broker) == 0 || label(m) == broker[0] {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return int(sum)
}

func label(m *dto.Metric) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == "broker" {
			return l.GetValue()
		}
	}
	return ""
}

// eventually waits until f holds. f returns what is missing, or "".
func eventually(tb testing.TB, within time.Duration, f func() string) {
	tb.Helper()
	for deadline := time.Now().Add(within); ; {
		missing := f()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("after %s: %s", within, missing)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// ready waits until every subscription of every broker stands.
func (r *running) ready(tb testing.TB) {
	tb.Helper()
	eventually(tb, 15*time.Second, func() string {
		for _, s := range r.States() {
			if !s.Connected || !s.Subscribed {
				return fmt.Sprintf("not ready: %+v", s)
			}
		}
		return ""
	})
}

// holds waits until the disk holds n readings.
func (d *disk) holds(tb testing.TB, n int) {
	tb.Helper()
	eventually(tb, 20*time.Second, func() string {
		if got, _ := d.held(); got != n {
			return fmt.Sprintf("%d readings, want %d", got, n)
		}
		return ""
	})
}

// publisher is somebody else's device, connected to somebody else's broker.
func publisher(tb testing.TB, b *mosquitto.Broker) mqtt.Client {
	tb.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + b.Addr).SetProtocolVersion(4).SetClientID("publisher").SetOrderMatters(false).SetMaxReconnectInterval(200 * time.Millisecond))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		tb.Fatalf("connect the publisher: %v", token.Error())
	}
	tb.Cleanup(func() { c.Disconnect(0) })
	return c
}

// publish sends messages [from, to) with QoS 1, round the sensors, and waits until the broker has acknowledged them.
func publish(tb testing.TB, c mqtt.Client, from, to int) {
	tb.Helper()
	tokens := make([]mqtt.Token, 0, to-from)
	for n := from; n < to; n++ {
		tokens = append(tokens, c.Publish(fmt.Sprintf("v/s%d", n%3), 1, false, payload(n)))
	}
	for _, t := range tokens {
		if !t.WaitTimeout(20*time.Second) || t.Error() != nil {
			tb.Fatalf("the broker did not acknowledge: %v", t.Error())
		}
	}
}

// proxy stands between the bridge and a broker. It can be slow and it can cut.
type proxy struct {
	addr    string
	onward  string
	perTick atomic.Int64 // bytes from the broker each 10 ms; 0 is as they come

	mu    sync.Mutex
	conns []net.Conn
	taken int // connections so far
}

func newProxy(tb testing.TB, onward string) *proxy {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), onward: onward}
	tb.Cleanup(func() {
		_ = l.Close()
		p.cut()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", p.onward)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.taken++
			p.mu.Unlock()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.Close()
			}()
			go p.down(in, out)
		}
	}()
	return p
}

// down carries what the broker sends, as fast as the test allows.
func (p *proxy) down(in, out net.Conn) {
	defer func() { _ = in.Close() }()
	for {
		n := p.perTick.Load()
		if n == 0 {
			n = 32 << 10
		} else {
			<-time.After(10 * time.Millisecond)
		}
		if _, err := io.CopyN(in, out, n); err != nil {
			return
		}
	}
}

// hangUp ends every connection as a broker does that closes: what the bridge has written until then still arrives.
func (p *proxy) hangUp(tb testing.TB) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(p.conns); i += 2 { // each pair is the bridge's side and the broker's
		side, ok := p.conns[i].(*net.TCPConn)
		if !ok {
			tb.Errorf("hang up: %T", p.conns[i])
			continue
		}
		if err := side.CloseWrite(); err != nil {
			tb.Errorf("hang up: %v", err)
		}
	}
	p.conns = nil
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
