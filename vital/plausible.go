package vital

import (
	"fmt"
	"math"
	"strconv"
)

// Usable returns how many of the quantities to keep: an optional one at the end that nobody can have is a device's way
// of saying "not measured" (a cuff sends a pulse of 0 or 255), and is no reason to lose what it stands beside.
func (d *Definition) Usable(sent []Quantity) int {
	n := len(sent)
	if n != len(d.Components) || n == 0 || !d.Components[n-1].Optional {
		return n
	}
	c := d.Components[n-1]
	if v, fits := sent[n-1].To(c.Canonical); fits && !plausible(c, Rounded(d.Metric, v)) {
		return n - 1
	}
	return n
}

// Rounded brings a canonical value to the form in which it is compared, with limits and with what is plausible alike:
// oxygen saturation is rounded down (91.6 is 91), temperature to 0.1 half up (clinical/README.md, decision 1). All
// else is compared as it was measured, but for the noise of binary fractions and of unit conversion (0.57 x 100 is
// 56.99999999999999), which is far below what any sensor measures.
func Rounded(metric Metric, value float64) float64 {
	switch metric { //nolint:exhaustive // every other metric is compared as measured
	case OxygenSat:
		return math.Floor(clean(value))
	case BodyTemperature, SkinTemperature:
		return math.Floor(clean(clean(value)*10)+0.5) / 10
	}
	return clean(value)
}

func clean(value float64) float64 { return math.Round(value*1e6) / 1e6 }

func plausible(c Component, v float64) bool { return v >= c.Min && v <= c.Max }

// Check says whether the quantities can be a reading of the metric: every component there, in a unit of its kind,
// a number, and one that a living person can have. On refusal it returns the reason and what to mend.
func (d *Definition) Check(sent []Quantity) (reason Reason, detail string, ok bool) {
	values := make([]float64, len(d.Components))
	for i, c := range d.Components {
		if i >= len(sent) {
			if c.Optional {
				values[i] = math.NaN()
				continue
			}
			return ReasonMetric, fmt.Sprintf("%s needs %s", d.Code, c.Code), false
		}
		v, fits := sent[i].To(c.Canonical)
		if !fits || !accepts(c, sent[i].Unit) {
			return ReasonUnit, fmt.Sprintf("%s %s: unit %q is not one of %s", d.Code, c.Code, sent[i].Unit.UCUM(), unitList(c)), false
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ReasonNotANumber, fmt.Sprintf("%s %s is not a finite number", d.Code, c.Code), false
		}
		if !plausible(c, Rounded(d.Metric, v)) {
			return ReasonImplausible, fmt.Sprintf("%s %s %s %s lies outside %s to %s", d.Code, c.Code, trim(v), c.Canonical.UCUM(), trim(c.Min), trim(c.Max)), false
		}
		if c.Whole && v != math.Trunc(v) {
			return ReasonImplausible, fmt.Sprintf("%s %s %s is no whole number", d.Code, c.Code, trim(v)), false
		}
		values[i] = v
	}
	if d.Metric == BloodPressure && values[0]-values[1] < minPulsePressure {
		return ReasonImplausible, fmt.Sprintf("blood_pressure %s/%s: systolic must exceed diastolic by at least %d mm[Hg]", trim(values[0]), trim(values[1]), minPulsePressure), false
	}
	return "", "", true
}

// minPulsePressure is the least believable difference of systolic and diastolic in mm[Hg] [J, clinical/vitals.csv].
const minPulsePressure = 10

func accepts(c Component, u Unit) bool {
	for _, a := range c.Accepted {
		if a == u {
			return true
		}
	}
	return false
}

func unitList(c Component) string {
	s := ""
	for i, u := range c.Accepted {
		if i > 0 {
			s += ", "
		}
		s += u.UCUM()
	}
	return s
}

func trim(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }
