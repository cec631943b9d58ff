package fhirmap

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/fhir"
	"hale/vital"
)

// zoneExtension carries the time zone of the home, for which FHIR R4 has no field.
const zoneExtension = "urn:hale:zone"

// PatientOf returns a person as FHIR R4 has it. The programme's own number is an identifier of the system number
// (identity.Identities.Systems says which); an identifier that is not in force at now is of use "old".
func PatientOf(p *account.Patient, list []identity.Identifier, number string, now time.Time) fhir.Patient {
	out := fhir.Patient{ResourceType: "Patient", ID: string(p.UID), Gender: p.Sex, BirthDate: string(p.BirthDate)}
	if p.Name != "" {
		out.Name = []fhir.HumanName{{Text: p.Name}}
	}
	if p.Number != "" {
		out.Identifier = append(out.Identifier, fhir.Identifier{Use: "usual", System: number, Value: p.Number})
	}
	for i := range list {
		one := &list[i]
		id := fhir.Identifier{Use: one.Use, System: one.System, Value: one.Value}
		to := one.To
		if !one.InForce(now) {
			id.Use = "old"
			if to == "" && !one.EndedAt.IsZero() {
				to = one.EndedAt.UTC().Format(time.RFC3339)
			}
		}
		if one.From != "" || to != "" {
			id.Period = &fhir.Period{Start: one.From, End: to}
		}
		out.Identifier = append(out.Identifier, id)
	}
	if p.Zone != "" {
		zone, _ := json.Marshal(p.Zone) //nolint:errchkjson // a string can always be written
		out.Extension = []fhir.Extension{{URL: zoneExtension, Rest: fhir.Rest{"valueCode": zone}}}
	}
	return out
}

// The columns of a file of people that a FHIR Patient fills.
const (
	columnName  = "name"
	columnBirth = "birth_date"
	columnSex   = "sex"
	columnZone  = "zone"
	source      = "the FHIR resource"
)

// ReadPatients reads Patients of FHIR R4 as the rows of a file of people: a Patient, a Bundle, or one of these on each line.
// number is the URI of the programme's own numbers. What is wrong with one resource is the problem of its row.
func ReadPatients(text []byte, number string) (identity.ImportTable, error) {
	list, err := fhir.Patients(text)
	if err != nil {
		return identity.ImportTable{}, err
	}
	t := identity.ImportTable{Header: []string{columnName, columnBirth, columnSex, columnZone}}
	column := map[string][]int{} // of the identifiers of each system, as many as one person has
	for i := range list {
		seen := map[string]int{}
		for _, id := range current(&list[i].Patient) {
			system := strings.TrimSpace(id.System)
			if seen[system]++; seen[system] > len(column[system]) {
				column[system] = append(column[system], len(t.Header))
				t.Header = append(t.Header, identity.IdentifierColumn(system))
			}
		}
	}
	for i := range list {
		t.Records = append(t.Records, record(&list[i], len(t.Header), column))
	}
	return t, nil
}

// current returns the identifiers that can say who somebody is.
func current(p *fhir.Patient) []fhir.Identifier {
	return slices.DeleteFunc(slices.Clone(p.Identifier), func(id fhir.Identifier) bool {
		return id.Use == "old" || strings.TrimSpace(id.Value) == "" || strings.TrimSpace(id.System) == ""
	})
}

func record(r *fhir.Read, width int, column map[string][]int) identity.ImportRecord {
	out := identity.ImportRecord{Line: r.Line, Entry: r.Entry, Fields: make([]string, width)}
	p := &r.Patient
	out.Fields[0], out.Fields[1], out.Fields[2] = p.FullName(), p.BirthDate, p.Gender
	for _, e := range p.Extension {
		var zone string
		if e.URL == zoneExtension && json.Unmarshal(e.Rest["valueCode"], &zone) == nil {
			out.Fields[3] = zone
		}
	}
	seen := map[string]int{}
	for _, id := range p.Identifier {
		one := identity.Identifier{System: strings.TrimSpace(id.System), Value: id.Value, Use: id.Use}
		if id.Period != nil {
			one.From, one.To = id.Period.Start, id.Period.End
		}
		if one.System != "" && strings.TrimSpace(id.Value) != "" {
			out.Identifiers = append(out.Identifiers, one)
		}
	}
	for _, id := range current(p) {
		system := strings.TrimSpace(id.System)
		out.Fields[column[system][seen[system]]] = id.Value
		seen[system]++
	}
	out.Field, out.Problem = problem(r)
	return out
}

// problem tells why a resource cannot be taken although it could be read.
func problem(r *fhir.Read) (field, what string) {
	p := &r.Patient
	switch {
	case r.Err != nil:
		return source, fault.MessageOf(r.Err)
	case p.Replaced():
		return source, "the record is not in use, or replaced by another one: send that one"
	case p.DeceasedBoolean != nil && *p.DeceasedBoolean || p.DeceasedDateTime != "":
		return source, "the person has died"
	case p.BirthDate != "" && !vital.Date(p.BirthDate).Valid():
		return columnBirth, "give a date as YYYY-MM-DD, or YYYY-MM or YYYY when no more is known"
	}
	return "", ""
}
