package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
)

// What its device took back is settled as put aside by it, and does not come back.
const (
	byDevice    = "the device"
	takenBackBy = "taken back by the device"
)

const byPerson = `i.state = 'dismissed' AND NOT (i.settled_by = '` + byDevice + `' AND i.settled_why = '` + takenBackBy + `')`

// An unverified red is ended by those who handle alerts. Where somebody else puts aside what it stands for, it stays open and says so.
const sayAside = `
WITH aside AS (
    UPDATE unverified_value v SET became = 'dismissed', by_name = $3, note = $4 WHERE v.id = ANY($1) AND v.place = 'inbox' AND v.left_at IS NULL AND v.ended_at IS NULL
    RETURNING v.unverified_id
), told AS (
    UPDATE unverified u SET version = u.version + 1, note = $7
    WHERE u.state <> 'closed' AND u.id IN (SELECT unverified_id FROM aside) RETURNING u.org_id, u.id, u.uid, u.version
), logged AS (
    INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, note, version)
    SELECT t.org_id, t.id, 'dismissed', $2, $5, $3, $6, $4, t.version FROM told t RETURNING id, unverified_id
)
SELECT l.id, t.org_id, t.uid::text, t.version FROM logged l JOIN told t ON t.id = l.unverified_id ORDER BY l.id`

// aside marks what has just been put aside. It ends an unverified red only where the actor may: the loop that ends it tells of that. It
// returns the events to announce of those that stay open.
func aside(ctx context.Context, tx pgx.Tx, actor account.Actor, k *keyList, now time.Time, why string) ([]alerts.Event, error) {
	if account.Allow(actor, account.HandleAlert, nil) == nil {
		return nil, leave(ctx, tx, k, now, alerts.ClosedAsDismissed, actor.Name, why)
	}
	values, err := standing(ctx, tx, k)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	events, err := eventsOf(ctx, tx, sayAside, values, now, actor.Name, why, nullID(actor.Staff), string(actor.Role), alerts.AsideNote(actor.Name, why))
	return events, wrapped(err, "say of unverified reds that they were put aside")
}

// eventsOf runs a statement that logs acts on unverified reds, and returns the events to announce.
func eventsOf(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]alerts.Event, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Event, error) {
		e := alerts.Event{Unverified: true}
		err := row.Scan(&e.ID, &e.Org, &e.Alert, &e.Version)
		return e, err
	})
}

const asideInSpan = `
SELECT EXISTS (SELECT FROM inbox i JOIN sensor s ON s.org_id = i.org_id AND s.id = i.sensor_id WHERE s.uid = $1 AND i.measured_at >= $2 AND i.measured_at < $3 AND ` + sentBy4 + ` AND ` + byPerson + `)`

// mayBeBroughtBack tells whoever claims nothing that it was put aside, where it was.
func mayBeBroughtBack(ctx context.Context, tx pgx.Tx, w safe.Wish) error {
	var some bool
	if err := tx.QueryRow(ctx, asideInSpan, w.Sensor, w.From, w.To, w.Device).Scan(&some); err != nil {
		return fmt.Errorf("look at what was put aside: %w", err)
	}
	if some {
		return fault.New(fault.Conflict, "what waited there of the sensor %q was put aside: bring it back in the inbox first", w.Sensor)
	}
	return nil
}

const asideGroups = `
SELECT i.sensor_id, i.device_id, s.uid, d.uid, d.model, i.reason, count(*), min(i.measured_at), max(i.measured_at), max(` + vagueParked + `), max(i.received_at), i.settled_by, i.settled_why, i.settled_at
FROM inbox i JOIN sensor s ON s.org_id = i.org_id AND s.id = i.sensor_id JOIN device d ON d.org_id = i.org_id AND d.id = i.device_id
WHERE ` + byPerson + ` GROUP BY i.sensor_id, i.device_id, s.uid, d.uid, d.model, i.reason, i.settled_by, i.settled_why, i.settled_at ORDER BY i.settled_at DESC, s.uid, d.uid, i.reason LIMIT $1`

// Aside lists what was put aside. See safe.InboxBook.
func (a *App) Aside(ctx context.Context, actor account.Actor, limit int) ([]safe.Aside, error) {
	var list []safe.Aside
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, asideGroups, limit)
		if err != nil {
			return fmt.Errorf("list what was put aside: %w", err)
		}
		var sensors, by []int64
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (g safe.Aside, err error) {
			var sensor, device int64
			var vague vagueColumns
			err = row.Scan(&sensor, &device, &g.Sensor, &g.Device, &g.Model, &g.Reason, &g.Count, &g.First, &g.Last, &vague.unsure, &vague.received, &g.By, &g.Why, &g.At)
			g.First, g.Last, g.At, g.Vague = g.First.UTC(), g.Last.UTC(), g.At.UTC(), vague.of()
			sensors, by = append(sensors, sensor), append(by, device)
			return g, err
		})
		if err != nil {
			return fmt.Errorf("list what was put aside: %w", err)
		}
		for i := range list {
			if list[i].Readings, err = readParked(ctx, tx, newestAside, sensors[i], by[i], list[i].Reason, list[i].At); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

const bringBack = `
UPDATE inbox i SET state = 'waiting', settled_at = NULL, settled_by = '', settled_why = ''
WHERE i.sensor_id = $1 AND i.measured_at >= $2 AND i.measured_at < $3 AND ` + sentBy4 + ` AND i.org_id = $5 AND ($6::timestamptz IS NULL OR i.settled_at = $6) AND ` + byPerson + `
RETURNING metric, sent_at, tie`

// What was red when it came is so again, without a second screening: where the row has ended it is opened anew (openRest). What a person
// said of it otherwise (not real, handled) stays said.
const redAgain = `
WITH back AS (
    UPDATE unverified_value v SET left_at = NULL, ended_at = NULL, became = '', by_name = '', note = '' WHERE v.id = ANY($1) AND v.place = 'inbox' AND v.became = 'dismissed'
    RETURNING v.unverified_id
), told AS (
    UPDATE unverified u SET version = u.version + 1, note = CASE WHEN u.state = 'closed' THEN u.note ELSE '' END, next_action_at = CASE WHEN u.state = 'closed' THEN $2 ELSE u.next_action_at END
    WHERE u.id IN (SELECT unverified_id FROM back) RETURNING u.org_id, u.id, u.uid, u.version
), logged AS (
    INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, version)
    SELECT t.org_id, t.id, 'brought_back', $2, $3, $4, $5, t.version FROM told t RETURNING id, unverified_id
)
SELECT l.id, t.org_id, t.uid::text, t.version FROM logged l JOIN told t ON t.id = l.unverified_id ORDER BY l.id`

// BringBack lets readings wait again. See safe.InboxBook.
func (a *App) BringBack(ctx context.Context, actor account.Actor, r safe.Return) (int, error) {
	n, _, err := a.BringBackTold(ctx, actor, r)
	return n, err
}

// BringBackTold does the same, and returns the events to announce.
func (a *App) BringBackTold(ctx context.Context, actor account.Actor, r safe.Return) (n int, events []alerts.Event, err error) {
	err = a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		sensor, err := sensorNamed(ctx, tx, r.Sensor)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, bringBack, int64(sensor), r.From, r.To, r.Device, int32(actor.Org), nullTime(r.At))
		if err != nil {
			return fmt.Errorf("bring back what was put aside: %w", err)
		}
		k := &keyList{}
		if err := k.collect(rows, sensor); err != nil {
			return fmt.Errorf("bring back what was put aside: %w", err)
		}
		if n = len(k.ties); n == 0 {
			return nil
		}
		values, err := standing(ctx, tx, k)
		if err != nil {
			return err
		}
		if events, err = eventsOf(ctx, tx, redAgain, values, now, nullID(actor.Staff), actor.Name, string(actor.Role)); err != nil {
			return fmt.Errorf("list again what was put aside: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "bring back to the inbox", Object: "sensor " + r.Sensor, Detail: fmt.Sprintf("%d readings", n)})
	})
	return n, events, err
}
