package simulators

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Trusting returns how a client speaks TLS with a Hale whose certificate authority is in a file (PEM, as `hale up` leaves
// it in ca.pem). name is what the server's certificate must be good for; "" means the host that is dialled.
func Trusting(file, name string) (*tls.Config, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("read whom to trust: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s: say the ca.pem of Hale's data directory", file)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name}, nil
}

// dialEdge connects to a device edge: HOST:PORT or mqtt://HOST:PORT in the clear, mqtts://HOST:PORT with TLS. trust nil
// means whom this machine trusts.
func dialEdge(ctx context.Context, address string, trust *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	addr, encrypted := strings.CutPrefix(address, "mqtts://")
	if !encrypted {
		return dialer.DialContext(ctx, "tcp", strings.TrimPrefix(address, "mqtt://"))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return (&tls.Dialer{NetDialer: dialer, Config: trust}).DialContext(ctx, "tcp", addr)
}

// brokerURL is an edge's address as paho takes it.
func brokerURL(address string) string {
	if addr, encrypted := strings.CutPrefix(address, "mqtts://"); encrypted {
		return "ssl://" + addr
	}
	return "tcp://" + strings.TrimPrefix(address, "mqtt://")
}
