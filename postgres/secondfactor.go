package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// loginHash is what wrong passwords are counted under: it is the same for a login that exists and one that does not.
func loginHash(login string) []byte {
	sum := sha256.Sum256([]byte(login))
	return sum[:]
}

// Locked returns until when nobody may try this login, or the zero time. It does not ask whether the login exists.
func (a *App) Locked(ctx context.Context, login string, now time.Time) (time.Time, error) {
	var until *time.Time
	err := a.pool.QueryRow(ctx, `SELECT sign_in_locked($1, $2)`, loginHash(login), now).Scan(&until)
	if err != nil {
		return time.Time{}, classify(fmt.Errorf("look for a lock: %w", err))
	}
	return timeOf(until), nil
}

// Failed counts a wrong password or code of a login. The failure that makes it most of them since fresh locks the login
// until the given time, with an audit row when who it belongs to is known; the zero Actor is nobody's login.
func (a *App) Failed(ctx context.Context, login string, who account.Actor, now, fresh time.Time, most int, until time.Time) error {
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		var locked *time.Time
		if err := tx.QueryRow(ctx, `SELECT note_sign_in_failure($1, $2, $3, $4, $5)`, loginHash(login), now, fresh, most, until).Scan(&locked); err != nil {
			return fmt.Errorf("count a failure: %w", err)
		}
		if locked == nil || who.Nobody() {
			return nil
		}
		var at time.Time
		if err := tx.QueryRow(ctx, `SELECT set_config('app.org', $1, true), set_config('app.view', 'org', true), clock_timestamp()`, fmt.Sprint(int32(who.Org))).Scan(nil, nil, &at); err != nil {
			return fmt.Errorf("enter the organisation: %w", err)
		}
		// Nobody has shown to be this person: the lock is Hale's own act.
		return writeAudit(ctx, tx, account.Audit{Org: who.Org, At: at.UTC(), Action: "lock login", Object: "staff " + string(who.UID), Detail: "until " + until.UTC().Format(time.RFC3339)})
	})
	return classify(err)
}

// Forget wipes the slate of a login that was used rightly.
func (a *App) Forget(ctx context.Context, login string) error {
	_, err := a.pool.Exec(ctx, `SELECT forget_sign_in_failures($1)`, loginHash(login))
	return classify(err)
}

// Password returns the login and the password hash of somebody who is signed in.
func (a *App) Password(ctx context.Context, actor account.Actor) (login, hash string, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SELECT login, password_hash FROM own_password()`).Scan(&login, &hash)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", "", fault.New(fault.NotFound, "there is no such person")
	}
	return login, hash, err
}

const selectFactor = `SELECT f.secret, f.confirmed_at IS NOT NULL, (SELECT count(*) FROM recovery_code c WHERE c.staff_id = f.staff_id AND c.used_at IS NULL)
FROM second_factor f WHERE f.staff_id = $1`

// Factor returns the sealed secret of a person's second factor and how it stands; both are empty when there is none. One
// that is not confirmed has a secret and is not on.
func (a *App) Factor(ctx context.Context, actor account.Actor) (sealed []byte, state account.SecondFactor, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		err := tx.QueryRow(ctx, selectFactor, int64(actor.Staff)).Scan(&sealed, &state.On, &state.Codes)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return sealed, state, err
}

const offerFactor = `
INSERT INTO second_factor (org_id, staff_id, secret, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (org_id, staff_id) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at WHERE second_factor.confirmed_at IS NULL`

// OfferFactor keeps a secret that is still to be confirmed, in place of one offered before. One that is on is
// fault.Conflict.
func (a *App) OfferFactor(ctx context.Context, actor account.Actor, sealed []byte) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		done, err := tx.Exec(ctx, offerFactor, int32(actor.Org), int64(actor.Staff), sealed, now)
		if err == nil && done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "your second factor is on already; turn it off first")
		}
		return err
	})
}

// ConfirmFactor turns the offered second factor on: with the step of the code that proved it, so that this code opens
// nothing again, and the hashes of its recovery codes. The sealed secret must be the one that was proved.
func (a *App) ConfirmFactor(ctx context.Context, actor account.Actor, sealed []byte, step int64, codes [][]byte) (ended []vital.UID, err error) {
	const confirm = `UPDATE second_factor SET confirmed_at = $2, last_step = $3 WHERE staff_id = $1 AND confirmed_at IS NULL AND secret = $4`
	const insert = `INSERT INTO recovery_code (org_id, staff_id, code_hash) SELECT $1, $2, unnest($3::bytea[])`
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		done, err := tx.Exec(ctx, confirm, int64(actor.Staff), now, step, sealed)
		if err == nil && done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "this second factor was confirmed or replaced meanwhile; look at the page again")
		}
		if err != nil {
			return fmt.Errorf("confirm second factor: %w", err)
		}
		if _, err := tx.Exec(ctx, insert, int32(actor.Org), int64(actor.Staff), codes); err != nil {
			return fmt.Errorf("keep recovery codes: %w", err)
		}
		if ended, err = endOtherSessions(ctx, tx, actor, now); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: "turn second factor on", Object: "staff " + string(actor.UID), Detail: fmt.Sprintf("%d other sessions ended", len(ended)),
		})
	})
	return ended, err
}

// UseStep takes the code of a time step: false when this step or a later one was taken before.
func (a *App) UseStep(ctx context.Context, actor account.Actor, step int64) (taken bool, err error) {
	const use = `UPDATE second_factor SET last_step = $2 WHERE staff_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2`
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		done, err := tx.Exec(ctx, use, int64(actor.Staff), step)
		taken = done.RowsAffected() == 1
		return err
	})
	return taken, err
}

// UseRecovery takes a recovery code, once: false when it is none, or was taken before.
func (a *App) UseRecovery(ctx context.Context, actor account.Actor, code []byte) (taken bool, err error) {
	const use = `UPDATE recovery_code SET used_at = $3 WHERE staff_id = $1 AND code_hash = $2 AND used_at IS NULL`
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		done, err := tx.Exec(ctx, use, int64(actor.Staff), code, now)
		if taken = done.RowsAffected() == 1; err != nil || !taken {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "use recovery code", Object: "staff " + string(actor.UID)})
	})
	return taken && err == nil, err
}

// RemoveFactor turns the second factor off, with its recovery codes.
func (a *App) RemoveFactor(ctx context.Context, actor account.Actor) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		done, err := tx.Exec(ctx, `DELETE FROM second_factor WHERE staff_id = $1`, int64(actor.Staff))
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "turn second factor off", Object: "staff " + string(actor.UID)})
	})
}
