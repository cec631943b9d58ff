// Package certs makes certificate authorities and client certificates for tests: real ones, with keys of their own.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority of a test.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New makes an authority that is valid for a year before and after now.
func New(tb testing.TB, name string) *Authority {
	tb.Helper()
	return made(tb, name, nil)
}

// Below makes an authority that this one has signed.
func (a *Authority) Below(tb testing.TB, name string) *Authority {
	tb.Helper()
	return made(tb, name, a)
}

func made(tb testing.TB, name string, by *Authority) *Authority {
	tb.Helper()
	key := Key(tb)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	if by == nil {
		by = &Authority{template, key}
	}
	return &Authority{signed(tb, template, by, key), key}
}

// Leaf says what stands in a client certificate. The zero value of a time is a day away from now; without usages it is for
// clients.
type Leaf struct {
	Name   string // common name
	URI    string
	From   time.Time
	To     time.Time
	Usages []x509.ExtKeyUsage
}

// Issue makes a client certificate with its key.
func (a *Authority) Issue(tb testing.TB, l Leaf) tls.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: l.Name}, NotBefore: l.From, NotAfter: l.To, ExtKeyUsage: l.Usages,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if l.From.IsZero() {
		template.NotBefore = time.Now().AddDate(0, 0, -1)
	}
	if l.To.IsZero() {
		template.NotAfter = time.Now().AddDate(0, 0, 1)
	}
	if l.Usages == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if l.URI != "" {
		u, err := url.Parse(l.URI)
		if err != nil {
			tb.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	key := Key(tb)
	leaf := signed(tb, template, a, key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// Sign makes a client certificate for the key of a request, as the authority of an installation does for its devices: it names
// the device, and is good as long as the authority.
func (a *Authority) Sign(request *x509.CertificateRequest, uid string) (cert, by *x509.Certificate, err error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: uid}, NotBefore: time.Now().Add(-time.Hour), NotAfter: a.Certificate.NotAfter, SerialNumber: serial,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, request.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err = x509.ParseCertificate(der)
	return cert, a.Certificate, err
}

// Key draws a key.
func Key(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func signed(tb testing.TB, template *x509.Certificate, by *Authority, key *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// Request makes a certificate signing request for a key, in PEM.
func Request(tb testing.TB, name string, key *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// PEM writes a certificate.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Files writes a certificate and its key where a program can read them.
func Files(tb testing.TB, c *tls.Certificate) (cert, key string) {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, PEM(c.Leaf), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

// ServerFile writes the certificate that a server shows where a program can read it, to trust it.
func ServerFile(tb testing.TB, server *tls.Config) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "server.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Signature is what the key of a certificate signs over a request in PEM, as whoever shows the certificate sends it.
func Signature(tb testing.TB, shown *tls.Certificate, request []byte) []byte {
	tb.Helper()
	block, _ := pem.Decode(request)
	key, ok := shown.PrivateKey.(*ecdsa.PrivateKey)
	if block == nil || !ok {
		tb.Fatal("no request, or a key of another kind")
	}
	sum := sha256.Sum256(block.Bytes)
	b, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
