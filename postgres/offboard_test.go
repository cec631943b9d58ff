package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/consent"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
)

func TestCareEndsByAPersonAndCanBeginAgain(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	off := &consent.Offboarding{Store: r.app}
	take := func(kind consent.EndingKind) error {
		return off.Take(ctx, r.nurse, r.patient.UID, consent.EndingAct{Kind: kind, How: "phone"})
	}
	state := func(want account.State, kinds ...consent.EndingKind) {
		t.Helper()
		p, steps, _, err := off.Get(ctx, r.nurse, r.patient.UID)
		var got []consent.EndingKind
		for _, s := range steps {
			got = append(got, s.Kind)
		}
		if err != nil || p.State != want || !cmp.Equal(got, kinds) {
			t.Fatalf("%s after %v, %v; want %s after %v", p.State, got, err, want, kinds)
		}
	}
	r.agree(t, consent.ForCare)
	r.agree(t, consent.ForSharing)
	eva := r.letIn(t, "Eva")
	r.decide(t, consent.ForCare, consent.Withdrawn)
	state(account.Ending, consent.StepStarted)
	r.agree(t, consent.ForCare)
	state(account.Active, consent.StepStarted, consent.StepUndone)
	r.decide(t, consent.ForCare, consent.Withdrawn)
	// Nobody has told the patient: an extreme is an extreme.
	if res := r.arrive(t, r.pressure(0, 230, 120)); res.Stored != 1 || len(res.Events) != 1 {
		t.Fatalf("while care ends nobody watches: %+v", res)
	}
	if err := take(consent.StepFinished); !fault.Is(err, fault.Conflict) {
		t.Errorf("finished before the patient was told: %v", err)
	}
	early := r.pressure(0, 232, 121) // measured before the stop, and on its way
	clock, err := r.work.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	early.Reading.SentAt, early.Reading.MeasuredAt, early.Reading.ReceivedAt = clock, clock, clock
	if err := take(consent.StepTold); err != nil {
		t.Fatal(err)
	}
	// It is nobody's: no alert of the patient, but an extreme that waits for somebody to say whose it is.
	if res := r.arrive(t, r.pressure(0, 240, 125)); res.Stored != 0 || res.Parked != 1 || len(res.Events) != 1 || !res.Events[0].Unverified || res.Events[0].Patient != "" {
		t.Errorf("after the stop a reading is not parked: %+v", res)
	}
	snapshot, err := r.work.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, owned := snapshot.Owner(r.device.Own, time.Now()); owned {
		t.Error("the edges still take the sensor for the patient's")
	}
	if err := take(consent.StepFinished); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "1 alerts are open") {
		t.Errorf("finished over an open alert: %v", err)
	}
	resolve := func(_ alerts.Alert, now time.Time) ([]alerts.Entry, error) {
		return []alerts.Entry{{Kind: alerts.EntryResolved, RecordedAt: now, NextStep: alerts.StepNone, Actor: r.nurse}}, nil
	}
	if _, _, err := r.app.Amend(ctx, r.nurse, r.see(t, r.nurse).Alerts[0].UID, resolve); err != nil {
		t.Fatal(err)
	}
	if err := take(consent.StepFinished); err != nil {
		t.Fatal(err)
	}
	state(account.Locked, consent.StepStarted, consent.StepUndone, consent.StepStarted, consent.StepTold, consent.StepFinished)
	if res := r.commit(t, early); res.Parked != 1 || len(res.Events) != 0 {
		t.Errorf("a locked record takes a late reading: %+v", res)
	}
	if got := r.see(t, r.nurse); len(got.Series) != 1 {
		t.Errorf("the record is to be read, and holds %d readings", len(got.Series))
	}
	p, err := r.app.Patient(ctx, r.nurse, r.patient.UID)
	if err != nil || !fault.Is(account.Allow(r.nurse, account.SetLimits, &p), fault.Conflict) || account.Allow(r.nurse, account.SeeReadings, &p) != nil {
		t.Errorf("a locked record: %+v, %v", p, err)
	}
	kept, self := r.safeOf()
	asked, err := kept.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongBirth, Wish: "1941"})
	if err != nil {
		t.Fatalf("whose care has ended asks for a correction: %v", err)
	}
	if got, err := kept.Corrections.Decide(ctx, r.nurse, asked.UID, safe.Decision{Answer: "So it stands in the letter."}); err != nil || got.State != safe.Refused {
		t.Errorf("the team decides on it: %+v, %v", got, err)
	}
	if _, err := r.app.Patient(ctx, eva, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a caregiver of somebody whose care has ended: %v", err)
	}
	again := consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}
	if err := r.consents().Decide(ctx, r.self(), "", again); !fault.Is(err, fault.Conflict) {
		t.Errorf("took themselves in again: %v", err)
	}
	again.Through, again.Witness = consent.ThroughInPerson, "Dr. B"
	if err := r.consents().Decide(ctx, r.nurse, r.patient.UID, again); err != nil {
		t.Fatal(err)
	}
	state(account.Active, consent.StepStarted, consent.StepUndone, consent.StepStarted, consent.StepTold, consent.StepFinished, consent.StepReadmitted)
	if res := r.arrive(t, r.pressure(0, 240, 125)); res.Parked != 1 {
		t.Errorf("a device that was taken back measures again by itself: %+v", res)
	}
	for _, topic := range []string{"care.ending", "care.stopped", "care.ended", "care.resumed"} {
		if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = $1 AND audience = 'patient'`, topic); n == 0 {
			t.Errorf("the patient was not told of %s", topic)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'end care'`); n != 6 {
		t.Errorf("%d of 6 steps are in the audit trail", n)
	}
}
