package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/vital"
)

type teamBody struct {
	ID         vital.UID    `json:"id" format:"uuid"`
	Name       string       `json:"name" example:"Home care"`
	Phone      string       `json:"phone,omitempty" doc:"By which patients reach it; it stands on their emergency sheets"`
	Usual      bool         `json:"usual" doc:"Takes in who is sent to no other"`
	Patients   int          `json:"patients" doc:"In its care just now"`
	Unattended bool         `json:"unattended" doc:"It has patients, and nobody in it may answer their alerts"`
	Ends       *time.Time   `json:"unattended_from,omitempty" doc:"It has patients, and the time in it of everybody who may answer their alerts ends by then. Left out while somebody stays"`
	Members    []memberBody `json:"members"`
}

type memberBody struct {
	Staff vital.UID  `json:"staff" format:"uuid"`
	Name  string     `json:"name"`
	Role  string     `json:"role" example:"nurse"`
	From  time.Time  `json:"from"`
	To    *time.Time `json:"to,omitempty" doc:"Left out while no end is set"`
}

func teamOf(t *account.Team) teamBody {
	b := teamBody{ID: t.UID, Name: t.Name, Phone: t.Phone, Usual: t.Usual, Patients: t.Patients, Unattended: t.Unattended(), Ends: timeOrNone(t.Ends()), Members: make([]memberBody, len(t.Members))}
	for i, m := range t.Members {
		b.Members[i] = memberBody{Staff: m.Staff, Name: m.Name, Role: string(m.Role), From: m.From, To: timeOrNone(m.To)}
	}
	return b
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

type teamsOutput struct {
	Body struct {
		Teams []teamBody `json:"teams"`
	}
}

type teamInput struct {
	ID string `path:"id" format:"uuid"`
}

type teamNameInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"80" example:"Heart failure"`
	}
}

type renameTeamInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Name  *string `json:"name,omitempty" minLength:"1" maxLength:"80" doc:"As it was when left out"`
		Phone *string `json:"phone,omitempty" maxLength:"40" doc:"As it was when left out; empty takes it away" example:"+386 1 234 56 78"`
	}
}

type teamOutput struct {
	Location string `header:"Location"`
	Body     teamBody
}

type joinInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Staff string     `json:"staff" format:"uuid"`
		From  *time.Time `json:"from,omitempty" doc:"Now when left out"`
		To    *time.Time `json:"to,omitempty" doc:"Until further notice when left out"`
	}
}

type memberInput struct {
	ID    string `path:"id" format:"uuid"`
	Staff string `path:"staff" format:"uuid"`
}

type takeInInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Patient string `json:"patient" format:"uuid"`
	}
}

type handOnInput struct {
	ID      string `path:"id" format:"uuid"`
	Patient string `path:"patient" format:"uuid"`
}

type staffOutput struct {
	Body struct {
		Staff []colleagueBody `json:"staff"`
	}
}

type colleagueBody struct {
	ID   vital.UID `json:"id" format:"uuid"`
	Name string    `json:"name"`
	Role string    `json:"role" example:"nurse"`
}

func (s *Server) addTeams() {
	add(s, op(http.MethodGet, "/v1/staff", "list-staff", tagTeams, "The people who work here, by name"), s.listStaff)
	add(s, op(http.MethodGet, "/v1/teams", "list-teams", tagTeams, "Care teams with their people"), s.listTeams)
	add(s, created(op(http.MethodPost, "/v1/teams", "add-team", tagTeams, "Make a care team", http.StatusConflict)), s.addTeam)
	add(s, op(http.MethodGet, "/v1/teams/{id}", "get-team", tagTeams, "One care team", http.StatusNotFound), s.getTeam)
	add(s, op(http.MethodPatch, "/v1/teams/{id}", "rename-team", tagTeams, "Give a care team another name and phone", http.StatusNotFound, http.StatusConflict), s.renameTeam)
	end := op(http.MethodDelete, "/v1/teams/{id}", "end-team", tagTeams, "End a care team", http.StatusNotFound, http.StatusConflict)
	end.Description = "It stays in the record. Patients who would be in no other care team must be taken into one first."
	add(s, end, s.endTeam)
	add(s, op(http.MethodGet, "/v1/teams/{id}/patients", "list-team-patients", tagTeams, "Who is in the team's care", http.StatusNotFound), s.listTeamPatients)
	join := op(http.MethodPost, "/v1/teams/{id}/members", "join-team", tagTeams, "Make somebody a member", http.StatusNotFound, http.StatusConflict)
	join.Description = "The answer is the team. When nobody stays in it for its patients, `unattended_from` says from when they have nobody."
	add(s, join, s.joinTeam)
	add(s, op(http.MethodDelete, "/v1/teams/{id}/members/{staff}", "leave-team", tagTeams, "End a membership now", http.StatusNotFound, http.StatusConflict), s.leaveTeam)
	add(s, op(http.MethodPost, "/v1/teams/{id}/patients", "take-in", tagTeams, "Take a patient into the team's care", http.StatusNotFound), s.takeIn)
	add(s, op(http.MethodDelete, "/v1/teams/{id}/patients/{patient}", "hand-on", tagTeams, "End the team's care of a patient", http.StatusNotFound, http.StatusConflict), s.handOn)
	s.addRosters()
}

func (s *Server) listStaff(ctx context.Context, actor account.Actor, _ *struct{}) (*staffOutput, error) {
	list, err := s.Teams.Colleagues(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &staffOutput{}
	out.Body.Staff = make([]colleagueBody, len(list))
	for i, c := range list {
		out.Body.Staff[i] = colleagueBody{ID: c.UID, Name: c.Name, Role: string(c.Role)}
	}
	return out, nil
}

func (s *Server) listTeams(ctx context.Context, actor account.Actor, _ *struct{}) (*teamsOutput, error) {
	list, err := s.Teams.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &teamsOutput{}
	out.Body.Teams = make([]teamBody, len(list))
	for i := range list {
		out.Body.Teams[i] = teamOf(&list[i])
	}
	return out, nil
}

func (s *Server) getTeam(ctx context.Context, actor account.Actor, in *teamInput) (*teamOutput, error) {
	t, err := s.Teams.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return &teamOutput{Location: "/v1/teams/" + string(t.UID), Body: teamOf(&t)}, nil
}

func (s *Server) addTeam(ctx context.Context, actor account.Actor, in *teamNameInput) (*teamOutput, error) {
	t, err := s.Teams.Add(ctx, actor, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return &teamOutput{Location: "/v1/teams/" + string(t.UID), Body: teamOf(&t)}, nil
}

func (s *Server) renameTeam(ctx context.Context, actor account.Actor, in *renameTeamInput) (*struct{}, error) {
	return nil, s.Teams.Set(ctx, actor, vital.UID(in.ID), in.Body.Name, in.Body.Phone)
}

func (s *Server) endTeam(ctx context.Context, actor account.Actor, in *teamInput) (*struct{}, error) {
	return nil, s.Teams.End(ctx, actor, vital.UID(in.ID))
}

func (s *Server) listTeamPatients(ctx context.Context, actor account.Actor, in *teamInput) (*patientsOutput, error) {
	list, err := s.Teams.Patients(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &patientsOutput{}
	out.Body.Patients = make([]patientBody, len(list))
	for i := range list {
		out.Body.Patients[i] = patientOf(&list[i])
	}
	return out, nil
}

func (s *Server) joinTeam(ctx context.Context, actor account.Actor, in *joinInput) (*teamOutput, error) {
	if err := s.Teams.Join(ctx, actor, vital.UID(in.ID), vital.UID(in.Body.Staff), timeOrZero(in.Body.From), timeOrZero(in.Body.To)); err != nil {
		return nil, err
	}
	return s.getTeam(ctx, actor, &teamInput{ID: in.ID})
}

func (s *Server) leaveTeam(ctx context.Context, actor account.Actor, in *memberInput) (*struct{}, error) {
	return nil, s.Teams.Leave(ctx, actor, vital.UID(in.ID), vital.UID(in.Staff))
}

func (s *Server) takeIn(ctx context.Context, actor account.Actor, in *takeInInput) (*struct{}, error) {
	return nil, s.Teams.TakeIn(ctx, actor, vital.UID(in.ID), vital.UID(in.Body.Patient))
}

func (s *Server) handOn(ctx context.Context, actor account.Actor, in *handOnInput) (*struct{}, error) {
	return nil, s.Teams.HandOn(ctx, actor, vital.UID(in.ID), vital.UID(in.Patient))
}
