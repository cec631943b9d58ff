package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/postgres"
)

func TestNoRowCrossesAnOrganisation(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	mine, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(mine) != 1 {
		t.Fatalf("own worklist %v, %v", mine, err)
	}
	stranger := r.staff(t, "Elsewhere", "eva")
	if list, err := r.app.Worklist(t.Context(), stranger); err != nil || len(list) != 0 {
		t.Errorf("a stranger sees %v, %v", list, err)
	}
	if list, err := r.app.Patients(t.Context(), stranger, "", 0); err != nil || len(list) != 0 {
		t.Errorf("a stranger sees %v, %v", list, err)
	}
	if _, err := r.app.Alert(t.Context(), stranger, mine[0].UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger opened the alert: %v", err)
	}
	act := func(alerts.Alert, time.Time) ([]alerts.Entry, error) { return nil, errors.New("was asked to decide") }
	if _, _, err := r.app.Amend(t.Context(), stranger, mine[0].UID, act); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger acted on the alert: %v", err)
	}
	if _, err := r.app.Patient(t.Context(), account.Actor{}, r.patient.UID); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("nobody saw a patient: %v", err)
	}
}

// asRole runs one statement as a role inside an organisation, and returns the SQLSTATE of its error.
func (r *record) asRole(t *testing.T, role, org, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "SET ROLE "+role+"; SET app.view = 'org'; SET app.org = '"+org+"'"); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), statement)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestRowLevelSecurityStandsBehindTheCode(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	const denied = "42501"
	cases := []struct{ role, org, statement, want string }{
		{"hale_app", "1", "SELECT 1/count(*) FROM reading", ""},
		{"hale_app", "", "SELECT 1/count(*) FROM reading", "22012"}, // no row is seen without an organisation
		{"hale_app", "2", "SELECT 1/count(*) FROM episode", "22012"},
		{"hale_app", "2", "INSERT INTO patient (org_id, uid, name, sex, zone, created_at) VALUES (1, gen_random_uuid(), 'x', 'other', 'UTC', clock_timestamp())", denied},
		{"hale_app", "1", "SELECT * FROM reading_202603", denied},
		{"hale_app", "1", "UPDATE audit SET detail = ''", denied},
		{"hale_app", "1", "DELETE FROM timeline", denied},
		{"hale_app", "1", "SELECT password_hash FROM staff", denied},
		{"hale_work", "", "DELETE FROM reading", denied},
		{"hale_app", "1", "SELECT * FROM canary", denied}, // no list, count or export can show one
		{"hale_work", "", "SELECT password_hash FROM staff", denied},
		{"hale_owner", "1", "DELETE FROM audit", denied}, // not even the owner
	}
	for _, c := range cases {
		if got := r.asRole(t, c.role, c.org, c.statement); got != c.want {
			t.Errorf("%s in organisation %q: %s: SQLSTATE %q, want %q", c.role, c.org, c.statement, got, c.want)
		}
	}
}

func TestEveryTableIsIsolated(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 120, 80))
	// Tables without an organisation hold nothing of anybody: positions, a version, the migrations, canaries, leases, hashes of what
	// was tried as a login or a code, what is under way at an identity provider, the list of what erasing means.
	open := `('stream_cursor', 'registry_version', 'goose_db_version', 'canary', 'edge_lease', 'sign_in_failure', 'sign_in_code_guess', 'sign_in_code_minute', 'erasure_rule',
		'sign_in_flow', 'provider_sign_out')`
	if n := r.count(t, `SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname NOT IN `+open+`
		AND NOT (c.relrowsecurity AND c.relforcerowsecurity)`); n != 0 {
		t.Errorf("%d tables have no forced row level security", n)
	}
	if n := r.count(t, `SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname NOT IN `+open+`
		AND c.relname <> 'org' AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id' AND a.attnotnull)`); n != 0 {
		t.Errorf("%d tables have no org_id", n)
	}
	if n := r.count(t, `SELECT count(*) FROM pg_class c WHERE c.relispartition AND (has_table_privilege('hale_app', c.oid, 'SELECT')
		OR has_table_privilege('hale_app', c.oid, 'INSERT') OR has_any_column_privilege('hale_app', c.oid, 'SELECT'))`); n != 0 {
		t.Errorf("%d partitions are granted to hale_app", n)
	}
	if n := r.count(t, `SELECT count(*) FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'`); n == 0 {
		t.Error("there was no partition to look at")
	}
	// A reference between rows of an organisation carries the organisation.
	if n := r.count(t, `SELECT count(*) FROM pg_constraint f JOIN pg_class p ON p.oid = f.confrelid WHERE f.contype = 'f' AND p.relname <> 'org' AND array_length(f.conkey, 1) < 2`); n != 0 {
		t.Errorf("%d foreign keys do not carry org_id", n)
	}
}

func TestADatabaseThatWasNotMigratedIsRefused(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	admin, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(t.Context()) }()
	if _, err := admin.Exec(t.Context(), "UPDATE goose_db_version SET version_id = 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.OpenWork(t.Context(), r.db.Config()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "hale migrate") {
		t.Errorf("old tables: %v", err)
	}
	if _, err := admin.Exec(t.Context(), "DROP TABLE goose_db_version"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.OpenApp(t.Context(), r.db.Config()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "the tables are not there yet: run `hale migrate") {
		t.Errorf("no tables: %v", err)
	}
	_, err = postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: "Home", Login: "ana", Name: "Ana", Role: account.Nurse})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "the tables are not there yet: run `hale migrate") {
		t.Errorf("staff without tables: %v", err)
	}
}
