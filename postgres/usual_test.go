package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// oxygen is a saturation of the record's patient, minutes after the assignment began.
func (r *record) oxygen(minutes int, percent int64) vital.Record {
	rec := r.weight(minutes, 0)
	own := *rec.Reading
	own.Sent = [3]vital.Quantity{{Mantissa: percent, Unit: vital.Percent}}
	own.Key = vital.Key{Sensor: own.Sensor, Metric: vital.OxygenSat, SentAt: own.SentAt, Tie: vital.TieOf(own.Sent[:1])}
	return vital.Record{Reading: &own}
}

// TestWhatIsUsualForAPersonGoesThroughTheRecord: the rule as it is set, the alert with its grounds, a restart, what people are told
// beside the rule, and a value that a person takes back, which is no part of the usual any more.
func TestWhatIsUsualForAPersonGoesThroughTheRecord(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	looked := since().AddDate(0, 0, 8)
	limits := &alerts.Limits{Book: r.app, Past: r.app, Now: func() time.Time { return looked }}
	rule, err := limits.SetTrend(t.Context(), r.nurse, r.patient.UID, vital.OxygenSat, alerts.FormBaseline, 0, alerts.Version{
		EffectiveFrom: since(), Enabled: true, Reason: "COPD", Trend: &alerts.Trend{ClearAfter: 2, Baseline: &alerts.TrendBaseline{
			Part: &alerts.DayPart{From: "04:00", Until: "24:00"}, Days: 14, LeastDays: 7, LeastSessions: 7, Margin: 1,
			Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Fall, By: 3}, {Level: alerts.Red, Direction: alerts.Fall, By: 5, Spreads: 4}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := r.app.Rules(t.Context(), r.nurse, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	for i := range stored {
		if stored[i].Key() == alerts.TrendOn(vital.OxygenSat, alerts.FormBaseline) {
			if diff := cmp.Diff(rule.Versions[0].Trend, stored[i].Versions[0].Trend); diff != "" || stored[i].Versions[0].Trend.Baseline.LeastSpread != 1 {
				t.Errorf("the rule (-set +stored):\n%s", diff)
			}
		}
	}
	told := func(want string) {
		t.Helper()
		all, err := limits.Standings(t.Context(), r.nurse, r.patient.UID, stored)
		s := all[rule.Key()]
		if got := s.Words(vital.OxygenSat); err != nil || got != want {
			t.Errorf("told %q, %v, want %q", got, err, want)
		}
	}
	for i, percent := range []int64{94, 94, 94, 93, 93, 93} {
		r.advance(t, r.oxygen(i*day+8*60, percent))
	}
	told("not enough history yet: 6 of 7 days and 6 of 7 sessions in the 14 days until Sun 8 Mar")
	r.advance(t, r.oxygen(6*day+8*60, 80), r.oxygen(6*day+2*60, 70)) // at night is another part of the day
	r.decider = alerts.NewDecider(10)
	r.advance(t, r.oxygen(7*day+8*60, 90))
	told("usual is 93 % (median of 8 sessions on 8 days until Sun 8 Mar, usual spread 1.48 %)")
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	var a alerts.Alert
	for i := range list {
		if list[i].RuleKind == alerts.KindTrend {
			a = list[i]
		}
	}
	if diff := cmp.Diff(&alerts.Grounds{
		Form: alerts.FormBaseline, Direction: alerts.Fall, Day: "2026-03-08", Value: 90, Against: 93, AgainstDay: "2026-03-07", By: 3, Spread: 1.483, Days: 14, DaysWith: 7, Sessions: 7,
	}, a.LastGrounds); diff != "" {
		t.Errorf("grounds (-want +stored):\n%s", diff)
	}
	w := &safe.Withdrawals{People: r.app, Book: r.app}
	taken := r.oxygen(6*day+8*60, 80).Reading
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, taken.ID(), taken.MeasuredAt, "The sensor lay on the table."); err != nil {
		t.Fatal(err)
	}
	told("usual is 93 % (median of 7 sessions on 7 days until Sun 8 Mar, usual spread 1.48 %)")
	r.advance(t)
	if a, err = r.app.Alert(t.Context(), r.nurse, a.UID); err != nil || a.Holds || a.State != alerts.Open {
		t.Errorf("without it nothing is known of what is usual, and its own reading stands: it waits for a person, not %+v, %v", a.Episode, err)
	}
}
