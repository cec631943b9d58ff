package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/api/session"
	"hale/vital"
)

type redeemInput struct {
	Body struct {
		Code  string `json:"code" minLength:"1" maxLength:"64" writeOnly:"true" example:"K7W2-9XQ4-M0ST" doc:"Of a patient or caregiver, from their care team. Case, spaces and dashes do not matter"`
		Label string `json:"label,omitempty" maxLength:"80" example:"Ana's phone" doc:"What the device is called in the list of sessions"`
	}
}

type sessionBody struct {
	ID        vital.UID      `json:"id" format:"uuid"`
	Name      string         `json:"name" doc:"Who is signed in" example:"Ana Novak"`
	Label     string         `json:"label" doc:"The browser or app" example:"Firefox on Android"`
	CreatedAt time.Time      `json:"created_at"`
	SeenAt    time.Time      `json:"seen_at" doc:"The last request, to the minute"`
	ExpiresAt time.Time      `json:"expires_at"`
	Current   bool           `json:"current" doc:"It is the one of this request"`
	LetInBy   *codeMakerBody `json:"let_in_by,omitempty" doc:"Who made the code with which the device was let in; left out: no code did"`
	MisusedAt *time.Time     `json:"misused_at,omitempty" doc:"When its token was first shown without the device that it is bound to, and refused: somebody may have a copy of it"`
}

type codeMakerBody struct {
	Name string `json:"name" example:"Nina Kovač"`
	Role string `json:"role" example:"nurse"`
}

func sessionsOf(list []account.Session, current vital.UID) []sessionBody {
	bodies := make([]sessionBody, len(list))
	for i := range list {
		s := &list[i]
		bodies[i] = sessionBody{ID: s.UID, Name: s.Actor.Name, Label: s.Label, CreatedAt: s.CreatedAt, SeenAt: s.SeenAt, ExpiresAt: s.ExpiresAt, Current: s.UID == current}
		if s.LetInBy.UID != "" {
			bodies[i].LetInBy = &codeMakerBody{Name: s.LetInBy.Name, Role: string(s.LetInBy.Role)}
		}
		if !s.MisusedAt.IsZero() {
			bodies[i].MisusedAt = &s.MisusedAt
		}
	}
	return bodies
}

type sessionsOutput struct {
	Body struct {
		Sessions []sessionBody `json:"sessions"`
	}
}

type sessionInput struct {
	ID string `path:"id" format:"uuid"`
}

type patientSessionInput struct {
	ID      string `path:"id" format:"uuid"`
	Session string `path:"session" format:"uuid"`
}

type passwordInput struct {
	Body struct {
		Current string `json:"current" minLength:"1" maxLength:"1024" writeOnly:"true"`
		Code    string `json:"code,omitempty" maxLength:"64" writeOnly:"true" example:"123456" doc:"Of the second factor, when it is on"`
		New     string `json:"new" minLength:"1" maxLength:"1024" writeOnly:"true" doc:"At least 12 characters; a weak one is refused"`
	}
}

type inviteInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Caregiver string `json:"caregiver,omitempty" format:"uuid" doc:"A caregiver of the patient who is to sign in; left out: the patient"`
	}
}

type inviteOutput struct {
	Body struct {
		Code      string    `json:"code" example:"K7W2-9XQ4-M0ST" doc:"It exists nowhere else"`
		Address   string    `json:"address" example:"https://hale.example.org/code#K7W29XQ4M0ST" doc:"For the QR code. Opening it uses nothing up"`
		Name      string    `json:"name" example:"Ana Novak" doc:"Who signs in with it"`
		ExpiresAt time.Time `json:"expires_at"`
	}
}

func (s *Server) addInvitations() {
	redeem := public(op(http.MethodPost, "/v1/session/code", "redeem-code", tagSession, "Sign in with a code", http.StatusTooManyRequests))
	redeem.Description = "Opens a session of a patient or a caregiver and binds it to this device: it sets two cookies, or an app sends the token as bearer and the device's secret in " + session.DeviceHeader + ". " +
		"A token without its device is refused. A code opens once, within a quarter of an hour, and dies after five attempts; whatever is wrong with it, the answer is the same."
	add(s, redeem, s.redeem)
	mine := op(http.MethodGet, "/v1/me/sessions", "list-own-sessions", tagSession, "Where you are signed in")
	add(s, mine, s.listOwnSessions)
	add(s, op(http.MethodDelete, "/v1/me/sessions/{id}", "end-own-session", tagSession, "End one of your sessions", http.StatusNotFound), s.endOwnSession)
	password := op(http.MethodPut, "/v1/me/password", "change-password", tagSession, "Change your password", http.StatusConflict, http.StatusTooManyRequests)
	password.Description = "Your other sessions end."
	add(s, password, s.changePassword)
	invite := created(op(http.MethodPost, "/v1/patients/{id}/codes", "invite-patient", tagPatients, "Make a code with which a patient or a caregiver signs in", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict))
	invite.Description = "One that the person had is good no more. Signed in, they see what is theirs; what a caregiver sees is the patient's to say."
	add(s, invite, s.invite)
	add(s, op(http.MethodGet, "/v1/patients/{id}/sessions", "list-patient-sessions", tagPatients, "Where a patient and their caregivers are signed in", http.StatusNotFound), s.listPatientSessions)
	add(s, op(http.MethodDelete, "/v1/patients/{id}/sessions/{session}", "end-patient-session", tagPatients, "End a session of a patient or a caregiver, for a lost phone", http.StatusNotFound), s.endPatientSession)
}

func (s *Server) redeem(ctx context.Context, _ account.Actor, in *redeemInput) (*whoOutput, error) {
	out := &whoOutput{}
	token, device, opened, err := s.Session.Redeem(ctx, session.Cookies(ctx), in.Body.Code, in.Body.Label)
	if err != nil {
		return nil, err
	}
	if out.Body, err = s.who(ctx, opened); err != nil {
		return nil, err
	}
	out.Body.Token, out.Body.Device = token, device
	return out, nil
}

func (s *Server) listOwnSessions(ctx context.Context, actor account.Actor, _ *struct{}) (*sessionsOutput, error) {
	list, err := s.Door.Sessions(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &sessionsOutput{}
	out.Body.Sessions = sessionsOf(list, actor.Session)
	return out, nil
}

func (s *Server) endOwnSession(ctx context.Context, actor account.Actor, in *sessionInput) (*struct{}, error) {
	return nil, s.Door.EndSession(ctx, actor, vital.UID(in.ID))
}

func (s *Server) changePassword(ctx context.Context, actor account.Actor, in *passwordInput) (*struct{}, error) {
	return nil, s.Door.ChangePassword(ctx, actor, in.Body.Current, in.Body.Code, in.Body.New)
}

func (s *Server) invite(ctx context.Context, actor account.Actor, in *inviteInput) (*inviteOutput, error) {
	address, err := session.Address(ctx)
	if err != nil {
		return nil, err
	}
	made, err := s.Door.Invite(ctx, actor, account.Invited{Patient: vital.UID(in.ID), Caregiver: vital.UID(in.Body.Caregiver)})
	if err != nil {
		return nil, err
	}
	out := &inviteOutput{}
	out.Body.Code, out.Body.Name, out.Body.ExpiresAt = made.Code, made.Name, made.ExpiresAt
	out.Body.Address = session.CodeAddress(address, made.Code)
	return out, nil
}

func (s *Server) listPatientSessions(ctx context.Context, actor account.Actor, in *patientInput) (*sessionsOutput, error) {
	_, _, list, err := s.Door.Inviting(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &sessionsOutput{}
	out.Body.Sessions = sessionsOf(list, actor.Session)
	return out, nil
}

func (s *Server) endPatientSession(ctx context.Context, actor account.Actor, in *patientSessionInput) (*struct{}, error) {
	return nil, s.Door.EndPatientSession(ctx, actor, vital.UID(in.ID), vital.UID(in.Session))
}
