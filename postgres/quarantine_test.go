package postgres_test

import (
	"slices"
	"testing"
	"time"

	"hale/devices"
	"hale/vital"
)

// TestWhatWasSettledAndComesAgainWaitsAgain: bytes without a time are another measurement each time.
func TestWhatWasSettledAndComesAgainWaitsAgain(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first := r.refusedValue(10, vital.ReasonUnit, `{"metric":"heart_rate","value":61}`, vital.HeartRate, 0, vital.Quantity{Mantissa: 61, Unit: vital.PerMinute})
	waiting := func() []devices.Refusal {
		t.Helper()
		list, _, err := r.app.Refusals(t.Context(), r.nurse, devices.RefusalFilter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	r.advance(t, first)
	list := waiting()
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	if _, err := r.app.NoteRetried(t.Context(), r.nurse, list[0].UID, devices.Retried{Accepted: 1}); err != nil {
		t.Fatal(err)
	}
	r.advance(t, first)
	if list = waiting(); len(list) != 0 {
		t.Errorf("the same delivery again waits again: %+v", list)
	}
	again := *first.Refused
	again.ReceivedAt = r.now(t).Add(time.Second)
	r.advance(t, vital.Record{Refused: &again})
	if list = waiting(); len(list) != 1 || list[0].Accepted != 1 || list[0].Times != 3 {
		t.Errorf("what came again is not seen: %+v", list)
	}
}

// TestWhoHasASlotOfADeviceIsToldWhoLookedAtIt: what a shared cuff sent and nobody could read may be of each who presses a button of it.
func TestWhoHasASlotOfADeviceIsToldWhoLookedAtIt(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna, bert := d.patient, d.addPatient(t, d.nurse, "2")
	cuff := d.enrol(t, "shared-1")
	kit := d.make(t, "K-1", "shared-1")
	d.describe(t, "shared-1", "blood pressure cuff for two")
	d.issue(t, kit, anna, devices.SlotUser{Sensor: "shared-1", Slot: 1, Patient: anna.UID}, devices.SlotUser{Sensor: "shared-1", Slot: 2, Patient: bert.UID})
	no := d.refusedValue(10, vital.ReasonUnit, `{"metric":"heart_rate","value":61}`, vital.HeartRate, 0)
	no.Refused.Device = cuff.ID
	d.advance(t, no)
	list, wearers, err := d.app.Refusals(t.Context(), d.nurse, devices.RefusalFilter{Device: "shared-1", Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	slices.Sort(wearers)
	if want := []vital.PatientID{anna.ID, bert.ID}; !slices.Equal(wearers, want) {
		t.Errorf("it may be of %v, want %v", wearers, want)
	}
}
