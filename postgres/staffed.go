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

// OpenSession is a session of a member of staff as the operator sees it.
type OpenSession struct {
	UID                      vital.UID
	OpenedAt, SeenAt, EndsAt time.Time
}

// member finds whom a login belongs to, also when they may not sign in any more.
func member(ctx context.Context, tx pgx.Tx, login string) (who account.Actor, err error) {
	err = tx.QueryRow(ctx, `SELECT org_id, id, uid::text FROM staff WHERE login = $1`, login).Scan(&who.Org, &who.Staff, &who.UID)
	if errors.Is(err, pgx.ErrNoRows) {
		return who, fault.New(fault.NotFound, "nobody signs in as %q", login)
	}
	return who, err
}

// act does something to a member of staff, with its audit row.
func (o Operator) act(ctx context.Context, login, action string, f func(tx pgx.Tx, who account.Actor, now time.Time) (detail string, err error)) error {
	return o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		who, err := member(ctx, tx, login)
		if err != nil {
			return err
		}
		detail, err := f(tx, who, now)
		if err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: who.Org, At: now, Actor: account.Actor{Name: "operator"}, Action: action, Object: "staff " + string(who.UID), Detail: detail})
	})
}

// Sessions lists the sessions of a login that have neither ended nor run out, the newest first.
func (o Operator) Sessions(ctx context.Context, login string) (list []OpenSession, err error) {
	const open = `SELECT uid::text, created_at, seen_at, expires_at FROM session
		WHERE org_id = $1 AND staff_id = $2 AND ended_at IS NULL AND expires_at > $3 ORDER BY created_at DESC, uid`
	err = o.act(ctx, login, "list sessions", func(tx pgx.Tx, who account.Actor, now time.Time) (string, error) {
		rows, err := tx.Query(ctx, open, int32(who.Org), int64(who.Staff), now)
		if err != nil {
			return "", err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OpenSession])
		return "", err
	})
	return list, err
}

// EndSessions ends the open sessions of a login, or only the one of this UID, and returns how many. A UID that is not
// among them is fault.NotFound.
func (o Operator) EndSessions(ctx context.Context, login string, only vital.UID) (ended int, err error) {
	const end = `UPDATE session SET ended_at = $3 WHERE org_id = $1 AND staff_id = $2 AND ended_at IS NULL AND expires_at > $3 AND ($4 = '' OR uid::text = $4)`
	err = o.act(ctx, login, "end sessions", func(tx pgx.Tx, who account.Actor, now time.Time) (string, error) {
		done, err := tx.Exec(ctx, end, int32(who.Org), int64(who.Staff), now, string(only))
		if ended = int(done.RowsAffected()); err == nil && ended == 0 && only != "" {
			return "", fault.New(fault.NotFound, "%q has no open session %s", login, only)
		}
		return fmt.Sprintf("%d ended", ended), err
	})
	return ended, err
}

// ResetSecondFactor takes the second factor and its recovery codes away and ends the login's sessions: whoever lost the
// phone signs in with the password and enrols anew. It reports whether there was one.
func (o Operator) ResetSecondFactor(ctx context.Context, login string) (was bool, err error) {
	err = o.act(ctx, login, "reset second factor", func(tx pgx.Tx, who account.Actor, now time.Time) (string, error) {
		done, err := tx.Exec(ctx, `DELETE FROM second_factor WHERE org_id = $1 AND staff_id = $2`, int32(who.Org), int64(who.Staff))
		if err != nil {
			return "", err
		}
		if was = done.RowsAffected() > 0; !was {
			return "there was none", nil
		}
		_, err = tx.Exec(ctx, endSessions, int32(who.Org), int64(who.Staff), now)
		return "", err
	})
	return was, err
}

// Disable keeps a member of staff out for good and ends their sessions; what they did stays under their name. It reports
// whether they could come in before, and which care teams have patients and nobody for them now.
func (o Operator) Disable(ctx context.Context, login string) (was bool, alone []string, err error) {
	err = o.act(ctx, login, "disable staff", func(tx pgx.Tx, who account.Actor, now time.Time) (string, error) {
		var err error
		alone, err = leavingAlone(ctx, tx, who.Org, now, func() error {
			done, err := tx.Exec(ctx, `UPDATE staff SET disabled_at = $3 WHERE org_id = $1 AND id = $2 AND disabled_at IS NULL`, int32(who.Org), int64(who.Staff), now)
			if was = done.RowsAffected() > 0; err != nil || !was {
				return err
			}
			return outForGood(ctx, tx, int32(who.Org), int64(who.Staff), now)
		})
		if err == nil && !was {
			return "they were out already", nil
		}
		return "", err
	})
	return was, alone, err
}

// outForGood ends what would let somebody in again who is kept out: sessions, care teams, and a code for choosing a password.
func outForGood(ctx context.Context, tx pgx.Tx, org int32, staff int64, now time.Time) error {
	for _, statement := range []string{
		`UPDATE session SET ended_at = $3 WHERE org_id = $1 AND staff_id = $2 AND ended_at IS NULL`,
		`UPDATE team_member SET to_at = greatest($3, from_at) WHERE org_id = $1 AND staff_id = $2 AND (to_at IS NULL OR to_at > $3)`,
		`UPDATE staff_invitation SET used_at = $3 WHERE org_id = $1 AND staff_id = $2 AND used_at IS NULL`,
	} {
		if _, err := tx.Exec(ctx, statement, org, staff, now); err != nil {
			return fmt.Errorf("end what lets them in: %w", err)
		}
	}
	return nil
}

// Organisation is one as the operator sees it.
type Organisation struct {
	Name            string
	CreatedAt       time.Time
	Staff, Patients int // without staff who are kept out
}

// Organisations lists them by name; the trail of each tells that it was listed.
func (o Operator) Organisations(ctx context.Context) (list []Organisation, err error) {
	const all = `
SELECT o.id, o.name, o.created_at, (SELECT count(*) FROM staff s WHERE s.org_id = o.id AND s.disabled_at IS NULL), (SELECT count(*) FROM patient p WHERE p.org_id = o.id AND p.state <> 'merged')
FROM org o ORDER BY o.name`
	err = o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, all)
		if err != nil {
			return fmt.Errorf("list organisations: %w", err)
		}
		var ids []vital.OrgID
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (one Organisation, err error) {
			var id vital.OrgID
			err = row.Scan(&id, &one.Name, &one.CreatedAt, &one.Staff, &one.Patients)
			ids = append(ids, id)
			return one, err
		})
		if err != nil {
			return fmt.Errorf("list organisations: %w", err)
		}
		for _, id := range ids {
			if err := writeAudit(ctx, tx, account.Audit{Org: id, At: now, Actor: account.Actor{Name: OperatorName}, Action: "list organisations"}); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Unlock ends the lock that wrong passwords or codes have put on a login and forgets them. It reports whether there were
// any.
func (o Operator) Unlock(ctx context.Context, login string) (was bool, err error) {
	err = o.act(ctx, login, "unlock login", func(tx pgx.Tx, _ account.Actor, _ time.Time) (string, error) {
		done, err := tx.Exec(ctx, forgetFailures, loginHash(login))
		was = done.RowsAffected() > 0
		return "", err
	})
	return was, err
}

const forgetFailures = `DELETE FROM sign_in_failure WHERE login_hash = $1`
