package postgres_test

import (
	"testing"
	"time"

	"hale/fault"
	"hale/safe"
)

// TestWhatOneGatewaySentIsClaimedAndPutAsideAlone: two gateways speak for one sensor, each in another home.
func TestWhatOneGatewaySentIsClaimedAndPutAsideAlone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	second := r.bare(t, "hub-b")
	theirs := r.saturation(-50, 93, 0)
	theirs.Reading.Device = second.ID
	r.advance(t, r.saturation(-60, 97, 0), theirs, r.saturation(-40, 96, 0))
	group := func(device string) *safe.Waiting {
		t.Helper()
		list, err := r.inbox().List(t.Context(), r.nurse)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if list[i].Device == device {
				return &list[i]
			}
		}
		return &safe.Waiting{}
	}
	if a, b := group("cuff-1"), group("hub-b"); a.Count != 2 || len(a.Readings) != 2 || b.Count != 1 || len(b.Readings) != 1 || b.Readings[0].Values[0] != 93 {
		t.Fatalf("%+v\n%+v", a, b)
	}
	from, to := since().Add(-time.Hour), since().Add(-40*time.Minute).Add(time.Microsecond)
	// Put aside, and brought back.
	d := safe.Dismissal{Sensor: "cuff-1", Device: "cuff-1", From: from, To: to, Why: "A demonstration."}
	if n, err := r.inbox().Dismiss(t.Context(), r.nurse, d); err != nil || n != 2 || group("hub-b").Count != 1 {
		t.Errorf("put aside: %d, %v, and of the other %+v", n, err, group("hub-b"))
	}
	if aside, err := r.inbox().ListAside(t.Context(), r.nurse); err != nil || len(aside) != 1 || aside[0].Device != "cuff-1" || len(aside[0].Readings) != 2 {
		t.Errorf("%+v, %v", aside, err)
	}
	if n, err := r.inbox().Dismiss(t.Context(), r.nurse, safe.Dismissal{Sensor: "cuff-1", Device: "hub-b", From: from, To: to, Why: "Another one."}); err != nil || n != 1 {
		t.Errorf("put aside of the other: %d, %v", n, err)
	}
	for device, want := range map[string]int{"cuff-1": 2, "hub-b": 1} {
		if n, err := r.inbox().BringBack(t.Context(), r.nurse, safe.Return{Sensor: "cuff-1", Device: device, From: from, To: to}); err != nil || n != want {
			t.Errorf("brought back of %s: %d, %v", device, n, err)
		}
	}
	// Claimed.
	w := safe.Wish{Sensor: "cuff-1", Device: "cuff-1", From: from, To: to, BelongsTo: other.UID, Reason: "Hers."}
	made, err := r.inbox().ClaimOf(t.Context(), r.nurse, w)
	if err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND value IN (97, 96)`, int64(other.ID)); n != 2 {
		t.Errorf("%d of hers are filed", n)
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE value = 93`); n != 0 || group("hub-b").Count != 1 {
		t.Errorf("what the other gateway sent was filed with them: %d, and there waits %+v", n, group("hub-b"))
	}
	if done, err := r.refiles().Get(t.Context(), r.nurse, made.UID); err != nil || done.Total != 2 || done.Moved != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := r.inbox().ClaimOf(t.Context(), r.nurse, w); !fault.Is(err, fault.Conflict) {
		t.Errorf("nothing of that gateway waits any more: %v", err)
	}
	// The other one's is somebody else's, though the sensor is hers by the claim in that time.
	w.Device, w.BelongsTo = "hub-b", r.patient.UID
	if _, err := r.inbox().ClaimOf(t.Context(), r.nurse, w); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND value = 93`, int64(r.patient.ID)); n != 1 {
		t.Errorf("%d of his are filed", n)
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND value IN (97, 96)`, int64(other.ID)); n != 2 {
		t.Errorf("%d of hers are left", n)
	}
	w.Device = "nothing-like-it"
	if _, err := r.inbox().ClaimOf(t.Context(), r.nurse, w); err == nil {
		t.Error("of a device that is not there")
	}
}
