package ingest

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"

	"hale/vital"
)

// reads gives a refusal what was read of the reading nevertheless; judged is what else is wrong with it.
func (r *refusal) reads(read *vital.Reading, judged *refusal) {
	if judged != nil {
		r.read, r.beyond, r.also, r.timeless = judged.read, judged.beyond, judged.also, judged.timeless
		return
	}
	own := *read
	r.read = &own
}

// astray returns what may be meant by the elements of a message that is refused because they do not stand where the rule says: what stands
// there, and the objects in it. Where nothing does, what comes is the message.
func (s *scope) astray(places ...gjson.Result) (all []scope) {
	take := func(_, at gjson.Result) bool {
		if at.IsObject() {
			all = append(all, scope{root: s.root, element: at, names: s.names, shared: s.shared})
		}
		return true
	}
	for _, at := range places {
		if !at.Exists() {
			at = s.root
		}
		take(gjson.Result{}, at)
		if at.IsObject() || at.IsArray() {
			at.ForEach(take)
		}
	}
	return all
}

// within returns what can be read of a list that stands in the place of an element, and is refused as one: any of the objects in it may be
// what was meant.
func (d *decoder) within(rule *mappingRule, s *scope) []vital.Seen {
	if !s.element.IsArray() {
		return nil
	}
	aside := *d // it takes nothing
	aside.readings, aside.refused, aside.told, aside.folded = nil, nil, nil, nil
	if d.trial != nil {
		aside.trial = &trial{}
	}
	inner := s.astray(s.element)
	for i := range inner {
		aside.mapElement(rule, i, &inner[i])
		aside.fold()
	}
	return aside.folded
}

// mapRefused refuses a message as a whole, which is read all the same in the ways in which it may be meant.
func (d *decoder) mapRefused(rule *mappingRule, names map[string]string, no *refusal, meant ...[]byte) {
	for _, payload := range meant {
		d.mapWhole(rule, names, payload)
		d.fold()
	}
	d.refuseAll(no)
}

// lastMeant returns JSON in which of names that stand twice in an object the last is meant; without it the first is found.
func lastMeant(payload []byte) []byte {
	var all any
	in := json.NewDecoder(bytes.NewReader(payload))
	in.UseNumber()
	if in.Decode(&all) != nil {
		return payload
	}
	out, err := json.Marshal(all)
	if err != nil {
		return payload
	}
	return out
}
