package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/account/audit"
	"hale/postgres"
)

// heldByThe7th is what a record of version 7 holds besides: people who are signed in, second factors, a trail.
const heldByThe7th = `
INSERT INTO session (org_id, uid, staff_id, token_hash, csrf, created_at, seen_at, expires_at)
SELECT org_id, '01920000-0000-7000-8000-000000000001', id, sha256('token'), 'csrf', now(), now(), now() + interval '1 day' FROM staff WHERE login = 'mia';
INSERT INTO second_factor (org_id, staff_id, secret, created_at, confirmed_at, last_step) SELECT org_id, id, 'sealed', now(), now(), 7 FROM staff WHERE login = 'mia';
INSERT INTO recovery_code (org_id, staff_id, code_hash, used_at) SELECT org_id, id, sha256('one'), NULL FROM staff WHERE login = 'mia' UNION ALL SELECT org_id, id, sha256('two'), now() FROM staff WHERE login = 'mia';
INSERT INTO sign_in_failure (login_hash, failures, last_at, locked_until) VALUES (sha256('dora'), 5, now(), now() + interval '1 hour');
INSERT INTO audit (org_id, at, actor_id, actor_name, actor_role, session_uid, action, patient_id, object, detail)
VALUES (1, '2026-01-01Z', 1, 'Mia', 'nurse', '01920000-0000-7000-8000-000000000001', 'look', 1, 'patient', ''), (1, '2026-01-02Z', NULL, 'operator', '', '', 'create organisation', NULL, 'organisation', 'x');`

// heldByThe17th is what one of version 17 holds besides: relatives and what they did, consents, somebody whose erasure has begun.
const heldByThe17th = `
INSERT INTO patient (org_id, uid, name, number, birth_year, birth_date, sex, zone, created_at, state) VALUES
    (1, gen_random_uuid(), 'Gone', 'G-1', 1930, '1930', 'male', 'UTC', '2026-01-01Z', 'locked'), (1, gen_random_uuid(), 'Else', 'E-1', 1930, '1930', 'male', 'UTC', '2026-01-01Z', 'active');
INSERT INTO caregiver (org_id, uid, name, created_at) VALUES (1, gen_random_uuid(), 'Saul Son', '2026-01-01Z'), (1, gen_random_uuid(), 'Bo Twin', '2026-01-01Z'), (1, gen_random_uuid(), 'Bo Twin', '2026-01-01Z');
INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, scopes, from_at) SELECT 1, 1, id, 'see patients', '2026-01-01Z' FROM caregiver;
INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, through, recorded_by, decided_at, created_at)
VALUES (1, gen_random_uuid(), 1, 'research', 1, 'en', 'given', 'self', 'own_session', 'the patient', '2026-01-01Z', '2026-01-01Z');
INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most) VALUES
    (1, gen_random_uuid(), 1, 'sheet', sha256('1'), 'Ana', 'patient', now(), now() + interval '1 day', 3), (1, gen_random_uuid(), 1, 'sheet', sha256('2'), 'Saul Son', 'caregiver', now(), now() + interval '1 day', 3);
INSERT INTO correction (org_id, uid, patient_id, kind, wish, asked_name, asked_role, asked_at) VALUES
    (1, gen_random_uuid(), 1, 'name', 'with an h', 'Ana', 'patient', '2026-01-01Z'), (1, gen_random_uuid(), 1, 'birth', '1942', 'Saul Son', 'guardian', '2026-01-01Z'), (1, gen_random_uuid(), 1, 'name', 'x', 'Bo Twin', 'caregiver', '2026-01-01Z');
INSERT INTO session (org_id, uid, patient_id, device_hash, token_hash, csrf, created_at, seen_at, expires_at) VALUES (1, gen_random_uuid(), 1, sha256('device'), sha256('hers'), 'csrf', now(), now(), now() + interval '1 day');
INSERT INTO erasure (org_id, uid, number, patient_id, state, step, asked_role, asked_at, decided_at, due_at, cut_at, executed_at)
SELECT 1, gen_random_uuid(), 1, id, 'kept', 'purged', 'patient', '2026-01-01Z', '2026-01-02Z', '2036-01-01Z', '2026-01-03Z', '2026-01-03Z' FROM patient WHERE name = 'Gone';
INSERT INTO erasure (org_id, uid, number, patient_id, state, asked_role, asked_at) SELECT 1, gen_random_uuid(), 2, id, 'asked', 'patient', '2026-01-01Z' FROM patient WHERE name = 'Else';
INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, created_at) SELECT n.org_id, n.id, 1, '2026-01-01Z', '2026-01-01Z' FROM sensor n;
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience) VALUES (1, 1, 'alert.opened', 'd', 'red', now(), 'team');`

// TestARecordThatIsInUseIsMigratedWithWhatItHolds goes from version 1 by 7 and 17, with data of each, to the newest.
func TestARecordThatIsInUseIsMigratedWithWhatItHolds(t *testing.T) {
	t.Parallel()
	old := olderRecord(t)
	r := &record{db: old}
	migrateTo(t, old, 1, firstRecord+`INSERT INTO device (org_id, uid, model, secret_hash, created_at) VALUES (1, 'cuff', 'Cuff', sha256('s'), '2026-01-01Z');
		INSERT INTO sensor (org_id, uid, device_id) VALUES (1, 'cuff', 1)`)
	migrateTo(t, old, 7, heldByThe7th)
	const staffed = `SELECT concat_ws('|', s.uid, encode(s.token_hash, 'hex'), s.ended_at, encode(f.secret, 'hex'), f.last_step, (SELECT string_agg(encode(c.code_hash, 'hex') || (c.used_at IS NULL), ',' ORDER BY c.code_hash) FROM recovery_code c),
		(SELECT string_agg(failures || '', ',') FROM sign_in_failure), (SELECT string_agg(concat_ws(' ', at, actor_name, action, patient_id, object, detail), ',' ORDER BY id) FROM audit))
		FROM session s JOIN second_factor f ON f.staff_id = s.staff_id WHERE s.csrf = 'csrf' AND s.staff_id IS NOT NULL`
	before := r.text(t, staffed)
	migrateTo(t, old, 17, heldByThe17th)
	done, err := postgres.Migrate(t.Context(), old.AdminURL())
	if err != nil || done.From != 17 {
		t.Fatalf("migrated %+v, %v", done, err)
	}
	if diff := cmp.Diff(before, r.text(t, staffed)); diff != "" {
		t.Errorf("who was signed in by version 7, and the trail (-before +after):\n%s", diff)
	}
	for name, c := range map[string]struct {
		query string
		want  int
	}{
		"the nurse is in the usual team":             {`SELECT count(*) FROM team_member m JOIN staff s ON s.id = m.staff_id JOIN team t ON t.id = m.team_id WHERE s.login = 'mia' AND t.usual`, 1},
		"the texts of consent are there":             {`SELECT count(DISTINCT purpose) FROM consent_text`, 3},
		"her consent stands":                         {`SELECT count(*) FROM consent_decision WHERE choice = 'given'`, 1},
		"her session goes on":                        {`SELECT count(*) FROM session WHERE patient_id = 1 AND ended_at IS NULL`, 1},
		"her link is open, and nobody else's":        {`SELECT count(*) FROM share WHERE ended_at IS NULL AND made_role = 'patient' AND caregiver_id IS NULL`, 1},
		"the son's link is his":                      {`SELECT count(*) FROM share s JOIN caregiver c ON c.id = s.caregiver_id WHERE c.name = 'Saul Son' AND s.made_role = 'caregiver'`, 1},
		"what the son said is his":                   {`SELECT count(*) FROM correction s JOIN caregiver c ON c.id = s.asked_by WHERE c.name = 'Saul Son' AND s.kind = 'birth'`, 1},
		"what one of two of a name said is nobody's": {`SELECT count(*) FROM correction WHERE asked_name = 'Bo Twin' AND asked_by IS NULL`, 1},
		"what she said is hers":                      {`SELECT count(*) FROM correction WHERE asked_role = 'patient' AND asked_by IS NULL`, 1},
		"who is being erased is out of reach":        {`SELECT count(*) FROM patient WHERE name = 'Gone' AND restricted_at = '2026-01-03Z'`, 1},
		"nobody else is":                             {`SELECT count(*) FROM patient WHERE restricted_at IS NOT NULL`, 1},
		"her device is hers":                         {`SELECT count(*) FROM assignment WHERE patient_id = 1 AND to_at IS NULL`, 1},
		"a notice to the team is owed":               {`SELECT count(*) FROM outbox WHERE audience = 'team' AND sent_at IS NULL AND cancelled_at IS NULL`, 1},
	} {
		if n := r.count(t, c.query); n != c.want {
			t.Errorf("%s: %d rows, want %d", name, n, c.want)
		}
	}
	if r.work, err = postgres.OpenWork(t.Context(), old.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.work.Close)
	mustHold(t, r.export(t), audit.Expected{})
	// The erasures go on: the one that waits for its day is carried out then.
	if _, ok, err := r.work.ClaimErasure(t.Context(), r.now(t).AddDate(20, 0, 0)); !ok || err != nil {
		t.Errorf("the erasure that was begun is not gone on with: %v, %v", ok, err)
	}
}
