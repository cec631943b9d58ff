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

// Hours returns every version of a care team's hours. See account.RosterBook for this and the methods that follow.
func (a *App) Hours(ctx context.Context, actor account.Actor, team vital.UID) ([]account.HoursVersion, error) {
	var list []account.HoursVersion
	err := a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, _ time.Time) error {
		rows, err := tx.Query(ctx, `SELECT number, hours, effective_from, author_name, reason, created_at FROM team_hours WHERE team_id = $1 ORDER BY number`, id)
		if err != nil {
			return fmt.Errorf("read the hours: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.HoursVersion, error) {
			var v account.HoursVersion
			err := row.Scan(&v.Number, &v.Hours, &v.EffectiveFrom, &v.AuthorName, &v.Reason, &v.CreatedAt)
			v.EffectiveFrom, v.CreatedAt = v.EffectiveFrom.UTC(), v.CreatedAt.UTC()
			return v, err
		})
		return err
	})
	return list, err
}

// SetHours appends a version of a care team's hours.
func (a *App) SetHours(ctx context.Context, actor account.Actor, team vital.UID, expected int, v account.HoursVersion) (account.HoursVersion, error) {
	err := a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		var newest int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(number), 0) FROM team_hours WHERE team_id = $1`, id).Scan(&newest); err != nil {
			return fmt.Errorf("find the newest hours: %w", err)
		}
		if newest != expected {
			return fault.New(fault.Conflict, "the hours are at version %d by now, not %d: look at them again before you change them", newest, expected)
		}
		v.Number, v.AuthorName, v.CreatedAt = newest+1, actor.Name, now
		const insert = `
INSERT INTO team_hours (org_id, team_id, number, effective_from, hours, author_id, author_name, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
		_, err := tx.Exec(ctx, insert, int32(actor.Org), id, v.Number, v.EffectiveFrom, v.Hours, nullID(actor.Staff), actor.Name, v.Reason, now)
		if err != nil {
			return fmt.Errorf("set the hours: %w", err)
		}
		return noteTeam(ctx, tx, actor, now, team, 0, fmt.Sprintf("hours version %d from %s", v.Number, v.EffectiveFrom.Format(time.RFC3339)))
	})
	return v, err
}

// selectShifts takes of each shift the part in which its person can sign in and is of the team: whoever has left is not on duty. What
// is to come counts of those only who stand at the bedside just now; what has passed stays as it was.
const selectShifts = `
SELECT h.uid::text, s.uid::text, s.name, h.duty, greatest(h.from_at, m.from_at), least(h.to_at, m.to_at, s.disabled_at, CASE WHEN ` + answersAlerts + ` THEN 'infinity'::timestamptz ELSE $4::timestamptz END)
FROM shift h JOIN staff s ON s.org_id = h.org_id AND s.id = h.staff_id
    JOIN team_member m ON m.org_id = h.org_id AND m.team_id = h.team_id AND m.staff_id = h.staff_id
WHERE h.team_id = $1 AND h.cancelled_at IS NULL AND greatest(h.from_at, m.from_at, $2)
    < least(h.to_at, m.to_at, s.disabled_at, $3, CASE WHEN ` + answersAlerts + ` THEN 'infinity'::timestamptz ELSE $4::timestamptz END)
ORDER BY h.from_at, h.id`

// Shifts returns the shifts of a time.
func (a *App) Shifts(ctx context.Context, actor account.Actor, team vital.UID, from, to time.Time) ([]account.Shift, error) {
	var list []account.Shift
	err := a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		rows, err := tx.Query(ctx, selectShifts, id, from, to, now)
		if err != nil {
			return fmt.Errorf("read the shifts: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Shift, error) {
			var s account.Shift
			err := row.Scan(&s.UID, &s.Staff, &s.Name, &s.Duty, &s.From, &s.To)
			s.From, s.To = s.From.UTC(), s.To.UTC()
			return s, err
		})
		return err
	})
	return list, err
}

const shiftOf = `
SELECT s.id, s.name, s.role, has_way_in(s.org_id, s.id),
    EXISTS (SELECT FROM team_member m WHERE m.org_id = s.org_id AND m.staff_id = s.id AND m.team_id = $2 AND m.from_at <= greatest($3::timestamptz, $6::timestamptz) AND (m.to_at IS NULL OR m.to_at >= $4)),
    EXISTS (SELECT FROM shift h WHERE h.org_id = s.org_id AND h.staff_id = s.id AND h.team_id = $2 AND h.duty = $5 AND h.cancelled_at IS NULL AND h.to_at > $3 AND h.from_at < $4)
FROM staff s WHERE s.uid = $1 AND s.disabled_at IS NULL`

// AddShift puts somebody on the roster.
func (a *App) AddShift(ctx context.Context, actor account.Actor, team vital.UID, s account.Shift) (account.Shift, error) {
	u, err := parseUID(s.Staff, "member of staff")
	if err != nil {
		return account.Shift{}, err
	}
	err = a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		var who int64
		var role account.Role
		var signsIn, member, busy bool
		err := tx.QueryRow(ctx, shiftOf, u, id, s.From, s.To, string(s.Duty), now).Scan(&who, &s.Name, &role, &signsIn, &member, &busy)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no such member of staff")
		case err != nil:
			return fmt.Errorf("find the member of staff: %w", err)
		case !member:
			return fault.New(fault.Conflict, "they are not in this care team for the whole of the shift")
		case !role.AtBedside(true):
			return fault.New(fault.Conflict, "their work (%s) is not to answer alerts: give the duty to a nurse or a physician", role)
		case !role.AtBedside(signsIn):
			return fault.New(fault.Conflict, "they have never signed in, or have no password just now: give them the duty once they can sign in")
		case busy:
			return fault.New(fault.Conflict, "they have this duty then already")
		}
		s.UID = newUID()
		const insert = `INSERT INTO shift (org_id, uid, team_id, staff_id, duty, from_at, to_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
		if _, err := tx.Exec(ctx, insert, int32(actor.Org), string(s.UID), id, who, string(s.Duty), s.From, s.To, now); err != nil {
			return fmt.Errorf("put them on the roster: %w", err)
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "shift "+string(s.UID)+" of staff "+u.String())
	})
	return s, err
}

// CancelShift takes a shift off the roster.
func (a *App) CancelShift(ctx context.Context, actor account.Actor, shift vital.UID) error {
	u, err := parseUID(shift, "shift")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var team vital.UID
		const cancel = `
UPDATE shift h SET cancelled_at = $2 FROM team t WHERE t.org_id = h.org_id AND t.id = h.team_id AND h.uid = $1 AND h.cancelled_at IS NULL RETURNING t.uid::text`
		err := tx.QueryRow(ctx, cancel, u, now).Scan(&team)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such shift")
		}
		if err != nil {
			return fmt.Errorf("cancel the shift: %w", err)
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "cancelled shift "+u.String())
	})
}
