package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/fault"
	"hale/vital"
)

const allSlots = `SELECT parent_id, slot, id, slot_since FROM sensor WHERE parent_id IS NOT NULL`

// readSlots returns the user slots of all shared sensors.
func readSlots(ctx context.Context, tx pgx.Tx) (map[vital.SensorID]map[uint8]devices.UserSlot, error) {
	rows, err := tx.Query(ctx, allSlots)
	if err != nil {
		return nil, err
	}
	all := map[vital.SensorID]map[uint8]devices.UserSlot{}
	var parent, id vital.SensorID
	var number int16
	var since *time.Time
	_, err = pgx.ForEachRow(rows, []any{&parent, &number, &id, &since}, func() error {
		if all[parent] == nil {
			all[parent] = map[uint8]devices.UserSlot{}
		}
		all[parent][uint8(number)] = devices.UserSlot{Sensor: id, Since: timeOf(since)}
		return nil
	})
	return all, err
}

const membersOf = `SELECT id FROM sensor WHERE id = $1 OR parent_id = $1 ORDER BY id`

// familyOf returns a sensor and its user slots.
func familyOf(ctx context.Context, tx pgx.Tx, sensor vital.SensorID) ([]vital.SensorID, error) {
	rows, err := tx.Query(ctx, membersOf, int64(sensor))
	if err != nil {
		return nil, fmt.Errorf("find user slots: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[vital.SensorID])
	if err != nil {
		return nil, fmt.Errorf("find user slots: %w", err)
	}
	return list, nil
}

const findSlot = `SELECT id FROM sensor WHERE parent_id = $1 AND slot = $2`

// insertSlot counts from now on where something of the shared sensor is stored or parked already: that keeps its identity when it is
// sent again.
const insertSlot = `
INSERT INTO sensor (org_id, uid, parent_id, slot, slot_since)
SELECT $1, $2, $3, $4, CASE WHEN EXISTS (SELECT FROM reading r WHERE r.sensor_id = $3) OR EXISTS (SELECT FROM inbox i WHERE i.sensor_id = $3) THEN $5::timestamptz END
RETURNING id`

// slotOf returns the user slot of a shared sensor, which it makes when there is none yet. The shared sensor is locked.
func slotOf(ctx context.Context, tx pgx.Tx, org vital.OrgID, name string, shared vital.SensorID, slot uint8, now time.Time) (vital.SensorID, error) {
	var id vital.SensorID
	err := tx.QueryRow(ctx, findSlot, int64(shared), int16(slot)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, insertSlot, int32(org), devices.SlotUID(name, slot), int64(shared), int16(slot), now).Scan(&id)
	}
	if err != nil {
		return 0, fmt.Errorf("find or make a user slot: %w", err)
	}
	return id, nil
}

// othersInFamily finds who else has a part of a shared sensor in a span: of a slot who has the whole, of the whole who has a slot.
const othersInFamily = `
SELECT o.uid FROM sensor s JOIN sensor o ON o.org_id = s.org_id AND (o.id = s.parent_id OR o.parent_id = s.id) JOIN assignment a ON a.org_id = o.org_id AND a.sensor_id = o.id
WHERE s.id = $1 AND a.patient_id <> $4 AND a.from_at < coalesce($3, 'infinity'::timestamptz) AND coalesce(a.to_at, 'infinity') > $2 AND (a.to_at IS NULL OR a.to_at > a.from_at) LIMIT 1`

// alone refuses to give a part of a shared sensor to one person while another has the whole of it, and the other way round: a reading
// that names no slot would be of either.
func alone(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, patient vital.PatientID, from time.Time, to *time.Time) error {
	var other string
	err := tx.QueryRow(ctx, othersInFamily, int64(sensor), from, to, int64(patient)).Scan(&other)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look who else has the sensor: %w", err)
	}
	return fault.New(fault.Conflict, "somebody else has %s in that time: end that first, or give each person a user slot", other)
}

// findPart finds a sensor or a user slot by name. A slot that is not there yet of a sensor that is, is made.
func findPart(ctx context.Context, tx pgx.Tx, name string) (sensor, shared vital.SensorID, slot uint8, err error) {
	whole, slot, isSlot := devices.SplitSlotUID(name)
	if !isSlot {
		whole = name
	}
	var slots bool
	err = tx.QueryRow(ctx, findWhole, whole).Scan(&sensor, &slots)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, 0, 0, fault.New(fault.NotFound, "there is no sensor %q", whole)
	case err != nil:
		return 0, 0, 0, fmt.Errorf("find sensor: %w", err)
	case isSlot:
		return 0, sensor, slot, nil
	case slots:
		return 0, 0, 0, fault.New(fault.Conflict, "several people use the sensor %q: say which user slot, as in %q, or issue the whole kit to one person", whole, devices.SlotUID(whole, 1))
	}
	return sensor, 0, 0, nil
}

const findWhole = `SELECT s.id, EXISTS (SELECT FROM sensor c WHERE c.org_id = s.org_id AND c.parent_id = s.id) FROM sensor s WHERE s.uid = $1 AND s.parent_id IS NULL`
