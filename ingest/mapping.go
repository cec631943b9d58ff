package ingest

import (
	"cmp"
	"maps"
	"strings"

	"github.com/tidwall/gjson"

	"hale/ingest/formats"
	"hale/vital"
)

// Mapping says how the messages of somebody else's broker become readings. It comes from a mapping file (ReadMappings)
// and never changes. What it finds goes through the same core as what a device sends to Hale's own edge, and every
// reading of it is marked as vital.ThroughBroker.
type Mapping struct {
	rules []*mappingRule // the first whose topic fits is the one
}

// mappingRule is one entry of a mapping file: the messages of which topics, and what stands where in them.
type mappingRule struct {
	line     int // where it stands in the file
	name     string
	topic    topicPattern
	native   bool        // the payload is Hale's own wire, and the topic names the device
	each     *jsonPath   // of the list, or of the object whose members are the elements; nil: the message is the element
	member   *memberSpec // which members; nil: each is a list
	ignore   []condition
	sensor   template
	values   []namedPath // what the sensor's name may be made of besides the topic
	time     timeSpec
	sequence *amountSpec
	findings []findingSpec
	readings []readingSpec
}

// readingSpec is one reading that an element may hold.
type readingSpec struct {
	when    []condition
	metric  wordSpec
	unit    wordSpec
	amounts [parts]*amountSpec
}

// condition holds when the value at the path is the text.
type condition struct {
	path jsonPath
	is   string
}

// wordSpec is a word that is fixed, or found at a path and perhaps translated.
type wordSpec struct {
	fixed     string
	path      *jsonPath
	translate map[string]string
}

// amountSpec says where a number stands, and by which power of ten it is to be multiplied.
type amountSpec struct {
	path         jsonPath
	quoted       bool // the number may stand in quotes
	exponent     int
	exponentPath *jsonPath
}

type namedPath struct {
	name string
	path jsonPath
}

// scope is what the paths of an element look into.
type scope struct {
	root, element gjson.Result
	names         map[string]string // captures of the topic and of the member's name
	many          *jsonPath         // the first path at which more than one value was found since the last look
	shared        map[string]hit    // what stands at paths from the root, for all elements: of a long list it is found once
	unclear       []*findingSpec    // of the reading that was filled last
}

// get returns what stands at the path. Where more than one value does, which of them is meant we would have to guess: it
// finds none, and notes the path.
func (s *scope) get(p jsonPath) gjson.Result {
	h := s.hit(p)
	if h.many && s.many == nil {
		at := p
		s.many = &at
	}
	return h.found
}

// ambiguous returns the refusal for a path that found more than one value since the last call.
func (s *scope) ambiguous() *refusal {
	p := s.many
	if s.many = nil; p == nil {
		return nil
	}
	return refuse(vital.ReasonUnparsable, "more than one value stands at %s; name the one that is meant, or use each: for all of them", p)
}

func (s *scope) holds(all []condition) bool {
	for _, c := range all {
		if v := s.get(c.path); !v.Exists() || v.String() != c.is {
			return false
		}
	}
	return true
}

// tokenOf returns what gjson found in the form in which the wire's own decoder finds it: numbers as they were written.
func tokenOf(r gjson.Result) token {
	switch r.Type {
	case gjson.Null:
		if r.Raw == "" {
			return token{}
		}
		return token{kind: null, raw: []byte(r.Raw)}
	case gjson.True, gjson.False:
		return token{kind: boolean, raw: []byte(r.Raw)}
	case gjson.Number:
		return token{kind: number, raw: []byte(r.Raw)}
	case gjson.String:
		if len(r.Raw) >= 2 {
			inner := r.Raw[1 : len(r.Raw)-1]
			return token{kind: text, raw: []byte(inner), escaped: strings.Contains(inner, `\`)}
		}
		return token{kind: text}
	case gjson.JSON:
		if strings.HasPrefix(r.Raw, "[") {
			return token{kind: list, raw: []byte(r.Raw)}
		}
		return token{kind: object, raw: []byte(r.Raw)}
	}
	return token{}
}

// throughBroker finds the readings and refusals of a message that came through somebody else's broker.
func (d *decoder) throughBroker() {
	topic := d.message.Topic
	rule, names := d.message.Mapping.rule(topic)
	switch {
	case rule == nil:
		d.refuseWhole(refuse(vital.ReasonTopic, "no mapping of the bridge is for this topic; add one, or do not subscribe to it"))
	case d.message.Oversize != nil:
		d.refuseWhole(refuse(vital.ReasonTooLarge, "the message has %d bytes; send smaller ones", d.message.Oversize.Length))
	case rule.native:
		d.native()
	default:
		d.mapped(rule, names)
	}
}

// rule returns the first rule for the topic and what its pattern captured; nil when there is none.
func (m *Mapping) rule(topic string) (rule *mappingRule, names map[string]string) {
	for _, r := range m.rules {
		if names, ok := r.topic.match(topic); ok {
			return r, names
		}
	}
	return nil, nil
}

// Knows reports whether the mapping has a rule for the topic.
func (m *Mapping) Knows(topic string) bool {
	r, _ := m.rule(topic)
	return r != nil
}

// native takes a message of Hale's own wire. The broker let somebody publish on the device's topic, and that is all we
// know: the device must be enrolled, in the organisation of the bridge's own device.
func (d *decoder) native() {
	rest, _ := strings.CutPrefix(d.message.Topic, topicRoot)
	uid, _, _ := strings.Cut(rest, "/")
	device := d.snapshot.Devices[uid]
	if device == nil || device.Revoked || device.Org != d.device.Org {
		d.refuseWhole(refuse(vital.ReasonTopic, "no device %s is enrolled; ask the device desk", quote([]byte(uid))))
		return
	}
	d.device = device
	d.wire()
}

// mapped takes a message by a rule of the mapping. It must be JSON from end to end, as everywhere.
func (d *decoder) mapped(rule *mappingRule, names map[string]string) {
	s := scanner{src: d.message.Payload, single: true}
	s.space()
	_, err := s.value()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		d.mapRefused(rule, names, refuse(vital.ReasonUnparsable, "%s", err), formats.Before(d.message.Payload)...)
		return
	}
	if s.repeated != nil {
		no := refuse(vital.ReasonUnparsable, "%s stands more than once in one object; send each field once", quote([]byte(*s.repeated)))
		d.mapRefused(rule, names, no.in(rule), d.message.Payload, lastMeant(d.message.Payload))
		return
	}
	if no := d.mapWhole(rule, names, d.message.Payload); no != nil {
		d.refuseAll(no.in(rule))
	}
}

// mapWhole takes a message element by element. One that is refused as a whole is read all the same.
func (d *decoder) mapWhole(rule *mappingRule, names map[string]string, payload []byte) *refusal {
	elements, no := rule.elements(gjson.ParseBytes(payload), names)
	for i := range elements {
		d.mapElement(rule, i, &elements[i])
		if no != nil {
			d.fold()
		}
	}
	return no
}

// elements finds what the rule looks at one by one. Of what is refused because it is too long, or stands elsewhere, too.
func (r *mappingRule) elements(root gjson.Result, names map[string]string) ([]scope, *refusal) {
	whole := scope{root: root, element: root, names: names, shared: map[string]hit{}}
	if r.each == nil {
		return []scope{whole}, nil
	}
	at := whole.get(*r.each)
	if no := whole.ambiguous(); no != nil {
		return whole.astray(r.each.all(root)...), no
	}
	if r.member != nil && !at.IsObject() {
		return whole.astray(at), refuse(vital.ReasonUnparsable, "at %s stands %s; an object is expected", r.each, tokenOf(at).kind)
	}
	if r.member == nil && !at.IsArray() {
		return whole.astray(at), refuse(vital.ReasonUnparsable, "at %s stands %s; a list is expected", r.each, tokenOf(at).kind)
	}
	var all []scope
	at.ForEach(func(key, element gjson.Result) bool {
		one := scope{root: root, element: element, names: names, shared: whole.shared}
		if r.member != nil {
			name, ok := r.member.match(key.String())
			if !ok {
				return true
			}
			one.names = maps.Clone(names)
			if one.names == nil {
				one.names = map[string]string{}
			}
			one.names[r.member.name] = name
		}
		all = append(all, one)
		return true
	})
	if len(all) > maxElements {
		return all, refuse(vital.ReasonUnparsable, "at %s stand more than %d elements; send them in parts", r.each, maxElements)
	}
	if r.member != nil && len(all) == 0 {
		return nil, refuse(vital.ReasonMetric, "at %s no name is of the form %s; name the readings that stand there, or add an entry under ignore", r.each, r.member)
	}
	return all, nil
}

// mapElement takes one element: each reading of the rule that stands in it becomes a reading or a refusal.
func (d *decoder) mapElement(rule *mappingRule, index int, s *scope) {
	for _, c := range rule.ignore {
		if s.holds([]condition{c}) {
			return
		}
	}
	raw := []byte(s.element.Raw)
	d.sensor = 0
	if no := cmp.Or(s.ambiguous(), d.addressed(rule, s)); no != nil { // its numbers are read all the same, also when nobody knows whose they are
		d.ungranted = no.in(rule)
		defer func() { d.ungranted = nil }()
	}
	found := false
	for i := range rule.readings {
		spec := &rule.readings[i]
		stands := spec.stands(s)
		no := s.ambiguous()
		if no == nil && !stands {
			continue
		}
		found = true
		if no = d.mapReading(rule, spec, s, no); no != nil {
			d.refuseElement(raw, index, no.in(rule))
		}
	}
	if !found {
		no := refuse(vital.ReasonMetric, "none of the readings that the mapping knows stands in this; add one, or an entry under ignore")
		no.also = d.within(rule, s)
		d.refuseElement(raw, index, no.in(rule))
	}
}

// in says by which rule something was refused.
func (r *refusal) in(rule *mappingRule) *refusal {
	own := *r
	own.detail = "mapping " + rule.name + ": " + r.detail
	return &own
}

// addressed finds the sensor that measured the element.
func (d *decoder) addressed(rule *mappingRule, s *scope) *refusal {
	values := map[string]string{}
	for _, v := range rule.values {
		t := tokenOf(s.get(v.path))
		if no := s.ambiguous(); no != nil {
			return no
		}
		if t.kind != text && t.kind != number {
			return refuse(vital.ReasonSensor, "the sensor's name needs %s, and at %s stands %s", v.name, v.path, t.kind)
		}
		if t.kind == number && !wholeForm.Match(t.raw) {
			return refuse(vital.ReasonSensor, "the sensor's name needs %s, and at %s stands %s, which is no plain whole number", v.name, v.path, t.shown())
		}
		values[v.name] = string(t.plain())
	}
	uid, no := rule.sensor.fill(func(name string) string {
		if v, ok := values[name]; ok {
			return v
		}
		return s.names[name]
	})
	if no != nil {
		return no
	}
	if !uidForm.MatchString(uid) {
		return refuse(vital.ReasonSensor, "the sensor's name would be %s; it needs 1 to 64 letters, digits, points, dashes or underscores", quote([]byte(uid)))
	}
	sensor, ok := d.granted(uid)
	if !ok {
		return refuse(vital.ReasonSensor, "the sensor %s was not granted to the bridge's device %s; ask the device desk", quote([]byte(uid)), d.device.UID)
	}
	d.sensor = sensor
	return nil
}

// granted finds a sensor for which the device may speak: one that was granted to it, or its own.
func (d *decoder) granted(uid string) (vital.SensorID, bool) {
	if d.trial != nil {
		return d.trial.sensor(uid), true
	}
	if uid == d.device.UID {
		return d.device.Own, true
	}
	sensor, ok := d.device.Sensors[uid]
	return sensor, ok
}

// stands reports whether the element holds this reading: its conditions hold, and at least one of its numbers is there.
func (spec *readingSpec) stands(s *scope) bool {
	if !s.holds(spec.when) {
		return false
	}
	for _, a := range spec.amounts {
		if a != nil {
			if v := s.get(a.path); v.Exists() && v.Type != gjson.Null {
				return true
			}
		}
	}
	return false
}

// mapReading brings one reading into the form of the wire, and lets it be judged as such. One that is refused, before that or here, is
// read all the same.
func (d *decoder) mapReading(rule *mappingRule, spec *readingSpec, s *scope, no *refusal) *refusal {
	e := &d.element
	*e = element{}
	noNumber, noTime := spec.fill(e, s), rule.fill(e, s)
	no = cmp.Or(no, s.ambiguous(), noNumber, noTime) // what was missing for that reason is no other
	d.readings = append(d.readings, vital.Reading{ReceivedAt: d.received})
	r := &d.readings[len(d.readings)-1]
	judged := d.normalise(e, r)
	if no != nil {
		no.reads(r, judged)
		no.timeless = no.timeless || rule.time.format != timeArrival && e.time.kind == absent
		judged = no
	}
	if no := d.admit(judged, r); no != nil {
		d.readings = d.readings[:len(d.readings)-1]
		return no
	}
	d.address(r)
	d.trial.doubt(len(d.readings)-1, s)
	return nil
}

// fill finds metric, unit and numbers. After the first refusal it finds the others all the same.
func (spec *readingSpec) fill(e *element, s *scope) (first *refusal) {
	e.metric, first = spec.metric.find(s, vital.ReasonMetric, "metric")
	var no *refusal
	e.unit, no = spec.unit.find(s, vital.ReasonUnit, "unit")
	first = cmp.Or(first, no)
	for p, a := range spec.amounts {
		if a != nil {
			e.amounts[p].value, no = a.find(s)
			first = cmp.Or(first, no)
		}
	}
	return first
}

// fill finds what all readings of an element share. After the first refusal it finds the others all the same.
func (r *mappingRule) fill(e *element, s *scope) (first *refusal) {
	if r.time.format != timeArrival {
		e.timePath = r.time.path.String()
	}
	e.time, first = r.time.find(s)
	if r.sequence != nil {
		var no *refusal
		e.seq, no = r.sequence.find(s)
		first = cmp.Or(first, no)
	}
	s.unclear = s.unclear[:0]
	for i := range r.findings {
		e.findings |= r.findings[i].in(s)
	}
	return first
}

// find returns the word as text, for the core to judge.
func (w *wordSpec) find(s *scope, reason vital.Reason, what string) (token, *refusal) {
	if w.path == nil {
		return token{kind: text, raw: []byte(w.fixed)}, nil
	}
	found := s.get(*w.path)
	t := tokenOf(found)
	if w.translate == nil || t.kind != text && t.kind != number && t.kind != boolean {
		return t, nil
	}
	word, ok := w.translate[found.String()]
	if !ok {
		return token{}, refuse(reason, "the %s at %s is %s, which the mapping does not translate; add it there", what, w.path, quote([]byte(found.String())))
	}
	return token{kind: text, raw: []byte(word)}, nil
}

// find returns the number as it was written, or shifted by whole powers of ten, which changes none of its digits.
func (a *amountSpec) find(s *scope) (token, *refusal) {
	t := tokenOf(s.get(a.path))
	if t.kind == text && a.quoted {
		if plain := t.plain(); isNumber(plain) {
			t = token{kind: number, raw: plain}
		}
	}
	shift := a.exponent
	if a.exponentPath != nil {
		e := tokenOf(s.get(*a.exponentPath))
		n, ok := smallWhole(e)
		if !ok {
			return token{}, refuse(vital.ReasonNotANumber, "the power of ten at %s is %s; a whole number from -30 to 30 is expected", a.exponentPath, e.shown())
		}
		shift += n
	}
	if shift == 0 || t.kind != number {
		return t, nil
	}
	return shifted(t, shift), nil
}
