package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"hale/fault"
)

// Read is one resource of a file of patients: where it stands, and the Patient or what is wrong with it.
type Read struct {
	Line    int // at which the line (of NDJSON) or the resource begins, from 1
	Entry   int // place in its Bundle, from 1; 0 outside one
	Raw     json.RawMessage
	Patient Patient
	Err     error // fault.Invalid: this one cannot be taken, the others can
}

// Patients reads a Patient, a Bundle of Patients, or one of these after the other (NDJSON). Text that is no JSON is
// fault.Invalid for the file as a whole, because it is not known what would have followed.
func Patients(text []byte) ([]Read, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	decoder := json.NewDecoder(bytes.NewReader(text))
	var list []Read
	for line, at := 1, 0; ; {
		begin := at + len(text[at:]) - len(bytes.TrimLeft(text[at:], " \t\r\n"))
		line += bytes.Count(text[at:begin], []byte("\n"))
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if syntax := (&json.SyntaxError{}); errors.As(err, &syntax) && syntax.Offset <= int64(len(text)) {
				line = 1 + bytes.Count(text[:syntax.Offset], []byte("\n"))
			}
			return nil, fault.New(fault.Invalid, "line %d: this is no JSON; the file must hold a Patient, a Bundle, or one of these on each line", line)
		}
		list = append(list, read(raw, line)...)
		at = int(decoder.InputOffset())
		line += bytes.Count(text[begin:at], []byte("\n"))
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, "the file holds no Patient")
	}
	return list, nil
}

func read(raw json.RawMessage, line int) []Read {
	var r Resource
	if err := r.UnmarshalJSON(raw); err != nil {
		return []Read{{Line: line, Raw: raw, Err: err}}
	}
	if r.Type != "Bundle" {
		return []Read{patient(r, line, 0)}
	}
	var b Bundle
	if err := json.Unmarshal(raw, &b); err != nil {
		return []Read{{Line: line, Raw: raw, Err: fault.New(fault.Invalid, "the Bundle cannot be read: %s", why(err))}}
	}
	var list []Read
	for i, e := range b.Entry {
		one := Read{Line: line, Entry: i + 1, Raw: raw, Err: fault.New(fault.Invalid, "the entry has no resource")}
		if e.Resource != nil {
			one = patient(*e.Resource, line, i+1)
		}
		list = append(list, one)
	}
	return list
}

// patient reads one resource as a Patient that may be used.
func patient(r Resource, line, entry int) Read {
	one := Read{Line: line, Entry: entry, Raw: r.Raw}
	if r.Type != "Patient" {
		one.Err = fault.New(fault.Invalid, "this is a %.40s: only Patients can be taken", r.Type)
		return one
	}
	if err := json.Unmarshal(r.Raw, &one.Patient); err != nil {
		one.Err = fault.New(fault.Invalid, "%s", why(err))
		return one
	}
	if m := one.Patient.Modifiers(); len(m) > 0 {
		one.Err = fault.New(fault.Invalid, "%s changes the meaning of the rest in a way that is not known here: send the Patient without it", m[0])
	}
	return one
}
