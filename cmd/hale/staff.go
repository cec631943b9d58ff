package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
	"hale/postgres"
	"hale/vital"
)

// staffCommand is what an operator does with the people who sign in. Without a verb it makes one, or sets a new password.
type staffCommand struct {
	Set         staffSetCommand         `cmd:"" default:"withargs" help:"Make a member of staff, or set a new password; ends their sessions and a lock."`
	Sessions    staffSessionsCommand    `cmd:"" help:"List the open sessions of a login."`
	EndSessions staffEndSessionsCommand `cmd:"" help:"End the open sessions of a login, or one of them."`
	ResetSecond staffResetCommand       `cmd:"" name:"reset-second-factor" help:"Take away the second factor of a login whose owner has lost the phone, and end its sessions."`
	Disable     staffDisableCommand     `cmd:"" help:"Keep somebody who has left out for good, and end their sessions and care teams."`
	Unlock      staffUnlockCommand      `cmd:"" help:"End the lock that wrong passwords have put on a login."`
}

// oneLogin is whom a verb is about.
type oneLogin struct {
	recordFlags
	Login string `help:"Name that the person signs in with." required:""`
}

type staffSetCommand struct {
	oneLogin
	organisationFlag
	Name   string `help:"The person's name." required:""`
	Role   string `help:"What the person is to the organisation." required:"" enum:"nurse,pharmacist,physician,device_desk,manager,researcher,privacy_officer,administrator"`
	Chosen string `name:"new-password-file" help:"File with the password to set (- is standard input); without it one is made and printed. A weak one is refused." placeholder:"FILE"`
}

// Run makes the person and prints a password, which exists nowhere else, unless one was given.
func (c *staffSetCommand) Run(p *program) error {
	return c.set(p, c.Chosen, postgres.Staff{
		Organisation: c.Organisation, Login: c.Login, Name: c.Name, Role: account.Role(c.Role), Founding: postgres.KnownOnly,
	})
}

// set sets somebody with the password of a file, or with one that is made and printed.
func (c *oneLogin) set(p *program, file string, s postgres.Staff) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	password := signin.NewPassword()
	told := password
	if file != "" {
		if password, err = chosenPassword(p.in, file); err != nil {
			return err
		}
		if err := signin.Weak(password, s.Login, s.Name, s.Organisation); err != nil {
			return err
		}
		told = "the password of --new-password-file"
	}
	s.PasswordHash = signin.Hash(password)
	if _, err := operator.SetStaff(context.WithoutCancel(p.ctx), s); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s can sign in as %s with %s\n", s.Name, s.Login, told)
	return err
}

// mostOfPassword is how much of a file is taken for a password.
const mostOfPassword = 4096

func chosenPassword(in io.Reader, path string) (string, error) {
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // the operator names it
		if err != nil {
			return "", fault.Wrap(fault.Invalid, err, "--new-password-file cannot be read")
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, mostOfPassword))
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "--new-password-file cannot be read")
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

type staffSessionsCommand struct{ oneLogin }

// Run prints one line for each open session.
func (c *staffSessionsCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	list, err := operator.Sessions(p.ctx, c.Login)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err = fmt.Fprintf(p.out, "%s has no open session.\n", c.Login)
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SESSION\tOPENED\tLAST SEEN\tENDS")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.UID, stamp(s.OpenedAt), stamp(s.SeenAt), stamp(s.EndsAt))
	}
	return table.Flush()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

type staffEndSessionsCommand struct {
	oneLogin
	Session string `help:"Only this one, as staff sessions names it." placeholder:"ID"`
}

// Run ends the sessions.
func (c *staffEndSessionsCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	n, err := operator.EndSessions(context.WithoutCancel(p.ctx), c.Login, vital.UID(c.Session))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "Sessions of %s ended: %d\n", c.Login, n)
	return err
}

type staffResetCommand struct{ oneLogin }

// Run takes the second factor away.
func (c *staffResetCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	was, err := operator.ResetSecondFactor(context.WithoutCancel(p.ctx), c.Login)
	if err != nil {
		return err
	}
	told := "%s has no second factor any more and must sign in again; a new one is set up on the page behind the name.\n"
	if !was {
		told = "%s had no second factor; nothing was changed.\n"
	}
	_, err = fmt.Fprintf(p.out, told, c.Login)
	return err
}

type staffDisableCommand struct{ oneLogin }

// Run keeps somebody out. `hale staff` with their login lets them in again.
func (c *staffDisableCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	was, alone, err := operator.Disable(context.WithoutCancel(p.ctx), c.Login)
	if err != nil {
		return err
	}
	for _, team := range alone {
		fmt.Fprintf(p.err, "The care team %q has patients, and no nurse or physician: nobody sees their alerts. Let somebody join it.\n", team)
	}
	told := "%s cannot sign in any more; sessions and care teams have ended.\n"
	if !was {
		told = "%s could not sign in before; nothing was changed.\n"
	}
	_, err = fmt.Fprintf(p.out, told, c.Login)
	return err
}

type staffUnlockCommand struct{ oneLogin }

// Run ends the lock.
func (c *staffUnlockCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	was, err := operator.Unlock(context.WithoutCancel(p.ctx), c.Login)
	if err != nil {
		return err
	}
	told := "The wrong passwords of %s are forgotten; signing in works again within a minute.\n"
	if !was {
		told = "%s was not locked, and no wrong password was counted.\n"
	}
	_, err = fmt.Fprintf(p.out, told, c.Login)
	return err
}

// secondFactorFile is where `up` keeps the key of second factors, in its data directory.
const secondFactorFile = "second-factor.key"

// ownSecondKey reads the key of the data directory, and makes it the first time.
func ownSecondKey(dir string) (*signin.Key, error) {
	path := filepath.Join(dir, secondFactorFile)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // in our own data directory
	if errors.Is(err, fs.ErrExist) {
		return givenSecondKey(path)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the key of second factors cannot be kept")
	}
	_, err = file.WriteString(signin.NewKey())
	// It must be on disk before a secret is sealed with it.
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(path) // nothing is sealed with half a key
		return nil, fault.Wrap(fault.Invalid, err, "the key of second factors cannot be kept")
	}
	return givenSecondKey(path)
}

// givenSecondKey reads the key from a file; "" is no key.
func givenSecondKey(path string) (*signin.Key, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no key is one of the ways to run
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the key of second factors cannot be read")
	}
	key, err := signin.ParseKey(string(b))
	return key, fault.Wrap(fault.KindOf(err), err, "%s", path)
}
