package ingest

import (
	"fmt"
	"strconv"
	"time"

	"hale/vital"
)

// maxSequence is the highest sequence number that a device may count to.
const maxSequence = 1 << 62

// refusal says why an element is no reading; nil means that it is one.
type refusal struct {
	reason vital.Reason
	detail string
}

func refuse(reason vital.Reason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

// normalise turns an element into the parts of a reading that the device knows: what, how much, when, and what it
// noticed. r holds ReceivedAt already.
func (v *vocabulary) normalise(e *element, r *vital.Reading) *refusal {
	if e.twice != "" {
		return refuse(vital.ReasonUnparsable, "%q stands more than once in one object; send each field once", e.twice)
	}
	w, no := v.metric(e)
	if no != nil {
		return no
	}
	r.Metric = w.Metric
	if no := v.quantities(e, w, r); no != nil {
		return no
	}
	usable := w.Usable(r.Sent[:r.N])
	if reason, detail, ok := w.Check(r.Sent[:usable]); !ok {
		return &refusal{reason, detail}
	}
	r.Findings = e.findings
	if no := when(e, r); no != nil {
		return no
	}
	if no := sequence(e, r); no != nil { // its tie is a hash of all that was sent
		return no
	}
	if usable < int(r.N) {
		r.Sent[usable], r.N = vital.Quantity{}, uint8(usable)
		r.Findings |= vital.PulseDropped
	}
	return nil
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

// quantities reads the numbers of the metric's components in their order. What is optional stands at the end.
func (v *vocabulary) quantities(e *element, w *word, r *vital.Reading) *refusal {
	for i, c := range w.Components {
		p := w.parts[i]
		if p == noPart || i == len(r.Sent) {
			return refuse(vital.ReasonMetric, "%s cannot be sent in this format", w.Code)
		}
		a := &e.amounts[p]
		if c.Optional && (a.value.kind == absent || a.value.kind == null) {
			return nil
		}
		if a.value.kind == absent {
			return refuse(vital.ReasonMetric, "%s needs %s", w.Code, c.Code)
		}
		q, no := v.quantity(e, a, c, p)
		if no != nil {
			return no
		}
		r.Sent[i] = q
		r.N++
	}
	return nil
}

func (v *vocabulary) quantity(e *element, a *amount, c vital.Component, p part) (q vital.Quantity, no *refusal) {
	switch a.value.kind {
	case number:
	case text:
		return q, refuse(vital.ReasonNotANumber, "%s is text; send a number without quotes, for example 36.8", c.Code)
	case absent, null, boolean, list, object:
		return q, refuse(vital.ReasonNotANumber, "%s is %s; send a number, for example 36.8", c.Code, a.value.kind)
	}
	if q.Unit, no = v.unitOf(e, a, c, p); no != nil {
		return q, no
	}
	var err error
	if q.Mantissa, q.Exponent, err = vital.ParseDecimal(string(a.value.raw)); err != nil {
		return q, refuse(vital.ReasonNotANumber, "%s %s has more than 18 digits or too large an exponent", c.Code, clip(a.value.raw))
	}
	return q, nil
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

// when reads the device's time. A message without one is taken as measured when it arrived, and says so.
func when(e *element, r *vital.Reading) *refusal {
	var t time.Time
	switch e.time.kind {
	case absent, null:
		t = r.ReceivedAt
		r.Findings |= vital.TimeAssumed
	case text:
		sent, ok := e.time.plain(), false
		if t, ok = instant(sent); !ok {
			return timeRefused(sent)
		}
	case boolean, number, list, object:
		return refuse(vital.ReasonClock, "time is %s; send text such as 2026-11-21T07:25:00Z", e.time.kind)
	}
	r.SentAt = t.UTC().Truncate(time.Microsecond)
	if !vital.ClockPlausible(r.SentAt, r.ReceivedAt) {
		if r.SentAt.After(r.ReceivedAt) {
			return refuse(vital.ReasonClock, "time %s is more than %d minutes ahead of ours; set the device's clock", r.SentAt.Format(time.RFC3339), int(vital.AheadAtMost.Minutes()))
		}
		return refuse(vital.ReasonClock, "time %s lies before 2015; set the device's clock", r.SentAt.Format(time.RFC3339))
	}
	r.MeasuredAt = r.SentAt
	if r.ReceivedAt.Sub(r.MeasuredAt) > vital.HistoricAfter {
		r.Findings |= vital.Historic
	}
	return nil
}

// timeRefused says what is wrong with a text that is no time of RFC 3339. Most often it lacks the zone: we do not guess
// where a device thinks it is.
func timeRefused(sent []byte) *refusal {
	if _, ok := instant(append(append(make([]byte, 0, len(sent)+1), sent...), 'Z')); ok {
		return refuse(vital.ReasonClock, "time %s has no zone; add Z for UTC or an offset such as +01:00", quote(sent))
	}
	return refuse(vital.ReasonClock, "time %s is not of the form 2026-11-21T07:25:00Z (RFC 3339, with zone)", quote(sent))
}

// instant reads a time of RFC 3339. The standard library also takes hours of one digit, a comma for the point and
// offsets of a day and more; what a device means by those we would have to guess.
func instant(b []byte) (t time.Time, ok bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(b) < shortest || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[19] == ',' {
		return t, false
	}
	if zone := b[len(b)-5:]; b[len(b)-1] != 'Z' && (string(zone[:2]) > "23" || string(zone[3:]) > "59") {
		return t, false
	}
	return t, t.UnmarshalText(b) == nil
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
