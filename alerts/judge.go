package alerts

import (
	"math"

	"hale/vital"
)

// verdict is what one version of a rule says of one reading.
type verdict struct {
	level    Level
	returned bool     // inside the yellow bounds by the margin in every component that has bounds
	judged   bool     // at least one component has both a value and a bound
	grounds  *Grounds // of a trend that is at a level
	date     int32    // the local day, of a trend that compares the value of a day
	value    int64    // of a baseline: the reading in thousandths, and what was usual
	norm     norm
}

// Judge returns how bad the reading is for this version of a limit rule. (What a trend says depends on the readings
// before as well: Runner.) Blood pressure is one reading: the worst
// component counts. A component that is absent or not a number is not judged, nor has it returned when there are
// bounds for it; a version that is not enabled judges nothing.
func Judge(v *Version, metric vital.Metric, values []float64) Level {
	return judge(v, metric, values).level
}

func judge(v *Version, metric vital.Metric, values []float64) verdict {
	all := verdict{returned: true}
	if !v.Enabled {
		return all
	}
	for i := range v.Limit.Components {
		b := &v.Limit.Components[i]
		if !b.any() {
			continue
		}
		if i >= len(values) || math.IsNaN(values[i]) {
			all.returned = false
			continue
		}
		value := vital.Rounded(metric, values[i])
		level := b.level(value, metric == vital.BloodPressure && i == diastolic)
		all.judged = true
		all.level = max(all.level, level)
		all.returned = all.returned && b.returned(value)
	}
	return all
}

// diastolic is the place of the diastolic pressure among the components of vital.BloodPressure.
const diastolic = 1

// judges reports whether the version can judge anything at all.
func (v *Version) judges() bool {
	if !v.Enabled {
		return false
	}
	if v.Trend != nil {
		return v.Trend.Form() != ""
	}
	for i := range v.Limit.Components {
		if v.Limit.Components[i].any() {
			return true
		}
	}
	return false
}

// any reports whether there is a bound.
func (b *Bounds) any() bool {
	for _, p := range b.ordered() {
		if p != nil {
			return true
		}
	}
	return false
}

// ordered returns the bounds from the lowest to the highest, nil where there is none.
func (b *Bounds) ordered() [6]*float64 {
	return [6]*float64{b.ExtremeLow, b.RedLow, b.YellowLow, b.YellowHigh, b.RedHigh, b.ExtremeHigh}
}

// level compares one rounded value with the bounds. With lowIsYellow, low bounds never say more than yellow: a low
// diastolic pressure alone never pages [J, clinical/vitals.csv].
func (b *Bounds) level(value float64, lowIsYellow bool) Level {
	below := func(bound *float64) bool { return bound != nil && value < *bound }
	from := func(bound *float64) bool { return bound != nil && value >= *bound }
	low, high := None, None
	switch {
	case below(b.ExtremeLow):
		low = Extreme
	case below(b.RedLow):
		low = Red
	case below(b.YellowLow):
		low = Yellow
	}
	switch {
	case from(b.ExtremeHigh):
		high = Extreme
	case from(b.RedHigh):
		high = Red
	case from(b.YellowHigh):
		high = Yellow
	}
	if lowIsYellow {
		low = min(low, Yellow)
	}
	return max(low, high)
}

// returned reports whether the value lies inside the outermost bounds by the margin. Where there is no yellow bound
// the next one outwards stands in for it: that is where the condition begins.
func (b *Bounds) returned(value float64) bool {
	if low := first(b.YellowLow, b.RedLow, b.ExtremeLow); low != nil && value < clean(*low+b.Margin) {
		return false
	}
	high := first(b.YellowHigh, b.RedHigh, b.ExtremeHigh)
	return high == nil || value < clean(*high-b.Margin)
}

func first(bounds ...*float64) *float64 {
	for _, b := range bounds {
		if b != nil {
			return b
		}
	}
	return nil
}

// clean takes away the noise of binary fractions and of unit conversion (0.57 x 100 is 56.99999999999999), which is
// far below what any sensor measures.
func clean(value float64) float64 { return math.Round(value*1e6) / 1e6 }
