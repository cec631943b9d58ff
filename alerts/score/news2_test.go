package score_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/alerts/score"
)

func ptr[T any](v T) *T { return &v }

// at rest is a person with nothing wrong.
func atRest() score.Observed {
	return score.Observed{
		RespiratoryRate: ptr(16.0), OxygenSaturation: ptr(97.0), Oxygen: ptr(false), Systolic: ptr(125.0), Pulse: ptr(70.0),
		Consciousness: score.Alert, Temperature: ptr(36.8), Scale: score.Scale1,
	}
}

func TestValuesBetweenTheBandsOfTheChartAreRounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(o *score.Observed)
		want   int
	}{
		"a saturation of 91.9 is 91":     {func(o *score.Observed) { o.OxygenSaturation = ptr(91.9) }, 3},
		"a temperature of 38.05 is 38.1": {func(o *score.Observed) { o.Temperature = ptr(38.05) }, 1},
		"a temperature of 35.04 is 35.0": {func(o *score.Observed) { o.Temperature = ptr(35.04) }, 3},
		"a pulse of 90.5 is 91":          {func(o *score.Observed) { o.Pulse = ptr(90.5) }, 1},
		"a mean pulse of 90.4 is 90":     {func(o *score.Observed) { o.Pulse = ptr(90.4) }, 0},
		"20.6 breaths are 21":            {func(o *score.Observed) { o.RespiratoryRate = ptr(20.6) }, 2},
		"a systolic of 219.4 is 219":     {func(o *score.Observed) { o.Systolic = ptr(219.4) }, 0},
	} {
		o := atRest()
		c.change(&o)
		if n := score.Of(&o); n.Total != c.want || len(n.Missing) > 0 {
			t.Errorf("%s: %d with %v missing, want %d", name, n.Total, n.Missing, c.want)
		}
	}
}

func TestWhatIsMissingIsNeverTakenForNormal(t *testing.T) {
	t.Parallel()
	n := score.Of(&score.Observed{OxygenSaturation: ptr(90.0), Pulse: ptr(95.0)})
	want := score.NEWS2{
		Total: 4, Points: map[score.Input]int{score.OxygenSaturation: 3, score.Pulse: 1}, Risk: score.LowMedium,
		Missing: []score.Input{score.RespiratoryRate, score.Oxygen, score.Systolic, score.Consciousness, score.Temperature},
	}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]score.Input{score.OxygenSaturation}, n.Threes()); diff != "" {
		t.Errorf("inputs with three points (-want +got):\n%s", diff)
	}
	if n := score.Of(&score.Observed{}); len(n.Missing) != 7 {
		t.Errorf("of nothing everything is missing: %+v", n)
	}
	if n := score.Of(&score.Observed{Consciousness: "X"}); len(n.Missing) != 7 {
		t.Errorf("a consciousness that is none: %+v", n)
	}
}

func TestOxygenCountsAboveTheTargetOnScaleTwoOnly(t *testing.T) {
	t.Parallel()
	o := atRest()
	for _, c := range []struct {
		scale  score.Scale
		oxygen *bool
		want   int
	}{{score.Scale1, ptr(true), 2}, {score.Scale2, ptr(false), 0}, {score.Scale2, ptr(true), 5}, {score.Scale2, nil, 0}} {
		o.Scale, o.Oxygen = c.scale, c.oxygen
		if n := score.Of(&o); n.Total != c.want {
			t.Errorf("scale %d, oxygen %v: %d, want %d", c.scale, c.oxygen, n.Total, c.want)
		}
	}
}

// TestWhatIsKnownInAdditionNeverLowersTheScore: a score with inputs missing is a lower bound, whatever the missing ones are.
func TestWhatIsKnownInAdditionNeverLowersTheScore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		number := func(low, high float64) *float64 { return ptr(rapid.Float64Range(low, high).Draw(rt, "value")) }
		whole := score.Observed{
			RespiratoryRate: number(4, 60), OxygenSaturation: number(50, 100), Oxygen: ptr(rapid.Bool().Draw(rt, "oxygen")),
			Systolic: number(50, 280), Pulse: number(15, 250), Temperature: number(30, 43),
			Consciousness: rapid.SampledFrom([]score.ACVPU{score.Alert, score.Confusion, score.Voice, score.Pain, score.Unresponsive}).Draw(rt, "mind"),
			Scale:         rapid.SampledFrom([]score.Scale{score.Scale1, score.Scale2}).Draw(rt, "scale"),
		}
		part, missing := whole, 0
		for _, drop := range []func(){
			func() { part.RespiratoryRate = nil }, func() { part.OxygenSaturation = nil }, func() { part.Oxygen = nil },
			func() { part.Systolic = nil }, func() { part.Pulse = nil }, func() { part.Consciousness = "" }, func() { part.Temperature = nil },
		} {
			if rapid.Bool().Draw(rt, "missing") {
				drop()
				missing++
			}
		}
		all, some := score.Of(&whole), score.Of(&part)
		if some.Total > all.Total || len(some.Missing) != missing || len(all.Missing) > 0 || all.Total > 20 {
			rt.Fatalf("%+v of a part, %+v of all", some, all)
		}
	})
}
