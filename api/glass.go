package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/vital"
)

type glassBody struct {
	ID          vital.UID  `json:"id" format:"uuid"`
	Patient     vital.UID  `json:"patient" format:"uuid"`
	PatientName string     `json:"patient_name"`
	Number      string     `json:"number"`
	Staff       vital.UID  `json:"staff" format:"uuid"`
	StaffName   string     `json:"staff_name"`
	StaffRole   string     `json:"staff_role"`
	Reason      string     `json:"reason"`
	From        time.Time  `json:"from"`
	Until       time.Time  `json:"until"`
	EndedAt     *time.Time `json:"ended_at,omitempty" doc:"When it was closed before its time"`
	ReviewedAt  *time.Time `json:"reviewed_at,omitempty"`
	Reviewer    string     `json:"reviewer,omitempty"`
	Finding     string     `json:"finding,omitempty"`
}

func glassOf(g *account.Glass) glassBody {
	return glassBody{
		ID: g.UID, Patient: g.Patient, PatientName: g.PatientName, Number: g.Number, Staff: g.Staff, StaffName: g.StaffName, StaffRole: string(g.StaffRole),
		Reason: g.Reason, From: g.From, Until: g.Until, EndedAt: timeOrNone(g.EndedAt), ReviewedAt: timeOrNone(g.ReviewedAt), Reviewer: g.Reviewer, Finding: g.Finding,
	}
}

type breakInput struct {
	Body struct {
		Patient string `json:"patient" minLength:"1" maxLength:"64" doc:"The patient's number, whole; or the id. Names find nobody" example:"P-0017"`
		Reason  string `json:"reason" minLength:"10" maxLength:"500" example:"Found unconscious at home, on call for the other team"`
		Minutes int    `json:"minutes,omitempty" minimum:"1" maximum:"480" doc:"60 when left out"`
	}
}

type glassOutput struct{ Body glassBody }

type glassesOutput struct {
	Body struct {
		Glass []glassBody `json:"glass" doc:"Those that nobody has reviewed first"`
	}
}

type glassInput struct {
	ID string `path:"id" format:"uuid"`
}

type reviewInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Finding string `json:"finding" minLength:"1" maxLength:"500"`
	}
}

func (s *Server) addGlass() {
	open := created(op(http.MethodPost, "/v1/break-glass", "break-glass", tagAccess, "Open the record of a patient who is not in your care", http.StatusNotFound, http.StatusConflict))
	open.Description = "It needs a reason, ends by itself, is told to the privacy officer at once, and the patient sees it."
	add(s, open, s.breakGlass)
	add(s, op(http.MethodGet, "/v1/break-glass", "list-glass", tagAccess, "Broken glass: one's own, or everybody's for the privacy officer"), s.listGlass)
	add(s, op(http.MethodDelete, "/v1/break-glass/{id}", "end-glass", tagAccess, "Close the record before its time", http.StatusNotFound), s.endGlass)
	add(s, op(http.MethodPost, "/v1/break-glass/{id}/review", "review-glass", tagAccess, "The privacy officer's word on it", http.StatusNotFound, http.StatusConflict), s.reviewGlass)
}

func (s *Server) breakGlass(ctx context.Context, actor account.Actor, in *breakInput) (*glassOutput, error) {
	g, err := s.Emergency.Break(ctx, actor, in.Body.Patient, in.Body.Reason, time.Duration(in.Body.Minutes)*time.Minute)
	if err != nil {
		return nil, err
	}
	return &glassOutput{Body: glassOf(&g)}, nil
}

func (s *Server) listGlass(ctx context.Context, actor account.Actor, _ *struct{}) (*glassesOutput, error) {
	list, err := s.Emergency.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &glassesOutput{}
	out.Body.Glass = make([]glassBody, len(list))
	for i := range list {
		out.Body.Glass[i] = glassOf(&list[i])
	}
	return out, nil
}

func (s *Server) endGlass(ctx context.Context, actor account.Actor, in *glassInput) (*struct{}, error) {
	return nil, s.Emergency.End(ctx, actor, vital.UID(in.ID))
}

func (s *Server) reviewGlass(ctx context.Context, actor account.Actor, in *reviewInput) (*struct{}, error) {
	return nil, s.Emergency.Review(ctx, actor, vital.UID(in.ID), in.Body.Finding)
}
