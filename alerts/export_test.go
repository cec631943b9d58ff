package alerts

import (
	"math/big"

	"hale/vital"
)

// Holding reports whether the condition holds after all these readings; for tests.
func Holding(rule *Rule, points []Point) bool {
	all := FoldAll(rule, points)
	return len(all) > 0 && all[len(all)-1].Open()
}

// Counted returns the readings that count in the track's intervals; for tests.
func Counted(rule *Rule, points []Point) []Mark {
	var marks []Mark
	for _, f := range fold(Resume(rule, nil), points).found {
		for _, o := range f.occurrences {
			marks = append(marks, o.Mark)
		}
	}
	return marks
}

// Steps returns what each of these readings does to the track; for tests.
func Steps(rule *Rule, points []Point) map[Mark]Step {
	said, run := map[Mark]Step{}, Resume(rule, nil)
	for _, p := range points {
		said[p.Mark] = run.Step(p)
	}
	return said
}

// MeanOf returns the mean of one value as it is compared; for tests.
func MeanOf(metric vital.Metric, value float64) float64 {
	return roundedMean(metric, fraction{big.NewInt(thousandths(value)), big.NewInt(1)})
}
