package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/devices/measuring"
	"hale/vital"
)

// spokenFor are the sensors of each device in use: its own, those that it speaks for, and their user slots.
const spokenFor = `
WITH spoken AS (
    SELECT s.org_id, s.device_id, s.id AS sensor_id FROM sensor s WHERE s.device_id IS NOT NULL
    UNION SELECT g.org_id, g.device_id, g.sensor_id FROM gateway_grant g WHERE g.ended_at IS NULL)
SELECT d.id, d.uid, d.model, w.id, w.uid, w.calibration_due,
    CASE WHEN w.device_id = d.id THEN (SELECT max(c.not_after) FROM device_cert c WHERE c.org_id = d.org_id AND c.device_id = d.id AND c.revoked_at IS NULL) END
FROM spoken k JOIN device d ON d.org_id = k.org_id AND d.id = k.device_id AND d.revoked_at IS NULL
JOIN sensor w ON w.org_id = k.org_id AND (w.id = k.sensor_id OR w.parent_id = k.sensor_id)
ORDER BY d.uid, w.device_id IS NULL, w.uid`

const wearersNow = `
SELECT a.sensor_id, p.id, p.uid::text, p.name, p.number FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
WHERE a.from_at <= $1 AND (a.to_at IS NULL OR a.to_at > $1) ORDER BY p.name COLLATE "und-x-icu", p.id`

// DeviceFacts returns what is known of the organisation's devices. See devices.ProblemBook for this and the methods that follow.
func (a *App) DeviceFacts(ctx context.Context, actor account.Actor) (devices.Facts, time.Time, error) {
	var f devices.Facts
	var at time.Time
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		at = now
		if f.Devices, err = deviceFacts(ctx, tx, actor.Org, now); err != nil {
			return err
		}
		if f.Incidents, err = openIncidents(ctx, tx); err != nil {
			return err
		}
		f.Marks, err = problemMarks(ctx, tx)
		return err
	})
	return f, at, err
}

func deviceFacts(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time) ([]devices.Fact, error) {
	rows, err := tx.Query(ctx, spokenFor)
	if err != nil {
		return nil, fmt.Errorf("read the devices: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.Fact, error) {
		var f devices.Fact
		var due, ends *time.Time
		err := row.Scan(&f.Device, &f.Name, &f.Model, &f.Sensor, &f.SensorName, &due, &ends)
		f.CalibrationDue, f.CertificateEnds = timeOf(due), timeOf(ends)
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the devices: %w", err)
	}
	wearers, err := wearersToday(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	_, conditions, err := presences(ctx, tx, org)
	if err != nil {
		return nil, err
	}
	heard := map[vital.SensorID]devices.Condition{}
	for _, c := range conditions {
		heard[c.Sensor] = c
	}
	silent, err := silencesOf(ctx, tx)
	if err != nil {
		return nil, err
	}
	lost, err := countsOf(ctx, tx, slices.Collect(maps.Keys(wearers)), now)
	if err != nil {
		return nil, err
	}
	told := map[vital.SensorID]bool{} // a sensor for which two gateways speak is told of once, with the one that spoke last
	for i := range list {
		f := &list[i]
		f.Wearers = wearers[f.Sensor]
		c, known := heard[f.Sensor]
		if told[f.Sensor] || known && c.Device != f.Device && f.SensorName != f.Name && speaks(list, c.Device, f.Sensor) {
			f.Wearers = wearers[f.Sensor]
			continue
		}
		told[f.Sensor] = true
		f.Condition, f.Silence = c, silent[f.Sensor]
		f.Lost, f.LostAt = devices.LostIn(lost[f.Sensor], now)
	}
	return list, clockFacts(ctx, tx, list, now)
}

// speaks reports whether the device speaks for the sensor.
func speaks(list []devices.Fact, device vital.DeviceID, sensor vital.SensorID) bool {
	for i := range list {
		if list[i].Device == device && list[i].Sensor == sensor {
			return true
		}
	}
	return false
}

func wearersToday(ctx context.Context, tx statements, now time.Time) (map[vital.SensorID][]devices.Wearer, error) {
	rows, err := tx.Query(ctx, wearersNow, now)
	if err != nil {
		return nil, fmt.Errorf("read who wears what: %w", err)
	}
	all := map[vital.SensorID][]devices.Wearer{}
	var sensor vital.SensorID
	var w devices.Wearer
	_, err = pgx.ForEachRow(rows, []any{&sensor, &w.ID, &w.UID, &w.Name, &w.Number}, func() error {
		all[sensor] = append(all[sensor], w)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who wears what: %w", err)
	}
	return all, nil
}

// countedLately bounds what is read of one sensor and metric to know whether readings are missing; the page of a device looks further.
const countedLately = 200

const lateCounts = `
SELECT k.id, m.metric, r.tie, r.sent_at FROM unnest($1::bigint[]) AS k (id) CROSS JOIN unnest($2::smallint[]) AS m (metric)
CROSS JOIN LATERAL (
    (SELECT r.tie, r.sent_at FROM reading r WHERE r.sensor_id = k.id AND r.metric = m.metric AND r.sent_at >= $3 AND r.has_sequence ORDER BY r.sent_at DESC LIMIT $4)
    UNION ALL
    (SELECT i.tie, i.sent_at FROM inbox i WHERE i.sensor_id = k.id AND i.metric = m.metric AND i.sent_at >= $3 AND i.has_sequence AND i.state = 'waiting' ORDER BY i.sent_at DESC LIMIT $4)) r`

// countsOf reads what sensors that somebody wears counted in the last two days.
func countsOf(ctx context.Context, tx statements, sensors []vital.SensorID, now time.Time) (map[vital.SensorID][]devices.Counted, error) {
	ids := make([]int64, len(sensors))
	for i, id := range sensors {
		ids[i] = int64(id)
	}
	metrics := make([]int16, 0, len(vital.Metrics()))
	for _, d := range vital.Metrics() {
		metrics = append(metrics, int16(d.Metric))
	}
	rows, err := tx.Query(ctx, lateCounts, ids, metrics, now.Add(-48*time.Hour), countedLately)
	if err != nil {
		return nil, fmt.Errorf("read what was counted: %w", err)
	}
	all := map[vital.SensorID][]devices.Counted{}
	var sensor vital.SensorID
	var c devices.Counted
	_, err = pgx.ForEachRow(rows, []any{&sensor, &c.Metric, &c.Number, &c.SentAt}, func() error {
		all[sensor] = append(all[sensor], devices.Counted{Metric: c.Metric, Number: c.Number, SentAt: c.SentAt.UTC()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was counted: %w", err)
	}
	return all, nil
}

// silencesOf reads of each sensor what is missing of it: what nothing explains, if there is such, of the metric that is missing most
// often, since the first of them.
func silencesOf(ctx context.Context, tx statements) (map[vital.SensorID]devices.Silence, error) {
	rows, err := tx.Query(ctx, `SELECT org_id, sensor_id, metric, from_at, slots, explained FROM device_silence ORDER BY explained, from_at, metric`)
	if err != nil {
		return nil, fmt.Errorf("read what is silent: %w", err)
	}
	all := map[vital.SensorID]devices.Silence{}
	var s devices.Silence
	_, err = pgx.ForEachRow(rows, []any{&s.Org, &s.Sensor, &s.Metric, &s.From, &s.Slots, &s.Explained}, func() error {
		s.From = s.From.UTC()
		if first, known := all[s.Sensor]; !known || s.Slots > first.Slots && s.Explained == first.Explained {
			if known {
				s.From = first.From
			}
			all[s.Sensor] = s
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is silent: %w", err)
	}
	return all, nil
}

func problemMarks(ctx context.Context, tx statements) ([]devices.ProblemMark, error) {
	rows, err := tx.Query(ctx, `SELECT device_id, sensor_id, kind, since_at, state, until_at, note, by_name, at FROM device_problem_mark`)
	if err != nil {
		return nil, fmt.Errorf("read what was said of problems: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.ProblemMark, error) {
		var m devices.ProblemMark
		var until *time.Time
		err := row.Scan(&m.Device, &m.Sensor, &m.Kind, &m.Since, &m.State, &until, &m.Note, &m.By, &m.At)
		m.Since, m.Until, m.At = m.Since.UTC(), timeOf(until), m.At.UTC()
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was said of problems: %w", err)
	}
	return list, nil
}

const putMark = `
INSERT INTO device_problem_mark (org_id, device_id, sensor_id, kind, since_at, state, until_at, note, by_name, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (org_id, device_id, sensor_id, kind) DO UPDATE SET since_at = excluded.since_at, state = excluded.state, until_at = excluded.until_at, note = excluded.note,
    by_name = excluded.by_name, at = excluded.at`

// MarkProblem stores what a person says of a problem.
func (a *App) MarkProblem(ctx context.Context, actor account.Actor, p devices.Problem, m devices.ProblemMark) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var err error
		if m.State == devices.ProblemNew {
			_, err = tx.Exec(ctx, `DELETE FROM device_problem_mark WHERE device_id = $1 AND sensor_id = $2 AND kind = $3`, int64(m.Device), int64(m.Sensor), string(m.Kind))
		} else {
			_, err = tx.Exec(ctx, putMark, int32(actor.Org), int64(m.Device), int64(m.Sensor), string(m.Kind), m.Since, string(m.State), nullTime(m.Until), m.Note, actor.Name, now)
		}
		if err != nil {
			return fmt.Errorf("mark problem: %w", err)
		}
		row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "device problem " + string(m.State), Object: "device " + p.Device, Detail: string(m.Kind) + " of " + p.Sensor}
		return writeAudit(ctx, tx, row)
	})
}

// Incidents returns outages, those that last first.
func (a *App) Incidents(ctx context.Context, actor account.Actor, limit int) (list []devices.Incident, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, `SELECT `+incidentColumns+` ORDER BY i.to_at IS NOT NULL, i.from_at DESC, i.id LIMIT $1`, limit)
		if err != nil {
			return fmt.Errorf("list incidents: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanIncident)
		return err
	})
	return list, err
}

// metricsOut are the metrics that a patient's sensors brought within a month, for which a device speaks that is out, and since when; and
// those for which one spoke that was out since a moment ($5), but for the outage of a single device (see
// devices.Incident).
const metricsOut = `
SELECT DISTINCT m.metric, i.from_at, i.to_at FROM incident i CROSS JOIN LATERAL (SELECT coalesce(i.to_at, $2::timestamptz) AS last) e
JOIN assignment a ON a.org_id = i.org_id AND a.patient_id = $1 AND a.from_at <= e.last AND (a.to_at IS NULL OR a.to_at > e.last)
JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
JOIN sensor w ON w.org_id = a.org_id AND w.id = coalesce(s.parent_id, s.id)
CROSS JOIN unnest($3::smallint[], $4::text[]) AS m (metric, code)
WHERE (i.to_at IS NULL OR i.to_at > $5 AND i.kind <> 'device')
  AND (i.device_id IS NULL OR i.device_id = w.device_id OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = i.org_id AND g.device_id = i.device_id AND g.sensor_id = w.id
      AND (g.ended_at IS NULL OR g.ended_at > e.last)))
  AND (i.device_id IS NULL
    OR EXISTS (SELECT FROM device_type t WHERE t.org_id = w.org_id AND t.id = w.type_id AND m.code = ANY (t.metrics))
    OR EXISTS (SELECT FROM ` + readingSeen + ` r WHERE r.sensor_id = s.id AND r.metric = m.metric AND r.sent_at BETWEEN e.last - interval '30 days' AND e.last + interval '1 day')
    OR (SELECT count(DISTINCT b.sensor_id) FROM assignment b WHERE b.org_id = a.org_id AND b.patient_id = $1 AND b.from_at <= e.last AND (b.to_at IS NULL OR b.to_at > e.last)) = 1)
ORDER BY m.metric, i.from_at`

// SilentOf says of a patient when, since from, whatever brings their readings of a metric was not heard, because of an outage. See
// measuring.Schedules.Silent.
func (a *App) SilentOf(ctx context.Context, actor account.Actor, patient vital.PatientID, from time.Time) (map[vital.Metric][]measuring.Away, error) {
	all := map[vital.Metric][]measuring.Away{}
	var metrics []int16
	var codes []string
	for _, d := range vital.Metrics() {
		metrics, codes = append(metrics, int16(d.Metric)), append(codes, d.Code)
	}
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, metricsOut, int64(patient), now, metrics, codes, from)
		if err != nil {
			return fmt.Errorf("read what is out: %w", err)
		}
		var metric vital.Metric
		var began time.Time
		var to *time.Time
		_, err = pgx.ForEachRow(rows, []any{&metric, &began, &to}, func() error {
			all[metric] = append(all[metric], measuring.Away{From: began.UTC(), To: timeOf(to)})
			return nil
		})
		return err
	})
	return all, err
}
