// Package oidcprovider runs a real OpenID provider for a test, on loopback: ory/fosite checks clients, redirect URIs, codes
// and code verifiers and makes the tokens, and this package puts discovery, keys, a page to sign in on, userinfo and sign-out
// around it. A test can change what a token says before it is signed, or sign it with something else, as an attacker would.
package oidcprovider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// Client and Secret are those of Hale at the provider.
const (
	Client = "hale"
	Secret = "a secret between the two of them"
)

const keyID = "key-1"

// Provider is an OpenID provider that belongs to a test.
type Provider struct {
	Issuer string

	// Set before anybody signs in.
	Metadata func(map[string]any)        // changes what the provider says of itself
	Twist    func(*Token)                // changes an ID token before it is signed anew
	Userinfo func(claims map[string]any) // changes what userinfo says

	server *httptest.Server
	key    *rsa.PrivateKey
	config *fosite.Config
	store  *storage.MemoryStore
	oauth2 fosite.OAuth2Provider

	mu      sync.Mutex
	people  map[string]map[string]any
	asked   []url.Values // authorization requests
	left    []url.Values // requests to sign out
	away    bool
	after   string // where browsers go that have signed out
	sitting int
}

// Start runs a provider until the test ends. Nobody can sign in before there are people and a redirect URI.
func Start(tb testing.TB) *Provider {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	p := &Provider{key: key, store: storage.NewMemoryStore(), people: map[string]map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.jwks)
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	mux.HandleFunc("GET /end", p.end)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.gone() {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(p.server.Close)
	p.Issuer = p.server.URL
	p.config = &fosite.Config{
		GlobalSecret: secret, IDTokenIssuer: p.Issuer, TokenURL: p.Issuer + "/token", HashCost: 4,
		EnforcePKCE: true, AccessTokenLifespan: time.Hour, IDTokenLifespan: time.Hour, AuthorizeCodeLifespan: time.Minute,
	}
	get := func(context.Context) (any, error) { return key, nil }
	p.oauth2 = compose.Compose(p.config, p.store,
		&compose.CommonStrategy{
			CoreStrategy:               compose.NewOAuth2HMACStrategy(p.config),
			OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(get, p.config),
			Signer:                     &jwt.DefaultSigner{GetPrivateKey: get},
		},
		compose.OAuth2AuthorizeExplicitFactory, compose.OpenIDConnectExplicitFactory, compose.OAuth2PKCEFactory, compose.OAuth2TokenIntrospectionFactory)
	return p
}

// Register makes Hale a client. A browser may be sent to these addresses and no other: with a code, and after signing out.
func (p *Provider) Register(tb testing.TB, redirect, after string) {
	tb.Helper()
	hash, err := (&fosite.BCrypt{Config: p.config}).Hash(tb.Context(), []byte(Secret))
	if err != nil {
		tb.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = after
	p.store.Clients[Client] = &fosite.DefaultClient{
		ID: Client, Secret: hash, RedirectURIs: []string{redirect}, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
		Scopes: []string{"openid", "profile", "groups"},
	}
}

// Know makes a person who can sign in, or changes what the provider says of them.
func (p *Provider) Know(subject string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[subject] = maps.Clone(claims)
}

// Away lets the provider break every connection, or answer again.
func (p *Provider) Away(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *Provider) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away
}

// Asked returns the authorization requests so far, and Left the requests to sign out.
func (p *Provider) Asked() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Left returns the requests of browsers to sign out.
func (p *Provider) Left() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.left)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token", "jwks_uri": p.Issuer + "/jwks",
		"userinfo_endpoint": p.Issuer + "/userinfo", "end_session_endpoint": p.Issuer + "/end",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"code_challenge_methods_supported": []string{"S256"}, "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"authorization_response_iss_parameter_supported": true,
	}
	if p.Metadata != nil {
		p.Metadata(m)
	}
	answer(w, m)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	answer(w, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyID, "n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // whoever asked is gone
}

const form = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Who are you?</title>
<h1>Who are you?</h1><form method="post">{{range .}}<p><button name="subject" value="{{.}}">{{.}}</button></p>{{end}}</form>`

// authorize shows the page to sign in on, and sends the browser back with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.oauth2.NewAuthorizeRequest(ctx, r)
	if err != nil {
		p.oauth2.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	if r.Method == http.MethodGet {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.Query())
		subjects := slices.Sorted(maps.Keys(p.people))
		p.mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = template.Must(template.New("").Parse(form)).Execute(w, subjects) // whoever asked is gone
		return
	}
	session, known := p.session(r.PostFormValue("subject"))
	if !known {
		p.oauth2.WriteAuthorizeError(ctx, w, request, fosite.ErrAccessDenied)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := p.oauth2.NewAuthorizeResponse(ctx, request, session)
	if err != nil {
		p.oauth2.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	response.AddParameter("iss", p.Issuer)
	p.oauth2.WriteAuthorizeResponse(ctx, w, request, response)
}

// session begins a person's sitting at the provider. The name of the sitting goes into the ID token.
func (p *Provider) session(subject string) (*openid.DefaultSession, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims, known := p.people[subject]
	p.sitting++
	extra := map[string]any{"sid": sitting(p.sitting)}
	maps.Copy(extra, claims)
	now := time.Now().UTC()
	return &openid.DefaultSession{
		Subject: subject, Headers: &jwt.Headers{Extra: map[string]any{"kid": keyID}},
		Claims: &jwt.IDTokenClaims{Subject: subject, Issuer: p.Issuer, RequestedAt: now, AuthTime: now, Extra: extra},
	}, known
}

func sitting(n int) string { return "sitting-" + string(rune('a'+n%26)) + strings.Repeat("x", n/26) }

// LastSitting returns the name of the sitting that began last.
func (p *Provider) LastSitting() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sitting(p.sitting)
}

// token redeems a code. What fosite made is twisted afterwards, when the test wants it so.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.oauth2.NewAccessRequest(ctx, r, &openid.DefaultSession{})
	if err != nil {
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	response, err := p.oauth2.NewAccessResponse(ctx, request)
	if err != nil {
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	if raw, ok := response.GetExtra("id_token").(string); ok && p.Twist != nil {
		response.SetExtra("id_token", p.twisted(raw))
	}
	p.oauth2.WriteAccessResponse(ctx, w, request, response)
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	_, request, err := p.oauth2.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, &openid.DefaultSession{})
	if err != nil {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	claims := map[string]any{"sub": request.GetSession().GetSubject()}
	p.mu.Lock()
	maps.Copy(claims, p.people[request.GetSession().GetSubject()])
	p.mu.Unlock()
	if p.Userinfo != nil {
		p.Userinfo(claims)
	}
	answer(w, claims)
}

// end signs a browser out at the provider and sends it back.
func (p *Provider) end(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.left = append(p.left, r.URL.Query())
	after := p.after
	p.mu.Unlock()
	if r.URL.Query().Get("post_logout_redirect_uri") != after {
		http.Error(w, "that is no address of this client", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, after, http.StatusFound)
}
