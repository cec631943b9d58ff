package fhir

import (
	"encoding/json"

	"hale/fault"
)

// Decimal is a number as it was written: 36.50 is not 36.5 (http://hl7.org/fhir/R4/datatypes.html#decimal).
type Decimal string

// MarshalJSON writes the digits; what is no JSON number is fault.Internal.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if b := []byte(d); json.Valid(b) && d.number() {
		return b, nil
	}
	return nil, fault.New(fault.Internal, "a decimal that is no number cannot be written")
}

// UnmarshalJSON keeps the digits as they were read; what is no JSON number is fault.Invalid.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if *d = Decimal(b); !d.number() {
		return fault.New(fault.Invalid, "a number belongs here, without quotes")
	}
	return nil
}

func (d Decimal) number() bool { return d != "" && (d[0] == '-' || d[0] >= '0' && d[0] <= '9') }

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

// Words returns what a person reads of it: its text, else the first display, else the first code.
func (c *CodeableConcept) Words() string {
	if c == nil {
		return ""
	}
	best := c.Text
	for _, w := range c.Coding {
		if best == "" {
			best = w.Display
		}
	}
	for _, w := range c.Coding {
		if best == "" {
			best = w.Code
		}
	}
	return best
}

// Reference points at another resource, or says in words who or what it is.
type Reference struct {
	Reference string `json:"reference,omitempty"`
	Display   string `json:"display,omitempty"`
}

// Quantity is a measured amount; System is that of UCUM. With a Comparator (<, <=, >=, >) the value is a bound and no amount.
type Quantity struct {
	Value      Decimal `json:"value"`
	Comparator string  `json:"comparator,omitempty"`
	Unit       string  `json:"unit"`
	System     string  `json:"system"`
	Code       string  `json:"code"`
}

// Annotation is a note in words.
type Annotation struct {
	Text string `json:"text"`
}

// Observation is the resource Observation (http://hl7.org/fhir/R4/observation.html). Rest holds values of other kinds than the
// two that are named here, among all else.
type Observation struct {
	ResourceType      string            `json:"resourceType"` // "Observation"
	ID                string            `json:"id,omitempty"`
	Meta              *Meta             `json:"meta,omitempty"`
	Identifier        []Identifier      `json:"identifier,omitempty"`
	Status            string            `json:"status"`
	Category          []CodeableConcept `json:"category"`
	Code              CodeableConcept   `json:"code"`
	Subject           Reference         `json:"subject,omitempty"`
	EffectiveDateTime string            `json:"effectiveDateTime,omitempty"`
	EffectivePeriod   *Period           `json:"effectivePeriod,omitempty"`
	EffectiveInstant  string            `json:"effectiveInstant,omitempty"`
	Issued            string            `json:"issued,omitempty"`
	ValueQuantity     *Quantity         `json:"valueQuantity,omitempty"`
	ValueInteger      *int64            `json:"valueInteger,omitempty"`
	DataAbsentReason  *CodeableConcept  `json:"dataAbsentReason,omitempty"`
	Note              []Annotation      `json:"note,omitempty"`
	BodySite          *CodeableConcept  `json:"bodySite,omitempty"`
	Method            *CodeableConcept  `json:"method,omitempty"`
	Device            *Reference        `json:"device,omitempty"`
	Component         []Component       `json:"component,omitempty"`
	Rest              Rest              `json:"-"`
}

// Component is one of the numbers of an Observation.
type Component struct {
	Code             CodeableConcept  `json:"code"`
	ValueQuantity    *Quantity        `json:"valueQuantity,omitempty"`
	DataAbsentReason *CodeableConcept `json:"dataAbsentReason,omitempty"`
	Rest             Rest             `json:"-"`
}

// Modifiers names what would change the meaning of the fields that were read, so that whoever does not understand it must
// not use the resource (http://hl7.org/fhir/R4/extensibility.html, section 2.4.0.1); none is the usual case.
func (o *Observation) Modifiers() []string {
	found := modifiers(o.Rest)
	for i := range o.Component {
		for _, name := range modifiers(o.Component[i].Rest) {
			found = append(found, "component."+name)
		}
	}
	return found
}

func modifiers(rest Rest) []string {
	var found []string
	for _, name := range []string{"implicitRules", "modifierExtension"} {
		if _, there := rest[name]; there {
			found = append(found, name)
		}
	}
	return found
}

// UnmarshalJSON reads an Observation and keeps what it does not know.
func (o *Observation) UnmarshalJSON(b []byte) error { return decode(b, o, &o.Rest) }

// MarshalJSON writes the Observation with what it did not know.
func (o Observation) MarshalJSON() ([]byte, error) { return encode(o, o.Rest) }

// UnmarshalJSON reads a component and keeps what it does not know.
func (c *Component) UnmarshalJSON(b []byte) error { return decode(b, c, &c.Rest) }

// MarshalJSON writes the component with what it did not know.
func (c Component) MarshalJSON() ([]byte, error) { return encode(c, c.Rest) }

// The small types are read by the exact names of their fields too; what else they hold means nothing to us and is not kept.

// UnmarshalJSON reads what a resource keeps to.
func (m *Meta) UnmarshalJSON(b []byte) error { return known(b, m) }

// UnmarshalJSON reads a word of a code system.
func (c *Coding) UnmarshalJSON(b []byte) error { return known(b, c) }

// UnmarshalJSON reads a notion.
func (c *CodeableConcept) UnmarshalJSON(b []byte) error { return known(b, c) }

// UnmarshalJSON reads a reference.
func (r *Reference) UnmarshalJSON(b []byte) error { return known(b, r) }

// UnmarshalJSON reads an amount, its value digit by digit.
func (q *Quantity) UnmarshalJSON(b []byte) error { return known(b, q) }

// UnmarshalJSON reads a note.
func (a *Annotation) UnmarshalJSON(b []byte) error { return known(b, a) }

func known(b []byte, into any) error {
	var rest Rest
	return decode(b, into, &rest)
}
