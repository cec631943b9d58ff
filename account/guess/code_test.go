package guess

import (
	"strings"
	"testing"
)

func TestACodeIsReadAsItWasMeant(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"k7w29xq4m0st":             "k7w29xq4m0st",
		"K7W2-9XQ4-M0ST":           "k7w29xq4m0st",
		" k7w2 9xq4 moSt\n":        "k7w29xq4m0st",
		"K7W2\u20139XQ4\u2013M0ST": "k7w29xq4m0st",
		"I7l2-9Xq4-MUst":           "17129xq4mvst",
	} {
		if got, ok := Typed(typed, 12); !ok || got != want {
			t.Errorf("%q: %q, %v, want %q", typed, got, ok, want)
		}
	}
	for _, typed := range []string{"", "k7w29xq4m0s", "k7w29xq4m0st0", "k7w29xq4m0s\u0161", "k7w29xq4m0s!", strings.Repeat(" ", 65) + "k7w29xq4m0st"} {
		if got, ok := Typed(typed, 12); ok {
			t.Errorf("%q is taken for %q", typed, got)
		}
	}
}

func TestWhatIsSpelledIsReadAgain(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		code := NewCode(20)
		if got, ok := Typed(Spelled(code), 20); !ok || got != code || seen[code] || len(Spelled(code)) != 24 {
			t.Fatalf("%q is spelled %q and read %q", code, Spelled(code), got)
		}
		seen[code] = true
	}
}
