package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

// openCaregivers are those whom a patient ($1), or the law, lets in at $2. One who is suspended is among them: they are not to
// notice it by this door.
const openCaregivers = `
SELECT DISTINCT c.id, c.uid::text, c.name FROM caregiver c JOIN caregiver_grant g ON g.org_id = c.org_id AND g.caregiver_id = c.id
WHERE g.patient_id = $1 AND g.from_at <= $2 AND (g.to_at IS NULL OR g.to_at > $2) AND (NOT g.guardian OR g.confirmed_at <= $2)`

// Invitees lists whom the patient lets in, by name.
func (a *App) Invitees(ctx context.Context, actor account.Actor, p *account.Patient) (list []account.Invitee, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, `SELECT o.uid, o.name FROM (`+openCaregivers+`) o ORDER BY o.name, o.uid`, int64(p.ID), now)
		if err != nil {
			return fmt.Errorf("list caregivers: %w", err)
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[account.Invitee])
		return err
	})
	return list, err
}

const insertInvitation = `
INSERT INTO invitation (org_id, uid, patient_id, caregiver_id, staff_id, lookup, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// Invite keeps the hash of a code for a patient, or for a caregiver of theirs, in place of an earlier one, and returns the
// name of who signs in with it. lookup are the signs of the code that are no secret; fault.Conflict when another open code
// begins with them.
func (a *App) Invite(ctx context.Context, actor account.Actor, p *account.Patient, caregiver vital.UID, lookup string, codeHash []byte, expires time.Time) (name string, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var who account.CaregiverID
		name = p.Name
		if caregiver != "" {
			u, err := parseUID(caregiver, "caregiver of this patient")
			if err != nil {
				return err
			}
			err = tx.QueryRow(ctx, `SELECT o.id, o.name FROM (`+openCaregivers+`) o WHERE o.uid = $3`, int64(p.ID), now, u.String()).Scan(&who, &name)
			if errors.Is(err, pgx.ErrNoRows) {
				return fault.New(fault.NotFound, "there is no such caregiver of this patient")
			}
			if err != nil {
				return fmt.Errorf("find caregiver: %w", err)
			}
		}
		var free bool
		if err := tx.QueryRow(ctx, `SELECT begin_invitation($1, $2, $3, $4)`, int64(p.ID), nullID(who), lookup, now).Scan(&free); err != nil {
			return fmt.Errorf("make room for a code: %w", err)
		}
		if !free {
			return errTaken()
		}
		uid := newUID()
		_, err := tx.Exec(ctx, insertInvitation, int32(actor.Org), string(uid), int64(p.ID), nullID(who), int64(actor.Staff), lookup, codeHash, now, expires)
		if violated(err, "invitation_lookup") {
			return errTaken()
		}
		if err != nil {
			return fmt.Errorf("keep a code: %w", err)
		}
		if err := notify(ctx, tx, push.Notice{
			Org: actor.Org, Patient: p.ID, Topic: push.CodeMade, Dedup: string(uid), CreatedAt: now, Audience: push.ToPatient,
		}); err != nil {
			return err
		}
		row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: string(account.InvitePatient), Patient: p.ID, Object: "invitation " + string(uid)}
		if who != 0 {
			row.Detail = "caregiver " + string(caregiver)
		}
		return writeAudit(ctx, tx, row)
	})
	return name, err
}

func errTaken() error {
	return fault.New(fault.Conflict, "another code begins with the same signs: make a new one")
}

const redeem = `
SELECT too_many, coalesce(org_id, 0), coalesce(patient_id, 0), coalesce(caregiver_id, 0), coalesce(person_uid::text, ''), coalesce(name, ''), coalesce(invitation_uid::text, ''),
    coalesce(staff_id, 0), coalesce(staff_uid::text, '')
FROM redeem_invitation($1, $2, $3, $4, $5)`

// Redeem takes a code, once, and opens the session of whom it was made for, bound to the device; it returns the session with
// its Actor; the patient is owed a notice of it, as of the making. A code that is not good is fault.Unauthenticated, whatever is wrong with it; it was counted, and one whose signs
// were tried more often than c.Most is good no more. busy says besides that more codes than c.MostAMinute were tried within
// this minute.
func (a *App) Redeem(ctx context.Context, c account.Redemption, s account.Session) (_ account.Session, busy bool, err error) {
	good := false
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		var patient vital.PatientID
		var caregiver account.CaregiverID
		var invitation vital.UID
		err := tx.QueryRow(ctx, redeem, c.Lookup, c.CodeHash, s.CreatedAt, c.Most, c.MostAMinute).Scan(&busy, &s.Actor.Org, &patient, &caregiver, &s.Actor.UID, &s.Actor.Name, &invitation, &s.LetInBy.Staff, &s.LetInBy.UID)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && busy {
			return nil // the count is kept
		}
		if err != nil {
			return fmt.Errorf("redeem a code: %w", err)
		}
		good = true
		s.Actor.Self, s.Actor.Role = patient, account.SelfRole
		if caregiver != 0 {
			s.Actor.Self, s.Actor.Caregiver, s.Actor.Role = 0, caregiver, account.CaregiverRole
		}
		var now time.Time
		const enter = `SELECT set_config('app.org', $1, true), set_config('app.view', $2, true), clock_timestamp()`
		if err := tx.QueryRow(ctx, enter, fmt.Sprint(int32(s.Actor.Org)), viewOrg).Scan(nil, nil, &now); err != nil {
			return fmt.Errorf("enter the organisation: %w", err)
		}
		s.Actor.Session = s.UID
		if err := notify(ctx, tx, push.Notice{
			Org: s.Actor.Org, Patient: patient, Topic: push.DeviceLetIn, Dedup: string(s.UID), CreatedAt: now.UTC(), Audience: push.ToPatient,
		}); err != nil {
			return err
		}
		row := account.Audit{At: now.UTC(), Patient: patient, Object: "invitation " + string(invitation), Detail: "code of staff " + string(s.LetInBy.UID)}
		return openSession(ctx, tx, c.TokenHash, c.DeviceHash, s, row)
	})
	switch {
	case err != nil:
		return account.Session{}, false, classify(err)
	case busy:
		return account.Session{}, true, nil
	case !good:
		return account.Session{}, false, fault.New(fault.Unauthenticated, "the code is not good")
	}
	return s, false, nil
}
