// Package formats reads measurements in the formats of the world: FHIR R4, Open mHealth, Bluetooth SIG payloads, and the JSON of
// some makers. It knows neither device nor patient nor clock: whose a measurement is, and whether its time can be true, is
// decided by whoever takes it in. What it cannot read it refuses with a reason that names the field.
package formats

import (
	"fmt"
	"time"

	"hale/vital"
)

// Draft is one measurement as it was sent, before anybody has said whose it is.
type Draft struct {
	Metric vital.Metric
	Sent   [3]vital.Quantity // in the order of the metric's components
	N      uint8
	Time   Time
	// Sequence is the device's own count, where HasSequence says that it has one.
	Sequence    int64
	HasSequence bool
	// Slot is the user of a device that knows several, where HasSlot says that it tells one (255: it does not know which).
	Slot     uint8
	HasSlot  bool
	Findings vital.Finding
	Standing vital.Standing
	// Identifier is the sender's own name for the measurement, "" when it has none; an amendment names what it amends by it.
	Identifier string
	// Facts are what was said beside the numbers, in the order in which it was: they are kept and shown, and judge nothing.
	Facts []vital.Fact
	Of
}

// Of says of which element of a list something is, in a message that holds several.
type Of struct {
	Index int    // of the element, from 0
	Part  []byte // the element as it was sent; nil when the message is one
}

// Message is what one payload held: measurements, what of it is none, and what it tells of the device itself.
type Message struct {
	Drafts  []Draft
	Refused []Refusal
	Facts   []vital.Fact
	// Context is set by the payload of a glucose meter that says what a measurement was taken beside.
	Context *GlucoseContext
}

// Precision is how finely a time was given.
type Precision uint8

// The precisions.
const (
	Exact   Precision = iota // to the second or finer
	ToDay                    // a date: At is its midnight
	ToMonth                  // At is the midnight that begins it
	ToYear                   // At is the midnight that begins it
)

// Time is when something was measured, as its sender said it. The zero Time says nothing.
type Time struct {
	At time.Time
	// Local is true when the sender gave no zone: At then holds the digits of its clock as if they were UTC.
	Local     bool
	Precision Precision
	// Until is the end of a span that began at At, and not before it; the zero time when it was a moment.
	Until time.Time
	// Field and UntilField are the paths in the sender's own words at which At and Until stand, or should.
	Field, UntilField string
}

// Refusal says why something is no measurement that Hale keeps.
type Refusal struct {
	Of
	Reason vital.Reason
	Field  string // the path of the field in the sender's own words, for example "systolic_blood_pressure.unit"
	Detail string // what to mend, for a person; begins with Field where there is one
	// NotKept is true for what is well formed and yet no measurement that Hale keeps, such as a body mass index, a goal or a
	// control solution: there is nothing to mend.
	NotKept bool
	// Beyond says that the device found a value outside what it can measure: there is no number, and it may be an emergency.
	Beyond vital.Beyond
	// Draft is what could be read of the measurement nevertheless, nil when nothing could. The zero quantity stands where one of several
	// numbers could not be read, and one whose unit is not known has none. Numbers of it are looked at for emergencies, and no more.
	Draft *Draft
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Detail }

func refuse(reason vital.Reason, field, format string, args ...any) *Refusal {
	detail := fmt.Sprintf(format, args...)
	if field != "" {
		detail = field + ": " + detail
	}
	return &Refusal{Reason: reason, Field: field, Detail: detail}
}

// notKept refuses what is well formed and no measurement that Hale keeps.
func notKept(field, format string, args ...any) *Refusal {
	no := refuse(vital.ReasonMetric, field, format, args...)
	no.NotKept = true
	return no
}

// of notes what could be read of the measurement.
func (r *Refusal) of(d Draft) *Refusal {
	r.Draft = &d
	return r
}

// whole refuses all that a part holds for one reason, each measurement of it with what could be read: at least once, and of what
// could not be read no more often.
func (r *Refusal) whole(m *Message) Message {
	var all Message
	again := func(d Draft, beyond vital.Beyond) {
		if one := *r; d.N > 0 || beyond != 0 {
			one.Beyond = beyond
			all.refuse(one.of(d))
		}
	}
	for i := range m.Drafts {
		again(m.Drafts[i], 0)
	}
	for i := range m.Refused {
		if f := &m.Refused[i]; f.Draft != nil && !f.NotKept {
			again(*f.Draft, f.Beyond)
		}
	}
	if len(all.Refused) > 0 {
		return all
	}
	one := *r
	if len(m.Drafts) > 0 {
		return refused(one.of(m.Drafts[0]))
	}
	return refused(&one)
}

// clear takes the numbers out: they are nobody's measurement.
func (d *Draft) clear() { d.Sent, d.N = [3]vital.Quantity{}, 0 }

// put sets the number of a component; of one that could not be read nothing.
func (d *Draft) put(component int, q vital.Quantity) {
	if component < len(d.Sent) && q != (vital.Quantity{}) {
		d.Sent[component], d.N = q, uint8(component+1)
	}
}

// Measured returns the numbers that there are, in the order of the metric's components.
func (d *Draft) Measured() []vital.Quantity { return d.Sent[:min(int(d.N), len(d.Sent))] }

func (d *Draft) fact(name, format string, args ...any) {
	d.Facts = append(d.Facts, vital.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
}

// add appends a number.
func (d *Draft) add(q vital.Quantity) {
	if int(d.N) < len(d.Sent) {
		d.Sent[d.N] = q
		d.N++
	}
}

func (m *Message) take(d Draft) { m.Drafts = append(m.Drafts, d) }

func (m *Message) refuse(no *Refusal) { m.Refused = append(m.Refused, *no) }

func refused(no *Refusal) Message { return Message{Refused: []Refusal{*no}} }
