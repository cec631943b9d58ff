package formats

import (
	"fmt"
	"time"

	"hale/vital"
)

// glucose takes Glucose Measurement (0x2A18).
func (p *payload) glucose() Message {
	d := Draft{Metric: vital.Glucose}
	flags := p.flags(0x1f)
	d.Sequence = int64(p.uint16("sequence"))
	d.HasSequence = p.whole()
	d.Time = p.dateTime()
	if flags&1 != 0 {
		offset := int16(p.uint16("time_offset"))
		if !d.Time.At.IsZero() && p.whole() {
			d.fact("base_time", "%s", d.Time.At.Format("2006-01-02T15:04:05"))
			d.Time.At = d.Time.At.Add(time.Duration(offset) * time.Minute)
		}
		p.fact(&d, "time_offset", "%d min", offset)
	}
	concentration := amount{special: nan, at: p.at}
	var kind, place uint8
	at := p.at
	if flags&2 != 0 {
		concentration = p.concentration(flags&4 != 0)
		at = p.at
		both := p.uint8("type")
		kind, place = both&0x0f, both>>4
	}
	var bits uint16
	if flags&8 != 0 {
		bits = p.uint16("sensor_status")
		d.meter(bits)
	}
	if flags&16 != 0 {
		p.fact(&d, "context", "follows")
	}
	p.end()
	if flags&2 == 0 {
		return one(d, refuse(vital.ReasonNotANumber, "concentration", "byte %d: the payload holds no concentration", at))
	}
	if no := d.specimen(kind, place, at); no != nil {
		return one(d, no)
	}
	if concentration.special != none {
		no := concentration.missing("concentration")
		if s := d.said("sensor_status"); s != "" {
			no.Detail += "; it noticed " + s
		}
		if no.Beyond == 0 {
			no.Beyond = beyond(bits)
		}
		return one(d, no)
	}
	d.add(concentration.Quantity)
	return one(d, nil)
}

// concentration takes an amount in kg/L or mol/L. Both become what people write by moving the decimal point, so that nothing is
// rounded: 1 kg/L is 100000 mg/dL, 1 mol/L is 1000 mmol/L.
func (p *payload) concentration(molar bool) amount {
	unit, shift := vital.MgPerDL, int8(5)
	if molar {
		unit, shift = vital.MmolPerL, 3
	}
	a := p.sfloat("concentration", unit)
	if a.special == none {
		a.Exponent += shift
	}
	return a
}

// The bits of the sensor status that say more than a name.
const (
	resultTooHigh = 1 << 5
	resultTooLow  = 1 << 6
	doubtfulMeter = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<7 | 1<<8 | 1<<9 | 1<<10
)

func beyond(bits uint16) vital.Beyond {
	switch {
	case bits&resultTooHigh != 0:
		return vital.Above
	case bits&resultTooLow != 0:
		return vital.Below
	}
	return 0
}

// meter takes what a glucose meter noticed.
func (d *Draft) meter(bits uint16) {
	if bits&doubtfulMeter != 0 {
		d.Findings |= vital.PoorSignal
	}
	if bits>>12 != 0 {
		d.Findings |= vital.FindingUnclear
	}
	if bits != 0 {
		d.fact("sensor_status", "%s", status(uint32(bits), map[int]string{
			0: "battery low", 1: "sensor malfunction", 2: "sample too small", 3: "strip inserted wrongly", 4: "wrong strip", 5: "result too high",
			6: "result too low", 7: "too warm", 8: "too cold", 9: "strip pulled too soon", 10: "sensor fault", 11: "time fault",
		}))
	}
}

// specimen takes type and place of the sample. Control solution is no blood of anybody, and what has no name in the standard may
// be that too.
func (d *Draft) specimen(kind, place uint8, at int) *Refusal {
	const controlSolution, controlPlace = 10, 4
	if kind == controlSolution || place == controlPlace {
		return notKept("type", "byte %d: this is control solution, and nobody's blood", at)
	}
	kinds := [...]string{
		"", "capillary whole blood", "capillary plasma", "venous whole blood", "venous plasma", "arterial whole blood", "arterial plasma",
		"undetermined whole blood", "undetermined plasma", "interstitial fluid",
	}
	if kind == 0 || int(kind) >= len(kinds) {
		return refuse(vital.ReasonUnparsable, "type", "byte %d: sample type %d is reserved; what was measured is not known", at, kind)
	}
	d.fact("specimen", "%s", kinds[kind])
	switch place {
	case 1:
		d.fact("sample_location", "finger")
	case 2:
		d.fact("sample_location", "alternate site")
	case 3:
		d.fact("sample_location", "earlobe")
	case 15:
	default:
		d.fact("sample_location", "reserved (%d)", place)
	}
	return nil
}

// GlucoseContext is what a meter says beside the measurement of the same sequence number.
type GlucoseContext struct {
	Sequence int64
	Metric   vital.Metric // by the meal: glucose, glucose_fasting or glucose_postmeal; 0 when no meal is told
	Facts    []vital.Fact
}

// Apply gives a measurement of the same meter and sequence number its meal. Another one is left alone.
func (c *GlucoseContext) Apply(d *Draft) bool {
	if !d.HasSequence || d.Sequence != c.Sequence || d.Metric != vital.Glucose {
		return false
	}
	if c.Metric != 0 {
		d.Metric = c.Metric
	}
	d.Facts = append(d.Facts, c.Facts...)
	return true
}

// glucoseContext takes Glucose Measurement Context (0x2A34).
func (p *payload) glucoseContext() Message {
	flags := p.flags(0xff)
	c := &GlucoseContext{Sequence: int64(p.uint16("sequence"))}
	fact := func(name, format string, args ...any) {
		c.Facts = append(c.Facts, vital.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	if flags&0x80 != 0 {
		p.uint8("extended_flags")
	}
	if flags&1 != 0 {
		kinds := [...]string{"", "breakfast", "lunch", "dinner", "snack", "drink", "supper", "brunch"}
		id, mass := p.uint8("carbohydrate"), p.sfloat("carbohydrate", vital.Gram)
		mass.Exponent += 3 // kg
		fact("carbohydrate", "%s, %s", named(kinds[:], id), mass.text())
	}
	if flags&2 != 0 {
		meals := [...]string{"", "before a meal", "after a meal", "fasting", "casual", "bedtime"}
		meal := p.uint8("meal")
		fact("meal", "%s", named(meals[:], meal))
		c.Metric = map[uint8]vital.Metric{1: vital.GlucoseFasting, 2: vital.GlucosePostMeal, 3: vital.GlucoseFasting, 4: vital.Glucose, 5: vital.Glucose}[meal]
	}
	if flags&4 != 0 {
		both := p.uint8("tester")
		fact("tester", "%s", named([]string{"", "self", "health professional", "laboratory"}, both&0x0f))
		fact("health", "%s", named([]string{"", "minor issues", "major issues", "menses", "stress", "none"}, both>>4))
	}
	if flags&8 != 0 {
		fact("exercise", "%d s at %d %%", p.uint16("exercise"), p.uint8("exercise"))
	}
	if flags&16 != 0 {
		kinds := [...]string{"", "rapid insulin", "short insulin", "intermediate insulin", "long insulin", "premixed insulin"}
		id, much := p.uint8("medication"), p.sfloat("medication", vital.Gram)
		much.Exponent += 3
		if flags&32 != 0 {
			much.Unit = vital.Millilitre
		}
		fact("medication", "%s, %s", named(kinds[:], id), much.text())
	}
	if flags&64 != 0 {
		fact("hba1c", "%s", p.sfloat("hba1c", vital.Percent).text())
	}
	p.end()
	return Message{Context: c}
}

func named(names []string, i uint8) string {
	if i == 0 || int(i) >= len(names) {
		return fmt.Sprintf("code %d", i)
	}
	return names[i]
}
