package credential

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// This file is what devices ask for themselves: the next certificate, and with a maker's claim certificate the first one. The key
// of the certificate that they show signs the request (docs/adr/0027), so it does not matter who ends TLS on the way. The request
// holds the new key and is signed by that too; sending it again gives whoever does it nothing but what was made for that key.

// Claimable says that a device may be claimed once, by whom and when.
type Claimable struct {
	Serial string // as the device knows itself; empty: its UID
	// Batch is the common name of the claim certificate, whose key many devices of the maker may have; empty: the serial, which
	// is safer.
	Batch       string
	From, Until time.Time
	UsedAt      time.Time // zero: not yet
}

// OpenClaim is a device that may be claimed, or was claimed in the time in which it might, with the authorities of its organisation.
type OpenClaim struct {
	Claimable
	ID          int64
	Org         vital.OrgID
	Device      string // UID
	Authorities []*devices.Authority
	Made        *x509.Certificate // what it got; nil: it was not claimed yet
}

// Shown is what a device shows that asks for itself, besides certificates.
type Shown struct {
	Device string             // its UID
	Secret *[sha256.Size]byte // the hash of its secret; nil: it shows none
	At     time.Time          // by the clock of whoever decides
}

// Showing is a device as it is looked at when it asks for itself.
type Showing struct {
	Device      *devices.Device // with its certificates, without its secret
	BySecret    bool            // the secret that it showed is right
	ByNext      bool            // and is the one that is to take the place of the other
	Authorities []*devices.Authority
	Made        []*x509.Certificate // its certificates that are not revoked
}

// ClaimBook is the record as the desk needs it for claims. Every method is bound to the actor's organisation; a device that is not
// there is fault.NotFound. What changes something writes its audit row.
type ClaimBook interface {
	// Claimable returns the newest claim of a device; nil when there is none in force.
	Claimable(ctx context.Context, actor account.Actor, uid string) (*Claimable, error)
	// MakeClaimable lets a device be claimed, in place of what was said before. A serial that another device waits under, and a
	// device that was revoked, are fault.Conflict.
	MakeClaimable(ctx context.Context, actor account.Actor, uid string, c Claimable) error
	// EndClaim takes it back; it is a success where there is nothing to take back.
	EndClaim(ctx context.Context, actor account.Actor, uid string) error
}

// CertificateDoor is the record as devices come to it themselves, of whichever organisation.
type CertificateDoor interface {
	// Reissue hands decide how a device stands that shows something, and writes down the certificate that decide gives; nil: none.
	// From the look to the writing nobody pairs the device, revokes it or ends a secret of it: that comes before or after. One that
	// shows its next secret, and is not refused, has no other from then on. What decide refuses changes nothing and is its error;
	// fault.NotFound when there is no such device, fault.Conflict when an authority of ours was revoked.
	Reissue(ctx context.Context, shown Shown, decide func(*Showing) (*NewCertificate, error)) error
	// OpenClaims returns the devices of that serial that may be claimed at a time.
	OpenClaims(ctx context.Context, serial string, at time.Time) ([]OpenClaim, error)
	// KeepClaimed ends a claim and writes down what its device got; fault.Conflict when somebody was faster, or it was taken back.
	KeepClaimed(ctx context.Context, claim *OpenClaim, by devices.Fingerprint, c NewCertificate) error
}

// Asking is a device that asks for a certificate for itself.
type Asking struct {
	Name      string // its UID; of a claim, its serial
	Request   []byte // PKCS #10, PEM
	Secret    string // one of these two: its secret,
	Chain     []byte // or the certificate that it has, PEM,
	Signature []byte // and the signature of that certificate's key over the DER of the request
	From      netip.Addr
}

// parsed is an Asking that could be read.
type parsed struct {
	request *x509.CertificateRequest
	chain   []*x509.Certificate
}

func (a *Asking) parse() (parsed, error) {
	request, err := ParseRequest(a.Request)
	if err != nil {
		return parsed{}, err
	}
	if request.Subject.CommonName != a.Name {
		return parsed{}, fault.New(fault.Invalid, "csr: its common name must be %q, as in the rest of what you send", shorten(a.Name))
	}
	p := parsed{request: request}
	if len(a.Chain) == 0 {
		return p, nil
	}
	if p.chain, err = ParseChain("certificate", a.Chain); err != nil {
		return parsed{}, err
	}
	if err := checkSigned(p.chain[0], request.Raw, a.Signature); err != nil {
		return parsed{}, err
	}
	return p, nil
}

// checkSigned refuses a signature that the certificate's key did not make over the message with SHA-256 (with Ed25519, plainly).
func checkSigned(c *x509.Certificate, message, signature []byte) error {
	algorithm := x509.UnknownSignatureAlgorithm
	switch c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		algorithm = x509.ECDSAWithSHA256
	case *rsa.PublicKey:
		algorithm = x509.SHA256WithRSA
	case ed25519.PublicKey:
		algorithm = x509.PureEd25519
	}
	if c.CheckSignature(algorithm, message, signature) != nil {
		return fault.New(fault.Unauthenticated, "signature: the key of the certificate has not signed this request; sign the DER of the csr with SHA-256")
	}
	return nil
}

// Renew gives a device its next certificate. It shows its secret, or the certificate that it has while that is good: both
// certificates are good until the older one ends or is revoked. Asking again for the same key returns the same one, as long as it
// does not end soon.
func (c *Certificates) Renew(ctx context.Context, a Asking) (made *x509.Certificate, err error) {
	err = c.atTheirPace(a.From, func() error {
		made, err = c.renew(ctx, a)
		return err
	})
	return made, err
}

// atTheirPace lets whoever showed too much that is not good from an address wait before they are looked at again (guess.TooManyError):
// each look reads a request and holds a device for a moment.
func (c *Certificates) atTheirPace(from netip.Addr, look func() error) error {
	if c.Guesses == nil {
		return look()
	}
	if wait := c.Guesses.Begin(from, c.Now()); wait > 0 {
		return guess.TooMany(wait)
	}
	defer c.Guesses.Leave(from)
	err := look()
	if fault.Is(err, fault.Unauthenticated) {
		c.Guesses.Failed(from, c.Now())
	}
	return err
}

func (c *Certificates) renew(ctx context.Context, a Asking) (*x509.Certificate, error) {
	p, err := a.parse()
	if err != nil {
		return nil, err
	}
	if err := devices.CheckUID("device", a.Name); err != nil {
		return nil, err
	}
	shown := Shown{Device: a.Name, At: c.Now()}
	if a.Secret != "" {
		hash := devices.HashSecret([]byte(a.Secret))
		shown.Secret = &hash
	}
	var got *x509.Certificate
	var made *NewCertificate
	renews := false
	err = c.Door.Reissue(ctx, shown, func(s *Showing) (_ *NewCertificate, err error) {
		renews = s.ByNext
		got, made, err = c.reissue(&a, &p, s, shown.At)
		return made, err
	})
	if fault.Is(err, fault.NotFound) {
		err = errNotKnown()
	}
	if err != nil {
		return nil, err
	}
	if made != nil || renews {
		c.changed(ctx)
	}
	return got, nil
}

// reissue returns a device's next certificate, if what it shows is good: the one that it has for this key, or else one that is made.
func (c *Certificates) reissue(a *Asking, p *parsed, s *Showing, now time.Time) (*x509.Certificate, *NewCertificate, error) {
	if err := s.admit(a, p.chain, now); err != nil {
		return nil, nil, err
	}
	if had := forKey(s.Made, p.request, now); had != nil {
		return had, nil, nil
	}
	if err := s.room(now); err != nil {
		return nil, nil, err
	}
	made, err := c.sign(p.request, a.Name, OriginRenewed)
	if len(p.chain) > 0 {
		shown := devices.FingerprintOf(p.chain[0])
		made.From = &shown
	}
	return made.Certificate, &made, err
}

func errNotKnown() error {
	return fault.New(fault.Unauthenticated, "this device is not known, or what it shows is not good (any more): ask the device desk")
}

// admit decides whether a device is the one that it says; all that it shows must be good.
func (s *Showing) admit(a *Asking, chain []*x509.Certificate, now time.Time) error {
	if s.Device.Revoked || a.Secret == "" && len(chain) == 0 || a.Secret != "" && !s.BySecret {
		return errNotKnown()
	}
	if len(chain) == 0 {
		return nil
	}
	of := devices.Snapshot{Devices: map[string]*devices.Device{s.Device.UID: s.Device}, Authorities: map[vital.OrgID][]*devices.Authority{s.Device.Org: s.Authorities}}
	_, objection := of.Identify(chain, now)
	if objection == devices.ObjectionExpired {
		return fault.New(fault.Unauthenticated, "the certificate has ended %s: show the device's secret, or ask the device desk for a new one", stamp(chain[0].NotAfter))
	}
	if objection != "" {
		return errNotKnown()
	}
	return nil
}

func (s *Showing) room(now time.Time) error {
	n := 0
	for _, c := range s.Made {
		if now.Before(c.NotAfter) {
			n++
		}
	}
	if n >= mostInForce {
		return fault.New(fault.Conflict, "the device has %d certificates that are good: the device desk must revoke those that it does not use", n)
	}
	return nil
}

// forKey returns the certificate that was made for the key of a request and does not end soon; nil when there is none.
func forKey(list []*x509.Certificate, request *x509.CertificateRequest, now time.Time) *x509.Certificate {
	for _, c := range list {
		if bytes.Equal(c.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo) && c.NotAfter.Sub(now) > devices.EndsSoon {
			return c
		}
	}
	return nil
}

// Claimed is what a device gets that was claimed.
type Claimed struct {
	Device      string // its UID
	Certificate *x509.Certificate
}

// Claim gives a device its first certificate, once. It shows a certificate of the maker's claim authority, which its organisation
// trusts for claims, and the desk has said that the serial may be claimed now, with a certificate of that name. Asking again for
// the same key returns the same certificate while that time lasts: the answer may have been lost.
func (c *Certificates) Claim(ctx context.Context, a Asking) (got Claimed, err error) {
	err = c.atTheirPace(a.From, func() error {
		got, err = c.claim(ctx, a)
		return err
	})
	return got, err
}

func (c *Certificates) claim(ctx context.Context, a Asking) (Claimed, error) {
	if a.Name == "" || !account.Printable(a.Name, longestName) {
		return Claimed{}, fault.New(fault.Invalid, "serial: give 1 to %d printable characters", longestName)
	}
	p, err := a.parse()
	if err != nil {
		return Claimed{}, err
	}
	if len(p.chain) == 0 {
		return Claimed{}, fault.New(fault.Invalid, "certificate: show the claim certificate")
	}
	now := c.Now()
	list, err := c.Door.OpenClaims(ctx, a.Name, now)
	if err != nil {
		return Claimed{}, err
	}
	claim := granted(list, p.chain, now)
	if claim == nil {
		return Claimed{}, fault.New(fault.Unauthenticated, "this device cannot be claimed with this certificate, or not now: "+
			"the device desk says which serial may be claimed, with which certificate, and when")
	}
	if claim.Made != nil {
		if !bytes.Equal(claim.Made.RawSubjectPublicKeyInfo, p.request.RawSubjectPublicKeyInfo) {
			return Claimed{}, fault.New(fault.Conflict, "the device was claimed already, with another key: ask the device desk")
		}
		return Claimed{claim.Device, claim.Made}, nil
	}
	made, err := c.sign(p.request, claim.Device, OriginClaimed)
	if err != nil {
		return Claimed{}, err
	}
	if err := c.Door.KeepClaimed(ctx, claim, devices.FingerprintOf(p.chain[0]), made); err != nil {
		return Claimed{}, err
	}
	c.changed(ctx)
	return Claimed{claim.Device, made.Certificate}, nil
}

// granted returns the claim that a claim certificate opens now; nil when it opens none.
func granted(list []OpenClaim, chain []*x509.Certificate, now time.Time) *OpenClaim {
	for i := range list {
		o := &list[i]
		batch := o.Batch
		if batch == "" {
			batch = o.Serial
		}
		if chain[0].Subject.CommonName != batch || now.Before(o.From) || !now.Before(o.Until) {
			continue
		}
		if by, _ := devices.Vouches(o.Authorities, devices.ForClaims, chain, now); by != nil {
			return o
		}
	}
	return nil
}

// Claimable returns the newest claim of a device; nil when there is none.
func (c *Certificates) Claimable(ctx context.Context, actor account.Actor, uid string) (*Claimable, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return nil, err
	}
	return c.Claims.Claimable(ctx, actor, uid)
}

// MakeClaimable lets a device be claimed once, in a time.
func (c *Certificates) MakeClaimable(ctx context.Context, actor account.Actor, uid string, k Claimable) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return err
	}
	if k.Serial == "" {
		k.Serial = uid
	}
	for field, text := range map[string]string{"serial": k.Serial, "batch": k.Batch} {
		if text != "" && !account.Printable(text, longestName) {
			return fault.New(fault.Invalid, "%s: give 1 to %d printable characters", field, longestName)
		}
	}
	now := c.Now()
	if k.From.IsZero() {
		k.From = now
	}
	k.From, k.Until = k.From.UTC().Truncate(time.Microsecond), k.Until.UTC().Truncate(time.Microsecond)
	if !k.Until.After(k.From) || !k.Until.After(now) || k.Until.Sub(now) > longestClaim {
		return fault.New(fault.Invalid, "until: say when the time ends in which it can be claimed, at most %d days ahead", int(longestClaim.Hours()/24))
	}
	return c.Claims.MakeClaimable(ctx, actor, uid, k)
}

// EndClaim takes back that a device can be claimed. One that was claimed already stays as it is.
func (c *Certificates) EndClaim(ctx context.Context, actor account.Actor, uid string) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return err
	}
	return c.Claims.EndClaim(ctx, actor, uid)
}

// Sizes of keys that are taken.
const (
	rsaLeast = 2048
	rsaMost  = 4096
)

// ParseRequest reads a certificate signing request (PKCS #10) in PEM, and refuses one that its own key has not signed, or whose key
// is weak.
func ParseRequest(text []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, fault.New(fault.Invalid, "csr: send a certificate signing request in PEM (-----BEGIN CERTIFICATE REQUEST-----)")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "csr: it cannot be read")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fault.New(fault.Invalid, "csr: its own key has not signed it")
	}
	switch key := r.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return r, nil
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n >= rsaLeast && n <= rsaMost {
			return r, nil
		}
	}
	return nil, fault.New(fault.Invalid, "csr: the key must be ECDSA (best P-256), Ed25519, or RSA of %d to %d bits", rsaLeast, rsaMost)
}

// ParseChain reads certificates in PEM; the field is for the message of what is wrong.
func ParseChain(field string, text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || len(chain) == devices.LongestChain {
			return nil, fault.New(fault.Invalid, "%s: send 1 to %d certificates in PEM (-----BEGIN CERTIFICATE-----), and nothing else", field, devices.LongestChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "%s: it cannot be read", field)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fault.New(fault.Invalid, "%s: send a certificate in PEM", field)
	}
	return chain, nil
}
