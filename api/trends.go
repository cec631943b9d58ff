package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

type trendVersionBody struct {
	Number        int                        `json:"number" example:"1"`
	EffectiveFrom time.Time                  `json:"effective_from" doc:"Judges readings measured from then on; a higher number supersedes"`
	Enabled       bool                       `json:"enabled"`
	Zone          string                     `json:"zone" doc:"Days are local days of this zone: the patient's when the version was made" example:"Europe/Ljubljana"`
	ClearAfter    int                        `json:"clear_after" doc:"The condition ends after so many judged readings in a row that have returned" example:"1"`
	Change        *alerts.TrendChange        `json:"change,omitempty"`
	Reference     *alerts.TrendReference     `json:"reference,omitempty"`
	MovingAverage *alerts.TrendMovingAverage `json:"moving_average,omitempty"`
	Average       *alerts.TrendAverage       `json:"average,omitempty"`
	Advice        string                     `json:"advice,omitempty" doc:"What the patient can do, in plain words"`
	Author        string                     `json:"author,omitempty" doc:"Left out for the programme's default"`
	Reason        string                     `json:"reason,omitempty"`
	ReviewBy      *time.Time                 `json:"review_by,omitempty"`
	CreatedAt     time.Time                  `json:"created_at"`
	Grades        []trendGradeBody           `json:"grades,omitempty" doc:"Of the programme's default: where each number comes from. To be signed by a clinician"`
}

type trendGradeBody struct {
	Part   string  `json:"part" doc:"What of the trend" example:"rise in 3 days"`
	Name   string  `json:"name" doc:"Which number of it" example:"by"`
	Value  float64 `json:"value"`
	Grade  string  `json:"grade" enum:"V,2,M,J" doc:"V verified in a source, 2 secondary source, M from memory, J our judgement"`
	Source string  `json:"source"`
}

type trendBody struct {
	ID       vital.UID          `json:"id" format:"uuid"`
	Metric   string             `json:"metric" example:"body_weight"`
	Display  string             `json:"display" example:"Body weight"`
	Unit     string             `json:"unit" doc:"UCUM; distances and values are in it" example:"kg"`
	Form     string             `json:"form" enum:"change,reference,moving_average,average"`
	Version  int                `json:"version" doc:"The newest version, for If-Match"`
	Versions []trendVersionBody `json:"versions"`
}

func trendOf(r *alerts.Rule) trendBody {
	d, _ := vital.Define(r.Metric)
	body := trendBody{
		ID: r.UID, Metric: d.Code, Display: d.Display, Unit: d.Components[0].Canonical.UCUM(), Form: string(r.Form),
		Versions: make([]trendVersionBody, len(r.Versions)),
	}
	for i := range r.Versions {
		v := &r.Versions[i]
		body.Version = max(body.Version, v.Number)
		b := trendVersionBody{
			Number: v.Number, EffectiveFrom: v.EffectiveFrom.UTC(), Enabled: v.Enabled, Advice: v.Advice,
			Author: v.AuthorName, Reason: v.Reason, ReviewBy: at(v.ReviewBy), CreatedAt: v.CreatedAt.UTC(),
		}
		if t := v.Trend; t != nil {
			b.Zone, b.ClearAfter, b.Change, b.Reference, b.MovingAverage, b.Average = t.Zone, t.ClearAfter, t.Change, t.Reference, t.MovingAverage, t.Average
		}
		for _, g := range alerts.GradesOf(r.Metric, v) {
			b.Grades = append(b.Grades, trendGradeBody{Part: g.Component, Name: g.Bound, Value: g.Value, Grade: g.Grade, Source: g.Source})
		}
		body.Versions[i] = b
	}
	return body
}

type trendsOutput struct {
	Body struct {
		Rules []trendBody `json:"rules"`
	}
}

type setTrendInput struct {
	ID      string `path:"id" format:"uuid"`
	Metric  string `path:"metric" example:"body_weight"`
	Form    string `path:"form" doc:"change, reference, moving_average or average" example:"change"`
	IfMatch string `header:"If-Match" doc:"The newest version you have seen, in quotes; * when there is none" example:"\"1\""`
	Body    struct {
		EffectiveFrom *time.Time                 `json:"effective_from,omitempty" doc:"Now when left out; may lie in the past: what was measured since is judged anew"`
		Reason        string                     `json:"reason" minLength:"1" maxLength:"2000" example:"Dry weight agreed on at discharge"`
		Enabled       *bool                      `json:"enabled,omitempty" doc:"true when left out"`
		ClearAfter    int                        `json:"clear_after,omitempty" minimum:"1" doc:"1 when left out"`
		Change        *alerts.TrendChange        `json:"change,omitempty" doc:"The day's value against the lowest (rise) or highest (fall) of the local days before"`
		Reference     *alerts.TrendReference     `json:"reference,omitempty" doc:"The day's value against a personal reference, such as the dry weight"`
		MovingAverage *alerts.TrendMovingAverage `json:"moving_average,omitempty" doc:"The mean of the last days against the median of the days before them"`
		Average       *alerts.TrendAverage       `json:"average,omitempty" doc:"The mean of some days against bounds, rounded half up to whole numbers"`
		Advice        string                     `json:"advice,omitempty" maxLength:"2000"`
		ReviewBy      *time.Time                 `json:"review_by,omitempty"`
	}
}

type trendOutput struct {
	ETag string `header:"ETag" doc:"The newest version, for If-Match"`
	Body trendBody
}

func (s *Server) addTrends() {
	get := op(http.MethodGet, "/v1/patients/{id}/trends", "list-trends", tagLimits, "A patient's trend rules with all their versions", http.StatusNotFound)
	add(s, get, s.listTrends)
	set := op(http.MethodPut, "/v1/patients/{id}/trends/{metric}/{form}", "set-trend", tagLimits, "Set a new version of a patient's trend rule",
		http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired)
	set.Description = "Give the one part that the form names; with `enabled` false it may be left out. Versions are never changed. " +
		"Name the newest one you have seen in If-Match; when somebody was faster, the answer is 412. Days are local days of the patient's zone."
	add(s, set, s.setTrend)
}

func (s *Server) listTrends(ctx context.Context, actor account.Actor, in *patientInput) (*trendsOutput, error) {
	rules, err := s.Limits.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &trendsOutput{}
	out.Body.Rules = []trendBody{}
	for i := range rules {
		if rules[i].Kind == alerts.KindTrend {
			out.Body.Rules = append(out.Body.Rules, trendOf(&rules[i]))
		}
	}
	return out, nil
}

func (s *Server) setTrend(ctx context.Context, actor account.Actor, in *setTrendInput) (*trendOutput, error) {
	metric, ok := vital.ParseMetric(in.Metric)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no metric %q", in.Metric)
	}
	form := alerts.Form(in.Form)
	if !slices.Contains(alerts.Forms(), form) {
		return nil, fault.New(fault.NotFound, "there is no form of trends %q: there are %v", in.Form, alerts.Forms())
	}
	expected, err := ifMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	rule, err := s.Limits.SetTrend(ctx, actor, vital.UID(in.ID), metric, form, expected, in.version())
	if err != nil {
		return nil, stale(err)
	}
	body := trendOf(&rule)
	return &trendOutput{ETag: etag(body.Version), Body: body}, nil
}

func (in *setTrendInput) version() alerts.Version {
	b := &in.Body
	v := alerts.Version{
		Enabled: b.Enabled == nil || *b.Enabled, Advice: b.Advice, Reason: b.Reason, Trend: &alerts.Trend{
			ClearAfter: max(b.ClearAfter, 1), Change: b.Change, Reference: b.Reference, MovingAverage: b.MovingAverage, Average: b.Average,
		},
	}
	if b.EffectiveFrom != nil {
		v.EffectiveFrom = b.EffectiveFrom.UTC()
	}
	if b.ReviewBy != nil {
		v.ReviewBy = b.ReviewBy.UTC()
	}
	return v
}
