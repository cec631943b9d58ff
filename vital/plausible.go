package vital

import (
	"fmt"
	"math"
	"strconv"
)

// Check says whether the quantities can be a reading of the metric: every component there, in a unit of its kind,
// a number, and one that a living person can have. On refusal it returns the reason and what to mend.
func Check(m Metric, sent []Quantity) (reason Reason, detail string, ok bool) {
	d, known := Define(m)
	if !known {
		return ReasonMetric, "unknown metric", false
	}
	return d.Check(sent)
}

// Check is the function of that name for whoever holds the definition already.
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
		if v < c.Min || v > c.Max {
			return ReasonImplausible, fmt.Sprintf("%s %s %s %s lies outside %s to %s", d.Code, c.Code, trim(v), c.Canonical.UCUM(), trim(c.Min), trim(c.Max)), false
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
