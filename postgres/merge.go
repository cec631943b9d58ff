package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/push"
	"hale/safe"
	"hale/vital"
)

// kept is what undoing a merge needs beside its refiles: rows that were made for the second record, and rows that were moved.
type kept struct {
	State       account.State `json:"state"`
	Teams       []int64       `json:"teams,omitempty"`       // team_patient rows that were made
	Grants      []int64       `json:"grants,omitempty"`      // caregiver_grant rows that were moved
	Private     []int64       `json:"private,omitempty"`     // private_item rows that were moved
	Identifiers []int64       `json:"identifiers,omitempty"` // patient_identifier rows that were moved
	Glass       []int64       `json:"glass,omitempty"`       // break_glass rows that were made
	Kits        []int64       `json:"kits,omitempty"`        // kit_holder rows that were moved
	Schedule    []int         `json:"schedule,omitempty"`    // versions of the second's measurement schedule that were made
	Pauses      []keptPause   `json:"pauses,omitempty"`      // measurement_pause rows that were made
	Doubts      []int64       `json:"doubts,omitempty"`      // technique_doubt rows that were moved
	Reds        []int64       `json:"reds,omitempty"`        // unverified_person rows that were moved
}

const lockPatients = `SELECT 1 FROM patient WHERE uid = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`

const lockPatientIDs = `SELECT 1 FROM patient WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE`

const identifiersInForce = `
SELECT system, value, key FROM patient_identifier
WHERE patient_id = $1 AND ended_at IS NULL AND use <> 'old' AND (until_at IS NULL OR until_at > $2) ORDER BY system, key`

const countTwin = `
SELECT (SELECT count(DISTINCT sensor_id) FROM assignment WHERE patient_id = $1 AND (to_at IS NULL OR to_at > from_at)),
       (SELECT count(*) FROM episode WHERE patient_id = $1 AND state <> 'closed')`

const choicesNow = `
SELECT coalesce(jsonb_object_agg(d.purpose, d.choice), '{}') FROM (
    SELECT DISTINCT ON (purpose) purpose, choice FROM consent_decision WHERE patient_id = $1 AND decided_at <= $2 ORDER BY purpose, decided_at DESC, id DESC
) d`

// Compare loads two records. See safe.MergeBook.
func (a *App) Compare(ctx context.Context, actor account.Actor, from, into vital.UID) (safe.Comparison, error) {
	var c safe.Comparison
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		c, err = compare(ctx, tx, from, into, now)
		return err
	})
	return c, err
}

func compare(ctx context.Context, tx pgx.Tx, from, into vital.UID, now time.Time) (c safe.Comparison, err error) {
	if c.From, err = twin(ctx, tx, from, now); err != nil {
		return c, err
	}
	c.Into, err = twin(ctx, tx, into, now)
	return c, err
}

func twin(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (safe.Twin, error) {
	var t safe.Twin
	var err error
	if t.Patient, err = onePatient(ctx, tx, uid); err != nil {
		return t, err
	}
	rows, err := tx.Query(ctx, identifiersInForce, int64(t.Patient.ID), now)
	if err == nil {
		t.Identifiers, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Known, error) {
			var k safe.Known
			err := row.Scan(&k.System, &k.Value, &k.Key)
			return k, err
		})
	}
	if err == nil {
		err = tx.QueryRow(ctx, countTwin, int64(t.Patient.ID)).Scan(&t.Sensors, &t.OpenAlerts)
	}
	if err == nil {
		t.Erasure, err = openErasureOf(ctx, tx, t.Patient.ID)
	}
	if err == nil {
		err = tx.QueryRow(ctx, choicesNow, int64(t.Patient.ID), now).Scan(&t.Choices)
	}
	if err != nil {
		return t, fmt.Errorf("load what is compared: %w", err)
	}
	return t, nil
}

const refilesOfPatient = `SELECT count(*) FROM refile WHERE (source_id = $1 OR target_id = $1) AND state IN ('asked', 'running')`
const markMerged = `UPDATE patient SET state = 'merged', merged_into = $3 WHERE org_id = $1 AND id = $2`
const markApart = `UPDATE patient SET state = $3, merged_into = NULL WHERE org_id = $1 AND id = $2`

// takeIntoTeams lets the teams of the one look after the other, where they do not yet.
const takeIntoTeams = `
INSERT INTO team_patient (org_id, team_id, patient_id, from_at)
SELECT x.org_id, x.team_id, $3, $4 FROM team_patient x
WHERE x.org_id = $1 AND x.patient_id = $2 AND x.from_at <= $4 AND x.to_at IS NULL
    AND NOT EXISTS (SELECT FROM team_patient y WHERE y.org_id = x.org_id AND y.patient_id = $3 AND y.team_id = x.team_id AND y.to_at IS NULL)
RETURNING id`

// followGlass lets whoever has broken the glass of the one see the other for the rest of the time: an emergency does not wait for a
// desk. Each is a row of its own, which the privacy officer reviews.
const followGlass = `
INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at)
SELECT g.org_id, gen_random_uuid(), $3, g.staff_id, g.reason, $4, g.until_at FROM break_glass g
WHERE g.org_id = $1 AND g.patient_id = $2 AND g.ended_at IS NULL AND g.until_at > $4 RETURNING id`
const tellOfFollowed = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience)
SELECT g.org_id, g.patient_id, $2, g.uid, 'urgent', $3, 'privacy_officer' FROM break_glass g WHERE g.id = ANY($1)`
const endFollowed = `UPDATE break_glass SET ended_at = $3 WHERE org_id = $1 AND id = ANY($2) AND ended_at IS NULL AND until_at > $3`

// endOfMerged are what ends with the first record: its sessions, codes and links would live again if it were undone.
func endOfMerged() []string {
	var all []string
	for _, table := range []string{"session", "invitation", "share"} {
		all = append(all, `UPDATE `+table+` SET ended_at = $3 WHERE org_id = $1 AND patient_id = $2 AND ended_at IS NULL`)
	}
	return all
}

// That the two may be one is no open question any more, and is one again when they are two.
const doubleMerged = `
UPDATE possible_double SET state = 'merged', decided_at = $4, decided_by = $5, decided_name = $6
WHERE org_id = $1 AND patient_id = least($2::bigint, $3) AND other_id = greatest($2::bigint, $3) AND state = 'open'`
const doubleOpen = `
UPDATE possible_double SET state = 'open', decided_at = NULL, decided_by = NULL, decided_name = ''
WHERE org_id = $1 AND patient_id = least($2::bigint, $3) AND other_id = greatest($2::bigint, $3) AND state = 'merged'`

const writeMerge = `
INSERT INTO merge (org_id, uid, from_id, into_id, state, reason, override, kept, asked_by, asked_name, asked_at)
VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, $9, $10) RETURNING id`

const sensorsOfPatient = `
SELECT s.id, s.uid, min(a.from_at) FROM assignment a JOIN sensor s ON s.org_id = a.org_id AND s.id = a.sensor_id
WHERE a.patient_id = $1 AND (a.to_at IS NULL OR a.to_at > a.from_at) GROUP BY s.id, s.uid ORDER BY s.id`

// AskMerge merges two records. See safe.MergeBook.
func (a *App) AskMerge(ctx context.Context, actor account.Actor, w safe.MergeWish, decide func(safe.Comparison) error) (safe.Merge, error) {
	var made safe.Merge
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, lockPatients, []string{string(w.Patient), string(w.Into)}); err != nil {
			return fmt.Errorf("lock the patients: %w", err)
		}
		c, err := compare(ctx, tx, w.Patient, w.Into, now)
		if err != nil {
			return err
		}
		if err := decide(c); err != nil {
			return err
		}
		from, into := c.From.Patient, c.Into.Patient
		var busy int
		if err := tx.QueryRow(ctx, refilesOfPatient, int64(from.ID)).Scan(&busy); err != nil {
			return fmt.Errorf("look for refiles: %w", err)
		}
		if busy > 0 {
			return fault.New(fault.Conflict, "readings of this patient are being filed anew just now: wait until that has ended, and compare again")
		}
		made, err = merge(ctx, tx, actor, w, from, into, now)
		return err
	})
	return made, err
}

func merge(ctx context.Context, tx pgx.Tx, actor account.Actor, w safe.MergeWish, from, into account.Patient, now time.Time) (safe.Merge, error) {
	opened, err := opensBetween(ctx, tx, actor, now, from.ID, into.ID)
	if err != nil {
		return safe.Merge{}, err
	}
	k, err := join(ctx, tx, from, into, now)
	if err != nil {
		return safe.Merge{}, err
	}
	if err := joinMeasuring(ctx, tx, actor, from, into, now, &k); err != nil {
		return safe.Merge{}, err
	}
	note, err := json.Marshal(k)
	if err != nil {
		return safe.Merge{}, fmt.Errorf("write down what undoing needs: %w", err)
	}
	uid := newUID()
	var id int64
	err = tx.QueryRow(ctx, writeMerge, int32(actor.Org), string(uid), int64(from.ID), int64(into.ID), w.Reason, w.Override, note, nullID(actor.Staff), actor.Name, now).Scan(&id)
	if violated(err, "merge_once") {
		return safe.Merge{}, fault.New(fault.Conflict, "somebody has merged this patient already: look again")
	}
	if err != nil {
		return safe.Merge{}, fmt.Errorf("write the merge: %w", err)
	}
	for _, end := range endOfMerged() {
		if _, err := tx.Exec(ctx, end, int32(actor.Org), int64(from.ID), now); err != nil {
			return safe.Merge{}, fmt.Errorf("end what is the first record's: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, doubleMerged, int32(actor.Org), int64(from.ID), int64(into.ID), now, nullID(actor.Staff), actor.Name); err != nil {
		return safe.Merge{}, fmt.Errorf("settle the possible double: %w", err)
	}
	if _, err := tx.Exec(ctx, markMerged, int32(actor.Org), int64(from.ID), int64(into.ID)); err != nil {
		return safe.Merge{}, fmt.Errorf("mark the patient as merged: %w", err)
	}
	rows, err := tx.Query(ctx, sensorsOfPatient, int64(from.ID))
	if err != nil {
		return safe.Merge{}, fmt.Errorf("find the sensors: %w", err)
	}
	sensors, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (wanted, error) {
		f := wanted{source: from.ID, target: into.ID}
		err := row.Scan(&f.sensor, &f.Sensor, &f.From)
		f.From, f.Reason = f.From.UTC(), "merge: "+w.Reason
		return f, err
	})
	if err != nil {
		return safe.Merge{}, fmt.Errorf("find the sensors: %w", err)
	}
	for i := range sensors {
		if _, err := sensors[i].insert(ctx, tx, actor, now, 0, id); err != nil {
			return safe.Merge{}, err
		}
	}
	if err := auditMerge(ctx, tx, actor, now, string(account.MergePatients), uid, from.ID, into.ID); err != nil {
		return safe.Merge{}, err
	}
	if opened != 0 { // the living record is the one in which it is read
		both := []int64{int64(into.ID)}
		if opened != into.ID {
			both = append(both, int64(opened))
		}
		if err := letIn(ctx, tx, actor, now, "merge "+string(uid), both, into.ID); err != nil {
			return safe.Merge{}, err
		}
	}
	return oneMerge(ctx, tx, uid)
}

func auditMerge(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, action string, uid vital.UID, patients ...vital.PatientID) error {
	for _, p := range patients {
		if err := writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: action, Patient: p, Object: "merge " + string(uid)}); err != nil {
			return err
		}
	}
	return nil
}

// moves are the tables whose rows follow a person: one statement of each moves all rows of a patient ($4), or those that are named.
func moves() map[string]string {
	const move = ` SET patient_id = $3 WHERE org_id = $1 AND patient_id = $2 AND ($4::boolean OR id = ANY($5::bigint[])) RETURNING id`
	return map[string]string{
		"grants": `UPDATE caregiver_grant` + move, "private": `UPDATE private_item` + move, "identifiers": `UPDATE patient_identifier` + move,
		"kits": `UPDATE kit_holder` + move, "reds": moveReds,
	}
}

// into returns where the ids of a table that moves are kept.
func (k *kept) into(what string) *[]int64 {
	switch what {
	case "grants":
		return &k.Grants
	case "private":
		return &k.Private
	case "kits":
		return &k.Kits
	case "reds":
		return &k.Reds
	}
	return &k.Identifiers
}

// join gives the second record what belongs to the person.
func join(ctx context.Context, tx pgx.Tx, from, into account.Patient, now time.Time) (kept, error) {
	k := kept{State: from.State}
	var err error
	if k.Teams, err = idsOf(ctx, tx, takeIntoTeams, int32(from.Org), int64(from.ID), int64(into.ID), now); err != nil {
		return k, err
	}
	if k.Glass, err = idsOf(ctx, tx, followGlass, int32(from.Org), int64(from.ID), int64(into.ID), now); err != nil {
		return k, err
	}
	if _, err := tx.Exec(ctx, tellOfFollowed, k.Glass, string(push.GlassBroken), now); err != nil {
		return k, fmt.Errorf("tell the privacy officer: %w", err)
	}
	for what, move := range moves() {
		if *k.into(what), err = idsOf(ctx, tx, move, int32(from.Org), int64(from.ID), int64(into.ID), true, nil); err != nil {
			return k, err
		}
	}
	return k, nil
}

func idsOf(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("move what belongs to the person: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("move what belongs to the person: %w", err)
	}
	return ids, nil
}

const lockMerge = `SELECT id, from_id, into_id, state, kept FROM merge WHERE uid = $1 FOR NO KEY UPDATE`
const takeOutOfTeams = `UPDATE team_patient SET to_at = greatest(from_at, $3) WHERE org_id = $1 AND id = ANY($2) AND to_at IS NULL`
const undoMerge = `UPDATE merge SET state = 'undoing', ended_at = NULL, undo_reason = $3, undo_by = $4, undo_name = $5, undo_at = $6 WHERE org_id = $1 AND id = $2`
const refilesToUndo = refileColumns + `WHERE f.merge_id = $1 AND f.undo_of IS NULL AND f.state = 'done' ORDER BY f.id`
const stateOf = `SELECT state FROM patient WHERE id = $1`

// UndoMerge makes two records of them again. See safe.MergeBook.
func (a *App) UndoMerge(ctx context.Context, actor account.Actor, uid vital.UID, reason string, decide func(safe.ErasureState) error) (safe.Merge, error) {
	u, err := parseUID(uid, "merge")
	if err != nil {
		return safe.Merge{}, err
	}
	var after safe.Merge
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id int64
		var from, into vital.PatientID
		var state safe.MergeState
		var k kept
		err := tx.QueryRow(ctx, lockMerge, u).Scan(&id, &from, &into, &state, &k)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no merge %s", uid)
		case err != nil:
			return fmt.Errorf("load the merge: %w", err)
		case state != safe.MergeDone:
			return fault.New(fault.Conflict, "only a merge that is done can be undone, and this is %s", state)
		}
		if k.State == "" { // of a row that was damaged, or written by hand
			return fault.New(fault.Conflict, "what undoing this merge needs was not kept: it cannot be undone by itself")
		}
		if _, err := tx.Exec(ctx, lockPatientIDs, []int64{int64(from), int64(into)}); err != nil {
			return fmt.Errorf("lock the patients: %w", err)
		}
		var stands account.State
		if err := tx.QueryRow(ctx, stateOf, int64(into)).Scan(&stands); err != nil {
			return fmt.Errorf("load the patient: %w", err)
		}
		if stands == account.Merged {
			return fault.New(fault.Conflict, "the patient was merged into a third record since: undo that first")
		}
		erasure, err := openErasureOf(ctx, tx, from, into)
		if err != nil {
			return err
		}
		if err := decide(erasure); err != nil {
			return err
		}
		if err := part(ctx, tx, actor, k, from, into, now); err != nil {
			return err
		}
		if err := partMeasuring(ctx, tx, actor, k, id, from, into, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, undoMerge, int32(actor.Org), id, reason, nullID(actor.Staff), actor.Name, now); err != nil {
			return fmt.Errorf("undo the merge: %w", err)
		}
		list, err := refilesBy(ctx, tx, refilesToUndo, id)
		if err != nil {
			return fmt.Errorf("find what was moved: %w", err)
		}
		for _, was := range list {
			if _, err := undoRefile(ctx, tx, actor, now, was, "undoing a merge: "+reason, id); err != nil {
				return err
			}
		}
		if err := auditMerge(ctx, tx, actor, now, "undo merge", uid, from, into); err != nil {
			return err
		}
		after, err = oneMerge(ctx, tx, uid)
		return err
	})
	return after, err
}

// part gives the first record back what is still the second's of what was moved.
func part(ctx context.Context, tx pgx.Tx, actor account.Actor, k kept, from, into vital.PatientID, now time.Time) error {
	if _, err := tx.Exec(ctx, markApart, int32(actor.Org), int64(from), string(k.State)); err != nil {
		return fmt.Errorf("bring the patient back: %w", err)
	}
	if _, err := tx.Exec(ctx, doubleOpen, int32(actor.Org), int64(from), int64(into)); err != nil {
		return fmt.Errorf("open the possible double: %w", err)
	}
	if _, err := tx.Exec(ctx, takeOutOfTeams, int32(actor.Org), k.Teams, now); err != nil {
		return fmt.Errorf("end what the teams were given: %w", err)
	}
	if _, err := tx.Exec(ctx, endFollowed, int32(actor.Org), k.Glass, now); err != nil {
		return fmt.Errorf("end the emergency looks that followed: %w", err)
	}
	for what, move := range moves() {
		if _, err := idsOf(ctx, tx, move, int32(actor.Org), int64(into), int64(from), false, *k.into(what)); err != nil {
			return err
		}
	}
	return nil
}

const mergeColumns = `
SELECT m.uid::text, coalesce(x.id, 0), coalesce(x.uid::text, ''), coalesce(x.name, ''), coalesce(x.number, ''), coalesce(y.id, 0), coalesce(y.uid::text, ''), coalesce(y.name, ''), coalesce(y.number, ''), m.state, m.reason, m.override,
    m.asked_name, m.asked_at, m.ended_at, m.undo_reason, m.undo_name, m.undo_at, coalesce(f.total, 0), coalesce(f.moved, 0)
FROM merge m LEFT JOIN patient x ON x.org_id = m.org_id AND x.id = m.from_id LEFT JOIN patient y ON y.org_id = m.org_id AND y.id = m.into_id
    LEFT JOIN LATERAL (SELECT sum(r.total) AS total, sum(r.moved) AS moved FROM refile r
        WHERE r.org_id = m.org_id AND r.merge_id = m.id AND (r.undo_of IS NOT NULL) = (m.state IN ('undoing', 'undone'))) f ON true `

func scanMerge(row pgx.CollectableRow) (safe.Merge, error) {
	var m safe.Merge
	var ended, undone *time.Time
	err := row.Scan(&m.UID, &m.From.ID, &m.From.UID, &m.From.Name, &m.From.Number, &m.Into.ID, &m.Into.UID, &m.Into.Name, &m.Into.Number, &m.State, &m.Reason, &m.Override,
		&m.AskedBy, &m.AskedAt, &ended, &m.UndoReason, &m.UndoBy, &undone, &m.Total, &m.Moved)
	m.AskedAt, m.EndedAt, m.UndoAt = m.AskedAt.UTC(), timeOf(ended), timeOf(undone)
	return m, err
}

// Merge returns one merge. See safe.MergeBook.
func (a *App) Merge(ctx context.Context, actor account.Actor, uid vital.UID) (safe.Merge, error) {
	var m safe.Merge
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		m, err = oneMerge(ctx, tx, uid)
		return err
	})
	return m, err
}

// troublesOf are the parts of a merge, or of its undoing when that was asked for, that stand still or have failed.
const troublesOf = refileColumns + `WHERE m.uid = $1 AND f.problem <> '' AND (f.undo_of IS NOT NULL) = (m.state IN ('undoing', 'undone')) ORDER BY f.id`

func oneMerge(ctx context.Context, tx pgx.Tx, uid vital.UID) (safe.Merge, error) {
	m, err := oneByUID(ctx, tx, uid, "merge", mergeColumns+`WHERE m.uid = $1`, scanMerge)
	if err == nil {
		m.Troubles, err = refilesBy(ctx, tx, troublesOf, string(m.UID))
	}
	return m, err
}

// MergesOf returns a patient's merges, newest first. See safe.MergeBook.
func (a *App) MergesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]safe.Merge, error) {
	var list []safe.Merge
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, mergeColumns+`WHERE m.from_id = $1 OR m.into_id = $1 ORDER BY m.id DESC LIMIT 100`, int64(patient))
		if err == nil {
			list, err = pgx.CollectRows(rows, scanMerge)
		}
		if err != nil {
			return fmt.Errorf("list merges: %w", err)
		}
		return nil
	})
	return list, err
}
