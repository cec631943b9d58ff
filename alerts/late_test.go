package alerts_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hale/alerts"
	"hale/push"
	"hale/vital"
)

// TestLateReadingsInsideTheLimitsOpenNothing checks that nobody is called, and nothing opened, by readings that were
// inside the limits and come late; nor is anything closed by those older than what the alert tells of.
func TestLateReadingsInsideTheLimitsOpenNothing(t *testing.T) {
	t.Parallel()
	for shard := range 20 { // each is a hundred draws: what this guards against is rare
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, checkLate)
		})
	}
}

func checkLate(t *rapid.T) {
	rule := drawRule(t)
	rule.Versions[0].Enabled = true
	rule.Versions[0].Limit = alerts.Limit{
		Components: []alerts.Bounds{{YellowHigh: ptr(104), RedHigh: ptr(107), Margin: 3}}, K: 1, N: 1, ClearAfter: rapid.IntRange(1, 2).Draw(t, "in a row"),
	}
	r, d := newRecord(rule), alerts.NewDecider(0)
	points := drawPoints(t)
	var late []alerts.Point
	var newest alerts.Mark
	for _, p := range points {
		if newest.Before(p.Mark) {
			newest = p.Mark
		}
	}
	points = slices.DeleteFunc(points, func(p alerts.Point) bool {
		v, _ := r.rules[0].InForce(p.At)
		out := alerts.Judge(v, vital.HeartRate, p.Values) == alerts.None && p.Mark != newest && rapid.IntRange(0, 2).Draw(t, "comes late") == 0
		if out {
			late = append(late, p)
		}
		return out
	})
	now := newest.At.Add(7 * time.Hour)
	slices.SortFunc(points, byMark)
	for _, p := range points {
		if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
			t.Fatal(err)
		}
		if e := r.openEpisode(11); e != nil && rapid.Bool().Draw(t, "act") {
			kind := rapid.SampledFrom([]alerts.EntryKind{alerts.EntryAcknowledged, alerts.EntryResolved}).Draw(t, "kind")
			r.amend(e, alerts.Entry{Kind: kind, RecordedAt: p.ReceivedAt, Actor: ana(), Until: p.ReceivedAt.Add(time.Hour), NextStep: alerts.StepNone})
		}
	}
	episodes, notices := len(r.episodes), len(r.notices)
	for len(late) > 0 {
		n := rapid.IntRange(1, len(late)).Draw(t, "batch")
		before := map[alerts.EpisodeID]alerts.Episode{}
		for _, e := range r.episodes {
			before[e.ID] = *e
		}
		made, err := r.take(d, now, 1, late[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made {
			was := before[m.alert]
			newer := slices.ContainsFunc(late[:n], func(p alerts.Point) bool { return was.Last.Before(p.Mark) })
			if m.Closes && !newer {
				t.Fatalf("alert %d was closed by readings older than its last", m.alert)
			}
		}
		late = late[n:]
	}
	if len(r.episodes) != episodes || len(r.notices) != notices {
		t.Fatalf("late readings inside the limits opened %d alerts and wrote %d notices", len(r.episodes)-episodes, len(r.notices)-notices)
	}
	checkEpisodes(t, r, 11)
}

// TestNoNoticeWithoutCause checks, whatever happens, that a notice tells of something present or asks for contact,
// that no alert of red or worse and none that somebody acted on closes by itself, and that every red of the present
// is told.
func TestNoNoticeWithoutCause(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, d := newRecord(drawRule(t)), alerts.NewDecider(0)
		left := rapid.Permutation(drawPoints(t)).Draw(t, "order")
		now := epoch()
		for len(left) > 0 {
			n := rapid.IntRange(1, min(6, len(left))).Draw(t, "batch")
			for _, p := range left[:n] {
				if p.ReceivedAt.After(now) {
					now = p.ReceivedAt
				}
			}
			if e := r.openEpisode(11); e != nil && rapid.IntRange(0, 3).Draw(t, "act") == 0 {
				r.amend(e, alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: now, Actor: ana(), Until: now.Add(time.Hour)})
			}
			if rapid.IntRange(0, 9).Draw(t, "limits") == 0 {
				r.addVersion(0, drawVersion(t))
			}
			before := map[alerts.EpisodeID]alerts.Episode{}
			for _, e := range r.episodes {
				before[e.ID] = *e
			}
			told := len(r.notices)
			made, err := r.take(d, now, 1, left[:n]...)
			if err != nil {
				t.Fatal(err)
			}
			checkMade(t, r, before, made, r.notices[told:])
			left = left[n:]
		}
	})
}

func checkMade(t *rapid.T, r *record, before map[alerts.EpisodeID]alerts.Episode, made []logged, notices []push.Notice) {
	worst, asked, present := alerts.None, false, alerts.None
	for _, m := range made {
		was, is := before[m.alert], r.episodes[m.alert-1]
		if m.Closes && (is.Level >= alerts.Red || was.ID != 0 && was.ActedOn()) {
			t.Fatalf("alert %d closed by itself", m.alert)
		}
		asked = asked || m.Contact
		if m.Historic || m.Kind != alerts.EntryOpened && m.Kind != alerts.EntryOccurred && m.Kind != alerts.EntryWorsened {
			continue
		}
		present = max(present, m.Level)
		if m.Kind != alerts.EntryOccurred {
			worst = max(worst, m.Level)
		}
	}
	for _, n := range notices {
		switch {
		case n.Topic == push.ContactNow && !asked:
			t.Fatalf("contact is asked for by no entry: %+v", n)
		case n.Topic != push.ContactNow && present == alerts.None:
			t.Fatalf("a notice of nothing present: %+v", n)
		}
	}
	if worst >= alerts.Red && !slices.ContainsFunc(notices, func(n push.Notice) bool { return n.Severity == worst.String() }) {
		t.Fatalf("a %s of the present was told to nobody: %+v, %+v", worst, made, notices)
	}
}

func TestLimitsOfAnotherVitalCloseNothing(t *testing.T) {
	t.Parallel()
	rate := alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.HeartRate, Versions: []alerts.Version{{
		Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true,
		Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: ptr(101), RedHigh: ptr(131), Margin: 5}}, K: 2, N: 2, ClearAfter: 2},
	}}}
	other := alerts.Rule{ID: 12, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.OxygenSat, Versions: []alerts.Version{{
		Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true,
		Limit: alerts.Limit{Components: []alerts.Bounds{{RedLow: ptr(92)}}, K: 1, N: 1, ClearAfter: 2},
	}}}
	for name, changed := range map[string]int{"another vital's limits": 1, "the same limits, with the same bounds": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(rate, other), alerts.NewDecider(0)
			begin := epoch().Add(8 * time.Hour)
			var made []logged
			for i, value := range []float64{105, 106, 80} { // the last one was measured between the others
				if i == 2 {
					r.addVersion(changed, alerts.Version{EffectiveFrom: epoch(), Enabled: true, Limit: r.rules[changed].Versions[0].Limit})
				}
				at := begin.Add([]time.Duration{0, 20 * time.Minute, 10 * time.Minute}[i])
				p := alerts.Point{Mark: alerts.Mark{At: at, ID: int64(i + 1)}, Metric: vital.HeartRate, Values: []float64{value}, ReceivedAt: at}
				var err error
				if made, err = r.take(d, begin.Add(30*time.Minute), 1, p); err != nil {
					t.Fatal(err)
				}
			}
			if e := r.openEpisode(11); e == nil || e.Holds || e.Ended != alerts.CauseLate {
				t.Errorf("the alert is %+v", e)
			}
			for _, m := range made {
				if m.Closes || m.Cause != alerts.CauseLate && !m.Renews() {
					t.Errorf("entry %s closes %v, because of %q", m.Kind, m.Closes, m.Cause)
				}
			}
		})
	}
}
