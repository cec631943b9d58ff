package vital

import "strings"

// Unit is a unit of measurement, held as a small code; UCUM gives its name.
type Unit int16

// The units that a device may send. The numbers stand in the record and on the stream: never renumber.
const (
	NoUnit      Unit = 0
	MmHg        Unit = 1  // mm[Hg]
	KiloPascal  Unit = 2  // kPa
	PerMinute   Unit = 3  // /min
	Hertz       Unit = 4  // Hz
	Percent     Unit = 5  // %
	Fraction    Unit = 6  // 1, dimensionless
	Kilogram    Unit = 7  // kg
	Gram        Unit = 8  // g
	Pound       Unit = 9  // [lb_av]
	Stone       Unit = 10 // [stone_av]
	Celsius     Unit = 11 // Cel
	Fahrenheit  Unit = 12 // [degF]
	Kelvin      Unit = 13 // K
	MgPerDL     Unit = 14 // mg/dL
	MmolPerL    Unit = 15 // mmol/L
	LitrePerMin Unit = 16 // L/min
	MlPerMin    Unit = 17 // mL/min
	LitrePerSec Unit = 18 // L/s
	Litre       Unit = 19 // L
	Millilitre  Unit = 20 // mL
	Minute      Unit = 21 // min
	Hour        Unit = 22 // h
	Steps       Unit = 23 // {steps}
	Score       Unit = 24 // {score}
	Second      Unit = 25 // s
)

type unitName struct {
	ucum    string
	aliases []string
}

func unitNames(u Unit) unitName {
	switch u {
	case NoUnit:
		return unitName{}
	case MmHg:
		return unitName{"mm[Hg]", []string{"mmHg"}}
	case KiloPascal:
		return unitName{"kPa", nil}
	case PerMinute:
		return unitName{"/min", []string{"bpm", "beats/min", "{beats}/min", "{breaths}/min", "breaths/min", "1/min"}}
	case Hertz:
		return unitName{"Hz", nil}
	case Percent:
		return unitName{"%", nil}
	case Fraction:
		return unitName{"1", []string{"{INR}"}}
	case Kilogram:
		return unitName{"kg", nil}
	case Gram:
		return unitName{"g", nil}
	case Pound:
		return unitName{"[lb_av]", []string{"lb"}}
	case Stone:
		return unitName{"[stone_av]", []string{"st"}}
	case Celsius:
		return unitName{"Cel", []string{"C", "°C"}}
	case Fahrenheit:
		return unitName{"[degF]", []string{"F", "°F"}}
	case Kelvin:
		return unitName{"K", nil}
	case MgPerDL:
		return unitName{"mg/dL", nil}
	case MmolPerL:
		return unitName{"mmol/L", nil}
	case LitrePerMin:
		return unitName{"L/min", []string{"l/min"}}
	case MlPerMin:
		return unitName{"mL/min", nil}
	case LitrePerSec:
		return unitName{"L/s", nil}
	case Litre:
		return unitName{"L", []string{"l"}}
	case Millilitre:
		return unitName{"mL", []string{"ml"}}
	case Minute:
		return unitName{"min", nil}
	case Hour:
		return unitName{"h", nil}
	case Steps:
		return unitName{"{steps}", []string{"steps", "count", "1/(24.h)"}}
	case Score:
		return unitName{"{score}", nil}
	case Second:
		return unitName{"s", []string{"sec"}}
	}
	return unitName{}
}

const lastUnit = Second

// UCUM returns the unit's name in the Unified Code for Units of Measure, or "" for NoUnit.
func (u Unit) UCUM() string { return unitNames(u).ucum }

// Word returns the unit as people read it; where UCUM's name reads well it is that. A ratio has none.
func (u Unit) Word() string {
	switch u { //nolint:exhaustive // every other unit reads well as UCUM has it
	case MmHg:
		return "mmHg"
	case Celsius:
		return "°C"
	case Steps:
		return "steps"
	case Score:
		return "of 10"
	case Fraction:
		return ""
	}
	return u.UCUM()
}

// ParseUnit finds a unit by its UCUM name or one of the few everyday spellings that devices use ("mmHg", "bpm").
// UCUM is case sensitive, and so is this. It reports false for a unit we do not know.
func ParseUnit(s string) (Unit, bool) {
	s = strings.TrimSpace(s)
	for u := MmHg; u <= lastUnit; u++ {
		n := unitNames(u)
		if n.ucum == s {
			return u, true
		}
		for _, a := range n.aliases {
			if a == s {
				return u, true
			}
		}
	}
	return NoUnit, false
}

// Units returns every spelling that ParseUnit takes, for whoever looks up many.
func Units() map[string]Unit {
	all := map[string]Unit{}
	for u := MmHg; u <= lastUnit; u++ {
		n := unitNames(u)
		all[n.ucum] = u
		for _, a := range n.aliases {
			all[a] = u
		}
	}
	return all
}
