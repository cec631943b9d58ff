package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

func sortTimes(times []time.Time) { slices.SortFunc(times, time.Time.Compare) }

type versionBody struct {
	VersionHead
	Components []alerts.Bounds `json:"components" doc:"Bounds in canonical units, in the order of the metric's components"`
	K          int             `json:"k" doc:"The condition begins when k of the last n readings are beyond a limit" example:"2"`
	N          int             `json:"n" example:"3"`
	ForMinutes int             `json:"for_minutes,omitempty" doc:"All readings of so long a time must be beyond a limit; an extreme one alone is enough"`
	GapMinutes int             `json:"gap_minutes,omitempty" doc:"A longer time between two readings ends the count"`
	ClearAfter int             `json:"clear_after" doc:"It ends after so many readings in a row inside the limits" example:"2"`
	Grades     []gradeBody     `json:"grades,omitempty" doc:"Of the programme's default: where each number comes from. To be signed by a clinician"`
}

type gradeBody struct {
	Component string  `json:"component" example:"systolic"`
	Bound     string  `json:"bound" enum:"extreme_low,red_low,yellow_low,yellow_high,red_high,extreme_high,margin"`
	Value     float64 `json:"value"`
	Grade     string  `json:"grade" enum:"V,2,M,J" doc:"V verified in a source, 2 secondary source, M from memory, J our judgement"`
	Source    string  `json:"source"`
}

// gradesOf returns the grades of a default version; nil of any other, and of a default whose numbers are no longer
// those of the programme.
func gradesOf(m vital.Metric, v *alerts.Version) []gradeBody {
	var list []gradeBody
	for _, g := range alerts.GradesOf(m, v) {
		list = append(list, gradeBody{Component: g.Component, Bound: g.Bound, Value: g.Value, Grade: g.Grade, Source: g.Source})
	}
	return list
}

type ruleBody struct {
	ID         vital.UID       `json:"id" format:"uuid"`
	Metric     string          `json:"metric" example:"blood_pressure"`
	Display    string          `json:"display" example:"Blood pressure"`
	Components []componentBody `json:"components"`
	Version    int             `json:"version" doc:"The newest version, for If-Match"`
	Versions   []versionBody   `json:"versions"`
}

func ruleOf(r *alerts.Rule) ruleBody {
	d, _ := vital.Define(r.Metric)
	body := ruleBody{
		ID: r.UID, Metric: d.Code, Display: d.Display, Components: componentsOf(d), Version: newest(r), Versions: make([]versionBody, len(r.Versions)),
	}
	for i := range r.Versions {
		v := &r.Versions[i]
		body.Versions[i] = versionBody{
			VersionHead: headOf(v), Components: orEmpty(v.Limit.Components), K: v.Limit.K, N: v.Limit.N,
			ForMinutes: v.Limit.ForMinutes, GapMinutes: v.Limit.GapMinutes, ClearAfter: v.Limit.ClearAfter,
			Grades: gradesOf(r.Metric, v),
		}
	}
	return body
}

type limitsOutput struct {
	Body struct {
		Rules []ruleBody `json:"rules"`
	}
}

type setLimitsInput struct {
	ID      string `path:"id" format:"uuid"`
	Metric  string `path:"metric" example:"blood_pressure"`
	IfMatch string `header:"If-Match" doc:"The newest version you have seen, in quotes; * when there is none" example:"\"1\""`
	Body    struct {
		VersionSetting
		Components []alerts.Bounds `json:"components" maxItems:"3" doc:"In canonical units, in the order of the metric's components; an empty one is not judged"`
		K          int             `json:"k,omitempty" minimum:"1" doc:"1 when left out"`
		N          int             `json:"n,omitempty" minimum:"1" doc:"k when left out"`
		ForMinutes int             `json:"for_minutes,omitempty" minimum:"1" doc:"Instead of k of n: all readings of so long a time must be beyond a limit" example:"20"`
		GapMinutes int             `json:"gap_minutes,omitempty" minimum:"1" doc:"With for_minutes: a longer time between two readings ends the count" example:"10"`
		ClearAfter int             `json:"clear_after,omitempty" minimum:"1" doc:"1 when left out"`
	}
}

type ruleOutput struct {
	ETag string `header:"ETag" doc:"The newest version, for If-Match"`
	Body ruleBody
}

func (s *Server) addLimits() {
	get := op(http.MethodGet, "/v1/patients/{id}/limits", "list-limits", tagLimits, "A patient's limits with all their versions", http.StatusNotFound)
	add(s, get, s.listLimits)
	set := op(http.MethodPut, "/v1/patients/{id}/limits/{metric}", "set-limits", tagLimits, "Set a new version of a patient's limits",
		http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired)
	set.Description = "Versions are never changed. Name the newest one you have seen in If-Match; when somebody was faster, the answer is 412."
	add(s, set, s.setLimits)
}

func (s *Server) listLimits(ctx context.Context, actor account.Actor, in *patientInput) (*limitsOutput, error) {
	out := &limitsOutput{}
	var err error
	out.Body.Rules, err = rulesOf(ctx, s, actor, in, alerts.KindLimit, ruleOf)
	return out, err
}

func (s *Server) setLimits(ctx context.Context, actor account.Actor, in *setLimitsInput) (*ruleOutput, error) {
	rule, err := setRule(in.Metric, in.IfMatch, func(metric vital.Metric, expected int) (alerts.Rule, error) {
		return s.Limits.Set(ctx, actor, vital.UID(in.ID), metric, expected, in.version())
	})
	if err != nil {
		return nil, err
	}
	body := ruleOf(&rule)
	return &ruleOutput{ETag: etag(body.Version), Body: body}, nil
}

func (in *setLimitsInput) version() alerts.Version {
	b := &in.Body
	v := b.version()
	k := max(b.K, 1)
	v.Limit = alerts.Limit{Components: b.Components, K: k, N: b.N, ForMinutes: b.ForMinutes, GapMinutes: b.GapMinutes, ClearAfter: max(b.ClearAfter, 1)}
	if v.Limit.N == 0 {
		v.Limit.N = k
	}
	return v
}
