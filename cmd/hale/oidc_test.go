package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/account"
	"hale/account/signin"
	"hale/internal/browser"
	"hale/internal/oidcprovider"
	"hale/postgres"
)

const claimsFile = `{"scopes": ["groups"], "rules": [
  {"claim": "groups", "value": "nurses", "organisation": "Hale", "role": "nurse", "teams": ["Home care"]},
  {"claim": "groups", "value": "managers", "organisation": "Hale", "role": "manager"}
]}`

// byProvider runs `hale up` with an identity provider that knows Nina.
func byProvider(t *testing.T, more ...string) (*oidcprovider.Provider, *process, announcement) {
	t.Helper()
	p, dir := oidcprovider.Start(t), t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nina(p, "nurses")
	process, told := up(t, dataDir(t), append([]string{
		"--demo=false", "--oidc-issuer", p.Issuer, "--oidc-client-id", oidcprovider.Client, "--oidc-client-secret-file", file("secret", oidcprovider.Secret+"\n"),
		"--oidc-name", "Care Login", "--oidc-claims", file("claims.json", claimsFile),
	}, more...)...)
	p.Register(t, told.URL+account.ProviderCallback, told.URL+"/signin")
	return p, process, told
}

func nina(p *oidcprovider.Provider, groups ...string) {
	p.Know("nina", map[string]any{"name": "Nina Zupan", "groups": groups})
}

// visitor is a browser without a screen.
type visitor struct {
	client *http.Client
	jar    *cookiejar.Jar
	hale   string
}

func newVisitor(t *testing.T, hale string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{client: &http.Client{Jar: jar, Timeout: 20 * time.Second}, jar: jar, hale: hale}
}

// page is what a visitor got, and where they are by then.
type page struct {
	status int
	header http.Header
	at     *url.URL
	text   string
}

func (v *visitor) send(t *testing.T, method, address string, form url.Values) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{res.StatusCode, res.Header, res.Request.URL, string(b)}
}

func (v *visitor) get(t *testing.T, path string) page {
	t.Helper()
	return v.send(t, http.MethodGet, v.hale+path, nil)
}

// enter signs in by the provider as somebody, from a page on.
func (v *visitor) enter(t *testing.T, subject, next string) page {
	t.Helper()
	at := v.get(t, account.ProviderBegin+"?next="+url.QueryEscape(next))
	if at.status != http.StatusOK || at.at.Path != "/authorize" {
		t.Fatalf("the way to the provider ends at %s with %d: %s", at.at, at.status, at.text)
	}
	return v.send(t, http.MethodPost, at.at.String(), url.Values{"subject": {subject}})
}

// cookie returns what the visitor keeps under a name.
func (v *visitor) cookie(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(v.hale)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// inside reports whether the visitor is signed in.
func (v *visitor) inside(t *testing.T) bool {
	t.Helper()
	return v.get(t, "/patients").at.Path == "/patients"
}

func TestStaffSignInByTheIdentityProvider(t *testing.T) { //nolint:tparallel // one story, step by step
	t.Parallel()
	p, process, told := byProvider(t)
	v := newVisitor(t, told.URL)
	form := v.get(t, "/signin?next=/patients")
	if link := `href="` + told.URL + `/signin/oidc?next=%2Fpatients"`; !strings.Contains(form.text, link) || !strings.Contains(form.text, "Sign in with Care Login") || !strings.Contains(form.text, `name="password"`) {
		t.Errorf("the page to sign in on lacks a way: %s", form.text)
	}
	in := v.enter(t, "nina", "/patients")
	if in.status != http.StatusOK || in.at.String() != told.URL+"/patients" || !strings.Contains(in.text, "Nina Zupan") {
		t.Fatalf("signed in at %s with %d: %s", in.at, in.status, in.text)
	}
	first := v.cookie(t, "hale_session")
	if first == "" || v.cookie(t, "hale_flow") != "" {
		t.Errorf("the browser keeps session %q, flow %q", first, v.cookie(t, "hale_flow"))
	}
	t.Run("what was sent once opens nothing again", func(t *testing.T) {
		other := newVisitor(t, told.URL)
		other.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == account.ProviderCallback {
				return http.ErrUseLastResponse // the answer is robbed on its way
			}
			return nil
		}
		at := other.enter(t, "nina", "/")
		robbed := at.header.Get("Location")
		for name, browser := range map[string]*visitor{"another browser": newVisitor(t, told.URL), "one that is signed in": v} {
			if got := browser.send(t, http.MethodGet, robbed, nil); got.status != http.StatusUnauthorized || !strings.Contains(got.text, "egin again") {
				t.Errorf("%s: %d %s", name, got.status, got.text)
			}
		}
		other.client.CheckRedirect = nil
		if got := other.send(t, http.MethodGet, robbed, nil); got.status != http.StatusOK || !other.inside(t) {
			t.Errorf("the browser itself: %d %s", got.status, got.text)
		}
		if got := other.send(t, http.MethodGet, robbed, nil); got.status != http.StatusUnauthorized {
			t.Errorf("the same answer again: %d", got.status)
		}
	})
	t.Run("a new session takes the place of the old", func(t *testing.T) {
		v.enter(t, "nina", "/")
		second := v.cookie(t, "hale_session")
		if second == first || second == "" {
			t.Fatal("the session is the same")
		}
		if who(t, told.URL, first) != http.StatusUnauthorized || who(t, told.URL, second) != http.StatusOK {
			t.Error("the old session goes on, or the new does not")
		}
	})
	t.Run("no link leads elsewhere", func(t *testing.T) {
		for _, next := range []string{"//evil.test/", "https://evil.test/", `/\evil.test`, "/\t/evil.test", "javascript:alert(1)", "evil.test", "/%0d%0aLocation: https://evil.test", ""} {
			if got := newVisitor(t, told.URL).enter(t, "nina", next); got.at.Host != strings.TrimPrefix(told.URL, "http://") {
				t.Errorf("%q leads to %s", next, got.at)
			}
		}
	})
	t.Run("signing out leads on to the provider", func(t *testing.T) {
		v := newVisitor(t, told.URL)
		csrf := between(v.enter(t, "nina", "/patients").text, `name="csrf" value="`, `"`)
		out := v.send(t, http.MethodPost, told.URL+"/signout", url.Values{"csrf": {csrf}})
		refresh, found := strings.CutPrefix(out.header.Get("Refresh"), "0; url=")
		if !found || out.status != http.StatusOK || !strings.Contains(out.text, "signed out of Hale") {
			t.Fatalf("%d %v %s", out.status, out.header, out.text)
		}
		if strings.Contains(out.text, "Nina Zupan") {
			t.Errorf("the page still names her: %s", out.text)
		}
		if back := v.send(t, http.MethodGet, refresh, nil); back.at.Path != "/signin" || v.inside(t) {
			t.Errorf("the provider sends them to %s", back.at)
		}
		if left := p.Left(); len(left) != 1 || strings.Count(left[0].Get("id_token_hint"), ".") != 2 {
			t.Errorf("the provider was told %v", left)
		}
	})
	t.Run("the log names nobody", func(t *testing.T) {
		for _, secret := range []string{"Nina", "nina", oidcprovider.Secret} {
			if strings.Contains(process.stderr.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})
}

// who asks who is signed in by a token, and returns the status.
func who(t *testing.T, hale, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hale+"/v1/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

func TestTheProviderEndsSessionsAndRolesAndMayBeAway(t *testing.T) {
	t.Parallel()
	p, _, told := byProvider(t, "--local-accounts=false")
	v, other := newVisitor(t, told.URL), newVisitor(t, told.URL)
	say := func(token string) int {
		return newVisitor(t, told.URL).send(t, http.MethodPost, told.URL+account.ProviderSignOut, url.Values{"logout_token": {token}}).status
	}
	// Hale has started without asking the provider. While that is away, whoever wants in is told so.
	p.Away(true)
	if got := v.get(t, account.ProviderBegin); got.status != http.StatusServiceUnavailable || !strings.Contains(got.text, "Care Login cannot be reached") {
		t.Errorf("the provider is away: %d %s", got.status, got.text)
	}
	p.Away(false)
	eventually(t, 10*time.Second, func() string {
		if got := v.get(t, account.ProviderBegin); got.status != http.StatusOK {
			return got.text
		}
		return ""
	})
	v.enter(t, "nina", "/")
	sitting := p.LastSitting()
	other.enter(t, "nina", "/")
	ended := follow(t, told.URL, "Authorization", "Bearer "+v.cookie(t, "hale_session"))
	token := p.LogoutToken("", sitting, nil)
	if got := say(token); got != http.StatusOK {
		t.Fatalf("the provider's word was answered with %d", got)
	}
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("the live feed goes on a second after the session has ended")
	}
	if v.inside(t) || !other.inside(t) {
		t.Error("the session goes on, or the other does not")
	}
	for name, token := range map[string]string{
		"the same word again": token, "nothing": "", "for another client": p.LogoutToken("nina", "", func(tok *oidcprovider.Token) { tok.Claims["aud"] = "x" }),
	} {
		if got := say(token); got != http.StatusBadRequest || !other.inside(t) {
			t.Errorf("%s: %d", name, got)
		}
	}

	p.Away(true)
	if !other.inside(t) {
		t.Error("a session has ended with the provider's absence")
	}
	p.Away(false)

	// Another role is followed, and a role that is gone ends what is open.
	nina(p, "managers")
	if in := newVisitor(t, told.URL).enter(t, "nina", "/patients"); !strings.Contains(in.text, "manager") {
		t.Errorf("a manager by now: %s", in.text)
	}
	nina(p, "nurses", "managers")
	if in := newVisitor(t, told.URL).enter(t, "nina", "/patients"); in.status != http.StatusForbidden || !strings.Contains(in.text, "ask the administrator") {
		t.Errorf("two roles: %d %s", in.status, in.text)
	}
	if other.inside(t) {
		t.Error("a session goes on without a role")
	}

	// Logins of this installation are off, but for the one for emergencies.
	_, err := postgres.Operator{AdminURL: told.Database}.SetStaff(t.Context(), postgres.Staff{
		Organisation: organisation, Login: "local", Name: "Local", Role: account.Nurse, PasswordHash: signin.Hash("a password of theirs"),
	})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"login": {"local"}, "password": {"a password of theirs"}}
	v = newVisitor(t, told.URL)
	if got := v.send(t, http.MethodPost, told.URL+"/signin", form); got.status != http.StatusUnauthorized || v.cookie(t, "hale_session") != "" {
		t.Errorf("a login that is off: %d %s", got.status, got.text)
	}
	if got := v.send(t, http.MethodPost, told.URL+"/signin", url.Values{"login": {told.Login}, "password": {told.Password}}); got.status != http.StatusOK || !v.inside(t) {
		t.Errorf("the login for emergencies: %d %s", got.status, got.text)
	}
	tab := browser.Start(t).Tab(t, 390, 844)
	tab.Open(told.URL + "/signin")
	tab.Until("the way to the provider", `document.querySelector('a.button.main') !== null && !document.querySelector('details').open`)
	shot(tab, "signin-provider-only")
}

// shot keeps a picture where TestScreens keeps its own.
func shot(tab *browser.Tab, name string) {
	tab.Keep(name)
}

func TestABrowserGoesToTheProviderAndBack(t *testing.T) {
	t.Parallel()
	p, _, told := byProvider(t)
	tab := browser.Start(t).Tab(t, 390, 844)
	for i, width := range []int{390, 1280} {
		if i > 0 {
			tab = tab.Another(width, 900)
		}
		tab.Open(told.URL + "/signin?next=/patients")
		tab.Until("both ways in", `document.querySelector('a.button.main') !== null && document.querySelector('input[name="password"]') !== null`)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("the page is wider than %d", width)
		}
		shot(tab, fmt.Sprintf("signin-provider-%d", width))
		tab.Do(chromedp.Click(`a.button.main`))
		tab.Until("the provider's page", `document.querySelector('button[value="nina"]') !== null`)
		tab.Do(chromedp.Click(`button[value="nina"]`))
		tab.Until("the page that was asked for", `location.pathname === '/patients' && document.body.innerText.includes('Nina Zupan')`)
		tab.Do(chromedp.Click(`.who a.name`))
		tab.Until("that the second factor is the provider's", `document.body.innerText.includes('identity provider')`)
		shot(tab, fmt.Sprintf("me-provider-%d", width))
		tab.Do(chromedp.Click(`.who button`))
		tab.Until("the page to sign in on", `location.pathname === '/signin'`)
		if got := len(p.Left()); got != i+1 {
			t.Errorf("%d browsers have signed out at the provider, want %d", got, i+1)
		}
	}
	nina(p)
	tab.Do(chromedp.Click(`a.button.main`))
	tab.Until("the provider's page", `document.querySelector('button[value="nina"]') !== null`)
	tab.Do(chromedp.Click(`button[value="nina"]`))
	tab.Until("whom to ask", `document.body.innerText.includes('ask the administrator')`)
	shot(tab, "signin-provider-refused")
	for _, complaint := range tab.Complaints() {
		if !strings.Contains(complaint, "status of 403") {
			t.Errorf("the console says: %s", complaint)
		}
	}
}
