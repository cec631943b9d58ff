package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// BeginExport writes down that a record is copied. See safe.ExportBook. Nothing is written for how "": what is shown to
// somebody with a share's link was written down when it was opened.
func (a *App) BeginExport(ctx context.Context, actor account.Actor, p account.Patient, how string) (safe.Holder, time.Time, error) {
	h := safe.Holder{Patient: p}
	var at time.Time
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		at = now
		if err := tx.QueryRow(ctx, `SELECT name, $2 || uid::text FROM org WHERE id = $1`, int32(p.Org), numberSystem).Scan(&h.Organisation, &h.NumberSystem); err != nil {
			return fmt.Errorf("name the organisation: %w", err)
		}
		var err error
		if h.Identifiers, err = identifiersOf(ctx, tx, p.ID); err != nil {
			return err
		}
		if how == "" {
			return nil
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: p.Org, At: now, Actor: actor, Action: string(account.ExportRecord), Patient: p.ID, Object: "patient " + string(p.UID), Detail: how,
		})
	})
	return h, at, err
}

// selectStreams finds which sensors measured what of a patient: one probe of the key for each.
const selectStreams = `
SELECT a.sensor_id, m.metric, a.low
FROM (SELECT sensor_id, min(from_at) - interval '1 day' AS low FROM assignment WHERE patient_id = $1 GROUP BY sensor_id) a
CROSS JOIN unnest($2::smallint[]) AS m (metric)
WHERE EXISTS (SELECT FROM reading r WHERE r.sensor_id = a.sensor_id AND r.metric = m.metric AND r.sent_at >= a.low AND r.patient_id = $1)
ORDER BY m.metric, a.sensor_id`

// Streams lists what there is to read of a patient. See safe.ExportBook.
func (a *App) Streams(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Stream, error) {
	var metrics []int16
	for _, d := range vital.Metrics() {
		metrics = append(metrics, int16(d.Metric))
	}
	return collectAs(ctx, a, actor, "find what was measured", pgx.RowToStructByPos[safe.Stream], selectStreams, int64(patient), metrics)
}

// collectAs reads rows in a transaction of the actor's view.
func collectAs[T any](ctx context.Context, a *App, actor account.Actor, what string, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	var list []T
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, query, args...)
		if err == nil {
			list, err = pgx.CollectRows(rows, scan)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	return list, err
}

const selectReadings = `
SELECT r.id, r.metric, r.measured_at, r.sent_at, r.received_at, r.tie, r.mantissa, r.mantissa2, r.mantissa3, r.exponent, r.exponent2, r.exponent3,
    r.unit, r.unit2, r.unit3, r.value, r.value2, r.value3, ` + findingsSeen + `, s.uid, d.uid, ` + factsSeen + `
FROM ` + readingSeen + ` r JOIN sensor s ON s.id = r.sensor_id JOIN device d ON d.id = r.device_id
WHERE r.sensor_id = @sensor AND r.metric = @metric AND r.sent_at >= @low AND (r.sent_at, r.tie) > (@after, @tie) AND r.received_at <= @until AND r.patient_id = @patient
ORDER BY r.sent_at, r.tie LIMIT @most`

// Readings returns a page of readings. See safe.ExportBook.
func (a *App) Readings(
	ctx context.Context, actor account.Actor, patient vital.PatientID, s safe.Stream, after safe.ReadingMark, until time.Time, most int,
) ([]safe.Reading, error) {
	low := s.From
	if after.SentAt.After(low) {
		low = after.SentAt
	}
	if after.SentAt.IsZero() {
		after.SentAt = s.From.Add(-time.Microsecond)
	}
	return collectAs(ctx, a, actor, "read readings", scanReading, selectReadings, pgx.NamedArgs{
		"org": int32(actor.Org), "sensor": int64(s.Sensor), "metric": int16(s.Metric), "low": low, "after": after.SentAt, "tie": after.Tie, "until": until, "patient": int64(patient), "most": most,
	})
}

const selectWithdrawn = `
SELECT r.id, r.metric, r.measured_at, r.sent_at, r.received_at, r.tie, r.mantissa, r.mantissa2, r.mantissa3, r.exponent, r.exponent2, r.exponent3,
    r.unit, r.unit2, r.unit3, r.value, r.value2, r.value3, ` + findingsSeen + `, s.uid, d.uid, ` + factsSeen + `, r.withdrawn_at, r.how = 'amended', r.by_name, r.why
FROM withdrawn_reading r JOIN sensor s ON s.id = r.sensor_id JOIN device d ON d.id = r.device_id
WHERE r.patient_id = @patient AND (r.withdrawn_at, r.id) > (@after, @id) AND r.withdrawn_at <= @until ORDER BY r.withdrawn_at, r.id LIMIT @most`

// Withdrawn returns a page of what was taken back. See safe.ExportBook.
func (a *App) Withdrawn(
	ctx context.Context, actor account.Actor, patient vital.PatientID, after safe.WithdrawnMark, until time.Time, most int,
) ([]safe.Reading, error) {
	return collectAs(ctx, a, actor, "read what was taken back", func(row pgx.CollectableRow) (safe.Reading, error) {
		var w safe.TakenBack
		r, err := scanReadingWith(row, &w.At, &w.Amended, &w.By, &w.Why)
		w.At = w.At.UTC()
		r.Withdrawn = &w
		return r, err
	}, selectWithdrawn, pgx.NamedArgs{
		"org": int32(actor.Org), "patient": int64(patient), "after": after.At, "id": after.ID, "until": until, "most": most,
	})
}

func scanReading(row pgx.CollectableRow) (safe.Reading, error) { return scanReadingWith(row) }

// scanReadingWith reads a reading, and what stands behind it in the row.
func scanReadingWith(row pgx.CollectableRow, more ...any) (safe.Reading, error) {
	var r safe.Reading
	var m [3]*int64
	var e, u [3]*int16
	var v [3]*float64
	var findings int32
	var facts []byte
	err := row.Scan(append([]any{
		&r.ID, &r.Metric, &r.MeasuredAt, &r.SentAt, &r.ReceivedAt, &r.Tie, &m[0], &m[1], &m[2], &e[0], &e[1], &e[2],
		&u[0], &u[1], &u[2], &v[0], &v[1], &v[2], &findings, &r.Sensor, &r.Device, &facts,
	}, more...)...)
	if err == nil {
		r.Facts, err = factsOf(facts)
	}
	r.MeasuredAt, r.SentAt, r.ReceivedAt, r.Findings = r.MeasuredAt.UTC(), r.SentAt.UTC(), r.ReceivedAt.UTC(), vital.Finding(uint32(findings))
	for i := range 3 {
		if m[i] == nil || e[i] == nil || u[i] == nil || v[i] == nil {
			break
		}
		r.Sent = append(r.Sent, vital.Quantity{Mantissa: *m[i], Exponent: int8(*e[i]), Unit: vital.Unit(*u[i])})
		r.Values = append(r.Values, *v[i])
	}
	return r, err
}

const exportAlerts = `
SELECT e.id, e.uid::text, e.metric, r.kind, e.level, e.state, e.opened_at, e.first_at, e.last_at, e.last_values, e.closed_at, e.closing, e.next_step, e.note,
    e.historic, e.occurrences, e.ack_name, e.ack_at, e.next_step_at, e.last_id, e.retracted
FROM episode e JOIN rule r ON r.org_id = e.org_id AND r.id = e.rule_id WHERE e.patient_id = $1 AND e.id > $2 ORDER BY e.id LIMIT $3`

const exportLog = `
SELECT t.episode_id, t.recorded_at, t.kind, t.actor_name, t.actor_role, t.reading_at, t.vals, t.note
FROM timeline t JOIN episode e ON e.org_id = t.org_id AND e.id = t.episode_id WHERE e.patient_id = $1 AND t.episode_id = ANY($2) ORDER BY t.id`

// AlertsOf returns a page of alerts with their logs. See safe.ExportBook.
func (a *App) AlertsOf(ctx context.Context, actor account.Actor, patient vital.PatientID, after int64, most int) ([]safe.Alert, error) {
	list, err := collectAs(ctx, a, actor, "read alerts", scanExportAlert, exportAlerts, int64(patient), after, most)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	at := make(map[int64]*safe.Alert, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		at[list[i].ID], ids[i] = &list[i], list[i].ID
	}
	type entry struct {
		of int64
		safe.AlertEntry
	}
	log, err := collectAs(ctx, a, actor, "read the alerts' logs", func(row pgx.CollectableRow) (entry, error) {
		var n entry
		var reading *time.Time
		err := row.Scan(&n.of, &n.At, &n.Kind, &n.By, &n.Role, &reading, &n.Values, &n.Note)
		n.At, n.ReadingAt = n.At.UTC(), timeOf(reading)
		return n, err
	}, exportLog, int64(patient), ids)
	if err != nil {
		return nil, err
	}
	hidden, err := a.pulsesHidden(ctx, actor)
	for _, n := range log {
		n.Values = hidden.values(patient, at[n.of].Metric, n.ReadingAt, n.Values)
		at[n.of].Log = append(at[n.of].Log, n.AlertEntry)
	}
	if err == nil && actor.Role == account.CaregiverRole {
		err = a.foldAlerts(ctx, actor, list)
	}
	return list, err
}

// foldAlerts makes alerts of a copy what a caregiver sees of them: in a frozen view, as their logs told them then.
func (a *App) foldAlerts(ctx context.Context, actor account.Actor, list []safe.Alert) error {
	for i := range list {
		seen, err := a.Alert(ctx, actor, list[i].UID)
		if err != nil {
			return err
		}
		e := &list[i]
		e.Level, e.State, e.LastAt, e.Last, e.Readings = seen.Level.String(), string(seen.State), seen.Last.At.UTC(), seen.LastValues, seen.Occurrences
		e.ClosedAt, e.Closing, e.NextStep, e.NextStepT, e.Note, e.Historic = seen.ClosedAt, string(seen.Closing), string(seen.NextStep), seen.NextStepAt, seen.Note, seen.Historic
		e.TakenBy, e.TakenAt = seen.AckName, seen.AckAt
		stands(e, &seen.Episode)
	}
	return nil
}

func scanExportAlert(row pgx.CollectableRow) (safe.Alert, error) {
	var e safe.Alert
	var level int16
	var closed, taken, next *time.Time
	var told alerts.Episode
	err := row.Scan(&e.ID, &e.UID, &e.Metric, &e.Rule, &level, &e.State, &e.OpenedAt, &e.FirstAt, &e.LastAt, &e.Last, &closed, &e.Closing, &e.NextStep, &e.Note,
		&e.Historic, &e.Readings, &e.TakenBy, &taken, &next, &told.Last.ID, &told.Retracted)
	told.Last.At = e.LastAt
	stands(&e, &told)
	e.Level = levelName(level)
	e.OpenedAt, e.FirstAt, e.LastAt, e.ClosedAt, e.TakenAt, e.NextStepT = e.OpenedAt.UTC(), e.FirstAt.UTC(), e.LastAt.UTC(), timeOf(closed), timeOf(taken), timeOf(next)
	return e, err
}

// stands says of the last reading of an alert whether it stands.
func stands(a *safe.Alert, e *alerts.Episode) {
	a.Retracted, a.RetractedBy, a.RetractedAt = "", "", time.Time{}
	if r := e.Retraction(e.Last); r != nil {
		a.Retracted, a.RetractedBy, a.RetractedAt = string(r.How), r.By, r.At.UTC()
	}
}

const exportDevices = `
SELECT d.uid, d.model, s.uid, a.from_at, a.to_at FROM assignment a JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
JOIN device d ON d.org_id = s.org_id AND (d.id = s.device_id OR s.device_id IS NULL AND EXISTS (
    SELECT FROM gateway_grant g WHERE g.org_id = s.org_id AND g.sensor_id = s.id AND g.device_id = d.id))
WHERE a.patient_id = $1 ORDER BY a.id, d.id`

// DevicesOf lists what measured. See safe.ExportBook.
func (a *App) DevicesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Device, error) {
	return collectAs(ctx, a, actor, "read devices", func(row pgx.CollectableRow) (safe.Device, error) {
		var d safe.Device
		var to *time.Time
		err := row.Scan(&d.UID, &d.Model, &d.Sensor, &d.From, &to)
		d.From, d.To = d.From.UTC(), timeOf(to)
		return d, err
	}, exportDevices, int64(patient))
}

const exportConsents = `SELECT uid::text, purpose, version, choice, decided_by, decided_at FROM consent_decision WHERE patient_id = $1 ORDER BY decided_at, id`

// ConsentsOf lists what the patient agreed to. See safe.ExportBook.
func (a *App) ConsentsOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.ConsentGiven, error) {
	return collectAs(ctx, a, actor, "read consents", pgx.RowToStructByPos[safe.ConsentGiven], exportConsents, int64(patient))
}
