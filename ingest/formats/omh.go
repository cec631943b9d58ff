package formats

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"hale/fault"
	"hale/vital"
)

// Schema names a schema of Open mHealth, such as blood-pressure 4.0. The zero Schema is none: each data point says its own.
type Schema struct{ Name, Version string }

// ParseSchema reads "blood-pressure:4.0"; "omh:blood-pressure:4.0", as the header of a data point has it, is the same. What is
// not of that form is fault.Invalid.
func ParseSchema(s string) (Schema, error) {
	name, version, ok := strings.Cut(strings.TrimPrefix(s, "omh:"), ":")
	if !ok || name == "" || version == "" {
		return Schema{}, fault.New(fault.Invalid, "%.60q names no schema; say it as blood-pressure:4.0", s)
	}
	return Schema{name, version}, nil
}

// OpenMHealth reads data points (header and body), one or a list of them, by the schemas of Open mHealth. Where a schema is given,
// bodies without header are read by it, and a data point of another one is refused.
func OpenMHealth(src []byte, s Schema) Message {
	return each(src, func(n *node) Message { return dataPoint(n, s) })
}

func isDataPoint(n *node) bool { return n.get("header") != nil && n.get("body") != nil }

func dataPoint(n *node, s Schema) Message {
	instead := func(no *Refusal) Message { // of the data point that is none
		return no.beneath(n, isDataPoint, func(n *node) Message { return dataPoint(n, s) })
	}
	if no := n.is(object); no != nil {
		if s != (Schema{}) && n.kind == list {
			return no.list(n.items, func(n *node) Message { return dataPoint(n, s) })
		}
		return instead(no)
	}
	header, body := n.get("header"), n.get("body")
	if header == nil && body == nil && s != (Schema{}) {
		return readBody(n, s, Draft{})
	}
	if header == nil || body == nil {
		if s == (Schema{}) && header == nil && body == nil {
			return instead(malformed(n.at("header"), "it is missing: a data point has a header and a body; to send a body alone, name its schema"))
		}
		which := "header"
		if body == nil {
			which = "body"
		}
		return instead(malformed(n.at(which), "it is missing: a data point has a header and a body"))
	}
	var d Draft
	said, no := d.header(header)
	if no == nil && s != (Schema{}) && said != s {
		no = malformed(header.at("schema_id"), "it says %s %s where %s %s was announced",
			clipped(said.Name, 40), clipped(said.Version, 40), s.Name, s.Version)
	}
	if no != nil && (no.NotKept || body.kind != object) {
		return refused(no)
	}
	if no != nil {
		m := readBody(body, schemaOf(header), d)
		return no.whole(&m)
	}
	if no := body.is(object); no != nil {
		return no.of(d).list(body.items, func(b *node) Message { return readBody(b, said, d) })
	}
	return readBody(body, said, d)
}

// header takes the header of a data point: header 1.x of Open mHealth, or that of IEEE 1752.1, which has other names for two of
// its fields. user_id is not read: whose a measurement is, is never taken from the payload.
func (d *Draft) header(h *node) (Schema, *Refusal) {
	if no := h.is(object); no != nil {
		return Schema{}, no
	}
	for _, names := range [...][2]string{{"id", "uuid"}, {"creation_date_time", "source_creation_date_time"}} {
		name := names[0]
		if h.get(name) == nil && h.get(names[1]) != nil {
			name = names[1]
		}
		v, no := h.need(name, text)
		if no != nil {
			return Schema{}, no
		}
		if names[0] == "id" {
			d.Identifier = clipped(v.raw, 200)
		} else if _, no := moment(v); no != nil {
			return Schema{}, no
		}
	}
	if no := d.provenance(h); no != nil {
		return Schema{}, no
	}
	id, no := h.need("schema_id", object)
	if no != nil {
		return Schema{}, no
	}
	var parts [3]string
	for i, name := range [...]string{"namespace", "name", "version"} {
		v, no := id.need(name, text)
		if no != nil {
			return Schema{}, no
		}
		parts[i] = v.raw
	}
	if parts[0] != "omh" {
		return Schema{}, notKept(id.at("namespace"), "of %q Hale reads no schema; it reads those of omh", clipped(parts[0], 40))
	}
	return Schema{parts[1], parts[2]}, nil
}

func (d *Draft) provenance(h *node) *Refusal {
	if m := h.get("modality"); m != nil { // of IEEE 1752.1
		if no := m.is(text); no != nil {
			return no
		}
		d.fact("modality", "%s", clipped(m.raw, 40))
	}
	p := h.get("acquisition_provenance")
	if p == nil {
		return nil
	}
	if no := p.is(object); no != nil {
		return no
	}
	source, no := p.need("source_name", text)
	if no != nil {
		return no
	}
	d.fact("source_name", "%s", clipped(source.raw, factAtMost))
	if m := p.get("modality"); m != nil {
		if no := m.among([]string{"sensed", "self-reported"}); no != nil {
			return no
		}
		d.fact("modality", "%s", m.raw)
	}
	if id := p.get("source_data_point_id"); id != nil {
		if no := id.is(text); no != nil {
			return no
		}
	}
	for _, name := range []string{"source_creation_date_time", "source_last_modification_date_time"} {
		if v := p.get(name); v != nil {
			if _, no := moment(v); no != nil {
				return no
			}
		}
	}
	return nil
}

// among refuses a text that is none of the words.
func (n *node) among(words []string) *Refusal {
	if no := n.is(text); no != nil {
		return no
	}
	if !slices.Contains(words, n.raw) {
		return refuse(vital.ReasonUnparsable, n.path, "%s is none of: %s", strconv.Quote(clipped(n.raw, 40)), strings.Join(words, ", "))
	}
	return nil
}

// schemaOf returns the schema that a header names, as far as it does: of one in which something else is wrong.
func schemaOf(h *node) Schema {
	id := h.get("schema_id")
	return Schema{said(id, "name"), said(id, "version")}
}

// readBody takes a body by its schema. Of a version that is not known it is read by the newest that is, to be refused: an emergency may
// be in it.
func readBody(b *node, s Schema, d Draft) Message {
	rules, no := rulesOf(s)
	if no != nil && majors(s.Name) > 0 {
		m := readBody(b, Schema{s.Name, strconv.Itoa(majors(s.Name))}, d)
		return no.whole(&m)
	}
	if no != nil {
		return refused(no.of(d))
	}
	d.Metric = rules.metric
	var first *Refusal
	for _, step := range []func(*node, *schemaRules) *Refusal{d.numbers, d.frame, d.statistic, d.beside} {
		no := step(b, &rules)
		switch {
		case no == nil:
		case first == nil:
			first = no
		default: // all that is to be mended is told at once
			first.Detail += "; " + no.Detail
			first.NotKept = first.NotKept && no.NotKept
		}
	}
	no = d.blood(b)
	if no != nil {
		d.clear()
	}
	if no = cmp.Or(first, no); no != nil {
		return refused(no.of(d))
	}
	return Message{Drafts: []Draft{d}}
}

// numbers takes the values of the body, and after a refusal the others all the same.
func (d *Draft) numbers(b *node, rules *schemaRules) (first *Refusal) {
	for i, name := range rules.values {
		v := b.get(name)
		if v == nil {
			first = cmp.Or(first, refuse(vital.ReasonMetric, b.at(name), "it is missing"))
			continue
		}
		var q vital.Quantity
		var no *Refusal
		if rules.bare != vital.NoUnit {
			q, no = v.decimal(rules.bare)
		} else {
			q, no = d.unitValue(v, rules.units)
		}
		d.put(i, q)
		first = cmp.Or(first, no)
	}
	return first
}

// unitValue takes {"value":128,"unit":"mmHg"}. A number whose unit is not known is returned without one, beside the refusal.
func (d *Draft) unitValue(v *node, units []spelling) (vital.Quantity, *Refusal) {
	if no := v.is(object); no != nil {
		return vital.Quantity{}, no
	}
	value := v.get("value")
	if value == nil {
		return vital.Quantity{}, refuse(vital.ReasonNotANumber, v.at("value"), "it is missing")
	}
	q, first := value.decimal(vital.NoUnit)
	if first != nil && q == (vital.Quantity{}) {
		return q, first
	}
	unit := v.get("unit")
	if unit == nil {
		return q, cmp.Or(first, refuse(vital.ReasonUnit, v.at("unit"), "it is missing; send one of: %s", spelled(units)))
	}
	if no := unit.is(text); no != nil {
		no.Reason = vital.ReasonUnit
		return q, cmp.Or(first, no)
	}
	at := slices.IndexFunc(units, func(s spelling) bool { return s.word == unit.raw })
	if at < 0 && first != nil {
		return q, first
	}
	if at < 0 {
		return q, refuse(vital.ReasonUnit, unit.path, "%s is none of: %s", strconv.Quote(clipped(unit.raw, 40)), spelled(units))
	}
	s := units[at]
	if s.unit == vital.NoUnit {
		return q, notKept(unit.path, "%s is a unit that Hale does not keep", s.word)
	}
	sent := q
	if q.Unit = s.unit; s.factor > 1 || s.shift != 0 {
		var no *Refusal
		if q, no = scaled(q, s); no != nil {
			no.Field, no.Detail = value.path, value.path+": "+no.Detail
			return vital.Quantity{}, no
		}
		d.fact(v.path, "%s %s", sent, s.word)
	}
	return q, first
}

// scaled brings a number into a unit that Hale keeps, exactly.
func scaled(q vital.Quantity, s spelling) (vital.Quantity, *Refusal) {
	const largest = 1e18 / 1000 // times the largest factor it stays within 64 bits
	if q.Mantissa > largest || q.Mantissa < -largest {
		return q, refuse(vital.ReasonNotANumber, "", "it has too many digits")
	}
	e := int(q.Exponent) + int(s.shift)
	if e > largestExponent || e < -largestExponent {
		return q, refuse(vital.ReasonNotANumber, "", "it has too large an exponent")
	}
	q.Exponent = int8(e)
	if s.factor > 1 {
		q.Mantissa *= s.factor
	}
	return q, nil
}

// statistic takes descriptive_statistic: the number is then one over a time, and no single measurement.
func (d *Draft) statistic(b *node, rules *schemaRules) *Refusal {
	s := b.get("descriptive_statistic")
	if s == nil {
		return nil
	}
	if !rules.noStatistic {
		if no := s.among(statistics()); no != nil {
			return no
		}
	} else if s.kind != text { // the schema does not know the field
		return nil
	}
	d.Standing = vital.Summary
	d.fact("descriptive_statistic", "%s", clipped(s.raw, factAtMost))
	return nil
}

// beside takes what stands beside the numbers. Fields that the schema does not name are passed over, as it does.
func (d *Draft) beside(b *node, rules *schemaRules) *Refusal {
	for _, f := range rules.fields {
		v := b.get(f.name)
		if v == nil {
			continue
		}
		if f.units != nil {
			q, no := d.unitValue(v, f.units)
			if no != nil {
				return no
			}
			d.fact(f.name, "%s", words(q))
			continue
		}
		if f.words == nil {
			if no := v.is(text); no != nil {
				return no
			}
		} else if no := v.among(f.words); no != nil {
			return no
		}
		d.fact(f.name, "%s", clipped(v.raw, factAtMost))
	}
	return nil
}

// blood looks at what a glucose was measured in, and beside which meal.
func (d *Draft) blood(b *node) *Refusal {
	if d.Metric != vital.Glucose {
		return nil
	}
	switch specimen := d.said("specimen_source"); specimen {
	case "", "capillary blood", "whole blood", "plasma", "serum", "interstitial fluid":
	default:
		return notKept(b.at("specimen_source"), "a glucose of %s is no blood glucose", specimen)
	}
	switch meal := d.said("temporal_relationship_to_meal"); {
	case meal == "fasting", strings.HasPrefix(meal, "before "):
		d.Metric = vital.GlucoseFasting
	case strings.HasPrefix(meal, "after "), meal == "2 hours postprandial":
		d.Metric = vital.GlucosePostMeal
	}
	return nil
}
