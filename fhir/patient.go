package fhir

import (
	"slices"
	"strings"
)

// Patient is the resource Patient (http://hl7.org/fhir/R4/patient.html).
type Patient struct {
	ResourceType     string         `json:"resourceType"` // "Patient"
	ID               string         `json:"id,omitempty"`
	Extension        []Extension    `json:"extension,omitempty"`
	Identifier       []Identifier   `json:"identifier,omitempty"`
	Active           *bool          `json:"active,omitempty"`
	Name             []HumanName    `json:"name,omitempty"`
	Telecom          []ContactPoint `json:"telecom,omitempty"`
	Gender           string         `json:"gender,omitempty"`    // "male", "female", "other" or "unknown"
	BirthDate        string         `json:"birthDate,omitempty"` // YYYY, YYYY-MM or YYYY-MM-DD
	DeceasedBoolean  *bool          `json:"deceasedBoolean,omitempty"`
	DeceasedDateTime string         `json:"deceasedDateTime,omitempty"`
	Address          []Address      `json:"address,omitempty"`
	Rest             Rest           `json:"-"`
}

// Extension is what somebody adds to an element; Rest holds its value[x].
type Extension struct {
	URL  string `json:"url"`
	Rest Rest   `json:"-"`
}

// Identifier is a name that a system gives a person or a thing, unambiguous within that system.
type Identifier struct {
	Use    string  `json:"use,omitempty"` // "usual", "official", "temp", "secondary" or "old"
	System string  `json:"system,omitempty"`
	Value  string  `json:"value,omitempty"`
	Period *Period `json:"period,omitempty"`
	Rest   Rest    `json:"-"`
}

// Period is a span of time; Start and End are dates or times as FHIR writes them, both inclusive, and may be missing.
type Period struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
	Rest  Rest   `json:"-"`
}

// HumanName is a name of a person.
type HumanName struct {
	Use    string   `json:"use,omitempty"` // "usual", "official", "temp", "nickname", "anonymous", "old" or "maiden"
	Text   string   `json:"text,omitempty"`
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
	Prefix []string `json:"prefix,omitempty"`
	Suffix []string `json:"suffix,omitempty"`
	Period *Period  `json:"period,omitempty"`
	Rest   Rest     `json:"-"`
}

// ContactPoint is a telephone number, an address of e-mail and the like.
type ContactPoint struct {
	System string  `json:"system,omitempty"`
	Value  string  `json:"value,omitempty"`
	Use    string  `json:"use,omitempty"`
	Period *Period `json:"period,omitempty"`
	Rest   Rest    `json:"-"`
}

// Address is a postal address.
type Address struct {
	Use        string   `json:"use,omitempty"`
	Text       string   `json:"text,omitempty"`
	Line       []string `json:"line,omitempty"`
	City       string   `json:"city,omitempty"`
	PostalCode string   `json:"postalCode,omitempty"`
	Country    string   `json:"country,omitempty"`
	Period     *Period  `json:"period,omitempty"`
	Rest       Rest     `json:"-"`
}

// Modifiers names what would change the meaning of the fields that were read, so that whoever does not understand it must
// not use the resource (http://hl7.org/fhir/R4/extensibility.html, section 2.4.0.1); none is the usual case.
func (p *Patient) Modifiers() []string {
	var found []string
	for _, name := range []string{"implicitRules", "modifierExtension"} {
		if _, there := p.Rest[name]; there {
			found = append(found, name)
		}
	}
	return found
}

// Replaced reports whether the resource says that the person is known under another one (link of type replaced-by), or that
// the record is not in use.
func (p *Patient) Replaced() bool {
	return p.Active != nil && !*p.Active || strings.Contains(string(p.Rest["link"]), `"replaced-by"`)
}

// FullName returns the name by which the person goes: the first official one, else the first usual one, else the first that
// is not old; its text, or its parts in the order given, family.
func (p *Patient) FullName() string {
	rank := []string{"official", "usual", "", "temp", "nickname", "anonymous"}
	var best *HumanName
	for i := range p.Name {
		n := &p.Name[i]
		if at := slices.Index(rank, n.Use); at >= 0 && (best == nil || at < slices.Index(rank, best.Use)) {
			best = n
		}
	}
	if best == nil {
		return ""
	}
	if best.Text != "" {
		return strings.TrimSpace(best.Text)
	}
	return strings.TrimSpace(strings.Join(append(slices.Clone(best.Given), best.Family), " "))
}

// UnmarshalJSON reads a Patient and keeps what it does not know.
func (p *Patient) UnmarshalJSON(b []byte) error { return decode(b, p, &p.Rest) }

// MarshalJSON writes the Patient with what it did not know.
func (p Patient) MarshalJSON() ([]byte, error) { return encode(p, p.Rest) }

// UnmarshalJSON reads an extension and keeps its value.
func (e *Extension) UnmarshalJSON(b []byte) error { return decode(b, e, &e.Rest) }

// MarshalJSON writes the extension with its value.
func (e Extension) MarshalJSON() ([]byte, error) { return encode(e, e.Rest) }

// UnmarshalJSON reads an identifier and keeps what it does not know.
func (i *Identifier) UnmarshalJSON(b []byte) error { return decode(b, i, &i.Rest) }

// MarshalJSON writes the identifier with what it did not know.
func (i Identifier) MarshalJSON() ([]byte, error) { return encode(i, i.Rest) }

// UnmarshalJSON reads a period and keeps what it does not know.
func (p *Period) UnmarshalJSON(b []byte) error { return decode(b, p, &p.Rest) }

// MarshalJSON writes the period with what it did not know.
func (p Period) MarshalJSON() ([]byte, error) { return encode(p, p.Rest) }

// UnmarshalJSON reads a name and keeps what it does not know.
func (n *HumanName) UnmarshalJSON(b []byte) error { return decode(b, n, &n.Rest) }

// MarshalJSON writes the name with what it did not know.
func (n HumanName) MarshalJSON() ([]byte, error) { return encode(n, n.Rest) }

// UnmarshalJSON reads a contact point and keeps what it does not know.
func (c *ContactPoint) UnmarshalJSON(b []byte) error { return decode(b, c, &c.Rest) }

// MarshalJSON writes the contact point with what it did not know.
func (c ContactPoint) MarshalJSON() ([]byte, error) { return encode(c, c.Rest) }

// UnmarshalJSON reads an address and keeps what it does not know.
func (a *Address) UnmarshalJSON(b []byte) error { return decode(b, a, &a.Rest) }

// MarshalJSON writes the address with what it did not know.
func (a Address) MarshalJSON() ([]byte, error) { return encode(a, a.Rest) }
