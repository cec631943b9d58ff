package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

const selectKits = `
SELECT k.id, k.uid::text, k.label, k.state, k.state_at, k.issued_at, k.cuff_at, current_setting('app.view', true) = 'org' FROM kit k
WHERE ($1::uuid IS NULL OR k.uid = $1) AND ($2::uuid IS NULL OR EXISTS (SELECT FROM kit_holder h JOIN patient p ON p.org_id = h.org_id AND p.id = h.patient_id
        WHERE h.org_id = k.org_id AND h.kit_id = k.id AND h.to_at IS NULL AND p.uid = $2)) AND ($3 = '' OR k.state = $3)
ORDER BY lower(k.label) LIMIT $4`

// lockKit comes after the cursor rows and the patients, and before the sensors.
const lockKit = `SELECT 1 FROM kit WHERE uid = $1 FOR NO KEY UPDATE`

const selectKitItems = `
SELECT i.kit_id, d.uid, d.model, d.revoked_at IS NOT NULL FROM kit_item i JOIN device d ON d.org_id = i.org_id AND d.id = i.device_id
WHERE i.kit_id = ANY($1) AND i.to_at IS NULL ORDER BY i.kit_id, i.id`

const typeColumns = `coalesce(t.uid::text, ''), coalesce(t.maker, ''), coalesce(t.model, ''), coalesce(t.kind, ''), coalesce(t.metrics, '{}'), coalesce(t.user_slots, 1), coalesce(t.shipped, false)`

const detailColumns = typeColumns + `, s.serial, s.lot, s.firmware, coalesce(s.calibration_due::text, '')`

// kitSensors are those of the devices of kits: of each its own first, and then what it speaks for.
const kitSensors = `
SELECT i.kit_id, d.uid, s.id, s.uid, s.device_id IS NOT NULL, s.device_id IS NOT NULL AND EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = d.org_id AND g.device_id = d.id AND g.ended_at IS NULL), ` + detailColumns + `
FROM kit_item i JOIN device d ON d.org_id = i.org_id AND d.id = i.device_id
JOIN LATERAL (SELECT o.id FROM sensor o WHERE o.org_id = d.org_id AND o.device_id = d.id UNION ALL SELECT g.sensor_id FROM gateway_grant g WHERE g.org_id = d.org_id AND g.device_id = d.id AND g.ended_at IS NULL) of ON true
JOIN sensor s ON s.org_id = d.org_id AND s.id = of.id LEFT JOIN device_type t ON t.org_id = s.org_id AND t.id = s.type_id
WHERE i.kit_id = ANY($1) AND i.to_at IS NULL ORDER BY i.id, s.device_id IS NULL, s.uid`

// kitTaken are the sensors that were taken from the gateways of kits ($1) since these were issued, while somebody has them.
const kitTaken = `
SELECT DISTINCT ON (i.kit_id, s.uid) i.kit_id, s.id, s.uid FROM kit k JOIN kit_item i ON i.org_id = k.org_id AND i.kit_id = k.id AND i.to_at IS NULL
JOIN gateway_grant g ON g.org_id = i.org_id AND g.device_id = i.device_id AND g.ended_at >= k.issued_at JOIN sensor s ON s.org_id = g.org_id AND s.id = g.sensor_id
WHERE k.id = ANY($1) AND k.state IN ('issued', 'accepted') ORDER BY i.kit_id, s.uid`

// alsoSpeak are the gateways in use that speak for sensors ($1).
const alsoSpeak = `
SELECT g.sensor_id, d.uid FROM gateway_grant g JOIN device d ON d.org_id = g.org_id AND d.id = g.device_id
WHERE g.sensor_id = ANY($1) AND g.ended_at IS NULL AND d.revoked_at IS NULL ORDER BY d.uid`

// sensorUsers are those who have a sensor or a slot of it at $4, and whether a reading of theirs has come since they had it from this kit.
// A reading is stored by the time as sent, which differs from the measured one by no more than $3.
const sensorUsers = `
SELECT x.n, s.uid, a.patient_id, EXISTS (SELECT FROM reading r WHERE r.sensor_id = s.id AND r.patient_id = a.patient_id
    AND r.sent_at >= a.from_at - $3::interval AND r.measured_at >= greatest(a.from_at, x.issued_at))
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY x (sensor, issued_at, n) JOIN sensor s ON s.id = x.sensor OR s.parent_id = x.sensor
JOIN assignment a ON a.sensor_id = s.id AND a.from_at <= $4 AND (a.to_at IS NULL OR a.to_at > $4)
ORDER BY s.parent_id IS NOT NULL, s.slot`

const kitHolders = `
SELECT h.kit_id, p.id, p.uid::text, p.name, h.from_at, h.named_at FROM kit_holder h JOIN patient p ON p.org_id = h.org_id AND p.id = h.patient_id
WHERE h.kit_id = ANY($1) AND h.to_at IS NULL ORDER BY h.id`

// Kits returns kits by label, as far as the actor sees whose they are. See devices.KitBook.
func (a *App) Kits(ctx context.Context, actor account.Actor, f devices.KitFilter) ([]devices.Kit, error) {
	var list []devices.Kit
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		loaded, err := loadKits(ctx, tx, f, now)
		for _, k := range loaded {
			list = append(list, k.Kit)
		}
		return err
	})
	return list, err
}

// loadedKit is a kit with the numbers of its rows.
type loadedKit struct {
	devices.Kit
	id      int64
	sensors map[string]vital.SensorID // by name, without user slots
	taken   map[string]vital.SensorID // likewise, of Taken
}

// loadKits loads kits with their devices, sensors and holders, as of a time.
func loadKits(ctx context.Context, tx pgx.Tx, f devices.KitFilter, now time.Time) ([]*loadedKit, error) {
	args := []any{nil, nil, string(f.State), f.Limit}
	for i, uid := range []vital.UID{f.UID, f.Patient} {
		if uid == "" {
			continue
		}
		u, err := parseUID(uid, []string{"kit", "patient"}[i])
		if err != nil {
			return nil, err
		}
		args[i] = u
	}
	rows, err := tx.Query(ctx, selectKits, args...)
	if err != nil {
		return nil, fmt.Errorf("load kits: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanKit)
	if err != nil {
		return nil, fmt.Errorf("load kits: %w", err)
	}
	byID, ids := map[int64]*loadedKit{}, make([]int64, len(list))
	for i, k := range list {
		byID[k.id], ids[i] = k, k.id
	}
	err = loadItems(ctx, tx, byID, ids)
	if err == nil {
		err = loadSensors(ctx, tx, byID, ids)
	}
	if err == nil {
		err = loadTaken(ctx, tx, byID, ids)
	}
	if err == nil {
		err = loadUsers(ctx, tx, list, now)
	}
	if err == nil {
		err = loadHolders(ctx, tx, byID, ids)
	}
	if err != nil {
		return nil, fmt.Errorf("load what is in the kits: %w", err)
	}
	return list, nil
}

func scanKit(row pgx.CollectableRow) (*loadedKit, error) {
	k := &loadedKit{sensors: map[string]vital.SensorID{}, taken: map[string]vital.SensorID{}}
	var issued, cuff *time.Time
	err := row.Scan(&k.id, &k.UID, &k.Label, &k.State, &k.StateAt, &issued, &cuff, &k.Seen)
	k.StateAt, k.IssuedAt, k.CuffAt = k.StateAt.UTC(), timeOf(issued), timeOf(cuff)
	return k, err
}

func loadItems(ctx context.Context, tx pgx.Tx, kits map[int64]*loadedKit, ids []int64) error {
	rows, err := tx.Query(ctx, selectKitItems, ids)
	if err != nil {
		return err
	}
	var kit int64
	var item devices.KitItem
	_, err = pgx.ForEachRow(rows, []any{&kit, &item.Device, &item.Model, &item.Revoked}, func() error {
		kits[kit].Items = append(kits[kit].Items, item)
		return nil
	})
	return err
}

func loadSensors(ctx context.Context, tx pgx.Tx, kits map[int64]*loadedKit, ids []int64) error {
	rows, err := tx.Query(ctx, kitSensors, ids)
	if err != nil {
		return err
	}
	var kit int64
	var device string
	var id vital.SensorID
	var s devices.KitSensor
	var d scannedDetails
	_, err = pgx.ForEachRow(rows, append([]any{&kit, &device, &id, &s.UID, &s.Own, &s.Carries}, d.targets()...), func() error {
		k := kits[kit]
		s.Details = d.details()
		for i := range k.Items {
			if k.Items[i].Device == device {
				k.Items[i].Sensors = append(k.Items[i].Sensors, s)
			}
		}
		k.sensors[s.UID] = id
		return nil
	})
	return err
}

// loadTaken loads what was taken from the kits' gateways and came to no other of the same kit.
func loadTaken(ctx context.Context, tx pgx.Tx, kits map[int64]*loadedKit, ids []int64) error {
	rows, err := tx.Query(ctx, kitTaken, ids)
	if err != nil {
		return err
	}
	var kit int64
	var id vital.SensorID
	var uid string
	_, err = pgx.ForEachRow(rows, []any{&kit, &id, &uid}, func() error {
		k := kits[kit]
		if _, still := k.sensors[uid]; !still {
			k.Taken, k.taken[uid] = append(k.Taken, devices.KitSensor{UID: uid}), id
		}
		return nil
	})
	return err
}

// place is a sensor in a kit.
type place struct {
	kit *loadedKit
	at  *devices.KitSensor
	id  vital.SensorID
}

func (k *loadedKit) places() []place {
	var list []place
	for i := range k.Items {
		for j := range k.Items[i].Sensors {
			at := &k.Items[i].Sensors[j]
			list = append(list, place{k, at, k.sensors[at.UID]})
		}
	}
	for i := range k.Taken {
		at := &k.Taken[i]
		list = append(list, place{k, at, k.taken[at.UID]})
	}
	return list
}

// loadUsers loads who has each sensor of the kits, and which gateways outside its kit speak for it.
func loadUsers(ctx context.Context, tx pgx.Tx, kits []*loadedKit, now time.Time) error {
	var places []place
	for _, k := range kits {
		places = append(places, k.places()...)
	}
	sensors, since := make([]int64, len(places)), make([]time.Time, len(places))
	for i, p := range places {
		sensors[i], since[i] = int64(p.id), p.kit.IssuedAt
	}
	rows, err := tx.Query(ctx, sensorUsers, sensors, since, widen, now)
	if err != nil {
		return err
	}
	var n int
	var u devices.SensorUser
	_, err = pgx.ForEachRow(rows, []any{&n, &u.Sensor, &u.Patient, &u.Sent}, func() error {
		at := places[n-1].at
		at.Users = append(at.Users, u)
		return nil
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, alsoSpeak, sensors); err != nil {
		return err
	}
	speak := map[vital.SensorID][]string{}
	var id vital.SensorID
	var device string
	if _, err = pgx.ForEachRow(rows, []any{&id, &device}, func() error { speak[id] = append(speak[id], device); return nil }); err != nil {
		return err
	}
	for _, p := range places {
		for _, device := range speak[p.id] {
			if !slices.ContainsFunc(p.kit.Items, func(i devices.KitItem) bool { return i.Device == device }) {
				p.at.Others = append(p.at.Others, device)
			}
		}
	}
	return nil
}

func loadHolders(ctx context.Context, tx pgx.Tx, kits map[int64]*loadedKit, ids []int64) error {
	rows, err := tx.Query(ctx, kitHolders, ids)
	if err != nil {
		return err
	}
	var kit int64
	var h devices.Holder
	var named *time.Time
	_, err = pgx.ForEachRow(rows, []any{&kit, &h.Patient, &h.UID, &h.Name, &h.From, &named}, func() error {
		h.From, h.NamedAt = h.From.UTC(), timeOf(named)
		kits[kit].Holders = append(kits[kit].Holders, h)
		return nil
	})
	return err
}

const insertKit = `INSERT INTO kit (org_id, uid, label, state_at, made_at) VALUES ($1, $2, $3, $4, $4) RETURNING id`

// MakeKit stores a kit in stock, with its devices. See devices.KitBook.
func (a *App) MakeKit(ctx context.Context, actor account.Actor, label string, list []string) (devices.Kit, error) {
	var made devices.Kit
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		k := &loadedKit{Kit: devices.Kit{UID: newUID()}}
		err := tx.QueryRow(ctx, insertKit, int32(actor.Org), string(k.UID), label, now).Scan(&k.id)
		if violated(err, "kit_label") {
			return fault.New(fault.Conflict, "a kit with the label %q is there already", label)
		}
		if err != nil {
			return fmt.Errorf("make kit: %w", err)
		}
		if err := putIn(ctx, tx, actor.Org, k.id, list, now); err != nil {
			return err
		}
		if err := tellOfKit(ctx, tx, actor, k, devices.KitStep{What: devices.KitMade, Detail: strings.Join(list, ", ")}, now); err != nil {
			return err
		}
		made, err = oneKit(ctx, tx, k.UID, now)
		return err
	})
	return made, err
}

func oneKit(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (devices.Kit, error) {
	k, err := loadKit(ctx, tx, uid, now)
	if err != nil {
		return devices.Kit{}, err
	}
	return k.Kit, nil
}

func loadKit(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (*loadedKit, error) {
	list, err := loadKits(ctx, tx, devices.KitFilter{UID: uid, Limit: 1}, now)
	if err == nil && (len(list) == 0 || uid == "") {
		err = fault.New(fault.NotFound, "there is no kit %q", string(uid))
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

const selectKitEvents = `
SELECT e.at, e.actor_name, e.actor_role, e.what, e.detail FROM kit_event e JOIN kit k ON k.org_id = e.org_id AND k.id = e.kit_id
WHERE k.uid = $1 ORDER BY e.id DESC LIMIT $2`

// KitHistory returns what was done with a kit, newest first. See devices.KitBook.
func (a *App) KitHistory(ctx context.Context, actor account.Actor, uid vital.UID, limit int) ([]devices.KitEvent, error) {
	u, err := parseUID(uid, "kit")
	if err != nil {
		return nil, err
	}
	var list []devices.KitEvent
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectKitEvents, u, limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (devices.KitEvent, error) {
				var e devices.KitEvent
				err := row.Scan(&e.At, &e.By, &e.Role, &e.What, &e.Detail)
				e.At = e.At.UTC()
				return e, err
			})
		}
		if err != nil {
			return fmt.Errorf("load the history of a kit: %w", err)
		}
		if len(list) == 0 { // each begins with being made
			return fault.New(fault.NotFound, "there is no kit %q", string(uid))
		}
		return nil
	})
	return list, err
}
