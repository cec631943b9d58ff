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

const insertKey = `INSERT INTO api_key (org_id, uid, name, scopes, token_hash, staff_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// addKey keeps the hash of an API key's token, with the audit row.
func addKey(ctx context.Context, tx pgx.Tx, actor account.Actor, k account.Key, tokenHash []byte, now time.Time) (account.Key, error) {
	k.UID, k.CreatedAt, k.MadeBy = newUID(), now, actor.Name
	_, err := tx.Exec(ctx, insertKey, int32(actor.Org), string(k.UID), k.Name, string(k.Scopes), tokenHash, nullID(actor.Staff), now, k.ExpiresAt)
	if violated(err, "api_key_name") {
		return k, fault.New(fault.Conflict, "there is a key of this name already: choose another name, or revoke that one first")
	}
	if err != nil {
		return k, fmt.Errorf("add API key: %w", err)
	}
	return k, writeAudit(ctx, tx, account.Audit{
		Org: actor.Org, At: now, Actor: actor, Action: "make API key", Object: "key " + string(k.UID),
		Detail: fmt.Sprintf("%s; until %s", k.Scopes, k.ExpiresAt.UTC().Format(time.RFC3339)),
	})
}

const selectKeys = `
SELECT k.uid::text, k.name, k.scopes, coalesce(s.name, ''), k.created_at, k.expires_at, k.used_at, k.revoked_at
FROM api_key k LEFT JOIN staff s ON s.org_id = k.org_id AND s.id = k.staff_id
WHERE k.org_id = $1 ORDER BY k.revoked_at IS NOT NULL, k.name, k.created_at DESC`

func keys(ctx context.Context, tx pgx.Tx, org vital.OrgID) ([]account.Key, error) {
	rows, err := tx.Query(ctx, selectKeys, int32(org))
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Key, error) {
		var k account.Key
		var used, revoked *time.Time
		err := row.Scan(&k.UID, &k.Name, &k.Scopes, &k.MadeBy, &k.CreatedAt, &k.ExpiresAt, &used, &revoked)
		k.CreatedAt, k.ExpiresAt, k.UsedAt, k.RevokedAt = k.CreatedAt.UTC(), k.ExpiresAt.UTC(), timeOf(used), timeOf(revoked)
		return k, err
	})
}

func revokeKey(ctx context.Context, tx pgx.Tx, actor account.Actor, uid vital.UID, now time.Time) error {
	u, err := parseUID(uid, "API key")
	if err != nil {
		return err
	}
	done, err := tx.Exec(ctx, `UPDATE api_key SET revoked_at = $3 WHERE org_id = $1 AND uid = $2 AND revoked_at IS NULL`, int32(actor.Org), u, now)
	if err != nil {
		return fmt.Errorf("revoke API key: %w", err)
	}
	if done.RowsAffected() == 0 {
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM api_key WHERE org_id = $1 AND uid = $2)`, int32(actor.Org), u).Scan(&known); err != nil {
			return fmt.Errorf("find API key: %w", err)
		}
		if !known {
			return fault.New(fault.NotFound, "there is no API key %s", uid)
		}
		return nil // revoked already
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "revoke API key", Object: "key " + string(uid)})
}

// AddKey keeps a new API key under the hash of its token; a name that an open key has is fault.Conflict.
func (a *App) AddKey(ctx context.Context, actor account.Actor, k account.Key, tokenHash []byte) (account.Key, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		k, err = addKey(ctx, tx, actor, k, tokenHash, now)
		return err
	})
	return k, err
}

// Keys lists the organisation's API keys, the open ones first.
func (a *App) Keys(ctx context.Context, actor account.Actor) (list []account.Key, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		list, err = keys(ctx, tx, actor.Org)
		return err
	})
	return list, err
}

// RevokeKey ends an API key; fault.NotFound when there is none that could be.
func (a *App) RevokeKey(ctx context.Context, actor account.Actor, uid vital.UID) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error { return revokeKey(ctx, tx, actor, uid, now) })
}

const findKey = `SELECT org_id, id, uid::text, name, scopes, created_at, used_at, expires_at FROM find_key($1, $2)`

// KeySession returns who an API key acts as, while it is good: a session without an end of its own; fault.Unauthenticated
// otherwise. Its use is noted, to the minute.
func (a *App) KeySession(ctx context.Context, tokenHash []byte, now time.Time) (account.Session, error) {
	s := account.Session{Actor: account.Actor{Role: account.SystemRole}}
	var used *time.Time
	err := a.pool.QueryRow(ctx, findKey, tokenHash, now).Scan(&s.Actor.Org, &s.Actor.Key, &s.UID, &s.Actor.Name, &s.Actor.Scopes, &s.CreatedAt, &used, &s.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return account.Session{}, fault.New(fault.Unauthenticated, "there is no such API key, or it was revoked or has run out")
	}
	if err != nil {
		return account.Session{}, classify(fmt.Errorf("find API key: %w", err))
	}
	s.Actor.UID, s.Actor.Session, s.SeenAt = s.UID, s.UID, timeOf(used)
	s.CreatedAt, s.ExpiresAt = s.CreatedAt.UTC(), s.ExpiresAt.UTC()
	if now.Sub(s.SeenAt) > seenEvery {
		err = a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, _ time.Time) error {
			_, err := tx.Exec(ctx, `UPDATE api_key SET used_at = $2 WHERE id = $1`, int64(s.Actor.Key), now)
			return err
		})
	}
	return s, err
}

// inNamed runs f for the operator in an organisation.
func (o Operator) inNamed(ctx context.Context, organisation string, f func(tx pgx.Tx, operator account.Actor, now time.Time) error) error {
	return o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		org, _, err := namedOrg(ctx, tx, organisation)
		if err != nil {
			return err
		}
		return f(tx, account.Actor{Org: org, Name: "operator"}, now)
	})
}

// AddKey keeps a new API key of an organisation under the hash of its token.
func (o Operator) AddKey(ctx context.Context, organisation string, k account.Key, tokenHash []byte) (account.Key, error) {
	err := o.inNamed(ctx, organisation, func(tx pgx.Tx, operator account.Actor, now time.Time) (err error) {
		k, err = addKey(ctx, tx, operator, k, tokenHash, now)
		return err
	})
	return k, err
}

// Keys lists the API keys of an organisation, the open ones first.
func (o Operator) Keys(ctx context.Context, organisation string) (list []account.Key, err error) {
	err = o.inNamed(ctx, organisation, func(tx pgx.Tx, operator account.Actor, now time.Time) error {
		if list, err = keys(ctx, tx, operator.Org); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: operator.Org, At: now, Actor: operator, Action: "list API keys"})
	})
	return list, err
}

// RevokeKey ends an API key of an organisation; fault.NotFound when there is none that could be.
func (o Operator) RevokeKey(ctx context.Context, organisation string, uid vital.UID) error {
	return o.inNamed(ctx, organisation, func(tx pgx.Tx, operator account.Actor, now time.Time) error {
		return revokeKey(ctx, tx, operator, uid, now)
	})
}
