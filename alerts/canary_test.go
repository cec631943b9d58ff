package alerts_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

func canary(number int64) *vital.Canary {
	return &vital.Canary{
		Edge: "e", Partition: 3, Number: number, SentAt: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
		Value: vital.Quantity{Mantissa: vital.CanaryValue(number), Unit: vital.PerMinute},
	}
}

func TestACanaryIsJudgedByWhatItMeasured(t *testing.T) {
	t.Parallel()
	for number, want := range map[int64]alerts.Level{1: alerts.Red, 2: alerts.None, 3: alerts.Red, 1 << 40: alerts.None} {
		if level, right := alerts.JudgeCanary(canary(number), 3); level != want || !right {
			t.Errorf("beat %d: %s, right: %v", number, level, right)
		}
	}
	swapped := canary(1)
	swapped.Value.Mantissa = vital.CanaryInside
	if level, right := alerts.JudgeCanary(swapped, 3); level != alerts.None || right {
		t.Errorf("a beat that must be red and measured %d: %s, right: %v", vital.CanaryInside, level, right)
	}
	if _, right := alerts.JudgeCanary(canary(1), 4); right {
		t.Error("a beat that came by another partition counts as right")
	}
}

// canaryRows is what a test says that the record holds.
type canaryRows struct {
	beats []alerts.CanaryBeat
	now   time.Time
	err   error
}

func (r *canaryRows) CanaryBeats(context.Context) ([]alerts.CanaryBeat, time.Time, error) {
	return r.beats, r.now, r.err
}

// set is the newest beat of an edge in every partition.
func (r *canaryRows) set(edge string, number int64, sent, committed time.Time) {
	for p := range vital.Partitions {
		b := alerts.CanaryBeat{Partition: p, Edge: edge, Number: number, SentAt: sent, CommittedAt: committed}
		found := false
		for i := range r.beats {
			if r.beats[i].Partition == p && r.beats[i].Edge == edge {
				b.Wrong, b.WrongAt = r.beats[i].Wrong, r.beats[i].WrongAt
				r.beats[i], found = b, true
			}
		}
		if !found {
			r.beats = append(r.beats, b)
		}
	}
}

// lookout is a watch on rows that the test writes, with a clock that the test moves.
type lookout struct {
	*alerts.CanaryWatch
	rows     canaryRows
	local    time.Time
	arrived  []time.Duration
	troubles map[alerts.CanaryTrouble]int
	log      strings.Builder
}

func newLookout(edge string) *lookout {
	l := &lookout{local: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), troubles: map[alerts.CanaryTrouble]int{}}
	l.rows.now = l.local
	var mu sync.Mutex
	l.CanaryWatch = alerts.NewCanaryWatch(alerts.CanaryConfig{
		Rows: &l.rows, Edge: edge, Now: func() time.Time { return l.local }, Log: slog.New(slog.NewTextHandler(&l.log, nil)),
		Arrived: func(took time.Duration) { l.arrived = append(l.arrived, took) },
		Failed: func(t alerts.CanaryTrouble) {
			mu.Lock()
			defer mu.Unlock()
			l.troubles[t]++
		},
	})
	return l
}

// pass lets time go by on both clocks and looks.
func (l *lookout) pass(t *testing.T, d time.Duration) alerts.CanaryReport {
	t.Helper()
	l.local, l.rows.now = l.local.Add(d), l.rows.now.Add(d)
	l.RunOnce(t.Context())
	return l.Report()
}

// alarms counts the error lines of the log since it was last asked.
func (l *lookout) alarms() int {
	n := strings.Count(l.log.String(), "level=ERROR")
	l.log.Reset()
	return n
}

func TestAStalledPartitionRaisesTheAlarmOnceAndAgainEveryMinute(t *testing.T) {
	t.Parallel()
	l := newLookout("e")
	start := l.local
	l.rows.set("e", 1, start, start.Add(40*time.Millisecond))
	if r := l.pass(t, time.Second); r.Text() != "" || r.Partitions[5].Age != time.Second || r.Partitions[5].Own != time.Second || !r.Partitions[5].Known {
		t.Errorf("all is well: %q %+v", r.Text(), r.Partitions[5])
	}
	if len(l.arrived) != vital.Partitions || l.arrived[0] != 40*time.Millisecond {
		t.Errorf("own beats took %v", l.arrived)
	}
	l.pass(t, time.Second) // the same rows again
	if len(l.arrived) != vital.Partitions {
		t.Errorf("one beat was measured twice: %v", l.arrived)
	}
	fresh := func(at time.Time) { // every partition but the sixth goes on
		for i := range l.rows.beats {
			if l.rows.beats[i].Partition != 5 {
				l.rows.beats[i].Number++
				l.rows.beats[i].SentAt, l.rows.beats[i].CommittedAt = at, at
			}
		}
	}
	fresh(start.Add(29 * time.Second))
	if r := l.pass(t, 28*time.Second); r.Text() != "" || l.alarms() != 0 { // 30 s: one late beat more is no alarm
		t.Errorf("at the deadline: %q", r.Text())
	}
	r := l.pass(t, time.Second)
	if !strings.Contains(r.Text(), "partition 5 for 31s") || !r.Partitions[5].Late || r.Partitions[4].Late {
		t.Errorf("beyond the deadline: %q", r.Text())
	}
	if l.alarms() != 1 || l.troubles[alerts.CanaryLate] != 1 {
		t.Errorf("alarms in the log, troubles counted: %v", l.troubles)
	}
	for range 59 {
		fresh(l.rows.now)
		l.pass(t, time.Second)
	}
	if n := l.alarms(); n != 0 {
		t.Errorf("%d alarms within a minute of the first", n)
	}
	fresh(l.rows.now)
	l.pass(t, time.Second)
	if l.alarms() != 1 || l.troubles[alerts.CanaryLate] != 1 {
		t.Error("no second alarm after a minute, or it was counted again")
	}
	l.rows.set("e", 90, l.rows.now, l.rows.now)
	r = l.pass(t, time.Second)
	if r.Text() != "" || !strings.Contains(l.log.String(), "well again") {
		t.Errorf("after it went on: %q, log %q", r.Text(), l.log.String())
	}
}

func TestWhoHasACanaryMissesItsOwnBeatsAndWhoHasNoneMissesNothing(t *testing.T) {
	t.Parallel()
	with, without := newLookout("e"), newLookout("")
	for _, l := range []*lookout{with, without} {
		if r := l.pass(t, 31*time.Second); (r.Text() != "") != (l == with) {
			t.Errorf("with an empty table: %q", r.Text())
		}
		l.rows.set("other", 7, l.rows.now, l.rows.now)
		if r := l.pass(t, time.Second); (r.Text() != "") != (l == with) {
			t.Errorf("with beats of another edge only: %q", r.Text())
		}
	}
	if len(with.arrived)+len(without.arrived) != 0 {
		t.Error("another edge's beats were measured as our own")
	}
	if r := without.pass(t, 31*time.Second); r.Text() == "" {
		t.Error("nobody misses the other edge's beats")
	}
}

func TestAWrongJudgementIsAnAlarmForAMinuteAndIsCountedOnce(t *testing.T) {
	t.Parallel()
	l := newLookout("e")
	old := l.rows.now.Add(-time.Hour)
	l.rows.set("e", 1, l.rows.now, l.rows.now)
	l.rows.beats[2].Wrong, l.rows.beats[2].WrongAt = 4, old
	if r := l.pass(t, time.Second); r.Text() != "" || l.troubles[alerts.CanaryWrong] != 0 {
		t.Errorf("what was wrong an hour ago: %q, %v", r.Text(), l.troubles)
	}
	l.rows.set("e", 4, l.rows.now, l.rows.now)
	l.rows.beats[2].Wrong, l.rows.beats[2].WrongAt = 6, l.rows.now // two of the three since
	for range 3 {
		if r := l.pass(t, time.Second); !strings.Contains(r.Text(), "judged wrongly in partition 2") || l.troubles[alerts.CanaryWrong] != 2 {
			t.Errorf("%q, %v", r.Text(), l.troubles)
		}
	}
	if l.alarms() != 1 {
		t.Error("want one alarm in the log")
	}
	for i := range 13 {
		l.rows.set("e", int64(5+i), l.rows.now, l.rows.now)
		l.pass(t, 5*time.Second)
	}
	if r := l.Report(); r.Text() != "" {
		t.Errorf("more than a minute later: %q", r.Text())
	}
}

func TestAnAlarmComesAlsoWhileTheRecordDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l := newLookout("")
	l.rows.set("e", 1, l.rows.now, l.rows.now)
	l.pass(t, time.Second)
	l.rows.err = errors.New("away")
	for range 31 {
		l.pass(t, time.Second)
	}
	if r := l.Report(); !r.Partitions[0].Late || l.troubles[alerts.CanaryRecord] != 31 {
		t.Errorf("%+v, %v", r.Partitions[0], l.troubles)
	}
}

func TestTheClockOfTheRecordIsFollowedAndAClockThatIsOffIsTold(t *testing.T) {
	t.Parallel()
	l := newLookout("e")
	l.rows.now = l.local.Add(-1500 * time.Millisecond)
	l.rows.set("e", 1, l.rows.now, l.rows.now)
	r := l.pass(t, time.Second)
	if r.Text() != "" || r.ClockOffset != -1500*time.Millisecond || !l.Clock().Equal(l.rows.now) || r.Partitions[0].Age != time.Second {
		t.Errorf("1.5 s behind: %q, offset %s, clock %s, %+v", r.Text(), r.ClockOffset, l.Clock(), r.Partitions[0])
	}
	l.local = l.local.Add(time.Second) // 2.5 s now
	if r := l.pass(t, time.Second); !r.ClockOff || !strings.Contains(r.Text(), "2.5s from the record's") || l.alarms() != 1 {
		t.Errorf("2.5 s behind: %q", r.Text())
	}
}
