package account

import (
	"strings"
	"unicode/utf8"
)

// Storable reports whether the record can hold a text: PostgreSQL keeps UTF-8 without the zero sign.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
