package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"

	"hale/fault"
)

// listen binds an address. A busy default moves to the next free port; one that was asked for is kept or refused.
func listen(ctx context.Context, asked, byDefault string) (net.Listener, error) {
	var lc net.ListenConfig
	addr := asked
	if addr == "" {
		addr = byDefault
	}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	if asked != "" || !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.Wrap(fault.Unavailable, err, "cannot listen on %s: choose another address", addr)
	}
	host, port, splitErr := net.SplitHostPort(byDefault)
	if splitErr != nil {
		return nil, fault.Wrap(fault.Internal, splitErr, "default address %s", byDefault)
	}
	first, splitErr := strconv.Atoi(port)
	if splitErr != nil {
		return nil, fault.Wrap(fault.Internal, splitErr, "default address %s", byDefault)
	}
	const tries = 50
	for p := first + 1; p <= first+tries; p++ {
		if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(p))); err == nil {
			return l, nil
		}
	}
	return nil, fault.Wrap(fault.Unavailable, err, "no free port from %d to %d on %s", first, first+tries, host)
}
