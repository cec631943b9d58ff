package webhook_test

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"hale/fault"
	"hale/push"
	"hale/push/webhook"
)

// open is a Sealer that hides nothing: what is sealed is another test's.
type open struct{}

func (open) Seal(plain []byte, _ string) []byte           { return plain }
func (open) Open(sealed []byte, _ string) ([]byte, error) { return sealed, nil }

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func TestWhereNoticesMayBeSent(t *testing.T) {
	t.Parallel()
	narrow, wide := webhook.New(webhook.Config{}), webhook.New(webhook.Config{Networks: append(loopback(), netip.MustParsePrefix("10.20.0.0/16"))})
	for address, want := range map[string][2]bool{ // by the narrow one, by the wide one
		"https://pager.example.org/hale?key=1": {true, true},
		"https://pager.example.org:8443":       {true, true},
		"https://8.8.8.8/":                     {true, true},
		"https://[2606:4700::1]/":              {true, true},
		"https://10.20.1.2/":                   {false, true},
		"https://10.21.1.2/":                   {false, false},
		"https://127.0.0.1/":                   {false, true},
		"http://127.0.0.1:8080/":               {false, true},
		"http://localhost/":                    {false, true},
		"http://[::1]/":                        {false, true},
		"http://10.20.1.2/":                    {false, false}, // only to this machine without encryption
		"http://pager.example.org/":            {false, false},
		"https://[::ffff:10.0.0.1]/":           {false, false},
		"https://[64:ff9b::a00:1]/":            {false, false},
		"https://[2002:a00:1::]/":              {false, false},
		"https://[fe80::1%25eth0]/":            {false, false},
		"https://169.254.169.254/":             {false, false},
		"https://0.0.0.0/":                     {false, false},
		"https://100.64.0.1/":                  {false, false},
		"https://user:word@example.org/":       {false, false},
		"https://example.org/#part":            {false, false},
		"https://example.org/#":                {false, false},
		"https:///path":                        {false, false},
		"https://:443/":                        {false, false},
		"https:example.org":                    {false, false},
		"ftp://example.org/":                   {false, false},
		"example.org":                          {false, false},
		"":                                     {false, false},
	} {
		for i, c := range []*webhook.Client{narrow, wide} {
			if err := c.Check(address); (err == nil) != want[i] || err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v, want it allowed: %t (%d)", address, err, want[i], i)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://a.example/x", "http://127.0.0.1:1/", "https://[::1%25lo]/", "https://0x7f.1/", "https://１２７.0.0.1/", "https://a@b/"} {
		f.Add(s)
	}
	c := webhook.New(webhook.Config{})
	f.Fuzz(func(t *testing.T, text string) {
		if c.Check(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("%q is allowed: %v", text, err)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()) {
			t.Errorf("%q is allowed", text)
		}
	})
}

func parcel(to string) *push.Parcel {
	return &push.Parcel{
		UID: "0192f5a0-0000-7000-8000-000000000001", Topic: push.AlertOpened, Severity: "red", Audience: push.ToTeam, Patient: "0192f5a0-0000-7000-8000-000000000002",
		CreatedAt: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Channel: push.Address{UID: "c", URL: to, Secrets: [][]byte{[]byte(strings.Repeat("k", 32))}},
	}
}

// TestANameThatLeadsIntoTheHouseIsNotDialled: a name that is allowed may lead anywhere when it is looked up.
func TestANameThatLeadsIntoTheHouseIsNotDialled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := webhook.New(webhook.Config{Sealer: open{}})
	if a := c.Send(t.Context(), parcel("https://localhost:"+port), time.Now()); a.Reason != push.BadAddress {
		t.Errorf("%+v", a)
	}
	select {
	case <-asked:
		t.Error("it was asked")
	default:
	}
}

func TestWhatATryComesTo(t *testing.T) {
	t.Parallel()
	roots := x509.NewCertPool()
	handle := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // that the client is gone shows only behind the body
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/breaks":
			panic(http.ErrAbortHandler)
		case "/busy":
			w.Header().Set("Retry-After", time.Date(2026, 5, 1, 12, 3, 0, 0, time.UTC).Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		}
	})
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	roots.AddCert(s.Certificate())
	plain := httptest.NewServer(handle)
	t.Cleanup(plain.Close)
	gone, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	good := webhook.Config{Sealer: open{}, Networks: loopback(), Roots: roots, Within: 2 * time.Second}
	untrusting, keyless := good, good
	untrusting.Roots, keyless.Sealer = x509.NewCertPool(), nil
	for name, c := range map[string]struct {
		with webhook.Config
		to   string
		want push.Answer
	}{
		"it is taken":                          {good, s.URL, push.Answer{Status: 200}},
		"an endless answer is not read":        {good, s.URL + "/endless", push.Answer{Status: 200}},
		"a slow one is left":                   {good, s.URL + "/slow", push.Answer{Reason: push.TimedOut}},
		"the connection breaks":                {good, s.URL + "/breaks", push.Answer{Reason: push.Unreachable}},
		"nobody is there":                      {good, "https://" + gone.Addr().String(), push.Answer{Reason: push.Unreachable}},
		"a redirect":                           {good, s.URL + "/moved", push.Answer{Status: 302, Reason: push.Redirects}},
		"busy until three minutes past":        {good, s.URL + "/busy", push.Answer{Status: 429, Wait: 3 * time.Minute}},
		"an unknown certificate":               {untrusting, s.URL, push.Answer{Reason: push.NotTrusted}},
		"no TLS where TLS should be":           {good, strings.Replace(plain.URL, "http:", "https:", 1), push.Answer{Reason: push.NotTrusted}},
		"no key":                               {keyless, s.URL, push.Answer{Reason: push.NoKey}},
		"an address that is allowed no longer": {webhook.Config{Sealer: open{}}, s.URL, push.Answer{Reason: push.BadAddress}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := webhook.New(c.with).Send(t.Context(), parcel(c.to), time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestTheSignatureIsThatOfTheStandard holds the signature against one that openssl has made.
func TestTheSignatureIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	t.Cleanup(s.Close)
	c := webhook.New(webhook.Config{Sealer: open{}, Networks: loopback()})
	if a := c.Send(t.Context(), parcel(s.URL), time.Unix(1777636800, 0)); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	r := <-got
	// printf '%s' '0192f5a0-0000-7000-8000-000000000001.1777636800.'"$body" | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk -binary | base64
	if sig := r.Header.Get("webhook-signature"); sig != signed || r.Header.Get("webhook-timestamp") != "1777636800" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the headers are %v", r.Header)
	}
}

// signed is what openssl makes of the parcel.
const signed = "v1,F5m4yjmAueGB4DSejLNdEhW/NgvnSdedeO4hEnC372M="
