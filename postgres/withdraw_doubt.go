package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// refusedCorrection stands in withdrawal.standing for an amendment that was refused: what it names stands as it is, and everybody who sees
// it is told that its device wants it changed.
const refusedCorrection vital.Standing = 4

// refusedCorrections are what of the batch names a reading that it would have amended, and was refused. They have no number and no time.
func (j *job) refusedCorrections(ctx context.Context, tx statements) ([]*vital.Reading, error) {
	var list []*vital.Reading
	for _, no := range j.sifted.refused {
		for _, seen := range no.All() {
			more := seen.Read.More
			if no.Reason == vital.ReasonConflict || more == nil || more.Standing != vital.Amended || more.Name == 0 {
				continue
			}
			r := &vital.Reading{Org: no.Org, Device: no.Device, ReceivedAt: no.ReceivedAt, More: &vital.More{Name: more.Name, Standing: refusedCorrection}}
			r.Sensor, r.Metric = seen.Read.Sensor, seen.Read.Metric
			if r.Sensor == 0 {
				err := tx.QueryRow(ctx, `SELECT coalesce((SELECT id FROM sensor WHERE org_id = $1 AND device_id = $2 LIMIT 1), 0)`, int32(no.Org), int64(no.Device)).Scan(&r.Sensor)
				if err != nil {
					return nil, fmt.Errorf("find a device's own sensor: %w", err)
				}
			}
			if r.Sensor != 0 {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// Of the sensor and of those who share it, as far as it came before the correction did. What stands is locked (holdNamed).
const doubtNamed = `
UPDATE reading r SET findings = r.findings | $5 FROM reading_more m
WHERE m.org_id = $1 AND m.name = $3 AND m.sensor_id IN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND (s.id = $2 OR s.parent_id = $2))
    AND r.org_id = m.org_id AND r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie
    AND r.received_at <= $4 AND r.findings & $5 = 0
RETURNING r.patient_id, r.metric, r.measured_at, r.id, r.value, r.value2, r.value3`

// The same of what waits; it keeps the mark when it is claimed.
const doubtParked = `
UPDATE inbox i SET findings = i.findings | $5 FROM reading_more m
WHERE m.org_id = $1 AND m.name = $3 AND m.sensor_id IN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND (s.id = $2 OR s.parent_id = $2))
    AND i.org_id = m.org_id AND i.sensor_id = m.sensor_id AND i.metric = m.metric AND i.sent_at = m.sent_at AND i.tie = m.tie
    AND i.state IN ('waiting', 'dismissed') AND i.received_at <= $4 AND i.findings & $5 = 0
RETURNING i.sensor_id, i.metric, i.sent_at, i.tie`

// The reds say so in their logs, and as a finding of the value that they show. (See unsureShown.)
const doubtUnverified = `
WITH k AS (
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS u (sensor_id, metric, sent_at, tie)
), v AS (
    UPDATE unverified_value x SET findings = x.findings | $6 FROM k
    WHERE x.sensor_id = k.sensor_id AND x.metric = k.metric AND x.sent_at = k.sent_at AND x.tie = k.tie AND x.ended_at IS NULL AND x.findings & $6 = 0
    RETURNING x.org_id, x.id, x.unverified_id, x.reading_id, x.measured_at, x.vals
), shown AS (
    UPDATE unverified u SET findings = u.findings | $6 WHERE u.findings & $6 = 0
        AND EXISTS (SELECT FROM v WHERE v.unverified_id = u.id AND v.reading_id = u.reading_id AND v.measured_at = u.measured_at)
)
INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, vals, version)
SELECT v.org_id, v.unverified_id, 'correction_refused', $5, v.vals, u.version FROM v JOIN unverified u ON u.id = v.unverified_id ORDER BY v.id`

// doubtWaiting marks what waits under the name, and reports whether there was any.
func (w *withdrawing) doubtWaiting(ctx context.Context, tx pgx.Tx) (bool, error) {
	rows, err := tx.Query(ctx, doubtParked, int32(w.org), int64(w.sensor), w.name, w.received, int32(vital.CorrectionRefused))
	if err != nil {
		return false, fmt.Errorf("mark what waits: %w", err)
	}
	k := &keyList{}
	var sensor vital.SensorID
	var metric vital.Metric
	var sent time.Time
	var tie int64
	if _, err := pgx.ForEachRow(rows, []any{&sensor, &metric, &sent, &tie}, func() error { k.add(sensor, metric, sent, tie); return nil }); err != nil {
		return false, fmt.Errorf("mark what waits: %w", err)
	}
	if len(k.sent) == 0 {
		return false, nil
	}
	_, err = tx.Exec(ctx, doubtUnverified, k.sensors, k.metrics, k.sent, k.ties, w.now, int32(vital.CorrectionRefused))
	return true, wrapped(err, "say at unverified reds that a correction was refused")
}

// doubt marks what stands under the name, and lets the alerts say so that told of it. What is not there yet is looked for as long as what is
// taken back.
func (w *withdrawing) doubt(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, doubtNamed, int32(w.org), int64(w.sensor), w.name, w.received, int32(vital.CorrectionRefused))
	if err != nil {
		return fmt.Errorf("mark what its device wants changed: %w", err)
	}
	type doubted struct {
		withdrawnOne
		values []float64
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d doubted, err error) {
		values, scan := threeValues()
		err = row.Scan(append([]any{&d.patient, &d.metric, &d.at, &d.id}, scan...)...)
		d.org, d.values = w.org, values()
		return d, err
	})
	if err != nil {
		return fmt.Errorf("mark what its device wants changed: %w", err)
	}
	waits, err := w.doubtWaiting(ctx, tx)
	if err != nil {
		return err
	}
	if len(list) == 0 && !waits {
		if w.attempts+1 < withdrawalAttempts {
			_, err := tx.Exec(ctx, delayWithdrawal, int32(w.org), w.id, w.now)
			return wrapped(err, "delay a withdrawal")
		}
		_, err := tx.Exec(ctx, endWithdrawal, int32(w.org), w.id, "unknown")
		return wrapped(err, "end a withdrawal")
	}
	for i := range list {
		d := &list[i]
		rows, err := tx.Query(ctx, toldOfOne, int32(d.org), int64(d.patient), int16(d.metric), d.at, d.id)
		if err != nil {
			return fmt.Errorf("find the alerts that told of it: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("find the alerts that told of it: %w", err)
		}
		if len(ids) == 0 {
			continue
		}
		mark := utcMark(alerts.Mark{At: d.at, ID: d.id})
		if _, err := changeEpisodes(ctx, tx, d.org, ids, w.now, func(e *alerts.Episode) (alerts.EpisodeChange, bool) {
			return alerts.CorrectionRefused(e, mark, d.values, w.now), true
		}); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, endWithdrawal, int32(w.org), w.id, "done")
	return wrapped(err, "end a withdrawal")
}

// In the record or where it waits, and at the red that shows it.
const confirmAmended = `
WITH stands AS (
    UPDATE reading SET findings = findings & ~$6::integer WHERE org_id = $1 AND sensor_id = $2 AND metric = $3 AND sent_at = $4 AND tie = $5 AND findings & $6 <> 0 RETURNING 1
), waits AS (
    UPDATE inbox SET findings = findings & ~$6::integer WHERE org_id = $1 AND sensor_id = $2 AND metric = $3 AND sent_at = $4 AND tie = $5 AND findings & $6 <> 0 RETURNING 1
), v AS (
    UPDATE unverified_value x SET findings = x.findings & ~$6::integer
    WHERE x.sensor_id = $2 AND x.metric = $3 AND x.sent_at = $4 AND x.tie = $5 AND x.ended_at IS NULL AND x.findings & $6 <> 0
    RETURNING x.unverified_id, x.reading_id, x.measured_at
), shown AS (
    UPDATE unverified u SET findings = u.findings & ~$6::integer FROM v
    WHERE v.unverified_id = u.id AND v.reading_id = u.reading_id AND v.measured_at = u.measured_at AND u.findings & $6 <> 0
)
SELECT EXISTS (SELECT FROM stands) OR EXISTS (SELECT FROM waits)`

// confirm takes the mark off a reading that its device has sent again as a correction, and reports whether it had one: it wants just that.
func (w *withdrawing) confirm(ctx context.Context, tx pgx.Tx) (bool, error) {
	if w.standing != vital.Amended {
		return false, nil
	}
	var had bool
	err := tx.QueryRow(ctx, confirmAmended, int32(w.org), int64(w.sensor), int16(w.metric), w.sent, w.tie, int32(vital.CorrectionRefused)).Scan(&had)
	return had, wrapped(err, "confirm an amendment")
}
