package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/safe"
)

const sheetHelpers = `
SELECT c.name, g.guardian, c.phone FROM caregiver_grant g JOIN caregiver c ON c.org_id = g.org_id AND c.id = g.caregiver_id
WHERE g.patient_id = $1 AND (NOT g.guardian OR g.confirmed_at <= $2) AND g.from_at <= $2 AND (g.to_at IS NULL OR g.to_at > $2) ORDER BY g.guardian DESC, g.id`

const sheetTeams = `
SELECT t.name, t.phone FROM team_patient m JOIN team t ON t.org_id = m.org_id AND t.id = m.team_id
WHERE m.patient_id = $1 AND m.from_at <= $2 AND (as_of_freeze(m.patient_id, m.to_at) IS NULL OR m.to_at > $2) AND (t.ended_at IS NULL OR t.ended_at > $2) ORDER BY t.name`

// Sheet gathers what stands on the emergency sheet of a patient. See safe.SheetBook.
func (a *App) Sheet(ctx context.Context, actor account.Actor, p account.Patient) (safe.Sheet, error) {
	var s safe.Sheet
	newest, err := a.Latest(ctx, actor, p.UID)
	if err != nil {
		return s, err
	}
	for _, n := range newest {
		s.Latest = append(s.Latest, safe.Vital{Metric: n.Metric, At: n.At.UTC(), Vague: n.Vague(), Values: n.Values, Findings: n.Findings})
	}
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		rules, err := rulesSeen(ctx, tx, actor, p.ID)
		if err != nil {
			return err
		}
		s.Limits = ownLimits(rules, now)
		// Somebody who was shut out in silence must not learn it from a paper that lies on the table: they stay on it.
		rows, err := tx.Query(ctx, sheetHelpers, int64(p.ID), now)
		if err == nil {
			s.Helpers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[safe.Helper])
		}
		if err != nil {
			return fmt.Errorf("read who helps: %w", err)
		}
		rows, err = tx.Query(ctx, sheetTeams, int64(p.ID), now)
		if err == nil {
			s.Teams, err = pgx.CollectRows(rows, pgx.RowToStructByPos[safe.CareTeam])
		}
		if err != nil {
			return fmt.Errorf("read the care teams: %w", err)
		}
		return nil
	})
	return s, err
}

// ownLimits are the red bounds of the limits that a person set for the patient: version 1 is the programme's default.
func ownLimits(rules []alerts.Rule, now time.Time) []safe.OwnLimit {
	var own []safe.OwnLimit
	for i := range rules {
		v, some := rules[i].InForce(now)
		if !some || rules[i].Kind != alerts.KindLimit || !v.Enabled || v.Number < 2 {
			continue
		}
		for c, b := range v.Limit.Components {
			if b.RedLow != nil || b.RedHigh != nil {
				own = append(own, safe.OwnLimit{Metric: rules[i].Metric, Component: c, Low: b.RedLow, High: b.RedHigh, Reason: v.Reason})
			}
		}
	}
	return own
}
