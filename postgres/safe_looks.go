package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

const insertLooks = `
INSERT INTO audit (org_id, at, actor_id, actor_name, actor_role, session_uid, action, object, detail, patient_id)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, nullif(seen, 0) FROM unnest($10::bigint[]) seen`

// RecordLooks writes one audit row for each patient who is about to be seen; patient 0 is a list that names many. See account.LookLog.
func (a *App) RecordLooks(ctx context.Context, row account.Audit, patients []vital.PatientID) error {
	ids := make([]int64, len(patients))
	for i, p := range patients {
		ids[i] = int64(p)
	}
	return a.inOrg(ctx, row.Org, func(tx pgx.Tx, now time.Time) error {
		row.At = now
		args := auditArgs(row)
		args = append(append(args[:7:7], args[8:]...), ids) // without the one patient of a single row
		if _, err := tx.Exec(ctx, insertLooks, args...); err != nil {
			return fmt.Errorf("write down who looked: %w", err)
		}
		return nil
	})
}

// selectLooks reads the trail of one patient. What Hale did by itself has no role and its name; a look during broken glass
// of the same person carries the reason, and signing in with a code who made it.
const selectLooks = `
SELECT a.id, a.at, a.actor_name, a.actor_role, a.session_uid, a.action, a.object, a.detail, coalesce((
    SELECT g.reason FROM break_glass g WHERE g.org_id = a.org_id AND g.patient_id = a.patient_id AND g.staff_id = a.actor_id
        AND g.from_at <= a.at AND coalesce(g.ended_at, g.until_at) >= a.at ORDER BY g.id DESC LIMIT 1), ''),
    coalesce(let_in_by(CASE WHEN a.action = 'sign in' AND a.object LIKE 'invitation %' THEN substr(a.object, 12)::uuid END), '')
FROM audit a
WHERE a.patient_id = @patient AND a.at >= coalesce(@from::timestamptz, '-infinity') AND a.at < coalesce(@to::timestamptz, 'infinity')
    AND (@before::bigint = 0 OR a.id < @before) AND (@hale OR NOT (a.actor_role = '' AND a.actor_name = 'hale'))
ORDER BY a.id DESC LIMIT @limit`

// Looks returns the trail of a patient. See safe.LookLog.
func (a *App) Looks(ctx context.Context, actor account.Actor, patient vital.PatientID, f safe.LookFilter) ([]safe.Look, error) {
	var list []safe.Look
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectLooks, pgx.NamedArgs{
			"patient": int64(patient), "from": nullTime(f.From), "to": nullTime(f.To), "before": f.Before, "hale": f.Hale, "limit": f.Limit,
		})
		if err != nil {
			return fmt.Errorf("read who looked: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Look, error) {
			var l safe.Look
			err := row.Scan(&l.ID, &l.At, &l.Name, &l.Role, &l.Session, &l.Action, &l.Object, &l.Detail, &l.Glass, &l.By)
			l.At = l.At.UTC()
			return l, err
		})
		if err != nil {
			return fmt.Errorf("read who looked: %w", err)
		}
		return nil
	})
	return list, err
}
