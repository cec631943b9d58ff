// Package score computes early-warning scores from what is known of a person at one moment. A score says which of its inputs are
// missing and is then a lower bound: what nobody measured is never taken for normal.
package score

import (
	"math"
	"slices"

	"hale/vital"
)

// Input is one of the seven lines of NEWS2.
type Input string

// The inputs, in the order of the chart.
const (
	RespiratoryRate  Input = "respiratory_rate"
	OxygenSaturation Input = "oxygen_saturation"
	Oxygen           Input = "oxygen" // air or oxygen
	Systolic         Input = "systolic"
	Pulse            Input = "pulse"
	Consciousness    Input = "consciousness"
	Temperature      Input = "temperature"
)

// Inputs returns the seven inputs in the order of the chart.
func Inputs() []Input {
	return []Input{RespiratoryRate, OxygenSaturation, Oxygen, Systolic, Pulse, Consciousness, Temperature}
}

// Scale says how oxygen saturation is scored.
type Scale int8

// The scales. Scale 2 is for confirmed hypercapnic respiratory failure with a target of 88 to 92 %, by a clinician's recorded
// decision alone.
const (
	Scale1 Scale = 1
	Scale2 Scale = 2
)

// ACVPU is a level of consciousness: alert, new confusion, voice, pain, unresponsive.
type ACVPU string

// The levels of consciousness; empty is unknown.
const (
	Alert        ACVPU = "A"
	Confusion    ACVPU = "C"
	Voice        ACVPU = "V"
	Pain         ACVPU = "P"
	Unresponsive ACVPU = "U"
)

// Observed is what is known of a person aged 16 or more; nil, and an empty Consciousness, are not known.
type Observed struct {
	RespiratoryRate  *float64 // breaths per minute
	OxygenSaturation *float64 // percent
	Oxygen           *bool    // breathes oxygen rather than air
	Systolic         *float64 // mmHg
	Pulse            *float64 // beats per minute
	Consciousness    ACVPU
	Temperature      *float64 // degrees Celsius
	Scale            Scale    // anything but Scale2 is Scale1
}

// Risk is the clinical risk that a score stands for; it orders by the urgency of the response.
type Risk string

// The risks. A single input with 3 points makes a low score LowMedium.
const (
	Low       Risk = "low"
	LowMedium Risk = "low-medium"
	Medium    Risk = "medium"
	High      Risk = "high"
)

// Where the aggregate changes the risk, and the points of one input that do [V RCP 2017].
const (
	mediumFrom = 5
	highFrom   = 7
	single     = 3
)

// NEWS2 is a National Early Warning Score 2. With inputs missing Total is the least that it can be, and Risk the lowest.
type NEWS2 struct {
	Total   int
	Points  map[Input]int // of the inputs that are known
	Missing []Input       // in the order of the chart
	Risk    Risk
}

// Threes returns the inputs that have 3 points each by themselves, in the order of the chart.
func (n *NEWS2) Threes() []Input {
	return slices.DeleteFunc(Inputs(), func(i Input) bool { return n.Points[i] != single })
}

// band is a stretch of values, up to and with the last, and the points that it has.
type band struct {
	upTo   float64
	points int
}

func endless() float64 { return math.Inf(1) }

// The bands of the chart [V RCP 2017, chart 1: National Early Warning Score (NEWS) 2 (c) Royal College of Physicians 2017].
func bands(i Input) []band {
	switch i {
	case RespiratoryRate:
		return []band{{8, 3}, {11, 1}, {20, 0}, {24, 2}, {endless(), 3}}
	case OxygenSaturation:
		return []band{{91, 3}, {93, 2}, {95, 1}, {endless(), 0}}
	case Systolic:
		return []band{{90, 3}, {100, 2}, {110, 1}, {219, 0}, {endless(), 3}}
	case Pulse:
		return []band{{40, 3}, {50, 1}, {90, 0}, {110, 1}, {130, 2}, {endless(), 3}}
	case Temperature:
		return []band{{35.0, 3}, {36.0, 1}, {38.0, 0}, {39.0, 1}, {endless(), 2}}
	case Oxygen, Consciousness:
	}
	return nil
}

// scale2 are the bands of saturation on scale 2; those above the target count on oxygen alone.
func scale2(onOxygen bool) []band {
	low := []band{{83, 3}, {85, 2}, {87, 1}}
	if onOxygen {
		return append(low, band{92, 0}, band{94, 1}, band{96, 2}, band{endless(), 3})
	}
	return append(low, band{endless(), 0})
}

func pointsIn(list []band, value float64) int {
	for _, b := range list {
		if value <= b.upTo {
			return b.points
		}
	}
	return 0
}

// compared returns a value as the chart compares it: saturation rounded down, temperature to 0.1 half up (clinical/README.md,
// decision 1), all else to a whole number half up.
func compared(i Input, value float64) float64 {
	switch i {
	case OxygenSaturation:
		return vital.Rounded(vital.OxygenSat, value)
	case Temperature:
		return vital.Rounded(vital.BodyTemperature, value)
	case RespiratoryRate, Systolic, Pulse, Oxygen, Consciousness:
	}
	return math.Floor(value + 0.5)
}

// value returns a number that is known; one that is none is not known.
func (o *Observed) value(i Input) (v float64, known bool) {
	var p *float64
	switch i {
	case RespiratoryRate:
		p = o.RespiratoryRate
	case OxygenSaturation:
		p = o.OxygenSaturation
	case Systolic:
		p = o.Systolic
	case Pulse:
		p = o.Pulse
	case Temperature:
		p = o.Temperature
	case Oxygen, Consciousness:
	}
	if p == nil || math.IsNaN(*p) || math.IsInf(*p, 0) {
		return 0, false
	}
	return compared(i, *p), true
}

// points returns what an input counts.
func (o *Observed) points(i Input) (points int, known bool) {
	switch i {
	case Oxygen:
		if o.Oxygen != nil && *o.Oxygen {
			points = 2
		}
		return points, o.Oxygen != nil
	case Consciousness:
		switch o.Consciousness {
		case Alert:
			return 0, true
		case Confusion, Voice, Pain, Unresponsive:
			return single, true
		}
		return 0, false
	case RespiratoryRate, OxygenSaturation, Systolic, Pulse, Temperature:
	}
	v, known := o.value(i)
	if !known {
		return 0, false
	}
	list := bands(i)
	if i == OxygenSaturation && o.Scale == Scale2 {
		list = scale2(o.Oxygen != nil && *o.Oxygen) // unknown: as on air, which is never more
	}
	return pointsIn(list, v), true
}

// Of computes NEWS2.
func Of(o *Observed) NEWS2 {
	n := NEWS2{Points: map[Input]int{}}
	for _, i := range Inputs() {
		points, known := o.points(i)
		if !known {
			n.Missing = append(n.Missing, i)
			continue
		}
		n.Points[i] = points
		n.Total += points
	}
	switch {
	case n.Total >= highFrom:
		n.Risk = High
	case n.Total >= mediumFrom:
		n.Risk = Medium
	case len(n.Threes()) > 0:
		n.Risk = LowMedium
	default:
		n.Risk = Low
	}
	return n
}
