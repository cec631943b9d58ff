package postgres

import (
	"cmp"
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
	said     int64 // see askWithdrawals

	identifier string // the sender's own name, as it was sent; empty when that is not known
	uid        string // of the sensor
	now        time.Time
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
WHERE id IN (SELECT w.id FROM withdrawal w WHERE w.state = 'asked' AND w.next_action_at <= $1 ORDER BY w.attempts, w.next_action_at, w.id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, sensor_id`

// lockWithdrawals takes what this process claimed, and not another since.
const lockWithdrawals = `
SELECT id, org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, attempts, said, identifier FROM withdrawal
WHERE id = ANY ($1) AND state = 'asked' AND next_action_at = $2::timestamptz + $3::interval ORDER BY id FOR NO KEY UPDATE`

const endWithdrawal = `UPDATE withdrawal SET state = $3 WHERE org_id = $1 AND id = $2`

// A withdrawal may arrive before what it speaks of: it waits for a second, twice as long each time.
const delayWithdrawal = `
UPDATE withdrawal SET attempts = attempts + 1, next_action_at = $3::timestamptz + interval '1 second' * power(2, attempts) WHERE org_id = $1 AND id = $2`

// withdrawalAttempts is after how many looks what is named counts as never sent: about four minutes.
const withdrawalAttempts = 8

// named are the readings of that name, stored, taken back already, or waiting, by the key: what was sent as measured, whenever it came,
// and what was amended before. What takes the place of one is not among them; what a later amendment says is, and is spared.
const named = `
SELECT m.sensor_id, m.metric, m.sent_at, m.tie, r.id IS NOT NULL, coalesce(i.state IN ('waiting', 'dismissed'), false),
    EXISTS (SELECT FROM withdrawal l WHERE l.org_id = m.org_id AND l.sensor_id = m.sensor_id AND l.name = m.name AND l.standing = 1 AND l.metric = m.metric
        AND l.sent_at = m.sent_at AND l.tie = m.tie AND (l.received_at, l.standing, l.said) > ($8, $4, $9))
FROM reading_more m
    LEFT JOIN reading r ON r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie AND r.org_id = m.org_id
    LEFT JOIN inbox i ON i.sensor_id = m.sensor_id AND i.metric = m.metric AND i.sent_at = m.sent_at AND i.tie = m.tie
    LEFT JOIN withdrawn_reading w ON w.sensor_id = m.sensor_id AND w.metric = m.metric AND w.sent_at = m.sent_at AND w.tie = m.tie
WHERE m.org_id = $1 AND m.name = $3 AND m.sensor_id IN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND (s.id = $2 OR s.parent_id = $2))
    AND NOT ($4 = 1 AND m.metric = $5 AND m.sent_at = $6 AND m.tie = $7) AND num_nonnulls(r.id, i.id, w.id) > 0
    AND (m.standing <> 1 OR coalesce(r.received_at, i.received_at, w.received_at) <= $8)`

const withdrawReading = `SELECT patient_id, id, measured_at FROM withdraw_reading($1, $2, $3, $4, $5, $6, NULL, '', '', '', $7)`

const putAside = `
UPDATE inbox SET state = 'dismissed', settled_at = $5, settled_by = '` + byDevice + `', settled_why = '` + takenBackBy + `' WHERE sensor_id = $1 AND metric = $2 AND sent_at = $3 AND tie = $4 AND state IN ('waiting', 'dismissed')`

// StepWithdrawal carries out the withdrawals that are due, withdrawalsAtOnce at most; found is false when there is none. What fails is
// tried again after the lease, and stops nothing else.
//
// Lock order: cursor rows by partition, the sensor's row, the withdrawals by id, readings, inbox, unverified reds (holdNamed) and then
// their values, episodes, situation changes, as a refile (ADR 0021).
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
		err := row.Scan(&d.id, &d.org, &d.sensor, &d.device, &d.name, &d.standing, &d.metric, &d.sent, &d.tie, &d.received, &d.attempts, &d.said, &d.identifier)
		return d, err
	})
	if err != nil {
		return fmt.Errorf("lock withdrawals: %w", err)
	}
	names := make([]int64, len(list))
	for i := range list {
		names[i] = list[i].name
	}
	if len(list) > 0 {
		if err := holdNamed(ctx, tx, list[0].org, sensor, names); err != nil {
			return err
		}
	}
	// What was said last is what stands.
	slices.SortFunc(list, func(a, b withdrawing) int {
		return cmp.Or(a.received.Compare(b.received), cmp.Compare(a.standing, b.standing), cmp.Compare(a.said, b.said))
	})
	uid, err := uidOfSensor(ctx, tx, sensor)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].uid = uid
		if err := list[i].carryOut(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (w *withdrawing) carryOut(ctx context.Context, tx pgx.Tx) error {
	type entry struct {
		sensor                  vital.SensorID
		metric                  vital.Metric
		sent                    time.Time
		tie                     int64
		stored, waiting, spared bool
	}
	if w.standing == refusedCorrection {
		return w.doubt(ctx, tx)
	}
	restored, err := w.restore(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, named, int32(w.org), int64(w.sensor), w.name, int16(w.standing), int16(w.metric), w.sent, w.tie, w.received, w.said)
	if err != nil {
		return fmt.Errorf("find what is taken back: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e entry, err error) {
		err = row.Scan(&e.sensor, &e.metric, &e.sent, &e.tie, &e.stored, &e.waiting, &e.spared)
		return e, err
	})
	if err != nil {
		return fmt.Errorf("find what is taken back: %w", err)
	}
	refused, err := w.leaveRefused(ctx, tx)
	if err != nil {
		return err
	}
	confirmed, err := w.confirm(ctx, tx)
	if err != nil {
		return err
	}
	if len(list) == 0 && !restored && !refused && !confirmed {
		return w.notFound(ctx, tx)
	}
	for _, e := range list {
		if e.spared {
			continue
		}
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
	if err := w.settleRefusal(ctx, tx); err != nil {
		return err
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
	no := w.refused("it amends or takes back a measurement that this sensor never sent under that name (or long ago); when it comes, it is taken back all the same")
	if _, _, err := quarantine(ctx, tx, []*vital.Refused{no}); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, endWithdrawal, int32(w.org), w.id, "unknown")
	return wrapped(err, "end a withdrawal")
}

// refused is how a withdrawal stands in quarantine: its message was decoded long ago.
func (w *withdrawing) refused(why string) *vital.Refused {
	named := fmt.Sprintf("%q", w.identifier)
	if w.identifier == "" {
		named = fmt.Sprintf("with the hash %d", w.name)
	}
	raw := fmt.Appendf(nil, "%s of what %s had sent under the name %s: %s", strings.ReplaceAll(w.how(), "_", " "), w.uid, named, w.metric)
	if w.sent.Unix() > 0 {
		raw = fmt.Appendf(raw, ", of %s", w.sent.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
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
		if err := leaveFound(ctx, tx, valuesOfReading, []any{int16(one.metric), one.id, one.at}, leaveTaken, now, actor.Name, why); err != nil {
			return err
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
SELECT r.id, r.metric, r.measured_at, r.value, r.value2, r.value3, r.withdrawn_at, r.how, r.by_name, r.why, r.findings, r.received_at, ` + vagueWithin + `
FROM withdrawn_reading r WHERE r.patient_id = $1 ORDER BY r.withdrawn_at DESC, r.id LIMIT $2`

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
				var findings int32
				var vague vagueColumns
				err := row.Scan(&w.ID, &w.Metric, &w.MeasuredAt, &first, &second, &third, &w.At, &w.How, &w.By, &w.Why, &findings, &vague.received, &vague.unsure)
				w.Findings = vital.Finding(uint32(findings))
				w.Values = []float64{first}
				for _, v := range []*float64{second, third} {
					if v != nil {
						w.Values = append(w.Values, *v)
					}
				}
				w.MeasuredAt, w.At, w.Vague = w.MeasuredAt.UTC(), w.At.UTC(), vague.of()
				return w, err
			})
		}
		return wrapped(err, "list what was taken back")
	})
	return list, err
}
