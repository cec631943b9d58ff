package postgres_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// flood lets a sensor of nobody send so many red values, of which no table has statistics yet.
func (r *record) flood(t *testing.T, many int) {
	t.Helper()
	r.exec(t, `ALTER TABLE inbox SET (autovacuum_enabled = false)`)
	r.exec(t, `ALTER TABLE unverified_value SET (autovacuum_enabled = false)`)
	var all []vital.Record
	for i := range many {
		one := r.saturation(-60, 74, 0)
		at := one.Reading.SentAt.Add(-time.Duration(i) * time.Second)
		one.Reading.SentAt, one.Reading.MeasuredAt, one.Reading.ReceivedAt = at, at, at.Add(time.Second)
		all = append(all, one)
	}
	r.advance(t, all...)
	r.calm(t)
	if n := r.count(t, `SELECT count(*) FROM unverified_value`); n != many {
		t.Fatalf("%d values", n)
	}
}

// TestWhatLeavesIsLookedUpByItsKey also while nothing is known of the tables: batches wait for whoever claims or puts aside.
func TestWhatLeavesIsLookedUpByItsKey(t *testing.T) {
	t.Parallel()
	const many = 600
	r := newRecord(t)
	r.flood(t, many)
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var sensors, ties, values, reds []int64
	var metrics []int16
	var sent []time.Time
	err = conn.QueryRow(t.Context(), `
SELECT array_agg(v.sensor_id), array_agg(v.metric), array_agg(v.sent_at), array_agg(v.tie), array_agg(v.id), array_agg(v.unverified_id) FROM unverified_value v`).
		Scan(&sensors, &metrics, &sent, &ties, &values, &reds)
	if err != nil {
		t.Fatal(err)
	}
	now, sensor := r.now(t), sensors[0]
	args := map[string][]any{
		"values by key":   {sensors, metrics, sent, ties},
		"lock":            {reds},
		"leave the inbox": {values, now, "claimed", "", ""},
		"store averages":  {values, 0, int64(r.patient.ID)},
		"back in inbox":   {values, now},
		"wait again":      {sensor, metrics, sent},
		"due":             {now.Add(time.Hour), time.Second},
		"values of it":    {now, time.Second, reds[0]},
		"end values":      {values, now},
	}
	for name, query := range postgres.LeavingQueries() {
		read := rowsRead(t, conn, query, args[name])
		if read > 20*many {
			t.Errorf("%s reads %d rows for %d values", name, read, many)
		}
	}
}

var (
	actualRows  = regexp.MustCompile(`actual rows=([0-9.]+) loops=(\d+)`)
	removedRows = regexp.MustCompile(`Rows Removed by .*: (\d+)`)
)

// rowsRead carries a statement out and takes it back: how many rows its nodes had in their hands.
func rowsRead(t *testing.T, conn *pgx.Conn, query string, args []any) int {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	read, loops := 0, 1
	for _, line := range plan {
		if m := actualRows.FindStringSubmatch(line); m != nil {
			each, _ := strconv.ParseFloat(m[1], 64)
			loops, _ = strconv.Atoi(m[2])
			read += int(each * float64(loops))
		} else if m := removedRows.FindStringSubmatch(line); m != nil {
			each, _ := strconv.Atoi(m[1])
			read += each * loops
		}
	}
	if read == 0 && !slices.ContainsFunc(plan, func(l string) bool { return strings.Contains(l, "actual rows=") }) {
		t.Fatalf("no plan: %v", plan)
	}
	return read
}

// TestOneActOnManyValuesIsOneLineInTheLogAndInTheTrail.
func TestOneActOnManyValuesIsOneLineInTheLogAndInTheTrail(t *testing.T) {
	t.Parallel()
	const many = 300
	r := newRecord(t)
	r.flood(t, many)
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-24 * time.Hour), To: since(), Why: "A test at the desk."}
	if n, err := r.inbox().Dismiss(t.Context(), r.nurse, d); err != nil || n != many {
		t.Fatal(n, err)
	}
	if n := r.look(t, 0); n != 1 || len(r.unverified(t, r.nurse)) != 0 {
		t.Fatalf("%d events; %+v", n, r.unverified(t, r.nurse))
	}
	u := r.ended(t, r.nurse)
	if e := lastOf(&u); u.Closing != alerts.ClosedAsDismissed || e.Kind != "dismissed" || e.By != r.nurse.Name || !slices.Equal(e.Values, []float64{74}) ||
		e.Note != d.Why+" (300 values, the worst is shown)" {
		t.Errorf("%s by %q: %+v", u.Closing, u.ClosedBy, e)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified_value WHERE ended_at IS NOT NULL AND became = 'dismissed'`); n != many {
		t.Errorf("%d values have ended", n)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified_entry WHERE kind = 'dismissed'`); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'unverified red ended' AND detail = 'dismissed: 300 values'`); n != 1 {
		t.Errorf("%d rows in the trail", n)
	}
}
