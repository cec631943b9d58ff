package guess

import (
	"net/netip"
	"testing"
	"time"
)

// free is how many mistakes cost nothing in these tests.
const free = 30

// waits tells how long an attempt that begins now would have to wait.
func waits(a *Addresses, addr netip.Addr, now time.Time) time.Duration {
	wait := a.Begin(addr, now)
	if wait <= 0 {
		a.Leave(addr)
	}
	return wait
}

func TestWhoSharesTheWaitOfAnAddress(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		guesser, other string
		slowed         bool // the guesser
		together       bool // the other with him
	}{
		"two addresses":                      {"192.0.2.7", "192.0.2.8", true, false},
		"one address in two forms":           {"192.0.2.7", "::ffff:192.0.2.7", true, true},
		"one household's addresses of IPv6":  {"2001:db8:1:2::3", "2001:db8:1:2:ffff::4", true, true},
		"two households":                     {"2001:db8:1:2::3", "2001:db8:1:3::3", true, false},
		"this machine, where a proxy may be": {"127.0.0.1", "::1", false, false},
		"this machine in the form of IPv6":   {"::ffff:127.0.0.1", "127.0.0.1", false, false},
		"an address that nobody knows":       {"", "192.0.2.8", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(text string) netip.Addr {
				addr, _ := netip.ParseAddr(text) // "" is no address
				return addr
			}
			a := NewAddresses(free)
			for range free - 1 {
				a.Failed(at(c.guesser), now)
			}
			if wait := waits(a, at(c.guesser), now); wait > 0 {
				t.Fatalf("%d mistakes cost %s", free-1, wait)
			}
			a.Failed(at(c.guesser), now)
			if got := waits(a, at(c.guesser), now) > 0; got != c.slowed {
				t.Errorf("the guesser waits: %v", got)
			}
			if got := waits(a, at(c.other), now) > 0; got != c.together {
				t.Errorf("the other waits: %v", got)
			}
			for range 20 {
				a.Failed(at(c.guesser), now)
			}
			if wait := waits(a, at(c.guesser), now); wait > LongestWait {
				t.Errorf("the wait grew to %s", wait)
			}
			if wait := waits(a, at(c.guesser), now.Add(ForgetAfter+time.Second)); wait > 0 {
				t.Errorf("after %s: %s", ForgetAfter, wait)
			}
		})
	}
}

func TestAFloodOfAddressesIsSweptOutAndTheGuesserIsNot(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	a := NewAddresses(free)
	guesser := netip.MustParseAddr("192.0.2.7")
	for range free + 5 {
		a.Failed(guesser, now)
	}
	for i := range 3 * mostAddresses {
		a.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(a.seen) > mostAddresses+1 || waits(a, guesser, now) <= 0 {
		t.Errorf("%d addresses are kept; the guesser waits %s", len(a.seen), waits(a, guesser, now))
	}
}

func TestAttemptsThatAreUnderWayAreNotAllFree(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	a, addr := NewAddresses(free), netip.MustParseAddr("192.0.2.7")
	begun := func() (n int) {
		for range 3 * free {
			if a.Begin(addr, now) <= 0 {
				n++
			}
		}
		return n
	}
	if n := begun(); n != free {
		t.Errorf("%d attempts at once, want %d", n, free)
	}
	for i := range free {
		if i%2 == 0 { // the others were right
			a.Failed(addr, now)
		}
		a.Leave(addr)
	}
	if n := begun(); n != free/2 {
		t.Errorf("with %d mistakes %d attempts at once, want as many", free/2, n)
	}
	for range free / 2 {
		a.Failed(addr, now)
		a.Leave(addr)
	}
	for _, pass := range []time.Duration{FirstWait, 2 * FirstWait, 4 * FirstWait} {
		if n := begun(); n != 0 {
			t.Errorf("%d attempts began in spite of the wait", n)
		}
		now = now.Add(pass)
		if n := begun(); n != 1 {
			t.Errorf("after the wait %d attempts at once, want one", n)
		}
		a.Failed(addr, now)
		a.Leave(addr)
	}
	now = now.Add(ForgetAfter + time.Second)
	if n := begun(); n != free {
		t.Errorf("on a clean slate %d attempts at once", n)
	}
	for range free {
		a.Leave(addr)
	}
	if len(a.seen) != 0 {
		t.Errorf("%d addresses are kept that did nothing wrong", len(a.seen))
	}
}
