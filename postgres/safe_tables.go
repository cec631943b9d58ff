package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// exportedTable is a table of which a copy of a record holds every row about the patient, as text.
type exportedTable struct {
	name    string
	columns string // that are copied, separated by commas; internal numbers and hashes are nobody's data
	from    string // where that is more than the table's rows of the patient; $1 is the patient
	// own is set for what a relative must not learn of, even one who may read all else.
	own bool
}

// patientSeen is the patient's own row: in a frozen view, as it was.
const patientSeen = `(SELECT c.* FROM (SELECT ` + patientColumns + patientTables + ` WHERE p.id = $1) c
	(id, uid, org_id, name, birth_year, birth_date, sex, zone, number, state, created_at)) t`

// correctionAnswer is how a correction was answered, as far as the view knows.
const correctionAnswer = `CASE WHEN ` + decisionSeen + ` THEN c.state ELSE 'asked' END AS state, CASE WHEN ` + decisionSeen + ` THEN c.decided_name END AS decided_name,
	CASE WHEN ` + decisionSeen + ` THEN c.decided_at END AS decided_at, CASE WHEN ` + decisionSeen + ` THEN c.answer END AS answer`

// readingMoreSeen is what stands beside the patient's readings, but for what tells of a heart rate that is private.
const readingMoreSeen = `(SELECT r.metric, r.measured_at, r.id AS reading_id, m.standing, m.clock_offset_us, m.clock_method, m.uncertainty_us, m.facts
	FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) a
	JOIN reading_more m ON m.sensor_id = a.sensor_id
	JOIN reading r ON r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie AND r.patient_id = $1
	WHERE NOT ` + pulseHidden + ` ORDER BY r.measured_at, r.id) t`

// exportedTables are copied table by table. With safe.Exports' own files they name every table that has a patient, but
// for those that a test names with the reason.
func exportedTables() []exportedTable {
	return []exportedTable{
		{name: "patient", columns: "uid, name, number, birth_year, birth_date, sex, zone, state, created_at", from: patientSeen},
		{name: "patient_identifier", columns: "system, value, use, from_when, to_when, added_at, ended_at, end_reason",
			from: `(SELECT i.system, i.value, i.use, i.from_when, i.to_when, i.added_at, as_of_freeze(i.patient_id, i.ended_at) AS ended_at,
				CASE WHEN i.ended_at IS DISTINCT FROM as_of_freeze(i.patient_id, i.ended_at) THEN '' ELSE i.end_reason END AS end_reason FROM patient_identifier i WHERE i.patient_id = $1 ORDER BY i.id) t`},
		{name: "patient_change", columns: "at, actor_name, source, field, before, after"},
		{name: "assignment", columns: "sensor, from_at, to_at", from: `(SELECT s.uid AS sensor, a.from_at, as_of_freeze(a.patient_id, a.to_at) AS to_at FROM assignment a
			JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id WHERE a.patient_id = $1 ORDER BY a.id) t`},
		{name: "kit_holder", columns: "kit, from_at, to_at, named_at", from: `(SELECT k.label AS kit, h.from_at, as_of_freeze(h.patient_id, h.to_at) AS to_at, h.named_at FROM kit_holder h
			JOIN kit k ON k.org_id = h.org_id AND k.id = h.kit_id WHERE h.patient_id = $1 ORDER BY h.id) t`, own: true},
		{name: "rule", columns: "kind, form, metric, number, effective_from, enabled, spec, advice, author_name, reason, review_by, created_at",
			from: `(SELECT r.kind, r.form, r.metric, v.number, v.effective_from, v.enabled, ` + specSeen + `, v.advice, v.author_name, v.reason, v.review_by, v.created_at FROM rule r JOIN rule_version v ON v.org_id = r.org_id AND v.rule_id = r.id
			WHERE r.patient_id = $1 ORDER BY r.id, v.number) t`},
		{name: "reading_more", columns: "metric, measured_at, reading_id, standing, clock_offset_us, clock_method, uncertainty_us, facts", from: readingMoreSeen},
		{name: "measurement_schedule", columns: "number, effective_from, lines, reason, author_name, created_at", own: true},
		{name: "measurement_pause", columns: "uid, kind, from_at, to_at, reason, author_name, created_at, ended_at, ended_by", own: true},
		{name: "technique_doubt", columns: "uid, metric, measured_at, reading_id, kind, compared, apart, raised_at, answer, note, answered_at, answered_name, answered_role", own: true},
		{name: "unverified_person", columns: "metric, level, values, measured_at, received_at, times, said_by, note", own: true,
			from: `(SELECT metric_code(v.metric) AS metric, v.level, array_to_string(v.vals, ' ') AS values, v.measured_at, v.received_at, v.times, v.by_name AS said_by, v.note
			FROM unverified_person h JOIN unverified_value v ON v.org_id = h.org_id AND v.id = h.value_id AND ` + stillClaimed + ` WHERE h.patient_id = $1 ORDER BY v.id) t`},
		{name: "withdrawn_reading", columns: "metric, measured_at, received_at, value, value2, value3, withdrawn_at, how, by_name, why", own: true,
			from: `(SELECT metric_code(w.metric) AS metric, w.measured_at, w.received_at, w.value, w.value2, w.value3, w.withdrawn_at, w.how, w.by_name, w.why FROM withdrawn_reading w
			WHERE w.patient_id = $1 ORDER BY w.withdrawn_at, w.id) t`},
		{name: "team_patient", columns: "team, from_at, to_at", from: `(SELECT t.name AS team, m.from_at, as_of_freeze(m.patient_id, m.to_at) AS to_at FROM team_patient m
			JOIN team t ON t.org_id = m.org_id AND t.id = m.team_id WHERE m.patient_id = $1 ORDER BY m.id) t`},
		{name: "break_glass", columns: "staff, reason, from_at, until_at, ended_at, reviewed_at, finding", own: true,
			from: `(SELECT staff_name(g.staff_id) AS staff, g.* FROM break_glass g WHERE g.patient_id = $1 ORDER BY g.id) t`},
		{name: "caregiver_grant", columns: "caregiver, guardian, scopes, document, reason, from_at, to_at, suspended_at, recorded_by", own: true,
			from: `(SELECT c.name AS caregiver, g.* FROM caregiver_grant g JOIN caregiver c ON c.org_id = g.org_id AND c.id = g.caregiver_id WHERE g.patient_id = $1 ORDER BY g.id) t`},
		{name: "consent_decision", columns: "uid, purpose, version, language, choice, decided_by, through, recorded_by, document, witness, decided_at, created_at"},
		{name: "guardian_request", columns: "uid, purpose, version, choice, made_at, settled_at, accepted", own: true},
		{name: "private_item", columns: "uid, kind, ref, metric, from_at, to_at, marked_at, marked_by, unmarked_at, unmarked_by", own: true},
		{name: "ending_step", columns: "kind, at, actor_name, actor_role, how, note"},
		{name: "correction", columns: "uid, kind, metric, reading_at, reading_id, about, wish, asked_name, asked_role, asked_at, state, decided_name, decided_at, answer",
			from: `(SELECT c.uid, c.kind, c.metric, c.reading_at, c.reading_id, c.about, c.wish, c.asked_name, c.asked_role, c.asked_at, ` + correctionAnswer + ` FROM correction c WHERE c.patient_id = $1 ORDER BY c.id) t`},
		{name: "share", columns: "uid, what, made_name, made_role, created_at, expires_at, opens_most, opened, last_opened_at, ended_at",
			from: "(SELECT " + shareColumns + " FROM share WHERE patient_id = $1 ORDER BY id) t (uid, patient_id, what, made_name, made_role, created_at, expires_at, opens_most, opened, last_opened_at, ended_at, caregiver_id)"},
		{name: "refile", columns: "uid, from_at, to_at, reason, state, moved, asked_name, asked_role, asked_at, ended_at",
			from: "refile WHERE source_id = $1 OR target_id = $1", own: true},
		{name: "merge", columns: "uid, state, reason, asked_name, asked_at, ended_at, undo_reason, undo_name, undo_at",
			from: "merge WHERE from_id = $1 OR into_id = $1", own: true},
		{name: "erasure", columns: "uid, number, state, on_paper, wish, asked_role, asked_at, answer, decided_at, confirmed_at, due_at", own: true},
		{name: "outbox", columns: "topic, severity, audience, created_at, sent_at, cancelled_at", own: true},
		{name: "session", columns: "label, created_at, seen_at, expires_at, ended_at", own: true},
		{name: "invitation", columns: "created_at, expires_at, used_at, ended_at", own: true},
	}
}

// TablesOf copies what the other tables hold about the patient. See safe.ExportBook.
func (a *App) TablesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Table, error) {
	var all []safe.Table
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		for _, t := range exportedTables() {
			if t.own && actor.Role == account.CaregiverRole {
				continue
			}
			one, err := copyTable(ctx, tx, t, patient)
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		return nil
	})
	return all, err
}

func copyTable(ctx context.Context, tx pgx.Tx, t exportedTable, patient vital.PatientID) (safe.Table, error) {
	one := safe.Table{Name: t.name, Columns: strings.Split(t.columns, ", ")}
	from := t.from
	if from == "" {
		from = t.name + " WHERE patient_id = $1"
	}
	texts := make([]string, len(one.Columns))
	for i, c := range one.Columns {
		texts[i] = "coalesce(" + c + "::text, '')"
	}
	rows, err := tx.Query(ctx, `SELECT `+strings.Join(texts, ", ")+` FROM `+from, int64(patient))
	if err == nil {
		one.Rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
			cells := make([]string, len(one.Columns))
			targets := make([]any, len(cells))
			for i := range cells {
				targets[i] = &cells[i]
			}
			err := row.Scan(targets...)
			return cells, err
		})
	}
	if err != nil {
		return one, fmt.Errorf("copy %s: %w", t.name, err)
	}
	return one, nil
}

func levelName(level int16) string { return alerts.Level(level).String() }
