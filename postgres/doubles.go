package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

const doubleColumns = `SELECT d.uid::text, d.state, d.found_at, d.decided_at, d.decided_name, d.reason, a.name_key = b.name_key,
    a.id, a.uid::text, a.org_id, a.name, a.birth_year, a.birth_date, a.sex, a.zone, a.number, a.state,
    b.id, b.uid::text, b.org_id, b.name, b.birth_year, b.birth_date, b.sex, b.zone, b.number, b.state
FROM possible_double d JOIN patient a ON a.org_id = d.org_id AND a.id = d.patient_id JOIN patient b ON b.org_id = d.org_id AND b.id = d.other_id `

func scanDouble(row pgx.CollectableRow) (identity.Double, error) {
	var d identity.Double
	var decided *time.Time
	targets := []any{&d.UID, &d.State, &d.FoundAt, &decided, &d.DecidedBy, &d.Reason, &d.SameName}
	for _, p := range []*account.Patient{&d.One, &d.Other} {
		targets = append(targets, &p.ID, &p.UID, &p.Org, &p.Name, &p.BirthYear, &p.BirthDate, &p.Sex, &p.Zone, &p.Number, &p.State)
	}
	err := row.Scan(targets...)
	d.FoundAt, d.DecidedAt = d.FoundAt.UTC(), timeOf(decided)
	return d, err
}

// Doubles lists two people each who may be one, the oldest first. A record that was merged away is no open question.
func (a *App) Doubles(ctx context.Context, actor account.Actor, state identity.DoubleState, limit int) ([]identity.Double, error) {
	var list []identity.Double
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, doubleColumns+`WHERE d.state = $1 AND (d.state <> 'open' OR a.state <> 'merged' AND b.state <> 'merged') ORDER BY d.found_at, d.id LIMIT $2`, string(state), limit)
		if err != nil {
			return fmt.Errorf("list possible doubles: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanDouble)
		return err
	})
	return list, err
}

// Double returns one of them.
func (a *App) Double(ctx context.Context, actor account.Actor, uid vital.UID) (identity.Double, error) {
	var d identity.Double
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		d, err = oneDouble(ctx, tx, uid)
		return err
	})
	return d, err
}

func oneDouble(ctx context.Context, tx pgx.Tx, uid vital.UID) (identity.Double, error) {
	u, err := parseUID(uid, "possible double")
	if err != nil {
		return identity.Double{}, err
	}
	rows, err := tx.Query(ctx, doubleColumns+`WHERE d.uid = $1`, u)
	if err != nil {
		return identity.Double{}, fmt.Errorf("load a possible double: %w", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDouble)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, fault.New(fault.NotFound, "there is no possible double %s", u)
	}
	if err != nil {
		return d, fmt.Errorf("load a possible double: %w", err)
	}
	return d, nil
}

const insertDoubles = `
INSERT INTO possible_double (org_id, uid, patient_id, other_id, found_at)
SELECT $1, g.uid, least(g.one, g.other), greatest(g.one, g.other), $2 FROM unnest($3::uuid[], $4::bigint[], $5::bigint[]) AS g (uid, one, other)
ON CONFLICT (org_id, patient_id, other_id) DO NOTHING`

// listDoubles lists pairs of people who may be one. What somebody has said of a pair stands.
func listDoubles(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time, ones, others []int64) error {
	if len(ones) == 0 {
		return nil
	}
	uids := make([]string, len(ones))
	for i := range uids {
		uids[i] = string(newUID())
	}
	if _, err := tx.Exec(ctx, insertDoubles, int32(org), now, uids, ones, others); err != nil {
		return fmt.Errorf("list possible doubles: %w", err)
	}
	return nil
}

// mostAlike is how many people whom somebody new may be are listed; a name that so many have says nothing.
const mostAlike = 20

const selectAlike = `
SELECT q.id, q.uid::text, q.birth_date FROM patient p JOIN patient q ON q.org_id = p.org_id AND q.name_key = p.name_key AND q.id <> p.id
WHERE p.org_id = $1 AND p.id = $2 AND p.name_key <> '' AND q.state <> 'merged' ORDER BY q.id`

// findAlike lists the people whom somebody who was just added may be, and notes them in p.Alike.
func findAlike(ctx context.Context, tx pgx.Tx, now time.Time, p *account.Patient) error {
	var q account.Patient
	var ones, others []int64
	err := each(ctx, tx, selectAlike, []any{int32(p.Org), int64(p.ID)}, []any{&q.ID, &q.UID, &q.BirthDate}, func() {
		if identity.BornAlike(p.BirthDate, q.BirthDate) && len(others) < mostAlike {
			ones, others, p.Alike = append(ones, int64(p.ID)), append(others, int64(q.ID)), append(p.Alike, q.UID)
		}
	})
	if err != nil {
		return err
	}
	return listDoubles(ctx, tx, p.Org, now, ones, others)
}

const settleDouble = `
UPDATE possible_double SET state = 'two_people', decided_at = $3, decided_by = $4, decided_name = $5, reason = $6
WHERE org_id = $1 AND uid = $2 AND state = 'open'`

// TwoPeople settles an open double. See identity.DoubleBook.
func (a *App) TwoPeople(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (identity.Double, error) {
	var d identity.Double
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var err error
		if d, err = oneDouble(ctx, tx, uid); err != nil {
			return err
		}
		done, err := tx.Exec(ctx, settleDouble, int32(actor.Org), string(d.UID), now, nullID(actor.Staff), actor.Name, reason)
		if err != nil {
			return fmt.Errorf("settle a possible double: %w", err)
		}
		if done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "somebody has decided about these two already: look at them again")
		}
		var audit []account.Audit
		for _, p := range []account.Patient{d.One, d.Other} {
			audit = append(audit, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "two people", Patient: p.ID, Object: "possible double " + string(d.UID)})
		}
		if err := writeAudits(ctx, tx, audit); err != nil {
			return err
		}
		d, err = oneDouble(ctx, tx, uid)
		return err
	})
	return d, err
}
