package session

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/fault"
)

// Proxies are the addresses of proxies that are believed when they say from where a request came, and how. Nobody else
// is: everybody can write a header. Fiber's own support is switched off, because it takes the first address of
// X-Forwarded-For, which is the one that the client itself may have written.
type Proxies []netip.Prefix

// ParseProxies reads addresses and CIDR ranges; fault.Invalid names the one that is neither, or that means everybody.
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, text := range list {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fault.New(fault.Invalid, "%q is no address of a proxy: say an address or a range such as 10.1.2.0/24", text)
			}
			addr = addr.Unmap().WithZone("")
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Bits() == 0 {
			return nil, fault.New(fault.Invalid, "%s is everybody: name the addresses of the proxies", text)
		}
		p = append(p, prefix.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(one netip.Prefix) bool { return one.Contains(addr) })
}

// arrival is how a request came to us.
type arrival struct {
	from   netip.Addr // of the client; of the nearest proxy that we know nothing of
	secure bool       // encrypted all the way to us, or to a proxy that we believe
	host   string     // that the client asked for
	ours   bool       // the host is known to be this machine
	public string     // Keeper.Public
	agent  string     // what the client says it is
	before string     // token of the session that its cookies hold, as SignIn knows it; empty: none

	setCookie func(string) // adds a Set-Cookie header to the answer
}

// arrival looks at the connection, and at the headers where a trusted proxy holds its other end.
func (p Proxies) arrival(c *fiber.Ctx) arrival {
	a := arrival{secure: c.Context().IsTLS(), host: string(c.Request().Host()), agent: c.Get(fiber.HeaderUserAgent)}
	peer, ok := netip.AddrFromSlice(c.Context().RemoteIP())
	if !ok {
		return a
	}
	a.from = peer.Unmap()
	if !p.trusts(a.from) {
		return a
	}
	a.from = p.client(a.from, all(c, fiber.HeaderXForwardedFor))
	// The last element is that of the proxy we know; what stands before it may be the client's own.
	if said := all(c, fiber.HeaderXForwardedProto); len(said) > 0 {
		a.secure = strings.EqualFold(said[len(said)-1], "https")
	}
	if said := all(c, fiber.HeaderXForwardedHost); len(said) > 0 {
		a.host = said[len(said)-1]
	}
	return a
}

// client walks the list of addresses back from the proxy that we know to the first address that is no proxy of ours.
// What stands before it was written by somebody whom we do not believe.
func (p Proxies) client(nearest netip.Addr, list []string) netip.Addr {
	for _, text := range slices.Backward(list) {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			with, portErr := netip.ParseAddrPort(text) // some proxies add the port
			if portErr != nil {
				return nearest
			}
			addr = with.Addr()
		}
		nearest = addr.Unmap().WithZone("")
		if !p.trusts(nearest) {
			return nearest
		}
	}
	return nearest
}

// all returns every element of a list header, over all lines of it: a proxy may add a line instead of an element.
func all(c *fiber.Ctx, header string) []string {
	var list []string
	for _, line := range c.Request().Header.PeekAll(header) {
		for _, one := range strings.Split(string(line), ",") {
			if one = strings.TrimSpace(one); one != "" {
				list = append(list, one)
			}
		}
	}
	return list
}

// enter puts into the request's context how it came.
func (k *Keeper) enter(c *fiber.Ctx) {
	came := k.Proxies.arrival(c)
	came.public = k.Public
	local, _ := netip.AddrFromSlice(c.Context().LocalIP())
	came.ours = ours(came.host, k.Hosts, local.Unmap())
	k.warnOfProxy(c)
	came.before = brought(c, came.secure)
	came.setCookie = SetCookie(c)
	c.SetUserContext(context.WithValue(c.UserContext(), arrivalKey, came))
}

// warnOfProxy says once that a proxy on this machine or network is not believed. All who come through it count as one, and share the
// waits of whoever guesses; through one on this machine nobody waits at all (account/guess).
func (k *Keeper) warnOfProxy(c *fiber.Ctx) {
	if k.Log == nil || len(c.Request().Header.Peek(fiber.HeaderXForwardedFor)) == 0 {
		return
	}
	peer, ok := netip.AddrFromSlice(c.Context().RemoteIP())
	if peer = peer.Unmap(); !ok || !peer.IsLoopback() && !peer.IsPrivate() || k.Proxies.trusts(peer) {
		return
	}
	k.warned.Do(func() {
		if peer.IsLoopback() {
			k.Log.WarnContext(c.UserContext(), "requests come through a proxy that is not believed: nobody who guesses through it is slowed down; say --trusted-proxies", "proxy", peer.String())
			return
		}
		k.Log.WarnContext(c.UserContext(), "requests come through a proxy that is not believed: all of them count as one client; say --trusted-proxies", "proxy", peer.String())
	})
}

func arrived(ctx context.Context) arrival {
	a, _ := ctx.Value(arrivalKey).(arrival)
	return a
}
