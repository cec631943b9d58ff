package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// door knows one person, whose token is "good".
type door struct {
	ended []string
	from  []netip.Addr // of who signed in
}

func (d *door) SignIn(_ context.Context, from netip.Addr, _ account.Proof) (string, account.Session, error) {
	d.from = append(d.from, from)
	s, err := d.SessionOf(context.Background(), "good")
	return "good", s, err
}

func (d *door) SessionOf(_ context.Context, token string) (account.Session, error) {
	switch token {
	case "good":
		expires := time.Date(2026, 5, 8, 12, 0, 0, 0, time.UTC)
		return account.Session{CSRF: "c5", ExpiresAt: expires, Actor: account.Actor{Org: 1, Name: "Nina", Role: account.Nurse}}, nil
	case "bare":
		return account.Session{Actor: account.Actor{Org: 1, Name: "Nina", Role: account.Nurse}}, nil
	case "away":
		return account.Session{}, fault.New(fault.Unavailable, "the record is away")
	}
	return account.Session{}, fault.New(fault.Unauthenticated, "no session")
}

func (d *door) SignOut(_ context.Context, token string) error {
	d.ended = append(d.ended, token)
	return nil
}

// app answers every request with the name of who speaks, or the status of why it was refused.
func app(k *session.Keeper) *fiber.App {
	a := fiber.New(fiber.Config{Immutable: true, DisableStartupMessage: true, ErrorHandler: func(c *fiber.Ctx, err error) error {
		return c.Status(session.Status(err)).SendString(fault.MessageOf(err))
	}})
	a.Post("/in", k.SameOrigin, func(c *fiber.Ctx) error {
		_, _, err := k.Open(c.UserContext(), session.SetCookie(c), account.Proof{})
		return err
	})
	a.Use(k.Identify)
	a.Get("/address", func(c *fiber.Ctx) error {
		address, err := session.Address(c.UserContext())
		if err != nil {
			return err
		}
		return c.SendString(session.CodeAddress(address, "abcd-efgh"))
	})
	a.Post("/out", func(c *fiber.Ctx) error { return k.Close(c.UserContext(), session.SetCookie(c)) })
	a.All("/*", func(c *fiber.Ctx) error { return c.SendString(session.Actor(c.UserContext()).Name) })
	return a
}

func send(t *testing.T, k *session.Keeper, method, path, body string, headers map[string]string) (status int, text string, header http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "hale.test"
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	res, err := app(k).Test(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const (
		refused = 403
		nobody  = ""
		nina    = "Nina"
		form    = "application/x-www-form-urlencoded"
	)
	type headers = map[string]string
	cookie := "hale_session=good"
	cases := map[string]struct {
		method, body string // the method with what stands behind the ? of the address
		headers      headers
		status       int
		who          string
	}{
		"without anything it is nobody":                     {"GET", "", nil, 200, nobody},
		"a cookie tells who reads":                          {"GET", "", headers{"Cookie": cookie}, 200, nina},
		"a bearer token tells who reads":                    {"GET", "", headers{"Authorization": "Bearer good"}, 200, nina},
		"the scheme may be written small":                   {"GET", "", headers{"Authorization": "bearer good"}, 200, nina},
		"another scheme is none":                            {"GET", "", headers{"Authorization": "Basic Z29vZA=="}, 200, nobody},
		"an ended session is nobody's":                      {"GET", "", headers{"Cookie": "hale_session=old"}, 200, nobody},
		"an ended session changes nothing":                  {"POST", "", headers{"Cookie": "hale_session=old"}, 200, nobody},
		"the record being away is not a sign-out":           {"GET", "", headers{"Cookie": "hale_session=away"}, 503, "the record is away"},
		"the cookie of HTTPS is another":                    {"GET", "", headers{"Cookie": "__Host-hale_session=good"}, 200, nobody},
		"the Authorization header wins over the cookie":     {"GET", "", headers{"Cookie": cookie, "Authorization": "Bearer old"}, 200, nobody},
		"a cookie alone changes nothing":                    {"POST", "", headers{"Cookie": cookie}, refused, ""},
		"a wrong CSRF value changes nothing":                {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c4"}, refused, ""},
		"an empty CSRF field changes nothing":               {"POST", "csrf=", headers{"Cookie": cookie, "Content-Type": form}, refused, ""},
		"a session without a CSRF value changes nothing":    {"POST", "csrf=", headers{"Cookie": "hale_session=bare", "Content-Type": form}, refused, ""},
		"a DELETE changes something too":                    {"DELETE", "", headers{"Cookie": cookie}, refused, ""},
		"the CSRF value in the header lets it pass":         {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5"}, 200, nina},
		"the CSRF value in the form lets it pass":           {"POST", "csrf=c5", headers{"Cookie": cookie, "Content-Type": form}, 200, nina},
		"the CSRF value in the address changes nothing":     {"POST?csrf=c5", "", headers{"Cookie": cookie}, refused, ""},
		"nor beside an empty form":                          {"POST?csrf=c5", "x=1", headers{"Cookie": cookie, "Content-Type": form}, refused, ""},
		"the CSRF value in a multipart form lets it pass":   {"POST", "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nc5\r\n--b--\r\n", headers{"Cookie": cookie, "Content-Type": "multipart/form-data; boundary=b"}, 200, nina},
		"a bearer token needs no CSRF value":                {"PUT", "", headers{"Authorization": "Bearer good"}, 200, nina},
		"a foreign page with the CSRF value is refused":     {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://evil.test"}, refused, ""},
		"a page of another port is foreign":                 {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://hale.test:81"}, refused, ""},
		"a sandboxed page is foreign":                       {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "null"}, refused, ""},
		"the browser's word for foreign is enough":          {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Sec-Fetch-Site": "cross-site"}, refused, ""},
		"our own page is not foreign":                       {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://hale.test"}, 200, nina},
		"our own page behind a proxy is not foreign":        {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "https://board.example.org"}, 200, nina},
		"a foreign page may link to us":                     {"GET", "", headers{"Cookie": cookie, "Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, 200, nina},
		"a foreign page changes nothing without a session":  {"POST", "", headers{"Origin": "http://evil.test"}, refused, ""},
		"a program with a bearer token may name any origin": {"POST", "", headers{"Authorization": "Bearer good", "Origin": "http://app.test"}, 200, nina},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &session.Keeper{SignIn: &door{}, Origins: []string{"https://board.example.org"}}
			method, query, _ := strings.Cut(c.method, "?")
			status, text, _ := send(t, k, method, "/x?"+query, c.body, c.headers)
			if status != c.status || status != refused && text != c.who {
				t.Errorf("%d %q, want %d %q", status, text, c.status, c.who)
			}
		})
	}
}

func TestTheCookie(t *testing.T) {
	t.Parallel()
	plain := &session.Keeper{SignIn: &door{}}
	_, _, h := send(t, plain, "POST", "/in", "", nil)
	if diff := cmp.Diff([]string{
		"hale_session=good; Path=/; Expires=Fri, 08 May 2026 12:00:00 GMT; HttpOnly; SameSite=Lax",
		"hale_device=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax",
	}, h["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	// A request in a test comes from 0.0.0.0: here that is a proxy, which says what came to it.
	proxies, err := session.ParseProxies([]string{"0.0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	https := map[string]string{"X-Forwarded-Proto": "https"}
	d := &door{}
	secure := &session.Keeper{SignIn: d, Proxies: proxies}
	_, _, h = send(t, secure, "POST", "/in", "", https)
	if diff := cmp.Diff([]string{
		"__Host-hale_session=good; Path=/; Expires=Fri, 08 May 2026 12:00:00 GMT; HttpOnly; SameSite=Lax; Secure",
		"__Host-hale_device=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax; Secure",
	}, h["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	if _, text, _ := send(t, secure, "GET", "/x", "", map[string]string{"Cookie": "__Host-hale_session=good", "X-Forwarded-Proto": "https"}); text != "Nina" {
		t.Errorf("HTTPS: %q", text)
	}
	if _, text, _ := send(t, secure, "GET", "/x", "", map[string]string{"Cookie": "hale_session=good", "X-Forwarded-Proto": "https"}); text != "" {
		t.Errorf("a cookie that plain HTTP may have planted was believed over HTTPS: %q", text)
	}
	if status, _, _ := send(t, secure, "POST", "/in", "", map[string]string{"Origin": "http://hale.test", "X-Forwarded-Proto": "https"}); status != 403 {
		t.Errorf("a plain page of our host signs in over HTTPS: %d", status)
	}
}

func TestWhatAProxySaysIsBelievedOfTrustedOnesOnly(t *testing.T) {
	t.Parallel()
	const plain, secure = "hale_session", "__Host-hale_session"
	type headers = map[string]string
	for name, c := range map[string]struct {
		proxies []string
		headers headers
		from    string
		cookie  string
		refused bool
	}{
		"no proxy and no word":                          {nil, nil, "0.0.0.0", plain, false},
		"whoever writes the headers without a proxy":    {nil, headers{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, "0.0.0.0", plain, false},
		"a proxy that is not ours":                      {[]string{"10.0.0.0/8"}, headers{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, "0.0.0.0", plain, false},
		"our proxy":                                     {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, "192.0.2.1", secure, false},
		"our proxy by its range":                        {[]string{" 0.0.0.0/8"}, headers{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, "192.0.2.1", secure, false},
		"our proxy that says nothing":                   {[]string{"0.0.0.0"}, nil, "0.0.0.0", plain, false},
		"our proxy that was asked over plain HTTP":      {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}, "192.0.2.1", plain, false},
		"what the client wrote before our proxy did":    {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "198.51.100.9, 192.0.2.1"}, "192.0.2.1", plain, false},
		"two proxies of ours":                           {[]string{"0.0.0.0", "10.0.0.0/8"}, headers{"X-Forwarded-For": "198.51.100.9, 192.0.2.1, 10.1.2.3"}, "192.0.2.1", plain, false},
		"proxies all the way":                           {[]string{"0.0.0.0", "10.0.0.0/8"}, headers{"X-Forwarded-For": "10.4.5.6, 10.1.2.3"}, "10.4.5.6", plain, false},
		"an address with its port":                      {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "192.0.2.1:4711"}, "192.0.2.1", plain, false},
		"an address of IPv6":                            {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1", plain, false},
		"an address that is none":                       {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": "192.0.2.1, unknown"}, "0.0.0.0", plain, false},
		"our page under the name that the proxy tells":  {[]string{"0.0.0.0"}, headers{"X-Forwarded-Host": "board.test", "X-Forwarded-Proto": "https", "Origin": "https://board.test"}, "0.0.0.0", secure, false},
		"plain HTTP, and the client itself wrote HTTPS": {[]string{"0.0.0.0"}, headers{"X-Forwarded-Proto": "https, http"}, "0.0.0.0", plain, false},
		"HTTPS, and the client itself wrote HTTP":       {[]string{"0.0.0.0"}, headers{"X-Forwarded-Proto": "http,https"}, "0.0.0.0", secure, false},
		"the client wrote a name before our proxy did":  {[]string{"0.0.0.0"}, headers{"X-Forwarded-Host": "evil.test, board.test", "Origin": "http://board.test"}, "0.0.0.0", plain, false},
		"a page of the name that the client wrote":      {[]string{"0.0.0.0"}, headers{"X-Forwarded-Host": "evil.test, board.test", "Origin": "http://evil.test"}, "", "", true},
		"a page that names itself where no proxy is":    {nil, headers{"X-Forwarded-Host": "evil.test", "Origin": "http://evil.test"}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxies, err := session.ParseProxies(c.proxies)
			if err != nil {
				t.Fatal(err)
			}
			d := &door{}
			status, _, h := send(t, &session.Keeper{SignIn: d, Proxies: proxies}, "POST", "/in", "", c.headers)
			if c.refused {
				if status != 403 {
					t.Errorf("answered with %d", status)
				}
				return
			}
			if name, _, _ := strings.Cut(h.Get("Set-Cookie"), "="); status != 200 || name != c.cookie {
				t.Errorf("%d, cookie %q, want %s", status, h.Get("Set-Cookie"), c.cookie)
			}
			if len(d.from) != 1 || d.from[0].String() != c.from {
				t.Errorf("from %v, want %s", d.from, c.from)
			}
		})
	}
}

func TestAProxyMayAddALineInsteadOfAnElement(t *testing.T) {
	t.Parallel()
	proxies, err := session.ParseProxies([]string{"0.0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/in", nil)
	r.Header.Add("X-Forwarded-For", "198.51.100.9") // of the client itself
	r.Header.Add("X-Forwarded-For", "192.0.2.1")
	res, err := app(&session.Keeper{SignIn: d, Proxies: proxies}).Test(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if len(d.from) != 1 || d.from[0].String() != "192.0.2.1" {
		t.Errorf("from %v", d.from)
	}
}

func TestProxiesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"proxy.example.org", "", "10.0.0.0/33", "0.0.0.0/0", "::/0"} {
		if _, err := session.ParseProxies([]string{"10.0.0.1", text}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q was answered with %v", text, err)
		}
	}
}

func TestSigningInFromAForeignPageIsRefused(t *testing.T) {
	t.Parallel()
	k := &session.Keeper{SignIn: &door{}}
	status, _, h := send(t, k, "POST", "/in", "", map[string]string{"Origin": "http://evil.test"})
	if status != 403 || h.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", status, h)
	}
}

func TestCloseEndsTheSessionAndClearsTheCookie(t *testing.T) {
	t.Parallel()
	d := &door{}
	k := &session.Keeper{SignIn: d}
	_, _, h := send(t, k, "POST", "/out", "", map[string]string{"Cookie": "hale_session=good", "X-CSRF-Token": "c5"})
	if !strings.HasPrefix(h.Get("Set-Cookie"), "hale_session=; Path=/; Expires=Thu, 01 Jan 1970") {
		t.Errorf("cookie %q", h.Get("Set-Cookie"))
	}
	if diff := cmp.Diff([]string{"good"}, d.ended); diff != "" {
		t.Error(diff)
	}
	if _, _, h := send(t, k, "POST", "/out", "", nil); h.Get("Set-Cookie") == "" || len(d.ended) != 1 {
		t.Error("signing out without a session does not clear the cookie, or ends one")
	}
}

// TestSigningInEndsTheSessionThatTheBrowserCameWith: whatever stands in its cookies, and nothing else.
func TestSigningInEndsTheSessionThatTheBrowserCameWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		headers map[string]string
		ended   []string
	}{
		"nothing":                    {nil, nil},
		"a session":                  {map[string]string{"Cookie": "hale_session=bare"}, []string{"bare"}},
		"one of a device":            {map[string]string{"Cookie": "hale_session=bare; hale_device=d"}, []string{"bare.d"}},
		"a bearer token":             {map[string]string{"Authorization": "Bearer bare"}, nil},
		"a cookie of another scheme": {map[string]string{"Cookie": "__Host-hale_session=bare"}, nil},
	} {
		d := &door{}
		send(t, &session.Keeper{SignIn: d}, "POST", "/in", "", c.headers)
		if diff := cmp.Diff(c.ended, d.ended); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

type wait struct{}

func (wait) Error() string             { return "wait" }
func (wait) RetryAfter() time.Duration { return time.Second }

func TestStatusIsWrittenOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  error
		want int
	}{
		"invalid":               {fault.New(fault.Invalid, ""), 422},
		"not found":             {fault.New(fault.NotFound, ""), 404},
		"conflict":              {fault.New(fault.Conflict, ""), 409},
		"forbidden":             {fault.New(fault.Forbidden, ""), 403},
		"unauthenticated":       {fault.New(fault.Unauthenticated, ""), 401},
		"gone":                  {fault.New(fault.Gone, ""), 410},
		"unavailable":           {fault.New(fault.Unavailable, ""), 503},
		"internal":              {fault.New(fault.Internal, ""), 500},
		"an error without kind": {errors.New("x"), 500},
		"a kind nobody knows":   {fault.New("odd", ""), 500},
		"a wrapped fault":       {fmt.Errorf("list: %w", fault.New(fault.Gone, "")), 410},
		"too many attempts":     {&fault.Error{Kind: fault.Unavailable, Err: wait{}}, 429},
		"Fiber's own":           {fiber.ErrMethodNotAllowed, 405},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := session.Status(c.err); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// TestNoForeignAddressIsGivenAway: the host in a request is the client's word, or that of whoever stands between.
func TestNoForeignAddressIsGivenAway(t *testing.T) {
	t.Parallel()
	proxies, err := session.ParseProxies([]string{"0.0.0.0"}) // where fiber's test connections come from
	if err != nil {
		t.Fatal(err)
	}
	public, err := session.ParsePublic("https://hale.example.org/")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keeper  *session.Keeper
		host    string
		headers map[string]string
		want    string // empty: refused
	}{
		"localhost is this machine":                 {host: "localhost:8080", want: "http://localhost:8080"},
		"so is a loopback address":                  {host: "127.0.0.1:8080", want: "http://127.0.0.1:8080"},
		"so is one of IPv6":                         {host: "[::1]:8080", want: "http://[::1]:8080"},
		"a foreign name is refused":                 {host: "evil.test"},
		"a foreign address is refused":              {host: "203.0.113.6"},
		"a name that begins like ours is refused":   {host: "localhost.evil.test"},
		"a name in front of ours is refused":        {keeper: &session.Keeper{Hosts: []string{"hale.test"}}, host: "evil.hale.test"},
		"a name with somebody before it is refused": {host: "localhost@evil.test"},
		"a name of the certificate is ours":         {keeper: &session.Keeper{Hosts: []string{"hale.test"}}, host: "HALE.test:8443", want: "http://hale.test:8443"},
		"a wildcard of it is":                       {keeper: &session.Keeper{Hosts: []string{"*.example.org"}}, host: "care.example.org", want: "http://care.example.org"},
		"but not two names deep":                    {keeper: &session.Keeper{Hosts: []string{"*.example.org"}}, host: "a.b.example.org"},
		"an address of the certificate is ours":     {keeper: &session.Keeper{Hosts: []string{"192.0.2.7"}}, host: "192.0.2.7:8080", want: "http://192.0.2.7:8080"},
		"what was said wins over any host":          {keeper: &session.Keeper{Public: public}, host: "evil.test", want: "https://hale.example.org"},
		"and over a proxy's":                        {keeper: &session.Keeper{Public: public, Proxies: proxies}, host: "hale.test", headers: map[string]string{"X-Forwarded-Host": "evil.test"}, want: "https://hale.example.org"},
		"what a proxy hands on is not believed":     {keeper: &session.Keeper{Proxies: proxies}, host: "localhost", headers: map[string]string{"X-Forwarded-Host": "evil.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.keeper == nil {
				c.keeper = &session.Keeper{}
			}
			c.keeper.SignIn = &door{}
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/address", nil)
			r.Host = c.host
			for name, value := range c.headers {
				r.Header.Set(name, value)
			}
			res, err := app(c.keeper).Test(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && (res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(b), "--public-url")) {
				t.Errorf("%d %s", res.StatusCode, b)
			}
			if c.want != "" && string(b) != c.want+"/code#abcdefgh" {
				t.Errorf("%d %s, want %s", res.StatusCode, b, c.want)
			}
		})
	}
	for _, wrong := range []string{"hale.example.org", "ftp://hale.example.org", "https://", "https://a@hale.example.org", "https://hale.example.org/care", "https://hale.example.org?x", "://"} {
		if got, err := session.ParsePublic(wrong); err == nil {
			t.Errorf("%q was read as %q", wrong, got)
		}
	}
}

// TestAProxyThatIsNotBelievedIsNamedOnce: behind it all clients are one, and one guesser makes all of them wait.
func TestAProxyThatIsNotBelievedIsNamedOnce(t *testing.T) {
	t.Parallel()
	serve := func(proxies session.Proxies, headers map[string]string) string {
		var log bytes.Buffer
		a := app(&session.Keeper{SignIn: &door{}, Proxies: proxies, Log: slog.New(slog.NewTextHandler(&log, nil))})
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.Listener(l) }()
		for range 3 {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range headers {
				r.Header.Set(name, value)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		if err := a.Shutdown(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	believed, err := session.ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	forwarded := map[string]string{"X-Forwarded-For": "203.0.113.9"}
	if said := serve(nil, forwarded); strings.Count(said, "--trusted-proxies") != 1 || strings.Contains(said, "203.0.113.9") {
		t.Errorf("it says %q", said)
	}
	if said := serve(believed, forwarded) + serve(nil, nil); said != "" {
		t.Errorf("nothing is wrong, and it says %q", said)
	}
}
