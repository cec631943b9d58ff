package alerts

import (
	"math"
	"time"

	"hale/vital"
)

// Suspect is a measurement that no limit of a known person judges: it waits for an owner, was refused, or is a summary.
type Suspect struct {
	Metric vital.Metric
	Sent   []vital.Quantity // as read, in the order of the metric's components; a unit may be missing
	Beyond vital.Beyond     // the device found a value outside of what it can measure
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
	Values   []float64 // canonical units; as read when Unitless; NaN where nobody can have it
	Unitless bool      // which unit the number has is not known
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
	if dangerous(s.Metric, s.Beyond) {
		return Screened{Level: Extreme, Ground: GroundBeyond, Values: []float64{}}, true
	}
	for _, values := range readings(&d, s.Sent) {
		one, red := screen(s, values, rules)
		if !red {
			return Screened{}, false // one of the units that it may have makes nothing of it
		}
		hit, ok = one, true
	}
	if ok && len(s.Sent) > 0 && s.Sent[0].Unit == vital.NoUnit {
		hit.Values, hit.Unitless = []float64{s.Sent[0].Float()}, true
		if ofGlucose(s.Metric) && between(hit.Values[0], unitlessUnclearFrom, unitlessUnclearUpTo) {
			hit.Level, hit.Ground = Red, GroundUnit
		}
	}
	return hit, ok
}

// screen looks at values in canonical units.
func screen(s Suspect, values []float64, rules []Rule) (Screened, bool) {
	hit := Screened{Values: values}
	for _, d := range Extremes() {
		if d.Metric == s.Metric && Judge(&d.Version, s.Metric, values) == Extreme {
			hit.Level, hit.Ground = Extreme, GroundExtreme
			return hit, true
		}
	}
	for i := range rules {
		r := &rules[i]
		if r.Metric != s.Metric || r.Kind != KindLimit {
			continue
		}
		if v, in := r.InForce(s.At); in {
			if level := Judge(v, s.Metric, values); level >= Red && level > hit.Level {
				hit.Level, hit.Ground = level, GroundLimit
			}
		}
	}
	return hit, hit.Level >= Red
}

// readings returns what the numbers may mean, in canonical units: once where the units are known, once for each unit that makes a
// credible number of a single value without one. Nothing, when nothing credible is there.
func readings(d *vital.Definition, sent []vital.Quantity) [][]float64 {
	if len(sent) == 0 {
		return nil
	}
	if len(d.Components) == 1 && sent[0].Unit == vital.NoUnit {
		return unitless(d, sent[0])
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

func unitless(d *vital.Definition, q vital.Quantity) (all [][]float64) {
	n := q.Float()
	if ofGlucose(d.Metric) && between(n, unitlessUnclearFrom, unitlessUnclearUpTo) && !between(n, unitlessRedFrom, unitlessRedTo) {
		return nil
	}
	if ofGlucose(d.Metric) && between(n, unitlessRedFrom, unitlessRedTo) {
		return [][]float64{{n}} // below 54 mg/dL; as mmol/L it is as red at the other end
	}
	for _, u := range d.Components[0].Accepted {
		q.Unit = u
		if v, fits := q.To(d.Components[0].Canonical); fits && Credible(d.Metric, 0, v) {
			all = append(all, []float64{v})
		}
	}
	return all
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

// Badness orders hits of one metric: how far beyond what is acted on for anybody the worst of its values lies, as a share of that
// bound; more is worse. What the device could not even measure is worse than any number.
func (s *Screened) Badness(m vital.Metric) float64 {
	switch s.Ground {
	case GroundBeyond:
		return 1e6
	case GroundUnit:
		return 0
	case GroundExtreme, GroundLimit:
	}
	worst := -1e6
	for _, d := range Extremes() {
		if d.Metric != m {
			continue
		}
		for i, b := range d.Version.Limit.Components {
			if i >= len(s.Values) || math.IsNaN(s.Values[i]) {
				continue
			}
			if b.ExtremeLow != nil {
				worst = max(worst, (*b.ExtremeLow-s.Values[i]) / *b.ExtremeLow)
			}
			if b.ExtremeHigh != nil {
				worst = max(worst, (s.Values[i]-*b.ExtremeHigh) / *b.ExtremeHigh)
			}
		}
	}
	return worst
}
