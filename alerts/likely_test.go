package alerts_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// TestAChangeOverAMonthIsTheSamePersons: a slow change goes beyond what is unlike in a week, and is found.
func TestAChangeOverAMonthIsTheSamePersons(t *testing.T) {
	t.Parallel()
	trend := &alerts.Trend{Zone: "UTC", ClearAfter: 1, Change: &alerts.TrendChange{
		Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Unlike: 5, Steps: []alerts.TrendStep{{Level: alerts.Red, Direction: alerts.Fall, By: 6, Days: 30}},
	}}
	var points []alerts.Point
	for day := 1; day <= 31; day++ {
		if day >= 8 && day <= 20 { // somebody else is there, and weighs himself first
			points = append(points, weighed{day: day, at: "06:50", kg: 90}.point(2*day))
		}
		points = append(points, weighed{day: day, kg: 70 - 0.4*float64(day-1)}.point(2*day+1))
	}
	const want = "red: down 12 kg in 30 days: 58 kg on Sun 31 May, highest 70 kg on Fri 1 May"
	if got := sayOf(judged(vital.BodyWeight, trend, points), vital.BodyWeight); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWhoCameToStayIsNotTheUsualOne: when as many days of the week have his weight as hers, those of the weeks before tell
// whose the scale is.
func TestWhoCameToStayIsNotTheUsualOne(t *testing.T) {
	t.Parallel()
	trend := trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0)
	var points []alerts.Point
	for day := 1; day <= 20; day++ {
		if day >= 5 {
			points = append(points, weighed{day: day, at: "06:50", kg: 84}.point(2*day))
		}
		points = append(points, weighed{day: day, kg: 61}.point(2*day+1))
	}
	const want = "yellow: up 23 kg in 3 days: 84 kg on Wed 20 May, lowest 61 kg on Sun 17 May; far from the 7-day median of 61 kg, ask who was measured"
	if got := sayOf(judged(vital.BodyWeight, trend, points[:len(points)-1]), vital.BodyWeight); got != want {
		t.Errorf("he: got  %s\nwant %s", got, want)
	}
	if got := sayOf(judged(vital.BodyWeight, trend, points), vital.BodyWeight); got != "none" {
		t.Errorf("she: got %s, want none", got)
	}
}

// TestOfManyValuesTheFirstAndTheLastAreKept: a scale that sends without end fills no memory, and what it sends last is judged.
func TestOfManyValuesTheFirstAndTheLastAreKept(t *testing.T) {
	t.Parallel()
	trend := trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0)
	// morning makes weights of the fourth day, 11 minutes apart.
	morning := func(kilos ...float64) []alerts.Point {
		points := weights(t, "1 66, 2 66, 3 66")
		for i, kg := range kilos {
			p := weighed{day: 4, at: "04:00", kg: kg}.point(i + 3)
			p.At = p.At.Add(time.Duration(i) * 11 * time.Minute)
			points = append(points, p)
		}
		return points
	}
	const up = "yellow: up 2.1 kg in 3 days: 68.1 kg on Mon 4 May, lowest 66 kg on Fri 1 May"
	for name, c := range map[string]struct {
		points []alerts.Point
		want   string
	}{
		"the last of 18":                             {morning(slices.Concat(slices.Repeat([]float64{80}, 17), []float64{68.1})...), up},
		"the first of 18 is the day's value":         {morning(slices.Concat([]float64{66.1}, slices.Repeat([]float64{80}, 16), []float64{68.1})...), "none"},
		"the 15th of 17 is the day's value":          {morning(slices.Concat(slices.Repeat([]float64{80}, 14), []float64{66.1, 80, 68.1})...), "none"},
		"the 16th of 17 gives way to the last one":   {morning(slices.Concat(slices.Repeat([]float64{80}, 15), []float64{66.1, 68.1})...), up},
		"the 16th of 16 is the value that is judged": {morning(slices.Concat(slices.Repeat([]float64{80}, 15), []float64{68.1})...), up},
	} {
		if got := sayOf(judged(vital.BodyWeight, trend, c.points), vital.BodyWeight); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, c.want)
		}
	}
}

// TestYesterdayComesAgain: in St. John's the clock went back over midnight until 2011, so that a reading of yesterday may be
// measured after one of today. It looks back on as many days as any other of its day.
func TestYesterdayComesAgain(t *testing.T) {
	t.Parallel()
	trend := &alerts.Trend{Zone: "America/St_Johns", ClearAfter: 1, Change: &alerts.TrendChange{
		Part: alerts.DayPart{From: "00:00", Until: "24:00"}, Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2, Days: 3}},
	}}
	var points []alerts.Point
	for id, c := range []struct {
		at string
		kg float64
	}{
		{"2010-11-03T12:00:00Z", 66},   // 3 November
		{"2010-11-07T02:30:30Z", 68.1}, // 00:00:30 of the 7th, before the clock goes back
		{"2010-11-07T03:00:00Z", 68.1}, // 23:30 of the 6th
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, alerts.Point{Mark: alerts.Mark{At: at, ID: int64(id + 1)}, Metric: vital.BodyWeight, Values: []float64{c.kg}})
	}
	const want = "yellow: up 2.1 kg in 3 days: 68.1 kg on Sat 6 Nov, lowest 66 kg on Wed 3 Nov"
	if got := sayOf(judged(vital.BodyWeight, trend, points), vital.BodyWeight); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAWeightThatIsNotLookedAtIsNeitherBetterNorWorse: a second weight of a day neither counts nor ends anything.
func TestAWeightThatIsNotLookedAtIsNeitherBetterNorWorse(t *testing.T) {
	t.Parallel()
	rule := alerts.Rule{Kind: alerts.KindTrend, Form: alerts.FormChange, Metric: vital.BodyWeight, Versions: []alerts.Version{
		{Number: 1, Enabled: true, Trend: trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0)},
	}}
	track := alerts.FoldAll(&rule, weights(t, "1 66, 2 69, 2 66 at 08:00, 2 70 at 09:00"))
	if len(track) != 1 || !track[0].Open() || track[0].Count != 1 {
		t.Errorf("track %+v", track)
	}
}

// TestALateWeightIsNotTheRules: a rule is changed while a late weight is on its way that takes the rise away. The change of the
// rule would close the alert; the late weight may not, and is told as what it is.
func TestALateWeightIsNotTheRules(t *testing.T) {
	t.Parallel()
	trend := trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0)
	first := alerts.Version{Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true, Trend: trend}
	rule := alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindTrend, Form: alerts.FormChange, Metric: vital.BodyWeight, Versions: []alerts.Version{first}}
	r, d := newRecord(rule), alerts.NewDecider(0)
	points := weights(t, "1 64.5 at 07:01, 3 66.6, 1 66 at 06:30")
	for _, p := range points[:2] {
		if _, err := r.take(d, p.At, 1, p); err != nil {
			t.Fatal(err)
		}
	}
	again := first
	again.EffectiveFrom = points[1].At.Add(-time.Hour)
	r.addVersion(0, again)
	made, err := r.take(d, points[1].At.Add(time.Hour), 1, points[2])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range made {
		got = append(got, string(e.Kind)+" "+string(e.Cause))
	}
	want := []string{
		string(alerts.EntryAnnotated) + " " + string(alerts.CauseRule), // the same is said by the new version
		string(alerts.EntryAnnotated) + " " + string(alerts.CauseLate), string(alerts.EntryCleared) + " " + string(alerts.CauseLate),
	}
	if diff := cmp.Diff(want, got); diff != "" || r.episodes[0].State != alerts.Open {
		t.Errorf("%s, entries (-want +got):\n%s", r.episodes[0].State, diff)
	}
}

// TestTheAgeOf80IsToBeReviewed: the average of blood pressure depends on the age when the patient is taken in.
func TestTheAgeOf80IsToBeReviewed(t *testing.T) {
	t.Parallel()
	got := [][]string{{"born", "taken in", "zone", "systolic", "review by"}}
	for _, c := range [][3]string{
		{"0", "2026-05-01", "UTC"}, {"1960", "2026-05-01", "Europe/Ljubljana"}, {"1947", "2026-12-31", "America/Nuuk"},
		{"1946", "2026-01-01", "UTC"}, {"1941", "2026-05-01", "UTC"},
	} {
		at, err := time.Parse(time.DateOnly, c[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range alerts.TrendDefaults(c[2], atoi(c[0]), at) {
			review := ""
			if !d.Version.ReviewBy.IsZero() {
				review = d.Version.ReviewBy.Format(time.RFC3339)
			}
			switch {
			case d.Version.Trend.Average != nil:
				got = append(got, []string{c[0], c[1], c[2], strconv.FormatFloat(*d.Version.Trend.Average.Components[0].YellowHigh, 'f', -1, 64), review})
			case review != "":
				t.Errorf("%s is to be reviewed by %s: the age says nothing of it", d.Key(), review)
			}
		}
	}
	if diff := cmp.Diff(table(t, filepath.Join("testdata", "reviews.csv")), got); diff != "" {
		t.Errorf("when the age of 80 is to be reviewed (-table +code):\n%s", diff)
	}
}

// TestABodyWeightMayBeSomebodyElsesUnlessToldOtherwise: every form of weights has the question, whoever set it.
func TestABodyWeightMayBeSomebodyElsesUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	part, steps := alerts.DayPart{From: "04:00", Until: "12:00"}, []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2, Days: 1}}
	for form, unlike := range map[alerts.Form]func(of float64) (alerts.Trend, func(set *alerts.Trend) float64){
		alerts.FormChange: func(of float64) (alerts.Trend, func(set *alerts.Trend) float64) {
			return alerts.Trend{Change: &alerts.TrendChange{Part: part, Steps: steps, Unlike: of}}, func(set *alerts.Trend) float64 { return set.Change.Unlike }
		},
		alerts.FormReference: func(of float64) (alerts.Trend, func(set *alerts.Trend) float64) {
			r := &alerts.TrendReference{Part: part, Name: "dry weight", Value: 66, Steps: steps, Unlike: of}
			return alerts.Trend{Reference: r}, func(set *alerts.Trend) float64 { return set.Reference.Unlike }
		},
		alerts.FormMovingAverage: func(of float64) (alerts.Trend, func(set *alerts.Trend) float64) {
			m := &alerts.TrendMovingAverage{Part: part, ShortDays: 2, LeastShort: 1, LongDays: 3, LeastLong: 2, Steps: steps, Unlike: of}
			return alerts.Trend{MovingAverage: m}, func(set *alerts.Trend) float64 { return set.MovingAverage.Unlike }
		},
	} {
		for metric, want := range map[vital.Metric]map[float64]float64{vital.BodyWeight: {0: 5, 3: 3, 350: 350}, vital.HeartRate: {0: 0, 30: 30}} {
			for of, want := range want {
				if form == alerts.FormReference && metric != vital.BodyWeight {
					continue // 66 is no reference of any other
				}
				trend, set := unlike(of)
				trend.ClearAfter = 1
				book := &shelf{}
				l := alerts.Limits{Book: book, Now: epoch}
				if _, err := l.SetTrend(t.Context(), ana(), "p", metric, form, 1, alerts.Version{Enabled: true, Reason: "x", Trend: &trend}); err != nil {
					t.Fatalf("%s %s: %v", metric, form, err)
				}
				if got := set(book.added.Trend); got != want {
					t.Errorf("%s %s, unlike %v: %v was set, want %v", metric, form, of, got, want)
				}
			}
		}
	}
}
