package oidc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	discovery "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hale/fault"
)

// How long the provider may take for one answer, how much it may say, how long what it says of itself is believed, and how
// soon it is asked again when it does not answer.
const (
	answerWithin = 10 * time.Second
	mostAnswer   = 1 << 20 // bytes
	freshFor     = time.Hour
	askAgain     = 2 * time.Second
)

// algorithms are those that ID tokens and logout tokens may be signed with: none without a key, and none with a key that both
// sides know, which would make the client's secret, or the public key itself, a key to sign with.
func algorithms() []string {
	return []string{
		discovery.RS256, discovery.RS384, discovery.RS512, discovery.PS256, discovery.PS384, discovery.PS512,
		discovery.ES256, discovery.ES384, discovery.ES512, discovery.EdDSA,
	}
}

// provider is what the provider says of itself.
type provider struct {
	found       *discovery.Provider
	oauth       oauth2.Config
	verifier    *discovery.IDTokenVerifier
	endSession  string // where a browser signs out; may be empty
	namesItself bool   // it adds iss to its answers (RFC 9207)
	at          time.Time
}

// metadata is what we read of the discovery document ourselves.
type metadata struct {
	EndSession  string   `json:"end_session_endpoint"`
	NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	Methods     []string `json:"token_endpoint_auth_methods_supported"`
}

// current returns what the provider says of itself, asking it when that is not known or old. What was known before is kept
// while the provider does not answer. fault.Unavailable is for the person to read.
func (s *Service) current(ctx context.Context) (*provider, error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, s.away(ctx.Err())
	}
	now := s.Now()
	if s.known != nil && now.Sub(s.known.at) < freshFor {
		return s.known, nil
	}
	if s.failed != nil && now.Sub(s.failedAt) < askAgain {
		return s.orKnown(s.failed)
	}
	p, err := s.discover(ctx, now)
	if err != nil {
		if ctx.Err() == nil { // else it is the visitor who has gone
			s.failed, s.failedAt = err, now
		}
		s.Log.Warn("the identity provider does not answer", "error", err)
		return s.orKnown(err)
	}
	s.known, s.failed = p, nil
	return p, nil
}

func (s *Service) orKnown(err error) (*provider, error) {
	if s.known != nil {
		return s.known, nil
	}
	return nil, s.away(err)
}

func (s *Service) away(err error) error {
	return fault.Wrap(fault.Unavailable, err, "%s cannot be reached just now, so nobody can sign in with it; try again in a minute", s.Provider)
}

func (s *Service) discover(ctx context.Context, now time.Time) (*provider, error) {
	found, err := discovery.NewProvider(s.over(ctx), s.Issuer)
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := found.Claims(&m); err != nil {
		return nil, err
	}
	p := &provider{
		found: found, endSession: m.EndSession, namesItself: m.NamesItself, at: now,
		oauth: oauth2.Config{
			ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.redirect(), Scopes: s.Mapping.scopes(), Endpoint: found.Endpoint(),
		},
		verifier: found.VerifierContext(s.over(context.WithoutCancel(ctx)), &discovery.Config{
			ClientID: s.ClientID, SupportedSigningAlgs: algorithms(), Now: s.Now,
		}),
	}
	for _, address := range []string{p.oauth.Endpoint.AuthURL, p.oauth.Endpoint.TokenURL} {
		if err := private(address); err != nil {
			return nil, err
		}
	}
	if p.endSession != "" && private(p.endSession) != nil {
		p.endSession = ""
	}
	// The default of RFC 8414, section 2. Trying both ways would show the code twice.
	p.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, "client_secret_basic") {
		p.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return p, nil
}

// over returns a context whose requests go through our own client.
func (s *Service) over(ctx context.Context) context.Context {
	return discovery.ClientContext(ctx, s.client)
}

// newClient returns a client that waits for no answer longer than answerWithin, reads no more than mostAnswer and is sent to
// no other place.
func newClient() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	return &http.Client{
		Transport: bounded{transport.Clone()}, Timeout: answerWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the identity provider must not redirect its clients")
		},
	}
}

// bounded ends an answer that is too long.
type bounded struct{ http.RoundTripper }

// RoundTrip does as its transport does.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, mostAnswer), res.Body}
	}
	return res, err
}

// private refuses an address whose traffic others can read: it must be HTTPS, or of this machine.
func private(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fault.New(fault.Invalid, "%q is no address such as https://login.example.org", address)
	}
	if u.Scheme == "https" || u.Scheme == "http" && ownMachine(u.Hostname()) {
		return nil
	}
	return fault.New(fault.Invalid, "%s is not encrypted: it must begin with https://, unless it is of this machine", address)
}
