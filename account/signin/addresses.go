package signin

import (
	"net/netip"
	"sync"
	"time"
)

// Wrong passwords from one address: many people may sit behind it, so the first thirty cost nothing; each further one
// doubles the wait of everybody there, up to a minute. This is what slows down somebody who tries one password at many
// logins. Who is signed in already is not concerned.
const (
	freeFromAddress = 30
	mostAddresses   = 10_000
	homePrefix      = 64 // bits of an IPv6 address that one household or office has to itself
)

// addresses remembers from where wrong passwords come.
type addresses struct {
	mu   sync.Mutex
	seen map[netip.Prefix]*origin
}

type origin struct {
	trying   int // attempts that are under way
	failures int
	until    time.Time // no attempt before this
	last     time.Time
}

func newAddresses() *addresses { return &addresses{seen: map[netip.Prefix]*origin{}} }

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

// begin reserves an attempt for the address, or returns how long it has to wait. Attempts that are under way count as the
// mistakes that they may become: guesses sent all at once are not all free, and beyond the free ones there is one at a
// time. The caller must call leave when there is no wait.
func (a *addresses) begin(addr netip.Addr, now time.Time) (wait time.Duration) {
	p, counted := from(addr)
	if !counted {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.of(p, now)
	if o.trying > 0 && o.failures+o.trying >= freeFromAddress {
		return max(firstWait, o.until.Sub(now))
	}
	if wait := o.until.Sub(now); wait > 0 {
		return wait
	}
	o.trying++
	return 0
}

// leave ends an attempt that begin has let in, after it was counted.
func (a *addresses) leave(addr netip.Addr) {
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

// failed counts a wrong password. A right one in between forgives nothing: the guesser may have a login too.
func (a *addresses) failed(addr netip.Addr, now time.Time) {
	p, counted := from(addr)
	if !counted {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.of(p, now)
	o.failures++
	o.last = now
	if over := o.failures - freeFromAddress; over >= 0 {
		o.until = now.Add(min(longestWait, firstWait<<min(over, 10)))
	}
}

// of returns what is known of an address, with a clean slate when nothing wrong came from there for a while.
func (a *addresses) of(p netip.Prefix, now time.Time) *origin {
	o := a.seen[p]
	if o == nil {
		a.sweep(now)
		o = &origin{}
		a.seen[p] = o
	}
	if now.Sub(o.last) > forgetAfter {
		o.failures, o.until = 0, time.Time{}
	}
	return o
}

// sweep forgets addresses from which nothing wrong came for a while and, when there are too many, those that have not
// come far.
func (a *addresses) sweep(now time.Time) {
	if len(a.seen) < mostAddresses/2 {
		return
	}
	crowded := len(a.seen) >= mostAddresses
	for p, o := range a.seen {
		if o.trying == 0 && (now.Sub(o.last) > forgetAfter || crowded && o.failures < freeFromAddress) {
			delete(a.seen, p)
		}
	}
}
