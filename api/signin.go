package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

type whoBody struct {
	Name         string    `json:"name" example:"Ana Novak"`
	Role         string    `json:"role" example:"nurse" enum:"nurse,pharmacist,physician,device_desk,manager,researcher,privacy_officer,administrator,patient,caregiver,system"`
	Organisation string    `json:"organisation" example:"Community care north"`
	CSRF         string    `json:"csrf" doc:"Send it as X-CSRF-Token with requests that change something, when the cookie signs them in"`
	ExpiresAt    time.Time `json:"expires_at" doc:"The session ends then, or after 12 hours without a request; that of a patient or caregiver after 30 days without one"`
	Token        string    `json:"token,omitempty" doc:"For programs: Authorization: Bearer <token>. Only in the answer to signing in"`
	Device       string    `json:"device,omitempty" doc:"For apps that signed in with a code: send it as Hale-Device beside the token, and keep it where other programs cannot read it. Only in the answer to signing in"`
}

// codeNeeded is the type of the problem when only the code of the second factor is missing (RFC 9457, section 3.1.1).
const codeNeeded = "urn:hale:problem:code-needed"

type signInInput struct {
	Body struct {
		Login    string `json:"login" minLength:"1" maxLength:"200" example:"nurse"`
		Password string `json:"password" minLength:"1" maxLength:"1024" writeOnly:"true"`
		Code     string `json:"code,omitempty" maxLength:"64" writeOnly:"true" example:"123456" doc:"Of the second factor, when the person has one: six digits of the authenticator, or a recovery code"`
	}
}

type whoOutput struct {
	Body whoBody
}

func (s *Server) addSession() {
	signIn := public(op(http.MethodPost, "/v1/session", "sign-in", tagSession, "Sign in", http.StatusTooManyRequests))
	signIn.Description = "Opens a session, sets its cookie and returns its token. After five wrong attempts a login has to wait before the next one; after ten it is locked for a quarter of an hour. " +
		"Without the code of a second factor that the person has, the problem is of type " + codeNeeded + ": send the same again with the code. A code is taken once."
	add(s, signIn, s.signIn)
	add(s, op(http.MethodGet, "/v1/session", "who-am-i", tagSession, "Who is signed in"), s.whoAmI)
	add(s, op(http.MethodDelete, "/v1/session", "sign-out", tagSession, "Sign out"), s.signOut)
}

func (s *Server) signIn(ctx context.Context, _ account.Actor, in *signInInput) (*whoOutput, error) {
	out := &whoOutput{}
	token, opened, err := s.Session.Open(ctx, session.Cookies(ctx), account.Proof{Login: in.Body.Login, Password: in.Body.Password, Code: in.Body.Code})
	if err != nil {
		return nil, err
	}
	if out.Body, err = s.who(ctx, opened); err != nil {
		return nil, err
	}
	out.Body.Token = token
	return out, nil
}

func (s *Server) whoAmI(ctx context.Context, actor account.Actor, _ *struct{}) (*whoOutput, error) {
	if err := signedIn(actor); err != nil {
		return nil, err
	}
	current, _ := session.Of(ctx)
	body, err := s.who(ctx, current)
	return &whoOutput{Body: body}, err
}

func (s *Server) signOut(ctx context.Context, actor account.Actor, _ *struct{}) (*struct{}, error) {
	if err := signedIn(actor); err != nil {
		return nil, err
	}
	return nil, s.Session.Close(ctx, session.Cookies(ctx))
}

func (s *Server) who(ctx context.Context, current account.Session) (whoBody, error) {
	body := whoBody{Name: current.Actor.Name, Role: string(current.Actor.Role), CSRF: current.CSRF, ExpiresAt: current.ExpiresAt}
	if s.Organisation == nil {
		return body, nil
	}
	var err error
	body.Organisation, err = s.Organisation(ctx, current.Actor)
	return body, fault.Wrap(fault.KindOf(err), err, "name the organisation")
}
