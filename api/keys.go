package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/vital"
)

type keyBody struct {
	ID        vital.UID  `json:"id" format:"uuid"`
	Name      string     `json:"name" example:"Hospital interface"`
	Scopes    []string   `json:"scopes" example:"[\"see patients\",\"see readings\"]"`
	MadeBy    string     `json:"made_by,omitempty" doc:"Left out: the operator at the console"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at,omitempty" doc:"The last use, to the minute; left out when there was none"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	Token     string     `json:"token,omitempty" doc:"Only in the answer that makes the key; it exists nowhere else. Send it as Authorization: Bearer <token>"`
}

func keyOf(k *account.Key) keyBody {
	body := keyBody{ID: k.UID, Name: k.Name, Scopes: []string{}, MadeBy: k.MadeBy, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
	for _, a := range k.Scopes.Actions() {
		body.Scopes = append(body.Scopes, string(a))
	}
	if !k.UsedAt.IsZero() {
		body.UsedAt = &k.UsedAt
	}
	if !k.RevokedAt.IsZero() {
		body.RevokedAt = &k.RevokedAt
	}
	return body
}

type keysOutput struct {
	Body struct {
		Keys []keyBody `json:"keys"`
	}
}

type newKeyInput struct {
	Body struct {
		Name      string    `json:"name" minLength:"1" maxLength:"100" example:"Hospital interface" doc:"Which program it is for"`
		Scopes    []string  `json:"scopes" minItems:"1" maxItems:"20" enum:"see patients,add patient,see readings,see alerts,see devices,enrol device,assign device,check devices for a broker,import people" doc:"What the key may do"`
		ExpiresAt time.Time `json:"expires_at,omitempty" doc:"Within two years; in a year when left out"`
	}
}

type newKeyOutput struct{ Body keyBody }

func (s *Server) addKeys() {
	add(s, op(http.MethodGet, "/v1/keys", "list-keys", tagKeys, "API keys of the organisation"), s.listKeys)
	add(s, created(op(http.MethodPost, "/v1/keys", "make-key", tagKeys, "Make an API key for a program", http.StatusBadRequest, http.StatusConflict)), s.makeKey)
	revoke := op(http.MethodDelete, "/v1/keys/{id}", "revoke-key", tagKeys, "Revoke an API key", http.StatusNotFound)
	revoke.Description = "It is refused from the next request on, and feeds that it opened close."
	add(s, revoke, s.revokeKey)
}

func (s *Server) listKeys(ctx context.Context, actor account.Actor, _ *struct{}) (*keysOutput, error) {
	list, err := s.Door.Keys(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &keysOutput{}
	out.Body.Keys = make([]keyBody, len(list))
	for i := range list {
		out.Body.Keys[i] = keyOf(&list[i])
	}
	return out, nil
}

func (s *Server) makeKey(ctx context.Context, actor account.Actor, in *newKeyInput) (*newKeyOutput, error) {
	scopes := make([]account.Action, len(in.Body.Scopes))
	for i, name := range in.Body.Scopes {
		scopes[i] = account.Action(name)
	}
	token, made, err := s.Door.MakeKey(ctx, actor, account.Key{Name: in.Body.Name, Scopes: account.ScopesOf(scopes...), ExpiresAt: in.Body.ExpiresAt})
	if err != nil {
		return nil, err
	}
	out := &newKeyOutput{Body: keyOf(&made)}
	out.Body.Token = token
	return out, nil
}

func (s *Server) revokeKey(ctx context.Context, actor account.Actor, in *sessionInput) (*struct{}, error) {
	return nil, s.Door.RevokeKey(ctx, actor, vital.UID(in.ID))
}
