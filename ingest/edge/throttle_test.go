package edge

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestWrongSecretsAreAnsweredMoreAndMoreSlowly(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	here, there := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	th := newThrottle(50 * time.Millisecond)
	strike := func(from netip.Prefix, want time.Duration) {
		t.Helper()
		delay, ok := th.strike(from, now)
		if !ok || delay != want {
			t.Errorf("delay %v, %v; want %v", delay, ok, want)
		}
		if ok {
			th.release(from)
		}
	}
	for _, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 3200, 3200, 3200} {
		strike(here, want*time.Millisecond)
	}
	strike(there, 50*time.Millisecond)
	now = now.Add(strikesForgotAfter + time.Second)
	strike(here, 50*time.Millisecond)
}

func TestWaitingAnswersOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	from := netip.MustParsePrefix("192.0.2.1/32")
	th := newThrottle(time.Millisecond)
	for i := range strikesWaiting {
		if _, ok := th.strike(from, now); !ok {
			t.Fatalf("answer %d is refused", i)
		}
	}
	if _, ok := th.strike(from, now); ok {
		t.Error("one answer too many is delayed")
	}
	th.release(from)
	if _, ok := th.strike(from, now); !ok {
		t.Error("there is no place after a release")
	}
}

func TestRememberedAddressesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	th := newThrottle(time.Millisecond)
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
	}
	for i := range strikesAddresses {
		if _, ok := th.strike(address(i), now); !ok {
			t.Fatalf("address %d is refused", i)
		}
		if i > 0 {
			th.release(address(i))
		}
	}
	if _, ok := th.strike(address(strikesAddresses), now); ok {
		t.Error("one address too many is remembered")
	}
	now = now.Add(2 * strikesForgotAfter)
	if _, ok := th.strike(address(strikesAddresses), now); !ok {
		t.Error("old addresses are not forgotten")
	}
	if len(th.strikes) != 2 {
		t.Errorf("%d addresses are remembered, want the new one and the one that still waits", len(th.strikes))
	}
}

func TestAnOriginIsAnAddressOrAHostsNetwork(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		remote net.Addr
		want   netip.Prefix
	}{
		"IPv4 is itself":             {&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1}, netip.MustParsePrefix("192.0.2.7/32")},
		"IPv4 in IPv6 is IPv4":       {&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 1}, netip.MustParsePrefix("192.0.2.7/32")},
		"IPv6 is its /64":            {&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 1}, netip.MustParsePrefix("2001:db8:1:2::/64")},
		"IPv6 with a zone has none":  {&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, netip.MustParsePrefix("fe80::/64")},
		"what has no address is one": {&net.UnixAddr{Name: "x"}, netip.Prefix{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := origin(c.remote); got != c.want {
				t.Errorf("origin %v, want %v", got, c.want)
			}
		})
	}
}
