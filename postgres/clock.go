package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

const clockColumns = `sensor_id, local, from_at, last_at, offset_us, unsure_us, method`
const allClocks = `SELECT ` + clockColumns + ` FROM sensor_clock ORDER BY sensor_id, local, from_at`
const clocksOfSensors = `SELECT ` + clockColumns + ` FROM sensor_clock WHERE sensor_id = ANY($1) ORDER BY sensor_id, local, from_at`

// A sensor that is not there any more keeps nothing, and stops nothing.
const insertClock = `
INSERT INTO sensor_clock (org_id, sensor_id, local, from_at, last_at, offset_us, unsure_us, method, device_id)
SELECT s.org_id, s.id, $3, $4, $4, $5, $6, $7, $8 FROM sensor s WHERE s.org_id = $1 AND s.id = $2 ON CONFLICT DO NOTHING`
const dropClocks = `DELETE FROM sensor_clock WHERE org_id = $1 AND sensor_id = $2 AND local = $3 AND from_at < $4`
const seeClock = `UPDATE sensor_clock SET last_at = $5 WHERE org_id = $1 AND sensor_id = $2 AND local = $3 AND from_at = $4 AND last_at < $5`

// tellClockEvery bounds how often one clock makes every edge read the registry again: one that is told anew all the time must not.
const tellClockEvery = time.Minute

// queueClocks notes what devices said of clocks, in the order of the sensors, and makes the edges look when they must know. It
// comes last in a transaction, for the registry's version is everybody's.
func queueClocks(ctx context.Context, tx statements, last *pgx.Batch, jobs []*job) error {
	var told []*vital.Status
	var sensors []int64
	for _, j := range jobs {
		for _, s := range j.sifted.statuses {
			if s.Look != nil && s.Sensor != 0 {
				told = append(told, s)
				sensors = append(sensors, int64(s.Sensor))
			}
		}
	}
	if len(told) == 0 {
		return nil
	}
	known, err := readClocks(ctx, tx, clocksOfSensors, sensors)
	if err != nil {
		return fmt.Errorf("read what is known of clocks: %w", err)
	}
	slices.SortStableFunc(told, func(a, b *vital.Status) int {
		return cmp.Or(cmp.Compare(a.Sensor, b.Sensor), a.Look.At.Compare(b.Look.At))
	})
	tell := false
	for _, s := range told {
		key := devices.ClockKey{Sensor: s.Sensor, Local: s.Look.Local}
		before := known[key]
		after, anew := before.Hear(*s.Look)
		known[key] = after
		now := after[len(after)-1]
		if !anew {
			last.Queue(seeClock, int32(s.Org), int64(s.Sensor), key.Local, now.From, now.Last)
			continue
		}
		last.Queue(insertClock, int32(s.Org), int64(s.Sensor), key.Local, now.From, now.Offset.Microseconds(), now.Uncertainty.Microseconds(), int16(now.Method), int64(s.Device))
		last.Queue(dropClocks, int32(s.Org), int64(s.Sensor), key.Local, after[0].From)
		tell = tell || matters(key.Local, before, now)
	}
	if tell {
		last.Queue(bumpRegistry)
	}
	return nil
}

// matters reports whether the edges must know of a new span: the first one of a clock that is right changes nothing.
func matters(local bool, before devices.Clocks, now devices.ClockSpan) bool {
	if len(before) == 0 {
		return local || now.Offset.Abs() > devices.ClockTolerance
	}
	return now.From.Sub(before[len(before)-1].From) >= tellClockEvery
}

// querier asks.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// readClocks returns what is known of clocks.
func readClocks(ctx context.Context, q querier, which string, args ...any) (map[devices.ClockKey]devices.Clocks, error) {
	rows, err := q.Query(ctx, which, args...)
	if err != nil {
		return nil, err
	}
	all := map[devices.ClockKey]devices.Clocks{}
	var key devices.ClockKey
	var span devices.ClockSpan
	var offset, unsure int64
	var method int16
	_, err = pgx.ForEachRow(rows, []any{&key.Sensor, &key.Local, &span.From, &span.Last, &offset, &unsure, &method}, func() error {
		one := devices.ClockSpan{From: utcOf(span.From), Last: utcOf(span.Last)}
		one.Clock = vital.Clock{
			Offset: time.Duration(offset) * time.Microsecond, Uncertainty: time.Duration(unsure) * time.Microsecond,
			Method: vital.ClockMethod(method), //nolint:gosec // as it was written
		}
		all[key] = append(all[key], one)
		return nil
	})
	return all, err
}

const wearersZones = `SELECT p.id, p.zone FROM patient p WHERE EXISTS (SELECT FROM assignment a WHERE a.org_id = p.org_id AND a.patient_id = p.id)`
const zonesOfSensors = `SELECT DISTINCT p.id, p.zone FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id WHERE a.sensor_id = ANY($1)`

// readZones returns where those live to whom sensors are assigned.
func readZones(ctx context.Context, q querier, which string, args ...any) (map[vital.PatientID]*time.Location, error) {
	rows, err := q.Query(ctx, which, args...)
	if err != nil {
		return nil, err
	}
	byName, zones := map[string]*time.Location{}, map[vital.PatientID]*time.Location{}
	var patient vital.PatientID
	var name string
	_, err = pgx.ForEachRow(rows, []any{&patient, &name}, func() error {
		if byName[name] == nil {
			byName[name] = vital.ZoneOrUTC(name)
		}
		zones[patient] = byName[name]
		return nil
	})
	return zones, err
}

// inTheirZones reads local times anew that an edge resolved by wearers of whom the record knows better.
func inTheirZones(ctx context.Context, tx statements, now *devices.Snapshot, sensors []int64, doubtful []*vital.Reading) error {
	for _, r := range doubtful {
		if r.More == nil || r.More.Clock.Method != vital.ClockZone {
			continue
		}
		if now.Zones == nil {
			var err error
			if now.Zones, err = readZones(ctx, tx, zonesOfSensors, sensors); err != nil {
				return fmt.Errorf("read the zones of wearers: %w", err)
			}
		}
		t := devices.Stamp{Sent: r.SentAt, Received: r.ReceivedAt, Local: true, Worn: r.Sensor}
		t.Day = r.More.Clock.Uncertainty >= 24*time.Hour && r.SentAt.Equal(r.SentAt.Truncate(24*time.Hour))
		more := *r.More // the record of the stream stays as it came
		r.MeasuredAt, more.Clock = now.Moment(t, nil)
		r.More = &more
	}
	return nil
}

// unsureOf returns within how much of its time, either way, a reading was measured.
func unsureOf(r *vital.Reading) time.Duration {
	if r.More == nil {
		return 0
	}
	return r.More.Clock.Uncertainty
}

const clocksInUse = `
SELECT s.uid, coalesce(d.uid, ''), c.sensor_id, c.local, coalesce((SELECT p.zone FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
    WHERE a.org_id = c.org_id AND a.sensor_id = c.sensor_id ORDER BY a.from_at DESC LIMIT 1), '')
FROM (SELECT DISTINCT org_id, sensor_id, local FROM sensor_clock) c
JOIN sensor s ON s.org_id = c.org_id AND s.id = c.sensor_id LEFT JOIN device d ON d.org_id = s.org_id AND d.id = s.device_id
WHERE d.revoked_at IS NULL ORDER BY s.uid, c.local`

// ClockTroubles lists the clocks at which somebody has to look, by the names of their sensors.
func (a *App) ClockTroubles(ctx context.Context, actor account.Actor) ([]devices.WrongClock, error) {
	var list []devices.WrongClock
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		known, err := readClocks(ctx, tx, allClocks)
		if err != nil {
			return fmt.Errorf("read what is known of clocks: %w", err)
		}
		rows, err := tx.Query(ctx, clocksInUse)
		if err != nil {
			return fmt.Errorf("list the clocks: %w", err)
		}
		var one devices.WrongClock
		var key devices.ClockKey
		var zone string
		_, err = pgx.ForEachRow(rows, []any{&one.Sensor, &one.Device, &key.Sensor, &key.Local, &zone}, func() error {
			var where *time.Location
			if key.Local {
				where = vital.ZoneOrUTC(zone)
			}
			trouble, ok := known[key].Trouble(where)
			if ok {
				list = append(list, devices.WrongClock{Sensor: one.Sensor, Device: one.Device, ClockTrouble: trouble})
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list the clocks: %w", err)
		}
		return nil
	})
	return list, err
}
