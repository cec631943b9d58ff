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
	WaitingSince time.Time // when the first of the worst opened
	Acknowledged bool      // somebody looks after every one
	Historic     bool      // every one that nobody looks after came too late to page anybody
	Alerts       []Alert   // worst first, those that nobody looks after before the others
}

// Worklist returns the patients with alerts that are not closed: the worst first, among equals who has waited
// longest. Below them come those whose alerts all tell of the past (they came too late to page anybody), and below
// those the ones whose alerts somebody has all taken.
func (t *Triage) Worklist(ctx context.Context, actor account.Actor) ([]Case, error) {
	if err := account.Allow(actor, account.SeeAlerts, nil); err != nil {
		return nil, err
	}
	all, err := t.Cases.Worklist(ctx, actor)
	if err != nil {
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
			return cmp.Or(falseFirst(a.AckInForce(now), b.AckInForce(now)), falseFirst(a.Historic, b.Historic), cmp.Compare(b.Level, a.Level), a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
		})
		worst := alerts[0]
		cases = append(cases, Case{
			Patient: uid, Name: worst.PatientName, Number: worst.PatientNumber, Level: worst.Level,
			WaitingSince: worst.OpenedAt, Acknowledged: worst.AckInForce(now), Historic: worst.Historic, Alerts: alerts,
		})
	}
	slices.SortFunc(cases, func(a, b Case) int {
		return cmp.Or(falseFirst(a.Acknowledged, b.Acknowledged), falseFirst(a.Historic, b.Historic), cmp.Compare(b.Level, a.Level), a.WaitingSince.Compare(b.WaitingSince), cmp.Compare(a.Patient, b.Patient))
	})
	return cases
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
