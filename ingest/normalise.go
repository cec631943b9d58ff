package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"

	"hale/ingest/formats"
	"hale/vital"
)

// maxSequence is the highest sequence number that a device may count to.
const maxSequence = 1 << 62

// refusal says why an element is no reading; nil means that it is one.
type refusal struct {
	reason vital.Reason
	detail string
	field  string         // of the sender's own words, where one is known
	beyond vital.Beyond   // the device found it outside of what it can measure
	read   *vital.Reading // what could be read nevertheless
	also   []vital.Seen   // and what else
	// timeless says that the time of what was read cannot be.
	timeless bool
}

func refuse(reason vital.Reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// normalise turns an element into the parts of a reading that the device knows: what, how much, when, and what it
// noticed. r holds ReceivedAt already; what could be read of a refused element stands in it.
func (d *decoder) normalise(e *element, r *vital.Reading) *refusal {
	var twice *refusal
	if e.twice != "" {
		twice = refuse(vital.ReasonUnparsable, "%q stands more than once in one object; send each field once", e.twice)
	}
	w, no := d.metric(e)
	if no != nil {
		return cmp.Or(twice, no)
	}
	r.Metric, r.Findings = w.Metric, e.findings
	noNumber := d.quantities(e, w, r)
	if twice != nil && noNumber != nil {
		twice.beyond = noNumber.beyond
	}
	at, noTime := e.moment()
	user, noSlot := e.slotOf()
	noTie := sequence(e, r) // its tie is a hash of all that was sent
	return d.settle(w, r, said{moment: at, slot: user, wrong: [...]*refusal{twice, noNumber, noTime, noSlot, noTie}})
}

func (v *vocabulary) metric(e *element) (*word, *refusal) {
	switch e.metric.kind {
	case text:
	case absent, null:
		return nil, refuse(vital.ReasonMetric, `metric is missing; say what was measured, for example "metric":"heart_rate"`)
	case boolean, number, list, object:
		return nil, refuse(vital.ReasonMetric, `metric is %s; send its name as text, for example "heart_rate"`, e.metric.kind)
	}
	name := e.metric.plain()
	w := v.metrics[string(name)]
	if w == nil {
		return nil, refuse(vital.ReasonMetric, "metric %s is not known", quote(name))
	}
	return w, nil
}

// quantities reads the numbers of the metric's components in their order. What is optional stands at the end. After the first refusal
// the others are read all the same, to be screened; the zero quantity then stands where none could be read.
func (v *vocabulary) quantities(e *element, w *word, r *vital.Reading) (first *refusal) {
	for i, c := range w.Components {
		p := w.parts[i]
		if p == noPart || i == len(r.Sent) {
			return cmp.Or(first, refuse(vital.ReasonMetric, "%s cannot be sent in this format", w.Code))
		}
		a := &e.amounts[p]
		if c.Optional && (a.value.kind == absent || a.value.kind == null) {
			return first
		}
		if a.value.kind == absent {
			first = cmp.Or(first, refuse(vital.ReasonMetric, "%s needs %s", w.Code, c.Code))
			continue
		}
		q, read, no := v.quantity(e, a, c, p)
		if read {
			r.Sent[i], r.N = q, uint8(i+1)
		}
		first = cmp.Or(first, no)
	}
	return first
}

// quantity reads one number with its unit. read is true also where the number is one, and its unit is not: it is known without.
func (v *vocabulary) quantity(e *element, a *amount, c vital.Component, p part) (q vital.Quantity, read bool, no *refusal) {
	digits := a.value.raw
	switch a.value.kind {
	case number:
	case text:
		no = refuse(vital.ReasonNotANumber, "%s is text; send a number without quotes, for example 36.8", c.Code)
		no.beyond = formats.Outside(string(a.value.plain()))
		digits = bytes.TrimSpace(a.value.plain())
	case absent, null, boolean, list, object:
		return q, false, refuse(vital.ReasonNotANumber, "%s is %s; send a number, for example 36.8", c.Code, a.value.kind)
	}
	unit, noUnit := v.unitOf(e, a, c, p)
	var err error
	if q.Mantissa, q.Exponent, err = vital.ParseDecimal(string(digits)); err != nil && noUnit == nil && no == nil {
		return q, false, refuse(vital.ReasonNotANumber, "%s %s has more than 18 digits or too large an exponent", c.Code, clip(a.value.raw))
	}
	q.Unit = unit
	return q, err == nil, cmp.Or(no, noUnit)
}

// unitOf returns the unit of an amount. There is no default: a number whose unit we would have to guess is refused. In
// the short form of a blood pressure the unit is that of the pressures, and the pulse is per minute.
func (v *vocabulary) unitOf(e *element, a *amount, c vital.Component, p part) (vital.Unit, *refusal) {
	t := e.unit
	if a.nested {
		t = a.unit
	} else if p == partPulse {
		return vital.PerMinute, nil
	}
	switch t.kind {
	case text:
	case absent, null:
		return vital.NoUnit, refuse(vital.ReasonUnit, "the unit of %s is missing; send one of %s", c.Code, spellings(c))
	case boolean, number, list, object:
		return vital.NoUnit, refuse(vital.ReasonUnit, "the unit of %s is %s; send one of %s as text", c.Code, t.kind, spellings(c))
	}
	name := t.plain()
	u, ok := v.unit(name)
	if !ok {
		return vital.NoUnit, refuse(vital.ReasonUnit, "the unit %s of %s is not known; send one of %s", quote(name), c.Code, spellings(c))
	}
	return u, nil
}

// sequence reads the tie of the reading's identity: the device's own count, else a hash of the quantities as sent.
func sequence(e *element, r *vital.Reading) *refusal {
	switch e.seq.kind {
	case absent, null:
		r.Tie = vital.TieOf(r.Sent[:r.N])
		return nil
	case number:
		n, err := strconv.ParseUint(string(e.seq.raw), 10, 64)
		if err == nil && n <= maxSequence {
			r.Tie, r.HasSequence = int64(n), true
			return nil
		}
	case boolean, text, list, object:
	}
	return refuse(vital.ReasonUnparsable, "seq must be a whole number from 0 to 2^62, without quotes, point or exponent; leave it out if the device does not count")
}

// Of a text from a device no more than this is repeated in a sentence.
const repeatAtMost = 40

func clip(b []byte) []byte { return b[:min(len(b), repeatAtMost)] }

func quote(b []byte) string {
	if len(b) > repeatAtMost {
		return strconv.Quote(string(clip(b))) + "..."
	}
	return strconv.Quote(string(b))
}
