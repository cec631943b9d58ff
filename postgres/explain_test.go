package postgres_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/postgres"
	"hale/vital"
)

// TestQueriesOnReadingsTouchBoundedPartitions makes two years of months in which the patient had no device yet: no
// query may look into them.
func TestQueriesOnReadingsTouchBoundedPartitions(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 130, 80), r.pressure(20, 185, 100))
	alert, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(alert) != 1 {
		t.Fatalf("worklist %+v, %v", alert, err)
	}
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for m := since().AddDate(-2, 0, 0); m.Before(since().AddDate(0, -1, 0)); m = m.AddDate(0, 1, 0) {
		if _, err := conn.Exec(t.Context(), "SELECT make_reading_partition($1::date)", m); err != nil {
			t.Fatal(err)
		}
	}
	patient, sensor, device, metric := int64(r.patient.ID), int64(r.device.Own), int64(r.device.ID), int16(vital.BloodPressure)
	from, to := since(), since().Add(48*time.Hour)
	args := map[string][]any{
		"newest stored":     {[]int64{sensor}, []int16{metric}},
		"tails":             {[]int64{patient}, []int16{metric}, []int32{16}},
		"points after":      {patient, metric, from, int64(0), from.Add(-24 * time.Hour)},
		"points before":     {patient, metric, to, int64(0), from, int64(0), from.Add(-24 * time.Hour), to.Add(24 * time.Hour), 16},
		"points since":      {patient, metric, from, to, int64(0), from.Add(-24 * time.Hour), to.Add(24 * time.Hour)},
		"latest":            {patient, []int16{metric}},
		"stored quantities": {[]int64{sensor}, []int16{metric}, []time.Time{from}, []int64{1}},
		"intake":            {device},
		"log":               {string(alert[0].UID)},
		"worklist":          {},

		"preview of a refile": {sensor, patient, from.Add(-24 * time.Hour), to.Add(24 * time.Hour), from, to},
		"alerts of a refile":  {sensor, patient, from.Add(-24 * time.Hour), to.Add(24 * time.Hour), from, to},
	}
	scanned := regexp.MustCompile(`on (reading_\d{6})`)
	for name, query := range postgres.ReadingQueries() {
		rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+query, args[name]...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		touched := map[string]bool{}
		for _, line := range plan {
			if m := scanned.FindStringSubmatch(line); m != nil && !strings.Contains(line, "never executed") {
				touched[m[1]] = true
			}
		}
		if len(touched) == 0 || len(touched) > 3 {
			t.Errorf("%s touches %d partitions:\n%s", name, len(touched), strings.Join(plan, "\n"))
		}
	}
	if n := r.count(t, "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'"); n < 20 {
		t.Errorf("there were only %d partitions to look into", n)
	}
}
