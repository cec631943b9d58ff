package formats

import (
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

// reading reads a message by its tree. One in which a name stands twice is refused as a whole, and read for its numbers in both ways in
// which it may be meant.
func reading(src []byte, read func(*node) Message) Message {
	root, no := parse(src, false)
	if no == nil {
		return read(root)
	}
	if root == nil {
		return refused(no)
	}
	var o outer
	first, _ := parse(src, true)
	for _, tree := range [...]*node{first, root} {
		m := read(tree)
		o.see(&m)
	}
	return no.all(&o)
}
