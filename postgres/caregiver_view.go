package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// mostCaregiverAlerts is how many alerts one caregiver's list is chosen from: a state in a frozen view is known only after the
// log was read.
const mostCaregiverAlerts = 2000

// frozenSince returns from when on the caregiver whom the transaction acts for sees nothing new, by patient.
func frozenSince(ctx context.Context, tx pgx.Tx) (map[vital.PatientID]time.Time, error) {
	rows, err := tx.Query(ctx, `SELECT patient_id, frozen_at FROM my_ways() WHERE frozen_at IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("find frozen views: %w", err)
	}
	found := map[vital.PatientID]time.Time{}
	var patient vital.PatientID
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&patient, &at}, func() error { found[patient] = at.UTC(); return nil }); err != nil {
		return nil, fmt.Errorf("find frozen views: %w", err)
	}
	return found, nil
}

// asSeen makes alerts what the actor sees of them. A caregiver is not shown a pulse that is private. In a frozen view an alert stands as its log told it then: row level
// security hides the later entries, and the episode is folded anew from those that are left. For anybody else nothing changes.
func asSeen(ctx context.Context, tx pgx.Tx, actor account.Actor, list []alerts.Alert) error {
	if actor.Role != account.CaregiverRole || len(list) == 0 {
		return nil
	}
	frozen, err := frozenSince(ctx, tx)
	if err != nil {
		return err
	}
	hidden, err := pulsesHidden(ctx, tx, actor)
	if err != nil {
		return err
	}
	for i := range list {
		a := &list[i]
		if _, is := frozen[a.Patient]; !is {
			hidden.alert(a)
			continue
		}
		rows, err := tx.Query(ctx, selectLog, string(a.UID))
		if err != nil {
			return fmt.Errorf("load the timeline: %w", err)
		}
		log, err := pgx.CollectRows(rows, scanEntry)
		if err != nil {
			return fmt.Errorf("load the timeline: %w", err)
		}
		a.Episode = alerts.FoldLog(a.Episode, log)
		a.Newer = a.Newer && a.Contact && a.State != alerts.Closed
		hidden.alert(a)
	}
	return nil
}

// caregiverAlerts chooses from what a caregiver sees by the state in which they see it.
func (a *App) caregiverAlerts(ctx context.Context, actor account.Actor, query string, args pgx.NamedArgs, states []alerts.State, most int) ([]alerts.Alert, error) {
	args["states"], args["limit"] = nil, mostCaregiverAlerts
	list, err := a.queryAlerts(ctx, actor, query, args)
	if err != nil {
		return nil, err
	}
	now, _ := args["now"].(time.Time)
	list = slices.DeleteFunc(list, func(one alerts.Alert) bool {
		state := one.State
		if state == alerts.Acknowledged && !one.AckInForce(now) {
			state = alerts.Open
		}
		return len(states) > 0 && !slices.Contains(states, state)
	})
	return list[:min(len(list), most)], nil
}

// AlertsHeard returns those of the alerts of which the actor may hear now: within their view, and for a caregiver neither
// private nor of a frozen view, which hears of nothing new.
func (a *App) AlertsHeard(ctx context.Context, actor account.Actor, uids []vital.UID) (map[vital.UID]bool, error) {
	names := make([]string, len(uids))
	for i, uid := range uids {
		names[i] = string(uid)
	}
	heard := map[vital.UID]bool{}
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		const seen = `SELECT e.uid::text FROM episode e WHERE e.uid = ANY($1::uuid[]) AND NOT EXISTS (SELECT FROM my_ways() w WHERE w.patient_id = e.patient_id AND w.frozen_at IS NOT NULL)`
		rows, err := tx.Query(ctx, seen, names)
		if err != nil {
			return fmt.Errorf("find alerts: %w", err)
		}
		var uid vital.UID
		_, err = pgx.ForEachRow(rows, []any{&uid}, func() error { heard[uid] = true; return nil })
		return err
	})
	return heard, err
}

// HearsAny reports whether the actor may see the alerts of anybody at all. One who is suspended may, and is not to notice.
func (a *App) HearsAny(ctx context.Context, actor account.Actor) (bool, error) {
	list, err := a.Patients(ctx, actor, "", account.MostPatients)
	return slices.ContainsFunc(list, func(p account.Patient) bool { return account.Allow(actor, account.SeeAlerts, &p) == nil }), err
}
