package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// movedReading is a reading that has changed hands.
type movedReading struct {
	alerts.Mark
	metric vital.Metric
	sent   time.Time
	tie    int64 // of what was parked; 0: not asked for
}

func scanMoved(row pgx.CollectableRow) (movedReading, error) {
	var m movedReading
	err := row.Scan(&m.metric, &m.sent, &m.At, &m.ID)
	m.sent, m.At = m.sent.UTC(), m.At.UTC()
	return m, err
}

// high is the latest time as sent that a reading of the refile can have.
func (r *refiling) high() time.Time {
	if r.to.IsZero() || r.to.After(r.now) {
		return r.now.Add(widen)
	}
	return r.to.Add(widen)
}

const countFiled = `
SELECT count(*) FROM refile_part p JOIN reading r ON r.sensor_id = $3 AND r.patient_id = $4 AND r.sent_at BETWEEN $5 AND $6
    AND r.measured_at >= p.from_at AND r.measured_at < coalesce(p.to_at, 'infinity')
WHERE p.org_id = $1 AND p.refile_id = $2`

const countParked = `
SELECT count(*) FROM refile_part p JOIN inbox i ON i.sensor_id = $3 AND i.measured_at >= p.from_at AND i.measured_at < coalesce(p.to_at, 'infinity')
WHERE p.org_id = $1 AND p.refile_id = $2 AND i.state = 'waiting' AND i.reason <> '` + parkedRevoked + `' AND ($4::bigint IS NULL OR i.device_id = $4)`

// count notes how much there is to move.
func (r *refiling) count(ctx context.Context, tx pgx.Tx) error {
	query, args := countParked, []any{int32(r.org), r.id, int64(r.sensor), nullID(r.device)}
	if r.source != 0 {
		query, args = countFiled, []any{int32(r.org), r.id, int64(r.sensor), int64(r.source), r.reached, r.high()}
	}
	if err := tx.QueryRow(ctx, query, args...).Scan(&r.total); err != nil {
		return fmt.Errorf("count the readings: %w", err)
	}
	return nil
}

// The readings are found by the sensor, in the partitions of the time that is left.
const moveReadings = `
WITH chosen AS MATERIALIZED (
    SELECT r.metric, r.sent_at, r.tie, p.target_assignment
    FROM refile_part p JOIN reading r ON r.sensor_id = $3 AND r.patient_id = $4 AND r.sent_at BETWEEN $5 AND $6
        AND r.measured_at >= p.from_at AND r.measured_at < coalesce(p.to_at, 'infinity')
    WHERE p.org_id = $1 AND p.refile_id = $2
    ORDER BY r.sent_at LIMIT $7
)
UPDATE reading r SET patient_id = $8, assignment_id = c.target_assignment FROM chosen c
WHERE r.sensor_id = $3 AND r.metric = c.metric AND r.sent_at = c.sent_at AND r.tie = c.tie AND r.sent_at BETWEEN $5 AND $6
RETURNING r.metric, r.sent_at, r.measured_at, r.id`

const unfileReadings = `SELECT metric, sent_at, measured_at, id FROM unfile_readings($1, $2, $3, $4, $5)`

// move moves the next readings, at most so many, in the order of their times as sent.
func (w *Work) move(ctx context.Context, tx pgx.Tx, r *refiling, most int) ([]movedReading, error) {
	if r.source == 0 {
		moved, err := w.claimParked(ctx, tx, r, most)
		if err != nil || len(moved) == 0 {
			return moved, err
		}
		return moved, r.unpark(ctx, tx, moved)
	}
	var rows pgx.Rows
	var err error
	if r.target == 0 {
		rows, err = tx.Query(ctx, unfileReadings, int32(r.org), r.id, r.reached, r.high(), most)
	} else {
		rows, err = tx.Query(ctx, moveReadings, int32(r.org), r.id, int64(r.sensor), int64(r.source), r.reached, r.high(), most, int64(r.target))
	}
	if err != nil {
		return nil, fmt.Errorf("move readings: %w", err)
	}
	moved, err := pgx.CollectRows(rows, scanMoved)
	if err != nil {
		return nil, fmt.Errorf("move readings: %w", err)
	}
	if len(moved) == 0 {
		return nil, nil
	}
	return moved, r.unpark(ctx, tx, moved)
}

const claimParked = `
WITH chosen AS MATERIALIZED (
    SELECT i.sensor_id, i.metric, i.sent_at, i.tie, p.target_assignment
    FROM refile_part p JOIN inbox i ON i.sensor_id = $3 AND i.measured_at >= p.from_at AND i.measured_at < coalesce(p.to_at, 'infinity')
    WHERE p.org_id = $1 AND p.refile_id = $2 AND i.state = 'waiting' AND i.reason <> '` + parkedRevoked + `' AND ($5::bigint IS NULL OR i.device_id = $5)
    ORDER BY i.sent_at LIMIT $4
)
UPDATE inbox i SET state = 'claimed' FROM chosen c
WHERE (i.sensor_id, i.metric, i.sent_at, i.tie) = (c.sensor_id, c.metric, c.sent_at, c.tie)
RETURNING c.target_assignment, i.org_id, i.device_id, i.metric, i.sent_at, i.tie, i.measured_at, i.received_at, i.findings, i.has_sequence,
    i.mantissa, i.exponent, i.unit, i.mantissa2, i.exponent2, i.unit2, i.mantissa3, i.exponent3, i.unit3`

// claimedFromStaging files what was parked. What a batch has filed meanwhile under a stale mark is the same reading.
const claimedFromStaging = `
INSERT INTO reading (` + readingColumns + `) SELECT ` + readingColumns + ` FROM pg_temp.reading_staging
ON CONFLICT (sensor_id, metric, sent_at, tie) DO NOTHING`

// claimParked files parked readings as what they were measured: the rows stay, claimed, so that a resend meets them.
func (w *Work) claimParked(ctx context.Context, tx pgx.Tx, r *refiling, most int) ([]movedReading, error) {
	rows, err := tx.Query(ctx, claimParked, int32(r.org), r.id, int64(r.sensor), most, nullID(r.device))
	if err != nil {
		return nil, fmt.Errorf("claim parked readings: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*vital.Reading, error) { return r.scanParked(row) })
	if err != nil {
		return nil, fmt.Errorf("claim parked readings: %w", err)
	}
	if len(claimed) == 0 {
		return nil, nil
	}
	if _, err := tx.Exec(ctx, makeStaging); err != nil {
		return nil, fmt.Errorf("make the staging table: %w", err)
	}
	filed := rowsOf(claimed)
	if err := w.copyInto(ctx, tx, "pg_temp.reading_staging", filed); err != nil {
		return nil, fmt.Errorf("copy into staging: %w", err)
	}
	if _, err := tx.Exec(ctx, claimedFromStaging); err != nil {
		return nil, fmt.Errorf("file parked readings: %w", err)
	}
	moved := make([]movedReading, len(filed))
	for i, row := range filed {
		moved[i] = movedReading{Mark: alerts.Mark{At: row.MeasuredAt, ID: row.id}, metric: row.Metric, sent: row.SentAt, tie: row.Tie}
	}
	return moved, nil
}

func (r *refiling) scanParked(row pgx.CollectableRow) (*vital.Reading, error) {
	p := &vital.Reading{Patient: r.target, Key: vital.Key{Sensor: r.sensor}, N: 1}
	var findings int32
	var m [2]*int64
	var e, u [2]*int16
	err := row.Scan(&p.Assignment, &p.Org, &p.Device, &p.Metric, &p.SentAt, &p.Tie, &p.MeasuredAt, &p.ReceivedAt, &findings, &p.HasSequence,
		&p.Sent[0].Mantissa, &p.Sent[0].Exponent, &p.Sent[0].Unit, &m[0], &e[0], &u[0], &m[1], &e[1], &u[1])
	p.SentAt, p.MeasuredAt, p.ReceivedAt, p.Findings = p.SentAt.UTC(), p.MeasuredAt.UTC(), p.ReceivedAt.UTC(), vital.Finding(uint32(findings))
	if r.undoOf == 0 { // an undo restores what was
		p.Findings |= vital.Claimed
	}
	for i := range m {
		if m[i] != nil {
			p.Sent[i+1] = vital.Quantity{Mantissa: *m[i], Exponent: int8(*e[i]), Unit: vital.Unit(*u[i])}
			p.N++
		}
	}
	return p, err
}

const parkedMonths = `
SELECT DISTINCT date_trunc('month', i.sent_at, 'UTC')
FROM refile f JOIN inbox i ON i.sensor_id = f.sensor_id AND i.state = 'waiting'
WHERE f.state IN ('asked', 'running') AND f.source_id IS NULL`

// ensureParkedMonths makes the partitions that parked readings need, before the transaction that files them.
func (w *Work) ensureParkedMonths(ctx context.Context) error {
	rows, err := w.pool.Query(ctx, parkedMonths)
	if err != nil {
		return classify(fmt.Errorf("look for the months of parked readings: %w", err))
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return classify(fmt.Errorf("look for the months of parked readings: %w", err))
	}
	for _, m := range months {
		if err := w.ensureMonth(ctx, month(m)); err != nil {
			return err
		}
	}
	return nil
}
