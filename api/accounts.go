package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/vital"
)

type employeeBody struct {
	ID           vital.UID  `json:"id" format:"uuid"`
	Login        string     `json:"login"`
	Name         string     `json:"name"`
	Role         string     `json:"role" example:"nurse"`
	Elsewhere    bool       `json:"elsewhere" doc:"Signs in by the identity provider, which says name and role"`
	SecondFactor bool       `json:"second_factor" doc:"Has one that is on"`
	InvitedUntil *time.Time `json:"invited_until,omitempty" doc:"Until when a code for choosing a password is good"`
	SeenAt       *time.Time `json:"seen_at,omitempty"`
	DisabledAt   *time.Time `json:"disabled_at,omitempty" doc:"Since when they are kept out"`
}

func employeeOf(e *account.Employee) employeeBody {
	return employeeBody{
		ID: e.UID, Login: e.Login, Name: e.Name, Role: string(e.Role), Elsewhere: e.Elsewhere, SecondFactor: e.SecondFactor,
		InvitedUntil: timeOrNone(e.InvitedUntil), SeenAt: timeOrNone(e.SeenAt), DisabledAt: timeOrNone(e.DisabledAt),
	}
}

type accountsOutput struct {
	Body struct {
		Accounts []employeeBody `json:"accounts"`
	}
}

type newAccountInput struct {
	Body struct {
		Login string `json:"login" minLength:"1" maxLength:"64" example:"ana.kovac"`
		Name  string `json:"name" minLength:"1" maxLength:"200" example:"Ana Kovač"`
		Role  string `json:"role" enum:"nurse,pharmacist,physician,device_desk,manager,researcher,privacy_officer,administrator"`
	}
}

type newAccountOutput struct {
	Location string `header:"Location"`
	Body     struct {
		Account employeeBody `json:"account"`
		Code    string       `json:"code" doc:"With it the person chooses a password at /welcome. It is shown this once"`
	}
}

type accountInput struct {
	ID string `path:"id" format:"uuid"`
}

type setAccountInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200"`
		Role string `json:"role" enum:"nurse,pharmacist,physician,device_desk,manager,researcher,privacy_officer,administrator"`
	}
}

type accountCodeOutput struct {
	Body struct {
		Code string `json:"code" doc:"With it the person chooses a password at /welcome. It is shown this once"`
	}
}

type aloneOutput struct {
	Body struct {
		Unattended []string `json:"unattended" doc:"Care teams that have patients, and by this nobody any more who answers their alerts. Whoever manages teams is told"`
	}
}

type letBackOutput struct {
	Body struct {
		Unattended []string `json:"unattended" doc:"Care teams that have patients, and nobody just now who answers their alerts"`
		Note       string   `json:"note" doc:"What did not come back with the account"`
	}
}

func aloneOf(teams []string, err error) (*aloneOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &aloneOutput{}
	out.Body.Unattended = append([]string{}, teams...)
	return out, nil
}

func (s *Server) addAccounts() {
	add(s, op(http.MethodGet, "/v1/accounts", "list-accounts", tagTeams, "The accounts of staff, also of those who are kept out"), s.listAccounts)
	add(s, created(op(http.MethodPost, "/v1/accounts", "add-account", tagTeams, "Make an account, with a code for its owner", http.StatusConflict)), s.addAccount)
	add(s, op(http.MethodPut, "/v1/accounts/{id}", "set-account", tagTeams, "Change name and role", http.StatusNotFound, http.StatusConflict), s.setAccount)
	code := op(http.MethodPost, "/v1/accounts/{id}/code", "renew-account", tagTeams, "Let somebody choose a password anew", http.StatusNotFound, http.StatusConflict)
	code.Description = "Their password and their sessions end now."
	add(s, code, s.renewAccount)
	add(s, op(http.MethodPost, "/v1/accounts/{id}/disable", "disable-account", tagTeams, "Keep somebody out", http.StatusNotFound, http.StatusConflict), s.keepOut)
	enable := op(http.MethodPost, "/v1/accounts/{id}/enable", "enable-account", tagTeams, "Let somebody in again", http.StatusNotFound, http.StatusConflict)
	enable.Description = "Care teams and shifts do not come back with the account: let them join again."
	add(s, enable, s.letBack)
}

func (s *Server) listAccounts(ctx context.Context, actor account.Actor, _ *struct{}) (*accountsOutput, error) {
	list, err := s.Staffing.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &accountsOutput{}
	out.Body.Accounts = make([]employeeBody, len(list))
	for i := range list {
		out.Body.Accounts[i] = employeeOf(&list[i])
	}
	return out, nil
}

func (s *Server) addAccount(ctx context.Context, actor account.Actor, in *newAccountInput) (*newAccountOutput, error) {
	made, code, err := s.Staffing.Add(ctx, actor, in.Body.Login, in.Body.Name, account.Role(in.Body.Role))
	if err != nil {
		return nil, err
	}
	out := &newAccountOutput{Location: "/v1/accounts/" + string(made.UID)}
	out.Body.Account, out.Body.Code = employeeOf(&made), code
	return out, nil
}

func (s *Server) setAccount(ctx context.Context, actor account.Actor, in *setAccountInput) (*aloneOutput, error) {
	return aloneOf(s.Staffing.Set(ctx, actor, vital.UID(in.ID), in.Body.Name, account.Role(in.Body.Role)))
}

func (s *Server) renewAccount(ctx context.Context, actor account.Actor, in *accountInput) (*accountCodeOutput, error) {
	code, err := s.Staffing.Reinvite(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &accountCodeOutput{}
	out.Body.Code = code
	return out, nil
}

func (s *Server) keepOut(ctx context.Context, actor account.Actor, in *accountInput) (*aloneOutput, error) {
	return aloneOf(s.Staffing.KeepOut(ctx, actor, vital.UID(in.ID), true))
}

func (s *Server) letBack(ctx context.Context, actor account.Actor, in *accountInput) (*letBackOutput, error) {
	teams, err := s.Staffing.KeepOut(ctx, actor, vital.UID(in.ID), false)
	if err != nil {
		return nil, err
	}
	out := &letBackOutput{}
	out.Body.Unattended = append([]string{}, teams...)
	out.Body.Note = "care teams and shifts did not come back with the account: let them join again"
	return out, nil
}
