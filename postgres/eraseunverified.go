package postgres

import "hale/safe"

// theirValue holds of an unverified value v of their sensors in their time, unless it was said to be somebody else's, or said to be theirs.
// One row may stand for the values of several.
const theirValue = `(EXISTS (SELECT FROM ` + theirSpans + ` AND v.sensor_id = s.sensor_id
    AND coalesce(v.measured_at, v.received_at) >= s.from_at AND (s.to_at IS NULL OR coalesce(v.measured_at, v.received_at) < s.to_at))
    AND NOT EXISTS (SELECT FROM unverified_person n WHERE n.org_id = v.org_id AND n.value_id = v.id AND n.how = 'claimed' AND NOT n.patient_id ` + inPeople + `)
  OR EXISTS (SELECT FROM unverified_person n WHERE n.org_id = v.org_id AND n.value_id = v.id AND n.how = 'claimed' AND n.patient_id ` + inPeople + `))`

const theirValues = `WITH theirs AS MATERIALIZED (
    SELECT v.id, v.unverified_id, v.sensor_id, v.metric, v.vals, v.measured_at, v.reading_id, v.received_at, v.became, v.note FROM unverified_value v WHERE v.org_id = $1 AND ` + theirValue + `)`

// theirUnverified are the unverified reds that may have been the person's: of their sensors in their time, said to be theirs, or left behind
// by a value of theirs that was opened anew.
const theirUnverified = `(SELECT u.id FROM unverified u WHERE u.org_id = $1 AND (EXISTS (SELECT FROM ` + theirSpans + ` AND u.sensor_id = s.sensor_id
    AND coalesce(u.measured_at, u.received_at) >= s.from_at AND (s.to_at IS NULL OR coalesce(u.measured_at, u.received_at) < s.to_at))
  OR EXISTS (SELECT FROM theirs t WHERE t.unverified_id = u.id OR t.sensor_id = u.sensor_id AND t.metric = u.metric AND t.vals = u.vals
    AND t.measured_at IS NOT DISTINCT FROM u.measured_at AND t.reading_id IS NOT DISTINCT FROM u.reading_id AND t.received_at >= u.received_at)))`

// Where it was said to be theirs, and was not, the reason may name them.
const eraseUnclaimedNote = `UPDATE unverified u SET note = '' WHERE u.org_id = $1 AND u.note <> '' AND EXISTS (
    SELECT FROM unverified_entry e WHERE e.org_id = u.org_id AND e.unverified_id = u.id AND e.claimed_for ` + inPeople + `)`

const eraseClaims = `DELETE FROM unverified_entry WHERE org_id = $1 AND claimed_for ` + inPeople

// eraseToldValues keeps the lines that tell of others besides, without what was theirs: their numbers, and what was said of theirs at once.
const eraseToldValues = theirValues + `
UPDATE unverified_entry e SET vals = '{}', note = '' FROM unverified u WHERE e.org_id = $1 AND u.org_id = e.org_id AND u.id = e.unverified_id AND EXISTS (
    SELECT FROM theirs t WHERE t.sensor_id = u.sensor_id AND t.metric = u.metric AND (
        t.vals = e.vals AND cardinality(e.vals) > 0
            AND NOT EXISTS (SELECT FROM unverified_value o WHERE o.org_id = e.org_id AND o.unverified_id = e.unverified_id AND o.vals = e.vals AND o.id NOT IN (SELECT id FROM theirs))
        OR t.unverified_id = e.unverified_id AND t.became <> 'claimed' AND t.note <> '' AND e.claimed_for IS NULL AND starts_with(e.note, t.note)))`

const eraseSharedNotes = theirValues + `
UPDATE unverified_value o SET note = '' FROM theirs t WHERE o.org_id = $1 AND o.unverified_id = t.unverified_id AND o.became = t.became AND o.became <> 'claimed' AND o.note = t.note
    AND o.note <> '' AND o.id NOT IN (SELECT id FROM theirs)`

// eraseUnverified keeps a row that stands for values of others besides: it shows the worst of these from then on.
const eraseUnverified = theirValues + `, others AS (
    SELECT DISTINCT ON (v.unverified_id) v.* FROM unverified_value v WHERE v.org_id = $1 AND v.unverified_id IN ` + theirUnverified + ` AND v.id NOT IN (SELECT id FROM theirs)
    ORDER BY v.unverified_id, v.ended_at IS NOT NULL, v.ground = 'beyond', v.badness DESC, v.id
), shown AS (
    UPDATE unverified u SET level = o.level, ground = o.ground, vals = o.vals, unitless = o.unitless, badness = o.badness, findings = o.findings, reading_id = o.reading_id,
        measured_at = o.measured_at, received_at = o.received_at, place = o.place, why = o.why, note = CASE WHEN o.ended_at IS NULL THEN '' ELSE o.note END, version = u.version + 1
    FROM others o WHERE u.org_id = $1 AND u.id = o.unverified_id)
DELETE FROM unverified u WHERE u.org_id = $1 AND u.id IN ` + theirUnverified + ` AND u.id NOT IN (SELECT o.unverified_id FROM others o)`

// unverifiedRules erase of unverified reds what is of the person, and leave what is others'.
func unverifiedRules() []eraseRule {
	const class = string(safe.ClassReadings)
	return []eraseRule{
		{"unverified", class, eraseUnclaimedNote, "why it was not theirs, though somebody had said so"},
		{"unverified_entry", class, eraseClaims, "that a value was said to be theirs, or not theirs"},
		{"unverified_entry", class, eraseToldValues, "their numbers in the log of a row that stands for others besides"},
		{"unverified_value", class, eraseSharedNotes, "what was said of theirs and of others at once may name them"},
		{"unverified", class, eraseUnverified, "unverified values of their sensors, and those that were said to be theirs, with their log"},
		{"unverified_value", class, `DELETE FROM unverified_value v WHERE v.org_id = $1 AND ` + theirValue, "theirs of a row that stands for others besides"},
		deleted("unverified_person", safe.ClassReadings, "that a value might have been theirs"),
	}
}
