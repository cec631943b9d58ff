package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
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
		all[parent][uint8(number)] = devices.UserSlot{Sensor: id, Since: timeOf(since)} //nolint:gosec // a CHECK keeps it within 0 and 254
		return nil
	})
	return all, err
}
