package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/postgres"
	"hale/vital"
)

// again is a refused saturation without a time, received so many minutes after the assignment began.
func (r *record) again(minutes int, raw string, percent int64) vital.Record {
	rec := r.refusedValue(minutes, vital.ReasonUnit, raw, vital.OxygenSat, 0, vital.Quantity{Mantissa: percent, Unit: vital.NoUnit})
	rec.Refused.Read.Findings |= vital.TimeAssumed
	return rec
}

func TestTheSameBytesWithoutATimeCountUpWhatTheyStandFor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	counts := func() string {
		t.Helper()
		list := ""
		for _, one := range query(t, r, `SELECT vals[1]::text || ' times ' || times || ' until ' || to_char(received_at, 'HH24:MI') FROM unverified_value ORDER BY id`, pgx.RowTo[string]) {
			list += one + "; "
		}
		return list
	}
	// A message that says one value twice, and another one besides; a second message says the same as the first.
	r.advance(t, r.again(10, "a", 71), r.again(10, "a", 71), r.again(10, "a", 70), r.again(11, "b", 71))
	if got, want := counts(), "71 times 2 until 00:10; 70 times 1 until 00:10; 71 times 1 until 00:11; "; got != want {
		t.Errorf("first: %s\nwant:  %s", got, want)
	}
	r.advance(t, r.again(20, "b", 71), r.again(30, "b", 71), r.again(25, "c", 69))
	if got, want := counts(), "71 times 2 until 00:10; 70 times 1 until 00:10; 71 times 3 until 00:30; 69 times 1 until 00:25; "; got != want {
		t.Errorf("then: %s\nwant: %s", got, want)
	}
}

// TestWhatOpensIsLookedUpByItsKey also while nothing is known of the tables: the batch that brings it waits for it.
func TestWhatOpensIsLookedUpByItsKey(t *testing.T) {
	t.Parallel()
	const many = 600
	r := newRecord(t)
	r.exec(t, `ALTER TABLE unverified_value SET (autovacuum_enabled = false)`)
	var all []vital.Record
	for i := range many {
		all = append(all, r.again(i, fmt.Sprint("message ", i), 60))
	}
	r.advance(t, all...)
	if n := r.count(t, `SELECT count(*) FROM unverified_value`); n != many {
		t.Fatalf("%d values", n)
	}
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var orgs, findings, times []int32
	var reds, sensors, refused []int64
	var metrics, levels []int16
	var places, whys, grounds, vals []string
	var unitless []bool
	var badness []float64
	var received []time.Time
	err = conn.QueryRow(t.Context(), `
SELECT array_agg(org_id), array_agg(unverified_id), array_agg(sensor_id), array_agg(metric), array_agg(quarantine_id), array_agg(place), array_agg(why), array_agg(level),
    array_agg(ground), array_agg(vals::text), array_agg(unitless), array_agg(badness), array_agg(findings), array_agg(received_at), array_agg(times) FROM unverified_value`).
		Scan(&orgs, &reds, &sensors, &metrics, &refused, &places, &whys, &levels, &grounds, &vals, &unitless, &badness, &findings, &received, &times)
	if err != nil {
		t.Fatal(err)
	}
	none, keys, sent, ties := make([]*int64, many), make([]*int64, many), make([]*time.Time, many), make([]*int64, many)
	for i := range many {
		keys[i], ties[i] = &refused[i], &refused[i]
		sent[i] = &received[i]
	}
	nothing := make([]*time.Time, many)
	of := func(sent []*time.Time, ties, keys []*int64, places []string) []any {
		return []any{orgs, reds, sensors, metrics, sent, ties, keys, places, whys, levels, grounds, vals, unitless, badness, findings, none, nothing, received, times, int32(vital.TimeAssumed), make([]int64, many)}
	}
	inbox := make([]string, many)
	for i := range inbox {
		inbox[i] = "inbox"
	}
	for name, args := range map[string][]any{
		"what was refused before": of(nothing, none, keys, places),
		"what is parked":          of(sent, ties, none, inbox),
	} {
		if read := rowsRead(t, conn, postgres.OpeningValues, args); read > 20*many {
			t.Errorf("%s: %d rows are read for %d values", name, read, many)
		}
	}
}
