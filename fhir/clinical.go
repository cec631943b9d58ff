package fhir

// Device is the resource Device (http://hl7.org/fhir/R4/device.html).
type Device struct {
	ResourceType string       `json:"resourceType"` // "Device"
	ID           string       `json:"id,omitempty"`
	Identifier   []Identifier `json:"identifier,omitempty"`
	DeviceName   []DeviceName `json:"deviceName,omitempty"`
	ModelNumber  string       `json:"modelNumber,omitempty"`
	Patient      *Reference   `json:"patient,omitempty"`
}

// DeviceName is what a device is called; Type says by whom ("model-name", "user-friendly-name").
type DeviceName struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Flag is the resource Flag (http://hl7.org/fhir/R4/flag.html): something to watch for.
type Flag struct {
	ResourceType string            `json:"resourceType"` // "Flag"
	ID           string            `json:"id,omitempty"`
	Identifier   []Identifier      `json:"identifier,omitempty"`
	Status       string            `json:"status"` // "active", "inactive" or "entered-in-error"
	Category     []CodeableConcept `json:"category,omitempty"`
	Code         CodeableConcept   `json:"code"`
	Subject      Reference         `json:"subject"`
	Period       *Period           `json:"period,omitempty"`
}

// Consent is the resource Consent (http://hl7.org/fhir/R4/consent.html).
type Consent struct {
	ResourceType string            `json:"resourceType"` // "Consent"
	ID           string            `json:"id,omitempty"`
	Identifier   []Identifier      `json:"identifier,omitempty"`
	Status       string            `json:"status"`
	Scope        CodeableConcept   `json:"scope"`
	Category     []CodeableConcept `json:"category"`
	Patient      Reference         `json:"patient"`
	DateTime     string            `json:"dateTime,omitempty"`
	PolicyRule   *CodeableConcept  `json:"policyRule,omitempty"`
	Provision    *Provision        `json:"provision,omitempty"`
}

// Provision says what a Consent lets happen; Type is "permit" or "deny".
type Provision struct {
	Type string `json:"type"`
}

// AuditEvent is the resource AuditEvent (http://hl7.org/fhir/R4/auditevent.html).
type AuditEvent struct {
	ResourceType string        `json:"resourceType"` // "AuditEvent"
	ID           string        `json:"id,omitempty"`
	Type         Coding        `json:"type"`
	Subtype      []Coding      `json:"subtype,omitempty"`
	Action       string        `json:"action,omitempty"` // "C", "R", "U", "D" or "E"
	Recorded     string        `json:"recorded"`
	Outcome      string        `json:"outcome,omitempty"` // "0": success
	OutcomeDesc  string        `json:"outcomeDesc,omitempty"`
	Agent        []AuditAgent  `json:"agent"`
	Source       AuditSource   `json:"source"`
	Entity       []AuditEntity `json:"entity,omitempty"`
}

// AuditAgent is somebody who took part.
type AuditAgent struct {
	Type      *CodeableConcept  `json:"type,omitempty"`
	Role      []CodeableConcept `json:"role,omitempty"`
	Who       *Reference        `json:"who,omitempty"`
	Name      string            `json:"name,omitempty"`
	Requestor bool              `json:"requestor"`
}

// AuditSource is who wrote it down.
type AuditSource struct {
	Observer Reference `json:"observer"`
}

// AuditEntity is what it was about.
type AuditEntity struct {
	What        *Reference `json:"what,omitempty"`
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
}
