package alerts

import (
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// RuleID is the identity of a rule over all its versions.
type RuleID int64

// Kind is the kind of a rule.
type Kind string

// The kinds of rules. One about what was expected and did not come is to read devices.Silence (docs/adr/0033): nobody is told of what an
// outage explains.
const (
	KindLimit Kind = "limit" // compares single readings with bounds
	KindTrend Kind = "trend" // compares a reading, or a mean, with what was measured in the days before (Trend)
)

// RuleKey names one of a patient's rules: there is one of each kind, metric and, of trend rules, form.
type RuleKey struct {
	Kind   Kind
	Metric vital.Metric
	Form   Form // empty for a limit
}

// String names the rule for the audit trail: "blood_pressure", or of a trend rule "body_weight change".
func (k RuleKey) String() string {
	if k.Form == "" {
		return k.Metric.String()
	}
	return k.Metric.String() + " " + string(k.Form)
}

// LimitOn names the limit rule of a metric.
func LimitOn(m vital.Metric) RuleKey { return RuleKey{Kind: KindLimit, Metric: m} }

// TrendOn names a trend rule of a metric.
func TrendOn(m vital.Metric, f Form) RuleKey { return RuleKey{Kind: KindTrend, Metric: m, Form: f} }

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

// MarshalText writes the level as String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level as String writes it; any other text is fault.Invalid.
func (l *Level) UnmarshalText(text []byte) error {
	for level := None; level <= Extreme; level++ {
		if level.String() == string(text) {
			*l = level
			return nil
		}
	}
	return fault.New(fault.Invalid, "%q is no level: yellow, red or extreme", text)
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
// begins it alone) and ends after ClearAfter readings in a row that are inside by the margin. With ForMinutes all readings of so
// long a time must be at a level instead, and no two of them further apart than GapMinutes: nobody knows what was in between.
type Limit struct {
	Components []Bounds `json:"components"`
	K          int      `json:"k"`
	N          int      `json:"n"`
	ForMinutes int      `json:"for_minutes,omitempty"` // 0: at once
	GapMinutes int      `json:"gap_minutes,omitempty"` // a longer time between two readings ends the count
	ClearAfter int      `json:"clear_after"`
}

// Version is one immutable version of a rule. In force at t is the highest version whose EffectiveFrom is not after
// t: a version that starts earlier supersedes what older ones said from then on.
type Version struct {
	Number        int
	EffectiveFrom time.Time
	Enabled       bool
	Limit         Limit           // of a limit rule
	Trend         *Trend          // of a trend rule; nil of a limit
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
	Form     Form // of a trend rule; empty of a limit
	Metric   vital.Metric
	Versions []Version
}

// Key returns which of the patient's rules this is.
func (r *Rule) Key() RuleKey { return RuleKey{Kind: r.Kind, Metric: r.Metric, Form: r.Form} }

// plural names rules of the kind.
func (k Kind) plural() string {
	if k == KindTrend {
		return "trend rules"
	}
	return "limits"
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
