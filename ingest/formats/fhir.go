package formats

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"hale/fhir"
	"hale/vital"
)

// FHIR reads an Observation of FHIR R4, or a Bundle of them, of which each entry stands alone. An entry without its Bundle is read too:
// that is how one is kept that was refused, and decoded again.
func FHIR(src []byte) Message { return reading(src, fhirOf) }

func fhirOf(root *node) Message {
	if no := root.is(object); no != nil {
		return no.beneath(root, isObservation, resource)
	}
	switch kind := root.get("resourceType"); {
	case kind == nil && root.get("resource") != nil:
		return entry(root)
	case kind == nil || kind.kind != text || kind.raw != "Bundle":
		return resource(root)
	}
	return bundle(root)
}

// bundle takes the entries of a Bundle whose entries are what somebody wants kept. A history or a document is something else.
func bundle(b *node) Message {
	kind, no := b.need("type", text)
	if no == nil {
		no = kind.among([]string{"transaction", "batch", "collection", "searchset"})
	}
	if _, there := b.members["implicitRules"]; there && no == nil {
		no = malformed(b.at("implicitRules"), "it changes the meaning of the rest in a way that is not known here")
	}
	entries, none := b.need("entry", list)
	no = cmp.Or(no, none)
	if none == nil && (len(entries.items) == 0 || len(entries.items) > most) {
		no = cmp.Or(no, malformed(entries.path, "the Bundle has %d entries; send 1 to %d", len(entries.items), most))
	}
	if no != nil {
		return no.beneath(b, isObservation, resource)
	}
	var all Message
	for i, e := range entries.items {
		all.join(entry(e), Of{i, e.src})
	}
	return all
}

func entry(e *node) Message {
	no := e.is(object)
	if r := e.get("request"); r != nil {
		var method *node
		if method, no = r.need("method", text); no == nil {
			no = method.among([]string{"POST", "PUT"})
		}
	}
	r, none := e.need("resource", object)
	if no = cmp.Or(no, none); no != nil {
		return no.beneath(e, isObservation, resource)
	}
	return resource(r)
}

// isObservation reports whether it says that it is one: of what is refused around it, it is read wherever it stands.
func isObservation(n *node) bool { return said(n, "resourceType") == "Observation" }

func resource(r *node) Message {
	kind, no := r.need("resourceType", text)
	if no == nil && kind.raw != "Observation" {
		no = notKept(kind.path, "a %s is no measurement; send Observations", clipped(kind.raw, 40))
	}
	if no != nil {
		return no.beneath(r, isObservation, resource)
	}
	m := observation(r)
	if len(m.Drafts) > 0 {
		return m
	}
	var inside outer
	if inside.beneath(r, isObservation, observation); len(inside.found) == 0 { // what is contained contains nothing
		return m
	}
	var all outer
	all.see(&m)
	for _, f := range inside.found {
		all.one(f.Draft, f.Beyond)
	}
	m.Refused[0].NotKept = false // there is something to mend
	return m.Refused[0].all(&all)
}

// observation reads an Observation without what it contains.
func observation(r *node) Message {
	o, wrong := parsed(r)
	d, no := observed(&o, r)
	if wrong != nil && no != nil {
		wrong.Beyond = cmp.Or(wrong.Beyond, no.Beyond)
	}
	if no = cmp.Or(wrong, no); no == nil {
		return Message{Drafts: []Draft{d}}
	}
	if apart := d.apart(&o, r); len(apart.Refused) > 0 {
		var all outer
		all.one(&d, no.Beyond)
		all.see(&apart)
		return no.all(&all)
	}
	return refused(no.of(d))
}

// observed makes a measurement of an Observation; n says where it stands.
func observed(o *fhir.Observation, n *node) (Draft, *Refusal) {
	var d Draft
	var first *Refusal
	if m := o.Modifiers(); len(m) > 0 {
		first = malformed(n.at(m[0]), "it changes the meaning of the rest in a way that is not known here: send the Observation without it")
	}
	d.circumstances(o)
	for _, step := range []func(*fhir.Observation, *node) *Refusal{d.named, d.metricOf, d.effective, d.standing} {
		if no := step(o, n); no != nil && d.Metric == 0 {
			return d, cmp.Or(first, no)
		} else if no != nil {
			first = cmp.Or(first, no)
		}
	}
	if o.Status == "cancelled" {
		return d, first
	}
	no := d.single
	if d.Metric == vital.BloodPressure {
		no = d.panel
	}
	return d, cmp.Or(first, no(o, n)) // what is refused already is read for its numbers
}

// named takes the sender's own name for the Observation: its first identifier that is in use, else its id.
func (d *Draft) named(o *fhir.Observation, _ *node) *Refusal {
	for _, id := range o.Identifier {
		if id.Value != "" && id.Use != "old" {
			if d.Identifier = clipped(id.System+"|"+id.Value, 400); strings.Count(d.Identifier, "|") == 1 {
				d.Identifier = strings.TrimPrefix(d.Identifier, "|") // without a system it is the value alone
			}
			return nil
		}
	}
	if o.ID != "" {
		d.Identifier = clipped("Observation/"+o.ID, 100)
	}
	return nil
}

// standing takes the status (http://hl7.org/fhir/R4/valueset-observation-status.html).
func (d *Draft) standing(o *fhir.Observation, n *node) *Refusal {
	switch o.Status {
	case "final":
		d.Standing = vital.Final
	case "amended", "corrected":
		d.Standing = vital.Amended
	case "entered-in-error":
		d.Standing = vital.EnteredInError
	case "cancelled":
		return notKept(n.at("status"), "cancelled: nothing was measured%s", because(o))
	case "registered":
		return notKept(n.at("status"), "registered: there is no result yet; send it when it is final")
	case "preliminary":
		return notKept(n.at("status"), "preliminary: an interim result is looked at for emergencies, and not kept; send it when it is final")
	case "unknown":
		return notKept(n.at("status"), "unknown: whether this is a result is not known")
	case "":
		return malformed(n.at("status"), "it is missing; send final")
	default:
		return malformed(n.at("status"), "%s is none of FHIR R4; send final", strconv.Quote(clipped(o.Status, 40)))
	}
	if d.Standing != vital.Final && d.Identifier == "" {
		return malformed(n.at("identifier"), "it is missing: which Observation is %s cannot be known", o.Status)
	}
	return nil
}

// because tells the reasons why an Observation has no value.
func because(o *fhir.Observation) string {
	var all []string
	for _, r := range append([]*fhir.CodeableConcept{o.DataAbsentReason}, absences(o)...) {
		if w := reasonCode(r); w != "" && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func absences(o *fhir.Observation) []*fhir.CodeableConcept {
	all := make([]*fhir.CodeableConcept, len(o.Component))
	for i := range o.Component {
		all[i] = o.Component[i].DataAbsentReason
	}
	return all
}

func reasonCode(c *fhir.CodeableConcept) string {
	if c == nil {
		return ""
	}
	for _, w := range c.Coding {
		if w.Code != "" {
			return clipped(w.Code, 60)
		}
	}
	return clipped(c.Words(), 60)
}

// absent refuses a number that the sender says is not there.
func absent(path string, c *fhir.CodeableConcept) *Refusal {
	code := reasonCode(c)
	if code == "" {
		code = "without a code"
	}
	no := notKept(path, "there is no value: %s", code)
	no.Reason = vital.ReasonNotANumber
	switch code {
	case "positive-infinity":
		no.Beyond, no.NotKept = vital.Above, false
	case "negative-infinity":
		no.Beyond, no.NotKept = vital.Below, false
	}
	return no
}

// metricOf finds what was measured. All codes that are known must agree; our own is more exact than LOINC is, and a code that
// names a meal is more exact than one that does not.
func (d *Draft) metricOf(o *fhir.Observation, n *node) *Refusal {
	path := n.at("code")
	if len(o.Code.Coding) == 0 {
		return notKept(path, "it has no coding, so that what was measured is not known; send a code of LOINC, for example 8867-4")
	}
	for _, c := range o.Code.Coding {
		m, ok := fhir.MetricOf(c)
		switch {
		case !ok:
		case d.Metric == 0 || d.Metric == m || d.Metric == vital.Glucose && meals(m):
			d.Metric = m
		case m == vital.Glucose && meals(d.Metric):
		default:
			no := refuse(vital.ReasonMetric, path, "its codings name two measurements, %s and %s", d.Metric, m)
			d.Metric = 0
			return no
		}
	}
	if d.Metric != 0 {
		return nil
	}
	first := o.Code.Coding[0]
	for _, c := range o.Code.Coding {
		if part, ok := fhir.ComponentOf(c); ok {
			return notKept(path, "%s (%s) alone is no blood pressure; send the panel 85354-9 with systolic and diastolic", clipped(c.Code, 40), part)
		}
		if c.System == fhir.LOINC && first.System != fhir.LOINC {
			first = c
		}
	}
	what := first.Display
	if what == "" {
		what = o.Code.Text
	}
	if what != "" {
		what = " (" + clipped(what, 100) + ")"
	}
	return notKept(path, "%s%s is no measurement that Hale keeps", clipped(first.Code, 40), what)
}

func meals(m vital.Metric) bool { return m == vital.GlucoseFasting || m == vital.GlucosePostMeal }

// single takes the one number of a metric that has one.
func (d *Draft) single(o *fhir.Observation, n *node) *Refusal {
	def, _ := vital.Define(d.Metric)
	if no := d.parts(o, n); no != nil {
		return no
	}
	q, no := value(numeric{o.ValueQuantity, o.ValueInteger, o.DataAbsentReason, o.Rest}, def.Components[0], n)
	if no != nil {
		if d.Standing == vital.EnteredInError {
			return nil // what it takes back it need not repeat, and may repeat in any form
		}
		d.put(0, q)
		if _, members := o.Rest["hasMember"]; members && o.ValueQuantity == nil {
			return notKept(n.at("hasMember"), "a group of Observations has no value of its own; send its members")
		}
		return no
	}
	d.add(q)
	return nil
}

// numeric is where FHIR may put a number.
type numeric struct {
	quantity *fhir.Quantity
	integer  *int64
	absent   *fhir.CodeableConcept
	rest     fhir.Rest
}

// value takes a number in a unit of UCUM, digit by digit.
func value(v numeric, c vital.Component, n *node) (vital.Quantity, *Refusal) {
	for name := range v.rest {
		if strings.HasPrefix(name, "value") {
			return vital.Quantity{}, refuse(vital.ReasonNotANumber, n.at(name), "it is no number; send valueQuantity in one of %s", accepted(c))
		}
	}
	switch {
	case v.quantity != nil && v.integer != nil:
		return vital.Quantity{}, malformed(n.at("valueInteger"), "it stands beside valueQuantity; send one value")
	case v.quantity == nil && v.integer != nil:
		if c.Canonical != vital.Steps && c.Canonical != vital.Score {
			return vital.Quantity{Mantissa: *v.integer}, refuse(vital.ReasonUnit, n.at("valueInteger"), "it has no unit; send valueQuantity in one of %s", accepted(c))
		}
		return vital.Quantity{Mantissa: *v.integer, Unit: c.Canonical}, nil
	case v.quantity == nil && v.absent != nil:
		return vital.Quantity{}, absent(n.at("dataAbsentReason"), v.absent)
	case v.quantity == nil:
		return vital.Quantity{}, refuse(vital.ReasonNotANumber, n.at("valueQuantity"), "it is missing")
	case v.absent != nil:
		q, _ := quantity(v.quantity, c, "")
		return q, malformed(n.at("dataAbsentReason"), "it stands beside a value")
	}
	return quantity(v.quantity, c, n.at("valueQuantity"))
}

// quantity takes a number and its unit. One whose unit is not known is returned without, beside the refusal; a bound is returned too.
func quantity(f *fhir.Quantity, c vital.Component, path string) (vital.Quantity, *Refusal) {
	q, no := plainly(f, c, path)
	return q, cmp.Or(comparator(f, path), no)
}

func plainly(f *fhir.Quantity, c vital.Component, path string) (q vital.Quantity, no *Refusal) {
	if f.Value == "" {
		return q, refuse(vital.ReasonNotANumber, path+".value", "it is missing")
	}
	var err error
	if q.Mantissa, q.Exponent, err = vital.ParseDecimal(string(f.Value)); err != nil {
		return vital.Quantity{}, refuse(vital.ReasonNotANumber, path+".value", "%s has more than 18 digits or too large an exponent", clipped(string(f.Value), 40))
	}
	if f.System != fhir.UCUM {
		return q, refuse(vital.ReasonUnit, path+".system", "it is %s; send %s, and the unit as code", strconv.Quote(clipped(f.System, 60)), fhir.UCUM)
	}
	u, ok := fhir.UnitOf(f.Code)
	if u == vital.Fraction && (c.Canonical == vital.Score || c.Canonical == vital.Steps) {
		u = c.Canonical // a count has no unit
	}
	if !ok || !slices.Contains(c.Accepted, u) {
		return q, refuse(vital.ReasonUnit, path+".code", "%s is none of %s", strconv.Quote(clipped(f.Code, 40)), accepted(c))
	}
	q.Unit = u
	return q, nil
}

// comparator refuses a number that is none, but a bound of what was measured.
func comparator(f *fhir.Quantity, path string) *Refusal {
	beyond := vital.Over
	switch f.Comparator {
	case "":
		return nil
	case "<", "<=":
		beyond = vital.Under
	case ">", ">=":
	default:
		return refuse(vital.ReasonNotANumber, path+".comparator", "%s is none of FHIR R4", strconv.Quote(clipped(f.Comparator, 10)))
	}
	no := refuse(vital.ReasonNotANumber, path+".comparator", "%s%s is a bound and no number", f.Comparator, clipped(string(f.Value), 40))
	no.Beyond = beyond
	return no
}

func accepted(c vital.Component) string {
	names := make([]string, len(c.Accepted))
	for i, u := range c.Accepted {
		names[i] = u.UCUM()
	}
	return strings.Join(names, ", ")
}
