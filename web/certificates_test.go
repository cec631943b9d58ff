package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/internal/browser"
	"hale/internal/certs"
	"hale/vital"
)

// folder is a record in memory of the certificates of one device, cuff-1, and of the authorities behind them.
type folder struct {
	now         func() time.Time
	list        []credential.KeptCertificate
	authorities []*devices.Authority
	claim       *credential.Claimable
	signer      *ecdsa.PrivateKey
}

func (f *folder) service() *credential.Certificates {
	return &credential.Certificates{Book: f, Authorities: f, Claims: f, Signer: f, Now: f.now}
}

func (f *folder) Sign(request *x509.CertificateRequest, uid string) (cert, by *x509.Certificate, err error) {
	template := &x509.Certificate{Subject: request.Subject, NotBefore: f.now(), NotAfter: f.now().AddDate(1, 0, 0)}
	template.Subject.CommonName = uid
	der, err := x509.CreateCertificate(rand.Reader, template, template, request.PublicKey, f.signer)
	if err != nil {
		return nil, nil, err
	}
	cert, err = x509.ParseCertificate(der)
	return cert, cert, err
}

func (f *folder) Certificates(_ context.Context, _ account.Actor, uid string) ([]credential.KeptCertificate, error) {
	if uid != "cuff-1" {
		return nil, fault.New(fault.NotFound, "there is no device %q", uid)
	}
	return f.list, nil
}

func (f *folder) KeepCertificate(_ context.Context, _ account.Actor, uid string, c credential.NewCertificate) error {
	f.list = append(f.list, credential.KeptCertificate{
		Certificate: devices.Certificate{Fingerprint: devices.FingerprintOf(c.Certificate), NotBefore: c.Certificate.NotBefore, NotAfter: c.Certificate.NotAfter},
		Device:      uid, Origin: c.Origin, CreatedAt: f.now(),
	})
	return nil
}

func (f *folder) RevokeCertificate(_ context.Context, _ account.Actor, _ string, print devices.Fingerprint, alone bool) error {
	came := credential.Renewals(f.list, print)
	for i := range f.list {
		if !alone && slices.Contains(came, f.list[i].Fingerprint) {
			f.list[i].Revoked, f.list[i].RevokedAt = true, f.now()
		}
	}
	for i := range f.list {
		if f.list[i].Fingerprint == print {
			f.list[i].Revoked, f.list[i].RevokedAt = true, f.now()
			return nil
		}
	}
	return fault.New(fault.NotFound, "the device has no such certificate")
}

func (f *folder) EndingCertificates(_ context.Context, _ account.Actor, before time.Time) (ending []credential.KeptCertificate, err error) {
	for _, k := range f.list {
		if k.NotAfter.Before(before) {
			ending = append(ending, k)
		}
	}
	return ending, nil
}

func (f *folder) Authorities(context.Context, account.Actor) ([]*devices.Authority, error) {
	return f.authorities, nil
}

func (f *folder) AddAuthority(_ context.Context, _ account.Actor, a *devices.Authority) error {
	a.UID = vital.UID("a" + strconv.Itoa(len(f.authorities)))
	f.authorities = append(f.authorities, a)
	return nil
}

func (f *folder) RevokeAuthority(_ context.Context, _ account.Actor, uid vital.UID) error {
	for _, a := range f.authorities {
		if a.UID == uid {
			a.Revoked = true
			return nil
		}
	}
	return fault.New(fault.NotFound, "there is no authority %s", uid)
}

func (f *folder) Claimable(context.Context, account.Actor, string) (*credential.Claimable, error) {
	return f.claim, nil
}

func (f *folder) MakeClaimable(_ context.Context, _ account.Actor, _ string, c credential.Claimable) error {
	f.claim = &c
	return nil
}

func (f *folder) EndClaim(context.Context, account.Actor, string) error {
	f.claim = nil
	return nil
}

func TestTheDeskKeepsCertificatesOnAPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.folder.signer = certs.Key(t)
	app := f.app(t)
	desk, nurse := visit(t, app, "admin"), visit(t, app, "mira")
	const page = "/devices/about/cuff-1/certificates"
	if answer, _ := nurse.get(page); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse sees it: %d", answer.StatusCode)
	}
	if answer, _ := press(nurse, page, url.Values{"pem": {"x"}}); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse adds one: %d", answer.StatusCode)
	}
	_, text := desk.get(page)
	wants(t, text, "None. The device shows its secret when it connects.")
	answer, text := press(desk, page, url.Values{"pem": {string(certs.Request(t, "", certs.Key(t)))}})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("sign: %d %s", answer.StatusCode, words(text))
	}
	wants(t, text, "-----BEGIN CERTIFICATE-----", "signed by Hale for the desk", "until 21 Nov 2027")
	answer, text = press(desk, page, url.Values{"pem": {"nothing that can be read"}})
	if answer.StatusCode != http.StatusUnprocessableEntity && answer.StatusCode != http.StatusBadRequest {
		t.Errorf("nonsense: %d", answer.StatusCode)
	}
	wants(t, text, "Csr: send a certificate signing request in PEM")
	if answer, _ := press(desk, page+"/"+f.folder.list[0].Fingerprint.String()+"/revoke", nil); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("revoke: %d", answer.StatusCode)
	}
	if answer, _ := press(desk, page+"/abc/revoke", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("revoke what there is not: %d", answer.StatusCode)
	}
	_, text = desk.get(page)
	wants(t, text, "revoked")

	// Of one that was renewed the page says what ends with it, and offers to end it alone.
	made := f.folder.list[0]
	made.Revoked, made.RevokedAt = false, time.Time{}
	next, last := made, made
	next.Fingerprint, next.From = devices.Fingerprint{1, 2, 3, 4, 5, 6}, &made.Fingerprint
	last.Fingerprint, last.From = devices.Fingerprint{7, 8, 9, 10, 11, 12}, &next.Fingerprint
	f.folder.list = []credential.KeptCertificate{made, next, last}
	_, text = desk.get(page)
	wants(t, text, "with it end 0102 0304 0506 , 0708 090A 0B0C , which were renewed from it", "Revoke it and what was renewed from it", "Revoke it alone", "with 0102 0304 0506")
	good := func() (list []bool) {
		for _, k := range f.folder.list {
			list = append(list, !k.Revoked)
		}
		return list
	}
	if answer, _ := press(desk, page+"/"+next.Fingerprint.String()+"/revoke", url.Values{"alone": {"yes"}}); answer.StatusCode != http.StatusSeeOther || !slices.Equal(good(), []bool{true, false, true}) {
		t.Errorf("one alone: %d, good are %v", answer.StatusCode, good())
	}
	if answer, _ := press(desk, page+"/"+made.Fingerprint.String()+"/revoke", nil); answer.StatusCode != http.StatusSeeOther || !slices.Equal(good(), []bool{false, false, false}) {
		t.Errorf("the first: %d, good are %v", answer.StatusCode, good())
	}

	if answer, _ := press(desk, "/devices/about/cuff-1/claim", url.Values{"serial": {"SN-1"}, "days": {"3"}}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("claim: %d", answer.StatusCode)
	}
	_, text = desk.get(page)
	wants(t, text, "Waits to fetch its certificate as SN-1")
	if answer, _ := press(desk, "/devices/about/cuff-1/claim", url.Values{"days": {"a lot"}}); answer.StatusCode == http.StatusSeeOther {
		t.Error("it can be fetched for a lot of days")
	}
	if answer, _ := press(desk, "/devices/about/cuff-1/claim/end", nil); answer.StatusCode != http.StatusSeeOther || f.folder.claim != nil {
		t.Errorf("taken back: %d, %+v", answer.StatusCode, f.folder.claim)
	}
}

func TestTheDeskTrustsAuthoritiesOnAPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	desk := visit(t, f.app(t), "admin")
	const page = "/devices/authorities"
	_, text := desk.get(page)
	wants(t, text, "None yet.")
	maker := string(certs.PEM(certs.New(t, "Maker CA").Certificate))
	if answer, text := press(desk, page, url.Values{"kind": {"claim"}, "name": {"Maker, 2026"}, "pem": {maker}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("trust: %d %s", answer.StatusCode, words(text))
	}
	_, text = desk.get(page)
	wants(t, text, "Maker, 2026", "CN=Maker CA", "a first certificate, once")
	answer, text := press(desk, page, url.Values{"kind": {"device"}, "name": {"Other"}, "pem": {"x"}})
	if answer.StatusCode == http.StatusSeeOther || !strings.Contains(text, `value="Other"`) {
		t.Errorf("nonsense: %d", answer.StatusCode)
	}
	if answer, _ := press(desk, page+"/a0/revoke", nil); answer.StatusCode != http.StatusSeeOther || !f.folder.authorities[0].Revoked {
		t.Errorf("revoke: %d", answer.StatusCode)
	}
}

func TestThePagesOfCertificatesFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	maker := certs.New(t, "Maker of cuffs and scales, issuing authority G2")
	c := maker.Certificate
	f.folder.authorities = []*devices.Authority{
		{UID: "a0", Kind: devices.ForDevices, Name: "Maker, 2026", Certificate: c, From: c.NotBefore, Until: c.NotAfter},
		{UID: "a1", Kind: devices.ForClaims, Name: "Maker, factory", Certificate: c, From: c.NotBefore, Until: c.NotAfter, Revoked: true},
	}
	for i, days := range []int{12, 200, -3} {
		f.folder.list = append(f.folder.list, credential.KeptCertificate{
			Certificate: devices.Certificate{Fingerprint: devices.Fingerprint{byte(i), 0xab, 0x17}, NotBefore: f.clock().AddDate(-1, 0, 0), NotAfter: f.clock().AddDate(0, 0, days)},
			Device:      "cuff-1", Origin: credential.OriginRenewed, CreatedAt: f.clock(),
		})
	}
	f.folder.list[0].From = &f.folder.list[1].Fingerprint
	f.folder.claim = &credential.Claimable{Serial: "SN-4711-2026-000017", Batch: "batch 7", Until: f.clock().AddDate(0, 0, 9)}
	address := f.serve(t)
	fitAPhoneAndReadAloud(t, browser.Start(t), address, "admin", map[string]string{"cert-certificates": "/devices/about/cuff-1/certificates", "cert-authorities": "/devices/authorities"})
}
