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
	ID     vital.UID `json:"id" format:"uuid"`
	Device string    `json:"device"`
	quarantinedBody
	TriedAt      *time.Time `json:"tried_at,omitempty" doc:"When somebody had it decoded again"`
	TriedBy      string     `json:"tried_by,omitempty"`
	Accepted     int        `json:"accepted" doc:"Readings that came of it then"`
	RefusedAgain string     `json:"refused_again,omitempty" doc:"What to mend, by that try"`
	SettledAt    *time.Time `json:"settled_at,omitempty"`
}

func refusalOf(h *devices.Refusal) refusalBody {
	return refusalBody{
		ID: h.UID, Device: h.Device, quarantinedBody: quarantinedBody{h.Topic, h.Reason, h.Detail, h.Raw, h.Length, h.ReceivedAt, h.LastAt, h.Times},
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

type refusalInput struct {
	ID string `path:"id" format:"uuid"`
}

type refusalOutput struct{ Body refusalBody }

func (s *Server) addQuarantine() {
	add(s, op(http.MethodGet, "/v1/quarantine", "list-refused", tagDevices, "What was refused of all devices, newest first"), s.listRefusals)
	add(s, op(http.MethodGet, "/v1/quarantine/{id}", "get-refused", tagDevices, "One of them", http.StatusNotFound), s.getRefusal)
	retry := op(http.MethodPost, "/v1/quarantine/{id}/retry", "retry-refused", tagDevices, "Decode it again, once the mapping or the device is mended", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable)
	retry.Description = "As the same device, on the same topic, received at the same time. The row stays, with what became of it."
	add(s, retry, s.retryRefusal)
}

func (s *Server) listRefusals(ctx context.Context, actor account.Actor, in *refusalsInput) (*refusalsOutput, error) {
	list, err := s.Quarantine.List(ctx, actor, devices.RefusalFilter{Device: in.Device, Reason: vital.Reason(in.Reason), Settled: in.Settled, Limit: in.Limit})
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
