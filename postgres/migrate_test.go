package postgres_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/internal/pgtest"
	"hale/postgres"
)

// firstRecord is a record of version 1 with a patient, a limit, an alert and its log.
const firstRecord = `
INSERT INTO org (uid, name, created_at) VALUES (gen_random_uuid(), 'Home', '2026-01-01Z');
INSERT INTO patient (org_id, uid, name, birth_year, sex, zone, created_at) VALUES (1, gen_random_uuid(), 'Ana', 1941, 'female', 'Europe/Ljubljana', '2026-01-01Z');
INSERT INTO staff (org_id, uid, login, name, role, password_hash, created_at) VALUES (1, gen_random_uuid(), 'mia', 'Mia', 'nurse', '', '2026-01-01Z'),
    (1, gen_random_uuid(), 'dora', 'Dora', 'device_desk', '', '2026-01-01Z');
INSERT INTO rule (org_id, uid, patient_id, kind, metric) VALUES (1, gen_random_uuid(), 1, 'limit', 1);
INSERT INTO rule_version (org_id, rule_id, number, effective_from, enabled, spec, advice, author_name, reason, created_at)
VALUES (1, 1, 1, '2015-01-01Z', true, '{"components":[{"red_high":180}],"k":1,"n":1,"clear_after":1}', '', '', 'default of the programme', '2026-01-01Z');
INSERT INTO episode (org_id, uid, patient_id, rule_id, metric, state, holds, level, historic, rule_version, opened_at, first_at, first_id, last_at, last_id, last_values, occurrences, version)
VALUES (1, gen_random_uuid(), 1, 1, 1, 'open', true, 2, false, 1, '2026-01-02Z', '2026-01-02Z', 5, '2026-01-02Z', 5, '{190,100}', 1, 1);
INSERT INTO timeline (org_id, episode_id, kind, recorded_at, level, reading_at, reading_id, vals, rule_version, episode_version, evaluator)
VALUES (1, 1, 'opened', '2026-01-02Z', 2, '2026-01-02Z', 5, '{190,100}', 1, 1, 1);
INSERT INTO timeline (org_id, episode_id, kind, recorded_at, level, reading_at, reading_id, vals, rule_version, episode_version, evaluator, historic, contact)
VALUES (1, 1, 'occurred', '2026-01-03Z', 2, '2026-01-01Z', 4, '{195,100}', 1, 1, 1, true, true);
INSERT INTO timeline (org_id, episode_id, kind, recorded_at, level, reading_at, reading_id, vals, rule_version, episode_version, evaluator)
VALUES (1, 1, 'occurred', '2026-01-04Z', 2, '2026-01-04Z', 6, '{181,100}', 2, 1, 1);
UPDATE episode SET contact = true, occurrences = 3, last_at = '2026-01-04Z', last_id = 6, last_values = '{181,100}';`

// olderRecord is an empty database, to be brought to older versions.
func olderRecord(t *testing.T) pgtest.Database {
	t.Helper()
	db := pgtest.New(t)
	old := pgtest.Database{Server: db.Server, Name: strings.Replace(db.Name, "t_", "old_", 1)}
	asAdmin(t, db.AdminURL(), "CREATE DATABASE "+old.Name)
	t.Cleanup(func() { asAdmin(t, db.AdminURL(), "DROP DATABASE "+old.Name+" WITH (FORCE)") })
	return old
}

// migrateTo brings a database to a version, and fills in what one of that version held.
func migrateTo(t *testing.T, db pgtest.Database, version int64, held string) {
	t.Helper()
	if err := postgres.MigrateTo(t.Context(), db.AdminURL(), version); err != nil {
		t.Fatal(err)
	}
	asAdmin(t, db.AdminURL(), held)
}

// TestARecordOfTheFirstVersionIsMigratedWithWhatItHolds goes from version 1, with data, to the newest.
func TestARecordOfTheFirstVersionIsMigratedWithWhatItHolds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	old := olderRecord(t)
	migrateTo(t, old, 1, firstRecord)
	done, err := postgres.Migrate(ctx, old.AdminURL())
	if err != nil || done.From != 1 || done.To < 2 {
		t.Fatalf("migrated %+v, %v", done, err)
	}
	app, err := postgres.OpenApp(ctx, old.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	r := &record{db: old}
	nurse := r.staff(t, "Home", "ana")
	if n := r.count(t, `SELECT count(*) FROM patient WHERE birth_date = '1941' AND name_key = 'ana'`); n != 1 {
		t.Error("the patient's birth is not known any more")
	}
	list, err := app.Worklist(ctx, nurse)
	if err != nil || len(list) != 1 || list[0].RuleKind != "limit" || list[0].RuleForm != "" || list[0].LastGrounds != nil {
		t.Fatalf("worklist %+v, %v", list, err)
	}
	if n := r.count(t, `SELECT count(*) FROM team_member m JOIN staff s ON s.id = m.staff_id JOIN team_patient p ON p.team_id = m.team_id WHERE s.login IN ('mia', 'dora')`); n != 1 {
		t.Errorf("of a nurse and the device desk, %d look after the patient", n)
	}
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if a := list[0]; !a.Since.Equal(begun) || !a.ContactAbout.At.Equal(begun) || a.ContactAbout.ID != 4 || !a.Worst.IsZero() || a.Eased() {
		t.Errorf("since %s, contact about %v, worst %v", a.Since, a.ContactAbout, a.Worst)
	}
	if a := list[0]; a.RuleVersion != 1 || a.LastVersion != 2 {
		t.Errorf("opened by version %d, last judged by %d", a.RuleVersion, a.LastVersion)
	}
	rules, err := app.Rules(ctx, nurse, list[0].PatientUID)
	if err != nil || len(rules) != 1 || rules[0].Kind != "limit" || rules[0].Versions[0].Trend != nil || *rules[0].Versions[0].Limit.Components[0].RedHigh != 180 {
		t.Fatalf("rules %+v, %v", rules, err)
	}
	log, err := app.Log(ctx, nurse, list[0].UID)
	if err != nil || len(log) != 3 || log[0].Grounds != nil {
		t.Fatalf("log %+v, %v", log, err)
	}
}

// TestMigrationsAreNumberedWithoutAGap guards against one that was forgotten, or that another branch has under its number.
func TestMigrationsAreNumberedWithoutAGap(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("migrations")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	form := regexp.MustCompile(`^([0-9]{5})_[a-z]+(_[a-z]+)+\.sql$`)
	for i, f := range files {
		m := form.FindStringSubmatch(f.Name())
		if want := fmt.Sprintf("%05d", i+1); m == nil || m[1] != want {
			t.Errorf("%s stands where migration %s is due", f.Name(), want)
		}
	}
}

func asAdmin(t *testing.T, url, statements string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statements); err != nil {
		t.Fatal(err)
	}
}
