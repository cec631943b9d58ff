package fhir

import (
	"encoding/json"

	"hale/fault"
)

// This file and clinical.go hold the resources that Hale writes and does not read back: their fields are those that it
// fills in.

// Decimal is a number as it was written: 36.50 is not 36.5 (http://hl7.org/fhir/R4/datatypes.html#decimal).
type Decimal string

// MarshalJSON writes the digits; what is no JSON number is fault.Internal.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if b := []byte(d); json.Valid(b) && d != "" && (d[0] == '-' || d[0] >= '0' && d[0] <= '9') {
		return b, nil
	}
	return nil, fault.New(fault.Internal, "a decimal that is no number cannot be written")
}

// Meta tells what a resource keeps to.
type Meta struct {
	Profile []string `json:"profile,omitempty"`
}

// Coding is a word of a code system.
type Coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code,omitempty"`
	Display string `json:"display,omitempty"`
}

// CodeableConcept is a notion: words of code systems that mean the same, and text.
type CodeableConcept struct {
	Coding []Coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

// Reference points at another resource, or says in words who or what it is.
type Reference struct {
	Reference string `json:"reference,omitempty"`
	Display   string `json:"display,omitempty"`
}

// Quantity is a measured amount; System is that of UCUM.
type Quantity struct {
	Value  Decimal `json:"value"`
	Unit   string  `json:"unit"`
	System string  `json:"system"`
	Code   string  `json:"code"`
}

// Annotation is a note in words.
type Annotation struct {
	Text string `json:"text"`
}

// Observation is the resource Observation (http://hl7.org/fhir/R4/observation.html).
type Observation struct {
	ResourceType      string            `json:"resourceType"` // "Observation"
	ID                string            `json:"id,omitempty"`
	Meta              *Meta             `json:"meta,omitempty"`
	Identifier        []Identifier      `json:"identifier,omitempty"`
	Status            string            `json:"status"`
	Category          []CodeableConcept `json:"category"`
	Code              CodeableConcept   `json:"code"`
	Subject           Reference         `json:"subject"`
	EffectiveDateTime string            `json:"effectiveDateTime"`
	Issued            string            `json:"issued,omitempty"`
	ValueQuantity     *Quantity         `json:"valueQuantity,omitempty"`
	ValueInteger      *int64            `json:"valueInteger,omitempty"`
	Note              []Annotation      `json:"note,omitempty"`
	Device            *Reference        `json:"device,omitempty"`
	Component         []Component       `json:"component,omitempty"`
}

// Component is one of the numbers of an Observation.
type Component struct {
	Code          CodeableConcept `json:"code"`
	ValueQuantity *Quantity       `json:"valueQuantity,omitempty"`
}
