package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

const selectUnverified = `
SELECT u.id, u.uid::text, u.org_id, d.uid, s.uid, u.metric, u.level, u.ground, u.beyond, u.vals, u.unitless, u.findings, u.measured_at, u.received_at, u.last_received_at,
    u.times, u.place, u.why, u.historic, u.opened_at, u.deadline_at, u.loud_at, u.state, coalesce(u.ack_by, 0), u.ack_name, u.ack_until, u.closed_at, u.closing, u.closed_name, u.note, u.version,
    ` + unsureShown + `
FROM unverified u JOIN device d ON d.org_id = u.org_id AND d.id = u.device_id JOIN sensor s ON s.org_id = u.org_id AND s.id = u.sensor_id `

// unsureShown is within how much of its time the value that the red shows was measured, in microseconds; null where its time is known
// (131072 is vital.TimeUnsure).
const unsureShown = `CASE WHEN u.findings & 131072 <> 0 THEN (SELECT v.unsure_us FROM unverified_value v
    WHERE v.unverified_id = u.id AND v.measured_at = u.measured_at AND v.reading_id IS NOT DISTINCT FROM u.reading_id AND v.findings = u.findings ORDER BY v.unsure_us DESC LIMIT 1) END`

func scanUnverified(row pgx.CollectableRow) (alerts.Unverified, error) {
	var u alerts.Unverified
	var findings int32
	var measured, deadline, loud, ack, closed *time.Time
	var unsure *int64
	err := row.Scan(&u.ID, &u.UID, &u.Org, &u.Device, &u.Sensor, &u.Metric, &u.Level, &u.Ground, &u.Beyond, &u.Values, &u.Unitless, &findings, &measured, &u.ReceivedAt, &u.LastAt,
		&u.Times, &u.Place, &u.Why, &u.Historic, &u.OpenedAt, &deadline, &loud, &u.State, &u.AckBy, &u.AckName, &ack, &closed, &u.Closing, &u.ClosedBy, &u.Note, &u.Version, &unsure)
	u.Findings = vital.Finding(uint32(findings))
	u.ReceivedAt, u.LastAt, u.OpenedAt = u.ReceivedAt.UTC(), u.LastAt.UTC(), u.OpenedAt.UTC()
	if unsure != nil {
		u.Vague = vital.VagueWithin(time.Duration(*unsure)*time.Microsecond, u.ReceivedAt)
	}
	u.MeasuredAt, u.Deadline, u.LoudAt, u.AckUntil, u.ClosedAt = timeOf(measured), timeOf(deadline), timeOf(loud), timeOf(ack), timeOf(closed)
	return u, err
}

const openUnverifieds = selectUnverified + `WHERE u.state <> 'closed'
ORDER BY (u.state = 'acknowledged' AND u.ack_until > $1), u.historic, u.level DESC, u.opened_at, u.id LIMIT $2`
const closedUnverifieds = selectUnverified + `WHERE u.state = 'closed' AND u.opened_at <= $1 ORDER BY u.id DESC LIMIT $2`

// Unverifieds returns the unverified reds of the organisation, with whose they may be of those whom the actor reaches. See
// alerts.UnverifiedBook.
func (a *App) Unverifieds(ctx context.Context, actor account.Actor, f alerts.UnverifiedFilter) ([]alerts.Unverified, error) {
	var list []alerts.Unverified
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		query := openUnverifieds
		if f.Closed {
			query = closedUnverifieds
		}
		rows, err := tx.Query(ctx, query, now, f.Limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, scanUnverified)
		}
		if err != nil {
			return fmt.Errorf("list unverified reds: %w", err)
		}
		return fillHolders(ctx, tx, list)
	})
	return list, err
}

const holdersOfUnverified = `
SELECT h.unverified_id, h.patient_id, p.uid::text, p.name, p.number, h.how, h.from_at, h.to_at FROM unverified_person h JOIN patient p ON p.org_id = h.org_id AND p.id = h.patient_id
WHERE h.unverified_id = ANY($1) AND NOT EXISTS (SELECT FROM unverified_person o WHERE (o.org_id, o.unverified_id, o.patient_id, o.how) = (h.org_id, h.unverified_id, h.patient_id, h.how) AND o.id < h.id) ORDER BY h.unverified_id, array_position(ARRAY['claimed', 'holds', 'held', 'near'], h.how), h.from_at DESC NULLS LAST, h.patient_id`

// fillHolders adds whose they may be, as far as the view of the transaction goes.
func fillHolders(ctx context.Context, tx pgx.Tx, list []alerts.Unverified) error {
	ids, at := make([]int64, len(list)), make(map[int64]*alerts.Unverified, len(list))
	for i := range list {
		ids[i], at[list[i].ID] = list[i].ID, &list[i]
	}
	rows, err := tx.Query(ctx, holdersOfUnverified, ids)
	if err != nil {
		return fmt.Errorf("list whose unverified reds may be: %w", err)
	}
	var id int64
	var h alerts.Holder
	var from, to *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &h.ID, &h.Patient, &h.Name, &h.Number, &h.How, &from, &to}, func() error {
		h.From, h.To = timeOf(from), timeOf(to)
		at[id].Holders = append(at[id].Holders, h)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list whose unverified reds may be: %w", err)
	}
	return nil
}

// Unverified returns one. See alerts.UnverifiedBook.
func (a *App) Unverified(ctx context.Context, actor account.Actor, uid vital.UID) (alerts.Unverified, error) {
	var u alerts.Unverified
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		u, err = oneUnverified(ctx, tx, uid)
		return err
	})
	return u, err
}

func oneUnverified(ctx context.Context, tx pgx.Tx, uid vital.UID) (alerts.Unverified, error) {
	u, err := oneByUID(ctx, tx, uid, "unverified red", selectUnverified+`WHERE u.uid = $1`, scanUnverified)
	if err != nil {
		return u, err
	}
	list := []alerts.Unverified{u}
	if err := fillHolders(ctx, tx, list); err != nil {
		return u, err
	}
	if list[0].All, err = valuesOf(ctx, tx, u.ID, alerts.MostShown); err != nil {
		return u, err
	}
	if err := fillClaims(ctx, tx, u.ID, list[0].All); err != nil {
		return u, err
	}
	list[0].Log, err = logOfUnverified(ctx, tx, u.ID, alerts.MostShown)
	return list[0], err
}

const lockUnverified = `SELECT 1 FROM unverified WHERE uid = $1 FOR NO KEY UPDATE`

// Whose it was said to be, and why, is said now, and stays when it ends by itself. In one statement: a row that is written twice in a
// transaction is held against all that it refers to, and the sensor may be somebody's who waits for this row.
const acknowledgeUnverified = `
UPDATE unverified SET state = 'acknowledged', ack_by = $2, ack_name = $3, ack_until = $4::timestamptz, next_action_at = CASE WHEN historic THEN NULL ELSE $4::timestamptz END, loud_at = NULL, version = version + 1,
    note = CASE WHEN $5 THEN $6 ELSE note END WHERE id = $1`

// Of one that stands for others besides, these are opened anew (restOf): next_action_at says when.
const closeUnverified = `
UPDATE unverified SET state = 'closed', closing = $2, closed_at = $3, closed_name = $4, note = CASE WHEN $5 = '' THEN note ELSE $5 END, version = version + 1,
    next_action_at = CASE WHEN $6 THEN $3::timestamptz END WHERE id = $1`

// What a person ends is ended with all that it stands for, which they were shown; what is claimed, alone.
const endValues = `
UPDATE unverified_value SET left_at = coalesce(left_at, $2), ended_at = $2, became = $3, by_name = $4, note = $6 WHERE unverified_id = $1 AND ended_at IS NULL AND ($5 = 0 OR id = $5)`

// AmendUnverified lets a person act on an unverified red. See alerts.UnverifiedBook.
func (a *App) AmendUnverified(ctx context.Context, actor account.Actor, uid vital.UID, decide func(u alerts.Unverified, now time.Time) (alerts.UnverifiedAct, error)) (alerts.Unverified, []alerts.Event, error) {
	id, err := parseUID(uid, "unverified red")
	if err != nil {
		return alerts.Unverified{}, nil, err
	}
	var after alerts.Unverified
	var event alerts.Event
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		if _, err := tx.Exec(ctx, lockUnverified, id); err != nil {
			return fmt.Errorf("lock an unverified red: %w", err)
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		u, err := oneUnverified(ctx, tx, uid)
		if err != nil {
			return err
		}
		act, err := decide(u, now.UTC())
		if err != nil {
			return err
		}
		if err := writeUnverified(ctx, tx, actor, &u, act, now.UTC()); err != nil {
			return err
		}
		if after, err = oneUnverified(ctx, tx, uid); err != nil {
			return err
		}
		event = alerts.Event{Org: u.Org, Alert: uid, Version: after.Version, Unverified: true}
		kind, values := string(act.Kind), []float64{}
		switch {
		case act.Unclaimed != 0:
			kind, values = unclaimedKind, valueIn(u.All, act.Unclaimed)
		case act.Claimed != 0:
			kind = "claimed"
		case act.Kind == alerts.EntryResolved:
			kind = "closed"
		}
		err = tx.QueryRow(ctx, insertClaimEntry, int32(u.Org), u.ID, kind, now, nullID(actor.Staff), actor.Name, string(actor.Role), values, act.Note, after.Version, nullID(act.Claimed)).Scan(&event.ID)
		if err != nil {
			return fmt.Errorf("log an act on an unverified red: %w", err)
		}
		if len(after.Log) < alerts.MostShown {
			after.Log = append(after.Log, alerts.UnverifiedEntry{Kind: kind, At: now.UTC(), By: actor.Name, Values: values, Note: act.Note})
		}
		// Of a person only where somebody said whose it is: the trail of a patient tells of nobody's values.
		return writeAudit(ctx, tx, account.Audit{Org: u.Org, At: now, Actor: actor, Action: "unverified red " + kind, Patient: act.Claimed, Object: "unverified " + string(uid), Detail: string(act.Closing)})
	})
	if err != nil {
		return alerts.Unverified{}, nil, err
	}
	return after, []alerts.Event{event}, nil
}

func writeUnverified(ctx context.Context, tx pgx.Tx, actor account.Actor, u *alerts.Unverified, act alerts.UnverifiedAct, now time.Time) error {
	if act.Unclaimed != 0 {
		return takeClaimBack(ctx, tx, actor, u, act, now)
	}
	var only int64 // of what is claimed, the value that was shown
	if act.Claimed != 0 {
		shown, err := claimShown(ctx, tx, u, act)
		if err != nil {
			return err
		}
		only = shown
	}
	switch {
	case act.Kind == alerts.EntryAcknowledged && actor.Staff != 0:
		_, err := tx.Exec(ctx, acknowledgeUnverified, u.ID, int64(actor.Staff), actor.Name, act.Until, act.Claimed != 0, act.Note)
		return wrapped(err, "acknowledge an unverified red")
	case act.Kind == alerts.EntryAcknowledged && act.Claimed == 0:
		return fault.New(fault.Forbidden, "only a person can look after it")
	case act.Kind == alerts.EntryAcknowledged: // a program has said whose it is: it waits for the filing as it stood
		_, err := tx.Exec(ctx, `UPDATE unverified SET note = $2, version = version + 1 WHERE id = $1`, u.ID, act.Note)
		return wrapped(err, "write down whose an unverified red is")
	}
	if _, err := tx.Exec(ctx, endValues, u.ID, now, string(act.Closing), actor.Name, only, act.Note); err != nil {
		return fmt.Errorf("end the values of an unverified red: %w", err)
	}
	_, err := tx.Exec(ctx, closeUnverified, u.ID, string(act.Closing), now, actor.Name, act.Note, act.Claimed != 0)
	return wrapped(err, "close an unverified red")
}

func wrapped(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// overdueUnverified are those whose time has run out: of an acknowledgement, or until somebody looks. One is claimed by one process.
const overdueUnverified = `
UPDATE unverified u SET loud_at = $1, next_action_at = NULL, state = 'open', version = version + 1
WHERE u.id IN (SELECT o.id FROM unverified o WHERE o.state <> 'closed' AND o.next_action_at <= $1 ORDER BY o.next_action_at LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING u.org_id, u.id, u.uid::text, u.level, u.version`

// mostEnded is how many unverified reds one look ends or opens anew.
const mostEnded = 20

// RaiseOverdue makes those loud at which nobody has looked in time, and owes a notice of each of these; ends the unverified reds of which
// the value is elsewhere by now, and opens anew what these stood for besides. What is overdue comes first, and each that ends has a
// transaction of its own: however many values it stands for, the others and the batches go on. See alerts.Raiser.
func (w *Work) RaiseOverdue(ctx context.Context, now time.Time) ([]alerts.Event, error) {
	var events []alerts.Event
	var failed []error
	for i, do := range []func(context.Context, pgx.Tx, time.Time) ([]alerts.Event, bool, error){raiseOverdue, endUnverified, openRest} {
		what := [...]string{"raise overdue unverified reds", "end unverified reds", "open unverified reds anew"}[i]
		for more, n := true, 0; more && n < mostEnded; n++ {
			var told []alerts.Event
			err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
				told, more, err = do(ctx, tx, now)
				return err
			})
			if err != nil {
				failed = append(failed, classify(fmt.Errorf("%s: %w", what, err)))
				break
			}
			events = append(events, told...)
		}
	}
	return events, errors.Join(failed...)
}

func raiseOverdue(ctx context.Context, tx pgx.Tx, now time.Time) (events []alerts.Event, more bool, err error) {
	rows, err := tx.Query(ctx, overdueUnverified, now)
	if err != nil {
		return nil, false, err
	}
	type due struct {
		org     vital.OrgID
		id      int64
		uid     vital.UID
		level   alerts.Level
		version int
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
		err = row.Scan(&d.org, &d.id, &d.uid, &d.level, &d.version)
		return d, err
	})
	if err != nil {
		return nil, false, err
	}
	q := &pgx.Batch{}
	for _, d := range list {
		e := alerts.Event{Org: d.org, Alert: d.uid, Version: d.version, Unverified: true}
		q.Queue(insertUnverifiedEntry, int32(d.org), d.id, "overdue", now, nil, "", "", []float64{}, "", d.version).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&e.ID)
			events = append(events, e)
			return err
		})
		q.Queue(insertUnverifiedNotice, int32(d.org), string(push.UnverifiedOverdue), fmt.Sprintf("%s/%d", d.uid, d.version), d.level.String(), now)
		q.Queue(insertAudit, auditArgs(account.Audit{Org: d.org, At: now, Action: "unverified red overdue", Object: "unverified " + string(d.uid)})...)
	}
	return events, false, tx.SendBatch(ctx, q).Close() // the next look goes on
}
