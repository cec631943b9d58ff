package ingest

import (
	"encoding/json"
	"strconv"
)

// maxDepth bounds how deep lists and objects may lie in each other, so that no message costs us the stack.
const maxDepth = 32

// kind is the sort of a JSON value.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	list
	object
)

func (k kind) String() string {
	switch k {
	case absent:
		return "absent"
	case null:
		return "null"
	case boolean:
		return "true or false"
	case number:
		return "a number"
	case text:
		return "text"
	case list:
		return "a list"
	case object:
		return "an object"
	}
	return "unknown"
}

// token is one JSON value as it stands in the message. Of a text, raw is what stands between the quotes.
type token struct {
	kind    kind
	escaped bool
	raw     []byte
}

// plain returns the characters of a text.
func (t token) plain() []byte {
	if !t.escaped {
		return t.raw
	}
	quoted := make([]byte, 0, len(t.raw)+2)
	quoted = append(append(append(quoted, '"'), t.raw...), '"')
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return t.raw // cannot be: the scanner has passed it
	}
	return []byte(s)
}

// syntaxError says where a message stops being JSON, and what to mend.
type syntaxError struct {
	at  int
	why string
}

// Error returns the sentence for a person.
func (e *syntaxError) Error() string {
	return "not JSON at byte " + strconv.Itoa(e.at) + ": " + e.why
}

// scanner reads JSON (RFC 8259) once, from left to right, and allocates nothing. Numbers stay the text they are.
type scanner struct {
	src   []byte
	at    int
	depth int
	// single makes it note the first name that stands more than once in one object, for which it allocates.
	single   bool
	repeated *string
}

func (s *scanner) wrong(why string) error {
	if s.at >= len(s.src) {
		return &syntaxError{len(s.src), "it ends too early"}
	}
	return &syntaxError{s.at, why}
}

// peek returns the next byte; 0, which no JSON holds outside a text, at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.src) {
		return s.src[s.at]
	}
	return 0
}

// space goes to the next byte that is not white space.
func (s *scanner) space() {
	for s.at < len(s.src) {
		switch s.src[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// enter takes an opening bracket and reports whether something stands before the closing one.
func (s *scanner) enter(closing byte) (bool, error) {
	if s.depth == maxDepth {
		return false, s.wrong("lists and objects lie more than " + strconv.Itoa(maxDepth) + " deep in each other")
	}
	s.depth++
	s.at++
	s.space()
	if s.peek() == closing {
		s.at++
		s.depth--
		return false, nil
	}
	return true, nil
}

// more takes what follows a member, and reports whether that is a comma and so another member.
func (s *scanner) more(closing byte) (bool, error) {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
		s.space()
		return true, nil
	case closing:
		s.at++
		s.depth--
		return false, nil
	}
	return false, s.wrong("a comma or " + string(rune(closing)) + " is missing")
}

// key takes a member's name and the colon behind it.
func (s *scanner) key() (token, error) {
	if s.peek() != '"' {
		return token{}, s.wrong("a name in double quotes is missing")
	}
	k, err := s.text()
	if err != nil {
		return token{}, err
	}
	s.space()
	if s.peek() != ':' {
		return token{}, s.wrong("a colon is missing")
	}
	s.at++
	s.space()
	return k, nil
}

// value takes any one value.
func (s *scanner) value() (token, error) {
	switch c := s.peek(); {
	case c == '"':
		return s.text()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == '{':
		return s.object()
	case c == '[':
		return s.list()
	case c == 't':
		return s.word("true", boolean)
	case c == 'f':
		return s.word("false", boolean)
	case c == 'n':
		return s.word("null", null)
	case c == 'N' || c == 'I':
		return token{}, s.wrong("NaN and Infinity are no numbers; leave out what was not measured")
	}
	return token{}, s.wrong("a value is missing")
}

func (s *scanner) word(w string, k kind) (token, error) {
	if len(s.src)-s.at < len(w) || string(s.src[s.at:s.at+len(w)]) != w {
		return token{}, s.wrong("a value is missing")
	}
	s.at += len(w)
	return token{kind: k, raw: s.src[s.at-len(w) : s.at]}, nil
}

func (s *scanner) object() (token, error) {
	start := s.at
	var seen map[string]bool
	if s.single {
		seen = map[string]bool{}
	}
	more, err := s.enter('}')
	for more && err == nil {
		var key token
		if key, err = s.key(); err != nil {
			break
		}
		if s.single {
			s.note(seen, string(key.plain()))
		}
		if _, err = s.value(); err != nil {
			break
		}
		more, err = s.more('}')
	}
	return token{kind: object, raw: s.src[start:s.at]}, err
}

func (s *scanner) note(seen map[string]bool, name string) {
	if seen[name] && s.repeated == nil {
		s.repeated = &name
	}
	seen[name] = true
}

func (s *scanner) list() (token, error) {
	start := s.at
	more, err := s.enter(']')
	for more && err == nil {
		if _, err = s.value(); err != nil {
			break
		}
		more, err = s.more(']')
	}
	return token{kind: list, raw: s.src[start:s.at]}, err
}

func (s *scanner) text() (token, error) {
	s.at++
	t := token{kind: text}
	for start := s.at; s.at < len(s.src); s.at++ {
		switch c := s.src[s.at]; {
		case c == '"':
			t.raw = s.src[start:s.at]
			s.at++
			return t, nil
		case c == '\\':
			t.escaped = true
			if err := s.escape(); err != nil {
				return t, err
			}
		case c < ' ':
			return t, s.wrong("a control character stands in a text")
		}
	}
	return t, s.wrong("")
}

// escape goes from a backslash to the last byte of what it begins.
func (s *scanner) escape() error {
	s.at++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.at++
			if c := s.peek(); !digit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return s.wrong("\\u needs four hexadecimal digits")
			}
		}
		return nil
	}
	return s.wrong("a backslash is followed by no known escape")
}

func (s *scanner) number() (token, error) {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return token{}, s.wrong("a digit is missing")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return token{}, s.wrong("a digit is missing after the point")
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return token{}, s.wrong("the exponent has no digits")
		}
	}
	return token{kind: number, raw: s.src[start:s.at]}, nil
}

// digits takes a run of digits and reports whether there was one.
func (s *scanner) digits() bool {
	start := s.at
	for digit(s.peek()) {
		s.at++
	}
	return s.at > start
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
