package ingest

import (
	"strconv"

	"hale/vital"
)

// part names a number of an element: which component of its metric it is.
type part int

// The parts that the wire knows. noPart is a component that it has no name for.
const (
	partValue part = iota
	partSystolic
	partDiastolic
	partPulse
	parts
	noPart part = -1
)

func partOf(component string) part {
	switch component {
	case "value":
		return partValue
	case "systolic":
		return partSystolic
	case "diastolic":
		return partDiastolic
	case "pulse":
		return partPulse
	}
	return noPart
}

// amount is a number and, in the form {"value":128,"unit":"mm[Hg]"}, the unit beside it.
type amount struct {
	value, unit token
	nested      bool
}

// element is one object of a message: what the wire knows of it, found but not yet judged.
type element struct {
	metric, unit, time, seq, slot, receipt token
	amounts                                [parts]amount
	findings                               vital.Finding
	twice                                  string   // a field that stands more than once
	earlier                                *element // as it was found before that
	timePath                               string   // where the time stands, with a mapping
	seen                                   uint16
}

// The bits of seen; those of the amounts follow.
const (
	sawMetric = 1 << iota
	sawUnit
	sawTime
	sawSeq
	sawReceipt
	sawFindings
	sawSlot
	sawAmount
)

// see notes a field and remembers the first that came twice: which of the two was meant is not for us to guess.
func (e *element) see(bit uint16, name string) {
	if e.seen&bit != 0 {
		e.again(name)
	}
	e.seen |= bit
}

func (e *element) again(name string) {
	if e.twice == "" {
		e.twice = name
		before := *e
		e.earlier = &before
	}
}

// asFirst returns the element as it is if, of what stands twice, the first is meant.
func (e *element) asFirst() element {
	first := *e
	for _, f := range [...]struct{ to, from *token }{
		{&first.metric, &e.earlier.metric}, {&first.unit, &e.earlier.unit}, {&first.time, &e.earlier.time}, {&first.seq, &e.earlier.seq}, {&first.slot, &e.earlier.slot},
	} {
		f.to.unless(f.from)
	}
	for p := range first.amounts {
		a, before := &first.amounts[p], &e.earlier.amounts[p]
		a.value.unless(&before.value)
		a.unit.unless(&before.unit)
		if before.value.kind != absent {
			a.nested = before.nested
		}
	}
	return first
}

// unless replaces the token by an earlier one where there is one.
func (t *token) unless(earlier *token) {
	if earlier.kind != absent {
		*t = *earlier
	}
}

// element takes an object and fills e. The error is one of syntax: everything else can be told of this element alone.
func (s *scanner) element(e *element) error {
	more, err := s.enter('}')
	for more && err == nil {
		var k token
		if k, err = s.key(); err != nil {
			return err
		}
		if err = s.field(e, k.plain()); err != nil {
			return err
		}
		more, err = s.more('}')
	}
	return err
}

// field takes the value of one field. Fields that the wire does not know are passed over.
func (s *scanner) field(e *element, name []byte) (err error) {
	switch string(name) {
	case "metric":
		e.see(sawMetric, "metric")
		e.metric, err = s.value()
	case "unit":
		e.see(sawUnit, "unit")
		e.unit, err = s.value()
	case "time":
		e.see(sawTime, "time")
		e.time, err = s.value()
	case "seq":
		e.see(sawSeq, "seq")
		e.seq, err = s.value()
	case "slot":
		e.see(sawSlot, "slot")
		e.slot, err = s.value()
	case "receipt":
		e.see(sawReceipt, "receipt")
		e.receipt, err = s.value()
	case "findings":
		e.see(sawFindings, "findings")
		err = s.findings(e)
	case "value":
		e.see(sawAmount<<partValue, "value")
		e.amounts[partValue].value, err = s.value()
	case "systolic":
		e.see(sawAmount<<partSystolic, "systolic")
		err = s.amount(e, &e.amounts[partSystolic])
	case "diastolic":
		e.see(sawAmount<<partDiastolic, "diastolic")
		err = s.amount(e, &e.amounts[partDiastolic])
	case "pulse":
		e.see(sawAmount<<partPulse, "pulse")
		err = s.amount(e, &e.amounts[partPulse])
	default:
		_, err = s.value()
	}
	return err
}

// slotOf reads which user of a shared sensor it was. 255 says that the sensor does not know, as in Bluetooth.
func (e *element) slotOf() (slot, *refusal) {
	switch e.slot.kind {
	case absent, null:
		return slot{}, nil
	case number:
		if n, err := strconv.ParseUint(string(e.slot.raw), 10, 8); err == nil {
			return slot{uint8(n), true}, nil
		}
	case boolean, text, list, object:
	}
	return slot{}, refuse(vital.ReasonUnparsable, "slot must be a whole number from 0 to 254, without quotes, point or exponent; leave it out if the sensor has one user")
}

// amount takes a number, or an object of value and unit.
func (s *scanner) amount(e *element, a *amount) error {
	var err error
	if s.peek() != '{' {
		a.value, err = s.value()
		return err
	}
	a.nested = true
	more, err := s.enter('}')
	for more && err == nil {
		var k, v token
		if k, err = s.key(); err != nil {
			return err
		}
		if v, err = s.value(); err != nil {
			return err
		}
		switch string(k.plain()) {
		case "value":
			e.once(&a.value, v, "value")
		case "unit":
			e.once(&a.unit, v, "unit")
		}
		more, err = s.more('}')
	}
	return err
}

func (e *element) once(field *token, v token, name string) {
	if field.kind != absent {
		e.again(name)
	}
	*field = v
}

// findings takes the list of findings. A finding is never a reason to hide a number: what is not one is passed over.
func (s *scanner) findings(e *element) error {
	if s.peek() != '[' {
		_, err := s.value()
		return err
	}
	more, err := s.enter(']')
	for more && err == nil {
		var v token
		if v, err = s.value(); err != nil {
			return err
		}
		if v.kind == text {
			e.findings |= findingOf(v.plain())
		}
		more, err = s.more(']')
	}
	return err
}

func findingOf(name []byte) vital.Finding {
	switch string(name) {
	case "irregular_pulse":
		return vital.IrregularPulse
	case "body_movement":
		return vital.BodyMovement
	case "cuff_loose":
		return vital.CuffLoose
	case "poor_signal":
		return vital.PoorSignal
	case "low_perfusion":
		return vital.LowPerfusion
	}
	return 0
}
