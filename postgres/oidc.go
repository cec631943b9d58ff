package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// BeginFlow remembers a browser that is sent to the identity provider. See oidc.Record, as for all in this file.
func (a *App) BeginFlow(ctx context.Context, hash []byte, next string, now, until time.Time) error {
	_, err := a.pool.Exec(ctx, `SELECT begin_sign_in_flow($1, $2, $3, $4)`, hash, next, now, until)
	return classify(err)
}

// TakeFlow returns where a browser that comes back is to go, once; fault.NotFound when it was never sent, or too long ago.
func (a *App) TakeFlow(ctx context.Context, hash []byte, now time.Time) (string, error) {
	var next *string
	if err := a.pool.QueryRow(ctx, `SELECT take_sign_in_flow($1, $2)`, hash, now).Scan(&next); err != nil {
		return "", classify(fmt.Errorf("take a sign-in flow: %w", err))
	}
	if next == nil {
		return "", fault.New(fault.NotFound, "there is no such sign-in flow")
	}
	return *next, nil
}

// outside is why the record does not admit somebody, for the log; it names nobody.
func outside(why, words string) error {
	return &fault.Error{Kind: fault.Forbidden, Message: words + ": ask the administrator of your care programme", Err: errors.New(why)}
}

// Admit makes the member of staff whom an identity provider vouches for, or brings name, role and care teams up to date, and
// opens their session; what the same identity has open in other organisations ends. fault.Forbidden: they are disabled, or
// organisation or a care team is not there. fault.Unauthenticated: the provider has signed them out meanwhile.
func (a *App) Admit(ctx context.Context, by account.Admission, tokenHash []byte, s account.Session) (account.Session, []vital.UID, error) {
	var org *int32
	if err := a.pool.QueryRow(ctx, `SELECT find_org($1)`, by.Organisation).Scan(&org); err != nil {
		return account.Session{}, nil, classify(fmt.Errorf("find the organisation: %w", err))
	}
	if org == nil {
		return account.Session{}, nil, outside("the mapping names an organisation that is not there", "your organisation is not known here")
	}
	err := a.inOrg(ctx, vital.OrgID(*org), func(tx pgx.Tx, now time.Time) error {
		var who account.Actor
		_, err := leavingAlone(ctx, tx, vital.OrgID(*org), now, func() (err error) {
			if who, err = person(ctx, tx, vital.OrgID(*org), by, now); err != nil {
				return err
			}
			return followTeams(ctx, tx, who, by, now)
		})
		if err != nil {
			return err
		}
		s.Actor, s.Actor.Session = who, s.UID
		if err := openSession(ctx, tx, tokenHash, nil, s, account.Audit{At: now, Detail: "by the identity provider"}); err != nil {
			return err
		}
		const link = `INSERT INTO provider_session (org_id, session_uid, issuer, subject, sitting, hint) VALUES ($1, $2, $3, $4, $5, $6)`
		if _, err := tx.Exec(ctx, link, *org, string(s.UID), by.Identity.Issuer, by.Identity.Subject, by.Sitting, by.Hint); err != nil {
			return fmt.Errorf("link the session to the provider's: %w", err)
		}
		return stillIn(ctx, tx, by)
	})
	if err != nil {
		return account.Session{}, nil, err
	}
	ended, err := a.endElsewhere(ctx, by.Identity, vital.OrgID(*org), "the identity provider gives them to another organisation")
	return s, ended, err
}

// person returns the member of staff of an identity, made or brought up to date. Sign-ins of one identity take turns.
func person(ctx context.Context, tx pgx.Tx, org vital.OrgID, by account.Admission, now time.Time) (account.Actor, error) {
	id := by.Identity
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, id.Issuer+" "+id.Subject); err != nil {
		return account.Actor{}, fmt.Errorf("wait for the identity's turn: %w", err)
	}
	const find = `
SELECT s.id, s.uid::text, s.name, s.role, s.disabled_at IS NOT NULL
FROM staff_identity i JOIN staff s ON s.org_id = i.org_id AND s.id = i.staff_id WHERE i.issuer = $1 AND i.subject = $2`
	who, disabled := account.Actor{Org: org}, false
	err := tx.QueryRow(ctx, find, id.Issuer, id.Subject).Scan(&who.Staff, &who.UID, &who.Name, &who.Role, &disabled)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return newPerson(ctx, tx, org, by, now)
	case err != nil:
		return who, fmt.Errorf("find the identity: %w", err)
	case disabled:
		return who, outside("the person is disabled", "your account here is closed")
	case who.Name == by.Name && who.Role == by.Role:
		return who, nil
	}
	var changes []string
	if who.Name != by.Name {
		changes = append(changes, "name")
	}
	if who.Role != by.Role {
		changes = append(changes, fmt.Sprintf("role %s to %s", who.Role, by.Role))
	}
	who.Name, who.Role = by.Name, by.Role
	if _, err := tx.Exec(ctx, `UPDATE staff SET name = $2, role = $3 WHERE id = $1`, int64(who.Staff), who.Name, string(who.Role)); err != nil {
		return who, fmt.Errorf("bring the person up to date: %w", err)
	}
	return who, writeAudit(ctx, tx, byProvider(who, "change staff", strings.Join(changes, ", "), now))
}

func newPerson(ctx context.Context, tx pgx.Tx, org vital.OrgID, by account.Admission, now time.Time) (account.Actor, error) {
	who := account.Actor{Org: org, UID: newUID(), Name: by.Name, Role: by.Role}
	const insert = `INSERT INTO staff (org_id, uid, login, name, role, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`
	// The login only names the row to an operator: there is no password to it.
	err := tx.QueryRow(ctx, insert, int32(org), string(who.UID), "oidc:"+string(who.UID), who.Name, string(who.Role), now).Scan(&who.Staff)
	if err != nil {
		return who, fmt.Errorf("make the person: %w", err)
	}
	const link = `INSERT INTO staff_identity (org_id, staff_id, issuer, subject, created_at) VALUES ($1, $2, $3, $4, $5)`
	if _, err := tx.Exec(ctx, link, int32(org), int64(who.Staff), by.Identity.Issuer, by.Identity.Subject, now); err != nil {
		return who, fmt.Errorf("link the identity: %w", err)
	}
	if len(by.Decided) == 0 {
		if err := joinUsualTeam(ctx, tx, org, who.Staff, now); err != nil {
			return who, err
		}
	}
	return who, writeAudit(ctx, tx, byProvider(who, "add staff", string(who.Role), now))
}

// byProvider is the audit row of what the provider's word changes: an act of Hale itself.
func byProvider(who account.Actor, action, detail string, now time.Time) account.Audit {
	return account.Audit{Org: who.Org, At: now, Action: action, Object: "staff " + string(who.UID), Detail: "by the identity provider: " + detail}
}

const leaveTeams = `
UPDATE team_member m SET to_at = greatest(m.from_at, $2) FROM team t
WHERE t.org_id = m.org_id AND t.id = m.team_id AND m.staff_id = $1 AND (m.to_at IS NULL OR m.to_at > $2)
    AND t.name = ANY($3) AND t.name <> ALL($4) RETURNING t.uid::text`

const joinNamedTeams = `
INSERT INTO team_member (org_id, team_id, staff_id, from_at)
SELECT t.org_id, t.id, $1, $2 FROM team t WHERE t.name = ANY($3) AND t.ended_at IS NULL
    AND NOT EXISTS (SELECT FROM team_member m WHERE m.org_id = t.org_id AND m.team_id = t.id AND m.staff_id = $1
        AND m.from_at <= $2 AND (m.to_at IS NULL OR m.to_at > $2))
ON CONFLICT (org_id, team_id, staff_id) WHERE to_at IS NULL DO UPDATE SET from_at = $2 RETURNING (SELECT t.uid::text FROM team t WHERE t.id = team_member.team_id)`

// followTeams lets the person be in the care teams that the provider says, and in none of the others about which it decides.
func followTeams(ctx context.Context, tx pgx.Tx, who account.Actor, by account.Admission, now time.Time) error {
	var there int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM team WHERE name = ANY($1) AND ended_at IS NULL`, by.Teams).Scan(&there); err != nil {
		return fmt.Errorf("find the care teams: %w", err)
	}
	if there != len(by.Teams) {
		return outside("the mapping names a care team that is not there", "a care team of yours is not known here")
	}
	for _, step := range []struct {
		action, sql string
		args        []any
	}{
		{"leave care team", leaveTeams, []any{int64(who.Staff), now, orNone(by.Decided), orNone(by.Teams)}},
		{"join care team", joinNamedTeams, []any{int64(who.Staff), now, orNone(by.Teams)}},
	} {
		rows, err := tx.Query(ctx, step.sql, step.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", step.action, err)
		}
		teams, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("%s: %w", step.action, err)
		}
		for _, team := range teams {
			if err := writeAudit(ctx, tx, byProvider(who, step.action, "team "+team, now)); err != nil {
				return err
			}
		}
	}
	return nil
}

// orNone returns the list, and for none an empty one: NULL would compare with nothing.
func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// stillIn refuses a session that the provider has ended while it was being opened. Who keeps the provider's word waits for
// those who are between this look and their commit, and looks for sessions afterwards: none is missed.
func stillIn(ctx context.Context, tx pgx.Tx, by account.Admission) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(hashtextextended('sign-out ' || $1, 0))`, by.Identity.Issuer); err != nil {
		return fmt.Errorf("wait for the provider's word: %w", err)
	}
	var out bool
	err := tx.QueryRow(ctx, `SELECT provider_signed_out($1, $2, $3, $4)`, by.Identity.Issuer, by.Identity.Subject, by.Sitting, by.VouchedAt).Scan(&out)
	if err != nil {
		return fmt.Errorf("look whether the provider has signed them out: %w", err)
	}
	if out {
		return fault.New(fault.Unauthenticated, "you have been signed out meanwhile: begin again")
	}
	return nil
}

// Refuse ends the sessions of an identity that is not let in any more, wherever it is known, and says why in the audit trail.
func (a *App) Refuse(ctx context.Context, id account.Identity, reason string) (ended []vital.UID, err error) {
	return a.endElsewhere(ctx, id, 0, reason)
}

const endOfIdentity = `
UPDATE session e SET ended_at = $3 FROM staff_identity i
WHERE i.org_id = e.org_id AND i.staff_id = e.staff_id AND i.issuer = $1 AND i.subject = $2 AND e.ended_at IS NULL RETURNING e.uid::text`

// endElsewhere ends the sessions of an identity in every organisation but one. An organisation where nothing is open is told nothing.
func (a *App) endElsewhere(ctx context.Context, id account.Identity, but vital.OrgID, reason string) ([]vital.UID, error) {
	rows, err := a.pool.Query(ctx, `SELECT o FROM find_identity($1, $2) o`, id.Issuer, id.Subject)
	if err != nil {
		return nil, classify(fmt.Errorf("find the identity: %w", err))
	}
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, classify(fmt.Errorf("find the identity: %w", err))
	}
	var ended []vital.UID
	for _, org := range orgs {
		if vital.OrgID(org) == but {
			continue
		}
		err := a.inOrg(ctx, vital.OrgID(org), func(tx pgx.Tx, now time.Time) error {
			rows, err := tx.Query(ctx, endOfIdentity, id.Issuer, id.Subject, now)
			if err != nil {
				return fmt.Errorf("end sessions: %w", err)
			}
			these, err := pgx.CollectRows(rows, pgx.RowTo[vital.UID])
			ended = append(ended, these...)
			if err != nil || len(these) == 0 {
				return err
			}
			row := account.Audit{Org: vital.OrgID(org), At: now, Action: "refuse sign-in", Detail: fmt.Sprintf("%d sessions ended: %s", len(these), reason)}
			const find = `SELECT 'staff ' || s.uid FROM staff_identity i JOIN staff s ON s.org_id = i.org_id AND s.id = i.staff_id WHERE i.issuer = $1 AND i.subject = $2`
			if err := tx.QueryRow(ctx, find, id.Issuer, id.Subject).Scan(&row.Object); err != nil {
				return fmt.Errorf("name the person: %w", err)
			}
			return writeAudit(ctx, tx, row)
		})
		if err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// EndSignedOut ends the sessions that the identity provider says have ended, each with an audit row; fault.Conflict when it
// has said so before.
func (a *App) EndSignedOut(ctx context.Context, out account.SignedOut) ([]vital.UID, error) {
	var fresh bool
	const note = `SELECT note_provider_sign_out($1, $2, $3, $4, $5, $6)`
	if err := a.pool.QueryRow(ctx, note, out.Issuer, out.Token, out.Subject, out.Sitting, out.At, out.Until).Scan(&fresh); err != nil {
		return nil, classify(fmt.Errorf("keep the provider's word: %w", err))
	}
	if !fresh {
		return nil, fault.New(fault.Conflict, "the provider has said so before")
	}
	type one struct {
		Org int32
		UID vital.UID
	}
	rows, err := a.pool.Query(ctx, `SELECT org_id, uid::text FROM find_provider_sessions($1, $2, $3)`, out.Issuer, out.Subject, out.Sitting)
	if err != nil {
		return nil, classify(fmt.Errorf("find the provider's sessions: %w", err))
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[one])
	if err != nil {
		return nil, classify(fmt.Errorf("find the provider's sessions: %w", err))
	}
	var ended []vital.UID
	for _, s := range list {
		err := a.inOrg(ctx, vital.OrgID(s.Org), func(tx pgx.Tx, now time.Time) error {
			done, err := tx.Exec(ctx, `UPDATE session SET ended_at = $2 WHERE uid = $1 AND ended_at IS NULL`, string(s.UID), now)
			if err != nil || done.RowsAffected() == 0 {
				return err
			}
			return writeAudit(ctx, tx, account.Audit{
				Org: vital.OrgID(s.Org), At: now, Action: "end session", Object: "session " + string(s.UID), Detail: "by the identity provider",
			})
		})
		if err != nil {
			return ended, err
		}
		ended = append(ended, s.UID)
	}
	return slices.Clip(ended), nil
}

// SignOutHint returns what Admit has kept of the actor's session; ok is false when no provider has opened it.
func (a *App) SignOutHint(ctx context.Context, actor account.Actor) (hint []byte, ok bool, err error) {
	err = a.inOrg(ctx, actor.Org, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SELECT hint FROM provider_session WHERE session_uid = $1`, string(actor.Session)).Scan(&hint)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return hint, err == nil, err
}
