package credential

import (
	"context"
	"crypto/x509"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// Bounds of certificates.
const (
	// mostInForce is how many certificates of one device may be good at once: the present one, the next, and some that were
	// asked for in vain.
	mostInForce     = 10
	longestClaim    = 180 * 24 * time.Hour
	longestName     = 200
	mostEndingAhead = 366 * 24 * time.Hour
)

// Origin says how a certificate came to be a device's.
type Origin string

// The origins.
const (
	OriginGiven   Origin = "given"   // the desk wrote it down; an authority of the organisation had signed it
	OriginSigned  Origin = "signed"  // Hale signed it for the desk
	OriginRenewed Origin = "renewed" // Hale signed it for the device, which showed its secret or the one before
	OriginClaimed Origin = "claimed" // Hale signed it for the device, which showed a maker's claim certificate
)

// KeptCertificate is a certificate as the desk sees it.
type KeptCertificate struct {
	devices.Certificate
	Device    string // UID
	Serial    string // in hexadecimal
	Origin    Origin
	CreatedAt time.Time
	RevokedAt time.Time            // zero: it was not
	From      *devices.Fingerprint // of the certificate that the device showed for it; nil: it showed none
}

// Renewals returns which of a device's certificates came of one, by renewing it or one that came of it, and are not revoked.
func Renewals(list []KeptCertificate, of devices.Fingerprint) []devices.Fingerprint {
	var came []devices.Fingerprint
	for i := range list {
		if k := &list[i]; k.From != nil && *k.From == of {
			if !k.Revoked {
				came = append(came, k.Fingerprint)
			}
			came = append(came, Renewals(list, k.Fingerprint)...)
		}
	}
	return came
}

// NewCertificate is one that becomes a device's.
type NewCertificate struct {
	Certificate *x509.Certificate
	By          *x509.Certificate // our own authority, which the organisation trusts from then on; nil: somebody else's
	Origin      Origin
	From        *devices.Fingerprint // of the device's certificate that was shown for it; nil: none was
}

// Signer is our own certificate authority for devices.
type Signer interface {
	// Sign makes a certificate for the key of a request, whatever else stands in it, which names the device. by is the
	// authority's own certificate.
	Sign(request *x509.CertificateRequest, uid string) (cert, by *x509.Certificate, err error)
}

// CertificateBook is the record as the desk needs it for certificates. Every method is bound to the actor's organisation; a device
// that is not there is fault.NotFound. What changes something writes its audit row.
type CertificateBook interface {
	// Certificates returns the device's, those that were revoked too, the newest first.
	Certificates(ctx context.Context, actor account.Actor, uid string) ([]KeptCertificate, error)
	// KeepCertificate writes one down; one that is there already is fault.Conflict, and so is a device or an authority of ours
	// that was revoked.
	KeepCertificate(ctx context.Context, actor account.Actor, uid string, c NewCertificate) error
	// RevokeCertificate makes it worthless, and unless it alone is meant, all that came of it (Renewals); fault.NotFound when the device
	// has no such one.
	RevokeCertificate(ctx context.Context, actor account.Actor, uid string, f devices.Fingerprint, alone bool) error
	// EndingCertificates returns of every device in use the certificate that ends last, where that is before a time; first who ends first.
	EndingCertificates(ctx context.Context, actor account.Actor, before time.Time) ([]KeptCertificate, error)
}

// AuthorityBook is the record as the desk needs it for the authorities that the organisation trusts.
type AuthorityBook interface {
	Authorities(ctx context.Context, actor account.Actor) ([]*devices.Authority, error)
	// AddAuthority keeps one, with a UID; one whose certificate is kept already, revoked or not, is fault.Conflict.
	AddAuthority(ctx context.Context, actor account.Actor, a *devices.Authority) error
	// RevokeAuthority makes all that it signed worthless, for good; fault.NotFound when there is none.
	RevokeAuthority(ctx context.Context, actor account.Actor, uid vital.UID) error
}

// Certificates is where the desk keeps certificates, authorities and claims.
type Certificates struct {
	Book        CertificateBook
	Authorities AuthorityBook
	Claims      ClaimBook
	Door        CertificateDoor
	Signer      Signer // nil: Hale signs none here
	Now         func() time.Time
	// Guesses slows down whoever shows what is not good; nil: nobody waits.
	Guesses *guess.Addresses
	// Changed, when set, is called after each change, as Desk.Changed.
	Changed func(ctx context.Context)
}

// Of returns the certificates of a device.
func (c *Certificates) Of(ctx context.Context, actor account.Actor, uid string) ([]KeptCertificate, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return nil, err
	}
	return c.Book.Certificates(ctx, actor, uid)
}

// Ending returns the devices that will not be let in by certificate after a time from now, unless somebody renews it, and those
// that are not let in any more. 0 means EndsSoon.
func (c *Certificates) Ending(ctx context.Context, actor account.Actor, within time.Duration) ([]KeptCertificate, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if within == 0 {
		within = devices.EndsSoon
	}
	if within < 0 || within > mostEndingAhead {
		return nil, fault.New(fault.Invalid, "within_days: say 1 to 366")
	}
	return c.Book.EndingCertificates(ctx, actor, c.Now().Add(within))
}

// Sign makes a certificate of our own authority for a device, by a request in PEM that holds its key.
func (c *Certificates) Sign(ctx context.Context, actor account.Actor, uid string, requestPEM []byte) (*x509.Certificate, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return nil, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return nil, err
	}
	request, err := ParseRequest(requestPEM)
	if err != nil {
		return nil, err
	}
	if name := request.Subject.CommonName; name != "" && name != uid {
		return nil, fault.New(fault.Invalid, "csr: it is of %q; leave the common name out, or make it the UID of the device", shorten(name))
	}
	list, err := c.Book.Certificates(ctx, actor, uid)
	if err == nil {
		err = roomForOne(list, c.Now())
	}
	if err != nil {
		return nil, err
	}
	made, err := c.sign(request, uid, OriginSigned)
	if err != nil {
		return nil, err
	}
	if err := c.Book.KeepCertificate(ctx, actor, uid, made); err != nil {
		return nil, err
	}
	c.changed(ctx)
	return made.Certificate, nil
}

// Keep writes down a certificate that an authority of the organisation has signed for a device, in PEM, with what stands between
// them behind it. Only what was written down lets a device in.
func (c *Certificates) Keep(ctx context.Context, actor account.Actor, uid string, chainPEM []byte) (*x509.Certificate, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return nil, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return nil, err
	}
	chain, err := ParseChain("certificate", chainPEM)
	if err != nil {
		return nil, err
	}
	list, err := c.Book.Certificates(ctx, actor, uid)
	if err == nil {
		err = roomForOne(list, c.Now())
	}
	if err != nil {
		return nil, err
	}
	authorities, err := c.Authorities.Authorities(ctx, actor)
	if err == nil {
		err = fits(chain, uid, authorities, c.Now())
	}
	if err != nil {
		return nil, err
	}
	if err := c.Book.KeepCertificate(ctx, actor, uid, NewCertificate{Certificate: chain[0], Origin: OriginGiven}); err != nil {
		return nil, err
	}
	c.changed(ctx)
	return chain[0], nil
}

// fits says why a certificate would not let the device in, were it written down.
func fits(chain []*x509.Certificate, uid string, authorities []*devices.Authority, now time.Time) error {
	named := false
	for _, name := range devices.Names(chain[0]) {
		named = named || name == uid
	}
	if !named {
		return fault.New(fault.Invalid, "certificate: it does not name this device: its common name must be %s, or a URI in it %s%s", uid, devices.DeviceURN, uid)
	}
	_, objection := devices.Vouches(authorities, devices.ForDevices, chain, now)
	if objection == devices.ObjectionExpired {
		return fault.New(fault.Invalid, "certificate: it has ended %s", stamp(chain[0].NotAfter))
	}
	if objection == devices.ObjectionEarly {
		return fault.New(fault.Invalid, "certificate: it is not valid before %s; write it down then", stamp(chain[0].NotBefore))
	}
	if objection != "" {
		return fault.New(fault.Invalid, "certificate: no authority that is trusted for devices has signed it for a client; add the authority first, "+
			"and send what stands between behind the certificate")
	}
	return nil
}

// roomForOne refuses a further certificate where so many are good already that something must be wrong.
func roomForOne(list []KeptCertificate, now time.Time) error {
	n := 0
	for _, k := range list {
		if !k.Revoked && now.Before(k.NotAfter) {
			n++
		}
	}
	if n >= mostInForce {
		return fault.New(fault.Conflict, "the device has %d certificates that are good: revoke those that it does not use", n)
	}
	return nil
}

// Revoke makes a certificate of a device worthless at once with all that was renewed from it, and ends the connections that they opened:
// whoever has its key may have renewed it.
func (c *Certificates) Revoke(ctx context.Context, actor account.Actor, uid string, f devices.Fingerprint) error {
	return c.revoke(ctx, actor, uid, f, false)
}

// RevokeAlone revokes one that the device has replaced. What was renewed from it stays good.
func (c *Certificates) RevokeAlone(ctx context.Context, actor account.Actor, uid string, f devices.Fingerprint) error {
	return c.revoke(ctx, actor, uid, f, true)
}

func (c *Certificates) revoke(ctx context.Context, actor account.Actor, uid string, f devices.Fingerprint, alone bool) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return err
	}
	if err := c.Book.RevokeCertificate(ctx, actor, uid, f, alone); err != nil {
		return err
	}
	c.changed(ctx)
	return nil
}

// sign makes a certificate of our own.
func (c *Certificates) sign(request *x509.CertificateRequest, uid string, origin Origin) (NewCertificate, error) {
	if c.Signer == nil {
		return NewCertificate{}, fault.New(fault.Conflict, "this installation signs no certificates: it was started without --device-authority")
	}
	cert, by, err := c.Signer.Sign(request, uid)
	return NewCertificate{Certificate: cert, By: by, Origin: origin}, err
}

// Trusted lists the authorities that the organisation trusts, or has trusted.
func (c *Certificates) Trusted(ctx context.Context, actor account.Actor) ([]*devices.Authority, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	return c.Authorities.Authorities(ctx, actor)
}

// NewAuthority is an authority as the desk describes it.
type NewAuthority struct {
	Kind devices.AuthorityKind
	Name string
	PEM  []byte
	From time.Time // zero: now
	// Until is when the trust ends; zero: with the certificate, and later is no use.
	Until time.Time
}

// Trust adds an authority to those that the organisation trusts. Another one may be there for the same makers' devices: while
// both are in force devices come with certificates of either.
func (c *Certificates) Trust(ctx context.Context, actor account.Actor, n NewAuthority) (*devices.Authority, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return nil, err
	}
	a, err := n.authority(c.Now())
	if err != nil {
		return nil, err
	}
	a.Org = actor.Org
	if err := c.Authorities.AddAuthority(ctx, actor, a); err != nil {
		return nil, err
	}
	c.changed(ctx)
	return a, nil
}

func (n *NewAuthority) authority(now time.Time) (*devices.Authority, error) {
	if n.Kind != devices.ForDevices && n.Kind != devices.ForClaims {
		return nil, fault.New(fault.Invalid, "kind: say device or claim")
	}
	if n.Name == "" || !account.Printable(n.Name, longestName) {
		return nil, fault.New(fault.Invalid, "name: give 1 to %d printable characters", longestName)
	}
	chain, err := ParseChain("certificate", n.PEM)
	if err != nil {
		return nil, err
	}
	cert := chain[0]
	switch {
	case len(chain) > 1:
		return nil, fault.New(fault.Invalid, "certificate: give one authority at a time")
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fault.New(fault.Invalid, "certificate: it is not one of an authority, which may sign others (basic constraints, CA:TRUE)")
	case !now.Before(cert.NotAfter):
		return nil, fault.New(fault.Invalid, "certificate: it has ended %s", stamp(cert.NotAfter))
	}
	a := &devices.Authority{Kind: n.Kind, Name: n.Name, Certificate: cert, From: n.From.UTC(), Until: n.Until.UTC()}
	if n.From.IsZero() {
		a.From = now.UTC()
	}
	if n.Until.IsZero() || a.Until.After(cert.NotAfter) {
		a.Until = cert.NotAfter.UTC()
	}
	a.From, a.Until = a.From.Truncate(time.Microsecond), a.Until.Truncate(time.Microsecond)
	if !a.Until.After(a.From) {
		return nil, fault.New(fault.Invalid, "until: must lie after from")
	}
	return a, nil
}

// Distrust makes everything that an authority has signed worthless, at once and for good.
func (c *Certificates) Distrust(ctx context.Context, actor account.Actor, uid vital.UID) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := c.Authorities.RevokeAuthority(ctx, actor, uid); err != nil {
		return err
	}
	c.changed(ctx)
	return nil
}

func (c *Certificates) changed(ctx context.Context) {
	if c.Changed != nil {
		c.Changed(ctx)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func shorten(text string) string { return text[:min(len(text), 80)] }
