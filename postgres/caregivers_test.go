package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/consent"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

func TestAFrozenViewShowsNeitherWhatCameLaterNorThatItIsFrozen(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.arrive(t, r.pressure(0, 190, 100))
	r.agree(t, consent.ForSharing)
	son, eva := r.letIn(t, "Son"), r.letIn(t, "Eva")
	before := r.see(t, son)
	if len(before.Open) != 1 || len(before.Series) != 1 {
		t.Fatalf("before: %+v", before)
	}
	if err := r.caregivers().Suspend(t.Context(), son, r.patient.UID, eva.UID, true); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a caregiver suspended another: %v", err)
	}
	if err := r.caregivers().Suspend(t.Context(), r.self(), "", son.UID, true); err != nil {
		t.Fatal(err)
	}
	same := func(what string) {
		t.Helper()
		if diff := cmp.Diff(before, r.see(t, son)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", what, diff)
		}
	}
	same("the suspension shows")
	r.arrive(t, r.pressure(0, 230, 120), r.pressure(0, 225, 118))
	same("a new reading, and an alert that got worse, show")
	alert := r.see(t, r.nurse).Alerts[0]
	if alert.Version == before.Alerts[0].Version {
		t.Fatal("the alert did not change")
	}
	resolve := func(e alerts.Alert, now time.Time) ([]alerts.Entry, error) {
		return []alerts.Entry{{Kind: alerts.EntryResolved, RecordedAt: now, NextStep: alerts.StepNone, Note: "he is afraid of his son", Actor: r.nurse}}, nil
	}
	if _, _, err := r.app.Amend(t.Context(), r.nurse, alert.UID, resolve); err != nil {
		t.Fatal(err)
	}
	same("what a nurse did shows")
	r.arrive(t, r.weight(0, 70_000))
	r.agree(t, consent.ForResearch)
	same("a metric, or a consent, that is new shows")
	if heard, err := r.app.AlertsHeard(t.Context(), son, []vital.UID{alert.UID}); err != nil || len(heard) != 0 {
		t.Errorf("his feed tells of %v, %v", heard, err)
	}
	if heard, err := r.app.AlertsHeard(t.Context(), eva, []vital.UID{alert.UID}); err != nil || !heard[alert.UID] {
		t.Errorf("her feed tells of %v, %v", heard, err)
	}
	if now := r.see(t, eva); len(now.Open) != 0 || len(now.Series) != 3 || len(now.Latest) != 2 {
		t.Errorf("the daughter sees %+v", now)
	}
	grants, _, err := r.caregivers().List(t.Context(), r.self(), "")
	if err != nil || grants[0].SuspendedAt.IsZero() || !grants[1].SuspendedAt.IsZero() {
		t.Errorf("the patient sees %+v, %v", grants, err)
	}
	// What protects the patient is in the trail, and no relative reads it there.
	const rows = `SELECT count(*) FROM audit WHERE action = 'protect from a relative'`
	if n := r.count(t, rows); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	for view, who := range map[string]int64{"caregiver": int64(eva.Caregiver), "patient": int64(r.patient.ID)} {
		want := "22012" // division by zero: none
		if view == "patient" {
			want = ""
		}
		if got := r.inView(t, view, who, `SELECT 1/count(*) FROM audit WHERE action = 'protect from a relative'`); got != want {
			t.Errorf("in the view of a %s: %q", view, got)
		}
	}
	if err := r.caregivers().Suspend(t.Context(), r.nurse, r.patient.UID, son.UID, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.see(t, eva), r.see(t, son)); diff != "" {
		t.Errorf("after the end of it he sees less than her (-her +him):\n%s", diff)
	}
}

// inView runs one statement as hale_app for somebody and returns the SQLSTATE.
func (r *record) inView(t *testing.T, view string, who int64, statement string) string {
	t.Helper()
	now, err := r.work.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	org := fmt.Sprintf("%d'; SET app.view = '%s'; SET app.who = '%d'; SET app.now = '%s", r.nurse.Org, view, who, now.Format(time.RFC3339Nano))
	return r.asRole(t, "hale_app", org, statement)
}

func TestWhatIsPrivateIsNotThereForARelative(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.agree(t, consent.ForSharing)
	eva := r.letIn(t, "Eva")
	r.arrive(t, r.pressure(0, 190, 100), r.pressure(0, 120, 80), r.weight(0, 70_000))
	alert := r.see(t, r.nurse).Alerts[0]
	all := r.see(t, eva)
	if len(all.Latest) != 2 || len(all.Series) != 2 || len(all.Alerts) != 1 {
		t.Fatalf("before: %+v", all)
	}
	log := all.Log
	mark := func(item consent.PrivateItem) func() {
		t.Helper()
		made, err := r.caregivers().MarkPrivate(t.Context(), r.self(), "", item)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := r.caregivers().UnmarkPrivate(t.Context(), r.self(), "", made.UID); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(all, r.see(t, eva)); diff != "" {
				t.Errorf("what is shown again is not as it was (-before +after):\n%s", diff)
			}
		}
	}
	undo := mark(consent.PrivateItem{Kind: consent.PrivateMetric, Metric: vital.BodyWeight})
	if got := r.see(t, eva); len(got.Latest) != 1 || len(got.Series) != 2 {
		t.Errorf("weight is private, and she sees %+v", got.Latest)
	}
	undo()
	undo = mark(consent.PrivateItem{Kind: consent.PrivateAlert, Ref: alert.UID})
	if got := r.see(t, eva); len(got.Alerts)+len(got.Worklist)+len(got.Open) != 0 || len(got.Series) != 2 {
		t.Errorf("the alert is private, and she sees %+v", got.Alerts)
	}
	if _, err := r.app.Alert(t.Context(), eva, alert.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("asked for by its id: %v", err)
	}
	if heard, err := r.app.AlertsHeard(t.Context(), eva, []vital.UID{alert.UID}); err != nil || len(heard) != 0 {
		t.Errorf("her feed tells of %v, %v", heard, err)
	}
	undo()
	undo = mark(consent.PrivateItem{Kind: consent.PrivateSpan, From: alert.First.At.Add(-time.Hour), To: alert.First.At.Add(time.Microsecond)})
	if got := r.see(t, eva); len(got.Alerts) != 0 || len(got.Series) != 1 {
		t.Errorf("the time is private, and she sees %+v", got)
	}
	undo()
	undo = mark(consent.PrivateItem{Kind: consent.PrivateConsent, Ref: log[0].UID})
	if got := r.see(t, eva); len(got.Log) != 0 {
		t.Errorf("the consent is private, and she sees %+v", got.Log)
	}
	undo()
	for name, item := range map[string]consent.PrivateItem{
		"an alert that is not there": {Kind: consent.PrivateAlert, Ref: r.patient.UID}, "a correction that is not there": {Kind: consent.PrivateCorrection, Ref: r.patient.UID},
	} {
		if _, err := r.caregivers().MarkPrivate(t.Context(), r.self(), "", item); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.caregivers().Private(t.Context(), eva, r.patient.UID); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a relative asks what is private: %v", err)
	}
	if got := r.inView(t, "caregiver", int64(eva.Caregiver), `SELECT 1/count(*) FROM private_item`); got != "22012" {
		t.Errorf("row level security alone shows private items: %q", got)
	}
}

func TestAGuardianAsksAndTheTeamSettles(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	second := r.staff(t, "Home", "bor")
	g, err := r.caregivers().LetIn(t.Context(), r.nurse, r.patient.UID, consent.LetIn{
		Name: "Gal", Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 12/26", Reason: "seen", To: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	guardian := caregiverOf(r, g)
	if _, err := r.app.Patient(t.Context(), guardian, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("before the second look: %v", err)
	}
	if err := r.caregivers().Confirm(t.Context(), r.nurse, r.patient.UID, g.Who); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the same person confirms: %v", err)
	}
	if err := r.caregivers().Confirm(t.Context(), second, r.patient.UID, g.Who); err != nil {
		t.Fatal(err)
	}
	ask := func(c consent.Choice) {
		t.Helper()
		if err := r.consents().Decide(t.Context(), guardian, r.patient.UID, consent.Act{Purpose: consent.ForResearch, Version: 1, Choice: c}); err != nil {
			t.Fatal(err)
		}
	}
	ask(consent.Given)
	f, now, err := r.consents().File(t.Context(), guardian, r.patient.UID)
	if err != nil || len(f.Log) != 0 || len(f.Requests) != 1 || f.Grants != nil || consent.Stand(consent.ForResearch, f.Texts, f.Log, now).Stands() {
		t.Fatalf("a guardian's word alone: %+v, %v", f, err)
	}
	if err := r.consents().Settle(t.Context(), guardian, r.patient.UID, f.Requests[0].UID, true); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a guardian settled it: %v", err)
	}
	if err := r.consents().Settle(t.Context(), r.nurse, r.patient.UID, f.Requests[0].UID, true); err != nil {
		t.Fatal(err)
	}
	f, now, err = r.consents().File(t.Context(), r.self(), "")
	if err != nil || !consent.Stand(consent.ForResearch, f.Texts, f.Log, now).Stands() || f.Log[0].By != consent.ByGuardian || f.Log[0].Document != "court 12/26" {
		t.Errorf("settled: %+v, %v", f.Log, err)
	}
	if err := r.consents().Settle(t.Context(), r.nurse, r.patient.UID, f.Requests[0].UID, true); !fault.Is(err, fault.Conflict) {
		t.Errorf("settled twice: %v", err)
	}
	// In a frozen view a request is taken as always, and its answer is not shown.
	if err := r.caregivers().Suspend(t.Context(), r.self(), "", g.Who, true); err != nil {
		t.Fatal(err)
	}
	ask(consent.Withdrawn)
	f, _, err = r.consents().File(t.Context(), r.nurse, r.patient.UID)
	if err != nil || len(f.Requests) != 2 {
		t.Fatalf("%+v, %v", f.Requests, err)
	}
	if err := r.consents().Settle(t.Context(), r.nurse, r.patient.UID, f.Requests[1].UID, false); err != nil {
		t.Fatal(err)
	}
	f, _, err = r.consents().File(t.Context(), guardian, r.patient.UID)
	if err != nil || len(f.Requests) != 2 || f.Requests[0].SettledAt.IsZero() || !f.Requests[1].SettledAt.IsZero() {
		t.Errorf("the guardian sees %+v, %v", f.Requests, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE actor_role = 'guardian' AND actor_name = 'Gal'`); n != 2 {
		t.Errorf("%d acts say that they were a guardian's", n)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'consent.guardian_asks' AND audience = 'team'`); n != 2 {
		t.Errorf("the team was told %d times", n)
	}
}
