package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/push"
	"hale/safe"
	"hale/vital"
)

// erasureColumns go with erasureTables. care_ended is when the last team let go; null while one has the person.
const erasureColumns = `e.id, e.uid::text, e.org_id, e.number, coalesce(e.patient_id, 0), coalesce(p.uid::text, ''), coalesce(p.name, ''), e.state, e.on_paper, e.wish,
e.asked_role, e.asked_at, e.told, coalesce(p.state IN ('active', 'ending'), false),
(SELECT count(*) FROM episode x WHERE x.org_id = e.org_id AND x.patient_id = e.patient_id AND x.state <> 'closed' AND x.level >= 2), e.answer, coalesce(e.decided_by, 0), e.decided_at, coalesce(e.confirmed_by, 0), e.confirmed_at, e.due_at, e.cut_at, e.executed_at, e.receipt, e.version,
(SELECT max(t.to_at) FROM team_patient t WHERE t.org_id = e.org_id AND t.patient_id = e.patient_id HAVING bool_and(t.to_at IS NOT NULL AND t.to_at <= $1)),
coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('class', i.class, 'until', to_char(i.keep_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'linked', i.linked, 'ground', i.ground,
    'done_at', to_char(i.done_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))))
    FROM erasure_item i WHERE i.org_id = e.org_id AND i.erasure_id = e.id), '[]')`

// askedName is of the relative who asked; hale_work does not know them.
const askedName = `, coalesce((SELECT c.name FROM caregiver c WHERE c.org_id = e.org_id AND c.id = e.asked_by), '')`
const erasureTables = ` FROM erasure e LEFT JOIN patient p ON p.org_id = e.org_id AND p.id = e.patient_id AND p.erased_at IS NULL `

// scanErasure reads erasureColumns, and whatever columns follow them into more.
func scanErasure(row pgx.CollectableRow, more ...any) (safe.Erasure, error) {
	var e safe.Erasure
	var decided, confirmed, due, cut, executed, ended *time.Time
	var receipt string
	var items []byte
	err := row.Scan(append([]any{
		&e.ID, &e.UID, &e.Org, &e.Number, &e.Patient, &e.PatientUID, &e.Name, &e.State, &e.OnPaper, &e.Wish,
		&e.AskedRole, &e.AskedAt, &e.Told, &e.Watched, &e.OpenRed, &e.Answer, &e.DecidedBy, &decided, &e.ConfirmedBy, &confirmed, &due, &cut, &executed, &receipt, &e.Version, &ended, &items,
	}, more...)...)
	if err != nil {
		return e, err
	}
	e.AskedAt, e.DecidedAt, e.ConfirmedAt, e.DueAt = e.AskedAt.UTC(), timeOf(decided), timeOf(confirmed), timeOf(due)
	e.CutAt, e.ExecutedAt, e.CareEnded = timeOf(cut), timeOf(executed), timeOf(ended)
	if receipt != "" {
		e.Receipt = []byte(receipt)
	}
	err = json.Unmarshal(items, &e.Items)
	slices.SortFunc(e.Items, func(x, y safe.ErasureItem) int {
		return cmp.Compare(slices.Index(safe.Classes(), x.Class), slices.Index(safe.Classes(), y.Class))
	})
	return e, err
}

// scanRequest reads erasureColumns with askedName.
func scanRequest(row pgx.CollectableRow) (safe.Erasure, error) {
	var name string
	e, err := scanErasure(row, &name)
	e.AskedName = name
	return e, err
}

// asReader lets the rest of a transaction know whose request it reads, though their record is in nobody's reach any more.
func asReader(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('app.request', 'on', true)`); err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	return nil
}

const nextErasureNumber = `SELECT coalesce(max(number), 0) + 1 FROM erasure WHERE org_id = $1`
const insertErasure = `
INSERT INTO erasure (org_id, uid, number, patient_id, state, on_paper, wish, asked_role, asked_at, asked_by)
VALUES ($1, $2, $3, $4, 'asked', $5, $6, $7, $8, $9) RETURNING id`

// AskErasure stores a new request. See safe.ErasureBook.
func (a *App) AskErasure(ctx context.Context, actor account.Actor, e safe.Erasure) (safe.Erasure, error) {
	// The number is the organisation's, and row level security shows a patient only their own requests.
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('erasure number'), $1)`, int32(actor.Org)); err != nil {
			return fmt.Errorf("number the request: %w", err)
		}
		var state account.State
		err := tx.QueryRow(ctx, `SELECT state FROM patient WHERE id = $1 FOR SHARE`, int64(e.Patient)).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) { // whose erasure has begun meanwhile
			return fault.New(fault.NotFound, "there is no such patient")
		}
		if err != nil {
			return fmt.Errorf("hold the patient: %w", err)
		}
		if state == account.Merged {
			return safe.ErrMerged()
		}
		if err := tx.QueryRow(ctx, nextErasureNumber, int32(actor.Org)).Scan(&e.Number); err != nil {
			return fmt.Errorf("number the request: %w", err)
		}
		e.UID, e.AskedAt, e.Version = newUID(), now, 1
		err = tx.QueryRow(ctx, insertErasure, int32(actor.Org), string(e.UID), e.Number, int64(e.Patient), e.OnPaper, e.Wish, string(e.AskedRole), now, nullID(actor.Caregiver)).Scan(&e.ID)
		if violated(err, "erasure_one_open") {
			return fault.New(fault.Conflict, "this person has asked already, and the request is open")
		}
		if err != nil {
			return fmt.Errorf("store the request: %w", err)
		}
		if err := tellOfErasure(ctx, tx, e, actor, now); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: string(account.AskErasure), Patient: e.Patient, Object: "erasure " + string(e.UID)})
	})
	return e, err
}

const selectErasures = `SELECT ` + erasureColumns + askedName + erasureTables + `WHERE $2::bigint = 0 OR e.patient_id = $2 ORDER BY e.number DESC LIMIT 500`

// ErasureList returns requests. See safe.ErasureBook.
func (a *App) ErasureList(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Erasure, error) {
	var list []safe.Erasure
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if err := asReader(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectErasures, now, int64(patient))
		if err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		if list, err = pgx.CollectRows(rows, scanRequest); err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		return nil
	})
	return list, err
}

// OneErasure returns one request. See safe.ErasureBook.
func (a *App) OneErasure(ctx context.Context, actor account.Actor, uid vital.UID) (safe.Erasure, error) {
	var e safe.Erasure
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		e, err = oneErasure(ctx, tx, uid, now)
		return err
	})
	return e, err
}

func oneErasure(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (safe.Erasure, error) {
	u, err := parseUID(uid, "request")
	if err != nil {
		return safe.Erasure{}, err
	}
	if err := asReader(ctx, tx); err != nil {
		return safe.Erasure{}, err
	}
	rows, err := tx.Query(ctx, `SELECT `+erasureColumns+askedName+erasureTables+`WHERE e.uid = $2`, now, u)
	if err != nil {
		return safe.Erasure{}, fmt.Errorf("load erasure: %w", err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanRequest)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, fault.New(fault.NotFound, "there is no such request")
	}
	if err != nil {
		return e, fmt.Errorf("load erasure: %w", err)
	}
	return e, nil
}

// The row is locked by its update: who comes second finds another version. A request that is being carried out is one too.
const amendErasure = `
UPDATE erasure SET state = $3, answer = $4, decided_by = $5, decided_at = $6, confirmed_by = $7, confirmed_at = $8, due_at = $9, told = $10, version = version + 1
WHERE id = $1 AND version = $2`
const insertErasureItem = `INSERT INTO erasure_item (org_id, erasure_id, class, keep_until, linked, ground) VALUES ($1, $2, $3, $4, $5, $6)`

// AmendErasure lets decide change a request. See safe.ErasureBook.
func (a *App) AmendErasure(ctx context.Context, actor account.Actor, uid vital.UID, action string, decide func(safe.Erasure, safe.Policy, time.Time) (safe.Erasure, error)) (safe.Erasure, error) {
	var e safe.Erasure
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		before, err := oneErasure(ctx, tx, uid, now)
		if err != nil {
			return err
		}
		policy, err := policyOf(ctx, tx)
		if err != nil {
			return err
		}
		if e, err = decide(before, policy, now); err != nil {
			return err
		}
		done, err := tx.Exec(ctx, amendErasure, e.ID, before.Version, string(e.State), e.Answer, nullID(e.DecidedBy), nullTime(e.DecidedAt), nullID(e.ConfirmedBy), nullTime(e.ConfirmedAt), nullTime(e.DueAt), e.Told)
		if violated(err, "erasure_one_decided") {
			return fault.New(fault.Conflict, "another request of this person was decided on already: refuse this one, or wait for that to be settled")
		}
		if err == nil && done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "somebody changed this request in the same moment: look at it again")
		}
		if err != nil {
			return fmt.Errorf("store the decision: %w", err)
		}
		e.Version++
		if before.State == safe.ErasureAsked {
			for _, i := range e.Items {
				if _, err := tx.Exec(ctx, insertErasureItem, int32(e.Org), e.ID, string(i.Class), nullTime(i.Until), i.Linked, i.Ground); err != nil {
					return fmt.Errorf("store the decision on %s: %w", i.Class, err)
				}
			}
		}
		if err := tellOfErasure(ctx, tx, e, actor, now); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: e.Org, At: now, Actor: actor, Action: action, Patient: e.Patient, Object: "erasure " + string(e.UID), Detail: string(e.State)})
	})
	return e, err
}

// tellOfErasure owes notices of where a request stands now: of a new one to those who decide, and to the patient unless it is
// their own; of an answer, of the day and of a withdrawal to the patient and to those who watch over them.
func tellOfErasure(ctx context.Context, tx pgx.Tx, e safe.Erasure, by account.Actor, now time.Time) error {
	topic, whom := push.ErasureDecided, []push.Audience{push.ToPatient, push.ToTeam}
	switch e.State {
	case safe.ErasureAsked:
		topic, whom = push.ErasureAsked, []push.Audience{push.ToOfficer}
		if by.Role != account.SelfRole {
			whom = append(whom, push.ToPatient)
		}
	case safe.ErasureConfirmed:
		topic = push.ErasureConfirmed
	case safe.ErasureWithdrawn:
		topic, whom = push.ErasureWithdrawn, append(whom, push.ToOfficer)
	case safe.ErasureDecided, safe.ErasureRefused:
	case safe.ErasureErasing, safe.ErasureKept, safe.ErasureDone:
		return nil // who is told of it is gone
	}
	for _, to := range whom {
		n := push.Notice{Org: e.Org, Patient: e.Patient, Topic: topic, Dedup: string(e.UID) + " " + string(to), CreatedAt: now, Audience: to}
		if err := notify(ctx, tx, n); err != nil {
			return err
		}
	}
	return nil
}

// ErasurePolicy returns the organisation's policy. See safe.ErasureBook.
func (a *App) ErasurePolicy(ctx context.Context, actor account.Actor) (safe.Policy, error) {
	var p safe.Policy
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		p, err = policyOf(ctx, tx)
		return err
	})
	return p, err
}

// policyOf returns the policy of the organisation that the transaction is in: what it has set, over the defaults.
func policyOf(ctx context.Context, tx pgx.Tx) (safe.Policy, error) {
	return policyFrom(ctx, tx, `SELECT nullif(current_setting('app.org', true), '')::int`)
}

func policyFrom(ctx context.Context, tx pgx.Tx, org string, args ...any) (safe.Policy, error) {
	p := safe.DefaultPolicy()
	err := tx.QueryRow(ctx, `SELECT cooling_days, backup_days FROM erasure_policy WHERE org_id = (`+org+`)`, args...).Scan(&p.CoolingDays, &p.BackupDays)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("load the policy of erasure: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT class, years, event, linked, ground FROM retention WHERE org_id = (`+org+`)`, args...)
	if err != nil {
		return p, fmt.Errorf("load the table of retention: %w", err)
	}
	var r safe.Retention
	_, err = pgx.ForEachRow(rows, []any{&r.Class, &r.Years, &r.From, &r.Linked, &r.Ground}, func() error {
		for i := range p.Retention {
			if p.Retention[i].Class == r.Class {
				p.Retention[i] = r
			}
		}
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("load the table of retention: %w", err)
	}
	return p, nil
}

const setErasurePolicy = `
INSERT INTO erasure_policy (org_id, cooling_days, backup_days) VALUES ($1, $2, $3)
ON CONFLICT (org_id) DO UPDATE SET cooling_days = excluded.cooling_days, backup_days = excluded.backup_days`
const setRetention = `
INSERT INTO retention (org_id, class, years, event, linked, ground) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (org_id, class) DO UPDATE SET years = excluded.years, event = excluded.event, linked = excluded.linked, ground = excluded.ground`

// SetErasurePolicy stores a policy, which has been checked. See safe.ErasureBook.
func (a *App) SetErasurePolicy(ctx context.Context, actor account.Actor, p safe.Policy) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, setErasurePolicy, int32(actor.Org), p.CoolingDays, p.BackupDays); err != nil {
			return fmt.Errorf("store the policy of erasure: %w", err)
		}
		for _, r := range p.Retention {
			if _, err := tx.Exec(ctx, setRetention, int32(actor.Org), string(r.Class), r.Years, string(r.From), r.Linked, r.Ground); err != nil {
				return fmt.Errorf("store the retention of %s: %w", r.Class, err)
			}
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "set retention", Object: "organisation"})
	})
}
