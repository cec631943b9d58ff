package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/push"
	"hale/safe"
	"hale/vital"
)

const correctionColumns = `c.uid::text, c.patient_id, c.kind, coalesce(c.metric, 0), c.reading_at, coalesce(c.reading_id, 0), c.about, c.wish, c.asked_name, c.asked_role, coalesce(c.asked_by, 0), c.asked_at,
    CASE WHEN ` + decisionSeen + ` THEN c.state ELSE 'asked' END, CASE WHEN ` + decisionSeen + ` THEN c.decided_name ELSE '' END, CASE WHEN ` + decisionSeen + ` THEN c.decided_at END,
    CASE WHEN ` + decisionSeen + ` THEN c.answer ELSE '' END`

// decisionSeen is whether the view knows of a decision: a frozen one only of earlier ones, and of those on what the relative asked.
const decisionSeen = `(c.decided_at IS NOT DISTINCT FROM as_of_freeze(c.patient_id, c.decided_at) OR is_me(c.asked_by))`

const selectCorrections = `SELECT ` + correctionColumns + ` FROM correction c
WHERE CASE WHEN @patient::uuid IS NULL THEN c.state = 'asked' ELSE c.patient_id = (SELECT p.id FROM patient p WHERE p.uid = @patient) END ORDER BY c.id DESC LIMIT 1000`

func scanCorrection(row pgx.CollectableRow) (safe.Correction, error) {
	var c safe.Correction
	var readingAt, decided *time.Time
	err := row.Scan(&c.UID, &c.Patient.ID, &c.Kind, &c.Metric, &readingAt, &c.ReadingID, &c.Alert, &c.Wish, &c.AskedBy, &c.AskedRole, &c.Asker, &c.AskedAt,
		&c.State, &c.DecidedBy, &decided, &c.Answer)
	c.ReadingAt, c.DecidedAt, c.AskedAt = timeOf(readingAt), timeOf(decided), c.AskedAt.UTC()
	return c, err
}

// readCorrections reads corrections with their patients, as whoever the transaction acts for is related to them.
func readCorrections(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]safe.Correction, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read corrections: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanCorrection)
	if err != nil {
		return nil, fmt.Errorf("read corrections: %w", err)
	}
	return list, withPatients(ctx, tx, list, func(c *safe.Correction) *account.Patient { return &c.Patient })
}

// Corrections lists what patients say is wrong. See safe.CorrectionBook.
func (a *App) Corrections(ctx context.Context, actor account.Actor, patient vital.UID) ([]safe.Correction, error) {
	var of *uuid.UUID
	if patient != "" {
		u, err := parseUID(patient, "patient")
		if err != nil {
			return nil, err
		}
		of = &u
	}
	var list []safe.Correction
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		var err error
		list, err = readCorrections(ctx, tx, selectCorrections, pgx.NamedArgs{"patient": of})
		return err
	})
	return list, err
}

const insertCorrection = `
INSERT INTO correction (org_id, uid, patient_id, kind, metric, reading_at, reading_id, about, wish, asked_name, asked_role, asked_at, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

const isReadingOf = `
SELECT EXISTS (SELECT FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) s
JOIN reading r ON r.sensor_id = s.sensor_id AND r.metric = $2 AND r.sent_at BETWEEN $3::timestamptz - $5::interval AND $3::timestamptz + $5::interval
    AND r.patient_id = $1 AND r.id = $4)`

const isAlertOf = `SELECT EXISTS (SELECT FROM episode WHERE patient_id = $1 AND uid::text = $2)`

const owedNotice = `INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, topic, dedup) DO NOTHING`

// AskCorrection stores what a patient says is wrong, with a notice to the team. See safe.CorrectionBook.
func (a *App) AskCorrection(ctx context.Context, actor account.Actor, c safe.Correction) (safe.Correction, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if err := concerns(ctx, tx, &c); err != nil {
			return err
		}
		c.UID, c.AskedAt = newUID(), now
		var metric *int16
		if c.Kind == safe.WrongReading {
			m := int16(c.Metric)
			metric = &m
		}
		_, err := tx.Exec(ctx, insertCorrection, int32(c.Patient.Org), string(c.UID), int64(c.Patient.ID), string(c.Kind), metric, nullTime(c.ReadingAt), nullID(c.ReadingID),
			string(c.Alert), c.Wish, c.AskedBy, string(c.AskedRole), c.AskedAt, nullID(c.Asker))
		if violated(err, "correction_asked_once") {
			return fault.New(fault.Conflict, "this was asked already and waits for the care team: withdraw it first to say something else")
		}
		if err != nil {
			return fmt.Errorf("store correction: %w", err)
		}
		if _, err := tx.Exec(ctx, owedNotice, int32(c.Patient.Org), int64(c.Patient.ID), string(push.CorrectionAsked), string(c.UID), "none", now); err != nil {
			return fmt.Errorf("tell the care team: %w", err)
		}
		return auditCorrection(ctx, tx, actor, account.AskCorrection, &c, "asked for", now)
	})
	return c, err
}

// concerns refuses what is about no reading and no alert of the patient.
func concerns(ctx context.Context, tx pgx.Tx, c *safe.Correction) error {
	var theirs bool
	var err error
	switch c.Kind {
	case safe.WrongReading:
		err = tx.QueryRow(ctx, isReadingOf, int64(c.Patient.ID), int16(c.Metric), c.ReadingAt, c.ReadingID, widen).Scan(&theirs)
	case safe.WrongNote:
		err = tx.QueryRow(ctx, isAlertOf, int64(c.Patient.ID), string(c.Alert)).Scan(&theirs)
	case safe.WrongName, safe.WrongBirth:
		theirs = true
	}
	if err != nil {
		return fmt.Errorf("find what is wrong: %w", err)
	}
	if !theirs {
		return fault.New(fault.NotFound, "there is no such %s in this record", c.Kind)
	}
	return nil
}

func auditCorrection(ctx context.Context, tx pgx.Tx, actor account.Actor, action account.Action, c *safe.Correction, what string, now time.Time) error {
	return writeAudit(ctx, tx, account.Audit{
		Org: c.Patient.Org, At: now, Actor: actor, Action: string(action), Patient: c.Patient.ID, Object: "correction " + string(c.UID), Detail: what,
	})
}

const oneCorrection = `SELECT ` + correctionColumns + ` FROM correction c WHERE c.uid = $1`
const lockCorrection = `SELECT 1 FROM correction WHERE uid = $1 FOR NO KEY UPDATE`
const settleCorrection = `UPDATE correction SET state = $2, decided_by = $3, decided_name = $4, decided_at = $5, answer = $6 WHERE uid = $1`
const keepOldPatient = `
INSERT INTO patient_change (org_id, patient_id, at, actor_id, actor_name, source, field, before, after)
SELECT org_id, id, $2::timestamptz, $3::bigint, $4, $5, 'name', name, $6 FROM patient WHERE id = $1 AND $6 <> '' AND name <> $6
UNION ALL SELECT org_id, id, $2, $3, $4, $5, 'birth_date', birth_date, $7 FROM patient WHERE id = $1 AND $7 <> '' AND birth_date <> $7`
const correctPatient = `
UPDATE patient SET name = CASE WHEN $2 = '' THEN name ELSE $2 END, birth_date = CASE WHEN $3 = '' THEN birth_date ELSE $3 END WHERE id = $1`

// SettleCorrection ends a correction as decide says. See safe.CorrectionBook.
func (a *App) SettleCorrection(ctx context.Context, actor account.Actor, uid vital.UID, decide func(safe.Correction, time.Time) (safe.Settled, error)) (safe.Correction, error) {
	u, err := parseUID(uid, "correction")
	if err != nil {
		return safe.Correction{}, err
	}
	var after safe.Settled
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, lockCorrection, u); err != nil {
			return fmt.Errorf("lock correction: %w", err)
		}
		found, err := readCorrections(ctx, tx, oneCorrection, u)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fault.New(fault.NotFound, "there is no correction %s", uid)
		}
		was := found[0]
		if after, err = decide(was, now); err != nil || after.State == was.State {
			return err
		}
		return storeSettled(ctx, tx, actor, u, &after, now)
	})
	return after.Correction, err
}

func storeSettled(ctx context.Context, tx pgx.Tx, actor account.Actor, u uuid.UUID, s *safe.Settled, now time.Time) error {
	if s.Name != "" || s.Birth != "" {
		if _, err := tx.Exec(ctx, keepOldPatient, int64(s.Patient.ID), now, nullID(actor.Staff), actor.Name, "correction "+string(s.UID), s.Name, string(s.Birth)); err != nil {
			return fmt.Errorf("keep what was known before: %w", err)
		}
		if _, err := tx.Exec(ctx, correctPatient, int64(s.Patient.ID), s.Name, string(s.Birth)); err != nil {
			return fmt.Errorf("correct the patient: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, settleCorrection, u, string(s.State), nullID(actor.Staff), s.DecidedBy, s.DecidedAt, s.Answer); err != nil {
		return fmt.Errorf("settle correction: %w", err)
	}
	action := account.DecideCorrection
	if s.State == safe.Withdrawn {
		action = account.AskCorrection
	}
	return auditCorrection(ctx, tx, actor, action, &s.Correction, string(s.State), now)
}
