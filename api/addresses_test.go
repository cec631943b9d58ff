package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/api"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/internal/certs"
)

// shut is a record that knows no device, whatever it shows.
type shut struct{}

func (shut) Pair(context.Context, credential.Attempt) (string, error) {
	return "", fault.New(fault.Unauthenticated, "no such code")
}

func (shut) Prove(context.Context, account.Actor, string, [sha256.Size]byte) (bool, error) {
	return false, nil
}

func (shut) InUse(context.Context, account.Actor, string) (bool, error) { return false, nil }

func (shut) Reissue(context.Context, credential.Shown, func(*credential.Showing) (*credential.NewCertificate, error)) error {
	return fault.New(fault.NotFound, "no such device")
}

func (shut) OpenClaims(context.Context, string, time.Time) ([]credential.OpenClaim, error) {
	return nil, nil
}

func (shut) KeepClaimed(context.Context, *credential.OpenClaim, devices.Fingerprint, credential.NewCertificate) error {
	return fault.New(fault.Conflict, "no such claim")
}

// served lets a server listen on loopback, and returns its address.
func served(t *testing.T, s *api.Server) (url string) {
	t.Helper()
	at, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, at) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + at.Addr().String()
}

// caller is somebody at an address of loopback.
func caller(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}

// TestWhoGuessesFromOneAddressWaitsAndAnotherAddressDoesNot knocks at each door of devices from two addresses of this machine: at the one
// is a proxy that is believed, and speaks for a guesser and for somebody else; who comes from the other is believed nothing. This
// machine's own addresses wait for nobody (account/guess): behind them may be a proxy that nobody told us of.
func TestWhoGuessesFromOneAddressWaitsAndAnotherAddressDoesNot(t *testing.T) {
	t.Parallel()
	const guesser, other = "192.0.2.66", "192.0.2.7"
	proxies, err := session.ParseProxies([]string{"127.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	url := served(t, phoneServer(t, &disk{}, func(c *api.Config) {
		c.Session = &session.Keeper{SignIn: door{}, Proxies: proxies}
		c.Credentials = credential.NewCredentials(nil, shut{}, noon)
		c.Ways = func(string) (credential.Ways, error) { return credential.Ways{}, nil }
		c.Certificates = &credential.Certificates{Door: shut{}, Now: noon, Guesses: credential.NewGuesses()}
	}))
	request := func(name string) string { return string(certs.Request(t, name, certs.Key(t))) }
	factory := certs.New(t, "maker").Issue(t, certs.Leaf{Name: "SN-1"})
	claimed := certs.Request(t, "SN-1", certs.Key(t))
	body := func(m map[string]any) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	proxy, liar := caller("127.0.0.2"), caller("127.0.0.1")
	post := func(by *http.Client, who, path, body string, headers ...string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", who)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := by.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res
	}
	const reading = `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-05-01T11:55:00Z"}`
	doors := []struct {
		path, body string
		headers    []string
		free       int // mistakes that cost no wait
	}{
		{"/v1/observations", reading, []string{"Authorization", basic("phone-1", "shut")}, credential.FreeGuesses},
		{"/v1/pair", `{"code":"K7W2-9XQ4-M0ST"}`, nil, credential.FreeGuesses},
		{"/v1/renew", body(map[string]any{"device": "cuff-1", "csr": request("cuff-1"), "secret": "shut"}), nil, credential.FreeGuesses},
		{"/v1/claim", body(map[string]any{"serial": "SN-1", "csr": string(claimed), "certificate": string(certs.PEM(factory.Leaf)), "signature": certs.Signature(t, &factory, claimed)}), nil, 0},
	}
	for _, d := range doors {
		for i := range d.free {
			if a := post(proxy, guesser, d.path, d.body, d.headers...); a.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%s, attempt %d: %d", d.path, i, a.StatusCode)
			}
		}
		for name, who := range map[string]string{"as it is": guesser, "with the word that it comes from elsewhere": other + ", " + guesser} { // the proxy adds at the end
			a := post(proxy, who, d.path, d.body, d.headers...)
			if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); a.StatusCode != http.StatusTooManyRequests || err != nil || wait < 1 {
				t.Errorf("%s, one more, %s: %d, Retry-After %q", d.path, name, a.StatusCode, a.Header.Get("Retry-After"))
			}
		}
		for range d.free + 1 {
			if a := post(liar, other, d.path, d.body, d.headers...); a.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%s, from who is believed nothing: %d", d.path, a.StatusCode)
			}
		}
		if a := post(proxy, other, d.path, d.body, d.headers...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, from another address: %d", d.path, a.StatusCode)
		}
	}
	right := []string{"Authorization", basic("phone-1", "open")}
	if a := post(proxy, guesser, "/v1/observations", reading, right...); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right secret from where it was guessed: %d", a.StatusCode)
	}
	if a := post(proxy, other, "/v1/observations", reading, right...); a.StatusCode != http.StatusOK {
		t.Errorf("the right secret from another address: %d", a.StatusCode)
	}
}
