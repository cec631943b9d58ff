package alerts_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	said  []string // of edges that entered and left
}

func (r *canaryRows) EnterCanary(_ context.Context, edge string) error {
	r.said = append(r.said, "enter "+edge)
	return r.err
}

func (r *canaryRows) LeaveCanary(_ context.Context, edge string) error {
	r.said = append(r.said, "leave "+edge)
	return r.err
}

// end says that an edge has stopped in order.
func (r *canaryRows) end(edge string) {
	for i := range r.beats {
		if r.beats[i].Edge == edge {
			r.beats[i].EndedAt = r.now
		}
	}
}

// lose removes an edge's rows, or all of them.
func (r *canaryRows) lose(edge string) {
	r.beats = slices.DeleteFunc(r.beats, func(b alerts.CanaryBeat) bool { return edge == "" || b.Edge == edge })
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

func TestAnEdgeIsMissedUntilItStopsInOrder(t *testing.T) {
	t.Parallel()
	l := newLookout("")
	step := func(what, want string, d time.Duration) { // in which edge a goes on beating
		t.Helper()
		tick := time.Second
		if d >= time.Hour {
			tick = 20 * time.Second
		}
		for n := tick; n <= d; n += tick {
			l.rows.set("a/1", l.rows.now.Unix(), l.rows.now, l.rows.now)
			l.pass(t, tick)
		}
		if text := l.Report().Text(); want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%s: %q, want %q", what, text, want)
		}
	}
	step("alone", "", 40*time.Second)
	l.rows.set("b/1", 0, l.rows.now, l.rows.now) // has started, and nothing comes of it
	step("before its deadline", "", 30*time.Second)
	step("an edge of which no beat ever came", "edge b has not come through partition 0, 1, 2, 3, 4, 5, 6, 7 for 31s", time.Second)
	if r := l.Report(); !r.Partitions[3].Late || r.Partitions[3].Age != 31*time.Second || len(r.Edges) != 2 || r.Edges[0].Ages[3] != time.Second || r.Edges[1].Ages[3] != 31*time.Second {
		t.Errorf("%+v", r)
	}
	if l.alarms() != 1 || l.troubles[alerts.CanaryLate] != vital.Partitions {
		t.Errorf("troubles %v", l.troubles)
	}
	l.rows.set("b/1", 1, l.rows.now, l.rows.now)
	step("it beats", "", time.Second)
	l.rows.end("b/1")
	step("it stopped in order", "", time.Hour)
	l.rows.set("b/1", 7, l.rows.now.Add(-time.Hour), l.rows.now)
	l.rows.end("b/1") // what it had left in the stream keeps the word
	step("what it had left came", "", time.Second)

	l.rows.set("b/2", 1, l.rows.now, l.rows.now)
	step("it died", "edge b has not", 31*time.Second)
	step("it is still dead", "edge b has not", 30*time.Hour)
	if l.alarms() == 0 {
		t.Error("nothing is in the log")
	}
	l.rows.set("b/3", 0, l.rows.now, l.rows.now)
	step("another one started at its place", "edge b has not", time.Second)
	l.rows.set("b/3", 1, l.rows.now, l.rows.now)
	step("and beats", "", time.Second)
	l.rows.end("b/3")
	step("that one stopped in order, and took the dead one with it", "", time.Hour)
	if len(l.Report().Edges) != 1 {
		t.Errorf("edges %+v", l.Report().Edges)
	}
	l.rows.set("b/4", 1, l.rows.now, l.rows.now)
	step("one that died", "edge b has not", 31*time.Second)
	l.rows.lose("b/4")
	step("was given up by the record", "", time.Second)
}

func TestAProcessThatStartsAgainAndAgainIsMissedFromItsFirstStart(t *testing.T) {
	t.Parallel()
	l := newLookout("")
	l.pass(t, time.Minute)
	for i := range 4 {
		l.rows.set("b/"+string(rune('1'+i)), 0, l.rows.now, l.rows.now)
		if r := l.pass(t, 10*time.Second); i < 3 && r.Text() != "" || i == 3 && len(r.Edges[0].Late) != vital.Partitions {
			t.Errorf("start %d: %q", i, r.Text())
		}
	}
}

func TestAPartitionThatLosesItsRowsStaysLate(t *testing.T) {
	t.Parallel()
	l := newLookout("")
	l.pass(t, time.Minute)
	l.rows.set("a", 1, l.rows.now, l.rows.now)
	if text := l.pass(t, time.Second).Text(); text != "" {
		t.Fatal(text)
	}
	l.rows.lose("")
	for range 3 {
		r := l.pass(t, 24*time.Hour)
		if !strings.Contains(r.Text(), "no canary has come through partition 0, 1, 2, 3, 4, 5, 6, 7 for ") || !r.Partitions[0].Known || r.Partitions[0].Age < 24*time.Hour {
			t.Errorf("%q %+v", r.Text(), r.Partitions[0])
		}
	}
	l.rows.set("b", 1, l.rows.now, l.rows.now)
	if text := l.pass(t, time.Second).Text(); text != "" {
		t.Errorf("when there are rows again: %q", text)
	}
}

func TestAStartHasItsDeadlineBeforeWhatIsOldIsAnAlarm(t *testing.T) {
	t.Parallel()
	for _, edge := range []string{"", "up/2"} {
		l := newLookout(edge)
		l.rows.set("up/1", 5, l.rows.now.Add(-471*time.Second), l.rows.now.Add(-470*time.Second)) // killed, eight minutes ago
		for range 30 {
			if text := l.pass(t, time.Second).Text(); text != "" || l.alarms() != 0 {
				t.Fatalf("edge %q, at the start: %q", edge, text)
			}
		}
		r := l.pass(t, time.Second)
		if !strings.Contains(r.Text(), "for 8m22s") || l.alarms() != 1 {
			t.Errorf("edge %q, after its deadline: %q", edge, r.Text())
		}
		if edge != "" && r.Partitions[0].Own != 31*time.Second {
			t.Errorf("our own beats are missed for %s", r.Partitions[0].Own)
		}
	}
}

func TestAnEdgeEntersOnceAndLeavesWhenItIsTold(t *testing.T) {
	t.Parallel()
	l, none := newLookout("e/1"), newLookout("")
	l.rows.err = errors.New("away")
	l.pass(t, time.Second)
	l.rows.err = nil
	for range 3 {
		l.pass(t, time.Second)
		none.pass(t, time.Second)
	}
	for _, one := range []*lookout{l, none} {
		if err := one.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"enter e/1", "enter e/1", "leave e/1"}, l.rows.said); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(none.rows.said) != 0 {
		t.Errorf("who has no canary said %v", none.rows.said)
	}
}

func TestAPlaceIsTheSameForEveryProcessThatStartsThere(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"up", "edge-1:1883", "10.0.0.0/8:1883"} {
		a, b := alerts.CanaryName(place, "x"), alerts.CanaryName(place, "y")
		if a == b || alerts.CanaryPlace(a) != alerts.CanaryPlace(b) || alerts.CanaryPlace(a) == alerts.CanaryPlace(alerts.CanaryName(place+"1", "x")) {
			t.Errorf("%s: %s and %s", place, a, b)
		}
	}
}

func TestTheWrongJudgementOfAMinuteAgoIsOver(t *testing.T) {
	t.Parallel()
	l := newLookout("")
	l.rows.set("e", 1, l.rows.now, l.rows.now)
	l.rows.beats[2].Wrong, l.rows.beats[2].WrongAt = 1, l.rows.now
	for second := 1; second <= 62; second++ {
		for p := range l.rows.beats {
			l.rows.beats[p].SentAt, l.rows.beats[p].CommittedAt = l.rows.now, l.rows.now
		}
		if r := l.pass(t, time.Second); r.Partitions[2].Wrong != (second <= 60) || (r.Text() != "") != (second <= 60) {
			t.Errorf("after %d s: %q", second, r.Text())
		}
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
