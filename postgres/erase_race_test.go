package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/audit"
	"hale/account/identity"
	"hale/devices"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// hold begins a transaction as the superuser, runs a statement in it, and leaves it open.
func (r *record) hold(t *testing.T, statement string, args ...any) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '3s'`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
	return tx
}

// begun runs f beside the test, and returns once it waits for somebody's lock, with where its error will be.
func (r *record) begun(t *testing.T, f func() error) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	for r.count(t, waiting) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it waited for nobody: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return ended
}

func (r *record) do(t *testing.T, tx pgx.Tx, statement string, args ...any) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
}

// TestARefileTakesTheCursorsBeforeItself does what an erasure does while it cuts somebody off: it holds the cursors and ends
// what is asked for the person.
func TestARefileTakesTheCursorsBeforeItself(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 150, 90))
	r.ask(t, r.wish(r.patient.UID, b.UID, 5, 0))
	eraser := r.hold(t, `SELECT 1 FROM stream_cursor ORDER BY partition FOR UPDATE`)
	var step safe.RefileStep
	ended := r.begun(t, func() (err error) {
		step, err = r.work.StepRefile(t.Context(), r.now(t), 100)
		return err
	})
	r.do(t, eraser, `UPDATE refile SET state = 'failed', problem = 'erasure', ended_at = now()`)
	r.do(t, eraser, `COMMIT`)
	if err := <-ended; err != nil || !step.Found || step.Moved != 0 {
		t.Errorf("a refile that was ended meanwhile went on: %+v, %v", step, err)
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1`, int64(r.patient.ID)); n != 1 {
		t.Errorf("%d readings are left, want the one", n)
	}
}

func TestASensorIsGivenToNobodyWhoIsMergedOrLockedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	if _, err := r.app.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: "cuff-2", Model: "cuff"}); err != nil {
		t.Fatal(err)
	}
	for state, change := range map[string]string{
		"locked": `UPDATE patient SET state = 'locked', merged_into = NULL WHERE id = $1`,
		"merged": fmt.Sprintf(`UPDATE patient SET state = 'merged', merged_into = %d WHERE id = $1`, int64(r.patient.ID)),
	} {
		other := r.hold(t, `SELECT 1 FROM stream_cursor ORDER BY partition FOR UPDATE`)
		ended := r.begun(t, func() error {
			_, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: "cuff-2", Patient: b.UID, From: time.Now()})
			return err
		})
		r.do(t, other, change, int64(b.ID))
		r.do(t, other, `COMMIT`)
		if err := <-ended; !fault.Is(err, fault.Conflict) {
			t.Errorf("somebody who is %s got a sensor: %v", state, err)
		}
	}
	// And so is a refile asked for.
	r.exec(t, fmt.Sprintf(`UPDATE patient SET state = 'active', merged_into = NULL WHERE id = %d`, int64(b.ID)))
	other := r.hold(t, fmt.Sprintf(`UPDATE patient SET state = 'merged', merged_into = %d WHERE id = %d`, int64(r.patient.ID), int64(b.ID)))
	ended := r.begun(t, func() error {
		_, err := r.refiles().Ask(t.Context(), r.nurse, r.wish(r.patient.UID, b.UID, 0, 0))
		return err
	})
	r.do(t, other, `COMMIT`)
	if err := <-ended; !fault.Is(err, fault.Conflict) {
		t.Errorf("readings are to be filed under a record that was merged: %v", err)
	}
}

func TestWhoIsCutOffGetsNoSensorBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 90))
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	if err := r.eraser(&still{end: 40}).RunOnce(t.Context(), r.now(t)); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM erased_span WHERE to_at IS NULL`); n != 1 {
		t.Fatalf("%d open spans, want one", n)
	}
	tx := r.hold(t, `SET LOCAL ROLE hale_app`)
	r.do(t, tx, fmt.Sprintf(`SELECT set_config('app.org', '%d', true), set_config('app.view', 'org', true)`, r.patient.Org))
	_, err := tx.Exec(t.Context(), `INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, created_at) VALUES ($1, $2, $3, now(), now())`, int32(r.patient.Org), int64(r.device.Own), int64(r.patient.ID))
	if err == nil {
		t.Error("a sensor was given to somebody who is being erased")
	}
	r.do(t, tx, `ROLLBACK`)
	if n := r.count(t, `SELECT count(*) FROM erased_span WHERE to_at IS NULL`); n != 1 {
		t.Error("the span of who is being erased was closed")
	}
}

// TestWhatComesLateOfTheErasedIsGoneThoughTheirDevicesAreKept is the decision to keep which devices were theirs, and nothing
// that these measured.
func TestWhatComesLateOfTheErasedIsGoneThoughTheirDevicesAreKept(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 90))
	r.exec(t, `UPDATE assignment SET to_at = '2026-04-01Z'`) // it ended long ago, and no edge has heard of a change since
	policy := atOnce()
	for i := range policy.Retention {
		if policy.Retention[i].Class == safe.ClassPairing {
			policy.Retention[i].Years, policy.Retention[i].Ground = 10, "which device was where is kept for recalls"
		}
	}
	r.request(t, r.patient, policy, safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT count(*) FROM assignment`); n != 1 {
		t.Fatalf("%d assignments are kept, want one", n)
	}
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	res := r.advance(t, r.pressure(25, 195, 105))
	if res.Stored != 0 || res.Parked != 0 {
		t.Errorf("what came late: %+v", res)
	}
	for _, table := range []string{"reading", "inbox"} {
		if n := r.count(t, `SELECT count(*) FROM `+table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	if n := r.count(t, `SELECT coalesce(sum(dropped), 0)::int FROM erased_span`); n != 1 {
		t.Errorf("%d readings were counted as let go, want 1", n)
	}
}

func TestAWithdrawalComesTooLateForAnExecutionThatHasBegun(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	e := r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	self := account.Actor{Org: r.patient.Org, Self: r.patient.ID, UID: r.patient.UID, Name: r.patient.Name, Role: account.SelfRole}
	_, err := r.app.AmendErasure(t.Context(), self, e.UID, "withdraw erasure", func(before safe.Erasure, _ safe.Policy, now time.Time) (safe.Erasure, error) {
		task, ok, err := r.work.ClaimErasure(t.Context(), now)
		if err != nil || !ok {
			return before, errors.Join(err, fmt.Errorf("claimed: %v", ok))
		}
		if err := r.work.CutOff(t.Context(), task, now); err != nil {
			return before, err
		}
		before.State, before.DueAt = safe.ErasureWithdrawn, time.Time{}
		return before, nil
	})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("the request was withdrawn: %v", err)
	}
	if got := r.text(t, `SELECT state || ' ' || step || ' ' || (due_at IS NOT NULL) FROM erasure`); got != "erasing cut off true" {
		t.Errorf("the request is %s", got)
	}
}

// measured gives the record's patient so many readings of another metric, a minute apart, and one of pressure that opens an alert.
func (r *record) measured(t *testing.T, n int) {
	t.Helper()
	r.advance(t, r.pressure(10, 191, 101))
	r.exec(t, `SELECT make_reading_partition(m::date) FROM generate_series('2026-03-01'::timestamp, '2026-06-01', interval '1 month') m`)
	r.exec(t, fmt.Sprintf(`INSERT INTO reading (sensor_id, metric, sent_at, tie, org_id, patient_id, assignment_id, device_id, id, measured_at, received_at, value, mantissa, exponent, unit, findings, has_sequence)
SELECT sensor_id, %d, sent_at + i * interval '1 minute', i, org_id, patient_id, assignment_id, device_id, id + i, measured_at + i * interval '1 minute', received_at, 70, 70, 0, unit, 0, false
FROM reading, generate_series(1, %d) i`, int(vital.BodyWeight), n))
}

// TestOthersAreMeasuredAndSealedWhileAPersonIsErased stops an erasure in the middle of the readings, and in the middle of the rest.
func TestOthersAreMeasuredAndSealedWhileAPersonIsErased(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.measured(t, 25_000)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	before := mustHold(t, r.export(t), audit.Expected{}) // the whole trail is sealed
	if err := r.eraser(&still{end: 40}).RunOnce(t.Context(), r.now(t)); err != nil {
		t.Fatal(err)
	}
	r.passAll(t, 1_000_000)
	for what, c := range map[string]struct {
		held string
		free int
	}{
		"1 readings": {`SELECT 1 FROM reading WHERE metric = 1 FOR UPDATE`, vital.Partitions},
		"2 alerts":   {`SELECT 1 FROM episode FOR UPDATE`, vital.Partitions - 1},
	} {
		other := r.hold(t, c.held)
		ctx, stop := context.WithCancel(t.Context())
		ended := r.begun(t, func() error { return r.eraser(&still{end: 40}).RunOnce(ctx, r.now(t)) })
		if n := r.count(t, `SELECT count(*) FROM (SELECT 1 FROM stream_cursor FOR UPDATE SKIP LOCKED) f`); n != c.free {
			t.Errorf("%s: %d partitions go on, want %d", what, n, c.free)
		}
		if what == "1 readings" {
			if n := r.count(t, `SELECT count(*) FROM (SELECT 1 FROM audit_chain FOR UPDATE SKIP LOCKED) f`); n != 1 {
				t.Errorf("%s: the audit is not sealed meanwhile", what)
			}
		}
		stop()
		if err := <-ended; err == nil {
			t.Errorf("%s: it ended although it was stopped", what)
		}
		r.do(t, other, `ROLLBACK`)
		r.exec(t, `UPDATE erasure SET lease_until = '-infinity'`)
	}
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT count(*) FROM reading`); n != 0 {
		t.Errorf("%d readings are left", n)
	}
	if v := mustHold(t, r.export(t), audit.Expected{Seq: before.Sealed, Hash: before.Head}); v.Blanked == 0 {
		t.Error("no row of the audit was blanked")
	}
}

func TestNobodyIsCutOffWhileTheirReadingsAreFiledAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 150, 90), r.pressure(20, 151, 90), r.pressure(30, 152, 90))
	r.ask(t, r.wish(r.patient.UID, b.UID, 5, 0))
	if _, err := r.work.StepRefile(t.Context(), r.now(t), 2); err != nil {
		t.Fatal(err)
	}
	r.request(t, b, atOnce(), safe.ErasureDecision{})
	if _, ok, err := r.work.ClaimErasure(t.Context(), r.now(t)); ok || err != nil {
		t.Fatalf("the erasure was begun between two steps: %v", err)
	}
	r.carryOut(t, 2)
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT count(*) FROM reading`); n != 0 {
		t.Errorf("%d readings of who was erased are left with the other", n)
	}
	if got := r.text(t, `SELECT state FROM erasure`); got != "done" {
		t.Errorf("the request is %s", got)
	}
}

// TestNobodyIsJudgedByHalfOfWhatWasMoved lets both partitions go on between the steps of a refile.
func TestNobodyIsJudgedByHalfOfWhatWasMoved(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	// The second reading is the worst, the last is well again: half of them tell another story.
	r.advance(t, r.pressure(10, 150, 90), r.pressure(20, 190, 100), r.pressure(30, 150, 90), r.pressure(40, 125, 80))
	r.ask(t, r.wish(r.patient.UID, b.UID, 5, 0))
	for range 2 {
		if _, err := r.work.StepRefile(t.Context(), r.now(t), 2); err != nil {
			t.Fatal(err)
		}
		r.judgeAll(t, r.patient, b)
		if got := r.alertsOf(t, b); len(got) != 0 {
			t.Fatalf("by half of the readings the second person was judged: %v", got)
		}
	}
	r.carryOut(t, 2)
	r.judgeAll(t, r.patient, b)
	if got := r.alertsOf(t, b); len(got) != 1 || r.count(t, `SELECT count(*) FROM timeline t JOIN episode e ON e.id = t.episode_id WHERE e.patient_id = $1 AND t.kind = 'opened'`, int64(b.ID)) != 1 {
		t.Errorf("by all of them: %v", got)
	}
}

func TestWhatIsTheMergedRecordsEndsWithIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	y := r.addPatient(t, r.nurse, "2")
	r.exec(t, fmt.Sprintf(`
INSERT INTO session (org_id, uid, patient_id, token_hash, csrf, created_at, seen_at, expires_at, label, device_hash) VALUES (1, gen_random_uuid(), %[1]d, '\x01', 'c', '2026-01-01Z', '2026-01-01Z', '2030-01-01Z', 'phone', sha256('d')), (1, gen_random_uuid(), %[2]d, '\x02', 'c', '2026-01-01Z', '2026-01-01Z', '2030-01-01Z', 'phone', sha256('e'));
INSERT INTO invitation (org_id, uid, patient_id, staff_id, lookup, code_hash, created_at, expires_at) VALUES (1, gen_random_uuid(), %[1]d, %[3]d, 'ABCD', sha256('x'), '2026-01-01Z', '2026-01-02Z');
INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most) VALUES (1, gen_random_uuid(), %[1]d, 'sheet', sha256('s'), 'x', 'patient', '2026-01-01Z', '2026-01-02Z', 3);
INSERT INTO possible_double (org_id, uid, patient_id, other_id, found_at) VALUES (1, gen_random_uuid(), least(%[1]d, %[2]d), greatest(%[1]d, %[2]d), '2026-01-01Z')`, int64(r.patient.ID), int64(y.ID), int64(r.nurse.Staff)))
	merges := &safe.Merges{People: r.app, Book: r.app}
	seen, err := merges.Compare(t.Context(), r.nurse, r.patient.UID, y.UID)
	if err != nil {
		t.Fatal(err)
	}
	made, err := merges.Ask(t.Context(), r.nurse, safe.MergeWish{Patient: r.patient.UID, Into: y.UID, Confirm: seen.Confirm, Reason: "enrolled twice", Override: "her daughter said so"})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM session WHERE ended_at IS NULL`:                   1,
		`SELECT count(*) FROM invitation WHERE ended_at IS NULL`:                0,
		`SELECT count(*) FROM share WHERE ended_at IS NULL`:                     0,
		`SELECT count(*) FROM possible_double WHERE state = 'merged'`:           1,
		`SELECT count(*) FROM possible_double WHERE decided_name = 'Nurse ana'`: 1,
	} {
		if n := r.count(t, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
	r.carryOut(t, 100)
	if _, err := merges.Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	if list, err := r.app.Doubles(t.Context(), r.nurse, identity.DoubleOpen, 10); err != nil || len(list) != 1 {
		t.Errorf("after the merge was undone the question is open: %v, %v", list, err)
	}
	if n := r.count(t, `SELECT count(*) FROM session WHERE ended_at IS NULL`); n != 1 {
		t.Errorf("%d sessions are open after the merge was undone, want the other one's", n)
	}
}

// unfound are the references by which a row that erasure deletes is looked for without an index: every such look reads the table.
const unfound = `
SELECT format('%s (%s)', f.conrelid::regclass, (SELECT string_agg(a.attname, ', ' ORDER BY u.o) FROM unnest(f.conkey) WITH ORDINALITY u (k, o) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.k))
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid AND NOT c.relispartition
WHERE f.contype = 'f' AND f.confrelid IN ('patient'::regclass, 'caregiver'::regclass, 'assignment'::regclass, 'episode'::regclass, 'rule'::regclass, 'refile'::regclass, 'merge'::regclass)
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.conrelid
    AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) IN (SELECT format('(%I IS NOT NULL)', a.attname) FROM pg_attribute a WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)))
    AND (SELECT bool_or(i.indkey[0] = k) FROM unnest(f.conkey) k)
    AND (i.indkey[0] <> f.conkey[1] OR i.indkey[1] = f.conkey[2]))
ORDER BY 1`

func TestWhatErasureDeletesIsFoundByAnIndex(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for _, where := range query(t, r, unfound, pgx.RowTo[string]) {
		t.Errorf("no index on %s", where)
	}
}
