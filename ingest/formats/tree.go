package formats

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"hale/vital"
)

// deepest bounds how deep lists and objects may lie in each other, and most how many elements a list of measurements may have.
const (
	deepest = 32
	most    = 1000
)

// kind is the sort of a JSON value.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// node is one JSON value and where it stands. A number is the digits that were sent.
type node struct {
	path    string
	src     []byte // of an object: as it was sent
	kind    kind
	raw     string // of a number, a text, or true and false
	names   []string
	members map[string]*node
	items   []*node
	other   bool // src is not what the tree holds: in it a name stands twice in one object, or it ends too early
}

// parse reads JSON as a tree. What is no JSON, or holds a name twice in one object, is refused as a whole, and what could be read of it is
// returned too: all values up to where it is no JSON any more, each as a tree, and of a name that stands twice the first or the last.
func parse(src []byte, first bool) (roots []*node, no *Refusal) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	no = noJSON(src)
	g := grower{Decoder: json.NewDecoder(bytes.NewReader(src)), src: src, first: first}
	g.UseNumber()
	for ended := (*Refusal)(nil); ended == nil && g.More(); no = cmp.Or(no, ended) {
		var root *node
		if root, ended = g.grow("", 0); root != nil && (no == nil || root.names != nil || root.items != nil) {
			roots = append(roots, root)
		}
	}
	return roots, cmp.Or(no, g.twice)
}

// noJSON refuses a text that is none.
func noJSON(src []byte) *Refusal {
	if !utf8.Valid(src) {
		return refuse(vital.ReasonUnparsable, "", "the text is not UTF-8")
	}
	if json.Valid(src) {
		return nil
	}
	at := len(src)
	var raw json.RawMessage
	if syntax := (&json.SyntaxError{}); errors.As(json.Unmarshal(src, &raw), &syntax) {
		at = int(syntax.Offset)
	}
	return refuse(vital.ReasonUnparsable, "", "not JSON at byte %d", at)
}

// grower makes a tree of a text.
type grower struct {
	*json.Decoder
	src   []byte
	first bool     // of what stands twice the first is meant
	twice *Refusal // of the first name that stands twice
}

// grow reads one value. Of a list or an object that ends too early, what it held until then is returned beside the refusal.
func (d *grower) grow(path string, depth int) (*node, *Refusal) {
	t, err := d.Token()
	if _, digits := t.(json.Number); err != nil || digits && depth > 0 && !d.whole() {
		return nil, d.ends(path)
	}
	n := &node{path: path}
	switch v := t.(type) {
	case nil:
	case bool:
		n.kind, n.raw = boolean, strconv.FormatBool(v)
	case json.Number:
		n.kind, n.raw = number, v.String()
	case string:
		n.kind, n.raw = text, v
	case json.Delim:
		if depth == deepest {
			return nil, refuse(vital.ReasonUnparsable, path, "lists and objects lie more than %d deep in each other", deepest)
		}
		return d.fill(n, v, depth)
	}
	return n, nil
}

// fill reads what an object or a list holds.
func (d *grower) fill(n *node, opened json.Delim, depth int) (*node, *Refusal) {
	start := d.InputOffset() - 1
	n.kind = list
	if opened == '{' {
		n.kind, n.members = object, map[string]*node{}
	}
	for d.More() {
		path := fmt.Sprintf("%s[%d]", n.path, len(n.items))
		name := ""
		if n.kind == object {
			t, err := d.Token()
			if err != nil {
				return d.cut(n, start), d.ends(n.path)
			}
			name, _ = t.(string)
			if path = name; n.path != "" {
				path = n.path + "." + name
			}
			if len(path) > 300 {
				path = clipped(path, 300)
			}
		}
		child, no := d.grow(path, depth+1)
		switch {
		case child == nil:
		case n.kind == list:
			n.items = append(n.items, child)
			n.other = n.other || child.other
		default:
			d.member(n, name, child, path)
			n.other = n.other || child.other
		}
		if no != nil {
			return d.cut(n, start), no
		}
	}
	if _, err := d.Token(); err != nil {
		return d.cut(n, start), d.ends(n.path)
	}
	n.src = d.src[start:d.InputOffset()]
	return n, nil
}

// cut ends a list or an object where it is no JSON any more.
func (d *grower) cut(n *node, start int64) *node {
	n.src, n.other = d.src[start:d.InputOffset()], true
	return n
}

func (d *grower) ends(path string) *Refusal {
	return refuse(vital.ReasonUnparsable, path, "not JSON at byte %d", d.InputOffset())
}

// whole reports whether the number that was read last ends where numbers do: of 72 that is cut off nobody reads 7.
func (d *grower) whole() bool {
	behind := bytes.TrimLeft(d.src[d.InputOffset():], " \t\r\n")
	return len(behind) > 0 && strings.IndexByte(",]}", behind[0]) >= 0
}

// member puts what stands under a name into an object.
func (d *grower) member(n *node, name string, child *node, path string) {
	if n.members[name] == nil {
		n.names, n.members[name] = append(n.names, name), child
		return
	}
	n.other = true
	if d.twice == nil {
		d.twice = refuse(vital.ReasonUnparsable, path, "it stands more than once in one object; send each field once")
	}
	if !d.first {
		n.members[name] = child
	}
}

// json returns the text of a value: as it was sent, but where a name stands twice in it, with the one that the tree holds, and where it
// ends too early, with what the tree holds of it.
func (n *node) json() []byte {
	if !n.other {
		return n.src
	}
	whole, err := json.Marshal(n.value())
	if err != nil {
		return n.src // cannot be: it was read from JSON
	}
	return whole
}

func (n *node) value() any {
	switch n.kind {
	case null:
	case boolean:
		return n.raw == "true"
	case number:
		return json.Number(n.raw)
	case text:
		return n.raw
	case list:
		all := make([]any, len(n.items))
		for i, item := range n.items {
			all[i] = item.value()
		}
		return all
	case object:
		all := make(map[string]any, len(n.members))
		for name, member := range n.members {
			all[name] = member.value()
		}
		return all
	}
	return nil
}

// get returns a member of an object; nil when it has none, or is no object.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	return n.members[name]
}

// at returns the path of a member that may be missing.
func (n *node) at(name string) string {
	if n.path == "" {
		return name
	}
	return n.path + "." + name
}

// is refuses a value of another kind than the one that belongs there.
func (n *node) is(k kind) *Refusal {
	if n.kind == k {
		return nil
	}
	reason := vital.ReasonUnparsable
	if k == number {
		reason = vital.ReasonNotANumber
	}
	return refuse(reason, n.path, "it is %s; %s belongs here", n.kind, k)
}

// need returns a member that must be there, of its kind.
func (n *node) need(name string, k kind) (*node, *Refusal) {
	child := n.get(name)
	if child == nil {
		return nil, refuse(vital.ReasonUnparsable, n.at(name), "it is missing")
	}
	return child, child.is(k)
}

// decimal returns a number digit by digit. A number in quotes is refused, and returned as well.
func (n *node) decimal(u vital.Unit) (vital.Quantity, *Refusal) {
	if no := n.is(number); no != nil {
		if n.kind == text {
			no.Detail += "; send it without quotes"
			no.Beyond = Outside(n.raw)
			if m, e, err := vital.ParseDecimal(strings.TrimSpace(n.raw)); err == nil {
				return vital.Quantity{Mantissa: m, Exponent: e, Unit: u}, no
			}
		}
		return vital.Quantity{}, no
	}
	m, e, err := vital.ParseDecimal(n.raw)
	if err != nil {
		return vital.Quantity{}, refuse(vital.ReasonNotANumber, n.path, "%s has more than 18 digits or too large an exponent", clipped(n.raw, 40))
	}
	return vital.Quantity{Mantissa: m, Exponent: e, Unit: u}, nil
}

// Outside reads what a meter shows in the place of a number: LO or HI, beyond what it can measure.
func Outside(text string) vital.Beyond {
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "LO", "LOW":
		return vital.Below
	case "HI", "HIGH":
		return vital.Above
	}
	return 0
}

// whole returns a whole number.
func (n *node) whole() (int64, *Refusal) {
	if no := n.is(number); no != nil {
		return 0, no
	}
	i, err := strconv.ParseInt(n.raw, 10, 64)
	if err != nil {
		return 0, refuse(vital.ReasonUnparsable, n.path, "%s is no whole number", clipped(n.raw, 40))
	}
	return i, nil
}

// malformed refuses a message that is not of the form that its format has.
func malformed(field, format string, args ...any) *Refusal {
	return refuse(vital.ReasonUnparsable, field, format, args...)
}

// factAtMost is how much of a text that came beside a number is kept.
const factAtMost = 1000

// more ends a text that was clipped.
const more = "..."

// clipped returns the beginning of a text, whole characters only, without what no store or screen takes.
func clipped(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if len(s) <= n || len(s) <= n+len(more) && strings.HasSuffix(s, more) { // what was clipped before stays as it is
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}

// each reads a message that holds one object, or a list of them that stand alone.
func each(src []byte, one func(*node) Message) Message {
	return reading(src, func(root *node) Message {
		if root.kind != list {
			return one(root)
		}
		var all Message
		if len(root.items) == 0 || len(root.items) > most {
			return malformed("", "the list has %d elements; send 1 to %d", len(root.items), most).list(root.items, one)
		}
		for i, item := range root.items {
			all.join(one(item), Of{i, item.src})
		}
		return all
	})
}

// join takes over what another message held, as that element.
func (m *Message) join(other Message, of Of) {
	for i := range other.Refused {
		other.Refused[i].Of = of
	}
	for i := range other.Drafts {
		other.Drafts[i].Of = of
	}
	m.Drafts, m.Refused, m.Facts = append(m.Drafts, other.Drafts...), append(m.Refused, other.Refused...), append(m.Facts, other.Facts...)
}
