package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hale/postgres"
	"hale/push"
)

// TestWhatBecameOfOldNoticesIsClearedAndTheNoticesStay: a channel that wants everything would get a row per notice for ever.
func TestWhatBecameOfOldNoticesIsClearedAndTheNoticesStay(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{Audiences: []push.Audience{push.ToTeam}})
	d, _ := s.dispatcher()
	const many = 2100 // more than one statement takes
	s.owe(t, many, push.AlertOpened, "red")
	if _, err := s.desk.Test(t.Context(), s.nurse, s.channel.UID); err != nil {
		t.Fatal(err)
	}
	for done := -1; done != 0; {
		n, err := s.work.Plan(t.Context(), s.now(t), 500)
		if err != nil {
			t.Fatal(err)
		}
		done = n
	}
	s.exec(t, `UPDATE delivery SET state = CASE id % 3 WHEN 0 THEN 'delivered' WHEN 1 THEN 'given_up' ELSE 'cancelled' END, settled_at = now() - interval '91 days'`)
	s.owe(t, 2, push.AlertOpened, "red")
	s.round(t, d)
	s.exec(t, `UPDATE delivery SET state = 'waiting', settled_at = NULL WHERE id = (SELECT id FROM delivery ORDER BY id OFFSET 1 LIMIT 1)`)
	if err := s.work.KeepDeliveries(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.count(t, `SELECT count(*) FROM delivery`); n != 3 {
		t.Errorf("%d deliveries are there, of 2 that are new and 1 that waits", n)
	}
	if n := s.count(t, `SELECT count(*) FROM outbox WHERE topic = 'alert.opened'`); n != many+2 {
		t.Errorf("%d of %d notices are there", n, many+2)
	}
	if n := s.count(t, `SELECT count(*) FROM outbox WHERE topic = 'webhook.test'`); n != 0 {
		t.Errorf("%d tests are there", n)
	}
	if n, err := s.work.Plan(t.Context(), s.now(t), 500); n != 0 || err != nil {
		t.Errorf("%d notices are handed over once more, %v", n, err)
	}
}

func TestWhatAReceiverKnowsADeliveryByIsInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{Audiences: []push.Audience{push.ToTeam}})
	s.owe(t, 5, push.AlertOpened, "red")
	if n, err := s.work.Plan(t.Context(), s.now(t), 500); n != 5 || err != nil {
		t.Fatalf("%d planned, %v", n, err)
	}
	last := ""
	for _, text := range query(t, s.record, `SELECT uid::text FROM delivery ORDER BY id`, pgx.RowTo[string]) {
		if u := uuid.MustParse(text); u.Version() != 7 || text <= last {
			t.Errorf("%s (version %d) after %s", text, u.Version(), last)
		}
		last = text
	}
	if last == "" {
		t.Error("there is no delivery")
	}
}

// TestNoticesHaveConnectionsOfTheirOwn: those that hand notices over may all be busy, and batches go on.
func TestNoticesHaveConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	notices, err := postgres.OpenNotices(t.Context(), r.db.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(notices.Close)
	held := r.hold(t, `LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const tries = 20
	done := make(chan error, tries)
	for range tries {
		go func() {
			_, err := notices.Plan(ctx, time.Now(), 10)
			done <- err
		}()
	}
	const busy = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	for r.count(t, busy) < 3 {
		select {
		case err := <-done:
			t.Fatalf("it waited for nobody: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.advance(t, r.pressure(10, 120, 80)) // writes no notice
	if n := r.count(t, busy); n != 3 {
		t.Errorf("%d connections hand notices over", n)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range tries {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
