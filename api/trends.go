package api

import (
	"context"
	"net/http"
	"slices"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

type trendVersionBody struct {
	VersionHead
	Zone          string                     `json:"zone" doc:"Days are local days of this zone: the patient's when the version was made" example:"Europe/Ljubljana"`
	ClearAfter    int                        `json:"clear_after" doc:"The condition ends after so many judged readings in a row that have returned" example:"1"`
	Change        *alerts.TrendChange        `json:"change,omitempty"`
	Reference     *alerts.TrendReference     `json:"reference,omitempty"`
	MovingAverage *alerts.TrendMovingAverage `json:"moving_average,omitempty"`
	Average       *alerts.TrendAverage       `json:"average,omitempty"`
	Baseline      *alerts.TrendBaseline      `json:"baseline,omitempty"`
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
	Form     string             `json:"form" enum:"change,reference,moving_average,average,baseline"`
	Version  int                `json:"version" doc:"The newest version, for If-Match"`
	Versions []trendVersionBody `json:"versions"`
	Usual    *usualBody         `json:"usual,omitempty" doc:"Of a baseline in force: what a reading of now is compared with, or how much history it waits for. Only in the list; not where there is more than a month of one reading every 10 seconds"`
}

type usualBody struct {
	alerts.Standing
	Words string `json:"words" example:"not enough history yet: 5 of 14 days in the 21 days until Sat 16 May"`
}

func trendOf(r *alerts.Rule) trendBody {
	d, _ := vital.Define(r.Metric)
	body := trendBody{
		ID: r.UID, Metric: d.Code, Display: d.Display, Unit: d.Components[0].Canonical.UCUM(), Form: string(r.Form), Version: newest(r),
		Versions: make([]trendVersionBody, len(r.Versions)),
	}
	for i := range r.Versions {
		v := &r.Versions[i]
		b := trendVersionBody{VersionHead: headOf(v)}
		if t := v.Trend; t != nil {
			b.Zone, b.ClearAfter, b.Change, b.Reference, b.MovingAverage, b.Average = t.Zone, t.ClearAfter, t.Change, t.Reference, t.MovingAverage, t.Average
			b.Baseline = t.Baseline
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
	Form    string `path:"form" doc:"change, reference, moving_average, average or baseline" example:"change"`
	IfMatch string `header:"If-Match" doc:"The newest version you have seen, in quotes; * when there is none" example:"\"1\""`
	Body    struct {
		VersionSetting
		ClearAfter    int                        `json:"clear_after,omitempty" minimum:"1" doc:"1 when left out"`
		Change        *alerts.TrendChange        `json:"change,omitempty" doc:"The day's value against the lowest (rise) or highest (fall) of the local days before"`
		Reference     *alerts.TrendReference     `json:"reference,omitempty" doc:"The day's value against a personal reference, such as the dry weight"`
		MovingAverage *alerts.TrendMovingAverage `json:"moving_average,omitempty" doc:"The mean of the last days against the median of the days before them"`
		Average       *alerts.TrendAverage       `json:"average,omitempty" doc:"The mean of the sessions of some days against bounds, a session being the mean of a day's readings before noon, or from noon on. Of blood pressure it is rounded half up to whole numbers, else in thousandths of the unit, rounded as the metric's values are"`
		Baseline      *alerts.TrendBaseline      `json:"baseline,omitempty" doc:"Each reading against what is usual for the person: the median of the sessions of some weeks before, and how far they lie from it"`
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
	usual, err := s.Limits.Standings(ctx, actor, vital.UID(in.ID), rules)
	if err != nil {
		return nil, err
	}
	out := &trendsOutput{}
	out.Body.Rules = []trendBody{}
	for i := range rules {
		if rules[i].Kind != alerts.KindTrend {
			continue
		}
		body := trendOf(&rules[i])
		if is, ok := usual[rules[i].Key()]; ok {
			body.Usual = &usualBody{Standing: is, Words: is.Words(rules[i].Metric)}
		}
		out.Body.Rules = append(out.Body.Rules, body)
	}
	return out, nil
}

func (s *Server) setTrend(ctx context.Context, actor account.Actor, in *setTrendInput) (*trendOutput, error) {
	form := alerts.Form(in.Form)
	if !slices.Contains(alerts.Forms(), form) {
		return nil, fault.New(fault.NotFound, "there is no form of trends %q: there are %v", in.Form, alerts.Forms())
	}
	rule, err := setRule(in.Metric, in.IfMatch, func(metric vital.Metric, expected int) (alerts.Rule, error) {
		return s.Limits.SetTrend(ctx, actor, vital.UID(in.ID), metric, form, expected, in.version())
	})
	if err != nil {
		return nil, err
	}
	body := trendOf(&rule)
	return &trendOutput{ETag: etag(body.Version), Body: body}, nil
}

func (in *setTrendInput) version() alerts.Version {
	b := &in.Body
	v := b.version()
	v.Trend = &alerts.Trend{
		ClearAfter: max(b.ClearAfter, 1), Change: b.Change, Reference: b.Reference, MovingAverage: b.MovingAverage, Average: b.Average,
		Baseline: b.Baseline,
	}
	return v
}
