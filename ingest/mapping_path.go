package ingest

import (
	"math"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"
)

// jsonPath is a place in an element, or in the whole message where root is set. Without a text it is the element itself.
type jsonPath struct {
	text  string // in gjson's syntax
	root  bool
	steps []pathStep // of a path that may find more than one value; nil for one that cannot
}

// pathStep is a part of a path between two points.
type pathStep struct {
	text string
	kind stepKind
}

// stepKind says how a step finds its value.
type stepKind string

// The kinds of steps.
const (
	stepPlain stepKind = "plain" // a name, or a place in a list
	stepWild  stepKind = "wild"  // a name with * or ? in it
	stepQuery stepKind = "query" // #(...)
)

// rootPrefix begins a path from the message's beginning where others begin at the element.
const rootPrefix = "$."

func (p jsonPath) String() string {
	switch {
	case p.text == "":
		return "$"
	case p.root:
		return rootPrefix + p.text
	}
	return p.text
}

// find returns the one value at the path. many is set, and nothing found, when a step fits more than one: gjson would take
// the first, and of two numbers that belong together one could then come from each.
func (p *jsonPath) find(from gjson.Result) (found gjson.Result, many bool) {
	if p.text == "" {
		return from, false
	}
	if p.steps == nil {
		return from.Get(p.text), false
	}
	for _, step := range p.steps {
		hits := step.find(from, 2)
		if len(hits) != 1 {
			return gjson.Result{}, len(hits) > 1
		}
		from = hits[0]
	}
	return from, false
}

// hit is what was found at a path.
type hit struct {
	found gjson.Result
	many  bool
}

// hit looks for what stands at the path.
func (s *scope) hit(p jsonPath) (h hit) {
	if !p.root {
		h.found, h.many = p.find(s.element)
		return h
	}
	h, before := s.shared[p.text]
	if !before {
		h.found, h.many = p.find(s.root)
		s.shared[p.text] = h
	}
	return h
}

// all returns the values at the path, of which several may be meant.
func (p *jsonPath) all(from gjson.Result) []gjson.Result {
	found := []gjson.Result{from}
	for _, step := range p.steps {
		var next []gjson.Result
		for _, at := range found {
			next = append(next, step.find(at, math.MaxInt)...)
		}
		found = next
	}
	return found
}

// find returns what the step fits. Of names that fit it looks for no more than most.
func (s *pathStep) find(from gjson.Result, most int) (hits []gjson.Result) {
	switch s.kind {
	case stepPlain:
		if v := from.Get(s.text); v.Exists() {
			hits = append(hits, v)
		}
	case stepQuery:
		if from.IsArray() {
			hits = from.Get(s.text + "#").Array()
		}
	case stepWild:
		if from.IsObject() {
			from.ForEach(func(key, v gjson.Result) bool {
				if fits(s.text, key.String()) {
					hits = append(hits, v)
				}
				return len(hits) < most
			})
		}
	}
	return hits
}

// fits reports whether the name is of the form: * is any text, ? any one byte, and a backslash takes what follows as it is.
func fits(form, name string) bool {
	star, from := -1, 0 // the last * in the form, and where in the name what follows it is tried
	f, n := 0, 0
	for n < len(name) {
		escaped := f+1 < len(form) && form[f] == '\\'
		switch {
		case f < len(form) && form[f] == '*':
			star, from = f, n
			f++
		case escaped && form[f+1] == name[n]:
			f, n = f+2, n+1
		case !escaped && f < len(form) && (form[f] == '?' || form[f] == name[n]):
			f, n = f+1, n+1
		case star >= 0:
			from++
			f, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(form[f:], "*") == ""
}

// memberSpec says which members of an object are elements, and what a part of their names is called.
type memberSpec struct{ before, name, after string }

func (m *memberSpec) String() string { return m.before + "{" + m.name + "}" + m.after }

// match returns what stands at the name's place; ok is false for a member of another form.
func (m *memberSpec) match(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, m.before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, m.after)
}

// each reads where the elements stand: a list, the message itself if that is one, or the members of an object by the form
// of their names.
func (p *filePage) each(n *yaml.Node, r *mappingRule) {
	given := p.text(n, "each")
	if given == "" {
		return
	}
	if given == "$" {
		r.each = &jsonPath{}
		return
	}
	given = strings.TrimPrefix(given, rootPrefix) // elements stand in the message anyway
	steps := splitPath(given)
	last := steps[len(steps)-1].text
	if strings.Contains(strings.TrimSuffix(given, last), "{") {
		p.wrong(n, "each: in %q a step before the last is no form of names: {name} stands in the last one", given)
		return
	}
	if before, rest, ok := strings.Cut(last, "{"); ok && steps[len(steps)-1].kind != stepQuery && before+rest != "" {
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !captureForm(name) || strings.ContainsAny(before+after, `{}*?\`) {
			p.wrong(n, "each: the last step %q is no form of names: write plain text and one {name}", last)
			return
		}
		r.member = &memberSpec{before, name, after}
		given = strings.TrimSuffix(strings.TrimSuffix(given, last), ".")
		if given == "" {
			r.each = &jsonPath{}
			return
		}
	}
	r.each = p.pathOf(n, "each", given)
}

// path reads a place in the payload. Of gjson's language those parts are taken that find one value as it was written.
func (p *filePage) path(n *yaml.Node, what string) *jsonPath {
	given := p.text(n, what)
	if given == "" {
		return nil
	}
	return p.pathOf(n, what, given)
}

func (p *filePage) pathOf(n *yaml.Node, what, given string) *jsonPath {
	text, root := strings.CutPrefix(given, rootPrefix)
	steps := splitPath(text)
	plain := true
	for _, s := range steps {
		if why := s.wrong(); why != "" {
			p.wrong(n, "%s: the path %q %s", what, given, why)
			return nil
		}
		plain = plain && s.kind == stepPlain
	}
	if plain {
		steps = nil
	}
	return &jsonPath{text, root, steps}
}

// splitPath cuts a path at its points; those in brackets and behind a backslash are none. A path has one step at least.
func splitPath(path string) (steps []pathStep) {
	depth, quoted, start, kind := 0, false, 0, stepPlain
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			i++
		case depth > 0 && c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth > 0:
		case c == '.':
			steps = append(steps, pathStep{path[start:i], kind})
			start, kind = i+1, stepPlain
		case i == start && c == '#':
			kind = stepQuery
		case (c == '*' || c == '?') && kind == stepPlain:
			kind = stepWild
		}
	}
	return append(steps, pathStep{path[start:], kind})
}

// wrong says why a step is none that we take, or "".
func (s *pathStep) wrong() string {
	t := s.text
	switch {
	case t == "":
		return "has an empty step: a point too many, or nothing"
	case strings.IndexByte("@!{[", t[0]) >= 0:
		return "uses " + t[:1] + ", which changes what was sent; name the place with points, as in a.b.0.c or list.#(type==\"x\").value"
	case s.kind == stepQuery:
		return wrongQuery(t)
	}
	for i := 0; i < len(t); i++ {
		switch t[i] {
		case '\\':
			i++
		case '|':
			return "has a pipe; use points"
		case '(', ')':
			return "has a bracket that belongs to no #(...); write \\ before it if it is part of a name"
		}
	}
	return ""
}

// wrongQuery says why a step that begins with # is none that we take, or "". Within it no more than one value of each
// element may be compared.
func wrongQuery(t string) string {
	inner, ok := strings.CutPrefix(t, "#(")
	if !ok {
		return "uses # for all elements; write #(name==value) for one of them, or each: for a list of readings"
	}
	if strings.HasSuffix(inner, ")#") {
		return "ends in )#, which finds many; leave out the last #"
	}
	inner, ok = strings.CutSuffix(inner, ")")
	if !ok {
		return "has a bracket without its partner"
	}
	quoted, left := false, true // of the sign of comparison
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' || c == ')':
			return "has a bracket within #(...); put the text into quotes"
		case strings.IndexByte("=!<>%", c) >= 0:
			left = false
		case left && strings.IndexByte("*?#@|{[~", c) >= 0:
			return "uses " + string(c) + " within #(...); name there one value of each element"
		}
	}
	switch {
	case quoted:
		return "has a quote without its partner"
	case left:
		return "has no comparison in #(...); write #(name==value)"
	}
	return ""
}
