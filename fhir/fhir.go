// Package fhir reads and writes resources of FHIR R4 (4.0.1) as JSON. What it has no field for is kept as it was and written
// again; what means something else than it seems (modifierExtension, implicitRules) is named by Modifiers. Decimals, dates
// and times stay text, so that nothing is rounded. It has no opinion about who may see what.
package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"hale/fault"
)

// Rest is what an element holds besides the fields that this package knows, by name, as it was read.
type Rest map[string]json.RawMessage

// Resource is any resource, kept as text. Type is its resourceType.
type Resource struct {
	Type string
	Raw  json.RawMessage
}

// UnmarshalJSON keeps the text and learns the type; what has none is fault.Invalid.
func (r *Resource) UnmarshalJSON(b []byte) error {
	var members map[string]json.RawMessage // a struct would take ResourceType for resourceType
	var kind string
	err := json.Unmarshal(b, &members)
	if err == nil {
		err = json.Unmarshal(members["resourceType"], &kind)
	}
	if err != nil || kind == "" {
		return fault.New(fault.Invalid, "a resource is a JSON object with a resourceType")
	}
	r.Type, r.Raw = kind, slices.Clone(json.RawMessage(b))
	return nil
}

// MarshalJSON writes the text as it was read.
func (r Resource) MarshalJSON() ([]byte, error) {
	if r.Raw == nil {
		return nil, fault.New(fault.Internal, "a resource without text cannot be written")
	}
	return r.Raw, nil
}

// Bundle is a container of resources.
type Bundle struct {
	ResourceType string  `json:"resourceType"` // "Bundle"
	ID           string  `json:"id,omitempty"`
	Type         string  `json:"type"` // "collection", "searchset", "transaction", ...
	Timestamp    string  `json:"timestamp,omitempty"`
	Entry        []Entry `json:"entry,omitempty"`
	Rest         Rest    `json:"-"`
}

// Entry is one place in a Bundle; its resource may be missing (a DELETE of a transaction has none).
type Entry struct {
	FullURL  string    `json:"fullUrl,omitempty"`
	Resource *Resource `json:"resource,omitempty"`
	Rest     Rest      `json:"-"`
}

// UnmarshalJSON reads a Bundle and keeps what it does not know.
func (b *Bundle) UnmarshalJSON(text []byte) error { return decode(text, b, &b.Rest) }

// MarshalJSON writes the Bundle with what it did not know.
func (b Bundle) MarshalJSON() ([]byte, error) { return encode(b, b.Rest) }

// UnmarshalJSON reads an entry and keeps what it does not know.
func (e *Entry) UnmarshalJSON(text []byte) error { return decode(text, e, &e.Rest) }

// MarshalJSON writes the entry with what it did not know.
func (e Entry) MarshalJSON() ([]byte, error) { return encode(e, e.Rest) }

// decode fills the fields of the struct that into points to, by their exact names, and keeps all other members in rest.
// An error is fault.Invalid and names the member.
func decode(text []byte, into any, rest *Rest) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil || bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return fault.New(fault.Invalid, "a JSON object is expected here")
	}
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		raw, there := members[name]
		if name == "-" || !there {
			continue
		}
		delete(members, name)
		if bytes.Equal(raw, []byte("null")) {
			return fault.New(fault.Invalid, "%s is null, which FHIR does not allow: leave it out", name)
		}
		if err := json.Unmarshal(raw, v.Field(i).Addr().Interface()); err != nil {
			return fault.New(fault.Invalid, "%s: %s", name, why(err))
		}
	}
	*rest = nil
	if len(members) > 0 {
		*rest = members
	}
	return nil
}

// why tells what is wrong with a member, without its value.
func why(err error) string {
	if fault.Is(err, fault.Invalid) {
		return fault.MessageOf(err)
	}
	return "this is not what FHIR R4 has here"
}

// encode writes the fields of a struct in their order, those that are empty left out where their tag says so, and then what
// rest holds, by name.
func encode(from any, rest Rest) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	v := reflect.ValueOf(from)
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" || options == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		value, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		member(&b, name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		member(&b, name, rest[name])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func member(b *bytes.Buffer, name string, value []byte) {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	quoted, _ := json.Marshal(name) //nolint:errchkjson // a string can always be written
	b.Write(quoted)
	b.WriteByte(':')
	b.Write(value)
}
