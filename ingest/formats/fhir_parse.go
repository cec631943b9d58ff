package formats

import (
	"cmp"
	"encoding/json"
	"strings"

	"hale/fault"
	"hale/fhir"
	"hale/vital"
)

// parsed reads an Observation. Of one that is not as FHIR has it the refusal names the first field that is not; that field is left out,
// and the rest is read all the same, to be screened.
func parsed(r *node) (o fhir.Observation, first *Refusal) {
	src, first := unquoted(r)
	for {
		err := json.Unmarshal(src, &o)
		if err == nil {
			return o, first
		}
		member, no := wrongMember(r, fault.MessageOf(err))
		first = cmp.Or(first, no)
		if src = withoutMember(src, member); src == nil {
			return fhir.Observation{}, first
		}
		delete(r.members, member) // nobody looks there for what was left out
		o = fhir.Observation{}
	}
}

// wrongMember makes a refusal of what package fhir says is wrong, which begins with the names of the fields that lead there. It returns
// the first of them as well.
func wrongMember(r *node, said string) (member string, no *Refusal) {
	var names []string
	for {
		name, rest, _ := strings.Cut(said, " ")
		field, leads := strings.CutSuffix(name, ":")
		if !leads && !strings.HasPrefix(rest, "is null") {
			break
		}
		names, said = append(names, field), rest
	}
	path := strings.Join(names, ".")
	if len(names) > 0 {
		member, path = names[0], r.at(path)
	}
	return member, malformed(path, "%s", said)
}

// withoutMember returns an object without one of its members; nil when it has no such.
func withoutMember(src []byte, name string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(src, &members) != nil || members[name] == nil {
		return nil
	}
	delete(members, name)
	left, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	return left
}

// unquoted returns the text of an Observation with the digits of numbers that stand in quotes taken out of these, and refuses the first
// such number. What stands there in place of digits is left out.
func unquoted(r *node) (src []byte, first *Refusal) {
	values := []*node{r.get("valueQuantity").get("value")}
	for _, c := range r.get("component").list() {
		values = append(values, c.get("valueQuantity").get("value"))
	}
	if !anyText(values) {
		return r.json(), nil
	}
	var whole map[string]any
	d := json.NewDecoder(strings.NewReader(string(r.json())))
	d.UseNumber()
	if err := d.Decode(&whole); err != nil {
		return r.json(), malformed(r.path, "it cannot be read") // it was, by parse
	}
	components, _ := whole["component"].([]any)
	for i, v := range values {
		if v == nil || v.kind != text {
			continue
		}
		q, no := v.decimal(vital.NoUnit)
		first = cmp.Or(first, no)
		of := whole
		if i > 0 {
			of, _ = components[i-1].(map[string]any)
		}
		quantity, _ := of["valueQuantity"].(map[string]any)
		delete(quantity, "value")
		if _, _, err := vital.ParseDecimal(strings.TrimSpace(v.raw)); err == nil {
			quantity["value"] = json.Number(q.String())
		}
	}
	src, err := json.Marshal(whole)
	if err != nil {
		return r.json(), first
	}
	return src, first
}

func anyText(values []*node) bool {
	for _, v := range values {
		if v != nil && v.kind == text {
			return true
		}
	}
	return false
}

// list returns the elements of a list; none when it is no list.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}
