package postgres_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// holding returns the tables, partitions too, that hold a text anywhere: in a text, in JSON, in bytes, in an array.
func holding(t *testing.T, adminURL, needle string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), adminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		var n int
		query := fmt.Sprintf(`SELECT count(*) FROM %s t WHERE strpos(to_jsonb(t)::text, $1) > 0 OR strpos(to_jsonb(t)::text, $2) > 0`, pgx.Identifier{name}.Sanitize())
		if err := conn.QueryRow(t.Context(), query, needle, hex.EncodeToString([]byte(needle))).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found = append(found, name)
		}
	}
	return found
}

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
	if _, err := s.Confirm(t.Context(), one, e.UID, e.Number); !fault.Is(err, fault.Forbidden) {
		t.Fatalf("who decided confirmed: %v", err)
	}
	if _, err := s.Confirm(t.Context(), two, e.UID, e.Number+1); !fault.Is(err, fault.Invalid) {
		t.Fatalf("confirmed with another number: %v", err)
	}
	if e, err = s.Confirm(t.Context(), two, e.UID, e.Number); err != nil {
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
	sealer := &account.Sealer{Store: r.work, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: slog.New(slog.DiscardHandler), Every: 10 * time.Millisecond}
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
	if err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ExportAudit(t.Context(), "Home", account.NewExport(&file)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func mustHold(t *testing.T, export []byte, expected account.Expected) account.Verdict {
	t.Helper()
	v, err := account.VerifyExport(bytes.NewReader(export), expected)
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
	before := mustHold(t, r.export(t), account.Expected{})
	rows := r.count(t, "SELECT count(*) FROM rule WHERE patient_id = "+fmt.Sprint(int64(other.ID)))

	e := r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	needles := []string{string(r.patient.UID), r.patient.Name, "81234567", "please forget"}
	for _, n := range needles {
		if len(holding(t, r.db.AdminURL(), n)) == 0 {
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
		if found := holding(t, r.db.AdminURL(), n); len(found) > 0 {
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
	v := mustHold(t, r.export(t), account.Expected{Seq: before.Sealed, Hash: before.Head})
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
	if found := holding(t, r.db.AdminURL(), "81234567"); len(found) > 0 {
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
