package postgres_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
)

// concerned are the tables that hold a patient: by a column patient_id, or by a reference to patient or to such a table,
// however far.
const concerned = `
WITH RECURSIVE t AS (
    SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
        AND (c.relname = 'patient' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'patient_id' AND NOT a.attisdropped))
    UNION
    SELECT f.conrelid FROM t JOIN pg_constraint f ON f.confrelid = t.oid AND f.contype = 'f' JOIN pg_class c ON c.oid = f.conrelid AND NOT c.relispartition
)
SELECT c.relname FROM t JOIN pg_class c ON c.oid = t.oid ORDER BY 1`

// saidByDevices are the tables that tell of a device or a sensor in words of any kind, or in bytes: what a device said, and what was
// said about it, while somebody had it.
const saidByDevices = `
SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('sensor_id', 'device_id') AND NOT a.attisdropped)
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('text'::regtype, 'bytea'::regtype, 'jsonb'::regtype))
ORDER BY 1`

func TestEveryTableOfAPatientHasAnEraseRule(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	lookFor := func(query string) []string {
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		var missing []string
		for _, name := range names {
			if _, has := postgres.EraseRule(name); !has {
				missing = append(missing, name)
			}
		}
		return missing
	}
	look := func() []string { return lookFor(concerned) }
	for _, name := range look() {
		t.Errorf("table %s holds a patient, and erasure does not know what to do with it: add it to eraseRules, with the reason", name)
	}
	// The look must see what it is for: a table of a patient, and one that hangs on a table of a patient.
	if _, err := conn.Exec(t.Context(), `CREATE TABLE diary (org_id integer, id bigint PRIMARY KEY, patient_id bigint); CREATE TABLE diary_page (diary_id bigint REFERENCES diary)`); err != nil {
		t.Fatal(err)
	}
	if got := look(); !slices.Contains(got, "diary") || !slices.Contains(got, "diary_page") {
		t.Errorf("two new tables were not missed: %v", got)
	}
	for _, name := range lookFor(saidByDevices) {
		t.Errorf("table %s keeps words or bytes of a device, which may be of whoever had it: say in eraseRules what erasure does with it, or why nothing", name)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE murmur (org_id integer, device_id bigint, said bytea)`); err != nil {
		t.Fatal(err)
	}
	if got := lookFor(saidByDevices); !slices.Contains(got, "murmur") {
		t.Errorf("a new table of what devices say was not missed: %v", got)
	}
	for _, table := range postgres.EraseTables() {
		var there bool
		if err := conn.QueryRow(t.Context(), `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there); err != nil || !there {
			t.Errorf("erasure has a rule for table %s, which is not there (%v)", table, err)
		}
		if why, _ := postgres.EraseRule(table); why == "" {
			t.Errorf("the rule of table %s has no reason", table)
		}
	}
	for _, phase := range postgres.ErasePhases() {
		if phase != "cut off" && phase != "last" && phase != "" && !slices.Contains(safe.Classes(), safe.Class(phase)) {
			t.Errorf("a rule is of the class %q, which nobody decides on", phase)
		}
	}
}
