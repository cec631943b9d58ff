package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/vital"
)

// Version returns the registry's version. See devices.Registry.
func (w *Work) Version(ctx context.Context) (int64, error) {
	var v int64
	if err := w.pool.QueryRow(ctx, `SELECT version FROM registry_version`).Scan(&v); err != nil {
		return 0, classify(fmt.Errorf("read the registry's version: %w", err))
	}
	return v, nil
}

const allDevices = `SELECT d.id, d.org_id, d.uid, d.model, d.secret_hash, d.next_secret_hash, d.overlap_until, d.revoked_at IS NOT NULL, s.id ` + devicesWithOwn

// listedDevices are devices as people see them: nobody who looks at a list needs the hash of a secret.
const listedDevices = `SELECT d.id, d.org_id, d.uid, d.model, ''::bytea, ''::bytea, d.overlap_until, d.revoked_at IS NOT NULL, s.id ` + devicesWithOwn
const devicesWithOwn = `FROM device d JOIN sensor s ON s.org_id = d.org_id AND s.device_id = d.id`

const allGrants = `SELECT d.uid, s.uid, s.id FROM gateway_grant g JOIN device d ON d.id = g.device_id JOIN sensor s ON s.id = g.sensor_id WHERE g.ended_at IS NULL`

const allAssignments = `
SELECT a.org_id, a.id, a.sensor_id, a.patient_id, a.from_at, a.to_at, a.epoch FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
WHERE p.state <> 'locked' ORDER BY a.sensor_id, a.from_at`

// Snapshot reads the whole registry as of one moment. See devices.Registry.
func (w *Work) Snapshot(ctx context.Context) (*devices.Snapshot, error) {
	s := &devices.Snapshot{Devices: map[string]*devices.Device{}, Assignments: map[vital.SensorID][]devices.Assignment{}}
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		now, err := askTime(ctx, tx)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT version, (SELECT coalesce(max(connection), 0) FROM device_presence) FROM registry_version`).Scan(&s.Version, &s.Epoch); err != nil {
			return err
		}
		if err := readDevices(ctx, tx, allDevices, s); err != nil {
			return err
		}
		if err := readTrust(ctx, tx, now, s); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, allAssignments)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, scanAssignment)
		for _, a := range all {
			s.Assignments[a.Sensor] = append(s.Assignments[a.Sensor], a)
		}
		if err != nil {
			return err
		}
		if s.Slots, err = readSlots(ctx, tx); err != nil {
			return err
		}
		if s.Clocks, err = readClocks(ctx, tx, allClocks); err != nil {
			return err
		}
		s.Zones, err = readZones(ctx, tx, wearersZones)
		return err
	})
	if err != nil {
		return nil, classify(fmt.Errorf("read the registry: %w", err))
	}
	return s, nil
}

func readDevices(ctx context.Context, tx pgx.Tx, which string, s *devices.Snapshot) error {
	rows, err := tx.Query(ctx, which)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, scanDevice)
	if err != nil {
		return err
	}
	for i := range list {
		s.Devices[list[i].UID] = &list[i]
	}
	if rows, err = tx.Query(ctx, allGrants); err != nil {
		return err
	}
	var gateway, sensor string
	var id vital.SensorID
	_, err = pgx.ForEachRow(rows, []any{&gateway, &sensor, &id}, func() error {
		if d := s.Devices[gateway]; d != nil {
			d.Sensors[sensor] = id
		}
		return nil
	})
	return err
}

func scanDevice(row pgx.CollectableRow) (devices.Device, error) {
	d := devices.Device{Sensors: map[string]vital.SensorID{}}
	var hash, next []byte
	var until *time.Time
	err := row.Scan(&d.ID, &d.Org, &d.UID, &d.Model, &hash, &next, &until, &d.Revoked, &d.Own)
	copy(d.SecretHash[:], hash)
	copy(d.NextHash[:], next)
	d.OldUntil = timeOf(until)
	return d, err
}

const bumpRegistry = `UPDATE registry_version SET version = version + 1`

// touchRegistry makes edges look at the registry again. It comes last in a transaction: the row is everybody's.
func touchRegistry(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, bumpRegistry); err != nil {
		return fmt.Errorf("announce the changed registry: %w", err)
	}
	return nil
}

func utcOf(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
