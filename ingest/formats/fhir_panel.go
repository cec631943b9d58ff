package formats

import (
	"cmp"
	"slices"
	"strconv"

	"hale/fhir"
	"hale/vital"
)

// panel takes the components of a blood pressure.
func (d *Draft) panel(o *fhir.Observation, n *node) *Refusal {
	if o.ValueQuantity != nil || o.ValueInteger != nil {
		return refuse(vital.ReasonMetric, n.at("valueQuantity"), "a blood pressure has no value of its own; send systolic and diastolic as components")
	}
	def, _ := vital.Define(d.Metric)
	found := map[string]int{}
	var first *Refusal
	for i := range o.Component {
		part := partOf(&o.Component[i])
		if part == "" || part == "mean_pressure" {
			if part != "" {
				o.Component[i].Code.Text = part
			}
			d.kept(&o.Component[i])
			continue
		}
		if _, twice := found[part]; twice {
			first = cmp.Or(first, refuse(vital.ReasonMetric, n.at("component["+strconv.Itoa(i)+"]"), "%s stands twice", part))
			continue
		}
		found[part] = i
	}
	for place, c := range def.Components {
		i, there := found[c.Code]
		if !there && c.Optional {
			continue
		}
		if !there {
			first = cmp.Or(first, d.without(o, n, c.Code))
			continue
		}
		part := &o.Component[i]
		at := &node{path: n.at("component[" + strconv.Itoa(i) + "]")}
		q, no := value(numeric{part.ValueQuantity, nil, part.DataAbsentReason, part.Rest}, c, at)
		if no != nil && c.Optional && part.ValueQuantity == nil {
			continue
		}
		if no != nil && no.Beyond.Bound() {
			no.Beyond, q = 0, vital.Quantity{} // see apart
		}
		first = cmp.Or(first, no)
		d.put(place, q)
	}
	if first != nil && d.Standing == vital.EnteredInError {
		d.clear()
		return nil
	}
	return first
}

// partOf returns which part of a blood pressure a component is; "" when it is none.
func partOf(c *fhir.Component) (part string) {
	for _, w := range c.Code.Coding {
		if p, ok := fhir.ComponentOf(w); ok {
			part = p
		}
	}
	return part
}

// apart reads, of a blood pressure that is refused, what cannot stand beside the other numbers: a component that stands again, and one that
// is a bound.
func (d *Draft) apart(o *fhir.Observation, n *node) (m Message) {
	if d.Metric != vital.BloodPressure || d.Standing == vital.EnteredInError || o.Status == "cancelled" {
		return m
	}
	def, _ := vital.Define(d.Metric)
	found := map[string]bool{}
	for i := range o.Component {
		part := &o.Component[i]
		place := slices.IndexFunc(def.Components, func(c vital.Component) bool { return c.Code == partOf(part) })
		if place < 0 {
			continue
		}
		code := def.Components[place].Code
		at := &node{path: n.at("component[" + strconv.Itoa(i) + "]")}
		q, no := value(numeric{part.ValueQuantity, nil, part.DataAbsentReason, part.Rest}, def.Components[place], at)
		beyond := vital.Beyond(0)
		if no != nil {
			beyond = no.Beyond
		}
		if found[code] && q != d.Sent[place] || beyond.Bound() {
			one := *d
			one.Sent, one.N = [3]vital.Quantity{}, 0
			one.put(place, q)
			again := refuse(vital.ReasonMetric, at.path, "it cannot stand beside the rest")
			again.Beyond = beyond
			m.refuse(again.of(one))
		}
		found[code] = true
	}
	return m
}

// without refuses a blood pressure of which a pressure is missing.
func (d *Draft) without(o *fhir.Observation, n *node, part string) *Refusal {
	if o.DataAbsentReason != nil {
		return absent(n.at("dataAbsentReason"), o.DataAbsentReason)
	}
	return refuse(vital.ReasonMetric, n.at("component"), "%s is missing", part)
}
