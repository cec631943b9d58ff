package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"hale/authority"
	"hale/internal/browser"
	"hale/simulators"
)

// mosquitto publishes one reading over TLS, trusting a file.
func (k kit) mosquitto(t *testing.T, addr, trust string, payload []byte) (said string, err error) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mosquitto_pub", "-h", host, "-p", port, "--cafile", trust, "-V", "311", "-q", "1",
		"-i", k.device, "-u", k.device, "-P", k.secret, "-t", k.topic(), "-m", string(payload))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// shown is the certificate that a server shows to somebody who trusts the file.
func shown(t *testing.T, addr, file, name string) *x509.Certificate {
	t.Helper()
	trust, err := simulators.Trusting(file, name)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(plain, trust)
	defer func() { _ = conn.Close() }()
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0]
}

func stranger(t *testing.T) string {
	t.Helper()
	o, err := authority.OpenOwn(authority.OwnConfig{Dir: t.TempDir(), Names: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return o.TrustFile()
}

// stored waits until the device has so many readings in the record, and no others.
func stored(t *testing.T, s *simulators.Staff, device string, n int) {
	t.Helper()
	eventually(t, 20*time.Second, func() string {
		if in, err := s.Intake(t.Context(), device); err != nil || in.Stored != n || in.Total != n {
			return fmt.Sprintf("%+v of %s in the record, want %d, %v", in, device, n, err)
		}
		return ""
	})
}

func TestTheEncryptedDoorsOfUp(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p, told := up(t, dir, "--demo=false", "--https", "--tls-name", "hale.test")
	address, encrypted := strings.CutPrefix(told.URL, "https://")
	if !encrypted || told.CA != filepath.Join(dir, "ca.pem") || told.TLSName != "" {
		t.Fatalf("told %+v", told)
	}
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-48*time.Hour))
	if err := k.dial(t, told.MQTT).Close(); err != nil { // plain MQTT stays on this machine, and the device is known from now on
		t.Fatal(err)
	}

	// A device of our own, Debian's client, and both again with somebody else's authority.
	trust, err := simulators.Trusting(told.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	send := func(systolic, diastolic int, at time.Time) {
		t.Helper()
		line, err := simulators.DialTrusting(t.Context(), trust, "mqtts://"+told.MQTTS, k.device, k.secret, 8)
		if err != nil {
			t.Fatal(err)
		}
		if err := line.Publish(t.Context(), k.topic(), pressure(systolic, diastolic, at), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(line.Drain(t.Context()), line.Close()); err != nil {
			t.Fatal(err)
		}
	}
	send(131, 81, time.Now().Add(-3*time.Hour))
	if said, err := k.mosquitto(t, told.MQTTS, told.CA, pressure(132, 82, time.Now().Add(-2*time.Hour))); err != nil {
		t.Fatalf("mosquitto_pub: %v, %s", err, said)
	}
	stored(t, staff, k.device, 2)
	foreign := stranger(t)
	if said, err := k.mosquitto(t, told.MQTTS, foreign, pressure(133, 83, time.Now().Add(-time.Hour))); err == nil {
		t.Errorf("mosquitto_pub trusts another authority: %s", said)
	}
	if wrong, err := simulators.Trusting(foreign, ""); err != nil {
		t.Fatal(err)
	} else if _, err := simulators.SignInTrusting(t.Context(), wrong, told.URL, told.Login, told.Password); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a client of another authority was answered with %v", err)
	}
	if status, said := get(t, "http://"+address+"/healthz"); status != 0 {
		t.Errorf("plain HTTP on the encrypted address was answered with %d %s", status, said)
	}
	stored(t, staff, k.device, 2)

	web := shown(t, address, told.CA, "hale.test") // the name that was asked for
	if shown(t, told.MQTTS, told.CA, "localhost"); time.Until(web.NotAfter) < 80*24*time.Hour {
		t.Errorf("the certificate ends %s", web.NotAfter)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}, Timeout: 10 * time.Second}
	if left := gauge(t, client, told.URL, "hale_certificate_expires_seconds"); left < (80*24*time.Hour).Seconds() || left > (90*24*time.Hour).Seconds() {
		t.Errorf("the certificate ends in %f s by its metric", left)
	}

	board(t, browser.Start(t, web), told, func() { send(188, 106, time.Now()) })
	replayed := replay(t, "testdata/recording", dir)
	if replayed.Stored == 0 {
		t.Errorf("the replay over HTTPS stored nothing: %+v", replayed)
	}
	if said := p.stderr.String() + p.stdout.String(); strings.Contains(said, "PRIVATE KEY") || strings.Contains(said, "request failed") {
		t.Errorf("hale said %s", said)
	}
}

// gauge reads a metric of a process.
func gauge(t *testing.T, client *http.Client, url, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(body)
	if found == nil {
		t.Fatalf("no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// board signs in with a browser over HTTPS, and sees an alert arrive by itself.
func board(t *testing.T, b *browser.Browser, told announcement, measure func()) {
	t.Helper()
	tab := b.Tab(t, 1280, 900)
	signInAt(tab, told)
	tab.Until("the board is live", `document.querySelector('#live').dataset.state === 'live'`)
	jar, err := chromedp.Call(tab.Ctx, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	if len(jar.Cookies) != 1 || jar.Cookies[0].Name != "__Host-hale_session" || !jar.Cookies[0].Secure || !jar.Cookies[0].HTTPOnly || jar.Cookies[0].Path != "/" {
		t.Errorf("the browser keeps %+v", jar.Cookies)
	}
	if !browser.Eval[bool](tab, `isSecureContext`) {
		t.Error("the page is no secure context: push and service workers would not work")
	}
	measure()
	tab.Until("the alert arrives by itself", `document.querySelector('article.case.red') !== null && document.body.innerText.includes('188/106')`)
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("article.case.red button[id^=take-]").click()`)) // in one step: the list lives
	tab.Until("the alert is taken", `document.querySelector('section.taken article.case') !== null`)
	if said := tab.Complaints(); len(said) != 0 {
		t.Errorf("the browser complains: %v", said)
	}
}

// given writes a certificate that signs itself, and its key.
func given(t *testing.T, ends time.Time, names ...string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.Add(-90 * 24 * time.Hour), NotAfter: ends, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestTheEncryptedDoorsOfServe(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	certFile, keyFile := given(t, time.Now().Add(60*24*time.Hour), "board.hale.test")
	at, devices := freeAddr(t), freeAddr(t)
	isReady(t, a.serve(t, "edge,process,api", "--http", at, "--mqtt", "127.0.0.1:0", "--mqtts", devices, "--https", "--tls-cert", certFile, "--tls-key", keyFile))
	shown(t, devices, certFile, "board.hale.test")
	trust, err := simulators.Trusting(certFile, "board.hale.test")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}, Timeout: 10 * time.Second}
	if left := gauge(t, client, "https://"+at, "hale_certificate_expires_seconds"); left > (60*24*time.Hour).Seconds() || left < (59*24*time.Hour).Seconds() {
		t.Errorf("the certificate ends in %f s by its metric", left)
	}
	k := newKit(t, a.staff, "cuff-1", time.Now().Add(-24*time.Hour))
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		line, err := simulators.DialTrusting(t.Context(), trust, "mqtts://"+devices, k.device, k.secret, 8)
		if err != nil {
			return err.Error()
		}
		if err := line.Publish(t.Context(), k.topic(), pressure(131, 81, time.Now()), func(time.Time) {}); err != nil {
			return err.Error()
		}
		if err := line.Drain(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	stored(t, a.staff, k.device, 1)

	// The flag of the proxies reaches the session: the server of newApart believes nobody, this one its own machine.
	trusting := freeAddr(t)
	isReady(t, a.serve(t, "api", "--http", trusting, "--trusted-proxies", "127.0.0.1,10.0.0.0/8"))
	for addr, want := range map[string]string{a.http: "hale_session=", trusting: "__Host-hale_session="} {
		body := strings.NewReader(fmt.Sprintf(`{"login":"ana","password":%q}`, a.password))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/session", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-Proto", "https")
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if set := res.Header.Get("Set-Cookie"); !strings.HasPrefix(set, want) {
			t.Errorf("%d, Set-Cookie %q, want %s", res.StatusCode, set, want)
		}
	}
}

func TestDoorsThatCannotBeOpenedAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	ended, endedKey := given(t, time.Now().Add(-time.Hour), "hale.test")
	serve := []string{"serve", "--nats", "nats://127.0.0.1:1", "--database", "postgres://127.0.0.1:1/hale"}
	upOn := []string{"up", "--no-install", "--data", dir}
	for name, c := range map[string]struct {
		args []string
		why  string
	}{
		"HTTPS without a certificate":        {append(serve, "--https"), "need --tls-cert and --tls-key"},
		"MQTTS without a certificate":        {append(serve, "--mqtts", "127.0.0.1:0"), "need --tls-cert and --tls-key"},
		"a certificate without its key":      {append(serve, "--https", "--tls-cert", ended), "belong together"},
		"a certificate that has ended":       {append(serve, "--https", "--tls-cert", ended, "--tls-key", endedKey), "has ended"},
		"everybody as a proxy":               {append(serve, "--trusted-proxies", "0.0.0.0/0"), "everybody"},
		"a name as a proxy":                  {append(upOn, "--trusted-proxies", "proxy.test"), "no address of a proxy"},
		"a wildcard in the own certificate":  {append(upOn, "--https", "--tls-name", "*.hale.test"), "--tls-name"},
		"a key without its certificate":      {append(upOn, "--https", "--tls-key", endedKey), "belong together"},
		"plain HTTP that others could reach": {append(upOn, "--http", "0.0.0.0:0"), "say --https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var out, said bytes.Buffer
			if code := run(ctx, c.args, &out, &said, func(string) string { return "" }); code != 1 || !strings.Contains(said.String(), c.why) {
				t.Errorf("ended with %d and said %q, want %q", code, said.String(), c.why)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("the data directory was made")
			}
		})
	}
}

func TestDoctorLooksAtCertificates(t *testing.T) {
	t.Parallel()
	good, goodKey := given(t, time.Now().Add(60*24*time.Hour), "hale.test")
	late, lateKey := given(t, time.Now().Add(5*24*time.Hour), "hale.test")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a good one":          {[]string{"--tls-cert", good, "--tls-key", goodKey}, `ok    TLS certificate +for hale.test until `},
		"a late one":          {[]string{"--tls-cert", late, "--tls-key", lateKey}, `MEND  TLS certificate +for hale.test until .*\n +renew it`},
		"another one's key":   {[]string{"--tls-cert", good, "--tls-key", lateKey}, `MEND  TLS certificate .*no certificate with its key`},
		"none":                {nil, `ok    own certificate authority +will be made`},
		"one without its key": {[]string{"--tls-cert", good}, `MEND  TLS certificate +--tls-cert and --tls-key belong together`},
		"the port of devices": {nil, `ok    MQTTS port +127.0.0.1:8883`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, said bytes.Buffer
			run(t.Context(), append([]string{"doctor", "--data", dataDir(t)}, c.args...), &out, &said, os.Getenv)
			if !regexp.MustCompile(c.want).MatchString(out.String()) {
				t.Errorf("doctor said %s%s", out.String(), said.String())
			}
		})
	}
}

func TestACertificateOfAnotherNameIsToldByItsName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		names []string
		bound string
		want  string
	}{
		"the own authority":  {[]string{"localhost", "127.0.0.1"}, "127.0.0.1:8080", ""},
		"on every interface": {[]string{"localhost", "127.0.0.1"}, "0.0.0.0:8080", ""},
		"a public name":      {[]string{"board.example.org"}, "127.0.0.1:8080", "board.example.org"},
		"a wildcard":         {[]string{"*.example.org"}, "127.0.0.1:8080", "hale.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, err := net.ResolveTCPAddr("tcp", c.bound)
			if err != nil {
				t.Fatal(err)
			}
			if got := nameFor(named{names: c.names}, addr); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// named is a certificate of which only the names count.
type named struct {
	certificate
	names []string
}

func (n named) Names() []string { return n.names }
