package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// nextRefile takes the one that was stepped longest ago and that no other process is at, without a lock of its row: whoever erases
// a person holds the cursors and ends what is asked for them, so the cursors come first. One that failed waits for its time, and
// the others pass by.
const nextRefile = `
SELECT id, org_id, uid::text, sensor_id, source_id, target_id FROM (
    SELECT id, org_id, uid, sensor_id, coalesce(source_id, 0) AS source_id, coalesce(target_id, 0) AS target_id FROM refile
    WHERE state IN ('asked', 'running') AND next_action_at <= $1 ORDER BY stepped_at, id OFFSET 0
) f WHERE pg_try_advisory_xact_lock(hashtextextended('refile ' || f.id, 0)) LIMIT 1`

// FOR NO KEY UPDATE: a row that refers to it may be written meanwhile.
const takeRefile = `
SELECT from_at, to_at, state, coalesce(undo_of, 0), reached_at, earliest_at, total, moved, asked_name, merge_id IS NOT NULL, claims, coalesce(device_id, 0)
FROM refile WHERE id = $1 AND state IN ('asked', 'running') AND next_action_at <= $2 FOR NO KEY UPDATE`

// nextHeld takes the next refile with all that it needs held. It returns one without an id when there is none, and without a state
// when it ended before everything was held.
func nextHeld(ctx context.Context, tx pgx.Tx, r *refiling) error {
	err := tx.QueryRow(ctx, nextRefile, r.now).Scan(&r.id, &r.org, &r.uid, &r.sensor, &r.source, &r.target)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find a refile: %w", err)
	}
	if err := holdSensor(ctx, tx, r.sensor, r.source, r.target); err != nil {
		return err
	}
	var to, reached, earliest *time.Time
	err = tx.QueryRow(ctx, takeRefile, r.id, r.now).Scan(&r.from, &to, &r.state, &r.undoOf, &reached, &earliest, &r.total, &r.moved, &r.askedBy, &r.merged, &r.claims, &r.device)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take a refile: %w", err)
	}
	r.from, r.to, r.reached, r.earliest = r.from.UTC(), timeOf(to), timeOf(reached), timeOf(earliest)
	return nil
}

// everInvolved are those through whose partitions a reading of the sensor may come, however stale an edge is or whatever
// waits in the stream: who ever had it, and the devices that speak for it.
const everInvolved = `
SELECT patient_id FROM assignment WHERE sensor_id = $1
UNION SELECT g.device_id FROM sensor s JOIN gateway_grant g ON g.org_id = s.org_id AND g.sensor_id IN (s.id, s.parent_id) WHERE s.id = $1
UNION SELECT o.device_id FROM sensor s JOIN sensor o ON o.org_id = s.org_id AND o.id IN (s.id, s.parent_id) WHERE s.id = $1 AND o.device_id IS NOT NULL`

// holdSensor holds, shared and in order, all partitions in which the sensor's readings are filed or judged, and then the
// sensor's own row against others who change its assignments.
func holdSensor(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, patients ...vital.PatientID) error {
	rows, err := tx.Query(ctx, everInvolved, int64(sensor))
	if err != nil {
		return fmt.Errorf("find who has to do with the sensor: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find who has to do with the sensor: %w", err)
	}
	for _, p := range patients {
		if p != 0 {
			ids = append(ids, int64(p))
		}
	}
	var partitions []int
	for _, id := range ids {
		partitions = append(partitions, vital.PartitionOf(uint64(id)))
	}
	slices.Sort(partitions)
	for _, p := range slices.Compact(partitions) {
		if _, err := tx.Exec(ctx, shareCursor, p); err != nil {
			return fmt.Errorf("hold partition %d: %w", p, err)
		}
	}
	if _, err := tx.Exec(ctx, lockSensor, int64(sensor)); err != nil {
		return fmt.Errorf("lock sensor: %w", err)
	}
	return nil
}

// refileAttempts is after how many failures it is said that something is wrong, about two minutes after the first [J].
const refileAttempts = 8

// What failed waits for a second, twice as long each time, and ten minutes at most. That the database was away counts for nothing.
const setBackRefile = `
UPDATE refile SET attempts = attempts + $3, next_action_at = $4::timestamptz + least(interval '1 second' * power(2, least(attempts, 16)), interval '10 minutes'), stepped_at = $4
WHERE org_id = $1 AND id = $2 AND state IN ('asked', 'running') RETURNING attempts, state, merge_id IS NOT NULL`

const saysProblem = `UPDATE refile SET problem = $3 WHERE org_id = $1 AND id = $2`

const (
	notYetFiled     = "it was tried several times and did not succeed: the log of Hale says why; ask again once that is mended"
	standsStill     = "it does not go on just now, and is tried again every ten minutes: whoever runs Hale finds the reason in its log"
	endedForErasure = "it stood still, and was ended when somebody whom it concerned was erased: what had moved by then stays where it belongs, the rest was not moved"
	wasErased       = "somebody who had the sensor in that time was erased, or whom it would go to is being erased: ask again for the time before or after"
)

// setBack lets a refile that failed wait, in a transaction of its own, so that the others go on. One that has not begun, and is no
// part of a merge, ends as failed after some attempts. Of one that has, half is moved: it is tried for as long as it takes,
// and says so.
func (w *Work) setBack(ctx context.Context, r *refiling, cause error) (safe.RefileStep, error) {
	err := classify(cause)
	if r.id == 0 || ctx.Err() != nil {
		return safe.RefileStep{}, err
	}
	step := safe.RefileStep{Found: true, Refile: string(r.uid), Trouble: err}
	count, erased := 1, violated(cause, afterErasure)
	if fault.Is(err, fault.Unavailable) {
		count = 0
	}
	noted := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var attempts int
		var state safe.RefileState
		var merged bool
		err := tx.QueryRow(ctx, setBackRefile, int32(r.org), r.id, count, r.now).Scan(&attempts, &state, &merged)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody has ended it in this moment
		}
		if err != nil || attempts < refileAttempts && !erased {
			return err
		}
		if state == safe.RefileAsked && !merged {
			step.Ended, step.Failed = true, true
			if erased {
				return r.fail(ctx, tx, wasErased)
			}
			return r.fail(ctx, tx, notYetFiled)
		}
		_, err = tx.Exec(ctx, saysProblem, int32(r.org), r.id, standsStill)
		return err
	})
	if noted != nil {
		return safe.RefileStep{}, err // the database is away: everything waits
	}
	return step, nil
}
