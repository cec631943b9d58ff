package signin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"hale/fault"
)

// A password that a person chooses: at least twelve characters (NIST SP 800-63B-4, section 3.1.1.2, asks for fifteen where it
// is the only factor and eight with a second; rules of composition are not asked for, as that section advises), of which
// six are left when everything is taken away that guessers try first.
const (
	shortestPassword = 12
	mostOwn          = 6 // characters that are nobody else's
	differentSigns   = 5
	shortestWord     = 4 // of a name that must not stand inside
)

// tried is what guessers put together first, in lower case: words, rows of keyboards, counting.
func tried() []string {
	return []string{
		"password", "passwort", "passwd", "kennwort", "geslo", "motdepasse", "contraseña", "contrasena", "parola", "heslo", "haslo", "lozinka",
		"qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "qwerty", "qwertz", "azerty", "asdfgh", "qazwsx", "1q2w3e4r", "1qaz2wsx",
		"abcdefghijklmnopqrstuvwxyz", "abcdefgh", "abcdef", "abc", "01234567890", "1234567890", "123456789", "12345678", "1234567", "123456", "12345", "1234", "123",
		"0987654321", "987654321", "87654321", "654321", "54321", "4321", "321",
		"letmein", "welcome", "willkommen", "changeme", "iloveyou", "trustno", "sunshine", "princess", "football", "baseball", "superman", "batman",
		"monkey", "dragon", "master", "shadow", "michael", "jordan", "secret", "geheim", "hello", "login", "access", "default", "temporary", "temp",
		"administrator", "admin", "root", "guest", "test", "user", "staff", "nurse", "doctor", "hospital", "health", "care", "hale",
		"spring", "summer", "autumn", "winter", "january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december",
		"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
	}
}

// Weak says why a password that somebody has chosen is refused: fault.Invalid with what to mend, or nil. names are the
// login, the person's name and the organisation's: none of their words may stand inside.
func Weak(password string, names ...string) error {
	if !utf8.ValidString(password) || len(password) > longestPassword {
		return fault.New(fault.Invalid, "the password is too long: at most %d bytes", longestPassword)
	}
	if utf8.RuneCountInString(password) < shortestPassword {
		return fault.New(fault.Invalid, "the password is too short: give at least %d characters; a few words in a row are easy to keep", shortestPassword)
	}
	low := strings.ToLower(password)
	for _, name := range names {
		for _, word := range append(strings.FieldsFunc(strings.ToLower(name), notWord), strings.ToLower(name)) {
			if utf8.RuneCountInString(word) >= shortestWord && (strings.Contains(low, word) || strings.Contains(plain(low), word)) {
				return fault.New(fault.Invalid, "the password holds a part of the login, of the name or of the organisation's name: choose another")
			}
		}
	}
	if own(low) < mostOwn {
		return fault.New(fault.Invalid, "the password is one of those that are tried first: choose another; a few words in a row are easy to keep")
	}
	return nil
}

func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// plain undoes the signs that stand for letters.
func plain(s string) string {
	return strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t", "!", "i").Replace(s)
}

// own counts the characters that are left when what is tried first, years and signs are taken away; none when they are the
// same few over and over.
func own(low string) int {
	rest := regexp.MustCompile(`(19|20)\d\d`).ReplaceAllString(low, " ")
	for _, read := range []func(string) string{strings.ToLower, plain} {
		rest = read(rest)
		for _, word := range tried() {
			rest = strings.ReplaceAll(rest, word, " ")
		}
	}
	different := map[rune]bool{}
	n := 0
	for _, r := range rest {
		if !notWord(r) {
			different[r] = true
			n++
		}
	}
	if len(different) < differentSigns {
		return 0
	}
	return n
}
