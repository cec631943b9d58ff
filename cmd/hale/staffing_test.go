package main

import (
	"net/netip"
	"testing"
	"time"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
)

func TestAnAccountFromItsCodeToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx := t.Context()
	here := netip.MustParseAddr("203.0.113.9")
	staffing := account.Staffing{Book: f.app, Code: signin.NewInvitation, Now: time.Now}
	door := signin.New(f.app, nil, time.Now)
	welcome := signin.Invitations{Book: f.app, Door: door}
	boss := f.staff(t, "Home", "ada", account.Administrator)
	list, err := staffing.List(ctx, boss)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Login == "ada" {
			boss.UID = list[i].UID
		}
	}
	refused := func(what string, want fault.Kind, err error) {
		t.Helper()
		if !fault.Is(err, want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	_, _, err = staffing.Add(ctx, f.staff(t, "Home", "max", account.Manager), "x", "X", account.Nurse)
	refused("a manager makes an account", fault.Forbidden, err)
	_, _, err = staffing.Add(ctx, boss, "ada", "Another", account.Nurse)
	refused("a login twice", fault.Conflict, err)
	_, _, err = staffing.Add(ctx, boss, " ", "Nela", account.Nurse)
	refused("no login", fault.Invalid, err)
	_, _, err = staffing.Add(ctx, boss, "nela", "Nela", account.SelfRole)
	refused("a patient as staff", fault.Invalid, err)
	nela, code, err := staffing.Add(ctx, boss, " nela ", "Nela", account.Nurse)
	if err != nil || nela.Login != "nela" || code == "" {
		t.Fatalf("%+v, %v", nela, err)
	}
	signIn := func(password string) (account.Session, error) {
		_, s, err := door.SignIn(ctx, here, account.Proof{Login: "nela", Password: password})
		return s, err
	}
	_, err = signIn("")
	refused("signed in without a password", fault.Unauthenticated, err)
	if login, err := welcome.Accept(ctx, here, code, "tulip rabbit kettle"); err != nil || login != "nela" {
		t.Fatalf("%q, %v", login, err)
	}
	s, err := signIn("tulip rabbit kettle")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := f.app.Patient(ctx, s.Actor, f.ana.UID); err != nil || !p.Relation.Team {
		t.Errorf("a new nurse is not in the usual team: %+v, %v", p.Relation, err)
	}
	_, err = staffing.KeepOut(ctx, boss, boss.UID, true)
	refused("somebody's own account", fault.Conflict, err)
	_, err = staffing.KeepOut(ctx, f.staff(t, "Elsewhere", "erik", account.Administrator), nela.UID, true)
	refused("another organisation's account", fault.NotFound, err)

	if _, err := staffing.Set(ctx, boss, nela.UID, "Nela K", account.DeviceDesk); err != nil {
		t.Fatal(err)
	}
	if open := f.count(t, `SELECT count(*) FROM session e JOIN staff s ON s.id = e.staff_id WHERE s.login = 'nela' AND s.role = 'device_desk' AND e.ended_at IS NULL`); open != 1 {
		t.Errorf("%d sessions with the new role", open)
	}
	fresh, err := staffing.Reinvite(ctx, boss, nela.UID)
	if err != nil || fresh == code {
		t.Fatalf("%q, %v", fresh, err)
	}
	if n := f.count(t, `SELECT count(*) FROM session e JOIN staff s ON s.id = e.staff_id WHERE s.login = 'nela' AND e.ended_at IS NULL`); n != 0 {
		t.Errorf("%d sessions outlive the password", n)
	}
	_, err = signIn("tulip rabbit kettle")
	refused("the old password", fault.Unauthenticated, err)
	_, err = welcome.Accept(ctx, here, code, "tulip rabbit kettle")
	refused("the old code", fault.NotFound, err)
	if _, err := staffing.KeepOut(ctx, boss, nela.UID, true); err != nil {
		t.Fatal(err)
	}
	_, err = welcome.Accept(ctx, here, fresh, "another tulip rabbit")
	refused("the code of somebody who is kept out", fault.NotFound, err)
	_, err = staffing.Reinvite(ctx, boss, nela.UID)
	refused("a code for somebody who is kept out", fault.Conflict, err)
	if _, err := staffing.KeepOut(ctx, boss, nela.UID, false); err != nil {
		t.Fatal(err)
	}
	_, err = welcome.Accept(ctx, here, fresh, "another tulip rabbit")
	refused("a code from before they were kept out", fault.NotFound, err)
	if e, err := staffing.Get(ctx, boss, nela.UID); err != nil || e.Name != "Nela K" || !e.DisabledAt.IsZero() || e.SeenAt.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	if n := f.count(t, `SELECT count(*) FROM audit WHERE action IN ('add staff', 'change staff', 'invite staff', 'disable staff', 'let staff in again') AND actor_role = 'administrator'`); n != 5 {
		t.Errorf("%d audit rows", n)
	}
}
