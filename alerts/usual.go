package alerts

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Past is the record as Limits needs it to tell what is usual.
type Past interface {
	// EachReading calls take for each of the patient's readings that rules judge, of the metric and measured within from
	// (inclusive) and to, in any order. It is fault.Invalid when there are more than can be looked through for a page.
	EachReading(ctx context.Context, actor account.Actor, patient vital.UID, metric vital.Metric, from, to time.Time, take func(*Point)) error
}

// Standings returns what each of the patient's baselines in force compares a reading of now with, or how much history it waits for. It
// is what people see beside the rule; alerts keep their own numbers (Grounds). Rules are those of Get.
func (l *Limits) Standings(ctx context.Context, actor account.Actor, patient vital.UID, rules []Rule) (map[RuleKey]Standing, error) {
	all := map[RuleKey]Standing{}
	if l.Past == nil {
		return all, nil
	}
	now := l.Now()
	for i := range rules {
		rule := &rules[i]
		v, ok := rule.InForce(now)
		if !ok || !v.Enabled || v.Trend == nil || v.Trend.Baseline == nil {
			continue
		}
		if _, err := l.allow(ctx, actor, account.SeeReadings, patient); err != nil {
			return nil, err
		}
		only := Rule{Kind: rule.Kind, Form: rule.Form, Metric: rule.Metric, Versions: []Version{*v}}
		past := newHistory(&only, nil)
		err := l.Past.EachReading(ctx, actor, patient, rule.Metric, now.Add(-only.reach()), now.Add(time.Nanosecond), past.take)
		if fault.Is(err, fault.Invalid) {
			continue // too many for whoever looks to wait for: the rule judges all the same
		}
		if err != nil {
			return nil, err
		}
		if s := past.set(v.Trend); s != nil {
			date, _ := s.local(now)
			all[rule.Key()] = v.Trend.Baseline.standing(s.sessions, date)
		}
	}
	return all, nil
}
