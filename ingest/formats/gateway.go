package formats

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/vital"
)

// Gateway reads the JSON of home gateways and of cuffs behind a bridge (clinical/formats.md, section 4). Their makers name no unit; a
// sender may, as "unit" beside the numbers. Without it a number is taken only where it can be in no other unit than that of the makers'
// examples, see inUnit.
func Gateway(src []byte) Message {
	return each(src, forwarded)
}

func forwarded(n *node) Message {
	if no := n.is(object); no != nil {
		return no.beneath(n, isForwarded, forwarded)
	}
	if isBridged(n) {
		return bridged(n)
	}
	return report(n)
}

func isBridged(n *node) bool { return n.get("systolic") != nil || n.get("diastolic") != nil }

func isForwarded(n *node) bool { return isBridged(n) || n.get("data").get("value") != nil }

// report takes what a gateway forwards of a sensor, or its own sign of life.
func report(n *node) Message {
	kind, first := n.need("type", text)
	if first == nil && kind.raw == "HB_Msg" {
		return Message{Facts: []vital.Fact{{Name: "heartbeat", Value: clipped(said(n, "mac"), 40)}}}
	}
	if first == nil && kind.raw != "reportAttribute" {
		return notKept(kind.path, "%s is no measurement; reportAttribute is", strconv.Quote(clipped(kind.raw, 40))).beneath(n, isForwarded, forwarded)
	}
	d := Draft{Time: Time{Field: n.at("time")}}
	at, no := n.need("time", number)
	if no == nil {
		d.Time.At, no = epoch(at)
	}
	first = cmp.Or(first, no)
	data, no := n.need("data", object)
	if no != nil {
		return cmp.Or(first, no).of(d).beneath(n, isForwarded, forwarded)
	}
	for _, f := range [...]struct{ name, from, value string }{
		{"gateway", "mac", said(n, "mac")}, {"sensor", "ble_mac", said(data, "ble_mac")}, {"model", "attribute", said(data, "attribute")},
	} {
		if f.value != "" {
			d.fact(f.name, "%s", clipped(f.value, 100))
		}
	}
	value, no := data.need("value", object)
	if no != nil {
		return cmp.Or(first, no).of(d).beneath(n, isForwarded, forwarded)
	}
	m := d.reported(value)
	if first != nil {
		return first.whole(&m)
	}
	return m
}

// said returns a text of an object, "" when it is none.
func said(n *node, name string) string {
	if v := n.get(name); v != nil && v.kind == text {
		return v.raw
	}
	return ""
}

// reported takes the value of a sensor, which is known by its fields.
func (d *Draft) reported(v *node) Message {
	has := func(name string) bool { return v.get(name) != nil }
	switch {
	case has("bp_high") || has("bp_low"):
		pulse := "pr"
		if !has(pulse) {
			pulse = "PR"
		}
		return d.made(v, vital.BloodPressure, field{"bp_high", vital.MmHg}, field{"bp_low", vital.MmHg}, field{pulse, vital.PerMinute})
	case has("blood_glucose"):
		if marker := said(v, "marker"); marker != "" {
			d.fact("marker", "%s", clipped(marker, 100))
		}
		return d.made(v, mealOf(said(v, "marker")), field{"blood_glucose", vital.MgPerDL})
	case has("weight"):
		if r := v.get("Resistance"); r != nil && r.kind == number {
			d.fact("resistance", "%s Ohm", clipped(r.raw, 40))
		}
		return d.made(v, vital.BodyWeight, field{"weight", vital.Kilogram})
	case has("spo2"):
		m := d.made(v, vital.OxygenSat, field{"spo2", vital.Percent})
		for _, name := range [...]string{"pulse", "pr"} {
			if has(name) {
				pulse := d.made(v, vital.HeartRate, field{name, vital.PerMinute})
				m.Drafts, m.Refused = append(m.Drafts, pulse.Drafts...), append(m.Refused, pulse.Refused...)
				break
			}
		}
		return m
	case has("temp") || has("Temp"):
		temp := "temp"
		if !has(temp) {
			temp = "Temp"
		}
		if mode := said(v, "mode"); mode != "" {
			d.fact("measurement_location", "%s", clipped(mode, 100))
		}
		return d.made(v, vital.BodyTemperature, field{temp, vital.Celsius})
	}
	return refused(notKept(v.path, "it holds no measurement that Hale keeps").of(*d))
}

// mealOf finds the metric of a glucose by what its meter was told.
func mealOf(marker string) vital.Metric {
	switch strings.ToLower(strings.TrimSpace(marker)) {
	case "fasting", "before meal", "before meals":
		return vital.GlucoseFasting
	case "after meal", "after meals":
		return vital.GlucosePostMeal
	}
	return vital.Glucose
}

// field is a number of a gateway's JSON and the unit that it has in its maker's example. A count per minute is told by its name.
type field struct {
	name string
	unit vital.Unit
}

// made makes a measurement of fields. An optional one at the end may be missing.
func (d *Draft) made(v *node, metric vital.Metric, fields ...field) Message {
	one := *d
	one.Metric = metric
	one.Facts = append([]vital.Fact(nil), d.Facts...)
	def, _ := vital.Define(metric)
	var first *Refusal
	for i, f := range fields {
		n := v.get(f.name)
		if n == nil && def.Components[i].Optional {
			continue
		}
		if n == nil {
			first = cmp.Or(first, refuse(vital.ReasonMetric, v.at(f.name), "it is missing"))
			continue
		}
		q, no := n.decimal(f.unit)
		if no == nil && nothing(q) {
			q, no = vital.Quantity{}, refuse(vital.ReasonNotANumber, n.path, "%s is what devices send when they measured nothing", q)
		}
		if no != nil && def.Components[i].Optional {
			one.Findings |= vital.PulseDropped
			continue
		}
		one.put(i, q)
		first = cmp.Or(first, no)
	}
	if first = cmp.Or(first, one.inUnit(v, fields[0].unit)); first != nil {
		return refused(first.of(one))
	}
	return Message{Drafts: []Draft{one}}
}

// clearGlucose is above what a glucose without a unit can be mg/dL alone: from 10 to here it may be either (clinical/vitals.csv, J).
const clearGlucose = 40

// inUnit settles the unit of the numbers that have the usual one. What is said beside them holds. Where nothing is, they are refused if
// they can be in another unit, and hold none then: of 76.3 nobody can know whether it was kg or lb, and a unit is not guessed.
func (d *Draft) inUnit(v *node, usual vital.Unit) *Refusal {
	if usual == vital.PerMinute {
		return nil
	}
	def, _ := vital.Define(d.Metric)
	c := def.Components[0]
	if said := v.get("unit"); said != nil && said.kind != null {
		u, known := vital.ParseUnit(said.raw)
		if no := said.is(text); no != nil || !known || !slices.Contains(c.Accepted, u) {
			d.toUnit(usual, vital.NoUnit)
			return refuse(vital.ReasonUnit, said.path, "%s is none of: %s", strconv.Quote(clipped(said.raw, 40)), accepted(c))
		}
		d.toUnit(usual, u)
		return nil
	}
	var others []string
	for _, u := range c.Accepted {
		if u != usual && d.plausible(usual, u) {
			others = append(others, u.UCUM())
		}
	}
	if len(others) == 0 || usual == vital.MgPerDL && d.Sent[0].Float() > clearGlucose {
		return nil
	}
	d.toUnit(usual, vital.NoUnit)
	return refuse(vital.ReasonUnit, v.at("unit"), "it is missing, and %s need not be %s: it can be %s; send one of: %s",
		d.Sent[0], usual.UCUM(), strings.Join(others, " or "), accepted(c))
}

// toUnit gives the numbers that have one unit another.
func (d *Draft) toUnit(from, to vital.Unit) {
	for i := range d.Measured() {
		if d.Sent[i].Unit == from {
			d.Sent[i].Unit = to
		}
	}
}

// plausible reports whether the numbers that have one unit could be a person's if they had another.
func (d *Draft) plausible(from, in vital.Unit) bool {
	def, _ := vital.Define(d.Metric)
	some := false
	for i, q := range d.Measured() {
		if q.Unit != from {
			continue
		}
		q.Unit = in
		c := def.Components[i]
		v, fits := q.To(c.Canonical)
		if v = vital.Rounded(d.Metric, v); !fits || v < c.Min || v > c.Max {
			return false
		}
		some = true
	}
	return some
}

// nothing reports whether a number is one of those that devices send in place of none: 0, -1, the largest of two bytes, and the
// largest of one byte where no pressure is it.
func nothing(q vital.Quantity) bool {
	switch q.Float() {
	case 0, -1, 65535:
		return true
	case 255:
		return q.Unit == vital.PerMinute || q.Unit == vital.Percent || q.Unit == vital.Celsius
	}
	return false
}

// bridged takes what a bridge makes of a cuff's memory. Its clock is the cuff's, mostly without zone.
func bridged(n *node) Message {
	var d Draft
	first := refuse(vital.ReasonClock, n.at("timestamp"), "it is missing")
	if stamp := n.get("timestamp"); stamp != nil {
		d.Time, first = clock(stamp)
	}
	for _, f := range [...]struct {
		name    string
		finding vital.Finding
	}{{"irregular_heartbeat", vital.IrregularPulse}, {"body_movement", vital.BodyMovement}, {"cuff_loose", vital.CuffLoose}} {
		switch v := n.get(f.name); {
		case v == nil || v.kind == null || v.raw == "false" || v.raw == "0":
		case v.raw == "true" || v.raw == "1":
			d.Findings |= f.finding
		default:
			d.Findings |= vital.FindingUnclear
		}
	}
	if slot := n.get("user_slot"); slot != nil {
		u, no := slot.whole()
		if no == nil && (u < 0 || u > unknownSlot) {
			no = malformed(slot.path, "%d is no user; send 0 to %d", u, unknownSlot)
		}
		if first = cmp.Or(first, no); no != nil {
			u = unknownSlot
		}
		d.Slot, d.HasSlot = uint8(u), true
	}
	m := d.made(n, vital.BloodPressure, field{"systolic", vital.MmHg}, field{"diastolic", vital.MmHg}, field{"pulse", vital.PerMinute})
	if first != nil {
		return first.whole(&m)
	}
	return m
}

// clock reads a time of RFC 3339, the same without zone (with a T or a space), or seconds since 1970.
func clock(n *node) (Time, *Refusal) {
	if n.kind == number {
		t, no := epoch(n)
		return Time{At: t, Field: n.path}, no
	}
	if n.kind == text {
		for _, layout := range [...]string{"2006-01-02T15:04:05", time.DateTime} {
			if t, err := time.Parse(layout, n.raw); err == nil && len(n.raw) == len(layout) {
				return Time{At: t, Local: true, Field: n.path}, nil
			}
		}
	}
	t, no := moment(n)
	return Time{At: t, Field: n.path}, no
}
