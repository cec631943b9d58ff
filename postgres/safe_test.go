package postgres_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// plainDocument stands for api/fhirmap, which this package may not import: it counts.
type plainDocument struct{ w io.Writer }

func (plainDocument) Begin(w io.Writer, _ safe.Holder, _ time.Time) (safe.Document, error) {
	return plainDocument{w}, nil
}

func (d plainDocument) Add(thing any) error {
	b, err := json.Marshal(thing)
	if err == nil {
		_, err = d.w.Write(append(b, '\n'))
	}
	return err
}

func (plainDocument) End() error { return nil }

// safeOf returns the services over the record, and the patient as one who acts.
func (r *record) safeOf() (*safe.Safe, account.Actor) {
	looks := &account.Looks{Log: r.app, Now: time.Now}
	self := account.Actor{Org: r.nurse.Org, Self: r.patient.ID, UID: r.patient.UID, Name: r.patient.Name, Role: account.SelfRole, Session: "own"}
	return safe.New(r.app, plainDocument{}, looks, time.Now), self
}

func TestAWorklistAndItsAlertsLeaveLooksThatThePatientReads(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	s, self := r.safeOf()
	r.nurse.Session = "session-1"
	looks := &account.Looks{Log: r.app, Now: time.Now}
	triage := &alerts.Triage{Cases: r.app, Looks: looks, Now: time.Now}
	limits := &alerts.Limits{Book: r.app, Looks: looks, Now: time.Now}
	for range 3 {
		cases, err := triage.Worklist(t.Context(), r.nurse)
		if err != nil || len(cases) != 1 {
			t.Fatalf("%v, %v", cases, err)
		}
		if _, err := triage.Get(t.Context(), r.nurse, cases[0].Alerts[0].UID); err != nil {
			t.Fatal(err)
		}
		if _, err := triage.List(t.Context(), r.nurse, alerts.Filter{}); err != nil {
			t.Fatal(err)
		}
		if _, err := limits.Get(t.Context(), r.nurse, r.patient.UID); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'look' AND patient_id = $1`, int64(r.patient.ID)); n != 4 {
		t.Errorf("%d rows of looks, want one for each of four things", n)
	}
	_, visits, more, err := s.Looks.List(t.Context(), self, r.patient.UID, safe.LookFilter{})
	if err != nil || more != 0 {
		t.Fatal(err)
	}
	zone, _ := time.LoadLocation("Europe/Ljubljana")
	var said []string
	for i := range visits {
		w := visits[i].Words(zone, safe.Yours)
		said = append(said, w.Who+" "+w.Did)
	}
	want := "administrator Nurse ana looked at your open alerts, in the care team's list, one of your alerts, your alerts and your limits"
	if len(said) == 0 || said[0] != want {
		t.Errorf("the patient reads %q, want first %q", said, want)
	}
}

func TestWhatBrokenGlassShowedIsToldWithItsReason(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	s, self := r.safeOf()
	r.exec(t, fmt.Sprintf(`INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at)
		VALUES (%d, gen_random_uuid(), %d, %d, 'found on the floor', now() - interval '1 minute', now() + interval '1 hour')`, r.nurse.Org, r.patient.ID, r.nurse.Staff))
	looks := &account.Looks{Log: r.app, Now: time.Now}
	if err := looks.Saw(t.Context(), r.nurse, "patient "+string(r.patient.UID), "blood_pressure", r.patient.ID); err != nil {
		t.Fatal(err)
	}
	_, visits, _, err := s.Looks.List(t.Context(), self, r.patient.UID, safe.LookFilter{})
	if err != nil || len(visits) == 0 {
		t.Fatal(visits, err)
	}
	if got := visits[0].Words(time.UTC, safe.Yours).Did; got != "looked at your blood pressure, in an emergency look with the reason “found on the floor”" {
		t.Errorf("it says %q", got)
	}
}

func TestAPatientsCorrectionsAreAskedDecidedAndKept(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	s, self := r.safeOf()
	ctx := t.Context()
	asked, err := s.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongName, Wish: "I married."})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongName, Wish: "Again."}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same was asked twice: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'correction.asked' AND dedup = $1`, string(asked.UID)); n != 1 {
		t.Errorf("%d notices to the team", n)
	}
	if _, err := s.Corrections.Decide(ctx, self, asked.UID, safe.Decision{Accept: true, Answer: "ok", Name: "X"}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the patient decided: %v", err)
	}
	if _, err := s.Corrections.Decide(ctx, r.staff(t, "Elsewhere", "eva"), asked.UID, safe.Decision{Accept: true, Answer: "ok", Name: "X"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation decided: %v", err)
	}
	if _, err := s.Corrections.Decide(ctx, r.nurse, asked.UID, safe.Decision{Accept: true, Answer: "Seen on the card."}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a name was accepted without a name: %v", err)
	}
	waiting, err := s.Corrections.Waiting(ctx, r.nurse)
	if err != nil || len(waiting) != 1 || waiting[0].UID != asked.UID {
		t.Errorf("%v, %v wait", waiting, err)
	}
	done, err := s.Corrections.Decide(ctx, r.nurse, asked.UID, safe.Decision{Accept: true, Answer: "Seen on the card.", Name: "Person Novak"})
	if err != nil || done.State != safe.Accepted || done.DecidedBy != r.nurse.Name {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := s.Corrections.Decide(ctx, r.nurse, asked.UID, safe.Decision{Answer: "no"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("it was decided twice: %v", err)
	}
	if _, err := s.Corrections.Withdraw(ctx, self, asked.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("what was decided was withdrawn: %v", err)
	}
	now, err := r.app.Patient(ctx, r.nurse, r.patient.UID)
	if err != nil || now.Name != "Person Novak" {
		t.Errorf("the name is %q, %v", now.Name, err)
	}
	if n := r.count(t, `SELECT count(*) FROM patient_change WHERE patient_id = $1 AND field = 'name' AND before = 'Person 1' AND after = 'Person Novak' AND source = $2`,
		int64(r.patient.ID), "correction "+string(asked.UID)); n != 1 {
		t.Error("what the name was before is not kept")
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE patient_id = $1 AND object = $2 AND detail IN ('asked for', 'accepted')`, int64(r.patient.ID), "correction "+string(asked.UID)); n != 2 {
		t.Errorf("%d audit rows", n)
	}
	born, err := s.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongBirth, Wish: "17 May 1941"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []vital.Date{"", "1850", "1941-13-01", "2199"} {
		if _, err := s.Corrections.Decide(ctx, r.nurse, born.UID, safe.Decision{Accept: true, Answer: "ok", Birth: bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("birth %q was accepted: %v", bad, err)
		}
	}
	if _, err := s.Corrections.Decide(ctx, r.nurse, born.UID, safe.Decision{Accept: true, Answer: "ok", Birth: "1941-05-17"}); err != nil {
		t.Fatal(err)
	}
	if now, err := r.app.Patient(ctx, r.nurse, r.patient.UID); err != nil || now.BirthDate != "1941-05-17" || now.BirthYear != 1941 {
		t.Errorf("born %q (%d), %v", now.BirthDate, now.BirthYear, err)
	}
}

func TestADisputedReadingIsMarkedWhereverItIsShownAndNeverDeleted(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	high := r.pressure(10, 190, 100)
	r.advance(t, r.pressure(5, 120, 80), high)
	s, self := r.safeOf()
	ctx := t.Context()
	other := r.addPatient(t, r.nurse, "2")
	stranger := account.Actor{Org: r.nurse.Org, Self: other.ID, UID: other.UID, Name: other.Name, Role: account.SelfRole}
	wrong := safe.Correction{Kind: safe.WrongReading, Metric: vital.BloodPressure, ReadingAt: high.Reading.MeasuredAt, ReadingID: high.Reading.ID(), Wish: "My neighbour measured."}
	if _, err := s.Corrections.Ask(ctx, stranger, other.UID, wrong); !fault.Is(err, fault.NotFound) {
		t.Errorf("somebody disputed another's reading: %v", err)
	}
	asked, err := s.Corrections.Ask(ctx, self, r.patient.UID, wrong)
	if err != nil {
		t.Fatal(err)
	}
	disputed := func() (chart, latest, log int) {
		t.Helper()
		q := alerts.SeriesQuery{Patient: r.patient.UID, Metric: vital.BloodPressure, From: since(), To: since().Add(time.Hour)}
		points, err := r.app.Series(ctx, r.nurse, q)
		if err != nil || len(points) != 2 {
			t.Fatal(points, err)
		}
		for _, p := range points {
			if p.Findings&vital.Disputed != 0 {
				if chart++; p.Max[0] != 190 {
					t.Errorf("the wrong reading is marked: %+v", p)
				}
			}
		}
		newest, err := r.app.Latest(ctx, r.nurse, r.patient.UID)
		if err != nil || len(newest) != 1 {
			t.Fatal(newest, err)
		}
		if newest[0].Findings&vital.Disputed != 0 {
			latest++
		}
		open, err := r.app.Worklist(ctx, r.nurse)
		if err != nil || len(open) != 1 {
			t.Fatal(open, err)
		}
		entries, err := r.app.Log(ctx, r.nurse, open[0].UID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Findings&vital.Disputed != 0 {
				log++
			}
		}
		return chart, latest, log
	}
	if chart, latest, log := disputed(); chart != 1 || latest != 1 || log != 1 {
		t.Errorf("marked %d in the chart, %d as newest, %d in the alert", chart, latest, log)
	}
	if _, err := s.Corrections.Withdraw(ctx, self, asked.UID); err != nil {
		t.Fatal(err)
	}
	if chart, latest, log := disputed(); chart+latest+log != 0 {
		t.Errorf("after it was withdrawn: marked %d, %d, %d", chart, latest, log)
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE findings & 1024 <> 0`); n != 0 {
		t.Error("the mark was stored with the reading")
	}
}

func TestAShareOpensAsOftenAsItMayAndIsCounted(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	s, self := r.safeOf()
	ctx := t.Context()
	from := netip.MustParseAddr("203.0.113.9")
	if _, _, err := s.Shares.Make(ctx, r.nurse, r.patient.UID, safe.ShareSheet, time.Hour, 1); !fault.Is(err, fault.Forbidden) {
		t.Errorf("staff made a share: %v", err)
	}
	share, secret, err := s.Shares.Make(ctx, self, r.patient.UID, safe.ShareMonth, time.Hour, 3)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM share WHERE position(convert_to($1, 'UTF8') in secret_hash) > 0 OR encode(secret_hash, 'escape') LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("the secret itself is stored")
	}
	var opened atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			switch _, _, err := s.Shares.Open(ctx, strings.ToUpper(secret), from); {
			case err == nil:
				opened.Add(1)
			case !fault.Is(err, fault.NotFound):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if opened.Load() != 3 {
		t.Errorf("opened %d times of 3", opened.Load())
	}
	_, list, err := s.Shares.List(ctx, self, r.patient.UID)
	if err != nil || len(list) != 1 || list[0].Opened != 3 || list[0].LastOpened.IsZero() || list[0].UID != share.UID {
		t.Errorf("%+v, %v", list, err)
	}
	_, visits, _, err := s.Looks.List(ctx, self, r.patient.UID, safe.LookFilter{})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(visits, func(v safe.Visit) bool { return v.Name == safe.ShareName })
	if at < 0 || len(visits[at].Rows) != 3 {
		t.Fatalf("the patient does not see the openings: %+v", visits)
	}
	if w := visits[at].Words(time.UTC, safe.Yours); w.Who != "somebody with your link" || w.Did != "looked at your emergency sheet and what was measured in the last month, from the internet address 203.0.113.9" {
		t.Errorf("it says %q", w.String())
	}
}

func TestAShareThatEndedOrRanOutOpensNoMore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	s, self := r.safeOf()
	ctx := t.Context()
	from := netip.MustParseAddr("203.0.113.9")
	share, secret, err := s.Shares.Make(ctx, self, r.patient.UID, safe.ShareEverything, time.Hour, 9)
	if err != nil {
		t.Fatal(err)
	}
	o, _, err := s.Shares.Open(ctx, secret, from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.app.Patient(ctx, o.Actor, r.addPatient(t, r.nurse, "2").UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the link reaches another patient: %v", err)
	}
	other := r.addPatient(t, r.nurse, "3")
	stranger := account.Actor{Org: r.nurse.Org, Self: other.ID, UID: other.UID, Name: other.Name, Role: account.SelfRole}
	if err := s.Shares.End(ctx, stranger, share.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another patient ended it: %v", err)
	}
	if err := s.Shares.End(ctx, self, share.UID); err != nil {
		t.Fatal(err)
	}
	if err := s.Shares.End(ctx, self, share.UID); err != nil {
		t.Errorf("ending it twice: %v", err)
	}
	_, _, ended := s.Shares.Open(ctx, secret, from)
	_, late, err := s.Shares.Make(ctx, self, r.patient.UID, safe.ShareSheet, time.Hour, 9)
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE share SET created_at = created_at - interval '2 hours', expires_at = expires_at - interval '2 hours' WHERE ended_at IS NULL`)
	_, _, expired := s.Shares.Open(ctx, late, from)
	_, _, never := s.Shares.Open(ctx, strings.Repeat("A", 20), from)
	for what, err := range map[string]error{"ended": ended, "expired": expired, "never made": never} {
		if !fault.Is(err, fault.NotFound) || fault.MessageOf(err) != fault.MessageOf(never) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestACopyHoldsEverythingOfOnePatientAndNothingOfAnother(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var batch []vital.Record
	for i := range 2100 { // more than one page
		batch = append(batch, r.weight(i, 70_000+int64(i)))
	}
	r.advance(t, append(batch, r.pressure(10, 190, 100))...)
	other := r.addPatient(t, r.nurse, "2")
	s, self := r.safeOf()
	ctx := t.Context()
	if _, err := s.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongName, Wish: "=cmd()"}); err != nil {
		t.Fatal(err)
	}
	stranger := account.Actor{Org: r.nurse.Org, Self: other.ID, UID: other.UID, Name: other.Name, Role: account.SelfRole}
	if _, err := s.Exports.Begin(ctx, stranger, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another patient took a copy: %v", err)
	}
	files := copyOf(t, s, self, r.patient.UID)
	readings := table(t, files["readings.csv"])
	if len(readings) != 2100+2+1 {
		t.Errorf("%d lines of readings", len(readings))
	}
	first := readings[slices.IndexFunc(readings, func(row []string) bool { return row[1] == "body_weight" })]
	want := []string{"body_weight", "value", "70.000", "kg", "70.000", "kg", "2026-03-01T01:00:00+01:00"}
	if diff := cmp.Diff(want, first[1:8]); diff != "" {
		t.Error(diff)
	}
	for name, least := range map[string]int{"alerts.csv": 2, "alert-log.csv": 2, "looks.csv": 3} {
		if n := len(table(t, files[name])); n < least {
			t.Errorf("%s has %d lines, want at least %d", name, n, least)
		}
	}
	if got := strings.Count(files["fhir.json"], "\n"); got < 2101+1+1 {
		t.Errorf("%d things went to FHIR", got)
	}
	if rows := table(t, files["tables/correction.csv"]); len(rows) != 2 || rows[1][6] != "'=cmd()" {
		t.Errorf("corrections: %q", rows)
	}
	page := files["index.html"]
	for _, wanted := range []string{"Person 1", "190/100 mmHg", "<svg", "Not recorded here", "Who looked", "2100 readings"} {
		if !strings.Contains(page, wanted) {
			t.Errorf("the page lacks %q", wanted)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "http://") || strings.Contains(page, "https://") || strings.Contains(page, "ZgotmplZ") {
		t.Error("the page is not whole by itself")
	}
	theirs := copyOf(t, s, stranger, other.UID)
	for name, text := range theirs {
		if strings.Contains(text, "Person 1") || strings.Contains(text, "cuff-1") || strings.Contains(text, "=cmd()") || strings.Contains(text, string(r.patient.UID)) {
			t.Errorf("the other patient's %s tells of this one", name)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'export a record' AND patient_id = $1`, int64(r.patient.ID)); n != 1 {
		t.Errorf("%d audit rows of the copy", n)
	}
}

// copyOf takes a copy and checks its manifest; it returns the files by name.
func copyOf(t *testing.T, s *safe.Safe, actor account.Actor, patient vital.UID) map[string]string {
	t.Helper()
	export, err := s.Exports.Begin(t.Context(), actor, patient)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	told := 0
	if err := export.Write(t.Context(), &b, func(n int) { told = n }); err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	var m safe.Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != len(files)-1 {
		t.Errorf("the manifest names %d files of %d", len(m.Files), len(files)-1)
	}
	for _, f := range m.Files {
		sum := sha256.Sum256([]byte(files[f.Name]))
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(files[f.Name])) {
			t.Errorf("%s is not what the manifest says", f.Name)
		}
		if strings.HasSuffix(f.Name, ".csv") && f.Rows != len(table(t, files[f.Name]))-1 {
			t.Errorf("%s has %d rows, the manifest says %d", f.Name, len(table(t, files[f.Name]))-1, f.Rows)
		}
	}
	if told == 0 && len(table(t, files["readings.csv"])) > 1 {
		t.Error("nobody was told how far it is")
	}
	return files
}

func table(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestEveryTableWithAPatientIsInTheCopyOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	have := map[string]bool{}
	for _, name := range r.column(t, `SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace AND (a.attname = 'patient_id' OR c.relname = 'patient'
			OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.confrelid = 'patient'::regclass)) GROUP BY 1`) {
		have[name] = true
	}
	have["reading_more"] = true // whose it is, its reading says
	listed := postgres.CopiedTables()
	for name := range have {
		if listed[name] == "" {
			t.Errorf("%s has a patient_id: put it into exportedTables, or say in notExported why it is not copied", name)
		}
	}
	for name := range listed {
		if !have[name] {
			t.Errorf("%s is listed and there is no such table with a patient_id", name)
		}
	}
}
