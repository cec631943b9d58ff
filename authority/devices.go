package authority

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hale/fault"
)

// How long a device's certificate lasts, and where the authority that signs it is. A device that is off for a season still has
// time to renew it.
const (
	deviceLife  = 366 * 24 * time.Hour
	devicesName = organisation + " devices"
)

// DevicesConfig says what an authority for devices needs.
type DevicesConfig struct {
	Dir string           // of its roots; nobody else may read it. It is made where it is missing
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: no log
}

// Devices is the certificate authority that signs the client certificates of devices. It is another than the one whose word
// devices take for the server (Own): whoever has the key of one cannot do what the other is for.
type Devices struct {
	dir string
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	roots []root
}

// OpenDevices reads the authority of the directory. Where there is none it is made at the first certificate. A root that others
// can read, or that is damaged, is fault.Invalid.
func OpenDevices(cfg DevicesConfig) (*Devices, error) {
	d := &Devices{dir: cfg.Dir, now: cfg.Now, log: cfg.Log}
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	var err error
	d.roots, err = readRoots(cfg.Dir)
	return d, err
}

// Sign makes a certificate for the key of a request, which names the device and is good for a year. Nothing else of the request
// counts. by is the root that has signed it; two years before its end another one takes its place.
func (d *Devices) Sign(request *x509.CertificateRequest, uid string) (cert, by *x509.Certificate, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	r, err := d.root(now)
	if err != nil {
		return nil, nil, err
	}
	begins := now.Add(-backdated) // clocks differ
	if begins.Before(r.cert.NotBefore) {
		begins = r.cert.NotBefore
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{organisation}, CommonName: uid},
		NotBefore: begins, NotAfter: now.Add(deviceLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, request.PublicKey, r.key)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, err, "sign the device's certificate")
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, fault.Wrap(fault.Internal, err, "read the device's certificate")
	}
	return cert, r.cert, nil
}

// root returns, with mu held, the root that signs now: the newest, which outlives what it signs.
func (d *Devices) root(now time.Time) (root, error) {
	for _, r := range slices.Backward(d.roots) {
		if inForce("", r.cert, now) == nil && r.cert.NotAfter.After(now.AddDate(overlapYears, 0, 0)) {
			return r, nil // one whose beginning is to come was made by a clock that was wrong
		}
	}
	if len(d.roots) > 0 && now.Before(d.roots[0].cert.NotBefore) {
		return root{}, inForce("the certificate authority in "+filepath.Clean(d.dir), d.roots[0].cert, now)
	}
	made, err := newRoot(devicesName, now)
	if err != nil {
		return root{}, err
	}
	if err := made.write(d.dir); err != nil {
		return root{}, err
	}
	d.log.Info("an authority for the certificates of devices was made", "ends", made.cert.NotAfter.UTC().Format(time.RFC3339))
	d.roots = append(d.roots, made)
	sortRoots(d.roots)
	return made, nil
}
