package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/devices/downlink"
	"hale/vital"
)

// ears remembers when it was written last of each device and sensor that its readings were heard, so that it is not written for
// each of them. It is a cache: who starts anew writes once more.
type ears struct {
	mu      sync.Mutex
	devices map[vital.DeviceID]time.Time
	sensors map[vital.SensorID]time.Time
	refused map[vital.SensorID]bool // times of it were refused, and none was good since
}

// heard is what the batches of one transaction say of who is there.
type heard struct {
	presences  map[vital.DeviceID]*devices.Presence
	conditions map[vital.SensorID]*devices.Condition
	answers    []*vital.Status
}

// hear collects what the batches say of who is there: every status, and the readings of those of whom nothing was written for a
// minute. Readings come in the order of their sensors, so it asks once for each sensor.
func (e *ears) hear(jobs []*job) heard {
	h := heard{presences: map[vital.DeviceID]*devices.Presence{}, conditions: map[vital.SensorID]*devices.Condition{}}
	e.mu.Lock()
	for _, j := range jobs {
		for _, no := range j.sifted.refused {
			if no.Reason == vital.ReasonClock && no.Read != nil {
				e.refused[no.Read.Sensor] = true // that its times are good again is written at once
			}
		}
		var last *vital.Reading
		for _, r := range j.sifted.readings {
			if last != nil && last.Sensor == r.Sensor && last.Device == r.Device && r.ReceivedAt.Sub(last.ReceivedAt) < devices.HeardEvery && (devices.Timed(last) || !devices.Timed(r)) {
				continue
			}
			last = r
			if r.ReceivedAt.Sub(e.sensors[r.Sensor]) >= devices.HeardEvery || e.refused[r.Sensor] && devices.Timed(r) {
				h.reading(r)
			}
			if r.ReceivedAt.Sub(e.devices[r.Device]) >= devices.HeardEvery {
				h.presence(r.Org, r.Device, r.ReceivedAt)
			}
		}
	}
	e.mu.Unlock()
	for _, j := range jobs {
		for _, s := range j.sifted.statuses {
			h.presence(s.Org, s.Device, time.Time{}).Take(s)
			if s.Kind == vital.StatusTold {
				h.condition(s.Org, s.Sensor).Take(s)
			}
			if s.Answer != nil {
				h.answers = append(h.answers, s)
			}
		}
	}
	return h
}

func (h *heard) presence(org vital.OrgID, device vital.DeviceID, at time.Time) *devices.Presence {
	p := h.presences[device]
	if p == nil {
		p = &devices.Presence{Org: org, Device: device}
		h.presences[device] = p
	}
	if at.After(p.HeardAt) {
		p.HeardAt = at
	}
	return p
}

func (h *heard) condition(org vital.OrgID, sensor vital.SensorID) *devices.Condition {
	c := h.conditions[sensor]
	if c == nil {
		c = &devices.Condition{Org: org, Sensor: sensor}
		h.conditions[sensor] = c
	}
	return c
}

func (h *heard) reading(r *vital.Reading) {
	c := h.condition(r.Org, r.Sensor)
	if r.ReceivedAt.After(c.HeardAt) {
		c.HeardAt, c.Device = r.ReceivedAt, r.Device
	}
	if r.ReceivedAt.After(c.ReadingAt) {
		c.ReadingAt = r.ReceivedAt
	}
	if devices.Timed(r) && r.ReceivedAt.After(c.TimedAt) {
		c.TimedAt = r.ReceivedAt
	}
}

// wrote notes what was written, once it is committed.
func (e *ears) wrote(h heard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, p := range h.presences {
		if p.HeardAt.After(e.devices[id]) {
			e.devices[id] = p.HeardAt
		}
	}
	for id, c := range h.conditions {
		if c.ReadingAt.After(e.sensors[id]) {
			e.sensors[id] = c.ReadingAt
		}
		if !c.TimedAt.IsZero() {
			delete(e.refused, id)
		}
	}
}

// A device that was erased from the registry cannot be: rows of it are never deleted. Who only left was heard before.
const writePresences = `
INSERT INTO device_presence AS p (org_id, device_id, heard_at, connection, edge, connected_at, left_at, vanished, status_at, status)
SELECT n.org_id, n.device_id, coalesce(n.heard_at, n.left_at), n.connection, nullif(n.edge, ''), n.connected_at, n.left_at, n.vanished, n.status_at, n.status
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::boolean[], $8::timestamptz[], $9::bytea[], $10::text[])
    AS n (org_id, device_id, heard_at, connection, connected_at, left_at, vanished, status_at, status, edge)
JOIN device d ON d.org_id = n.org_id AND d.id = n.device_id
ORDER BY n.org_id, n.device_id
ON CONFLICT (org_id, device_id) DO UPDATE SET
    heard_at = greatest(p.heard_at, excluded.heard_at),
    connection = greatest(p.connection, excluded.connection),
    edge = CASE WHEN excluded.connection >= p.connection THEN coalesce(excluded.edge, p.edge) ELSE p.edge END,
    connected_at = CASE WHEN excluded.connection >= p.connection THEN coalesce(excluded.connected_at, p.connected_at) ELSE p.connected_at END,
    left_at = CASE WHEN excluded.connection < p.connection THEN p.left_at WHEN excluded.connected_at IS NOT NULL THEN excluded.left_at
        WHEN excluded.left_at IS NOT NULL THEN excluded.left_at WHEN excluded.connection > p.connection THEN NULL ELSE p.left_at END,
    vanished = CASE WHEN excluded.connection < p.connection THEN p.vanished WHEN excluded.connected_at IS NOT NULL OR excluded.connection > p.connection THEN excluded.vanished
        ELSE p.vanished OR excluded.vanished END,
    status_at = CASE WHEN excluded.status_at >= coalesce(p.status_at, '-infinity') AND (excluded.connection = 0 OR excluded.connection >= p.connection) THEN excluded.status_at ELSE p.status_at END,
    status = CASE WHEN excluded.status_at >= coalesce(p.status_at, '-infinity') AND (excluded.connection = 0 OR excluded.connection >= p.connection) THEN excluded.status ELSE p.status END`

const freshStatus = `(excluded.status_at >= coalesce(p.status_at, '-infinity') AND (excluded.connection = 0 OR excluded.connection >= p.connection))`

const writeConditions = `
INSERT INTO sensor_presence AS p (org_id, sensor_id, device_id, heard_at, reading_at, connection, status_at, battery, battery_low_at, signal, signal_poor_at,
    firmware, firmware_at, timed_at)
SELECT n.org_id, n.sensor_id, n.device_id, n.heard_at, n.reading_at, n.connection, n.status_at, n.battery, CASE WHEN n.battery <= @low THEN n.status_at END,
    n.signal, CASE WHEN n.signal <= @poor THEN n.status_at END, n.firmware, CASE WHEN n.firmware IS NOT NULL THEN n.status_at END, n.timed_at
FROM unnest(@orgs::int[], @sensors::bigint[], @devices::bigint[], @heard::timestamptz[], @readings::timestamptz[], @connections::bigint[], @statuses::timestamptz[],
    @batteries::smallint[], @signals::smallint[], @firmwares::text[], @timed::timestamptz[])
    AS n (org_id, sensor_id, device_id, heard_at, reading_at, connection, status_at, battery, signal, firmware, timed_at)
JOIN sensor s ON s.org_id = n.org_id AND s.id = n.sensor_id
ORDER BY n.org_id, n.sensor_id
ON CONFLICT (org_id, sensor_id) DO UPDATE SET
    device_id = CASE WHEN excluded.heard_at >= p.heard_at THEN excluded.device_id ELSE p.device_id END,
    heard_at = greatest(p.heard_at, excluded.heard_at),
    reading_at = greatest(p.reading_at, excluded.reading_at),
    timed_at = greatest(p.timed_at, excluded.timed_at),
    connection = greatest(p.connection, excluded.connection),
    status_at = CASE WHEN ` + freshStatus + ` THEN excluded.status_at ELSE p.status_at END,
    battery = CASE WHEN ` + freshStatus + ` THEN coalesce(excluded.battery, p.battery) ELSE p.battery END,
    battery_low_at = CASE WHEN NOT ` + freshStatus + ` OR excluded.battery IS NULL THEN p.battery_low_at WHEN excluded.battery_low_at IS NOT NULL THEN coalesce(p.battery_low_at, excluded.battery_low_at) END,
    signal = CASE WHEN ` + freshStatus + ` THEN coalesce(excluded.signal, p.signal) ELSE p.signal END,
    signal_poor_at = CASE WHEN NOT ` + freshStatus + ` OR excluded.signal IS NULL THEN p.signal_poor_at WHEN excluded.signal_poor_at IS NOT NULL THEN coalesce(p.signal_poor_at, excluded.signal_poor_at) END,
    firmware_at = CASE WHEN ` + freshStatus + ` AND excluded.firmware <> coalesce(p.firmware, '') THEN excluded.firmware_at ELSE p.firmware_at END,
    firmware = CASE WHEN ` + freshStatus + ` THEN coalesce(excluded.firmware, p.firmware) ELSE p.firmware END`

// A recall asks for the firmware that a sensor has by its own word. The rows are locked in their order before they are changed: an UPDATE
// by itself takes them as it finds them.
const describeFirmware = `
WITH changed AS MATERIALIZED (
    SELECT s.org_id, s.id, n.firmware FROM unnest($1::int[], $2::bigint[], $3::text[]) AS n (org_id, sensor_id, firmware)
    JOIN sensor s ON s.org_id = n.org_id AND s.id = n.sensor_id AND s.firmware <> n.firmware ORDER BY s.org_id, s.id FOR NO KEY UPDATE OF s)
UPDATE sensor s SET firmware = c.firmware FROM changed c WHERE s.org_id = c.org_id AND s.id = c.id`

// queue adds what was heard to the last statements of the transaction: they cost no round trip of their own. Lock order: devices
// before sensors, each in the order of the keys, so that partitions whose people share a gateway never wait in a circle.
func (h heard) queue(last *pgx.Batch) {
	if len(h.presences) > 0 {
		h.queuePresences(last)
	}
	if len(h.conditions) > 0 {
		h.queueConditions(last)
	}
	h.queueAnswers(last)
}

func (h heard) queuePresences(last *pgx.Batch) {
	var orgs []int32
	var ids, connections []int64
	var heardAt, came, left, told []*time.Time
	var vanished []bool
	var statuses [][]byte
	var edges []string
	for _, id := range slices.Sorted(maps.Keys(h.presences)) {
		p := h.presences[id]
		orgs, ids, connections = append(orgs, int32(p.Org)), append(ids, int64(id)), append(connections, p.Connection)
		heardAt, came, left, told = append(heardAt, nullTime(p.HeardAt)), append(came, nullTime(p.ConnectedAt)), append(left, nullTime(p.LeftAt)), append(told, nullTime(p.StatusAt))
		vanished, statuses, edges = append(vanished, p.Vanished), append(statuses, p.Status), append(edges, p.Edge)
	}
	last.Queue(writePresences, orgs, ids, heardAt, connections, came, left, vanished, told, statuses, edges)
}

func (h heard) queueConditions(last *pgx.Batch) {
	var orgs []int32
	var ids, by, connections []int64
	var heardAt, readings, timed, told []*time.Time
	var batteries, signals []*int16
	var firmwares []*string
	for _, id := range slices.Sorted(maps.Keys(h.conditions)) {
		c := h.conditions[id]
		orgs, ids, by, connections = append(orgs, int32(c.Org)), append(ids, int64(id)), append(by, int64(c.Device)), append(connections, c.Connection)
		heardAt, readings, told = append(heardAt, nullTime(c.HeardAt)), append(readings, nullTime(c.ReadingAt)), append(told, nullTime(c.StatusAt))
		batteries, signals = append(batteries, when(c.HasBattery, int16(c.Battery))), append(signals, when(c.Signal != 0, c.Signal))
		firmwares, timed = append(firmwares, when(c.Firmware != "", c.Firmware)), append(timed, nullTime(c.TimedAt))
	}
	if slices.ContainsFunc(firmwares, func(f *string) bool { return f != nil }) {
		last.Queue(describeFirmware, orgs, ids, firmwares)
	}
	last.Queue(writeConditions, pgx.NamedArgs{
		"orgs": orgs, "sensors": ids, "devices": by, "heard": heardAt, "readings": readings, "connections": connections, "statuses": told,
		"batteries": batteries, "signals": signals, "firmwares": firmwares, "timed": timed,
		"low": devices.BatteryLow, "poor": devices.SignalPoor,
	})
}

// when returns the value, nil when it is not there.
func when[T any](there bool, v T) *T {
	if !there {
		return nil
	}
	return &v
}

// What a device says of a command counts also when it comes late: it was done then, whatever we thought.
const settleAnswered = `
WITH settled AS (
    UPDATE device_command c SET state = @state, settled_at = @at, detail = @detail, sent_at = coalesce(c.sent_at, @at), times = greatest(c.times, 1)
    WHERE c.uid::text = @uid AND c.org_id = @org AND c.device_id = @device AND c.state IN ('queued', 'sent', 'expired') RETURNING c.org_id, c.uid, c.device_id, c.kind)
INSERT INTO audit (org_id, at, actor_name, actor_role, action, object, detail)
SELECT s.org_id, @at, 'device ' || d.uid, '', 'command ' || @state, 'command ' || s.uid, s.kind FROM settled s JOIN device d ON d.org_id = s.org_id AND d.id = s.device_id`

func (h heard) queueAnswers(last *pgx.Batch) {
	slices.SortStableFunc(h.answers, func(a, b *vital.Status) int { return cmp.Compare(a.Answer.Command, b.Answer.Command) })
	for _, s := range h.answers {
		state := downlink.CommandFailed
		if s.Answer.Done {
			state = downlink.CommandDone
		}
		last.Queue(settleAnswered, pgx.NamedArgs{
			"state": string(state), "at": s.ReceivedAt, "detail": s.Answer.Detail, "uid": string(s.Answer.Command), "org": int32(s.Org), "device": int64(s.Device),
		})
	}
}

const presenceColumns = `p.org_id, p.device_id, p.heard_at, p.connection, coalesce(p.edge, ''), p.connected_at, p.left_at, p.vanished, p.status_at, coalesce(p.status, '')`
const conditionColumns = `p.org_id, p.sensor_id, p.device_id, p.heard_at, p.reading_at, p.connection, p.status_at, p.battery, p.battery_low_at, p.signal, p.signal_poor_at,
coalesce(p.firmware, ''), p.firmware_at, p.timed_at`

func scanPresence(row pgx.CollectableRow) (devices.Presence, error) {
	var p devices.Presence
	var came, left, told *time.Time
	err := row.Scan(&p.Org, &p.Device, &p.HeardAt, &p.Connection, &p.Edge, &came, &left, &p.Vanished, &told, &p.Status)
	p.HeardAt, p.ConnectedAt, p.LeftAt, p.StatusAt = p.HeardAt.UTC(), timeOf(came), timeOf(left), timeOf(told)
	return p, err
}

func scanCondition(row pgx.CollectableRow) (devices.Condition, error) {
	var c devices.Condition
	var reading, told, low, poor, firmware, timed *time.Time
	var battery, signal *int16
	err := row.Scan(&c.Org, &c.Sensor, &c.Device, &c.HeardAt, &reading, &c.Connection, &told, &battery, &low, &signal, &poor, &c.Firmware, &firmware, &timed)
	c.HeardAt, c.ReadingAt, c.StatusAt = c.HeardAt.UTC(), timeOf(reading), timeOf(told)
	c.BatteryLowAt, c.SignalPoorAt, c.FirmwareAt, c.TimedAt = timeOf(low), timeOf(poor), timeOf(firmware), timeOf(timed)
	if battery != nil {
		c.HasBattery, c.Battery = true, uint8(*battery)
	}
	if signal != nil {
		c.Signal = *signal
	}
	return c, err
}

// presences reads who was heard, of one organisation or with 0 of all.
func presences(ctx context.Context, tx statements, org vital.OrgID) ([]devices.Presence, []devices.Condition, error) {
	rows, err := tx.Query(ctx, `SELECT `+presenceColumns+` FROM device_presence p WHERE $1 = 0 OR p.org_id = $1 ORDER BY p.device_id`, int32(org))
	if err != nil {
		return nil, nil, fmt.Errorf("read presence: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanPresence)
	if err != nil {
		return nil, nil, fmt.Errorf("read presence: %w", err)
	}
	if rows, err = tx.Query(ctx, `SELECT `+conditionColumns+` FROM sensor_presence p WHERE $1 = 0 OR p.org_id = $1 ORDER BY p.sensor_id`, int32(org)); err != nil {
		return nil, nil, fmt.Errorf("read the presence of sensors: %w", err)
	}
	conditions, err := pgx.CollectRows(rows, scanCondition)
	if err != nil {
		return nil, nil, fmt.Errorf("read the presence of sensors: %w", err)
	}
	return list, conditions, nil
}
