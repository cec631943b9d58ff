package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
)

// Login returns who signs in with this name, and the hash of their password. See account.Credentials.
func (a *App) Login(ctx context.Context, login string) (account.Actor, string, error) {
	var who account.Actor
	var hash string
	const find = `SELECT org_id, id, uid::text, name, role, password_hash FROM find_login($1)`
	err := a.pool.QueryRow(ctx, find, login).Scan(&who.Org, &who.Staff, &who.UID, &who.Name, &who.Role, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return account.Actor{}, "", fault.New(fault.NotFound, "nobody signs in as %q", login)
	}
	if err != nil {
		return account.Actor{}, "", classify(fmt.Errorf("find login: %w", err))
	}
	return who, hash, nil
}

const insertSession = `
INSERT INTO session (org_id, uid, staff_id, token_hash, csrf, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)`

// OpenSession stores a session under the hash of its token, with the audit row of signing in.
func (a *App) OpenSession(ctx context.Context, tokenHash []byte, s account.Session) error {
	return a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, now time.Time) error {
		if s.UID == "" {
			s.UID = newUID()
		}
		if _, err := tx.Exec(ctx, insertSession, int32(s.Actor.Org), string(s.UID), int64(s.Actor.Staff), tokenHash, s.CSRF, s.CreatedAt, s.ExpiresAt); err != nil {
			return fmt.Errorf("open session: %w", err)
		}
		s.Actor.Session = s.UID
		return writeAudit(ctx, tx, account.Audit{Org: s.Actor.Org, At: now, Actor: s.Actor, Action: "sign in"})
	})
}

// seenEvery is how much older than now the last look at a session may be before it is written down again.
const seenEvery = time.Minute

// Session returns the session of a token that has neither ended nor run out. See account.Credentials.
func (a *App) Session(ctx context.Context, tokenHash []byte, now time.Time) (account.Session, error) {
	var s account.Session
	const find = `SELECT org_id, uid::text, staff_id, staff_uid::text, name, role, csrf, created_at, seen_at, expires_at FROM find_session($1, $2)`
	err := a.pool.QueryRow(ctx, find, tokenHash, now).Scan(&s.Actor.Org, &s.UID, &s.Actor.Staff, &s.Actor.UID, &s.Actor.Name, &s.Actor.Role, &s.CSRF, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return account.Session{}, fault.New(fault.Unauthenticated, "sign in first: there is no such session, or it has ended")
	}
	if err != nil {
		return account.Session{}, classify(fmt.Errorf("find session: %w", err))
	}
	s.Actor.Session = s.UID
	s.CreatedAt, s.SeenAt, s.ExpiresAt = s.CreatedAt.UTC(), s.SeenAt.UTC(), s.ExpiresAt.UTC()
	if now.Sub(s.SeenAt) > seenEvery {
		err = a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, _ time.Time) error {
			_, err := tx.Exec(ctx, `UPDATE session SET seen_at = $2 WHERE token_hash = $1`, tokenHash, now)
			return err
		})
	}
	return s, err
}

// EndSession ends the session of a token; one that is unknown or has ended already is no error.
func (a *App) EndSession(ctx context.Context, tokenHash []byte, now time.Time) error {
	s, err := a.Session(ctx, tokenHash, now)
	if fault.Is(err, fault.Unauthenticated) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, at time.Time) error {
		if _, err := tx.Exec(ctx, `UPDATE session SET ended_at = $2 WHERE token_hash = $1 AND ended_at IS NULL`, tokenHash, now); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: s.Actor.Org, At: at, Actor: s.Actor, Action: "sign out"})
	})
}
