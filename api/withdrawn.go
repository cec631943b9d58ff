package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/vital"
)

type withdrawnBody struct {
	ID          int64     `json:"id"`
	Metric      string    `json:"metric"`
	Values      []float64 `json:"values" doc:"As they were"`
	MeasuredAt  time.Time `json:"measured_at"`
	Unsure      float64   `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	WithdrawnAt time.Time `json:"withdrawn_at"`
	How         string    `json:"how" enum:"amended,entered_in_error"`
	By          string    `json:"by,omitempty" doc:"Who; left out when the device said it"`
	Why         string    `json:"why,omitempty"`
}

type withdrawnOutput struct {
	Body struct {
		Withdrawn []withdrawnBody `json:"withdrawn"`
	}
}

type inErrorInput struct {
	ID      string `path:"id" format:"uuid"`
	Reading int64  `path:"reading"`
	Body    struct {
		MeasuredAt time.Time `json:"measured_at" doc:"When it was measured, as the series says"`
		Why        string    `json:"why" minLength:"1" maxLength:"2000"`
	}
}

func (s *Server) addWithdrawn() {
	add(s, op(http.MethodGet, "/v1/patients/{id}/withdrawn", "list-withdrawn", tagPatients, "Readings that were taken back, by their device or by a person, newest first", http.StatusNotFound), s.listWithdrawn)
	o := op(http.MethodPost, "/v1/patients/{id}/readings/{reading}/withdraw", "withdraw-reading", tagPatients, "Mark a reading as entered in error", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	o.Description = "It leaves the record, stays visible as withdrawn, is not taken again when it is sent again, and the patient is judged anew without it."
	add(s, o, s.withdraw)
}

func (s *Server) listWithdrawn(ctx context.Context, actor account.Actor, in *patientInput) (*withdrawnOutput, error) {
	list, err := s.Withdrawals.Of(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &withdrawnOutput{}
	out.Body.Withdrawn = []withdrawnBody{}
	for _, w := range list {
		out.Body.Withdrawn = append(out.Body.Withdrawn, withdrawnBody{w.ID, w.Metric.String(), w.Values, w.MeasuredAt, w.Vague.Within.Seconds(), w.At, w.How, w.By, w.Why})
	}
	return out, nil
}

func (s *Server) withdraw(ctx context.Context, actor account.Actor, in *inErrorInput) (*struct{}, error) {
	return nil, s.Withdrawals.Withdraw(ctx, actor, vital.UID(in.ID), in.Reading, in.Body.MeasuredAt, in.Body.Why)
}
