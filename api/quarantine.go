package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

type refusalBody struct {
	ID           vital.UID    `json:"id" format:"uuid"`
	Device       string       `json:"device"`
	Topic        string       `json:"topic" doc:"As the device named it; empty when the message was taken apart before"`
	Reason       vital.Reason `json:"reason" example:"unit"`
	Detail       string       `json:"detail" doc:"What to mend"`
	Raw          []byte       `json:"raw" doc:"The bytes as received, base64; only the head of a message that was too large"`
	Length       int64        `json:"length" doc:"Of the whole, in bytes"`
	ReceivedAt   time.Time    `json:"received_at" doc:"First"`
	LastAt       time.Time    `json:"last_received_at" doc:"When the same bytes came last"`
	Times        int          `json:"times"`
	TriedAt      *time.Time   `json:"tried_at,omitempty" doc:"When somebody had it decoded again"`
	TriedBy      string       `json:"tried_by,omitempty"`
	Accepted     int          `json:"accepted" doc:"Readings that came of it then"`
	RefusedAgain string       `json:"refused_again,omitempty" doc:"What to mend, by that try"`
	SettledAt    *time.Time   `json:"settled_at,omitempty"`
}

func refusalOf(h *devices.Refusal) refusalBody {
	return refusalBody{
		ID: h.UID, Device: h.Device, Topic: h.Topic, Reason: h.Reason, Detail: h.Detail, Raw: h.Raw, Length: h.Length, ReceivedAt: h.ReceivedAt, LastAt: h.LastAt, Times: h.Times,
		TriedAt: at(h.TriedAt), TriedBy: h.TriedBy, Accepted: h.Accepted, RefusedAgain: h.RefusedAgain, SettledAt: at(h.SettledAt),
	}
}

type refusalsInput struct {
	Device  string `query:"device" maxLength:"64" doc:"Only of this device"`
	Reason  string `query:"reason" maxLength:"40" doc:"Only refused for this reason"`
	Settled bool   `query:"settled" doc:"What is settled, instead of what waits"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type refusalsOutput struct {
	Body struct {
		Quarantined []refusalBody `json:"quarantined"`
	}
}

type refusalsOfInput struct {
	UID   string `path:"uid" maxLength:"64"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type refusalInput struct {
	ID string `path:"id" format:"uuid"`
}

type refusalOutput struct{ Body refusalBody }

func (s *Server) addQuarantine() {
	add(s, op(http.MethodGet, "/v1/quarantine", "list-refused", tagDevices, "What was refused of all devices, newest first", http.StatusNotFound), s.listRefusals)
	add(s, op(http.MethodGet, "/v1/devices/{uid}/quarantine", "list-quarantine", tagDevices, "What was refused of a device, settled or not, newest first", http.StatusNotFound), s.listRefusalsOf)
	add(s, op(http.MethodGet, "/v1/quarantine/{id}", "get-refused", tagDevices, "One of them", http.StatusNotFound), s.getRefusal)
	retry := op(http.MethodPost, "/v1/quarantine/{id}/retry", "retry-refused", tagDevices, "Decode it again, once the mapping or the device is mended", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable)
	retry.Description = "As the same device, on the same topic, received at the same time. The row stays, with what became of it."
	add(s, retry, s.retryRefusal)
}

func (s *Server) listRefusals(ctx context.Context, actor account.Actor, in *refusalsInput) (*refusalsOutput, error) {
	return s.refusals(ctx, actor, devices.RefusalFilter{Device: in.Device, Reason: vital.Reason(in.Reason), Settled: in.Settled, Limit: in.Limit})
}

func (s *Server) listRefusalsOf(ctx context.Context, actor account.Actor, in *refusalsOfInput) (*refusalsOutput, error) {
	return s.refusals(ctx, actor, devices.RefusalFilter{Device: in.UID, All: true, Limit: in.Limit})
}

func (s *Server) refusals(ctx context.Context, actor account.Actor, f devices.RefusalFilter) (*refusalsOutput, error) {
	list, err := s.Quarantine.List(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	out := &refusalsOutput{}
	out.Body.Quarantined = make([]refusalBody, len(list))
	for i := range list {
		out.Body.Quarantined[i] = refusalOf(&list[i])
	}
	return out, nil
}

func (s *Server) getRefusal(ctx context.Context, actor account.Actor, in *refusalInput) (*refusalOutput, error) {
	h, err := s.Quarantine.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return &refusalOutput{refusalOf(&h)}, nil
}

func (s *Server) retryRefusal(ctx context.Context, actor account.Actor, in *refusalInput) (*refusalOutput, error) {
	h, err := s.Quarantine.Retry(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return &refusalOutput{refusalOf(&h)}, nil
}
