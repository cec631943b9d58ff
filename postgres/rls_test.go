package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/internal/pgtest"
)

// The rows that row level security is asked about: of a patient, of another one of the same organisation (another care team,
// another caregiver), and of another organisation's.
const (
	ownRow   = "own"
	otherRow = "other"
	awayRow  = "away"
)

func rowClasses() []string { return []string{ownRow, otherRow, awayRow} }

// openTables are those that hale_app reaches and that belong to no organisation, each with the reason.
func openTables() map[string]string {
	return map[string]string{
		"registry_version": "one number, which grows",
		"stream_cursor":    "positions in the stream, by partition",
		"goose_db_version": "the version of the tables",
	}
}

// loose are the commands that pass by the patients of a view, by table, each with the reason. The organisation holds always.
func loose() map[string]string {
	return map[string]string{
		"INSERT audit":            "an act is written down about whom it concerns, whoever acts",
		"INSERT outbox":           "a notice is written about whom it concerns, whoever causes it",
		"SELECT provider_session": "of sessions of staff only, with what the provider calls them",
		"INSERT provider_session": "likewise",
	}
}

// viewer is somebody whom hale_app acts for, as the settings of its transaction say it.
type viewer struct {
	name      string
	org, view string
	who       int64
	patients  []string // rows about patients that are within the view at most
	others    []string // rows about no patient
}

// rls is a database with three rows in every table that hale_app reaches: hale_app may do with all columns what it may do
// with any, so that nothing but row level security stands before them.
type rls struct {
	conn   *pgx.Conn
	tables map[string]*rlsTable
	now    time.Time
	next   int64
}

type rlsTable struct {
	name    string
	may     []string // commands
	columns []rlsColumn
	parents map[string]rlsParent      // by the last column of the reference
	rows    map[string]map[string]any // by class
	key     []string
}

type rlsColumn struct {
	Name, Kind string
	Needed     bool // not null and without a default
	Derived    bool // from other columns
}

type rlsParent struct {
	table        string
	mine, theirs []string
}

func newRLS(t *testing.T) *rls {
	t.Helper()
	db := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s := &rls{conn: conn, tables: map[string]*rlsTable{}, now: time.Now().UTC().Add(-24 * time.Hour), next: 1000}
	s.exec(t, `SELECT make_reading_partition($1::date)`, s.now)
	s.readCatalogue(t)
	// Neither checks nor triggers are asked here; and what a row says is made up by the type of its columns.
	s.exec(t, `DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conislocal AND coninhcount = 0 LOOP
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
		END LOOP; END $$`)
	s.exec(t, `SET session_replication_role = replica`)
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		for _, class := range rowClasses() {
			s.row(t, name, class)
		}
	}
	s.exec(t, `SET session_replication_role = origin`)
	for name, table := range s.tables {
		if len(table.may) > 0 {
			s.exec(t, `GRANT `+strings.Join(table.may, ", ")+`, SELECT ON `+name+` TO hale_app`)
		}
	}
	return s
}

func (s *rls) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// rowsOf collects rows into structs, whose fields are the columns in their order.
func rowsOf[T any](t *testing.T, s *rls, statement string, args ...any) []T {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return list
}

// readCatalogue finds every table with an organisation, its columns and references, and what hale_app may do with it.
func (s *rls) readCatalogue(t *testing.T) {
	t.Helper()
	for _, c := range rowsOf[struct {
		Table string
		Does  string
	}](t, s, `SELECT c.relname, p.does FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p(does)
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
		AND (p.does = 'DELETE' AND has_table_privilege('hale_app', c.oid, 'DELETE') OR p.does <> 'DELETE' AND has_any_column_privilege('hale_app', c.oid, p.does))`) {
		if s.tables[c.Table] == nil {
			s.tables[c.Table] = &rlsTable{name: c.Table, parents: map[string]rlsParent{}, rows: map[string]map[string]any{}}
		}
		s.tables[c.Table].may = append(s.tables[c.Table].may, c.Does)
	}
	for name := range openTables() {
		if s.tables[name] == nil {
			t.Errorf("%s stands in openTables, but hale_app does not reach it", name)
		}
		delete(s.tables, name)
	}
	s.readReferences(t)
	for _, c := range rowsOf[struct {
		Table string
		rlsColumn
	}](t, s, `SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', a.attgenerated <> ''
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`) {
		if table := s.tables[c.Table]; table != nil {
			table.columns = append(table.columns, c.rlsColumn)
		}
	}
	for name, table := range s.tables {
		if name != "org" && !table.has("org_id") {
			t.Errorf("hale_app reaches %s, which has no org_id: list it in openTables, with the reason", name)
			delete(s.tables, name)
		}
	}
}

// readReferences reads foreign keys and primary keys, with the tables that only references lead to.
func (s *rls) readReferences(t *testing.T) {
	t.Helper()
	for _, c := range rowsOf[struct {
		Table, Parent string
		Mine, Theirs  []string
	}](t, s, `SELECT k.conrelid::regclass::text, k.confrelid::regclass::text,
		ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
		ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
		FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace = 'public'::regnamespace`) {
		if s.tables[c.Parent] == nil {
			s.tables[c.Parent] = &rlsTable{name: c.Parent, parents: map[string]rlsParent{}, rows: map[string]map[string]any{}}
		}
		if table := s.tables[c.Table]; table != nil {
			table.parents[c.Mine[len(c.Mine)-1]] = rlsParent{table: c.Parent, mine: c.Mine, theirs: c.Theirs}
		}
	}
	for _, c := range rowsOf[struct {
		Table string
		Key   []string
	}](t, s, `SELECT k.conrelid::regclass::text, ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey))
		FROM pg_constraint k WHERE k.contype = 'p' AND k.connamespace = 'public'::regnamespace`) {
		if table := s.tables[c.Table]; table != nil {
			table.key = c.Key
		}
	}
}

func (table *rlsTable) has(column string) bool {
	return slices.ContainsFunc(table.columns, func(c rlsColumn) bool { return c.Name == column })
}

// onePerOrganisation reports whether two patients of an organisation share the row.
func (table *rlsTable) onePerOrganisation() bool {
	return table.name == "org" || slices.Equal(table.key, []string{"org_id"})
}

// given are the columns that a row is given.
func (table *rlsTable) given() string {
	var names []string
	for _, c := range table.columns {
		if !c.Derived {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}

// ofPatient reports whether a row of the table is about one patient: by itself, or by what it must point to.
func (s *rls) ofPatient(name string) bool {
	table := s.tables[name]
	if name == "patient" || table.has("patient_id") || beside()[name] != "" {
		return true
	}
	for column, p := range table.parents {
		if p.table == "patient" || p.table != name && table.needs(column) && s.ofPatient(p.table) {
			return true
		}
	}
	return false
}

func (table *rlsTable) needs(column string) bool {
	return slices.ContainsFunc(table.columns, func(c rlsColumn) bool { return c.Name == column && c.Needed })
}

// row returns the class's row of a table; it is made, with the rows that it points to, when there is none.
func (s *rls) row(t *testing.T, name, class string) map[string]any {
	t.Helper()
	table := s.tables[name]
	if made := table.rows[class]; made != nil {
		return made
	}
	if class == otherRow && table.onePerOrganisation() {
		return s.row(t, name, ownRow)
	}
	values := map[string]any{}
	for column, p := range table.parents {
		if p.table == name || !table.needs(column) && column != "org_id" && p.table != "patient" {
			continue
		}
		parent := s.row(t, p.table, class)
		for i, mine := range p.mine {
			values[mine] = parent[p.theirs[i]]
		}
	}
	if table.has("org_id") {
		values["org_id"] = s.row(t, "org", class)["id"]
	}
	if table.has("patient_id") {
		values["patient_id"] = s.row(t, "patient", class)["id"]
	}
	for _, c := range table.columns {
		if _, set := values[c.Name]; c.Needed && !set {
			values[c.Name] = s.madeUp(t, name, c)
		}
	}
	if of := beside()[name]; of != "" {
		row := s.row(t, of, class)
		for _, column := range s.tables[of].key {
			values[column] = row[column]
		}
	}
	maps.Copy(values, wayIn(name))
	table.rows[class] = s.insert(t, name, values)
	return table.rows[class]
}

// beside are tables whose rows have the key of another's, whose patient is theirs, without a reference to it.
func beside() map[string]string { return map[string]string{"reading_more": "reading"} }

// wayIn is what must not be made up: the values that make a relation one that is in force.
func wayIn(table string) map[string]any {
	switch table {
	case "staff":
		return map[string]any{"role": "nurse"}
	case "caregiver_grant":
		return map[string]any{"scopes": "see patients,see readings,see alerts,see the emergency sheet"}
	case "consent_decision":
		return map[string]any{"purpose": "caregiver_sharing", "choice": "given"}
	case "unverified_person":
		return map[string]any{"how": "claimed"}
	}
	return nil
}

// madeUp is a value of a column's type, the like of which no other row has. Instants are yesterday.
func (s *rls) madeUp(t *testing.T, table string, c rlsColumn) any {
	t.Helper()
	s.next++
	switch c.Kind {
	case "bigint", "integer", "smallint", "double precision", "numeric":
		return s.next
	case "text":
		return fmt.Sprintf("made up %d", s.next)
	case "uuid":
		return fmt.Sprintf("00000000-0000-7000-8000-%012x", s.next)
	case "bytea":
		return fmt.Sprintf(`\x%064x`, s.next)
	case "timestamp with time zone":
		return s.now.Format(time.RFC3339)
	case "date":
		return s.now.Format(time.DateOnly)
	case "boolean":
		return false
	case "jsonb", "json":
		return map[string]any{}
	case "inet":
		return "192.0.2.1"
	case "smallint[]", "bigint[]", "text[]", "double precision[]", "integer[]":
		return "{}"
	}
	t.Fatalf("%s.%s: say in madeUp what a %s looks like", table, c.Name, c.Kind)
	return nil
}

func (s *rls) insert(t *testing.T, table string, values map[string]any) map[string]any {
	t.Helper()
	names := slices.Sorted(maps.Keys(values))
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Join(names, ", ")
	var made map[string]any
	statement := `INSERT INTO ` + table + ` (` + list + `) OVERRIDING SYSTEM VALUE SELECT ` + list + ` FROM jsonb_populate_record(NULL::` + table + `, $1) RETURNING to_jsonb(` + table + `)`
	if err := s.conn.QueryRow(t.Context(), statement, string(text)).Scan(&made); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return made
}

// viewers are all kinds of people whom hale_app acts for.
func (s *rls) viewers(t *testing.T) []viewer {
	t.Helper()
	id := func(table, class string) int64 { return int64(s.row(t, table, class)["id"].(float64)) } //nolint:forcetypeassert,errcheck // a number in JSON
	home, elsewhere := fmt.Sprint(id("org", ownRow)), fmt.Sprint(id("org", awayRow))
	all, mine, strange := []string{ownRow, otherRow}, []string{ownRow}, int64(999_999)
	return []viewer{
		{"somebody whose work is the whole organisation", home, "org", id("staff", ownRow), all, all},
		{"a nurse of the patient's care team", home, "staff", id("staff", ownRow), mine, all},
		{"a nurse of another care team", home, "staff", id("staff", otherRow), []string{otherRow}, all},
		{"a nurse of no care team", home, "staff", strange, nil, all},
		{"a nurse of another organisation", elsewhere, "staff", id("staff", awayRow), []string{awayRow}, []string{awayRow}},
		{"a nurse whose id is another organisation's", elsewhere, "staff", id("staff", ownRow), nil, []string{awayRow}},
		{"a caregiver whom the patient has let in", home, "caregiver", id("caregiver", ownRow), mine, all},
		{"a caregiver whom nobody has let in", home, "caregiver", strange, nil, all},
		{"a caregiver in the wrong organisation", elsewhere, "caregiver", id("caregiver", ownRow), nil, []string{awayRow}},
		{"the patient", home, "patient", id("patient", ownRow), mine, all},
		{"the patient in the wrong organisation", elsewhere, "patient", id("patient", ownRow), nil, []string{awayRow}},
		{"a researcher", home, "nobody", 0, nil, all},
		{"somebody of a kind that there is not", home, "everybody", id("staff", ownRow), nil, all},
		{"somebody of no kind", home, "", id("staff", ownRow), nil, all},
		{"nobody", "", "", 0, nil, nil},
		{"nobody, in the view of an organisation", "", "org", 0, nil, nil},
	}
}

// as runs f as hale_app for a viewer, and undoes what it did.
func (s *rls) as(t *testing.T, v viewer, f func(tx pgx.Tx)) {
	t.Helper()
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if v.org+v.view != "" {
		const enter = `SELECT set_config('app.org', $1, true), set_config('app.view', $2, true), set_config('app.who', $3, true), set_config('app.now', clock_timestamp()::text, true)`
		if _, err := tx.Exec(t.Context(), enter, v.org, v.view, fmt.Sprint(v.who)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE hale_app`); err != nil {
		t.Fatal(err)
	}
	f(tx)
}

// try runs a statement in a savepoint and returns how many rows it met, and the SQLSTATE of its error.
func try(t *testing.T, tx pgx.Tx, statement string, args ...any) (int64, string) {
	t.Helper()
	var done pgconn.CommandTag
	err := pgx.BeginFunc(t.Context(), tx, func(tx pgx.Tx) (err error) {
		done, err = tx.Exec(t.Context(), statement, args...)
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return 0, refused.Code
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return done.RowsAffected(), ""
}

const refusedCode = "42501" // insufficient_privilege, which a policy answers

func TestRowLevelSecurityAloneLetsNoForeignRowThrough(t *testing.T) {
	t.Parallel()
	s := newRLS(t)
	for _, v := range s.viewers(t) {
		s.as(t, v, func(tx pgx.Tx) {
			for _, name := range slices.Sorted(maps.Keys(s.tables)) {
				for _, does := range s.tables[name].may {
					s.check(t, tx, v, s.tables[name], does)
				}
			}
		})
	}
}

// check tries a command on the rows of a table: none reaches one that is not within the view.
func (s *rls) check(t *testing.T, tx pgx.Tx, v viewer, table *rlsTable, does string) {
	t.Helper()
	within := v.others
	if _, free := loose()[does+" "+table.name]; s.ofPatient(table.name) && !free {
		within = v.patients
	}
	if throughThePatient(v.view, table.name) {
		within = v.patients
	}
	if !mayInView(v.view, does, table.name, s.ofPatient(table.name)) {
		within = nil
	}
	for _, class := range rowClasses() {
		row := table.rows[class]
		if row == nil {
			continue // the first two share one
		}
		reached, refused := s.reach(t, tx, table, does, row)
		if reached && !slices.Contains(within, class) {
			t.Errorf("%s: %s %s reaches the row of class %s", v.name, does, table.name, class)
		}
		if !reached && v.view == "org" && slices.Contains(within, class) {
			t.Errorf("%s: %s %s does not reach the row of class %s (%s)", v.name, does, table.name, class, refused)
		}
	}
}

// reach reports whether a command gets at a row, or could put it there.
func (s *rls) reach(t *testing.T, tx pgx.Tx, table *rlsTable, does string, row map[string]any) (reached bool, refused string) {
	t.Helper()
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	this := ` FROM jsonb_populate_record(NULL::` + table.name + `, $1) k`
	key := make([]string, len(table.key))
	for i, column := range table.key {
		key[i] = "t." + column + " = k." + column
	}
	where := strings.Join(key, " AND ")
	var n int64
	switch does {
	case "SELECT":
		n, refused = try(t, tx, `SELECT`+this+` JOIN `+table.name+` t ON `+where, string(text))
	case "UPDATE":
		n, refused = try(t, tx, `UPDATE `+table.name+` t SET `+table.key[0]+` = t.`+table.key[0]+this+` WHERE `+where, string(text))
	case "DELETE":
		n, refused = try(t, tx, `DELETE FROM `+table.name+` t USING jsonb_populate_record(NULL::`+table.name+`, $1) k WHERE `+where, string(text))
	case "INSERT":
		// What is there already meets its own key, but only after the policies.
		columns := table.given()
		_, refused = try(t, tx, `INSERT INTO `+table.name+` (`+columns+`) OVERRIDING SYSTEM VALUE SELECT `+columns+this, string(text))
		return refused != refusedCode, refused
	}
	return n > 0 && refused == "", refused
}
