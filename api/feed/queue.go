package feed

import (
	"sync"

	"hale/account"
	"hale/vital"
)

// subscription is one connection's place in its room: a queue that grows as far as it must, up to queueLength.
type subscription struct {
	org     vital.OrgID
	actor   account.Actor // who opened it
	session vital.UID     // that it was opened with
	person  *person
	sitting *sitting
	wake    chan struct{} // holds a token while there is something to take

	mu      sync.Mutex
	pending []news
	closed  bool
}

// put adds news; false means that the connection lags too far behind.
func (s *subscription) put(n news) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= queueLength {
		return false
	}
	s.pending = append(s.pending, n)
	s.rouse()
	return true
}

// take returns what is pending; open is false when there will be no more.
func (s *subscription) take() (batch []news, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, s.pending = s.pending, nil
	return batch, !s.closed
}

// discard throws away what was not taken yet: the session is over.
func (s *subscription) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
}

func (s *subscription) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.rouse()
}

func (s *subscription) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
