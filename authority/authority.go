// Package authority gives the encrypted doors their certificates: from an own certificate authority, which makes and
// renews them by itself (Own), or from files that somebody else renews (Given). Either is renewed while the doors are
// open; nobody has to start anything again. Keys are never logged and never leave this package except into crypto/tls.
package authority

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"hale/fault"
)

// shown is the certificate that a server shows at this moment, and how it is watched.
type shown struct {
	now     func() time.Time
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	warned  time.Time // when the near end was logged last; of Look only
}

// Config returns what a server needs to speak TLS with the newest certificate, TLS 1.2 or later. The protocols are those
// of ALPN: a client that offers others only is refused, one that offers none is served. Use one Config for one door, so
// that its session tickets work.
func (s *shown) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Of TLS 1.2 those with forward secrecy and authenticated encryption; TLS 1.3 has no others.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load(), nil },
	}
}

// Expires returns when the certificate in use ends.
func (s *shown) Expires() time.Time { return s.current.Load().Leaf.NotAfter }

// Late reports whether the certificate in use should have been renewed by now.
func (s *shown) Late() bool { return late(s.current.Load().Leaf, s.now()) }

// Names returns the DNS names and the addresses that the certificate in use is good for.
func (s *shown) Names() []string { return namesOf(s.current.Load().Leaf) }

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// What is shown is an ERROR in the log, once a day, from fourteen days before its end on, or from a sixth of its life
// when that is shorter: by then whoever renews it is late. (Ninety-day certificates are renewed thirty days before.)
const (
	warnBefore = 14 * 24 * time.Hour
	warnSixth  = 6
	warnEvery  = 24 * time.Hour
)

func late(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) <= min(warnBefore, leaf.NotAfter.Sub(leaf.NotBefore)/warnSixth)
}

// warn logs when the certificate in use will end soon.
func (s *shown) warn(now time.Time) {
	leaf := s.current.Load().Leaf
	if !late(leaf, now) {
		s.warned = time.Time{}
		return
	}
	if !s.warned.IsZero() && now.Sub(s.warned) < warnEvery {
		return
	}
	s.warned = now
	s.log.Error("the TLS certificate in use ends soon and nobody has renewed it", "ends", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// look calls f now and then at an interval until ctx ends, and logs each error once: what is shown stays in use.
func (s *shown) look(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		switch err := f(); {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			s.log.Error("the TLS certificate cannot be renewed; the one before stays in use", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// inForce says why a certificate is not valid at a time: fault.Invalid with what to mend, or nil.
func inForce(what string, c *x509.Certificate, now time.Time) error {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case now.Before(c.NotBefore):
		return fault.New(fault.Invalid, "this machine's clock says %s, and %s is valid from %s only: set the clock", stamp(now), what, stamp(c.NotBefore))
	case !now.Before(c.NotAfter):
		return fault.New(fault.Invalid, "this machine's clock says %s, and %s has ended %s: renew it, or set the clock if it is wrong", stamp(now), what, stamp(c.NotAfter))
	}
	return nil
}
