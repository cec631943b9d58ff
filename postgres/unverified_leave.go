package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// keyList are keys of readings, column by column.
type keyList struct {
	sensors []int64
	metrics []int16
	sent    []time.Time
	ties    []int64
}

func (k *keyList) add(sensor vital.SensorID, metric vital.Metric, sent time.Time, tie int64) {
	k.sensors, k.metrics, k.sent, k.ties = append(k.sensors, int64(sensor)), append(k.metrics, int16(metric)), append(k.sent, sent), append(k.ties, tie)
}

// The OFFSET has each value looked up by its key, whatever the planner knows of the tables: a sensor may have thousands that wait, and
// whatever asks for them holds batches up.
const valuesByKey = `
SELECT x.id, x.unverified_id FROM unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS k (sensor_id, metric, sent_at, tie) CROSS JOIN LATERAL (
    SELECT v.id, v.unverified_id FROM unverified_value v WHERE v.sensor_id = k.sensor_id AND v.metric = k.metric AND v.sent_at = k.sent_at AND v.tie = k.tie OFFSET 0) x`

// In the order in which batches lock them.
const lockUnverifieds = `SELECT FROM unverified WHERE id = ANY($1) ORDER BY sensor_id, metric, side, historic, id FOR NO KEY UPDATE`

// standing returns the values that unverified reds stand for under the keys, with these reds locked: before any value, as everybody does.
func standing(ctx context.Context, tx pgx.Tx, k *keyList) ([]int64, error) {
	return lockReds(ctx, tx, valuesByKey, k.sensors, k.metrics, k.sent, k.ties)
}

// lockReds returns the values that a query finds, of which it returns the ids and those of the reds that stand for them, with these reds
// locked in their order.
func lockReds(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("find unverified values: %w", err)
	}
	var values, reds []int64
	var value, red int64
	_, err = pgx.ForEachRow(rows, []any{&value, &red}, func() error {
		values, reds = append(values, value), append(reds, red)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find unverified values: %w", err)
	}
	if len(values) == 0 {
		return nil, nil
	}
	_, err = tx.Exec(ctx, lockUnverifieds, reds)
	return values, wrapped(err, "lock unverified reds")
}

const (
	keysOfNames = `
SELECT m.sensor_id, m.metric, m.sent_at, m.tie FROM (SELECT DISTINCT name FROM unnest($3::bigint[]) AS u (name)) n CROSS JOIN LATERAL (
    SELECT o.sensor_id, o.metric, o.sent_at, o.tie FROM reading_more o WHERE o.org_id = $1 AND o.name = n.name
        AND o.sensor_id IN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND (s.id = $2 OR s.parent_id = $2)) OFFSET 0) m
ORDER BY m.sensor_id, m.metric, m.sent_at, m.tie`
	lockReadings = `
SELECT FROM unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS k (sensor_id, metric, sent_at, tie) CROSS JOIN LATERAL (
    SELECT FROM reading r WHERE r.sensor_id = k.sensor_id AND r.metric = k.metric AND r.sent_at = k.sent_at AND r.tie = k.tie OFFSET 0 FOR NO KEY UPDATE) r`
	lockParked = `
SELECT FROM unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS k (sensor_id, metric, sent_at, tie) CROSS JOIN LATERAL (
    SELECT FROM inbox i WHERE i.sensor_id = k.sensor_id AND i.metric = k.metric AND i.sent_at = k.sent_at AND i.tie = k.tie OFFSET 0 FOR NO KEY UPDATE) i`
)

// valuesOfNames are those of keys, and of what was refused under the names.
const valuesOfNames = valuesByKey + `
UNION ALL SELECT x.id, x.unverified_id FROM quarantine q CROSS JOIN LATERAL (
    SELECT v.id, v.unverified_id FROM unverified_value v WHERE v.quarantine_id = q.id AND (v.ended_at IS NULL OR v.became = 'claimed') OFFSET 0) x
WHERE q.org_id = $5 AND q.name = ANY($6) AND q.name <> 0`

// holdNamed locks whatever the sensor sent under the names, wherever it is, and the unverified reds that stand for it, all of it in the
// order in which a refile does: what is taken back by one name after the other would lock them in any order.
func holdNamed(ctx context.Context, tx pgx.Tx, org vital.OrgID, sensor vital.SensorID, names []int64) error {
	rows, err := tx.Query(ctx, keysOfNames, int32(org), int64(sensor), names)
	if err != nil {
		return fmt.Errorf("find what was sent under names: %w", err)
	}
	k := &keyList{}
	var of vital.SensorID
	var metric vital.Metric
	var sent time.Time
	var tie int64
	if _, err := pgx.ForEachRow(rows, []any{&of, &metric, &sent, &tie}, func() error { k.add(of, metric, sent, tie); return nil }); err != nil {
		return fmt.Errorf("find what was sent under names: %w", err)
	}
	for _, lock := range []string{lockReadings, lockParked} {
		if _, err := tx.Exec(ctx, lock, k.sensors, k.metrics, k.sent, k.ties); err != nil {
			return fmt.Errorf("lock what was sent under names: %w", err)
		}
	}
	_, err = lockReds(ctx, tx, valuesOfNames, k.sensors, k.metrics, k.sent, k.ties, int32(org), names)
	return err
}

const leaveInbox = `
UPDATE unverified_value v SET left_at = $2, became = $3, by_name = $4, note = CASE WHEN $5 = '' THEN v.note ELSE $5 END WHERE v.id = ANY($1) AND v.place = 'inbox' AND v.left_at IS NULL AND v.ended_at IS NULL`

// An average that has an owner now is stored, and no limit judges it: it is nobody's who would be called, and stays on the list.
const storeAverages = `
WITH stored AS (
    UPDATE unverified_value v SET place = 'record', why = 'averaged'
    WHERE v.id = ANY($1) AND v.place = 'inbox' AND v.left_at IS NULL AND v.ended_at IS NULL AND v.findings & $2 <> 0
    RETURNING v.org_id, v.unverified_id, v.id, v.reading_id
), told AS (
    INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, value_id) SELECT s.org_id, s.unverified_id, $3::bigint, 'claimed', s.id FROM stored s ON CONFLICT DO NOTHING
)
UPDATE unverified u SET place = 'record', why = 'averaged', version = u.version + 1 FROM stored s WHERE u.id = s.unverified_id AND u.reading_id = s.reading_id AND u.state <> 'closed'`

// What a claim was undone of waits again, and is opened anew if it had ended.
const backInInbox = `
WITH back AS (
    UPDATE unverified_value v SET left_at = NULL, ended_at = NULL, became = '', by_name = '', note = '', place = 'inbox', why = 'refiled'
    WHERE v.id = ANY($1) AND (v.became = 'claimed' AND v.place = 'inbox' OR v.ended_at IS NULL AND v.place = 'record')
    RETURNING v.id, v.unverified_id), theirs AS (DELETE FROM unverified_person p USING back b WHERE p.value_id = b.id AND p.how = 'claimed')
UPDATE unverified u SET next_action_at = $2 FROM (SELECT DISTINCT unverified_id FROM back) b WHERE u.id = b.unverified_id AND u.state = 'closed'`

// waitAgain are the keys of what a step has parked.
const waitAgain = `
SELECT i.metric, i.sent_at, i.tie FROM (SELECT DISTINCT m.metric, m.sent_at FROM unnest($2::smallint[], $3::timestamptz[]) AS m (metric, sent_at)) k CROSS JOIN LATERAL (
    SELECT w.metric, w.sent_at, w.tie FROM inbox w WHERE w.sensor_id = $1 AND w.metric = k.metric AND w.sent_at = k.sent_at AND w.state = 'waiting' OFFSET 0) i`

// leave marks what has just been claimed (by whom, for whom) or put aside (and why).
func leave(ctx context.Context, tx pgx.Tx, k *keyList, now time.Time, became alerts.Closing, by, why string) error {
	values, err := standing(ctx, tx, k)
	if err != nil || len(values) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, leaveInbox, values, now, string(became), by, why)
	return wrapped(err, "mark what waits no more")
}

// unpark marks what the step has filed: it ends as unverified once its patient was judged by it. What it took back waits again.
func (r *refiling) unpark(ctx context.Context, tx pgx.Tx, moved []movedReading) error {
	switch {
	case r.source == 0:
		k := &keyList{}
		for i := range moved {
			k.add(r.sensor, moved[i].metric, moved[i].sent, moved[i].tie)
		}
		values, err := standing(ctx, tx, k)
		if err != nil || len(values) == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, storeAverages, values, int32(vital.NotJudged), int64(r.target)); err != nil {
			return fmt.Errorf("mark averages that are stored now: %w", err)
		}
		_, err = tx.Exec(ctx, leaveInbox, values, r.now, string(alerts.ClosedAsClaimed), r.askedBy, "")
		return wrapped(err, "mark what waits no more")
	case r.target == 0:
		return r.park(ctx, tx, moved)
	}
	return nil
}

// park marks that what the step took back waits again.
func (r *refiling) park(ctx context.Context, tx pgx.Tx, moved []movedReading) error {
	metrics, sent := make([]int16, len(moved)), make([]time.Time, len(moved))
	for i := range moved {
		metrics[i], sent[i] = int16(moved[i].metric), moved[i].sent
	}
	rows, err := tx.Query(ctx, waitAgain, int64(r.sensor), metrics, sent)
	if err != nil {
		return fmt.Errorf("find what waits again: %w", err)
	}
	k := &keyList{}
	if err := k.collect(rows, r.sensor); err != nil {
		return fmt.Errorf("find what waits again: %w", err)
	}
	values, err := standing(ctx, tx, k)
	if err != nil || len(values) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, backInInbox, values, r.now)
	return wrapped(err, "mark what waits again")
}

// collect adds rows of metric, time as sent and tie.
func (k *keyList) collect(rows pgx.Rows, sensor vital.SensorID) error {
	var metric vital.Metric
	var sent time.Time
	var tie int64
	_, err := pgx.ForEachRow(rows, []any{&metric, &sent, &tie}, func() error {
		k.add(sensor, metric, sent, tie)
		return nil
	})
	return err
}
