package edge

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// throttle slows down whoever guesses secrets, by address. Only wrong guesses are delayed, so that a clinic behind one
// address goes on while one of its devices has an old secret.
type throttle struct {
	first time.Duration

	mu      sync.Mutex
	strikes map[netip.Prefix]*strikes
}

type strikes struct {
	count   int
	last    time.Time
	waiting int // answers that are being delayed
}

// Bounds of the throttle.
const (
	strikesDoubleUpTo  = 7 // 64 times the first delay
	strikesForgotAfter = time.Minute
	strikesAddresses   = 4096
	strikesWaiting     = 16 // of one address at once; further ones get no answer
)

func newThrottle(first time.Duration) *throttle {
	return &throttle{first: first, strikes: map[netip.Prefix]*strikes{}}
}

// strike notes a wrong secret and returns how long to hold the answer back. With ok the caller waits and then calls
// release; without, the address has too many waiting answers and gets none.
func (t *throttle) strike(from netip.Prefix, now time.Time) (delay time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.strikes[from]
	if s == nil {
		if s = t.admit(from, now); s == nil {
			return 0, false
		}
	}
	if now.Sub(s.last) > strikesForgotAfter {
		s.count = 0
	}
	s.last = now
	if s.waiting >= strikesWaiting {
		return 0, false
	}
	s.count = min(s.count+1, strikesDoubleUpTo)
	s.waiting++
	return t.first << (s.count - 1), true
}

// admit starts to remember an address; nil when there are too many already.
func (t *throttle) admit(from netip.Prefix, now time.Time) *strikes {
	if len(t.strikes) >= strikesAddresses {
		for address, s := range t.strikes {
			if s.waiting == 0 && now.Sub(s.last) > strikesForgotAfter {
				delete(t.strikes, address)
			}
		}
		if len(t.strikes) >= strikesAddresses {
			return nil
		}
	}
	s := &strikes{}
	t.strikes[from] = s
	return s
}

func (t *throttle) release(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strikes[from].waiting--
}

// origin returns the address that a connection counts under: an IPv4 address, or the /64 an IPv6 address is in,
// since one host has a whole one.
func origin(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	address := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if address.Is4() {
		bits = 32
	}
	prefix, err := address.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
