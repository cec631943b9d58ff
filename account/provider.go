package account

import (
	"strings"
	"time"

	"hale/fault"
)

// Identity is who somebody is to an identity provider: the issuer and its name for the subject, which it gives to nobody else
// (OpenID Connect Core 1.0, section 5.7). An e-mail address is not: it can change hands.
type Identity struct{ Issuer, Subject string }

// Admission is what an identity provider says of a member of staff who signs in by it, after it was decided what that means
// here. Organisation and Teams are names.
type Admission struct {
	Identity     Identity
	Organisation string
	Name         string
	Role         Role
	Teams        []string // care teams that the person is in
	Decided      []string // care teams about which the provider decides; the person leaves those of them that are not in Teams

	Sitting   string    // the provider's name for its own session (sid); may be empty
	Hint      []byte    // sealed ID token, by which the provider knows whom to sign out; may be empty
	VouchedAt time.Time // when the provider said so
}

// Check refuses an admission that says too little.
func (a *Admission) Check() error {
	a.Name = strings.TrimSpace(a.Name)
	if a.Name == "" || !Printable(a.Name, LongestName) {
		return fault.New(fault.Forbidden, "your name is missing, or is no text of 1 to %d printable characters", LongestName)
	}
	return nil
}

// SignedOut is what an identity provider says when a person's session with it has ended: one session, or without Sitting all
// of the subject's (OpenID Connect Back-Channel Logout 1.0, section 2.4).
type SignedOut struct {
	Issuer  string
	Subject string // may be empty when Sitting is not
	Sitting string
	Token   []byte    // hash of the message's name; a message is taken once
	Until   time.Time // when the message runs out
	At      time.Time // when it was written
}

// ProviderAnswer is what an identity provider sends back with a browser (OpenID Connect Core 1.0, section 3.1.2.5).
type ProviderAnswer struct {
	State, Code string
	Issuer      string // RFC 9207; may be empty
	Error       string // instead of a code
	Label       string // of the device, for the list of the person's sessions
}

// Where a browser begins to sign in by an identity provider, where the provider sends it back to, and where the provider says
// that somebody has signed out: paths of the server, of which the provider must know the second and third.
const (
	ProviderBegin    = "/signin/oidc"
	ProviderCallback = "/signin/oidc/callback"
	ProviderSignOut  = "/signin/oidc/logout"
)
