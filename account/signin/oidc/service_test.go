package oidc_test

import (
	"log/slog"
	"testing"
	"time"

	"hale/account/signin/oidc"
	"hale/fault"
)

func TestWhatAServiceCannotBeMadeOf(t *testing.T) {
	t.Parallel()
	good := func() oidc.Config {
		return oidc.Config{
			Issuer: "https://login.example.org/realms/care", ClientID: "hale", ClientSecret: "s", URL: "https://hale.example.org/",
			Mapping: parse(t, mapping), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		}
	}
	s, err := oidc.New(good())
	if err != nil {
		t.Fatal(err)
	}
	if s.Name() != "login.example.org" || s.Start("/alerts/1?x=y&z") != "https://hale.example.org/signin/oidc?next=%2Falerts%2F1%3Fx%3Dy%26z" {
		t.Errorf("%q, %q", s.Name(), s.Start("/alerts/1?x=y&z"))
	}
	for name, change := range map[string]func(*oidc.Config){
		"no issuer":                 func(c *oidc.Config) { c.Issuer = "" },
		"an issuer in the open":     func(c *oidc.Config) { c.Issuer = "http://login.example.org" },
		"an issuer with a query":    func(c *oidc.Config) { c.Issuer += "?x=y" },
		"an issuer with a password": func(c *oidc.Config) { c.Issuer = "https://a:b@login.example.org" },
		"a file as issuer":          func(c *oidc.Config) { c.Issuer = "file:///etc/passwd" },
		"no client":                 func(c *oidc.Config) { c.ClientID = "" },
		"no secret":                 func(c *oidc.Config) { c.ClientSecret = "" },
		"no address of ours":        func(c *oidc.Config) { c.URL = "" },
		"our address with a path":   func(c *oidc.Config) { c.URL = "https://hale.example.org/app" },
		"our address in the open":   func(c *oidc.Config) { c.URL = "http://hale.example.org" },
		"a mapping for nobody":      func(c *oidc.Config) { c.Mapping = oidc.Mapping{} },
	} {
		c := good()
		change(&c)
		if _, err := oidc.New(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, here := range []string{"http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"} {
		c := good()
		c.URL = here
		if _, err := oidc.New(c); err != nil {
			t.Errorf("%s: %v", here, err)
		}
	}
}
