package postgres_test

import (
	"testing"

	"hale/account"
	"hale/fault"
	"hale/postgres"
)

// TestAnOrganisationHasANameThatCanBeSeenAndTold from every other.
func TestAnOrganisationHasANameThatCanBeSeenAndTold(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	o := postgres.Operator{AdminURL: r.db.AdminURL()}
	found := func(name string) error {
		_, err := o.SetStaff(t.Context(), postgres.Staff{Organisation: name, Login: "boss", Name: "Boss", Role: account.Administrator, PasswordHash: "x", Founding: postgres.NewOnly})
		return err
	}
	for what, c := range map[string]struct {
		name string
		want fault.Kind
	}{
		"nothing":                    {"", fault.Invalid},
		"a space":                    {" ", fault.Invalid},
		"a sign that nobody sees":    {"Ho\u200bme", fault.Invalid},
		"the name of another":        {"Home", fault.Conflict},
		"a space at the end":         {"Home ", fault.Conflict},
		"spaces before it":           {"  Home", fault.Conflict},
		"capital letters":            {"HOME", fault.Conflict},
		"signs of the wide alphabet": {"\uff28ome", fault.Conflict},
	} {
		if err := found(c.name); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	if err := found(" Home  care "); err != nil {
		t.Fatal(err)
	}
	if err := found("home Care"); !fault.Is(err, fault.Conflict) {
		t.Errorf("one space for two: %v", err)
	}
	list, err := o.Organisations(t.Context())
	if err != nil || len(list) != 2 || list[1].Name != "Home  care" {
		t.Errorf("%+v, %v", list, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'list organisations' AND actor_name = 'operator' AND actor_role = ''`); n != 2 {
		t.Errorf("%d of two organisations know that they were listed", n)
	}
}

// TestTheOperatorIsNamedInOneWay: whoever sits at the console acts with an administrator's rights and is no administrator.
func TestTheOperatorIsNamedInOneWay(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	operator := account.Actor{Org: r.nurse.Org, Name: postgres.OperatorName, Role: account.Administrator}
	r.addPatient(t, operator, "by-the-operator")
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'add patient' AND actor_name = 'operator' AND actor_role = ''`); n != 1 {
		t.Errorf("%d rows of the operator, want 1", n)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE actor_name = 'operator' AND actor_role <> ''`); n != 0 {
		t.Errorf("%d rows name the operator as something else", n)
	}
}
