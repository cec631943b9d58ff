package edge

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hale/devices"
	"hale/ingest"
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
	causeCore       cause = "core"       // a message did not become durable; nothing is acknowledged on a guess
	causeDrain      cause = "drain"      // the server stops
)

// leavesWill reports whether a session that ends so leaves its will: when the device vanished or misbehaved, not when
// it said goodbye, is connected elsewhere, or we hung up for reasons of our own.
func (c cause) leavesWill() bool {
	switch c {
	case causeGone, causeSilent, causeProtocol, causeDeaf:
		return true
	case causeDisconnect, causeSuperseded, causeRevoked, causeCore, causeDrain:
		return false
	}
	return false
}

// session is a device's connection from CONNACK on. Its reader (serve) is the only goroutine of an idle one; while there
// is something to hand over or to answer, one goroutine submits and one writes.
//
// Messages stand in queue in receive order: [head, next) are with the core, [next, len) wait for the window. The head
// leaves when it is durable, and its acknowledgement is appended to out then, so that acknowledgements keep the order and
// all that gathered during a write go with the next one.
type session struct {
	server    *Server
	conn      net.Conn
	in        *inflow
	uid       string
	epoch     int64
	keepAlive time.Duration // zero: none
	will      *will
	device    atomic.Pointer[devices.Device]
	stopped   atomic.Bool                                       // no more is read
	outlived  atomic.Bool                                       // the device has connected again since
	submit    func(m ingest.Message, done func(ingest.Receipt)) // the core, for as long as the server may wait for it
	cancel    context.CancelFunc                                // ends the reader's waiting

	// Of the reader alone.
	topic  string    // of the last message, since most messages of a device have the same
	midway bool      // within a packet: the next bytes are due soon
	mark   int64     // where in the stream the chunk began that is due
	due    time.Time // when it must be there

	mu         sync.Mutex
	changed    *sync.Cond // the reader waits on it, and serve when it ends
	ended      cause      // empty while it lives
	failed     bool       // a message was not durable: nothing more is submitted or acknowledged
	finished   bool       // serve has returned: nothing more is started
	queue      []*entry
	next       int
	head       int
	inWindow   int // bytes of [head, next)
	waiting    int // bytes of [next, len)
	submitting bool
	out, spare []byte
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
	done    bool
	receipt ingest.Receipt
}

// serve reads until the session ends, and sees to it that what was received is handed over, the acknowledgements of a
// drained connection are written, and a will is told.
func (s *session) serve(ctx context.Context) {
	s.end(s.read(ctx))
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
	if s.will != nil && ended.leavesWill() && !s.outlived.Load() {
		s.server.metrics.unacked.Inc()
		s.submit(ingest.Message{
			Device: s.device.Load(), Topic: s.will.topic, Payload: s.will.payload, ReceivedAt: s.server.now(),
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
		return s.head == len(s.queue) && len(s.out) == 0
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
	s.cancel()
	if first && why == causeDrain {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; an error means that it is awake
		return
	}
	if first {
		_ = s.conn.Close()
	}
}

// abandon gives up on everything that is not settled: the server waits no longer.
func (s *session) abandon() {
	s.mu.Lock()
	s.failed = true
	s.dropWaiting()
	s.changed.Broadcast()
	s.mu.Unlock()
	_ = s.conn.Close()
}

// dropWaiting forgets, with mu held, the messages that were not handed over. They were not acknowledged: the device
// sends them again.
func (s *session) dropWaiting() {
	for _, e := range s.queue[s.next:] {
		s.server.release(e.cost)
	}
	s.queue = s.queue[:s.next]
	s.waiting = 0
}

// begin starts the time in which the next chunk of a packet must come.
func (s *session) begin() {
	s.midway, s.mark, s.due = true, s.in.total, time.Now().Add(s.server.limits.ChunkWithin)
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
		deadline = s.due
	case s.keepAlive > 0:
		deadline = time.Now().Add(s.keepAlive)
	}
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	if s.stopped.Load() { // end may have set its deadline just before ours
		return net.ErrClosed
	}
	return nil
}

// answer appends to what is to be written and sees to it that it is.
func (s *session) answer(build func(out []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.failed {
		return
	}
	s.out = build(s.out)
	s.startFlush()
}

// startFlush starts the writer, with mu held, unless it is at work or there is nothing to write.
func (s *session) startFlush() {
	if len(s.out) == 0 || s.flushing || s.finished || (s.ended != "" && s.ended != causeDrain) {
		return
	}
	s.flushing = true
	s.server.workers.Go(s.flush)
}

// flush writes what has gathered, in one write each time, until nothing has.
func (s *session) flush() {
	for {
		s.mu.Lock()
		if len(s.out) == 0 || (s.ended != "" && s.ended != causeDrain) {
			s.flushing = false
			s.changed.Broadcast()
			s.mu.Unlock()
			return
		}
		batch := s.out
		s.out, s.spare = s.spare[:0], nil
		s.mu.Unlock()

		err := s.conn.SetWriteDeadline(time.Now().Add(s.server.limits.WriteWithin))
		if err == nil {
			_, err = s.conn.Write(batch)
		}
		if err != nil {
			s.deaf()
		}
		s.mu.Lock()
		if cap(batch) <= maxReceiptsBehind {
			s.spare = batch[:0]
		}
		s.changed.Broadcast()
		s.mu.Unlock()
	}
}

// deaf ends a session to which nothing can be written. A drained one has an end already and only loses what was left.
func (s *session) deaf() {
	s.end(causeDeaf)
	s.mu.Lock()
	drained := s.ended == causeDrain
	s.mu.Unlock()
	if drained {
		s.abandon()
	}
}

// durable notes what became of a message and acknowledges what can be. The core calls it, from any goroutine.
func (s *session) durable(e *entry, r ingest.Receipt) {
	s.mu.Lock()
	if e.done {
		s.mu.Unlock()
		return
	}
	e.done, e.receipt = true, r
	if r.Err != nil {
		s.failed = true
		s.dropWaiting()
	}
	s.acknowledge()
	s.changed.Broadcast()
	s.mu.Unlock()

	s.server.release(e.cost)
	s.server.metrics.unacked.Dec()
	s.server.metrics.settled(r)
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
			s.out = appendAck(s.out, typePuback, e.id)
		case 2:
			s.out = appendAck(s.out, typePubrec, e.id)
		}
		s.appendReceipt(e)
	}
	if s.head > 0 && (s.head == len(s.queue) || s.head >= 1024) {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.next, s.head = s.queue[:n], s.next-s.head, 0
	}
	s.startFlush()
	s.startSubmit()
}

// receipt is the payload on a device's receipts topic: docs/wire.md.
type receipt struct {
	Topic    string           `json:"topic"`
	Accepted int              `json:"accepted"`
	Refused  []receiptRefusal `json:"refused"`
}

type receiptRefusal struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// appendReceipt appends, with mu held, the receipt of a message, when the device listens and there is something it
// wants to know. A receipt has QoS 0: who does not read loses it.
func (s *session) appendReceipt(e *entry) {
	r := e.receipt
	if !s.subscribed.wants(Receipts) || (len(r.Refused) == 0 && !r.Wanted) {
		return
	}
	if len(s.out) > maxReceiptsBehind {
		s.server.metrics.receipts.WithLabelValues("dropped").Inc()
		return
	}
	told := receipt{Topic: e.topic, Accepted: r.Accepted, Refused: make([]receiptRefusal, len(r.Refused))}
	for i, refusal := range r.Refused {
		told.Refused[i] = receiptRefusal{Index: refusal.Index, Reason: string(refusal.Reason), Detail: refusal.Detail}
	}
	payload, err := json.Marshal(told)
	if err != nil { // strings and integers always marshal
		return
	}
	s.out = appendPublish(s.out, downTopic(s.uid, Receipts), payload)
	s.server.metrics.receipts.WithLabelValues("sent").Inc()
}

// deliver sends a message down and reports whether the device listens for it and reads what it is sent.
func (s *session) deliver(kind Kind, payload []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != "" || !s.subscribed.wants(kind) || len(s.out) > maxReceiptsBehind {
		return false
	}
	s.out = appendPublish(s.out, downTopic(s.uid, kind), payload)
	s.startFlush()
	return true
}
