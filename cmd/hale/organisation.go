package main

import (
	"fmt"
	"text/tabwriter"

	"hale/account"
	"hale/postgres"
)

// organisationCommand is what an operator does with whole organisations.
type organisationCommand struct {
	Create organisationCreateCommand `cmd:"" help:"Make an organisation with its first administrator, who makes everybody else."`
	List   organisationListCommand   `cmd:"" help:"List the organisations."`
}

type organisationCreateCommand struct {
	Organisation string `arg:"" help:"Its name."`
	oneLogin
	Name   string `help:"The administrator's name." required:""`
	Chosen string `name:"new-password-file" help:"File with the password to set (- is standard input); without it one is made and printed. A weak one is refused." placeholder:"FILE"`
}

// Run makes both, or neither.
func (c *organisationCreateCommand) Run(p *program) error {
	return c.set(p, c.Chosen, postgres.Staff{
		Organisation: c.Organisation, Login: c.Login, Name: c.Name, Role: account.Administrator, Founding: postgres.NewOnly,
	})
}

type organisationListCommand struct{ recordFlags }

// Run prints one line for each.
func (c *organisationListCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	list, err := operator.Organisations(p.ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ORGANISATION\tSINCE\tSTAFF\tPATIENTS")
	for _, o := range list {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\n", o.Name, stamp(o.CreatedAt), o.Staff, o.Patients)
	}
	return table.Flush()
}
