package edge

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// CanaryConfig says how the edge's own canary beats. The zero value is no canary.
type CanaryConfig struct {
	Name  string           // names this edge process in the record, unlike any that ran before; empty: no canary
	Every time.Duration    // between two beats; 5 s when zero
	Clock func() time.Time // the one clock, as this process knows it, for the time a beat was sent; nil: Config.Now
	// Failed is told of every failure, for metrics; nil: nobody. It must not block.
	Failed func(CanaryFailure)
}

// CanaryFailure says what kept a canary's beat from being acknowledged.
type CanaryFailure string

// The failures that a canary sees at its own door.
const (
	CanaryConnect CanaryFailure = "connect"        // it could not connect, or was refused
	CanaryLost    CanaryFailure = "lost"           // its connection ended: its beat was refused, or not durable
	CanaryUnheard CanaryFailure = "unacknowledged" // no PUBACK came in time
)

const (
	canaryEvery     = 5 * time.Second
	canaryKeepAlive = 60 // seconds
	canaryWithin    = 5 * time.Second
	// canaryMisses is how many beats may wait for their PUBACK before the connection is given up.
	canaryMisses = 6
)

// canary is a device of our own: it comes through the real door, so what it cannot do, no device can. Its secret is
// drawn for this process and known to nobody else, it is in no registry, and the door takes it on the canary's own
// connection only: heard by somebody else, it is worth nothing.
type canary struct {
	cfg    CanaryConfig
	server *Server
	secret []byte
	device *devices.Device
	socket atomic.Pointer[netip.AddrPort] // of the connection whose CONNECT is to be believed
	began  time.Time
	heard  atomic.Pointer[time.Time] // when the newest PUBACK came

	number int64 // of the newest beat
	line   *canaryLine
}

func newCanary(cfg CanaryConfig, s *Server) *canary {
	if cfg.Name == "" {
		return nil
	}
	if cfg.Every <= 0 {
		cfg.Every = canaryEvery
	}
	if cfg.Clock == nil {
		cfg.Clock = s.now
	}
	if cfg.Failed == nil {
		cfg.Failed = func(CanaryFailure) {}
	}
	return &canary{cfg: cfg, server: s, secret: []byte(rand.Text() + rand.Text()), device: &devices.Device{UID: ingest.CanaryUID}, began: s.now()}
}

// plainDoor is the listener through which the canary comes: TLS would prove nothing to a process that talks to itself.
func (s *Server) plainDoor() (Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.listeners, func(l Listener) bool { return l.TLS == nil })
	if i < 0 {
		return Listener{}, errors.New("the edge has no listener without TLS, on loopback at least, for its canary")
	}
	return s.listeners[i], nil
}

// dialOwn connects to a listener of this process, as a load balancer that speaks for itself where that is asked for. One
// on every interface is on loopback too.
func dialOwn(ctx context.Context, l Listener) (net.Conn, error) {
	to := l.Addr().String()
	if bound, err := netip.ParseAddrPort(to); err == nil && bound.Addr().IsUnspecified() {
		to = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(bound.Port())))
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, l.Addr().Network(), to)
	if err == nil && trusts(l.Proxies, conn.LocalAddr()) {
		if _, err = io.WriteString(conn, "PROXY UNKNOWN\r\n"); err != nil {
			_ = conn.Close()
		}
	}
	return conn, err
}

// admits reports whether a CONNECT is our own canary's: its secret, on the very connection that it has opened.
func (c *canary) admits(p connect, from net.Addr) bool {
	if c == nil || p.clientID != ingest.CanaryUID || p.user != ingest.CanaryUID || p.protocol != "MQTT" || p.level != 4 || p.will != nil {
		return false
	}
	own, there := c.socket.Load(), socketOf(from)
	return own != nil && there.IsValid() && *own == there && subtle.ConstantTimeCompare(p.password, c.secret) == 1
}

func socketOf(a net.Addr) netip.AddrPort {
	s, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(s.Addr().Unmap(), s.Port())
}

// Answers reports whether the door has acknowledged a beat of its own canary within that time. A server without a
// canary, or one that has just begun, is given the benefit of the doubt.
func (s *Server) Answers(within time.Duration) bool {
	if s.canary == nil {
		return true
	}
	last := s.canary.began
	if heard := s.canary.heard.Load(); heard != nil {
		last = *heard
	}
	return s.now().Sub(last) <= within
}

// run beats until ctx ends.
func (c *canary) run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	var trouble CanaryFailure
	for {
		failure, err := c.runOnce(ctx, c.cfg.Clock())
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			c.cfg.Failed(failure)
		}
		if failure != trouble { // once per change
			if trouble = failure; err != nil {
				c.server.log.Error("the canary does not get through the edge's own door: can devices?", "failure", string(failure), "error", err)
			} else {
				c.server.log.Info("the canary gets through the edge's own door again")
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		break
	}
	c.hangUp(true)
}

// runOnce sends one beat, on the connection that it has or on a new one.
func (c *canary) runOnce(ctx context.Context, now time.Time) (CanaryFailure, error) {
	var lost error
	if c.line != nil {
		switch err := c.line.state(); {
		case err != nil:
			lost = err
			c.hangUp(false)
		case c.line.waiting() >= canaryMisses:
			c.hangUp(false)
			return CanaryUnheard, fmt.Errorf("%d beats have no PUBACK", canaryMisses)
		}
	}
	if c.line == nil {
		if err := c.connect(ctx); err != nil {
			return CanaryConnect, errors.Join(err, lost)
		}
	}
	c.number++
	if err := c.line.write(c.beat(now)); err != nil {
		c.hangUp(false)
		lost = errors.Join(lost, err)
	}
	if lost != nil {
		return CanaryLost, lost
	}
	return "", nil
}

// beat writes a PUBLISH with what any device would send.
func (c *canary) beat(now time.Time) []byte {
	payload := fmt.Appendf(nil, `{"metric":"heart_rate","value":%d,"unit":"/min","time":"%s","seq":%d}`,
		vital.CanaryValue(c.number), now.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano), c.number)
	const id = 2 // bytes of a packet identifier
	b := appendHeader(nil, typePublish, 1<<1, 2+len(ingest.CanaryTopic)+id+len(payload))
	b = binary.BigEndian.AppendUint16(b, uint16(len(ingest.CanaryTopic)))
	b = append(b, ingest.CanaryTopic...)
	b = binary.BigEndian.AppendUint16(b, uint16((c.number-1)%0xffff+1))
	return append(b, payload...)
}

// connect opens the canary's connection and signs in.
func (c *canary) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, canaryWithin)
	defer cancel()
	door, err := c.server.plainDoor()
	if err != nil {
		return err
	}
	conn, err := dialOwn(ctx, door)
	if err != nil {
		return err
	}
	socket := socketOf(conn.LocalAddr())
	c.socket.Store(&socket)
	line := &canaryLine{conn: conn, in: bufio.NewReader(conn), ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := line.signIn(c.secret); err != nil {
		_ = conn.Close()
		return err
	}
	c.line = line
	go line.listen(func() {
		now := c.server.now()
		c.heard.Store(&now)
	})
	return nil
}

// hangUp ends the connection, with a DISCONNECT when there is time for one.
func (c *canary) hangUp(politely bool) {
	if c.line == nil {
		return
	}
	if politely {
		_ = c.line.send(appendHeader(nil, typeDisconnect, 0, 0)) // the connection closes either way
	}
	_ = c.line.conn.Close()
	<-c.line.ended
	c.line = nil
}

// canaryLine is one connection of the canary.
type canaryLine struct {
	conn  net.Conn
	in    *bufio.Reader
	ended chan struct{} // closed when nothing more is heard

	mu     sync.Mutex
	unread int   // beats without a PUBACK
	err    error // why nothing more is heard
}

func (l *canaryLine) state() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *canaryLine) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unread
}

func (l *canaryLine) send(packet []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(canaryWithin)); err != nil {
		return err
	}
	_, err := l.conn.Write(packet)
	return err
}

func (l *canaryLine) write(beat []byte) error {
	l.mu.Lock()
	l.unread++
	l.mu.Unlock()
	return l.send(beat)
}

// signIn sends the CONNECT and waits for its answer.
func (l *canaryLine) signIn(secret []byte) error {
	var body []byte
	text := func(s string) { body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...) }
	text("MQTT")
	const level, flags = 4, 1<<7 | 1<<6 | 1<<1 // user name, password, clean session
	body = binary.BigEndian.AppendUint16(append(body, level, flags), canaryKeepAlive)
	text(ingest.CanaryUID)
	text(ingest.CanaryUID)
	text(string(secret))
	if err := l.send(append(appendHeader(nil, typeConnect, 0, len(body)), body...)); err != nil {
		return err
	}
	kind, answer, err := l.next()
	if err != nil {
		return fmt.Errorf("no CONNACK: %w", err)
	}
	if kind != typeConnack || len(answer) != 2 || answer[1] != byte(codeAccepted) {
		return fmt.Errorf("packet %d %x instead of a CONNACK that accepts", kind, answer)
	}
	return nil
}

// next reads one packet, of those that a server sends us.
func (l *canaryLine) next() (packetType, []byte, error) {
	h, err := readHeader(l.in)
	if err != nil {
		return 0, nil, err
	}
	if h.length > maxControl {
		return 0, nil, violation("packet is too long for a canary")
	}
	body := make([]byte, h.length)
	_, err = io.ReadFull(l.in, body)
	return h.kind, body, err
}

// listen hears PUBACKs until the connection ends. heard is told of each.
func (l *canaryLine) listen(heard func()) {
	defer close(l.ended)
	for {
		kind, _, err := l.next()
		if err != nil {
			l.mu.Lock()
			l.err = fmt.Errorf("the connection ended: %w", err)
			l.mu.Unlock()
			return
		}
		if kind == typePuback {
			l.mu.Lock()
			l.unread--
			l.mu.Unlock()
			heard()
		}
	}
}
