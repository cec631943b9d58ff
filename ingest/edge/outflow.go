package edge

import "time"

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

// startFlush starts the writer, with mu held, unless it is at work or there is nothing to write.
func (s *session) startFlush() {
	if s.out == nil || s.flushing || s.finished || (s.ended != "" && s.ended != causeDrain) {
		return
	}
	s.flushing = true
	s.server.crew.do(s.flush)
}

// flush writes what has gathered, in one write each time, until nothing has.
func (s *session) flush() {
	for {
		s.mu.Lock()
		if s.out == nil || (s.ended != "" && s.ended != causeDrain) {
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
		if cap(batch.b) <= maxReceiptsBehind {
			batch.b = batch.b[:0]
			s.server.outflows.Put(batch)
		}
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
