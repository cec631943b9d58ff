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

// scannedType is a row of typeColumns.
type scannedType struct {
	devices.Type
	metrics []string
}

func (t *scannedType) targets() []any {
	return []any{&t.UID, &t.Maker, &t.Model, &t.Kind, &t.metrics, &t.Slots, &t.Shipped}
}

func (t *scannedType) read() devices.Type {
	read := t.Type
	read.Metrics = nil
	for _, code := range t.metrics {
		if m, ok := vital.ParseMetric(code); ok {
			read.Metrics = append(read.Metrics, m)
		}
	}
	return read
}

// scannedDetails is a row of detailColumns.
type scannedDetails struct {
	kind                  scannedType
	serial, lot, firmware string
	due                   vital.Date
}

func (d *scannedDetails) targets() []any {
	return append(d.kind.targets(), &d.serial, &d.lot, &d.firmware, &d.due)
}

func (d *scannedDetails) details() devices.Details {
	return devices.Details{Type: d.kind.read(), Serial: d.serial, Lot: d.lot, Firmware: d.firmware, CalibrationDue: d.due}
}

const selectTypes = `SELECT ` + typeColumns + ` FROM device_type t ORDER BY lower(t.maker), lower(t.model)`

// Types returns what the organisation knows of what makers make. See devices.Catalogue.
func (a *App) Types(ctx context.Context, actor account.Actor) ([]devices.Type, error) {
	var list []devices.Type
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectTypes)
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.Type, error) {
				var t scannedType
				err := row.Scan(t.targets()...)
				return t.read(), err
			})
		}
		if err != nil {
			return fmt.Errorf("list device types: %w", err)
		}
		return nil
	})
	return list, err
}

const insertType = `
INSERT INTO device_type (org_id, uid, maker, model, kind, metrics, user_slots, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// AddType stores a type of the organisation's own. See devices.Catalogue.
func (a *App) AddType(ctx context.Context, actor account.Actor, t devices.Type) (devices.Type, error) {
	t.UID = newUID()
	metrics := make([]string, len(t.Metrics))
	for i, m := range t.Metrics {
		metrics[i] = m.String()
	}
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		_, err := tx.Exec(ctx, insertType, int32(actor.Org), string(t.UID), t.Maker, t.Model, string(t.Kind), metrics, t.Slots, now)
		if violated(err, "device_type_once") {
			return fault.New(fault.Conflict, "the type %s %s is known already", t.Maker, t.Model)
		}
		if err != nil {
			return fmt.Errorf("add device type: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "add device type", Object: "device type " + string(t.UID)})
	})
	return t, err
}

const describeSensor = `
UPDATE sensor s SET type_id = t.id, serial = $3, lot = $4, firmware = $5, calibration_due = $6
FROM (SELECT (SELECT id FROM device_type WHERE uid = $2) AS id) t WHERE s.uid = $1 AND s.parent_id IS NULL`

// Describe writes down what a sensor is. See devices.Catalogue.
func (a *App) Describe(ctx context.Context, actor account.Actor, d devices.Describing) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error { return describe(ctx, tx, actor, d, now) })
}

func describe(ctx context.Context, tx pgx.Tx, actor account.Actor, d devices.Describing, now time.Time) error {
	var kind any
	if d.Type != "" {
		u, err := parseUID(d.Type, "device type")
		if err != nil {
			return err
		}
		kind = u
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device_type WHERE uid = $1)`, kind).Scan(&known); err != nil {
			return fmt.Errorf("find device type: %w", err)
		}
		if !known {
			return fault.New(fault.NotFound, "there is no device type %q", string(d.Type))
		}
	}
	var due *string
	if d.Due != "" {
		day := string(d.Due)
		due = &day
	}
	tag, err := tx.Exec(ctx, describeSensor, d.Sensor, kind, d.Serial, d.Lot, d.Version, due)
	if err != nil {
		return fmt.Errorf("describe sensor: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.NotFound, "there is no sensor %q", d.Sensor)
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "describe device", Object: "sensor " + d.Sensor})
}

const selectDetails = `SELECT ` + detailColumns + ` FROM sensor s LEFT JOIN device_type t ON t.org_id = s.org_id AND t.id = s.type_id WHERE s.uid = $1 AND s.parent_id IS NULL`

// Details returns what a sensor is. See devices.Catalogue.
func (a *App) Details(ctx context.Context, actor account.Actor, sensor string) (devices.Details, error) {
	var d scannedDetails
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		err := tx.QueryRow(ctx, selectDetails, sensor).Scan(d.targets()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no sensor %q", sensor)
		}
		if err != nil {
			return fmt.Errorf("load what a sensor is: %w", err)
		}
		return nil
	})
	return d.details(), err
}

// holding is one question over what is at home at $5 and what lies in stock: each sensor that is recalled, once for each person who has it
// or a user slot of it. A device that nobody described is known by what its enrolment calls its model.
const holding = `
SELECT coalesce(part.uid, s.uid), ` + detailColumns + `, coalesce(d.model, ''), coalesce(k.label, ''), coalesce(p.id, 0), coalesce(p.uid::text, ''), coalesce(p.name, ''), coalesce(p.number, ''), part.from_at
FROM sensor s LEFT JOIN device_type t ON t.org_id = s.org_id AND t.id = s.type_id LEFT JOIN device d ON d.org_id = s.org_id AND d.id = s.device_id
LEFT JOIN LATERAL (SELECT c.uid, a.patient_id, a.from_at FROM sensor c JOIN assignment a ON a.org_id = c.org_id AND a.sensor_id = c.id
    WHERE c.org_id = s.org_id AND (c.id = s.id OR c.parent_id = s.id) AND a.from_at <= $5 AND (a.to_at IS NULL OR a.to_at > $5)) part ON true
LEFT JOIN patient p ON p.org_id = s.org_id AND p.id = part.patient_id
LEFT JOIN LATERAL (SELECT k.label FROM kit_item i JOIN kit k ON k.org_id = i.org_id AND k.id = i.kit_id WHERE i.org_id = s.org_id AND i.to_at IS NULL
    AND (i.device_id = s.device_id OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = i.org_id AND g.device_id = i.device_id AND g.sensor_id = s.id AND g.ended_at IS NULL)) LIMIT 1) k ON true
WHERE s.parent_id IS NULL
  AND ($1 = '' OR lower(t.maker) = lower($1)) AND ($2 = '' OR lower(coalesce(t.model, d.model)) = lower($2))
  AND ($3 = '' OR lower(s.lot) = lower($3)) AND ($4 = '' OR lower(s.firmware) = lower($4))
ORDER BY p.id IS NULL, p.name, p.id, 1`

// Holding answers a recall. See devices.Catalogue.
func (a *App) Holding(ctx context.Context, actor account.Actor, r devices.Recall) ([]devices.Held, error) {
	var list []devices.Held
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, holding, r.Maker, r.Model, r.Lot, r.Firmware, now)
		if err == nil {
			list, err = pgx.CollectRows(rows, scanHeld)
		}
		if err != nil {
			return fmt.Errorf("find who has it: %w", err)
		}
		return nil
	})
	return list, err
}

func scanHeld(row pgx.CollectableRow) (devices.Held, error) {
	var h devices.Held
	var d scannedDetails
	var model string
	var from *time.Time
	targets := append(append([]any{&h.Sensor}, d.targets()...), &model, &h.Kit, &h.Patient, &h.UID, &h.Name, &h.Number, &from)
	err := row.Scan(targets...)
	h.Details, h.From = d.details(), timeOf(from)
	if !h.Details.Type.Known() {
		h.Details.Type.Model = model
	}
	return h, err
}
