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

const selectEmployees = `
SELECT s.uid::text, s.login, s.name, s.role, s.disabled_at,
    EXISTS (SELECT FROM staff_identity i WHERE i.org_id = s.org_id AND i.staff_id = s.id),
    EXISTS (SELECT FROM second_factor f WHERE f.org_id = s.org_id AND f.staff_id = s.id AND f.confirmed_at IS NOT NULL),
    (SELECT i.expires_at FROM staff_invitation i WHERE i.org_id = s.org_id AND i.staff_id = s.id AND i.used_at IS NULL AND i.expires_at > $1),
    (SELECT max(e.seen_at) FROM session e WHERE e.org_id = s.org_id AND e.staff_id = s.id)
FROM staff s ORDER BY s.disabled_at IS NOT NULL, s.name COLLATE "und-x-icu", s.id`

// Employees returns everybody who works in the organisation. See account.StaffBook for this and the methods that follow.
func (a *App) Employees(ctx context.Context, actor account.Actor) ([]account.Employee, error) {
	var list []account.Employee
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, selectEmployees, now)
		if err != nil {
			return fmt.Errorf("list staff: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Employee, error) {
			var e account.Employee
			var disabled, invited, seen *time.Time
			err := row.Scan(&e.UID, &e.Login, &e.Name, &e.Role, &disabled, &e.Elsewhere, &e.SecondFactor, &invited, &seen)
			e.DisabledAt, e.InvitedUntil, e.SeenAt = timeOf(disabled), timeOf(invited), timeOf(seen)
			return e, err
		})
		return err
	})
	return list, err
}

const insertEmployee = `
INSERT INTO staff (org_id, uid, login, name, role, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`
const keepInvitation = `
INSERT INTO staff_invitation (org_id, staff_id, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (org_id, staff_id) DO UPDATE SET code_hash = excluded.code_hash, created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = NULL`

// AddEmployee makes an account that has no password yet.
func (a *App) AddEmployee(ctx context.Context, actor account.Actor, e account.Employee, codeHash []byte, until time.Time) (account.Employee, error) {
	e.UID, e.InvitedUntil = newUID(), until
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id account.StaffID
		err := tx.QueryRow(ctx, insertEmployee, int32(actor.Org), string(e.UID), e.Login, e.Name, string(e.Role), now).Scan(&id)
		if violated(err, "staff_login_key") || errors.Is(err, pgx.ErrNoRows) { // the same, or one that differs in capital letters only
			return fault.New(fault.Conflict, "the login %q is taken: choose another", e.Login)
		}
		if err != nil {
			return fmt.Errorf("add staff: %w", err)
		}
		if _, err := tx.Exec(ctx, keepInvitation, int32(actor.Org), int64(id), codeHash, now, until); err != nil {
			return fmt.Errorf("invite staff: %w", err)
		}
		if err := joinUsualTeam(ctx, tx, actor.Org, id, now); err != nil {
			return err
		}
		return noteStaff(ctx, tx, actor, now, "add staff", e.UID, string(e.Role))
	})
	return e, err
}

func noteStaff(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, action string, staff vital.UID, detail string) error {
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: action, Object: "staff " + string(staff), Detail: detail})
}

// onStaff runs f on somebody, whom nobody else changes meanwhile.
func (a *App) onStaff(ctx context.Context, actor account.Actor, staff vital.UID, f func(tx pgx.Tx, id int64, e account.Employee, now time.Time) error) error {
	u, err := parseUID(staff, "member of staff")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id int64
		var disabled *time.Time
		e := account.Employee{UID: vital.UID(u.String())}
		const find = `
SELECT s.id, s.role, s.disabled_at, EXISTS (SELECT FROM staff_identity i WHERE i.org_id = s.org_id AND i.staff_id = s.id)
FROM staff s WHERE s.uid = $1 FOR NO KEY UPDATE OF s`
		err := tx.QueryRow(ctx, find, u).Scan(&id, &e.Role, &disabled, &e.Elsewhere)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such member of staff")
		}
		if err != nil {
			return fmt.Errorf("find the member of staff: %w", err)
		}
		e.DisabledAt = timeOf(disabled)
		return f(tx, id, e, now)
	})
}

func describedElsewhere() error {
	return fault.New(fault.Conflict, "the identity provider says who they are: change it there")
}

// Reinvite ends the password and the sessions of somebody who is to choose a new one.
func (a *App) Reinvite(ctx context.Context, actor account.Actor, staff vital.UID, codeHash []byte, until time.Time) error {
	return a.onStaff(ctx, actor, staff, func(tx pgx.Tx, id int64, e account.Employee, now time.Time) error {
		if e.Elsewhere {
			return describedElsewhere()
		}
		if !e.DisabledAt.IsZero() {
			return fault.New(fault.Conflict, "they are kept out: let them in again first")
		}
		_, err := leavingAlone(ctx, tx, actor.Org, now, func() error {
			_, err := tx.Exec(ctx, `SELECT take_password_away($1)`, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("take the password away: %w", err)
		}
		if _, err := tx.Exec(ctx, endSessions, int32(actor.Org), id, now); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		if _, err := tx.Exec(ctx, keepInvitation, int32(actor.Org), id, codeHash, now, until); err != nil {
			return fmt.Errorf("invite staff: %w", err)
		}
		return noteStaff(ctx, tx, actor, now, "invite staff", e.UID, "")
	})
}

// SetEmployee changes name and role.
func (a *App) SetEmployee(ctx context.Context, actor account.Actor, staff vital.UID, name string, role account.Role) (alone []string, err error) {
	err = a.onStaff(ctx, actor, staff, func(tx pgx.Tx, id int64, e account.Employee, now time.Time) error {
		if e.Elsewhere {
			return describedElsewhere()
		}
		var err error
		alone, err = leavingAlone(ctx, tx, actor.Org, now, func() error {
			if _, err := tx.Exec(ctx, `UPDATE staff SET name = $2, role = $3 WHERE id = $1`, id, name, string(role)); err != nil {
				return fmt.Errorf("change staff: %w", err)
			}
			return joinUsualTeam(ctx, tx, actor.Org, account.StaffID(id), now)
		})
		if err != nil {
			return err
		}
		return noteStaff(ctx, tx, actor, now, "change staff", e.UID, string(e.Role)+" to "+string(role))
	})
	return alone, err
}

// KeepOut keeps somebody out, or lets them in again.
func (a *App) KeepOut(ctx context.Context, actor account.Actor, staff vital.UID, out bool) (alone []string, err error) {
	err = a.onStaff(ctx, actor, staff, func(tx pgx.Tx, id int64, e account.Employee, now time.Time) error {
		var err error
		if !out {
			alone, err = letBack(ctx, tx, actor, now, id, &e)
			return err
		}
		if !e.DisabledAt.IsZero() {
			return nil
		}
		alone, err = leavingAlone(ctx, tx, actor.Org, now, func() error {
			if _, err := tx.Exec(ctx, `UPDATE staff SET disabled_at = $2 WHERE id = $1`, id, now); err != nil {
				return fmt.Errorf("keep staff out: %w", err)
			}
			return outForGood(ctx, tx, int32(actor.Org), id, now)
		})
		if err != nil {
			return err
		}
		return noteStaff(ctx, tx, actor, now, "disable staff", e.UID, "")
	})
	return alone, err
}

// letBack lets somebody in again, and returns the names of the care teams that have patients and nobody: what they were in has ended.
func letBack(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, id int64, e *account.Employee) (alone []string, err error) {
	if !e.DisabledAt.IsZero() {
		if _, err := tx.Exec(ctx, `UPDATE staff SET disabled_at = NULL WHERE id = $1`, id); err != nil {
			return nil, fmt.Errorf("let staff in again: %w", err)
		}
		if err := noteStaff(ctx, tx, actor, now, "let staff in again", e.UID, ""); err != nil {
			return nil, err
		}
	}
	list, err := unattended(ctx, tx, actor.Org, now)
	for _, t := range list {
		alone = append(alone, t.Name)
	}
	return alone, err
}
