package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"hale/fault"
)

// page reads a YAML document by hand, so that every mistake in it is told at once, with its line and what to mend.
type page struct {
	mistakes []mistake
}

type mistake struct {
	line int
	text string
}

// open returns the document's outermost value. The error says where the text stops being YAML.
func (p *page) open(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fault.New(fault.Invalid, "the mapping file is empty")
		}
		return nil, fault.Wrap(fault.Invalid, err, "the mapping file is not YAML")
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the mapping file holds more than one document (---); make it one")
	}
	return doc.Content[0], nil
}

func (p *page) wrong(n *yaml.Node, format string, args ...any) {
	p.mistakes = append(p.mistakes, mistake{n.Line, fmt.Sprintf(format, args...)})
}

// err returns all mistakes as one error of kind fault.Invalid, in the order of the file; nil when there is none.
func (p *page) err() error {
	if len(p.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(p.mistakes, func(a, b mistake) int { return a.line - b.line })
	var lines []string
	for _, m := range p.mistakes {
		lines = append(lines, fmt.Sprintf("  line %d: %s", m.line, m.text))
	}
	what := "1 mistake"
	if len(lines) > 1 {
		what = strconv.Itoa(len(lines)) + " mistakes"
	}
	return fault.New(fault.Invalid, "the mapping file has %s:\n%s", what, strings.Join(slices.Compact(lines), "\n"))
}

// fields is what may stand in an object: how each field is read.
type fields map[string]func(*yaml.Node)

// object reads an object of known fields. what names it in sentences.
func (p *page) object(n *yaml.Node, what string, known fields, needed ...string) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		p.wrong(n, "%s is %s; write fields with names", what, kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case !ok:
			p.wrong(key, "%s has no field %q; its fields are %s", what, key.Value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[key.Value]:
			p.wrong(key, "%s has %q twice; keep one of them", what, key.Value)
		default:
			seen[key.Value] = true
			read(value)
		}
	}
	for _, name := range needed {
		if !seen[name] {
			p.wrong(n, "%s needs %q", what, name)
		}
	}
}

// list hands over each entry of a list.
func (p *page) list(n *yaml.Node, what string, read func(*yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.wrong(n, "%s must be a list with at least one entry, each behind a dash", what)
		return
	}
	for _, entry := range n.Content {
		read(resolved(entry))
	}
}

// text returns a text that is not empty.
func (p *page) text(n *yaml.Node, what string) string {
	n = resolved(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		p.wrong(n, "%s is %s; write a text", what, kindOf(n))
		return ""
	}
	return n.Value
}

func (p *page) truth(n *yaml.Node, what string) bool {
	n = resolved(n)
	if n.Tag != "!!bool" {
		p.wrong(n, "%s must be true or false", what)
		return false
	}
	return n.Value == "true"
}

func (p *page) whole(n *yaml.Node, what string, low, high int) int {
	n = resolved(n)
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
		p.wrong(n, "%s must be a whole number from %d to %d", what, low, high)
		return 0
	}
	return v
}

// resolved follows an alias (*name) to what it stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isScalar(n *yaml.Node) bool { return resolved(n).Kind == yaml.ScalarNode }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" || n.Value == "" {
			return "empty"
		}
		return "a single value"
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "an object"
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return "something else"
}
