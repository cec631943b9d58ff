package edge

import (
	"syscall"
	"time"
)

// outflowFirst is what a buffer of answers holds at first: some hundred acknowledgements.
const outflowFirst = 512

// outflow is what is to be written to a connection. A connection has one only while there is something to write.
type outflow struct{ b []byte }

// write appends, with mu held, to what is to be written.
func (s *session) write(build func(out []byte) []byte) {
	if s.out == nil {
		s.out, _ = s.server.outflows.Get().(*outflow)
	}
	s.out.b = build(s.out.b)
}

// behind returns, with mu held, how many bytes wait to be written.
func (s *session) behind() int {
	if s.out == nil {
		return 0
	}
	return len(s.out.b)
}

// answer appends to what is to be written and sees to it that it is.
func (s *session) answer(build func(out []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.failed {
		return
	}
	s.write(build)
	s.startFlush()
}

// startFlush sees to it, with mu held, that what gathered is written, unless a writer is at work. Where nothing more is
// with the core, nothing more will gather soon: then the socket takes it here and now, as it nearly always can.
func (s *session) startFlush() {
	if s.out == nil || s.flushing || s.finished || (s.ended != "" && s.ended != causeDrain) {
		return
	}
	if s.head == s.next && s.writeNow() {
		return
	}
	s.flushing = true
	s.server.crew.do(s.flush)
}

// writeNow writes, with mu held, what the socket takes without waiting, and reports whether that was all.
func (s *session) writeNow() bool {
	if s.in.raw == nil || s.conn != s.socket {
		return false // under TLS nobody can write without waiting
	}
	n := 0
	err := s.in.raw.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), s.out.b) // whatever went wrong goes wrong for the writer again
		return true
	})
	if err != nil || n <= 0 {
		return false
	}
	if n < len(s.out.b) {
		s.out.b = s.out.b[:copy(s.out.b, s.out.b[n:])]
		return false
	}
	s.server.done(s.out)
	s.out = nil
	return true
}

// done gives a buffer of answers back.
func (s *Server) done(o *outflow) {
	if cap(o.b) <= maxReceiptsBehind {
		o.b = o.b[:0]
		s.outflows.Put(o)
	}
}

// flush writes what has gathered, in one write each time, until nothing has.
func (s *session) flush() {
	for {
		s.mu.Lock()
		if s.out == nil || (s.ended != "" && s.ended != causeDrain) {
			_ = s.socket.SetWriteDeadline(time.Time{}) // writeNow waits for nothing; an error means that it is closed
			s.flushing = false
			s.changed.Broadcast()
			s.mu.Unlock()
			return
		}
		batch := s.out
		s.out = nil
		s.mu.Unlock()

		err := s.socket.SetWriteDeadline(time.Now().Add(s.server.limits.WriteWithin))
		if err == nil {
			_, err = s.conn.Write(batch.b)
		}
		s.server.done(batch)
		if err != nil {
			s.deaf()
		}
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
