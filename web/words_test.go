package web

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

func bound(v float64) *float64 { return &v }

func TestValueWords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric vital.Metric
		values []float64
		want   string
	}{
		"a blood pressure is one reading":                        {vital.BloodPressure, []float64{182, 104}, "182/104 mmHg"},
		"with its pulse where the cuff counts it":                {vital.BloodPressure, []float64{182, 104, 88}, "182/104 mmHg, pulse 88 /min"},
		"what is not yet red does not read as red":               {vital.BloodPressure, []float64{179.6, 90}, "179.6/90 mmHg"},
		"a saturation is not rounded up into the clear":          {vital.OxygenSat, []float64{91.99}, "91.99 %"},
		"a conversion's dust is blown off":                       {vital.BodyWeight, []float64{71.21400000001}, "71.21 kg"},
		"a ratio has no unit":                                    {vital.INR, []float64{2.4}, "2.4"},
		"degrees are written as people do":                       {vital.BodyTemperature, []float64{38.1}, "38.1 °C"},
		"steps are counted":                                      {vital.StepCount, []float64{4210}, "4210 steps"},
		"no value says nothing":                                  {vital.HeartRate, nil, ""},
		"what is no metric says nothing":                         {vital.Metric(999), []float64{1}, ""},
		"half a blood pressure is not made up to be a whole one": {vital.BloodPressure, []float64{182}, "182 mmHg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := valueWords(c.metric, c.values); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLimitWords(t *testing.T) {
	t.Parallel()
	got := limitWords(vital.BloodPressure, alerts.Limit{
		K: 2, N: 3, ClearAfter: 2,
		Components: []alerts.Bounds{
			{ExtremeHigh: bound(200), RedLow: bound(91), RedHigh: bound(180), Margin: 5},
			{RedHigh: bound(120)}, {},
		},
	})
	want := ruleWords{
		Lines: []levelLine{
			{"extreme", "Extreme", "systolic at or above 200 mmHg"},
			{"red", "Red", "systolic below 91 mmHg, or at or above 180 mmHg; diastolic at or above 120 mmHg"},
		},
		Begins: "2 of the last 3 readings must be beyond a limit; one extreme reading is enough.",
		Ends:   "The condition ends after 2 readings in a row back inside by at least 5 mmHg systolic.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	lasting := limitWords(vital.HeartRate, alerts.Limit{K: 1, N: 1, ForMinutes: 20, GapMinutes: 10, ClearAfter: 1, Components: []alerts.Bounds{{YellowLow: bound(50)}}})
	if want := "All readings of 20 minutes must be beyond a limit, no two of them more than 10 minutes apart; one extreme reading is enough."; lasting.Begins != want {
		t.Errorf("a duration begins when %q, want %q", lasting.Begins, want)
	}
	more := limitWords(vital.HeartRate, alerts.Limit{K: 1, N: 1, ClearAfter: 1, Components: []alerts.Bounds{{YellowLow: bound(50)}, {RedHigh: bound(1)}}})
	if len(more.Lines) != 1 || more.Lines[0].Text != "below 50 /min" {
		t.Errorf("a bound of a component that the metric has not was told: %+v", more.Lines)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC) // the second 02:30 of the night in which clocks go back
	home := clock{now: now}.in("Europe/Ljubljana")
	afar := clock{now: now, zone: time.UTC, afar: true}
	for name, c := range map[string]struct{ got, want string }{
		"the repeated hour names its zone":             {home.exact(now), "25 Oct 2026, 02:30 CET"},
		"and so does the one before it":                {home.exact(now.Add(-time.Hour)), "25 Oct 2026, 02:30 CEST"},
		"the same day needs no date":                   {home.short(now.Add(-2 * time.Hour)), "01:30"},
		"another day does":                             {home.short(now.Add(-24 * time.Hour)), "24 Oct, 03:30"},
		"another year too":                             {home.short(now.AddDate(-7, 0, 0)), "25 Oct 2019, 03:30"},
		"afar there is no bare clock time":             {afar.short(now.Add(-12 * time.Minute)), "12 min ago"},
		"afar what is long past has its date":          {afar.short(now.AddDate(-7, 0, 0)), "25 Oct 2019"},
		"an hour that is not over is told in minutes":  {span(119*time.Minute + 59*time.Second), "119 min"},
		"what is to come":                              {afar.away(now.Add(40 * time.Minute)), "in 40 min"},
		"what has just been":                           {afar.away(now.Add(-59 * time.Second)), "just now"},
		"days":                                         {afar.away(now.Add(-49 * time.Hour)), "2 days ago"},
		"years":                                        {afar.away(now.AddDate(-3, 0, 0)), "3 years ago"},
		"a zone that nobody knows is UTC, and says so": {clock{now: now}.in("Mars/Base").exact(now), "25 Oct 2026, 01:30 UTC"},
		"nothing is no time":                           {afar.at(time.Time{}).Exact, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

func TestEveryEntryHasWords(t *testing.T) {
	t.Parallel()
	k := clock{now: time.Unix(0, 0), zone: time.UTC}
	for _, kind := range []alerts.EntryKind{
		alerts.EntryOpened, alerts.EntryOccurred, alerts.EntryWorsened, alerts.EntryCleared, alerts.EntryResumed, alerts.EntryAnnotated,
		alerts.EntryAcknowledged, alerts.EntryResolved, alerts.EntryNoted,
	} {
		if line := viewEntry(alerts.LimitOn(vital.HeartRate), &alerts.Entry{Kind: kind, NextStep: alerts.StepNone}, k); line.Text == "" {
			t.Errorf("%s is told in no words", kind)
		}
	}
	for _, step := range []alerts.NextStep{alerts.StepNone, alerts.StepRecheck, alerts.StepCall, alerts.StepHandOver} {
		if stepWord(step) == "" {
			t.Errorf("%s is told in no words", step)
		}
	}
	for bit := range len((^vital.Finding(0)).Names()) {
		if len(findingWords(vital.Finding(1<<bit))) != 1 {
			t.Errorf("finding %d is told in no words", bit)
		}
	}
}

func TestWhyAConditionEndedIsSaidAsItWas(t *testing.T) {
	t.Parallel()
	k := clock{now: time.Unix(0, 0), zone: time.UTC}
	for cause, want := range map[alerts.Cause][2]string{
		alerts.CauseReturned: {"Back inside the limits", "What is known of the past has changed"},
		alerts.CauseRuleOff:  {"Not judged any more: no limits in force", "What is known of the past has changed"},
		alerts.CauseRule:     {"Not beyond the limits as they were changed", "Changed limits changed what is known of the past"},
		alerts.CauseLate:     {"Not beyond the limits, as late data shows", "Late data changed what is known of the past"},
		alerts.CauseTaken:    {"No longer so here: its readings are not in this record any more", "Readings that it told of are not in this record any more"},
		alerts.CauseBrought:  {"No longer so by the readings that were filed here", "Readings that were filed elsewhere are this person's, and are filed here now"},

		alerts.CauseWithdrawn: {"No longer so: readings that it told of were taken back", "A reading was taken back"},
	} {
		for i, kind := range []alerts.EntryKind{alerts.EntryCleared, alerts.EntryAnnotated} {
			if line := viewEntry(alerts.LimitOn(vital.HeartRate), &alerts.Entry{Kind: kind, Cause: cause}, k); line.Text != want[i] {
				t.Errorf("%s, %s: %q, want %q", kind, cause, line.Text, want[i])
			}
		}
		a := alerts.Alert{Episode: alerts.Episode{State: alerts.Open, Ended: cause}}
		if row := (rowMaker{clock: k}).row(&a); row.InsideNow != (cause == alerts.CauseReturned) {
			t.Errorf("%s: the board says that the readings are back inside: %v", cause, row.InsideNow)
		} else if row.Taken != (cause == alerts.CauseTaken) {
			t.Errorf("%s: the board says that the readings are elsewhere: %v", cause, row.Taken)
		} else if row.Undone != (cause == alerts.CauseWithdrawn) {
			t.Errorf("%s: the board says that readings were taken back: %v", cause, row.Undone)
		}
	}
}

func TestWhoIsToBeCalled(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	for name, c := range map[string]struct {
		alert alerts.Episode
		want  bool
	}{
		"a red of now":                         {alerts.Episode{Level: alerts.Red}, true},
		"a yellow of now":                      {alerts.Episode{Level: alerts.Yellow}, false},
		"a red of the past":                    {alerts.Episode{Level: alerts.Red, Historic: true}, false},
		"a red of the past, the last known":    {alerts.Episode{Level: alerts.Red, Historic: true, Contact: true}, true},
		"an extreme that somebody looks after": {alerts.Episode{Level: alerts.Extreme, State: alerts.Acknowledged, AckUntil: now.Add(time.Hour)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := asksForCall(&alerts.Case{Alerts: []alerts.Alert{{Episode: c.alert}}}, now); got != c.want {
				t.Errorf("to call: %v, want %v", got, c.want)
			}
		})
	}
}

func TestTrendWordsSayWhatIsRoundedAndWhatWaits(t *testing.T) {
	t.Parallel()
	const sessions = " A session is the mean of the readings of a day before noon, or from noon on: each weighs the same, however many readings it has." +
		" It says nothing before there are 3 readings on 2 days."
	steps := []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}}
	part := alerts.DayPart{From: "04:00", Until: "12:00"}
	average := alerts.Trend{ClearAfter: 1, Average: &alerts.TrendAverage{Days: 7, LeastReadings: 3, LeastDays: 2, Components: []alerts.Bounds{{YellowHigh: bound(120)}}}}
	for name, c := range map[string]struct {
		metric vital.Metric
		trend  alerts.Trend
		begins string // empty: not looked at
		ends   string
	}{
		"a mean pressure is a whole number": {
			vital.BloodPressure, average, "The mean of the sessions of 7 days, rounded half up, counts." + sessions,
			"The condition ends after one mean back inside.",
		},
		"no other mean is": {
			vital.Glucose, average, "The mean of the sessions of 7 days counts." + sessions,
			"The condition ends after one mean back inside.",
		},
		"who was asked about is waited for": {
			vital.BodyWeight, alerts.Trend{ClearAfter: 1, Reference: &alerts.TrendReference{Part: part, Name: "dry weight", Value: 66, Unlike: 5, Margin: 0.3, Steps: steps}}, "",
			"The condition ends after one value back inside by at least 0.3 kg. An alert that asked who was measured then waits for a person, unless the same day answered.",
		},
		"where nothing is asked nothing waits": {
			vital.HeartRate, alerts.Trend{ClearAfter: 1, Reference: &alerts.TrendReference{Part: part, Name: "pulse at rest", Value: 66, Steps: steps}}, "",
			"The condition ends after one value back inside.",
		},
	} {
		got := ruleWordsOf(alerts.TrendOn(c.metric, c.trend.Form()), &alerts.Version{Enabled: true, Trend: &c.trend})
		if c.begins != "" && got.Begins != c.begins || got.Ends != c.ends {
			t.Errorf("%s: got %q and %q", name, got.Begins, got.Ends)
		}
	}
}
