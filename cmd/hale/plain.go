package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"

	"hale/fault"
)

// keepPlain refuses plain HTTP that others than this machine could reach, unless the operator insists, and warns of
// what travels unencrypted. An address that is empty is a default, which stays on this machine, or encrypted.
func keepPlain(ctx context.Context, warn io.Writer, http, mqtt string, insist bool) error {
	open, err := reachesOthers(ctx, http)
	switch {
	case err != nil:
		return err
	case open && !insist:
		return fault.New(fault.Invalid, "plain HTTP on %s would send passwords and patients' data unencrypted: "+
			"say --https, or listen on 127.0.0.1 with a proxy that ends TLS on this machine, or say --insecure-http", http)
	case open:
		fmt.Fprintf(warn, "hale: warning: passwords and patients' data travel unencrypted over HTTP on %s\n", http)
	}
	if open, err = reachesOthers(ctx, mqtt); err != nil {
		return err
	}
	if open {
		fmt.Fprintf(warn, "hale: warning: devices' passwords and readings travel unencrypted over MQTT on %s; let devices come by --mqtts\n", mqtt)
	}
	return nil
}

// keepAddress warns of an installation that others reach and that was not told by which address: it gives no code and no link away
// to whoever opens it by a name that it does not know.
func keepAddress(ctx context.Context, warn io.Writer, http, public string) error {
	open, err := reachesOthers(ctx, http)
	if err == nil && open && public == "" {
		fmt.Fprintf(warn, "hale: warning: without --public-url, codes and links for patients can be made only where %s is opened by a name of its certificate or by its own address\n", http)
	}
	return err
}

// reachesOthers reports whether a listener on the address could be reached from other machines.
func reachesOthers(ctx context.Context, addr string) (bool, error) {
	if addr == "" {
		return false, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err, "%s is no address to listen on: say HOST:PORT", addr)
	}
	if host == "" {
		return true, nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err, "the host of %s is not known", addr)
	}
	for _, ip := range list {
		if !ip.Unmap().IsLoopback() {
			return true, nil
		}
	}
	return false, nil
}

// visitable is an address under which this machine reaches a listener: one on every interface is on loopback too.
func visitable(addr net.Addr) string {
	bound, err := netip.ParseAddrPort(addr.String())
	if err != nil || !bound.Addr().IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(bound.Port())))
}
