package edge

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"
)

// Sizes of what a load balancer says first (PROXY protocol, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
const (
	proxySignature = 12  // of version 2; a line of version 1 is longer
	proxyFixed     = 16  // the part of version 2 that says how long the rest is
	proxyLongest   = 536 // of version 2, as section 2.2 has it: what always fits into one packet
	proxyLine      = 107 // of version 1, section 2.1
)

// trusts reports whether whoever connects may speak for another address.
func trusts(proxies []netip.Prefix, remote net.Addr) bool {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// spokenFor reads the header that a load balancer sends before anything of the device, not a byte more, and returns the
// device's address; that of the balancer itself when it looks for itself whether we live.
func spokenFor(conn net.Conn) (net.Addr, error) {
	text, err := proxyHeader(conn)
	if err != nil {
		return nil, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return nil, err
	}
	if from, _, ok := h.TCPAddrs(); ok && h.Command.IsProxy() {
		return from, nil
	}
	return conn.RemoteAddr(), nil
}

// proxyHeader reads one header of either version.
func proxyHeader(r io.Reader) ([]byte, error) {
	text := make([]byte, proxySignature, proxyFixed)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, proxyproto.SIGV1) {
		return proxyLineOf(r, text)
	}
	if !bytes.Equal(text, proxyproto.SIGV2) {
		return nil, proxyproto.ErrNoProxyProtocol
	}
	fixed, err := more(r, text, proxyFixed-proxySignature)
	if err != nil {
		return nil, err
	}
	rest := int(binary.BigEndian.Uint16(fixed[len(fixed)-2:]))
	if len(fixed)+rest > proxyLongest {
		return nil, violation("PROXY header is longer than the limit")
	}
	return more(r, fixed, rest)
}

// more appends the next n bytes to text.
func more(r io.Reader, text []byte, n int) ([]byte, error) {
	next := make([]byte, n)
	if _, err := io.ReadFull(r, next); err != nil {
		return nil, err
	}
	return append(text, next...), nil
}

// proxyLineOf reads the rest of a line, byte by byte, since what follows it is the device's.
func proxyLineOf(r io.Reader, text []byte) ([]byte, error) {
	var b [1]byte
	for len(text) < proxyLine {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, err
		}
		if text = append(text, b[0]); b[0] == '\n' {
			return text, nil
		}
	}
	return nil, violation("PROXY line is longer than the limit")
}
