package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"hale/authority"
	"hale/devices"
	"hale/internal/certs"
)

// makerDER is a certificate authority that is valid until 2126.
const makerDER = `308201533081f9a003020102020101300a06082a8648ce3d0403023010310e300c060355040313054d616b65723020170d3236303130313030303030305a180f32313236303130313030303030305a3010310e300c060355040313054d616b65723059301306072a8648ce3d020106082a8648ce3d0301070342000438a778e5ef90c33f7154a6c79bec5168e59aae69e86fda9db4848a31d894423f22253974817b426142e0fb3fbe2af515c7dd4f24bd0360500addacbfed6afbf1a3423040300e0603551d0f0101ff040403020204300f0603551d130101ff040530030101ff301d0603551d0e0416041423e8331a0d88775f2c6e275abc32e6108834ca08300a06082a8648ce3d04030203490030460221008853f145f4784ef8f9582458790d6a1c53106a3ec972836fa3f6fdd0f4a865c2022100d739cda341819bb4e1d1e905e9d1cff75d0852dbb73c137b53dd9e051cd3b0ce`

// townSigner is the town's authority for devices.
func townSigner(t *testing.T) devices.Signer {
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

// strangersRequest is of a device that nobody knows.
func strangersRequest(t *testing.T, _ *town, _ person, _ class) map[string]string {
	t.Helper()
	return map[string]string{"csr": inJSON(certs.Request(t, "stranger", certs.Key(t))), "ca": inJSON(certs.PEM(certs.New(t, "Maker").Certificate))}
}

func certified() []string {
	return []string{`INSERT INTO device_cert (org_id, device_id, fingerprint, serial, certificate, not_before, not_after, origin, created_at)
		SELECT org_id, id, decode('{print}', 'hex'), '1', '\x00', now(), now() + interval '1 day', 'given', now() FROM device WHERE uid = '{device}'`}
}

func claimable() []string {
	return []string{`INSERT INTO device_claim (org_id, device_id, serial, batch, from_at, until_at, created_at)
		SELECT org_id, id, uid, '', now(), now() + interval '1 day', now() FROM device WHERE uid = '{device}'`}
}

func trustedMaker() []string {
	return []string{`INSERT INTO trusted_ca (org_id, uid, kind, name, certificate, fingerprint, from_at, until_at, created_at)
		SELECT org_id, '{authority}', 'device', 'Maker', '\x` + makerDER + `', decode('{print}', 'hex'), now(), now() + interval '1 day', now() FROM device WHERE uid = '{device}'`}
}
