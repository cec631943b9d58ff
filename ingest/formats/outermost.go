package formats

import (
	"math"
	"slices"

	"hale/vital"
)

// Outermost keeps, of many measurements that are refused together, one with the lowest and one with the highest number of each kind: by
// metric, component and unit. Those are what may be an emergency, and they are few however many there were.
type Outermost[T any] struct {
	low, high map[place]held[T]
	seen      int
}

// place is where a number stands. Beyond is set where there is none, since the device could not measure it.
type place struct {
	metric    vital.Metric
	component int
	unit      vital.Unit
	beyond    vital.Beyond
}

type held[T any] struct {
	number float64
	n      int // the how manieth it was
	what   T
}

// See looks at one more.
func (o *Outermost[T]) See(metric vital.Metric, sent []vital.Quantity, beyond vital.Beyond, what T) {
	if o.low == nil {
		o.low, o.high = map[place]held[T]{}, map[place]held[T]{}
	}
	o.seen++
	if beyond != 0 {
		o.see(place{metric: metric, beyond: beyond}, 0, what)
	}
	for i, q := range sent {
		if q != (vital.Quantity{}) {
			o.see(place{metric: metric, component: i, unit: q.Unit}, q.Float(), what)
		}
	}
}

func (o *Outermost[T]) see(at place, number float64, what T) {
	if math.IsNaN(number) {
		return
	}
	one := held[T]{number, o.seen, what}
	if low, there := o.low[at]; !there || number < low.number {
		o.low[at] = one
	}
	if high, there := o.high[at]; !there || number > high.number {
		o.high[at] = one
	}
}

// All returns them in the order in which they were seen, each once.
func (o *Outermost[T]) All() []T {
	byNumber := map[int]T{}
	var order []int
	for _, side := range [...]map[place]held[T]{o.low, o.high} {
		for _, h := range side {
			if _, there := byNumber[h.n]; !there {
				order = append(order, h.n)
			}
			byNumber[h.n] = h.what
		}
	}
	slices.Sort(order)
	all := make([]T, len(order))
	for i, n := range order {
		all[i] = byNumber[n]
	}
	return all
}

// outer is the Outermost of what messages hold, kept or refused.
type outer struct{ Outermost[Refusal] }

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
	if d.Standing != vital.EnteredInError {
		o.See(d.Metric, d.Measured(), beyond, Refusal{Beyond: beyond, Draft: d})
	}
}

// all refuses a message as a whole for one reason: once, or once for each of the outermost measurements that could be read of it.
func (r *Refusal) all(o *outer) Message {
	found := o.All()
	if len(found) == 0 {
		return refused(r)
	}
	var m Message
	for i := range found {
		one := *r
		one.Beyond = found[i].Beyond
		m.refuse(one.of(*found[i].Draft))
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
