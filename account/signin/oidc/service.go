// Package oidc signs staff in by an identity provider (OpenID Connect Core 1.0, authorization code flow with PKCE): it sends
// a browser there, checks what comes back, decides from the claims who the person is here, and ends their sessions when
// the provider says that they have signed out. The provider's word is taken for who somebody is, never an e-mail address.
package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Record is the record as signing in by a provider needs it; see postgres.App for each.
type Record interface {
	// BeginFlow remembers that a browser has been sent to the provider, under the hash of what the browser keeps.
	BeginFlow(ctx context.Context, hash []byte, next string, now, until time.Time) error
	// TakeFlow returns where to go afterwards, once; fault.NotFound when there is no such flow, or it was taken or is over.
	TakeFlow(ctx context.Context, hash []byte, now time.Time) (next string, err error)
	// Admit makes the person or brings what is known of them up to date, and opens the session. fault.Forbidden when
	// they may not come in after all; its cause says why. It returns the sessions of the same identity that it has ended.
	Admit(ctx context.Context, a account.Admission, tokenHash []byte, s account.Session) (_ account.Session, ended []vital.UID, err error)
	// Refuse ends the sessions of an identity that is not let in any more.
	Refuse(ctx context.Context, id account.Identity, reason string) (ended []vital.UID, err error)
	// EndSignedOut ends the sessions that the provider has ended; fault.Conflict when it has said so before.
	EndSignedOut(ctx context.Context, out account.SignedOut) (ended []vital.UID, err error)
	// SignOutHint returns what Admit has kept of the actor's session; ok is false when no provider has opened it.
	SignOutHint(ctx context.Context, actor account.Actor) (hint []byte, ok bool, err error)
}

// Config is what a Service is made of. Provider and Ended may be left out.
type Config struct {
	Issuer       string // of the provider, exactly as it names itself
	ClientID     string
	ClientSecret string
	Provider     string // what people call it, for the button; the issuer's host when empty
	URL          string // of this Hale as browsers know it, without a path
	Mapping      Mapping
	Record       Record
	Log          *slog.Logger
	Now          func() time.Time
	Ended        func(uids ...vital.UID) // is told of sessions that were ended here, so that their feeds close at once
}

// afterPath is the page below URL that the provider sends a browser to which has signed out.
const afterPath = "/signin"

// Service signs people in by one identity provider.
type Service struct {
	Config
	client *http.Client

	asking   chan struct{} // held while known and failed are looked at
	known    *provider
	failed   error
	failedAt time.Time

	logouts chan struct{} // held while a logout token is checked
}

// atOnce is how many logout tokens are checked at once: each may make us ask the provider for its keys.
const atOnce = 4

// New returns a Service. It asks the provider nothing before somebody signs in, so that Hale starts without it. The error is
// fault.Invalid.
func New(c Config) (*Service, error) {
	if err := private(c.Issuer); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the issuer of the identity provider")
	}
	if strings.ContainsAny(c.Issuer, "?#") {
		return nil, fault.New(fault.Invalid, "the issuer of the identity provider has no query and no fragment")
	}
	if err := private(c.URL); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the address of this Hale")
	}
	u, err := url.Parse(c.URL)
	if err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fault.New(fault.Invalid, "the address of this Hale is scheme and host only, such as https://hale.example.org")
	}
	c.URL = u.Scheme + "://" + u.Host
	switch {
	case c.ClientID == "":
		return nil, fault.New(fault.Invalid, "the identity provider's id for this client is missing")
	case c.ClientSecret == "":
		return nil, fault.New(fault.Invalid, "the identity provider's secret for this client is missing")
	}
	if c.Provider == "" {
		issuer, _ := url.Parse(c.Issuer) // private has read it
		c.Provider = issuer.Hostname()
	}
	return &Service{Config: c, client: newClient(), asking: make(chan struct{}, 1), logouts: make(chan struct{}, atOnce)}, c.Mapping.check()
}

// Name returns what people call the provider.
func (s *Service) Name() string { return s.Provider }

// Start returns the address of ours that begins to sign a browser in, for a link. It is at URL, whatever other name the page
// was asked for by: what the browser brings back must be kept where the provider sends it.
func (s *Service) Start(next string) string {
	return s.URL + account.ProviderBegin + "?next=" + url.QueryEscape(next)
}

func (s *Service) ended(uids []vital.UID) {
	if s.Ended != nil && len(uids) > 0 {
		s.Ended(uids...)
	}
}

func (s *Service) redirect() string { return s.URL + account.ProviderCallback }

// ownMachine reports whether a host is this machine.
func ownMachine(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost"
}
