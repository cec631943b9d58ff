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

// wait returns how long attempts from the address have to wait.
func (a *addresses) wait(addr netip.Addr, now time.Time) time.Duration {
	p, counted := from(addr)
	if !counted {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.seen[p]
	if o == nil || now.Sub(o.last) > forgetAfter {
		return 0
	}
	return o.until.Sub(now)
}

// failed counts a wrong password. A right one in between forgives nothing: the guesser may have a login too.
func (a *addresses) failed(addr netip.Addr, now time.Time) {
	p, counted := from(addr)
	if !counted {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.seen[p]
	if o == nil || now.Sub(o.last) > forgetAfter {
		a.sweep(now)
		o = &origin{}
		a.seen[p] = o
	}
	o.failures++
	o.last = now
	if over := o.failures - freeFromAddress; over >= 0 {
		o.until = now.Add(min(longestWait, firstWait<<min(over, 10)))
	}
}

// sweep forgets addresses from which nothing wrong came for a while and, when there are too many, those that have not
// come far.
func (a *addresses) sweep(now time.Time) {
	if len(a.seen) < mostAddresses/2 {
		return
	}
	crowded := len(a.seen) >= mostAddresses
	for p, o := range a.seen {
		if now.Sub(o.last) > forgetAfter || crowded && o.failures < freeFromAddress {
			delete(a.seen, p)
		}
	}
}
