package api

import (
	"context"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// VersionSetting is what everybody gives who sets a version of any rule. It is exported since schemas are made of exported
// fields only.
type VersionSetting struct {
	EffectiveFrom *time.Time `json:"effective_from,omitempty" doc:"Now when left out; may lie in the past, from 2015 on: what was measured since is judged anew; and at most a year ahead"`
	Reason        string     `json:"reason" minLength:"1" maxLength:"2000" example:"Agreed with her GP"`
	Enabled       *bool      `json:"enabled,omitempty" doc:"true when left out"`
	Advice        string     `json:"advice,omitempty" maxLength:"2000" doc:"What the patient can do, in plain words"`
	ReviewBy      *time.Time `json:"review_by,omitempty"`
}

// version returns the version without what it compares with.
func (b *VersionSetting) version() alerts.Version {
	v := alerts.Version{Enabled: b.Enabled == nil || *b.Enabled, Advice: b.Advice, Reason: b.Reason}
	if b.EffectiveFrom != nil {
		v.EffectiveFrom = b.EffectiveFrom.UTC()
	}
	if b.ReviewBy != nil {
		v.ReviewBy = b.ReviewBy.UTC()
	}
	return v
}

// VersionHead is what is shown of every version of any rule.
type VersionHead struct {
	Number        int        `json:"number" example:"1"`
	EffectiveFrom time.Time  `json:"effective_from" doc:"Judges readings measured from then on; a higher number supersedes"`
	Enabled       bool       `json:"enabled"`
	Advice        string     `json:"advice,omitempty" doc:"What the patient can do, in plain words"`
	Author        string     `json:"author,omitempty" doc:"Left out for the programme's default"`
	Reason        string     `json:"reason,omitempty"`
	ReviewBy      *time.Time `json:"review_by,omitempty"`
	CreatedAt     time.Time  `json:"created_at"`
}

func headOf(v *alerts.Version) VersionHead {
	return VersionHead{
		Number: v.Number, EffectiveFrom: v.EffectiveFrom.UTC(), Enabled: v.Enabled, Advice: v.Advice,
		Author: v.AuthorName, Reason: v.Reason, ReviewBy: at(v.ReviewBy), CreatedAt: v.CreatedAt.UTC(),
	}
}

// newest returns the number of the newest version.
func newest(r *alerts.Rule) int {
	number := 0
	for i := range r.Versions {
		number = max(number, r.Versions[i].Number)
	}
	return number
}

// rulesOf returns a patient's rules of one kind, as the kind is shown.
func rulesOf[T any](ctx context.Context, s *Server, actor account.Actor, in *patientInput, kind alerts.Kind, show func(r *alerts.Rule) T) ([]T, error) {
	rules, err := s.Limits.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	list := []T{}
	for i := range rules {
		if rules[i].Kind == kind {
			list = append(list, show(&rules[i]))
		}
	}
	return list, nil
}

// setRule sets a version of a metric's rule, of whatever kind, where the newest version is still the one that the caller
// has seen.
func setRule(metric, seen string, set func(metric vital.Metric, expected int) (alerts.Rule, error)) (alerts.Rule, error) {
	m, ok := vital.ParseMetric(metric)
	if !ok {
		return alerts.Rule{}, fault.New(fault.NotFound, "there is no metric %q", metric)
	}
	expected, err := ifMatch(seen, true)
	if err != nil {
		return alerts.Rule{}, err
	}
	rule, err := set(m, expected)
	return rule, stale(err)
}
