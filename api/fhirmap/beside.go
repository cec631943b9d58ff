package fhirmap

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hale/fhir"
	"hale/safe"
	"hale/vital"
)

// effective says when it was measured, as finely as that is known: a moment, or the date where no more than that was told; and, of what
// lasted, from when to when.
func (d *document) effective(o *fhir.Observation, r *safe.Reading) {
	start, dated := d.dateTime(r.MeasuredAt), r.Dated()
	if dated {
		start = r.SentAt.Format(time.DateOnly)
	}
	switch end, at := d.end(r); {
	case at < 0:
		o.EffectiveDateTime = start
	case dated:
		o.EffectivePeriod = &fhir.Period{Start: start, End: end.Format(time.DateOnly)}
	default:
		o.EffectivePeriod = &fhir.Period{Start: start, End: d.dateTime(end)}
	}
}

// end returns when what lasted ended, by the clock that showed it, which was corrected like its beginning; and which fact says so: -1
// when it was a moment.
func (d *document) end(r *safe.Reading) (time.Time, int) {
	for i, f := range r.Facts {
		if f.Name != vital.Until {
			continue
		}
		for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
			end, err := time.Parse(form, f.Value)
			if err != nil || r.Dated() != (form == time.DateOnly) {
				continue
			}
			start := r.SentAt
			if end = end.UTC(); !r.Dated() {
				start, end = r.MeasuredAt, d.corrected(end, r)
			}
			if !end.Before(start) {
				return end, i
			}
		}
	}
	return time.Time{}, -1
}

// corrected puts a time right that a reading's clock showed: its digits are those of the wall where the patient lives, as those of the
// beginning were, or the clock is known to be wrong by so much.
func (d *document) corrected(shown time.Time, r *safe.Reading) time.Time {
	if began, _ := vital.Wall(r.SentAt.UTC(), d.zone); r.Findings&vital.TimeLocal == 0 || !began.Equal(r.MeasuredAt) {
		return shown.Add(r.Offset())
	}
	at, _ := vital.Wall(shown, d.zone)
	return at
}

// beside says what stands beside the numbers where FHIR has a place for it, so that whoever reads it again knows the same: body site and
// method by their elements, numbers and words as components, and what the device or a person wrote as notes.
func (d *document) beside(o *fhir.Observation, r *safe.Reading) {
	_, until := d.end(r)
	stated := false
	for i, f := range r.Facts {
		switch {
		case strings.TrimSpace(f.Name) == "" || strings.TrimSpace(f.Value) == "" || i == until:
		case f.Name == "note":
			o.Note = append(o.Note, fhir.Annotation{Text: f.Value})
		case (f.Name == "body_site" || f.Name == "measurement_location") && o.BodySite == nil:
			o.BodySite = &fhir.CodeableConcept{Text: f.Value}
		case (f.Name == "method" || f.Name == "measurement_method") && o.Method == nil:
			o.Method = &fhir.CodeableConcept{Text: f.Value}
		case f.Name == "descriptive_statistic" && r.Findings&vital.Averaged != 0 && !stated:
			stated = true
			o.Component = append(o.Component, fhir.Component{Code: fhir.FactCode(f.Name), Rest: value("valueCodeableConcept", fhir.Statistic(f.Value))})
		default:
			o.Component = append(o.Component, factComponent(f))
		}
	}
	if r.Findings&vital.Averaged != 0 && !stated {
		o.Component = append(o.Component, fhir.Component{Code: fhir.FactCode("descriptive_statistic"), Rest: value("valueCodeableConcept", fhir.Statistic(""))})
	}
	o.Note = append(o.Note, notes(r)...)
}

// factComponent writes a fact: as an amount where it is one in a unit of UCUM, else in its words.
func factComponent(f vital.Fact) fhir.Component {
	c := fhir.Component{Code: fhir.FactCode(f.Name)}
	if q, ok := amountOf(f.Value); ok {
		c.ValueQuantity = &q
		return c
	}
	c.Rest = value("valueString", f.Value)
	return c
}

// amountOf reads "95 mm[Hg]".
func amountOf(s string) (fhir.Quantity, bool) {
	number, unit, _ := strings.Cut(s, " ")
	if _, _, err := vital.ParseDecimal(number); err != nil || !json.Valid([]byte(number)) || !fhir.FactUnit(unit) {
		return fhir.Quantity{}, false
	}
	return fhir.Quantity{Value: fhir.Decimal(number), Unit: unit, System: fhir.UCUM, Code: unit}, true
}

func value(name string, v any) fhir.Rest {
	text, _ := json.Marshal(v) //nolint:errchkjson // texts can always be written
	return fhir.Rest{name: text}
}

// notes tell what a device, Hale or the patient noticed about a reading, but for what FHIR says by its status or a component.
func notes(r *safe.Reading) []fhir.Annotation {
	var all []fhir.Annotation
	for _, name := range (r.Findings &^ (vital.Amending | vital.Averaged)).Names() {
		text := strings.ReplaceAll(name, "_", " ")
		if name == "disputed" {
			text = "disputed by the patient"
		}
		all = append(all, fhir.Annotation{Text: text})
	}
	if off := r.Offset(); off != 0 && !r.Dated() {
		all = append(all, fhir.Annotation{Text: fmt.Sprintf("the device's clock was corrected by %s s", strconv.FormatFloat(off.Seconds(), 'f', -1, 64))})
	}
	return all
}
