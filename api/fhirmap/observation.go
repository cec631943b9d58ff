package fhirmap

import (
	"strconv"

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
		Code:     fhir.CodeableConcept{Text: def.Display}, Subject: d.subject(), Issued: d.instant(r.ReceivedAt),
	}
	d.effective(&o, r)
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
	d.beside(&o, r)
	if r.Findings&vital.Amending != 0 {
		o.Status = "amended"
	}
	if r.Withdrawn != nil {
		o.Status = "entered-in-error"
		o.Note = append(o.Note, fhir.Annotation{Text: r.Withdrawn.Words()})
	}
	return o
}
