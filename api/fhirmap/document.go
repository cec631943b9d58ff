// Package fhirmap maps what Hale holds to FHIR R4 (4.0.1). It decides nothing: what it gets may be shown.
package fhirmap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"hale/fault"
	"hale/fhir"
	"hale/safe"
	"hale/vital"
)

// System is the root of the names that Hale gives: of readings, alerts and devices.
const System = fhir.Hale

// Exporter writes a person's record as one Bundle of type collection. It is a safe.Exporter.
type Exporter struct{}

// Begin writes the head of the Bundle and the Patient.
func (Exporter) Begin(w io.Writer, h safe.Holder, at time.Time) (safe.Document, error) {
	d := &document{w: w, holder: h, zone: vital.ZoneOrUTC(h.Zone), devices: map[string]string{}}
	d.patient = d.name("patient", string(h.UID))
	d.text(`{"resourceType":"Bundle","type":"collection","timestamp":` + quoted(d.instant(at)) + `,"entry":[`)
	d.entry(d.patient, PatientOf(&h.Patient, h.Identifiers, h.NumberSystem, at))
	return d, d.err
}

// document is a Bundle being written, entry by entry: a year of readings never stands in memory.
type document struct {
	w       io.Writer
	holder  safe.Holder
	zone    *time.Location
	patient string            // its fullUrl
	devices map[string]string // uid to fullUrl
	some    bool
	err     error
}

// Add writes one thing.
func (d *document) Add(thing any) error {
	switch t := thing.(type) {
	case *safe.Device:
		d.device(t)
	case *safe.Reading:
		d.entry(d.name("reading", fmt.Sprint(t.ID)), d.observation(t))
	case *safe.Alert:
		d.entry(d.name("alert", string(t.UID)), d.flag(t))
	case *safe.Look:
		d.entry(d.name("audit", fmt.Sprint(t.ID)), d.audit(t))
	case *safe.ConsentGiven:
		d.entry(d.name("consent", string(t.UID)), d.consent(t))
	default:
		return fault.New(fault.Internal, "there is no FHIR form of a %T", thing)
	}
	return d.err
}

// End closes the Bundle.
func (d *document) End() error {
	d.text("]}\n")
	return d.err
}

func (d *document) text(s string) {
	if d.err == nil {
		_, d.err = io.WriteString(d.w, s)
	}
}

func (d *document) entry(url string, resource any) {
	if d.err != nil {
		return
	}
	text, err := json.Marshal(resource)
	if err != nil {
		d.err = fmt.Errorf("write a resource: %w", err)
		return
	}
	before := ""
	if d.some {
		before = ","
	}
	d.some = true
	d.text(before + "\n" + `{"fullUrl":` + quoted(url) + `,"resource":` + string(text) + "}")
}

func quoted(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string can always be written
	return string(b)
}

// name returns the fullUrl of a thing: a UUID that is always the same for it (version 8 of RFC 9562, from a hash), and tells
// nothing about it.
func (d *document) name(kind, id string) string {
	sum := sha256.Sum256([]byte("hale fhir 1 " + string(d.holder.UID) + " " + kind + " " + id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return "urn:uuid:" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// dateTime writes a moment by the clock of the patient's home, with its offset from UTC.
func (d *document) dateTime(t time.Time) string { return t.In(d.zone).Format(time.RFC3339Nano) }

func (d *document) instant(t time.Time) string { return d.dateTime(t) }

func (d *document) subject() fhir.Reference { return fhir.Reference{Reference: d.patient} }

// device writes what measured. One that was the patient's twice is one Device.
func (d *document) device(t *safe.Device) {
	if _, known := d.devices[t.UID]; known {
		return
	}
	url := d.name("device", t.UID)
	d.devices[t.UID] = url
	subject := d.subject()
	d.entry(url, fhir.Device{
		ResourceType: "Device", Identifier: []fhir.Identifier{{System: System + "device", Value: t.UID}},
		DeviceName: []fhir.DeviceName{{Name: t.Model, Type: "model-name"}}, ModelNumber: t.Model, Patient: &subject,
	})
}

func (d *document) flag(a *safe.Alert) fhir.Flag {
	def, _ := vital.Define(a.Metric)
	f := fhir.Flag{
		ResourceType: "Flag", Identifier: []fhir.Identifier{{System: System + "alert", Value: string(a.UID)}}, Status: "active",
		Category: []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: "http://terminology.hl7.org/CodeSystem/flag-category", Code: "clinical", Display: "Clinical"}}}},
		Code:     fhir.CodeableConcept{Text: def.Display + ": " + a.Level + " (" + a.Rule + ")"},
		Subject:  d.subject(), Period: &fhir.Period{Start: d.dateTime(a.OpenedAt)},
	}
	if said := a.Stands(); said != "" {
		f.Code.Text += "; " + said
	}
	if def.LOINC != "" {
		f.Code.Coding = []fhir.Coding{{System: loinc, Code: def.LOINC, Display: def.Display}}
	}
	if a.State == "closed" {
		f.Status, f.Period.End = "inactive", d.dateTime(a.ClosedAt)
	}
	return f
}

// audit writes who looked, or did something (http://hl7.org/fhir/R4/auditevent.html; types of DICOM, PS3.16 CID 400).
func (d *document) audit(l *safe.Look) fhir.AuditEvent {
	action := "E"
	if l.Action == lookAction {
		action = "R"
	}
	who := fhir.Reference{Display: l.Name}
	e := fhir.AuditEvent{
		ResourceType: "AuditEvent", Type: fhir.Coding{System: "http://dicom.nema.org/resources/ontology/DCM", Code: "110110", Display: "Patient Record"},
		Subtype: []fhir.Coding{{System: System + "action", Code: l.Action}}, Action: action, Recorded: d.instant(l.At), Outcome: "0", OutcomeDesc: l.Glass,
		Agent:  []fhir.AuditAgent{{Who: &who, Name: l.Name, Requestor: true}},
		Source: fhir.AuditSource{Observer: fhir.Reference{Display: "Hale"}},
		Entity: []fhir.AuditEntity{{What: &fhir.Reference{Reference: d.patient}, Description: l.Did(safe.Theirs)}},
	}
	if l.Role != "" {
		e.Agent[0].Role = []fhir.CodeableConcept{{Text: string(l.Role)}}
	}
	return e
}

// consent writes a decision. Care is a consent to treatment, the others to what is done with data.
func (d *document) consent(c *safe.ConsentGiven) fhir.Consent {
	scope, category := "patient-privacy", fhir.Coding{System: loinc, Code: "59284-0", Display: "Consent Document"}
	switch c.Purpose {
	case "care":
		scope = "treatment"
	case "research":
		scope = "research"
	}
	r := fhir.Consent{
		ResourceType: "Consent", Identifier: []fhir.Identifier{{System: System + "consent", Value: string(c.UID)}}, Status: "active",
		Scope:    fhir.CodeableConcept{Coding: []fhir.Coding{{System: "http://terminology.hl7.org/CodeSystem/consentscope", Code: scope}}, Text: c.Purpose},
		Category: []fhir.CodeableConcept{{Coding: []fhir.Coding{category}}}, Patient: d.subject(), DateTime: d.dateTime(c.DecidedAt),
		PolicyRule: &fhir.CodeableConcept{Text: fmt.Sprintf("%s, version %d", c.Purpose, c.Version)}, Provision: &fhir.Provision{Type: "permit"},
	}
	switch c.Choice {
	case "refused":
		r.Status, r.Provision.Type = "rejected", "deny"
	case "withdrawn":
		r.Status, r.Provision.Type = "inactive", "deny"
	}
	return r
}
