package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// Devices lists the organisation's devices by name, with the sensors each may speak for.
func (a *App) Devices(ctx context.Context, actor account.Actor, limit int) ([]devices.Device, error) {
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	var list []devices.Device
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		s := devices.Snapshot{Devices: map[string]*devices.Device{}}
		if err := readDevices(ctx, tx, listedDevices, &s); err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		for _, d := range s.Devices {
			list = append(list, *d)
		}
		return nil
	})
	slices.SortFunc(list, func(x, y devices.Device) int {
		if x.UID < y.UID {
			return -1
		}
		return 1
	})
	if len(list) > limit {
		list = list[:limit]
	}
	return list, err
}

const insertDevice = `INSERT INTO device (org_id, uid, model, secret_hash, broker_hash, created_at) VALUES ($1, $2, $3, $4, nullif($5, ''), $6) RETURNING id`
const insertOwnSensor = `INSERT INTO sensor (org_id, uid, device_id) VALUES ($1, $2, $3) RETURNING id`

// Enrol stores a device with its own sensor and the ones it may speak for. See devices.Inventory.
func (a *App) Enrol(ctx context.Context, actor account.Actor, e devices.Enrolment) (devices.Device, error) {
	d := devices.Device{Org: actor.Org, UID: e.UID, Model: e.Model, SecretHash: e.SecretHash, Sensors: map[string]vital.SensorID{}}
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		err := tx.QueryRow(ctx, insertDevice, int32(d.Org), d.UID, d.Model, d.SecretHash[:], e.BrokerHash, now).Scan(&d.ID)
		if violated(err, "device_uid_key") {
			return fault.New(fault.Conflict, "a device named %q is enrolled already", d.UID)
		}
		if err != nil {
			return fmt.Errorf("enrol device: %w", err)
		}
		err = tx.QueryRow(ctx, insertOwnSensor, int32(d.Org), d.UID, int64(d.ID)).Scan(&d.Own)
		if violated(err, "sensor_uid_key") {
			return fault.New(fault.Conflict, "a sensor named %q exists already; choose another name for the device", d.UID)
		}
		if err != nil {
			return fmt.Errorf("add the device's own sensor: %w", err)
		}
		for _, uid := range e.Sensors {
			id, err := carriedSensor(ctx, tx, d.Org, uid)
			if err != nil {
				return err
			}
			if err := speakFor(ctx, tx, d.Org, int64(d.ID), id); err != nil {
				return err
			}
			d.Sensors[uid] = id
		}
		if err := writeAudit(ctx, tx, account.Audit{Org: d.Org, At: now, Actor: actor, Action: string(account.EnrolDevice), Object: "device " + d.UID}); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
	return d, err
}

const revokeDevice = `UPDATE device SET revoked_at = $2 WHERE uid = $1 AND revoked_at IS NULL`

// Revoke makes the device's secret worthless. Revoking twice is a success.
func (a *App) Revoke(ctx context.Context, actor account.Actor, uid string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device WHERE uid = $1)`, uid).Scan(&there); err != nil {
			return fmt.Errorf("find device: %w", err)
		}
		if !there {
			return fault.New(fault.NotFound, "there is no device %q", uid)
		}
		tag, err := tx.Exec(ctx, revokeDevice, uid, now)
		if err != nil {
			return fmt.Errorf("revoke device: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		if err := cancelCommands(ctx, tx, actor, []string{uid}, "the device was taken out of use", now); err != nil {
			return err
		}
		if err := writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "revoke device", Object: "device " + uid}); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
}

const findSensor = `SELECT s.id, coalesce(s.device_id, 0) FROM sensor s WHERE s.uid = $1`

// speakersOf are the devices that speak for sensors. For a user slot those that speak for the shared sensor do.
const speakersOf = `
SELECT g.device_id FROM sensor s JOIN gateway_grant g ON g.org_id = s.org_id AND g.sensor_id IN (s.id, s.parent_id) WHERE s.id = ANY($1)
UNION SELECT o.device_id FROM sensor s JOIN sensor o ON o.org_id = s.org_id AND o.id IN (s.id, s.parent_id) WHERE s.id = ANY($1) AND o.device_id IS NOT NULL`

// NO KEY, here as everywhere: a row that refers to the sensor is written by others meanwhile.
const lockSensor = `SELECT 1 FROM sensor WHERE id = $1 FOR NO KEY UPDATE`
const overlapping = `SELECT from_at, to_at FROM assignment WHERE sensor_id = $1 AND from_at < coalesce($3, 'infinity'::timestamptz) AND coalesce(to_at, 'infinity') > $2 AND (to_at IS NULL OR to_at > from_at) LIMIT 1`
const filedInSpan = `
SELECT EXISTS (SELECT FROM reading WHERE sensor_id = $1 AND sent_at BETWEEN $2::timestamptz - $4::interval AND $3::timestamptz + $4::interval AND measured_at >= $2 AND measured_at < $3)
    OR EXISTS (SELECT FROM inbox WHERE sensor_id = $1 AND measured_at >= $2 AND measured_at < $3)`
const insertAssignment = `INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, to_at, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id, epoch`

// Assign gives a sensor's readings to a patient from a time on. See devices.Inventory.
func (a *App) Assign(ctx context.Context, actor account.Actor, b devices.Binding) (devices.Assignment, error) {
	var made devices.Assignment
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := onePatient(ctx, tx, b.Patient)
		if err != nil {
			return err
		}
		sensor, shared, slot, err := findPart(ctx, tx, b.Sensor)
		if err != nil {
			return err
		}
		whole := max(sensor, shared) // one of them is none
		if err := holdPartitions(ctx, tx, []vital.PatientID{p.ID}, []vital.SensorID{whole}); err != nil {
			return err
		}
		if p, err = stillAllowed(ctx, tx, actor, account.AssignDevice, b.Patient); err != nil {
			return err
		}
		if err := lockFamily(ctx, tx, []vital.SensorID{whole}); err != nil {
			return err
		}
		if shared != 0 {
			name, _, _ := devices.SplitSlotUID(b.Sensor)
			if sensor, err = slotOf(ctx, tx, p.Org, name, shared, slot, now); err != nil {
				return err
			}
		}
		if made, err = beginAssignment(ctx, tx, p, sensor, b, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, noteChange, int32(p.Org), vital.PartitionOf(uint64(p.ID)), int64(p.ID), nil, now); err != nil {
			return fmt.Errorf("note the changed situation: %w", err)
		}
		row := account.Audit{Org: p.Org, At: now, Actor: actor, Action: string(account.AssignDevice), Patient: p.ID, Object: "sensor " + b.Sensor, Detail: "from " + made.From.Format(time.RFC3339)}
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
	return made, err
}

// beginAssignment gives a sensor that is locked to a patient, when nobody has it in that time.
func beginAssignment(ctx context.Context, tx pgx.Tx, p account.Patient, sensor vital.SensorID, b devices.Binding, now time.Time) (devices.Assignment, error) {
	if err := free(ctx, tx, sensor, b, now); err != nil {
		return devices.Assignment{}, err
	}
	made := devices.Assignment{Org: p.Org, Sensor: sensor, Patient: p.ID, From: utcOf(b.From), To: b.To}
	if err := alone(ctx, tx, sensor, p.ID, made.From, nullTime(made.To)); err != nil {
		return devices.Assignment{}, err
	}
	err := tx.QueryRow(ctx, insertAssignment, int32(p.Org), int64(sensor), int64(p.ID), made.From, nullTime(made.To), now).Scan(&made.ID, &made.Epoch)
	if violated(err, afterErasure) {
		return devices.Assignment{}, fault.New(fault.Conflict, "the sensor was worn by somebody whose data was erased: assign it from now on")
	}
	if err != nil {
		return devices.Assignment{}, fmt.Errorf("assign sensor: %w", err)
	}
	return made, nil
}

// afterErasure is what refuses to give anybody the time of a person who was erased, or a person who is being erased anything.
const afterErasure = "assignment_after_erasure"

const keepPatients = `SELECT 1 FROM patient WHERE uid = ANY($1::uuid[]) ORDER BY id FOR SHARE`

// stillAllowed asks again about a patient, who from here on is neither merged nor cut off nor locked before the transaction ends:
// they may have been since the question before it. In the lock order it comes after the cursor rows and before the sensor's.
func stillAllowed(ctx context.Context, tx pgx.Tx, actor account.Actor, action account.Action, uid vital.UID) (account.Patient, error) {
	if _, err := tx.Exec(ctx, keepPatients, []string{string(uid)}); err != nil {
		return account.Patient{}, fmt.Errorf("hold the patient: %w", err)
	}
	p, err := onePatient(ctx, tx, uid)
	if err != nil {
		return p, err
	}
	return p, account.Allow(actor, action, &p)
}

// holdPartitions holds, shared and in order, the partitions of the patients and those of the devices that speak for
// the sensors: a batch that files readings of them comes wholly before or wholly after.
func holdPartitions(ctx context.Context, tx pgx.Tx, patients []vital.PatientID, sensors []vital.SensorID) error {
	rows, err := tx.Query(ctx, speakersOf, sensors)
	if err != nil {
		return fmt.Errorf("find who speaks for the sensor: %w", err)
	}
	speakers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find who speaks for the sensor: %w", err)
	}
	var partitions []int
	for _, p := range patients {
		partitions = append(partitions, vital.PartitionOf(uint64(p)))
	}
	for _, d := range speakers {
		partitions = append(partitions, vital.PartitionOf(uint64(d)))
	}
	slices.Sort(partitions)
	for _, p := range slices.Compact(partitions) {
		if _, err := tx.Exec(ctx, shareCursor, p); err != nil {
			return fmt.Errorf("hold partition %d: %w", p, err)
		}
	}
	return nil
}

// free refuses an assignment that overlaps another, or that starts in the past over readings that are filed or
// parked: giving those to somebody is a refile, which judges both people anew.
func free(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, b devices.Binding, now time.Time) error {
	var from time.Time
	var to *time.Time
	err := tx.QueryRow(ctx, overlapping, int64(sensor), b.From, nullTime(b.To)).Scan(&from, &to)
	if err == nil {
		until := "until further notice"
		if to != nil {
			until = "until " + to.UTC().Format(time.RFC3339)
		}
		return fault.New(fault.Conflict, "the sensor is assigned from %s %s: two people cannot own it at one time", from.UTC().Format(time.RFC3339), until)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look for overlapping assignments: %w", err)
	}
	end := now
	if !b.To.IsZero() && b.To.Before(now) {
		end = b.To
	}
	if !b.From.Before(end) {
		return nil
	}
	var filed bool
	if err := tx.QueryRow(ctx, filedInSpan, int64(sensor), b.From, end, widen).Scan(&filed); err != nil {
		return fmt.Errorf("look for readings in that span: %w", err)
	}
	if filed {
		return fault.New(fault.Conflict, "readings of this sensor since %s are stored or parked already: assign it from now on, and file those anew (a refile)", b.From.UTC().Format(time.RFC3339))
	}
	return nil
}

const countReadings = `
SELECT (SELECT count(*) FROM reading r WHERE r.sensor_id IN (SELECT id FROM speaks) AND r.device_id = $1
            AND r.sent_at >= (SELECT min(a.from_at) - interval '1 day' FROM assignment a WHERE a.sensor_id IN (SELECT id FROM speaks)))
           + (SELECT count(*) FROM withdrawn_reading w WHERE w.sensor_id IN (SELECT id FROM speaks) AND w.device_id = $1),
       (SELECT count(*) FROM inbox i WHERE i.device_id = $1 AND i.state <> 'claimed')`
const sensorsOfDevice = `WITH wholes AS (SELECT id FROM sensor WHERE device_id = $1 UNION SELECT sensor_id FROM gateway_grant WHERE device_id = $1),
speaks AS (SELECT id FROM wholes UNION SELECT c.id FROM wholes w JOIN sensor c ON c.parent_id = w.id) `
const countQuarantine = `SELECT reason, count(*) FROM quarantine WHERE device_id = $1 GROUP BY reason`

// Intake tells what became of everything the device sent so far. See devices.Inventory.
func (a *App) Intake(ctx context.Context, actor account.Actor, uid string) (devices.Intake, error) {
	in := devices.Intake{Quarantined: map[vital.Reason]int{}}
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		id, err := deviceID(ctx, tx, uid)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, sensorsOfDevice+countReadings, id).Scan(&in.Stored, &in.Parked); err != nil {
			return fmt.Errorf("count readings: %w", err)
		}
		rows, err := tx.Query(ctx, countQuarantine, id)
		if err != nil {
			return fmt.Errorf("count quarantined messages: %w", err)
		}
		var reason vital.Reason
		var n int
		if _, err := pgx.ForEachRow(rows, []any{&reason, &n}, func() error { in.Quarantined[reason] = n; return nil }); err != nil {
			return fmt.Errorf("count quarantined messages: %w", err)
		}
		return nil
	})
	return in, err
}

func deviceID(ctx context.Context, tx pgx.Tx, uid string) (id int64, err error) {
	err = tx.QueryRow(ctx, `SELECT id FROM device WHERE uid = $1`, uid).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "there is no device %q", uid)
	}
	if err != nil {
		return 0, fmt.Errorf("find device: %w", err)
	}
	return id, nil
}
