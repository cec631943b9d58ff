package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hale/authority"
	"hale/devices"
	"hale/devices/credential"
	"hale/internal/certs"
)

// makerDER is a certificate authority that is valid until 2126.
const makerDER = `308201533081f9a003020102020101300a06082a8648ce3d0403023010310e300c060355040313054d616b65723020170d3236303130313030303030305a180f32313236303130313030303030305a3010310e300c060355040313054d616b65723059301306072a8648ce3d020106082a8648ce3d0301070342000438a778e5ef90c33f7154a6c79bec5168e59aae69e86fda9db4848a31d894423f22253974817b426142e0fb3fbe2af515c7dd4f24bd0360500addacbfed6afbf1a3423040300e0603551d0f0101ff040403020204300f0603551d130101ff040530030101ff301d0603551d0e0416041423e8331a0d88775f2c6e275abc32e6108834ca08300a06082a8648ce3d04030203490030460221008853f145f4784ef8f9582458790d6a1c53106a3ec972836fa3f6fdd0f4a865c2022100d739cda341819bb4e1d1e905e9d1cff75d0852dbb73c137b53dd9e051cd3b0ce`

// townSigner is the town's authority for devices.
func townSigner(t *testing.T) credential.Signer {
	t.Helper()
	d, err := authority.OpenDevices(authority.DevicesConfig{Dir: filepath.Join(t.TempDir(), deviceAuthorityName)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// printOf is the fingerprint of a device's certificate in the town.
func printOf(device string) string {
	sum := sha256.Sum256([]byte(device))
	return hex.EncodeToString(sum[:])
}

// inJSON writes a PEM text as part of a JSON string.
func inJSON(text []byte) string { return strings.ReplaceAll(string(text), "\n", `\n`) }

func freshRequest(t *testing.T, _ *town, _ person, _ class) map[string]string {
	t.Helper()
	request := certs.Request(t, "", certs.Key(t))
	return map[string]string{"csr": inJSON(request), "csr_form": url.QueryEscape(string(request))}
}

func freshAuthority(t *testing.T, _ *town, _ person, _ class) map[string]string {
	t.Helper()
	maker := certs.PEM(certs.New(t, "Maker").Certificate)
	return map[string]string{"ca": inJSON(maker), "ca_form": url.QueryEscape(string(maker))}
}

// asksToRenew is a device's request for its own next certificate.
func asksToRenew(t *testing.T, w *town, p person, c class) map[string]string {
	t.Helper()
	device := w.things(p, c)["owndevice"]
	return map[string]string{"asks": device, "csr": inJSON(certs.Request(t, device, certs.Key(t)))}
}

// asksToClaim is one for its first, with the claim certificate of a maker whom its organisation trusts for that.
func asksToClaim(t *testing.T, w *town, p person, c class) map[string]string {
	t.Helper()
	asks := asksToRenew(t, w, p, c)
	maker := certs.New(t, "Factory")
	shown := maker.Issue(t, certs.Leaf{Name: asks["asks"]})
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL())
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() { _ = conn.Close(context.Background()) }()
	print := devices.FingerprintOf(maker.Certificate)
	_, err = conn.Exec(t.Context(), `INSERT INTO trusted_ca (org_id, uid, kind, name, certificate, fingerprint, from_at, until_at, created_at)
		SELECT org_id, gen_random_uuid(), 'claim', 'Factory', $2, $3, now(), now() + interval '1 day', now() FROM device WHERE uid = $1`, asks["asks"], maker.Certificate.Raw, print[:])
	if err != nil {
		t.Error(err)
	}
	asks["signature"] = base64.StdEncoding.EncodeToString(certs.Signature(t, &shown, []byte(strings.ReplaceAll(asks["csr"], `\n`, "\n"))))
	asks["shown"] = inJSON(certs.PEM(shown.Leaf))
	return asks
}

func certified() []string {
	return []string{`INSERT INTO device_cert (org_id, device_id, fingerprint, serial, certificate, not_before, not_after, origin, created_at)
		SELECT org_id, id, decode('{print}', 'hex'), '1', '\x00', now(), now() + interval '1 day', 'given', now() FROM device WHERE uid = '{device}'`}
}

// claimable marks the device for its claim, once: several who only look share a scene.
func claimable() []string {
	return []string{`INSERT INTO device_claim (org_id, device_id, serial, batch, from_at, until_at, created_at)
		SELECT org_id, id, uid, '', now(), now() + interval '1 day', now() FROM device WHERE uid = '{device}' ON CONFLICT DO NOTHING`}
}

func trustedMaker() []string {
	return []string{`INSERT INTO trusted_ca (org_id, uid, kind, name, certificate, fingerprint, from_at, until_at, created_at)
		SELECT org_id, '{authority}', 'device', 'Maker', '\x` + makerDER + `', decode('{print}', 'hex'), now(), now() + interval '1 day', now() FROM device WHERE uid = '{device}'`}
}

// specialOfCertificates are the requests about client certificates that need more than their path.
func specialOfCertificates() map[string]question {
	return map[string]question{
		"POST /v1/devices/:uid/certificates":                  {json: `{"csr":"{csr}"}`, learn: freshRequest},
		"DELETE /v1/devices/:uid/certificates/:fingerprint":   {path: "/v1/devices/{device}/certificates/{print}", state: certified()},
		"GET /v1/devices/:uid/claim":                          {state: claimable()},
		"DELETE /v1/devices/:uid/claim":                       {state: claimable()},
		"PUT /v1/devices/:uid/claim":                          {json: `{"until":"{later}"}`},
		"POST /v1/authorities":                                {json: `{"kind":"device","name":"Maker","certificate":"{ca}"}`, learn: freshAuthority},
		"DELETE /v1/authorities/:id":                          {path: "/v1/authorities/{authority}", state: trustedMaker()},
		"POST /devices/authorities":                           {form: "kind=device&name=Maker&pem={ca_form}", learn: freshAuthority},
		"POST /devices/authorities/:id/revoke":                {path: "/devices/authorities/{authority}/revoke", state: trustedMaker()},
		"GET /devices/about/:uid/certificates":                {path: "/devices/about/{device}/certificates"},
		"POST /devices/about/:uid/certificates":               {path: "/devices/about/{device}/certificates", form: "pem={csr_form}", learn: freshRequest},
		"POST /devices/about/:uid/certificates/:print/revoke": {path: "/devices/about/{device}/certificates/{print}/revoke", state: certified()},
		"POST /devices/about/:uid/claim":                      {path: "/devices/about/{device}/claim", form: "days=14"},
		"POST /devices/about/:uid/claim/end":                  {path: "/devices/about/{device}/claim/end", state: claimable()},
		"POST /v1/renew": {
			json: `{"device":"{asks}","secret":"x","csr":"{csr}"}`, learn: asksToRenew,
			state: []string{`UPDATE device SET secret_hash = sha256('x'), next_secret_hash = NULL, next_broker_hash = NULL, overlap_until = NULL WHERE uid = '{owndevice}'`},
		},
		"POST /v1/claim": {
			json: `{"serial":"{asks}","certificate":"{shown}","signature":"{signature}","csr":"{csr}"}`, learn: asksToClaim,
			state: []string{`INSERT INTO device_claim (org_id, device_id, serial, batch, from_at, until_at, created_at)
				SELECT org_id, id, uid, '', now(), now() + interval '1 day', now() FROM device WHERE uid = '{owndevice}' ON CONFLICT DO NOTHING`},
		},
	}
}
