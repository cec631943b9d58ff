package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/downlink"
	"hale/fault"
	"hale/vital"
)

// homesOf are the zones of those in whose homes a command (c) for a sensor (s) is noticed at $1: who wears the sensor or a slot of
// it, and of what the device asks for itself whoever wears anything that it speaks for.
const homesOf = `(SELECT coalesce(array_agg(DISTINCT p.zone), '{}') FROM assignment a
    JOIN sensor w ON w.org_id = a.org_id AND w.id = a.sensor_id JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
    WHERE a.org_id = c.org_id AND a.from_at <= $1 AND (a.to_at IS NULL OR a.to_at > $1)
      AND (w.id = c.sensor_id OR w.parent_id = c.sensor_id OR s.device_id IS NOT NULL AND EXISTS (
          SELECT FROM gateway_grant g WHERE g.org_id = c.org_id AND g.device_id = c.device_id AND g.sensor_id IN (w.id, w.parent_id) AND g.ended_at IS NULL)))`

// heldAt are those who have anything that a command (c) for a sensor (s) is noticed at, at a time.
func heldAt(at string) string {
	return `(SELECT coalesce(array_agg(DISTINCT a.patient_id ORDER BY a.patient_id), '{}') FROM assignment a JOIN sensor w ON w.org_id = a.org_id AND w.id = a.sensor_id
    WHERE a.org_id = c.org_id AND a.from_at <= ` + at + ` AND (a.to_at IS NULL OR a.to_at > ` + at + `) AND (a.to_at IS NULL OR a.to_at > a.from_at)
      AND (w.id = c.sensor_id OR w.parent_id = c.sensor_id OR s.device_id IS NOT NULL AND EXISTS (
          SELECT FROM gateway_grant g WHERE g.org_id = c.org_id AND g.device_id = c.device_id AND g.sensor_id IN (w.id, w.parent_id) AND g.ended_at IS NULL)))`
}

// sameHands asks whether whoever has it at $1 had it when the command was made. Giving and taking cancel what is open (cancel_commands);
// this is for what begins or ends by the clock, and for what was being asked while it changed hands.
func sameHands() string { return heldAt("$1") + ` = ` + heldAt("c.created_at") }

const commandColumns = `c.uid::text, d.uid, s.uid, c.kind, c.payload, c.urgent, c.created_at, c.not_after, c.author_name, c.state, c.sent_at, c.times, c.settled_at, c.detail, ` + homesOf

const fromCommands = ` FROM device_command c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id JOIN sensor s ON s.org_id = c.org_id AND s.id = c.sensor_id `

// commandPayload is what of a command depends on its kind.
type commandPayload struct {
	Metric  string `json:"metric,omitempty"`
	Seconds int    `json:"seconds,omitempty"`
	Text    string `json:"text,omitempty"`
}

func scanCommand(row pgx.CollectableRow) (downlink.Command, error) {
	var c downlink.Command
	var payload []byte
	var sent, settled *time.Time
	var zones []string
	err := row.Scan(&c.ID, &c.Device, &c.Sensor, &c.Kind, &payload, &c.Urgent, &c.CreatedAt, &c.NotAfter, &c.By, &c.State, &sent, &c.Times, &settled, &c.Detail, &zones)
	if err != nil {
		return c, err
	}
	c.CreatedAt, c.NotAfter, c.SentAt, c.SettledAt = c.CreatedAt.UTC(), c.NotAfter.UTC(), timeOf(sent), timeOf(settled)
	var p commandPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return c, err
	}
	c.Metric, c.Seconds, c.Text = p.Metric, p.Seconds, p.Text
	c.Homes, err = clocksOf(zones)
	return c, err
}

func clocksOf(names []string) ([]*time.Location, error) {
	list := make([]*time.Location, len(names))
	for i, name := range names {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "the zone of a home")
		}
		list[i] = zone
	}
	return list, nil
}

const findSpeaker = `
SELECT d.id, d.revoked_at IS NOT NULL, s.id FROM device d JOIN sensor s ON s.org_id = d.org_id AND s.uid = $2
WHERE d.uid = $1 AND (s.device_id = d.id OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = d.org_id AND g.device_id = d.id AND g.sensor_id = s.id AND g.ended_at IS NULL))
FOR SHARE OF d`

// holdHands keeps everybody from giving or taking what a command is noticed at, until it is stored: who had it then is who has it now.
const holdHands = `
SELECT 1 FROM sensor w WHERE w.id IN (SELECT x.id FROM device d JOIN sensor s ON s.org_id = d.org_id AND s.uid = $2
    JOIN sensor x ON x.org_id = d.org_id AND (s.id IN (x.id, x.parent_id) OR s.device_id = d.id AND EXISTS (
        SELECT FROM gateway_grant g WHERE g.org_id = d.org_id AND g.device_id = d.id AND g.sensor_id IN (x.id, x.parent_id) AND g.ended_at IS NULL)) WHERE d.uid = $1)
ORDER BY w.id FOR SHARE`
const homesFor = `SELECT ` + homesOf + ` FROM (SELECT d.org_id, d.id AS device_id, $3::bigint AS sensor_id FROM device d WHERE d.id = $2) c JOIN sensor s ON s.org_id = c.org_id AND s.id = c.sensor_id`
const insertCommand = `
INSERT INTO device_command (org_id, uid, device_id, sensor_id, kind, payload, urgent, created_at, not_after, author_id, author_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// AddCommand stores what a device is asked for. See devices.CommandBook for this and the methods that follow.
func (a *App) AddCommand(ctx context.Context, actor account.Actor, c downlink.Command, decide func(c *downlink.Command, now time.Time) error) (downlink.Command, error) {
	c.ID, c.By, c.State = newUID(), actor.Name, downlink.CommandQueued
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var device, sensor int64
		var revoked bool
		if _, err := tx.Exec(ctx, holdHands, c.Device, c.Sensor); err != nil {
			return fmt.Errorf("hold the sensors: %w", err)
		}
		switch err := tx.QueryRow(ctx, findSpeaker, c.Device, c.Sensor).Scan(&device, &revoked, &sensor); {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no device %q that speaks for %q", c.Device, c.Sensor)
		case err != nil:
			return fmt.Errorf("find device: %w", err)
		case revoked:
			return fault.New(fault.Conflict, "the device was taken out of use: it is asked nothing")
		}
		var zones []string
		err := tx.QueryRow(ctx, homesFor, now, device, sensor).Scan(&zones)
		if err != nil {
			return fmt.Errorf("find the homes: %w", err)
		}
		if c.Homes, err = clocksOf(zones); err != nil {
			return err
		}
		if err := decide(&c, now); err != nil {
			return err
		}
		c.CreatedAt = now
		payload, err := json.Marshal(commandPayload{c.Metric, c.Seconds, c.Text})
		if err != nil {
			return fmt.Errorf("write the command: %w", err)
		}
		if _, err := tx.Exec(ctx, insertCommand, int32(actor.Org), string(c.ID), device, sensor, string(c.Kind), payload, c.Urgent, now, c.NotAfter, nullID(actor.Staff), actor.Name); err != nil {
			return fmt.Errorf("add command: %w", err)
		}
		return noteCommand(ctx, tx, actor, now, "ask device", c.Device, c.ID, string(c.Kind))
	})
	return c, err
}

func noteCommand(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, action, device string, id vital.UID, detail string) error {
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: action, Object: "command " + string(id), Detail: "device " + device + ": " + detail})
}

// Commands returns what was asked of a device, newest first.
func (a *App) Commands(ctx context.Context, actor account.Actor, device string, limit int) (list []downlink.Command, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device WHERE uid = $1)`, device).Scan(&there); err != nil {
			return fmt.Errorf("find device: %w", err)
		}
		if !there {
			return fault.New(fault.NotFound, "there is no device %q", device)
		}
		rows, err := tx.Query(ctx, `SELECT `+commandColumns+fromCommands+`WHERE d.uid = $2 ORDER BY c.id DESC LIMIT $3`, now, device, limit)
		if err != nil {
			return fmt.Errorf("list commands: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanCommand)
		for i := range list {
			list[i] = list[i].At(now)
		}
		return err
	})
	return list, err
}

const withdrawCommand = `
UPDATE device_command c SET state = 'withdrawn', settled_at = $3 FROM device d
WHERE d.org_id = c.org_id AND d.id = c.device_id AND d.uid = $1 AND c.uid = $2 AND c.settled_at IS NULL RETURNING c.kind`

// WithdrawCommand settles an open command.
func (a *App) WithdrawCommand(ctx context.Context, actor account.Actor, device string, id vital.UID) error {
	u, err := parseUID(id, "command")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var kind string
		err := tx.QueryRow(ctx, withdrawCommand, device, u, now).Scan(&kind)
		if err == nil {
			return noteCommand(ctx, tx, actor, now, "withdraw command", device, id, kind)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("withdraw command: %w", err)
		}
		var there bool
		const find = `SELECT EXISTS (SELECT FROM device_command c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id WHERE d.uid = $1 AND c.uid = $2)`
		if err := tx.QueryRow(ctx, find, device, u).Scan(&there); err != nil {
			return fmt.Errorf("find command: %w", err)
		}
		if !there {
			return fault.New(fault.NotFound, "there is no such command")
		}
		return fault.New(fault.Conflict, "it is settled already: look what became of it")
	})
}

// mostOpen bounds the commands that an edge knows; the others follow when these are settled.
const mostOpen = 10_000

func openCommands() string {
	return `SELECT ` + commandColumns + fromCommands + `WHERE c.settled_at IS NULL AND c.not_after > $1 AND d.revoked_at IS NULL AND ` + sameHands() + ` ORDER BY c.id LIMIT $2`
}

// OpenCommands returns the commands that are open and not stale, of devices that are in the hands in which they were. See devices.Orders for this and CommandsSent.
func (w *Work) OpenCommands(ctx context.Context) ([]downlink.Command, time.Time, error) {
	now, err := w.Clock(ctx)
	if err != nil {
		return nil, now, err
	}
	rows, err := w.pool.Query(ctx, openCommands(), now, mostOpen)
	if err != nil {
		return nil, now, classify(fmt.Errorf("read the open commands: %w", err))
	}
	list, err := pgx.CollectRows(rows, scanCommand)
	return list, now, classify(err)
}

// commandsSent waits for nobody: one that is being settled just now is no longer open.
const commandsSent = `
UPDATE device_command SET state = 'sent', sent_at = $2, times = times + 1
WHERE id IN (SELECT c.id FROM device_command c WHERE c.uid = ANY ($1::uuid[]) AND c.settled_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)`

// CommandsSent notes that commands were sent.
func (w *Work) CommandsSent(ctx context.Context, ids []vital.UID, at time.Time) error {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	if _, err := w.pool.Exec(ctx, commandsSent, list, at); err != nil {
		return classify(fmt.Errorf("note the sent commands: %w", err))
	}
	return nil
}

const expireCommands = `
WITH expired AS (
    UPDATE device_command c SET state = 'expired', settled_at = c.not_after WHERE c.id IN (
        SELECT x.id FROM device_command x WHERE x.settled_at IS NULL AND x.not_after <= $1 ORDER BY x.id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING c.org_id, c.uid, c.kind)
INSERT INTO audit (org_id, at, actor_name, actor_role, action, object, detail)
SELECT e.org_id, $1, 'Hale', '', 'command expired', 'command ' || e.uid, e.kind FROM expired e`

// cancelPassed cancels what was asked of a device that has come into other hands since, by the clock.
func cancelPassed() string {
	return `
WITH passed AS (
    UPDATE device_command u SET state = 'cancelled', settled_at = $1, detail = 'it changed hands' WHERE u.id IN (
        SELECT c.id` + fromCommands + `WHERE c.settled_at IS NULL AND NOT (` + sameHands() + `) ORDER BY c.id LIMIT 1000 FOR NO KEY UPDATE OF c SKIP LOCKED)
    RETURNING u.org_id, u.uid, u.kind)
INSERT INTO audit (org_id, at, actor_name, actor_role, action, object, detail)
SELECT p.org_id, $1, 'Hale', '', 'command cancelled', 'command ' || p.uid, p.kind || ': it changed hands' FROM passed p`
}

const cancelOpen = `
UPDATE device_command u SET state = 'cancelled', settled_at = $2, detail = $3 WHERE u.id IN (
    SELECT c.id FROM device_command c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id WHERE d.uid = ANY($1) AND c.settled_at IS NULL
    ORDER BY c.id FOR NO KEY UPDATE OF c) RETURNING u.uid::text, u.kind, (SELECT d.uid FROM device d WHERE d.org_id = u.org_id AND d.id = u.device_id)`

// cancelCommands settles what is open of devices, because of what the actor does with them.
func cancelCommands(ctx context.Context, tx pgx.Tx, actor account.Actor, list []string, why string, now time.Time) error {
	return cancelling(ctx, tx, actor, why, now, cancelOpen, list, now, why)
}

// cancelling runs a statement that settles commands and returns the UID, kind and device of each, and writes the audit rows.
func cancelling(ctx context.Context, tx pgx.Tx, actor account.Actor, why string, now time.Time, statement string, args ...any) error {
	rows, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("cancel commands: %w", err)
	}
	type one struct{ UID, Kind, Device string }
	cancelled, err := pgx.CollectRows(rows, pgx.RowToStructByPos[one])
	if err != nil {
		return fmt.Errorf("cancel commands: %w", err)
	}
	for _, c := range cancelled {
		if err := noteCommand(ctx, tx, actor, now, "cancel command", c.Device, vital.UID(c.UID), c.Kind+": "+why); err != nil {
			return err
		}
	}
	return nil
}
