package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// patientColumns go with patientTables: the relation is that of whoever the transaction acts for.
const patientColumns = `p.id, p.uid::text, p.org_id, ` + nameSeen + `, CASE WHEN way.frozen_at IS NULL THEN p.birth_year ELSE coalesce(nullif(left(as_it_was(p.id, 'birth_date', p.birth_date), 4), ''), '0')::integer END,
    CASE WHEN way.frozen_at IS NULL THEN p.birth_date ELSE as_it_was(p.id, 'birth_date', p.birth_date) END, CASE WHEN way.frozen_at IS NULL THEN p.sex ELSE as_it_was(p.id, 'sex', p.sex) END,
    p.zone, ` + numberSeen + `, ` + stateSeen + `, p.created_at, ` + relationColumns + `, coalesce(way.guardian, false), way.frozen_at`

// nameSeen and numberSeen are the patient's, and in a frozen view what they were then.
const nameSeen = `CASE WHEN (SELECT current_setting('app.view', true)) = 'caregiver' THEN as_it_was(p.id, 'name', p.name) ELSE p.name END`
const numberSeen = `CASE WHEN (SELECT current_setting('app.view', true)) = 'caregiver' THEN as_it_was(p.id, 'number', p.number) ELSE p.number END`

// stateSeen is the patient's state, and in a frozen view what it was then: row level security hides the later steps.
const stateSeen = `CASE WHEN way.frozen_at IS NULL THEN p.state ELSE coalesce((SELECT CASE s.kind WHEN 'finished' THEN 'locked' WHEN 'started' THEN 'ending'
    WHEN 'told' THEN 'ending' ELSE 'active' END FROM ending_step s WHERE s.org_id = p.org_id AND s.patient_id = p.id ORDER BY s.id DESC LIMIT 1), 'active') END`

const relationColumns = `coalesce(mine.team, false), mine.glass_until, coalesce(mine.shared, '')`
const patientTables = ` FROM patient p LEFT JOIN my_patients() mine ON mine.patient_id = p.id LEFT JOIN my_ways() way ON way.patient_id = p.id `

func scanPatient(row pgx.CollectableRow) (account.Patient, error) {
	var p account.Patient
	var glass, frozen *time.Time
	err := row.Scan(&p.ID, &p.UID, &p.Org, &p.Name, &p.BirthYear, &p.BirthDate, &p.Sex, &p.Zone, &p.Number, &p.State, &p.CreatedAt, &p.Relation.Team, &glass, &p.Relation.Shared,
		&p.Relation.Guardian, &frozen)
	p.CreatedAt, p.Relation.Glass, p.Relation.Frozen = p.CreatedAt.UTC(), timeOf(glass), timeOf(frozen)
	return p, err
}

const selectPatients = `SELECT ` + patientColumns + patientTables + `
WHERE ($1 = '' OR strpos(lower(p.name), lower($1)) > 0 OR p.number = $1 OR p.id = ANY($3)) AND p.state <> 'merged'
ORDER BY p.name COLLATE "und-x-icu", p.id LIMIT $2`

// Patients lists the patients within the actor's view by name; query matches a part of the name, the whole number, or the whole number
// of a record that was merged into theirs.
func (a *App) Patients(ctx context.Context, actor account.Actor, query string, limit int) ([]account.Patient, error) {
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	var list []account.Patient
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		var before []int64
		if err := tx.QueryRow(ctx, `SELECT ARRAY(SELECT merged_as($1))`, query).Scan(&before); err != nil {
			return fmt.Errorf("list patients: %w", err)
		}
		rows, err := tx.Query(ctx, selectPatients, query, limit, before)
		if err != nil {
			return fmt.Errorf("list patients: %w", err)
		}
		if list, err = pgx.CollectRows(rows, scanPatient); err != nil {
			return fmt.Errorf("list patients: %w", err)
		}
		for i := range list {
			if slices.Contains(before, int64(list[i].ID)) {
				list[i].Before = query
			}
		}
		return nil
	})
	return list, err
}

// Patient returns one patient; fault.NotFound when nobody within the actor's view has this id.
func (a *App) Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error) {
	var p account.Patient
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		p, err = onePatient(ctx, tx, uid)
		return err
	})
	return p, err
}

// PatientsOf returns those of the named patients who are within the actor's view, in no order.
func (a *App) PatientsOf(ctx context.Context, actor account.Actor, uids []vital.UID) ([]account.Patient, error) {
	names := make([]string, len(uids))
	for i, uid := range uids {
		names[i] = string(uid)
	}
	var list []account.Patient
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, `SELECT `+patientColumns+patientTables+`WHERE p.uid = ANY($1::uuid[])`, names)
		if err != nil {
			return fmt.Errorf("load patients: %w", err)
		}
		if list, err = pgx.CollectRows(rows, scanPatient); err != nil {
			return fmt.Errorf("load patients: %w", err)
		}
		return nil
	})
	return list, err
}

func onePatient(ctx context.Context, tx pgx.Tx, uid vital.UID) (account.Patient, error) {
	u, err := parseUID(uid, "patient")
	if err != nil {
		return account.Patient{}, err
	}
	rows, err := tx.Query(ctx, `SELECT `+patientColumns+patientTables+`WHERE p.uid = $1`, u)
	if err != nil {
		return account.Patient{}, fmt.Errorf("load patient: %w", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanPatient)
	if errors.Is(err, pgx.ErrNoRows) {
		return account.Patient{}, fault.New(fault.NotFound, "there is no patient %s", u)
	}
	if err != nil {
		return account.Patient{}, fmt.Errorf("load patient: %w", err)
	}
	return p, nil
}

// AddPatient stores a new patient with what every one begins with, and the audit row. See account.People.
func (a *App) AddPatient(ctx context.Context, actor account.Actor, p account.Patient) (account.Patient, error) {
	p.Alike = nil
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if err := lockIdentities(ctx, tx, actor.Org); err != nil { // two who add the same person at once know of each other
			return err
		}
		if err := addPatients(ctx, tx, actor, now, []*account.Patient{&p}); err != nil {
			return err
		}
		return findAlike(ctx, tx, now, &p)
	})
	return p, err
}

const insertRule = `INSERT INTO rule (org_id, uid, patient_id, kind, metric, form) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`

func addRule(ctx context.Context, tx pgx.Tx, org vital.OrgID, patient vital.PatientID, key alerts.RuleKey) (alerts.RuleID, error) {
	var id alerts.RuleID
	if err := tx.QueryRow(ctx, insertRule, int32(org), string(newUID()), int64(patient), string(key.Kind), int16(key.Metric), string(key.Form)).Scan(&id); err != nil {
		return 0, fmt.Errorf("add rule: %w", err)
	}
	return id, nil
}

const insertVersion = `
INSERT INTO rule_version (org_id, rule_id, number, effective_from, enabled, spec, advice, author_id, author_name, reason, review_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

func addVersion(ctx context.Context, tx pgx.Tx, org vital.OrgID, rule alerts.RuleID, v alerts.Version) error {
	spec, err := specOf(v)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertVersion, int32(org), int64(rule), v.Number, v.EffectiveFrom, v.Enabled, spec, v.Advice, nullID(v.Author), v.AuthorName, v.Reason, nullTime(v.ReviewBy), v.CreatedAt)
	if err != nil {
		return fmt.Errorf("add version %d of rule %d: %w", v.Number, rule, err)
	}
	return nil
}

// Record writes an audit row for something that changed nothing.
func (a *App) Record(ctx context.Context, row account.Audit) error {
	return a.inOrg(ctx, row.Org, func(tx pgx.Tx, now time.Time) error {
		row.At = now
		return writeAudit(ctx, tx, row)
	})
}

// Rules returns the patient's rules with all their versions.
func (a *App) Rules(ctx context.Context, actor account.Actor, patient vital.UID) ([]alerts.Rule, error) {
	var rules []alerts.Rule
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		rules, err = rulesSeen(ctx, tx, actor, p.ID)
		return err
	})
	return rules, err
}

// rulesSeen are the rules of a patient as the actor sees them.
func rulesSeen(ctx context.Context, tx pgx.Tx, actor account.Actor, patient vital.PatientID) ([]alerts.Rule, error) {
	rules, err := rulesOf(ctx, tx, patient)
	if err != nil {
		return nil, err
	}
	hidden, err := pulsesHidden(ctx, tx, actor)
	hidden.rules(patient, rules)
	return rules, err
}

func rulesOf(ctx context.Context, tx pgx.Tx, patient vital.PatientID) ([]alerts.Rule, error) {
	rows, err := tx.Query(ctx, rulesOfPatients, []int64{int64(patient)})
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	rules, err := collectRules(rows)
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	slices.SortStableFunc(rules, func(a, b alerts.Rule) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Form, b.Form))
	})
	return rules, nil
}

// AddVersion appends a version to the patient's rule of the key. See alerts.RuleBook.
func (a *App) AddVersion(ctx context.Context, actor account.Actor, patient vital.UID, key alerts.RuleKey, expected int, v alerts.Version) (alerts.Rule, error) {
	var after alerts.Rule
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		// The cursor row, held shared, comes first in the lock order; it also keeps two authors apart from a batch.
		if err := tellProcessor(ctx, tx, p.Org, p.ID, &v.EffectiveFrom, now); err != nil {
			return err
		}
		rule, newest, err := ruleFor(ctx, tx, p, key)
		if err != nil {
			return err
		}
		if newest != expected {
			return fault.New(fault.Conflict, "the rule is at version %d by now, not %d: look at it again before you change it", newest, expected)
		}
		v.Number, v.CreatedAt, v.Author, v.AuthorName = newest+1, now, actor.Staff, actor.Name
		if v.Trend != nil {
			own := *v.Trend
			own.Zone, v.Trend = p.Zone, &own
		}
		if err := addVersion(ctx, tx, p.Org, rule, v); err != nil {
			if violated(err, "rule_version_pkey") {
				return fault.New(fault.Conflict, "somebody changed this rule in the same moment: look at it again")
			}
			return err
		}
		rules, err := rulesOf(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.ID == rule {
				after = r
			}
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: p.Org, At: now, Actor: actor, Action: string(account.SetLimits), Patient: p.ID,
			Object: "rule " + string(after.UID), Detail: fmt.Sprintf("%s version %d from %s", key, v.Number, v.EffectiveFrom.UTC().Format(time.RFC3339)),
		})
	})
	return after, err
}

const newestVersion = `
SELECT r.id, (SELECT max(v.number) FROM rule_version v WHERE v.org_id = r.org_id AND v.rule_id = r.id)
FROM rule r WHERE r.patient_id = $1 AND r.kind = $2 AND r.metric = $3 AND r.form = $4`

func ruleFor(ctx context.Context, tx pgx.Tx, p account.Patient, key alerts.RuleKey) (alerts.RuleID, int, error) {
	var id alerts.RuleID
	var newest int
	err := tx.QueryRow(ctx, newestVersion, int64(p.ID), string(key.Kind), int16(key.Metric), string(key.Form)).Scan(&id, &newest)
	if errors.Is(err, pgx.ErrNoRows) {
		id, err = addRule(ctx, tx, p.Org, p.ID, key)
		return id, 0, err
	}
	if err != nil {
		return 0, 0, fmt.Errorf("find rule: %w", err)
	}
	return id, newest, nil
}

// withPatients fills in the patients of a list, of which the ids are known, as whoever the transaction acts for is related to them.
func withPatients[T any](ctx context.Context, tx pgx.Tx, list []T, of func(*T) *account.Patient) error {
	ids := make([]int64, len(list))
	for i := range list {
		ids[i] = int64(of(&list[i]).ID)
	}
	rows, err := tx.Query(ctx, `SELECT `+patientColumns+patientTables+`WHERE p.id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("read whose they are: %w", err)
	}
	people, err := pgx.CollectRows(rows, scanPatient)
	if err != nil {
		return fmt.Errorf("read whose they are: %w", err)
	}
	byID := make(map[vital.PatientID]account.Patient, len(people))
	for _, p := range people {
		byID[p.ID] = p
	}
	for i := range list {
		p := of(&list[i])
		*p = byID[p.ID]
	}
	return nil
}

// Organisation returns the name of the actor's organisation.
func (a *App) Organisation(ctx context.Context, actor account.Actor) (string, error) {
	var name string
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SELECT name FROM org`).Scan(&name)
	})
	return name, err
}
