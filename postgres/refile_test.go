package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

func (r *record) refiles() *safe.Refiles {
	return &safe.Refiles{People: r.app, Book: r.app, Now: time.Now}
}

// wish is that the cuff's readings of these minutes on, filed under owner, are another's.
func (r *record) wish(owner, belongsTo vital.UID, from, to int) safe.Wish {
	w := safe.Wish{Sensor: r.device.UID, From: since().Add(time.Duration(from) * time.Minute), Owner: owner, BelongsTo: belongsTo, Reason: "the boxes were mixed up"}
	if to > 0 {
		w.To = since().Add(time.Duration(to) * time.Minute)
	}
	return w
}

func (r *record) ask(t *testing.T, w safe.Wish) safe.Refile {
	t.Helper()
	made, err := r.refiles().Ask(t.Context(), r.nurse, w)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// carryOut does all steps of so many readings, and returns how many there were.
func (r *record) carryOut(t *testing.T, most int) int {
	t.Helper()
	for n := 0; ; n++ {
		step, err := r.work.StepRefile(t.Context(), r.now(t), most)
		if err != nil || step.Trouble != nil {
			t.Fatal(err, step.Trouble)
		}
		if !step.Found {
			if _, err := r.work.EndMerges(t.Context(), r.now(t)); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
}

// judgeAll lets the partitions of these patients take on what has changed.
func (r *record) judgeAll(t *testing.T, patients ...account.Patient) {
	t.Helper()
	for _, p := range patients {
		c := r.claim(t, vital.PartitionOf(uint64(p.ID)), "p1")
		d := alerts.NewDecider(10)
		if _, err := r.work.Advance(t.Context(), alerts.Batch{Cursor: c, Lane: vital.Live, To: c.LiveSeq, Now: since().Add(24 * time.Hour)}, d.Decide); err != nil {
			t.Fatal(err)
		}
	}
	r.cursor, r.decider = r.claim(t, r.cursor.Partition, "p1"), alerts.NewDecider(100)
}

func (r *record) alertsOf(t *testing.T, p account.Patient) []string {
	t.Helper()
	list, err := r.app.Alerts(t.Context(), r.nurse, alerts.Filter{Patient: p.UID})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, a := range list {
		log, err := r.app.Log(t.Context(), r.nurse, a.UID)
		if err != nil {
			t.Fatal(err)
		}
		causes := ""
		for _, e := range log {
			if e.Cause == alerts.CauseTaken || e.Cause == alerts.CauseBrought {
				causes += fmt.Sprintf(" [%s %s]", e.Kind, e.Cause)
			}
		}
		told = append(told, fmt.Sprintf("%s %s%s", a.State, a.Level, causes))
	}
	return told
}

// TestAWrongPairingIsUndone is the whole story: a cuff was given to the wrong person, somebody noticed, and undid even that.
func TestAWrongPairingIsUndone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(5, 125, 80), r.pressure(10, 150, 90), r.pressure(20, 150, 90), r.pressure(30, 150, 90), r.pressure(40, 190, 100), r.pressure(50, 125, 80))
	before := r.count(t, "SELECT version FROM registry_version")
	preview, err := r.refiles().Preview(t.Context(), r.nurse, r.wish(r.patient.UID, b.UID, 10, 0))
	if err != nil || preview.Total() != 5 || len(preview.Alerts) == 0 {
		t.Fatalf("the preview says %+v, %v", preview, err)
	}
	made := r.ask(t, r.wish(r.patient.UID, b.UID, 10, 0))
	if made.State != safe.RefileAsked || made.Owner.Name != r.patient.Name || made.BelongsTo.Name != b.Name {
		t.Fatalf("asked for %+v", made)
	}
	if steps := r.carryOut(t, 2); steps != 3 {
		t.Errorf("%d steps of two readings for five, want 3", steps)
	}
	if r.count(t, "SELECT version FROM registry_version") <= before {
		t.Error("the edges were not told")
	}
	r.judgeAll(t, r.patient, b)
	if diff := cmp.Diff([]string{"open red [annotated filed elsewhere] [annotated filed elsewhere] [cleared filed elsewhere]"}, r.alertsOf(t, r.patient)); diff != "" {
		t.Errorf("the alerts of who never had the cuff (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"open red [annotated filed here]"}, r.alertsOf(t, b)); diff != "" {
		t.Errorf("the alerts of whose it is (-want +got):\n%s", diff)
	}
	// An edge that has not looked yet still says it is the first person's.
	r.advance(t, r.pressure(60, 126, 80))
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(b.ID)); n != 6 {
		t.Errorf("%d readings of the second person, want 6", n)
	}
	done, err := r.refiles().Get(t.Context(), r.nurse, made.UID)
	if err != nil || done.State != safe.RefileDone || done.Moved != 5 || done.Total != 5 || done.Alerts != 1 {
		t.Fatalf("it says %+v, %v", done, err)
	}
	for _, p := range []account.Patient{r.patient, b} {
		if n := r.count(t, "SELECT count(*) FROM audit WHERE patient_id = $1 AND object = $2", int64(p.ID), "refile "+string(made.UID)); n != 2 {
			t.Errorf("%d audit rows of %s, want that it was asked and that it was done", n, p.Name)
		}
		if list, err := r.refiles().Of(t.Context(), r.nurse, p.UID); err != nil || len(list) != 1 {
			t.Errorf("the record of %s tells %v, %v", p.Name, list, err)
		}
	}
	back, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, "")
	if err != nil || back.UndoOf != made.UID {
		t.Fatalf("undone %+v, %v", back, err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, r.patient, b)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(r.patient.ID)); n != 7 {
		t.Errorf("%d readings after the undo, want 7: what came since too", n)
	}
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("undone twice: %v", err)
	}
}

// TestAnUndoGivesBackWhatChangedHands checks that what was the second person's own all along stays theirs.
func TestAnUndoGivesBackWhatChangedHands(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	hour := since().Add(time.Hour)
	r.ask(t, r.wish(r.patient.UID, b.UID, 60, 0)) // the cuff went on to the second person after an hour
	r.carryOut(t, 10)
	r.advance(t, r.pressure(10, 125, 80), r.pressure(70, 126, 80), r.pressure(80, 127, 80))
	of := func(p account.Patient) int {
		return r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(p.ID))
	}
	if of(r.patient) != 1 || of(b) != 2 {
		t.Fatalf("%d and %d readings, want 1 and 2", of(r.patient), of(b))
	}
	made := r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0)) // no, it was the second person's from the beginning
	r.carryOut(t, 10)
	if of(b) != 3 {
		t.Fatalf("%d readings of the second person, want all", of(b))
	}
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 10)
	if of(r.patient) != 1 || of(b) != 2 {
		t.Errorf("%d and %d readings after the undo, want 1 and 2", of(r.patient), of(b))
	}
	if n := r.count(t, "SELECT count(*) FROM assignment WHERE patient_id = $1 AND from_at = $2 AND to_at IS NULL", int64(b.ID), hour); n != 1 {
		t.Errorf("%d assignments of the second person go on from the hour, want 1", n)
	}
}

// TestARefileThatCannotBe checks what is refused, and why.
func TestARefileThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 150, 90))
	stranger := r.staff(t, "Elsewhere", "eva")
	cases := []struct {
		name string
		by   account.Actor
		wish safe.Wish
		kind fault.Kind
	}{
		{"of a sensor that is not there", r.nurse, safe.Wish{Sensor: "no-such", From: since(), Owner: r.patient.UID, BelongsTo: b.UID, Reason: "x"}, fault.NotFound},
		{"of another organisation's patient", stranger, r.wish(r.patient.UID, b.UID, 0, 0), fault.NotFound},
		{"to whom it belongs already", r.nurse, r.wish(b.UID, b.UID, 0, 0), fault.Invalid},
		{"of somebody who never had it", r.nurse, r.wish(b.UID, r.patient.UID, 0, 0), fault.Conflict},
		{"of nothing that is parked", r.nurse, r.wish("", b.UID, 0, 0), fault.Conflict},
		{"from nobody to nobody", r.nurse, r.wish("", "", 0, 0), fault.Invalid},
		{"without a reason", r.nurse, safe.Wish{Sensor: r.device.UID, From: since(), Owner: r.patient.UID, BelongsTo: b.UID}, fault.Invalid},
		{"backwards in time", r.nurse, r.wish(r.patient.UID, b.UID, 20, 10), fault.Invalid},
		{"of the future", r.nurse, safe.Wish{Sensor: r.device.UID, From: time.Now().Add(time.Hour), Owner: r.patient.UID, BelongsTo: b.UID, Reason: "x"}, fault.Invalid},
	}
	for _, c := range cases {
		if _, err := r.refiles().Ask(t.Context(), c.by, c.wish); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", c.name, err, c.kind)
		}
	}
	r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	if _, err := r.refiles().Ask(t.Context(), r.nurse, r.wish(r.patient.UID, "", 0, 0)); !fault.Is(err, fault.Conflict) {
		t.Errorf("the second of two: %v", err)
	}
	if n := r.count(t, "SELECT count(*) FROM refile"); n != 1 {
		t.Errorf("%d refiles were written, want that of the first", n)
	}
}

// TestParkedReadingsAreClaimed checks that what waited as nobody's is filed as it was measured and judged, that a device that
// is out of use stays out, and that a resend meets what it was.
func TestParkedReadingsAreClaimed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	p := r.addPatient(t, r.nurse, "2")
	early := func(minute int, systolic int64) vital.Record {
		rec := r.pressure(minute-24*60, systolic, 80) // the day before the assignment
		rec.Reading.Patient, rec.Reading.Assignment, rec.Reading.Epoch = 0, 0, 0
		return rec
	}
	first, second, last := early(10, 170), early(20, 175), early(30, 125)
	if res := r.advance(t, first, second, last); res.Parked != 3 {
		t.Fatalf("%d were parked, want 3", res.Parked)
	}
	if err := r.app.Revoke(t.Context(), r.nurse, r.device.UID); err != nil {
		t.Fatal(err)
	}
	out := early(40, 200)
	out.Reading.ReceivedAt = time.Now().Add(time.Minute)
	r.advance(t, out)
	w := safe.Wish{Sensor: r.device.UID, From: since().Add(-24 * time.Hour), BelongsTo: p.UID, Reason: "the box was on her table"}
	desk := r.nurse
	desk.Role = account.Nurse
	if _, err := r.refiles().Ask(t.Context(), desk, w); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse gave away what is nobody's: %v", err)
	}
	made := r.ask(t, w)
	if steps := r.carryOut(t, 2); steps != 2 {
		t.Errorf("%d steps, want 2", steps)
	}
	r.judgeAll(t, p)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1 AND measured_at = sent_at AND value IN (170, 175, 125)", int64(p.ID)); n != 3 {
		t.Errorf("%d readings were filed as they were measured, want 3", n)
	}
	if n := r.count(t, "SELECT count(*) FROM inbox WHERE state = 'claimed'"); n != 3 {
		t.Errorf("%d parked rows are claimed, want 3", n)
	}
	if n := r.count(t, "SELECT count(*) FROM inbox WHERE state = 'waiting' AND reason = 'revoked'"); n != 1 {
		t.Errorf("%d readings of a device out of use still wait, want 1", n)
	}
	if res := r.advance(t, first, second); res.Stored != 0 || res.Parked != 0 {
		t.Errorf("a resend was stored %d and parked %d times", res.Stored, res.Parked)
	}
	if n := r.count(t, "SELECT count(*) FROM assignment WHERE patient_id = $1 AND to_at = $2", int64(p.ID), since()); n != 1 {
		t.Errorf("%d assignments end where the other person's begins, want 1", n)
	}
	// And back to the inbox.
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 2)
	r.judgeAll(t, p)
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 0 {
		t.Errorf("%d readings are left, want none", n)
	}
	if n := r.count(t, "SELECT count(*) FROM inbox WHERE state = 'waiting'"); n != 4 {
		t.Errorf("%d readings wait again, want 4", n)
	}
}

// TestABatchUnderWayIsWhollyBeforeARefile checks the one danger: a batch that has looked at the assignments, and commits only
// after a refile has changed them, would file a reading under the wrong person.
func TestABatchUnderWayIsWhollyBeforeARefile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 150, 90))
	r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	looked, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	batched, stepped := make(chan error, 1), make(chan error, 1)
	go func() {
		slow := func(ctx context.Context, now time.Time, f alerts.Facts, c []alerts.Change, fresh []alerts.Fresh) (alerts.Outcome, error) {
			close(looked)
			<-goOn
			return r.decider.Decide(ctx, now, f, c, fresh)
		}
		batch := alerts.Batch{Cursor: r.cursor, Lane: vital.Late, To: r.cursor.LateSeq + 1, Records: []vital.Record{r.pressure(20, 151, 90)}, Now: since().Add(time.Hour)}
		_, err := r.work.Advance(t.Context(), batch, slow)
		batched <- err
	}()
	<-looked
	go func() {
		_, err := r.work.StepRefile(t.Context(), r.now(t), 100)
		stepped <- err
	}()
	r.until(t, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1)
	select {
	case err := <-stepped:
		t.Errorf("the refile did not wait for the batch: %v", err)
	default:
	}
	release()
	for _, done := range []chan error{batched, stepped} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	r.carryOut(t, 100)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(b.ID)); n != 2 {
		t.Errorf("%d readings are where they belong, want both", n)
	}
}

// until waits for a number of the database.
func (r *record) until(t *testing.T, query string, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); r.count(t, query) < want; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s never came to %d", query, want)
		}
	}
}

// TestOnlyARefileTakesReadingsOut checks the grants: no role of a process deletes a reading or files it under another
// organisation, but by the function, and that does nothing without a refile that runs.
func TestOnlyARefileTakesReadingsOut(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 90))
	b := r.addPatient(t, r.nurse, "2")
	made := r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	const denied = "42501"
	for _, c := range []struct{ role, statement, want string }{
		{"hale_work", "DELETE FROM reading", denied},
		{"hale_work", "UPDATE reading SET value = 0", denied},
		{"hale_work", "UPDATE assignment SET patient_id = 1", denied},
		{"hale_work", "SELECT unfile_readings(1, (SELECT max(id) FROM refile), '-infinity', 'infinity', 10)", ""},
		{"hale_app", "SELECT unfile_readings(1, 1, '-infinity', 'infinity', 10)", denied},
		{"hale_app", "UPDATE refile SET state = 'done'", denied},
		{"hale_app", "UPDATE reading SET patient_id = 1", denied},
		{"hale_app", "DELETE FROM refile", denied},
	} {
		if got := r.asRole(t, c.role, "1", c.statement); got != c.want {
			t.Errorf("%s: %s: SQLSTATE %q, want %q", c.role, c.statement, got, c.want)
		}
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 1 {
		t.Errorf("%d readings, want 1: nothing runs", n)
	}
	if _, err := r.refiles().Get(t.Context(), r.staff(t, "Elsewhere", "eva"), made.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation reads it: %v", err)
	}
}

// TestMergesAreWeighed checks that two records become one by what identifies a person and never by a name.
func TestMergesAreWeighed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	add := func(number string, born vital.Date, sex string) account.Patient {
		p, err := r.app.AddPatient(t.Context(), r.nurse, account.Patient{Name: "Ana Kos", Number: number, BirthDate: born, BirthYear: born.Year(), Sex: sex, Zone: "Europe/Ljubljana"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	base, same, other, unknown := add("a", "1950-02-03", "female"), add("b", "1950-02-03", "female"), add("c", "1951-02-03", "female"), add("d", "", "unknown")
	merges := &safe.Merges{People: r.app, Book: r.app}
	for _, c := range []struct {
		name     string
		into     account.Patient
		confirm  func(string) string
		override string
		kind     fault.Kind // empty: it is done
	}{
		{"who was not compared", same, func(string) string { return "" }, "", fault.Invalid},
		{"what was compared before", same, func(s string) string { return s + "x" }, "", fault.Conflict},
		{"another date of birth", other, func(s string) string { return s }, "", fault.Invalid},
		{"nothing but the name", unknown, func(s string) string { return s }, "", fault.Invalid},
		{"the same date of birth", same, func(s string) string { return s }, "", ""},
	} {
		seen, err := merges.Compare(t.Context(), r.nurse, base.UID, c.into.UID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = merges.Ask(t.Context(), r.nurse, safe.MergeWish{Patient: base.UID, Into: c.into.UID, Confirm: c.confirm(seen.Confirm), Reason: "they said so", Override: c.override})
		if c.kind == "" && err != nil || c.kind != "" && !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %q", c.name, err, c.kind)
		}
	}
	if _, err := merges.Compare(t.Context(), r.nurse, base.UID, base.UID); !fault.Is(err, fault.Invalid) {
		t.Errorf("with itself: %v", err)
	}
}

// TestAMergeAndBack checks what follows a person into the other record, and that it comes back.
func TestAMergeAndBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	y := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(5, 125, 80), r.pressure(10, 190, 100))
	merges := &safe.Merges{People: r.app, Book: r.app}
	seen, err := merges.Compare(t.Context(), r.nurse, r.patient.UID, y.UID)
	if err != nil {
		t.Fatal(err)
	}
	if seen.From.Sensors != 1 || seen.From.OpenAlerts == 0 {
		t.Errorf("the comparison says %+v", seen.From)
	}
	made, err := merges.Ask(t.Context(), r.nurse, safe.MergeWish{Patient: r.patient.UID, Into: y.UID, Confirm: seen.Confirm, Reason: "enrolled twice", Override: "her daughter said so"})
	if err != nil {
		t.Fatal(err)
	}
	now, err := merges.Successor(t.Context(), r.nurse, r.patient.UID)
	if err != nil || now.UID != y.UID {
		t.Errorf("is now %+v, %v", now, err)
	}
	list, err := r.app.Patients(t.Context(), r.nurse, "", 0)
	if err != nil || len(list) != 1 || list[0].UID != y.UID {
		t.Errorf("the list shows %v, %v", list, err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, r.patient, y)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(y.ID)); n != 2 {
		t.Errorf("%d readings are under the record that stays, want 2", n)
	}
	if got := r.alertsOf(t, y); len(got) != 1 {
		t.Errorf("the alerts of the record that stays are %v", got)
	}
	if got := r.alertsOf(t, r.patient); len(got) != 1 || got[0] == "open red" {
		t.Errorf("the alert of the other record is %v: it is to say where its readings are", got)
	}
	if m, err := merges.Get(t.Context(), r.nurse, made.UID); err != nil || m.State != safe.MergeDone || m.Moved != 2 {
		t.Errorf("the merge says %+v, %v", m, err)
	}
	if _, err := r.refiles().Ask(t.Context(), r.nurse, r.wish(r.patient.UID, y.UID, 0, 0)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a merged record was refiled: %v", err)
	}
	child := query(t, r, "SELECT uid::text FROM refile", pgx.RowTo[vital.UID])[0]
	if _, err := r.app.UndoRefile(t.Context(), r.nurse, child, "x"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a part of a merge was undone by itself: %v", err)
	}
	r.advance(t, r.pressure(30, 126, 80)) // of the cuff that was the first one's
	if _, err := merges.Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, r.patient, y)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(r.patient.ID)); n != 3 {
		t.Errorf("%d readings came back, want 3", n)
	}
	if p, err := r.app.Patient(t.Context(), r.nurse, r.patient.UID); err != nil || p.State != account.Active {
		t.Errorf("the first record is %s, %v", p.State, err)
	}
	if m, err := merges.Get(t.Context(), r.nurse, made.UID); err != nil || m.State != safe.MergeUndone {
		t.Errorf("the merge says %+v, %v", m, err)
	}
}
