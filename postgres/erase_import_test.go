package postgres_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// halted is a record whose batch stops before it stores what was decided, with all that it holds.
type halted struct {
	identity.ImportBook
	there chan struct{} // closed when the batch has come so far
	goOn  chan struct{}
}

func (b *halted) AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(identity.Import) identity.ImportQuestion, decide func(identity.ImportFacts) []identity.Decided) (identity.Import, []identity.ImportLine, error) {
	return b.ImportBook.AdvanceImport(ctx, actor, uid, ask, func(f identity.ImportFacts) []identity.Decided {
		close(b.there)
		<-b.goOn
		return decide(f)
	})
}

// TestOthersAreMeasuredWhileAnErasureWaitsForAFile erases somebody in the middle of a batch that changes their record: no
// partition waits for the file, and neither of the two gives way to the other.
func TestOthersAreMeasuredWhileAnErasureWaitsForAFile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	_, lines := r.bring(t, identity.ImportOptions{Zone: "UTC"}, columns+"Ana Kovač,1941-03-02,,,A-1,,7\n")
	ana, err := r.app.Patient(t.Context(), r.nurse, lines[0].Patient)
	if err != nil {
		t.Fatal(err)
	}
	m := r.imports()
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(columns+"Ana Kovač,1941-03-02,female,,A-1,,7\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.request(t, ana, atOnce(), safe.ErasureDecision{})
	b := &halted{ImportBook: r.app, there: make(chan struct{}), goOn: make(chan struct{})}
	m.Book = b
	batch := make(chan error, 1)
	go func() {
		_, _, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil)
		batch <- err
	}()
	<-b.there
	erased := r.begun(t, func() error { return r.eraser(&still{end: 40}).RunOnce(t.Context(), r.now(t)) })
	if n := r.count(t, `SELECT count(*) FROM (SELECT 1 FROM stream_cursor FOR UPDATE SKIP LOCKED) f`); n != vital.Partitions {
		t.Errorf("%d partitions go on, want %d", n, vital.Partitions)
	}
	close(b.goOn)
	// The batch was before: it is done as a whole, or finds its file forgotten at the next one.
	if err := <-batch; err != nil && !fault.Is(err, fault.Gone) {
		t.Errorf("the batch: %v", err)
	}
	if err := <-erased; err != nil {
		t.Errorf("the erasure: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM import WHERE content IS NOT NULL`); n != 0 {
		t.Errorf("%d files are kept", n)
	}
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT state FROM erasure`); got != "done" {
		t.Errorf("the request is %s", got)
	}
}

// keepIdentity is a policy by which it stays known, for years, who somebody was.
func keepIdentity() safe.Policy {
	p := atOnce()
	for i := range p.Retention {
		if p.Retention[i].Class == safe.ClassLooks {
			p.Retention[i].Years, p.Retention[i].Linked, p.Retention[i].Ground = 3, true, "claims lapse after three years"
		}
	}
	return p
}

// TestWhatIsTakenByAClosedRecordIsRefusedByItselfAndTheRestComesIn closes the record of somebody whose number and identifier the law
// keeps. A file that names either is not held up by it, and nobody is told more than that it cannot be given again.
func TestWhatIsTakenByAClosedRecordIsRefusedByItselfAndTheRestComesIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	zone := identity.ImportOptions{Zone: "UTC"}
	_, lines := r.bring(t, zone, columns+"Ana Kovač,1941-03-02,,,KE-1,,7\nJan Kos,1940-01-01,,,,,8\n")
	ana, err := r.app.Patient(t.Context(), r.nurse, lines[0].Patient)
	if err != nil {
		t.Fatal(err)
	}
	r.request(t, ana, keepIdentity(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT e.state || ' ' || p.number FROM erasure e JOIN patient p ON p.id = e.patient_id`); got != "kept KE-1" {
		t.Fatalf("the request and the number: %s", got)
	}
	const number, identifier = "this number was given already and cannot be given again", "this identifier was given already and cannot be given again"
	i, lines := r.bring(t, zone, columns+
		"Ana Kovač,1941-03-02,,,KE-1,,\nBo Breg,1942,,,KE-9,,17\nCene Dol,1943,,,,,7\nJan Kos,1940-01-01,,,KE-1,,8\n")
	if outcomes(lines) != "refused new refused refused" || i.State != identity.ImportDone || i.Counts != (identity.ImportCounts{New: 1, Refused: 3}) {
		t.Fatalf("%s %+v", outcomes(lines), i)
	}
	for row, want := range map[int]identity.ImportLine{0: {Field: "number", Problem: number}, 2: {Field: "identifier:urn:a", Problem: identifier}, 3: {Field: "number", Problem: number}} {
		if l := lines[row]; l.Field != want.Field || l.Told() != want.Problem || l.Patient != "" || len(l.Changes)+len(l.Others) > 0 {
			t.Errorf("line %d: %+v", l.Line, l)
		}
	}
	ids := &identity.Identities{Book: r.app, NFC: norm.NFC.String, Now: time.Now}
	if _, err := ids.Add(t.Context(), r.nurse, lines[1].Patient, identity.Identifier{System: "urn:a", Value: "7"}); !fault.Is(err, fault.Conflict) || !strings.HasSuffix(err.Error(), "it cannot be given again") {
		t.Errorf("an identifier by hand: %v", err)
	}
	// By hand it is the same, and in the same words as of a number that somebody has who is there.
	for _, taken := range []string{"KE-1", "KE-9"} {
		_, err := r.app.AddPatient(t.Context(), r.nurse, account.Patient{Name: "Dora", Sex: "unknown", Zone: "UTC", Number: taken})
		if want := `the number "` + taken + `" was given already and cannot be given again`; !fault.Is(err, fault.Conflict) || err.Error() != want {
			t.Errorf("given by hand: %v, want %s", err, want)
		}
	}
}

// TestNobodysNumberIsAskedAboutFromACareTeam is the look-up of numbers that are taken: it is for those who bring people in.
func TestNobodysNumberIsAskedAboutFromACareTeam(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	p := r.addPatient(t, r.nurse, "KE-1")
	for view, want := range map[string]int{"org": 1, "staff": 0, "patient": 0, "caregiver": 0, "": 0} {
		for org, there := range map[vital.OrgID]int{p.Org: want, p.Org + 1: 0} {
			tx := r.hold(t, `SET LOCAL ROLE hale_app`)
			r.do(t, tx, `SELECT set_config('app.org', $1, true), set_config('app.view', $2, true)`, strconv.Itoa(int(org)), view)
			var n int
			err := tx.QueryRow(t.Context(), `SELECT count(x) FROM numbers_given('{KE-1,KE-2}') x`).Scan(&n)
			if err != nil || n != there {
				t.Errorf("the view %q of organisation %d: %d numbers, want %d, %v", view, org, n, there, err)
			}
			r.do(t, tx, `ROLLBACK`)
		}
	}
}

// TestTheConsoleNamesWhatWasTyped asks for the copy of a record that is closed.
func TestTheConsoleNamesWhatWasTyped(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	p := r.addPatient(t, r.nurse, "KE-1")
	operator := postgres.Operator{AdminURL: r.db.AdminURL()}
	if _, uid, err := operator.FindPatient(t.Context(), "Home", "KE-1"); err != nil || uid != p.UID {
		t.Fatalf("%s %v", uid, err)
	}
	r.request(t, p, keepIdentity(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	for _, typed := range []string{"KE-1", string(p.UID), "KE-2"} {
		_, _, err := operator.FindPatient(t.Context(), "Home", typed)
		if want := `the organisation "Home" has no patient "` + typed + `"`; !fault.Is(err, fault.NotFound) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
