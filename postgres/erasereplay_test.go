package postgres_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/audit"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
)

// backup copies the record's database as it is, and opens the record again.
func (r *record) backup(t *testing.T) pgtest.Database {
	t.Helper()
	r.app.Close()
	r.work.Close()
	copied := pgtest.Database{Server: r.db.Server, Name: r.db.Name + "_b"}
	asAdmin(t, r.db.Server.SuperURL("postgres"), "CREATE DATABASE "+copied.Name+" TEMPLATE "+r.db.Name)
	t.Cleanup(func() { asAdmin(t, r.db.Server.SuperURL("postgres"), "DROP DATABASE "+copied.Name+" WITH (FORCE)") })
	r.reopen(t)
	return copied
}

func (r *record) reopen(t *testing.T) {
	t.Helper()
	var err error
	if r.app, err = postgres.OpenApp(t.Context(), r.db.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.app.Close)
	if r.work, err = postgres.OpenWork(t.Context(), r.db.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.work.Close)
}

// carryErasureOut runs the eraser until nothing is due at a time.
func (r *record) carryErasureOut(t *testing.T, at time.Time) {
	t.Helper()
	r.passAll(t, 1_000_000)
	eraser := r.eraser(&still{end: 7})
	for range 3 {
		if err := eraser.RunOnce(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *record) now(t *testing.T) time.Time {
	t.Helper()
	now, err := r.work.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestWhatMustBeKeptIsNobodysAndGoesByItselfOnItsDay(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 191, 101))
	policy := atOnce()
	for i := range policy.Retention {
		if policy.Retention[i].Class == safe.ClassLooks || policy.Retention[i].Class == safe.ClassReadings {
			policy.Retention[i].Years, policy.Retention[i].Ground = 3, "claims lapse after three years"
		}
	}
	e := r.request(t, r.patient, policy, safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, "SELECT state FROM erasure WHERE uid = '"+string(e.UID)+"'"); got != "kept" {
		t.Fatalf("the request is %s", got)
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 1 {
		t.Errorf("%d readings are kept, want 1", n)
	}
	for _, n := range []string{r.patient.Name, "please forget"} {
		if found := pgtest.Holding(t, r.db.AdminURL(), n); len(found) > 0 {
			t.Errorf("%q is in %v although who they are was erased", n, found)
		}
	}
	// Who looked is kept under names that lead nowhere: the uid stands in rows of what staff did, and in no other table.
	if found := pgtest.Holding(t, r.db.AdminURL(), string(r.patient.UID)); !slices.Equal(found, []string{"audit"}) {
		t.Errorf("the uid is in %v, want the audit only", found)
	}
	if _, err := r.app.Patient(t.Context(), r.nurse, r.patient.UID); err == nil {
		t.Error("a nurse still finds the person")
	}
	if list, err := r.app.Patients(t.Context(), r.nurse, "", 0); err != nil || len(list) != 0 {
		t.Errorf("a list shows %v, %v", list, err)
	}
	mustHold(t, r.export(t), audit.Expected{})
	receipt, _, err := safe.ReadReceipt([]byte(r.text(t, "SELECT receipt FROM erasure")), nil)
	if err != nil || len(receipt.Kept) != 2 || receipt.Kept[0].Ground == "" || receipt.Kept[0].Until.Before(r.now(t).AddDate(2, 11, 0)) {
		t.Errorf("the receipt says of what is kept: %+v, %v", receipt.Kept, err)
	}

	r.carryErasureOut(t, r.now(t).AddDate(3, 0, 1))
	if got := r.text(t, "SELECT state FROM erasure"); got != "done" {
		t.Fatalf("after the day the request is %s", got)
	}
	if n := r.count(t, "SELECT (SELECT count(*) FROM reading) + (SELECT count(*) FROM patient)"); n != 0 {
		t.Errorf("%d readings and patients are left", n)
	}
	if v := mustHold(t, r.export(t), audit.Expected{}); len(v.Blankings) != 2 {
		t.Errorf("the audit tells of blankings %v, want two", v.Blankings)
	}
}

func TestARestoreFromAnEarlierBackupRepeatsTheErasure(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 191, 101), r.weight(30, 81_234_567))
	stays := r.addPatient(t, r.nurse, "Q-77")
	old := r.backup(t)
	late := r.addPatient(t, r.nurse, "L-1") // whom the backup does not know
	erased := []account.Patient{r.patient, late}
	for _, p := range erased {
		r.request(t, p, atOnce(), safe.ErasureDecision{})
		r.carryErasureOut(t, r.now(t))
	}
	entries, err := r.work.Ledger(t.Context())
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	var file bytes.Buffer
	if err := safe.WriteLedger(&file, entries); err != nil {
		t.Fatal(err)
	}
	for _, p := range erased {
		if strings.Contains(file.String(), string(p.UID)) || strings.Contains(file.String(), p.Name) {
			t.Errorf("the ledger names somebody: %s", file.String())
		}
	}
	file.WriteString(`{"form":"hale-eras`) // the disk was full
	read, cut, err := safe.ReadLedger(&file)
	if err != nil || !cut || len(read) != 2 {
		t.Fatal(read, cut, err)
	}

	r.db = old // what was restored
	r.reopen(t)
	// Somebody who came after the restore has the number that the erased one had.
	if again := r.addPatient(t, r.nurse, "N-1"); again.ID != late.ID {
		t.Fatalf("the new patient has number %d, want %d", again.ID, late.ID)
	}
	if missing, err := r.work.MissingErasures(t.Context(), read); err != nil || len(missing) != 2 {
		t.Fatalf("missing %v, %v", missing, err)
	}
	operator := postgres.Operator{AdminURL: r.db.AdminURL()}
	for i, want := range []postgres.Replayed{postgres.ReplayErased, postgres.ReplayNobody} {
		if got, err := operator.ReplayErasure(t.Context(), read[i]); err != nil || got != want {
			t.Fatalf("entry %d: %q, %v; want %q", i, got, err, want)
		}
		if got, err := operator.ReplayErasure(t.Context(), read[i]); err != nil || got != postgres.ReplayAlready {
			t.Fatalf("entry %d once more: %q, %v", i, got, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'replay erasure' AND actor_name = 'operator' AND object LIKE 'erasure %'`); n != 2 {
		t.Errorf("%d replays stand in the trail, want each that was carried out", n)
	}
	if missing, err := r.work.MissingErasures(t.Context(), read); err != nil || len(missing) != 0 {
		t.Errorf("still missing %v, %v", missing, err)
	}
	r.carryErasureOut(t, r.now(t))
	for _, n := range []string{string(r.patient.UID), r.patient.Name, "81234567"} {
		if found := pgtest.Holding(t, r.db.AdminURL(), n+`"`); len(found) > 0 {
			t.Errorf("%q came back in %v", n, found)
		}
	}
	if n := r.count(t, "SELECT count(*) FROM patient"); n != 2 {
		t.Errorf("%d patients, want the two that nobody erased", n)
	}
	if _, err := r.app.Patient(t.Context(), r.nurse, stays.UID); err != nil {
		t.Errorf("the other patient: %v", err)
	}
	if got := r.text(t, "SELECT string_agg(state, ' ' ORDER BY number) FROM erasure"); got != "done done" {
		t.Errorf("the requests are %s", got)
	}
	mustHold(t, r.export(t), audit.Expected{})
}
