package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

const selectRefusal = `
SELECT q.uid::text, d.uid, q.topic, q.reason, q.detail, q.raw, q.length, q.received_at, q.last_received_at, q.times, q.tried_at, q.tried_by, coalesce(q.accepted, 0), q.refused_again, q.settled_at
FROM quarantine q JOIN device d ON d.org_id = q.org_id AND d.id = q.device_id `

func scanRefusal(row pgx.CollectableRow) (devices.Refusal, error) {
	var h devices.Refusal
	var tried, settled *time.Time
	err := row.Scan(&h.UID, &h.Device, &h.Topic, &h.Reason, &h.Detail, &h.Raw, &h.Length, &h.ReceivedAt, &h.LastAt, &h.Times, &tried, &h.TriedBy, &h.Accepted, &h.RefusedAgain, &settled)
	h.ReceivedAt, h.LastAt, h.TriedAt, h.SettledAt = h.ReceivedAt.UTC(), h.LastAt.UTC(), timeOf(tried), timeOf(settled)
	return h, err
}

const listRefusals = selectRefusal + `
WHERE ($1 = '' OR d.uid = $1) AND ($2 = '' OR q.reason = $2) AND ($5 OR (q.settled_at IS NOT NULL) = $3) ORDER BY q.received_at DESC, q.id DESC LIMIT $4`

// wearersOfDevices are whose the sensors of devices are or were, those of the slots of a shared one among them.
const wearersOfDevices = `
WITH wholes AS (
    SELECT s.org_id, s.id FROM device d JOIN sensor s ON s.org_id = d.org_id AND s.device_id = d.id WHERE d.uid = ANY($1)
    UNION SELECT g.org_id, g.sensor_id FROM device d JOIN gateway_grant g ON g.org_id = d.org_id AND g.device_id = d.id WHERE d.uid = ANY($1)),
speaks AS (SELECT org_id, id FROM wholes UNION SELECT c.org_id, c.id FROM wholes w JOIN sensor c ON c.org_id = w.org_id AND c.parent_id = w.id)
SELECT DISTINCT a.patient_id FROM speaks s JOIN assignment a ON a.org_id = s.org_id AND a.sensor_id = s.id`

// Refusals lists what was refused. See devices.RefusalBook.
func (a *App) Refusals(ctx context.Context, actor account.Actor, f devices.RefusalFilter) ([]devices.Refusal, []vital.PatientID, error) {
	var list []devices.Refusal
	var wearers []vital.PatientID
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		if f.Device != "" {
			if _, err := deviceID(ctx, tx, f.Device); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, listRefusals, f.Device, string(f.Reason), f.Settled, f.Limit, f.All)
		if err == nil {
			list, err = pgx.CollectRows(rows, scanRefusal)
		}
		if err != nil {
			return fmt.Errorf("list what was refused: %w", err)
		}
		uids := []string{}
		if f.Device != "" { // that there is nothing is shown of them, too
			uids = append(uids, f.Device)
		}
		for i := range list {
			uids = append(uids, list[i].Device)
		}
		wearers, err = wearersOf(ctx, tx, uids)
		return err
	})
	return list, wearers, err
}

func wearersOf(ctx context.Context, tx pgx.Tx, uids []string) ([]vital.PatientID, error) {
	rows, err := tx.Query(ctx, wearersOfDevices, uids)
	if err != nil {
		return nil, fmt.Errorf("find who wears the devices: %w", err)
	}
	wearers, err := pgx.CollectRows(rows, pgx.RowTo[vital.PatientID])
	if err != nil {
		return nil, fmt.Errorf("find who wears the devices: %w", err)
	}
	return wearers, nil
}

// Refusal returns one. See devices.RefusalBook.
func (a *App) Refusal(ctx context.Context, actor account.Actor, uid vital.UID) (devices.Refusal, []vital.PatientID, error) {
	var h devices.Refusal
	var wearers []vital.PatientID
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if h, err = oneByUID(ctx, tx, uid, "refused message", selectRefusal+`WHERE q.uid = $1`, scanRefusal); err != nil {
			return err
		}
		wearers, err = wearersOf(ctx, tx, []string{h.Device})
		return err
	})
	return h, wearers, err
}

const noteRetried = `
UPDATE quarantine SET tried_at = $2, tried_by = $3, accepted = $4, refused_again = $5, settled_at = CASE WHEN $5 = '' THEN $2::timestamptz END WHERE uid = $1`

// NoteRetried writes what became of a message that was decoded again. See devices.RefusalBook.
func (a *App) NoteRetried(ctx context.Context, actor account.Actor, uid vital.UID, r devices.Retried) (devices.Refusal, error) {
	var h devices.Refusal
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, noteRetried, string(uid), now, actor.Name, r.Accepted, validText(r.Refused)); err != nil {
			return fmt.Errorf("note that it was decoded again: %w", err)
		}
		if r.Refused == "" {
			if err := readAgain(ctx, tx, actor, uid, now); err != nil {
				return err
			}
		}
		var err error
		if h, err = oneByUID(ctx, tx, uid, "refused message", selectRefusal+`WHERE q.uid = $1`, scanRefusal); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "retry from quarantine", Object: "quarantine " + string(uid), Detail: "device " + h.Device})
	})
	return h, err
}
