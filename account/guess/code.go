package guess

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"unicode"
)

// readable holds 32 signs that are hard to confuse when read from a screen: no i, l, o, u (as Crockford's base 32).
const readable = "0123456789abcdefghjkmnpqrstvwxyz"

// longestTyped bounds what is taken for a code, in bytes.
const longestTyped = 64

// Readable writes bytes in signs that are hard to confuse, five bits to a sign.
func Readable(b []byte) string {
	return base32.NewEncoding(readable).WithPadding(base32.NoPadding).EncodeToString(b)
}

// NewCode returns so many random signs, each of them five bits.
func NewCode(signs int) string {
	b := make([]byte, (5*signs+7)/8)
	rand.Read(b)
	return Readable(b)[:signs]
}

// Typed reads a code of so many signs as a person typed it: the case, spaces and dashes do not matter, nor which of the signs
// that look alike it is. ok is false for what cannot be one.
func Typed(text string, signs int) (code string, ok bool) {
	if len(text) > longestTyped {
		return "", false
	}
	var read strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Dash, r), r == '.', r == '_':
		case r == 'o':
			read.WriteByte('0')
		case r == 'i', r == 'l':
			read.WriteByte('1')
		case r == 'u':
			read.WriteByte('v')
		case strings.ContainsRune(readable, r):
			read.WriteRune(r)
		default:
			return "", false
		}
	}
	return read.String(), read.Len() == signs
}

// Spelled writes a code for people: in capitals, and in groups of four.
func Spelled(code string) string {
	var b strings.Builder
	for i, r := range strings.ToUpper(code) {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}
