package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// heard keeps what was announced.
type heard []alerts.Event

func (h *heard) Announce(_ context.Context, events []alerts.Event) { *h = append(*h, events...) }

// TestWhatWasClaimedForTheWrongPersonIsNobodysAgain, and somebody else's then.
func TestWhatWasClaimedForTheWrongPersonIsNobodysAgain(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	wrong, right := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	stranger := r.stranger(t, "eva")
	told := &heard{}
	watch := r.watchlist()
	watch.Announcer = told
	r.advance(t, r.refusedValue(-10, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 250, Unit: vital.MmHg}, vital.Quantity{Mantissa: 140, Unit: vital.MmHg}))
	u := r.unverified(t, r.nurse)[0]
	open, err := watch.Get(t.Context(), r.nurse, u.UID)
	if err != nil || len(open.All) != 1 {
		t.Fatalf("%+v, %v", open, err)
	}
	value := open.All[0].ID
	if _, err := watch.Unclaim(t.Context(), r.nurse, u.UID, value, "hers?"); !fault.Is(err, fault.Conflict) {
		t.Errorf("of nobody yet: %v", err)
	}
	u, err = watch.Claim(t.Context(), r.nurse, u.UID, u.Version, wrong.UID, "His cuff.")
	if err != nil || u.All[0].Claim.Owner.ID != wrong.ID || u.All[0].Claim.Refile != "" {
		t.Fatalf("%+v, %v", u.All, err)
	}
	r.look(t, 0)
	*told = nil
	for name, try := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"without a reason":      {failure(watch.Unclaim(t.Context(), r.nurse, u.UID, value, " ")), fault.Invalid},
		"of another value":      {failure(watch.Unclaim(t.Context(), r.nurse, u.UID, value+1, "not his")), fault.NotFound},
		"by who reaches nobody": {failure(watch.Unclaim(t.Context(), stranger, u.UID, value, "not his")), fault.NotFound},
	} {
		if !fault.Is(try.err, try.want) {
			t.Errorf("%s: %v", name, try.err)
		}
	}
	after, err := watch.Unclaim(t.Context(), r.nurse, u.UID, value, "He was away that day.")
	if err != nil || after.State != alerts.Closed || after.Version != u.Version+1 || !strings.Contains(after.Note, "He was away that day.") {
		t.Fatalf("%+v, %v", after, err)
	}
	if e := lastOf(&after); e.Kind != "unclaimed" || e.By != r.nurse.Name || e.Note != "He was away that day." || !slices.Equal(e.Values, []float64{250, 140}) {
		t.Errorf("%+v", after.Log)
	}
	if len(*told) != 1 || (*told)[0].Alert != u.UID || (*told)[0].Version != after.Version {
		t.Errorf("announced: %+v", *told)
	}
	if got := r.claimedOf(t, wrong); got != nil {
		t.Errorf("it still stands with him: %v", got)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified_person WHERE how = 'claimed'`); n != 0 {
		t.Error("it is still said to be his")
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'unverified red unclaimed' AND patient_id = $1 AND object = 'unverified ' || $2`, int64(wrong.ID), string(u.UID)); n != 1 {
		t.Errorf("%d rows in his trail", n)
	}
	if _, err := watch.Unclaim(t.Context(), r.nurse, u.UID, value, "not his"); !fault.Is(err, fault.Conflict) {
		t.Errorf("twice: %v", err)
	}
	if n := r.look(t, 0); n != 1 {
		t.Errorf("%d events of what is on the list again", n)
	}
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].UID == u.UID || !slices.Equal(list[0].Values, []float64{250, 140}) || list[0].Place != alerts.InQuarantine || list[0].State != alerts.Open {
		t.Fatalf("nobody's again: %+v", list)
	}
	if _, err := watch.Claim(t.Context(), r.nurse, list[0].UID, list[0].Version, right.UID, "Her cuff."); err != nil {
		t.Fatal(err)
	}
	if got := r.claimedOf(t, right); !slices.Equal(got, []float64{250, 140}) {
		t.Errorf("on the right page: %v", got)
	}
	if _, err := watch.Unclaim(t.Context(), r.nurse, u.UID, value, "a page of an hour ago"); !fault.Is(err, fault.NotFound) {
		t.Errorf("who still looks at the wrong claim takes the right one back: %v", err)
	}
}

func failure[T any](_ T, err error) error { return err }

// TestWhatAClaimFiledIsUndoneWhereItWasFiled: the value says by which filing.
func TestWhatAClaimFiledIsUndoneWhereItWasFiled(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	watch := r.watchlist()
	r.advance(t, r.saturation(-60, 72, 0))
	u := r.unverified(t, r.nurse)[0]
	if _, err := watch.Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "she says so"); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, other)
	r.look(t, 0)
	u = r.ended(t, r.nurse)
	v := u.All[0]
	if v.Claim.Owner.ID != other.ID || v.Claim.Refile == "" {
		t.Fatalf("%+v", v)
	}
	_, err := watch.Unclaim(t.Context(), r.nurse, u.UID, v.ID, "not hers")
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.MessageOf(err), string(v.Claim.Refile)) {
		t.Errorf("%v", err)
	}
	refiles := &safe.Refiles{People: r.app, Book: r.app, Now: time.Now}
	if _, err := refiles.Undo(t.Context(), r.nurse, v.Claim.Refile, "not hers"); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.look(t, 0)
	if list := r.unverified(t, r.nurse); len(list) != 1 || list[0].Values[0] != 72 || r.claimedOf(t, other) != nil {
		t.Errorf("after it was undone: %+v; with her: %v", list, r.claimedOf(t, other))
	}
}

// TestAMergeCarriesClaimedReds to the record that stays, and gives them back when it is undone.
func TestAMergeCarriesClaimedReds(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first, stays := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	watch := r.watchlist()
	claim := func(p account.Patient, value int64) {
		t.Helper()
		u := r.unverified(t, r.nurse)[0]
		if u.Values[0] != float64(value) {
			t.Fatalf("%+v", u)
		}
		if _, err := watch.Claim(t.Context(), r.nurse, u.UID, u.Version, p.UID, "said so"); err != nil {
			t.Fatal(err)
		}
		r.look(t, 0)
	}
	r.advance(t, r.glucose(1, 30))
	claim(first, 30)
	made := r.merge(t, first, stays)
	if got := r.claimedOf(t, stays); !slices.Equal(got, []float64{30}) {
		t.Errorf("with the record that stays: %v", got)
	}
	if got := r.claimedOf(t, first); got != nil {
		t.Errorf("with the record that was merged: %v", got)
	}
	r.advance(t, r.glucose(2, 41)) // while they are one
	claim(stays, 41)
	if _, err := (&safe.Merges{People: r.app, Book: r.app}).Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if one, other := r.claimedOf(t, first), r.claimedOf(t, stays); !slices.Equal(one, []float64{30}) || !slices.Equal(other, []float64{41}) {
		t.Errorf("apart again: %v and %v", one, other)
	}
}
