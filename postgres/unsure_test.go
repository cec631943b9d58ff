package postgres_test

import (
	"testing"

	"hale/vital"
)

// TestWhatADeviceIsNotSureOfWaitsWhoeverHoldsIt: a scale that says that it may be another user's is believed, and the claim is a person's.
func TestWhatADeviceIsNotSureOfWaitsWhoeverHoldsIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	sure, unsure := r.weight(10, 81000), r.weight(11, 62000)
	unsure.Reading.Findings |= vital.UserUnsure
	r.advance(t, sure, unsure)
	if n := r.count(t, `SELECT count(*) FROM reading`); n != 1 {
		t.Errorf("%d readings are filed, want the one of the wearer", n)
	}
	if got := r.text(t, `SELECT reason FROM inbox WHERE state = 'waiting'`); got != "slot" {
		t.Errorf("it waits for %q", got)
	}
	r.advance(t, unsure) // sent again
	if n := r.count(t, `SELECT count(*) FROM inbox`); n != 1 {
		t.Errorf("%d wait, want one", n)
	}
}
