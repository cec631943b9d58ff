package authority_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/authority"
	"hale/fault"
)

// clock is a clock that the test turns.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.set(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	return c
}

func (c *clock) set(t time.Time)         { c.nanos.Store(t.UnixNano()) }
func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

func own(t *testing.T, dir string, c *clock, names ...string) *authority.Own {
	t.Helper()
	o, err := authority.OpenOwn(authority.OwnConfig{Dir: dir, Names: append([]string{"127.0.0.1", "localhost"}, names...), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// pool is what a client trusts that was given the file as it is now.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}

// roots counts the certificates in a file.
func roots(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("BEGIN CERTIFICATE"))
}

// door is a TLS server that answers everybody with one byte.
func door(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(plain, cfg)
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = conn.Write([]byte{1}); _ = conn.Close() }() // a client that refuses us is what some tests want
		}
	}()
	return plain.Addr().String()
}

// visit opens the door as a client of that configuration, and returns the connection's state.
func visit(t *testing.T, addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = "127.0.0.1"
	}
	conn := tls.Client(plain, cfg)
	defer func() { _ = conn.Close() }()
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

func TestADoorOfAnOwnAuthority(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	o := own(t, dir, c, "hale.example.org", "192.0.2.7", "::1")
	at := door(t, o.Config("mqtt"))
	trusted, stranger := pool(t, o.TrustFile()), pool(t, own(t, t.TempDir(), c).TrustFile())
	for name, tc := range map[string]struct {
		client  *tls.Config
		refused string
	}{
		"a client that trusts the file, by the address":       {client: &tls.Config{RootCAs: trusted}},
		"by a name that was given":                            {client: &tls.Config{RootCAs: trusted, ServerName: "hale.example.org"}},
		"by another address":                                  {client: &tls.Config{RootCAs: trusted, ServerName: "192.0.2.7"}},
		"by the address of IPv6":                              {client: &tls.Config{RootCAs: trusted, ServerName: "::1"}},
		"with TLS 1.2 only":                                   {client: &tls.Config{RootCAs: trusted, MaxVersion: tls.VersionTLS12}},
		"with the protocol of the door":                       {client: &tls.Config{RootCAs: trusted, NextProtos: []string{"mqtt"}}},
		"a client that trusts another authority":              {client: &tls.Config{RootCAs: stranger}, refused: "unknown authority"},
		"a client that trusts the world's authorities":        {client: &tls.Config{}, refused: "unknown authority"},
		"by a name that nobody gave":                          {client: &tls.Config{RootCAs: trusted, ServerName: "example.org"}, refused: "not example.org"},
		"a client of years ago":                               {client: &tls.Config{RootCAs: trusted, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, refused: "version"},
		"a client without authenticated encryption":           {client: &tls.Config{RootCAs: trusted, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, refused: "handshake failure"},
		"a browser that was sent to the door of devices":      {client: &tls.Config{RootCAs: trusted, NextProtos: []string{"h2", "http/1.1"}}, refused: "no application protocol"},
		"a client whose clock has never been set (1970)":      {client: &tls.Config{RootCAs: trusted, Time: func() time.Time { return time.Unix(0, 0) }}, refused: "not yet valid"},
		"a client whose clock is half a day behind the start": {client: &tls.Config{RootCAs: trusted, Time: func() time.Time { return c.now().Add(-12 * time.Hour) }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := tc.client.Clone()
			if client.Time == nil {
				client.Time = c.now
			}
			_, err := visit(t, at, client)
			if tc.refused == "" && err != nil || tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("opened with %v, want %q", err, tc.refused)
			}
		})
	}
	want := []string{"localhost", "hale.example.org", "127.0.0.1", "192.0.2.7", "::1"}
	if diff := cmp.Diff(want, o.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestKeysAreForNobodyElse(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	o := own(t, dir, c)
	folder := filepath.Join(dir, "authority")
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	list, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(list) != 1 {
		t.Fatalf("the authority keeps %v, %v", list, err)
	}
	if info, err := os.Stat(list[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(o.TrustFile())
	if err != nil || bytes.Contains(text, []byte("PRIVATE")) {
		t.Errorf("the file for clients holds %s, %v", text, err)
	}
	if info, err := os.Stat(o.TrustFile()); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	refusedWith := func(why string) {
		t.Helper()
		_, err := authority.OpenOwn(authority.OwnConfig{Dir: dir, Names: []string{"localhost"}, Now: c.now})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), list[0]) {
			t.Errorf("opened with %v, want %q", err, why)
		}
	}
	if err := os.Chmod(list[0], 0o640); err != nil {
		t.Fatal(err)
	}
	refusedWith("chmod 600")
	if err := os.Chmod(list[0], 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list[0], whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	refusedWith("is no root certificate with its key")
	// Somebody else's key beside our certificate signs what nobody would believe.
	other := t.TempDir()
	own(t, other, c)
	theirs, err := filepath.Glob(filepath.Join(other, "authority", "*"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(theirs[0])
	if err != nil {
		t.Fatal(err)
	}
	mixed := append(whole[:bytes.Index(whole, []byte("-----BEGIN PRIVATE"))], foreign[bytes.Index(foreign, []byte("-----BEGIN PRIVATE")):]...)
	if err := os.WriteFile(list[0], mixed, 0o600); err != nil {
		t.Fatal(err)
	}
	refusedWith("the key is of another certificate")
}

func TestTheRootStaysAndTheServerCertificateFollowsTheNames(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	first := own(t, dir, c)
	trusted, err := os.ReadFile(first.TrustFile())
	if err != nil {
		t.Fatal(err)
	}
	second := own(t, dir, c, "ward.example.org")
	now, err := os.ReadFile(second.TrustFile())
	if err != nil || !bytes.Equal(now, trusted) {
		t.Errorf("another start made another root, %v", err)
	}
	if _, err := visit(t, door(t, second.Config()), &tls.Config{RootCAs: pool(t, first.TrustFile()), ServerName: "ward.example.org", Time: c.now}); err != nil {
		t.Error(err)
	}
	if _, err := visit(t, door(t, first.Config()), &tls.Config{RootCAs: pool(t, first.TrustFile()), ServerName: "ward.example.org", Time: c.now}); err == nil {
		t.Error("a certificate is good for a name that was not asked for")
	}
}

func TestAnEndingCertificateIsReplacedWhileTheDoorIsOpen(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := own(t, t.TempDir(), c)
	at := door(t, o.Config())
	client := &tls.Config{RootCAs: pool(t, o.TrustFile()), Time: c.now}
	before, err := visit(t, at, client)
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		if err := o.Look(); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(50 * 24 * time.Hour)
	look()
	if !o.Expires().Equal(before.PeerCertificates[0].NotAfter) {
		t.Error("renewed with forty days to go")
	}
	c.advance(11 * 24 * time.Hour)
	look()
	after, err := visit(t, at, client)
	if err != nil || after.PeerCertificates[0].Equal(before.PeerCertificates[0]) || o.Expires().Sub(c.now()) != 90*24*time.Hour {
		t.Errorf("not renewed with 29 days to go: ends %s, %v", o.Expires(), err)
	}
	// Nobody looked for a year: the door shows what has ended, and the next look mends it.
	c.advance(365 * 24 * time.Hour)
	if _, err := visit(t, at, client); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired certificate was answered with %v", err)
	}
	look()
	if _, err := visit(t, at, client); err != nil {
		t.Error(err)
	}
}

func TestARootIsFollowedByAnotherWithYearsForBoth(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	start := c.now()
	o := own(t, dir, c)
	at := door(t, o.Config())
	look := func(at time.Time) {
		t.Helper()
		c.set(at)
		if err := o.Look(); err != nil {
			t.Fatal(err)
		}
	}
	opens := func(p *x509.CertPool) bool {
		_, err := visit(t, at, &tls.Config{RootCAs: p, Time: c.now})
		return err == nil
	}
	early := pool(t, o.TrustFile())
	look(start.AddDate(7, 11, 0))
	if n := roots(t, o.TrustFile()); n != 1 {
		t.Errorf("%d roots after eight years", n)
	}
	look(start.AddDate(8, 0, 2))
	if n := roots(t, o.TrustFile()); n != 2 {
		t.Errorf("%d roots in the overlap", n)
	}
	both := pool(t, o.TrustFile())
	if !opens(early) || !opens(both) {
		t.Error("the server changed to the new root at once")
	}
	look(start.AddDate(9, 8, 0))
	if !opens(early) || !opens(both) {
		t.Error("a device with the old root was left out while it was in force")
	}
	look(start.AddDate(10, 0, -40))
	if opens(early) || !opens(both) {
		t.Error("the server certificate has no root that outlives it")
	}
	look(start.AddDate(10, 0, 1))
	if n := roots(t, o.TrustFile()); n != 1 || !opens(pool(t, o.TrustFile())) {
		t.Errorf("%d roots after the first has ended", n)
	}
	// Another process reads both from the directory.
	again := own(t, dir, c)
	if _, err := visit(t, door(t, again.Config()), &tls.Config{RootCAs: both, Time: c.now}); err != nil {
		t.Error(err)
	}
}

func TestAWrongClock(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	right := c.now()
	before, err := os.ReadFile(own(t, dir, c).TrustFile())
	if err != nil {
		t.Fatal(err)
	}
	c.set(time.Date(1970, 1, 1, 0, 10, 0, 0, time.UTC))
	_, err = authority.OpenOwn(authority.OwnConfig{Dir: dir, Names: []string{"localhost"}, Now: c.now})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "clock says 1970-01-01T00:10:00Z") || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("a clock at the beginning of time was answered with %v", err)
	}
	// Far ahead, the root seems to have ended. It is not thrown away: when the clock is right, all is as before.
	var said bytes.Buffer
	c.set(right.AddDate(30, 0, 0))
	if _, err = authority.OpenOwn(authority.OwnConfig{Dir: dir, Names: []string{"localhost"}, Now: c.now, Log: slog.New(slog.NewTextHandler(&said, nil))}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "level=ERROR") || !strings.Contains(said.String(), "every device needs the new file") {
		t.Errorf("said %q", said.String())
	}
	c.set(right)
	after, err := os.ReadFile(own(t, dir, c).TrustFile())
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a clock that was wrong for a while left other roots: %s, %v", after, err)
	}
}

func TestNamesThatCannotStandInACertificate(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "*.example.org", "a b", "http://example.org", "example.org:8883", "a_b", "0.0.0.0", "fe80::1%eth0", strings.Repeat("a.", 130) + "org"} {
		_, err := authority.OpenOwn(authority.OwnConfig{Dir: t.TempDir(), Names: []string{name}})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "cannot stand in a certificate") {
			t.Errorf("%q was answered with %v", name, err)
		}
	}
	if _, err := authority.OpenOwn(authority.OwnConfig{Dir: t.TempDir()}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no name at all was answered with %v", err)
	}
}

func TestADirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := authority.OpenOwn(authority.OwnConfig{Dir: file, Names: []string{"localhost"}})
	if err == nil || fault.Is(err, fault.Internal) {
		t.Errorf("a file in place of the directory was answered with %v", err)
	}
}

func TestInspectTellsWithoutTouchingAnything(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	if _, made, err := authority.Inspect(dir, c.now()); made || err != nil {
		t.Errorf("nothing there: made %v, %v", made, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("looking made %v, %v", list, err)
	}
	own(t, dir, c)
	if ends, made, err := authority.Inspect(dir, c.now()); !made || err != nil || !ends.Equal(c.now().AddDate(10, 0, 0)) {
		t.Errorf("ends %s, made %v, %v", ends, made, err)
	}
	for _, wrong := range []time.Time{time.Unix(0, 0), c.now().AddDate(11, 0, 0)} {
		if _, _, err := authority.Inspect(dir, wrong); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "clock says") {
			t.Errorf("at %s: %v", wrong, err)
		}
	}
}

func TestRunRenewsAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := own(t, t.TempDir(), c)
	c.advance(80 * day)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for o.Expires().Sub(c.now()) < 80*day {
		select {
		case <-deadline:
			t.Fatal("Run has not renewed the certificate")
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
