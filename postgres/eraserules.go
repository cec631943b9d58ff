package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"hale/safe"
)

// eraseRule says what erasure does with one table. The statement gets $1 the organisation, $2 the person, $3 the erasure and
// $4 the time, and touches nobody else's rows.
type eraseRule struct {
	table     string
	phase     string // when: phaseCut, a class of safe, phaseLast; "" never
	statement string // "" with the phase ""
	why       string
}

// The phases of an erasure that are no class of data.
const (
	phaseCut  = "cut off"
	phaseLast = "last" // nothing of the person is kept any more
)

// ofPerson is the condition under which a row is the person's, or of a record that was merged into theirs.
const ofPerson = `org_id = $1 AND patient_id IN (SELECT x FROM erased_people($1, $2) x)`

const (
	inPeople    = `IN (SELECT x FROM erased_people($1, $2) x)`
	theirSpans  = `erased_span s WHERE s.org_id = $1 AND s.erasure_id = $3`
	inCaregiver = `IN (SELECT x FROM erased_caregivers($1, $2) x)`
)

func deleted(table string, class safe.Class, why string) eraseRule {
	return eraseRule{table, string(class), "DELETE FROM " + table + " WHERE " + ofPerson, why}
}

// unless is a table that erasure leaves alone, and why.
func unless(table, why string) eraseRule { return eraseRule{table: table, why: why} }

// eraseRules is the whole list, in the order in which it is carried out within a phase. A table that holds anything of a
// patient and is not here fails a test.
func eraseRules() []eraseRule {
	var all []eraseRule
	for _, part := range [][]eraseRule{cutRules(), measuredRules(), alertRules(), nearRules(), identityRules(), keptTables()} {
		all = append(all, part...)
	}
	return all
}

// cutRules end everything by which something new could come in or be seen.
func cutRules() []eraseRule {
	return []eraseRule{
		{"erased_span", phaseCut, `INSERT INTO erased_span (org_id, erasure_id, sensor_id, from_at, to_at, erased_at)
SELECT $1, $3, a.sensor_id, a.from_at, CASE WHEN a.to_at <= $4 THEN a.to_at END, $4 FROM assignment a
WHERE a.` + ofPerson + ` AND (a.to_at IS NULL OR a.to_at > a.from_at)
  AND NOT EXISTS (SELECT FROM erased_span s WHERE s.org_id = $1 AND s.erasure_id = $3 AND s.sensor_id = a.sensor_id AND s.from_at = a.from_at)`, "what comes later from these sensors is nobody's"},
		{"assignment", phaseCut, `UPDATE assignment SET to_at = CASE WHEN to_at <= $4 THEN to_at ELSE greatest(from_at, $4) END, epoch = epoch + 1 WHERE ` + ofPerson, "devices are nobody's; under another epoch an edge's knowledge of any of them is doubtful"},
		{"kit_holder", phaseCut, `UPDATE kit_holder SET to_at = greatest(from_at, $4) WHERE ` + ofPerson + ` AND to_at IS NULL`, "the kit is nobody's; the desk takes it back"},
		{"patient", phaseCut, `UPDATE patient SET state = CASE WHEN state = 'merged' THEN state ELSE 'locked' END, restricted_at = $4 WHERE org_id = $1 AND id ` + inPeople, "nothing is added to what is kept, and nobody finds it"},
		{"erasure", phaseCut, `UPDATE erasure SET state = 'withdrawn', answer = 'Another request of this person is carried out.', version = version + 1 WHERE ` + ofPerson + ` AND id <> $3 AND state = 'asked'`, "they asked for the same"},
		{"team_patient", phaseCut, `UPDATE team_patient SET to_at = greatest(from_at, $4) WHERE ` + ofPerson + ` AND (to_at IS NULL OR to_at > $4)`, "what is kept is restricted: nobody of care reaches it"},
		{"break_glass", phaseCut, `UPDATE break_glass SET ended_at = greatest(from_at, $4) WHERE ` + ofPerson + ` AND ended_at IS NULL`, "restricted"},
		{"caregiver_grant", phaseCut, `UPDATE caregiver_grant SET to_at = greatest(from_at, $4) WHERE ` + ofPerson + ` AND (to_at IS NULL OR to_at > $4)`, "restricted"},
		{"farewell", phaseCut, `INSERT INTO farewell (org_id, token_hash, number, asked, at)
SELECT $1, s.token_hash, e.number, CASE WHEN e.on_paper THEN 'paper' WHEN e.asked_role = 'patient' THEN 'patient' WHEN e.asked_role = 'caregiver' THEN 'guardian' ELSE '' END, $4
FROM erasure e JOIN session s ON s.org_id = $1 AND s.ended_at IS NULL AND s.patient_id ` + inPeople + ` WHERE e.org_id = $1 AND e.id = $3 ON CONFLICT DO NOTHING`, "their browsers are told what became of the record; it names nobody"},
		{"session", phaseCut, `UPDATE session SET ended_at = $4 WHERE org_id = $1 AND ended_at IS NULL AND (patient_id ` + inPeople + ` OR caregiver_id ` + inCaregiver + `)`, "nobody stays signed in"},
		{"invitation", phaseCut, `UPDATE invitation SET ended_at = $4 WHERE ` + ofPerson + ` AND ended_at IS NULL`, "no code opens the door again"},
		{"share", phaseCut, `UPDATE share SET ended_at = $4 WHERE ` + ofPerson + ` AND ended_at IS NULL`, "no link shows anything"},
		{"outbox", phaseCut, `UPDATE outbox SET cancelled_at = $4, cancelled_for = 'erasure' WHERE ` + ofPerson + ` AND topic NOT LIKE 'erasure.%' AND sent_at IS NULL AND cancelled_at IS NULL`, "no notice leaves but of the erasure itself"},
		{"refile", phaseCut, `UPDATE refile SET state = 'failed', problem = '` + endedForErasure + `', ended_at = $4 WHERE org_id = $1 AND state IN ('asked', 'running') AND (source_id ` + inPeople + ` OR target_id ` + inPeople + `)`, "nothing more is filed under them"},
		{"import", phaseCut, `UPDATE import SET content = NULL WHERE org_id = $1 AND content IS NOT NULL AND kind = 'patients'`, "a file that names them, in whatever form, brings them back: any can be uploaded again"},
	}
}

// measuredRules are what was measured.
func measuredRules() []eraseRule {
	return append(unverifiedRules(), []eraseRule{
		{"reading", string(safe.ClassReadings), "", "what was measured: deleted by erase_readings, in pieces and before the rest"},
		{"inbox", string(safe.ClassReadings), `DELETE FROM inbox i USING ` + theirSpans + ` AND i.sensor_id = s.sensor_id AND i.measured_at >= s.from_at AND (s.to_at IS NULL OR i.measured_at < s.to_at)`, "parked readings of their sensors"},
		{"reading_more", string(safe.ClassReadings), `DELETE FROM reading_more m USING ` + theirSpans + ` AND m.org_id = $1 AND m.sensor_id = s.sensor_id
AND m.sent_at >= s.from_at - interval '1 day' AND (s.to_at IS NULL OR m.sent_at < s.to_at + interval '1 day')
AND NOT EXISTS (SELECT FROM reading r WHERE r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie)
AND NOT EXISTS (SELECT FROM inbox i WHERE i.sensor_id = m.sensor_id AND i.metric = m.metric AND i.sent_at = m.sent_at AND i.tie = m.tie)`, "what stood beside readings that are gone"},
		{"reading_note", string(safe.ClassReadings), `DELETE FROM reading_note n USING ` + theirSpans + ` AND n.org_id = $1 AND n.sensor_id = s.sensor_id AND n.received_at >= s.from_at AND (s.to_at IS NULL OR n.received_at < s.to_at)`, "what their meters said and waits"},
		{"original", string(safe.ClassReadings), `DELETE FROM original o USING sensor p, sensor n, ` + theirSpans + ` AND n.org_id = s.org_id AND n.id = s.sensor_id AND p.org_id = n.org_id AND p.id = coalesce(n.parent_id, n.id)
AND o.org_id = $1 AND o.last_received_at >= s.from_at
AND (p.device_id = o.device_id AND strpos(o.topic, '/sensors/') = 0 OR strpos(o.topic, '/sensors/' || p.uid || '/') > 0)`, "messages of their sensors as they were sent, also what came late: they are kept for days only"},
		{"withdrawal", string(safe.ClassReadings), `DELETE FROM withdrawal w USING ` + theirSpans + ` AND w.org_id = $1 AND w.sensor_id = s.sensor_id
AND (CASE WHEN w.sent_at = 'epoch' THEN w.received_at ELSE w.sent_at END) >= s.from_at AND (s.to_at IS NULL OR (CASE WHEN w.sent_at = 'epoch' THEN w.received_at ELSE w.sent_at END) < s.to_at)`, "what their devices took back, under which name, and when it was measured"},
		deleted("withdrawn_reading", safe.ClassReadings, "what was measured and taken back"),
		deleted("technique_doubt", safe.ClassReadings, "what was doubtful about a reading"),
		{"quarantine", string(safe.ClassReadings), `DELETE FROM quarantine q USING sensor n, ` + theirSpans + ` AND n.org_id = s.org_id AND n.id = s.sensor_id
AND q.org_id = $1 AND q.last_received_at >= s.from_at AND (s.to_at IS NULL OR q.received_at < s.to_at)
AND EXISTS (SELECT FROM sensor w WHERE w.org_id = n.org_id AND w.id = coalesce(n.parent_id, n.id)
     AND (w.device_id = q.device_id OR EXISTS (SELECT FROM gateway_grant g WHERE g.device_id = q.device_id AND g.sensor_id = w.id)
     AND (q.reason = 'conflict' OR position(convert_to(w.uid, 'UTF8') IN q.raw) > 0)))`, "raw bytes of their devices, and what names their sensors"},
		{"device_command", string(safe.ClassReadings), `DELETE FROM device_command c USING ` + theirSpans + ` AND c.org_id = $1 AND c.sensor_id = s.sensor_id AND c.created_at >= s.from_at AND (s.to_at IS NULL OR c.created_at < s.to_at)`, "what their devices were asked, texts among it"},
		{"device_problem_mark", string(safe.ClassReadings), `DELETE FROM device_problem_mark m USING ` + theirSpans + ` AND m.org_id = $1 AND m.sensor_id = s.sensor_id AND m.at >= s.from_at AND (s.to_at IS NULL OR m.at < s.to_at)`, "notes about their devices"},
		{"device_presence", string(safe.ClassReadings), `UPDATE device_presence p SET status = NULL FROM sensor n, ` + theirSpans + ` AND n.org_id = s.org_id AND n.id = s.sensor_id AND p.org_id = $1
AND p.status IS NOT NULL AND p.status_at >= s.from_at AND (s.to_at IS NULL OR p.status_at < s.to_at)
AND EXISTS (SELECT FROM sensor w WHERE w.org_id = n.org_id AND w.id = coalesce(n.parent_id, n.id)
     AND (w.device_id = p.device_id OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = p.org_id AND g.device_id = p.device_id AND g.sensor_id = w.id)))`, "what their devices said of themselves, in their own words"},
		{"refile_part", string(safe.ClassPairing), `DELETE FROM refile_part p USING refile f WHERE p.org_id = $1 AND f.org_id = $1 AND f.id = p.refile_id AND (f.source_id ` + inPeople + ` OR f.target_id ` + inPeople + `)`, "which readings were theirs"},
		{"assignment", string(safe.ClassPairing), "DELETE FROM assignment WHERE " + ofPerson, "which devices were theirs"},
		deleted("kit_holder", safe.ClassPairing, "which kits were theirs"),
	}...)
}

// alertRules are what was judged of the readings and done about it.
func alertRules() []eraseRule {
	episodes := `(SELECT e.id FROM episode e WHERE e.` + ofPerson + `)`
	return []eraseRule{
		{"timeline", string(safe.ClassAlerts), `DELETE FROM timeline WHERE org_id = $1 AND episode_id IN ` + episodes, "the log of their alerts"},
		{"refile_episode", string(safe.ClassAlerts), `DELETE FROM refile_episode WHERE org_id = $1 AND episode_id IN ` + episodes, "hangs on their alerts"},
		deleted("condition_interval", safe.ClassAlerts, "when a rule held"),
		deleted("episode", safe.ClassAlerts, "their alerts"),
		{"rule_version", string(safe.ClassAlerts), `DELETE FROM rule_version WHERE org_id = $1 AND rule_id IN (SELECT r.id FROM rule r WHERE r.` + ofPerson + `)`, "their limits"},
		deleted("rule", safe.ClassAlerts, "their limits"),
		deleted("measurement_schedule", safe.ClassAlerts, "what they were to measure"),
		deleted("measurement_pause", safe.ClassAlerts, "when they were away"),
		{"delivery", string(safe.ClassAlerts), `DELETE FROM delivery WHERE org_id = $1 AND outbox_id IN (SELECT o.id FROM outbox o WHERE o.` + ofPerson + `)`, "where these notices went"},
		deleted("outbox", safe.ClassAlerts, "notices about them"),
		deleted("team_patient", safe.ClassAlerts, "who cared for them"),
	}
}

// nearRules are what they agreed to, whom they let in, and what they did about their own data.
func nearRules() []eraseRule {
	return []eraseRule{
		deleted("consent_decision", safe.ClassConsents, "what they agreed to"),
		deleted("guardian_request", safe.ClassConsents, "what a guardian asked for"),
		deleted("private_item", safe.ClassConsents, "what they kept private"),
		deleted("ending_step", safe.ClassConsents, "how care ended"),
		deleted("share", safe.ClassExports, "links they gave away"),
		deleted("correction", safe.ClassExports, "what they found wrong"),
		deleted("break_glass", safe.ClassLooks, "who broke the glass, and why"),
	}
}

// identityRules are who they are, with everything by which they or those close to them sign in.
func identityRules() []eraseRule {
	const class = string(safe.ClassIdentity)
	return []eraseRule{
		{"provider_session", class, `DELETE FROM provider_session p USING session s WHERE p.org_id = $1 AND s.org_id = $1 AND s.uid = p.session_uid AND (s.patient_id ` + inPeople + ` OR s.caregiver_id ` + inCaregiver + `)`, "hangs on their sessions"},
		{"session", class, `DELETE FROM session WHERE org_id = $1 AND (patient_id ` + inPeople + ` OR caregiver_id ` + inCaregiver + `)`, "their sessions, and those of people who were close to nobody else"},
		deleted("invitation", safe.ClassIdentity, "their codes"),
		deleted("patient_identifier", safe.ClassIdentity, "their numbers elsewhere"),
		deleted("patient_change", safe.ClassIdentity, "what their name and birth were before"),
		{"import_line", class, `UPDATE import_line SET patient_id = NULL WHERE ` + ofPerson, "which row of a file they were"},
		{"possible_double", class, `DELETE FROM possible_double WHERE org_id = $1 AND (patient_id ` + inPeople + ` OR other_id ` + inPeople + `)`, "whom they were taken for"},
		{"erasure", class, `UPDATE erasure SET wish = '', told = '', answer = CASE WHEN answer = '' THEN '' ELSE 'erased' END WHERE ` + ofPerson, "what they wrote to us"},
		{"refile", class, `UPDATE refile SET reason = 'erased' WHERE org_id = $1 AND (source_id ` + inPeople + ` OR target_id ` + inPeople + `)`, "a reason may name them"},
		{"merge", class, `UPDATE merge SET kept = '{}', reason = 'erased', override = '', undo_reason = '' WHERE org_id = $1 AND (from_id ` + inPeople + ` OR into_id ` + inPeople + `)`, "what their other record was"},
		{"patient", class, `UPDATE patient SET uid = gen_random_uuid(), name = 'erased', number = '', birth_year = 0, birth_date = '', sex = 'unknown', zone = 'UTC', created_at = $4,
state = CASE WHEN merged_into IS NULL THEN 'locked' ELSE 'merged' END, erased_at = $4 WHERE org_id = $1 AND id ` + inPeople, "who they were; the number of the row stays while something kept hangs on it"},

		// Last: the rows on which anything that was kept did hang.
		deletedLast("caregiver", `WITH gone AS MATERIALIZED (SELECT x FROM erased_caregivers($1, $2) x),
grants AS (DELETE FROM caregiver_grant WHERE org_id = $1 AND caregiver_id IN (SELECT x FROM gone))
DELETE FROM caregiver WHERE org_id = $1 AND id IN (SELECT x FROM gone)`, "people who were close to them and to nobody else we know"),
		deletedLast("caregiver_grant", "DELETE FROM caregiver_grant WHERE "+ofPerson, "whom they let in"),
		deletedLast("refile_episode", `DELETE FROM refile_episode p USING refile f WHERE p.org_id = $1 AND f.org_id = $1 AND f.id = p.refile_id AND (f.source_id `+inPeople+` OR f.target_id `+inPeople+`)`, "hangs on the row below"),
		deletedLast("refile", `DELETE FROM refile WHERE org_id = $1 AND (source_id `+inPeople+` OR target_id `+inPeople+`)`, "readings that were filed under them for a while are told of by the other's alerts"),
		deletedLast("merge", `DELETE FROM merge WHERE org_id = $1 AND (from_id `+inPeople+` OR into_id `+inPeople+`)`, "their other record"),
		deletedLast("situation_change", "DELETE FROM situation_change WHERE "+ofPerson, "told to the processor anew"),
		deletedLast("erasure", `UPDATE erasure SET patient_id = NULL, patient_hash = NULL WHERE `+ofPerson, "the request is about nobody from now on"),
		deletedLast("patient", `DELETE FROM patient WHERE org_id = $1 AND id `+inPeople, "the row itself"),
	}
}

func deletedLast(table, statement, why string) eraseRule {
	return eraseRule{table, phaseLast, statement, why}
}

// keptTables are those in which nothing of the person is left to find, or of which the rest is somebody else's.
func keptTables() []eraseRule {
	return []eraseRule{
		unless("audit", "rows are blanked by blank_audit, so that the chain holds"),
		unless("sensor_presence", "the battery, signal and firmware of a thing, whoever has it: numbers, and a version"),
		unless("sensor", "what a thing is: its name, type, serial number, lot, firmware"),
		unless("incident", "when a device was out, and one of four words why"),
		unless("pairing_code", "a hash of a code for a device"),
		unless("device_cert", "what lets a device in: it names the device"),
		unless("device_claim", "what lets a device in: it names the device"),
		unless("erasure_item", "what was decided by class: names nobody"),
		unless("erasure_ledger", "what is needed to do it again: the number of a row that is gone and a hash"),
	}
}

// keepEraseRules writes the list into the record, where erase_rows reads it and hale_work cannot change it.
func keepEraseRules(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write the rules of erasure: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing is left of it after the commit
	if _, err := tx.ExecContext(ctx, `LOCK TABLE erasure_rule IN EXCLUSIVE MODE`); err != nil {
		return fmt.Errorf("write the rules of erasure: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM erasure_rule`); err != nil {
		return fmt.Errorf("write the rules of erasure: %w", err)
	}
	for i, r := range eraseRules() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO erasure_rule (position, table_name, phase, statement) VALUES ($1, $2, $3, $4)`, i, r.table, r.phase, r.statement); err != nil {
			return fmt.Errorf("write the rule of table %s: %w", r.table, err)
		}
	}
	return tx.Commit()
}
