package authority

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"hale/fault"
)

// How long things last. A device in somebody's home gets a new root perhaps with a new firmware, so there are two years
// in which the old root and the new one are both in the file that devices trust.
const (
	rootYears     = 10
	overlapYears  = 2
	leafLife      = 90 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour // a month in which a full disk or a stopped process may be noticed
	backdated     = 24 * time.Hour      // devices' clocks may be behind ours
	lookOwnEvery  = time.Hour
	bundleName    = "ca.pem"
	keysName      = "authority"
	rootPrefix    = "root-"
	rootSuffix    = ".pem"
	organisation  = "Hale"
	longestDomain = 253
)

// OwnConfig says what an own authority needs.
type OwnConfig struct {
	Dir   string           // what it keeps is below: ca.pem, which devices get, and authority/, which nobody does
	Names []string         // DNS names and IP addresses that clients will know the server by
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: no log
}

// Own is a certificate authority in a directory, and the server certificate that it has issued. The roots are kept; the
// server's key is in memory only, so each start has a new one, which is good for the names of that start.
type Own struct {
	shown
	dir   string
	names []string

	mu    sync.Mutex // Look may be called by anybody
	roots []root
}

// OpenOwn reads the authority of the directory, or makes it where there is none, and issues a server certificate. Only
// one process at a time may have a directory. A name that is none, a root that others can read or that is damaged, and a
// clock before the authority's beginning are fault.Invalid.
func OpenOwn(cfg OwnConfig) (*Own, error) {
	names, err := checkNames(cfg.Names)
	if err != nil {
		return nil, err
	}
	o := &Own{dir: cfg.Dir, names: names}
	o.now, o.log = cfg.Now, cfg.Log
	if o.now == nil {
		o.now = time.Now
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if o.roots, err = readRoots(filepath.Join(cfg.Dir, keysName)); err != nil {
		return nil, err
	}
	if err := o.Look(); err != nil {
		return nil, err
	}
	return o, nil
}

// TrustFile returns the path of the file with the root certificates, PEM, which clients must trust.
func (o *Own) TrustFile() string { return filepath.Join(o.dir, bundleName) }

// Run renews what needs it, every hour until ctx ends.
func (o *Own) Run(ctx context.Context) error { return o.look(ctx, lookOwnEvery, o.Look) }

// Look renews what needs it now: the roots, the file of them, the server certificate. What is in use stays so when it
// fails.
func (o *Own) Look() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	err := o.keepRoots(now)
	if err == nil {
		err = o.keepBundle(now)
	}
	if err == nil {
		err = o.keepLeaf(now)
	}
	if o.current.Load() != nil {
		o.warn(now)
	}
	return err
}

// keepRoots sees to it that a root is in force, and that its successor comes two years before its end.
func (o *Own) keepRoots(now time.Time) error {
	valid := o.inForce(now)
	switch {
	case len(o.roots) == 0:
	case now.Before(o.roots[0].cert.NotBefore):
		// Not a reason for a new root: it would be trusted by nobody once the clock is right.
		return inForce("the certificate authority in "+filepath.Join(o.dir, keysName), o.roots[0].cert, now)
	case len(valid) == 0:
		o.log.Error("the certificate authority has ended: every device needs the new file of roots", "file", o.TrustFile())
	case valid[len(valid)-1].cert.NotAfter.After(now.AddDate(overlapYears, 0, 0)):
		return nil
	default:
		o.log.Warn("a new root certificate is added: give devices the new file before the old root ends",
			"file", o.TrustFile(), "old_ends", valid[len(valid)-1].cert.NotAfter.UTC().Format(time.RFC3339))
	}
	made, err := newRoot(organisation, now)
	if err != nil {
		return err
	}
	if err := made.write(filepath.Join(o.dir, keysName)); err != nil {
		return err
	}
	o.roots = append(o.roots, made)
	sortRoots(o.roots)
	return nil
}

// inForce returns the roots that are valid now, the one that ends first before the others.
func (o *Own) inForce(now time.Time) []root {
	var valid []root
	for _, r := range o.roots {
		if inForce("", r.cert, now) == nil {
			valid = append(valid, r)
		}
	}
	return valid
}

// keepBundle writes the roots in force where clients are told to find them. A root that has ended keeps its own file: if
// it was the clock that was wrong, it is back when the clock is right.
func (o *Own) keepBundle(now time.Time) error {
	var text bytes.Buffer
	for _, r := range o.inForce(now) {
		if err := pem.Encode(&text, &pem.Block{Type: certificateBlock, Bytes: r.cert.Raw}); err != nil {
			return fault.Wrap(fault.Internal, err, "encode the roots")
		}
	}
	there, err := os.ReadFile(o.TrustFile())
	if err == nil && bytes.Equal(there, text.Bytes()) {
		return nil
	}
	return writeWhole(o.TrustFile(), text.Bytes(), 0o644) // it is meant to be read by others
}

// keepLeaf sees to it that the server certificate has a month to live and is signed by a root in force.
func (o *Own) keepLeaf(now time.Time) error {
	valid := o.inForce(now)
	if c := o.current.Load(); c != nil && inForce("", c.Leaf, now) == nil && c.Leaf.NotAfter.Sub(now) > renewBefore && signedByOne(valid, c.Leaf) {
		return nil
	}
	// The oldest root that outlives it: that is the one which most devices have.
	ends := now.Add(leafLife)
	i := slices.IndexFunc(valid, func(r root) bool { return r.cert.NotAfter.After(ends) })
	if i < 0 {
		return fault.New(fault.Internal, "no root of the authority outlives a server certificate")
	}
	issued, err := valid[i].issue(o.names, now, ends)
	if err != nil {
		return err
	}
	o.current.Store(issued)
	return nil
}

func signedByOne(roots []root, leaf *x509.Certificate) bool {
	return slices.ContainsFunc(roots, func(r root) bool { return leaf.CheckSignatureFrom(r.cert) == nil })
}

// issue signs a certificate for a server of these names.
func (r root) issue(names []string, now, ends time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "draw the server's key")
	}
	begins := now.Add(-backdated)
	if begins.Before(r.cert.NotBefore) {
		begins = r.cert.NotBefore
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{organisation}, CommonName: organisation + " server"},
		NotBefore: begins, NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "issue the server certificate")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "read the server certificate")
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsName reports whether text can stand in a server certificate: a DNS name without a wildcard, or an IP address without
// a zone.
func IsName(text string) bool {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Zone() == "" && !ip.IsUnspecified()
	}
	return len(text) <= longestDomain && hostName.MatchString(strings.ToLower(text))
}

// checkNames returns the names in small letters, each once.
func checkNames(names []string) ([]string, error) {
	var kept []string
	for _, name := range names {
		if !IsName(name) {
			return nil, fault.New(fault.Invalid, "%q cannot stand in a certificate: say a DNS name such as hale.example.org (no wildcard) or an IP address", name)
		}
		name = strings.ToLower(name)
		if ip, err := netip.ParseAddr(name); err == nil {
			name = ip.Unmap().String()
		}
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	if len(kept) == 0 {
		return nil, fault.New(fault.Invalid, "a server certificate needs a name")
	}
	return kept, nil
}

// Inspect looks at the authority of a directory and changes nothing. It returns when its newest root in force ends, and
// whether there is an authority at all; what is wrong with it is fault.Invalid, as OpenOwn says it.
func Inspect(dir string, now time.Time) (ends time.Time, made bool, err error) {
	roots, err := readRoots(filepath.Join(dir, keysName))
	if err != nil || len(roots) == 0 {
		return time.Time{}, false, err
	}
	newest := roots[len(roots)-1]
	if now.Before(roots[0].cert.NotBefore) {
		newest = roots[0]
	}
	return newest.cert.NotAfter, true, inForce("the certificate authority in "+filepath.Join(dir, keysName), newest.cert, now)
}
