package ingest

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// maxElements is how many readings one message may carry.
const maxElements = 1000

// Of a refused part no more than this is kept; its length and hash tell of the rest.
const rawKept = 64 << 10

// maxTopicKept bounds what is kept of a topic that is none of ours.
const maxTopicKept = 1 << 10

// decoder turns one message into readings and refusals. It is used again for other messages: what it found is copied
// out before.
type decoder struct {
	vocabulary
	snapshot *devices.Snapshot
	device   *devices.Device
	message  *Message
	sensor   vital.SensorID
	received time.Time

	element  element
	readings []vital.Reading
	refused  []vital.Refused
	told     []Refusal
	statuses []vital.Status
	wanted   bool
	clocks   *devices.ClockBook
	trial    *trial // of a mapping that is tried out; nil otherwise
	// ungranted is set while a message of a sensor is read that the gateway may not speak for (yet): all of it is refused for that.
	ungranted *refusal

	originals []vital.Original
	folded    []vital.Seen // of a message that is refused as a whole
}

// forget makes the decoder ready for another message, and lets go of this one's bytes.
func (d *decoder) forget() {
	clear(d.refused)
	clear(d.told)
	clear(d.readings)
	clear(d.statuses)
	clear(d.originals)
	*d = decoder{
		vocabulary: d.vocabulary, readings: d.readings[:0], refused: d.refused[:0], told: d.told[:0], statuses: d.statuses[:0], originals: d.originals[:0],
	}
}

// decode finds the readings and refusals of the message. What is wrong with it ends as a refusal: it cannot fail.
func (d *decoder) decode() {
	if d.message.Mapping != nil {
		d.throughBroker()
	} else {
		d.wire()
	}
	d.settleSeen()
}

// wire takes a message of the wire that docs/wire.md describes.
func (d *decoder) wire() {
	to, no := find(d.message.Topic, d.device)
	switch {
	case no != nil && no.reason == vital.ReasonSensor && d.message.Oversize == nil:
		d.ungranted = no
		d.readUngranted(to)
	case no != nil:
		d.refuseWhole(no)
	case d.message.Oversize != nil:
		d.refuseWhole(refuse(vital.ReasonTooLarge, "the message has %d bytes; send smaller ones", d.message.Oversize.Length))
	case to.route == toStatus:
		d.sensor = to.sensor
		d.status()
	case to.route == toAnswer:
		d.answered(to.command)
	case to.route == toFormat:
		d.sensor = to.sensor
		d.formatted(to.format)
	default:
		d.sensor = to.sensor
		d.body()
	}
}

// body takes a message of readings: one object, or a list of them. Elements stand alone, but a message that stops being
// JSON somewhere is refused as a whole, because it is not known where an element ends.
func (d *decoder) body() {
	s := scanner{src: d.message.Payload}
	s.space()
	err := d.elements(&s)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		d.refuseAll(refuse(vital.ReasonUnparsable, "%s", err))
	}
}

// refuseAll refuses a message that cannot be taken apart, with all measurements that were read of it: any may be an emergency.
func (d *decoder) refuseAll(no *refusal) {
	d.fold()
	d.wanted = false
	whole := *no
	whole.also = append(slices.Clone(no.also), d.folded...)
	d.refuseWhole(&whole)
}

// fold lets go of the elements that were taken, but for what could be read of them.
func (d *decoder) fold() {
	for i := range d.readings {
		d.folded = append(d.folded, vital.Seen{Read: d.readings[i]})
	}
	for i := range d.refused {
		for _, s := range d.refused[i].All() {
			if d.refused[i].Reason == vital.ReasonClock {
				s.Read.MeasuredAt = time.Time{} // nobody knows when
			}
			d.folded = append(d.folded, s)
		}
	}
	d.readings, d.refused, d.told = d.readings[:0], d.refused[:0], d.told[:0]
}

// end reports what stands behind the message's value.
func (s *scanner) end() error {
	s.space()
	if s.at < len(s.src) {
		return s.wrong("something follows the end of the message")
	}
	return nil
}

func (d *decoder) elements(s *scanner) error {
	switch s.peek() {
	case '{':
		return d.one(s, 0)
	case '[':
	default:
		return s.wrong("a message is an object or a list of objects")
	}
	more, err := s.enter(']')
	var tooMany error
	for index := 0; more && err == nil; index++ {
		if index == maxElements {
			tooMany = fault.New(fault.Invalid, "the list has more than %d elements; send it in parts", maxElements)
		}
		if tooMany != nil { // its numbers are read all the same
			d.fold()
		}
		if err = d.one(s, index); err != nil {
			break
		}
		more, err = s.more(']')
	}
	return cmp.Or(tooMany, err)
}

// one takes one element: it becomes a reading or a refusal. The error is one of syntax.
func (d *decoder) one(s *scanner, index int) error {
	start := s.at
	if s.peek() != '{' {
		v, err := s.value()
		if err == nil {
			d.refuseElement(s.src[start:s.at], index, refuse(vital.ReasonUnparsable, "the element is %s; send an object", v.kind))
		}
		return err
	}
	e := &d.element
	*e = element{}
	if err := s.element(e); err != nil {
		return err
	}
	d.wanted = d.wanted || e.receipt.kind == boolean && e.receipt.raw[0] == 't'
	d.readings = append(d.readings, vital.Reading{ReceivedAt: d.received})
	r := &d.readings[len(d.readings)-1]
	if no := d.admit(d.normalise(e, r), r); no != nil {
		d.readings = d.readings[:len(d.readings)-1]
		if e.earlier != nil {
			d.firstOf(e, no)
		}
		d.refuseElement(s.src[start:s.at], index, no)
		return nil
	}
	d.address(r)
	return nil
}

// firstOf reads an element in which a field stands twice, and which was refused as if the last were meant, as if the first were. Where its
// numbers are others it is refused for these too: either may be an emergency.
func (d *decoder) firstOf(e *element, last *refusal) {
	first := e.asFirst()
	r := vital.Reading{ReceivedAt: d.received}
	no := d.normalise(&first, &r)
	switch {
	case no == nil || no.read == nil:
	case last.read == nil:
		last.read, last.beyond = no.read, no.beyond
	case last.read.Metric != no.read.Metric || last.read.Sent != no.read.Sent || last.beyond != no.beyond:
		d.address(no.read)
		last.also = append(last.also, vital.Seen{Read: *no.read, Beyond: no.beyond})
	}
}

// address says whose the reading is: by the sensor that measured it and the time when it did, never by the payload.
func (d *decoder) address(r *vital.Reading) {
	r.Org, r.Device = d.device.Org, d.device.ID
	if d.message.Mapping != nil {
		r.Findings |= vital.ThroughBroker
	}
	if r.Findings&vital.UserUnsure != 0 {
		return // the device is not sure whose it is
	}
	a, ok, _ := d.snapshot.OwnerWithin(r.Sensor, r.MeasuredAt, r.Unsure(), r.ReceivedAt)
	if !ok || a.Org != d.device.Org {
		return // it waits in the inbox
	}
	r.Patient, r.Assignment, r.Epoch = a.Patient, a.ID, a.Epoch
}

// refuseWhole keeps the message as it is, or its head when the door drained it.
func (d *decoder) refuseWhole(no *refusal) {
	d.refuseElement(d.message.Payload, 0, no)
	if o := d.message.Oversize; o != nil {
		last := &d.refused[len(d.refused)-1]
		last.Length, last.Hash = o.Length, o.Hash
	}
}

// refuseElement keeps raw, which is what Length and Hash are of, with the reason and with what could be read of it: that is
// screened, and stored as no reading. What is refused of the same bytes for the same reason is one refusal, and its sender is told the
// same once.
func (d *decoder) refuseElement(raw []byte, index int, no *refusal) {
	if d.ungranted != nil {
		no = &refusal{reason: d.ungranted.reason, detail: d.ungranted.detail, beyond: no.beyond, read: no.read, also: no.also, timeless: no.timeless}
	}
	if no.read != nil {
		if d.address(no.read); no.timeless {
			no.read.MeasuredAt = time.Time{}
		}
	}
	r := d.refusedBefore(raw, no.reason)
	if r == nil {
		d.refused = append(d.refused, vital.Refused{
			Org: d.device.Org, Device: d.device.ID, ReceivedAt: d.received, Topic: printable(d.message.Topic),
			Reason: no.reason, Detail: no.detail,
			Raw: raw[:min(len(raw), rawKept)], Length: int64(len(raw)), Hash: sha256.Sum256(raw),
		})
		r = &d.refused[len(d.refused)-1]
	}
	r.See(no.read, no.beyond)
	for i := range no.also {
		r.See(&no.also[i].Read, no.also[i].Beyond)
	}
	if told := (Refusal{Index: index, Reason: no.reason, Field: no.field, Detail: no.detail}); len(d.told) == 0 || d.told[len(d.told)-1] != told {
		d.told = append(d.told, told)
	}
}

// refusedBefore returns the refusal of the same part of the message for the same reason, nil when there is none.
func (d *decoder) refusedBefore(raw []byte, why vital.Reason) *vital.Refused {
	for i := len(d.refused) - 1; i >= 0 && len(raw) > 0; i-- {
		r := &d.refused[i]
		if r.Length != int64(len(raw)) || &r.Raw[0] != &raw[0] {
			return nil
		}
		if r.Reason == why {
			return r
		}
	}
	return nil
}

// printable returns a topic as text that every store and screen takes.
func printable(topic string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(topic[:min(len(topic), maxTopicKept)], "?"), "\x00", "?")
}
