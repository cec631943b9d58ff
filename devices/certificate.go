package devices

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"hale/vital"
)

// Fingerprint names a certificate: SHA-256 of its DER.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of a certificate.
func FingerprintOf(c *x509.Certificate) Fingerprint { return sha256.Sum256(c.Raw) }

// String returns it in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// AuthorityKind says what the certificates of an authority are for.
type AuthorityKind string

// The kinds.
const (
	ForDevices AuthorityKind = "device" // to connect as the device that they name
	ForClaims  AuthorityKind = "claim"  // to claim, once, a device that the desk has marked; for nothing else
)

// Authority is a certificate authority that an organisation trusts. Several at once are the overlap while a maker changes
// from one to the next.
type Authority struct {
	UID         vital.UID
	Org         vital.OrgID
	Kind        AuthorityKind
	Name        string
	Certificate *x509.Certificate
	From, Until time.Time // half open, and within the certificate's own time
	Revoked     bool
}

// InForce reports whether the organisation trusts the authority at t.
func (a *Authority) InForce(t time.Time) bool {
	return !a.Revoked && !t.Before(a.From) && t.Before(a.Until)
}

// Certificate is a client certificate that belongs to a device: one that the desk has written down, or that Hale has signed.
type Certificate struct {
	Fingerprint         Fingerprint
	NotBefore, NotAfter time.Time
	Revoked             bool
}

// Objection is why a certificate does not let a device in; empty when it does. Metrics and the log say it, the device does not
// hear it.
type Objection string

// The objections, in the order in which they are looked for.
const (
	ObjectionName      Objection = "name"      // it names no device that is enrolled
	ObjectionUnknown   Objection = "unknown"   // it is not one of those that were written down for the device that it names
	ObjectionRevoked   Objection = "revoked"   // it, or the device, was taken out of use
	ObjectionExpired   Objection = "expired"   // it has ended
	ObjectionEarly     Objection = "early"     // it is not valid yet
	ObjectionAuthority Objection = "authority" // no authority that the organisation trusts for devices just now has signed it, or not for this use
)

// Proof is how a device has shown by a certificate who it is.
type Proof struct {
	Device      *Device
	Fingerprint Fingerprint
	Authority   vital.UID
	Until       time.Time // when it says nothing any more
}

// DeviceURN begins the URI by which a certificate may name a device, where its common name is something else.
const DeviceURN = "urn:hale:device:"

// Names returns the UIDs of the devices that a certificate may be meant for.
func Names(c *x509.Certificate) []string {
	var names []string
	if c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	for _, u := range c.URIs {
		if uid, ok := strings.CutPrefix(u.String(), DeviceURN); ok {
			names = append(names, uid)
		}
	}
	return names
}

// Identify says which device a certificate chain, its own certificate first, lets in at that moment. Whoever calls it knows
// by the TLS handshake that the other end has the key. A certificate counts when it names the device, was written down for
// it, is in force, and was signed by an authority in force of the device's organisation: an authority alone, which signs for
// all of a maker, opens nothing.
func (s *Snapshot) Identify(chain []*x509.Certificate, now time.Time) (Proof, Objection) {
	leaf, print := chain[0], FingerprintOf(chain[0])
	p, objection := Proof{Fingerprint: print}, ObjectionName
	for _, uid := range Names(leaf) {
		d := s.Devices[uid]
		if d == nil {
			continue
		}
		p.Device, objection = d, ObjectionUnknown
		i := slices.IndexFunc(d.Certificates, func(c Certificate) bool { return c.Fingerprint == print })
		if i < 0 {
			continue
		}
		if d.Revoked || d.Certificates[i].Revoked {
			return p, ObjectionRevoked
		}
		by, objection := Vouches(s.Authorities[d.Org], ForDevices, chain, now)
		if by != nil {
			p.Authority, p.Until = by.UID, ends(leaf, by)
		}
		return p, objection
	}
	return p, objection
}

// Stands reports whether a proof that was good is so still, by this snapshot and at that moment.
func (s *Snapshot) Stands(p *Proof, now time.Time) bool {
	d := s.Devices[p.Device.UID]
	if d == nil || d.Revoked || !now.Before(p.Until) {
		return false
	}
	known := slices.ContainsFunc(d.Certificates, func(c Certificate) bool { return c.Fingerprint == p.Fingerprint && !c.Revoked })
	return known && slices.ContainsFunc(s.Authorities[d.Org], func(a *Authority) bool {
		return a.UID == p.Authority && a.Kind == ForDevices && a.InForce(now)
	})
}

func ends(leaf *x509.Certificate, by *Authority) time.Time {
	if by.Until.Before(leaf.NotAfter) {
		return by.Until
	}
	return leaf.NotAfter
}

// Vouches returns the authority among those given, of that kind and in force, by which the chain's first certificate is good
// for a client now, or the objection to it. An end is an end: no time is added to it.
func Vouches(list []*Authority, kind AuthorityKind, chain []*x509.Certificate, now time.Time) (*Authority, Objection) {
	leaf := chain[0]
	switch {
	case !now.Before(leaf.NotAfter):
		return nil, ObjectionExpired
	case now.Before(leaf.NotBefore):
		return nil, ObjectionEarly
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:min(len(chain), LongestChain)] {
		between.AddCert(c)
	}
	for _, a := range list {
		if a.Kind != kind || !a.InForce(now) {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.Certificate)
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err == nil {
			return a, ""
		}
	}
	return nil, ObjectionAuthority
}

// LongestChain is how many certificates of a chain are looked at.
const LongestChain = 5

// EndsSoon is how long before its end somebody is told of a certificate, and how old a device's own one may get before the same
// key gets another.
const EndsSoon = 30 * 24 * time.Hour
