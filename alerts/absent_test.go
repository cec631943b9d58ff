package alerts_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"hale/alerts"
	"hale/vital"
)

func drawPressureVersion(t *rapid.T) alerts.Version {
	n := rapid.IntRange(1, 4).Draw(t, "n")
	components := make([]alerts.Bounds, 3)
	for i := range components {
		b := &components[i]
		b.Margin = float64(rapid.IntRange(0, 3).Draw(t, "margin"))
		if rapid.Bool().Draw(t, "low") {
			b.YellowLow, b.RedLow = ptr(95), ptr(92)
		}
		if rapid.Bool().Draw(t, "high") {
			b.YellowHigh, b.RedHigh, b.ExtremeHigh = ptr(105), ptr(108), ptr(110)
		}
	}
	return alerts.Version{
		EffectiveFrom: epoch().Add(time.Duration(rapid.IntRange(-60, 40*60).Draw(t, "effective")) * time.Minute),
		Enabled:       rapid.IntRange(0, 5).Draw(t, "enabled") > 0,
		Limit:         alerts.Limit{Components: components, K: rapid.IntRange(1, n).Draw(t, "k"), N: n, ClearAfter: rapid.IntRange(1, 3).Draw(t, "clear after")},
	}
}

// TestAbsentComponentsAreTheSameForWhoeverForgets lets blood pressures come, some without a pulse, to somebody who
// remembers and to somebody who forgets after each batch: both must say the same, and what the reference says.
func TestAbsentComponentsAreTheSameForWhoeverForgets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := drawPressureVersion(t)
		first.Number, first.EffectiveFrom = 1, epoch().Add(-time.Hour)
		rule := alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.BloodPressure, Versions: []alerts.Version{first}}
		warm, cold := newRecord(rule), newRecord(rule)
		remembers, forgets := alerts.NewDecider(0), alerts.NewDecider(0)
		left := make([]alerts.Point, rapid.IntRange(1, 60).Draw(t, "readings"))
		mostly := rapid.Bool().Draw(t, "mostly without a pulse")
		for i := range left {
			at := epoch().Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "hour")) * time.Hour)
			value := func() float64 { return float64(rapid.IntRange(90, 111).Draw(t, "value")) }
			values := []float64{value(), value()}
			switch pulse := rapid.IntRange(0, 5).Draw(t, "pulse"); {
			case pulse == 0:
				values = []float64{math.NaN(), math.NaN(), value()}
			case pulse == 1:
				values = append(values, math.NaN())
			case pulse == 2 || !mostly:
				values = append(values, value())
			}
			left[i] = alerts.Point{Mark: alerts.Mark{At: at, ID: int64(1000 + i)}, Metric: vital.BloodPressure, Values: values, ReceivedAt: at}
		}
		if rapid.Bool().Draw(t, "in any order") {
			left = rapid.Permutation(left).Draw(t, "order")
		} else {
			slices.SortFunc(left, byMark)
		}
		for len(left) > 0 {
			n := rapid.IntRange(0, min(6, len(left))).Draw(t, "batch")
			if rapid.IntRange(0, 9).Draw(t, "limits") == 0 {
				v := drawPressureVersion(t)
				warm.addVersion(0, v)
				cold.addVersion(0, v)
			}
			now := epoch().Add(41 * time.Hour)
			if _, err := warm.take(remembers, now, rapid.IntRange(1, 2).Draw(t, "tries"), left[:n]...); err != nil {
				t.Fatal(err)
			}
			forgets.Forget()
			if _, err := cold.take(forgets, now, 1, left[:n]...); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
		}
		if diff := cmp.Diff(warm.logs, cold.logs, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("who forgets says something else (-remembers +forgets):\n%s", diff)
		}
		if diff := cmp.Diff(warm.notices, cold.notices, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("notices (-remembers +forgets):\n%s", diff)
		}
		if diff := cmp.Diff(alerts.FoldAll(&warm.rules[0], warm.points), warm.tracks[11], cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("track differs from the reference (-want +got):\n%s", diff)
		}
		if remembers.Mended()+forgets.Mended() > 0 {
			t.Fatal("a stored track did not follow from the stored readings")
		}
	})
}
