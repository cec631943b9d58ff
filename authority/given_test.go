package authority_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hale/authority"
	"hale/fault"
)

// pair is a certificate for localhost that signs itself, and its key.
func pair(t *testing.T, from, to time.Time, names ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: to, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

const day = 24 * time.Hour

func TestGivenFilesAreTakenWhenTheyChange(t *testing.T) {
	t.Parallel()
	c, dir := newClock(), t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := pair(t, c.now(), c.now().Add(90*day), "localhost")
	put(certFile, cert)
	put(keyFile, key)
	var said bytes.Buffer
	g, err := authority.OpenGiven(authority.GivenConfig{CertFile: certFile, KeyFile: keyFile, Now: c.now, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	at := door(t, g.Config("http/1.1"))
	shows := func() *x509.Certificate {
		t.Helper()
		state, err := visit(t, at, &tls.Config{RootCAs: pool(t, certFile), ServerName: "localhost", Time: c.now})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0]
	}
	first := shows()

	c.advance(75 * day)
	if err := g.Look(); err != nil || said.Len() != 0 {
		t.Fatalf("with fifteen days to go: %v, said %q", err, said.String())
	}
	c.advance(2 * day)
	for range 5 {
		if err := g.Look(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(said.String(), "ends soon"); n != 1 {
		t.Errorf("with thirteen days to go said %q", said.String())
	}
	c.advance(day)
	if err := g.Look(); err != nil || strings.Count(said.String(), "ends soon") != 2 {
		t.Errorf("the next day: %v, said %q", err, said.String())
	}

	// The certificate is written before its key, as some tools do: the old pair stays until both are there.
	renewed, renewedKey := pair(t, c.now(), c.now().Add(90*day), "localhost")
	put(certFile, renewed)
	if err := g.Look(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no certificate with its key") {
		t.Errorf("half a pair was answered with %v", err)
	}
	put(keyFile, renewedKey)
	if err := g.Look(); err != nil {
		t.Fatal(err)
	}
	second := shows()
	if second.Equal(first) || !g.Expires().Equal(second.NotAfter) {
		t.Error("the renewed certificate is not shown")
	}
	said.Reset()
	if err := g.Look(); err != nil || said.Len() != 0 {
		t.Errorf("after the renewal: %v, said %q", err, said.String())
	}

	// What is worse than what we have is not taken.
	for name, bad := range map[string][2]time.Duration{
		"a certificate that has ended": {-3 * day, -day}, "a certificate of tomorrow": {day, 2 * day},
	} {
		cert, key := pair(t, c.now().Add(bad[0]), c.now().Add(bad[1]), "localhost")
		put(certFile, cert)
		put(keyFile, key)
		if err := g.Look(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "clock says") {
			t.Errorf("%s was answered with %v", name, err)
		}
		if !g.Expires().Equal(second.NotAfter) {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestGivenFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	c := newClock()
	good, goodKey := pair(t, c.now(), c.now().Add(90*day), "localhost")
	_, otherKey := pair(t, c.now(), c.now().Add(90*day), "localhost")
	nameless, namelessKey := pair(t, c.now(), c.now().Add(90*day))
	for name, tc := range map[string]struct {
		cert, key []byte
		why       string
	}{
		"no certificate":                 {nil, goodKey, "the certificate cannot be read"},
		"no key":                         {good, nil, "the certificate's key cannot be read"},
		"the key of another certificate": {good, otherKey, "no certificate with its key"},
		"text":                           {[]byte("hello"), goodKey, "no certificate with its key"},
		"a certificate without a name":   {nameless, namelessKey, "names no server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := authority.GivenConfig{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Now: c.now}
			for file, text := range map[string][]byte{cfg.CertFile: tc.cert, cfg.KeyFile: tc.key} {
				if text == nil {
					continue
				}
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := authority.OpenGiven(cfg)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("%v, want %q", err, tc.why)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE") {
				t.Error("the error shows a key")
			}
		})
	}
}

func TestALateCertificateIsOneThatShouldHaveBeenRenewed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		life, left time.Duration
		late       bool
	}{
		"ninety days, fifteen left":    {90 * day, 15*day + time.Hour, false},
		"ninety days, thirteen left":   {90 * day, 13 * day, true},
		"two years, fifteen days left": {730 * day, 15 * day, false},
		"six days, two left":           {6 * day, 2 * day, false},
		"six days, one left":           {6 * day, day, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dir := newClock(), t.TempDir()
			ends := c.now().Add(tc.left)
			cert, key := pair(t, ends.Add(-tc.life), ends, "localhost")
			cfg := authority.GivenConfig{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Now: c.now}
			for file, text := range map[string][]byte{cfg.CertFile: cert, cfg.KeyFile: key} {
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			g, err := authority.OpenGiven(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if g.Late() != tc.late {
				t.Errorf("late: %v", g.Late())
			}
		})
	}
}
