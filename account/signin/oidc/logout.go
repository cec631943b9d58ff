package oidc

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	discovery "github.com/coreos/go-oidc/v3/oidc"

	"hale/account"
	"hale/fault"
)

// What a logout token may be: how long, how old, and for how long it may be good (Back-Channel Logout 1.0, section 2.4, asks
// for two minutes at most, and few providers keep to it).
const (
	longestToken = 16 << 10
	oldestLogout = 10 * time.Minute
	longestGood  = time.Hour
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout ends the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0, section 2.6). fault.Invalid when
// the token is not what it must be, or was sent before.
func (s *Service) Logout(ctx context.Context, token string) error {
	select {
	case s.logouts <- struct{}{}:
		defer func() { <-s.logouts }()
	case <-ctx.Done():
		return s.away(ctx.Err())
	}
	p, err := s.current(ctx)
	if err != nil {
		return err
	}
	out, err := s.signedOut(ctx, p, token)
	if err != nil {
		s.Log.Warn("a logout token was not accepted", "reason", err.Error())
		return fault.New(fault.Invalid, "the logout token is not accepted")
	}
	ended, err := s.Record.EndSignedOut(ctx, out)
	s.ended(ended)
	if fault.Is(err, fault.Conflict) {
		s.Log.Warn("a logout token was not accepted", "reason", "it was sent before")
		return fault.New(fault.Invalid, "the logout token is not accepted")
	}
	if err != nil {
		return err
	}
	s.Log.Info("the identity provider has ended sessions", "sessions", len(ended))
	return nil
}

// signedOut checks a logout token. The error is a reason without names.
func (s *Service) signedOut(ctx context.Context, p *provider, token string) (account.SignedOut, error) {
	if token == "" || len(token) > longestToken {
		return account.SignedOut{}, errors.New("it is missing or too long")
	}
	if err := typed(token); err != nil {
		return account.SignedOut{}, err
	}
	t, err := p.verifier.VerifyLogout(ctx, token)
	if err != nil {
		return account.SignedOut{}, fmt.Errorf("it does not verify: %w", withoutNames(err))
	}
	now := s.Now()
	switch {
	case t.IssuedAt.After(now.Add(skew)) || t.IssuedAt.Before(now.Add(-oldestLogout)):
		return account.SignedOut{}, errors.New("it has no time of issue, or one that is long ago or to come")
	case t.Expiry.After(now.Add(longestGood)):
		return account.SignedOut{}, errors.New("it is good for too long")
	case len(t.Subject) > longestSubject || len(t.SessionID) > longestSubject:
		return account.SignedOut{}, errors.New("its subject or session is too long")
	}
	var more struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := t.Claims(&more); err != nil || !bytes.HasPrefix(bytes.TrimSpace(more.Events[logoutEvent]), []byte("{")) {
		return account.SignedOut{}, errors.New("its event is no object")
	}
	name := sha256.Sum256([]byte(t.TokenID))
	return account.SignedOut{
		Issuer: s.Issuer, Subject: t.Subject, Sitting: t.SessionID, Token: name[:], Until: t.Expiry, At: t.IssuedAt,
	}, nil
}

// withoutNames keeps what a verifier says out of the log where it repeats the token.
func withoutNames(err error) error {
	var old *discovery.TokenExpiredError
	if errors.As(err, &old) {
		return errors.New("it has expired")
	}
	return errors.New("signature, issuer, audience, event, nonce, jti, or who is meant")
}

// typed refuses tokens that say of themselves that they are something else. A token without a type passes, as the standard
// has it: events and the missing nonce tell it from an ID token.
func typed(token string) error {
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	var h struct {
		Type string `json:"typ"`
	}
	if err != nil || json.Unmarshal(text, &h) != nil {
		return errors.New("it is no signed token")
	}
	switch strings.ToLower(h.Type) {
	case "", "jwt", "logout+jwt", "application/logout+jwt":
		return nil
	}
	return errors.New("it is of another type")
}

// Leaving returns the address at the provider where a browser whose session has ended signs out there too, or "": the provider
// has none, or did not open the session. token is that of the session; it must be asked for before the session ends.
func (s *Service) Leaving(ctx context.Context, actor account.Actor, token string) string {
	hint, ok, err := s.Record.SignOutHint(ctx, actor)
	if err != nil || !ok {
		return "" // signing out of Hale must not wait for anything
	}
	p, err := s.current(ctx)
	if err != nil || p.endSession == "" {
		return ""
	}
	to, err := url.Parse(p.endSession)
	if err != nil {
		return ""
	}
	q := to.Query()
	q.Set("client_id", s.ClientID)
	q.Set("post_logout_redirect_uri", s.URL+afterPath)
	if raw, err := openHint(token, hint); err == nil {
		q.Set("id_token_hint", raw)
	}
	to.RawQuery = q.Encode()
	return to.String()
}

// sealHint encrypts the ID token, which names the person, under a key that only the browser's session token gives: the record
// and its backups cannot read it.
func sealHint(token, raw string) ([]byte, error) {
	aead, err := hintKey(token)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, []byte(raw), nil), nil
}

func openHint(token string, sealed []byte) (string, error) {
	aead, err := hintKey(token)
	if err != nil {
		return "", err
	}
	n := aead.NonceSize()
	if len(sealed) < n {
		return "", errors.New("a sealed ID token is too short")
	}
	raw, err := aead.Open(nil, sealed[:n], sealed[n:], nil)
	return string(raw), err
}

func hintKey(token string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, "hale sign-out hint", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a sign-out hint: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a sign-out hint: %w", err)
	}
	return cipher.NewGCM(block)
}
