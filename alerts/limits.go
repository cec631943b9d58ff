package alerts

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Limits is what people do with a patient's limits: look, and set new versions.
type Limits struct {
	Book  RuleBook
	Past  Past // nil: nobody is told what is usual
	Looks *account.Looks
	Now   func() time.Time
}

// Get returns the patient's rules with all their versions.
func (l *Limits) Get(ctx context.Context, actor account.Actor, patient vital.UID) ([]Rule, error) {
	p, err := l.allow(ctx, actor, account.SeeReadings, patient)
	if err != nil {
		return nil, err
	}
	if err := l.Looks.Saw(ctx, actor, "limits", "", p.ID); err != nil {
		return nil, err
	}
	return l.Book.Rules(ctx, actor, patient)
}

// Set appends a version to the patient's rule of the metric; expected is the newest version that the author has seen,
// 0 when there was no rule. Of v it takes EffectiveFrom (zero: from now on), Enabled, Limit, Advice, Reason and
// ReviewBy. It returns fault.Invalid with what to mend, and fault.Conflict when somebody else has set a newer one.
func (l *Limits) Set(ctx context.Context, actor account.Actor, patient vital.UID, metric vital.Metric, expected int, v Version) (Rule, error) {
	v.Trend = nil
	return l.set(ctx, actor, patient, LimitOn(metric), expected, v)
}

// SetTrend appends a version to the patient's trend rule of the metric and form, as Set does to a limit. Of v it takes
// EffectiveFrom, Enabled, Trend, Advice, Reason and ReviewBy. The trend must have that form; one that is switched off may
// have none. Its days are local days of the patient's zone, whatever v says. What may be somebody else's body weight is asked
// unless v says another distance (TrendChange.Unlike).
func (l *Limits) SetTrend(ctx context.Context, actor account.Actor, patient vital.UID, metric vital.Metric, form Form, expected int, v Version) (Rule, error) {
	v.Limit = Limit{}
	if v.Trend == nil {
		v.Trend = &Trend{}
	}
	v.Trend = v.Trend.asking(metric)
	return l.set(ctx, actor, patient, TrendOn(metric, form), expected, v)
}

// allow asks for the function first, and then, with the patient as the actor finds them, for this patient.
func (l *Limits) allow(ctx context.Context, actor account.Actor, action account.Action, patient vital.UID) (account.Patient, error) {
	if err := account.Allow(actor, action, nil); err != nil {
		return account.Patient{}, err
	}
	p, err := l.Book.Patient(ctx, actor, patient)
	if err != nil {
		return account.Patient{}, err
	}
	return p, account.Allow(actor, action, &p)
}

func (l *Limits) set(ctx context.Context, actor account.Actor, patient vital.UID, key RuleKey, expected int, v Version) (Rule, error) {
	if _, err := l.allow(ctx, actor, account.SetLimits, patient); err != nil {
		return Rule{}, err
	}
	now := l.Now().UTC()
	if v.EffectiveFrom.IsZero() {
		v.EffectiveFrom = now
	}
	v.Author, v.AuthorName, v.CreatedAt = actor.Staff, actor.Name, now
	v.Reason, v.Advice = strings.TrimSpace(v.Reason), strings.TrimSpace(v.Advice)
	if err := v.check(key, now); err != nil {
		return Rule{}, err
	}
	return l.Book.AddVersion(ctx, actor, patient, key, expected, v)
}

const (
	longestReason = 2000                 // bytes of a reason, a note or an advice
	longestFor    = 24 * 60              // minutes of a duration: so far is read again to resume it
	furthestAhead = 366 * 24 * time.Hour // how far in the future limits may begin
)

func (v *Version) check(key RuleKey, now time.Time) error {
	switch {
	case v.Reason == "":
		return fault.New(fault.Invalid, "say why: a change of %s needs a reason", key.Kind.plural())
	case utf8.RuneCountInString(v.Reason) > longestReason || utf8.RuneCountInString(v.Advice) > longestReason:
		return fault.New(fault.Invalid, "reason and advice may have %d characters at most", longestReason)
	case v.EffectiveFrom.After(now.Add(furthestAhead)):
		return fault.New(fault.Invalid, "%s may begin at most a year ahead, not in %d", key.Kind.plural(), v.EffectiveFrom.Year())
	case v.EffectiveFrom.Before(alwaysInForce()):
		return fault.New(fault.Invalid, "%s may begin in %d at the earliest, no reading is older; not in %d",
			key.Kind.plural(), alwaysInForce().Year(), v.EffectiveFrom.Year())
	case !v.ReviewBy.IsZero() && v.ReviewBy.Before(v.EffectiveFrom):
		return fault.New(fault.Invalid, "the review date lies before the %s begin", key.Kind.plural())
	}
	if v.Trend != nil {
		switch has := v.Trend.Form(); {
		case has == "" && !v.Enabled:
			return nil
		case has != key.Form:
			return fault.New(fault.Invalid, "give what a trend of the form %s compares with: %s", key.Form, key.Form)
		}
		return v.Trend.Check(key.Metric)
	}
	if v.Enabled && !v.judges() {
		return fault.New(fault.Invalid, "set at least one bound, or switch the rule off")
	}
	return v.Limit.Check(key.Metric)
}

// Check returns fault.Invalid with what to mend when the limit cannot judge readings of the metric.
func (l *Limit) Check(metric vital.Metric) error {
	d, ok := vital.Define(metric)
	if !ok {
		return fault.New(fault.Invalid, "there is no such metric")
	}
	switch {
	case len(l.Components) > len(d.Components):
		return fault.New(fault.Invalid, "%s has %d components, limits were given for %d", d.Code, len(d.Components), len(l.Components))
	case l.K < 1 || l.N < l.K:
		return fault.New(fault.Invalid, "k of n: k must be at least 1 and not more than n (got %d of %d)", l.K, l.N)
	case l.N > MaxWindow:
		return fault.New(fault.Invalid, "k of n: n may be at most %d (got %d)", MaxWindow, l.N)
	case l.ForMinutes < 0 || l.ForMinutes > longestFor:
		return fault.New(fault.Invalid, "for_minutes: a duration may be at most %d minutes (got %d)", longestFor, l.ForMinutes)
	case l.ForMinutes > 0 && l.N > 1:
		return fault.New(fault.Invalid, "give either k of n or for_minutes, not both")
	case l.ForMinutes > 0 && (l.GapMinutes < 1 || l.GapMinutes > l.ForMinutes):
		return fault.New(fault.Invalid, "gap_minutes: say after how long without a reading the duration ends, 1 to %d minutes (got %d)", l.ForMinutes, l.GapMinutes)
	case l.ForMinutes == 0 && l.GapMinutes != 0:
		return fault.New(fault.Invalid, "gap_minutes goes with for_minutes")
	case l.ClearAfter < 1 || l.ClearAfter > MaxWindow:
		return fault.New(fault.Invalid, "clear after: must be 1 to %d readings (got %d)", MaxWindow, l.ClearAfter)
	}
	for i := range l.Components {
		b := &l.Components[i]
		if err := b.check(d.Code, d.Components[i]); err != nil {
			return err
		}
		if metric == vital.BloodPressure && i == diastolic && (b.RedLow != nil || b.ExtremeLow != nil) {
			return fault.New(fault.Invalid, "%s %s: no red_low or extreme_low can be set, a low diastolic pressure alone is yellow only", d.Code, d.Components[i].Code)
		}
	}
	return nil
}

func (b *Bounds) check(metric string, c vital.Component) error {
	const firstHigh = 3 // place of the lowest high bound in the order
	names := boundNames()
	var before *float64
	beforeName, beforeLow := "", false
	for i, p := range b.ordered() {
		if p == nil {
			continue
		}
		switch low := i < firstHigh; {
		case math.IsNaN(*p) || math.IsInf(*p, 0) || *p < c.Min || *p > c.Max:
			return fault.New(fault.Invalid, "%s %s: %s must be a number from %s to %s", metric, c.Code, names[i], number(c.Min), number(c.Max))
		case before != nil && *p < *before:
			return fault.New(fault.Invalid, "%s %s: %s (%s) must not be below %s (%s)", metric, c.Code, names[i], number(*p), beforeName, number(*before))
		case before != nil && *p == *before && beforeLow && !low:
			return fault.New(fault.Invalid, "%s %s: %s and %s (%s) leave no value between them", metric, c.Code, beforeName, names[i], number(*p))
		default:
			before, beforeName, beforeLow = p, names[i], low
		}
	}
	return b.checkMargin(metric, c)
}

func (b *Bounds) checkMargin(metric string, c vital.Component) error {
	if math.IsNaN(b.Margin) || math.IsInf(b.Margin, 0) || b.Margin < 0 {
		return fault.New(fault.Invalid, "%s %s: margin must be a number from 0", metric, c.Code)
	}
	low, high := c.Min, c.Max
	if p := first(b.YellowLow, b.RedLow, b.ExtremeLow); p != nil {
		low = *p + b.Margin
	}
	if p := first(b.YellowHigh, b.RedHigh, b.ExtremeHigh); p != nil {
		high = *p - b.Margin
		if low >= high { // a high bound itself is outside
			return fault.New(fault.Invalid, "%s %s: with a margin of %s no value counts as returned, the condition would never end", metric, c.Code, number(b.Margin))
		}
	}
	if low > high {
		return fault.New(fault.Invalid, "%s %s: with a margin of %s no value counts as returned, the condition would never end", metric, c.Code, number(b.Margin))
	}
	return nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
