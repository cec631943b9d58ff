package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/devices/credential"
	"hale/internal/browser"
)

// pairedDevice is a device that has paired itself.
type pairedDevice struct {
	kit
	mqtts, ca string
}

// pairs lets a device send a code, as it would from its own home, and returns what it is told.
func pairs(t *testing.T, told announcement, code string) (d pairedDevice, status int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, told.URL+"/v1/pair", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var got struct {
		UID, Secret, CA string
		MQTTS           []string
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return d, res.StatusCode
	}
	spills().plant("the secret of a paired device", got.Secret)
	if len(got.MQTTS) != 1 || !x509.NewCertPool().AppendCertsFromPEM([]byte(got.CA)) {
		t.Fatalf("a paired device is told %v and certificates of %d bytes", got.MQTTS, len(got.CA))
	}
	d = pairedDevice{kit: kit{device: got.UID, secret: got.Secret}, ca: filepath.Join(t.TempDir(), "ca.pem")}
	u, err := url.Parse(got.MQTTS[0])
	if err != nil || u.Scheme != "mqtts" {
		t.Fatalf("%s: %v", got.MQTTS[0], err)
	}
	d.mqtts = u.Host
	if err := os.WriteFile(d.ca, []byte(got.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	return d, res.StatusCode
}

// sends lets the device send one reading with a secret, trusting what it was told.
func (d pairedDevice) sends(t *testing.T, secret string) bool {
	t.Helper()
	d.secret = secret
	said, err := d.mosquitto(t, d.mqtts, d.ca, []byte(`{"metric":"heart_rate","value":61,"unit":"/min"}`))
	if err != nil && !strings.Contains(said, "bad user name or password") && !strings.Contains(said, "not authorised") {
		t.Fatalf("%v: %s", err, said)
	}
	return err == nil
}

// TestADeviceFromTheBoxToItsFirstReading pairs a device by the screens of the desk, on both widths, and renews its secret.
func TestADeviceFromTheBoxToItsFirstReading(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	_, told := up(t, dir, "--demo=false")
	staff := signIn(t, told)
	first, err := staff.Enrol(t.Context(), "cuff-1", "Cuff 3000")
	if err != nil {
		t.Fatal(err)
	}
	wide := browser.Start(t).Tab(t, 1280, 900)
	look := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
	}
	signInAt(wide, told)
	wide.Open(told.URL + "/devices/cuff-1/pair")
	wide.Until("the page", `document.querySelector('#state')?.textContent.includes('No code was ever made')`)
	look(wide, "pairing-none-wide")
	narrow := wide.Another(390, 844) // of the same person
	narrow.Open(told.URL + "/devices/cuff-1/pair")
	makeCode := func(tab *browser.Tab) string {
		t.Helper()
		tab.Do(chromedp.Click(`form[action$="/pair"] button`))
		tab.Until("the code", `document.querySelector('#newcode') !== null && document.querySelector('svg.qr path') !== null && document.querySelector('#state').textContent.includes('Waiting')`)
		return browser.Eval[string](tab, `document.querySelector('#newcode').textContent`)
	}
	dead := makeCode(narrow)
	look(narrow, "pairing-code")
	code := makeCode(wide)
	look(wide, "pairing-code-wide")
	narrow.Until("the code that was replaced is not shown any more", `document.querySelector('#state').textContent.includes('newer one') && getComputedStyle(document.querySelector('.once')).display === 'none'`)
	phone := browser.Start(t).Tab(t, 390, 844)
	phone.Open(told.URL + "/pair#" + strings.ReplaceAll(code, "-", ""))
	phone.Until("the code is in the field and not in the address", `document.querySelector('#code').value === '`+code+`' && location.hash === ''`)
	look(phone, "pair-phone")

	if _, status := pairs(t, told, dead); status != http.StatusUnauthorized {
		t.Errorf("a code that was replaced: %d", status)
	}
	d, status := pairs(t, told, code)
	if status != http.StatusOK || d.device != "cuff-1" {
		t.Fatalf("%d %s", status, d.device)
	}
	wide.Until("the screen says so by itself", `document.querySelector('#state').textContent.includes('Paired') && getComputedStyle(document.querySelector('.once')).display === 'none'`)
	look(wide, "pairing-done-wide")
	narrow.Open(told.URL + "/devices/cuff-1/pair")
	narrow.Until("the other too", `document.querySelector('#state').textContent.includes('Paired')`)
	look(narrow, "pairing-done")
	if _, status := pairs(t, told, code); status != http.StatusUnauthorized {
		t.Errorf("a code that was used: %d", status)
	}
	if !d.sends(t, d.secret) || d.sends(t, first) {
		t.Error("the secret of the code does not open, or the first one still does")
	}
	eventually(t, 20*time.Second, func() string {
		if in, err := staff.Intake(t.Context(), "cuff-1"); err != nil || in.Parked != 1 {
			return fmt.Sprintf("one reading of cuff-1 waits for an owner: %+v, %v", in, err)
		}
		return ""
	})

	// A new secret by hand: both are good until the new one is used.
	wide.Open(told.URL + "/devices/cuff-1/pair")
	wide.Do(chromedp.Click(`details summary`), chromedp.Click(`form[action$="/secret"] button`))
	wide.Until("the new secret", `document.querySelector('#secret') !== null && document.body.innerText.includes('Two secrets are good')`)
	look(wide, "pairing-secret-wide")
	fresh := browser.Eval[string](wide, `document.querySelector('#secret').textContent`)
	spills().plant("a new secret", fresh)
	if !d.sends(t, d.secret) || !d.sends(t, fresh) {
		t.Error("of two good secrets one does not open")
	}
	eventually(t, 10*time.Second, func() string {
		if d.sends(t, d.secret) {
			return "the old secret opens after the new one was used"
		}
		return ""
	})
	wide.Open(told.URL + "/devices/cuff-1/pair")
	wide.Until("one is good", `!document.body.innerText.includes('Two secrets are good')`)

	siteFiles(t, told, "cuff-1", func() {
		narrow.Open(told.URL + "/devices/cuff-1/pair")
		narrow.Do(chromedp.Click(`#revoke summary`), chromedp.WaitVisible(`form[action$="/revoke"] button`))
		look(narrow, "pairing-revoke")
		narrow.Do(chromedp.Click(`form[action$="/revoke"] button`))
		narrow.Until("it is out of use", `document.body.innerText.includes('The device was revoked') && document.querySelector('#revoke') === null`)
	})
	for _, complaint := range append(wide.Complaints(), append(narrow.Complaints(), phone.Complaints()...)...) {
		t.Errorf("the console says: %s", complaint)
	}
}

// siteFiles writes the files for a broker of the site as the operator does, before and after the device is revoked.
func siteFiles(t *testing.T, told announcement, uid string, revoke func()) {
	t.Helper()
	dir := t.TempDir()
	write := func(more ...string) (said string, code int) {
		t.Helper()
		var out, wrong bytes.Buffer
		args := append([]string{"broker", "mosquitto", "--database", told.Database, "--organisation", organisation, "--dir", dir}, more...)
		code = run(t.Context(), args, &out, &wrong, func(string) string { return "" })
		return out.String() + wrong.String(), code
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		return string(text)
	}
	if said, code := write("--bridge", uid); code != 0 || !strings.Contains(said, "1 devices.") {
		t.Fatalf("%d %s", code, said)
	}
	if got := read("hale.passwd"); !strings.HasPrefix(got, uid+":$7$101$") || strings.Count(got, "\n") != 1 {
		t.Errorf("passwords: %d bytes", len(got))
	}
	if got, want := read("hale.acl"), credential.MosquittoAccess(uid, []string{"hale/v1/#"}); got != want {
		t.Errorf("access: %s", got)
	}
	if got, want := read("hale.listener"), credential.MosquittoLines(filepath.Join(dir, "hale.passwd"), filepath.Join(dir, "hale.acl")); got != want { // which ingest/bridge tries on a Mosquitto
		t.Errorf("configuration: %s", got)
	}
	if said, code := write("--bridge", uid); code != 0 || !strings.Contains(said, "Nothing has changed") {
		t.Errorf("a second time: %d %s", code, said)
	}
	for want, args := range map[string][]string{
		"no such device": {"--bridge", "nobody"}, "no name of a device": {"--bridge", "a b"}, "has no spaces": {"--bridge", uid, "--bridge-reads", "a b"}, "cannot be written": {"--dir", filepath.Join(dir, "missing")},
	} {
		if said, code := write(args...); code == 0 || !strings.Contains(said, want) {
			t.Errorf("%v: %d %s", args, code, said)
		}
	}
	revoke()
	if said, code := write(); code != 0 || read("hale.passwd") != "" {
		t.Errorf("after it was revoked: %d %s", code, said)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if trap, err := filepath.Glob(filepath.Join(dir, "*.conf")); err != nil || len(trap) != 0 {
		t.Errorf("include_dir would open a default listener with %v, %v", trap, err)
	}
}
