// Package guess slows down whoever tries secrets out: waits by address, and codes that people can read, type, and hardly guess.
// Signing in and the links of the data safe take turns with it.
package guess

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"hale/fault"
)

// The waits after mistakes: the first, which each further mistake doubles, up to the longest. Without a further attempt for
// ForgetAfter the slate is clean.
const (
	FirstWait   = time.Second
	LongestWait = time.Minute
	ForgetAfter = 15 * time.Minute
)

// TooManyError says that somebody has to wait before the next attempt.
type TooManyError struct{ After time.Duration }

// Error says how long to wait.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many wrong attempts; try again in %d s", int(e.RetryAfter().Seconds()))
}

// RetryAfter returns how long to wait, in whole seconds; the HTTP edge turns it into 429 with Retry-After.
func (e *TooManyError) RetryAfter() time.Duration {
	return max(time.Second, (e.After + time.Second - 1).Truncate(time.Second))
}

// TooMany returns a TooManyError of kind fault.Unavailable.
func TooMany(after time.Duration) error {
	e := &TooManyError{After: after}
	return &fault.Error{Kind: fault.Unavailable, Message: e.Error(), Err: e}
}

const (
	mostAddresses = 10_000
	homePrefix    = 64 // bits of an IPv6 address that one household or office has to itself
)

// Addresses remembers from where mistakes come. Many people may sit behind one address, so the first of them cost nothing; each
// further one doubles the wait of everybody there. Make it with NewAddresses.
type Addresses struct {
	free int
	mu   sync.Mutex
	seen map[netip.Prefix]*origin
}

type origin struct {
	trying   int // attempts that are under way
	failures int
	until    time.Time // no attempt before this
	last     time.Time
}

// NewAddresses returns Addresses from each of which so many mistakes cost nothing.
func NewAddresses(free int) *Addresses {
	return &Addresses{free: free, seen: map[netip.Prefix]*origin{}}
}

// from returns what an address is counted as. An address that is not known is not counted, nor is this machine's own:
// behind it is a proxy that nobody told us to believe, and so perhaps everybody.
func from(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() || addr.IsUnspecified() {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = homePrefix
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

// Begin reserves an attempt for the address, or returns how long it has to wait. Attempts that are under way count as the
// mistakes that they may become: guesses sent all at once are not all free, and beyond the free ones there is one at a
// time. The caller must call Leave when there is no wait.
func (a *Addresses) Begin(addr netip.Addr, now time.Time) (wait time.Duration) {
	p, counted := from(addr)
	if !counted {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.of(p, now)
	if o.trying > 0 && o.failures+o.trying >= a.free {
		return max(FirstWait, o.until.Sub(now))
	}
	if wait := o.until.Sub(now); wait > 0 {
		return wait
	}
	o.trying++
	return 0
}

// Leave ends an attempt that Begin has let in, after it was counted.
func (a *Addresses) Leave(addr netip.Addr) {
	p, counted := from(addr)
	if !counted {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.seen[p]
	o.trying--
	if o.trying == 0 && o.failures == 0 {
		delete(a.seen, p)
	}
}

// Failed counts a mistake. A right one in between forgives nothing: the guesser may have a secret of their own too.
func (a *Addresses) Failed(addr netip.Addr, now time.Time) {
	p, counted := from(addr)
	if !counted {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.of(p, now)
	o.failures++
	o.last = now
	if over := o.failures - a.free; over >= 0 {
		o.until = now.Add(min(LongestWait, FirstWait<<min(over, 10)))
	}
}

// of returns what is known of an address, with a clean slate when nothing wrong came from there for a while.
func (a *Addresses) of(p netip.Prefix, now time.Time) *origin {
	o := a.seen[p]
	if o == nil {
		a.sweep(now)
		o = &origin{}
		a.seen[p] = o
	}
	if now.Sub(o.last) > ForgetAfter {
		o.failures, o.until = 0, time.Time{}
	}
	return o
}

// sweep forgets addresses from which nothing wrong came for a while and, when there are too many, those that have not
// come far.
func (a *Addresses) sweep(now time.Time) {
	if len(a.seen) < mostAddresses/2 {
		return
	}
	crowded := len(a.seen) >= mostAddresses
	for p, o := range a.seen {
		if o.trying == 0 && (now.Sub(o.last) > ForgetAfter || crowded && o.failures < a.free) {
			delete(a.seen, p)
		}
	}
}
