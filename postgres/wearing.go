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

// whoWore are the assignments of a sensor and its user slots, or of one slot; one that ended as it began never was.
const whoWore = `
SELECT s.uid, p.id, p.uid::text, p.name, a.from_at, a.to_at FROM sensor s JOIN assignment a ON a.org_id = s.org_id AND a.sensor_id = s.id
JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
WHERE (s.id = $1 OR s.parent_id = $1) AND (a.to_at IS NULL OR a.to_at > a.from_at) ORDER BY a.from_at DESC, a.id DESC LIMIT $2`

// Worn returns everybody who had a sensor, newest first. See devices.Wearing.
func (a *App) Worn(ctx context.Context, actor account.Actor, sensor string, limit int) ([]devices.Worn, error) {
	var list []devices.Worn
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		id, err := sensorNamed(ctx, tx, sensor)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, whoWore, int64(id), limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.Worn, error) {
				var w devices.Worn
				var to *time.Time
				err := row.Scan(&w.Sensor, &w.Patient, &w.UID, &w.Name, &w.From, &to)
				w.From, w.To = w.From.UTC(), timeOf(to)
				return w, err
			})
		}
		if err != nil {
			return fmt.Errorf("find who had the sensor: %w", err)
		}
		return nil
	})
	return list, err
}

// sensorNamed finds a sensor or a user slot by its name.
func sensorNamed(ctx context.Context, tx pgx.Tx, uid string) (vital.SensorID, error) {
	var id vital.SensorID
	var device vital.DeviceID
	err := tx.QueryRow(ctx, findSensor, uid).Scan(&id, &device)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "there is no sensor %q", uid)
	}
	if err != nil {
		return 0, fmt.Errorf("find sensor: %w", err)
	}
	return id, nil
}

const whoWears = `
SELECT a.patient_id FROM sensor s JOIN assignment a ON a.org_id = s.org_id AND a.sensor_id = s.id
WHERE (s.id = $1 OR s.parent_id = $1) AND (a.to_at IS NULL OR a.to_at > $2)`

// EndAssignment takes a sensor from whoever has it. See devices.Wearing.
func (a *App) EndAssignment(ctx context.Context, actor account.Actor, sensor string) (int, error) {
	ended := 0
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := sensorNamed(ctx, tx, sensor)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, whoWears, int64(id), now)
		if err != nil {
			return fmt.Errorf("find who has the sensor: %w", err)
		}
		people, err := pgx.CollectRows(rows, pgx.RowTo[vital.PatientID])
		if err != nil {
			return fmt.Errorf("find who has the sensor: %w", err)
		}
		if err := holdPartitions(ctx, tx, people, []vital.SensorID{id}); err != nil {
			return err
		}
		if err := lockFamily(ctx, tx, []vital.SensorID{id}); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, clockNow).Scan(&now); err != nil {
			return fmt.Errorf("ask the time: %w", err)
		}
		if ended, err = unassign(ctx, tx, actor, ending{sensors: []vital.SensorID{id}}, "sensor "+sensor, now.UTC()); err != nil {
			return err
		}
		if ended == 0 {
			return fault.New(fault.Conflict, "nobody has the sensor %q", sensor)
		}
		return touchRegistry(ctx, tx)
	})
	return ended, err
}
