package ingest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"hale/devices"
	"hale/vital"
)

// uidForm is the form of a sensor's name.
var uidForm = regexp.MustCompile(devices.UIDPattern)

// topicPattern is a topic of which some levels are open: + is any one level, {name} is any one that is given a name,
// and # at the end is any number of them.
type topicPattern struct {
	levels []topicLevel
	open   bool // ends in #
}

type topicLevel struct {
	literal string // of a level that is not open
	name    string // of {name}
	open    bool
}

// match reports whether the topic fits, and what stands at the named levels.
func (p *topicPattern) match(topic string) (names map[string]string, ok bool) {
	if strings.HasPrefix(topic, "$") {
		return nil, false
	}
	for i, l := range p.levels {
		level, rest, more := strings.Cut(topic, "/")
		last := i+1 == len(p.levels)
		if !l.open && level != l.literal || !last && !more || last && more && !p.open {
			return nil, false
		}
		if l.name != "" {
			if names == nil {
				names = map[string]string{}
			}
			names[l.name] = level
		}
		topic = rest
	}
	return names, true
}

// template is a text with {names} in it.
type template struct{ parts []templatePart }

type templatePart struct{ literal, name string }

// fill puts values in the places of the names. A colon, as it stands in a radio address, becomes a dash: a sensor's name
// has none. What would give two sensors one name is refused: an empty value, and one in which the text begins that
// separates it from its neighbour, because then nobody could tell where it ends.
func (t *template) fill(value func(name string) string) (string, *refusal) {
	var b strings.Builder
	for i, p := range t.parts {
		if p.name == "" {
			b.WriteString(p.literal)
			continue
		}
		v := strings.ReplaceAll(value(p.name), ":", "-")
		if v == "" {
			return "", refuse(vital.ReasonSensor, "the sensor's name needs {%s}, which is empty", p.name)
		}
		if i+2 < len(t.parts) {
			if sep := t.parts[i+1].literal; strings.Index(v+sep, sep) != len(v) {
				return "", blurred(p.name, v, sep)
			}
		}
		if i >= 2 {
			if sep := t.parts[i-1].literal; strings.LastIndex(sep+v, sep) != 0 {
				return "", blurred(p.name, v, sep)
			}
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func blurred(name, value, sep string) *refusal {
	return refuse(vital.ReasonSensor, "{%s} is %s, and %q separates it from its neighbour in the sensor's name, so that two sensors could have that name; let the mapping separate them by something else, _ for example", name, quote([]byte(value)), sep)
}

// wholeForm is the form of a number that may stand in a sensor's name: there is one way to write each.
var wholeForm = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// parseTemplate splits a text at its {names}; ok is false when a brace is without its partner.
func parseTemplate(s string) (t template, ok bool) {
	for s != "" {
		before, rest, more := strings.Cut(s, "{")
		if strings.Contains(before, "}") {
			return t, false
		}
		if before != "" {
			t.parts = append(t.parts, templatePart{literal: before})
		}
		if !more {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || name == "" || strings.Contains(name, "{") {
			return t, false
		}
		t.parts = append(t.parts, templatePart{name: name})
		s = after
	}
	return t, true
}

// timeFormat says how a foreign time is written.
type timeFormat string

// The formats.
const (
	timeArrival timeFormat = "arrival" // there is none
	timeRFC3339 timeFormat = "rfc3339"
	timeUnixS   timeFormat = "unix_s"
	timeUnixMS  timeFormat = "unix_ms"
	timeLocal   timeFormat = "local" // on a wall clock whose zone the mapping declares
)

type timeSpec struct {
	format timeFormat
	path   jsonPath
	layout string // of timeLocal, as the time package writes layouts
	zone   *time.Location
}

// Seconds and milliseconds that lie far apart: what is given in the wrong one is told, not stored a thousand times off.
const latestUnixSeconds = 1 << 33 // in the year 2242

// find returns the time as text of RFC 3339, for the core to judge. That a time is missing is an error where the mapping
// says where it stands: the message may have waited in the broker, so that its arrival tells nothing.
func (t *timeSpec) find(s *scope) (token, *refusal) {
	if t.format == timeArrival {
		return token{}, nil
	}
	found := tokenOf(s.get(t.path))
	if found.kind == absent || found.kind == null {
		return token{}, t.refuse("no time stands at %s", t.path)
	}
	var at time.Time
	var no *refusal
	switch t.format {
	case timeArrival, timeRFC3339:
		return found, nil
	case timeUnixS:
		at, no = t.unix(found, 6)
	case timeUnixMS:
		at, no = t.unix(found, 3)
	case timeLocal:
		at, no = t.local(found)
	}
	if no != nil {
		return token{}, no
	}
	if at.Year() < 0 || at.Year() > 9999 {
		return token{}, t.refuse("the time %s at %s is out of range", found.shown(), t.path)
	}
	return token{kind: text, raw: []byte(at.UTC().Format(time.RFC3339Nano))}, nil
}

func (t *timeSpec) refuse(format string, args ...any) *refusal {
	return moment{field: t.path.String()}.refuse(format, args...)
}

// unix reads seconds or milliseconds since 1970, of which shift powers of ten are a microsecond.
func (t *timeSpec) unix(found token, shift int) (time.Time, *refusal) {
	wrong := func() (time.Time, *refusal) {
		return time.Time{}, t.refuse("the time %s at %s is no number of %s", found.shown(), t.path, string(t.format))
	}
	raw := found.raw
	if found.kind == text {
		raw = found.plain()
	}
	if found.kind != number && found.kind != text || !isNumber(raw) {
		return wrong()
	}
	mantissa, exponent, err := vital.ParseDecimal(string(raw))
	if err != nil {
		return wrong()
	}
	for e := int(exponent) + shift; e != 0; {
		if e < 0 {
			mantissa /= 10
			e++
			continue
		}
		if mantissa > 1<<59 || mantissa < -1<<59 {
			return wrong()
		}
		mantissa *= 10
		e--
	}
	if t.format == timeUnixS && mantissa/1_000_000 > latestUnixSeconds {
		return time.Time{}, t.refuse("the time %s at %s looks like milliseconds; the mapping says seconds", found.shown(), t.path)
	}
	return time.UnixMicro(mantissa), nil
}

// local reads a wall clock without a zone in the zone that the mapping declares.
func (t *timeSpec) local(found token) (time.Time, *refusal) {
	if found.kind != text {
		return time.Time{}, t.refuse("the time at %s is %s; text such as %s is expected", t.path, found.kind, t.layout)
	}
	wall, err := time.Parse(t.layout, string(found.plain()))
	if err != nil {
		return time.Time{}, t.refuse("the time %s at %s is not of the form %s", found.shown(), t.path, t.layout)
	}
	return inZone(wall, t.zone), nil
}

// inZone returns the instant at which clocks of the zone showed the wall time. In the hour that a night in autumn has
// twice it is the first of the two: at most an hour too early, and never ahead of us. In the hour that a night in spring
// has not, it is what a clock shows that nobody has put forward.
func inZone(wall time.Time, zone *time.Location) time.Time {
	const day = 24 * time.Hour
	_, before := wall.Add(-day).In(zone).Zone()
	_, after := wall.Add(day).In(zone).Zone()
	early, late := wall.Add(-time.Duration(before)*time.Second), wall.Add(-time.Duration(after)*time.Second)
	if late.Before(early) {
		early, late = late, early
	}
	shows := func(at time.Time) bool {
		_, offset := at.In(zone).Zone()
		return at.Add(time.Duration(offset) * time.Second).Equal(wall)
	}
	switch {
	case shows(early):
		return early
	case shows(late):
		return late
	}
	return wall.Add(-time.Duration(before) * time.Second)
}

// isNumber reports whether the text is a JSON number from end to end.
func isNumber(b []byte) bool {
	s := scanner{src: b}
	if c := s.peek(); c != '-' && !digit(c) {
		return false
	}
	_, err := s.number()
	return err == nil && s.at == len(b)
}

// largestShift bounds by how many powers of ten a mapping moves a number; the wire takes no more either.
const largestShift = 30

// smallWhole reads a whole number that may be a power of ten.
func smallWhole(t token) (int, bool) {
	n, err := strconv.Atoi(string(t.raw))
	return n, t.kind == number && err == nil && n >= -largestShift && n <= largestShift
}

// shifted moves a number by powers of ten and keeps its digits. What is no number that a sensor measures stays as it is,
// for the core to refuse.
func shifted(t token, by int) token {
	mantissa, exponent, err := vital.ParseDecimal(string(t.raw))
	if err != nil {
		return t
	}
	raw := strconv.AppendInt(nil, mantissa, 10)
	raw = append(raw, 'e')
	return token{kind: number, raw: strconv.AppendInt(raw, int64(exponent)+int64(by), 10)}
}

// shown repeats a value in a sentence.
func (t token) shown() string {
	if t.kind == number || t.kind == boolean {
		return string(clip(t.raw))
	}
	if t.kind == text {
		return quote(t.plain())
	}
	return t.kind.String()
}
