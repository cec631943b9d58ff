package signin

import (
	"context"
	"sync"
	"time"

	"hale/account/guess"
	"hale/fault"
)

// Wrong passwords: the first five of a login cost nothing, each further one doubles the wait, up to a minute. The wait
// is short so that nobody can keep a nurse out for long by guessing at her login.
const (
	freeFailures = 5
	mostWaiting  = 8      // attempts at one login that wait for their turn
	mostLogins   = 10_000 // logins that are remembered; a flood of invented ones is swept out
)

// attempts remembers who failed how often. Attempts at one login take turns, so that guesses sent all at once are
// counted one by one. The zero value is not usable; see newAttempts.
type attempts struct {
	mu      sync.Mutex
	byLogin map[string]*history
}

type history struct {
	turn     chan struct{} // holds one token while somebody tries
	waiting  int           // including the one whose turn it is
	failures int
	until    time.Time // no attempt before this
	last     time.Time
}

func newAttempts() *attempts { return &attempts{byLogin: map[string]*history{}} }

// begin waits for the login's turn. The caller must call end when there is no error.
func (a *attempts) begin(ctx context.Context, login string, now func() time.Time) (*history, error) {
	a.mu.Lock()
	h := a.byLogin[login]
	if h == nil {
		a.sweep(now())
		h = &history{turn: make(chan struct{}, 1)}
		a.byLogin[login] = h
	}
	if h.waiting >= mostWaiting {
		a.mu.Unlock()
		return nil, guess.TooMany(guess.FirstWait)
	}
	h.waiting++
	a.mu.Unlock()

	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		a.leave(h)
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "signing in took too long; try again")
	}
	a.mu.Lock()
	if now().Sub(h.last) > guess.ForgetAfter {
		h.failures = 0
	}
	wait := h.until.Sub(now())
	a.mu.Unlock()
	if wait > 0 {
		<-h.turn
		a.leave(h)
		return nil, guess.TooMany(wait)
	}
	return h, nil
}

func (a *attempts) leave(h *history) {
	a.mu.Lock()
	h.waiting--
	a.mu.Unlock()
}

// outcome is how an attempt ended.
type outcome int

const (
	unknown outcome = iota // nothing was learned: the record was away
	wrong
	right
)

// end counts how the attempt ended and lets the next one take its turn.
func (a *attempts) end(login string, h *history, o outcome, now time.Time) {
	a.mu.Lock()
	h.waiting--
	h.last = now
	switch o {
	case unknown:
	case wrong:
		h.failures++
		if over := h.failures - freeFailures; over >= 0 {
			h.until = now.Add(min(guess.LongestWait, guess.FirstWait<<min(over, 10)))
		}
	case right:
		h.failures, h.until = 0, time.Time{}
		if h.waiting == 0 {
			delete(a.byLogin, login)
		}
	}
	a.mu.Unlock()
	<-h.turn
}

// sweep forgets logins that nobody tried for a while and, when there are still too many, all that nobody tries now.
func (a *attempts) sweep(now time.Time) {
	if len(a.byLogin) < mostLogins/2 {
		return
	}
	crowded := len(a.byLogin) >= mostLogins
	for login, h := range a.byLogin {
		if h.waiting == 0 && (now.Sub(h.last) > guess.ForgetAfter || crowded && h.failures < freeFailures) {
			delete(a.byLogin, login)
		}
	}
}
