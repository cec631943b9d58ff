package ingest

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/ingest/formats"
	"hale/vital"
)

// maxFacts bounds what is kept beside one measurement.
const maxFacts = 64

// formatted takes a message in a format of the world. What its decoder made of it goes the way of every other reading.
func (d *decoder) formatted(format string) {
	m, err := formats.Read(format, d.message.Payload)
	if err != nil {
		d.refuseWhole(refuse(vital.ReasonTopic, "%s", err))
		return
	}
	for i := range m.Refused {
		d.refuseFormatted(&m.Refused[i])
	}
	for i := range m.Drafts {
		d.draft(&m.Drafts[i])
	}
	if m.Context != nil {
		d.context(m.Context)
	}
	d.aboutItself(m.Facts)
	if len(d.readings) > 0 {
		d.keepOriginal()
	}
}

// draft makes a reading of a measurement, or a refusal.
func (d *decoder) draft(t *formats.Draft) {
	d.readings = append(d.readings, vital.Reading{ReceivedAt: d.received})
	r := &d.readings[len(d.readings)-1]
	no := d.fill(r, t)
	if no == nil && t.Standing == vital.EnteredInError {
		takeBack(r, t.Identifier)
	}
	no = d.admit(no, r)
	if no != nil {
		d.readings = d.readings[:len(d.readings)-1]
		d.refuseElement(d.partOf(t.Part), t.Index, no)
		return
	}
	d.address(r)
}

// fill brings a draft into the reading by the same way as an element of our own format.
func (d *decoder) fill(r *vital.Reading, t *formats.Draft) *refusal {
	w := d.metrics[t.Metric.String()]
	if w == nil {
		return refuse(vital.ReasonMetric, "what was measured is not known")
	}
	r.Metric, r.Sent, r.N, r.Findings, r.HasSequence = t.Metric, t.Sent, t.N, t.Findings, t.HasSequence
	r.More = moreOf(t)
	switch t.Standing {
	case vital.Summary:
		r.Findings |= vital.Averaged
	case vital.Amended:
		r.Findings |= vital.Amending
	case vital.Final, vital.EnteredInError:
	}
	r.Tie = t.Sequence
	if !t.HasSequence {
		r.Tie = vital.TieOf(t.Measured())
	}
	at, noTime := momentOf(t.Time)
	s := said{moment: at, slot: slot{t.Slot, t.HasSlot}, wrong: [5]*refusal{noTime}}
	if t.Standing == vital.EnteredInError { // it need not repeat what it takes back, and may repeat it in any form: also a time that cannot be
		if noTime == nil && d.clock(s, r) == nil {
			return nil
		}
		s.moment = moment{}
		return d.clock(s, r)
	}
	return d.settle(w, r, s)
}

// mostIdentifier is how many bytes of an identifier are kept for people to read. It is known by all of it.
const mostIdentifier = 200

// takeBack leaves nothing of a measurement but that there is none: it has its sender's name and no number.
func takeBack(r *vital.Reading, identifier string) {
	r.Sent, r.N, r.HasSequence = [3]vital.Quantity{}, 0, false
	r.Tie = r.More.Name
	r.More.Facts = []vital.Fact{{Name: vital.Identifier, Value: strings.ToValidUTF8(identifier[:min(len(identifier), mostIdentifier)], "?")}}
}

// momentOf takes the time of a draft. One that says no more than the month is none by which anything could be judged.
func momentOf(t formats.Time) (moment, *refusal) {
	m := moment{field: t.Field, untilField: t.UntilField, foreign: true}
	switch t.Precision {
	case formats.ToMonth, formats.ToYear:
		return m, m.refuse("the time says no more than the month or the year; send the day at least")
	case formats.ToDay, formats.Exact:
	}
	m.at, m.local, m.day, m.until = t.At, t.Local && !t.At.IsZero(), t.Precision == formats.ToDay, t.Until
	return m, nil
}

// moreOf returns what stands beside the numbers; nil when nothing does.
func moreOf(t *formats.Draft) *vital.More {
	facts := t.Facts
	if !t.Time.Until.IsZero() {
		facts = append([]vital.Fact{{Name: vital.Until, Value: endOf(t.Time)}}, facts...)
	}
	if len(facts) > maxFacts {
		facts = append(slices.Clone(facts[:maxFacts]), vital.Fact{Name: "more", Value: strconv.Itoa(len(facts)-maxFacts) + " further facts were not kept"})
	}
	if len(facts) == 0 && t.Identifier == "" && t.Standing == vital.Final {
		return nil
	}
	return &vital.More{Standing: t.Standing, Name: vital.TieOfName(t.Identifier), Facts: facts}
}

func endOf(t formats.Time) string {
	switch {
	case t.Precision != formats.Exact:
		return t.Until.Format(time.DateOnly)
	case t.Local:
		return t.Until.Format("2006-01-02T15:04:05")
	}
	return t.Until.Format(time.RFC3339Nano)
}

// context takes what a meter says beside the measurement of a sequence number. It is no reading: it has no number.
func (d *decoder) context(c *formats.GlucoseContext) {
	if d.ungranted != nil {
		d.refuseWhole(d.ungranted)
		return
	}
	r := vital.Reading{ReceivedAt: d.received, HasSequence: true, More: &vital.More{Facts: c.Facts}}
	r.Metric, r.Tie = vital.Glucose, c.Sequence
	if no := d.clock(said{}, &r); no != nil {
		d.refuseWhole(no)
		return
	}
	r.Findings = 0
	d.address(&r)
	d.readings = append(d.readings, r)
}

// aboutItself takes what a device says of itself.
func (d *decoder) aboutItself(facts []vital.Fact) {
	if d.ungranted != nil {
		return
	}
	for _, f := range facts {
		percent, ok := strings.CutSuffix(f.Value, " %")
		level, err := strconv.ParseUint(percent, 10, 8)
		if f.Name != "battery" || !ok || err != nil {
			continue
		}
		d.note(vital.Status{Sensor: d.sensor, Battery: uint8(level), HasBattery: true, Raw: d.message.Payload[:min(len(d.message.Payload), statusKept)]})
	}
}

// refuseFormatted keeps what the decoder refused.
func (d *decoder) refuseFormatted(f *formats.Refusal) {
	no := &refusal{reason: f.Reason, detail: f.Detail, field: f.Field, beyond: f.Beyond}
	if f.NotKept {
		no.reason = vital.ReasonNotKept
	}
	if f.Draft != nil && f.Draft.Metric != 0 && (!f.NotKept || f.Draft.N > 0) && f.Draft.Standing != vital.EnteredInError {
		read := vital.Reading{ReceivedAt: d.received}
		why := d.fill(&read, f.Draft) // it is refused anyway
		no.read, no.timeless = &read, why != nil && why.reason == vital.ReasonClock
	}
	d.refuseElement(d.partOf(f.Part), f.Index, no)
}

// partOf returns the bytes of the element, or the whole message where it is one.
func (d *decoder) partOf(part []byte) []byte {
	if part == nil {
		return d.message.Payload
	}
	return part
}

// keepOriginal keeps the message for a time beside what was decoded of it.
func (d *decoder) keepOriginal() {
	d.originals = append(d.originals, vital.Original{
		Org: d.device.Org, Device: d.device.ID, ReceivedAt: d.received, Topic: printable(d.message.Topic),
		Raw: d.message.Payload, Hash: sha256.Sum256(d.message.Payload),
	})
}
