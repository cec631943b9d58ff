package postgres_test

import (
	"fmt"
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

// aged makes an edge's row as old as told; ended tells whether it stopped in order then.
func (r *record) aged(t *testing.T, edge string, sent, committed time.Duration, ended bool) {
	t.Helper()
	now := time.Now()
	var end *time.Time
	if at := now.Add(-sent); ended {
		end = &at
	}
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	tag, err := conn.Exec(t.Context(), "UPDATE canary SET sent_at = $2, committed_at = $3, ended_at = $4 WHERE edge = $1", edge, now.Add(-sent), now.Add(-committed), end)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatal(tag, err)
	}
}

// kept are the edges that have a row after the keeper came by.
func (r *record) kept(t *testing.T) (edges []string) {
	t.Helper()
	if err := r.work.KeepCanaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range r.beats(t) {
		edges = append(edges, b.Edge)
	}
	return edges
}

func TestRowsOfDeadEdgesAgeOutWhereOthersBeat(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	r := newRecord(t)
	r.advance(t, r.beat("dead", 1), r.beat("late", 1), r.beat("ended", 1), r.beat("ended long ago", 1), r.beat("alive", 1))
	r.aged(t, "dead", day+time.Hour, day+time.Hour, false)
	r.aged(t, "late", day+time.Hour, time.Minute, false)
	r.aged(t, "ended", 6*day, 6*day, true)
	r.aged(t, "ended long ago", 8*day, 8*day, true)
	r.aged(t, "alive", 0, 0, false)
	if diff := cmp.Diff([]string{"alive", "ended", "late"}, r.kept(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheNewestRowOfAPartitionStaysHoweverOldItIs(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	r := newRecord(t)
	r.advance(t, r.beat("before", 1), r.beat("newest", 1), r.beat("ended", 1))
	r.aged(t, "before", 31*day, 31*day, false)
	r.aged(t, "newest", 30*day, 30*day, false)
	r.aged(t, "ended", 29*day, 29*day, true) // is nobody who beats in its place
	if diff := cmp.Diff([]string{"ended", "newest"}, r.kept(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnEdgeEntersEveryPartitionAndLeavesInOrder(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	rows := func() (list []string) {
		for _, b := range r.beats(t) {
			if b.Partition == r.cursor.Partition {
				list = append(list, fmt.Sprintf("%s %d ended:%v", b.Edge, b.Number, !b.EndedAt.IsZero()))
			}
		}
		return list
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, list ...string) {
		t.Helper()
		if diff := cmp.Diff(list, rows()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	must(r.work.EnterCanary(ctx, "a/1"))
	must(r.work.EnterCanary(ctx, "b/1"))
	must(r.work.EnterCanary(ctx, "a/1"))
	if n := len(r.beats(t)); n != 2*vital.Partitions {
		t.Errorf("%d rows, want one of each edge in each partition", n)
	}
	want("two edges have started", "a/1 0 ended:false", "b/1 0 ended:false")
	must(r.work.EnterCanary(ctx, "a/2"))
	want("one started again and had never beaten", "a/1 0 ended:false", "b/1 0 ended:false")
	r.advance(t, r.beat("b/1", 1))
	must(r.work.LeaveCanary(ctx, "b/1"))
	must(r.work.LeaveCanary(ctx, "a/2"))
	want("two have stopped", "a/1 0 ended:false", "a/2 0 ended:true", "b/1 1 ended:true")
	r.advance(t, r.beat("b/1", 2))
	want("a beat that was in the stream", "a/1 0 ended:false", "a/2 0 ended:true", "b/1 2 ended:true")
	must(r.work.EnterCanary(ctx, "a/3"))
	want("the first start of the place is over", "a/2 0 ended:true", "a/3 0 ended:false", "b/1 2 ended:true")
	sent := r.beat("a/3", 1)
	sent.Canary.SentAt = time.Now().Add(time.Minute) // after the end of a/2
	r.advance(t, sent)
	must(r.work.EnterCanary(ctx, "a/4"))
	want("one beat and died", "a/3 1 ended:false", "a/4 0 ended:false", "b/1 2 ended:true")
	must(r.work.EnterCanary(ctx, "aa/1"))
	want("another place that begins alike", "a/3 1 ended:false", "a/4 0 ended:false", "aa/1 0 ended:false", "b/1 2 ended:true")
}
