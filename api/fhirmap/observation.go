package fhirmap

import (
	"fmt"
	"strconv"
	"strings"

	"hale/account"
	"hale/fhir"
	"hale/safe"
	"hale/vital"
)

const (
	loinc      = fhir.LOINC
	lookAction = account.LookAction
)

func (d *document) observation(r *safe.Reading) fhir.Observation {
	def, _ := vital.Define(r.Metric)
	f := fhir.FormOf(r.Metric)
	o := fhir.Observation{
		ResourceType: "Observation", Identifier: []fhir.Identifier{{System: System + "reading", Value: strconv.FormatInt(r.ID, 10)}}, Status: "final",
		Category: []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: fhir.ObservationCategory, Code: f.Category, Display: f.Title}}}},
		Code:     fhir.CodeableConcept{Text: def.Display}, Subject: d.subject(),
		EffectiveDateTime: d.dateTime(r.MeasuredAt), Issued: d.instant(r.ReceivedAt),
	}
	o.Meta = f.Meta()
	sent := vital.NoUnit
	if len(r.Sent) > 0 {
		sent = r.Sent[0].Unit
	}
	o.Code.Coding = fhir.CodeOf(r.Metric, sent)
	if url, known := d.devices[r.Device]; known {
		o.Device = &fhir.Reference{Reference: url}
	}
	for i, sent := range r.Sent {
		if i >= len(def.Components) || i >= len(r.Values) {
			break
		}
		c := def.Components[i]
		q, note := fhir.Amount(c, sent, safe.Converted(r.Values[i]), f.Units)
		if note != "" {
			o.Note = append(o.Note, fhir.Annotation{Text: note})
		}
		if len(def.Components) == 1 {
			o.ValueQuantity = &q
			continue
		}
		o.Component = append(o.Component, fhir.Component{
			Code: fhir.CodeableConcept{Coding: []fhir.Coding{{System: loinc, Code: c.LOINC}}, Text: c.Code}, ValueQuantity: &q,
		})
	}
	o.Note = append(o.Note, notes(r)...)
	if r.Findings&vital.Amending != 0 {
		o.Status = "amended"
	}
	return o
}

// notes tell what a device, Hale or the patient noticed about a reading.
func notes(r *safe.Reading) []fhir.Annotation {
	var all []fhir.Annotation
	for _, name := range r.Findings.Names() {
		text := strings.ReplaceAll(name, "_", " ")
		if name == "disputed" {
			text = "disputed by the patient"
		}
		all = append(all, fhir.Annotation{Text: text})
	}
	for _, f := range r.Facts {
		all = append(all, fhir.Annotation{Text: f.Name + ": " + f.Value})
	}
	if off := r.Offset(); off != 0 {
		all = append(all, fhir.Annotation{Text: fmt.Sprintf("the device's clock was corrected by %s s", strconv.FormatFloat(off.Seconds(), 'f', -1, 64))})
	}
	return all
}
