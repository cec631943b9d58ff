package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// travel advances a partition by an empty live batch, as the processor does; before is called when it is judged.
func (r *record) travel(ctx context.Context, c alerts.Cursor, before func()) (alerts.Result, error) {
	return r.work.Advance(ctx, alerts.Batch{Cursor: c, Lane: vital.Live, To: c.LiveSeq + 1}, func(context.Context, time.Time, alerts.Facts, []alerts.Change, []alerts.Fresh) (alerts.Outcome, error) {
		before()
		return alerts.Outcome{}, nil
	})
}

// cursorsOf returns one cursor for each of the first n partitions.
func (r *record) cursorsOf(t *testing.T, n int) []alerts.Cursor {
	t.Helper()
	list := make([]alerts.Cursor, n)
	for p := range list {
		list[p] = r.claim(t, p, "p1")
	}
	return list
}

func TestSmallBatchesThatComeMeanwhileShareATransactionAndOneThatIsLostHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.work.Patient()
	cursors := r.cursorsOf(t, 5)
	cursors[3].Epoch-- // another process has taken it
	leading, waiting := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	errs := make([]error, len(cursors))
	group.Go(func() {
		_, errs[0] = r.travel(t.Context(), cursors[0], func() {
			close(leading)
			<-waiting
		})
	})
	<-leading
	for p := 1; p < len(cursors); p++ {
		group.Go(func() { _, errs[p] = r.travel(t.Context(), cursors[p], func() {}) })
	}
	for r.work.Travelling() < 4 { // they join within moments, long before their patience ends
		<-time.After(time.Millisecond)
	}
	close(waiting)
	group.Wait()
	for p, err := range errs {
		if lost := p == 3; lost != fault.Is(err, fault.Conflict) || !lost && err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM stream_cursor WHERE live_seq = 1`); n != 4 {
		t.Errorf("%d partitions have moved, want 4", n)
	}

	// Without the one that is lost they commit together.
	for p := range cursors {
		cursors[p] = r.claim(t, p, "p1")
	}
	leading, waiting = make(chan struct{}), make(chan struct{})
	for p := range cursors {
		if p == 1 {
			<-leading
		}
		group.Go(func() {
			_, errs[p] = r.travel(t.Context(), cursors[p], func() {
				if p == 0 {
					close(leading)
					<-waiting
				}
			})
		})
	}
	for r.work.Travelling() < 4 {
		<-time.After(time.Millisecond)
	}
	close(waiting)
	group.Wait()
	if n := r.count(t, `SELECT count(DISTINCT xmin::text) FROM stream_cursor WHERE partition BETWEEN 1 AND 4`); n != 1 {
		t.Errorf("four batches took %d transactions: %v", n, errs)
	}
}

func TestAPartitionThatIsLockedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	cursors := r.cursorsOf(t, 3)
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	lock, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `SELECT FROM stream_cursor WHERE partition = 0 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := r.travel(t.Context(), cursors[0], func() {})
		held <- err
	}()
	bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for p := 1; p < 3; p++ {
		if _, err := r.travel(bounded, cursors[p], func() {}); err != nil {
			t.Errorf("partition %d waits for one that is locked: %v", p, err)
		}
	}
	select {
	case err := <-held:
		t.Errorf("the locked partition was committed: %v", err)
	default:
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Errorf("the partition that was locked: %v", err)
	}
}
