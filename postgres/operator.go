package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Operator is what only somebody at the console may do: make organisations and staff. It connects for each act.
type Operator struct{ AdminURL string }

const findOrg = `SELECT id, uid::text FROM org WHERE name = $1`
const insertOrg = `INSERT INTO org (uid, name, created_at) VALUES ($1, $2, $3) RETURNING id`
const upsertStaff = `
INSERT INTO staff (org_id, uid, login, name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (login) DO UPDATE SET password_hash = excluded.password_hash, name = excluded.name, role = excluded.role, disabled_at = NULL
WHERE staff.org_id = excluded.org_id
RETURNING id`
const endSessions = `UPDATE session SET ended_at = $3 WHERE org_id = $1 AND staff_id = $2 AND ended_at IS NULL`

// Staff is a person to be made or given a new password.
type Staff struct {
	Organisation string
	Login        string
	Name         string
	Role         account.Role
	PasswordHash string
	Founding     Founding
}

// Founding says what is to become of an organisation that is missing, or is not.
type Founding int

// MakeMissing makes an organisation that is missing; KnownOnly refuses it (fault.NotFound, naming those there are), so that a
// misspelt name makes none; NewOnly refuses one that is there (fault.Conflict).
const (
	MakeMissing Founding = iota
	KnownOnly
	NewOnly
)

// SetStaff makes the person where they are missing, and the organisation as s.Founding says, and sets the password; sessions
// that were opened with the old one end, and somebody who was kept out may come in again. A login that another organisation
// has is fault.Conflict.
func (o Operator) SetStaff(ctx context.Context, s Staff) (account.Actor, error) {
	who := account.Actor{Name: s.Name, Role: s.Role}
	if err := account.CheckLogin(s.Login); err != nil {
		return who, err
	}
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		var err error
		if who.Org, err = organisation(ctx, tx, s, now); err != nil {
			return err
		}
		_, err = leavingAlone(ctx, tx, who.Org, now, func() error { // by a role that answers no alerts
			err := tx.QueryRow(ctx, upsertStaff, int32(who.Org), string(newUID()), s.Login, s.Name, string(s.Role), s.PasswordHash, now).Scan(&who.Staff)
			if err != nil {
				return err
			}
			return joinUsualTeam(ctx, tx, who.Org, who.Staff, now)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.Conflict, "the login %q belongs to another organisation, or another login reads like it: choose another", s.Login)
		}
		if err != nil {
			return fmt.Errorf("set staff: %w", err)
		}
		if _, err := tx.Exec(ctx, endSessions, int32(who.Org), int64(who.Staff), now); err != nil {
			return fmt.Errorf("end old sessions: %w", err)
		}
		if _, err := tx.Exec(ctx, forgetFailures, loginHash(s.Login)); err != nil {
			return fmt.Errorf("forget the mistakes with the old password: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: who.Org, At: now, Actor: account.Actor{Name: "operator"}, Action: "set staff", Object: "staff " + s.Login, Detail: string(s.Role)})
	})
	return who, err
}

// organisation finds the organisation of somebody to be set, or makes it.
func organisation(ctx context.Context, tx pgx.Tx, s Staff, now time.Time) (org vital.OrgID, err error) {
	s.Organisation = strings.TrimSpace(s.Organisation)
	org, _, err = namedOrg(ctx, tx, s.Organisation)
	switch missing := fault.KindOf(err) == fault.NotFound; {
	case err == nil && s.Founding == NewOnly:
		return 0, fault.New(fault.Conflict, "there is an organisation %q already", s.Organisation)
	case !missing || s.Founding == KnownOnly:
		return org, err
	}
	if org, err = newOrg(ctx, tx, s.Organisation, now); err != nil {
		return 0, fmt.Errorf("make the organisation: %w", err)
	}
	return org, writeAudit(ctx, tx, account.Audit{Org: org, At: now, Actor: account.Actor{Name: "operator"}, Action: "create organisation"})
}

// namedOrg finds an organisation by its name; an unknown one is fault.NotFound, which names those there are.
func namedOrg(ctx context.Context, tx pgx.Tx, name string) (org vital.OrgID, uid vital.UID, err error) {
	err = tx.QueryRow(ctx, findOrg, name).Scan(&org, &uid)
	if err == nil {
		return org, uid, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return 0, "", fmt.Errorf("find the organisation: %w", err)
	}
	var known []string
	if err := tx.QueryRow(ctx, `SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM org`).Scan(&known); err != nil {
		return 0, "", fmt.Errorf("list organisations: %w", err)
	}
	return 0, "", fault.New(fault.NotFound, "there is no organisation %q; there are: %s. `hale organisation create` makes one", name, strings.Join(known, ", "))
}

// likeOrg names an organisation whose name looks as another does: it differs in capital letters, spaces, or how its signs are coded.
const likeOrg = `
SELECT name FROM org WHERE lower(normalize(regexp_replace(btrim(name), '\s+', ' ', 'g'), NFKC)) = lower(normalize(regexp_replace($1, '\s+', ' ', 'g'), NFKC)) ORDER BY name LIMIT 1`

// newOrg makes an organisation, with what every one begins with. Its name is one that can be seen, and told from those there are.
func newOrg(ctx context.Context, tx pgx.Tx, name string, now time.Time) (vital.OrgID, error) {
	var org vital.OrgID
	name = strings.TrimSpace(name)
	if name == "" || !account.Printable(name, account.LongestName) {
		return 0, fault.New(fault.Invalid, "organisation: give a name of 1 to %d printable characters", account.LongestName)
	}
	var like string
	switch err := tx.QueryRow(ctx, likeOrg, name).Scan(&like); {
	case err == nil:
		return 0, fault.New(fault.Conflict, "there is an organisation %q already, and nobody could tell the two names apart: choose another", like)
	case !errors.Is(err, pgx.ErrNoRows):
		return 0, err
	}
	if err := tx.QueryRow(ctx, insertOrg, string(newUID()), name, now).Scan(&org); err != nil {
		return 0, err
	}
	return org, beginTeams(ctx, tx, org, now)
}

func (o Operator) do(ctx context.Context, f func(tx pgx.Tx, now time.Time) error) error {
	return o.doAs(ctx, pgx.TxOptions{}, f)
}

func (o Operator) doAs(ctx context.Context, options pgx.TxOptions, f func(tx pgx.Tx, now time.Time) error) error {
	conn, err := pgx.Connect(ctx, o.AdminURL)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "connect to the database")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := checkVersion(ctx, conn); err != nil {
		return err
	}
	return classify(pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		return f(tx, now.UTC())
	}))
}
