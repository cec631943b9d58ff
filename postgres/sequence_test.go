package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// TestTheDeskSeesWhichReadingsAreMissing stores numbered readings and leaves some out.
func TestTheDeskSeesWhichReadingsAreMissing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var all []vital.Record
	for i, n := range []int64{5, 6, 9, 10} {
		one := r.pressure(60*i, 130+n, 80)
		one.Reading.Tie, one.Reading.HasSequence = n, true
		all = append(all, one)
	}
	again := r.pressure(200, 121, 70) // number 10 under another time
	again.Reading.Tie, again.Reading.HasSequence = 10, true
	parked := r.pressure(90, 122, 71) // whose it is, nobody knows: it waits, and is not missing
	parked.Reading.Tie, parked.Reading.HasSequence, parked.Reading.Patient, parked.Reading.Assignment = 8, true, 0, 0
	all = append(all, again, parked, r.pressure(300, 140, 90)) // the last one has no number
	r.advance(t, all...)
	desk := r.nurse
	desk.Role = account.DeviceDesk
	c := &devices.Counts{Book: r.app, Now: func() time.Time { return since().Add(24 * time.Hour) }}
	got, err := c.Of(t.Context(), desk, "cuff-1", 14)
	if err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) time.Time { return since().Add(time.Duration(minutes) * time.Minute) }
	want := map[string][]devices.Sequence{"cuff-1": {{
		Metric:   vital.BloodPressure,
		Gaps:     []devices.Gap{{After: 6, Before: 8, From: at(60), To: at(90), Missing: 1}},
		Repeated: []devices.Counted{{Metric: vital.BloodPressure, Number: 10, SentAt: at(200)}},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	nurse := desk
	nurse.Role = account.Nurse
	if _, err := c.Of(t.Context(), nurse, "cuff-1", 14); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse: %v", err)
	}
	if _, err := c.Of(t.Context(), desk, "cuff-2", 14); !fault.Is(err, fault.NotFound) {
		t.Errorf("a device that is not there: %v", err)
	}
}
