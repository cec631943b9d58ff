package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/devices/measuring"
	"hale/vital"
)

// ExpireCommands settles commands that are stale at now, or whose device has come into other hands. See devices.PresenceStore for this and LookAtPresence.
func (w *Work) ExpireCommands(ctx context.Context, now time.Time) error {
	if _, err := w.pool.Exec(ctx, expireCommands, now); err != nil {
		return classify(fmt.Errorf("expire commands: %w", err))
	}
	if _, err := w.pool.Exec(ctx, cancelPassed(), now); err != nil {
		return classify(fmt.Errorf("cancel commands: %w", err))
	}
	return nil
}

const lockPresence = `SELECT pg_try_advisory_xact_lock(hashtextextended('hale presence', 0))`

// LookAtPresence looks at all organisations in one transaction; one process at a time does.
func (w *Work) LookAtPresence(ctx context.Context, now time.Time, decide func(org vital.OrgID, w devices.Watched, now time.Time) ([]devices.Incident, []devices.Silence)) error {
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var ours bool
		if err := tx.QueryRow(ctx, lockPresence).Scan(&ours); err != nil || !ours {
			return err
		}
		watched, err := w.watched(ctx, tx, now)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM device_silence`); err != nil {
			return fmt.Errorf("forget what was silent: %w", err)
		}
		for _, org := range slices.Sorted(maps.Keys(watched)) {
			incidents, silent := decide(org, *watched[org], now)
			if err := saveIncidents(ctx, tx, incidents, now); err != nil {
				return err
			}
			if err := saveSilences(ctx, tx, silent); err != nil {
				return err
			}
		}
		return nil
	})
	return classify(err)
}

// worn is that a patient wears a sensor, for which a device speaks.
type worn struct {
	org      vital.OrgID
	patient  vital.PatientID
	sensor   vital.SensorID // the slot of a shared one
	physical vital.SensorID
	device   vital.DeviceID
	from     time.Time
	gateway  bool
}

const allWorn = `
SELECT a.org_id, a.patient_id, a.sensor_id, w.id, d.id, a.from_at, EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = d.org_id AND g.device_id = d.id AND g.ended_at IS NULL)
FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id AND p.state IN ('active', 'ending')
JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
JOIN sensor w ON w.org_id = a.org_id AND w.id = coalesce(s.parent_id, s.id)
JOIN device d ON d.org_id = a.org_id AND d.revoked_at IS NULL
    AND (d.id = w.device_id OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = a.org_id AND g.device_id = d.id AND g.sensor_id = w.id AND g.ended_at IS NULL))
WHERE a.from_at <= $1 AND (a.to_at IS NULL OR a.to_at > $1)
ORDER BY a.org_id, d.id, a.sensor_id`

// watched reads what is known of devices that somebody has, by organisation; one that has an open incident is there also without.
func (w *Work) watched(ctx context.Context, tx pgx.Tx, now time.Time) (map[vital.OrgID]*devices.Watched, error) {
	rows, err := tx.Query(ctx, allWorn, now)
	if err != nil {
		return nil, fmt.Errorf("read who wears what: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o worn, err error) {
		err = row.Scan(&o.org, &o.patient, &o.sensor, &o.physical, &o.device, &o.from, &o.gateway)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read who wears what: %w", err)
	}
	there, conditions, err := presences(ctx, tx, 0)
	if err != nil {
		return nil, err
	}
	missed, err := w.missed(ctx, tx, list, conditions, now)
	if err != nil {
		return nil, err
	}
	lives, err := edgeLives(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	all := map[vital.OrgID]*devices.Watched{}
	of := func(org vital.OrgID) *devices.Watched {
		if all[org] == nil {
			all[org] = &devices.Watched{}
		}
		return all[org]
	}
	known := map[vital.DeviceID]devices.Presence{}
	for _, p := range there {
		known[p.Device] = p
	}
	for i, o := range list {
		if i > 0 && list[i-1].device == o.device {
			continue
		}
		p, heard := known[o.device]
		if !heard {
			p = devices.Presence{Org: o.org, Device: o.device}
		}
		of(o.org).Devices = append(of(o.org).Devices, devices.WatchedDevice{Presence: p, Life: lives[p.Edge], Gateway: o.gateway, Missed: missed[o.device]})
	}
	open, err := openIncidents(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, i := range open {
		of(i.Org).Open = append(of(i.Org).Open, i)
	}
	over, err := readIncidents(ctx, tx, `i.to_at > $1`, now.Add(-devices.LookBack))
	if err != nil {
		return nil, err
	}
	for _, i := range over {
		if one := all[i.Org]; one != nil {
			one.Over = append(one.Over, i)
		}
	}
	why, since, err := platformSign(ctx, tx, now)
	for _, one := range all {
		one.Platform, one.Since = why, since
	}
	return all, err
}

// brings asks of sensors whether they can have brought a metric: they did within a month, or their type says that they measure it.
const brings = `
SELECT k.sensor, k.metric FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[]) AS k (sensor, physical, metric, code)
WHERE EXISTS (SELECT FROM reading r WHERE r.sensor_id = k.sensor AND r.metric = k.metric AND r.sent_at BETWEEN $5::timestamptz - interval '30 days' AND $5::timestamptz + interval '1 day')
   OR EXISTS (SELECT FROM sensor s JOIN device_type t ON t.org_id = s.org_id AND t.id = s.type_id WHERE s.id = k.physical AND k.code = ANY (t.metrics))`

// missed returns of each device what was expected of the sensors that it speaks for, and did not come. What nobody's sensor brings,
// as far as it is known, is expected of the only sensor of the patient, or of none.
func (w *Work) missed(ctx context.Context, tx pgx.Tx, list []worn, conditions []devices.Condition, now time.Time) (map[vital.DeviceID][]devices.Missed, error) {
	byPatient := map[vital.PatientID][]worn{}
	for _, o := range list {
		byPatient[o.patient] = append(byPatient[o.patient], o)
	}
	missing, err := w.missingOf(ctx, slices.Sorted(maps.Keys(byPatient)), now)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	bringers, err := bringersOf(ctx, tx, byPatient, missing, now)
	if err != nil {
		return nil, err
	}
	heard := map[vital.SensorID]time.Time{}
	for _, c := range conditions {
		heard[c.Sensor] = c.ReadingAt
	}
	all := map[vital.DeviceID][]devices.Missed{}
	for patient, metrics := range missing {
		for metric, m := range metrics {
			sensor := bringer(byPatient[patient], metric, bringers, heard)
			for _, o := range byPatient[patient] {
				if o.sensor == sensor && !m.Opens.Before(o.from) {
					m.Sensor, m.Patient = sensor, patient
					all[o.device] = append(all[o.device], m)
				}
			}
		}
	}
	return all, nil
}

// bringer returns the sensor of a patient that brings a metric, of several the one that was heard last; 0 when nobody knows.
func bringer(list []worn, metric vital.Metric, bringers map[sensorMetric]bool, heard map[vital.SensorID]time.Time) (best vital.SensorID) {
	sensors := map[vital.SensorID]bool{}
	for _, o := range list {
		sensors[o.sensor] = true
		if bringers[sensorMetric{o.sensor, metric}] && (best == 0 || heard[o.sensor].After(heard[best])) {
			best = o.sensor
		}
	}
	if best == 0 && len(sensors) == 1 {
		return list[0].sensor
	}
	return best
}

func bringersOf(ctx context.Context, tx pgx.Tx, byPatient map[vital.PatientID][]worn, missing map[vital.PatientID]map[vital.Metric]devices.Missed, now time.Time) (map[sensorMetric]bool, error) {
	var sensors, physical []int64
	var metrics []int16
	var codes []string
	for patient, of := range missing {
		for _, o := range byPatient[patient] {
			for metric := range of {
				sensors, physical = append(sensors, int64(o.sensor)), append(physical, int64(o.physical))
				metrics, codes = append(metrics, int16(metric)), append(codes, metric.String())
			}
		}
	}
	rows, err := tx.Query(ctx, brings, sensors, physical, metrics, codes, now)
	if err != nil {
		return nil, fmt.Errorf("ask what sensors bring: %w", err)
	}
	all := map[sensorMetric]bool{}
	var k sensorMetric
	if _, err := pgx.ForEachRow(rows, []any{&k.sensor, &k.metric}, func() error { all[k] = true; return nil }); err != nil {
		return nil, fmt.Errorf("ask what sensors bring: %w", err)
	}
	return all, nil
}

// missingOf says of patients what was expected of them and did not come, by metric.
func (w *Work) missingOf(ctx context.Context, patients []vital.PatientID, now time.Time) (map[vital.PatientID]map[vital.Metric]devices.Missed, error) {
	plans, err := w.Plans(ctx, patients)
	if err != nil {
		return nil, err
	}
	from := now.Add(-devices.LookBack)
	q := measuring.MarkQuery{From: from, To: now}
	metrics := map[vital.Metric]bool{}
	for patient, p := range plans {
		if len(p.Versions) == 0 {
			continue
		}
		q.Patients = append(q.Patients, patient)
		for _, v := range p.Versions {
			for i := range v.Lines {
				metrics[v.Lines[i].Metric] = true
			}
		}
		low, high := p.Around(from, now)
		if low.Before(q.From) {
			q.From = low
		}
		if high.After(q.To) {
			q.To = high
		}
	}
	if len(q.Patients) == 0 {
		return nil, nil
	}
	slices.Sort(q.Patients)
	q.Metrics = slices.Sorted(maps.Keys(metrics))
	marks, err := w.Marks(ctx, q)
	if err != nil {
		return nil, err
	}
	clocks, err := w.ClocksRefused(ctx, q)
	if err != nil {
		return nil, err
	}
	all := map[vital.PatientID]map[vital.Metric]devices.Missed{}
	for _, patient := range q.Patients {
		p := plans[patient]
		if m := p.Missing(measuring.Seen{Measured: marks[patient], Clock: clocks[patient]}, from, now); len(m) > 0 {
			all[patient] = m
		}
	}
	return all, nil
}

// The platform is out when nothing of any edge's canary arrives for so long [J: readiness and its alarm tell of it sooner; this holds
// back notices about people].
const platformLate = 2 * time.Minute

const canaryAges = `SELECT count(*), count(*) FILTER (WHERE newest < $1), min(newest) FROM (SELECT max(sent_at) AS newest FROM canary WHERE ended_at IS NULL GROUP BY partition) p`

// platformSign tells from the canaries whether what devices send comes through: of each partition the newest beat of any edge that
// is to beat.
func platformSign(ctx context.Context, tx pgx.Tx, now time.Time) (devices.IncidentWhy, time.Time, error) {
	var partitions, late int
	var since *time.Time
	if err := tx.QueryRow(ctx, canaryAges, now.Add(-platformLate)).Scan(&partitions, &late, &since); err != nil {
		return "", time.Time{}, fmt.Errorf("look at the canaries: %w", err)
	}
	switch late {
	case 0:
		return "", time.Time{}, nil
	case partitions:
		return devices.WhyEdgeMissed, timeOf(since), nil
	}
	return devices.WhyStreamBehind, timeOf(since), nil
}

const incidentColumns = `i.uid::text, i.org_id, i.kind, coalesce(i.device_id, 0), coalesce(d.uid, ''), i.why, i.from_at, i.opened_at, i.to_at, i.explains
FROM incident i LEFT JOIN device d ON d.org_id = i.org_id AND d.id = i.device_id`

func scanIncident(row pgx.CollectableRow) (devices.Incident, error) {
	var i devices.Incident
	var to *time.Time
	err := row.Scan(&i.UID, &i.Org, &i.Kind, &i.Device, &i.Name, &i.Why, &i.From, &i.OpenedAt, &to, &i.Explains)
	i.From, i.OpenedAt, i.To = i.From.UTC(), i.OpenedAt.UTC(), timeOf(to)
	return i, err
}

// openIncidents reads those that last, within what the transaction sees.
func openIncidents(ctx context.Context, tx statements) ([]devices.Incident, error) {
	return readIncidents(ctx, tx, `i.to_at IS NULL`)
}

// readIncidents reads those of which something is so.
func readIncidents(ctx context.Context, tx statements, where string, args ...any) ([]devices.Incident, error) {
	rows, err := tx.Query(ctx, `SELECT `+incidentColumns+` WHERE `+where+` ORDER BY i.from_at, i.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read incidents: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanIncident)
	if err != nil {
		return nil, fmt.Errorf("read incidents: %w", err)
	}
	return list, nil
}

const insertIncident = `
INSERT INTO incident (org_id, uid, kind, device_id, why, from_at, opened_at, seen_at, explains) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)`
const updateIncident = `UPDATE incident SET to_at = $3, seen_at = $4, explains = $5 WHERE org_id = $1 AND uid = $2`

// saveIncidents ends those that are over before it opens others: of each device one is open.
func saveIncidents(ctx context.Context, tx pgx.Tx, list []devices.Incident, now time.Time) error {
	q := &pgx.Batch{}
	for _, i := range list {
		if i.UID != "" {
			q.Queue(updateIncident, int32(i.Org), string(i.UID), nullTime(i.To), now, i.Explains)
		}
	}
	for _, i := range list {
		if i.UID == "" {
			q.Queue(insertIncident, int32(i.Org), string(newUID()), string(i.Kind), nullID(i.Device), string(i.Why), i.From, now, i.Explains)
		}
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("write incidents: %w", err)
	}
	return nil
}

func saveSilences(ctx context.Context, tx pgx.Tx, list []devices.Silence) error {
	q := &pgx.Batch{}
	for _, s := range list {
		q.Queue(`INSERT INTO device_silence (org_id, sensor_id, metric, from_at, slots, explained) VALUES ($1, $2, $3, $4, $5, $6)`,
			int32(s.Org), int64(s.Sensor), int16(s.Metric), s.From, s.Slots, s.Explained)
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("write what is silent: %w", err)
	}
	return nil
}
