package formats

import (
	"cmp"
	"time"

	"hale/fhir"
	"hale/vital"
)

// effective takes the time of an Observation in one of its forms.
func (d *Draft) effective(o *fhir.Observation, n *node) *Refusal {
	var form string
	d.Time.Field = n.at("effectiveDateTime")
	for _, name := range []string{"effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming"} {
		if n.get(name) == nil {
			continue
		}
		if form != "" {
			return refuse(vital.ReasonClock, n.at(name), "it stands beside %s; send one time", form)
		}
		form = name
	}
	var no *Refusal
	switch form {
	case "effectiveDateTime":
		d.Time, no = dateTime(n.at(form), o.EffectiveDateTime)
	case "effectiveInstant":
		if d.Time, no = dateTime(n.at(form), o.EffectiveInstant); no == nil && d.Time.Precision != Exact {
			no = refuse(vital.ReasonClock, n.at(form), "%s is no moment", o.EffectiveInstant)
		}
	case "effectivePeriod":
		no = d.period(o.EffectivePeriod, n.at(form))
	case "effectiveTiming":
		no = refuse(vital.ReasonClock, n.at(form), "a schedule is no time of a measurement; send effectiveDateTime")
	}
	if no != nil && o.Status == "entered-in-error" { // what it takes back is known by its name
		d.Time, no = Time{Field: d.Time.Field}, nil
	}
	return no
}

func (d *Draft) period(p *fhir.Period, path string) (no *Refusal) {
	if p.Start == "" {
		return refuse(vital.ReasonClock, path+".start", "it is missing; when the measurement began is not known")
	}
	if d.Time, no = dateTime(path+".start", p.Start); no != nil || p.End == "" {
		return no
	}
	end, no := dateTime(path+".end", p.End)
	d.Time.Until, d.Time.UntilField = end.At, end.Field
	if no == nil && end.Precision != d.Time.Precision {
		return refuse(vital.ReasonClock, path+".end", "it is given less or more finely than the start; send both alike")
	}
	return cmp.Or(no, d.Time.backwards())
}

// backwards refuses a span that ends before it begins.
func (t *Time) backwards() *Refusal {
	if t.Until.IsZero() || !t.Until.Before(t.At) {
		return nil
	}
	return refuse(vital.ReasonClock, t.UntilField, "the interval ends before it begins")
}

// dateTime reads a time of any precision (http://hl7.org/fhir/R4/datatypes.html#dateTime): a year, a month or a date, which
// have no zone, or a moment, which must have one.
func dateTime(path, s string) (Time, *Refusal) {
	for _, form := range [...]struct {
		layout    string
		precision Precision
	}{{"2006", ToYear}, {"2006-01", ToMonth}, {time.DateOnly, ToDay}} {
		if t, err := time.Parse(form.layout, s); err == nil && len(s) == len(form.layout) {
			return Time{At: t, Local: true, Precision: form.precision, Field: path}, nil
		}
	}
	t, no := moment(&node{path: path, kind: text, raw: s})
	return Time{At: t, Field: path}, no
}
