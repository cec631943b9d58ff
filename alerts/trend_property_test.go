package alerts_test

import (
	"strconv"
	"testing"
	"time"
	_ "time/tzdata" // the zones of this test are those that Go knows

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"hale/alerts"
	"hale/vital"
)

// autumn lies a week before the clocks go back in Europe.
func autumn() time.Time { return time.Date(2026, 10, 18, 0, 0, 0, 0, time.UTC) }

// drawZone draws a zone; in Nuuk the clock goes back at midnight, so that yesterday comes again.
func drawZone(t *rapid.T) string {
	return rapid.SampledFrom([]string{"Europe/Ljubljana", "America/Nuuk", "Pacific/Auckland", "UTC"}).Draw(t, "zone")
}

func drawPart(t *rapid.T) alerts.DayPart {
	return rapid.SampledFrom([]alerts.DayPart{{From: "04:00", Until: "12:00"}, {From: "00:00", Until: "24:00"}, {From: "17:00", Until: "24:00"}}).Draw(t, "part")
}

func drawSteps(t *rapid.T, days bool) []alerts.TrendStep {
	steps := make([]alerts.TrendStep, rapid.IntRange(1, 3).Draw(t, "steps"))
	for i := range steps {
		steps[i] = alerts.TrendStep{
			Level:     rapid.SampledFrom([]alerts.Level{alerts.Yellow, alerts.Yellow, alerts.Red}).Draw(t, "level"),
			Direction: rapid.SampledFrom([]alerts.Direction{alerts.Rise, alerts.Fall}).Draw(t, "direction"),
			By:        float64(rapid.IntRange(2, 8).Draw(t, "by")) / 2, MoreThan: rapid.Bool().Draw(t, "more than"),
		}
		if days {
			steps[i].Days = rapid.SampledFrom([]int{1, 2, 3, 7, 12}).Draw(t, "days")
		}
	}
	return steps
}

func drawTrend(t *rapid.T, form alerts.Form) *alerts.Trend {
	trend := &alerts.Trend{Zone: drawZone(t), ClearAfter: rapid.IntRange(1, 2).Draw(t, "clear after")}
	same, unlike := rapid.Bool().Draw(t, "same sensor"), rapid.SampledFrom([]float64{0, 3, 5, 5}).Draw(t, "unlike")
	switch form {
	case alerts.FormChange:
		trend.Change = &alerts.TrendChange{Part: drawPart(t), SameSensor: same, Unlike: unlike, Steps: drawSteps(t, true)}
	case alerts.FormReference:
		trend.Reference = &alerts.TrendReference{Part: drawPart(t), Name: "dry weight", Value: 64, Unlike: unlike, Margin: 0.5, Steps: drawSteps(t, false)}
	case alerts.FormMovingAverage:
		short, long := rapid.IntRange(1, 3).Draw(t, "short"), rapid.IntRange(2, 7).Draw(t, "long")
		trend.MovingAverage = &alerts.TrendMovingAverage{
			Part: drawPart(t), SameSensor: same, ShortDays: short, LeastShort: 1, LongDays: long, LeastLong: 2, Unlike: unlike, Margin: 0.5, Steps: drawSteps(t, false),
		}
	case alerts.FormAverage:
		trend.Average = &alerts.TrendAverage{
			Days: rapid.IntRange(2, 7).Draw(t, "days"), SkipDays: rapid.IntRange(0, 1).Draw(t, "skipped"), LeastReadings: rapid.IntRange(1, 6).Draw(t, "readings"), LeastDays: 1,
			Components: []alerts.Bounds{{YellowLow: ptr(62), YellowHigh: ptr(66), RedHigh: ptr(68), Margin: float64(rapid.IntRange(0, 1).Draw(t, "margin"))}},
		}
	case alerts.FormBaseline:
		trend.Baseline = drawBaseline(t)
	}
	return trend
}

func drawBaseline(t *rapid.T) *alerts.TrendBaseline {
	b := &alerts.TrendBaseline{
		Days: rapid.IntRange(3, 10).Draw(t, "days"), GapDays: rapid.IntRange(0, 3).Draw(t, "gap"), LeastDays: rapid.IntRange(1, 3).Draw(t, "least days"),
		LeastSessions: rapid.IntRange(1, 6).Draw(t, "least sessions"), LeastSpread: rapid.SampledFrom([]float64{0.25, 1, 3}).Draw(t, "least spread"),
		Margin: 0.5, Steps: drawSteps(t, false),
	}
	if rapid.Bool().Draw(t, "part of the day") {
		part := drawPart(t)
		b.Part = &part
	}
	for i := range b.Steps {
		if s := &b.Steps[i]; rapid.Bool().Draw(t, "by spreads") {
			s.Spreads = float64(rapid.IntRange(2, 6).Draw(t, "spreads")) / 2
			s.By = rapid.SampledFrom([]float64{0, s.By}).Draw(t, "and by")
		}
	}
	return b
}

func drawTrendVersion(form alerts.Form) func(t *rapid.T) alerts.Version {
	return func(t *rapid.T) alerts.Version {
		return alerts.Version{
			EffectiveFrom: autumn().Add(time.Duration(rapid.IntRange(-24, 16*24).Draw(t, "effective")) * time.Hour),
			Enabled:       rapid.IntRange(0, 5).Draw(t, "enabled") > 0, Trend: drawTrend(t, form),
		}
	}
}

// drawWeights draws weights of sixteen days by two scales, of a second person too, who may have come to stay, and with
// repeats; in some draws more than a loaded tail holds.
func drawWeights(t *rapid.T) []alerts.Point {
	n := rapid.IntRange(1, 40).Draw(t, "readings")
	if rapid.IntRange(0, 4).Draw(t, "many") == 0 {
		n += 2 * alerts.TrendTail
	}
	shared := rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "shared")
	came := rapid.IntRange(0, 16*24*2).Draw(t, "came")
	points := make([]alerts.Point, n)
	for i := range points {
		half := rapid.IntRange(0, 16*24*2).Draw(t, "half hour")
		if rapid.Bool().Draw(t, "morning") {
			half = half/48*48 + 12 + half%3
		}
		minutes := rapid.SampledFrom([]int{0, 0, 1, 5, 10, 11}).Draw(t, "minutes")
		kilo := float64(rapid.IntRange(120, 138).Draw(t, "half kilo")) / 2
		if shared > 0 && half >= came && rapid.IntRange(0, 2).Draw(t, "whose") < shared {
			kilo += 20
		}
		at := autumn().Add(time.Duration(half)*30*time.Minute + time.Duration(minutes)*time.Minute)
		points[i] = alerts.Point{
			Mark: alerts.Mark{At: at, ID: int64(1000 + (i*7919)%n)}, Metric: vital.BodyWeight, Values: []float64{kilo},
			Sensor:     vital.SensorID(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "scale")),
			ReceivedAt: at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 60, 420}).Draw(t, "minutes late")) * time.Minute),
		}
	}
	return points
}

// TestTrendIsTheSameHoweverReadingsArrive is the property of the condition track (I4a) for every form of trend: days of
// the patient's zone over a change of the clock, late weights that move a baseline, versions for the past, restarts.
func TestTrendIsTheSameHoweverReadingsArrive(t *testing.T) {
	t.Parallel()
	for _, form := range alerts.Forms() {
		for shard := range 2 {
			t.Run(string(form)+" "+strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) { checkTrendTrack(t, form) })
			})
		}
	}
}

func checkTrendTrack(t *rapid.T, form alerts.Form) {
	first := drawTrendVersion(form)(t)
	first.Number, first.EffectiveFrom, first.Enabled = 1, autumn().Add(-time.Hour), true
	rule := alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindTrend, Form: form, Metric: vital.BodyWeight, Versions: []alerts.Version{first}}
	r := newRecord(rule)
	arrive(t, r, alerts.NewDecider(0), drawWeights(t), drawTrendVersion(form))
	want := alerts.FoldAll(&r.rules[0], rapid.Permutation(r.points).Draw(t, "order of the reference"))
	if diff := cmp.Diff(want, r.tracks[rule.ID], cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("track differs from the reference (-want +got):\n%s", diff)
	}
	checkEpisodes(t, r, rule.ID)
}
