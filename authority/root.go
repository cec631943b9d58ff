package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hale/fault"
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY" // PKCS #8
)

// root is a root certificate with its key. Both are in one file, so that one is never there without the other.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newRoot makes a root that is valid for ten years, of that name and random signs. It has no name constraints: those that bind must be critical (RFC
// 5280, section 4.2.1.10), at which small TLS libraries refuse the whole certificate, and a name that is added later would
// cost every device a new root. It may sign certificates of servers and devices only: no further authority stands below it.
func newRoot(name string, now time.Time) (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, fault.Wrap(fault.Internal, err, "draw the root's key")
	}
	salt := make([]byte, 4)
	rand.Read(salt)
	template := &x509.Certificate{
		// Two roots must not have the same name, or clients that trust both may try the wrong one only.
		Subject:   pkix.Name{Organization: []string{organisation}, CommonName: name + " root " + hex.EncodeToString(salt)},
		NotBefore: now.Add(-backdated), NotAfter: now.AddDate(rootYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return root{}, fault.Wrap(fault.Internal, err, "make the root certificate")
	}
	cert, err := x509.ParseCertificate(der)
	return root{cert, key}, fault.Wrap(fault.Internal, err, "read the root certificate")
}

// write keeps the root in the directory, which is made where it is missing.
func (r root) write(dir string) error {
	key, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "write the root's key")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: r.cert.Raw})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: key})...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(fault.Unavailable, err, "make %s", dir)
	}
	_, name, _ := strings.Cut(r.cert.Subject.CommonName, " root ")
	return writeWhole(filepath.Join(dir, rootPrefix+name+rootSuffix), text, 0o600)
}

// readRoots returns the roots of the directory, the one that ends first before the others; none where there is none.
func readRoots(dir string) ([]root, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the certificate authority cannot be read")
	}
	var roots []root
	for _, entry := range list {
		if !strings.HasPrefix(entry.Name(), rootPrefix) || !strings.HasSuffix(entry.Name(), rootSuffix) {
			continue
		}
		r, err := readRoot(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		roots = append(roots, r)
	}
	sortRoots(roots)
	return roots, nil
}

func sortRoots(roots []root) {
	slices.SortFunc(roots, func(a, b root) int { return a.cert.NotAfter.Compare(b.cert.NotAfter) })
}

func readRoot(path string) (root, error) {
	damaged := func(err error) error {
		return fault.Wrap(fault.Invalid, err, "%s is no root certificate with its key: take it from a backup, or move it away, "+
			"after which every device needs the new %s", path, bundleName)
	}
	info, err := os.Stat(path)
	if err != nil {
		return root{}, damaged(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return root{}, fault.New(fault.Invalid, "others can read the key in %s: chmod 600 it; if anybody else may have copied it, move it away, "+
			"after which every device needs the new %s", path, bundleName)
	}
	text, err := os.ReadFile(path) //nolint:gosec // of the data directory
	if err != nil {
		return root{}, damaged(err)
	}
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || first.Type != certificateBlock || second.Type != keyBlock {
		return root{}, damaged(errors.New("a certificate and a key were expected"))
	}
	cert, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return root{}, damaged(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err != nil {
		return root{}, damaged(err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return root{}, damaged(errors.New("the key is of another certificate"))
	}
	return root{cert, key}, nil
}

// writeWhole writes a file so that whoever reads it, even after a power cut, sees all of it or what was there before.
func writeWhole(path string, text []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	err := func() error {
		f, err := os.CreateTemp(dir, ".new-*") // mode 0600
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(f.Name()) }() // gone by then if all went well
		_, err = f.Write(text)
		if err == nil {
			err = f.Chmod(mode)
		}
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
		d, err := os.Open(dir) //nolint:gosec // of the data directory
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	}()
	return fault.Wrap(fault.Unavailable, err, "write %s", path)
}
