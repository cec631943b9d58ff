package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// What a device takes back may have been refused: it waits in quarantine, and may be somebody's emergency there.

const refusedUnderName = `
SELECT r.id FROM quarantine r JOIN sensor s ON s.org_id = r.org_id AND s.id = r.sensor_id
WHERE r.org_id = $1 AND r.name = $3 AND r.name <> 0 AND r.received_at <= $4
    AND (s.id = $2 OR s.parent_id = $2 OR s.id = (SELECT o.parent_id FROM sensor o WHERE o.org_id = $1 AND o.id = $2))`

// A row that a batch holds comes again in this moment, and waits again. Batches hold such rows in any order: whoever waited for one with an
// unverified red locked would wait for good.
const settleRefused = `
UPDATE quarantine q SET settled_at = $2, detail = q.detail || ' (since taken back or corrected by its device)' FROM (
    SELECT r.id FROM quarantine r WHERE r.id = ANY($1) AND r.settled_at IS NULL FOR NO KEY UPDATE SKIP LOCKED) n
WHERE q.id = n.id`

const refusedValues = `
SELECT x.id FROM unnest($1::bigint[]) AS q (id) CROSS JOIN LATERAL (
    SELECT v.id FROM unverified_value v WHERE v.quarantine_id = q.id AND (v.ended_at IS NULL OR v.became = 'claimed') OFFSET 0) x`

const leaveRefusedValues = `
UPDATE unverified_value SET left_at = $2, became = 'taken_back', by_name = '', note = '' WHERE id = ANY($1) AND ended_at IS NULL`

// What was said to be somebody's stands with them no more (stillClaimed).
const takeClaimedBack = `
WITH back AS (UPDATE unverified_value SET left_at = $2, became = 'taken_back' WHERE id = ANY($1) AND became = 'claimed' AND ended_at IS NOT NULL RETURNING id, org_id, unverified_id, vals)
SELECT b.unverified_id, u.uid::text, u.version, b.vals, coalesce(p.patient_id, 0) FROM back b JOIN unverified u ON u.id = b.unverified_id
    LEFT JOIN unverified_person p ON p.org_id = b.org_id AND p.value_id = b.id AND p.how = 'claimed' ORDER BY b.id`

// leaveRefused takes back what was refused under the name before: its message waits for nobody, and what it was an emergency of ends. It
// reports whether there was any. The reds are locked (holdNamed).
func (w *withdrawing) leaveRefused(ctx context.Context, tx pgx.Tx) (found bool, err error) {
	rows, err := tx.Query(ctx, refusedUnderName, int32(w.org), int64(w.sensor), w.name, w.received)
	if err != nil {
		return false, fmt.Errorf("find what was refused: %w", err)
	}
	refused, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(refused) == 0 {
		return false, wrapped(err, "find what was refused")
	}
	if _, err := tx.Exec(ctx, settleRefused, refused, w.now); err != nil {
		return false, fmt.Errorf("settle what was refused: %w", err)
	}
	if rows, err = tx.Query(ctx, refusedValues, refused); err != nil {
		return false, fmt.Errorf("find unverified values: %w", err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(values) == 0 {
		return true, wrapped(err, "find unverified values")
	}
	if _, err := tx.Exec(ctx, leaveRefusedValues, values, w.now); err != nil {
		return false, fmt.Errorf("mark what is taken back: %w", err)
	}
	return true, w.takeClaimedBack(ctx, tx, values)
}

// takeClaimedBack writes of what somebody had said to be a patient's that their device took it back.
func (w *withdrawing) takeClaimedBack(ctx context.Context, tx pgx.Tx, values []int64) error {
	type claimed struct {
		red     int64
		uid     vital.UID
		version int
		vals    []float64
		patient vital.PatientID
	}
	rows, err := tx.Query(ctx, takeClaimedBack, values, w.now)
	if err != nil {
		return fmt.Errorf("take back what was claimed: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c claimed, err error) {
		err = row.Scan(&c.red, &c.uid, &c.version, &c.vals, &c.patient)
		return c, err
	})
	if err != nil {
		return fmt.Errorf("take back what was claimed: %w", err)
	}
	for _, c := range list {
		back := string(alerts.ClosedAsTakenBack)
		if _, err := tx.Exec(ctx, insertClaimEntry, int32(w.org), c.red, back, w.now, nil, "", "", c.vals, "", c.version, nullID(c.patient)); err != nil {
			return fmt.Errorf("log what was taken back: %w", err)
		}
		trail := account.Audit{Org: w.org, At: w.now, Action: "unverified red ended", Patient: c.patient, Object: "unverified " + string(c.uid), Detail: back}
		if err := writeAudit(ctx, tx, trail); err != nil {
			return err
		}
	}
	return nil
}

const settleByIdentity = `
UPDATE quarantine q SET settled_at = $4 FROM (
    SELECT r.id FROM quarantine r WHERE r.org_id = $1 AND r.device_id = $2 AND r.identity = $3 AND r.settled_at IS NULL FOR NO KEY UPDATE SKIP LOCKED) n
WHERE q.id = n.id`

// settleRefusal ends the row in quarantine which says that nothing was found, or that it was too much: by now it was carried out.
func (w *withdrawing) settleRefusal(ctx context.Context, tx pgx.Tx) error {
	identity := identityOf(w.refused(""))
	_, err := tx.Exec(ctx, settleByIdentity, int32(w.org), int64(w.device), identity[:], w.now)
	return wrapped(err, "settle what was refused")
}
