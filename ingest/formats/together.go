package formats

import (
	"slices"
	"time"

	"hale/vital"
)

// outer collects what could be read of messages that are refused together, kept or refused: any of it may be an emergency. The same
// numbers of the same time are one measurement.
type outer struct {
	found []Refusal
	seen  map[measured]bool
}

type measured struct {
	metric   vital.Metric
	sent     [3]vital.Quantity
	n        uint8
	at       time.Time
	local    bool
	slot     uint8
	hasSlot  bool
	findings vital.Finding
	beyond   vital.Beyond
}

func (o *outer) see(m *Message) {
	for i := range m.Drafts {
		o.one(&m.Drafts[i], 0)
	}
	for i := range m.Refused {
		f := &m.Refused[i]
		if f.Draft != nil && (!f.NotKept || f.Draft.N > 0) {
			o.one(f.Draft, f.Beyond)
		}
	}
}

func (o *outer) one(d *Draft, beyond vital.Beyond) {
	if d.Standing == vital.EnteredInError || d.N == 0 && beyond == 0 {
		return
	}
	m := measured{d.Metric, d.Sent, d.N, d.Time.At.UTC(), d.Time.Local, d.Slot, d.HasSlot, d.Findings, beyond}
	if o.seen[m] {
		return
	}
	if o.seen == nil {
		o.seen = map[measured]bool{}
	}
	o.seen[m] = true
	o.found = append(o.found, Refusal{Beyond: beyond, Draft: d})
}

// all refuses a message as a whole for one reason: once, or once for each measurement that could be read of it.
func (r *Refusal) all(o *outer) Message {
	if len(o.found) == 0 {
		return refused(r)
	}
	var m Message
	for _, f := range o.found {
		one := *r
		one.Beyond = f.Beyond
		m.refuse(one.of(*f.Draft))
	}
	return m
}

// list refuses a list as a whole; its elements are read all the same.
func (r *Refusal) list(items []*node, read func(*node) Message) Message {
	var o outer
	for _, item := range items {
		m := read(item)
		o.see(&m)
	}
	return r.all(&o)
}

// beneath refuses what measurements stand in where none belong, such as a Bundle in a Bundle: each that is found below it, however deep,
// is read all the same.
func (r *Refusal) beneath(n *node, measurement func(*node) bool, read func(*node) Message) Message {
	var o outer
	o.beneath(n, measurement, read)
	if len(o.found) > 0 {
		r.NotKept = false // there is something to mend
	}
	return r.all(&o)
}

func (o *outer) beneath(n *node, measurement func(*node) bool, read func(*node) Message) {
	look := func(child *node) {
		if !measurement(child) {
			o.beneath(child, measurement, read)
			return
		}
		m := read(child)
		o.see(&m)
	}
	for _, item := range n.items {
		look(item)
	}
	for _, name := range n.names {
		if child := n.members[name]; child != nil { // what package fhir could not read was left out
			look(child)
		}
	}
}

// meant returns the trees of a text that is refused, of which last are those in which of a name that stands twice the last is meant.
func meant(src []byte, last []*node) []*node {
	if slices.ContainsFunc(last, func(n *node) bool { return n.other }) {
		first, _ := parse(src, true)
		return append(first, last...)
	}
	return last
}

// Before returns what stands in a text before it stops being JSON, as JSON: each list and object that begins there, closed. Where a name
// stands twice in one, it is returned with the first and with the last.
func Before(src []byte) [][]byte {
	var all [][]byte
	last, _ := parse(src, false)
	for _, tree := range meant(src, last) {
		if tree.kind == list || tree.kind == object {
			all = append(all, tree.json())
		}
	}
	return all
}

// reading reads a message by its tree. One that stops being JSON somewhere is refused as a whole, and read up to there; so is one in which
// a name stands twice, and read for its numbers in both ways in which it may be meant.
func reading(src []byte, read func(*node) Message) Message {
	last, no := parse(src, false)
	if no == nil {
		return read(last[0])
	}
	var o outer
	for _, tree := range meant(src, last) {
		m := read(tree)
		o.see(&m)
	}
	return no.all(&o)
}
