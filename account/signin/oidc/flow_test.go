package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/internal/oidcprovider"
)

func TestTheWayToTheProviderAndBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	address, kept := p.begin(t)
	a := through(t, address, person)
	token, session, next, err := p.service.Finish(t.Context(), kept, a)
	if err != nil {
		t.Fatal(err)
	}
	asked := p.Asked()[0]
	for name, want := range map[string]string{
		"response_type": "code", "client_id": oidcprovider.Client, "redirect_uri": hale + account.ProviderCallback, "scope": "openid profile groups", "code_challenge_method": "S256",
	} {
		if asked.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, asked.Get(name), want)
		}
	}
	if len(asked.Get("code_challenge")) != 43 || len(asked.Get("nonce")) < 20 || len(asked.Get("state")) < 20 {
		t.Errorf("asked with %v", asked)
	}
	if token == "" || next != "/patients" || session.Actor.Name != "Ana Novak" || session.CSRF == "" || session.Label != "Firefox on Linux" {
		t.Errorf("%+v, %q", session, next)
	}
	if got := session.ExpiresAt.Sub(session.CreatedAt); got != 7*24*time.Hour {
		t.Errorf("the session lasts %s", got)
	}
	in := p.record.admitted[0]
	if in.Identity != (account.Identity{Issuer: p.Issuer, Subject: person}) || in.Organisation != "North" || in.Role != account.Nurse || in.Sitting != p.LastSitting() || in.VouchedAt.IsZero() {
		t.Errorf("%+v", in)
	}
	p.namesNobody(t)
	if err := p.finish(t, kept, a); !fault.Is(err, fault.Unauthenticated) || len(p.record.admitted) != 1 {
		t.Errorf("the same answer again: %v", err)
	}
	leave, err := url.Parse(p.service.Leaving(t.Context(), session.Actor, token))
	if err != nil || leave.Path != "/end" || leave.Query().Get("client_id") != oidcprovider.Client || leave.Query().Get("post_logout_redirect_uri") != hale+"/signin" || strings.Count(leave.Query().Get("id_token_hint"), ".") != 2 {
		t.Errorf("signing out leads to %v, %v", leave, err)
	}
	if strings.Contains(string(p.record.hint), "eyJ") {
		t.Error("the record can read the ID token")
	}
	if other := p.service.Leaving(t.Context(), session.Actor, strings.Repeat("A", 43)); strings.Contains(other, "id_token_hint") {
		t.Errorf("another token opens the ID token: %s", other)
	}
}

func TestAnAnswerThatDoesNotBelongToTheBrowser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *place, kept *string, a *account.ProviderAnswer){
		"another state":               func(_ *place, _ *string, a *account.ProviderAnswer) { a.State = strings.Repeat("A", 43) },
		"no state":                    func(_ *place, _ *string, a *account.ProviderAnswer) { a.State = "" },
		"nothing kept":                func(_ *place, kept *string, _ *account.ProviderAnswer) { *kept = "" },
		"something else kept":         func(_ *place, kept *string, _ *account.ProviderAnswer) { *kept = strings.Repeat("A", 43) },
		"another issuer":              func(_ *place, _ *string, a *account.ProviderAnswer) { a.Issuer = "https://evil.test" },
		"no issuer though it says so": func(_ *place, _ *string, a *account.ProviderAnswer) { a.Issuer = "" },
		"no code":                     func(_ *place, _ *string, a *account.ProviderAnswer) { a.Code = "" },
		"a code that was changed":     func(_ *place, _ *string, a *account.ProviderAnswer) { a.Code += "x" },
		"an endless code":             func(_ *place, _ *string, a *account.ProviderAnswer) { a.Code = strings.Repeat("x", 5000) },
		"an error":                    func(_ *place, _ *string, a *account.ProviderAnswer) { a.Error = "login_required" },
		"a person who said no":        func(_ *place, _ *string, a *account.ProviderAnswer) { a.Error = "access_denied" },
		"eleven minutes on the way": func(p *place, _ *string, _ *account.ProviderAnswer) {
			p.now = func() time.Time { return time.Now().Add(11 * time.Minute) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mapping)
			address, kept := p.begin(t)
			a := through(t, address, person)
			change(p, &kept, &a)
			p.nobodyIn(t, p.finish(t, kept, a), fault.Unauthenticated)
		})
	}
}

func TestWhatOneBrowserBeganAnotherCannotFinish(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	address, _ := p.begin(t)
	_, victim := p.begin(t)
	attacker := through(t, address, person)
	p.nobodyIn(t, p.finish(t, victim, attacker), fault.Unauthenticated)
	// Even with the state of the victim, the code is bound to the attacker's verifier and the nonce to their browser.
	victimAddress, victim := p.begin(t)
	u, err := url.Parse(victimAddress)
	if err != nil {
		t.Fatal(err)
	}
	attacker.State = u.Query().Get("state")
	p.nobodyIn(t, p.finish(t, victim, attacker), fault.Unauthenticated)
	if !strings.Contains(p.log.String(), "does not take the code") {
		t.Errorf("the provider did not look at the verifier:\n%s", p.log)
	}
}

func TestACodeIsWorthNothingWithoutItsVerifier(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	address, _ := p.begin(t)
	sum := sha256.Sum256([]byte("guessed"))
	for name, verifier := range map[string]string{"none": "", "another": strings.Repeat("v", 43), "the challenge itself": base64.RawURLEncoding.EncodeToString(sum[:])} {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {through(t, address, person).Code}, "redirect_uri": {hale + account.ProviderCallback}}
		if verifier != "" {
			form.Set("code_verifier", verifier)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(oidcprovider.Client, url.QueryEscape(oidcprovider.Secret))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "invalid_grant") {
			t.Errorf("with the verifier %s: %s %s %v", name, res.Status, body, err)
		}
	}
	// A request that was robbed of its challenge on the way gets no code.
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	u.RawQuery = q.Encode()
	if a := through(t, u.String(), person); a.Code != "" || a.Error != "invalid_request" {
		t.Errorf("without a challenge: %+v", a)
	}
}

func TestAnIDTokenThatIsNotWhatItMustBe(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(*place, *oidcprovider.Token) {
		return func(_ *place, tok *oidcprovider.Token) { tok.Claims[name] = value }
	}
	without := func(name string) func(*place, *oidcprovider.Token) {
		return func(_ *place, tok *oidcprovider.Token) { delete(tok.Claims, name) }
	}
	for name, twist := range map[string]func(*place, *oidcprovider.Token){
		"another nonce":                   claim("nonce", "another"),
		"no nonce":                        without("nonce"),
		"another issuer":                  claim("iss", "https://evil.test"),
		"another client":                  claim("aud", "other"),
		"several clients and no azp":      claim("aud", []string{oidcprovider.Client, "other"}),
		"issued to another client":        claim("azp", "other"),
		"it has run out":                  claim("exp", time.Now().Add(-time.Second).Unix()),
		"no end":                          without("exp"),
		"issued tomorrow":                 claim("iat", time.Now().Add(24*time.Hour).Unix()),
		"no time of issue":                without("iat"),
		"not good yet":                    claim("nbf", time.Now().Add(time.Hour).Unix()),
		"no subject":                      claim("sub", ""),
		"an endless subject":              claim("sub", strings.Repeat("s", 256)),
		"another access token":            claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"the provider's session is over":  claim("session_expiry", time.Now().Add(-time.Minute).Unix()),
		"an end of session that is text":  claim("session_expiry", "soon"),
		"no signature":                    func(_ *place, tok *oidcprovider.Token) { tok.Unsigned() },
		"signed with the public key":      func(p *place, tok *oidcprovider.Token) { tok.SignedWith(p.PublicKey()) },
		"signed with the client's secret": func(_ *place, tok *oidcprovider.Token) { tok.SignedWith([]byte(oidcprovider.Secret)) },
		"signed by somebody else":         func(_ *place, tok *oidcprovider.Token) { tok.Forged() },
		"a key that it brings with it":    func(_ *place, tok *oidcprovider.Token) { tok.Header["kid"] = "mine"; tok.Forged() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mapping)
			p.Twist = func(tok *oidcprovider.Token) { twist(p, tok) }
			address, kept := p.begin(t)
			p.nobodyIn(t, p.finish(t, kept, through(t, address, person)), fault.Unauthenticated)
		})
	}
	t.Run("nothing is wrong with one that was only signed again", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, mapping)
		p.Twist = func(tok *oidcprovider.Token) {
			tok.Claims["aud"], tok.Claims["azp"] = []string{"x", oidcprovider.Client}, oidcprovider.Client
		}
		address, kept := p.begin(t)
		if err := p.finish(t, kept, through(t, address, person)); err != nil {
			t.Error(err)
		}
	})
}

func TestTheSessionIsNoLongerThanTheProviders(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	end := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	p.Twist = func(tok *oidcprovider.Token) { tok.Claims["session_expiry"] = end.Unix() }
	address, kept := p.begin(t)
	_, session, _, err := p.service.Finish(t.Context(), kept, through(t, address, person))
	if err != nil || !session.ExpiresAt.Equal(end) {
		t.Errorf("it ends %s, %v, want %s", session.ExpiresAt, err, end)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	t.Parallel()
	closed := &fault.Error{Kind: fault.Forbidden, Message: "your account here is closed", Err: fault.New(fault.Forbidden, "disabled")}
	for name, c := range map[string]struct {
		claims map[string]any
		barred error
		words  string
	}{
		"no role":        {map[string]any{"name": "Ana Novak", "groups": []string{"guests"}}, nil, "ask the administrator"},
		"a role no more": {map[string]any{"name": "Ana Novak"}, nil, "ask the administrator"},
		"no name":        {map[string]any{"groups": []string{"nurses"}}, nil, "your name"},
		"disabled":       {map[string]any{"name": "Ana Novak", "groups": []string{"nurses"}}, closed, "your account here is closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mapping)
			p.Know(person, c.claims)
			p.record.barred = c.barred
			address, kept := p.begin(t)
			err := p.finish(t, kept, through(t, address, person))
			p.nobodyIn(t, err, fault.Forbidden)
			if !strings.Contains(fault.MessageOf(err), c.words) || !strings.HasPrefix(fault.MessageOf(err), "Care Login knows you, but ") {
				t.Errorf("it says: %v", fault.MessageOf(err))
			}
			if len(p.record.refused) != 1 || len(p.ended) != 1 {
				t.Errorf("sessions were ended for %q; feeds of %v", p.record.refused, p.ended)
			}
			if !strings.Contains(p.log.String(), "not let in") {
				t.Errorf("the log says nothing: %s", p.log)
			}
		})
	}
}

func TestClaimsThatOnlyUserinfoHas(t *testing.T) {
	t.Parallel()
	with := strings.Replace(mapping, "{", `{"userinfo": true, `, 1)
	strip := func(tok *oidcprovider.Token) { delete(tok.Claims, "groups"); delete(tok.Claims, "name") }
	p := newPlace(t, with)
	p.Twist = strip
	address, kept := p.begin(t)
	if err := p.finish(t, kept, through(t, address, person)); err != nil || p.record.admitted[0].Role != account.Nurse {
		t.Errorf("%v", err)
	}
	p = newPlace(t, with)
	p.Twist, p.Userinfo = strip, func(claims map[string]any) { claims["sub"] = "somebody else" }
	address, kept = p.begin(t)
	p.nobodyIn(t, p.finish(t, kept, through(t, address, person)), fault.Unauthenticated)
	strong := strings.Replace(with, "{", `{"acr": ["high"], `, 1)
	p = newPlace(t, strong)
	p.Twist, p.Userinfo = func(tok *oidcprovider.Token) { delete(tok.Claims, "acr") }, func(claims map[string]any) { claims["acr"] = "high" }
	address, kept = p.begin(t)
	p.nobodyIn(t, p.finish(t, kept, through(t, address, person)), fault.Forbidden)
	if asked := p.Asked()[0]; asked.Get("acr_values") != "high" {
		t.Errorf("asked for %v", asked)
	}
}

func TestTheProviderIsAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	p.Away(true)
	_, _, _, err := p.service.Begin(t.Context(), "/")
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.MessageOf(err), "Care Login cannot be reached") {
		t.Errorf("%v", err)
	}
	p.Away(false)
	p.now = func() time.Time { return time.Now().Add(time.Second) }
	if _, _, _, err := p.service.Begin(t.Context(), "/"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it is asked again at once: %v", err)
	}
	p.now = func() time.Time { return time.Now().Add(3 * time.Second) }
	address, kept := p.begin(t)
	a := through(t, address, person)
	p.Away(true)
	p.nobodyIn(t, p.finish(t, kept, a), fault.Unavailable)
	// What it said of itself is still known, and old only after an hour; even then it is better than nothing.
	for _, after := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
		p.now = func() time.Time { return time.Now().Add(after) }
		p.begin(t)
	}
	p.Away(false)
	p.now = time.Now
	p.Metadata = func(m map[string]any) { m["issuer"] = "https://evil.test" }
	if _, _, _, err := p.hale(t, mapping).Begin(t.Context(), "/"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a provider that calls itself otherwise: %v", err)
	}
	p.Metadata = func(m map[string]any) { m["token_endpoint"] = "http://login.example.org/token" }
	if _, _, _, err := p.hale(t, mapping).Begin(t.Context(), "/"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a provider that takes codes unencrypted: %v", err)
	}
}
