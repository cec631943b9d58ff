package main

import (
	"context"
	"fmt"
	"strings"

	"hale/account"
	"hale/account/signin"
	"hale/postgres"
)

// demoPerson is somebody who signs in at an `up`.
type demoPerson struct {
	login, name string
	role        account.Role
}

// demoPeople are the people of the demo besides the first: one of each kind of work that has screens of its own. A real
// installation makes its own with `hale staff`.
func demoPeople() []demoPerson {
	return []demoPerson{
		{"nurse", "Nina Nurse", account.Nurse},
		{"pharmacist", "Pavel Pharmacist", account.Pharmacist},
		{"desk", "Dora Device Desk", account.DeviceDesk},
		{"manager", "Max Manager", account.Manager},
		{"officer", "Petra Privacy Officer", account.PrivacyOfficer},
	}
}

// makePeople sets the people of this run, all with its password. Nobody else is told it.
func (c *upCommand) makePeople(ctx context.Context, operator postgres.Operator, told *announcement) error {
	people := []demoPerson{{told.Login, "Nurse on duty", account.Administrator}}
	if c.Demo {
		people = append(people, demoPeople()...)
	}
	hash := signin.Hash(told.Password)
	for _, one := range people {
		_, err := operator.SetStaff(ctx, postgres.Staff{Organisation: organisation, Login: one.login, Name: one.name, Role: one.role, PasswordHash: hash})
		if err != nil {
			return err
		}
		if one.login != told.Login {
			told.Others = append(told.Others, one.login)
		}
	}
	return nil
}

// otherLogins tells who else can sign in; nothing when nobody can.
func (a announcement) otherLogins() string {
	if len(a.Others) == 0 {
		return ""
	}
	return fmt.Sprintf("  Also     %s   (each sees what their work needs; the same password)\n", strings.Join(a.Others, ", "))
}
