package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

// deniedReadings counts, of what waits of a sensor for a reason, what somebody has taken from a patient's record: by answering a doubt
// with "somebody else's", by filing anew, by undoing a claim. What a merge moves says nothing of whose it was.
const deniedReadings = `
SELECT f.source_id, count(DISTINCT (i.metric, i.sent_at, i.tie)) FROM refile f JOIN refile_part t ON t.org_id = f.org_id AND t.refile_id = f.id
    JOIN inbox i ON i.sensor_id = f.sensor_id AND i.measured_at >= t.from_at AND i.measured_at < coalesce(t.to_at, 'infinity')
WHERE f.sensor_id = $1 AND f.source_id IS NOT NULL AND f.merge_id IS NULL AND i.reason = $2 AND i.state = 'waiting'
    AND NOT EXISTS (SELECT FROM refile u WHERE u.org_id = f.org_id AND u.undo_of = f.id AND u.state <> 'failed')
GROUP BY f.source_id`

// deniedOf returns of whom somebody has said that readings which wait are not theirs, and of how many.
func deniedOf(ctx context.Context, tx pgx.Tx, sensor int64, reason string) (map[vital.PatientID]int, error) {
	denied := map[vital.PatientID]int{}
	rows, err := tx.Query(ctx, deniedReadings, sensor, reason)
	if err != nil {
		return nil, fmt.Errorf("look for who was ruled out: %w", err)
	}
	var who vital.PatientID
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&who, &n}, func() error { denied[who] = n; return nil }); err != nil {
		return nil, fmt.Errorf("look for who was ruled out: %w", err)
	}
	return denied, nil
}

// claimOf is a period t of a sensor that somebody gave to the patient by saying whose what waited was. What lies within it, an assignment
// or a reading, stands there because of that, and is no evidence for the next. An undo restores what was, and is none of these.
const claimOf = `refile f JOIN refile_part t ON t.org_id = f.org_id AND t.refile_id = f.id AND f.source_id IS NULL AND f.undo_of IS NULL`

// Who held the sensor, or another of the same device, around that time, as the view of the transaction knows them. An assignment that
// a claim made is no evidence for the next.
const suggested = `
WITH spoke AS NOT MATERIALIZED (SELECT * FROM gateway_grant WHERE ended_at IS NULL OR ended_at > $2::timestamptz - interval '90 days')
SELECT p.id, p.uid::text, p.org_id, p.name, p.number, p.state, ` + relationColumns + `, a.sensor_id <> $1, a.from_at, a.to_at` + patientTables + `
    JOIN assignment a ON a.org_id = p.org_id AND a.patient_id = p.id
WHERE p.state IN ('active', 'ending') AND (a.to_at IS NULL OR a.to_at > a.from_at) AND a.from_at < $3::timestamptz + interval '90 days' AND coalesce(a.to_at, 'infinity') > $2::timestamptz - interval '90 days'
    AND a.sensor_id IN (SELECT $1::bigint
        UNION SELECT s.id FROM sensor n JOIN sensor s ON s.org_id = n.org_id AND (s.parent_id = n.id OR s.parent_id = n.parent_id OR s.id = n.parent_id) WHERE n.id = $1
        UNION SELECT o.sensor_id FROM spoke g JOIN spoke o ON o.org_id = g.org_id AND o.device_id = g.device_id WHERE g.sensor_id = $1
        UNION SELECT s.id FROM spoke g JOIN sensor s ON s.org_id = g.org_id AND s.device_id = g.device_id WHERE g.sensor_id = $1
        UNION SELECT g.sensor_id FROM sensor s JOIN spoke g ON g.org_id = s.org_id AND g.device_id = s.device_id WHERE s.id = $1)
    AND NOT EXISTS (SELECT FROM ` + claimOf + ` WHERE f.org_id = a.org_id AND f.target_id = a.patient_id AND f.sensor_id = a.sensor_id
        AND t.from_at <= a.from_at AND coalesce(t.to_at, 'infinity') >= coalesce(a.to_at, 'infinity'))
ORDER BY a.sensor_id <> $1, a.from_at DESC LIMIT 50`

// wornSpan is a period in which somebody had the sensor, or one near it.
type wornSpan struct {
	account.Patient
	near     bool
	from, to time.Time
}

// suggest adds whose they may be, the likeliest first. Of whom somebody has said that none of it is theirs, is not among them. What
// somebody usually measures is a reason only for whoever may see their readings.
func suggest(ctx context.Context, tx pgx.Tx, actor account.Actor, sensor int64, denied map[vital.PatientID]int, w *safe.Waiting) error {
	first, last := spanOf(w)
	rows, err := tx.Query(ctx, suggested, sensor, first, last)
	if err != nil {
		return fmt.Errorf("look for whose it may be: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h wornSpan, err error) {
		var to, glass *time.Time
		err = row.Scan(&h.ID, &h.UID, &h.Org, &h.Name, &h.Number, &h.State, &h.Relation.Team, &glass, &h.Relation.Shared, &h.near, &h.from, &to)
		h.from, h.to, h.Relation.Glass = h.from.UTC(), timeOf(to), timeOf(glass)
		return h, err
	})
	if err != nil {
		return fmt.Errorf("look for whose it may be: %w", err)
	}
	w.Suggestions = rank(all, denied, w)
	for i := range w.Suggestions {
		if account.Allow(actor, account.SeeReadings, &w.Suggestions[i].Patient) != nil {
			continue
		}
		if err := usual(ctx, tx, w, &w.Suggestions[i]); err != nil {
			return err
		}
	}
	return nil
}

// rank tells of each of those who had a sensor why what waits may be theirs: by the periods nearest to it, so that one which was cut in
// two is told once. The list comes with the sensor itself first, and each sensor's newest first.
func rank(all []wornSpan, denied map[vital.PatientID]int, w *safe.Waiting) []safe.Suggestion {
	theirs, order := map[vital.PatientID][]wornSpan{}, []vital.PatientID(nil)
	for _, h := range all {
		if no := denied[h.ID]; no > 0 && no >= w.Count {
			continue
		}
		if theirs[h.ID] == nil {
			order = append(order, h.ID)
		}
		theirs[h.ID] = append(theirs[h.ID], h)
	}
	var list []safe.Suggestion
	weak := map[vital.PatientID]int{}
	for _, id := range order {
		s := safe.Suggestion{Patient: theirs[id][0].Patient}
		weak[id] = 4 // no reason yet
		for i, near := range []bool{false, true} {
			reasons, then := heldReasons(theirs[id], near, w)
			if len(reasons) > 0 {
				weak[id] = min(weak[id], 2*i+1)
			}
			if then {
				weak[id] = min(weak[id], 2*i)
			}
			s.Reasons = append(s.Reasons, reasons...)
		}
		if no := denied[id]; no > 0 {
			s.Reasons = append(s.Reasons, fmt.Sprintf("somebody said of %d of them that they are not theirs", no))
			weak[id] += 5
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b safe.Suggestion) int { return weak[a.Patient.ID] - weak[b.Patient.ID] })
	return list
}

// rightAround is how far apart two periods of one person are at most of which no reader could tell that they are two.
const rightAround = time.Minute

// spanOf is from when to when what waits can have been measured.
func spanOf(w *safe.Waiting) (first, last time.Time) {
	first, _ = w.Vague.Span(w.First)
	_, last = w.Vague.Span(w.Last)
	return first, last
}

const heldForm = "2 January 2006, 15:04"

// mayHaveHad tells of a time that is not known well which part of it one person had the sensor for; all of it is no guess.
func mayHaveHad(all []wornSpan, near bool, what string, first, last time.Time) (reasons []string) {
	var had *wornSpan // its pieces that lie close to each other are one; all are newest first
	tell := func() {
		if had == nil {
			return
		}
		before, after := !had.from.After(first), had.to.IsZero() || had.to.After(last)
		from, to := had.from.Format(heldForm), had.to.Format(heldForm)
		words := "may have had " + what + " then: "
		switch {
		case before && after:
			words = "held " + what + " all the time in which it may have been measured"
		case before:
			words += "had it until " + to + " UTC"
		case had.to.IsZero():
			words += "has had it since " + from + " UTC"
		case after:
			words += "had it from " + from + " UTC"
		default:
			words += "had it from " + from + " to " + to + " UTC"
		}
		reasons = append(reasons, words)
	}
	for _, h := range all {
		switch {
		case h.near != near || h.from.After(last) || !h.to.IsZero() && !h.to.After(first):
		case had != nil && had.from.Sub(h.to) < rightAround:
			had.from = h.from
		default:
			tell()
			had = &h
		}
	}
	tell()
	return reasons
}

// heldReasons tells when one person had the sensor, or one near it, seen from the time in which what waits was measured; then is set when
// it was within that time. When that time is not known well, nothing is told as if it were.
func heldReasons(all []wornSpan, near bool, w *safe.Waiting) (reasons []string, then bool) {
	first, last := spanOf(w)
	what := "the sensor"
	if near {
		what = "another sensor of the same kit"
	}
	if !w.Vague.IsZero() {
		if reasons = mayHaveHad(all, near, what, first, last); len(reasons) > 0 {
			return reasons, true
		}
	}
	var before, after *wornSpan // the nearest
	for i := range all {
		h := &all[i]
		switch {
		case h.near != near:
		case !h.to.IsZero() && !h.to.After(first):
			if before == nil || h.to.After(before.to) {
				before = h
			}
		case h.from.After(last):
			if after == nil || h.from.Before(after.from) {
				after = h
			}
		case near:
			return []string{"held " + what + " at that time"}, true
		default:
			return []string{"held the sensor at that time, by the clock"}, true
		}
	}
	if before != nil && after != nil && after.from.Sub(before.to) < rightAround {
		return []string{"held " + what + " right before and right after"}, false
	}
	if before != nil {
		reasons = append(reasons, "held "+what+" until "+before.to.Format(heldForm)+" UTC")
	}
	if after != nil {
		word := "holds " + what + " since "
		if !after.to.IsZero() {
			word = "held " + what + " from "
		}
		reasons = append(reasons, word+after.from.Format(heldForm)+" UTC, after it was measured")
	}
	return reasons, false
}

// What was claimed is not what somebody usually measures: it would vouch for itself.
const usualWeight = `
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY r.value), count(*) FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) a
JOIN reading r ON r.sensor_id = a.sensor_id AND r.metric = $2 AND r.patient_id = $1 AND r.sent_at BETWEEN $3::timestamptz - interval '30 days' AND $3::timestamptz + interval '7 days'
WHERE NOT EXISTS (SELECT FROM ` + claimOf + ` WHERE f.target_id = $1 AND f.sensor_id = r.sensor_id AND r.measured_at >= t.from_at AND r.measured_at < coalesce(t.to_at, 'infinity'))`

// likeWeight is how near two weights of one person lie in some weeks, in kg [J; "is this you?" asks from 5 kg].
const likeWeight = 2.5

// usual adds how a weight compares with what the person weighs: of other vitals, people are too alike.
func usual(ctx context.Context, tx pgx.Tx, w *safe.Waiting, s *safe.Suggestion) error {
	i := slices.IndexFunc(w.Readings, func(p safe.Parked) bool { return p.Metric == vital.BodyWeight })
	if i < 0 {
		return nil
	}
	var median *float64
	var n int
	if err := tx.QueryRow(ctx, usualWeight, int64(s.Patient.ID), int16(vital.BodyWeight), w.Readings[i].MeasuredAt).Scan(&median, &n); err != nil {
		return fmt.Errorf("compare with what is usual: %w", err)
	}
	const enough = 3
	if n < enough || median == nil {
		return nil
	}
	words := "weighs about %.1f kg, which is not near this"
	if math.Abs(*median-w.Readings[i].Values[0]) <= likeWeight {
		words = "weighs about %.1f kg, which is near this"
	}
	s.Reasons = append(s.Reasons, fmt.Sprintf(words, *median))
	return nil
}
