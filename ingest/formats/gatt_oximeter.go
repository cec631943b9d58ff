package formats

import "hale/vital"

// oximetry is what the two characteristics of an oximeter share.
type oximetry struct {
	saturation, pulse amount
	draft             Draft // time, findings and facts of both
	measurement       uint16
	at                int // the byte of the measurement status
}

// spotCheck takes PLX Spot-check Measurement (0x2A5E).
func (p *payload) spotCheck() Message {
	flags := p.flags(0x1f)
	o := p.oximetry()
	if flags&1 != 0 {
		o.draft.Time = p.dateTime()
	}
	if flags&16 != 0 {
		o.draft.Time = Time{} // what the clock says is not the time
		p.fact(&o.draft, "device_clock", "not set")
	}
	p.statuses(&o, flags&2 != 0, flags&4 != 0, flags&8 != 0)
	return p.oximeter(&o)
}

// continuous takes PLX Continuous Measurement (0x2A5F): what the oximeter finds by its normal averaging counts, the fast and the
// slow ones are kept beside it.
func (p *payload) continuous() Message {
	flags := p.flags(0x1f)
	o := p.oximetry()
	for i, speed := range [...]string{"fast", "slow"} {
		if flags&(1<<i) != 0 {
			p.fact(&o.draft, "saturation_"+speed, "%s", p.sfloat("saturation_"+speed, vital.Percent).text())
			p.fact(&o.draft, "pulse_"+speed, "%s", p.sfloat("pulse_"+speed, vital.PerMinute).text())
		}
	}
	p.statuses(&o, flags&4 != 0, flags&8 != 0, flags&16 != 0)
	return p.oximeter(&o)
}

func (p *payload) oximetry() oximetry {
	return oximetry{saturation: p.sfloat("saturation", vital.Percent), pulse: p.sfloat("pulse", vital.PerMinute)}
}

// The bits of the measurement status that decide whether there is a measurement, and of the sensor status that has its own finding.
const (
	demonstration = 1 << 10
	testing       = 1 << 11
	calibrating   = 1 << 12
	unavailable   = 1 << 13
	questionable  = 1 << 14
	notValid      = 1 << 15

	lowPerfusion = 1 << 5
	doubtful     = 1<<3 | 1<<4 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11 | 1<<13 | 1<<14 | 1<<15 // of the sensor status
)

// statuses takes the fields at the end. Poor signal and low perfusion are findings, and hide no number.
func (p *payload) statuses(o *oximetry, measurement, sensor, amplitude bool) {
	d := &o.draft
	if measurement {
		o.at = p.at
		o.measurement = p.uint16("measurement_status")
		if o.measurement&(calibrating|questionable) != 0 {
			d.Findings |= vital.PoorSignal
		}
		if o.measurement&0x1f != 0 {
			d.Findings |= vital.FindingUnclear
		}
		if o.measurement != 0 {
			d.fact("measurement_status", "%s", status(uint32(o.measurement), map[int]string{
				5: "ongoing", 6: "early estimate", 7: "validated", 8: "fully qualified", 9: "from storage", 10: "demonstration", 11: "testing",
				12: "calibrating", 13: "unavailable", 14: "questionable", 15: "invalid",
			}))
		}
	}
	if sensor {
		bits := p.uint24("sensor_status")
		if bits&doubtful != 0 {
			d.Findings |= vital.PoorSignal
		}
		if bits&lowPerfusion != 0 {
			d.Findings |= vital.LowPerfusion
		}
		if bits>>16 != 0 {
			d.Findings |= vital.FindingUnclear
		}
		if bits != 0 {
			d.fact("sensor_status", "%s", status(bits, map[int]string{
				0: "extended display update", 1: "equipment malfunction", 2: "signal processing irregularity", 3: "inadequate signal", 4: "poor signal",
				5: "low perfusion", 6: "erratic signal", 7: "non-pulsatile signal", 8: "questionable pulse", 9: "signal analysis ongoing",
				10: "sensor interference", 11: "sensor not connected to the user", 12: "unknown sensor", 13: "sensor displaced", 14: "sensor malfunction",
				15: "sensor disconnected",
			}))
		}
	}
	if amplitude {
		p.fact(d, "pulse_amplitude_index", "%s", p.sfloat("pulse_amplitude_index", vital.Percent).text())
	}
	p.end()
}

// oximeter makes the measurements of it. What the device itself calls no measurement becomes none.
func (p *payload) oximeter(o *oximetry) Message {
	d := o.draft
	d.Metric = vital.OxygenSat
	switch {
	case o.measurement&demonstration != 0:
		return one(d, notKept("measurement_status", "byte %d: the device says that this is a demonstration, and nobody's measurement", o.at))
	case o.measurement&testing != 0:
		return one(d, notKept("measurement_status", "byte %d: the device says that this is a test, and nobody's measurement", o.at))
	case o.measurement&notValid != 0:
		m := o.measured(d)
		return refuse(vital.ReasonNotANumber, "measurement_status", "byte %d: the device says that the measurement is invalid", o.at).whole(&m)
	case o.measurement&unavailable != 0:
		m := o.measured(d)
		return refuse(vital.ReasonNotANumber, "measurement_status", "byte %d: the device says that the measurement is unavailable", o.at).whole(&m)
	}
	return o.measured(d)
}

// measured makes the measurements of the numbers.
func (o *oximetry) measured(d Draft) Message {
	var m Message
	pulse := o.draft
	pulse.Metric = vital.HeartRate
	if o.saturation.special != none {
		m.refuse(o.saturation.missing("saturation").of(d))
	} else {
		d.add(o.saturation.Quantity)
		if o.pulse.special != none {
			d.fact("pulse", "%s", o.pulse.text()) // not every oximeter counts it
		}
		m.take(d)
	}
	switch {
	case o.pulse.special == none:
		pulse.add(o.pulse.Quantity)
		m.take(pulse)
	case o.pulse.special.beyond() != 0:
		m.refuse(o.pulse.missing("pulse").of(pulse))
	}
	return m
}
