package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mostWithdrawals is how many withdrawals of one device may be open: a Bundle of FHIR takes back a thousand at once, and nobody waits for more
// than that of one device.
const mostWithdrawals = 1000

// What was carried out is not asked again. Returned is what is beyond the bound, by its place in the arrays.
const askWithdrawals = `
WITH asked AS (
    SELECT DISTINCT ON (org, sensor, name, standing, sent, tie) *
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::bigint[], $9::timestamptz[])
        WITH ORDINALITY u (org, sensor, device, name, standing, metric, sent, tie, received, place)
    ORDER BY org, sensor, name, standing, sent, tie, place
), open AS MATERIALIZED (
    SELECT w.org_id, w.device_id, count(*) AS of_device FROM withdrawal w
    WHERE w.state = 'asked' AND (w.org_id, w.device_id) IN (SELECT org, device FROM asked) GROUP BY w.org_id, w.device_id
), fresh AS (
    SELECT a.*, coalesce(o.of_device, 0) + row_number() OVER (PARTITION BY a.org, a.device ORDER BY a.place) AS nth
    FROM asked a LEFT JOIN open o ON o.org_id = a.org AND o.device_id = a.device
    WHERE NOT EXISTS (SELECT FROM withdrawal w WHERE w.org_id = a.org AND w.sensor_id = a.sensor AND w.name = a.name AND w.standing = a.standing AND w.sent_at = a.sent
        AND w.tie = a.tie AND w.state <> 'unknown')
), noted AS (
    INSERT INTO withdrawal AS w (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, next_action_at)
    SELECT org, sensor, device, name, standing, metric, sent, tie, received, $10 FROM fresh WHERE nth <= $11 ORDER BY org, sensor, name, standing, sent, tie
    ON CONFLICT (org_id, sensor_id, name, standing, sent_at, tie) DO UPDATE
    SET state = 'asked', attempts = 0, received_at = excluded.received_at, next_action_at = excluded.next_action_at WHERE w.state = 'unknown'
)
SELECT place FROM fresh WHERE nth > $11 ORDER BY place`

// askWithdrawals notes what the batch amends and takes back, and returns what is too much for one device. It is carried out beside the
// batches (StepWithdrawal): whose the reading is, and which partition judges it, is known only once it is found.
func (j *job) askWithdrawals(ctx context.Context, tx statements, now time.Time) ([]*vital.Refused, error) {
	var asked []*vital.Reading
	ask := func(r *vital.Reading) {
		if r.More != nil && r.More.Name != 0 && (r.More.Standing == vital.Amended || r.More.Standing == vital.EnteredInError) {
			asked = append(asked, r)
		}
	}
	for i := range j.filed.stored {
		ask(j.filed.stored[i].Reading)
	}
	for _, r := range slices.Concat(j.filed.parkedFirst, j.sifted.withdrawn) {
		ask(r)
	}
	if len(asked) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, askWithdrawals, append(withdrawalArrays(asked), now, mostWithdrawals)...)
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	beyond, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	tooMuch := make([]*vital.Refused, len(beyond))
	for i, place := range beyond {
		r := asked[place-1]
		w := withdrawing{org: r.Org, device: r.Device, name: r.More.Name, standing: r.More.Standing, received: r.ReceivedAt}
		tooMuch[i] = w.refused(fmt.Sprintf("the device amends or takes back more than %d measurements at once: what it names was left as it is", mostWithdrawals))
	}
	return tooMuch, nil
}

func withdrawalArrays(asked []*vital.Reading) []any {
	n := len(asked)
	orgs, standings, metrics := make([]int32, n), make([]int16, n), make([]int16, n)
	sensors, gateways, names, ties := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sent, received := make([]time.Time, n), make([]time.Time, n)
	for i, r := range asked {
		orgs[i], sensors[i], gateways[i], names[i], ties[i] = int32(r.Org), int64(r.Sensor), int64(r.Device), r.More.Name, r.Tie
		standings[i], metrics[i], sent[i], received[i] = int16(r.More.Standing), int16(r.Metric), r.SentAt, r.ReceivedAt
		if r.SentAt.IsZero() {
			sent[i] = time.Unix(0, 0)
		}
	}
	return []any{orgs, sensors, gateways, names, standings, metrics, sent, ties, received}
}

// withdrawing is a withdrawal as the process role carries it out.
type withdrawing struct {
	id       int64
	org      vital.OrgID
	sensor   vital.SensorID
	device   vital.DeviceID
	name     int64
	standing vital.Standing
	metric   vital.Metric
	sent     time.Time
	tie      int64
	received time.Time
	attempts int
	now      time.Time
}

func (w *withdrawing) how() string {
	if w.standing == vital.Amended {
		return "amended"
	}
	return "entered_in_error"
}

// withdrawalsAtOnce is how many withdrawals a process takes at a time: those of one sensor hold its patients' partitions for so long.
const withdrawalsAtOnce = 50

// withdrawalLease is how long a process that falls silent keeps what it took.
const withdrawalLease = time.Minute

// Claimed by a lease, in a transaction of its own: a batch waits for such a row with its partition held, and whoever carries it out waits
// for the partition. What is asked for the first time comes before what is looked for again, however much a device asks.
const claimWithdrawals = `
UPDATE withdrawal SET next_action_at = $1::timestamptz + $2::interval
WHERE id IN (SELECT w.id FROM withdrawal w WHERE w.state = 'asked' AND w.next_action_at <= $1 ORDER BY w.attempts, w.next_action_at, w.id LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id, sensor_id`

// lockWithdrawals takes what this process claimed, and not another since.
const lockWithdrawals = `
SELECT id, org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, attempts FROM withdrawal
WHERE id = ANY ($1) AND state = 'asked' AND next_action_at = $2::timestamptz + $3::interval ORDER BY id FOR UPDATE`

const endWithdrawal = `UPDATE withdrawal SET state = $3 WHERE org_id = $1 AND id = $2`

// A withdrawal may arrive before what it speaks of: it waits for a second, twice as long each time.
const delayWithdrawal = `
UPDATE withdrawal SET attempts = attempts + 1, next_action_at = $3::timestamptz + interval '1 second' * power(2, attempts) WHERE org_id = $1 AND id = $2`

// withdrawalAttempts is after how many looks what is named counts as never sent: about four minutes.
const withdrawalAttempts = 8

// named are the readings of that name which were received before, stored, taken back already, or waiting: by the key. What takes the
// place of one is not among them.
const named = `
SELECT m.sensor_id, m.metric, m.sent_at, m.tie, r.id IS NOT NULL, coalesce(i.state = 'waiting', false)
FROM reading_more m
    LEFT JOIN reading r ON r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie AND r.org_id = m.org_id
    LEFT JOIN inbox i ON i.sensor_id = m.sensor_id AND i.metric = m.metric AND i.sent_at = m.sent_at AND i.tie = m.tie
    LEFT JOIN withdrawn_reading w ON w.sensor_id = m.sensor_id AND w.metric = m.metric AND w.sent_at = m.sent_at AND w.tie = m.tie
WHERE m.org_id = $1 AND m.name = $3 AND m.sensor_id IN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND (s.id = $2 OR s.parent_id = $2))
    AND NOT ($4 = 1 AND m.metric = $5 AND m.sent_at = $6 AND m.tie = $7) AND coalesce(r.received_at, i.received_at, w.received_at) <= $8`

const withdrawReading = `SELECT patient_id, id, measured_at FROM withdraw_reading($1, $2, $3, $4, $5, $6, NULL, '', '', '', $7)`

const putAside = `
UPDATE inbox SET state = 'dismissed', settled_at = $5, settled_by = 'the device', settled_why = 'taken back by the device' WHERE sensor_id = $1 AND metric = $2 AND sent_at = $3 AND tie = $4 AND state = 'waiting'`

// StepWithdrawal carries out the withdrawals that are due, withdrawalsAtOnce at most; found is false when there is none. What fails is
// tried again after the lease, and stops nothing else.
//
// Lock order: cursor rows by partition, the sensor's row, the withdrawals by id, readings, episodes, situation changes, as a refile
// (ADR 0021).
func (w *Work) StepWithdrawal(ctx context.Context, now time.Time) (found bool, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	rows, err := w.pool.Query(ctx, claimWithdrawals, now, withdrawalLease, withdrawalsAtOnce)
	if err != nil {
		return false, classify(fmt.Errorf("claim what devices took back: %w", err))
	}
	var id int64
	var sensor vital.SensorID
	claimed := map[vital.SensorID][]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &sensor}, func() error { claimed[sensor] = append(claimed[sensor], id); return nil }); err != nil {
		return false, classify(fmt.Errorf("claim what devices took back: %w", err))
	}
	for _, sensor := range slices.Sorted(maps.Keys(claimed)) {
		e := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { return takeBack(ctx, tx, sensor, claimed[sensor], now) })
		if e != nil {
			err = errors.Join(err, classify(fmt.Errorf("take back what a device took back: %w", e)))
		}
	}
	return len(claimed) > 0, err
}

// takeBack carries out withdrawals of one sensor.
func takeBack(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, ids []int64, now time.Time) error {
	if err := holdSensor(ctx, tx, sensor); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, lockWithdrawals, ids, now, withdrawalLease)
	if err != nil {
		return fmt.Errorf("lock withdrawals: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (withdrawing, error) {
		d := withdrawing{now: now}
		err := row.Scan(&d.id, &d.org, &d.sensor, &d.device, &d.name, &d.standing, &d.metric, &d.sent, &d.tie, &d.received, &d.attempts)
		return d, err
	})
	if err != nil {
		return fmt.Errorf("lock withdrawals: %w", err)
	}
	for i := range list {
		if err := list[i].carryOut(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (w *withdrawing) carryOut(ctx context.Context, tx pgx.Tx) error {
	type entry struct {
		sensor          vital.SensorID
		metric          vital.Metric
		sent            time.Time
		tie             int64
		stored, waiting bool
	}
	rows, err := tx.Query(ctx, named, int32(w.org), int64(w.sensor), w.name, int16(w.standing), int16(w.metric), w.sent, w.tie, w.received)
	if err != nil {
		return fmt.Errorf("find what is taken back: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e entry, err error) {
		err = row.Scan(&e.sensor, &e.metric, &e.sent, &e.tie, &e.stored, &e.waiting)
		return e, err
	})
	if err != nil {
		return fmt.Errorf("find what is taken back: %w", err)
	}
	if len(list) == 0 {
		return w.notFound(ctx, tx)
	}
	for _, e := range list {
		if _, err := tx.Exec(ctx, leaveByKey, int64(e.sensor), int16(e.metric), e.sent, e.tie, w.now); err != nil {
			return fmt.Errorf("mark what is taken back: %w", err)
		}
		switch {
		case e.stored:
			var gone withdrawnOne
			err := tx.QueryRow(ctx, withdrawReading, int32(w.org), int64(e.sensor), int16(e.metric), e.sent, e.tie, w.how(), w.now).Scan(&gone.patient, &gone.id, &gone.at)
			if err != nil {
				return fmt.Errorf("take a reading back: %w", err)
			}
			gone.org, gone.metric, gone.how = w.org, e.metric, alerts.InError
			why := "the device took the reading back: entered in error"
			if w.standing == vital.Amended {
				why, gone.how = "the device amended the reading", alerts.Amended
				if gone.instead, err = w.instead(ctx, tx, &gone); err != nil {
					return err
				}
			}
			if err := gone.settle(ctx, tx, account.Actor{}, why, w.now); err != nil {
				return err
			}
		case e.waiting:
			if _, err := tx.Exec(ctx, putAside, int64(e.sensor), int16(e.metric), e.sent, e.tie, w.now); err != nil {
				return fmt.Errorf("put aside what is taken back: %w", err)
			}
		}
	}
	_, err = tx.Exec(ctx, endWithdrawal, int32(w.org), w.id, "done")
	return wrapped(err, "end a withdrawal")
}

// notFound waits a little for what is named; then it goes to quarantine, where the device desk sees it.
func (w *withdrawing) notFound(ctx context.Context, tx pgx.Tx) error {
	if w.attempts+1 < withdrawalAttempts {
		_, err := tx.Exec(ctx, delayWithdrawal, int32(w.org), w.id, w.now)
		return wrapped(err, "delay a withdrawal")
	}
	no := w.refused("it amends or takes back a measurement that this sensor never sent under that name (or long ago)")
	if _, _, err := quarantine(ctx, tx, []*vital.Refused{no}); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, endWithdrawal, int32(w.org), w.id, "unknown")
	return wrapped(err, "end a withdrawal")
}

// refused is how a withdrawal stands in quarantine: its message was decoded long ago.
func (w *withdrawing) refused(why string) *vital.Refused {
	raw := fmt.Appendf(nil, "%s of what was sent under the name with the hash %d", strings.ReplaceAll(w.how(), "_", " "), w.name)
	return &vital.Refused{Org: w.org, Device: w.device, ReceivedAt: w.received, Reason: vital.ReasonName, Detail: why, Raw: raw, Length: int64(len(raw)), Hash: sha256.Sum256(raw)}
}

const withdrawByPerson = `SELECT patient_id, id, measured_at, metric FROM withdraw_by_person($1, $2, $3, $4)`

// Withdraw takes a reading out of the record, as a person says. See safe.WithdrawnBook.
func (a *App) Withdraw(ctx context.Context, actor account.Actor, patient vital.PatientID, reading int64, near time.Time, why string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, shareCursor, vital.PartitionOf(uint64(patient))); err != nil {
			return fmt.Errorf("hold the partition: %w", err)
		}
		one := withdrawnOne{org: actor.Org, how: alerts.InError}
		err := tx.QueryRow(ctx, withdrawByPerson, int64(patient), reading, near, why).Scan(&one.patient, &one.id, &one.at, &one.metric)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.Conflict, "the patient has no such reading, or somebody has taken it back already")
		}
		if err != nil {
			return fmt.Errorf("take a reading back: %w", err)
		}
		if _, err := tx.Exec(ctx, leaveByReading, int16(one.metric), one.id, one.at, now, actor.Name, why); err != nil {
			return fmt.Errorf("mark what is taken back: %w", err)
		}
		if err := one.settle(ctx, tx, actor, actor.Name+" took the reading back: entered in error ("+why+")", now); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertOwnNotice, int32(actor.Org), int64(patient), fmt.Sprintf("withdrawn/%d", one.id), now)
		return wrapped(err, "owe the patient a notice")
	})
}

const insertOwnNotice = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience) VALUES ($1, $2, 'reading.withdrawn', $3, 'none', $4, 'patient') ON CONFLICT (org_id, topic, dedup) DO NOTHING`

const listWithdrawn = `
SELECT id, metric, measured_at, value, value2, value3, withdrawn_at, how, by_name, why FROM withdrawn_reading WHERE patient_id = $1 ORDER BY withdrawn_at DESC, id LIMIT $2`

// WithdrawnOf lists what was taken back. See safe.WithdrawnBook.
func (a *App) WithdrawnOf(ctx context.Context, actor account.Actor, patient vital.PatientID, limit int) ([]safe.WithdrawnReading, error) {
	var list []safe.WithdrawnReading
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, listWithdrawn, int64(patient), limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.WithdrawnReading, error) {
				var w safe.WithdrawnReading
				var first float64
				var second, third *float64
				err := row.Scan(&w.ID, &w.Metric, &w.MeasuredAt, &first, &second, &third, &w.At, &w.How, &w.By, &w.Why)
				w.Values = []float64{first}
				for _, v := range []*float64{second, third} {
					if v != nil {
						w.Values = append(w.Values, *v)
					}
				}
				w.MeasuredAt, w.At = w.MeasuredAt.UTC(), w.At.UTC()
				return w, err
			})
		}
		return wrapped(err, "list what was taken back")
	})
	return list, err
}
