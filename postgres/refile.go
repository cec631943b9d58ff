package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// refileColumns tell a refile as the actor may know it: of a patient out of reach there is no row to join.
const refileColumns = `
SELECT f.uid::text, s.uid, f.from_at, f.to_at, f.source_id IS NOT NULL, f.target_id IS NOT NULL,
    coalesce(a.id, 0), coalesce(a.uid::text, ''), coalesce(a.name, ''), coalesce(a.number, ''), coalesce(b.id, 0), coalesce(b.uid::text, ''), coalesce(b.name, ''), coalesce(b.number, ''),
    f.reason, f.state, f.problem, f.total, f.moved, (SELECT count(*) FROM refile_episode e WHERE e.org_id = f.org_id AND e.refile_id = f.id),
    coalesce(o.uid::text, ''), coalesce(u.uid::text, ''), coalesce(m.uid::text, ''), f.asked_name, coalesce(f.asked_by, 0), f.asked_at, f.started_at, f.ended_at
FROM refile f JOIN sensor s ON s.org_id = f.org_id AND s.id = f.sensor_id
    LEFT JOIN patient a ON a.org_id = f.org_id AND a.id = f.source_id
    LEFT JOIN patient b ON b.org_id = f.org_id AND b.id = f.target_id
    LEFT JOIN refile o ON o.org_id = f.org_id AND o.id = f.undo_of
    LEFT JOIN refile u ON u.org_id = f.org_id AND u.undo_of = f.id AND u.state <> 'failed'
    LEFT JOIN merge m ON m.org_id = f.org_id AND m.id = f.merge_id `

func scanRefile(row pgx.CollectableRow) (safe.Refile, error) {
	var r safe.Refile
	var to, started, ended *time.Time
	err := row.Scan(&r.UID, &r.Sensor, &r.From, &to, &r.Owned, &r.Claimed,
		&r.Owner.ID, &r.Owner.UID, &r.Owner.Name, &r.Owner.Number, &r.BelongsTo.ID, &r.BelongsTo.UID, &r.BelongsTo.Name, &r.BelongsTo.Number,
		&r.Reason, &r.State, &r.Problem, &r.Total, &r.Moved, &r.Alerts, &r.UndoOf, &r.UndoneBy, &r.Merge, &r.AskedBy, &r.Asker, &r.AskedAt, &started, &ended)
	r.From, r.AskedAt = r.From.UTC(), r.AskedAt.UTC()
	r.To, r.StartedAt, r.EndedAt = timeOf(to), timeOf(started), timeOf(ended)
	return r, err
}

// Refile returns one refile. See safe.RefileBook.
func (a *App) Refile(ctx context.Context, actor account.Actor, uid vital.UID) (safe.Refile, error) {
	var r safe.Refile
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		r, err = oneRefile(ctx, tx, uid)
		return err
	})
	return r, err
}

func oneRefile(ctx context.Context, tx pgx.Tx, uid vital.UID) (safe.Refile, error) {
	return oneByUID(ctx, tx, uid, "refile", refileColumns+`WHERE f.uid = $1`, scanRefile)
}

// oneByUID loads what a query finds by its uid; what it is stands in the errors. fault.NotFound when there is none.
func oneByUID[T any](ctx context.Context, tx pgx.Tx, uid vital.UID, what, query string, scan pgx.RowToFunc[T]) (one T, err error) {
	u, err := parseUID(uid, what)
	if err != nil {
		return one, err
	}
	rows, err := tx.Query(ctx, query, u)
	if err != nil {
		return one, fmt.Errorf("load %s: %w", what, err)
	}
	one, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return one, fault.New(fault.NotFound, "there is no %s %s", what, uid)
	}
	if err != nil {
		return one, fmt.Errorf("load %s: %w", what, err)
	}
	return one, nil
}

// RefilesOf returns a patient's refiles, newest first. See safe.RefileBook.
func (a *App) RefilesOf(ctx context.Context, actor account.Actor, patient vital.PatientID, limit int) ([]safe.Refile, error) {
	var list []safe.Refile
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		list, err = refilesBy(ctx, tx, refileColumns+`WHERE f.source_id = $1 OR f.target_id = $1 ORDER BY f.id DESC LIMIT $2`, int64(patient), limit)
		return err
	})
	return list, err
}

// refilesBy returns those that a query, of refileColumns, finds.
func refilesBy(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]safe.Refile, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list refiles: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanRefile)
	if err != nil {
		return nil, fmt.Errorf("list refiles: %w", err)
	}
	return list, nil
}

// wanted is a wish with the ids that it speaks of.
type wanted struct {
	safe.Wish
	sensor         vital.SensorID
	device         int64 // of a claim: that sent it; 0: whoever did
	source, target vital.PatientID
	low, high      time.Time // of times as sent
}

func findWanted(ctx context.Context, tx pgx.Tx, w safe.Wish, now time.Time) (wanted, error) {
	f := wanted{Wish: w, low: w.From.Add(-widen), high: now.Add(widen)}
	if !w.To.IsZero() && w.To.Before(now) {
		f.high = w.To.Add(widen)
	}
	var own vital.DeviceID
	switch err := tx.QueryRow(ctx, findSensor, w.Sensor).Scan(&f.sensor, &own); {
	case errors.Is(err, pgx.ErrNoRows):
		return f, fault.New(fault.NotFound, "there is no sensor %q", w.Sensor)
	case err != nil:
		return f, fmt.Errorf("find sensor: %w", err)
	}
	if w.Device != "" {
		var err error
		if f.device, err = deviceID(ctx, tx, w.Device); err != nil {
			return f, err
		}
	}
	for uid, id := range map[vital.UID]*vital.PatientID{w.Owner: &f.source, w.BelongsTo: &f.target} {
		if uid == "" {
			continue
		}
		p, err := onePatient(ctx, tx, uid)
		if err != nil {
			return f, err
		}
		*id = p.ID
	}
	return f, nil
}

const previewFiled = `
SELECT r.metric, count(*) FROM reading r WHERE r.sensor_id = $1 AND r.patient_id = $2 AND r.sent_at BETWEEN $3 AND $4
    AND r.measured_at >= $5 AND r.measured_at < coalesce($6, 'infinity'::timestamptz) GROUP BY r.metric ORDER BY r.metric`

const previewParked = `
SELECT i.metric, count(*) FROM inbox i WHERE i.sensor_id = $1 AND i.state = 'waiting' AND i.reason <> '` + parkedRevoked + `'
    AND i.measured_at >= $2 AND i.measured_at < coalesce($3, 'infinity'::timestamptz)
    AND NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = i.sensor_id AND a.from_at <= i.measured_at AND (a.to_at IS NULL OR a.to_at > i.measured_at))
GROUP BY i.metric ORDER BY i.metric`

const previewAlerts = `
SELECT DISTINCT e.uid::text FROM episode e JOIN timeline t ON t.org_id = e.org_id AND t.episode_id = e.id
    JOIN reading r ON r.sensor_id = $1 AND r.metric = e.metric AND r.patient_id = $2 AND r.id = t.reading_id AND r.sent_at BETWEEN $3 AND $4
        AND r.measured_at = t.reading_at AND r.measured_at >= $5 AND r.measured_at < coalesce($6, 'infinity'::timestamptz)
WHERE e.patient_id = $2 AND e.state <> 'closed' AND t.kind IN ('opened', 'occurred', 'worsened', 'annotated')`

const underWay = `SELECT uid::text FROM refile WHERE sensor_id = $1 AND state IN ('asked', 'running')`

// PreviewRefile counts what would move. See safe.RefileBook.
func (a *App) PreviewRefile(ctx context.Context, actor account.Actor, w safe.Wish) (safe.Preview, error) {
	var p safe.Preview
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		f, err := findWanted(ctx, tx, w, now)
		if err != nil {
			return err
		}
		p, err = f.preview(ctx, tx)
		return err
	})
	return p, err
}

func (f *wanted) preview(ctx context.Context, tx pgx.Tx) (safe.Preview, error) {
	var p safe.Preview
	var rows pgx.Rows
	var err error
	if f.source == 0 {
		rows, err = tx.Query(ctx, previewParked, int64(f.sensor), f.From, nullTime(f.To))
	} else {
		rows, err = tx.Query(ctx, previewFiled, int64(f.sensor), int64(f.source), f.low, f.high, f.From, nullTime(f.To))
	}
	if err == nil {
		p.Readings, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.MetricCount, error) {
			var m safe.MetricCount
			err := row.Scan(&m.Metric, &m.Readings)
			return m, err
		})
	}
	if err != nil {
		return p, fmt.Errorf("count the readings: %w", err)
	}
	if f.source != 0 {
		if rows, err = tx.Query(ctx, previewAlerts, int64(f.sensor), int64(f.source), f.low, f.high, f.From, nullTime(f.To)); err == nil {
			p.Alerts, err = pgx.CollectRows(rows, pgx.RowTo[vital.UID])
		}
		if err != nil {
			return p, fmt.Errorf("find the alerts that tell of them: %w", err)
		}
	}
	err = tx.QueryRow(ctx, underWay, int64(f.sensor)).Scan(&p.Under)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("look for refiles of the sensor: %w", err)
	}
	return p, nil
}

const ownedInSpan = `
SELECT EXISTS (SELECT FROM assignment WHERE sensor_id = $1 AND patient_id = $2 AND (to_at IS NULL OR to_at > from_at)
    AND from_at < coalesce($4, 'infinity'::timestamptz) AND coalesce(to_at, 'infinity') > $3)`

// AskRefile writes the command. See safe.RefileBook.
func (a *App) AskRefile(ctx context.Context, actor account.Actor, w safe.Wish) (safe.Refile, error) {
	if w.Claim {
		if err := a.waitsFor(ctx, actor.Org, w); err != nil {
			return safe.Refile{}, err
		}
	}
	var made safe.Refile
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		f, err := findWanted(ctx, tx, w, now)
		if err != nil {
			return err
		}
		if err := f.stillAllowed(ctx, tx, actor); err != nil {
			return err
		}
		if err := f.worthwhile(ctx, tx); err != nil {
			return err
		}
		if made, err = f.insert(ctx, tx, actor, now, 0, 0); err != nil || w.Doubt == "" {
			return err
		}
		return settleDoubt(ctx, tx, actor, measuring.Question{UID: w.Doubt, Patient: account.Patient{ID: f.source}, Answer: measuring.NotTheirs, Note: w.DoubtNote}, now)
	})
	return made, err
}

const openErasure = `SELECT state FROM erasure WHERE patient_id = ANY($1) AND state NOT IN ('refused', 'withdrawn', 'done') LIMIT 1`

// openErasureOf returns the state of an open request to erase one of the patients; empty when there is none.
func openErasureOf(ctx context.Context, tx pgx.Tx, patients ...vital.PatientID) (safe.ErasureState, error) {
	ids := make([]int64, len(patients))
	for i, p := range patients {
		ids[i] = int64(p)
	}
	var s safe.ErasureState
	if err := tx.QueryRow(ctx, openErasure, ids).Scan(&s); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("look for erasures: %w", err)
	}
	return s, nil
}

// stillAllowed asks again about both people, who are neither merged nor locked nor cut off before the command is written.
func (f *wanted) stillAllowed(ctx context.Context, tx pgx.Tx, actor account.Actor) error {
	if _, err := tx.Exec(ctx, keepPatients, []string{string(cmp.Or(f.Owner, f.BelongsTo)), string(cmp.Or(f.BelongsTo, f.Owner))}); err != nil {
		return fmt.Errorf("hold the patients: %w", err)
	}
	for _, uid := range []vital.UID{f.Owner, f.BelongsTo} {
		if uid == "" {
			continue
		}
		p, err := onePatient(ctx, tx, uid)
		if err == nil {
			err = account.Allow(actor, account.Refile, &p)
		}
		if err == nil {
			err = f.Concerns(&p, uid == f.BelongsTo)
		}
		var erasure safe.ErasureState
		if err == nil {
			erasure, err = openErasureOf(ctx, tx, p.ID)
		}
		if err == nil {
			err = f.WhileErased(erasure)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// worthwhile refuses what would do nothing.
func (f *wanted) worthwhile(ctx context.Context, tx pgx.Tx) error {
	if f.Claim {
		return nil // waitsFor has looked: whoever cares for patients does not see the table
	}
	if f.source == 0 {
		p, err := f.preview(ctx, tx)
		if err != nil {
			return err
		}
		if p.Total() == 0 {
			return fault.New(fault.Conflict, "nothing of the sensor %q waits as nobody's in that time: to give it to somebody from now on, assign it", f.Sensor)
		}
		return nil
	}
	var owned bool
	if err := tx.QueryRow(ctx, ownedInSpan, int64(f.sensor), int64(f.source), f.From, nullTime(f.To)).Scan(&owned); err != nil {
		return fmt.Errorf("look for assignments: %w", err)
	}
	if !owned {
		return fault.New(fault.Conflict, "the sensor %q was not the patient's at any moment of that time: there is nothing to move", f.Sensor)
	}
	return nil
}

const insertRefile = `
INSERT INTO refile (org_id, uid, sensor_id, source_id, target_id, from_at, to_at, reason, undo_of, merge_id, asked_by, asked_name, asked_role, asked_at, claims, device_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

func (f *wanted) insert(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, undoOf, merge int64) (safe.Refile, error) {
	if merge == 0 { // a merge moves all that one person has
		if err := notOneOfMany(ctx, tx, f.sensor, f.source, f.target, f.To, now); err != nil {
			return safe.Refile{}, err
		}
	}
	uid := newUID()
	_, err := tx.Exec(ctx, insertRefile, int32(actor.Org), string(uid), int64(f.sensor), nullID(f.source), nullID(f.target), f.From, nullTime(f.To), f.Reason,
		nullID(undoOf), nullID(merge), nullID(actor.Staff), actor.Name, string(actor.Role), now, f.Claim, nullID(f.device))
	switch {
	case violated(err, "refile_one_at_a_time"):
		return safe.Refile{}, fault.New(fault.Conflict, "readings of the sensor %q are being filed anew just now: wait until that has ended, and look again", f.Sensor)
	case violated(err, "refile_undone_once"):
		return safe.Refile{}, fault.New(fault.Conflict, "somebody has undone this already")
	case err != nil:
		return safe.Refile{}, fmt.Errorf("ask for the refile: %w", err)
	}
	for _, p := range []vital.PatientID{f.source, f.target} {
		if p == 0 {
			continue
		}
		until := "until further notice"
		if !f.To.IsZero() {
			until = "until " + f.To.Format(time.RFC3339)
		}
		row := account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.Refile), Patient: p, Object: "refile " + string(uid),
			Detail: "sensor " + f.Sensor + " from " + f.From.Format(time.RFC3339) + " " + until,
		}
		if err := writeAudit(ctx, tx, row); err != nil {
			return safe.Refile{}, err
		}
	}
	if merge != 0 { // the merge has told it
		return oneRefile(ctx, tx, uid)
	}
	opened, err := opensBetween(ctx, tx, actor, now, f.source, f.target)
	if err == nil && opened == f.source && opened != 0 {
		err = letIn(ctx, tx, actor, now, "refile "+string(uid), []int64{int64(opened)}, opened)
	}
	if err != nil {
		return safe.Refile{}, err
	}
	return oneRefile(ctx, tx, uid)
}

const undoable = `SELECT id, sensor_id, coalesce(source_id, 0), coalesce(target_id, 0), from_at, to_at, state, merge_id IS NOT NULL FROM refile WHERE uid = $1`

// UndoRefile asks for a refile back. See safe.RefileBook.
func (a *App) UndoRefile(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (safe.Refile, error) {
	var made safe.Refile
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		was, err := oneRefile(ctx, tx, uid)
		if err != nil {
			return err
		}
		switch {
		case was.Merge != "":
			return fault.New(fault.Conflict, "this is a part of a merge: undo the merge")
		case was.State != safe.RefileDone:
			return fault.New(fault.Conflict, "only what is done can be undone, and this is %s", was.State)
		case was.UndoneBy != "":
			return fault.New(fault.Conflict, "somebody has undone this already")
		}
		back := wanted{Wish: safe.Wish{Owner: was.BelongsTo.UID, BelongsTo: was.Owner.UID}}
		if err := back.stillAllowed(ctx, tx, actor); err != nil {
			return err
		}
		made, err = undoRefile(ctx, tx, actor, now, was, reason, 0)
		return err
	})
	return made, err
}

// undoRefile files back what one has moved; its periods are taken from it when it begins.
func undoRefile(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, was safe.Refile, reason string, merge int64) (safe.Refile, error) {
	f := wanted{Wish: safe.Wish{Sensor: was.Sensor, Reason: reason}}
	var id int64
	var to *time.Time
	err := tx.QueryRow(ctx, undoable, string(was.UID)).Scan(&id, &f.sensor, &f.target, &f.source, &f.From, &to, nil, nil)
	if err != nil {
		return safe.Refile{}, fmt.Errorf("load the refile to undo: %w", err)
	}
	f.From, f.To = f.From.UTC(), timeOf(to)
	return f.insert(ctx, tx, actor, now, id, merge)
}

const wornBy = `
SELECT s.uid, a.from_at, a.to_at FROM assignment a JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
WHERE a.patient_id = $1 AND (a.to_at IS NULL OR a.to_at > a.from_at) ORDER BY a.from_at DESC LIMIT 100`

// WornBy returns which sensors the patient has and had. See safe.RefileBook.
func (a *App) WornBy(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Worn, error) {
	var list []safe.Worn
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, wornBy, int64(patient))
		if err == nil {
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Worn, error) {
				var w safe.Worn
				var to *time.Time
				err := row.Scan(&w.Sensor, &w.From, &to)
				w.From, w.To = w.From.UTC(), timeOf(to)
				return w, err
			})
		}
		if err != nil {
			return fmt.Errorf("list the sensors: %w", err)
		}
		return nil
	})
	return list, err
}
