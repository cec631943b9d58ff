package alerts_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/alerts"
	"hale/push"
	"hale/vital"
)

// TestAnOpenAlertSpeaksByTheVersionInForce lets readings come in their order while people change the rule, for the past too:
// what the alert says of its last and its worst reading is what the versions say now, and telling it anew calls nobody.
func TestAnOpenAlertSpeaksByTheVersionInForce(t *testing.T) {
	t.Parallel()
	for _, form := range alerts.Forms() {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { checkRenewed(t, form) })
		})
	}
	t.Run("limit", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) { checkRenewed(t, "") })
	})
}

func checkRenewed(t *rapid.T, form alerts.Form) {
	rule, draw, points := drawRule(t), drawVersion, []alerts.Point(nil)
	if form == "" {
		points = drawPoints(t)
	} else {
		draw, points = drawTrendVersion(form), drawWeights(t)
		first := draw(t)
		first.Number, first.EffectiveFrom, first.Enabled = 1, autumn().Add(-time.Hour), true
		rule = alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindTrend, Form: form, Metric: vital.BodyWeight, Versions: []alerts.Version{first}}
	}
	r, d := newRecord(rule), alerts.NewDecider(0)
	points = points[:min(25, len(points))]
	slices.SortFunc(points, byMark)
	for _, p := range points {
		if e := r.openEpisode(11); e != nil && !e.ActedOn() && rapid.Bool().Draw(t, "taken") { // it stays when the condition ends
			r.amend(e, alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: p.At, Actor: ana(), Until: p.At.Add(time.Hour)})
		}
		p.ReceivedAt = p.At
		if _, err := r.take(d, p.At, 1, p); err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 5).Draw(t, "changed") == 0 {
			r.addVersion(0, draw(t))
			judgeAnew(t, r, d, p.At.Add(time.Minute))
			checkSaid(t, r)
		}
		if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
			d.Forget()
		}
	}
	checkSaid(t, r)
	checkEpisodes(t, r, 11)
}

func judgeAnew(t *rapid.T, r *record, d *alerts.Decider, now time.Time) {
	told := len(r.notices)
	made, err := r.take(d, now, 1)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.ContainsFunc(made, func(e logged) bool { return counts(e.Entry) || e.Kind == alerts.EntryWorsened })
	if len(r.notices) > told && !other {
		t.Fatalf("%+v calls somebody, and nothing new was told: %+v", r.notices[told:], made)
	}
}

func checkSaid(t *rapid.T, r *record) {
	e := r.openEpisode(11)
	if e == nil {
		return
	}
	said := alerts.Steps(&r.rules[0], r.points)
	var last, worst alerts.Mark
	worse := func(a, b alerts.Step) bool {
		if a.Level != b.Level || a.Grounds == nil || a.Grounds.Form == alerts.FormAverage {
			return a.Level > b.Level
		}
		return a.Grounds.By > b.Grounds.By
	}
	for _, entry := range r.logs[e.ID] {
		m := entry.Reading
		if !counts(entry) || !said[m].Occurred {
			continue
		}
		if last.Before(m) {
			last = m
		}
		if worst.IsZero() || worse(said[m], said[worst]) {
			worst = m
		}
	}
	if last.IsZero() {
		return
	}
	if e.Last.Compare(last) != 0 || e.LastVersion != said[last].Version || !cmp.Equal(e.LastGrounds, said[last].Grounds) {
		t.Fatalf("the last reading is %v by version %d, which says %+v; the alert says %v, %d, %+v", last, said[last].Version, said[last].Grounds, e.Last, e.LastVersion, e.LastGrounds)
	}
	if r.rules[0].Kind == alerts.KindLimit { // of several bounds: TestTheWorstReadingOfAnEpisode
		return
	}
	if v, ok := r.rules[0].InForce(e.Worst.At); !ok || !v.Enabled { // nothing is said of it any more: what was said is compared
		if stands := (alerts.Step{Level: e.WorstLevel, Grounds: e.WorstGrounds}); worse(said[worst], stands) {
			t.Fatalf("%+v is worse than the worst reading, of %v, where the rule is off: %+v", said[worst], e.Worst, stands)
		}
		return
	}
	if w := said[e.Worst]; !w.Occurred || worse(said[worst], w) || e.WorstLevel != w.Level || !cmp.Equal(e.WorstGrounds, w.Grounds) {
		t.Fatalf("the worst reading is %v, %+v; the alert says %v, %s, %+v", worst, said[worst], e.Worst, e.WorstLevel, e.WorstGrounds)
	}
}

// TestAnotherRulesChangeRenewsNothing: whichever of a patient's rules changes, all are judged anew. A late weight has moved
// what the last one is compared with; that is no word of another version.
func TestAnotherRulesChangeRenewsNothing(t *testing.T) {
	t.Parallel()
	first := alerts.Version{Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true}
	weight, rate := first, first
	weight.Trend = trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0)
	rate.Limit = alerts.Limit{Components: []alerts.Bounds{{YellowHigh: ptr(101)}}, K: 1, N: 1, ClearAfter: 1}
	r, d := newRecord(
		alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindTrend, Form: alerts.FormChange, Metric: vital.BodyWeight, Versions: []alerts.Version{weight}},
		alerts.Rule{ID: 12, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.HeartRate, Versions: []alerts.Version{rate}},
	), alerts.NewDecider(0)
	now := epoch().AddDate(0, 0, 2).Add(8 * time.Hour)
	for _, p := range weights(t, "1 66, 3 68.5, 2 65.5") {
		if _, err := r.take(d, now, 1, p); err != nil {
			t.Fatal(err)
		}
	}
	r.addVersion(1, rate)
	if made, err := r.take(d, now, 1); err != nil || len(made) != 0 || r.openEpisode(11) == nil {
		t.Errorf("a version of other limits: %v, %+v", err, made)
	}
	r.addVersion(0, weight)
	made, err := r.take(d, now, 1)
	if err != nil || len(made) != 1 || !made[0].Renews() || made[0].Grounds.By != 3 {
		t.Errorf("the same rule once more: %v, %+v", err, made)
	}
	if len(r.notices) != 1 || r.notices[0].Topic != push.AlertOpened {
		t.Errorf("notices %+v", r.notices)
	}
}
