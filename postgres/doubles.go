package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

const doubleColumns = `SELECT d.uid::text, d.state, d.found_at, d.decided_at, d.decided_name, d.reason,
    a.id, a.uid::text, a.org_id, a.name, a.birth_year, a.birth_date, a.sex, a.zone, a.number, a.state,
    b.id, b.uid::text, b.org_id, b.name, b.birth_year, b.birth_date, b.sex, b.zone, b.number, b.state
FROM possible_double d JOIN patient a ON a.org_id = d.org_id AND a.id = d.patient_id JOIN patient b ON b.org_id = d.org_id AND b.id = d.other_id `

func scanDouble(row pgx.CollectableRow) (account.Double, error) {
	var d account.Double
	var decided *time.Time
	targets := []any{&d.UID, &d.State, &d.FoundAt, &decided, &d.DecidedBy, &d.Reason}
	for _, p := range []*account.Patient{&d.One, &d.Other} {
		targets = append(targets, &p.ID, &p.UID, &p.Org, &p.Name, &p.BirthYear, &p.BirthDate, &p.Sex, &p.Zone, &p.Number, &p.State)
	}
	err := row.Scan(targets...)
	d.FoundAt, d.DecidedAt = d.FoundAt.UTC(), timeOf(decided)
	return d, err
}

// Doubles lists two people each who may be one, the oldest first. A record that was merged away is no open question.
func (a *App) Doubles(ctx context.Context, actor account.Actor, state account.DoubleState, limit int) ([]account.Double, error) {
	var list []account.Double
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
func (a *App) Double(ctx context.Context, actor account.Actor, uid vital.UID) (account.Double, error) {
	var d account.Double
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		d, err = oneDouble(ctx, tx, uid)
		return err
	})
	return d, err
}

func oneDouble(ctx context.Context, tx pgx.Tx, uid vital.UID) (account.Double, error) {
	u, err := parseUID(uid, "possible double")
	if err != nil {
		return account.Double{}, err
	}
	rows, err := tx.Query(ctx, doubleColumns+`WHERE d.uid = $1`, u)
	if err != nil {
		return account.Double{}, fmt.Errorf("load a possible double: %w", err)
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

const settleDouble = `
UPDATE possible_double SET state = 'two_people', decided_at = $3, decided_by = $4, decided_name = $5, reason = $6
WHERE org_id = $1 AND uid = $2 AND state = 'open'`

// TwoPeople settles an open double. See account.DoubleBook.
func (a *App) TwoPeople(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (account.Double, error) {
	var d account.Double
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
