package main

import (
	"net/url"
	"os"
	"strings"

	"hale/fault"
)

// databasePassword is a password that stands in a file, as containers are given secrets, and not in the URL.
type databasePassword struct {
	PasswordFile string `name:"database-password-file" help:"File with the password of the database's user, instead of in the URL." placeholder:"FILE" env:"HALE_DATABASE_PASSWORD_FILE"`
}

// into writes the password into the URL of the database, when there is a file.
func (d databasePassword) into(database *string) error {
	if d.PasswordFile == "" {
		return nil
	}
	b, err := os.ReadFile(d.PasswordFile)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--database-password-file cannot be read")
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" {
		return fault.New(fault.Invalid, "--database-password-file %s is empty", d.PasswordFile)
	}
	u, err := url.Parse(*database)
	if err != nil || u.Scheme == "" || u.User.Username() == "" {
		return fault.New(fault.Invalid, "with --database-password-file the database must be a URL with a user: postgres://USER@HOST:PORT/DATABASE")
	}
	if _, twice := u.User.Password(); twice {
		return fault.New(fault.Invalid, "the password of the database stands in the URL and in --database-password-file: choose one")
	}
	u.User = url.UserPassword(u.User.Username(), password)
	*database = u.String()
	return nil
}
