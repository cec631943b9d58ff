package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// TestACorrectionThatWasRefusedIsSaidOfWhatWaits: at the unverified red and in the inbox, and the reading keeps it when it is claimed.
func TestACorrectionThatWasRefusedIsSaidOfWhatWaits(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	refused := r.refusedValue(-20, vital.ReasonUnit, "a", vital.OxygenSat, 0)
	refused.Refused.Read.More = &vital.More{Name: vital.TieOfName("obs-1"), Standing: vital.Amended}
	// The correction comes first: what it names is looked for.
	r.advance(t, refused)
	early, late := r.named(r.saturation(-60, 66, 0), "obs-1", vital.Final), r.saturation(-50, 72, 0)
	r.withdrawAll(t)
	r.advance(t, early, late)
	r.calm(t)
	refused.Refused.ReceivedAt = refused.Refused.ReceivedAt.Add(time.Minute)
	r.advance(t, refused)
	r.exec(t, `UPDATE withdrawal SET next_action_at = received_at`)
	marked := func(of string) int {
		return r.count(t, `SELECT count(*) FROM `+of+` WHERE findings & $1 <> 0`, int64(vital.CorrectionRefused))
	}
	said := func() (u alerts.Unverified, n int) {
		list := r.unverified(t, r.nurse)
		if len(list) != 1 {
			t.Fatalf("%d are open", len(list))
		}
		u, err := r.app.Unverified(t.Context(), r.nurse, list[0].UID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range u.Log {
			if e.Kind == "correction_refused" && len(e.Values) == 1 && e.Values[0] == 66 {
				n++
			}
		}
		return u, n
	}
	r.withdrawAll(t)
	waiting, err := r.inbox().List(t.Context(), r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	if len(waiting) != 1 || len(waiting[0].Readings) != 2 || marked("inbox") != 1 {
		t.Errorf("the inbox says it of %d: %+v", marked("inbox"), waiting)
	}
	if u, n := said(); n != 1 || u.Findings&vital.CorrectionRefused == 0 || u.Values[0] != 66 || marked("unverified_value") != 1 {
		t.Errorf("%d entries say it of %+v", n, u)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state <> 'done'`); n != 0 {
		t.Errorf("%d are not carried out", n)
	}
	at := early.Reading.MeasuredAt
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", at, at.Add(time.Microsecond), other.UID, "Her visit that day."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE value = 66 AND patient_id = $1 AND findings & $2 <> 0`, int64(other.ID), int64(vital.CorrectionRefused)); n != 1 {
		t.Error("the reading lost it when it was claimed")
	}
}

// TestWhatWaitsAndIsSentAgainAsACorrectionIsWantedAsItIs: the mark is taken off.
func TestWhatWaitsAndIsSentAgainAsACorrectionIsWantedAsItIs(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	refused := r.refusedValue(-20, vital.ReasonUnit, "a", vital.OxygenSat, 0)
	refused.Refused.Read.More = &vital.More{Name: vital.TieOfName("obs-1"), Standing: vital.Amended}
	r.advance(t, r.named(r.saturation(-60, 66, 0), "obs-1", vital.Final))
	r.calm(t)
	r.advance(t, refused)
	r.withdrawAll(t)
	again := r.named(r.saturation(-60, 66, 0), "obs-1", vital.Amended)
	again.Reading.ReceivedAt = refused.Refused.ReceivedAt.Add(time.Minute)
	for _, want := range []int{1, 0} {
		for _, of := range []string{"inbox", "unverified_value", "unverified"} {
			if n := r.count(t, `SELECT count(*) FROM `+of+` WHERE findings & $1 <> 0`, int64(vital.CorrectionRefused)); n != want {
				t.Errorf("%s: %d are marked, want %d", of, n, want)
			}
		}
		if want == 1 {
			r.advance(t, again)
			r.withdrawAll(t)
		}
	}
}

// TestWhatWasTakenBackIsToldAsOfItsDayAlone: no more was sent of when it was measured.
func TestWhatWasTakenBackIsToldAsOfItsDayAlone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	dated := r.weight(10, 78_000)
	dated.Reading.Findings |= vital.TimeLocal | vital.TimeUnsure
	dated.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockZone, Uncertainty: 25 * time.Hour}}
	r.advance(t, dated, r.weight(20, 79_000))
	for _, one := range []vital.Record{dated, r.weight(20, 79_000)} {
		if err := r.app.Withdraw(t.Context(), r.nurse, r.patient.ID, one.Reading.ID(), one.Reading.MeasuredAt, "not hers"); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.app.WithdrawnOf(t.Context(), r.nurse, r.patient.ID, 10)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	told := map[float64]vital.Vague{}
	for _, w := range list {
		told[w.Values[0]] = w.Vague
	}
	want := map[float64]vital.Vague{78: vital.VagueWithin(25*time.Hour, dated.Reading.ReceivedAt), 79: {}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}
