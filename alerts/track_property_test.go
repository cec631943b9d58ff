package alerts_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"hale/alerts"
	"hale/vital"
)

func epoch() time.Time { return time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) }

// drawLimit draws a limit whose bounds lie among the values that drawPoints draws.
func drawLimit(t *rapid.T) alerts.Limit {
	n := rapid.IntRange(1, 4).Draw(t, "n")
	b := alerts.Bounds{
		YellowHigh: ptr(float64(rapid.IntRange(100, 104).Draw(t, "yellow"))), RedHigh: ptr(float64(rapid.IntRange(105, 108).Draw(t, "red"))),
		Margin: float64(rapid.IntRange(0, 3).Draw(t, "margin")),
	}
	if rapid.Bool().Draw(t, "has extreme") {
		b.ExtremeHigh = ptr(109)
	}
	l := alerts.Limit{Components: []alerts.Bounds{b}, K: rapid.IntRange(1, n).Draw(t, "k"), N: n, ClearAfter: rapid.IntRange(1, 3).Draw(t, "clear after")}
	if rapid.IntRange(0, 2).Draw(t, "lasting") == 0 {
		l.K, l.N, l.ForMinutes = 1, 1, rapid.IntRange(30, 6*60).Draw(t, "for")
		l.GapMinutes = rapid.IntRange(1, 3*60).Draw(t, "gap")
	}
	return l
}

func drawVersion(t *rapid.T) alerts.Version {
	return alerts.Version{
		EffectiveFrom: epoch().Add(time.Duration(rapid.IntRange(-60, 40*60).Draw(t, "effective")) * time.Minute),
		Enabled:       rapid.IntRange(0, 5).Draw(t, "enabled") > 0, Limit: drawLimit(t),
	}
}

func drawRule(t *rapid.T) alerts.Rule {
	first := drawVersion(t)
	first.Number, first.EffectiveFrom = 1, epoch().Add(-time.Hour)
	if rapid.Bool().Draw(t, "simple") { // many rules look at single readings, and take other ways
		first.Limit.K, first.Limit.N = 1, 1
	}
	return alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.HeartRate, Versions: []alerts.Version{first}}
}

// drawPoints draws readings on a coarse grid, so that several fall into one instant; ids make them distinct.
func drawPoints(t *rapid.T) []alerts.Point {
	n := rapid.IntRange(1, 40).Draw(t, "readings")
	points := make([]alerts.Point, n)
	for i := range points {
		at := epoch().Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "hour")) * time.Hour)
		points[i] = alerts.Point{
			Mark: alerts.Mark{At: at, ID: int64(1000 + i)}, Metric: vital.HeartRate,
			Values:     []float64{float64(rapid.IntRange(96, 110).Draw(t, "value"))},
			ReceivedAt: at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 60, 420}).Draw(t, "minutes late")) * time.Minute),
		}
	}
	return points
}

func TestTrackIsTheSameHoweverReadingsArrive(t *testing.T) {
	t.Parallel()
	for shard := range 10 { // each is a hundred draws, or as many as -rapid.checks says
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, checkTrack)
		})
	}
}

func checkTrack(t *rapid.T) {
	rule := drawRule(t)
	r := newRecord(rule)
	arrive(t, r, alerts.NewDecider(0), drawPoints(t), drawVersion)
	all := r.of(vital.HeartRate)
	want := alerts.FoldAll(&r.rules[0], rapid.Permutation(all).Draw(t, "order of the reference"))
	if diff := cmp.Diff(want, r.tracks[rule.ID], cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("track differs from the reference (-want +got):\n%s", diff)
	}
	checkEpisodes(t, r, rule.ID)
}

// arrive lets readings come in any order and batches, with everything that may happen in between.
func arrive(t *rapid.T, r *record, d *alerts.Decider, left []alerts.Point, version func(*rapid.T) alerts.Version) {
	if rapid.Bool().Draw(t, "in any order") {
		left = rapid.Permutation(left).Draw(t, "order")
	} else {
		slices.SortFunc(left, byMark)
	}
	now := epoch()
	for len(left) > 0 {
		n := rapid.IntRange(0, min(6, len(left))).Draw(t, "batch")
		batch := left[:n]
		left = left[n:]
		for _, p := range batch {
			if p.ReceivedAt.After(now) {
				now = p.ReceivedAt
			}
		}
		switch rapid.IntRange(0, 9).Draw(t, "meanwhile") {
		case 0:
			d.Forget()
		case 1:
			r.addVersion(0, version(t))
		case 2, 3:
			if e := r.openEpisode(11); e != nil {
				r.amend(e, alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: now, Actor: ana(), Until: now.Add(time.Hour)})
			}
		case 4:
			if e := r.openEpisode(11); e != nil {
				r.amend(e, alerts.Entry{Kind: alerts.EntryResolved, RecordedAt: now, Actor: ana(), NextStep: alerts.StepNone})
			}
		}
		if _, err := r.take(d, now, rapid.IntRange(1, 2).Draw(t, "tries"), batch...); err != nil {
			t.Fatal(err)
		}
		if d.Mended() > 0 {
			t.Fatal("a stored track did not follow from the stored readings")
		}
	}
	if _, err := r.take(d, now, 1); err != nil { // what changed last
		t.Fatal(err)
	}
}

// checkEpisodes checks what must hold of episodes whatever happened.
func checkEpisodes(t *rapid.T, r *record, rule alerts.RuleID) {
	told := map[alerts.Mark]int{}
	for _, e := range r.episodes {
		if diff := cmp.Diff(alerts.FoldLog(*e, r.logs[e.ID]), *e); diff != "" {
			t.Fatalf("episode %d is not what its log says (-log +episode):\n%s", e.ID, diff)
		}
		own := map[alerts.Mark]bool{}
		for _, entry := range r.logs[e.ID] {
			if !counts(entry) {
				if entry.Tells() {
					told[entry.Reading]++
				}
				continue
			}
			if own[entry.Reading] {
				t.Fatalf("episode %d counts reading %d twice", e.ID, entry.Reading.ID)
			}
			own[entry.Reading] = true
			told[entry.Reading]++
		}
		if len(own) != e.Occurrences {
			t.Fatalf("episode %d counts %d occurrences of %d readings", e.ID, e.Occurrences, len(own))
		}
		if act, ok := r.acts[e.ID]; ok {
			if diff := cmp.Diff(act, *e); diff != "" {
				t.Fatalf("episode %d changed after a person resolved it:\n%s", e.ID, diff)
			}
		}
		if e.State != alerts.Closed && e.Holds != alerts.Holding(&r.rules[0], r.points) {
			t.Fatalf("open episode %d says holds=%v, the track says %v", e.ID, e.Holds, !e.Holds)
		}
	}
	for _, m := range alerts.Counted(&r.rules[0], r.points) {
		if told[m] == 0 {
			t.Fatalf("reading %d counts in the track but no alert tells of it", m.ID)
		}
	}
}
