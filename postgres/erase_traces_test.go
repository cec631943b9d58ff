package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// TestAnEarlierOwnerEndsNoSpan gives the sensor of somebody who was erased to another person, of a time before.
func TestAnEarlierOwnerEndsNoSpan(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 150, 90))
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	assign := func(from, to string) {
		r.exec(t, fmt.Sprintf(`INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, to_at, created_at) VALUES (%d, %d, %d, %s, %s, now())`, r.patient.Org, r.device.Own, b.ID, from, to))
	}
	assign(`'2025-06-01Z'`, `'2025-07-01Z'`)
	if n := r.count(t, `SELECT count(*) FROM erased_span WHERE to_at IS NULL`); n != 1 {
		t.Error("the span was ended by an assignment of a time before it")
	}
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	if res := r.advance(t, r.pressure(25, 195, 105)); res.Stored != 0 || res.Parked != 0 {
		t.Errorf("what came late: %+v", res)
	}
	assign(`now()`, `NULL`)
	if n := r.count(t, `SELECT count(*) FROM erased_span WHERE to_at IS NULL`); n != 0 {
		t.Error("the sensor is somebody else's now, and the span goes on")
	}
	if _, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: r.device.UID, Patient: b.UID, From: since().AddDate(0, 2, 0), To: since().AddDate(0, 3, 0)}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the time of who was erased was given to another: %v", err)
	}
}

// TestNoFileBringsBackWhoIsErased keeps a file in which the name stands in pieces, as FHIR writes it.
func TestNoFileBringsBackWhoIsErased(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.exec(t, `INSERT INTO import (org_id, uid, kind, hash, content, options, rows, actor_name, created_at) VALUES (1, gen_random_uuid(), 'patients', sha256('i'), '{"family":"1","given":["Person"]}', '{}', 1, 'x', '2026-01-01Z')`)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	if err := r.eraser(&still{end: 40}).RunOnce(t.Context(), r.now(t)); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM import WHERE content IS NOT NULL`); n != 0 {
		t.Error("the file is still there")
	}
}

// TestWhoCountsIsNotWaitedFor holds the row in which another batch has counted.
func TestWhoCountsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 90))
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	r.hold(t, `UPDATE erased_span SET dropped = dropped + 1`)
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	if res := r.advance(t, r.pressure(25, 195, 105)); res.Stored != 0 || res.Parked != 0 {
		t.Errorf("what came late: %+v", res)
	}
}

// TestAnErasureThatFailsLetsOthersGo makes the older of two fail in the middle.
func TestAnErasureThatFailsLetsOthersGo(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 191, 101))
	first := r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	second := r.request(t, b, atOnce(), safe.ErasureDecision{})
	r.exec(t, `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''broken''; END'; CREATE TRIGGER broken BEFORE DELETE ON episode FOR EACH ROW EXECUTE FUNCTION broken()`)
	r.passAll(t, 1_000_000)
	eraser, failed := r.eraser(&still{end: 7}), 0
	for range 4 {
		if err := eraser.RunOnce(t.Context(), r.now(t)); err != nil {
			failed++
		}
	}
	state := func(e safe.Erasure) string {
		return r.text(t, `SELECT state FROM erasure WHERE uid = '`+string(e.UID)+`'`)
	}
	if failed == 0 || state(first) != "erasing" {
		t.Fatalf("the first did not fail: it is %s", state(first))
	}
	if got := state(second); got != "done" {
		t.Errorf("the second is %s", got)
	}
}

// TestAMergedRecordIsNotAskedFor merges it while somebody asks.
func TestAMergedRecordIsNotAskedFor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	self := account.Actor{Org: b.Org, Self: b.ID, UID: b.UID, Name: b.Name, Role: account.SelfRole}
	other := r.hold(t, fmt.Sprintf(`UPDATE patient SET state = 'merged', merged_into = %d WHERE id = %d`, r.patient.ID, b.ID))
	ended := r.begun(t, func() error {
		_, err := r.app.AskErasure(t.Context(), self, safe.Erasure{Org: b.Org, Patient: b.ID, State: safe.ErasureAsked, AskedRole: account.SelfRole})
		return err
	})
	r.do(t, other, `COMMIT`)
	if err := <-ended; !fault.Is(err, fault.Conflict) {
		t.Errorf("a record that is merged in the same moment was asked for: %v", err)
	}
}

// TestOnlyTheMonthsOfWhoWasErasedAreWrittenAnew looks at the files of the partitions.
func TestOnlyTheMonthsOfWhoWasErasedAreWrittenAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.exec(t, `SELECT make_reading_partition('2025-07-01'), make_reading_partition('2026-03-01')`)
	r.advance(t, r.pressure(10, 150, 90))
	files := func() map[string]int64 {
		found := map[string]int64{}
		for _, f := range query(t, r, `SELECT relname || ' ' || relfilenode FROM pg_class WHERE relname IN ('reading_202507', 'reading_202603', 'patient')`, pgx.RowTo[string]) {
			var name string
			var node int64
			if _, err := fmt.Sscan(f, &name, &node); err != nil {
				t.Fatal(err)
			}
			found[name] = node
		}
		return found
	}
	before := files()
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	after := files()
	if len(before) != 3 || before["reading_202507"] != after["reading_202507"] || before["reading_202603"] == after["reading_202603"] || before["patient"] == after["patient"] {
		t.Errorf("written anew: before %v, after %v", before, after)
	}
}

// TestTheStatisticsForgetWhoWasErased lets the planner learn everything, as before the columns were kept from it.
func TestTheStatisticsForgetWhoWasErased(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for i := range 20 {
		r.addPatient(t, r.nurse, fmt.Sprintf("NEEDLE-%d", i))
	}
	r.exec(t, `ALTER TABLE patient ALTER COLUMN name SET STATISTICS 100, ALTER COLUMN number SET STATISTICS 100; ANALYZE patient; ALTER TABLE patient ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN number SET STATISTICS 0;
UPDATE patient SET name = 'erased', number = ''`)
	known := func() int {
		return r.count(t, `SELECT count(*) FROM pg_stats WHERE tablename = 'patient' AND concat(histogram_bounds::text, most_common_vals::text) ILIKE '%needle%'`)
	}
	if known() == 0 {
		t.Fatal("the statistics never knew anybody: the test shows nothing")
	}
	for _, s := range postgres.ScrubStatistics() {
		r.exec(t, s)
	}
	if n := known(); n != 0 {
		t.Errorf("%d columns still know who was erased", n)
	}
}

// TestAReplayFindsWhatABackupHasApart restores a backup in which the person had two records, and a stranger their cuff.
func TestAReplayFindsWhatABackupHasApart(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	twin, stranger := r.addPatient(t, r.nurse, "TWIN-2"), r.patient
	person := r.addPatient(t, r.nurse, "P-3")
	r.advance(t, r.pressure(10, 191, 101), r.pressure(20, 192, 102))
	old := r.backup(t)
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	r.ask(t, r.wish(stranger.UID, person.UID, 5, 0))
	r.carryOut(t, 100)
	r.exec(t, fmt.Sprintf(`UPDATE patient SET state = 'merged', merged_into = %d WHERE id = %d`, person.ID, twin.ID))
	r.request(t, person, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	entries, err := r.work.Ledger(t.Context())
	if err != nil || len(entries) != 1 || len(entries[0].Also) != 1 {
		t.Fatal(entries, err)
	}
	r.db = old
	r.reopen(t)
	if got, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ReplayErasure(t.Context(), entries[0]); err != nil || got != postgres.ReplayErased {
		t.Fatal(got, err)
	}
	for _, n := range []string{string(twin.UID), "TWIN-2", string(person.UID)} {
		if found := pgtest.Holding(t, r.db.AdminURL(), n); len(found) > 0 {
			t.Errorf("%q came back in %v", n, found)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM reading`); n != 0 {
		t.Errorf("%d readings are the stranger's again", n)
	}
	if n := r.count(t, `SELECT count(*) FROM situation_change WHERE patient_id = $1 AND rejudge_from IS NOT NULL`, int64(stranger.ID)); n == 0 {
		t.Error("the stranger is not judged anew")
	}
	if _, err := r.app.Patient(t.Context(), r.nurse, stranger.UID); err != nil {
		t.Errorf("the stranger: %v", err)
	}
}

// TestAReplayLeavesADeviceToWhomItWasGivenOn restores a backup in which a stranger has the cuff that was the person's, and in which
// a twin, whose readings never moved when the two were merged, has a device of their own. The house was served without the ledger for
// a while: the desk gave the cuff on, and gave another away as of the week before. Only what the person wore becomes nobody's.
func TestAReplayLeavesADeviceToWhomItWasGivenOn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stranger, person, twin, next := r.patient, r.addPatient(t, r.nurse, "P-3"), r.addPatient(t, r.nurse, "TWIN-2"), r.addPatient(t, r.nurse, "N-4")
	r.addDevice(t, r.nurse, twin, "own")
	r.addDevice(t, r.nurse, person, "second")
	r.advance(t, r.pressure(10, 191, 101), r.pressure(20, 192, 102))
	old := r.backup(t)
	r.cursor = r.claim(t, r.cursor.Partition, "p1")
	r.ask(t, r.wish(stranger.UID, person.UID, 15, 0))
	r.carryOut(t, 100)
	r.breaks(t, "NEW.state = 'running'")
	if _, err := r.tryMerge(t, twin, person); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		r.tryAll(t, 1)
		r.exec(t, again)
	}
	r.request(t, person, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	entries, err := r.work.Ledger(t.Context())
	if err != nil || len(entries) != 1 || len(entries[0].Also) != 1 || len(entries[0].Spans) != 3 {
		t.Fatal(entries, err)
	}
	r.db = old
	r.reopen(t)
	for statement, device := range map[string]string{
		`UPDATE assignment SET to_at = clock_timestamp() WHERE to_at IS NULL AND sensor_id = (SELECT id FROM sensor WHERE uid = '%[2]s'); INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, created_at) SELECT org_id, id, %[1]d, clock_timestamp(), clock_timestamp() FROM sensor WHERE uid = '%[2]s'`: r.device.UID,
		`DELETE FROM assignment WHERE sensor_id = (SELECT id FROM sensor WHERE uid = '%[2]s'); INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, created_at) SELECT org_id, id, %[1]d, clock_timestamp() - interval '7 days', clock_timestamp() FROM sensor WHERE uid = '%[2]s'`:                        "second",
	} {
		r.exec(t, fmt.Sprintf(statement, int64(next.ID), device))
	}
	if got, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ReplayErasure(t.Context(), entries[0]); err != nil || got != postgres.ReplayErased {
		t.Fatal(got, err)
	}
	const living = `SELECT coalesce(string_agg(format('%s of %s %s', n.uid, CASE p.id WHEN $1 THEN 'the stranger' WHEN $2 THEN 'the next' ELSE 'nobody' END,
    CASE WHEN a.to_at IS NOT NULL THEN 'until ' || to_char(a.to_at AT TIME ZONE 'UTC', 'HH24:MI') WHEN a.from_at >= $3 THEN 'from after the erasure on' ELSE 'from before it on' END), ', ' ORDER BY n.uid, a.from_at), '')
FROM assignment a JOIN sensor n ON n.id = a.sensor_id JOIN patient p ON p.id = a.patient_id WHERE a.to_at IS NULL OR a.to_at > a.from_at`
	tx := r.hold(t, "SELECT 1")
	var got string
	if err := tx.QueryRow(t.Context(), living, int64(stranger.ID), int64(next.ID), entries[0].At).Scan(&got); err != nil {
		t.Fatal(err)
	}
	r.do(t, tx, "ROLLBACK")
	want := fmt.Sprintf("%[1]s of the stranger until %[2]s, %[1]s of the next from after the erasure on, second of the next from after the erasure on", r.device.UID, since().Add(15*time.Minute).Format("15:04"))
	if got != want {
		t.Errorf("after the replay the devices are\n%s, want\n%s", got, want)
	}
	if n := r.readingsOf(t, stranger); n != 1 || r.count(t, "SELECT count(*) FROM reading") != 1 {
		t.Errorf("%d readings are the stranger's, want the one from before", n)
	}
	if n := r.count(t, "SELECT count(*) FROM erased_span WHERE to_at IS NULL"); n != 1 {
		t.Errorf("%d spans go on, want that of the twin's own device, which nobody has", n)
	}
}

// wordsOfHale are the columns of text, in tables that erasure touches, in which stand only words that Hale itself has chosen.
const wordsOfHale = `{state,kind,purpose,choice,scopes,language,asked_role,actor_role,made_role,how,closing,ended,next_step,step,stream,class,classes,ground,
    asked,field,outcome,audience,cancelled_for,severity,topic,sex,zone,source,system,use,from_when,to_when,reason,problem,form,cause,what,csrf,issuer,action,session_uid,origin,edge,became,place}`

// TestThePlannerSamplesNobodysWords checks that a column of text which may hold a name, a number or a sentence about a person is kept from
// the planner's statistics: what stands there outlives what was deleted. A new one is of Hale's own words, or gets SET STATISTICS 0.
func TestThePlannerSamplesNobodysWords(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for _, column := range query(t, r, `SELECT format('%s.%s', c.relname, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname IN (SELECT table_name FROM erasure_rule) AND c.relnamespace = 'public'::regnamespace AND coalesce(a.attstattarget, -1) <> 0 AND a.atttypid IN ('text'::regtype, 'date'::regtype)
    AND a.attname <> ALL ('`+wordsOfHale+`'::text[]) ORDER BY 1`, pgx.RowTo[string]) {
		t.Errorf("the planner takes samples of %s", column)
	}
}

// TestWhatIsLeftIsSampledAnew has the planner know a value that somebody measured: it is forgotten with the erasure itself, also where no scrub follows.
func TestWhatIsLeftIsSampledAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stays := r.addPatient(t, r.nurse, "2")
	r.addDevice(t, r.nurse, stays, "theirs")
	r.measured(t, 200)
	r.exec(t, fmt.Sprintf(`UPDATE reading SET value = 81.234 WHERE metric = %[1]d;
INSERT INTO reading (sensor_id, metric, sent_at, tie, org_id, patient_id, assignment_id, device_id, id, measured_at, received_at, value, mantissa, exponent, unit, findings, has_sequence)
SELECT n.id, %[1]d, r.sent_at, r.tie, r.org_id, %[2]d, r.assignment_id, r.device_id, r.id + 1000000, r.measured_at, r.received_at, 70, 70, 0, r.unit, 0, false FROM reading r, sensor n WHERE n.uid = 'theirs' AND r.metric = %[1]d LIMIT 20;
ANALYZE`, int(vital.BodyWeight), int64(stays.ID)))
	known := func() int {
		return r.count(t, `SELECT count(*) FROM pg_stats WHERE tablename ~ '^reading_[0-9]+$' AND concat(histogram_bounds::text, most_common_vals::text) LIKE '%81.234%'`)
	}
	if known() == 0 {
		t.Fatal("the statistics never knew the value: the test shows nothing")
	}
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := known(); n != 0 {
		t.Errorf("%d columns still know what was measured", n)
	}
}
