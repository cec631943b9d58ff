package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/consent"
	"hale/push"
	"hale/vital"
)

const selectSteps = `SELECT uid::text, kind, at, actor_name, actor_role, how, note FROM ending_step WHERE patient_id = $1 ORDER BY id`

func endingSteps(ctx context.Context, tx pgx.Tx, patient vital.PatientID) ([]consent.EndingStep, error) {
	rows, err := tx.Query(ctx, selectSteps, int64(patient))
	if err != nil {
		return nil, fmt.Errorf("load the end of care: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.EndingStep, error) {
		var s consent.EndingStep
		err := row.Scan(&s.UID, &s.Kind, &s.At, &s.ActorName, &s.ActorRole, &s.How, &s.Note)
		s.At = s.At.UTC()
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("load the end of care: %w", err)
	}
	return list, nil
}

const countOpen = `SELECT count(*) FROM episode WHERE patient_id = $1 AND state <> 'closed'`

// Ending returns how care of a patient ends. See consent.EndingStore.
func (a *App) Ending(ctx context.Context, actor account.Actor, uid vital.UID) (p account.Patient, steps []consent.EndingStep, open int, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if p, err = theirs(ctx, tx, actor, uid); err != nil {
			return err
		}
		if steps, err = endingSteps(ctx, tx, p.ID); err != nil {
			return err
		}
		return tx.QueryRow(ctx, countOpen, int64(p.ID)).Scan(&open)
	})
	return p, steps, open, err
}

// endAssignments takes the patient's sensors away from now on. A new epoch makes every edge's knowledge of them doubtful, so
// that the batch asks the record, whatever an edge still believes. One that was to begin later lasts for a microsecond.
const endAssignments = `
UPDATE assignment SET to_at = greatest($2::timestamptz, from_at + interval '1 microsecond'), epoch = epoch + 1
WHERE patient_id = $1 AND (to_at IS NULL OR to_at > $2)`

// barAssignments makes what still arrives of a time before the end doubtful too: the record is closed, so it is parked.
const barAssignments = `UPDATE assignment SET epoch = epoch + 1 WHERE patient_id = $1`

// TakeEndingStep takes a step of off-boarding with what follows from it. See consent.EndingStore. The cursor row, held shared,
// comes first in the lock order: a batch comes wholly before, or wholly after.
func (a *App) TakeEndingStep(ctx context.Context, actor account.Actor, uid vital.UID, act consent.EndingAct, decide func(*account.Patient, []consent.EndingStep, int) error) error {
	return a.as(ctx, actor, func(tx pgx.Tx, entered time.Time) error {
		p, err := onePatient(ctx, tx, uid)
		if err != nil {
			return err
		}
		// Of somebody out of reach nothing is held: the cheap question comes before the locks, the true one after them.
		if err := decide(&p, nil, 0); p.State != account.Ending && err != nil {
			return err
		}
		if err := tellProcessor(ctx, tx, p.Org, p.ID, nil, entered); err != nil {
			return err
		}
		f, now, err := lockPatient(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		var open int
		if err := tx.QueryRow(ctx, countOpen, int64(p.ID)).Scan(&open); err != nil {
			return fmt.Errorf("count open alerts: %w", err)
		}
		if err := decide(&f.Patient, f.Steps, open); err != nil {
			return err
		}
		step := consent.EndingStep{Kind: act.Kind, At: now, How: act.How, Note: act.Note}
		return saveEnding(ctx, tx, actor, &f.Patient, step, consent.StateOf(consent.StageOf(append(f.Steps, step))))
	})
}

const insertStep = `
INSERT INTO ending_step (org_id, uid, patient_id, kind, at, actor_id, actor_name, actor_role, how, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// saveEnding writes a step, the patient's state after it, and what follows: see account.EndingKind.
func saveEnding(ctx context.Context, tx pgx.Tx, actor account.Actor, p *account.Patient, s consent.EndingStep, state account.State) error {
	uid := newUID()
	_, err := tx.Exec(ctx, insertStep, int32(p.Org), string(uid), int64(p.ID), string(s.Kind), s.At, nullID(actor.Staff), actor.Name, string(actor.Role), s.How, s.Note)
	if err != nil {
		return fmt.Errorf("write the step: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE patient SET state = $2 WHERE id = $1`, int64(p.ID), string(state)); err != nil {
		return fmt.Errorf("set the patient's state: %w", err)
	}
	row := account.Audit{Org: p.Org, At: s.At, Actor: actor, Action: string(account.EndCare), Patient: p.ID, Object: "patient " + string(p.UID), Detail: string(s.Kind)}
	if err := writeAudit(ctx, tx, row); err != nil {
		return err
	}
	for _, to := range []push.Audience{push.ToTeam, push.ToPatient} {
		n := push.Notice{Org: p.Org, Patient: p.ID, Topic: topicOf(s.Kind), Dedup: string(uid) + " " + string(to), CreatedAt: s.At, Audience: to}
		if err := notify(ctx, tx, n); err != nil {
			return err
		}
	}
	switch s.Kind {
	case consent.StepTold:
		_, err = tx.Exec(ctx, endAssignments, int64(p.ID), s.At)
	case consent.StepFinished:
		if _, err = tx.Exec(ctx, barAssignments, int64(p.ID)); err == nil {
			err = endCaregivers(ctx, tx, p.ID, s.At)
		}
	case consent.StepReadmitted:
	case consent.StepStarted, consent.StepUndone:
		return nil // the watch went on, and goes on
	}
	if err != nil {
		return fmt.Errorf("end what care needed: %w", err)
	}
	return touchRegistry(ctx, tx)
}

func topicOf(k consent.EndingKind) push.Topic {
	switch k {
	case consent.StepStarted:
		return push.CareEnding
	case consent.StepTold:
		return push.CareStopped
	case consent.StepFinished:
		return push.CareEnded
	case consent.StepUndone, consent.StepReadmitted:
		return push.CareResumed
	}
	return push.CareEnding
}

const endGrants = `UPDATE caregiver_grant SET to_at = greatest($2::timestamptz, from_at) WHERE patient_id = $1 AND NOT guardian AND (to_at IS NULL OR to_at > $2)`
const endShares = `UPDATE share SET ended_at = $2 WHERE patient_id = $1 AND ended_at IS NULL`
const cancelCaregivers = `
UPDATE outbox SET cancelled_at = $2, cancelled_for = 'care ended' WHERE patient_id = $1 AND audience = 'caregiver' AND sent_at IS NULL AND cancelled_at IS NULL`

// endCaregivers ends what the patient shared: there is nothing to look after any more. A guardian goes on acting for them.
func endCaregivers(ctx context.Context, tx pgx.Tx, patient vital.PatientID, now time.Time) error {
	if _, err := tx.Exec(ctx, endGrants, int64(patient), now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, endShares, int64(patient), now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, cancelCaregivers, int64(patient), now)
	return err
}
