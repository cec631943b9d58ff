package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// rawLimit is how many single readings a chart without buckets returns at most.
const rawLimit = 20_000

const patientReadings = `
FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = @patient) a
JOIN ` + readingSeen + ` r ON r.sensor_id = a.sensor_id AND r.metric = @metric AND r.sent_at BETWEEN @low AND @high AND r.patient_id = @patient
WHERE r.measured_at >= @from AND r.measured_at < @to `

// findingsSeen are a reading's findings as people see them: with what the patient says of it (vital.Disputed). The readings
// that are disputed are few, and looked up once.
const findingsSeen = `(r.findings | CASE WHEN r.id IN (SELECT c.reading_id FROM correction c
    WHERE c.patient_id = @patient AND c.kind = 'reading' AND c.state IN ('asked', 'accepted')) THEN 1024 ELSE 0 END)`

// factsSeen are what stands beside a reading, but for what tells of a heart rate that is private.
const factsSeen = `CASE WHEN NOT ` + pulseHidden + ` THEN (SELECT m.facts FROM reading_more m
    WHERE m.org_id = @org AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie) END`

// clockSeen is how the time of a reading was arrived at, when it was not taken as it was sent: offset, method, uncertainty.
const clockSeen = `(SELECT ARRAY[m.clock_offset_us, m.clock_method, m.uncertainty_us] FROM reading_more m
    WHERE m.org_id = @org AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie AND m.clock_method <> 0)`

const seriesRaw = `SELECT r.measured_at, 1, r.value, r.value, r.value, r.value2, r.value2, r.value2, r.value3, r.value3, r.value3, ` + findingsSeen + `, ` + factsSeen + `, r.sent_at, r.received_at, ` + clockSeen +
	patientReadings + `ORDER BY r.measured_at, r.id LIMIT @limit`

const seriesBuckets = `SELECT date_bin(@width::interval, r.measured_at, '2000-01-01Z'), count(*), min(r.value), max(r.value), avg(r.value),
    min(r.value2), max(r.value2), avg(r.value2), min(r.value3), max(r.value3), avg(r.value3), bit_or(` + findingsSeen + `), NULL::jsonb, NULL::timestamptz, NULL::timestamptz, NULL::bigint[] ` + patientReadings + `GROUP BY 1 ORDER BY 1`

// Series returns a chart of one metric of one patient.
func (a *App) Series(ctx context.Context, actor account.Actor, q alerts.SeriesQuery) ([]alerts.Bucket, error) {
	var buckets []alerts.Bucket
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, q.Patient)
		if err != nil {
			return err
		}
		query := seriesRaw
		if q.Width > 0 {
			query = seriesBuckets
		}
		rows, err := tx.Query(ctx, query, pgx.NamedArgs{
			"org": int32(p.Org), "patient": int64(p.ID), "metric": int16(q.Metric), "from": q.From, "to": q.To, "low": q.From.Add(-widen), "high": q.To.Add(widen), "width": q.Width, "limit": rawLimit,
		})
		if err != nil {
			return fmt.Errorf("read the series: %w", err)
		}
		if buckets, err = pgx.CollectRows(rows, scanBucket); err != nil {
			return fmt.Errorf("read the series: %w", err)
		}
		return nil
	})
	return buckets, err
}

func scanBucket(row pgx.CollectableRow) (alerts.Bucket, error) {
	var b alerts.Bucket
	var v [3]struct{ low, high, mean *float64 }
	var findings int32
	var facts []byte
	var sent, received *time.Time
	var clock []int64
	err := row.Scan(&b.Start, &b.N, &v[0].low, &v[0].high, &v[0].mean, &v[1].low, &v[1].high, &v[1].mean, &v[2].low, &v[2].high, &v[2].mean, &findings, &facts, &sent, &received, &clock)
	if err == nil {
		b.Facts, err = factsOf(facts)
	}
	b.Start, b.Findings = b.Start.UTC(), vital.Finding(uint32(findings))
	b.SentAt, b.ReceivedAt = timeOf(sent), timeOf(received)
	if len(clock) == 3 {
		b.Clock = vital.Clock{Offset: time.Duration(clock[0]) * time.Microsecond, Method: vital.ClockMethod(clock[1]), Uncertainty: time.Duration(clock[2]) * time.Microsecond}
	}
	for _, c := range v {
		if c.low == nil {
			break
		}
		b.Min, b.Max, b.Avg = append(b.Min, *c.low), append(b.Max, *c.high), append(b.Avg, *c.mean)
	}
	return b, err
}

const latest = `
SELECT k.metric, n.measured_at, n.id, n.value, n.value2, n.value3, n.received_at, n.findings | CASE WHEN n.id IN (SELECT c.reading_id FROM correction c
    WHERE c.patient_id = $1 AND c.kind = 'reading' AND c.state IN ('asked', 'accepted')) THEN 1024 ELSE 0 END, n.sensor_id, n.unsure
FROM (SELECT org_id, sensor_id, min(from_at) - interval '1 day' AS low FROM assignment WHERE patient_id = $1 GROUP BY org_id, sensor_id) a
CROSS JOIN unnest($2::smallint[]) AS k (metric)
CROSS JOIN LATERAL (` + tailFirst + readingSeen + ` r WHERE r.sensor_id = a.sensor_id AND r.metric = k.metric AND r.sent_at >= a.low AND r.patient_id = $1` + tailSent + `1) x) top
CROSS JOIN LATERAL (` + tailReach + `m.metric = k.metric) THEN top.around ELSE top.sent END AS low OFFSET 0) reach
CROSS JOIN LATERAL (` + tailColumns + `, CASE WHEN r.findings & 131072 <> 0 THEN (SELECT m.uncertainty_us FROM reading_more m
        WHERE m.org_id = a.org_id AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie) END AS unsure FROM ` + readingSeen + ` r
    WHERE r.sensor_id = a.sensor_id AND r.metric = k.metric AND r.sent_at >= a.low AND r.sent_at >= reach.low AND r.patient_id = $1` + tailMeasured + `1) n
ORDER BY k.metric, n.measured_at DESC`

// Latest returns the patient's newest reading of every metric that has one.
func (a *App) Latest(ctx context.Context, actor account.Actor, patient vital.UID) ([]alerts.Point, error) {
	var metrics []int16
	for _, d := range vital.Metrics() {
		metrics = append(metrics, int16(d.Metric))
	}
	var newest []alerts.Point
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, latest, int64(p.ID), metrics)
		if err != nil {
			return fmt.Errorf("read the newest readings: %w", err)
		}
		var row pointRow
		_, err = pgx.ForEachRow(rows, append([]any{&row.metric}, row.judged()...), func() error {
			if n := len(newest); n == 0 || newest[n-1].Metric != row.metric {
				newest = append(newest, row.point())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the newest readings: %w", err)
		}
		return nil
	})
	return newest, err
}
