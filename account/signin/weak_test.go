package signin_test

import (
	"strings"
	"testing"

	"hale/account/signin"
	"hale/fault"
)

func TestWeakPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]string{
		"correct horse battery":     "",
		"Ob sedmih pijem kavo":      "",
		"tulip-Rabbit-kettle":       "",
		"k7w2-9xq4-m0st-83bd":       "",
		"пять зелёных яблок":        "",
		"short":                     "too short",
		"eleven-lang":               "too short",
		"Password2026!!":            "tried first",
		"Passw0rd1234":              "tried first",
		"P@$$w0rd!!!!":              "tried first",
		"qwertyuiop12":              "tried first",
		"123456789012":              "tried first",
		"aaaaaaaaaaaaaa":            "tried first",
		"abababababababab":          "tried first",
		"Summer2026Summer":          "tried first",
		"welcomeadmin123":           "tried first",
		"my ana.kovac is here":      "part of the login",
		"KOVAC-tulip-rabbit":        "part of the login",
		"tulip k0vac rabbit":        "part of the login",
		"rabbits of Ljubljana":      "part of the login",
		strings.Repeat("lang", 300): "too long",
	} {
		err := signin.Weak(password, "ana.kovac", "Home of Ljubljana")
		if want == "" && err != nil || want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", password, err, want)
		}
	}
}

func TestAGeneratedPasswordIsNeverWeak(t *testing.T) {
	t.Parallel()
	for range 500 {
		if p := signin.NewPassword(); signin.Weak(p, "ana", "Ana") != nil {
			t.Errorf("%q: %v", p, signin.Weak(p, "ana", "Ana"))
		}
	}
}
