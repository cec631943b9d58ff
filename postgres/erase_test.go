package postgres_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/audit"
	"hale/fault"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// still is a stream in which nothing moves.
type still struct {
	end    uint64
	erased safe.Traces
}

func (s *still) Identity() string                    { return streamID }
func (s *still) End(context.Context) (uint64, error) { return s.end, nil }
func (s *still) Erase(_ context.Context, _ uint64, t safe.Traces) error {
	s.erased = t
	return nil
}

// officer is a member of staff who decides on erasures.
func (r *record) officer(t *testing.T, login string) account.Actor {
	t.Helper()
	who, err := postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: "Home", Login: login, Name: "Officer " + login, Role: account.PrivacyOfficer, PasswordHash: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// wasTold is how somebody under care was told that the watch ends.
const wasTold = "Olga told them at home, on the first."

// closeRed closes what is red, as somebody of the care team would.
func (r *record) closeRed(t *testing.T, p account.Patient) {
	t.Helper()
	r.exec(t, fmt.Sprintf(`UPDATE episode SET state = 'closed', closing = 'cleared', closed_at = now() WHERE patient_id = %d AND state <> 'closed' AND level >= 2`, p.ID))
}

// request takes a request of the patient through decision and confirmation, and returns it.
func (r *record) request(t *testing.T, p account.Patient, policy safe.Policy, d safe.ErasureDecision) safe.Erasure {
	t.Helper()
	one, two := r.officer(t, "olga"), r.officer(t, "otto")
	s := &safe.Erasures{Book: r.app, People: r.app}
	if err := s.SetPolicy(t.Context(), one, policy); err != nil {
		t.Fatal(err)
	}
	self := account.Actor{Org: p.Org, Self: p.ID, UID: p.UID, Name: p.Name, Role: account.SelfRole}
	e, err := s.Ask(t.Context(), self, p.UID, "please forget "+p.Name)
	if err == nil {
		e, err = s.Decide(t.Context(), one, e.UID, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Confirm(t.Context(), one, e.UID, e.Number, wasTold); !fault.Is(err, fault.Forbidden) {
		t.Fatalf("who decided confirmed: %v", err)
	}
	if _, err := s.Confirm(t.Context(), two, e.UID, e.Number+1, wasTold); !fault.Is(err, fault.Invalid) {
		t.Fatalf("confirmed with another number: %v", err)
	}
	r.closeRed(t, p)
	if e, err = s.Confirm(t.Context(), two, e.UID, e.Number, wasTold); err != nil {
		t.Fatal(err)
	}
	return e
}

// atOnce is a policy that keeps nothing and waits for nothing.
func atOnce() safe.Policy {
	p := safe.DefaultPolicy()
	p.CoolingDays = 0
	for i := range p.Retention {
		p.Retention[i].Years, p.Retention[i].Linked = 0, false
	}
	return p
}

func (r *record) eraser(s safe.EraseStream) *safe.Eraser {
	return &safe.Eraser{Store: r.work, Stream: s, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: slog.New(slog.DiscardHandler)}
}

// passAll moves every cursor of the stream to a place.
func (r *record) passAll(t *testing.T, seq int64) {
	t.Helper()
	asAdmin(t, r.db.AdminURL(), fmt.Sprintf("UPDATE stream_cursor SET live_seq = greatest(live_seq, %d), late_seq = greatest(late_seq, %d), stream_identity = '%s'", seq, seq, streamID))
}

func (r *record) export(t *testing.T) []byte {
	t.Helper()
	sealer := &audit.Sealer{Store: r.work, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: slog.New(slog.DiscardHandler), Every: 10 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sealer.Run(ctx) }()
	for r.count(t, "SELECT count(*) FROM audit WHERE seq IS NULL") > 0 {
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ExportAudit(t.Context(), "Home", audit.NewExport(&file)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func mustHold(t *testing.T, export []byte, expected audit.Expected) audit.Verdict {
	t.Helper()
	v, err := audit.Verify(bytes.NewReader(export), expected)
	if err != nil || v.Broken != nil {
		t.Fatalf("the audit does not hold: %+v, %v", v.Broken, err)
	}
	return v
}

func TestAPersonIsErasedFromEveryTableAndOthersStay(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "Q-77")
	r.advance(t, r.pressure(10, 191, 101), r.pressure(20, 192, 102), r.weight(30, 81_234_567))
	directory := &account.Directory{People: r.app, Now: time.Now}
	if _, err := directory.Patient(t.Context(), r.nurse, r.patient.UID); err != nil {
		t.Fatal(err)
	}
	before := mustHold(t, r.export(t), audit.Expected{})
	rows := r.count(t, "SELECT count(*) FROM rule WHERE patient_id = "+fmt.Sprint(int64(other.ID)))

	e := r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	needles := []string{string(r.patient.UID), r.patient.Name, "81234567", "please forget"}
	for _, n := range needles {
		if len(pgtest.Holding(t, r.db.AdminURL(), n)) == 0 {
			t.Fatalf("%q was nowhere: the test sees nothing", n)
		}
	}
	flow := &still{end: 40}
	eraser := r.eraser(flow)
	step := func() string {
		t.Helper()
		now, err := r.work.Clock(t.Context())
		if err == nil {
			err = eraser.RunOnce(t.Context(), now)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r.text(t, "SELECT state || ' ' || step FROM erasure WHERE uid = '"+string(e.UID)+"'")
	}
	if got := step(); got != "erasing cut off" {
		t.Fatalf("before the cursors have passed: %s", got)
	}
	r.passAll(t, 40)
	flow.end = 50
	if got := step(); got != "erasing deleted" {
		t.Fatalf("when the cursors have passed the first end: %s", got)
	}
	r.passAll(t, 50)
	if got := step(); got != "done purged" {
		t.Fatalf("when the cursors have passed the second end: %s", got)
	}
	if !slices.Contains(flow.erased.Patients, r.patient.ID) || !slices.Contains(flow.erased.Sensors, r.device.Own) || !slices.Contains(flow.erased.Devices, r.device.ID) {
		t.Errorf("the stream was asked for %+v", flow.erased)
	}
	for _, n := range needles {
		if found := pgtest.Holding(t, r.db.AdminURL(), n); len(found) > 0 {
			t.Errorf("%q is still in %v", n, found)
		}
	}
	for _, q := range []string{"reading", "episode", "timeline", "assignment"} {
		if n := r.count(t, "SELECT count(*) FROM "+q); n != 0 {
			t.Errorf("%d rows are left in %s", n, q)
		}
	}
	if n := r.count(t, "SELECT count(*) FROM rule WHERE patient_id = "+fmt.Sprint(int64(other.ID))); n != rows || n == 0 {
		t.Errorf("the other patient has %d rules, and had %d", n, rows)
	}
	v := mustHold(t, r.export(t), audit.Expected{Seq: before.Sealed, Hash: before.Head})
	if v.Blanked == 0 || len(v.Blankings) != 1 {
		t.Errorf("the audit tells of %d blanked rows, %v", v.Blanked, v.Blankings)
	}
	// The receipt is the organisation's, and says nothing of who it was.
	text := r.text(t, "SELECT receipt FROM erasure WHERE uid = '"+string(e.UID)+"'")
	receipt, _, err := safe.ReadReceipt([]byte(text), nil)
	if err != nil || len(receipt.Erased) != len(safe.Classes()) || len(receipt.Kept) != 0 {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if _, _, err := safe.ReadReceipt([]byte(strings.Replace(text, `"request":1`, `"request":2`, 1)), nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("a receipt that was changed: %v", err)
	}

	// What comes late goes to nobody and is not kept; the processor forgets and goes on.
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	res := r.advance(t, r.pressure(25, 195, 105), r.pressure(60*24*400, 196, 106), vital.Record{Refused: &vital.Refused{
		Org: r.nurse.Org, Device: r.device.ID, Topic: "t", Reason: vital.ReasonConflict, Detail: "81234567", Raw: []byte("81234567"), Length: 8, ReceivedAt: time.Now(),
	}})
	if res.Stored != 0 || res.Parked != 0 {
		t.Errorf("late readings: %+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM inbox"); n != 0 {
		t.Errorf("%d late readings are parked", n)
	}
	if n := r.count(t, "SELECT coalesce(sum(dropped), 0)::int FROM erased_span"); n != 2 {
		t.Errorf("%d readings were counted as let go, want 2", n)
	}
	if found := pgtest.Holding(t, r.db.AdminURL(), "81234567"); len(found) > 0 {
		t.Errorf("refused bytes of the device are in %v", found)
	}
}

// text asks the database as its superuser.
func (r *record) text(t *testing.T, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var s string
	if err := conn.QueryRow(t.Context(), query).Scan(&s); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return s
}

// everywhere leaves something of the person in every table that the other tests leave empty: $P is the person, $O somebody
// else who stays, $M a record that was merged into the person's, $S a member of staff.
const everywhere = `
INSERT INTO caregiver (org_id, uid, name, created_at) VALUES (1, gen_random_uuid(), 'NEEDLE daughter', '2026-01-01Z'), (1, gen_random_uuid(), 'Shared niece', '2026-01-01Z'), (1, gen_random_uuid(), 'Of nobody yet', '2026-01-01Z');
INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, scopes, from_at, reason) SELECT 1, $P, c.id, 'see alerts', '2026-01-01Z', 'NEEDLE reason' FROM caregiver c WHERE c.name <> 'Of nobody yet';
INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, scopes, from_at) SELECT 1, $O, c.id, 'see alerts', '2026-01-01Z' FROM caregiver c WHERE c.name = 'Shared niece';
INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, through, recorded_by, decided_at, created_at) VALUES (1, gen_random_uuid(), $P, 'care', 1, 'en', 'given', 'self', 'own_session', 'NEEDLE herself', '2026-01-01Z', '2026-01-01Z');
INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, caregiver_id, through, staff_id, document, recorded_by, decided_at, created_at) SELECT 1, gen_random_uuid(), $P, 'research', 1, 'en', 'refused', 'guardian', c.id, 'paper', $S, 'NEEDLE paper', 'x', '2026-01-01Z', '2026-01-01Z' FROM caregiver c WHERE c.name LIKE 'NEEDLE%';
INSERT INTO guardian_request (org_id, uid, patient_id, caregiver_id, purpose, version, choice, made_at) SELECT 1, gen_random_uuid(), $P, c.id, 'care', 1, 'withdrawn', '2026-01-01Z' FROM caregiver c WHERE c.name LIKE 'NEEDLE%';
INSERT INTO private_item (org_id, uid, patient_id, kind, metric, marked_at, marked_by) VALUES (1, gen_random_uuid(), $P, 'metric', 1, '2026-01-01Z', 'NEEDLE');
INSERT INTO ending_step (org_id, uid, patient_id, kind, at, actor_name, actor_role, note) VALUES (1, gen_random_uuid(), $P, 'started', '2026-01-01Z', 'x', 'nurse', 'NEEDLE note');
INSERT INTO session (org_id, uid, patient_id, token_hash, csrf, created_at, seen_at, expires_at, label, device_hash) VALUES (1, gen_random_uuid(), $P, sha256('hers'), 'c', '2026-01-01Z', '2026-01-01Z', '2030-01-01Z', 'NEEDLE phone', sha256('d'));
INSERT INTO session (org_id, uid, caregiver_id, token_hash, csrf, created_at, seen_at, expires_at, label, device_hash) SELECT 1, gen_random_uuid(), c.id, convert_to(c.name, 'UTF8'), 'c', '2026-01-01Z', '2026-01-01Z', '2030-01-01Z', 'phone', sha256('d') FROM caregiver c WHERE c.name <> 'Of nobody yet';
INSERT INTO invitation (org_id, uid, patient_id, caregiver_id, staff_id, lookup, code_hash, created_at, expires_at) SELECT 1, gen_random_uuid(), $P, c.id, $S, 'ABCD', sha256('x'), '2026-01-01Z', '2026-01-02Z' FROM caregiver c WHERE c.name LIKE 'NEEDLE%';
INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most) VALUES (1, gen_random_uuid(), $P, 'sheet', sha256('s'), 'NEEDLE', 'patient', '2026-01-01Z', '2026-01-02Z', 3);
INSERT INTO correction (org_id, uid, patient_id, kind, wish, asked_name, asked_role, asked_at) VALUES (1, gen_random_uuid(), $P, 'name', 'NEEDLE is wrong', 'NEEDLE', 'patient', '2026-01-01Z');
INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at) VALUES (1, gen_random_uuid(), $P, $S, 'NEEDLE fell', '2026-01-01Z', '2026-01-02Z');
INSERT INTO patient_identifier (org_id, uid, patient_id, system, value, key, added_at) VALUES (1, gen_random_uuid(), $P, 'urn:x', 'NEEDLE-1', 'needle-1', '2026-01-01Z');
INSERT INTO patient_change (org_id, patient_id, at, actor_name, source, field, before, after) VALUES (1, $P, '2026-01-01Z', 'x', 'import', 'name', 'NEEDLE before', 'NEEDLE after');
INSERT INTO import (org_id, uid, kind, hash, content, options, rows, actor_name, created_at) VALUES (1, gen_random_uuid(), 'patients', sha256('i'), 'name;NEEDLE', '{}', 1, 'x', '2026-01-01Z');
INSERT INTO import_line (org_id, import_id, row, line, outcome, patient_id) SELECT 1, i.id, 1, 1, 'new', $P FROM import i;
INSERT INTO possible_double (org_id, uid, patient_id, other_id, found_at, reason) VALUES (1, gen_random_uuid(), least($P, $O), greatest($P, $O), '2026-01-01Z', 'NEEDLE');
UPDATE patient SET state = 'merged', merged_into = $P WHERE id = $M;
INSERT INTO merge (org_id, uid, from_id, into_id, state, reason, kept, asked_name, asked_at, ended_at) VALUES (1, gen_random_uuid(), $M, $P, 'done', 'NEEDLE twice', '{"name": "NEEDLE"}', 'x', '2026-01-01Z', '2026-01-01Z');
INSERT INTO refile (org_id, uid, sensor_id, source_id, target_id, from_at, reason, state, asked_name, asked_role, asked_at, ended_at) SELECT 1, gen_random_uuid(), s.id, $P, $O, '2026-01-01Z', 'NEEDLE lent it', 'done', 'x', 'nurse', '2026-01-01Z', '2026-01-01Z' FROM sensor s LIMIT 1;
INSERT INTO refile_part (org_id, refile_id, from_at, target_assignment) SELECT 1, f.id, '2026-01-01Z', (SELECT min(a.id) FROM assignment a) FROM refile f;
INSERT INTO refile_episode (org_id, refile_id, episode_id) SELECT 1, f.id, (SELECT min(e.id) FROM episode e) FROM refile f;
INSERT INTO measurement_schedule (org_id, patient_id, number, effective_from, lines, reason, author_name, created_at) VALUES (1, $P, 1, '2026-01-01Z', '[]', 'NEEDLE fell', 'x', '2026-01-01Z');
INSERT INTO measurement_pause (org_id, uid, patient_id, kind, from_at, reason, author_name, created_at) VALUES (1, gen_random_uuid(), $P, 'hospital', '2026-01-01Z', 'NEEDLE fell', 'x', '2026-01-01Z');
INSERT INTO technique_doubt (org_id, uid, patient_id, sensor_id, metric, sent_at, tie, measured_at, reading_id, kind, compared, raised_at, answer, note, answered_at) SELECT 1, gen_random_uuid(), $P, s.id, 4, '2026-01-01Z', 1, '2026-01-01Z', 1, 'other_person', '{78.1}', '2026-01-01Z', 'theirs', 'NEEDLE it is', '2026-01-01Z' FROM sensor s LIMIT 1;
INSERT INTO unverified (org_id, uid, device_id, sensor_id, metric, level, ground, vals, badness, findings, received_at, last_received_at, place, why, historic, opened_at, deadline_at, state, closed_at, closing, note) SELECT 1, gen_random_uuid(), d.id, s.id, 3, 3, 'extreme', '{72}', 1, 0, '2026-01-01Z', '2026-01-01Z', 'quarantine', 'unit', false, '2026-01-01Z', '2026-01-01Z', 'closed', '2026-01-01Z', 'claimed', 'NEEDLE was it' FROM sensor s JOIN device d ON d.id = s.device_id LIMIT 1;
INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, note, version) SELECT 1, u.id, 'claimed', '2026-01-01Z', 'NEEDLE was it', 1 FROM unverified u;
INSERT INTO unverified_value (org_id, unverified_id, sensor_id, metric, place, why, level, ground, vals, unitless, badness, findings, received_at, note) SELECT 1, u.id, u.sensor_id, 3, 'quarantine', 'unit', 3, 'extreme', '{72}', false, 1, 0, '2026-01-01Z', 'NEEDLE was it' FROM unverified u;
INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, value_id) SELECT 1, v.unverified_id, $P, 'claimed', v.id FROM unverified_value v;
INSERT INTO withdrawn_reading SELECT r.*, '2026-01-01Z', 'entered_in_error', NULL, 'x', 'nurse', 'NEEDLE was it not' FROM reading r LIMIT 1;
INSERT INTO reading_more (org_id, sensor_id, metric, sent_at, tie, facts) SELECT 1, r.sensor_id, r.metric, r.sent_at, r.tie, '[{"name": "note", "value": "NEEDLE was lying"}]' FROM reading r;
INSERT INTO reading_note (org_id, sensor_id, metric, tie, received_at, facts) SELECT DISTINCT ON (r.sensor_id) 1, r.sensor_id, 7, 8, r.received_at, '[{"name": "meal", "value": "NEEDLE"}]' FROM reading r;
INSERT INTO original (org_id, device_id, hash, topic, raw, received_at, last_received_at) SELECT 1, r.device_id, sha256('o'), 'hale/v1/cuff-1/fhir', 'NEEDLE', r.received_at, r.received_at + interval '1 hour' FROM reading r;
INSERT INTO withdrawal (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, state, next_action_at) SELECT 1, r.sensor_id, r.device_id, 5, 2, r.metric, r.sent_at, r.tie, r.received_at, 'done', r.received_at FROM reading r;
INSERT INTO kit (org_id, uid, label, state, state_at, issued_at, made_at) VALUES (1, gen_random_uuid(), 'K-1', 'issued', '2026-01-01Z', '2026-01-01Z', '2026-01-01Z');
INSERT INTO kit_holder (org_id, kit_id, patient_id, from_at, to_at) SELECT 1, k.id, h.patient, h.from_at::timestamptz, h.to_at::timestamptz FROM kit k, (VALUES ($P, '2026-01-01Z', NULL), ($M, '2025-01-01Z', '2025-06-01Z'), ($O, '2026-01-01Z', NULL)) h (patient, from_at, to_at);
INSERT INTO device_command (org_id, uid, device_id, sensor_id, kind, payload, urgent, created_at, not_after, author_name) SELECT 1, gen_random_uuid(), r.device_id, r.sensor_id, 'text', '{"text": "NEEDLE, please rest"}', false, r.received_at, r.received_at + interval '1 hour', 'x' FROM reading r;
INSERT INTO device_problem_mark (org_id, device_id, sensor_id, kind, since_at, state, note, by_name, at) SELECT 1, r.device_id, r.sensor_id, 'silent', r.received_at, 'seen', 'NEEDLE is away', 'x', r.received_at FROM reading r;
INSERT INTO device_presence (org_id, device_id, heard_at, status_at, status) SELECT 1, r.device_id, r.received_at, r.received_at, '{"note": "NEEDLE is asleep"}' FROM reading r ON CONFLICT (org_id, device_id) DO UPDATE SET status_at = excluded.status_at, status = excluded.status;
INSERT INTO channel (org_id, uid, name, url, topics, severities, audiences, secret, created_at, created_name) VALUES (1, gen_random_uuid(), 'pager', 'https://pager.example.org/', '{}', '{}', '{team}', 's', '2026-01-01Z', 'x');
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at) VALUES (1, $P, 'alert.opened', 'away', 'red', '2026-01-01Z');
INSERT INTO delivery (org_id, uid, outbox_id, channel_id, urgency, created_at, next_action_at) SELECT 1, gen_random_uuid(), o.id, c.id, 1, o.created_at, o.created_at FROM outbox o, channel c;
INSERT INTO audit (org_id, at, actor_name, actor_role, action, patient_id) VALUES (1, '2026-01-01Z', 'NEEDLE daughter', 'caregiver', 'look', $P), (1, '2026-01-01Z', 'NEEDLE daughter', 'caregiver', 'sign in', NULL), (1, '2026-01-01Z', 'Shared niece', 'caregiver', 'look', $O);
`

func TestEverythingOfAPersonGoesAndNothingOfOthers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 191, 101))
	other, merged := r.addPatient(t, r.nurse, "Q-77"), r.addPatient(t, r.nurse, "NEEDLE-2")
	r.exec(t, strings.NewReplacer("$P", fmt.Sprint(int64(r.patient.ID)), "$O", fmt.Sprint(int64(other.ID)), "$M", fmt.Sprint(int64(merged.ID)), "$S", fmt.Sprint(int64(r.nurse.Staff))).Replace(everywhere))
	for _, table := range postgres.EraseTables() {
		switch table {
		case "erased_span", "erasure", "erasure_item", "erasure_ledger", "farewell", "inbox", "quarantine", "outbox", "condition_interval", "situation_change", "provider_session",
			"incident", "pairing_code", "device_cert", "device_claim":
			continue // filled elsewhere, or by the erasure itself
		}
		if r.count(t, "SELECT count(*) FROM "+table) == 0 {
			t.Errorf("table %s is empty: the test shows nothing of it", table)
		}
	}
	e := r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, "SELECT state FROM erasure WHERE uid = '"+string(e.UID)+"'"); got != "done" {
		t.Fatalf("the request is %s", got)
	}
	if found := pgtest.Holding(t, r.db.AdminURL(), "NEEDLE"); len(found) > 0 {
		t.Errorf("something of the person is in %v", found)
	}
	for query, want := range map[string]int{
		"SELECT count(*) FROM patient":                                                        1,
		"SELECT count(*) FROM caregiver":                                                      2,
		"SELECT count(*) FROM caregiver_grant":                                                1,
		"SELECT count(*) FROM session WHERE caregiver_id IS NOT NULL AND ended_at IS NULL":    1,
		"SELECT count(*) FROM audit WHERE actor_name = 'Shared niece' AND blanked IS NULL":    1,
		"SELECT count(*) FROM import_line":                                                    1,
		"SELECT count(*) FROM merge":                                                          0,
		"SELECT count(*) FROM kit":                                                            1,
		fmt.Sprintf("SELECT count(*)::int FROM kit_holder WHERE patient_id = %d", other.ID):   1,
		"SELECT count(*) FROM kit_holder":                                                     1,
		"SELECT count(*) FROM withdrawal":                                                     0,
		"SELECT count(*) FROM device":                                                         1,
		fmt.Sprintf("SELECT count(*)::int FROM team_patient WHERE patient_id = %d", other.ID): 1,
	} {
		if n := r.count(t, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
	mustHold(t, r.export(t), audit.Expected{})
}
