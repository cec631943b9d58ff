package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	discovery "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
)

const (
	flowFor        = 10 * time.Minute // the way to the provider and back
	flowBytes      = 32
	longestSubject = 255 // OpenID Connect Core 1.0, section 2
	longestCode    = 4096
	skew           = time.Minute // by which the provider's clock may be ahead
)

// flow is what one browser keeps on its way to the provider and back. Everything that binds the way to the browser is derived
// from it, so that the record holds its hash only and nothing else has to be kept secret.
type flow []byte

func newFlow() flow {
	f := make(flow, flowBytes)
	rand.Read(f)
	return f
}

func readFlow(text string) (flow, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return b, err == nil && len(b) == flowBytes
}

func (f flow) text() string { return base64.RawURLEncoding.EncodeToString(f) }

func (f flow) hash() []byte {
	sum := sha256.Sum256(f)
	return sum[:]
}

func (f flow) derive(what string) string {
	mac := hmac.New(sha256.New, f)
	mac.Write([]byte(what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (f flow) state() string    { return f.derive("state") }
func (f flow) nonce() string    { return f.derive("nonce") }
func (f flow) verifier() string { return f.derive("code verifier") } // 43 signs, as RFC 7636 asks

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Begin returns the address at the provider that the browser is to be sent to, and what the browser has to bring back with
// it, until then and once. next is the page of ours to go to afterwards; the caller knows that it is ours.
func (s *Service) Begin(ctx context.Context, next string) (address, kept string, until time.Time, err error) {
	p, err := s.current(ctx)
	if err != nil {
		return "", "", time.Time{}, err
	}
	f, now := newFlow(), s.Now()
	until = now.Add(flowFor)
	if err := s.Record.BeginFlow(ctx, f.hash(), next, now, until); err != nil {
		return "", "", time.Time{}, err
	}
	options := []oauth2.AuthCodeOption{discovery.Nonce(f.nonce()), oauth2.S256ChallengeOption(f.verifier())}
	if len(s.Mapping.ACR) == 1 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", s.Mapping.ACR[0]))
	}
	return p.oauth.AuthCodeURL(f.state(), options...), f.text(), until, nil
}

// Finish turns the provider's answer into a session, and returns its token and the page to go to. kept is what the browser has
// brought back. fault.Unauthenticated: begin again; fault.Forbidden: the person is not let in; fault.Unavailable: the provider
// is away.
func (s *Service) Finish(ctx context.Context, kept string, a account.ProviderAnswer) (token string, _ account.Session, next string, err error) {
	f, good := readFlow(kept)
	if !good || !same(a.State, f.state()) {
		return "", account.Session{}, "", errBegin()
	}
	if next, err = s.Record.TakeFlow(ctx, f.hash(), s.Now()); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = errBegin()
		}
		return "", account.Session{}, "", err
	}
	p, err := s.current(ctx)
	if err != nil {
		return "", account.Session{}, "", err
	}
	if err := s.answered(p, a); err != nil {
		return "", account.Session{}, "", err
	}
	v, err := s.redeem(ctx, p, f, a.Code)
	if err != nil {
		return "", account.Session{}, "", err
	}
	token, session, err := s.admit(ctx, v, a.Label)
	return token, session, next, err
}

func errBegin() error {
	return fault.New(fault.Unauthenticated, "signing in took too long, was done already, or began in another browser: begin again")
}

// unproven is what is said when the provider's answer is not what it must be; why is for the log.
func (s *Service) unproven(why string, err error) error {
	s.Log.Warn("an answer of the identity provider was not accepted", "reason", why, "error", err)
	return fault.New(fault.Unauthenticated, "what %s answered could not be verified: begin again, and if it happens twice, %s", s.Provider, ask)
}

// answered looks at an answer before its code is used.
func (s *Service) answered(p *provider, a account.ProviderAnswer) error {
	switch {
	case a.Issuer != "" && a.Issuer != s.Issuer, a.Issuer == "" && p.namesItself:
		return s.unproven("it names another issuer, or none", nil)
	case a.Error == "access_denied":
		return fault.New(fault.Unauthenticated, "%s did not sign you in, or you changed your mind", s.Provider)
	case a.Error == "temporarily_unavailable" || a.Error == "server_error":
		return s.away(errors.New("it answered so itself"))
	case a.Error != "":
		return s.unproven("it refused the request", nil)
	case a.Code == "" || len(a.Code) > longestCode:
		return s.unproven("it has no code", nil)
	}
	return nil
}

// vouched is what the provider says of somebody.
type vouched struct {
	id      *discovery.IDToken
	raw     string // the ID token
	claims  map[string]any
	sitting string
	until   time.Time // when the provider's own session ends; zero when it does not say
}

// redeem turns the code into what the provider says of the person, and checks it.
func (s *Service) redeem(ctx context.Context, p *provider, f flow, code string) (vouched, error) {
	tokens, err := p.oauth.Exchange(s.over(ctx), code, oauth2.VerifierOption(f.verifier()))
	var said *oauth2.RetrieveError
	switch {
	case errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < 500:
		return vouched{}, s.unproven("it does not take the code", errors.New(said.Response.Status))
	case err != nil:
		s.Log.Warn("the identity provider does not answer", "error", bare(err))
		return vouched{}, s.away(bare(err))
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return vouched{}, s.unproven("there is no ID token", nil)
	}
	id, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return vouched{}, s.unproven("the ID token does not verify", err)
	}
	v := vouched{id: id, raw: raw}
	if why := s.flaw(id, f, tokens.AccessToken); why != "" {
		return vouched{}, s.unproven(why, nil)
	}
	if err := v.read(); err != nil {
		return vouched{}, s.unproven("its claims cannot be read", err)
	}
	if azp, there := v.claims["azp"]; there && azp != s.ClientID || !there && len(id.Audience) > 1 {
		return vouched{}, s.unproven("the ID token was issued to another client", nil)
	}
	if s.Mapping.Userinfo {
		return v, s.addUserinfo(ctx, p, tokens, v)
	}
	return v, nil
}

// bare returns what may be logged of an error of a request about a person: not the body of an answer.
func bare(err error) error {
	var said *oauth2.RetrieveError
	var way *url.Error
	switch {
	case errors.As(err, &said) && said.Response != nil:
		return errors.New(said.Response.Status)
	case errors.As(err, &way):
		return way.Err
	}
	return errors.New("its answer is of no use")
}

// flaw names what is wrong with an ID token that verifies; "" when nothing is.
func (s *Service) flaw(id *discovery.IDToken, f flow, access string) string {
	switch {
	case !same(id.Nonce, f.nonce()):
		return "the ID token has another nonce"
	case id.Subject == "" || len(id.Subject) > longestSubject:
		return "the ID token has no subject"
	case id.IssuedAt.IsZero() || id.IssuedAt.After(s.Now().Add(skew)):
		return "the ID token was issued in the future"
	case id.AccessTokenHash != "" && id.VerifyAccessToken(access) != nil:
		return "the ID token belongs to another access token"
	}
	return ""
}

func (v *vouched) read() error {
	if err := v.id.Claims(&v.claims); err != nil {
		return err
	}
	var told struct {
		Sitting string       `json:"sid"`
		Until   *json.Number `json:"session_expiry"` // OpenID Connect Enterprise Extensions 1.0, draft 01
	}
	if err := v.id.Claims(&told); err != nil {
		return err
	}
	v.sitting = told.Sitting
	if told.Until != nil {
		seconds, err := told.Until.Float64()
		if err != nil {
			return err
		}
		v.until = time.Unix(int64(seconds), 0)
	}
	return nil
}

// addUserinfo adds the claims that the ID token leaves out.
func (s *Service) addUserinfo(ctx context.Context, p *provider, tokens *oauth2.Token, v vouched) error {
	info, err := p.found.UserInfo(s.over(ctx), oauth2.StaticTokenSource(tokens))
	if err != nil {
		s.Log.Warn("the identity provider does not answer", "error", bare(err))
		return s.away(bare(err))
	}
	if info.Subject != v.id.Subject {
		return s.unproven("the userinfo is about somebody else", nil)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return s.unproven("its claims cannot be read", err)
	}
	for name, value := range more {
		if _, there := v.claims[name]; !there && !slices.Contains([]string{"acr", "amr"}, name) {
			v.claims[name] = value
		}
	}
	return nil
}

// admit decides who the person is here, and lets them in or ends what they have open.
func (s *Service) admit(ctx context.Context, v vouched, label string) (string, account.Session, error) {
	identity := account.Identity{Issuer: s.Issuer, Subject: v.id.Subject}
	a, err := s.Mapping.Decide(v.claims)
	if err != nil {
		return "", account.Session{}, s.turnAway(ctx, identity, err)
	}
	now := s.Now()
	if !v.until.IsZero() && !v.until.After(now) {
		return "", account.Session{}, s.unproven("the provider's session is over", nil)
	}
	token, hash, session := signin.Opened(account.Actor{}, label, now, v.until)
	a.Identity, a.Sitting, a.VouchedAt = identity, v.sitting, v.id.IssuedAt
	if a.Hint, err = sealHint(token, v.raw); err != nil {
		return "", account.Session{}, err
	}
	session, ended, err := s.Record.Admit(ctx, a, hash, session)
	s.ended(ended)
	if fault.Is(err, fault.Forbidden) {
		return "", account.Session{}, s.turnAway(ctx, identity, err)
	}
	if err != nil {
		return "", account.Session{}, err
	}
	return token, session, nil
}

// turnAway ends what a person who is not let in has still open, and tells them and the log why.
func (s *Service) turnAway(ctx context.Context, id account.Identity, why error) error {
	cause := errors.Unwrap(why)
	if cause == nil {
		cause = refused("the record does not admit the person")
	}
	s.Log.Warn("somebody whom the identity provider vouches for was not let in", "reason", cause.Error())
	ended, err := s.Record.Refuse(context.WithoutCancel(ctx), id, cause.Error())
	s.ended(ended)
	if err != nil {
		return err
	}
	return fault.New(fault.Forbidden, "%s knows you, but %s", s.Provider, fault.MessageOf(why))
}
