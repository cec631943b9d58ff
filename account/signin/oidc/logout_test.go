package oidc_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/internal/oidcprovider"
)

func TestALogoutTokenEndsSessions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ subject, sitting, typ string }{
		"of one session":            {"", "sitting-b", "logout+jwt"},
		"of everything of somebody": {person, "", "logout+jwt"},
		"of both":                   {person, "sitting-b", "application/logout+jwt"},
		"without a type":            {person, "", ""},
		"of a type that says less":  {person, "", "JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mapping)
			token := p.LogoutToken(c.subject, c.sitting, func(tok *oidcprovider.Token) {
				if tok.Header["typ"] = c.typ; c.typ == "" {
					delete(tok.Header, "typ")
				}
			})
			if err := p.service.Logout(t.Context(), token); err != nil {
				t.Fatal(err, p.log)
			}
			if len(p.record.out) != 1 || len(p.ended) != 1 || p.ended[0] != "ended" {
				t.Fatalf("%+v, feeds of %v", p.record.out, p.ended)
			}
			if out := p.record.out[0]; out.Issuer != p.Issuer || out.Subject != c.subject || out.Sitting != c.sitting || len(out.Token) != 32 || out.Until.IsZero() || out.At.IsZero() {
				t.Errorf("%+v", out)
			}
			if err := p.service.Logout(t.Context(), token); !fault.Is(err, fault.Invalid) || len(p.record.out) != 1 {
				t.Errorf("the same token again: %v", err)
			}
			p.namesNobody(t)
		})
	}
}

func TestALogoutTokenThatIsNone(t *testing.T) {
	t.Parallel()
	const event = "http://schemas.openid.net/event/backchannel-logout"
	claim := func(name string, value any) func(*place, *oidcprovider.Token) {
		return func(_ *place, tok *oidcprovider.Token) { tok.Claims[name] = value }
	}
	without := func(names ...string) func(*place, *oidcprovider.Token) {
		return func(_ *place, tok *oidcprovider.Token) {
			for _, name := range names {
				delete(tok.Claims, name)
			}
		}
	}
	now := time.Now()
	for name, change := range map[string]func(*place, *oidcprovider.Token){
		"with a nonce":                      claim("nonce", "n"),
		"with a nonce of nothing":           claim("nonce", nil),
		"for another client":                claim("aud", "other"),
		"for nobody":                        without("aud"),
		"of another issuer":                 claim("iss", "https://evil.test"),
		"without events":                    without("events"),
		"with another event":                claim("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}),
		"with an event that is no object":   claim("events", map[string]any{event: true}),
		"with an event of nothing":          claim("events", map[string]any{event: nil}),
		"about nobody":                      without("sub", "sid"),
		"without a name of its own":         without("jti"),
		"without an end":                    without("exp"),
		"that has run out":                  claim("exp", now.Add(-time.Second).Unix()),
		"that is good for a day":            claim("exp", now.Add(24*time.Hour).Unix()),
		"without a time of issue":           without("iat"),
		"issued yesterday":                  claim("iat", now.Add(-24*time.Hour).Unix()),
		"issued tomorrow":                   claim("iat", now.Add(24*time.Hour).Unix()),
		"about somebody of an endless name": claim("sub", strings.Repeat("s", 256)),
		"that is an access token":           func(_ *place, tok *oidcprovider.Token) { tok.Header["typ"] = "at+jwt" },
		"not signed":                        func(_ *place, tok *oidcprovider.Token) { tok.Unsigned() },
		"signed with the public key":        func(p *place, tok *oidcprovider.Token) { tok.SignedWith(p.PublicKey()) },
		"signed with the client's secret":   func(_ *place, tok *oidcprovider.Token) { tok.SignedWith([]byte(oidcprovider.Secret)) },
		"signed by somebody else":           func(_ *place, tok *oidcprovider.Token) { tok.Forged() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mapping)
			token := p.LogoutToken(person, "", func(tok *oidcprovider.Token) { change(p, tok) })
			if err := p.service.Logout(t.Context(), token); !fault.Is(err, fault.Invalid) || len(p.record.out) != 0 || len(p.ended) != 0 {
				t.Errorf("%v; %+v", err, p.record.out)
			}
			p.namesNobody(t)
		})
	}
	p := newPlace(t, mapping)
	for _, token := range []string{"", "x", "a.b.c", strings.Repeat("x", 20<<10)} {
		if err := p.service.Logout(t.Context(), token); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.10q: %v", token, err)
		}
	}
}

func TestAnIDTokenIsNoLogoutTokenNorTheOtherWayRound(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	address, kept := p.begin(t)
	var id string
	p.Twist = func(tok *oidcprovider.Token) {
		id = p.LogoutToken("", "", func(out *oidcprovider.Token) { out.Header, out.Claims = tok.Header, tok.Claims })
		delete(tok.Claims, "nonce")
		tok.Claims["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	}
	p.nobodyIn(t, p.finish(t, kept, through(t, address, person)), fault.Unauthenticated)
	if id == "" {
		t.Fatal("no ID token was made")
	}
	if err := p.service.Logout(t.Context(), id); !fault.Is(err, fault.Invalid) || len(p.record.out) != 0 {
		t.Errorf("an ID token signed somebody out: %v", err)
	}
}

func TestSigningOutWhereTheProviderHasNoPlaceForIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t, mapping)
	p.record.hint = []byte("sealed by another session")
	p.Metadata = func(m map[string]any) { delete(m, "end_session_endpoint") }
	if to := p.service.Leaving(t.Context(), account.Actor{}, "token"); to != "" {
		t.Errorf("it leads to %s", to)
	}
	p = newPlace(t, mapping)
	if to := p.service.Leaving(t.Context(), account.Actor{}, "token"); to != "" {
		t.Errorf("a session of a login of ours leads to %s", to)
	}
	p.record.hint = []byte("x")
	p.Away(true)
	if to := p.service.Leaving(t.Context(), account.Actor{}, "token"); to != "" {
		t.Errorf("a provider that is away: %s", to)
	}
}
