package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
)

// brokerCommand is what an operator does for a broker of the site's own.
type brokerCommand struct {
	Mosquitto brokerMosquittoCommand `cmd:"" help:"Write a password file, an access file and the lines of configuration for Mosquitto. Run it again after devices were enrolled, paired or revoked, and let Mosquitto read them again (SIGHUP)."`
}

type brokerMosquittoCommand struct {
	recordFlags
	organisationFlag
	Dir    string   `help:"Directory for the files, which Mosquitto can read; the configuration names it as you do here." required:"" placeholder:"DIR"`
	Bridge string   `help:"The device as which Hale's bridge connects (docs/bridge.md); it may read what --bridge-reads names." placeholder:"UID"`
	Reads  []string `name:"bridge-reads" help:"What the bridge may read." default:"hale/v1/#" placeholder:"FILTER"`
}

// The files that Mosquitto is given. That of the lines must not end in .conf: with include_dir Mosquitto would read it, and count its
// lines for the default listener, which opens port 1883 to everybody.
const (
	sitePasswords = "hale.passwd"
	siteAccess    = "hale.acl"
	siteLines     = "hale.listener"
)

// Run writes what has changed and says what is to be done.
func (c *brokerMosquittoCommand) Run(p *program) error {
	for _, filter := range c.Reads {
		if filter == "" || strings.ContainsAny(filter, " \t\r\n\x00") {
			return fault.New(fault.Invalid, "--bridge-reads %q: a filter has no spaces", filter)
		}
	}
	if c.Bridge != "" && !regexp.MustCompile(devices.UIDPattern).MatchString(c.Bridge) {
		return fault.New(fault.Invalid, "--bridge %q is no name of a device", c.Bridge)
	}
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	var done written
	err = operator.BrokerUsers(p.ctx, c.Organisation, func(users []credential.BrokerUser) (bool, error) {
		var err error
		done, err = c.write(users)
		return done.changed, err
	})
	if err != nil {
		return err
	}
	for _, uid := range done.left {
		fmt.Fprintf(p.err, "hale: %s is left out: its secret was made by an older Hale, which kept no password for brokers. Pair it anew, or make it a new secret.\n", uid)
	}
	if !done.changed {
		_, err = fmt.Fprintf(p.out, "Nothing has changed: %d devices.\n", done.devices)
		return err
	}
	_, err = fmt.Fprintf(p.out, "%d devices. Let Mosquitto read the files again: kill -HUP its process (systemctl reload mosquitto). Devices that are not in them any more are disconnected then.\n", done.devices)
	return err
}

// written is what became of the files.
type written struct {
	changed bool
	devices int
	left    []string // devices without a hash
}

// write writes the files that differ, each of them as a whole or not at all; the passwords first, so that nobody is let in whom the
// access file does not know.
func (c *brokerMosquittoCommand) write(users []credential.BrokerUser) (written, error) {
	if c.Bridge != "" && !slices.ContainsFunc(users, func(u credential.BrokerUser) bool { return u.UID == c.Bridge }) {
		return written{}, fault.New(fault.NotFound, "--bridge %s: the organisation has no such device, or it was revoked", c.Bridge)
	}
	dir := filepath.Clean(c.Dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	passwords, left := credential.MosquittoPasswords(users)
	done := written{devices: len(users) - len(left), left: left}
	for _, f := range []struct{ name, text string }{
		{sitePasswords, passwords},
		{siteAccess, credential.MosquittoAccess(c.Bridge, c.Reads)},
		{siteLines, credential.MosquittoLines(at(sitePasswords), at(siteAccess))},
	} {
		before, err := os.ReadFile(at(f.name))
		if err == nil && string(before) == f.text {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, fault.Wrap(fault.Invalid, err, "--dir: what is there cannot be read")
		}
		if err := replaceFile(at(f.name), f.text); err != nil {
			return done, fault.Wrap(fault.Invalid, err, "--dir: the files cannot be written")
		}
		done.changed = true
	}
	return done, nil
}

// replaceFile puts a text in the place of a file. Whoever reads it meanwhile reads all of the one or all of the other. The group may
// read it: with the set-group-id bit on the directory that is Mosquitto's.
func replaceFile(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
