package alerts_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// offered is the baseline that the screens offer for oxygen, as a rule has it.
func offered(tb testing.TB, m vital.Metric) *alerts.Trend {
	tb.Helper()
	b, _, ok := alerts.BaselineOffer(m)
	if !ok {
		tb.Fatalf("no baseline of %s is offered", m)
	}
	return &alerts.Trend{Zone: "UTC", ClearAfter: 2, Baseline: &b}
}

// daily are readings at 08:00 of so many days of May 2026 and after, with the values in turn, and one more the day after them.
func daily(m vital.Metric, days int, last float64, values ...float64) []alerts.Point {
	var points []alerts.Point
	for day := range days + 1 {
		value := last
		if day < days {
			value = values[day%len(values)]
		}
		at := time.Date(2026, 5, day+1, 8, 0, 0, 0, time.UTC)
		points = append(points, alerts.Point{Mark: alerts.Mark{At: at, ID: int64(day + 1)}, Metric: m, Values: []float64{value}, ReceivedAt: at})
	}
	return points
}

func TestWhatIsUsualForAPerson(t *testing.T) {
	t.Parallel()
	trend := func(days, gap, least int, spread float64, steps ...alerts.TrendStep) *alerts.Trend {
		return &alerts.Trend{Zone: "UTC", ClearAfter: 1, Baseline: &alerts.TrendBaseline{
			Days: days, GapDays: gap, LeastDays: least, LeastSessions: least, LeastSpread: spread, Steps: steps,
		}}
	}
	fall := func(by, spreads float64) alerts.TrendStep {
		return alerts.TrendStep{Level: alerts.Yellow, Direction: alerts.Fall, By: by, Spreads: spreads}
	}
	more := fall(3, 0)
	more.MoreThan = true
	red := alerts.TrendStep{Level: alerts.Red, Direction: alerts.Rise, By: 20}
	for name, c := range map[string]struct {
		metric vital.Metric
		trend  *alerts.Trend
		points []alerts.Point
		want   string
	}{
		"3 points below is a fall": {
			vital.OxygenSat, trend(14, 0, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 14, 90, 93),
			"yellow: 90 %: 3 below the usual 93 % (median of 14 sessions on 14 days until Thu 14 May, usual spread 1 %)",
		},
		"what a sensor shows after the comma is rounded down first": {
			vital.OxygenSat, trend(14, 0, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 14, 90.9, 93.9),
			"yellow: 90 %: 3 below the usual 93 % (median of 14 sessions on 14 days until Thu 14 May, usual spread 1 %)",
		},
		"2 points are none":                   {vital.OxygenSat, trend(14, 0, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 14, 91, 93), "none"},
		"3 points are not more than 3":        {vital.OxygenSat, trend(14, 0, 7, 1, more), daily(vital.OxygenSat, 14, 90, 93), "none"},
		"a rise is no fall":                   {vital.OxygenSat, trend(14, 0, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 14, 99, 93), "none"},
		"6 of 7 days are not enough":          {vital.OxygenSat, trend(14, 0, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 6, 80, 93), "none"},
		"days of the gap are no history":      {vital.OxygenSat, trend(14, 3, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 9, 80, 93), "none"},
		"one day more is as much as it takes": {vital.OxygenSat, trend(14, 3, 7, 1, fall(3, 0)), daily(vital.OxygenSat, 10, 80, 93), "yellow: 80 %: 13 below the usual 93 % (median of 7 sessions on 7 days until Thu 7 May, usual spread 1 %)"},
		"who varies has a spread of 3.71, and 10.5 is within 3": {
			vital.HeartRate, trend(14, 0, 7, 3, fall(0, 3)), daily(vital.HeartRate, 12, 58, 70, 67, 73, 65),
			"none",
		},
		"11.5 is beyond 3 of them": {
			vital.HeartRate, trend(14, 0, 7, 3, fall(0, 3)), daily(vital.HeartRate, 12, 57, 70, 67, 73, 65),
			"yellow: 57 /min: 11.5 below the usual 68.5 /min (median of 12 sessions on 12 days until Tue 12 May, usual spread 3.71 /min)",
		},
		"of by and spreads the larger counts": {vital.HeartRate, trend(14, 0, 7, 3, fall(15, 3)), daily(vital.HeartRate, 12, 55, 70, 67, 73, 65), "none"},
		"the worst of two steps counts": {
			vital.HeartRate, trend(14, 0, 7, 3, fall(10, 0), alerts.TrendStep{Level: alerts.Yellow, Direction: alerts.Rise, By: 10}, red), daily(vital.HeartRate, 8, 92, 70),
			"red: 92 /min: 22 above the usual 70 /min (median of 8 sessions on 8 days until Fri 8 May, usual spread 3 /min)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.trend.Check(c.metric); err != nil {
				t.Fatal(err)
			}
			if got := sayOf(judged(c.metric, c.trend, c.points), c.metric); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestSettingABaselineSaysWhatToMend(t *testing.T) {
	t.Parallel()
	const dear = vital.OxygenSat
	for name, c := range map[string]struct {
		metric vital.Metric
		spoil  func(b *alerts.TrendBaseline)
		want   string // empty: it is taken
	}{
		"what is offered is taken":      {dear, func(*alerts.TrendBaseline) {}, ""},
		"a scale is shared":             {vital.BodyWeight, func(*alerts.TrendBaseline) {}, "of a body weight use the form moving_average"},
		"three numbers at once":         {vital.BloodPressure, func(*alerts.TrendBaseline) {}, "only the form average can judge it"},
		"two days":                      {dear, func(b *alerts.TrendBaseline) { b.Days = 2 }, "of 3 days or more"},
		"a gap into the future":         {dear, func(b *alerts.TrendBaseline) { b.GapDays = -1 }, "gap_days"},
		"a month and more":              {dear, func(b *alerts.TrendBaseline) { b.Days, b.GapDays = 28, 4 }, "at most 31 (got 28 and 4)"},
		"31 days in all":                {dear, func(b *alerts.TrendBaseline) { b.Days, b.GapDays = 28, 3 }, ""},
		"more days than there are":      {dear, func(b *alerts.TrendBaseline) { b.LeastDays = 22 }, "least_days: must be 3 to 21"},
		"a usual of one day":            {dear, func(b *alerts.TrendBaseline) { b.LeastDays = 1 }, "least_days"},
		"fewer sessions than days":      {dear, func(b *alerts.TrendBaseline) { b.LeastSessions = 13 }, "least_sessions: must be 14 to 42"},
		"three sessions a day":          {dear, func(b *alerts.TrendBaseline) { b.LeastSessions = 43 }, "a day has two at most"},
		"a spread below nothing":        {dear, func(b *alerts.TrendBaseline) { b.LeastSpread = -1 }, "least_spread"},
		"no step":                       {dear, func(b *alerts.TrendBaseline) { b.Steps = nil }, "1 to 8 steps"},
		"an extreme step":               {dear, func(b *alerts.TrendBaseline) { b.Steps[0].Level = alerts.Extreme }, "yellow or red (got extreme)"},
		"a step to nowhere":             {dear, func(b *alerts.TrendBaseline) { b.Steps[0].Direction = "" }, "rise or fall"},
		"how far nobody said":           {dear, func(b *alerts.TrendBaseline) { b.Steps[0].By = 0 }, "say how far is too far"},
		"spreads alone":                 {dear, func(b *alerts.TrendBaseline) { b.Steps[0].By, b.Steps[0].Spreads = 0, 3 }, ""},
		"half a spread":                 {dear, func(b *alerts.TrendBaseline) { b.Steps[0].Spreads = 0.5 }, "spreads: must be a number from 1 to 20"},
		"further than there is":         {dear, func(b *alerts.TrendBaseline) { b.Steps[0].By = 51 }, "by: must be a number from 0.001 to 50"},
		"days in a step":                {dear, func(b *alerts.TrendBaseline) { b.Steps[0].Days = 3 }, "stand beside its steps"},
		"a margin as large as a step":   {dear, func(b *alerts.TrendBaseline) { b.Margin = 3 }, "would never end"},
		"a margin as large as 3 floors": {dear, func(b *alerts.TrendBaseline) { b.Steps[0].By, b.Steps[0].Spreads, b.Margin = 0, 3, 3 }, "would never end"},
		"a part of the day backwards":   {dear, func(b *alerts.TrendBaseline) { b.Part = &alerts.DayPart{From: "12:00", Until: "04:00"} }, "part of the day"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := offered(t, dear)
			c.spoil(trend.Baseline)
			book := &shelf{}
			l := alerts.Limits{Book: book, Now: epoch}
			_, err := l.SetTrend(t.Context(), ana(), "p", c.metric, alerts.FormBaseline, 0, alerts.Version{Enabled: true, Reason: "COPD", Trend: trend})
			if c.want == "" {
				if err != nil || book.added == nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || book.added != nil {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
	step := []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2, Spreads: 3}}
	other := &alerts.Trend{ClearAfter: 1, Reference: &alerts.TrendReference{Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Name: "dry weight", Value: 66, Steps: step}}
	if err := other.Check(vital.BodyWeight); err == nil || !strings.Contains(err.Error(), "only a baseline") {
		t.Errorf("spreads of a reference: %v", err)
	}
}

// TestABaselineHoldsTheSmallestSpread: a version holds all that its verdict depends on.
func TestABaselineHoldsTheSmallestSpread(t *testing.T) {
	t.Parallel()
	for of, want := range map[float64]float64{0: 20, 5: 5} {
		trend := offered(t, vital.PeakFlow)
		trend.Baseline.LeastSpread = of
		book := &shelf{}
		l := alerts.Limits{Book: book, Now: epoch}
		if _, err := l.SetTrend(t.Context(), ana(), "p", vital.PeakFlow, alerts.FormBaseline, 0, alerts.Version{Enabled: true, Reason: "x", Trend: trend}); err != nil {
			t.Fatal(err)
		}
		if got := book.added.Trend.Baseline.LeastSpread; got != want || trend.Baseline.LeastSpread != of {
			t.Errorf("least spread %v: %v was set, want %v", of, got, want)
		}
	}
}

// TestOfferedBaselinesAreThoseOfTheTable holds every offered number with its grade against a table that a clinician can read, and
// that each can be set as it is but for those that have no step yet.
func TestOfferedBaselinesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	got := [][]string{{"metric", "part", "number", "value", "grade"}}
	for _, d := range vital.Metrics() {
		b, grades, ok := alerts.BaselineOffer(d.Metric)
		if ok != (alerts.LeastSpread(d.Metric) > 0) || ok == (d.Metric == vital.BodyWeight || d.Metric == vital.BloodPressure) {
			t.Errorf("%s: offered %v", d.Code, ok)
		}
		if !ok {
			continue
		}
		trend := &alerts.Trend{ClearAfter: 2, Baseline: &b}
		if len(b.Steps) == 0 {
			b.Steps = []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, Spreads: 3}}
		}
		if err := trend.Check(d.Metric); err != nil {
			t.Errorf("%s: %v", d.Code, err)
		}
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grades {
			got = append(got, []string{d.Code, g.Component, g.Bound, strconv.FormatFloat(g.Value, 'f', -1, 64), g.Grade})
			if set := `"` + g.Bound + `":` + strconv.FormatFloat(g.Value, 'f', -1, 64); !strings.Contains(string(text), set) || g.Source == "" {
				t.Errorf("%s: %s is graded, and not what is offered: %s", d.Code, set, text)
			}
		}
	}
	if diff := cmp.Diff(table(t, filepath.Join("testdata", "baselines.csv")), got); diff != "" {
		t.Errorf("offered (-table +code):\n%s", diff)
	}
}

// past is a record that has these readings.
type past []alerts.Point

func (p past) EachReading(_ context.Context, _ account.Actor, _ vital.UID, m vital.Metric, from, to time.Time, take func(*alerts.Point)) error {
	for i := len(p) - 1; i >= 0; i-- { // no order is promised
		if p[i].Metric == m && !p[i].At.Before(from) && p[i].At.Before(to) {
			take(&p[i])
		}
	}
	return nil
}

func TestPeopleAreToldWhatIsUsualOrHowMuchIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		days int
		want string
	}{
		"nothing was measured": {-1, "not enough history yet: 0 of 14 days and 0 of 14 sessions in the 21 days until Sat 16 May"},
		"some days": {
			4, "not enough history yet: 5 of 14 days and 5 of 14 sessions in the 21 days until Sat 16 May",
		},
		"enough": {15, "usual is 93.5 % (median of 16 sessions on 16 days until Sat 16 May, usual spread 1 %)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := alerts.Rule{Kind: alerts.KindTrend, Form: alerts.FormBaseline, Metric: vital.OxygenSat, Versions: []alerts.Version{
				{Number: 1, Enabled: true, Trend: offered(t, vital.OxygenSat)},
			}}
			off := alerts.Rule{Kind: alerts.KindTrend, Form: alerts.FormBaseline, Metric: vital.PeakFlow, Versions: []alerts.Version{{Number: 1, Trend: offered(t, vital.PeakFlow)}}}
			now := time.Date(2026, 5, 24, 9, 0, 0, 0, time.UTC)
			l := alerts.Limits{Book: &shelf{}, Past: past(daily(vital.OxygenSat, c.days, 93, 94, 93)), Now: func() time.Time { return now }}
			all, err := l.Standings(t.Context(), ana(), "p", []alerts.Rule{rule, off, {Kind: alerts.KindLimit, Metric: vital.OxygenSat}})
			if err != nil {
				t.Fatal(err)
			}
			s, ok := all[rule.Key()]
			if got := s.Words(vital.OxygenSat); !ok || len(all) != 1 || got != c.want {
				t.Errorf("%d told, %q, want %q", len(all), got, c.want)
			}
		})
	}
}

// TestASensorWithoutAPauseIsReadInPages: what a rule remembers of weeks comes back from the record page by page, and is the same.
func TestASensorWithoutAPauseIsReadInPages(t *testing.T) {
	t.Parallel()
	trend := offered(t, vital.OxygenSat)
	trend.Baseline.Days, trend.Baseline.GapDays, trend.Baseline.LeastDays, trend.Baseline.LeastSessions = 14, 0, 3, 3
	rule := alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindTrend, Form: alerts.FormBaseline, Metric: vital.OxygenSat, Versions: []alerts.Version{
		{Number: 1, Enabled: true, Trend: trend},
	}}
	points := daily(vital.OxygenSat, 9, 93, 93)
	for i := range 70_000 { // of one morning
		at := time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 500 * time.Millisecond)
		points = append(points, alerts.Point{Mark: alerts.Mark{At: at, ID: int64(100 + i)}, Metric: vital.OxygenSat, Values: []float64{90}, ReceivedAt: at})
	}
	r := newRecord(rule)
	r.points = points
	at := time.Date(2026, 5, 11, 8, 0, 0, 0, time.UTC)
	made, err := r.take(alerts.NewDecider(0), at, 1, alerts.Point{Mark: alerts.Mark{At: at, ID: 99}, Metric: vital.OxygenSat, Values: []float64{90}, ReceivedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	const words = "90 %: 3 below the usual 93 % (median of 10 sessions on 10 days until Sun 10 May, usual spread 1 %)"
	if len(made) != 1 || made[0].Grounds.Words(vital.OxygenSat) != words {
		t.Errorf("%+v, want one alert by %s", made, words)
	}
}
