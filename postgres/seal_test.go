package postgres_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/account"
	"hale/account/audit"
	"hale/fault"
	"hale/postgres"
)

func sealKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// sealing runs sealers until nothing is unsealed and everything is signed.
func (r *record) sealing(t *testing.T, sealers int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range sealers {
		s := &audit.Sealer{Store: r.work, Key: sealKey(), Every: time.Millisecond, Log: slog.New(slog.DiscardHandler), Watch: audit.Watch{
			Failed: func(err error) { t.Error(err) },
		}}
		all.Go(func() { _ = s.Run(ctx) })
	}
	deadline := time.Now().Add(20 * time.Second)
	for r.count(t, "SELECT count(*) FROM audit WHERE seq IS NULL") > 0 {
		if time.Now().After(deadline) {
			t.Fatal("rows stay unsealed")
		}
		<-time.After(5 * time.Millisecond)
	}
	stop()
	all.Wait()
}

// exported is the export of an organisation and what it proves.
func (r *record) exported(t *testing.T, org string) (string, audit.Verdict) {
	t.Helper()
	var file bytes.Buffer
	if err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ExportAudit(t.Context(), org, audit.NewExport(&file)); err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(bytes.NewReader(file.Bytes()), audit.Expected{})
	if err != nil {
		t.Fatal(err)
	}
	return file.String(), v
}

func TestEveryAuditRowOfEveryOrganisationIsSealedOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.staff(t, "Elsewhere", "eva")
	var people sync.WaitGroup
	for who := range 4 {
		people.Go(func() {
			for i := range 50 {
				row := account.Audit{Org: r.nurse.Org, Actor: r.nurse, Action: "look", Patient: r.patient.ID, Object: "patient <x>", Detail: fmt.Sprint(who, i)}
				if err := r.app.Record(t.Context(), row); err != nil {
					t.Error(err)
				}
			}
		})
	}
	r.sealing(t, 3) // while they write
	people.Wait()
	r.sealing(t, 3)
	rows := r.count(t, "SELECT count(*) FROM audit WHERE org_id = $1", int32(r.nurse.Org))
	_, v := r.exported(t, "Home")
	if v.Broken != nil || v.Sealed != int64(rows) || v.Sealed < 200 || v.Checkpoints < 1 || v.Unsealed != 1 { // the export itself
		t.Errorf("%d rows, verdict %+v, broken %+v", rows, v, v.Broken)
	}
	if _, v := r.exported(t, "Elsewhere"); v.Broken != nil || v.Sealed != 2 || v.Signed != 2 { // made, and its nurse
		t.Errorf("the other organisation: verdict %+v, broken %+v", v, v.Broken)
	}
	r.sealing(t, 1)
	text, v := r.exported(t, "Home")
	if v.Broken != nil || v.Sealed != int64(rows)+1 || !strings.Contains(text, `"export audit"`) {
		t.Errorf("an export is not in the next one: %+v", v)
	}
	err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ExportAudit(t.Context(), "Nowhere", audit.NewExport(&bytes.Buffer{}))
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown organisation: %v", err)
	}
}

// meanwhile is a file during whose first write something else happens.
type meanwhile struct {
	bytes.Buffer
	first sync.Once
	do    func()
}

func (m *meanwhile) Write(b []byte) (int, error) {
	m.first.Do(m.do)
	return m.Buffer.Write(b)
}

func TestAnExportShowsOneMomentAlthoughRowsAreSealedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	write := func() {
		asAdmin(t, r.db.AdminURL(), `INSERT INTO audit (org_id, at, actor_name, actor_role, action)
			SELECT 1, TIMESTAMPTZ '2026-01-01Z', 'hale', '', 'alert opened' FROM generate_series(1, 100)`)
	}
	write()
	r.sealing(t, 1)
	write()
	rows := r.count(t, "SELECT count(*) FROM audit") + 1 // the export's own
	file := &meanwhile{do: func() { r.sealing(t, 1) }}
	if err := (postgres.Operator{AdminURL: r.db.AdminURL()}).ExportAudit(t.Context(), "Home", audit.NewExport(file)); err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(bytes.NewReader(file.Bytes()), audit.Expected{})
	if err != nil || v.Broken != nil || v.Unsealed != 101 || v.Sealed+v.Unsealed != int64(rows) {
		t.Errorf("%d rows, verdict %+v, broken %+v, %v", rows, v, v.Broken, err)
	}
}

func TestAProcessThatIsPausedWhileItSealsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	orgs, oldest, err := r.work.Unsealed(t.Context(), true, time.Time{})
	if err != nil || len(orgs) != 1 || oldest.IsZero() {
		t.Fatalf("%v, %s, %v", orgs, oldest, err)
	}
	_, err = r.work.Seal(t.Context(), orgs[0], 100, func(head audit.ChainHead, rows []audit.Row) audit.Sealing {
		other, err := r.work.Seal(t.Context(), orgs[0], 100, func(audit.ChainHead, []audit.Row) audit.Sealing {
			t.Error("two were let at one chain")
			return audit.Sealing{}
		})
		if err != nil || other != 0 {
			t.Errorf("the second sealed %d, %v", other, err)
		}
		return audit.Seal(head, rows, nil, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, v := r.exported(t, "Home"); v.Broken != nil || v.Sealed == 0 || v.Checkpoints != 0 {
		t.Errorf("verdict %+v, broken %+v", v, v.Broken)
	}
}

// TestABacklogIsSealedInOneLook seals more rows than a transaction takes, as after the update to this version.
func TestABacklogIsSealedInOneLook(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	asAdmin(t, r.db.AdminURL(), `INSERT INTO audit (org_id, at, actor_name, actor_role, action)
		SELECT 1, TIMESTAMPTZ '2026-01-01Z' + n * interval '1 s', 'hale', '', 'alert opened' FROM generate_series(1, 4500) n`)
	var behind []time.Duration
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &audit.Sealer{Store: r.work, Key: sealKey(), Every: time.Hour, Log: slog.New(slog.DiscardHandler), Watch: audit.Watch{
		Behind: func(age time.Duration) { behind = append(behind, age) },
	}}
	go func() { ended <- s.Run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	for r.count(t, "SELECT count(*) FROM audit WHERE seq IS NULL") > 0 {
		if time.Now().After(deadline) {
			t.Fatal("rows stay unsealed")
		}
		<-time.After(5 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(behind) != 1 || behind[0] < time.Hour {
		t.Errorf("the looks saw %v", behind)
	}
	if _, v := r.exported(t, "Home"); v.Broken != nil || v.Sealed < 4500 {
		t.Errorf("verdict %+v, broken %+v", v, v.Broken)
	}
}

// TestASealedRowIsChangedByNobody tries every column, as the superuser, who passes every grant and policy.
func TestASealedRowIsChangedByNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	columns := map[string]string{}
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'audit'")
	if err != nil {
		t.Fatal(err)
	}
	var column, kind string
	if _, err := pgx.ForEachRow(rows, []any{&column, &kind}, func() error { columns[column] = kind; return nil }); err != nil || len(columns) < 14 {
		t.Fatal(columns, err)
	}
	other := map[string]string{"integer": "77", "bigint": "77", "text": "'other'", "bytea": `decode(repeat('ab', 32), 'hex')`, "timestamp with time zone": "'2020-01-01Z'", "uuid": "gen_random_uuid()"}
	refused := func(statement string) bool {
		_, err := conn.Exec(t.Context(), statement)
		var pg *pgconn.PgError
		return errors.As(err, &pg) && pg.Code == "42501"
	}
	try := func(state string) {
		for column, kind := range columns {
			if column == "id" {
				continue // GENERATED ALWAYS: the database itself refuses
			}
			if !refused("UPDATE audit SET " + column + " = " + other[kind]) {
				t.Errorf("%s of a row that is %s could be changed", column, state)
			}
			// Nor together with its seal.
			seal := ", seq = 5, hash = decode(repeat('ab', 32), 'hex')"
			if column != "seq" && column != "hash" && !refused("UPDATE audit SET "+column+" = "+other[kind]+seal) {
				t.Errorf("%s of a row that is %s could be changed while it was sealed", column, state)
			}
		}
	}
	delete(columns, "seq") // of an unsealed row the CHECK refuses half a seal, and a whole one is what the sealer does
	delete(columns, "hash")
	try("unsealed")
	r.sealing(t, 1)
	columns["seq"], columns["hash"] = "bigint", "bytea"
	try("sealed")
	const blank = "subject = audit_subject(salt, patient_id, object, detail, actor_name, actor_role), patient_id = NULL, object = '', detail = '', salt = ''"
	for _, s := range []string{"UPDATE audit SET blanked = '01920000-0000-7000-8000-000000000009', " + blank, "UPDATE audit SET seq = NULL, hash = NULL", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit_checkpoint", "UPDATE audit_checkpoint SET number = 9",
		"INSERT INTO audit (org_id, at, actor_name, actor_role, action, object) VALUES (1, '2026-01-01Z', 'hale', '', 'blank audit rows', 'blanking x')"} {
		if !refused(s) {
			t.Errorf("%s was not refused", s)
		}
	}
}

func TestRolesReachOnlyTheirPartOfTheSeal(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.staff(t, "Elsewhere", "eva")
	r.sealing(t, 1)
	const denied, none = "42501", "22012"
	row := "INSERT INTO audit (org_id, at, actor_name, actor_role, action%s) VALUES (1, clock_timestamp(), '', '', 'x'%s)"
	cases := []struct{ role, org, statement, want string }{
		{"hale_app", "1", fmt.Sprintf(row, "", ""), ""},
		{"hale_app", "2", fmt.Sprintf(row, "", ""), denied},
		{"hale_app", "1", fmt.Sprintf(row, ", salt", ", ''"), denied},
		{"hale_app", "1", fmt.Sprintf(row, ", seq, hash", ", 9, decode(repeat('ab', 32), 'hex')"), denied},
		{"hale_work", "1", fmt.Sprintf(row, ", seq, hash", ", 9, decode(repeat('ab', 32), 'hex')"), denied},
		{"hale_app", "1", "UPDATE audit SET seq = 9, hash = decode(repeat('ab', 32), 'hex') WHERE seq IS NULL", denied},
		{"hale_app", "1", "UPDATE audit_chain SET seq = 9", denied},
		{"hale_app", "1", "INSERT INTO audit_checkpoint SELECT * FROM audit_checkpoint", denied},
		{"hale_work", "1", "UPDATE audit SET detail = 'x'", denied},
		{"hale_work", "1", "DELETE FROM audit", denied},
		{"hale_work", "1", "DELETE FROM audit_chain", denied},
		{"hale_work", "1", "DELETE FROM audit_checkpoint", denied},
		{"hale_app", "1", "SELECT 1/count(*) FROM audit_checkpoint WHERE org_id = 1", ""},
		{"hale_app", "1", "SELECT 1/count(*) FROM audit_checkpoint WHERE org_id = 2", none},
		{"hale_app", "1", "SELECT 1/count(*) FROM audit_chain WHERE org_id = 2", none},
		{"hale_app", "", "SELECT 1/count(*) FROM audit_chain", none},
	}
	for _, c := range cases {
		if got := r.asRole(t, c.role, c.org, c.statement); got != c.want {
			t.Errorf("%s in organisation %q: %s: SQLSTATE %q, want %q", c.role, c.org, c.statement, got, c.want)
		}
	}
}

// TestARowThatWasChangedBehindTheTriggerIsFound does what only the owner of the machine can.
func TestARowThatWasChangedBehindTheTriggerIsFound(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.sealing(t, 1)
	asAdmin(t, r.db.AdminURL(), "SET session_replication_role = replica; UPDATE audit SET action = 'nothing' WHERE seq = 2 AND org_id = 1")
	if _, v := r.exported(t, "Home"); v.Broken == nil || v.Broken.Seq != 2 || !strings.Contains(v.Broken.What, "link 2 was changed") {
		t.Errorf("broken %+v", v.Broken)
	}
	asAdmin(t, r.db.AdminURL(), "SET session_replication_role = replica; DELETE FROM audit WHERE seq = 1 AND org_id = 1")
	if _, v := r.exported(t, "Home"); v.Broken == nil || v.Broken.Seq != 1 || !strings.Contains(v.Broken.What, "link 1 is missing") {
		t.Errorf("broken %+v", v.Broken)
	}
}
