package main

import (
	"hale/fault"
	"hale/postgres"
)

// recordFlags say where the record is that an operator's verb is about: the database that is named, else that of the
// running `hale up`.
type recordFlags struct {
	Database string `help:"URL of the PostgreSQL database as an administrator (default: that of the running 'hale up')." placeholder:"URL" env:"DATABASE_URL"`
	Data     string `help:"Data directory of 'hale up', instead of --database." placeholder:"DIR" env:"HALE_DATA"`
	databasePassword
}

// organisationFlag says whose part of the record a verb is about.
type organisationFlag struct {
	Organisation string `help:"Name of the organisation." required:"" placeholder:"NAME" aliases:"org"`
}

// named fills in the password of a database that is named, and reports whether one is. What stands on the command line goes
// before the environment: `--data DIR` in a shell with a DATABASE_URL is about the directory, and never about the other record.
func (r *recordFlags) named(p *program) (bool, error) {
	database := r.Database != "" && r.Database != p.env("DATABASE_URL")
	data := r.Data != "" && r.Data != p.env("HALE_DATA")
	switch {
	case database && data:
		return false, fault.New(fault.Invalid, "--database and --data both say where the record is: choose one")
	case data || r.Database == "":
		r.Database = ""
		if r.PasswordFile != "" && r.PasswordFile != p.env("HALE_DATABASE_PASSWORD_FILE") {
			return false, fault.New(fault.Invalid, "--database-password-file is for the --database that it belongs to: say that as well")
		}
		return false, nil
	}
	return true, r.into(&r.Database)
}

// operator returns the administrator's way in.
func (r *recordFlags) operator(p *program) (postgres.Operator, error) {
	there, err := r.named(p)
	if err != nil || there {
		return postgres.Operator{AdminURL: r.Database}, err
	}
	dir, err := (&upCommand{Data: r.Data}).directory(p)
	if err != nil {
		return postgres.Operator{}, err
	}
	running, err := findRunning(p.ctx, dir)
	return postgres.Operator{AdminURL: running.Database}, err
}

// openAs opens the record as the screens do, for what an operator does in the name of an organisation.
func openAs(p *program, o postgres.Operator) (*postgres.App, error) {
	return postgres.OpenApp(p.ctx, postgres.Config{URL: func(string) string { return o.AdminURL }, SetRole: true, MaxConns: 2, Log: p.log})
}
