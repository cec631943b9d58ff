package formats

import (
	"strings"
	"time"

	"hale/fault"
	"hale/fhir"
	"hale/vital"
)

// Observation writes a measurement as an Observation of FHIR R4 that FHIR reads as the same: its numbers as they were sent where
// the profile takes their unit, its time, findings and name. Whose it is, and by which device, it does not know: the caller
// fills in subject and device. A time without zone, and a statistic over a time, cannot be written: fault.Invalid.
func Observation(d *Draft) (fhir.Observation, error) {
	def, ok := vital.Define(d.Metric)
	f := fhir.FormOf(d.Metric)
	o := fhir.Observation{
		ResourceType: "Observation", Meta: f.Meta(), Code: fhir.CodeableConcept{Coding: fhir.CodeOf(d.Metric, d.Sent[0].Unit), Text: def.Display},
		Category: []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: fhir.ObservationCategory, Code: f.Category, Display: f.Title}}}},
	}
	switch {
	case !ok || int(d.N) > len(def.Components):
		return o, fault.New(fault.Internal, "metric %d cannot be written", d.Metric)
	case d.Time.Local && d.Time.Precision == Exact && !d.Time.At.IsZero():
		return o, fault.New(fault.Invalid, "the time has no zone: find out in which zone the device's clock runs, then write it")
	case d.Standing == vital.Summary:
		return o, fault.New(fault.Invalid, "a statistic over a time is no single Observation")
	}
	o.Status = map[vital.Standing]string{vital.Final: "final", vital.Amended: "amended", vital.EnteredInError: "entered-in-error"}[d.Standing]
	if id, ok := strings.CutPrefix(d.Identifier, "Observation/"); ok {
		o.ID = id
	} else if system, value, ok := strings.Cut(d.Identifier, "|"); ok { // no URI holds a |
		o.Identifier = []fhir.Identifier{{System: system, Value: value}}
	} else if d.Identifier != "" {
		o.Identifier = []fhir.Identifier{{Value: d.Identifier}}
	}
	switch {
	case d.Time.At.IsZero():
	case d.Time.Until.IsZero():
		o.EffectiveDateTime = timeWords(d.Time.At, d.Time.Precision)
	default:
		o.EffectivePeriod = &fhir.Period{Start: timeWords(d.Time.At, d.Time.Precision), End: timeWords(d.Time.Until, d.Time.Precision)}
	}
	d.write(&o, def, f)
	d.writeBeside(&o)
	return o, nil
}

// write puts the numbers into an Observation.
func (d *Draft) write(o *fhir.Observation, def vital.Definition, f fhir.Form) {
	for i, sent := range d.Measured() {
		c := def.Components[i]
		v, _ := sent.To(c.Canonical)
		q, note := fhir.Amount(c, sent, canonicalText(v), f.Units)
		if note != "" {
			o.Note = append(o.Note, fhir.Annotation{Text: note})
		}
		if len(def.Components) == 1 {
			o.ValueQuantity = &q
			continue
		}
		code := fhir.CodeableConcept{Coding: []fhir.Coding{{System: fhir.LOINC, Code: c.LOINC}}, Text: c.Code}
		o.Component = append(o.Component, fhir.Component{Code: code, ValueQuantity: &q})
	}
}

// writeBeside puts findings and facts into an Observation: what FHIR has a place for there, all else as notes.
func (d *Draft) writeBeside(o *fhir.Observation) {
	for _, name := range d.Findings.Names() {
		o.Note = append(o.Note, fhir.Annotation{Text: strings.ReplaceAll(name, "_", " ")})
	}
	for _, fact := range d.Facts {
		switch fact.Name {
		case "body_site":
			o.BodySite = &fhir.CodeableConcept{Text: fact.Value}
		case "method":
			o.Method = &fhir.CodeableConcept{Text: fact.Value}
		case "note":
			o.Note = append(o.Note, fhir.Annotation{Text: fact.Value})
		default:
			if q, ok := factQuantity(fact.Value); ok {
				code := fhir.CodeableConcept{Text: fact.Name}
				if fact.Name == "mean_pressure" {
					code.Coding = []fhir.Coding{{System: fhir.LOINC, Code: "8478-0"}}
				}
				o.Component = append(o.Component, fhir.Component{Code: code, ValueQuantity: &q})
				continue
			}
			o.Note = append(o.Note, fhir.Annotation{Text: fact.Name + ": " + fact.Value})
		}
	}
}

// factQuantity reads a fact such as "95 mm[Hg]" as the amount that it is.
func factQuantity(s string) (fhir.Quantity, bool) {
	number, unit, ok := strings.Cut(s, " ")
	if _, _, err := vital.ParseDecimal(number); err != nil || !ok || unit == "" || strings.ContainsAny(unit, " \n\t") {
		return fhir.Quantity{}, false
	}
	return fhir.Quantity{Value: fhir.Decimal(number), Unit: unit, System: fhir.UCUM, Code: unit}, true
}

// Same reports whether two measurements mean the same: what, how much (in the canonical unit), when, by which name, and what was
// noticed.
func Same(a, b *Draft) bool {
	if a.Metric != b.Metric || a.N != b.N || a.Standing != b.Standing || a.Identifier != b.Identifier || a.Findings != b.Findings {
		return false
	}
	if !sameTime(a.Time, b.Time) {
		return false
	}
	def, _ := vital.Define(a.Metric)
	for i, q := range a.Measured() {
		x, fits := q.To(def.Components[i].Canonical)
		y, alsoFits := b.Sent[i].To(def.Components[i].Canonical)
		if !fits || !alsoFits || x != y && vital.Rounded(a.Metric, x) != vital.Rounded(b.Metric, y) {
			return false
		}
	}
	return true
}

func sameTime(a, b Time) bool {
	near := func(x, y time.Time) bool { return x.Equal(y) }
	return near(a.At, b.At) && near(a.Until, b.Until) && a.Local == b.Local && a.Precision == b.Precision
}
