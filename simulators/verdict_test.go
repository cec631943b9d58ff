package simulators

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func hoursOn(h float64) time.Time { return noon().Add(time.Duration(h * float64(time.Hour))) }

// wentWrong is a decompensation that grows from hour 10 to hour 100, so that it shows from hour 28, and is over at 150.
func wentWrong(patient string, metrics ...string) Truth {
	crisis, end := hoursOn(100), hoursOn(150)
	return Truth{Patient: patient, Class: Clinical, Kind: "decompensation", From: hoursOn(10), Crisis: &crisis, To: &end, Metrics: metrics}
}

func TestTheScoreTellsDetectedFromFalse(t *testing.T) {
	t.Parallel()
	ill := func(more ...Truth) []Truth {
		return append([]Truth{wentWrong("a", "body_weight", "oxygen_saturation")}, more...)
	}
	mistake := func(class TruthClass, h float64) Truth {
		return Truth{Patient: "a", Class: class, Kind: "cold fingers", From: hoursOn(h), Metrics: []string{"oxygen_saturation"}}
	}
	one := func(k KindScore) []KindScore {
		k.Kind, k.Happened = "decompensation", max(1, k.Happened)
		return []KindScore{k}
	}
	h := func(v float64) *float64 { return &v }
	for name, c := range map[string]struct {
		truths []Truth
		signs  []Sign
		until  float64
		want   StoryScore // without the rates
	}{
		"the first sign of a metric that it moves detects": {
			ill(), []Sign{{"a", "1", "oxygen_saturation", true, hoursOn(90)}, {"a", "1", "oxygen_saturation", false, hoursOn(80)}, {"a", "2", "body_weight", false, hoursOn(70)}}, 168,
			StoryScore{Alerts: 2, Telling: 2, Kinds: one(KindScore{Detected: 1, Red: 1, Delay: h(42), Left: h(30)})},
		},
		"an artefact known as such neither detects nor gives a lead": {
			ill(mistake(Artefact, 40)), []Sign{{"a", "1", "oxygen_saturation", true, hoursOn(40)}}, 168,
			StoryScore{Alerts: 1, False: 1, FalseRed: 1, FromMistakes: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"nor does an error of technique, but what comes after it in the same alert does": {
			ill(mistake(Technique, 40)), []Sign{{"a", "1", "oxygen_saturation", true, hoursOn(40)}, {"a", "1", "oxygen_saturation", false, hoursOn(98)}}, 168,
			StoryScore{Alerts: 1, Telling: 1, Kinds: one(KindScore{Detected: 1, Delay: h(70), Left: h(2)})},
		},
		"before it can show an alert is chance": {
			ill(), []Sign{{"a", "1", "body_weight", false, hoursOn(27)}}, 168,
			StoryScore{Alerts: 1, Beside: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"from when it shows it is none": {
			ill(), []Sign{{"a", "1", "body_weight", false, hoursOn(28)}}, 168,
			StoryScore{Alerts: 1, Telling: 1, Kinds: one(KindScore{Detected: 1, Delay: h(0), Left: h(72)})},
		},
		"another metric alerts beside the trouble": {
			ill(), []Sign{{"a", "1", "glucose", true, hoursOn(50)}}, 168,
			StoryScore{Alerts: 1, Beside: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"in the aftermath nothing is detected any more": {
			ill(), []Sign{{"a", "1", "body_weight", true, hoursOn(151)}}, 168,
			StoryScore{Alerts: 1, Beside: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"an alert before the trouble or after its aftermath is for nothing": {
			ill(), []Sign{{"a", "1", "body_weight", false, hoursOn(2)}, {"a", "2", "body_weight", true, hoursOn(157)}}, 168,
			StoryScore{Alerts: 2, False: 2, FalseRed: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"nobody's alert tells of somebody else's trouble": {
			ill(), []Sign{{"b", "1", "body_weight", false, hoursOn(50)}}, 168,
			StoryScore{Alerts: 1, False: 1, Kinds: one(KindScore{Missed: 1})},
		},
		"undetected with the crisis to come is early": {
			ill(), nil, 99,
			StoryScore{Kinds: one(KindScore{Early: 1})},
		},
		"the median of two is between them": {
			ill(wentWrong("b", "body_weight")), []Sign{{"a", "1", "body_weight", false, hoursOn(29)}, {"b", "2", "body_weight", false, hoursOn(127)}}, 168,
			StoryScore{Alerts: 2, Telling: 2, Kinds: one(KindScore{Happened: 2, Detected: 2, Delay: h(50), Left: h(22)})},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ScoreStory(c.truths, c.signs, 4, hoursOn(0), hoursOn(c.until))
			if weeks := got.PatientWeeks; weeks != 4*c.until/168 || got.FalseAWeek != float64(got.False)/weeks || got.FalseRedAWeek != float64(got.FalseRed)/weeks {
				t.Errorf("the rates are %v, %v in %v weeks", got.FalseAWeek, got.FalseRedAWeek, weeks)
			}
			got.PatientWeeks, got.FalseAWeek, got.FalseRedAWeek = 0, 0, 0
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
