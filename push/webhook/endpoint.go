package webhook

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"hale/fault"
)

// errAddress is given by the dialler for an address that notices may not be sent to.
var errAddress = errors.New("the address is neither public nor of a network that may be sent to")

// Check says what is wrong with a URL that notices are to be sent to: fault.Invalid. Where its name leads is looked at when it is
// dialled, since that can change.
func (c *Client) Check(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return fault.New(fault.Invalid, "url: give the whole address, such as https://pager.example.org/hale")
	}
	host := u.Hostname()
	addr, literal := netip.ParseAddr(host)
	switch {
	case u.User != nil:
		return fault.New(fault.Invalid, "url: no name and password in it; messages are signed, and the receiver checks that")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return fault.New(fault.Invalid, "url: leave out what is behind #, it is not sent")
	case u.Scheme == "http" && !c.plain(host):
		return fault.New(fault.Invalid, "url: begin with https://, so that nobody on the way reads it")
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.New(fault.Invalid, "url: begin with https://")
	case host == "":
		return fault.New(fault.Invalid, "url: name a host")
	case literal == nil && !c.reachable(addr):
		return fault.New(fault.Invalid, "url: this address is not public; whoever runs Hale can allow its network with --webhook-networks")
	}
	return nil
}

// plain reports whether a host may be sent to without encryption: this machine, where the installation allows that.
func (c *Client) plain(host string) bool {
	addr, err := netip.ParseAddr(host)
	if strings.EqualFold(host, "localhost") {
		addr, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	return err == nil && addr.Unmap().IsLoopback() && c.allowed(addr)
}

// control is asked for each address that is about to be dialled, after its name was looked up: nothing can change between.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !c.reachable(at.Addr()) {
		return errAddress
	}
	return nil
}

func (c *Client) reachable(addr netip.Addr) bool { return public(addr) || c.allowed(addr) }

func (c *Client) allowed(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// public reports whether an address is one of the Internet at large: global unicast, and in none of the registries' networks for
// special purposes (RFC 6890 and its registries at IANA), nor one that hides another address in itself.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" {
		return false
	}
	return !slices.ContainsFunc(special(), func(n netip.Prefix) bool { return n.Contains(addr) })
}

func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network, RFC 791
		netip.MustParsePrefix("100.64.0.0/10"),   // shared by a provider's customers, RFC 6598
		netip.MustParsePrefix("192.0.0.0/24"),    // protocols, RFC 6890
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
		netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4, RFC 7526
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, RFC 1112
		netip.MustParsePrefix("::/32"),           // IPv4-compatible addresses, RFC 4291
		netip.MustParsePrefix("64:ff9b::/96"),    // hides an IPv4 address, RFC 6052
		netip.MustParsePrefix("64:ff9b:1::/48"),  // likewise, RFC 8215
		netip.MustParsePrefix("100::/64"),        // discarded, RFC 6666
		netip.MustParsePrefix("2001::/23"),       // protocols, RFC 2928; Teredo hides an IPv4 address
		netip.MustParsePrefix("2001:db8::/32"),   // documentation, RFC 3849
		netip.MustParsePrefix("2002::/16"),       // 6to4 hides an IPv4 address, RFC 3056
		netip.MustParsePrefix("3fff::/20"),       // documentation, RFC 9637
		netip.MustParsePrefix("5f00::/16"),       // segment routing, RFC 9602
		netip.MustParsePrefix("fec0::/10"),       // site-local, RFC 3879
	}
}
