package session

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"hale/fault"
)

// From returns the address that a request came from; the zero Addr when it is not known.
func From(ctx context.Context) netip.Addr { return arrived(ctx).from }

// Address returns how this Hale is reached, without a path: "https://hale.example.org". It is for links that a person takes along:
// what Keeper.Public says, else the host that the client asked for if that is one of ours. The header of a request can name any host,
// and a code that leads there would be somebody else's: fault.Invalid then.
func Address(ctx context.Context) (string, error) {
	came := arrived(ctx)
	switch {
	case came.public != "":
		return came.public, nil
	case !came.ours:
		return "", fault.New(fault.Invalid, "this Hale does not know itself by the name in your browser's address, so that no link to it can be given away: "+
			"open it by its own address, or let the operator start it with --public-url")
	case came.secure:
		return "https://" + came.host, nil
	}
	return "http://" + came.host, nil
}

// ParsePublic returns the address by which browsers know this Hale, without anything behind the host; fault.Invalid for what is none.
// Empty stays empty.
func ParsePublic(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fault.New(fault.Invalid, "%q is no address of this Hale: say one such as https://hale.example.org", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// ours reports whether the host that a client asked for is known to be this machine: a name of hosts, or the address, which is here
// the one that the connection came to.
func ours(host string, hosts []string, local netip.Addr) bool {
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	name = strings.Trim(name, "[]")
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr == local || slices.Contains(hosts, addr.String())
	}
	_, domain, _ := strings.Cut(name, ".")
	return strings.EqualFold(name, "localhost") || slices.ContainsFunc(hosts, func(one string) bool {
		wild, some := strings.CutPrefix(one, "*.")
		return strings.EqualFold(one, name) || some && strings.EqualFold(wild, domain)
	})
}
