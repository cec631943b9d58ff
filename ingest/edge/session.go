package edge

import (
	"crypto/sha256"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// cause says why a session ended.
type cause string

// The causes.
const (
	causeDisconnect cause = "disconnect" // the device said DISCONNECT
	causeGone       cause = "gone"       // the network connection ended
	causeSilent     cause = "silent"     // nothing was heard for one and a half times the keep-alive, or within a packet
	causeProtocol   cause = "protocol"   // the device broke MQTT 3.1.1 or a limit
	causeDeaf       cause = "deaf"       // the device does not read what it is sent
	causeSuperseded cause = "superseded" // it connected again, here or at another edge
	causeRevoked    cause = "revoked"    // its credentials are not good any more
	causeExpired    cause = "expired"    // its client certificate has ended, or the time of whoever signed it
	causeCore       cause = "core"       // a message did not become durable; nothing is acknowledged on a guess
	causeDrain      cause = "drain"      // the server stops
)

// leavesWill reports whether a session that ends so leaves its will: when the device vanished or misbehaved, not when
// it said goodbye, is connected elsewhere, or we hung up for reasons of our own.
func (c cause) leavesWill() bool {
	switch c {
	case causeGone, causeSilent, causeProtocol, causeDeaf:
		return true
	case causeDisconnect, causeSuperseded, causeRevoked, causeExpired, causeCore, causeDrain:
		return false
	}
	return false
}

// queueKept is the length of a queue that is not worth giving back.
const queueKept = 8

// session is a device's connection from CONNACK on. Its reader (serve) is the only goroutine of an idle one; while there
// is something to hand over or to answer, one goroutine submits and one writes.
//
// Messages stand in queue in receive order: [head, next) are with the core, [next, len) wait for the window. The head
// leaves when it is durable, and its acknowledgement is appended to out then, so that acknowledgements keep the order and
// all that gathered during a write go with the next one.
type session struct {
	server    *Server
	conn      net.Conn // what MQTT is spoken on
	socket    net.Conn // what is below it: the same without TLS
	in        *inflow
	uid       string
	canary    string // names the edge when this is its own canary; empty for every device
	epoch     atomic.Int64
	since     time.Time     // when it became the device's connection
	keepAlive time.Duration // zero: none
	will      *will
	device    atomic.Pointer[devices.Device]
	shown     [sha256.Size]byte // of the secret that let it in
	bySecret  bool              // it has shown one
	proof     *devices.Proof    // of the client certificate that let it in; nil: there was none
	pace      *pace             // nil: it may send as it likes
	stopped   atomic.Bool       // no more is read
	outlived  atomic.Bool       // the device has connected again since

	// Of the reader alone.
	slowed bool      // the log has said that the device sends too fast
	topic  string    // of the last message, since most messages of a device have the same
	midway bool      // within a packet: the next bytes are due soon
	mark   int64     // where in the stream the chunk began that is due
	due    time.Time // when it must be there

	mu         sync.Mutex
	changed    sync.Cond // the reader waits on it, and serve when it ends
	ended      cause     // empty while it lives
	failed     bool      // a message was not durable: nothing more is submitted or acknowledged
	finished   bool      // serve has returned: nothing more is started
	queue      []*entry
	next       int
	head       int
	inWindow   int  // bytes of [head, next)
	waiting    int  // bytes of [next, len)
	unheld     int  // bytes of these for which there is no room in the budget yet
	further    bool // one of these is beyond the reserve
	submitting bool
	out        *outflow // nil: nothing is to be written
	flushing   bool
	subscribed subscriptions
}

// entry is one message on its way through a session.
type entry struct {
	qos     byte
	id      uint16
	cost    int
	message ingest.Message // given away with submit
	topic   string
	claim   *claim // of the budget, while it stands in line for it
	held    bool   // the budget has room for it
	beyond  bool   // it has room among what is beyond the reserves instead
	left    bool   // it is not wanted any more: room that comes is given back
	done    bool
	receipt ingest.Receipt
}

// serve reads until the session ends, and sees to it that what was received is handed over, the acknowledgements of a
// drained connection are written, and a will is told.
func (s *session) serve() {
	s.end(s.read())
	s.in.close()
	s.dropUnheld()
	s.mu.Lock()
	for !s.settled() {
		s.changed.Wait()
	}
	s.finished = true
	ended := s.ended
	s.mu.Unlock()
	_ = s.conn.Close() // it is closed already, save after a drain
	s.server.forget(s)
	s.server.metrics.closed.WithLabelValues(string(ended)).Inc()
	s.server.log.Info("device disconnected", "device", s.uid, "cause", string(ended))
	if !s.outlived.Load() {
		s.note(vital.StatusLeft, s.epoch.Load())
	}
	if s.will != nil && ended.leavesWill() && !s.outlived.Load() {
		s.server.metrics.unacked.Inc()
		s.server.submit(ingest.Message{
			Device: s.device.Load(), Topic: s.will.topic, Payload: s.will.payload, ReceivedAt: s.server.now(),
			Connection: s.epoch.Load(), Presence: vital.StatusWill,
		}, s.server.willSettled)
	}
}

// settled reports, with mu held, whether an ended session has nothing left to do: all is handed over, and after a drain
// all is acknowledged and written too.
func (s *session) settled() bool {
	if s.submitting || s.flushing {
		return false
	}
	if s.failed {
		return true
	}
	if s.ended == causeDrain {
		return s.head == len(s.queue) && s.out == nil
	}
	return s.next == len(s.queue)
}

// end ends the session; the first cause stands. A drained connection stays open for its acknowledgements.
func (s *session) end(why cause) {
	s.mu.Lock()
	first := s.ended == ""
	if first {
		s.ended = why
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	s.stopped.Store(true)
	switch {
	case !first:
	case why == causeDrain:
		_ = s.socket.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; an error means that it is awake
	case why == causeDisconnect: // the reader itself: TLS may say goodbye too
		_ = s.conn.Close()
	default:
		_ = s.socket.Close() // at once: a goodbye of TLS could wait for a device that does not read
	}
}

// abandon gives up on everything that is not settled: the server waits no longer.
func (s *session) abandon() {
	s.mu.Lock()
	s.failed = true
	back := s.dropFrom(s.next) // it was not acknowledged: the device sends it again
	s.changed.Broadcast()
	s.mu.Unlock()
	back.pay(&s.server.held)
	_ = s.socket.Close()
}

// begin starts the time in which the next chunk of a packet must come; it runs from the first wait for it.
func (s *session) begin() {
	s.midway, s.mark, s.due = true, s.in.total, time.Time{}
}

// arm sets how long the reader may wait for the next bytes: between packets by the keep-alive, within a packet so that
// chunk after chunk comes in time. It runs before each read, so the time in which we held the device back never counts
// against it.
func (s *session) arm() error {
	deadline := time.Time{}
	switch {
	case s.midway:
		if s.in.total-s.mark >= inflowBusy {
			s.begin()
		}
		if s.due.IsZero() {
			s.due = time.Now().Add(s.server.limits.ChunkWithin)
		}
		deadline = s.due
	case s.keepAlive > 0:
		deadline = time.Now().Add(s.keepAlive)
	}
	if err := s.socket.SetReadDeadline(deadline); err != nil {
		return err
	}
	if s.stopped.Load() { // end may have set its deadline just before ours
		return net.ErrClosed
	}
	return nil
}

// durable notes what became of a message and acknowledges what can be. The core calls it, from any goroutine.
func (s *session) durable(e *entry, r ingest.Receipt) {
	s.mu.Lock()
	if e.done {
		s.mu.Unlock()
		return
	}
	e.done, e.receipt = true, r
	var back refund
	if r.Err != nil {
		s.failed = true
		back = s.dropFrom(s.next)
	}
	back.bytes += e.cost
	s.acknowledge()
	s.changed.Broadcast()
	s.mu.Unlock()

	back.pay(&s.server.held)
	s.server.metrics.unacked.Dec()
	if s.canary == "" {
		s.server.metrics.settled(r)
	}
	if r.Err != nil {
		s.server.log.Warn("message not durable, connection closed without acknowledgement", "device", s.uid, "error", r.Err)
		s.end(causeCore)
	}
}

// acknowledge takes, with mu held, the durable messages off the head of the queue and appends their acknowledgements.
func (s *session) acknowledge() {
	for !s.failed && s.head < s.next && s.queue[s.head].done {
		e := s.queue[s.head]
		s.queue[s.head] = nil
		s.head++
		s.inWindow -= e.cost
		switch e.qos {
		case 1:
			s.write(func(out []byte) []byte { return appendAck(out, typePuback, e.id) })
		case 2:
			s.write(func(out []byte) []byte { return appendAck(out, typePubrec, e.id) })
		}
		s.appendReceipt(e)
	}
	if s.head > 0 && (s.head == len(s.queue) || s.head >= 1024) {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.next, s.head = s.queue[:n], s.next-s.head, 0
		if n == 0 && cap(s.queue) > queueKept {
			s.queue = nil
		}
	}
	s.startFlush()
	s.startSubmit()
}
