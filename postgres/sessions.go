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
INSERT INTO session (org_id, uid, staff_id, patient_id, caregiver_id, token_hash, device_hash, csrf, label, created_at, seen_at, expires_at, invited_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)`

// OpenSession stores a session of a member of staff under the hash of its token, with the audit row of signing in.
func (a *App) OpenSession(ctx context.Context, tokenHash []byte, s account.Session) error {
	return a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, now time.Time) error {
		return openSession(ctx, tx, tokenHash, nil, s, account.Audit{At: now})
	})
}

// openSession stores a session in a transaction of its organisation; row is what the audit row says besides.
func openSession(ctx context.Context, tx pgx.Tx, tokenHash, deviceHash []byte, s account.Session, row account.Audit) error {
	if s.UID == "" {
		s.UID = newUID()
	}
	_, err := tx.Exec(ctx, insertSession, int32(s.Actor.Org), string(s.UID), nullID(s.Actor.Staff), nullID(s.Actor.Self), nullID(s.Actor.Caregiver),
		tokenHash, deviceHash, s.CSRF, s.Label, s.CreatedAt, s.ExpiresAt, nullID(s.LetInBy.Staff))
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	s.Actor.Session = s.UID
	row.Org, row.Actor, row.Action = s.Actor.Org, s.Actor, "sign in"
	return writeAudit(ctx, tx, row)
}

// seenEvery is how much older than now the last look at a session may be before it is written down again.
const seenEvery = time.Minute

const findSession = `
SELECT org_id, uid::text, coalesce(staff_id, 0), coalesce(patient_id, 0), coalesce(caregiver_id, 0), person_uid::text, name, role, csrf, label,
    created_at, seen_at, expires_at, bound FROM find_session($1, $2, $3, $4, $5)`

// Session returns the session of a token that has neither ended nor run out nor been idle for too long: that is decided by the
// look itself, before a sign of life is written down. See account.Credentials.
func (a *App) Session(ctx context.Context, tokenHash, deviceHash []byte, now time.Time) (account.Session, error) {
	var s account.Session
	var bound bool
	who := &s.Actor
	err := a.pool.QueryRow(ctx, findSession, tokenHash, deviceHash, now, account.IdleAfter, account.BoundIdleAfter).Scan(&who.Org, &s.UID, &who.Staff, &who.Self, &who.Caregiver, &who.UID, &who.Name, &who.Role,
		&s.CSRF, &s.Label, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt, &bound)
	if errors.Is(err, pgx.ErrNoRows) {
		return account.Session{}, errNoSession()
	}
	if err != nil {
		return account.Session{}, classify(fmt.Errorf("find session: %w", err))
	}
	if !bound {
		if err := a.misused(ctx, s, tokenHash); err != nil {
			return account.Session{}, err
		}
		return account.Session{}, errNoSession()
	}
	s.Actor.Session = s.UID
	s.CreatedAt, s.SeenAt, s.ExpiresAt = s.CreatedAt.UTC(), s.SeenAt.UTC(), s.ExpiresAt.UTC()
	if now.Sub(s.SeenAt) > seenEvery {
		err = a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, _ time.Time) error {
			_, err := tx.Exec(ctx, `UPDATE session SET seen_at = $2 WHERE token_hash = $1 AND seen_at < $2 AND ended_at IS NULL`, tokenHash, now)
			return err
		})
	}
	return s, err
}

func errNoSession() error {
	return fault.New(fault.Unauthenticated, "sign in first: there is no such session, or it has ended")
}

// misused writes down, once, that a session's token was shown without its device. Nobody has shown to be the person, so it is
// Hale's own act. The session goes on for the device it is bound to (docs/adr/0018).
func (a *App) misused(ctx context.Context, s account.Session, tokenHash []byte) error {
	const note = `UPDATE session SET misused_at = $2 WHERE token_hash = $1 AND misused_at IS NULL`
	return a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, now time.Time) error {
		done, err := tx.Exec(ctx, note, tokenHash, now)
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: s.Actor.Org, At: now, Action: "refuse session of another device", Patient: s.Actor.Self, Object: "session " + string(s.UID)})
	})
}

// EndSession ends the session of a token; one that is unknown or has ended already is no error. See account.Credentials.
func (a *App) EndSession(ctx context.Context, tokenHash, deviceHash []byte, now time.Time) (vital.UID, error) {
	s, err := a.Session(ctx, tokenHash, deviceHash, now)
	if fault.Is(err, fault.Unauthenticated) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return s.UID, a.inOrg(ctx, s.Actor.Org, func(tx pgx.Tx, at time.Time) error {
		done, err := tx.Exec(ctx, `UPDATE session SET ended_at = $2 WHERE token_hash = $1 AND ended_at IS NULL`, tokenHash, now)
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		if done.RowsAffected() == 0 {
			return nil // somebody else has, and it stands in the trail
		}
		return writeAudit(ctx, tx, account.Audit{Org: s.Actor.Org, At: at, Actor: s.Actor, Action: "sign out", Patient: s.Actor.Self})
	})
}

// EndedSessions returns those of the named sessions and API keys that are over.
func (a *App) EndedSessions(ctx context.Context, uids []vital.UID) ([]vital.UID, error) {
	rows, err := a.pool.Query(ctx, `SELECT e::text FROM ended_sessions($1::uuid[], clock_timestamp(), $2, $3) e`, texts(uids), account.IdleAfter, account.BoundIdleAfter)
	if err != nil {
		return nil, classify(fmt.Errorf("look for ended sessions: %w", err))
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[vital.UID])
	return list, classify(err)
}

func texts(uids []vital.UID) []string {
	list := make([]string, len(uids))
	for i, uid := range uids {
		list[i] = string(uid)
	}
	return list
}

const listSessions = `
SELECT e.org_id, e.uid::text, coalesce(s.name, p.name, c.name), e.label, e.created_at, e.seen_at, e.expires_at, e.misused_at,
    coalesce(i.uid::text, ''), coalesce(i.name, ''), coalesce(i.role, '')
FROM session e
    LEFT JOIN staff i ON i.org_id = e.org_id AND i.id = e.invited_by
    LEFT JOIN staff s ON s.org_id = e.org_id AND s.id = e.staff_id
    LEFT JOIN patient p ON p.org_id = e.org_id AND p.id = e.patient_id
    LEFT JOIN caregiver c ON c.org_id = e.org_id AND c.id = e.caregiver_id
WHERE e.ended_at IS NULL AND e.expires_at > $1 AND `

// ofPatient are the sessions of a patient, and of the caregivers whom the patient lets in.
const ofPatient = `(e.patient_id = $2 OR e.caregiver_id IN (SELECT g.caregiver_id FROM caregiver_grant g
    WHERE g.patient_id = $2 AND g.from_at <= $1 AND (g.to_at IS NULL OR g.to_at > $1)))`

// own returns the condition for whose sessions the actor's own are, and their id.
func own(actor account.Actor) (condition string, id int64) {
	switch {
	case actor.Staff != 0:
		return `e.staff_id = $2`, int64(actor.Staff)
	case actor.Self != 0:
		return `e.patient_id = $2`, int64(actor.Self)
	case actor.Caregiver != 0:
		return `e.caregiver_id = $2`, int64(actor.Caregiver)
	}
	return `$2 <> 0`, 0 // nobody's
}

// OwnSessions lists the actor's open sessions, the one last seen first.
func (a *App) OwnSessions(ctx context.Context, actor account.Actor) (list []account.Session, err error) {
	condition, id := own(actor)
	err = a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		list, err = sessions(ctx, tx, condition, now, id)
		return err
	})
	return list, err
}

// PatientSessions lists the open sessions of a patient and of their caregivers, the one last seen first.
func (a *App) PatientSessions(ctx context.Context, actor account.Actor, p *account.Patient) (list []account.Session, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		list, err = sessions(ctx, tx, ofPatient, now, int64(p.ID))
		return err
	})
	return list, err
}

func sessions(ctx context.Context, tx pgx.Tx, condition string, now time.Time, id int64) ([]account.Session, error) {
	rows, err := tx.Query(ctx, listSessions+condition+` ORDER BY e.seen_at DESC, e.uid`, now, id)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Session, error) {
		var s account.Session
		var misused *time.Time
		err := row.Scan(&s.Actor.Org, &s.UID, &s.Actor.Name, &s.Label, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt, &misused, &s.LetInBy.UID, &s.LetInBy.Name, &s.LetInBy.Role)
		s.CreatedAt, s.SeenAt, s.ExpiresAt, s.MisusedAt = s.CreatedAt.UTC(), s.SeenAt.UTC(), s.ExpiresAt.UTC(), timeOf(misused)
		return s, err
	})
}

// EndOwnSession ends one of the actor's sessions; fault.NotFound when it is none of them.
func (a *App) EndOwnSession(ctx context.Context, actor account.Actor, uid vital.UID) error {
	condition, id := own(actor)
	return a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		return endOne(ctx, tx, condition, now, id, uid, account.Audit{Org: actor.Org, Actor: actor, Action: "end session", Patient: actor.Self})
	})
}

// EndPatientSession ends a session of a patient or of a caregiver of theirs; fault.NotFound when it is none of them.
func (a *App) EndPatientSession(ctx context.Context, actor account.Actor, p *account.Patient, uid vital.UID) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		return endOne(ctx, tx, ofPatient, now, int64(p.ID), uid, account.Audit{Org: actor.Org, Actor: actor, Action: "end session", Patient: p.ID})
	})
}

func endOne(ctx context.Context, tx pgx.Tx, condition string, now time.Time, id int64, uid vital.UID, row account.Audit) error {
	u, err := parseUID(uid, "session")
	if err != nil {
		return err
	}
	done, err := tx.Exec(ctx, `UPDATE session e SET ended_at = $1 WHERE e.ended_at IS NULL AND e.expires_at > $1 AND e.uid = $3 AND `+condition, now, id, u)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if done.RowsAffected() == 0 {
		return fault.New(fault.NotFound, "there is no open session %s", uid)
	}
	row.At, row.Object = now, "session "+string(uid)
	return writeAudit(ctx, tx, row)
}

const endOthers = `UPDATE session SET ended_at = $3 WHERE staff_id = $1 AND uid <> $2 AND ended_at IS NULL RETURNING uid::text`

// SetPassword gives the actor a new password in place of the one of this hash, and ends their other sessions, which it
// returns. One that was changed meanwhile is fault.Conflict.
func (a *App) SetPassword(ctx context.Context, actor account.Actor, oldHash, newHash string) (ended []vital.UID, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var done bool
		if err := tx.QueryRow(ctx, `SELECT set_own_password($1, $2)`, oldHash, newHash).Scan(&done); err != nil {
			return fmt.Errorf("set password: %w", err)
		}
		if !done {
			return fault.New(fault.Conflict, "the password was changed meanwhile: sign in with the new one")
		}
		if ended, err = endOtherSessions(ctx, tx, actor, now); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: "change password", Object: "staff " + string(actor.UID), Detail: fmt.Sprintf("%d other sessions ended", len(ended)),
		})
	})
	return ended, err
}

// endOtherSessions ends the sessions of a member of staff but the one that they act in, and returns them.
func endOtherSessions(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time) ([]vital.UID, error) {
	session, err := parseUID(actor.Session, "session")
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, endOthers, int64(actor.Staff), session, now)
	if err != nil {
		return nil, fmt.Errorf("end the other sessions: %w", err)
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[vital.UID])
	if err != nil {
		return nil, fmt.Errorf("end the other sessions: %w", err)
	}
	return ended, nil
}
