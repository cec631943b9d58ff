package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hale/authority"
	"hale/fault"
)

func requestOf(t *testing.T, name string) *x509.CertificateRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"hale.example.org"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openDevices(t *testing.T, dir string, now *time.Time) *authority.Devices {
	t.Helper()
	d, err := authority.OpenDevices(authority.DevicesConfig{Dir: dir, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDevicesGetTheirNameAndNothingElseThatTheyAskFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "devices")
	request := requestOf(t, "somebody else")
	cert, by, err := openDevices(t, dir, &now).Sign(request, "cuff-1")
	if err != nil {
		t.Fatal(err)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if cert.Subject.CommonName != "cuff-1" || len(cert.DNSNames) != 0 || cert.IsCA || !ok || !key.Equal(request.PublicKey) {
		t.Errorf("the certificate is %+v", cert)
	}
	roots := x509.NewCertPool()
	roots.AddCert(by)
	for usage, good := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.AddDate(1, 0, 0), KeyUsages: []x509.ExtKeyUsage{usage}})
		if (err == nil) != good {
			t.Errorf("for usage %v after a year: %v", usage, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory has %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the root is a file of mode %v, %v", info.Mode(), err)
	}
}

func TestTheAuthorityOfDevicesStaysAndHasASuccessorInTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "devices")
	_, first, err := openDevices(t, dir, &now).Sign(requestOf(t, "a"), "a")
	if err != nil {
		t.Fatal(err)
	}
	d := openDevices(t, dir, &now) // as after a restart
	if _, by, err := d.Sign(requestOf(t, "b"), "b"); err != nil || !by.Equal(first) {
		t.Errorf("after a restart %v signs, %v", by.Subject, err)
	}
	now = first.NotAfter.AddDate(-2, 0, 1)
	cert, next, err := d.Sign(requestOf(t, "c"), "c")
	if err != nil || next.Equal(first) || next.Subject.String() == first.Subject.String() {
		t.Fatalf("two years before its end %v signs, %v", next.Subject, err)
	}
	if cert.NotAfter.After(next.NotAfter) {
		t.Error("a certificate outlives who signed it")
	}
	now = first.NotBefore.Add(-time.Hour)
	if _, _, err := openDevices(t, dir, &now).Sign(requestOf(t, "d"), "d"); !fault.Is(err, fault.Invalid) {
		t.Errorf("with a clock before its beginning: %v", err)
	}
}

func TestAnAuthorityOfDevicesThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "devices")
	if _, _, err := openDevices(t, dir, &now).Sign(requestOf(t, "a"), "a"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "root-*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("roots %v, %v", files, err)
	}
	if err := os.Chmod(files[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.OpenDevices(authority.DevicesConfig{Dir: dir}); !fault.Is(err, fault.Invalid) {
		t.Errorf("it is opened: %v", err)
	}
}
