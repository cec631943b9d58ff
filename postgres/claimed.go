package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
)

const claimedOwners = `
SELECT u.id, p.id, p.uid::text, p.org_id, p.name, p.number, p.state, ` + relationColumns + patientTables + `
    JOIN unverified_person h ON h.org_id = p.org_id AND h.patient_id = p.id AND h.how = 'claimed'
    JOIN unverified u ON u.org_id = h.org_id AND u.id = h.unverified_id AND u.state = 'closed' AND u.closing = 'claimed'
WHERE ($1::uuid IS NULL OR p.uid = $1) AND ($2::timestamptz IS NULL OR u.closed_at >= $2) AND (NOT $3 OR u.place <> 'inbox')
ORDER BY u.closed_at DESC, u.id DESC LIMIT $4`

const unverifiedByID = selectUnverified + `WHERE u.id = ANY($1) ORDER BY u.closed_at DESC, u.id DESC`

// Claimed returns claimed reds with whose they are said to be. See alerts.ClaimedBook.
func (a *App) Claimed(ctx context.Context, actor account.Actor, f alerts.ClaimedFilter) ([]alerts.ClaimedRed, error) {
	var patient any
	if f.Patient != "" {
		u, err := parseUID(f.Patient, "patient")
		if err != nil {
			return nil, err
		}
		patient = u
	}
	var list []alerts.ClaimedRed
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, claimedOwners, patient, nullTime(f.Since), f.Unjudged, f.Limit)
		if err != nil {
			return fmt.Errorf("list claimed reds: %w", err)
		}
		owners, ids := map[int64]account.Patient{}, []int64(nil)
		var id int64
		var p account.Patient
		var glass *time.Time
		_, err = pgx.ForEachRow(rows, []any{&id, &p.ID, &p.UID, &p.Org, &p.Name, &p.Number, &p.State, &p.Relation.Team, &glass, &p.Relation.Shared}, func() error {
			p.Relation.Glass = timeOf(glass)
			owners[id], ids = p, append(ids, id)
			return nil
		})
		if err != nil {
			return fmt.Errorf("list claimed reds: %w", err)
		}
		if rows, err = tx.Query(ctx, unverifiedByID, ids); err != nil {
			return fmt.Errorf("list claimed reds: %w", err)
		}
		all, err := pgx.CollectRows(rows, scanUnverified)
		if err != nil {
			return fmt.Errorf("list claimed reds: %w", err)
		}
		for i := range all {
			list = append(list, alerts.ClaimedRed{Unverified: all[i], Owner: owners[all[i].ID]})
		}
		return nil
	})
	return list, err
}
