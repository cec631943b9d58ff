package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

// tryAll does steps of so many readings until nothing more can be done just now, and returns how many failed.
func (r *record) tryAll(t *testing.T, most int) int {
	t.Helper()
	for failed := 0; ; {
		step, err := r.work.StepRefile(t.Context(), r.now(t), most)
		if err != nil {
			t.Fatal(err)
		}
		if step.Trouble != nil {
			failed++
		}
		if !step.Found {
			if _, err := r.work.EndMerges(t.Context(), r.now(t)); err != nil {
				t.Fatal(err)
			}
			return failed
		}
	}
}

// breaks lets every change of the refile fail for which the condition holds, as a bad block or a bug of ours would.
func (r *record) breaks(t *testing.T, condition string) {
	t.Helper()
	r.exec(t, `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'data_corrupted'; END $$;
CREATE TRIGGER broken BEFORE UPDATE ON refile FOR EACH ROW WHEN (`+condition+`) EXECUTE FUNCTION broken()`)
}

func (r *record) readingsOf(t *testing.T, p account.Patient) int {
	t.Helper()
	return r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(p.ID))
}

// again lets what failed be tried at once.
const again = "UPDATE refile SET next_action_at = '-infinity'"

// TestOneThatFailsHoldsUpNobody checks that the refiles of other people, and merges, go on while one cannot be carried out, and
// that it ends after some attempts with nothing changed.
func TestOneThatFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b, c, d := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3"), r.addPatient(t, r.nurse, "4")
	r.advance(t, r.pressure(10, 120, 80))
	bad := r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	r.breaks(t, "NEW.id = 1 AND NEW.state = 'running'")
	r.addDevice(t, r.nurse, c, "another")
	good := r.wish(c.UID, b.UID, 0, 0)
	good.Sensor = "another"
	other := r.ask(t, good)
	if _, err := r.tryMerge(t, d, c); err != nil {
		t.Fatal(err)
	}
	if failed := r.tryAll(t, 10); failed != 1 {
		t.Errorf("it failed %d times at one look, want once: it is to wait", failed)
	}
	state := func(uid vital.UID) safe.Refile {
		f, err := r.refiles().Get(t.Context(), r.nurse, uid)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if got := state(other.UID).State; got != safe.RefileDone {
		t.Errorf("the other person's refile is %s, want done", got)
	}
	if n := r.count(t, "SELECT count(*) FROM merge WHERE state = 'done'"); n != 1 {
		t.Error("the merge of other people did not end")
	}
	tries := 1
	for ; state(bad.UID).State == safe.RefileAsked && tries < 50; tries++ {
		r.exec(t, again)
		if failed := r.tryAll(t, 10); failed != 1 {
			t.Fatalf("it failed %d times, want once", failed)
		}
	}
	if got := state(bad.UID); got.State != safe.RefileFailed || !strings.Contains(got.Problem, "log") || tries != 8 {
		t.Errorf("after %d attempts it is %s: %q", tries, got.State, got.Problem)
	}
	if r.readingsOf(t, r.patient) != 1 || r.count(t, "SELECT count(*) FROM assignment WHERE patient_id = $1 AND to_at IS NULL", int64(r.patient.ID)) != 1 {
		t.Error("one that failed has changed something")
	}
}

// TestWhatFailedIsTriedAgainWhenItsTimeHasCome by the clock that the step is given, and by no other.
func TestWhatFailedIsTriedAgainWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 120, 80))
	r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	r.breaks(t, "NEW.state = 'running'")
	now := r.now(t).Truncate(time.Second).Add(24 * time.Hour)
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		if wait > 0 {
			if step, err := r.work.StepRefile(t.Context(), now.Add(wait-time.Millisecond), 10); err != nil || step.Found {
				t.Errorf("it was tried before %v had gone by: %+v, %v", wait, step, err)
			}
		}
		now = now.Add(wait)
		if step, err := r.work.StepRefile(t.Context(), now, 10); err != nil || step.Trouble == nil {
			t.Errorf("it was not tried after %v: %+v, %v", wait, step, err)
		}
	}
}

// TestOneThatStandsHalfWayGoesOn checks that what has begun is never given up half way: it says that it stands, and ends when what
// was wrong is mended.
func TestOneThatStandsHalfWayGoesOn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 120, 80), r.pressure(20, 121, 80), r.pressure(30, 122, 80))
	made := r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	r.breaks(t, "NEW.moved > 1")
	for range 9 {
		r.tryAll(t, 1)
		r.exec(t, again)
	}
	got, err := r.refiles().Get(t.Context(), r.nurse, made.UID)
	if err != nil || got.State != safe.RefileRunning || got.Moved != 1 || got.Problem == "" {
		t.Errorf("it says %+v, %v, want that it stands", got, err)
	}
	r.exec(t, "DROP TRIGGER broken ON refile")
	r.carryOut(t, 1)
	got, err = r.refiles().Get(t.Context(), r.nurse, made.UID)
	if err != nil || got.State != safe.RefileDone || got.Problem != "" || r.readingsOf(t, b) != 3 {
		t.Errorf("it says %+v, %v, want done", got, err)
	}
}

// TestTheTimeOfSomebodyErasedIsNobodys checks that what is parked goes to whose it is and leaves out the time of a person who was
// erased; and that a refile to somebody who is being erased by now ends at once, and says why.
func TestTheTimeOfSomebodyErasedIsNobodys(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b, erased := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	asked := r.ask(t, r.wish(r.patient.UID, erased.UID, 0, 0))
	day := func(n int) string { return since().AddDate(0, 0, n).Format("2006-01-02") }
	r.exec(t, fmt.Sprintf(`INSERT INTO erasure (org_id, uid, number, patient_id, state, asked_role, asked_at, decided_at, cut_at) VALUES (%d, gen_random_uuid(), 1, %d, 'erasing', 'patient', now(), now(), now());
INSERT INTO erased_span (org_id, erasure_id, sensor_id, from_at, to_at, erased_at) SELECT %[1]d, 1, %[3]d, '%[4]s', '%[5]s', '%[5]s'`,
		int32(erased.Org), int64(erased.ID), int64(r.device.Own), day(-10), day(-5)))
	if failed := r.tryAll(t, 10); failed != 1 {
		t.Errorf("it failed %d times, want once", failed)
	}
	if got, err := r.refiles().Get(t.Context(), r.nurse, asked.UID); err != nil || got.State != safe.RefileFailed || !strings.Contains(got.Problem, "erased") {
		t.Errorf("it says %+v, %v, want that it failed for the erasure", got, err)
	}
	for _, n := range []int{-20, -2} {
		rec := r.pressure(n*24*60, 125, 80)
		rec.Reading.Patient, rec.Reading.Assignment, rec.Reading.Epoch = 0, 0, 0
		r.advance(t, rec)
	}
	r.ask(t, safe.Wish{Sensor: r.device.UID, From: since().AddDate(0, 0, -30), BelongsTo: b.UID, Reason: "the box was on her table"})
	r.carryOut(t, 10)
	if got := r.readingsOf(t, b); got != 2 {
		t.Errorf("%d parked readings were filed, want 2", got)
	}
	spans := query(t, r, "SELECT to_char(from_at AT TIME ZONE 'UTC', 'YYYY-MM-DD ') || to_char(to_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM assignment WHERE patient_id = "+fmt.Sprint(b.ID)+" ORDER BY from_at", pgx.RowTo[string])
	if want := []string{day(-30) + " " + day(-10), day(-5) + " " + day(0)}; strings.Join(spans, ",") != strings.Join(want, ",") {
		t.Errorf("the sensor is theirs in %v, want %v", spans, want)
	}
}

// TestARefileThatStandsStillKeepsNobodyFromBeingErased erases either of the two between whom a refile stands half way for good:
// what is the person's goes from both records, the other one stays, is judged anew and is told.
func TestARefileThatStandsStillKeepsNobodyFromBeingErased(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		sourceGoes bool
		left       int    // readings of who stays
		ever       string // which readings those are
	}{
		{"who had the readings by mistake", true, 1, "the one that had moved"},
		{"whose readings they are", false, 1, "their own, from before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			b := r.addPatient(t, r.nurse, "2")
			r.advance(t, r.pressure(5, 120, 80), r.pressure(10, 190, 100), r.pressure(20, 191, 100), r.pressure(30, 192, 100))
			made := r.ask(t, r.wish(r.patient.UID, b.UID, 7, 0))
			r.breaks(t, "NEW.moved > 1")
			gone, stays := b, r.patient
			if c.sourceGoes {
				gone, stays = r.patient, b
			}
			r.tryAll(t, 1)
			r.request(t, gone, atOnce(), safe.ErasureDecision{})
			if _, ok, err := r.work.ClaimErasure(t.Context(), r.now(t)); ok || err != nil {
				t.Fatalf("the erasure did not wait for a refile that may still succeed: %v, %v", ok, err)
			}
			for range 8 {
				r.exec(t, again)
				r.tryAll(t, 1)
			}
			r.carryErasureOut(t, r.now(t))
			if got := r.text(t, "SELECT state FROM erasure"); got != "done" {
				t.Fatalf("the request is %s, want done", got)
			}
			if n := r.readingsOf(t, stays); n != c.left || r.count(t, "SELECT count(*) FROM reading") != c.left {
				t.Errorf("%d readings are left to who stays, want %d: %s", n, c.left, c.ever)
			}
			if n := r.count(t, "SELECT count(*) FROM situation_change WHERE patient_id = $1 AND moved AND rejudge_from IS NOT NULL", int64(stays.ID)); n == 0 {
				t.Error("who stays is not judged anew")
			}
			if n := r.count(t, "SELECT count(*) FROM audit WHERE patient_id = $1 AND action = 'refile failed' AND object = $2 AND detail = '1 of 3 readings'", int64(stays.ID), "refile "+string(made.UID)); n != 1 {
				t.Errorf("%d rows of the trail tell that it was ended, want 1", n)
			}
			if n := r.count(t, "SELECT count(*) FROM refile WHERE state IN ('asked', 'running')"); n != 0 {
				t.Error("it is still tried")
			}
		})
	}
}

// TestAPartOfAMergeThatStandsStillKeepsNobodyFromBeingErased erases a person of whose two records a sensor never moves.
func TestAPartOfAMergeThatStandsStillKeepsNobodyFromBeingErased(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 190, 100))
	r.breaks(t, "NEW.state = 'running'")
	if _, err := r.tryMerge(t, r.patient, b); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		r.tryAll(t, 1)
		r.exec(t, again)
	}
	r.request(t, b, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, "SELECT (SELECT count(*) FROM reading) + (SELECT count(*) FROM patient) + (SELECT count(*) FROM merge)"); n != 0 {
		t.Errorf("%d rows of the person are left: the request is %s", n, r.text(t, "SELECT state FROM erasure"))
	}
}

// TestReadingsElsewhereStayUntilTheirErasureIsDue: the database itself takes nothing from somebody else before.
func TestReadingsElsewhereStayUntilTheirErasureIsDue(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	erased := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 120, 80))
	r.exec(t, fmt.Sprintf(`INSERT INTO erasure (org_id, uid, number, patient_id, state, asked_role, asked_at, decided_at)
	VALUES (%[1]d, gen_random_uuid(), 1, %[2]d, 'erasing', 'patient', now(), now());
INSERT INTO erasure_item (org_id, erasure_id, class) VALUES (%[1]d, 1, 'identity');
INSERT INTO erased_span (org_id, erasure_id, sensor_id, from_at, erased_at) VALUES (%[1]d, 1, %[3]d, '%[4]s', now())`,
		int32(erased.Org), int64(erased.ID), int64(r.device.Own), since().Format(time.RFC3339)))
	const refused = "P0001"
	for _, c := range []struct{ name, change, want string }{
		{"the request says nothing of readings", `UPDATE erasure SET cut_at = now()`, refused},
		{"a law keeps them", `INSERT INTO erasure_item (org_id, erasure_id, class, keep_until, ground)
			SELECT org_id, id, 'readings', now() + interval '1 day', 'a law' FROM erasure`, refused},
		{"the person is not cut off", `UPDATE erasure_item SET keep_until = NULL; UPDATE erasure SET cut_at = NULL`, refused},
		{"the request is not being carried out", `UPDATE erasure SET cut_at = now(), state = 'kept'`, refused},
		{"they are due", `UPDATE erasure SET state = 'erasing'`, ""},
	} {
		r.exec(t, c.change)
		left := 0
		if c.want == refused {
			left = 1
		}
		got := r.asRole(t, "hale_work", fmt.Sprint(erased.Org), fmt.Sprintf(`SELECT erase_elsewhere(%d, 1, 10, now())`, erased.Org))
		if n := r.readingsOf(t, r.patient); got != c.want || n != left {
			t.Errorf("%s: refused with %q, want %q; %d readings are left, want %d", c.name, got, c.want, n, left)
		}
	}
}
