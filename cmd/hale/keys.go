package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
	"hale/vital"
)

// keysCommand is what an operator does with the API keys of programs.
type keysCommand struct {
	Create keysCreateCommand `cmd:"" help:"Make an API key for a program and print it; it exists nowhere else."`
	List   keysListCommand   `cmd:"" help:"List the API keys of an organisation."`
	Revoke keysRevokeCommand `cmd:"" help:"End an API key."`
}

type keysCreateCommand struct {
	recordFlags
	organisationFlag
	Name  string   `help:"Which program the key is for." required:""`
	Scope []string `help:"What the key may do; say it more than once, or with commas: see patients, add patient, see readings, see alerts, see devices, enrol device, assign device, check devices for a broker, import people." required:""`
	Days  int      `help:"How many days the key is good, at most 730." default:"365"`
}

// Run prints the key on one line.
func (c *keysCreateCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	actions := make([]account.Action, len(c.Scope))
	for i, name := range c.Scope {
		actions[i] = account.Action(name)
		if account.ScopesOf(actions[i]) == "" {
			return fault.New(fault.Invalid, "--scope: there is no %q to be done", name)
		}
	}
	now := time.Now()
	k, err := signin.CheckKey(account.Key{Name: c.Name, Scopes: account.ScopesOf(actions...), ExpiresAt: now.Add(time.Duration(c.Days) * 24 * time.Hour)}, now)
	if err != nil {
		return err
	}
	token, hash := signin.NewAPIKey()
	if _, err := operator.AddKey(context.WithoutCancel(p.ctx), c.Organisation, k, hash); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, token)
	return err
}

type keysListCommand struct {
	recordFlags
	organisationFlag
}

// Run prints one line for each key.
func (c *keysListCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	list, err := operator.Keys(p.ctx, c.Organisation)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err = fmt.Fprintf(p.out, "%s has no API key.\n", c.Organisation)
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tNAME\tMAY\tMADE\tLAST USED\tENDS")
	for i := range list {
		k := &list[i]
		used, ends := "never", stamp(k.ExpiresAt)
		if !k.UsedAt.IsZero() {
			used = stamp(k.UsedAt)
		}
		if !k.RevokedAt.IsZero() {
			ends = "revoked " + stamp(k.RevokedAt)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.UID, k.Name, k.Scopes, stamp(k.CreatedAt), used, ends)
	}
	return table.Flush()
}

type keysRevokeCommand struct {
	recordFlags
	organisationFlag
	Key string `help:"The key, as keys list names it." required:"" placeholder:"ID"`
}

// Run ends the key.
func (c *keysRevokeCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	if err := operator.RevokeKey(context.WithoutCancel(p.ctx), c.Organisation, vital.UID(c.Key)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, "The key is refused from now on; feeds that it opened close within a second.")
	return err
}
