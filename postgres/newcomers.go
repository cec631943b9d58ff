package postgres

import (
	"context"
	"encoding/json"
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

const insertPatients = `
INSERT INTO patient (org_id, uid, name, number, birth_year, birth_date, sex, zone, created_at)
SELECT $1, g.uid, g.name, g.number, g.birth_year, g.birth_date, g.sex, g.zone, $2
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[], $9::text[]) AS g (uid, name, number, birth_year, birth_date, sex, zone)
RETURNING uid::text, id`

const joinPatients = `
INSERT INTO team_patient (org_id, team_id, patient_id, from_at)
SELECT t.org_id, t.id, g.patient_id, $2
FROM unnest($3::bigint[], $4::uuid[]) AS g (patient_id, team_uid)
    JOIN team t ON t.org_id = $1 AND t.ended_at IS NULL AND CASE WHEN g.team_uid IS NULL THEN t.usual ELSE t.uid = g.team_uid END`

// addPatients stores new patients with what every one begins with (the care teams, the default limits and trend rules) and
// the audit rows, in a number of statements that does not grow with theirs. It fills in ID, UID, Org, CreatedAt and State.
func addPatients(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, list []*account.Patient) error {
	if len(list) == 0 {
		return nil
	}
	var uids, names, numbers, dates, sexes, zones []string
	var years []int16
	byUID := map[string]*account.Patient{}
	for _, p := range list {
		p.Org, p.UID, p.CreatedAt, p.State = actor.Org, newUID(), now, account.Active
		byUID[string(p.UID)] = p
		uids, names, numbers, years = append(uids, string(p.UID)), append(names, p.Name), append(numbers, p.Number), append(years, int16(p.BirthYear))
		dates, sexes, zones = append(dates, string(p.BirthDate)), append(sexes, p.Sex), append(zones, p.Zone)
	}
	rows, err := tx.Query(ctx, insertPatients, int32(actor.Org), now, uids, names, numbers, years, dates, sexes, zones)
	if err != nil {
		return fmt.Errorf("add patients: %w", err)
	}
	var uid string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&uid, &id}, func() error {
		byUID[uid].ID = vital.PatientID(id)
		return nil
	})
	if violated(err, "patient_number") && len(list) == 1 {
		return fault.New(fault.Conflict, "the number %q was given already and cannot be given again", list[0].Number)
	}
	if violated(err, "patient_number") {
		return fault.New(fault.Conflict, "somebody was given one of these numbers in the same moment: try again")
	}
	if err != nil {
		return fmt.Errorf("add patients: %w", err)
	}
	if err := joinTeams(ctx, tx, actor.Org, now, list); err != nil {
		return err
	}
	if err := addDefaults(ctx, tx, now, list); err != nil {
		return err
	}
	var audit []account.Audit
	for _, p := range list {
		audit = append(audit, account.Audit{Org: p.Org, At: now, Actor: actor, Action: string(account.AddPatient), Patient: p.ID, Object: "patient " + string(p.UID)})
	}
	return writeAudits(ctx, tx, audit)
}

// joinTeams takes new patients into the teams that were named, or into the usual one.
func joinTeams(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time, list []*account.Patient) error {
	var patients []int64
	var teams []*string
	named := false
	for _, p := range list {
		if len(p.Teams) == 0 {
			patients, teams = append(patients, int64(p.ID)), append(teams, nil)
		}
		for _, uid := range p.Teams {
			u, err := parseUID(uid, "care team")
			if err != nil {
				return err
			}
			text := u.String()
			patients, teams, named = append(patients, int64(p.ID)), append(teams, &text), true
		}
	}
	done, err := tx.Exec(ctx, joinPatients, int32(org), now, patients, teams)
	if violated(err, "team_patient_once") || err == nil && named && int(done.RowsAffected()) != len(patients) {
		return fault.New(fault.Invalid, "teams: there is no such care team, or it is named twice")
	}
	if err != nil {
		return fmt.Errorf("join care teams: %w", err)
	}
	return lookedAfter(ctx, tx, patients, now)
}

// leftAlone names a care team of somebody whom nobody looks after: none of their teams has anybody at the bedside who stays.
const leftAlone = `
SELECT t.name FROM team_patient p JOIN team t ON t.org_id = p.org_id AND t.id = p.team_id
WHERE p.patient_id = ANY($1) AND p.to_at IS NULL AND NOT EXISTS (
    SELECT FROM team_patient o JOIN team_member m ON m.org_id = o.org_id AND m.team_id = o.team_id AND m.from_at <= $2 AND ` + stays + `
        JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id AND ` + atBedside + `
    WHERE o.org_id = p.org_id AND o.patient_id = p.patient_id AND o.to_at IS NULL) ORDER BY t.name LIMIT 1`

// lookedAfter refuses new patients whose alerts nobody would see.
func lookedAfter(ctx context.Context, tx pgx.Tx, patients []int64, now time.Time) error {
	var team string
	err := tx.QueryRow(ctx, leftAlone, patients, now).Scan(&team)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look who looks after them: %w", err)
	}
	return fault.New(fault.Conflict, "nobody in the care team %q can answer alerts for the week to come: let a nurse or a physician join who can sign in, or choose another team", team)
}

const insertRules = `
INSERT INTO rule (org_id, uid, patient_id, kind, metric, form)
SELECT $1, g.uid, g.patient_id, g.kind, g.metric, g.form FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::smallint[], $6::text[]) AS g (uid, patient_id, kind, metric, form)
RETURNING uid::text, id`

const insertVersions = `
INSERT INTO rule_version (org_id, rule_id, number, effective_from, enabled, spec, advice, author_name, reason, review_by, created_at)
SELECT $1, g.rule_id, 1, g.effective_from, g.enabled, g.spec, g.advice, g.author_name, g.reason, g.review_by, $2
FROM unnest($3::bigint[], $4::timestamptz[], $5::boolean[], $6::jsonb[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
    AS g (rule_id, effective_from, enabled, spec, advice, author_name, reason, review_by)`

// addDefaults gives new patients the default limits and trend rules.
func addDefaults(ctx context.Context, tx pgx.Tx, now time.Time, list []*account.Patient) error {
	var uids, kinds, forms []string
	var patients []int64
	var metrics []int16
	versions := map[string]alerts.Version{}
	for _, p := range list {
		for _, d := range append(alerts.Defaults(), alerts.TrendDefaults(p.Zone, p.BirthYear, now)...) {
			uid, key := string(newUID()), d.Key()
			versions[uid] = d.Version
			uids, patients, kinds = append(uids, uid), append(patients, int64(p.ID)), append(kinds, string(key.Kind))
			metrics, forms = append(metrics, int16(key.Metric)), append(forms, string(key.Form))
		}
	}
	org := int32(list[0].Org)
	rows, err := tx.Query(ctx, insertRules, org, uids, patients, kinds, metrics, forms)
	if err != nil {
		return fmt.Errorf("add rules: %w", err)
	}
	var (
		uid                    string
		id                     int64
		ids                    []int64
		froms                  []time.Time
		enabled                []bool
		specs                  [][]byte
		advices, authors, whys []string
		reviews                []*time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&uid, &id}, func() error {
		v := versions[uid]
		spec, err := specOf(v)
		ids, froms, enabled, specs = append(ids, id), append(froms, v.EffectiveFrom), append(enabled, v.Enabled), append(specs, spec)
		advices, authors, whys = append(advices, v.Advice), append(authors, v.AuthorName), append(whys, v.Reason)
		reviews = append(reviews, nullTime(v.ReviewBy))
		return err
	})
	if err != nil {
		return fmt.Errorf("add rules: %w", err)
	}
	if _, err := tx.Exec(ctx, insertVersions, org, now, ids, froms, enabled, specs, advices, authors, whys, reviews); err != nil {
		return fmt.Errorf("add the versions of rules: %w", err)
	}
	return nil
}

// specOf returns what a version of a rule says, as it is stored.
func specOf(v alerts.Version) ([]byte, error) {
	var what any = v.Limit
	if v.Trend != nil {
		what = v.Trend
	}
	spec, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("write the rule: %w", err)
	}
	return spec, nil
}

const insertAudits = `
INSERT INTO audit (org_id, at, actor_id, actor_name, actor_role, session_uid, action, patient_id, object, detail)
SELECT $1, $2, $3, $4, $5, $6, g.action, g.patient_id, g.object, g.detail
FROM unnest($7::text[], $8::bigint[], $9::text[], $10::text[]) AS g (action, patient_id, object, detail)`

// writeAudits writes many audit rows of one actor and moment.
func writeAudits(ctx context.Context, tx pgx.Tx, list []account.Audit) error {
	if len(list) == 0 {
		return nil
	}
	var actions, objects, details []string
	var patients []*int64
	for _, a := range list {
		actions, patients = append(actions, a.Action), append(patients, nullID(a.Patient))
		objects, details = append(objects, a.Object), append(details, a.Detail)
	}
	common := slices.Clone(auditArgs(list[0])[:6]) // org, at and who
	if _, err := tx.Exec(ctx, insertAudits, append(common, actions, patients, objects, details)...); err != nil {
		return fmt.Errorf("write audit rows: %w", err)
	}
	return nil
}
