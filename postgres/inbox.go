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
	"hale/vital"
)

const waitsInSpan = `
SELECT EXISTS (SELECT FROM inbox i JOIN sensor s ON s.org_id = i.org_id AND s.id = i.sensor_id WHERE s.uid = $1 AND i.state = 'waiting' AND i.reason <> '` + parkedRevoked + `'
    AND i.measured_at >= $2 AND i.measured_at < $3 AND ` + sentBy4 + `)`

// What the device of that name sent; of an empty name, whatever any did.
const sentBy4 = `($4 = '' OR EXISTS (SELECT FROM device g WHERE g.org_id = i.org_id AND g.id = i.device_id AND g.uid = $4))`

// waitsFor refuses a claim of nothing. What waits is nobody's, so the whole organisation is looked at, for whoever may claim.
func (a *App) waitsFor(ctx context.Context, org vital.OrgID, w safe.Wish) error {
	return a.inOrg(ctx, org, func(tx pgx.Tx, _ time.Time) error {
		var some bool
		if err := tx.QueryRow(ctx, waitsInSpan, w.Sensor, w.From, w.To, w.Device).Scan(&some); err != nil {
			return fmt.Errorf("look at what waits: %w", err)
		}
		if !some {
			if err := mayBeBroughtBack(ctx, tx, w); err != nil {
				return err
			}
			return fault.New(fault.Conflict, "nothing of the sensor %q that can be claimed waits there any more", w.Sensor)
		}
		return nil
	})
}

// instant is the shortest period that a reading can lie in.
const instant = time.Microsecond

// Within one assignment so many instants are claimed at most; the rest waits for the next claim.
const waitingWithin = `
SELECT DISTINCT i.measured_at FROM inbox i WHERE i.sensor_id = $1 AND i.state = 'waiting' AND i.reason <> '` + parkedRevoked + `'
    AND i.measured_at >= $2 AND i.measured_at < coalesce($3, 'infinity'::timestamptz) AND i.measured_at >= $4 AND i.measured_at < coalesce($5, 'infinity'::timestamptz) AND ($6::bigint IS NULL OR i.device_id = $6)
ORDER BY 1 LIMIT 500`

// take takes from an assignment the instants of what waits although it holds: because the time is uncertain, or who it was is not
// said. Of the target's own nothing has to be taken.
func (r *refiling) take(ctx context.Context, tx pgx.Tx, o owned) ([]span, error) {
	rows, err := tx.Query(ctx, waitingWithin, int64(r.sensor), r.from, nullTime(r.to), o.from, nullTime(o.to), nullID(r.device))
	if err != nil {
		return nil, fmt.Errorf("look for what waits within an assignment: %w", err)
	}
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fmt.Errorf("look for what waits within an assignment: %w", err)
	}
	var parts []span
	left := []span{o.span}
	for _, t := range times {
		one := span{t.UTC(), t.UTC().Add(instant)}
		parts, left = append(parts, one), without(left, one)
		if o.patient == r.target {
			if r.within == nil {
				r.within = map[span]int64{}
			}
			r.within[one] = o.id
		}
	}
	if len(parts) == 0 || o.patient == r.target {
		return parts, nil
	}
	return parts, r.leave(ctx, tx, o, left)
}

const moveWithdrawn = `
UPDATE withdrawn_reading w SET patient_id = $4, assignment_id = coalesce(p.target_assignment, w.assignment_id) FROM refile_part p
WHERE p.org_id = $1 AND p.refile_id = $2 AND w.org_id = $1 AND w.sensor_id = $3 AND w.patient_id = $5 AND w.measured_at >= p.from_at AND w.measured_at < coalesce(p.to_at, 'infinity')`

// takeAlong gives what was taken back in that time to whose the readings are now.
func (r *refiling) takeAlong(ctx context.Context, tx pgx.Tx) error {
	if r.source == 0 || r.target == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, moveWithdrawn, int32(r.org), r.id, int64(r.sensor), int64(r.target), int64(r.source))
	return wrapped(err, "file anew what was taken back")
}

const waitingGroups = `
SELECT i.sensor_id, i.device_id, s.uid, d.uid, d.model, i.reason, count(*), min(i.measured_at), max(i.measured_at), max(` + vagueParked + `), max(i.received_at)
FROM inbox i JOIN sensor s ON s.org_id = i.org_id AND s.id = i.sensor_id JOIN device d ON d.org_id = i.org_id AND d.id = i.device_id
WHERE i.state = 'waiting' GROUP BY i.sensor_id, i.device_id, s.uid, d.uid, d.model, i.reason ORDER BY max(i.received_at) DESC LIMIT $1`

const parkedOf = `
SELECT i.metric, i.measured_at, i.received_at, i.findings, i.mantissa, i.exponent, i.unit, i.mantissa2, i.exponent2, i.unit2, i.mantissa3, i.exponent3, i.unit3, ` + vagueParked + `
FROM inbox i WHERE i.sensor_id = $1 AND i.device_id = $2 AND i.reason = $3 AND `

const (
	newestWaiting = parkedOf + `i.state = 'waiting' ORDER BY i.measured_at DESC LIMIT 12`
	newestAside   = parkedOf + `i.state = 'dismissed' AND i.settled_at = $4 ORDER BY i.measured_at DESC LIMIT 12`
)

// Waiting lists what waits. See safe.InboxBook. What belongs to nobody is read in the view of the organisation; whose it may be, in the
// actor's own.
func (a *App) Waiting(ctx context.Context, actor account.Actor, limit int) ([]safe.Waiting, error) {
	var list []safe.Waiting
	var sensors, by []int64
	var denied []map[vital.PatientID]int
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, waitingGroups, limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Waiting, error) {
				var w safe.Waiting
				var sensor, device int64
				var vague vagueColumns
				err := row.Scan(append([]any{&sensor, &device, &w.Sensor, &w.Device, &w.Model, &w.Reason, &w.Count, &w.First, &w.Last}, vague.targets()...)...)
				w.First, w.Last, w.Vague = w.First.UTC(), w.Last.UTC(), vague.of()
				sensors, by = append(sensors, sensor), append(by, device)
				return w, err
			})
		}
		if err != nil {
			return fmt.Errorf("list what waits: %w", err)
		}
		for i := range list {
			if list[i].Readings, err = readParked(ctx, tx, newestWaiting, sensors[i], by[i], list[i].Reason); err != nil {
				return err
			}
			no, err := deniedOf(ctx, tx, sensors[i], list[i].Reason)
			if err != nil {
				return err
			}
			denied = append(denied, no)
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		for i := range list {
			if err := suggest(ctx, tx, actor, sensors[i], denied[i], &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func readParked(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]safe.Parked, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read what waits: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Parked, error) {
		r := vital.Reading{N: 1}
		var findings int32
		var vague vagueColumns
		var m [2]*int64
		var e, u [2]*int16
		err := row.Scan(&r.Metric, &r.MeasuredAt, &r.ReceivedAt, &findings, &r.Sent[0].Mantissa, &r.Sent[0].Exponent, &r.Sent[0].Unit, &m[0], &e[0], &u[0], &m[1], &e[1], &u[1], &vague.unsure)
		for i := range m {
			if m[i] != nil {
				r.Sent[i+1], r.N = vital.Quantity{Mantissa: *m[i], Exponent: int8(*e[i]), Unit: vital.Unit(*u[i])}, uint8(i+2)
			}
		}
		vague.received = &r.ReceivedAt
		return safe.Parked{Metric: r.Metric, Values: r.Values(), Vague: vague.of(), MeasuredAt: r.MeasuredAt.UTC(), ReceivedAt: r.ReceivedAt.UTC(), Findings: vital.Finding(uint32(findings))}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what waits: %w", err)
	}
	return list, nil
}

const dismissWaiting = `
UPDATE inbox i SET state = 'dismissed', settled_at = $6, settled_by = $7, settled_why = $8
WHERE i.sensor_id = $1 AND i.state = 'waiting' AND ($2 = '' OR i.reason = $2) AND i.measured_at >= $3 AND i.measured_at < $5 AND i.org_id = $9 AND ` + sentBy4 + `
RETURNING metric, sent_at, tie`

// Dismiss puts readings aside. See safe.InboxBook.
func (a *App) Dismiss(ctx context.Context, actor account.Actor, d safe.Dismissal) (int, error) {
	n, _, err := a.DismissTold(ctx, actor, d)
	return n, err
}

// DismissTold does the same, and returns the events to announce.
func (a *App) DismissTold(ctx context.Context, actor account.Actor, d safe.Dismissal) (n int, events []alerts.Event, err error) {
	err = a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		sensor, err := sensorNamed(ctx, tx, d.Sensor)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, dismissWaiting, int64(sensor), d.Reason, d.From, d.Device, d.To, now, actor.Name, d.Why, int32(actor.Org))
		if err != nil {
			return fmt.Errorf("put aside what waits: %w", err)
		}
		k := &keyList{}
		if err := k.collect(rows, sensor); err != nil {
			return fmt.Errorf("put aside what waits: %w", err)
		}
		if n = len(k.ties); n == 0 {
			return nil
		}
		if events, err = aside(ctx, tx, actor, k, now, d.Why); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "dismiss from the inbox", Object: "sensor " + d.Sensor, Detail: fmt.Sprintf("%d readings", n)})
	})
	return n, events, err
}
