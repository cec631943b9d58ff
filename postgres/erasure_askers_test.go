package postgres_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
)

// TestAGuardianLearnsNothingOfThePatientsOwnRequest asks beside an open request that he may not see, and again beside his own.
func TestAGuardianLearnsNothingOfThePatientsOwnRequest(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	son, olga, otto := r.guardian(t, "Saul Son"), r.officer(t, "olga"), r.officer(t, "otto")
	_, self := r.safeOf()
	s := &safe.Erasures{Book: r.app, People: r.app}
	ctx := t.Context()
	if err := s.SetPolicy(ctx, olga, atOnce()); err != nil {
		t.Fatal(err)
	}
	own, err := s.Ask(ctx, self, r.patient.UID, "")
	if err != nil {
		t.Fatal(err)
	}
	his, err := s.Ask(ctx, son, r.patient.UID, "")
	if err != nil {
		t.Fatalf("he is told of the patient's request: %v", err)
	}
	for _, again := range []account.Actor{self, son, olga} {
		if _, err := s.Ask(ctx, again, r.patient.UID, ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s asks twice: %v", again.Name, err)
		}
	}
	list, err := s.List(ctx, olga)
	if err != nil || len(list) != 2 || list[0].Asker() != "guardian Saul Son" || list[1].Asker() != "the patient" {
		t.Fatalf("the officer reads %+v, %v", list, err)
	}
	if list, err := s.Of(ctx, son, r.patient.UID); err != nil || len(list) != 1 || list[0].UID != his.UID {
		t.Errorf("he reads %+v, %v", list, err)
	}
	if _, err := s.Decide(ctx, olga, own.UID, safe.ErasureDecision{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(ctx, olga, his.UID, safe.ErasureDecision{}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "another request") {
		t.Errorf("both are decided on: %v", err)
	}
	if _, err := s.Confirm(ctx, otto, own.UID, own.Number, "Otto told her in her kitchen, today."); err != nil {
		t.Fatal(err)
	}
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT string_agg(state, ' ' ORDER BY id) FROM erasure`); got != "done withdrawn" {
		t.Errorf("the requests are %s", got)
	}
}

// TestWhatALawKeepsIsOutOfEverybodysReach looks for the person everywhere where somebody who is cared for is found.
func TestWhatALawKeepsIsOutOfEverybodysReach(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 191, 101))
	policy := safe.DefaultPolicy()
	policy.CoolingDays = 0
	e := r.request(t, r.patient, policy, safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT state FROM erasure`); got != "kept" {
		t.Fatalf("the request is %s", got)
	}
	ctx := t.Context()
	number := r.text(t, `SELECT number FROM patient LIMIT 1`)
	d, glass := &account.Directory{People: r.app, Now: time.Now}, account.Emergency{Book: r.app}
	own, self := r.safeOf()
	for _, role := range append(account.StaffRoles(), account.SelfRole) {
		who := self
		if role != account.SelfRole {
			var err error
			if who, err = (postgres.Operator{AdminURL: r.db.AdminURL()}).SetStaff(ctx, postgres.Staff{Organisation: "Home", Login: "kept-" + string(role), Name: "Staff", Role: role, PasswordHash: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := d.Patients(ctx, who, "", 0); err == nil && len(list) != 0 {
			t.Errorf("a %s lists %d", role, len(list))
		}
		if _, err := d.Patient(ctx, who, r.patient.UID); err == nil {
			t.Errorf("a %s reaches the record", role)
		}
		for _, name := range []string{number, string(r.patient.UID)} {
			if _, err := glass.Break(ctx, who, name, "she fell in the shop", time.Hour); err == nil {
				t.Errorf("a %s breaks the glass with %q", role, name)
			}
		}
		if _, err := own.Exports.Begin(ctx, who, r.patient.UID); err == nil {
			t.Errorf("a %s takes a copy", role)
		}
	}
	if _, err := r.app.AddPatient(ctx, r.nurse, account.Patient{Name: "Somebody New", Number: number, Sex: "unknown", Zone: "UTC"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("their number is given to somebody: %v", err)
	}
	olga := r.officer(t, "olga")
	s := &safe.Erasures{Book: r.app, People: r.app}
	if got, err := s.Get(ctx, olga, e.UID); err != nil || got.Name != r.patient.Name {
		t.Errorf("the officer reads of the request %+v, %v", got, err)
	}
	if list, err := s.List(ctx, olga); err != nil || len(list) != 1 || list[0].Name != r.patient.Name {
		t.Errorf("the officer lists %+v, %v", list, err)
	}
}
