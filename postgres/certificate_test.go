package postgres_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/internal/certs"
	"hale/vital"
)

// trustee is a record with the desk of certificates before it.
type trustee struct {
	*record
	*credential.Certificates
	later time.Duration // by which its clock is ahead
}

func newTrustee(t *testing.T) *trustee {
	t.Helper()
	r := &trustee{record: newRecord(t)}
	r.Certificates = &credential.Certificates{
		Book: r.app, Authorities: r.app, Claims: r.app, Door: r.app, Signer: certs.New(t, "ours"),
		Now: func() time.Time { return time.Now().Add(r.later) },
	}
	return r
}

// identified looks, as an edge does, whom a certificate lets in.
func (r *trustee) identified(t *testing.T, c *x509.Certificate) (uid string, o devices.Objection) {
	t.Helper()
	s, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, o := s.Identify([]*x509.Certificate{c}, time.Now())
	if o != "" {
		return "", o
	}
	return p.Device.UID, ""
}

func (r *trustee) expect(t *testing.T, c *x509.Certificate, uid string, o devices.Objection) {
	t.Helper()
	if got, why := r.identified(t, c); got != uid || why != o {
		t.Errorf("the certificate lets in %q, objection %q; want %q, %q", got, why, uid, o)
	}
}

func wantFault(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s: %v, want %s", what, err, kind)
	}
}

// asking is a device's request for a new key, signed by the key of what it shows.
func asking(t *testing.T, name string, shown *tls.Certificate) credential.Asking {
	t.Helper()
	a := credential.Asking{Name: name, Request: certs.Request(t, name, certs.Key(t))}
	if shown != nil {
		a.Chain, a.Signature = certs.PEM(shown.Leaf), certs.Signature(t, shown, a.Request)
	}
	return a
}

func TestACertificateOfOursLetsItsDeviceInUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	key := certs.Key(t)
	made, err := r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "", key))
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, made, "cuff-1", "")
	second, err := r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "cuff-1", certs.Key(t)))
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Of(ctx, r.nurse, "cuff-1")
	if err != nil || len(list) != 2 || list[0].Origin != credential.OriginSigned || list[0].Fingerprint != devices.FingerprintOf(second) {
		t.Fatalf("the device has %+v, %v", list, err)
	}
	if err := r.Revoke(ctx, r.nurse, "cuff-1", devices.FingerprintOf(made)); err != nil {
		t.Fatal(err)
	}
	r.expect(t, made, "", devices.ObjectionRevoked)
	r.expect(t, second, "cuff-1", "")
	wantFault(t, "one that the device has not", r.Revoke(ctx, r.nurse, "cuff-1", devices.Fingerprint{1}), fault.NotFound)
	_, err = r.Sign(ctx, r.nurse, "cuff-9", certs.Request(t, "", key))
	wantFault(t, "a device that is not there", err, fault.NotFound)
	_, err = r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "cuff-2", key))
	wantFault(t, "a request of another name", err, fault.Invalid)
	_, err = r.Sign(ctx, account.Actor{Org: r.nurse.Org, Staff: r.nurse.Staff, Role: account.Nurse}, "cuff-1", certs.Request(t, "", key))
	wantFault(t, "a nurse", err, fault.Forbidden)
	_, err = r.Of(ctx, r.staff(t, "Elsewhere", "eva"), "cuff-1")
	wantFault(t, "another organisation", err, fault.NotFound)

	ours, err := r.Trusted(ctx, r.nurse)
	if err != nil || len(ours) != 1 || ours[0].Name != "Hale" {
		t.Fatalf("the organisation trusts %+v, %v", ours, err)
	}
	if err := r.Distrust(ctx, r.nurse, ours[0].UID); err != nil {
		t.Fatal(err)
	}
	r.expect(t, second, "", devices.ObjectionAuthority)
	_, err = r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "", certs.Key(t)))
	wantFault(t, "our authority after it was revoked", err, fault.Conflict)
}

func TestAMakersAuthoritiesOverlap(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	old, next := certs.New(t, "old"), certs.New(t, "next")
	trust := func(a *certs.Authority, name string) *devices.Authority {
		n, err := r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: name, PEM: certs.PEM(a.Certificate)})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, second := old.Issue(t, certs.Leaf{Name: "cuff-1"}), next.Issue(t, certs.Leaf{Name: "cuff-1"})
	before := trust(old, "old")
	if _, err := r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(first.Leaf)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(second.Leaf))
	wantFault(t, "one of an authority that is not trusted yet", err, fault.Invalid)
	trust(next, "next")
	if _, err := r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(second.Leaf)); err != nil {
		t.Fatal(err)
	}
	r.expect(t, first.Leaf, "cuff-1", "")
	r.expect(t, second.Leaf, "cuff-1", "")
	if err := r.Distrust(ctx, r.nurse, before.UID); err != nil {
		t.Fatal(err)
	}
	r.expect(t, first.Leaf, "", devices.ObjectionAuthority)
	r.expect(t, second.Leaf, "cuff-1", "")

	_, err = r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: "again", PEM: certs.PEM(old.Certificate)})
	wantFault(t, "an authority that was revoked, once more", err, fault.Conflict)
	_, err = r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: "leaf", PEM: certs.PEM(first.Leaf)})
	wantFault(t, "a certificate that may sign none", err, fault.Invalid)
	_, err = r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(second.Leaf))
	wantFault(t, "the same certificate twice", err, fault.Conflict)
	other := next.Issue(t, certs.Leaf{Name: "cuff-2"})
	_, err = r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(other.Leaf))
	wantFault(t, "a certificate that names another", err, fault.Invalid)
	ended := next.Issue(t, certs.Leaf{Name: "cuff-1", To: time.Now().Add(-time.Minute)})
	_, err = r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(ended.Leaf))
	wantFault(t, "a certificate that has ended", err, fault.Invalid)
}

func TestADeviceRenewsItsCertificateByItself(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	bySecret := asking(t, "cuff-1", nil)
	bySecret.Secret = "cuff-1"
	first, err := r.Renew(ctx, bySecret)
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, first, "cuff-1", "")
	if again, err := r.Renew(ctx, bySecret); err != nil || !again.Equal(first) {
		t.Errorf("asked again for the same key it is another certificate, %v", err)
	}
	maker := certs.New(t, "maker")
	if _, err := r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: "maker", PEM: certs.PEM(maker.Certificate)}); err != nil {
		t.Fatal(err)
	}
	present := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
	unknown := asking(t, "cuff-1", &present)
	_, err = r.Renew(ctx, unknown)
	wantFault(t, "by a certificate that was not written down", err, fault.Unauthenticated)
	if _, err := r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(present.Leaf)); err != nil {
		t.Fatal(err)
	}
	second, err := r.Renew(ctx, unknown)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*x509.Certificate{first, present.Leaf, second} { // side by side
		r.expect(t, c, "cuff-1", "")
	}

	cases := map[string]struct {
		change func(a *credential.Asking)
		kind   fault.Kind
	}{
		"signed by another key": {func(a *credential.Asking) {
			o := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
			a.Signature = certs.Signature(t, &o, a.Request)
		}, fault.Unauthenticated},
		"with the signature of another request": {func(a *credential.Asking) { a.Signature = unknown.Signature }, fault.Unauthenticated},
		"for another device":                    {func(a *credential.Asking) { *a = asking(t, "cuff-2", &present) }, fault.Unauthenticated},
		"with a wrong secret beside":            {func(a *credential.Asking) { a.Secret = "wrong" }, fault.Unauthenticated},
		"with nothing":                          {func(a *credential.Asking) { a.Chain, a.Signature = nil, nil }, fault.Unauthenticated},
		"with a request of another name":        {func(a *credential.Asking) { a.Request = certs.Request(t, "cuff-2", certs.Key(t)) }, fault.Invalid},
		"with no request":                       {func(a *credential.Asking) { a.Request = []byte("hello") }, fault.Invalid},
	}
	for name, c := range cases {
		a := asking(t, "cuff-1", &present)
		c.change(&a)
		_, err := r.Renew(ctx, a)
		wantFault(t, name, err, c.kind)
	}

	late := asking(t, "cuff-1", &present)
	r.later = 25 * time.Hour
	_, err = r.Renew(ctx, late)
	wantFault(t, "with a certificate that has ended", err, fault.Unauthenticated)
	r.later = 0
	if err := r.Revoke(ctx, r.nurse, "cuff-1", devices.FingerprintOf(present.Leaf)); err != nil {
		t.Fatal(err)
	}
	_, err = r.Renew(ctx, late)
	wantFault(t, "with a certificate that was revoked", err, fault.Unauthenticated)
	if err := r.app.Revoke(ctx, r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	_, err = r.Renew(ctx, bySecret)
	wantFault(t, "a device that was revoked", err, fault.Unauthenticated)
}

// TestWithACertificateEndsWhatWasRenewedFromIt: whoever has its key may have renewed it, and that again.
func TestWithACertificateEndsWhatWasRenewedFromIt(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	key := certs.Key(t)
	first, err := r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "cuff-1", key))
	if err != nil {
		t.Fatal(err)
	}
	renew := func(from *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		t.Helper()
		next := certs.Key(t)
		shown := tls.Certificate{Certificate: [][]byte{from.Raw}, PrivateKey: key, Leaf: from}
		a := credential.Asking{Name: "cuff-1", Request: certs.Request(t, "cuff-1", next), Chain: certs.PEM(from)}
		a.Signature = certs.Signature(t, &shown, a.Request)
		made, err := r.Renew(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		return made, next
	}
	second, secondKey := renew(first, key)
	third, _ := renew(second, secondKey)
	beside, _ := renew(first, key)
	bySecret := asking(t, "cuff-1", nil)
	bySecret.Secret = "cuff-1"
	other, err := r.Renew(ctx, bySecret)
	if err != nil {
		t.Fatal(err)
	}
	print := devices.FingerprintOf
	list, err := r.Of(ctx, r.nurse, "cuff-1")
	if err != nil {
		t.Fatal(err)
	}
	if came := credential.Renewals(list, print(second)); len(came) != 1 || came[0] != print(third) {
		t.Errorf("of the second came %v", came)
	}
	if came := credential.Renewals(list, print(first)); len(came) != 3 {
		t.Errorf("of the first came %v", came)
	}
	if err := r.RevokeAlone(ctx, r.nurse, "cuff-1", print(second)); err != nil {
		t.Fatal(err)
	}
	r.expect(t, second, "", devices.ObjectionRevoked)
	r.expect(t, third, "cuff-1", "")
	for range 2 { // the second time is a success too
		if err := r.Revoke(ctx, r.nurse, "cuff-1", print(first)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*x509.Certificate{first, second, third, beside} {
		r.expect(t, c, "", devices.ObjectionRevoked)
	}
	r.expect(t, other, "cuff-1", "")
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'revoke certificate' AND object = 'device cuff-1' AND detail LIKE '%, renewed from ' || $1`, print(first).String()); n != 2 {
		t.Errorf("%d audit rows say of what they were renewed", n)
	}
}

func TestADeviceIsClaimedOnce(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	batches := certs.New(t, "batches")
	batch := batches.Issue(t, certs.Leaf{Name: "batch 7"})
	mine := asking(t, "SN 4711", &batch)
	open := credential.Claimable{Serial: "SN 4711", Batch: "batch 7", Until: time.Now().Add(time.Hour)}

	_, err := r.Claim(ctx, mine)
	wantFault(t, "a serial that nobody may claim", err, fault.Unauthenticated)
	if err := r.MakeClaimable(ctx, r.nurse, "cuff-1", open); err != nil {
		t.Fatal(err)
	}
	_, err = r.Claim(ctx, mine)
	wantFault(t, "with an authority that is not trusted", err, fault.Unauthenticated)
	if _, err := r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForClaims, Name: "batches", PEM: certs.PEM(batches.Certificate)}); err != nil {
		t.Fatal(err)
	}
	another := batches.Issue(t, certs.Leaf{Name: "batch 8"})
	_, err = r.Claim(ctx, asking(t, "SN 4711", &another))
	wantFault(t, "with the certificate of another batch", err, fault.Unauthenticated)
	_, err = r.Claim(ctx, asking(t, "SN 4712", &batch))
	wantFault(t, "another serial", err, fault.Unauthenticated)
	_, err = r.Claim(ctx, asking(t, "SN 4711", nil))
	wantFault(t, "without a certificate", err, fault.Invalid)
	_, err = r.Keep(ctx, r.nurse, "cuff-1", certs.PEM(batches.Issue(t, certs.Leaf{Name: "cuff-1"}).Leaf))
	wantFault(t, "a claim certificate as one to connect with", err, fault.Invalid)
	r.later = 2 * time.Hour
	_, err = r.Claim(ctx, mine)
	wantFault(t, "when the time is over", err, fault.Unauthenticated)
	r.later = 0

	got, err := r.Claim(ctx, mine)
	if err != nil || got.Device != "cuff-1" {
		t.Fatalf("it is claimed as %q, %v", got.Device, err)
	}
	r.expect(t, got.Certificate, "cuff-1", "")
	r.expect(t, batch.Leaf, "", devices.ObjectionName)
	if again, err := r.Claim(ctx, mine); err != nil || !again.Certificate.Equal(got.Certificate) {
		t.Errorf("whose answer was lost gets %v, %v", again, err)
	}
	_, err = r.Claim(ctx, asking(t, "SN 4711", &batch))
	wantFault(t, "a second time, by another key", err, fault.Conflict)
	if c, err := r.Claimable(ctx, r.nurse, "cuff-1"); err != nil || c == nil || c.UsedAt.IsZero() {
		t.Errorf("the desk sees %+v, %v", c, err)
	}
	if err := r.Revoke(ctx, r.nurse, "cuff-1", devices.FingerprintOf(got.Certificate)); err != nil {
		t.Fatal(err)
	}
	_, err = r.Claim(ctx, mine)
	wantFault(t, "after what it got was revoked", err, fault.Unauthenticated)

	r.addDevice(t, r.nurse, r.patient, "cuff-2")
	wantFault(t, "the serial of another device", r.MakeClaimable(ctx, r.nurse, "cuff-2", open), fault.Conflict)
	if err := r.EndClaim(ctx, r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	if err := r.MakeClaimable(ctx, r.nurse, "cuff-2", open); err != nil {
		t.Fatal(err)
	}
	if err := r.EndClaim(ctx, r.nurse, "cuff-2"); err != nil {
		t.Fatal(err)
	}
	_, err = r.Claim(ctx, mine)
	wantFault(t, "after it was taken back", err, fault.Unauthenticated)
}

func TestClaimsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	if err := r.MakeClaimable(ctx, r.nurse, "cuff-1", credential.Claimable{Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	claims, err := r.app.OpenClaims(ctx, "cuff-1", time.Now())
	if err != nil || len(claims) != 1 {
		t.Fatalf("open are %+v, %v", claims, err)
	}
	keep := func() error {
		c := certs.New(t, "ours").Issue(t, certs.Leaf{Name: "cuff-1"})
		return r.app.KeepClaimed(ctx, &claims[0], devices.Fingerprint{1}, credential.NewCertificate{Certificate: c.Leaf, Origin: credential.OriginClaimed})
	}
	if err := keep(); err != nil {
		t.Fatal(err)
	}
	wantFault(t, "the second of two that saw the same claim", keep(), fault.Conflict)
	if list, err := r.Of(ctx, r.nurse, "cuff-1"); err != nil || len(list) != 1 {
		t.Errorf("%d certificates were kept, %v", len(list), err)
	}
}

func TestCertificatesThatEndSoonAreTold(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx := t.Context()
	maker := certs.New(t, "maker")
	if _, err := r.Trust(ctx, r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: "maker", PEM: certs.PEM(maker.Certificate)}); err != nil {
		t.Fatal(err)
	}
	keep := func(uid string, days int) *x509.Certificate {
		c := maker.Issue(t, certs.Leaf{Name: uid, To: time.Now().AddDate(0, 0, days)})
		if _, err := r.Keep(ctx, r.nurse, uid, certs.PEM(c.Leaf)); err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	for _, uid := range []string{"soon", "later", "renewed", "replaced", "gone"} {
		r.addDevice(t, r.nurse, r.patient, uid)
	}
	keep("soon", 29)
	keep("later", 31)
	keep("renewed", 5)
	keep("renewed", 60)
	keep("replaced", 10)
	revoked := keep("replaced", 60)
	keep("gone", 3)
	if err := r.Revoke(ctx, r.nurse, "replaced", devices.FingerprintOf(revoked)); err != nil {
		t.Fatal(err)
	}
	if err := r.app.Revoke(ctx, r.nurse, "gone"); err != nil {
		t.Fatal(err)
	}
	list, err := r.Ending(ctx, r.nurse, 0)
	if err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, k := range list {
		uids = append(uids, k.Device)
	}
	if len(uids) != 2 || uids[0] != "replaced" || uids[1] != "soon" {
		t.Errorf("told are %v, want replaced and soon", uids)
	}
	if list, err := r.Ending(ctx, r.staff(t, "Elsewhere", "eva"), 0); err != nil || len(list) != 0 {
		t.Errorf("another organisation is told %v, %v", list, err)
	}
}

func TestAnotherOrganisationsAuthorityIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	a, err := r.Trust(t.Context(), r.nurse, credential.NewAuthority{Kind: devices.ForDevices, Name: "maker", PEM: certs.PEM(certs.New(t, "maker").Certificate)})
	if err != nil {
		t.Fatal(err)
	}
	eva := r.staff(t, "Elsewhere", "eva")
	wantFault(t, "another organisation's", r.Distrust(t.Context(), eva, a.UID), fault.NotFound)
	wantFault(t, "what is no id", r.Distrust(t.Context(), eva, vital.UID("x")), fault.NotFound)
}

func TestWhatWasGotWithASecretEndsWithIt(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	ctx, now := t.Context(), time.Now()
	c := r.credentials(&now)
	signed, err := r.Sign(ctx, r.nurse, "cuff-1", certs.Request(t, "", certs.Key(t)))
	if err != nil {
		t.Fatal(err)
	}
	renew := func(secret string, shown *tls.Certificate) tls.Certificate {
		t.Helper()
		key := certs.Key(t)
		a := credential.Asking{Name: "cuff-1", Request: certs.Request(t, "cuff-1", key), Secret: secret}
		if shown != nil {
			a.Chain, a.Signature = certs.PEM(shown.Leaf), certs.Signature(t, shown, a.Request)
		}
		made, err := r.Renew(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Leaf: made, PrivateKey: key}
	}
	first := renew("cuff-1", nil) // by somebody who has found the secret
	second := renew("", &first)
	made, err := c.MakeCode(ctx, r.nurse, "cuff-1")
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, second.Leaf, "cuff-1", "") // until the code is used
	paired, err := c.Pair(ctx, netip.MustParseAddr("192.0.2.7"), made.Code)
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, first.Leaf, "", devices.ObjectionRevoked)
	r.expect(t, second.Leaf, "", devices.ObjectionRevoked)
	r.expect(t, signed, "cuff-1", "") // nobody got it with the secret

	third := renew(paired.Secret, nil)
	next, err := c.Renew(ctx, r.nurse, "cuff-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, third.Leaf, "cuff-1", "")
	if err := c.DropOld(ctx, r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	r.expect(t, third.Leaf, "", devices.ObjectionRevoked)
	r.expect(t, renew(next.Secret, nil).Leaf, "cuff-1", "")
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'revoke certificate' AND object = 'device cuff-1'`); n != 3 {
		t.Errorf("%d certificates were revoked in the trail, want 3", n)
	}
}
