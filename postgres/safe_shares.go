package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// In a frozen view a link was opened and ended as it was then: row level security leaves those rows of the trail that tell of it.
const shareColumns = `uid::text, patient_id, what, made_name, made_role, created_at, expires_at, opens_most,
    CASE WHEN last_opened_at IS NOT DISTINCT FROM as_of_freeze(patient_id, last_opened_at) THEN opened ELSE (` + openedBefore + `) END, as_of_freeze(patient_id, last_opened_at),
    as_of_freeze(patient_id, ended_at), coalesce(caregiver_id, 0)`

const openedBefore = `SELECT count(*)::integer FROM audit a WHERE a.org_id = share.org_id AND a.patient_id = share.patient_id AND a.action = 'look' AND a.object = 'share ' || share.uid::text`

func scanShare(row pgx.CollectableRow) (safe.Share, error) {
	var s safe.Share
	var last, ended *time.Time
	err := row.Scan(&s.UID, &s.Patient, &s.What, &s.MadeBy, &s.MadeRole, &s.CreatedAt, &s.ExpiresAt, &s.OpensMost, &s.Opened, &last, &ended, &s.Maker)
	s.CreatedAt, s.ExpiresAt, s.LastOpened, s.EndedAt = s.CreatedAt.UTC(), s.ExpiresAt.UTC(), timeOf(last), timeOf(ended)
	return s, err
}

const selectShares = `SELECT ` + shareColumns + ` FROM share WHERE patient_id = $1 ORDER BY id DESC LIMIT 200`

// Shares lists the links of a patient. See safe.ShareBook.
func (a *App) Shares(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Share, error) {
	var list []safe.Share
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectShares, int64(patient))
		if err == nil {
			list, err = pgx.CollectRows(rows, scanShare)
		}
		if err != nil {
			return fmt.Errorf("list shares: %w", err)
		}
		return nil
	})
	return list, err
}

const insertShare = `
INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most, caregiver_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// AddShare stores a new link. See safe.ShareBook.
func (a *App) AddShare(ctx context.Context, actor account.Actor, p account.Patient, s safe.Share, secretHash []byte) (safe.Share, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		lasts := s.ExpiresAt.Sub(s.CreatedAt)
		s.UID, s.CreatedAt, s.ExpiresAt = newUID(), now, now.Add(lasts)
		_, err := tx.Exec(ctx, insertShare, int32(p.Org), string(s.UID), int64(p.ID), string(s.What), secretHash, s.MadeBy, string(s.MadeRole), s.CreatedAt, s.ExpiresAt, s.OpensMost, nullID(s.Maker))
		if err != nil {
			return fmt.Errorf("store share: %w", err)
		}
		return auditShare(ctx, tx, actor, p.Org, p.ID, s.UID, "made", now)
	})
	return s, err
}

func auditShare(ctx context.Context, tx pgx.Tx, actor account.Actor, org vital.OrgID, patient vital.PatientID, uid vital.UID, what string, now time.Time) error {
	return writeAudit(ctx, tx, account.Audit{
		Org: org, At: now, Actor: actor, Action: string(account.ShareRecord), Patient: patient, Object: "share " + string(uid), Detail: what,
	})
}

const patientOfShare = `SELECT p.uid::text, coalesce(s.caregiver_id, 0) FROM share s JOIN patient p ON p.org_id = s.org_id AND p.id = s.patient_id WHERE s.uid = $1`
const endShare = `UPDATE share SET ended_at = $2 WHERE uid = $1 AND ended_at IS NULL`

// EndShare ends a link. See safe.ShareBook.
func (a *App) EndShare(ctx context.Context, actor account.Actor, uid vital.UID, allow func(*account.Patient, account.CaregiverID) error) error {
	u, err := parseUID(uid, "share")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var of vital.UID
		var maker account.CaregiverID
		switch err := tx.QueryRow(ctx, patientOfShare, u).Scan(&of, &maker); {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no share %s", uid)
		case err != nil:
			return fmt.Errorf("find share: %w", err)
		}
		p, err := onePatient(ctx, tx, of)
		if err != nil {
			return err
		}
		if err := allow(&p, maker); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, endShare, u, now)
		if err != nil {
			return fmt.Errorf("end share: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		return auditShare(ctx, tx, actor, p.Org, p.ID, uid, "ended", now)
	})
}

const openShare = `SELECT org_id, uid::text, patient_id, patient_uid::text, what, expires_at, opened, opens_most, coalesce(caregiver_id, 0) FROM open_share($1, clock_timestamp())`

// OpenShare opens a link by the hash of its secret. See safe.ShareBook.
func (a *App) OpenShare(ctx context.Context, secretHash []byte, from string) (safe.Opened, error) {
	var o safe.Opened
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, openShare, secretHash).Scan(&o.Actor.Org, &o.UID, &o.Share.Patient, &o.Patient, &o.What, &o.ExpiresAt, &o.Opened, &o.OpensMost, &o.Actor.Caregiver)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such share")
		}
		if err != nil {
			return fmt.Errorf("open share: %w", err)
		}
		// Whoever has the link reaches what its maker reaches, the patient or a guardian, and is shown no more than the share says.
		o.Actor.Role, o.Actor.Name, o.Actor.Session = account.CaregiverRole, safe.ShareName, o.UID
		if o.Actor.Caregiver == 0 {
			o.Actor.Self, o.Actor.Role = o.Share.Patient, account.SelfRole
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT set_config('app.org', $1, true), set_config('app.view', 'org', true), clock_timestamp()`, fmt.Sprint(int32(o.Actor.Org))).Scan(nil, nil, &now); err != nil {
			return fmt.Errorf("enter the organisation: %w", err)
		}
		o.ExpiresAt = o.ExpiresAt.UTC()
		return writeAudit(ctx, tx, account.Audit{
			Org: o.Actor.Org, At: now.UTC(), Actor: account.Actor{Name: safe.ShareName, Session: o.UID}, Action: account.LookAction, Patient: o.Share.Patient,
			Object: "share " + string(o.UID), Detail: string(o.What) + ", opened from " + from,
		})
	})
	return o, classify(err)
}
