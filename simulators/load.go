package simulators

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// LoadKind is what a load consists of.
type LoadKind string

// The kinds of load.
const (
	LoadFull  LoadKind = "full"  // as many readings as are taken, each connection keeping its window full
	LoadPaced LoadKind = "paced" // so many readings a second over all connections, whether they are acknowledged or not
	LoadIdle  LoadKind = "idle"  // connections that say nothing
)

// LoadSpec says what a load generator does. It travels as JSON to the process that does it.
type LoadSpec struct {
	Kind        LoadKind `json:"kind"`
	Addr        string   `json:"addr"`
	Prefix      string   `json:"prefix"` // devices are the prefix and a number of five digits from 00001 on
	First       int      `json:"first"`  // number of the first device, less one
	Devices     int      `json:"devices"`
	Gateways    int      `json:"gateways"` // paced: so many gateways speak for the devices' sensors; 0: each device for itself
	Gateway     string   `json:"gateway"`  // prefix of the gateways
	Secret      string   `json:"secret"`
	Metrics     []string `json:"metrics"`     // each device measures them in turn
	PerMessage  int      `json:"per_message"` // readings in one message
	Readings    int      `json:"readings"`    // of all devices together
	Window      int      `json:"window"`      // full: messages of one connection that are not yet acknowledged
	PerSecond   int      `json:"per_second"`  // paced: readings a second
	Red         bool     `json:"red"`         // paced: every device sends one red blood pressure at some moment
	RedEvery    int      `json:"red_every"`   // full: one message of so many begins with a red blood pressure; 0 is none
	StartMillis int64    `json:"start_millis"`
	StepMillis  int64    `json:"step_millis"` // between two rounds of a device's metrics
}

// LoadResult is what became of a load.
type LoadResult struct {
	Readings   int     `json:"readings"`
	Messages   int     `json:"messages"`
	Connected  int     `json:"connected"`
	Began      int64   `json:"began"` // Unix time in ns of the first PUBLISH
	Ended      int64   `json:"ended"` // ... and of the last PUBACK
	RedSent    []int64 `json:"red_sent,omitempty"`
	ConnectSec float64 `json:"connect_sec"`
}

// Load puts devices on raw sockets: a client library costs more than the edge does and would measure itself. One
// goroutine writes and one reads for each connection.
type Load struct {
	spec  LoadSpec
	conns []*loadConn
	last  atomic.Int64 // time of the last PUBACK
}

type loadConn struct {
	conn   net.Conn
	makers []*payloads // of everybody whom it speaks for
	first  int         // number of the first of them
	flight chan struct{}
	next   uint16 // packet identifier of the last message
	acked  uint16 // ... and of the last acknowledgement
	read   int    // acknowledgements so far
	in     *bufio.Reader
	buf    []byte
}

// ConnectLoad connects all devices. The caller closes the load.
func ConnectLoad(ctx context.Context, spec LoadSpec) (*Load, error) {
	connections := spec.Devices
	if spec.Gateways > 0 {
		connections = spec.Gateways
	}
	l := &Load{spec: spec, conns: make([]*loadConn, connections)}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range l.conns {
		group.Go(func() error {
			c, err := dialLoad(ctx, spec, i)
			l.conns[i] = c
			return err
		})
	}
	if err := group.Wait(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func dialLoad(ctx context.Context, spec LoadSpec, i int) (*loadConn, error) {
	device := fmt.Sprintf("%s%05d", spec.Prefix, spec.First+i+1)
	each := 1
	if spec.Gateways > 0 {
		device, each = fmt.Sprintf("%s%05d", spec.Gateway, i+1), spec.Devices/spec.Gateways
	}
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", spec.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect device %s: %w", device, err)
	}
	if err := greet(conn, device, spec.Secret); err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &loadConn{conn: conn, first: i * each}
	for n := c.first; n < c.first+each && spec.Kind != LoadIdle; n++ {
		topic := "hale/v1/" + device + "/readings"
		if spec.Gateways > 0 {
			topic = fmt.Sprintf("hale/v1/%s/sensors/%s%05d/readings", device, spec.Prefix, spec.First+n+1)
		}
		maker, err := newPayloads(topic, spec, n)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		c.makers = append(c.makers, maker)
	}
	return c, nil
}

// Close ends every connection without a goodbye.
func (l *Load) Close() {
	for _, c := range l.conns {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}

// Run does what the spec says and returns when every message is acknowledged; an idle load returns at once.
func (l *Load) Run(ctx context.Context) (LoadResult, error) {
	r := LoadResult{Connected: len(l.conns)}
	if l.spec.Kind == LoadIdle {
		return r, nil
	}
	stop := context.AfterFunc(ctx, l.Close)
	defer stop()
	r.Began = time.Now().UnixNano()
	var err error
	if l.spec.Kind == LoadPaced {
		err = l.paced(ctx, &r)
	} else {
		err = l.full(ctx, &r)
	}
	r.Ended = l.last.Load()
	return r, err
}

// burst is how many messages a connection of a full load writes at once, as a device does that sends its memory.
const burst = 8

func (l *Load) full(ctx context.Context, r *LoadResult) error {
	messages := l.spec.Readings / l.spec.PerMessage / len(l.conns)
	r.Messages = messages * len(l.conns)
	r.Readings = r.Messages * l.spec.PerMessage
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range l.conns {
		c.flight = make(chan struct{}, max(l.spec.Window, burst))
		group.Go(func() error { return c.pour(ctx, messages, l.spec) })
		group.Go(func() error { return l.collect(c, messages) })
	}
	return group.Wait()
}

// pour writes messages as fast as the window lets it.
func (c *loadConn) pour(ctx context.Context, messages int, spec LoadSpec) error {
	for sent := 0; sent < messages; {
		n := min(burst, messages-sent)
		for range n {
			select {
			case c.flight <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c.buf = c.buf[:0]
		for i := range n {
			c.next = max(1, c.next+1)
			c.buf = c.makers[0].publish(c.buf, c.next, spec.PerMessage, spec.RedEvery > 0 && (sent+i)%spec.RedEvery == 0)
		}
		if _, err := c.conn.Write(c.buf); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		sent += n
	}
	return nil
}

// collect reads PUBACKs from the socket until so many have come, in the order of the messages.
func (l *Load) collect(c *loadConn, messages int) error {
	if c.in == nil {
		c.in = bufio.NewReaderSize(c.conn, 512)
	}
	var ack [4]byte
	for range messages {
		if _, err := io.ReadFull(c.in, ack[:]); err != nil {
			return fmt.Errorf("the edge closed a connection: %w", err)
		}
		c.acked = max(1, c.acked+1)
		if ack[0] != packetPuback<<4 || ack[1] != 2 || binary.BigEndian.Uint16(ack[2:]) != c.acked {
			return errors.New("the edge answered something else than the next PUBACK")
		}
		if c.flight != nil {
			<-c.flight
		}
		if c.in.Buffered() == 0 {
			l.last.Store(time.Now().UnixNano())
		}
	}
	return nil
}

// paced sends at an even rate, one connection after the other, and does not wait for anybody. What a gateway has of all
// its people it writes at once.
func (l *Load) paced(ctx context.Context, r *LoadResult) error {
	people := len(l.conns) * len(l.conns[0].makers)
	rounds := l.spec.Readings / l.spec.PerMessage / people
	r.Messages = rounds * people
	r.Readings = r.Messages * l.spec.PerMessage
	if l.spec.Red {
		r.RedSent = make([]int64, people)
	}
	group, ctx := errgroup.WithContext(ctx)
	const pacers = 2
	for p := range pacers {
		group.Go(func() error { return l.pace(ctx, r, rounds, p, pacers) })
	}
	return group.Wait()
}

// pace lets every pacers-th connection in turn send when its time has come.
func (l *Load) pace(ctx context.Context, r *LoadResult, rounds, first, pacers int) error {
	between := time.Duration(len(l.conns[0].makers)*l.spec.PerMessage) * time.Second / time.Duration(l.spec.PerSecond)
	start := time.Now()
	for n := first; n < rounds*len(l.conns); n += pacers {
		if due := start.Add(time.Duration(n) * between); time.Until(due) > time.Millisecond {
			if err := waitUntil(ctx, due); err != nil {
				return err
			}
		}
		c, round := l.conns[n%len(l.conns)], n/len(l.conns)
		c.buf = c.buf[:0]
		for i, maker := range c.makers {
			red := l.spec.Red && round == redRound(c.first+i, rounds, l.spec.PerMessage, len(l.spec.Metrics))
			c.next = max(1, c.next+1)
			c.buf = maker.publish(c.buf, c.next, l.spec.PerMessage, red)
			if red {
				r.RedSent[c.first+i] = time.Now().UnixNano()
			}
		}
		if _, err := c.conn.Write(c.buf); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if err := l.catchUp(c, round-readEvery, readEvery*len(c.makers)); err != nil {
			return err
		}
	}
	for i := first; i < len(l.conns); i += pacers {
		if err := l.catchUp(l.conns[i], rounds, 1); err != nil {
			return err
		}
	}
	return nil
}

// readEvery is after how many messages a paced device reads what was acknowledged meanwhile: a real one has a processor of
// its own, and here reading each by itself would take from the one that is measured.
const readEvery = 8

// catchUp reads the acknowledgements of the first rounds, when there are at least so many.
func (l *Load) catchUp(c *loadConn, rounds, least int) error {
	due := rounds*len(c.makers) - c.read
	if due < least {
		return nil
	}
	c.read += due
	return l.collect(c, due)
}

// redRound spreads the red readings evenly over a run, but for its first third, in which caches warm up as they are in a
// house that lives, and its end, in which good ones of the same metric follow.
func redRound(device, rounds, perMessage, metrics int) int {
	lead, tail := rounds/3, max(rounds/20, metrics/perMessage+1)
	return lead + int(uint32(device)*2_654_435_761>>8)%max(1, rounds-lead-tail)
}

// payloads writes the messages of one device.
type payloads struct {
	topic  []byte
	series []loadSeries
	at     int64 // Unix ms of the present round
	step   int64
	n      int // readings so far
	clock  clockText
	body   []byte
}

// loadSeries is one metric with readings of a person who is well.
type loadSeries struct {
	well [16]string // the fields before the time
	red  string
}

func newPayloads(topic string, spec LoadSpec, seed int) (*payloads, error) {
	p := &payloads{topic: appendText(nil, topic), at: spec.StartMillis, step: max(1, spec.StepMillis), n: seed % len(spec.Metrics)}
	for _, code := range spec.Metrics {
		s, ok := wellBeing(code)
		if !ok {
			return nil, fmt.Errorf("the load generator knows no values of %q", code)
		}
		p.series = append(p.series, s)
	}
	return p, nil
}

// wellBeing returns readings inside every default limit.
func wellBeing(code string) (s loadSeries, known bool) {
	single := func(from, step float64, unit string) {
		for i := range s.well {
			s.well[i] = fmt.Sprintf(`{"metric":%q,"value":%g,"unit":%q,"time":"`, code, from+step*float64(i), unit)
		}
		known = true
	}
	switch code {
	case "blood_pressure":
		const form = `{"metric":"blood_pressure","systolic":%d,"diastolic":%d,"pulse":%d,"unit":"mm[Hg]","time":"`
		for i := range s.well {
			s.well[i] = fmt.Sprintf(form, 118+i, 70+i%8, 62+i)
		}
		s.red, known = fmt.Sprintf(form, 188, 104, 84), true
	case "heart_rate":
		single(62, 1, "/min")
	case "oxygen_saturation":
		single(95, 0.25, "%")
	case "body_temperature":
		single(36.125, 0.0625, "Cel")
	case "respiratory_rate":
		single(13, 0.25, "/min")
	case "glucose", "glucose_fasting", "glucose_postmeal":
		single(95, 2, "mg/dL")
	case "body_weight":
		single(71, 0.0625, "kg")
	}
	return s, known
}

// publish appends one PUBLISH of QoS 1 with so many readings.
func (p *payloads) publish(dst []byte, id uint16, readings int, red bool) []byte {
	p.body = p.body[:0]
	if readings > 1 {
		p.body = append(p.body, '[')
	}
	for i := range readings {
		if i > 0 {
			p.body = append(p.body, ',')
		}
		p.body = p.reading(p.body, red && i == 0)
	}
	if readings > 1 {
		p.body = append(p.body, ']')
	}
	dst = append(dst, packetPublish<<4|0x02)
	for n := len(p.topic) + 2 + len(p.body); ; {
		digit := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			dst = append(dst, digit|0x80)
			continue
		}
		dst = append(dst, digit)
		break
	}
	dst = append(dst, p.topic...)
	dst = binary.BigEndian.AppendUint16(dst, id)
	return append(dst, p.body...)
}

func (p *payloads) reading(b []byte, red bool) []byte {
	s := &p.series[p.n%len(p.series)]
	text, at := s.well[p.n/len(p.series)%len(s.well)], p.at
	if red { // measured after the latest blood pressure, as every measurement is
		text, at = p.series[0].red, p.at+p.step/2
	}
	b = p.clock.append(append(b, text...), at)
	p.n++
	if p.n%len(p.series) == 0 {
		p.at += p.step
	}
	return append(b, '"', '}')
}

// clockText writes times in UTC with milliseconds; it keeps the text of the last second.
type clockText struct {
	second int64
	text   [19]byte
}

func (c *clockText) append(b []byte, millis int64) []byte {
	second, rest := millis/1000, millis%1000
	if second != c.second {
		c.second = second
		time.Unix(second, 0).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05")
	}
	b = append(b, c.text[:]...)
	return append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10), 'Z')
}
