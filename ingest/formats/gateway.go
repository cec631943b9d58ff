package formats

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"hale/vital"
)

// Gateway reads the JSON of home gateways and of cuffs behind a bridge (clinical/formats.md, section 4), whose units are fixed by
// their makers: mmHg, /min, %, kg, Celsius, and mg/dL for glucose.
func Gateway(src []byte) Message {
	return each(src, func(n *node) Message {
		if no := n.is(object); no != nil {
			return refused(no)
		}
		if n.get("systolic") != nil || n.get("diastolic") != nil {
			return bridged(n)
		}
		return report(n)
	})
}

// report takes what a gateway forwards of a sensor, or its own sign of life.
func report(n *node) Message {
	kind, no := n.need("type", text)
	if no != nil {
		return refused(no)
	}
	if kind.raw == "HB_Msg" {
		return Message{Facts: []vital.Fact{{Name: "heartbeat", Value: clipped(said(n, "mac"), 40)}}}
	}
	if kind.raw != "reportAttribute" {
		return refused(notKept(kind.path, "%s is no measurement; reportAttribute is", strconv.Quote(clipped(kind.raw, 40))))
	}
	var d Draft
	at, no := n.need("time", number)
	if no == nil {
		d.Time.At, no = epoch(at)
	}
	if no != nil {
		return refused(no)
	}
	data, no := n.need("data", object)
	if no != nil {
		return refused(no.of(d))
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
		return refused(no.of(d))
	}
	return d.reported(value)
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
	case has("temp"):
		if mode := said(v, "mode"); mode != "" {
			d.fact("measurement_location", "%s", clipped(mode, 100))
		}
		return d.made(v, vital.BodyTemperature, field{"temp", vital.Celsius})
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

// field is a number of a gateway's JSON and the unit that it has by its maker's word.
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
	if first != nil {
		return refused(first.of(one))
	}
	return Message{Drafts: []Draft{one}}
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
	stamp := n.get("timestamp")
	if stamp == nil {
		return refused(refuse(vital.ReasonClock, n.at("timestamp"), "it is missing"))
	}
	var no *Refusal
	if d.Time, no = clock(stamp); no != nil {
		return refused(no)
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
		if no != nil {
			return refused(no.of(d))
		}
		d.Slot, d.HasSlot = uint8(u), true
	}
	return d.made(n, vital.BloodPressure, field{"systolic", vital.MmHg}, field{"diastolic", vital.MmHg}, field{"pulse", vital.PerMinute})
}

// clock reads a time of RFC 3339, the same without zone (with a T or a space), or seconds since 1970.
func clock(n *node) (Time, *Refusal) {
	if n.kind == number {
		t, no := epoch(n)
		return Time{At: t}, no
	}
	if n.kind == text {
		for _, layout := range [...]string{"2006-01-02T15:04:05", time.DateTime} {
			if t, err := time.Parse(layout, n.raw); err == nil && len(n.raw) == len(layout) {
				return Time{At: t, Local: true}, nil
			}
		}
	}
	t, no := moment(n)
	return Time{At: t}, no
}
