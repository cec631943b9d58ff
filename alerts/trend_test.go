package alerts_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// weighed is a weight of a day of May 2026, at 07:00 or another time of day by UTC.
type weighed struct {
	day    int
	kg     float64
	at     string // empty: 07:00
	sensor vital.SensorID
}

func (w weighed) point(id int) alerts.Point {
	clock, err := time.Parse("15:04", "07:00")
	if w.at != "" {
		clock, err = time.Parse("15:04", w.at)
	}
	if err != nil {
		panic(err) // a mistake in a table
	}
	at := time.Date(2026, 5, w.day, clock.Hour(), clock.Minute(), 0, 0, time.UTC)
	return alerts.Point{Mark: alerts.Mark{At: at, ID: int64(id + 1)}, Metric: vital.BodyWeight, Values: []float64{w.kg}, ReceivedAt: at, Sensor: w.sensor}
}

// weights reads "1 66, 2 67 at 07:10 by 2, 3 180lb".
func weights(t *testing.T, text string) []alerts.Point {
	t.Helper()
	var points []alerts.Point
	for i, one := range strings.Split(text, ", ") {
		words := strings.Fields(one)
		w := weighed{day: atoi(words[0])}
		number, pounds := strings.CutSuffix(words[1], "lb")
		var err error
		if w.kg, err = strconv.ParseFloat(number, 64); err != nil {
			t.Fatal(err)
		}
		if pounds {
			w.kg, _ = vital.Convert(w.kg, vital.Pound, vital.Kilogram)
		}
		for pair := range slices.Chunk(words[2:], 2) {
			if pair[0] == "at" {
				w.at = pair[1]
			} else {
				w.sensor = vital.SensorID(atoi(pair[1]))
			}
		}
		points = append(points, w.point(i))
	}
	return points
}

// judged returns what the rule says of the last of the readings.
func judged(metric vital.Metric, trend *alerts.Trend, points []alerts.Point) alerts.Step {
	rule := alerts.Rule{ID: 11, Kind: alerts.KindTrend, Form: trend.Form(), Metric: metric, Versions: []alerts.Version{{Number: 1, Enabled: true, Trend: trend}}}
	run := alerts.Resume(&rule, points[:len(points)-1])
	return run.Step(points[len(points)-1])
}

func sayOf(s alerts.Step, m vital.Metric) string {
	if s.Grounds == nil {
		return s.Level.String()
	}
	return s.Level.String() + ": " + s.Grounds.Words(m)
}

func trendOf(t *testing.T, metric vital.Metric, form alerts.Form, zone string, age int) *alerts.Trend {
	t.Helper()
	trend, err := defaultTrend(metric, form, zone, age)
	if err != nil {
		t.Fatal(err)
	}
	return &trend
}

func TestWeightOverDays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		weights string // "1 66, 2 67 at 07:10 by 2": day, kg, time of day (else 07:00), scale
		want    string
	}{
		"the first weight is compared with nothing": {"1 90", "none"},
		"2 kg in 3 days is not more than 2 kg":      {"1 66, 2 67, 3 67, 4 68", "none"},
		"a gram more is": {
			"1 66, 2 67, 3 67, 4 68.001",
			"yellow: up 2 kg in 3 days: 68 kg on Mon 4 May, lowest 66 kg on Fri 1 May",
		},
		"the lowest of the 3 days counts, not the third": {
			"1 67, 2 66.2, 3 67.3, 4 68.3",
			"yellow: up 2.1 kg in 3 days: 68.3 kg on Mon 4 May, lowest 66.2 kg on Sat 2 May",
		},
		"a fourth day back is too far":            {"1 66, 2 67, 3 67, 4 67, 5 68.2", "none"},
		"1.36 kg in a day is as much as it takes": {"1 66, 2 67.36", "yellow: up 1.36 kg in 1 day: 67.36 kg on Sat 2 May, lowest 66 kg on Fri 1 May"},
		"a gram less is not":                      {"1 66, 2 67.359", "none"},
		"3 lb in a day are enough":                {"1 180lb, 2 183lb", "yellow: up 1.36 kg in 1 day: 83.01 kg on Sat 2 May, lowest 81.65 kg on Fri 1 May"},
		"the day before must have a weight":       {"1 66, 3 67.5", "none"},
		"5 lb in a week are enough": {
			"1 180lb, 8 185lb",
			"yellow: up 2.27 kg in 7 days: 83.92 kg on Fri 8 May, lowest 81.65 kg on Fri 1 May",
		},
		"a week and a day back is too far": {"1 66, 9 70", "none"},
		"a loss of more than 2 kg in 3 days": {
			"1 68.1, 2 67, 4 66",
			"yellow: down 2.1 kg in 3 days: 66 kg on Mon 4 May, highest 68.1 kg on Fri 1 May",
		},
		"a loss of 2 kg is not":                           {"1 68, 2 67, 4 66", "none"},
		"a second weight of the morning is not looked at": {"1 66, 2 66, 2 69 at 07:11", "none"},
		"nor is it a baseline":                            {"1 66, 1 64 at 07:11, 2 67", "none"},
		"the morning begins at 04:00":                     {"1 66, 2 69 at 03:59", "none"},
		"and at 04:00 it has begun":                       {"1 66, 2 69 at 04:00", "yellow: up 3 kg in 3 days: 69 kg on Sat 2 May, lowest 66 kg on Fri 1 May"},
		"it ends before 12:00":                            {"1 66, 2 69 at 12:00", "none"},
		"another scale has another baseline":              {"1 66 by 1, 2 69 by 2", "none"},
		"each scale has its own first weight of the day": {
			"1 66 by 1, 2 60 by 2, 2 69 at 08:00 by 1",
			"yellow: up 3 kg in 3 days: 69 kg on Sat 2 May, lowest 66 kg on Fri 1 May",
		},
		"somebody else's weight is no baseline": {"1 66, 2 66, 3 60, 4 66.1", "none"},
		"5 kg from the median is not yet somebody else's": {
			"1 66, 2 66, 3 61, 4 66.1",
			"yellow: up 5.1 kg in 3 days: 66.1 kg on Mon 4 May, lowest 61 kg on Sun 3 May",
		},
		"what may be somebody else's is shown": {
			"1 66, 2 66, 3 66, 7 60.9",
			"yellow: 60.9 kg on Thu 7 May; far from the 7-day median of 66 kg, ask who was measured",
		},
		"two weights are too few to ask who was weighed": {"1 66, 2 66, 7 60", "none"},
		"of as many days the earlier are the usual ones": {
			"1 60, 2 60, 3 80, 4 80, 5 72",
			"yellow: up 12 kg in 3 days: 72 kg on Tue 5 May, lowest 60 kg on Sat 2 May; far from the 7-day median of 60 kg, ask who was measured",
		},
		"where no two agree, all count": {
			"1 60, 2 80, 3 70, 4 62",
			"yellow: down 18 kg in 3 days: 62 kg on Mon 4 May, highest 80 kg on Sat 2 May",
		},
		"a repeat counts instead": {
			"1 66, 2 66, 2 69 at 07:10, 3 67.5",
			"none",
		},
		"a repeat is 10 minutes from the first value, not from the last repeat": {
			"1 66, 2 66, 2 66.2 at 07:09, 2 69 at 07:12, 3 67.56",
			"yellow: up 1.36 kg in 1 day: 67.56 kg on Sun 3 May, lowest 66.2 kg on Sat 2 May",
		},
		"a repeat is by the same scale": {
			"1 66 by 1, 2 66 by 1, 2 69 at 07:01 by 2, 3 67.5 by 1",
			"yellow: up 1.5 kg in 1 day: 67.5 kg on Sun 3 May, lowest 66 kg on Sat 2 May",
		},
		"a repeat is not somebody else's": {
			"1 66, 2 66, 3 66, 4 60.4, 4 66.1 at 07:01",
			"none",
		},
		"two people on one scale, and nobody knows who is who": {
			"1 84 at 06:50, 1 61",
			"yellow: 61 kg on Fri 1 May; far from another value of that day, ask who was measured",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := weights(t, c.weights)
			if got := sayOf(judged(vital.BodyWeight, trendOf(t, vital.BodyWeight, alerts.FormChange, "UTC", 0), points), vital.BodyWeight); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDaysOfATrendAreLocalDays(t *testing.T) {
	t.Parallel()
	trend := trendOf(t, vital.BodyWeight, alerts.FormChange, "Europe/Ljubljana", 0)
	at := func(id int, text string, kg float64) alerts.Point {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return alerts.Point{Mark: alerts.Mark{At: when.UTC(), ID: int64(id)}, Metric: vital.BodyWeight, Values: []float64{kg}}
	}
	for name, c := range map[string]struct {
		points []alerts.Point
		want   string
	}{
		"the morning after the clock went back": {
			[]alerts.Point{at(1, "2026-10-24T02:00:00Z", 66), at(2, "2026-10-25T03:00:00Z", 67.4)},
			"yellow: up 1.4 kg in 1 day: 67.4 kg on Sun 25 Oct, lowest 66 kg on Sat 24 Oct",
		},
		"03:30 winter time is no morning yet": {[]alerts.Point{at(1, "2026-10-24T02:00:00Z", 66), at(2, "2026-10-25T02:30:00Z", 67.4)}, "none"},
		"the morning the clock went forward": {
			[]alerts.Point{at(1, "2026-03-28T03:00:00Z", 66), at(2, "2026-03-29T02:00:00Z", 67.4)},
			"yellow: up 1.4 kg in 1 day: 67.4 kg on Sun 29 Mar, lowest 66 kg on Sat 28 Mar",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sayOf(judged(vital.BodyWeight, trend, c.points), vital.BodyWeight); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAboveAReference(t *testing.T) {
	t.Parallel()
	trend := &alerts.Trend{Zone: "UTC", ClearAfter: 1, Reference: &alerts.TrendReference{
		Part: alerts.DayPart{From: "00:00", Until: "24:00"}, Name: "dry weight", Value: 66, Margin: 0.3, Steps: []alerts.TrendStep{
			{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}, {Level: alerts.Red, Direction: alerts.Rise, By: 4}, {Level: alerts.Yellow, Direction: alerts.Fall, By: 3},
		},
	}}
	if err := trend.Check(vital.BodyWeight); err != nil {
		t.Fatal(err)
	}
	for kg, want := range map[float64]string{
		67.999: "none", 68: "yellow: 2 kg above the dry weight of 66 kg: 68 kg on Fri 1 May", 70.1: "red: 4.1 kg above the dry weight of 66 kg: 70.1 kg on Fri 1 May",
		63.001: "none", 63: "yellow: 3 kg below the dry weight of 66 kg: 63 kg on Fri 1 May",
	} {
		if got := sayOf(judged(vital.BodyWeight, trend, []alerts.Point{weighed{day: 1, kg: kg}.point(1)}), vital.BodyWeight); got != want {
			t.Errorf("%v kg: got %s, want %s", kg, got, want)
		}
	}
}

func TestMovingAverage(t *testing.T) {
	t.Parallel()
	run := func(weights ...float64) []alerts.Point {
		var points []alerts.Point
		for i, kg := range weights {
			if kg > 0 {
				points = append(points, weighed{day: i + 1, kg: kg}.point(i))
			}
		}
		return points
	}
	for name, c := range map[string]struct {
		points []alerts.Point
		want   string
	}{
		"the mean of 3 days 1 kg above the median of the 7 before": {
			run(70, 70, 72, 70, 69, 70, 70, 71, 71, 71),
			"yellow: mean of the last 3 days 71 kg, 1 kg above the median 70 kg of the 7 days before",
		},
		"one gram less is not": {run(70, 70, 72, 70, 69, 70, 70, 71, 71, 70.996), "none"},
		"an outlier moves the mean by a third and the median not": {run(70, 90, 70, 70, 70, 70, 70, 70, 70, 72.9), "none"},
		"3 days are too little to compare with":                   {run(70, 70, 70, 0, 0, 0, 0, 75, 75, 75), "none"},
		"4 are enough, and it says so": {
			run(70, 70, 70, 70, 0, 0, 0, 75, 0, 75),
			"yellow: mean of the last 3 days 75 kg, 5 kg above the median 70 kg of the 7 days before, weighed on 2 of the 3 and 4 of the 7 days",
		},
		"what may be somebody else's is no part of the mean": {
			run(70, 70, 70, 70, 70, 70, 70, 70, 70, 75.001),
			"yellow: 75 kg on Sun 10 May; far from the 7-day median of 70 kg, ask who was measured",
		},
		"one weight is no mean":                 {run(70, 70, 70, 70, 70, 70, 70, 0, 0, 75), "none"},
		"an eighth day before is not looked at": {run(60, 0, 70, 70, 70, 0, 0, 0, 75, 75, 75), "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := trendOf(t, vital.BodyWeight, alerts.FormMovingAverage, "UTC", 0)
			if got := sayOf(judged(vital.BodyWeight, trend, c.points), vital.BodyWeight); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// pressures makes the home blood pressure schedule of so many days; each reads "138/84 134/82 132/80 130/78".
func pressures(days ...string) []alerts.Point {
	var points []alerts.Point
	for d, text := range days {
		for i, one := range strings.Fields(text) {
			at := time.Date(2026, 5, d+1, 8+4*(i/2), i%2, 0, 0, time.UTC)
			systolic, diastolic, _ := strings.Cut(one, "/")
			p := alerts.Point{Mark: alerts.Mark{At: at, ID: int64(len(points) + 1)}, Metric: vital.BloodPressure}
			for _, v := range []string{systolic, diastolic} {
				f, err := strconv.ParseFloat(v, 64)
				if err != nil {
					panic(err) // a mistake in a table
				}
				p.Values = append(p.Values, f)
			}
			points = append(points, p)
		}
	}
	return points
}

func times(n int, day string) []string {
	days := make([]string, n)
	for i := range days {
		days[i] = day
	}
	return days
}

func TestHomeBloodPressureAverage(t *testing.T) {
	t.Parallel()
	const four = "%[1]s %[1]s %[1]s %[1]s"
	all := func(one string) string { return strings.ReplaceAll(four, "%[1]s", one) }
	first := all("170/100")
	for name, c := range map[string]struct {
		days []string
		age  int
		want string
	}{
		// clinical/scores.md, section 3: the mean of 24 readings is 133.5/81.0.
		"133.5/81.0 is 134/81 and borderline": {append([]string{first}, times(6, "138/84 134/82 132/80 130/78")...), 0, "none"},
		"134.5 is rounded up to 135": {
			append([]string{first}, times(6, "139/84 135/82 133/80 131/78")...), 0,
			"yellow: 7-day average 135/81 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
		"a diastolic mean of 85 is enough": {
			append([]string{first}, times(6, all("120/85"))...), 0,
			"yellow: 7-day average 120/85 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
		"without the first day there are too few":    {append([]string{first}, times(3, all("150/90"))...), 0, "none"},
		"12 readings on 3 days are too few days":     {append([]string{first}, times(3, all("150/90"))...), 0, "none"},
		"11 readings on 4 days are too few readings": {[]string{first, all("150/90"), all("150/90"), "150/90 150/90", "150/90"}, 0, "none"},
		"12 on 4 days are enough": {
			[]string{first, all("150/90"), all("150/90"), "150/90 150/90", "150/90 150/90"}, 0,
			"yellow: 7-day average 150/90 mmHg from 12 readings in 6 sessions on 4 days, first day left out",
		},
		"the eighth day before is out": {append(times(2, first), times(6, all("130/78"))...), 0, "none"},
		"the seventh is the first and left out": {
			append([]string{all("120/70")}, times(6, all("136/78"))...), 0,
			"yellow: 7-day average 136/78 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
		"at 80 the mean is high from 145 on": {append([]string{first}, times(6, all("144/84"))...), 80, "none"},
		"and 145 is": {
			append([]string{first}, times(6, all("145/84"))...), 80,
			"yellow: 7-day average 145/84 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
		"at 79 it is high from 135 on": {
			append([]string{first}, times(6, all("144/84"))...), 79,
			"yellow: 7-day average 144/84 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
		"110 is not too low": {append([]string{first}, times(6, all("110/60"))...), 0, "none"},
		"109 is": {
			append([]string{first}, times(6, all("109/60"))...), 0,
			"yellow: 7-day average 109/60 mmHg from 24 readings in 12 sessions on 6 days, first day left out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trend := trendOf(t, vital.BloodPressure, alerts.FormAverage, "UTC", c.age)
			if got := sayOf(judged(vital.BloodPressure, trend, pressures(c.days...)), vital.BloodPressure); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTrendDefaultsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	got := [][]string{{"metric", "form", "age", "part", "number", "value", "grade"}}
	for _, age := range []int{0, alerts.Old} {
		for _, d := range alerts.TrendDefaults("UTC", (2026-age)*min(age, 1), epoch()) {
			if age != 0 && d.Metric != vital.BloodPressure {
				continue // the others do not ask for the age
			}
			if err := d.Version.Trend.Check(d.Metric); err != nil {
				t.Errorf("%s: %v", d.Key(), err)
			}
			if n := len(alerts.GradesOf(d.Metric, &d.Version)); n != len(d.Grades) || n == 0 {
				t.Errorf("%s: %d grades are known of the version in force, want %d", d.Key(), n, len(d.Grades))
			}
			for _, g := range d.Grades {
				got = append(got, []string{d.Metric.String(), string(d.Key().Form), strconv.Itoa(age), g.Component, g.Bound, strconv.FormatFloat(g.Value, 'f', -1, 64), g.Grade})
			}
		}
	}
	if diff := cmp.Diff(table(t, filepath.Join("testdata", "trends.csv")), got); diff != "" {
		t.Errorf("trend defaults (-table +code):\n%s", diff)
	}
	own := alerts.TrendDefaults("UTC", 0, epoch())[0]
	own.Version.Author = 3
	if alerts.GradesOf(own.Metric, &own.Version) != nil {
		t.Error("what a person set has grades")
	}
}

func TestSettingATrendSaysWhatToMend(t *testing.T) {
	t.Parallel()
	change := func(spoil func(c *alerts.TrendChange)) func(v *alerts.Version) {
		return func(v *alerts.Version) { spoil(v.Trend.Change) }
	}
	instead := func(trend alerts.Trend) func(v *alerts.Version) {
		return func(v *alerts.Version) { trend.ClearAfter = 1; v.Trend = &trend }
	}
	steps := []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}}
	part := alerts.DayPart{From: "04:00", Until: "12:00"}
	cases := map[string]struct {
		form  alerts.Form
		spoil func(v *alerts.Version)
		want  string // "" is accepted
	}{
		"the default is taken":        {alerts.FormChange, func(*alerts.Version) {}, ""},
		"switched off without a form": {alerts.FormChange, func(v *alerts.Version) { v.Enabled, v.Trend = false, nil }, ""},
		"no reason":                   {alerts.FormChange, func(v *alerts.Version) { v.Reason = "" }, "a change of trend rules needs a reason"},
		"without a form":              {alerts.FormChange, func(v *alerts.Version) { v.Trend = nil }, "of the form change"},
		"of another form":             {alerts.FormAverage, func(*alerts.Version) {}, "of the form average"},
		"of two forms":                {alerts.FormChange, func(v *alerts.Version) { v.Trend.Average = &alerts.TrendAverage{} }, "exactly one form"},
		"never to clear":              {alerts.FormChange, func(v *alerts.Version) { v.Trend.ClearAfter = 0 }, "clear after"},
		"no step":                     {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps = nil }), "1 to 8 steps"},
		"an extreme step": {
			alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps[0].Level = alerts.Extreme }),
			"yellow or red (got extreme)",
		},
		"a step sideways":       {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps[0].Direction = "sideways" }), "rise or fall"},
		"a step of nothing":     {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps[0].By = 0 }), "by: must be a number from 0.001"},
		"a step over no days":   {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps[0].Days = 0 }), "1 to 31 days"},
		"a step over months":    {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Steps[0].Days = 32 }), "1 to 31 days"},
		"a day that ends early": {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Part.Until = "03:00" }), "part of the day"},
		"a day that is no time": {alerts.FormChange, change(func(c *alerts.TrendChange) { c.Part.From = "4am" }), "part of the day"},
		"a reference without a name": {
			alerts.FormReference, instead(alerts.Trend{Reference: &alerts.TrendReference{Part: part, Value: 66, Steps: steps}}),
			"what the reference is",
		},
		"a reference of nobody": {
			alerts.FormReference, instead(alerts.Trend{Reference: &alerts.TrendReference{Part: part, Name: "dry weight", Value: 6, Steps: steps}}),
			"from 20 to 350",
		},
		"somebody else at less than nothing": {
			alerts.FormReference, instead(alerts.Trend{Reference: &alerts.TrendReference{Part: part, Name: "dry weight", Value: 66, Unlike: -1, Steps: steps}}),
			"unlike: must be a number from 0 to 350",
		},
		"a mean of somebody else at less than nothing": {
			alerts.FormMovingAverage, instead(alerts.Trend{MovingAverage: &alerts.TrendMovingAverage{
				Part: part, ShortDays: 1, LeastShort: 1, LongDays: 7, LeastLong: 4, Unlike: -1, Steps: steps,
			}}), "unlike: must be a number from 0 to 350",
		},
		"a margin that never ends": {
			alerts.FormReference, instead(alerts.Trend{Reference: &alerts.TrendReference{Part: part, Name: "dry weight", Value: 66, Margin: 2, Steps: steps}}),
			"never end",
		},
		"a median of one day": {
			alerts.FormMovingAverage, instead(alerts.Trend{MovingAverage: &alerts.TrendMovingAverage{Part: part, ShortDays: 1, LeastShort: 1, LongDays: 1, LeastLong: 1, Steps: steps}}),
			"the median of at least 2",
		},
		"more history than there is": {
			alerts.FormMovingAverage, instead(alerts.Trend{MovingAverage: &alerts.TrendMovingAverage{Part: part, ShortDays: 1, LeastShort: 1, LongDays: 7, LeastLong: 8, Steps: steps}}),
			"least_long",
		},
		"an average without bounds": {
			alerts.FormAverage, instead(alerts.Trend{Average: &alerts.TrendAverage{Days: 7, LeastReadings: 12, LeastDays: 4}}),
			"at least one bound",
		},
		"an average that is extreme": {
			alerts.FormAverage, instead(alerts.Trend{Average: &alerts.TrendAverage{Days: 7, LeastReadings: 12, LeastDays: 4, Components: []alerts.Bounds{{ExtremeHigh: ptr(90)}}}}),
			"no extreme bounds",
		},
		"an average that leaves no day": {
			alerts.FormAverage, instead(alerts.Trend{Average: &alerts.TrendAverage{Days: 7, SkipDays: 7, LeastReadings: 12, LeastDays: 4}}),
			"must leave a day",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := &shelf{}
			l := alerts.Limits{Book: book, Now: epoch}
			v := alerts.Version{Enabled: true, Reason: "heart failure", Trend: trendOf(t, vital.BodyWeight, alerts.FormChange, "", 0)}
			c.spoil(&v)
			_, err := l.SetTrend(t.Context(), ana(), "p", vital.BodyWeight, c.form, 1, v)
			if c.want == "" {
				if err != nil || book.added == nil || book.added.AuthorName != "Ana Kovač" {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || book.added != nil {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
	pressure := alerts.Version{Enabled: true, Reason: "x", Trend: trendOf(t, vital.BodyWeight, alerts.FormChange, "", 0)}
	l := alerts.Limits{Book: &shelf{}, Now: epoch}
	if _, err := l.SetTrend(t.Context(), ana(), "p", vital.BloodPressure, alerts.FormChange, 1, pressure); !fault.Is(err, fault.Invalid) {
		t.Errorf("a change of three components at once: %v", err)
	}
}
