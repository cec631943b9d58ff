package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"hale/internal/certs"
)

// certifiedHouse is a Hale with somebody of the desk who asks it.
type certifiedHouse struct {
	told  announcement
	token string
}

// ask sends JSON and returns the status and what was answered.
func (c *certifiedHouse) ask(t *testing.T, method, path string, body map[string]any) (status int, answer map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.told.URL+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 0 && json.Unmarshal(raw, &answer) != nil {
		t.Fatalf("%s %s: %s", method, path, raw)
	}
	return res.StatusCode, answer
}

// must asks and fails on any other status.
func (c *certifiedHouse) must(t *testing.T, want int, method, path string, body map[string]any) map[string]any {
	t.Helper()
	status, answer := c.ask(t, method, path, body)
	if status != want {
		t.Fatalf("%s %s: %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

// paired is the certificate of an answer with its key.
func paired(t *testing.T, answer map[string]any, key *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	text, _ := answer["certificate"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("there is no certificate in %v", answer)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// enters connects a device that shows a certificate and has no password, and returns the code of the CONNACK.
func (c *certifiedHouse) enters(t *testing.T, uid string, shown *tls.Certificate) (conn *tls.Conn, code byte) {
	t.Helper()
	return c.connects(t, append([]byte("\x00\x04MQTT\x04\x02\x00\x3c"), named16(uid)...), *shown)
}

// entersBy connects a device that has a password and shows no certificate.
func (c *certifiedHouse) entersBy(t *testing.T, uid, secret string) (conn *tls.Conn, code byte) {
	t.Helper()
	body := append([]byte("\x00\x04MQTT\x04\xc2\x00\x3c"), named16(uid)...)
	return c.connects(t, append(append(body, named16(uid)...), named16(secret)...))
}

// connects sends a CONNECT of less than 128 bytes.
func (c *certifiedHouse) connects(t *testing.T, body []byte, shown ...tls.Certificate) (conn *tls.Conn, code byte) {
	t.Helper()
	pool := x509.NewCertPool()
	trust, err := os.ReadFile(c.told.CA)
	if err != nil || !pool.AppendCertsFromPEM(trust) {
		t.Fatalf("the file of authorities: %v", err)
	}
	dialer := &tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: shown}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	plain, err := dialer.DialContext(ctx, "tcp", c.told.MQTTS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	conn, ok := plain.(*tls.Conn)
	if !ok {
		t.Fatal("no TLS")
	}
	if _, err := conn.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	var ack [4]byte
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, ack[:]); err != nil {
		t.Fatalf("no CONNACK: %v", err)
	}
	return conn, ack[3]
}

func named16(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
}

// sends publishes a reading with QoS 1 and waits for its PUBACK.
func sends(t *testing.T, conn *tls.Conn, uid, reading string) {
	t.Helper()
	body := append(named16("hale/v1/"+uid+"/readings"), 0, 1)
	body = append(body, reading...)
	head := []byte{0x32, byte(len(body)%128) | 0x80, byte(len(body) / 128)}
	if _, err := conn.Write(append(head, body...)); err != nil {
		t.Fatal(err)
	}
	var ack [4]byte
	if _, err := io.ReadFull(conn, ack[:]); err != nil || ack[0] != 0x40 {
		t.Fatalf("no PUBACK: %x, %v", ack, err)
	}
}

// ends waits until the server has closed the connection.
func ends(t *testing.T, conn *tls.Conn, why string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection goes on (%v)", why, err)
	}
}

// endsNow is ends for what the desk has just done, and must be felt within a second.
func endsNow(t *testing.T, conn *tls.Conn, why string) {
	t.Helper()
	answered := time.Now()
	ends(t, conn, why)
	took := time.Since(answered)
	if t.Logf("%s: the session ended %v after the answer", why, took.Round(time.Millisecond)); took > time.Second {
		t.Errorf("%s: the session ended %v after the answer, more than a second", why, took)
	}
}

func TestDevicesWithCertificates(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--no-demo")
	staff := signIn(t, told)
	c := &certifiedHouse{told: told}
	in := c.must(t, http.StatusOK, "POST", "/v1/session", map[string]any{"login": told.Login, "password": told.Password})
	c.token, _ = in["token"].(string)
	since := time.Now().Add(-time.Hour)
	const reading = `{"metric":"heart_rate","value":61,"unit":"/min"}`

	t.Log("with a certificate of ours, and with a password, at one door")
	cuff, other := newKit(t, staff, "cuff-1", since), newKit(t, staff, "cuff-2", since)
	key := certs.Key(t)
	first := paired(t, c.must(t, http.StatusCreated, "POST", "/v1/devices/cuff-1/certificates", map[string]any{"csr": string(certs.Request(t, "", key))}), key)
	live, code := c.enters(t, "cuff-1", first)
	if code != 0 {
		t.Fatalf("with a certificate: code %d", code)
	}
	if said, err := other.mosquitto(t, told.MQTTS, told.CA, []byte(reading)); err != nil {
		t.Fatalf("with a password: %v: %s", err, said)
	}
	sends(t, live, "cuff-1", reading)
	stored(t, staff, cuff.device, 1)
	stored(t, staff, other.device, 1)
	if _, code := c.enters(t, "cuff-2", first); code != 4 {
		t.Errorf("as another device: code %d", code)
	}

	t.Log("renewal by the device itself, and revocation while it is connected")
	next := certs.Key(t)
	csr := certs.Request(t, "cuff-1", next)
	ask := map[string]any{"device": "cuff-1", "csr": string(csr), "certificate": string(certs.PEM(first.Leaf)), "signature": certs.Signature(t, first, csr)}
	nobody := &certifiedHouse{told: told}
	second := paired(t, nobody.must(t, http.StatusCreated, "POST", "/v1/renew", ask), next)
	ask["signature"] = certs.Signature(t, second, csr)
	if status, _ := nobody.ask(t, "POST", "/v1/renew", ask); status != http.StatusUnauthorized {
		t.Errorf("signed by another key: %d", status)
	}
	renewed, code := c.enters(t, "cuff-1", second)
	if code != 0 {
		t.Fatalf("with the renewed one: code %d", code)
	}
	sends(t, renewed, "cuff-1", reading)
	list := c.must(t, http.StatusOK, "GET", "/v1/devices/cuff-1/certificates", nil)
	if n, _ := list["certificates"].([]any); len(n) != 2 {
		t.Errorf("the device has %v", list)
	}
	c.must(t, http.StatusNoContent, "DELETE", "/v1/devices/cuff-1/certificates/"+printIn(second), nil)
	endsNow(t, renewed, "its certificate was revoked")
	if _, code := c.enters(t, "cuff-1", second); code != 4 {
		t.Errorf("with a revoked one: code %d", code)
	}
	if _, code := c.enters(t, "cuff-1", first); code != 0 {
		t.Errorf("with the one before: code %d", code)
	}

	t.Log("a maker's certificate that ends while it is in use")
	maker := certs.New(t, "maker")
	trusted := c.must(t, http.StatusCreated, "POST", "/v1/authorities", map[string]any{"kind": "device", "name": "Maker", "certificate": string(certs.PEM(maker.Certificate))})
	short := maker.Issue(t, certs.Leaf{Name: "cuff-2", To: time.Now().Add(8 * time.Second)})
	c.must(t, http.StatusCreated, "POST", "/v1/devices/cuff-2/certificates", map[string]any{"certificate": string(certs.PEM(short.Leaf))})
	brief, code := c.enters(t, "cuff-2", &short)
	if code != 0 {
		t.Fatalf("with the maker's: code %d", code)
	}
	ends(t, brief, "its certificate has ended")
	if _, code := c.enters(t, "cuff-2", &short); code != 4 {
		t.Errorf("with an ended one: code %d", code)
	}
	ending := c.must(t, http.StatusOK, "GET", "/v1/certificates/ending", nil)
	if text, _ := json.Marshal(ending); !strings.Contains(string(text), `"device":"cuff-2"`) || strings.Contains(string(text), `"device":"cuff-1"`) {
		t.Errorf("ending are %s", text)
	}

	t.Log("an authority that is trusted no more, and a device that is taken out of use")
	long := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
	c.must(t, http.StatusCreated, "POST", "/v1/devices/cuff-1/certificates", map[string]any{"certificate": string(certs.PEM(long.Leaf))})
	vouched, code := c.enters(t, "cuff-1", &long)
	if code != 0 {
		t.Fatalf("with the maker's: code %d", code)
	}
	id, _ := trusted["id"].(string)
	c.must(t, http.StatusNoContent, "DELETE", "/v1/authorities/"+id, nil)
	endsNow(t, vouched, "its authority was revoked")
	secretly, code := c.entersBy(t, "cuff-2", other.secret)
	if code != 0 {
		t.Fatalf("with a password: code %d", code)
	}
	c.must(t, http.StatusNoContent, "DELETE", "/v1/devices/cuff-2", nil)
	endsNow(t, secretly, "the device with a password was revoked")
	if _, code := c.entersBy(t, "cuff-2", other.secret); code != 4 {
		t.Errorf("with the password of a revoked device: code %d", code)
	}

	t.Log("a claim certificate")
	batches := certs.New(t, "batches")
	factory := batches.Issue(t, certs.Leaf{Name: "SN-3"})
	newKit(t, staff, "cuff-3", since)
	c.must(t, http.StatusCreated, "POST", "/v1/authorities", map[string]any{"kind": "claim", "name": "Maker's factory", "certificate": string(certs.PEM(batches.Certificate))})
	own := certs.Key(t)
	csr = certs.Request(t, "SN-3", own)
	claim := map[string]any{"serial": "SN-3", "csr": string(csr), "certificate": string(certs.PEM(factory.Leaf)), "signature": certs.Signature(t, &factory, csr)}
	if status, _ := nobody.ask(t, "POST", "/v1/claim", claim); status != http.StatusUnauthorized {
		t.Errorf("before the desk has said so: %d", status)
	}
	c.must(t, http.StatusNoContent, "PUT", "/v1/devices/cuff-3/claim", map[string]any{"serial": "SN-3", "until": time.Now().Add(time.Hour).Format(time.RFC3339)})
	for _, uid := range []string{"cuff-3", "SN-3"} {
		if _, code := c.enters(t, uid, &factory); code != 4 {
			t.Errorf("the claim certificate connects as %s: code %d", uid, code)
		}
	}
	got := nobody.must(t, http.StatusCreated, "POST", "/v1/claim", claim)
	if got["device"] != "cuff-3" {
		t.Errorf("it is claimed as %v", got["device"])
	}
	claimed, code := c.enters(t, "cuff-3", paired(t, got, own))
	if code != 0 {
		t.Fatalf("a claimed device: code %d", code)
	}
	sends(t, claimed, "cuff-3", reading)
	csr = certs.Request(t, "SN-3", certs.Key(t))
	claim["csr"], claim["signature"] = string(csr), certs.Signature(t, &factory, csr)
	if status, _ := nobody.ask(t, "POST", "/v1/claim", claim); status != http.StatusConflict {
		t.Errorf("a second time: %d", status)
	}
}

func printIn(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return hex.EncodeToString(sum[:])
}
