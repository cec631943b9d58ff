package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// beat is one of an edge's canary in the record's partition.
func (r *record) beat(edge string, number int64) vital.Record {
	return vital.Record{Canary: &vital.Canary{
		Edge: edge, Partition: r.cursor.Partition, Number: number, SentAt: since().Add(time.Duration(number) * time.Second),
		Value: vital.Quantity{Mantissa: vital.CanaryValue(number), Unit: vital.PerMinute},
	}}
}

func (r *record) beats(t *testing.T) []alerts.CanaryBeat {
	t.Helper()
	list, now, err := r.work.CanaryBeats(t.Context())
	if err != nil || time.Since(now).Abs() > time.Minute {
		t.Fatalf("clock %s, %v", now, err)
	}
	return list
}

func TestOfACanaryNothingIsKeptButItsNewestBeat(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	everything := func() (n int) {
		for _, table := range []string{
			"reading", "inbox", "quarantine", "episode", "timeline", "outbox", "audit", "condition_interval", "situation_change", "patient", "device", "org",
		} {
			n += r.count(t, "SELECT count(*) FROM "+table)
		}
		return n
	}
	r.advance(t) // what waited for the processor
	before := everything()
	start := time.Now()
	res := r.advance(t, r.beat("e1", 1), r.beat("e2", 1), r.beat("e1", 2))
	want := alerts.Result{Cursor: res.Cursor}
	if diff := cmp.Diff(want, res, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("canaries were counted (-want +got):\n%s", diff)
	}
	list := r.beats(t)
	if len(list) != 2 || list[0].Edge != "e1" || list[1].Edge != "e2" {
		t.Fatalf("beats %+v", list)
	}
	committed := list[0].CommittedAt
	if committed.Before(start.Add(-time.Second)) || committed.After(time.Now().Add(time.Second)) {
		t.Errorf("committed at %s", committed)
	}
	e1 := alerts.CanaryBeat{Partition: r.cursor.Partition, Edge: "e1", Number: 2, SentAt: since().Add(2 * time.Second), CommittedAt: committed, Level: alerts.None, Evaluator: alerts.Evaluator}
	if diff := cmp.Diff(e1, list[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if list[1].Level != alerts.Red || list[1].Wrong != 0 {
		t.Errorf("a beat beyond the limit: %+v", list[1])
	}
	r.advance(t, r.beat("e1", 2), r.beat("e1", 1)) // published twice, with an outcome that was not known
	if diff := cmp.Diff(list, r.beats(t)); diff != "" {
		t.Errorf("beats that were there already changed something:\n%s", diff)
	}
	for n := range int64(50) {
		r.advance(t, r.beat("e1", 3+n))
	}
	if n := everything(); n != before || len(r.beats(t)) != 2 {
		t.Errorf("%d rows more in the tables of people, %d canaries", n-before, len(r.beats(t)))
	}
}

func TestABeatThatIsJudgedWronglyIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	bad, elsewhere := r.beat("e1", 3), r.beat("e2", 4)
	bad.Canary.Value.Mantissa = vital.CanaryInside
	elsewhere.Canary.Partition++
	r.advance(t, bad, elsewhere, r.pressure(10, 120, 80))
	r.advance(t, r.beat("e1", 4), r.beat("e2", 5))
	for _, b := range r.beats(t) {
		if b.Wrong != 1 || b.WrongAt.IsZero() || b.WrongAt.After(b.CommittedAt) || b.Number < 4 {
			t.Errorf("%+v", b)
		}
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 1 {
		t.Errorf("%d readings are stored, want the one that travelled with canaries", n)
	}
}

func TestRowsOfDeadEdgesAgeOut(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.beat("dead", 1), r.beat("late", 1), r.beat("alive", 1))
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	now := time.Now()
	for edge, at := range map[string][2]time.Time{
		"dead": {now.Add(-25 * time.Hour), now.Add(-25 * time.Hour)}, "late": {now.Add(-25 * time.Hour), now.Add(-time.Minute)}, "alive": {now, now},
	} {
		if _, err := conn.Exec(t.Context(), "UPDATE canary SET sent_at = $2, committed_at = $3 WHERE edge = $1", edge, at[0], at[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.work.KeepCanaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := r.beats(t); len(list) != 2 || list[0].Edge != "alive" || list[1].Edge != "late" {
		t.Errorf("left: %+v", list)
	}
}
