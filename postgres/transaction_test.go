package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/fault"
	"hale/postgres"
	"hale/vital"
)

// backends are the connections of the processor to this record, and what each is in.
func (r *record) backends(t *testing.T) map[int]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	states := map[int]string{}
	rows, err := conn.Query(t.Context(), `SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hale hale_work'`)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var state string
	if _, err := pgx.ForEachRow(rows, []any{&pid, &state}, func() error { states[pid] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	return states
}

// settled waits until every connection of the processor is idle.
func (r *record) settled(t *testing.T) map[int]string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		states := r.backends(t)
		busy := false
		for _, s := range states {
			busy = busy || s != "idle"
		}
		if !busy && len(states) > 0 {
			return states
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the processor's connections are left as %v", states)
		}
	}
}

// oneConnection makes the record's processor have a single connection.
func (r *record) oneConnection(t *testing.T) {
	t.Helper()
	r.work.Close()
	cfg := r.db.Config()
	cfg.MaxConns = 1
	var err error
	if r.work, err = postgres.OpenWork(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.work.Close)
}

func TestABatchThatFailsGivesItsConnectionBackAndCommitsNothing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.oneConnection(t)
	r.advance(t, r.pressure(10, 120, 80))
	before := r.settled(t)
	refusal := errors.New("the judge is out")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 5 {
		batch := alerts.Batch{Cursor: r.cursor, Lane: vital.Live, To: r.cursor.LiveSeq + 1, Now: since().Add(24 * time.Hour)}
		batch.Records = append(batch.Records, r.pressure(20+n, 120, 80), r.beat("e1", int64(n+1)))
		_, err := r.work.Advance(t.Context(), batch, func(context.Context, time.Time, alerts.Facts, []alerts.Change, []alerts.Fresh) (alerts.Outcome, error) {
			return alerts.Outcome{}, refusal
		})
		if !errors.Is(err, refusal) {
			t.Fatalf("failure %d: %v", n, err)
		}
		if _, err := r.work.Advance(gone, batch, r.decider.Decide); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a batch of a process that is told to end: %v", err)
		}
		batch.Cursor.Epoch--
		if _, err := r.work.Advance(t.Context(), batch, r.decider.Decide); !fault.Is(err, fault.Conflict) {
			t.Fatalf("a batch of another epoch: %v", err)
		}
	}
	if diff := cmp.Diff(before, r.settled(t)); diff != "" {
		t.Errorf("the connection was not kept (-before +after):\n%s", diff)
	}
	r.advance(t, r.pressure(30, 121, 80))
	if n, beats := r.count(t, "SELECT count(*) FROM reading"), r.beats(t); n != 2 || len(beats) != 0 {
		t.Errorf("%d readings and %d canaries are stored, want the 2 readings of the batches that did not fail", n, len(beats))
	}
}

func TestACommitThatTheDatabaseAnswersWithRollbackIsNone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.oneConnection(t)
	before := r.settled(t)
	if err := r.work.CommitInSpiteOf(t.Context(), "SELECT 1/0"); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "ROLLBACK") {
		t.Errorf("the commit was answered with %v", err)
	}
	if diff := cmp.Diff(before, r.settled(t)); diff != "" {
		t.Errorf("the connection was not kept (-before +after):\n%s", diff)
	}
	r.advance(t, r.pressure(10, 120, 80))
}
