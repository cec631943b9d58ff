package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/vital"
)

const clockColumns = `sensor_id, local, from_at, last_at, offset_us, unsure_us, method, told_us, told_at`
const allClocks = `SELECT ` + clockColumns + ` FROM sensor_clock ORDER BY sensor_id, local, from_at`
const clocksOfSensors = `SELECT ` + clockColumns + ` FROM sensor_clock WHERE sensor_id = ANY($1) ORDER BY sensor_id, local, from_at`

// A sensor that is not there any more keeps nothing, and stops nothing.
const insertClock = `
INSERT INTO sensor_clock (org_id, sensor_id, local, from_at, last_at, offset_us, unsure_us, method, device_id, told_us, told_at)
SELECT s.org_id, s.id, $3, $4, $4, $5, $6, $7, $8, $9, $10 FROM sensor s WHERE s.org_id = $1 AND s.id = $2 ON CONFLICT DO NOTHING`
const dropClocks = `DELETE FROM sensor_clock WHERE org_id = $1 AND sensor_id = $2 AND local = $3 AND from_at < $4`
const seeClock = `UPDATE sensor_clock SET last_at = $5 WHERE org_id = $1 AND sensor_id = $2 AND local = $3 AND from_at = $4 AND last_at < $5`
const tellClock = `UPDATE sensor_clock SET told_us = $5, told_at = $6 WHERE org_id = $1 AND sensor_id = $2 AND local = $3 AND from_at = $4`

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
		after, anew := known[key].Hear(*s.Look)
		after, news := after.Tell(key.Local)
		tell = tell || news
		known[key] = after
		now := after[len(after)-1]
		if anew {
			last.Queue(insertClock, int32(s.Org), int64(s.Sensor), key.Local, now.From, now.Offset.Microseconds(), now.Uncertainty.Microseconds(),
				int16(now.Method), int64(s.Device), now.Told.Microseconds(), nullTime(now.ToldAt))
			last.Queue(dropClocks, int32(s.Org), int64(s.Sensor), key.Local, after[0].From)
			continue
		}
		last.Queue(seeClock, int32(s.Org), int64(s.Sensor), key.Local, now.From, now.Last)
		if news { // another offset that came too soon after they had been told
			last.Queue(tellClock, int32(s.Org), int64(s.Sensor), key.Local, now.From, now.Told.Microseconds(), now.ToldAt)
		}
	}
	if tell {
		last.Queue(bumpRegistry)
	}
	return nil
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
	var offset, unsure, told int64
	var method int16
	var toldAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&key.Sensor, &key.Local, &span.From, &span.Last, &offset, &unsure, &method, &told, &toldAt}, func() error {
		one := devices.ClockSpan{From: utcOf(span.From), Last: utcOf(span.Last), Told: time.Duration(told) * time.Microsecond, ToldAt: timeOf(toldAt)}
		one.Clock = vital.Clock{
			Offset: time.Duration(offset) * time.Microsecond, Uncertainty: time.Duration(unsure) * time.Microsecond,
			Method: vital.ClockMethod(method),
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
		r.FindAge()
	}
	return nil
}

const zonesWorn = `SELECT DISTINCT ON (coalesce(s.parent_id, s.id)) coalesce(s.parent_id, s.id), p.zone FROM assignment a
JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
WHERE EXISTS (SELECT FROM sensor_clock c WHERE c.org_id = a.org_id AND c.sensor_id = coalesce(s.parent_id, s.id) AND c.local) ORDER BY coalesce(s.parent_id, s.id), a.from_at DESC`

// timesRefused are, of each clock, the messages of the last week that wait because of their times, and when a reading came last whose time
// can be right, of whichever user of it. Where it is not known whose time was refused, it is that of the device's own clock.
const timesRefused = `
WITH refused AS (
    SELECT q.org_id, q.device_id, coalesce(s.parent_id, s.id, o.id) AS sensor_id, count(*) AS n, min(q.received_at) AS since, max(q.last_received_at) AS newest
    FROM quarantine q JOIN sensor o ON o.org_id = q.org_id AND o.device_id = q.device_id LEFT JOIN sensor s ON s.org_id = q.org_id AND s.id = q.sensor_id
    WHERE q.reason = 'clock' AND q.settled_at IS NULL AND q.last_received_at > $1 GROUP BY 1, 2, 3)
SELECT r.device_id, r.sensor_id, r.n, r.since, r.newest,
    (SELECT max(p.timed_at) FROM sensor n JOIN sensor_presence p ON p.org_id = n.org_id AND p.sensor_id = n.id WHERE n.org_id = r.org_id AND (n.id = r.sensor_id OR n.parent_id = r.sensor_id))
FROM refused r`

// clockOf is a clock as messages of it come: by the device that speaks for it.
type clockOf struct {
	device vital.DeviceID
	sensor vital.SensorID
}

// clockFacts fills in what is known of the clocks of the devices.
func clockFacts(ctx context.Context, tx statements, list []devices.Fact, now time.Time) error {
	troubles, err := clockTroubles(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, timesRefused, now.Add(-7*24*time.Hour))
	if err != nil {
		return fmt.Errorf("count the times that were refused: %w", err)
	}
	refused := map[clockOf]devices.ClockFact{}
	var clock clockOf
	var f devices.ClockFact
	var timed *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&clock.device, &clock.sensor, &f.Refused, &f.Since, &f.Newest, &timed}, func() error {
		refused[clock] = devices.ClockFact{Refused: f.Refused, Since: f.Since.UTC(), Newest: f.Newest.UTC(), TimedAt: timeOf(timed)}
		return nil
	}); err != nil {
		return fmt.Errorf("count the times that were refused: %w", err)
	}
	for i := range list {
		f := &list[i]
		f.Clock = refused[clockOf{f.Device, f.Sensor}]
		f.Clock.Trouble = troubles[f.Sensor]
	}
	return nil
}

// clockTroubles returns what is wrong with the clocks that were looked at; the zero trouble where nothing is. Of a sensor whose
// times come with zone and without, it is the one that is wrong.
func clockTroubles(ctx context.Context, tx statements) (map[vital.SensorID]devices.ClockTrouble, error) {
	known, err := readClocks(ctx, tx, allClocks)
	if err != nil {
		return nil, fmt.Errorf("read what is known of clocks: %w", err)
	}
	rows, err := tx.Query(ctx, zonesWorn)
	if err != nil {
		return nil, fmt.Errorf("read the zones of wearers: %w", err)
	}
	zones := map[vital.SensorID]*time.Location{}
	var sensor vital.SensorID
	var zone string
	if _, err := pgx.ForEachRow(rows, []any{&sensor, &zone}, func() error { zones[sensor] = vital.ZoneOrUTC(zone); return nil }); err != nil {
		return nil, fmt.Errorf("read the zones of wearers: %w", err)
	}
	all := map[vital.SensorID]devices.ClockTrouble{}
	for key, c := range known {
		var where *time.Location
		if key.Local {
			if where = zones[key.Sensor]; where == nil {
				continue // whose zone it shows, nobody knows
			}
		}
		trouble, wrong := c.Trouble(where)
		if _, there := all[key.Sensor]; wrong || !there {
			all[key.Sensor] = trouble
		}
	}
	return all, nil
}
