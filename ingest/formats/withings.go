package formats

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"hale/vital"
)

// unknownSlot is the user of a device that does not know which of its users it was.
const unknownSlot = 255

// Withings reads the answer of "Measure - Getmeas": groups of measures, each a whole number and a power of ten in a unit that its
// type fixes. A group without its answer is read too: that is how one is kept that was refused, and decoded again.
func Withings(src []byte) Message { return reading(src, withings) }

func withings(root *node) Message {
	if no := root.is(object); no != nil {
		return no.beneath(root, isGroup, group)
	}
	if root.get("status") == nil && root.get("measures") != nil {
		return group(root)
	}
	status, no := root.need("status", number)
	if no == nil && status.raw != "0" {
		no = malformed(status.path, "%s is an error of Withings, and no measurement", clipped(status.raw, 20))
	}
	body, none := root.need("body", object)
	if no = cmp.Or(no, none); no != nil {
		return no.beneath(root, isGroup, group)
	}
	groups, no := body.need("measuregrps", list)
	if no != nil {
		return no.beneath(root, isGroup, group)
	}
	if len(groups.items) == 0 || len(groups.items) > most {
		return malformed(groups.path, "it has %d groups; send 1 to %d", len(groups.items), most).list(groups.items, group)
	}
	var all Message
	for i, g := range groups.items {
		all.join(group(g), Of{i, g.src})
	}
	return all
}

func isGroup(n *node) bool { return n.get("measures") != nil }

// group takes one group of measures, which were measured together. Where something of it is wrong all of it is refused, and its numbers
// are read all the same, but those of a goal.
func group(g *node) Message {
	var d Draft
	if no := g.is(object); no != nil {
		return refused(no)
	}
	var first *Refusal
	for _, step := range []func(*node) *Refusal{d.dated, d.category, d.attrib} {
		no := step(g)
		if no != nil && no.NotKept {
			return refused(no.of(d))
		}
		first = cmp.Or(first, no)
	}
	measures, no := g.need("measures", list)
	if first = cmp.Or(first, no); measures == nil || no != nil && measures.kind != object {
		return refused(first.of(d))
	}
	items := measures.items
	if no != nil {
		items = []*node{measures} // one that is no list
	}
	found := map[int64]vital.Quantity{}
	for _, m := range items {
		kind, q, no := measure(m)
		_, twice := found[kind]
		if no == nil && twice {
			no = malformed(m.path, "type %d stands more than once", kind)
		}
		if first = cmp.Or(first, no); !twice && (no == nil || q != (vital.Quantity{})) {
			found[kind] = q
		}
	}
	m := d.measures(found, measures)
	if first != nil {
		return first.whole(&m)
	}
	return m
}

// dated takes when a group was measured, and its name.
func (d *Draft) dated(g *node) *Refusal {
	d.Time.Field = g.at("date")
	at, first := g.need("date", number)
	if first == nil {
		d.Time.At, first = epoch(at)
	}
	if id := g.get("grpid"); id != nil {
		n, no := id.whole()
		if no == nil {
			d.Identifier = "withings|" + strconv.FormatInt(n, 10)
		}
		first = cmp.Or(first, no)
	}
	if device := g.get("deviceid"); device != nil && device.kind == text {
		d.fact("device", "%s", clipped(device.raw, 100))
	}
	return first
}

// category tells measurements from goals.
func (*Draft) category(g *node) *Refusal {
	category, no := g.need("category", number)
	switch {
	case no != nil:
		return no
	case category.raw == "1":
		return nil
	case category.raw == "2":
		return notKept(category.path, "2: this is a goal, and no measurement")
	}
	return malformed(category.path, "%s is none; 1 is a measurement, 2 a goal", clipped(category.raw, 20))
}

// attrib takes how the device knew whose the group is.
func (d *Draft) attrib(g *node) *Refusal {
	attrib, no := g.need("attrib", number)
	if no != nil {
		d.Slot, d.HasSlot = unknownSlot, true
		return no
	}
	switch attrib.raw {
	case "0": // the device was sure whose it is
	case "2", "4":
		d.fact("modality", "entered by hand")
	case "5":
		d.fact("modality", "the device chose it from several")
	case "7":
		d.fact("modality", "confirmed by the user")
	default: // 1: it may be another user's; others are not known to us
		d.Slot, d.HasSlot = unknownSlot, true
		d.fact("attrib", "%s", clipped(attrib.raw, 20))
	}
	return nil
}

// latestEpoch is what tells seconds from milliseconds: it is the year 5138 in the one and 1973 in the other.
const latestEpoch = 100_000_000_000

// epoch reads seconds since 1970 (UTC).
func epoch(n *node) (time.Time, *Refusal) {
	s, no := n.whole()
	if no != nil {
		no.Reason = vital.ReasonClock
		return time.Time{}, no
	}
	if s >= latestEpoch || s <= -latestEpoch {
		return time.Time{}, refuse(vital.ReasonClock, n.path, "%d is no time in seconds; is it in milliseconds?", s)
	}
	return time.Unix(s, 0).UTC(), nil
}

// measure takes {"value":110100,"type":1,"unit":-3}, which is 110.100. A number that could be read is returned beside the refusal too.
func measure(m *node) (kind int64, q vital.Quantity, first *Refusal) {
	if no := m.is(object); no != nil {
		return 0, q, no
	}
	var parts [2]int64
	for i, name := range [...]string{"type", "unit"} {
		n, no := m.need(name, number)
		if no == nil {
			parts[i], no = n.whole()
		}
		if no != nil {
			return 0, q, no
		}
	}
	unit, _ := withingsType(parts[0])
	value, no := m.need("value", number)
	if value == nil {
		return parts[0], q, no
	}
	if q, first = value.decimal(unit); first != nil && q == (vital.Quantity{}) {
		return parts[0], q, first
	}
	if _, no := value.whole(); first == nil {
		first = no
	}
	e := parts[1] + int64(q.Exponent)
	if parts[1] < -largestExponent || parts[1] > largestExponent || e < -largestExponent || e > largestExponent {
		return parts[0], vital.Quantity{}, refuse(vital.ReasonNotANumber, m.path, "%s times ten to the power of %d is measured by no sensor", clipped(value.raw, 40), parts[1])
	}
	q.Exponent = int8(e)
	return parts[0], q, first
}

// withingsType returns the unit of a type and what it is; clinical/formats.md, section 4. NoUnit is a type without a unit that
// Hale knows.
func withingsType(kind int64) (vital.Unit, string) {
	switch kind {
	case 1:
		return vital.Kilogram, "weight"
	case 4:
		return vital.NoUnit, "height_m"
	case 5:
		return vital.Kilogram, "fat_free_mass"
	case 6:
		return vital.Percent, "fat_ratio"
	case 8:
		return vital.Kilogram, "fat_mass"
	case 9:
		return vital.MmHg, "diastolic"
	case 10:
		return vital.MmHg, "systolic"
	case 11:
		return vital.PerMinute, "heart_rate"
	case 12:
		return vital.Celsius, "temperature"
	case 54:
		return vital.Percent, "oxygen_saturation"
	case 71:
		return vital.Celsius, "body_temperature"
	case 73:
		return vital.Celsius, "skin_temperature"
	case 76:
		return vital.Kilogram, "muscle_mass"
	case 88:
		return vital.Kilogram, "bone_mass"
	case 123:
		return vital.NoUnit, "vo2_max"
	}
	return vital.NoUnit, fmt.Sprintf("type_%d", kind)
}

// measures makes the measurements of a group. What Hale keeps no measurement of stands beside them as a fact.
func (d *Draft) measures(found map[int64]vital.Quantity, at *node) Message {
	var m Message
	var taken []int64
	take := func(metric vital.Metric, kinds ...int64) {
		one := *d
		one.Metric, one.Facts = metric, slices.Clone(d.Facts)
		for _, k := range kinds {
			if q, there := found[k]; there {
				one.add(q)
			}
		}
		taken = append(taken, kinds...)
		m.take(one)
	}
	const systolic, diastolic, pulse = 10, 9, 11
	_, high := found[systolic]
	_, low := found[diastolic]
	switch {
	case high && low:
		take(vital.BloodPressure, systolic, diastolic, pulse)
	case high || low:
		one := *d
		one.Metric = vital.BloodPressure
		one.put(0, found[systolic])
		one.put(1, found[diastolic])
		m.refuse(refuse(vital.ReasonMetric, at.path, "a blood pressure needs systolic (10) and diastolic (9)").of(one))
		taken = append(taken, systolic, diastolic)
	}
	for _, k := range [...]struct {
		kind   int64
		metric vital.Metric
	}{{pulse, vital.HeartRate}, {1, vital.BodyWeight}, {54, vital.OxygenSat}, {71, vital.BodyTemperature}, {73, vital.SkinTemperature}, {76, vital.MuscleMass}} {
		if _, there := found[k.kind]; there && !slices.Contains(taken, k.kind) {
			take(k.metric, k.kind)
		}
	}
	var beside []vital.Fact
	var kinds []int64
	for k := range found {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		if !slices.Contains(taken, k) {
			_, name := withingsType(k)
			beside = append(beside, vital.Fact{Name: name, Value: words(found[k])})
		}
	}
	switch {
	case len(m.Drafts) > 0:
		m.Drafts[0].Facts = append(m.Drafts[0].Facts, beside...)
	case len(m.Refused) == 0 && len(beside) > 0:
		m.refuse(notKept(at.path, "%s is no measurement that Hale keeps", beside[0].Name).of(*d))
	case len(m.Refused) == 0:
		m.refuse(malformed(at.path, "the group holds no measure").of(*d))
	}
	return m
}
