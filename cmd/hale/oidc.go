package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"hale/account/signin"
	"hale/account/signin/oidc"
	"hale/api"
	"hale/api/session"
	"hale/fault"
	"hale/web"
)

// oidcFlags say by which identity provider staff sign in, and who does without it.
type oidcFlags struct {
	Issuer   string   `name:"oidc-issuer" help:"Identity provider (OpenID Connect) by which staff sign in, exactly as it names itself: https://login.example.org/realms/care (docs/oidc.md)." placeholder:"URL" env:"HALE_OIDC_ISSUER"`
	ClientID string   `name:"oidc-client-id" help:"Hale's name at the identity provider." placeholder:"ID" env:"HALE_OIDC_CLIENT_ID"`
	Secret   string   `name:"oidc-client-secret-file" help:"File with Hale's secret at the identity provider." placeholder:"FILE" env:"HALE_OIDC_CLIENT_SECRET_FILE"`
	Called   string   `name:"oidc-name" help:"What people call the identity provider; it stands on the button." placeholder:"NAME" env:"HALE_OIDC_NAME"`
	Claims   string   `name:"oidc-claims" help:"File that says which claims make somebody what: organisation, role and care teams." placeholder:"FILE" env:"HALE_OIDC_CLAIMS"`
	Public   string   `name:"public-url" help:"Address of this Hale as browsers know it, such as https://hale.example.org: codes and links for patients lead there, and the identity provider sends staff back there." placeholder:"URL" env:"HALE_PUBLIC_URL"`
	Local    bool     `name:"local-accounts" help:"Let staff sign in with logins of this installation; with =false only those of --emergency-login can." default:"true" negatable:"" env:"HALE_LOCAL_ACCOUNTS"`
	Spare    []string `name:"emergency-login" help:"Login that can sign in with a password when local accounts are turned off: for when the identity provider is away." placeholder:"LOGIN" env:"HALE_EMERGENCY_LOGIN"`
}

// signInWays is how staff sign in besides by logins of this installation.
type signInWays struct {
	provider *oidc.Service // nil: none
	only     []string      // logins that still have a password; nil: all
	public   string        // of --public-url; empty: it was not said
}

// mostOfMapping is how much of a mapping file is read.
const mostOfMapping = 1 << 20

// ways reads what the flags name. address is that of this Hale where --public-url does not say another; spare are logins that
// are there for emergencies anyway.
func (f *oidcFlags) ways(p *program, address string, spare ...string) (signInWays, error) {
	var w signInWays
	var err error
	if w.public, err = session.ParsePublic(f.Public); err != nil {
		return w, fault.Wrap(fault.Invalid, err, "--public-url")
	}
	if !f.Local {
		w.only = append(slices.Clone(f.Spare), spare...)
	}
	if f.Issuer == "" {
		if !f.Local {
			return w, fault.New(fault.Invalid, "with --local-accounts=false nobody could sign in: say --oidc-issuer")
		}
		if f.ClientID+f.Secret+f.Claims != "" {
			return w, fault.New(fault.Invalid, "the flags for an identity provider need --oidc-issuer")
		}
		return w, nil
	}
	if w.public != "" {
		address = w.public
	}
	if address == "" {
		return w, fault.New(fault.Invalid, "--oidc-issuer needs --public-url: the address of this Hale as browsers know it")
	}
	secret, err := f.read("--oidc-client-secret-file", f.Secret, mostOfPassword)
	if err != nil {
		return w, err
	}
	text, err := f.read("--oidc-claims", f.Claims, mostOfMapping)
	if err != nil {
		return w, err
	}
	mapping, err := oidc.ParseMapping([]byte(text))
	if err != nil {
		return w, fault.Wrap(fault.Invalid, err, "--oidc-claims %s", f.Claims)
	}
	w.provider, err = oidc.New(oidc.Config{
		Issuer: f.Issuer, ClientID: f.ClientID, ClientSecret: strings.TrimRight(secret, "\r\n"), Provider: f.Called, URL: address,
		Mapping: mapping, Log: p.log, Now: time.Now,
	})
	return w, err
}

func (f *oidcFlags) read(flag, path string, most int64) (string, error) {
	if path == "" {
		return "", fault.New(fault.Invalid, "--oidc-issuer needs %s", flag)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > most {
		return "", fault.New(fault.Invalid, "%s %s is longer than %d bytes", flag, path, most)
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator names it
	return string(b), fault.Wrap(fault.Invalid, err, "%s cannot be read", flag)
}

// join lets the ways reach the record and the door.
func (w signInWays) join(record oidc.Record, door *signin.Service) {
	door.Only = w.only
	if w.provider != nil {
		w.provider.Record, w.provider.Ended = record, door.Ended
	}
}

func (w signInWays) onScreens(c web.Config) web.Config {
	if w.provider != nil {
		c.Provider = w.provider
	}
	c.LocalOff = w.only != nil
	return c
}

func (w signInWays) inAPI(c api.Config) api.Config {
	if w.provider != nil {
		c.Provider = w.provider
	}
	return c
}
