package formats

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hale/vital"
)

// Characteristics are the Bluetooth SIG characteristics that GATT reads, by their 16-bit numbers in hexadecimal digits.
func Characteristics() []string {
	return []string{"2A18", "2A19", "2A1C", "2A34", "2A35", "2A37", "2A5E", "2A5F", "2A9D"}
}

// Reads reports whether GATT reads a characteristic of that name.
func Reads(name string) bool { return slices.Contains(Characteristics(), characteristic(name)) }

// baseUUID is what a 16-bit characteristic ends with when it is written as 128 bits.
const baseUUID = "-0000-1000-8000-00805F9B34FB"

// characteristic brings "0x2a35", "2A35" and the UUID of 128 bits to one form.
func characteristic(name string) string {
	name = strings.ToUpper(strings.TrimSpace(name))
	name = strings.TrimSuffix(strings.TrimPrefix(name, "0X"), baseUUID)
	if len(name) == 8 {
		name = strings.TrimPrefix(name, "0000")
	}
	return name
}

// GATT reads the value of a characteristic of the Bluetooth SIG (GATT Specification Supplement), for example "2A35". One payload
// may hold several measurements: an oximeter sends a saturation and a pulse.
func GATT(name string, value []byte) Message {
	p := &payload{src: value}
	var m Message
	switch characteristic(name) {
	case "2A18":
		m = p.glucose()
	case "2A19":
		m = p.battery()
	case "2A1C":
		m = p.temperature()
	case "2A34":
		m = p.glucoseContext()
	case "2A35":
		m = p.bloodPressure()
	case "2A37":
		m = p.heartRate()
	case "2A5E":
		m = p.spotCheck()
	case "2A5F":
		m = p.continuous()
	case "2A9D":
		m = p.weight()
	default:
		return refused(notKept("", "characteristic %.40q is none that Hale reads; it reads %s", name, strings.Join(Characteristics(), ", ")))
	}
	if p.no != nil { // what is not whole is not believed; what was read of it may be an emergency
		for i := range m.Drafts {
			m.Drafts[i].dropZeros()
		}
		for i := range m.Refused {
			if d := m.Refused[i].Draft; d != nil {
				d.dropZeros()
			}
		}
		return p.no.whole(&m)
	}
	return m
}

// dropZeros takes out the numbers that stand where nothing could be read any more.
func (d *Draft) dropZeros() {
	sent := d.Sent
	d.clear()
	for i, q := range sent {
		if q.Mantissa != 0 {
			d.put(i, q)
		}
	}
}

// one returns a message of one measurement, or of the refusal of it.
func one(d Draft, no *Refusal) Message {
	if no != nil {
		return refused(no.of(d))
	}
	return Message{Drafts: []Draft{d}}
}

// slot takes a user of a device that knows several.
func (d *Draft) slot(p *payload) {
	if user := p.uint8("user"); p.whole() {
		d.Slot, d.HasSlot = user, true
	}
}

// status tells the bits that are set by their names; a bit without name is told by its number.
func status(bits uint32, names map[int]string) string {
	var set []string
	for bit := range 32 {
		if bits&(1<<bit) == 0 {
			continue
		}
		name := names[bit]
		if name == "" {
			name = "bit " + strconv.Itoa(bit)
		}
		set = append(set, name)
	}
	return strings.Join(set, ", ")
}

// bloodPressure takes Blood Pressure Measurement (0x2A35).
func (p *payload) bloodPressure() Message {
	d := Draft{Metric: vital.BloodPressure}
	flags, unit := p.flags(0x1f), vital.MmHg
	if flags&1 != 0 {
		unit = vital.KiloPascal
	}
	systolic, diastolic, mean := p.sfloat("systolic", unit), p.sfloat("diastolic", unit), p.sfloat("mean_pressure", unit)
	p.fact(&d, "mean_pressure", "%s", mean.text())
	if flags&2 != 0 {
		d.Time = p.dateTime()
	}
	pulse := amount{special: nan}
	if flags&4 != 0 {
		if pulse = p.sfloat("pulse", vital.PerMinute); pulse.special != none {
			d.Findings |= vital.PulseDropped
		}
	}
	if flags&8 != 0 {
		d.slot(p)
	}
	if flags&16 != 0 {
		d.cuff(p.uint16("status"))
	}
	p.end()
	var no *Refusal
	for field, a := range [...]amount{systolic, diastolic} {
		if a.special == none {
			d.put(field, a.Quantity)
			continue
		}
		no = cmp.Or(no, a.missing([...]string{"systolic", "diastolic"}[field]))
		if no.Beyond == 0 {
			no.Beyond = a.special.beyond()
		}
	}
	if no != nil {
		if s := d.said("status"); s != "" {
			no.Detail += "; it noticed " + s
		}
	}
	if pulse.special == none {
		d.put(2, pulse.Quantity)
	}
	return one(d, no)
}

// said returns what a fact says, "" when it is not there.
func (d *Draft) said(name string) string {
	for _, f := range d.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// cuff takes what a cuff noticed. A bit that the standard has no name for may be a finding that we cannot read.
func (d *Draft) cuff(bits uint16) {
	const movement, loose, irregular, tooHigh, tooLow, position = 1, 2, 4, 8, 16, 32
	if bits&movement != 0 {
		d.Findings |= vital.BodyMovement
	}
	if bits&loose != 0 {
		d.Findings |= vital.CuffLoose
	}
	if bits&irregular != 0 {
		d.Findings |= vital.IrregularPulse
	}
	if bits&^(movement|loose|irregular|tooHigh|tooLow|position) != 0 {
		d.Findings |= vital.FindingUnclear
	}
	if bits != 0 {
		d.fact("status", "%s", status(uint32(bits), map[int]string{
			0: "body movement", 1: "cuff loose", 2: "irregular pulse", 3: "pulse above the device's range", 4: "pulse below the device's range",
			5: "improper position",
		}))
	}
}

// heartRate takes Heart Rate Measurement (0x2A37).
func (p *payload) heartRate() Message {
	d := Draft{Metric: vital.HeartRate}
	flags := p.flags(0x1f)
	rate := vital.Quantity{Unit: vital.PerMinute}
	if flags&1 != 0 {
		rate.Mantissa = int64(p.uint16("heart_rate"))
	} else {
		rate.Mantissa = int64(p.uint8("heart_rate"))
	}
	const supported, detected = 4, 2
	if flags&supported != 0 && p.whole() {
		if flags&detected != 0 {
			d.fact("contact", "detected")
		} else {
			d.fact("contact", "not detected")
			d.Findings |= vital.PoorSignal
		}
	}
	if flags&8 != 0 {
		p.fact(&d, "energy", "%d kJ", p.uint16("energy"))
	}
	if flags&16 != 0 {
		d.intervals(p)
	}
	p.end()
	d.add(rate)
	return one(d, nil)
}

// intervals takes the RR intervals that fill the rest of a heart rate; one at least is promised.
func (d *Draft) intervals(p *payload) {
	var all []string
	for first := true; first || p.no == nil && p.at < len(p.src); first = false {
		if interval := p.uint16("rr_interval"); p.whole() {
			all = append(all, strconv.FormatFloat(float64(interval)/1024, 'f', -1, 64)) // exact: 1024 is a power of 2
		}
	}
	if len(all) > 0 {
		d.fact("rr_intervals", "%s s", strings.Join(all, ", "))
	}
}

// weight takes Weight Measurement (0x2A9D), in the resolution of the SIG's default (0.005 kg, 0.01 lb).
func (p *payload) weight() Message {
	d := Draft{Metric: vital.BodyWeight}
	flags := p.flags(0x0f)
	imperial := flags&1 != 0
	at := p.at
	raw := int64(p.uint16("weight"))
	if flags&2 != 0 {
		d.Time = p.dateTime()
	}
	if flags&4 != 0 {
		d.slot(p)
	}
	if flags&8 != 0 {
		p.fact(&d, "body_mass_index", "%s kg/m2", vital.Quantity{Mantissa: int64(p.uint16("body_mass_index")), Exponent: -1})
		height := vital.Quantity{Mantissa: int64(p.uint16("body_height")), Exponent: -3}
		if imperial {
			height.Exponent = -1
			p.fact(&d, "body_height", "%s [in_i]", height)
		} else {
			p.fact(&d, "body_height", "%s m", height)
		}
	}
	p.end()
	if raw == 0xffff {
		return one(d, refuse(vital.ReasonNotANumber, "weight", "byte %d: the device says that the measurement failed (0xFFFF)", at))
	}
	if imperial {
		d.add(vital.Quantity{Mantissa: raw, Exponent: -2, Unit: vital.Pound})
	} else {
		d.add(vital.Quantity{Mantissa: raw * 5, Exponent: -3, Unit: vital.Kilogram})
	}
	return one(d, nil)
}

// temperature takes Temperature Measurement (0x2A1C).
func (p *payload) temperature() Message {
	d := Draft{Metric: vital.BodyTemperature}
	flags, unit := p.flags(0x07), vital.Celsius
	if flags&1 != 0 {
		unit = vital.Fahrenheit
	}
	a := p.float("temperature", unit)
	if flags&2 != 0 {
		d.Time = p.dateTime()
	}
	if flags&4 != 0 {
		sites := [...]string{
			"reserved (0)", "armpit", "body", "ear", "finger", "gastro-intestinal tract", "mouth", "rectum", "toe", "tympanum",
		}
		if site := p.uint8("temperature_type"); int(site) < len(sites) {
			p.fact(&d, "measurement_location", "%s", sites[site])
		} else {
			p.fact(&d, "measurement_location", "reserved (%d)", site)
		}
	}
	p.end()
	if a.special != none {
		return one(d, a.missing("temperature"))
	}
	d.add(a.Quantity)
	return one(d, nil)
}

// battery takes Battery Level (0x2A19). It is a fact of the device and no measurement of a person.
func (p *payload) battery() Message {
	level := p.uint8("battery")
	if level > 100 {
		p.wrong(0, vital.ReasonImplausible, "battery", "%d is more than 100 %%", level)
	}
	p.end()
	return Message{Facts: []vital.Fact{{Name: "battery", Value: fmt.Sprintf("%d %%", level)}}}
}
