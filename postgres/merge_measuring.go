package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/measuring"
	"hale/vital"
)

// keptPause is a pause of the first record and what was made of it for the second.
type keptPause struct {
	Own  int64 `json:"own"`
	Copy int64 `json:"copy"`
}

// pausesToCarry are the first's pauses that last or are to come, but for those of which the second has one of the same kind in that time.
const pausesToCarry = `
SELECT p.id FROM measurement_pause p WHERE p.org_id = $1 AND p.patient_id = $2 AND p.ended_at IS NULL AND (p.to_at IS NULL OR p.to_at > $4)
    AND NOT EXISTS (SELECT FROM measurement_pause o WHERE o.org_id = p.org_id AND o.patient_id = $3 AND o.kind = p.kind AND o.ended_at IS NULL
        AND o.from_at <= greatest(p.from_at, $4) AND coalesce(o.to_at, 'infinity') >= coalesce(p.to_at, 'infinity'))
ORDER BY p.id`

// copyPauses makes them the second's too, from now on.
const copyPauses = `
WITH made AS (
    INSERT INTO measurement_pause (org_id, uid, patient_id, kind, from_at, to_at, reason, author_id, author_name, created_at)
    SELECT p.org_id, k.uid, $4, p.kind, greatest(p.from_at, $5), p.to_at, p.reason, p.author_id, p.author_name, $5
    FROM unnest($2::bigint[], $3::uuid[]) AS k (id, uid) JOIN measurement_pause p ON p.org_id = $1 AND p.id = k.id ORDER BY p.id
    RETURNING id, uid, from_at
)
SELECT k.id, m.id, m.uid::text, m.from_at FROM made m JOIN unnest($2::bigint[], $3::uuid[]) AS k (id, uid) ON k.uid = m.uid ORDER BY m.id`

// endOwnPauses ends the first's pauses that somebody ended for the second while they were one, and endCopies what was made of the others.
const endOwnPauses = `
UPDATE measurement_pause p SET ended_at = c.ended_at, ended_by = c.ended_by FROM measurement_pause c, unnest($3::bigint[], $4::bigint[]) AS k (own, copy)
WHERE p.org_id = $1 AND p.patient_id = $2 AND p.id = k.own AND p.ended_at IS NULL AND c.org_id = $1 AND c.id = k.copy AND c.ended_at IS NOT NULL`
const endCopies = `
UPDATE measurement_pause SET ended_at = $4, ended_by = $5 WHERE org_id = $1 AND patient_id = $2 AND id = ANY($3) AND ended_at IS NULL AND (to_at IS NULL OR to_at > $4)`

// moveDoubts gives the first's doubts to the second, whose the readings are to be: answered ones too, so that nobody is asked again.
const moveDoubts = `
UPDATE technique_doubt d SET patient_id = $3 WHERE d.org_id = $1 AND d.patient_id = $2
    AND NOT EXISTS (SELECT FROM technique_doubt o WHERE o.org_id = d.org_id AND o.patient_id = $3 AND o.reading_id = d.reading_id AND o.kind = d.kind)
RETURNING d.id`

// returnDoubts gives them back, with those that were raised since about what the first one's sensors measured.
const returnDoubts = `
UPDATE technique_doubt d SET patient_id = $3 WHERE d.org_id = $1 AND d.patient_id = $2
    AND (d.id = ANY($4) OR d.sensor_id IN (SELECT f.sensor_id FROM refile f WHERE f.org_id = $1 AND f.merge_id = $5 AND f.undo_of IS NULL)
        AND d.raised_at >= (SELECT m.asked_at FROM merge m WHERE m.org_id = $1 AND m.id = $5))
    AND NOT EXISTS (SELECT FROM technique_doubt o WHERE o.org_id = d.org_id AND o.patient_id = $3 AND o.reading_id = d.reading_id AND o.kind = d.kind)`

// moveReds gives the one record what was said, or may be, to be the other's of unverified reds: a refused one is no reading that follows
// by itself. What was said of both stays.
const moveReds = `
UPDATE unverified_person h SET patient_id = $3 WHERE h.org_id = $1 AND h.patient_id = $2 AND ($4::boolean OR h.id = ANY($5::bigint[]))
    AND NOT EXISTS (SELECT FROM unverified_person o WHERE o.org_id = h.org_id AND o.patient_id = $3 AND o.unverified_id = h.unverified_id AND o.how = h.how
        AND o.value_id IS NOT DISTINCT FROM h.value_id)
RETURNING h.id`

// joinMeasuring lets the second record expect from now on what the first expected, and brings along what was doubtful. The past of both
// stays as it was.
func joinMeasuring(ctx context.Context, tx pgx.Tx, actor account.Actor, from, into account.Patient, now time.Time, k *kept) error {
	first, second := measuring.History{Patient: from}, measuring.History{Patient: into}
	if err := measuringOf(ctx, tx, map[vital.PatientID]*measuring.History{from.ID: &first, into.ID: &second}); err != nil {
		return err
	}
	var err error
	if k.Schedule, err = appendVersions(ctx, tx, actor, &second, measuring.Joined(schedulesOf(&second), schedulesOf(&first), now), "what this person was to measure under another record", now); err != nil {
		return err
	}
	own, err := idsOf(ctx, tx, pausesToCarry, int32(from.Org), int64(from.ID), int64(into.ID), now)
	if err != nil {
		return err
	}
	uids := make([]string, len(own))
	for i := range uids {
		uids[i] = string(newUID())
	}
	rows, err := tx.Query(ctx, copyPauses, int32(from.Org), own, uids, int64(into.ID), now)
	if err != nil {
		return fmt.Errorf("carry the pauses over: %w", err)
	}
	type copied struct {
		keptPause
		uid  vital.UID
		from time.Time
	}
	made, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c copied, err error) {
		err = row.Scan(&c.Own, &c.Copy, &c.uid, &c.from)
		return c, err
	})
	if err != nil {
		return fmt.Errorf("carry the pauses over: %w", err)
	}
	for _, c := range made {
		k.Pauses = append(k.Pauses, c.keptPause)
		if err := scheduleChanged(ctx, tx, actor, into.ID, "pause "+string(c.uid), c.from.UTC().Format(time.RFC3339), now); err != nil {
			return err
		}
	}
	k.Doubts, err = idsOf(ctx, tx, moveDoubts, int32(from.Org), int64(from.ID), int64(into.ID))
	return err
}

// partMeasuring gives both records what they expected before, from now on: unless somebody has set the second's anew since. What was
// ended for the one person is ended.
func partMeasuring(ctx context.Context, tx pgx.Tx, actor account.Actor, k kept, merge int64, from, into vital.PatientID, now time.Time) error {
	second := measuring.History{Patient: account.Patient{ID: into}}
	if err := measuringOf(ctx, tx, map[vital.PatientID]*measuring.History{into: &second}); err != nil {
		return err
	}
	if n := len(k.Schedule); n > 0 && second.Newest() == k.Schedule[n-1] {
		own := slices.DeleteFunc(schedulesOf(&second), func(s measuring.Schedule) bool { return s.Number >= k.Schedule[0] })
		if _, err := appendVersions(ctx, tx, actor, &second, measuring.Alone(own, now), "the two records are two persons'", now); err != nil {
			return err
		}
	}
	own, copies := make([]int64, 0, len(k.Pauses)), make([]int64, 0, len(k.Pauses))
	for _, p := range k.Pauses {
		own, copies = append(own, p.Own), append(copies, p.Copy)
	}
	if _, err := tx.Exec(ctx, endOwnPauses, int32(actor.Org), int64(from), own, copies); err != nil {
		return fmt.Errorf("end the pauses that have ended: %w", err)
	}
	if _, err := tx.Exec(ctx, endCopies, int32(actor.Org), int64(into), copies, now, actor.Name); err != nil {
		return fmt.Errorf("end the pauses that were carried over: %w", err)
	}
	if _, err := tx.Exec(ctx, returnDoubts, int32(actor.Org), int64(into), int64(from), k.Doubts, merge); err != nil {
		return fmt.Errorf("give the doubts back: %w", err)
	}
	return nil
}

func schedulesOf(h *measuring.History) []measuring.Schedule {
	all := make([]measuring.Schedule, len(h.Versions))
	for i := range h.Versions {
		all[i] = h.Versions[i].Schedule
	}
	return all
}

// appendVersions appends versions to the patient's schedule and returns their numbers.
func appendVersions(ctx context.Context, tx pgx.Tx, actor account.Actor, h *measuring.History, list []measuring.Schedule, reason string, now time.Time) ([]int, error) {
	var numbers []int
	for i := range list {
		lines, err := lineRows(list[i].Lines)
		if err != nil {
			return nil, err
		}
		n := h.Newest() + 1 + i
		_, err = tx.Exec(ctx, insertSchedule, int32(actor.Org), int64(h.Patient.ID), n, list[i].EffectiveFrom, lines, reason, nullID(actor.Staff), actor.Name, now)
		if err != nil {
			return nil, fmt.Errorf("add version %d of a schedule: %w", n, err)
		}
		if err := scheduleChanged(ctx, tx, actor, h.Patient.ID, fmt.Sprintf("schedule version %d", n), list[i].EffectiveFrom.UTC().Format(time.RFC3339), now); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
