package edge

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hale/ingest"
)

// watched is a connection on which the test sees that the reader is about to wait.
type watched struct {
	net.Conn
	armed  atomic.Int64 // how often it has been said how long to wait for bytes
	before func()       // when set, called before that
}

func (w *watched) SetReadDeadline(at time.Time) error {
	if w.before != nil {
		w.before()
	}
	err := w.Conn.SetReadDeadline(at)
	w.armed.Add(1)
	return err
}

// watching is a listener that remembers the connection that it has accepted.
type watching struct {
	net.Listener
	accepted chan *watched
}

func (l watching) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: conn}
	l.accepted <- w
	return w, nil
}

// TestTheTimeInWhichADeviceIsHeldBackIsNotItsOwn: the time for a packet has begun to run, since its head came in two
// pieces, and is over when the edge has room for its body at last, which lies there all the while.
func TestTheTimeInWhichADeviceIsHeldBackIsNotItsOwn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		size   int
		limits Limits
	}{
		"for the window, with a small message":        {1000, Limits{Window: 1, ReadAhead: 1}},
		"for the window, with a large one":            {50 << 10, Limits{Window: 1, ReadAhead: 1}},
		"for the bytes of the edge, with a large one": {50 << 10, Limits{HeldBytes: 300 << 10, Reserve: 1, Beyond: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			seen := watching{l, make(chan *watched, 2)}
			c.limits.ChunkWithin, c.limits.DrainWithin = time.Second, time.Second
			h := openAs(t, nil, 0, c.limits, &recorder{}, []Listener{{Listener: seen}})
			// What keeps the message out, and a second one where the window is it: that one waits for the window.
			full, count := h.connect(t, "d1"), 1
			d, conn := full, <-seen.accepted
			if c.limits.Window == 1 {
				full.send(message("hale/v1/d1/readings", 1, 1, "x"), message("hale/v1/d1/readings", 1, 2, "x"))
				eventually(t, "one waits for the window", func() bool {
					one := h.session("d1")
					one.mu.Lock()
					defer one.mu.Unlock()
					return one.waiting > 0
				})
			} else {
				full.send(message("hale/v1/d1/readings", 1, 1, strings.Repeat("x", 250<<10)))
				d = h.connect(t, "d2")
				conn = <-seen.accepted
			}
			first := h.core.wait(t, count)[0]
			d.ping() // so the reader is between two packets
			publish := string(encodePaho(t, message("hale/v1/d1/readings", 1, 7, strings.Repeat("y", c.size))))
			armed := conn.armed.Load()
			d.write(publish[:1])
			eventually(t, "the reader waits for the rest", func() bool { return conn.armed.Load() > armed })
			// The reader may have been about to wait for the first byte only; it waits again for the second.
			since := time.Now()
			d.write(publish[1:2])
			eventually(t, "the reader waits for the rest", func() bool { return conn.armed.Load() > armed+1 })
			d.write(publish[2:])
			eventually(t, "the time for a packet is over", func() bool { return time.Since(since) > h.limits.ChunkWithin*3/2 })
			first.done(ingest.Receipt{})
			if d == full {
				d.expect(ack("PUBACK", 1))
				h.core.wait(t, 2)[1].done(ingest.Receipt{})
				d.expect(ack("PUBACK", 2))
				count++
			} else {
				full.expect(ack("PUBACK", 1))
			}
			got := h.core.wait(t, count+1)[count]
			if len(got.Payload) != c.size {
				t.Errorf("%d bytes came", len(got.Payload))
			}
			got.done(ingest.Receipt{})
			d.expect(ack("PUBACK", 7))
		})
	}
}

// TestAReaderThatIsStoppedWhileItSetsItsDeadlineDoesNotWait: the deadline with which a drain wakes the reader may be
// followed at once by the reader's own.
func TestAReaderThatIsStoppedWhileItSetsItsDeadlineDoesNotWait(t *testing.T) {
	t.Parallel()
	for _, why := range []cause{causeDrain, causeSuperseded} {
		near, far := net.Pipe()
		conn := &watched{Conn: near}
		one := &session{server: New(Config{}), conn: near, socket: conn, keepAlive: time.Hour}
		one.changed.L = &one.mu
		one.in = newInflow(conn, one.arm)
		conn.before = func() {
			conn.before = nil
			one.end(why)
		}
		if err := one.arm(); err == nil || (why == causeDrain && !errors.Is(err, net.ErrClosed)) {
			t.Errorf("%s: the reader goes on to wait: %v", why, err)
		}
		_, _ = near.Close(), far.Close()
	}
}
