package bridge

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of a connection's buffers.
const (
	readBuffer = 64 << 10
	// mostUnwritten is what may gather while the broker does not read: the acknowledgements of all packet ids, and more.
	mostUnwritten = 1 << 20
)

// conn is a connection that gathers: paho reads a packet in three small reads, and writes each acknowledgement alone.
// What is written gathers while a write is on its way, and goes with the next one. Nobody waits for a write.
type conn struct {
	net.Conn
	in       *inbound
	wrong    func(error) // is told what the broker sent that no broker sends; may be nil
	welcomed func(code byte, sessionPresent bool)
	first    []byte // the bytes of CONNACK, until they are told
	accepted atomic.Bool

	mu     sync.Mutex
	out    []byte
	failed error
	asked  map[uint16]int // how many filters each SUBSCRIBE had that is not answered
	closed bool
	come   chan struct{} // holds a token when there is something to write, or no more to come
	ended  chan struct{} // the writer has ended
	gone   chan struct{} // Close was called
}

// connack is the first byte of CONNACK.
const connack = 0x20

// errBehind is how the connection ends when the broker does not read.
var errBehind = errors.New("the broker does not read our acknowledgements")

// newConn takes over the connection. Of a PUBLISH with a larger payload only the sealed head is passed on. welcomed is told
// what CONNACK says.
func newConn(raw net.Conn, largest int, s seal, welcomed func(code byte, sessionPresent bool)) *conn {
	c := &conn{
		Conn: raw, welcomed: welcomed, asked: map[uint16]int{},
		come: make(chan struct{}, 1), ended: make(chan struct{}), gone: make(chan struct{}),
	}
	c.in = &inbound{in: bufio.NewReaderSize(raw, readBuffer), largest: largest, seal: s, asked: c.answered}
	go c.write()
	return c
}

// answered returns how many filters the SUBSCRIBE had that is answered now; ok is false when there is none.
func (c *conn) answered(id uint16) (filters int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	filters, ok = c.asked[id]
	delete(c.asked, id)
	return filters, ok
}

// Read returns what has arrived.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err != nil {
		if v := (*violation)(nil); errors.As(err, &v) && c.wrong != nil {
			c.wrong(v)
		}
		err = c.cause(err)
	}
	if c.welcomed != nil && n > 0 { // paho reads from one goroutine at a time
		c.first = append(c.first, p[:n]...)
		if len(c.first) >= 4 { // 0x20, 2, flags, code
			c.accepted.Store(c.first[0] == connack && c.first[3] == 0)
			c.welcomed(c.first[3], c.first[2]&1 == 1)
			c.welcomed, c.first = nil, nil
		}
	}
	return n, err
}

// cause returns why reading ended. When a write failed we have closed the connection ourselves, and paho must not hear of
// a closed one: it takes that for its own doing, and would notice the loss only by the silence after its next ping.
func (c *conn) cause(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil && !c.closed {
		return c.failed
	}
	return err
}

// Write takes p to be written soon. An error is of an earlier write.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if c.failed == nil && len(c.out)+len(p) > mostUnwritten {
		c.failed = errBehind
	}
	if c.failed != nil {
		return 0, c.failed
	}
	if id, filters, ok := filtersOf(p); ok { // paho writes a packet at once
		c.asked[id] = filters
	}
	c.out = append(c.out, p...)
	nudge(c.come)
	return len(p), nil
}

// write writes what has gathered until the connection is closed, and then the rest.
func (c *conn) write() {
	defer close(c.ended)
	defer func() { _ = c.Conn.Close() }()
	var spare []byte
	for range c.come {
		c.mu.Lock()
		batch, closed := c.out, c.closed
		c.out = spare[:0]
		c.mu.Unlock()
		spare = batch
		if err := c.flush(batch, closed); err != nil {
			c.mu.Lock()
			if c.failed == nil {
				c.failed = err
			}
			c.mu.Unlock()
			return
		}
		if closed {
			return
		}
	}
}

func (c *conn) flush(batch []byte, closed bool) error {
	if len(batch) == 0 {
		return nil
	}
	within := writeWithin
	if closed {
		within = leaveWithin
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := c.Conn.Write(batch)
	return err
}

// Close writes what has gathered, for a moment at most, and closes.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.gone)
		_ = c.Conn.SetWriteDeadline(time.Now().Add(leaveWithin)) // for a write that hangs; an error means that it is closed
	}
	c.mu.Unlock()
	nudge(c.come)
	<-c.ended
	return nil
}

func (c *conn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// SetDeadline bounds reads only: writes have their own bound, and paho must not lift it.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: see SetDeadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
