package ingest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"hale/vital"
)

// maxReadingSpecs bounds how many readings one element may hold.
const maxReadingSpecs = 32

// rule reads one entry of mappings.
func (p *filePage) rule(n *yaml.Node) {
	r := &mappingRule{line: n.Line}
	var sensor *yaml.Node
	seen := fields{}
	known := fields{
		"name":   func(n *yaml.Node) { r.name = p.name(n, "the mapping's name") },
		"topic":  func(n *yaml.Node) { r.topic = p.topic(n) },
		"native": func(n *yaml.Node) { r.native = p.truth(n, "native") },
		"each":   func(n *yaml.Node) { p.each(n, r) },
		"ignore": func(n *yaml.Node) {
			p.list(n, "ignore", func(n *yaml.Node) { r.ignore = append(r.ignore, p.condition(n)) })
		},
		"values":   func(n *yaml.Node) { p.values(n, r) },
		"sensor":   func(n *yaml.Node) { sensor, r.sensor = n, p.template(n) },
		"time":     func(n *yaml.Node) { r.time = p.time(n) },
		"sequence": func(n *yaml.Node) { r.sequence = p.amount(n, "sequence") },
		"findings": func(n *yaml.Node) { p.findings(n, r) },
		"readings": func(n *yaml.Node) { p.list(n, "readings", func(n *yaml.Node) { p.reading(n, r) }) },
	}
	for name, read := range known {
		known[name] = func(n *yaml.Node) { seen[name] = read; read(n) }
	}
	p.object(n, "a mapping", known, "name", "topic")
	p.rules = append(p.rules, r)
	if r.native {
		p.nativeRule(n, r, seen)
		return
	}
	for _, name := range []string{"sensor", "time", "readings"} {
		if seen[name] == nil {
			p.wrong(n, "mapping %s needs %q", r.name, name)
		}
	}
	if sensor != nil {
		p.sensorNames(sensor, r)
	}
	if len(r.readings) > maxReadingSpecs {
		p.wrong(n, "mapping %s has more than %d readings; split it", r.name, maxReadingSpecs)
	}
}

// nativeRule checks a mapping of Hale's own wire, which needs nothing but its topic.
func (p *filePage) nativeRule(n *yaml.Node, r *mappingRule, seen fields) {
	for name := range seen {
		if name != "name" && name != "topic" && name != "native" {
			p.wrong(n, "mapping %s is native: the wire says what stands where; leave out %q", r.name, name)
		}
	}
	if l := r.topic.levels; len(l) < 2 || l[0].literal+"/"+l[1].literal+"/" != topicRoot {
		p.wrong(n, "mapping %s is native: its topic begins with %s", r.name, topicRoot)
	}
}

// topic reads a pattern of topics.
func (p *filePage) topic(n *yaml.Node) (t topicPattern) {
	given := p.text(n, "topic")
	if given == "" {
		return t
	}
	levels := strings.Split(given, "/")
	names := map[string]bool{}
	for i, l := range levels {
		switch {
		case l == "#" && i == len(levels)-1:
			t.open = true
		case l == "+":
			t.levels = append(t.levels, topicLevel{open: true})
		case strings.HasPrefix(l, "{") && strings.HasSuffix(l, "}") && captureForm(l[1:len(l)-1]):
			name := l[1 : len(l)-1]
			if names[name] {
				p.wrong(n, "topic %q has {%s} twice", given, name)
			}
			names[name] = true
			t.levels = append(t.levels, topicLevel{open: true, name: name})
		case strings.ContainsAny(l, "{}+#\x00"):
			p.wrong(n, "in topic %q the level %q is none: write plain text, + or {name} alone on a level, # alone on the last", given, l)
			return topicPattern{}
		default:
			t.levels = append(t.levels, topicLevel{literal: l})
		}
	}
	if strings.HasPrefix(given, "$") {
		p.wrong(n, "topic %q begins with $: those are the broker's own", given)
	}
	return t
}

func captureForm(name string) bool { return nameForm.MatchString(name) }

func (p *filePage) template(n *yaml.Node) template {
	given := p.text(n, "sensor")
	t, ok := parseTemplate(given)
	if !ok {
		p.wrong(n, "in sensor %q a brace has no partner: write {name}", given)
	}
	return t
}

// sensorNames checks that every name in the sensor's template is one of the topic, of each or of values, and that it can
// be told where each of them ends.
func (p *filePage) sensorNames(n *yaml.Node, r *mappingRule) {
	known := map[string]bool{}
	for _, l := range r.topic.levels {
		if l.name != "" {
			known[l.name] = true
		}
	}
	if m := r.member; m != nil {
		if known[m.name] {
			p.wrong(n, "mapping %s: {%s} stands in the topic and in each; rename one", r.name, m.name)
		}
		known[m.name] = true
	}
	for _, v := range r.values {
		if known[v.name] {
			p.wrong(n, "mapping %s: {%s} stands in the topic or in each, and under values; rename one", r.name, v.name)
		}
		known[v.name] = true
	}
	for i, part := range r.sensor.parts {
		if i > 0 && part.name != "" && r.sensor.parts[i-1].name != "" {
			p.wrong(n, "mapping %s: in the sensor's name nothing stands between {%s} and {%s}, so that two sensors could have one name; put an underscore between them", r.name, r.sensor.parts[i-1].name, part.name)
		}
		if part.name != "" && !known[part.name] {
			p.wrong(n, "mapping %s: the sensor's name uses {%s}, which is neither in the topic, nor in each, nor under values", r.name, part.name)
		}
	}
}

func (p *filePage) values(n *yaml.Node, r *mappingRule) {
	for name, at := range p.free(n, "values") {
		if !captureForm(name.Value) {
			p.wrong(name, "%q is no name: small letters, digits, dashes, underscores", name.Value)
			continue
		}
		if path := p.path(at, name.Value); path != nil {
			r.values = append(r.values, namedPath{name.Value, *path})
		}
	}
}

// free returns the members of an object whose fields have names of the writer's own.
func (p *filePage) free(n *yaml.Node, what string) map[*yaml.Node]*yaml.Node {
	n = resolved(n)
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		p.wrong(n, "%s must be an object: a name, a colon and what it is, on each line", what)
		return nil
	}
	members, seen := map[*yaml.Node]*yaml.Node{}, map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if seen[n.Content[i].Value] {
			p.wrong(n.Content[i], "%s has %q twice; keep one of them", what, n.Content[i].Value)
		}
		seen[n.Content[i].Value] = true
		members[n.Content[i]] = n.Content[i+1]
	}
	return members
}

func (p *filePage) condition(n *yaml.Node) (c condition) {
	p.object(n, "a condition", fields{
		"path": func(n *yaml.Node) {
			if path := p.path(n, "path"); path != nil {
				c.path = *path
			}
		},
		"is": func(n *yaml.Node) { c.is = p.text(n, "is") },
	}, "path", "is")
	return c
}

// conditions reads one condition, or a list of them that must all hold.
func (p *filePage) conditions(n *yaml.Node) (all []condition) {
	if resolved(n).Kind == yaml.MappingNode {
		return []condition{p.condition(n)}
	}
	p.list(n, "when", func(n *yaml.Node) { all = append(all, p.condition(n)) })
	return all
}

// amount reads where a number stands: a path alone, or with what is to be done to it.
func (p *filePage) amount(n *yaml.Node, what string) *amountSpec {
	a := &amountSpec{}
	set := func(n *yaml.Node) {
		if path := p.path(n, what); path != nil {
			a.path = *path
		}
	}
	if isScalar(n) {
		set(n)
		return a
	}
	p.object(n, what, fields{
		"path":          set,
		"quoted":        func(n *yaml.Node) { a.quoted = p.truth(n, "quoted") },
		"exponent":      func(n *yaml.Node) { a.exponent = p.whole(n, "exponent", -largestShift, largestShift) },
		"exponent_path": func(n *yaml.Node) { a.exponentPath = p.path(n, "exponent_path") },
	}, "path")
	return a
}

// word reads a fixed word, or where one stands and how it is translated. good says whether Hale knows a word.
func (p *filePage) word(n *yaml.Node, what string, good func(string) bool) (w wordSpec) {
	check := func(n *yaml.Node) string {
		s := p.text(n, what)
		if s != "" && !good(s) {
			p.wrong(n, "%s %q is not known; docs/wire.md lists those that are", what, s)
		}
		return s
	}
	if isScalar(n) {
		w.fixed = check(n)
		return w
	}
	p.object(n, what, fields{
		"path": func(n *yaml.Node) { w.path = p.path(n, what) },
		"translate": func(n *yaml.Node) {
			w.translate = map[string]string{}
			for from, to := range p.free(n, "translate") {
				w.translate[from.Value] = check(to)
			}
		},
	}, "path")
	return w
}

// localLayout is how a local time is written where the mapping does not say otherwise.
const localLayout = "2006-01-02T15:04:05"

func (p *filePage) time(n *yaml.Node) (t timeSpec) {
	if isScalar(n) {
		if timeFormat(p.text(n, "time")) != timeArrival {
			p.wrong(n, "time is a path and a format, or the one word arrival")
		}
		return timeSpec{format: timeArrival}
	}
	zone, layout := (*yaml.Node)(nil), (*yaml.Node)(nil)
	p.object(n, "time", fields{
		"path": func(n *yaml.Node) {
			if path := p.path(n, "time"); path != nil {
				t.path = *path
			}
		},
		"format": func(n *yaml.Node) {
			switch t.format = timeFormat(p.text(n, "format")); t.format {
			case timeRFC3339, timeUnixS, timeUnixMS, timeLocal:
			case timeArrival:
				p.wrong(n, "for the time of arrival write time: arrival")
			default:
				p.wrong(n, "there is no format %q of times; there are rfc3339, unix_s, unix_ms and local", string(t.format))
			}
		},
		"zone": func(n *yaml.Node) {
			zone = n
			var err error
			if name := p.text(n, "zone"); name == "Local" {
				p.wrong(n, "say which zone: Europe/Ljubljana, for example")
			} else if t.zone, err = time.LoadLocation(name); err != nil {
				p.wrong(n, "there is no zone %q; write one such as Europe/Ljubljana", name)
			}
		},
		"layout": func(n *yaml.Node) { layout, t.layout = n, p.text(n, "layout") },
	}, "path", "format")
	p.local(n, &t, zone, layout)
	return t
}

// local checks that a wall clock has its zone, and that nothing else has one.
func (p *filePage) local(n *yaml.Node, t *timeSpec, zone, layout *yaml.Node) {
	if t.format != timeLocal {
		if zone != nil || layout != nil {
			p.wrong(n, "zone and layout belong to format: local")
		}
		return
	}
	if zone == nil {
		p.wrong(n, "a local time needs the zone in which its clock hangs, for example zone: Europe/Ljubljana")
	}
	if layout == nil {
		t.layout = localLayout
		return
	}
	if !showsAll(t.layout) {
		p.wrong(layout, "layout %q must show year, month, day, hour and minute as in %s", t.layout, localLayout)
	}
	if showsZone(t.layout) {
		p.wrong(layout, "layout %q shows a zone, beside the one of the mapping; leave it out there, or use format: rfc3339", t.layout)
	}
}

// showsAll reports whether a time that was written in the layout can be read from it to the minute.
func showsAll(layout string) bool {
	sample := time.Date(2006, 1, 2, 15, 4, 0, 0, time.UTC)
	back, err := time.Parse(layout, sample.Format(layout))
	return err == nil && back.Equal(sample)
}

// zoneWritten finds zones that the time package takes for plain text, and would pass over.
var zoneWritten = regexp.MustCompile(`(?i)\+|\b(utc|gmt)\b|[0-9]\s*z$`)

// showsZone reports whether the layout holds a zone or an offset in any spelling: the same wall clock in another zone is
// then written in another way.
func showsZone(layout string) bool {
	zone := time.FixedZone("XYZ", 5*3600+30*60+17)
	here, there := time.Date(2006, 1, 2, 15, 4, 0, 0, time.UTC), time.Date(2006, 1, 2, 15, 4, 0, 0, zone)
	return here.Format(layout) != there.Format(layout) || zoneWritten.MatchString(layout)
}

func (p *filePage) findings(n *yaml.Node, r *mappingRule) {
	for name, at := range p.free(n, "findings") {
		bit := findingOf([]byte(name.Value))
		if bit == 0 {
			p.wrong(name, "there is no finding %q; there are irregular_pulse, body_movement, cuff_loose, poor_signal and low_perfusion", name.Value)
			continue
		}
		if !isScalar(at) {
			c := p.condition(at)
			r.findings = append(r.findings, findingSpec{bit, c.path, c.is, true})
			continue
		}
		if path := p.path(at, name.Value); path != nil {
			r.findings = append(r.findings, findingSpec{bit: bit, path: *path})
		}
	}
	slices.SortFunc(r.findings, func(a, b findingSpec) int { return cmp.Compare(a.bit, b.bit) }) // what is told of them has one order
}

// reading reads one entry of readings.
func (p *filePage) reading(n *yaml.Node, r *mappingRule) {
	var spec readingSpec
	number := func(at part, name string) func(*yaml.Node) {
		return func(n *yaml.Node) { spec.amounts[at] = p.amount(n, name) }
	}
	p.object(n, "a reading", fields{
		"when": func(n *yaml.Node) { spec.when = p.conditions(n) },
		"metric": func(n *yaml.Node) {
			spec.metric = p.word(n, "metric", func(s string) bool { _, ok := vital.ParseMetric(s); return ok })
		},
		"unit": func(n *yaml.Node) {
			spec.unit = p.word(n, "unit", func(s string) bool { _, ok := vital.ParseUnit(s); return ok })
		},
		"value":     number(partValue, "value"),
		"systolic":  number(partSystolic, "systolic"),
		"diastolic": number(partDiastolic, "diastolic"),
		"pulse":     number(partPulse, "pulse"),
	}, "metric", "unit")
	p.components(n, &spec)
	r.readings = append(r.readings, spec)
}

// components checks that a reading has the numbers of its metric, in a unit of their kind.
func (p *filePage) components(n *yaml.Node, spec *readingSpec) {
	some := false
	for _, a := range spec.amounts {
		some = some || a != nil
	}
	if !some {
		p.wrong(n, "a reading needs where its numbers stand: value, or systolic and diastolic")
		return
	}
	metric, ok := vital.ParseMetric(spec.metric.fixed)
	if !ok {
		return
	}
	d, _ := vital.Define(metric)
	belongs := [parts]bool{}
	for _, c := range d.Components {
		at := partOf(c.Code)
		if at == noPart {
			continue
		}
		belongs[at] = true
		if spec.amounts[at] == nil && !c.Optional {
			p.wrong(n, "%s needs %s", d.Code, c.Code)
		}
	}
	for at, a := range spec.amounts {
		if a != nil && !belongs[at] {
			p.wrong(n, "%s has no %s", d.Code, partName(part(at)))
		}
	}
	if u, ok := vital.ParseUnit(spec.unit.fixed); ok {
		if c := d.Components[0]; !accepts(c, u) {
			p.wrong(n, "%s is not measured in %s; it is in one of %s", d.Code, u.UCUM(), spellings(c))
		}
	}
}

func accepts(c vital.Component, u vital.Unit) bool {
	for _, a := range c.Accepted {
		if a == u {
			return true
		}
	}
	return false
}

func partName(p part) string {
	return [...]string{partValue: "value", partSystolic: "systolic", partDiastolic: "diastolic", partPulse: "pulse"}[p]
}
