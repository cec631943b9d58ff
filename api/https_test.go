package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hale/api"
	"hale/api/session"
)

// serving is a server on a real socket, with or without TLS.
type serving struct {
	addr   string
	client *http.Client
	scheme string
}

func serveAt(t *testing.T, encrypted bool, change ...func(*api.Config)) serving {
	t.Helper()
	s, _ := server(t, change...)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := serving{addr: l.Addr().String(), scheme: "http"}
	transport := &http.Transport{DisableKeepAlives: true}
	if encrypted {
		lent := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate: of 127.0.0.1 and example.com
		t.Cleanup(lent.Close)
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: lent.TLS.Certificates, NextProtos: []string{"http/1.1"}})
		roots := x509.NewCertPool()
		roots.AddCert(lent.Certificate())
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		out.scheme = "https"
	}
	// Whatever the name, it is this server.
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", out.addr)
	}
	out.client = &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return out
}

// ask sends a request to the server under a name.
func (s serving) ask(t *testing.T, method, name, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.scheme+"://"+name+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(b)}
}

const credentials = `{"login":"nurse","password":"right"}`

func TestTheCookieFollowsHowTheRequestCame(t *testing.T) {
	t.Parallel()
	trusting := func(c *api.Config) {
		var err error
		if c.Session.Proxies, err = session.ParseProxies([]string{"127.0.0.1"}); err != nil {
			t.Error(err)
		}
	}
	const plain, secure = "hale_session", "__Host-hale_session"
	for name, c := range map[string]struct {
		encrypted bool
		change    []func(*api.Config)
		headers   []string
		cookie    string
	}{
		"plain HTTP on this machine": {cookie: plain},
		"HTTPS":                      {encrypted: true, cookie: secure},
		"HTTPS, whatever somebody writes into a header":  {encrypted: true, headers: []string{"X-Forwarded-Proto", "http"}, cookie: secure},
		"plain HTTP with a header that nobody vouches":   {headers: []string{"X-Forwarded-Proto", "https", "X-Forwarded-Ssl", "on", "X-Url-Scheme", "https"}, cookie: plain},
		"plain HTTP from a proxy that ends TLS":          {change: []func(*api.Config){trusting}, headers: []string{"X-Forwarded-Proto", "https"}, cookie: secure},
		"plain HTTP from a proxy that was asked plainly": {change: []func(*api.Config){trusting}, headers: []string{"X-Forwarded-Proto", "http"}, cookie: plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveAt(t, c.encrypted, c.change...)
			got := s.ask(t, "POST", s.addr, "/v1/session", credentials, c.headers...)
			set := got.header.Get("Set-Cookie")
			if got.status != 200 || !strings.HasPrefix(set, c.cookie+"=") || !strings.Contains(set, "; Path=/;") || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") {
				t.Fatalf("%d, Set-Cookie %q", got.status, set)
			}
			if strings.HasSuffix(set, "; Secure") != (c.cookie == secure) || strings.Contains(set, "Domain") {
				t.Errorf("Set-Cookie %q", set)
			}
			pair, _, _ := strings.Cut(set, ";")
			if who := s.ask(t, "GET", s.addr, "/v1/session", "", append(c.headers, "Cookie", pair)...); who.status != 200 {
				t.Errorf("the cookie is answered with %d %s", who.status, who.body)
			}
		})
	}
}

func TestTheAddressOfAClientIsNotWhatItSays(t *testing.T) {
	t.Parallel()
	// /metrics is for this machine, which a client elsewhere may claim to be, and a proxy here would pass on.
	metrics := func(c *api.Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hale_x 1")) }) // the recorder takes everything
		var err error
		if c.Session.Proxies, err = session.ParseProxies([]string{"127.0.0.1"}); err != nil {
			t.Error(err)
		}
	}
	s := serveAt(t, false, metrics)
	if got := s.ask(t, "GET", s.addr, "/metrics", ""); got.status != 200 {
		t.Errorf("this machine: %d", got.status)
	}
	if got := s.ask(t, "GET", s.addr, "/metrics", "", "X-Forwarded-For", "127.0.0.1"); got.status != 404 {
		t.Errorf("somebody through a proxy who says that it is this machine: %d", got.status)
	}
}

func TestBrowsersAreHeldToHTTPSOnlyWhereThatIsPromised(t *testing.T) {
	t.Parallel()
	strict := func(c *api.Config) { c.Strict = true }
	for name, c := range map[string]struct {
		encrypted bool
		change    []func(*api.Config)
		host      string
		promised  bool
	}{
		"a name with a certificate that everybody trusts": {true, []func(*api.Config){strict}, "example.com", true},
		"the same on a port":                              {true, []func(*api.Config){strict}, "example.com:8443", true},
		"an own authority":                                {true, nil, "example.com", false},
		"an address":                                      {true, []func(*api.Config){strict}, "127.0.0.1", false},
		"plain HTTP":                                      {false, []func(*api.Config){strict}, "example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := serveAt(t, c.encrypted, c.change...).ask(t, "GET", c.host, "/healthz", "").header.Get("Strict-Transport-Security")
			if (got == "max-age=31536000") != c.promised || !c.promised && got != "" {
				t.Errorf("Strict-Transport-Security: %q", got)
			}
		})
	}
	// localhost has no certificate here; its rule is the server's alone.
	s := serveAt(t, true, strict)
	for _, host := range []string{"localhost:8080", "hale.localhost"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Strict-Transport-Security"); got != "" {
			t.Errorf("%s: %q", host, got)
		}
	}
}

// TestPlainHTTPOnTheEncryptedDoor shows the choice: no redirect. Whoever would follow one has already sent the password or
// the token in the clear, and would do so each time.
func TestPlainHTTPOnTheEncryptedDoor(t *testing.T) {
	t.Parallel()
	s := serveAt(t, true)
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(conn) // however the connection ends
	if text := string(said); strings.Contains(text, " 200 ") || strings.Contains(text, " 30") || strings.Contains(text, `"ok"`) {
		t.Errorf("plain HTTP was answered with %q", said)
	}
}
