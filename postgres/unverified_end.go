package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// Values that an unverified red stands for leave the place where they were parked: they are marked in the transaction in which they do
// (leaveInbox, leaveByKey, leaveFound), and the unverified red ends beside it (endUnverified), once somebody has them.

// leaveByKey is of one that a device took back, wherever it is by now. Its red is locked (holdNamed).
const leaveByKey = `
UPDATE unverified_value SET left_at = $5, became = 'taken_back', by_name = '', note = '' WHERE sensor_id = $1 AND metric = $2 AND sent_at = $3 AND tie = $4 AND ended_at IS NULL`

// What a person took back, and what of a refused message was read again, with the reds that stand for it. (See lockReds.)
const (
	valuesOfReading = `
SELECT v.id, v.unverified_id FROM (SELECT x.id, x.unverified_id, x.metric, x.measured_at FROM unverified_value x WHERE x.reading_id = $2 AND x.ended_at IS NULL OFFSET 0) v
WHERE v.metric = $1 AND v.measured_at = $3`
	leaveTaken = `UPDATE unverified_value SET left_at = $2, became = 'taken_back', by_name = $3, note = $4 WHERE id = ANY($1) AND ended_at IS NULL`

	valuesOfRefused = `
SELECT v.id, v.unverified_id FROM quarantine q CROSS JOIN LATERAL (
    SELECT x.id, x.unverified_id FROM unverified_value x WHERE x.quarantine_id = q.id AND (x.ended_at IS NULL OR x.became = 'claimed') OFFSET 0) v WHERE q.uid = $1`
	leaveQuarantine = `UPDATE unverified_value SET left_at = $2, became = 'read_again', by_name = $3 WHERE id = ANY($1) AND left_at IS NULL AND ended_at IS NULL`
)

// leaveFound marks the values that a query finds as a statement says, which takes their ids first: their reds are locked before.
func leaveFound(ctx context.Context, tx pgx.Tx, query string, key []any, leave string, args ...any) error {
	values, err := lockReds(ctx, tx, query, key...)
	if err != nil || len(values) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, leave, append([]any{values}, args...)...)
	return wrapped(err, "mark what waits no more")
}

// What was decoded again comes as any reading: so long it has until it waits or is judged.
const readAgainWithin = 10 * time.Second

// judgedByIt says of a value that was claimed that it is filed, and that its patient was judged by it: the refile has ended, and no change
// that it led to waits for the processor.
const judgedByIt = `NOT EXISTS (SELECT FROM situation_change c WHERE c.patient_id = r.patient_id AND c.rejudge_from <= r.measured_at)
    AND NOT EXISTS (SELECT FROM refile f WHERE f.org_id = v.org_id AND f.sensor_id = v.sensor_id AND f.target_id = r.patient_id AND f.source_id IS NULL AND f.ended_at IS NULL)`

const valueColumns = `v.id, v.place, v.why, v.level, v.ground, v.vals, v.unitless, v.badness, v.findings, coalesce(v.reading_id, 0), v.measured_at, v.received_at, v.times, v.became, v.by_name, v.note,
    v.left_at, v.ended_at, v.unsure_us`

// The worst first, as alerts.Shown has it.
const listValues = `
SELECT ` + valueColumns + `, false, 0::bigint FROM unverified_value v WHERE v.unverified_id = $1 ORDER BY v.ended_at IS NOT NULL, v.ground = 'beyond', v.badness DESC, v.id LIMIT $2`

// The LIMIT has each reading looked up by its key.
const fromValues = `
FROM unverified_value v LEFT JOIN LATERAL (
    SELECT f.id, f.patient_id, f.measured_at FROM reading f
    WHERE v.became = 'claimed' AND v.ended_at IS NULL AND f.sensor_id = v.sensor_id AND f.metric = v.metric AND f.sent_at = v.sent_at AND f.tie = v.tie LIMIT 1) r ON true
`

// settled is $1 the time: somebody has it, or it was put aside or taken back. See alerts.UnverifiedValue.
const settled = `v.left_at IS NOT NULL AND v.ended_at IS NULL AND CASE v.became WHEN 'claimed' THEN r.id IS NULL OR ` + judgedByIt + ` WHEN 'read_again' THEN v.left_at <= $1::timestamptz - $2::interval ELSE true END`

const standingValues = `SELECT ` + valueColumns + `, ` + settled + `, coalesce(r.patient_id, 0) ` + fromValues + ` WHERE v.unverified_id = $3 AND v.ended_at IS NULL ORDER BY v.id`

func scanValue(row pgx.CollectableRow) (alerts.UnverifiedValue, error) {
	var v alerts.UnverifiedValue
	var findings int32
	var measured, left, ended *time.Time
	var unsure int64
	err := row.Scan(&v.ID, &v.Place, &v.Why, &v.Level, &v.Ground, &v.Values, &v.Unitless, &v.Badness, &findings, &v.Reading, &measured, &v.ReceivedAt, &v.Times, &v.Became, &v.By, &v.Note,
		&left, &ended, &unsure, &v.Settled, &v.Patient)
	v.Findings, v.ReceivedAt = vital.Finding(uint32(findings)), v.ReceivedAt.UTC()
	v.Vague = vital.VagueWithin(time.Duration(unsure)*time.Microsecond, v.ReceivedAt)
	v.MeasuredAt, v.LeftAt, v.EndedAt = timeOf(measured), timeOf(left), timeOf(ended)
	return v, err
}

func readValues(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]alerts.UnverifiedValue, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the values of an unverified red: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanValue)
	if err != nil {
		return nil, fmt.Errorf("list the values of an unverified red: %w", err)
	}
	return list, nil
}

// dueUnverifieds are those of which a value has left and is settled. One is taken by one process.
const dueUnverifieds = `
SELECT u.id, u.org_id, u.uid::text FROM unverified u WHERE u.state <> 'closed' AND u.id IN (SELECT v.unverified_id ` + fromValues + ` WHERE ` + settled + `)
ORDER BY u.id LIMIT 1 FOR NO KEY UPDATE OF u SKIP LOCKED`

// endUnverified ends an unverified red of which the value has an owner who was judged by it, was put aside or was taken back, and reports
// whether there was one.
func endUnverified(ctx context.Context, tx pgx.Tx, now time.Time) ([]alerts.Event, bool, error) {
	var d endingRed
	switch err := tx.QueryRow(ctx, dueUnverifieds, now, readAgainWithin).Scan(&d.id, &d.org, &d.uid); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("find an unverified red that has ended: %w", err)
	}
	values, err := readValues(ctx, tx, standingValues, now, readAgainWithin, d.id)
	if err != nil {
		return nil, false, err
	}
	end := alerts.EndOf(values)
	if len(end.Values) == 0 {
		return nil, false, nil // somebody took it on in this moment
	}
	told, err := d.write(ctx, tx, end, now)
	return []alerts.Event{told}, true, err
}

// endingRed is an unverified red of which a value has ended.
type endingRed struct {
	id  int64
	org vital.OrgID
	uid vital.UID
}

const endedValues = `UPDATE unverified_value SET ended_at = $2 WHERE id = ANY($1)`

func (d *endingRed) write(ctx context.Context, tx pgx.Tx, e alerts.Ended, now time.Time) (alerts.Event, error) {
	event := alerts.Event{Org: d.org, Alert: d.uid, Unverified: true}
	q := &pgx.Batch{}
	if e.Closing != "" {
		q.Queue(closeUnverified, d.id, string(e.Closing), now, e.By, e.Note, e.Rest)
	}
	q.Queue(`SELECT version FROM unverified WHERE id = $1`, d.id).QueryRow(func(row pgx.Row) error { return row.Scan(&event.Version) })
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return event, fmt.Errorf("end an unverified red: %w", err)
	}
	q = &pgx.Batch{}
	ids := make([]int64, len(e.Values))
	for i, v := range e.Values {
		ids[i] = v.ID
	}
	q.Queue(endedValues, ids, now)
	claimed, whose := e.Claimed()
	q.Queue(insertClaimed, int32(d.org), d.id, whose, claimed)
	for _, act := range e.Acts() {
		q.Queue(insertClaimEntry, int32(d.org), d.id, string(act.Became), now, nil, act.By, "", act.Values, act.Note(), event.Version, nullID(act.Patient)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&event.ID) })
		// Of a person only where somebody said whose it is: the trail of a patient tells of nobody's values.
		q.Queue(insertAudit, auditArgs(account.Audit{Org: d.org, At: now, Action: "unverified red ended", Patient: act.Patient, Object: "unverified " + string(d.uid), Detail: act.Detail()})...)
	}
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return event, fmt.Errorf("log the end of an unverified red: %w", err)
	}
	return event, nil
}

// Closed ones that stood for others besides. Whatever is asked of the sensor meanwhile holds nothing back: what a claim that is under way
// files ends by itself.
const closedWithRest = `
UPDATE unverified u SET next_action_at = NULL
WHERE u.id IN (SELECT o.id FROM unverified o WHERE o.state = 'closed' AND o.next_action_at <= $1 ORDER BY o.next_action_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING u.id, u.org_id, u.device_id, u.sensor_id, u.metric, u.side, u.historic`

// openRest opens anew what a closed one stood for and what still waits, and reports whether there was one: it was found red when it came,
// and needs no second screening. One at a time: what it locks is in the order in which batches do.
func openRest(ctx context.Context, tx pgx.Tx, now time.Time) ([]alerts.Event, bool, error) {
	h := &hit{suspect: &suspect{}}
	switch err := tx.QueryRow(ctx, closedWithRest, now).Scan(&h.restOf, &h.org, &h.device, &h.sensor, &h.Metric, &h.Side, &h.past); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("find what is left of an unverified red: %w", err)
	}
	values, err := readValues(ctx, tx, standingValues, now, readAgainWithin, h.restOf)
	if err != nil || len(values) == 0 {
		return nil, err == nil, err
	}
	told, err := openAll(ctx, tx, now, []*hit{h.rest(values)})
	return told, true, err
}

// rest is the hit of the values that a closed unverified red leaves behind.
func (h *hit) rest(values []alerts.UnverifiedValue) *hit {
	var left *hit
	for i := range values {
		v := &values[i]
		s := *h.suspect
		s.findings, s.reading, s.measured, s.received, s.place, s.why = v.Findings, v.Reading, v.MeasuredAt, v.ReceivedAt, v.Place, v.Why
		one := alerts.Screened{Level: v.Level, Ground: v.Ground, Side: h.Side, Values: v.Values, Unitless: v.Unitless, Badness: v.Badness}
		if left == nil {
			left = &hit{suspect: &s, Screened: one, past: h.past, restOf: h.restOf}
		}
		left.take(&s, &one)
		left.times += v.Times - 1
	}
	left.values = nil // they are there already
	return left
}

// valuesOf returns so many of the values that an unverified red stands for, those first that have not ended, and the worst of them.
func valuesOf(ctx context.Context, tx pgx.Tx, id int64, most int) ([]alerts.UnverifiedValue, error) {
	return readValues(ctx, tx, listValues, id, most)
}

const logEntries = `SELECT kind, recorded_at, actor_name, vals, note FROM unverified_entry WHERE unverified_id = $1 ORDER BY id LIMIT $2`

func logOfUnverified(ctx context.Context, tx pgx.Tx, id int64, most int) ([]alerts.UnverifiedEntry, error) {
	rows, err := tx.Query(ctx, logEntries, id, most)
	if err != nil {
		return nil, fmt.Errorf("read the log of an unverified red: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e alerts.UnverifiedEntry, err error) {
		err = row.Scan(&e.Kind, &e.At, &e.By, &e.Values, &e.Note)
		e.At = e.At.UTC()
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the log of an unverified red: %w", err)
	}
	return list, nil
}
