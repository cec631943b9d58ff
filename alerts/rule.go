package alerts

import (
	"time"

	"hale/account"
	"hale/vital"
)

// RuleID is the identity of a rule over all its versions.
type RuleID int64

// Kind is the kind of a rule.
type Kind string

// KindLimit is a rule that compares single readings with bounds.
const KindLimit Kind = "limit"

// Level is how bad a reading or a condition is. It orders: a greater one is worse.
type Level int8

// The levels. Extreme lies at or beyond red.
const (
	None    Level = 0
	Yellow  Level = 1
	Red     Level = 2
	Extreme Level = 3
)

// String returns "none", "yellow", "red" or "extreme".
func (l Level) String() string {
	switch l {
	case None:
		return "none"
	case Yellow:
		return "yellow"
	case Red:
		return "red"
	case Extreme:
		return "extreme"
	}
	return "unknown"
}

// Bounds are the limits of one component, in its canonical unit; nil is no bound. A low bound fires when the value
// is below it, a high bound when the value is at or above it.
type Bounds struct {
	ExtremeLow  *float64 `json:"extreme_low,omitempty"`
	RedLow      *float64 `json:"red_low,omitempty"`
	YellowLow   *float64 `json:"yellow_low,omitempty"`
	YellowHigh  *float64 `json:"yellow_high,omitempty"`
	RedHigh     *float64 `json:"red_high,omitempty"`
	ExtremeHigh *float64 `json:"extreme_high,omitempty"`
	Margin      float64  `json:"margin,omitempty"` // how far inside the yellow bounds a value must be to count as returned
}

// Limit is what a limit rule compares with. Components stand in the order of the metric's components; one without
// bounds is not judged. The condition begins when K of the last N readings are at a level (an extreme reading
// begins it alone) and ends after ClearAfter readings in a row that are inside by the margin.
type Limit struct {
	Components []Bounds `json:"components"`
	K          int      `json:"k"`
	N          int      `json:"n"`
	ClearAfter int      `json:"clear_after"`
}

// Version is one immutable version of a rule. In force at t is the highest version whose EffectiveFrom is not after
// t: a version that starts earlier supersedes what older ones said from then on.
type Version struct {
	Number        int
	EffectiveFrom time.Time
	Enabled       bool
	Limit         Limit
	Advice        string          // what the patient can do now, in plain words; empty when nobody signed one
	Author        account.StaffID // 0: default of the programme
	AuthorName    string
	Reason        string
	ReviewBy      time.Time // zero: no review date
	CreatedAt     time.Time
}

// Rule is a patient's rule with all its versions, ordered by Number.
type Rule struct {
	ID       RuleID
	UID      vital.UID
	Org      vital.OrgID
	Patient  vital.PatientID
	Kind     Kind
	Metric   vital.Metric
	Versions []Version
}

// InForce returns the version that judges a reading measured at t; ok is false when none does.
func (r *Rule) InForce(t time.Time) (v *Version, ok bool) {
	for i := len(r.Versions) - 1; i >= 0; i-- {
		if !r.Versions[i].EffectiveFrom.After(t) {
			return &r.Versions[i], true
		}
	}
	return nil, false
}
