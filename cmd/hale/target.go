package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"hale/fault"
	"hale/simulators"
)

// target is the running Hale that a command speaks to from outside.
type target struct {
	Data         string `help:"Data directory of the running 'hale up'." placeholder:"DIR" env:"HALE_DATA"`
	URL          string `help:"Address of another running Hale, instead of --data." placeholder:"URL"`
	MQTT         string `help:"Address of its device edge: HOST:PORT, or mqtts://HOST:PORT." placeholder:"ADDR"`
	CA           string `help:"File of the certificate authorities to trust there, PEM (default: this machine's)." placeholder:"FILE" type:"existingfile"`
	Login        string `help:"Login there." placeholder:"NAME"`
	Password     string `help:"Password there; better given in the environment or in a file." placeholder:"PASSWORD" env:"HALE_PASSWORD"`
	PasswordFile string `help:"File that holds the password." placeholder:"FILE" type:"existingfile"`
	Credentials  string `help:"File that keeps the devices' secrets between runs." placeholder:"FILE"`

	tlsName string // by which to check the certificate; "" is the address
}

// find fills in where the running Hale is; file keeps the secrets of devices in the data directory of an `up`.
func (c *target) find(p *program, file string) error {
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "--password-file")
		}
		c.Password = strings.TrimSpace(string(b))
	}
	if c.URL != "" {
		if c.MQTT == "" || c.Login == "" || c.Password == "" || c.Credentials == "" {
			return fault.New(fault.Invalid, "with --url say --mqtt, --login, --password and --credentials as well")
		}
		return nil
	}
	dir, err := (&upCommand{Data: c.Data}).directory(p)
	if err != nil {
		return err
	}
	a, err := findRunning(p.ctx, dir)
	if err != nil {
		return err
	}
	c.URL, c.MQTT, c.Login, c.Password, c.tlsName = a.URL, a.MQTT, a.Login, a.Password, a.TLSName
	if c.CA == "" {
		c.CA = a.CA
	}
	if c.Credentials == "" {
		c.Credentials = filepath.Join(dir, file)
	}
	return nil
}

// signIn opens a session there, and returns whom to trust at its encrypted doors as well.
func (c *target) signIn(p *program) (staff *simulators.Staff, trust *tls.Config, err error) {
	if c.CA != "" {
		if trust, err = simulators.Trusting(c.CA, c.tlsName); err != nil {
			return nil, nil, fault.Wrap(fault.Invalid, err, "--ca")
		}
	}
	staff, err = simulators.SignInTrusting(p.ctx, trust, c.URL, c.Login, c.Password)
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return nil, nil, fault.Wrap(fault.Invalid, err, "cannot sign in: say with --ca whom to trust (the ca.pem of its data directory)")
	}
	if err != nil {
		return nil, nil, fault.Wrap(fault.Unavailable, err, "cannot sign in")
	}
	return staff, trust, nil
}
