package alerts

import (
	"strings"
	"time"

	"hale/vital"
)

// canaryLimit is the limit of the canaries' fixed rule, in beats per minute: vital.CanaryInside lies below it,
// vital.CanaryBeyond above. It judges nobody.
const canaryLimit = 150

// CanaryBeat is what the record keeps of an edge's canary in one partition: its newest beat, and what became of it. A
// Number of 0 is no beat yet: SentAt is then when the edge started.
type CanaryBeat struct {
	Partition   int
	Edge        string
	Number      int64
	SentAt      time.Time
	CommittedAt time.Time
	Level       Level // as judged
	Evaluator   int
	Wrong       int64     // beats so far that were judged otherwise than they must be
	WrongAt     time.Time // when the last of them was committed; zero without one
	EndedAt     time.Time // when the edge stopped in order; zero until then
}

// CanaryName names an edge process that starts at a place, which is the same whenever an edge starts there again. own
// tells it from those before it.
func CanaryName(place, own string) string { return strings.ReplaceAll(place, "/", "-") + "/" + own }

// CanaryPlace returns the place of a name that CanaryName made; any other name is a place of its own.
func CanaryPlace(edge string) string {
	place, _, _ := strings.Cut(edge, "/")
	return place
}

// JudgeCanary judges a beat as any reading is judged: by its values in canonical units and the condition track of a
// limit rule, which is one that never changes. right is false when the outcome is another than what the beat was made
// for, or when the beat came by another partition than the one that it was meant for.
func JudgeCanary(c *vital.Canary, partition int) (level Level, right bool) {
	r := vital.Reading{
		Key:        vital.Key{Metric: vital.HeartRate, SentAt: c.SentAt, Tie: c.Number},
		MeasuredAt: c.SentAt, Sent: [3]vital.Quantity{c.Value}, N: 1,
	}
	runner := Resume(canaryRule(), nil)
	step := runner.Step(Point{Mark: Mark{At: r.MeasuredAt, ID: r.ID()}, Metric: r.Metric, Values: r.Values()})
	want := None
	if c.Beyond() {
		want = Red
	}
	return step.Level, step.Level == want && step.Began == c.Beyond() && c.Partition == partition
}

func canaryRule() *Rule {
	limit := float64(canaryLimit)
	return &Rule{Kind: KindLimit, Metric: vital.HeartRate, Versions: []Version{{
		Number: 1, Enabled: true, Limit: Limit{Components: []Bounds{{RedHigh: &limit}}, K: 1, N: 1, ClearAfter: 1},
	}}}
}
