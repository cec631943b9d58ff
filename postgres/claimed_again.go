package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/vital"
)

// readAgainNote is the note of the line that says of a value that was claimed as refused that it is refused no more.
const readAgainNote = "it had been claimed while it was refused: the reading that came of it is whose it is filed for, or calls anew"

// claimReadAgain ends the claims of what was refused and is no more. Who was said to be the one stays written at the red.
const claimReadAgain = `
WITH again AS (
    UPDATE unverified_value v SET became = 'read_again', by_name = $3, note = '' WHERE v.id = ANY($1) AND v.place = 'quarantine' AND v.became = 'claimed' AND v.ended_at IS NOT NULL
    RETURNING v.id, v.unverified_id, v.vals
), told AS (
    UPDATE unverified u SET version = u.version + 1 WHERE u.id IN (SELECT unverified_id FROM again) RETURNING u.org_id, u.id, u.uid, u.version
), whose AS (
    SELECT a.id AS value, a.vals, t.org_id, t.id, t.uid, t.version, h.patient_id FROM again a JOIN told t ON t.id = a.unverified_id
        LEFT JOIN LATERAL (SELECT p.patient_id FROM unverified_person p WHERE p.value_id = a.id AND p.how = 'claimed' ORDER BY p.id LIMIT 1) h ON true
), logged AS (
    INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, vals, note, version, claimed_for)
    SELECT w.org_id, w.id, 'read_again', $2, $4, $3, $5, w.vals, $6, w.version, w.patient_id FROM whose w ORDER BY w.value
)
SELECT w.uid::text, coalesce(w.patient_id, 0) FROM whose w ORDER BY w.value`

// readAgain marks that what was refused of a message was accepted: what still calls ends in a moment, and what somebody said was whose, says
// no longer that it was refused.
func readAgain(ctx context.Context, tx pgx.Tx, actor account.Actor, refusal vital.UID, now time.Time) error {
	values, err := lockReds(ctx, tx, valuesOfRefused, string(refusal))
	if err != nil || len(values) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, leaveQuarantine, values, now, actor.Name); err != nil {
		return fmt.Errorf("mark what was read again: %w", err)
	}
	rows, err := tx.Query(ctx, claimReadAgain, values, now, actor.Name, nullID(actor.Staff), string(actor.Role), readAgainNote)
	if err != nil {
		return fmt.Errorf("end claims of what was refused: %w", err)
	}
	var trail []account.Audit
	row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "unverified red read_again"}
	var red string
	_, err = pgx.ForEachRow(rows, []any{&red, &row.Patient}, func() error {
		row.Object = "unverified " + red
		trail = append(trail, row)
		return nil
	})
	if err != nil {
		return fmt.Errorf("end claims of what was refused: %w", err)
	}
	for _, row := range trail {
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
	}
	return nil
}
