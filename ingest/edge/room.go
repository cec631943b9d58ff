package edge

import (
	"context"

	"hale/ingest"
)

// This file keeps a session within its window and all of them within the bytes that the edge may hold. Of what a device
// sends a little is read ahead while there is no room, so that a PINGREQ behind it is seen and answered.

// room waits until the messages that wait for the window are few enough to read another.
func (s *session) room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.waiting >= s.server.limits.ReadAhead && s.ended == "" {
		s.changed.Wait()
	}
	return s.over()
}

// over is an error, with mu held, when the session has ended.
func (s *session) over() error {
	if s.ended != "" {
		return context.Canceled
	}
	return nil
}

// large waits until another message that is larger than a buffer may begin to arrive: those that arrive slowly have a part
// of the budget only, or a few of them would hold up everybody. They wait for it before they hold anything else. Smaller
// ones hold nothing of the budget before they are here.
func (s *session) large(cost int) (release func(), err error) {
	got := false
	c := &claim{bytes: cost, granted: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = true
		s.changed.Broadcast()
	}}
	release = func() { s.server.arriving.give(cost) }
	if s.server.arriving.take(c) {
		return release, nil
	}
	s.mu.Lock()
	for !got && s.ended == "" {
		s.changed.Wait()
	}
	err = s.over()
	s.mu.Unlock()
	if err == nil {
		return release, nil
	}
	if !s.server.arriving.leave(c) { // it is ours at this very moment
		release()
	}
	return nil, err
}

// claim makes room for a message in the budget. A message for which there is none yet waits in line without holding the
// reader up, as long as the session's reserve has room for it; one of a session may go beyond that, for a PINGREQ often
// stands behind a message that is larger than the reserve.
func (s *session) claim(e *entry) error {
	if s.server.held.try(e.cost) {
		e.held = true
		return nil
	}
	e.claim = &claim{bytes: e.cost, granted: func() { s.granted(e) }}
	s.mu.Lock()
	s.unheld += e.cost
	if s.server.held.take(e.claim) {
		s.hold(e)
	}
	for !e.held && s.unheld > s.server.limits.Reserve && s.ended == "" && !s.goBeyond(e) {
		s.changed.Wait()
	}
	err := s.over()
	s.mu.Unlock()
	if err != nil {
		s.withdraw(e)
	}
	return err
}

// goBeyond lets, with mu held, a message go beyond the reserve, if there is room for that and no other of this session has.
func (s *session) goBeyond(e *entry) bool {
	if s.further || !s.server.beyond.try(e.cost) {
		return false
	}
	s.further, e.beyond = true, true
	return true
}

// comeBack takes note, with mu held, that a message is not beyond the reserve any more. Nobody stands in line for what it
// gives back, so nobody is told while mu is held.
func (s *session) comeBack(e *entry) {
	s.unheld -= e.cost
	if e.beyond {
		s.further, e.beyond = false, false
		s.server.beyond.give(e.cost)
	}
}

// granted is how the budget says that it has room for a message now.
func (s *session) granted(e *entry) {
	s.mu.Lock()
	left := e.left
	if !left {
		s.hold(e)
		s.startSubmit()
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	if left {
		s.server.held.give(e.cost)
	}
}

// hold notes, with mu held, that the budget has room for a message.
func (s *session) hold(e *entry) {
	e.held, e.claim = true, nil
	s.comeBack(e)
}

// withdraw gives back the room of a message that is not in the queue.
func (s *session) withdraw(e *entry) {
	var r refund
	s.mu.Lock()
	r.of(s, e)
	s.mu.Unlock()
	r.pay(&s.server.held)
}

// enqueue puts a message at the end of the queue.
func (s *session) enqueue(e *entry) {
	s.mu.Lock()
	failed := s.failed // it will not be acknowledged
	if !failed {
		s.queue = append(s.queue, e)
		s.waiting += e.cost
		s.startSubmit()
	}
	s.mu.Unlock()
	if failed {
		s.withdraw(e)
	}
}

// refund is what goes back to the budget when no session is locked: what is given to one is told to others.
type refund struct {
	bytes  int
	claims []*claim
}

// of takes, with the session's mu held, the room of a message that is not wanted any more, or its place in line.
func (r *refund) of(s *session, e *entry) {
	if e.held {
		r.bytes += e.cost
		return
	}
	e.left = true
	s.comeBack(e)
	r.claims = append(r.claims, e.claim)
}

// pay runs with no session locked. A claim that is granted at this very moment gives its bytes back by itself.
func (r *refund) pay(b *budget) {
	for _, c := range r.claims {
		b.leave(c)
	}
	b.give(r.bytes)
}

// dropFrom forgets, with mu held, the messages from that place of the queue on; none of them was handed over.
func (s *session) dropFrom(first int) (back refund) {
	for _, e := range s.queue[first:] {
		s.waiting -= e.cost
		back.of(s, e)
	}
	clear(s.queue[first:])
	s.queue = s.queue[:first]
	return back
}

// dropUnheld forgets the messages of a session that is over for which the budget has no room: nobody may fill our memory
// by connecting again and again. What came before them is handed over.
func (s *session) dropUnheld() {
	s.mu.Lock()
	first := s.next
	for first < len(s.queue) && s.queue[first].held {
		first++
	}
	back := s.dropFrom(first)
	s.mu.Unlock()
	back.pay(&s.server.held)
}

// mayTake reports, with mu held, whether a message waits, is within the budget, and the window has room for it.
func (s *session) mayTake() bool {
	l := s.server.limits
	return !s.failed && s.next < len(s.queue) && s.queue[s.next].held && s.next-s.head < l.Window && s.inWindow < l.WindowBytes
}

// startSubmit starts the hand-over, with mu held, unless it is at work or may not.
func (s *session) startSubmit() {
	if s.submitting || s.finished || !s.mayTake() {
		return
	}
	s.submitting = true
	s.server.crew.do(s.handOver)
}

// handOver submits messages in receive order, until none waits or the window is full. Submit blocks while the core has no
// room; the reader goes on meanwhile.
func (s *session) handOver() {
	for {
		s.mu.Lock()
		if !s.mayTake() {
			s.submitting = false
			s.changed.Broadcast()
			s.mu.Unlock()
			return
		}
		e := s.queue[s.next]
		s.next++
		s.waiting -= e.cost
		s.inWindow += e.cost
		s.changed.Broadcast()
		s.mu.Unlock()

		m := e.message
		e.message = ingest.Message{}
		s.server.metrics.unacked.Inc()
		s.server.submit(m, func(r ingest.Receipt) { s.durable(e, r) })
	}
}
