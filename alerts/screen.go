package alerts

import (
	"math"
	"slices"
	"time"

	"hale/vital"
)

// Suspect is a measurement that no limit of a known person judges: it waits for an owner, was refused, or is a summary.
type Suspect struct {
	Metric vital.Metric
	Sent   []vital.Quantity // as read, in the order of the metric's components; a unit may be missing
	Beyond vital.Beyond     // the device found a value outside of what it can measure, or Sent is a bound of what it found
	At     time.Time        // when it was measured, as far as that is known
}

// Ground is why a suspect counts as red.
type Ground string

// The grounds.
const (
	GroundExtreme Ground = "extreme" // at or beyond what is acted on at once for anybody (Extremes)
	GroundLimit   Ground = "limit"   // at or beyond a red limit of somebody whose it may be
	GroundBeyond  Ground = "beyond"  // outside of what the device can measure, on the side that is dangerous
	GroundUnit    Ground = "unit"    // without a unit, and red whichever it is
)

// Screened is what the screening of a suspect found.
type Screened struct {
	Level    Level // Red or Extreme
	Ground   Ground
	Side     vital.Beyond // too low or too high: they are different emergencies; 0 where the unit decides that
	Values   []float64    // canonical units; as read when Unitless; NaN where nobody can have it; none of GroundBeyond
	Unitless bool         // which unit the number has is not known
	// Badness orders numbers of one metric and side: how far beyond what is acted on for anybody the worst of them lies, as a share
	// of that bound; more is worse.
	Badness float64
}

// Glucose without a unit: 17 to 35 is below 54 mg/dL (3 mmol/L) or above 300 mg/dL (17 mmol/L), so red whichever it is; 10 to 40 can
// be either, and nothing else is concluded from it (clinical/vitals.csv, J).
const (
	unitlessRedFrom, unitlessRedTo           = 17, 35
	unitlessUnclearFrom, unitlessUnclearUpTo = 10, 40
)

// Screen reports whether the suspect may be an emergency: at or beyond a universal extreme, a red limit in force of somebody whose it
// may be (rules; limits of other metrics are passed by), or what a device can measure. A number that no instrument shows of a living
// person (Credible) is a fault code and never a hit, however low: a heart rate of 0 is "not measured".
func Screen(s Suspect, rules []Rule) (hit Screened, ok bool) {
	d, known := vital.Define(s.Metric)
	if !known {
		return Screened{}, false
	}
	if !s.Beyond.Bound() && dangerous(s.Metric, s.Beyond) {
		return Screened{Level: Extreme, Ground: GroundBeyond, Side: s.Beyond, Values: []float64{}}, true
	}
	for _, values := range readings(&d, s.Sent) {
		one, red := screen(s, values, rules)
		if !red {
			return Screened{}, false // one of the units that it may have makes nothing of it
		}
		if ok && one.Side != hit.Side {
			one.Side = 0
		}
		hit, ok = one, true
	}
	if ok && bare(&d, s.Sent) {
		hit.Values, hit.Unitless = asSent(s.Sent), true
		if ofGlucose(s.Metric) && between(hit.Values[0], unitlessUnclearFrom, unitlessUnclearUpTo) {
			hit.Level, hit.Ground, hit.Side, hit.Badness = Red, GroundUnit, 0, 0
		}
	}
	return hit, ok
}

// asSent returns the numbers as they stand; NaN where there is none.
func asSent(sent []vital.Quantity) []float64 {
	values := make([]float64, len(sent))
	for i, q := range sent {
		if values[i] = q.Float(); q == (vital.Quantity{}) {
			values[i] = math.NaN()
		}
	}
	return values
}

// screen looks at values in canonical units.
func screen(s Suspect, values []float64, rules []Rule) (Screened, bool) {
	hit := Screened{Values: values}
	var low, high Level
	for _, d := range Extremes() {
		if d.Metric != s.Metric {
			continue
		}
		if low, high = s.sides(&d.Version, values); max(low, high) == Extreme {
			hit.Level, hit.Ground = Extreme, GroundExtreme
			hit.take(s.Metric, low, high)
			return hit, true
		}
	}
	for i := range rules {
		r := &rules[i]
		if r.Metric != s.Metric || r.Kind != KindLimit {
			continue
		}
		if v, in := r.InForce(s.At); in {
			l, h := s.sides(v, values)
			low, high = max(low, l), max(high, h)
		}
	}
	hit.Level, hit.Ground = max(low, high), GroundLimit
	hit.take(s.Metric, low, high)
	return hit, hit.Level >= Red
}

// sides judges the values by a version. Of a bound that side alone is known on which what was measured lies.
func (s *Suspect) sides(v *Version, values []float64) (low, high Level) {
	low, high = sides(v, s.Metric, values)
	switch s.Beyond {
	case vital.Under:
		high = 0
	case vital.Over:
		low = 0
	case vital.Below, vital.Above:
	}
	return low, high
}

// sides judges by the low bounds of the version alone, and by the high ones.
func sides(v *Version, m vital.Metric, values []float64) (low, high Level) {
	below, above := *v, *v
	below.Limit.Components, above.Limit.Components = slices.Clone(v.Limit.Components), slices.Clone(v.Limit.Components)
	for i := range v.Limit.Components {
		b, a := &below.Limit.Components[i], &above.Limit.Components[i]
		b.YellowHigh, b.RedHigh, b.ExtremeHigh = nil, nil, nil
		a.YellowLow, a.RedLow, a.ExtremeLow = nil, nil, nil
	}
	return Judge(&below, m, values), Judge(&above, m, values)
}

// take gives the hit its side, the one of the graver level, and where both are as grave the one that lies further beyond.
func (s *Screened) take(m vital.Metric, low, high Level) {
	below, above := badness(m, vital.Below, s.Values), badness(m, vital.Above, s.Values)
	if low > high || low == high && below >= above {
		s.Side, s.Badness = vital.Below, below
		return
	}
	s.Side, s.Badness = vital.Above, above
}

// readings returns what the numbers may mean, in canonical units: once where the units are known, else once for each unit that makes
// credible numbers of all that have none. Nothing, when nothing credible is there.
func readings(d *vital.Definition, sent []vital.Quantity) [][]float64 {
	if len(sent) == 0 {
		return nil
	}
	if bare(d, sent) {
		if len(d.Components) == 1 || len(unitless(d, sent)) > 0 {
			return unitless(d, sent)
		}
	}
	values, some := make([]float64, 0, len(sent)), false
	for i, q := range sent {
		if i == len(d.Components) {
			break
		}
		v, fits := q.To(d.Components[i].Canonical)
		if !fits || !Credible(d.Metric, i, v) {
			v = math.NaN()
		}
		some = some || !math.IsNaN(v)
		values = append(values, v)
	}
	if !some {
		return nil
	}
	return [][]float64{values}
}

// bare reports whether a number stands without a unit that would decide what it means.
func bare(d *vital.Definition, sent []vital.Quantity) bool {
	for i, q := range sent {
		if i < len(d.Components) && d.Components[i].Canonical == d.Components[0].Canonical && q.Unit == vital.NoUnit && q != (vital.Quantity{}) {
			return true
		}
	}
	return false
}

func unitless(d *vital.Definition, sent []vital.Quantity) (all [][]float64) {
	n := sent[0].Float()
	if ofGlucose(d.Metric) && between(n, unitlessUnclearFrom, unitlessUnclearUpTo) && !between(n, unitlessRedFrom, unitlessRedTo) {
		return nil
	}
	if ofGlucose(d.Metric) && between(n, unitlessRedFrom, unitlessRedTo) {
		return [][]float64{{n}} // below 54 mg/dL; as mmol/L it is as red at the other end
	}
	for _, u := range d.Components[0].Accepted {
		if values, can := inUnit(d, sent, u); can {
			all = append(all, values)
		}
	}
	return all
}

// inUnit returns the numbers if those that have no unit had this one; can is false when one of these would not be credible. A number
// that is missing or has a unit that is none stays unknown.
func inUnit(d *vital.Definition, sent []vital.Quantity, u vital.Unit) (values []float64, can bool) {
	for i, q := range sent[:min(len(sent), len(d.Components))] {
		supposed := q.Unit == vital.NoUnit && q != (vital.Quantity{}) && d.Components[i].Canonical == d.Components[0].Canonical
		if supposed {
			q.Unit = u
		}
		v, fits := q.To(d.Components[i].Canonical)
		if !fits || !Credible(d.Metric, i, v) {
			if supposed {
				return nil, false
			}
			v = math.NaN()
		}
		values = append(values, v)
	}
	return values, true
}

func between(v, low, high float64) bool { return v >= low && v <= high }

func ofGlucose(m vital.Metric) bool {
	return m == vital.Glucose || m == vital.GlucoseFasting || m == vital.GlucosePostMeal
}

// dangerous reports whether a value on this side of a device's range is an emergency by itself: LO and HI of a glucose meter, LO of
// an oximeter. A thermometer that shows LO was most often not in place (J).
func dangerous(m vital.Metric, side vital.Beyond) bool {
	switch m { //nolint:exhaustive // every other metric has no dangerous side
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal, vital.HeartRate, vital.BloodPressure:
		return side != 0
	case vital.OxygenSat:
		return side == vital.Below
	case vital.BodyTemperature, vital.INR, vital.RespiratoryRate:
		return side == vital.Above
	}
	return false
}

// Credible reports whether an instrument can show the value, in the component's canonical unit, of a living person. It is wider than
// what is plausible (vital.Component), beyond which a value is refused: 29.5 degrees are refused, and can be an emergency. What is not
// credible (a saturation of 20 %, a heart rate of 0 or of 65535) is what devices send when they measured nothing [J].
func Credible(m vital.Metric, component int, value float64) bool {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return false
	}
	switch m { //nolint:exhaustive // no other metric is screened
	case vital.BloodPressure:
		return [...]bool{between(value, 40, 320), between(value, 10, 220), between(value, 10, 300)}[component]
	case vital.HeartRate:
		return between(value, 10, 300)
	case vital.OxygenSat:
		return between(value, 35, 100) // oximeters show 35 % and more; 70 % is how far they are calibrated
	case vital.BodyTemperature:
		return between(value, 25, 45)
	case vital.RespiratoryRate:
		return between(value, 2, 90)
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal:
		return between(value, 5, 1500)
	case vital.INR:
		return between(value, 0.3, 25)
	}
	return between(value, -1e9, 1e9)
}

// Extremes are the values that are acted on at once for anybody, whoever it is: those of the default limits, and where the defaults
// have none, what is dangerous at any age. Graded as Defaults are.
func Extremes() []Default {
	lowSugar := extremeLow(54, "V", "ADA level 2: below 54")
	highSugar := extremeHigh(500, "J", "hyperosmolar state is near; a meter's HI begins at 500 to 600")
	return []Default{
		limit(vital.BloodPressure,
			component("systolic", extremeLow(80, "J", "systolic below 80 is acted on at once"), extremeHigh(200, "J", "systolic from 200 is acted on at once")),
			component("diastolic", extremeHigh(130, "J", "well beyond severe (120, NICE NG136)")),
			component("pulse", extremeLow(35, "J", "below 35 is acted on at once"), extremeHigh(150, "J", "from 150 is acted on at once"))),
		limit(vital.HeartRate, component("value", extremeLow(35, "J", "below 35 is acted on at once"), extremeHigh(150, "J", "from 150 is acted on at once"))),
		limit(vital.OxygenSat, component("value", extremeLow(85, "J", "below 85 is acted on at once"))),
		limit(vital.BodyTemperature, component("value", extremeLow(32, "M", "moderate hypothermia begins below 32"), extremeHigh(41, "M", "hyperpyrexia"))),
		limit(vital.RespiratoryRate, component("value", extremeLow(6, "J", "NEWS2 scores 3 from 8 down; this is far beyond"), extremeHigh(35, "J", "NEWS2 scores 3 from 25; this is far beyond"))),
		limit(vital.Glucose, component("value", lowSugar, highSugar)),
		limit(vital.GlucoseFasting, component("value", lowSugar, highSugar)),
		limit(vital.GlucosePostMeal, component("value", lowSugar, highSugar)),
		limit(vital.INR, component("value", extremeHigh(5.01, "2", "above 5 is unacceptable"))),
	}
}

// badness says how far beyond the bound of a side the worst of the values lies, see Screened. Where nobody is acted on at once on that
// side, it is told by the bound of the other.
func badness(m vital.Metric, side vital.Beyond, values []float64) float64 {
	worst, other := math.Inf(-1), math.Inf(-1)
	for _, d := range Extremes() {
		if d.Metric != m {
			continue
		}
		for i, b := range d.Version.Limit.Components {
			if i >= len(values) || math.IsNaN(values[i]) {
				continue
			}
			mine, theirs := b.ExtremeHigh, b.ExtremeLow
			if side == vital.Below {
				mine, theirs = theirs, mine
			}
			if mine != nil {
				worst = max(worst, float64(side)*(values[i]-*mine) / *mine)
			}
			if theirs != nil {
				other = max(other, float64(side)*(values[i]-*theirs) / *theirs)
			}
		}
	}
	switch {
	case !math.IsInf(worst, -1):
		return worst
	case !math.IsInf(other, -1):
		return other
	case len(values) > 0 && !math.IsNaN(values[0]):
		return float64(side) * values[0] // a metric without extremes: somebody's own limit called it
	}
	return 0
}
