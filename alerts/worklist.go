package alerts

import (
	"cmp"
	"context"
	"slices"
	"time"

	"hale/account"
	"hale/vital"
)

// Case is one patient on the worklist, with every alert that is not closed.
type Case struct {
	Patient      vital.UID
	Name         string
	Number       string
	Level        Level     // the worst that nobody looks after; of all, when somebody looks after each
	WaitingSince time.Time // when the first of those that are as bad as Level opened
	Acknowledged bool      // somebody looks after every one
	Historic     bool      // those that are as bad as Level tell only of the past
	Alerts       []Alert   // worst first, those that nobody looks after before the others
}

// Worklist returns the patients with alerts that are not closed: the worst first; of equally bad ones, those that
// tell only of the past (Episode.Past) after the others; then who has waited longest. Below them come the ones
// whose alerts somebody has all taken.
func (t *Triage) Worklist(ctx context.Context, actor account.Actor) ([]Case, error) {
	if err := account.Allow(actor, account.SeeAlerts, nil); err != nil {
		return nil, err
	}
	all, err := t.Cases.Worklist(ctx, actor)
	if err != nil {
		return nil, err
	}
	if all, err = t.seen(ctx, actor, "worklist", allowed(actor, all)); err != nil {
		return nil, err
	}
	return SortWorklist(all, t.Now()), nil
}

// SortWorklist groups alerts into a worklist as of now.
func SortWorklist(all []Alert, now time.Time) []Case {
	byPatient := make(map[vital.UID][]Alert)
	for _, a := range all {
		byPatient[a.PatientUID] = append(byPatient[a.PatientUID], a)
	}
	cases := make([]Case, 0, len(byPatient))
	for uid, alerts := range byPatient {
		slices.SortFunc(alerts, func(a, b Alert) int {
			return cmp.Or(falseFirst(a.AckInForce(now), b.AckInForce(now)), cmp.Compare(b.Level, a.Level), falseFirst(a.Past(), b.Past()), a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
		})
		cases = append(cases, caseOf(uid, alerts, now))
	}
	slices.SortFunc(cases, func(a, b Case) int {
		return cmp.Or(falseFirst(a.Acknowledged, b.Acknowledged), cmp.Compare(b.Level, a.Level), falseFirst(a.Historic, b.Historic), a.WaitingSince.Compare(b.WaitingSince), cmp.Compare(a.Patient, b.Patient))
	})
	return cases
}

// caseOf sums up a patient's alerts: those that nobody looks after, or all when somebody looks after each.
func caseOf(patient vital.UID, alerts []Alert, now time.Time) Case {
	c := Case{Patient: patient, Name: alerts[0].PatientName, Number: alerts[0].PatientNumber, Alerts: alerts}
	c.Acknowledged = !slices.ContainsFunc(alerts, func(a Alert) bool { return !a.AckInForce(now) })
	for i := range alerts {
		a := &alerts[i]
		if !c.Acknowledged && a.AckInForce(now) {
			continue
		}
		switch {
		case a.Level > c.Level:
			c.Level, c.WaitingSince, c.Historic = a.Level, a.OpenedAt, a.Past()
		case a.Level == c.Level:
			c.Historic = c.Historic && a.Past()
			if a.OpenedAt.Before(c.WaitingSince) {
				c.WaitingSince = a.OpenedAt
			}
		}
	}
	return c
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
