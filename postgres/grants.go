package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// grantedTo are the sensors that devices speak for, or have spoken for ($1: the device, $2: the sensor, empty: all), as of $3.
const grantedTo = `
SELECT s.uid, g.ended_at,
    EXISTS (SELECT FROM sensor w JOIN assignment a ON a.org_id = w.org_id AND a.sensor_id = w.id
        WHERE w.org_id = s.org_id AND (w.id = s.id OR w.parent_id = s.id) AND a.from_at <= $3 AND (a.to_at IS NULL OR a.to_at > $3)),
    ARRAY(SELECT o.uid FROM gateway_grant x JOIN device o ON o.org_id = x.org_id AND o.id = x.device_id AND o.revoked_at IS NULL
        WHERE x.org_id = s.org_id AND x.sensor_id = s.id AND x.device_id <> g.device_id AND x.ended_at IS NULL ORDER BY o.uid)
FROM gateway_grant g JOIN sensor s ON s.org_id = g.org_id AND s.id = g.sensor_id WHERE g.device_id = $1 AND ($2 = '' OR s.uid = $2) ORDER BY s.uid`

func granted(ctx context.Context, tx pgx.Tx, device int64, sensor string, now time.Time) ([]devices.Granted, error) {
	rows, err := tx.Query(ctx, grantedTo, device, sensor, now)
	if err != nil {
		return nil, fmt.Errorf("list what a gateway speaks for: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.Granted, error) {
		var g devices.Granted
		var ended *time.Time
		err := row.Scan(&g.Sensor, &ended, &g.Held, &g.Others)
		g.Ended = timeOf(ended)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("list what a gateway speaks for: %w", err)
	}
	return list, nil
}

// Granted returns what a device speaks for. See devices.GrantBook.
func (a *App) Granted(ctx context.Context, actor account.Actor, device string) (list []devices.Granted, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := deviceID(ctx, tx, device)
		if err != nil {
			return err
		}
		list, err = granted(ctx, tx, id, "", now)
		return err
	})
	return list, err
}

const addSensor = `INSERT INTO sensor (org_id, uid) VALUES ($1, $2) ON CONFLICT (uid) DO NOTHING`
const findCarried = `SELECT id FROM sensor WHERE uid = $1 AND device_id IS NULL AND parent_id IS NULL`

// carriedSensor returns the sensor of that name that gateways speak for; it comes to be when there is none. A sensor that somebody adds
// just now is waited for.
func carriedSensor(ctx context.Context, tx pgx.Tx, org vital.OrgID, uid string) (id vital.SensorID, err error) {
	if _, err := tx.Exec(ctx, addSensor, int32(org), uid); err != nil {
		return 0, fmt.Errorf("add sensor: %w", err)
	}
	switch err := tx.QueryRow(ctx, findCarried, uid).Scan(&id); {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fault.New(fault.Conflict, "the name %q is taken and cannot be a sensor of this gateway", uid)
	case err != nil:
		return 0, fmt.Errorf("find sensor: %w", err)
	}
	return id, nil
}

const insertGrant = `
INSERT INTO gateway_grant (org_id, device_id, sensor_id) VALUES ($1, $2, $3) ON CONFLICT (org_id, device_id, sensor_id) DO UPDATE SET ended_at = NULL`

func speakFor(ctx context.Context, tx pgx.Tx, org vital.OrgID, device int64, sensor vital.SensorID) error {
	if _, err := tx.Exec(ctx, insertGrant, int32(org), device, int64(sensor)); err != nil {
		return fmt.Errorf("grant sensor: %w", err)
	}
	return nil
}

const findGateway = `SELECT d.id, s.id, d.revoked_at IS NOT NULL FROM device d JOIN sensor s ON s.org_id = d.org_id AND s.device_id = d.id WHERE d.uid = $1`

// gateway is a device that is given a sensor, or from which one is taken.
type gateway struct {
	id      int64
	own     vital.SensorID
	revoked bool
	uid     string
}

func findOneGateway(ctx context.Context, tx pgx.Tx, uid string) (gateway, error) {
	g := gateway{uid: uid}
	err := tx.QueryRow(ctx, findGateway, uid).Scan(&g.id, &g.own, &g.revoked)
	if errors.Is(err, pgx.ErrNoRows) {
		return g, fault.New(fault.NotFound, "there is no device %q", uid)
	}
	if err != nil {
		return g, fmt.Errorf("find device: %w", err)
	}
	return g, nil
}

const countGrants = `SELECT count(*), coalesce(bool_or(sensor_id = $2), false) FROM gateway_grant WHERE device_id = $1 AND ended_at IS NULL`

// GrantSensor lets a gateway speak for a sensor. See devices.GrantBook. Its own sensor and the other are locked meanwhile, as they are
// where something is asked of the gateway (holdHands) or given to somebody.
func (a *App) GrantSensor(ctx context.Context, actor account.Actor, g devices.Granting, decide func(devices.Carrier) (bool, error)) (devices.Granted, error) {
	var made devices.Granted
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		hub, err := findOneGateway(ctx, tx, g.Device)
		if err != nil {
			return err
		}
		sensor, err := carriedSensor(ctx, tx, actor.Org, g.Sensor)
		if err != nil {
			return err
		}
		if err := lockFamily(ctx, tx, []vital.SensorID{hub.own, sensor}); err != nil {
			return err
		}
		now, err := askTime(ctx, tx) // somebody may have got it until a moment ago
		if err != nil {
			return err
		}
		is, err := hub.carries(ctx, tx, sensor, now)
		if err != nil {
			return err
		}
		grant, err := decide(is)
		if err != nil {
			return err
		}
		if g.Is != nil {
			if err := describe(ctx, tx, actor, *g.Is, now); err != nil {
				return err
			}
		}
		if grant {
			name := g.Sensor
			if is.Elsewhere != nil {
				name += ", of somebody else: confirmed"
			}
			if err := hub.grant(ctx, tx, actor, sensor, name, now); err != nil {
				return err
			}
		}
		list, err := granted(ctx, tx, hub.id, g.Sensor, now)
		if err == nil && len(list) == 1 {
			made = list[0]
		}
		if err != nil || !grant {
			return err
		}
		return touchRegistry(ctx, tx)
	})
	return made, err
}

// whoElse is who has a sensor ($3) at a time ($4) without having the device ($1; $2: its own sensor): since when, and which kits they
// have. Who has the kit that the device is in, or its own sensor, has the device; where nobody does, who has what it speaks for. Where
// nobody has anything of it there is no row.
const whoElse = `
WITH has AS (SELECT coalesce(w.parent_id, w.id) AS sensor_id, a.patient_id, a.from_at FROM sensor w JOIN assignment a ON a.org_id = w.org_id AND a.sensor_id = w.id
    WHERE a.from_at <= $4 AND (a.to_at IS NULL OR a.to_at > $4)
      AND coalesce(w.parent_id, w.id) IN (SELECT unnest(ARRAY[$2, $3]::bigint[]) UNION ALL SELECT g.sensor_id FROM gateway_grant g WHERE g.device_id = $1 AND g.ended_at IS NULL)),
near AS (SELECT patient_id FROM has WHERE sensor_id = $2
    UNION SELECT h.patient_id FROM kit_item i JOIN kit_holder h ON h.org_id = i.org_id AND h.kit_id = i.kit_id AND h.to_at IS NULL WHERE i.device_id = $1 AND i.to_at IS NULL),
hands AS (TABLE near UNION ALL SELECT patient_id FROM has WHERE sensor_id <> $3 AND NOT EXISTS (TABLE near))
SELECT min(x.from_at), ARRAY(SELECT DISTINCT k.label FROM has o JOIN kit_holder h ON h.patient_id = o.patient_id AND h.to_at IS NULL JOIN kit k ON k.org_id = h.org_id AND k.id = h.kit_id
    WHERE o.sensor_id = $3 AND o.patient_id NOT IN (TABLE hands) ORDER BY k.label)
FROM has x WHERE x.sensor_id = $3 AND EXISTS (TABLE hands) AND x.patient_id NOT IN (TABLE hands) HAVING count(*) > 0`

// carries returns the gateway as it is when it is to speak for a sensor.
func (g gateway) carries(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, now time.Time) (devices.Carrier, error) {
	is := devices.Carrier{Revoked: g.revoked}
	if err := tx.QueryRow(ctx, countGrants, g.id, int64(sensor)).Scan(&is.Sensors, &is.Speaks); err != nil {
		return is, fmt.Errorf("count what a gateway speaks for: %w", err)
	}
	var e devices.Elsewhere
	err := tx.QueryRow(ctx, whoElse, g.id, int64(g.own), int64(sensor), now).Scan(&e.Since, &e.Kits)
	if errors.Is(err, pgx.ErrNoRows) {
		return is, nil
	}
	if err != nil {
		return is, fmt.Errorf("look who else has the sensor: %w", err)
	}
	is.Elsewhere = &e
	return is, nil
}

func (g gateway) grant(ctx context.Context, tx pgx.Tx, actor account.Actor, sensor vital.SensorID, name string, now time.Time) error {
	if err := speakFor(ctx, tx, actor.Org, g.id, sensor); err != nil {
		return err
	}
	if err := g.silence(ctx, tx, actor, sensor, "it was given a sensor that somebody has", now); err != nil {
		return err
	}
	return g.tell(ctx, tx, actor, "grant sensor", devices.KitSensorAdded, name, now)
}

const endGrant = `UPDATE gateway_grant SET ended_at = $3 WHERE device_id = $1 AND sensor_id = $2 AND ended_at IS NULL`

// EndGrant takes a sensor from a gateway. See devices.GrantBook.
func (a *App) EndGrant(ctx context.Context, actor account.Actor, device, sensor string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		hub, err := findOneGateway(ctx, tx, device)
		if err != nil {
			return err
		}
		var id vital.SensorID
		const find = `SELECT s.id FROM gateway_grant g JOIN sensor s ON s.org_id = g.org_id AND s.id = g.sensor_id WHERE g.device_id = $1 AND s.uid = $2`
		switch err := tx.QueryRow(ctx, find, hub.id, sensor).Scan(&id); {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "the device %q does not speak for %q", device, sensor)
		case err != nil:
			return fmt.Errorf("find sensor: %w", err)
		}
		if err := lockFamily(ctx, tx, []vital.SensorID{hub.own, id}); err != nil {
			return err
		}
		now, err := askTime(ctx, tx) // after whoever has issued its kit just now
		if err != nil {
			return err
		}
		done, err := tx.Exec(ctx, endGrant, hub.id, int64(id), now)
		if err != nil {
			return fmt.Errorf("take a sensor from a gateway: %w", err)
		}
		if done.RowsAffected() == 0 {
			return nil
		}
		if err := hub.silence(ctx, tx, actor, id, "the sensor was taken from the gateway", now); err != nil {
			return err
		}
		if err := hub.tell(ctx, tx, actor, "take sensor from gateway", devices.KitSensorTaken, sensor, now); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
}

// cancelOfGrant settles what is open of a gateway ($3) for a sensor ($4), and when somebody has that sensor, what is open for the
// gateway itself ($5): it would be noticed by others than before.
const cancelOfGrant = `
UPDATE device_command u SET state = 'cancelled', settled_at = $1, detail = $2 WHERE u.id IN (
    SELECT c.id FROM device_command c WHERE c.device_id = $3 AND c.settled_at IS NULL AND (c.sensor_id = $4 OR c.sensor_id = $5 AND EXISTS (
        SELECT FROM sensor w JOIN assignment a ON a.org_id = w.org_id AND a.sensor_id = w.id
        WHERE (w.id = $4 OR w.parent_id = $4) AND a.from_at <= $1 AND (a.to_at IS NULL OR a.to_at > $1)))
    ORDER BY c.id FOR NO KEY UPDATE OF c) RETURNING u.uid::text, u.kind, (SELECT d.uid FROM device d WHERE d.org_id = u.org_id AND d.id = u.device_id)`

func (g gateway) silence(ctx context.Context, tx pgx.Tx, actor account.Actor, sensor vital.SensorID, why string, now time.Time) error {
	return cancelling(ctx, tx, actor, why, now, cancelOfGrant, now, why, g.id, int64(sensor), int64(g.own))
}

// inHistory writes a line in the history of the kit that a device ($3) is in; none when it is in none.
const inHistory = `
INSERT INTO kit_event (org_id, kit_id, at, actor_id, actor_name, actor_role, what, detail)
SELECT i.org_id, i.kit_id, $1, $2, $4, $5, $6, $7 FROM kit_item i WHERE i.device_id = $3 AND i.to_at IS NULL`

// tell writes the audit row, and a line in the history of the kit.
func (g gateway) tell(ctx context.Context, tx pgx.Tx, actor account.Actor, action string, what devices.KitWhat, sensor string, now time.Time) error {
	_, err := tx.Exec(ctx, inHistory, now, nullID(actor.Staff), g.id, actor.Name, string(actor.Role), string(what), g.uid+": "+sensor)
	if err != nil {
		return fmt.Errorf("write the history of a kit: %w", err)
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: action, Object: "device " + g.uid, Detail: "sensor " + sensor})
}
