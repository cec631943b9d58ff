package postgres_test

import (
	"testing"
	"time"

	"hale/devices/measuring"
	"hale/vital"
)

// TestASlotInWhichSomethingCameWithAWrongClockIsNotMissed: somebody measured, and it is the device that is to be looked after. So it is
// said on the patient's strip, and nobody is said to have gone silent.
func TestASlotInWhichSomethingCameWithAWrongClockIsNotMissed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := since() // 01:00 at home
	s := &measuring.Schedules{Book: r.app, Now: func() time.Time { return now }, Clock: r.app.ClocksRefused}
	window := func(from, to int) []measuring.Window {
		return []measuring.Window{{From: from * 60, At: from * 60, To: to * 60}}
	}
	lines := []measuring.Line{
		{Metric: vital.PeakFlow, First: "2026-03-01", Times: append(window(3, 4), window(5, 6)...)},
		{Metric: vital.OxygenSat, First: "2026-03-01", Times: window(3, 4)},
		{Metric: vital.BodyWeight, First: "2026-03-01", Times: window(3, 4)},
	}
	if _, err := s.Set(t.Context(), r.nurse, r.patient.UID, 0, measuring.Authored{Schedule: measuring.Schedule{Lines: lines}, Reason: "asthma"}); err != nil {
		t.Fatal(err)
	}
	wrong := r.refusedValue(150, vital.ReasonClock, "ahead", vital.PeakFlow, 0, vital.Quantity{Mantissa: 410, Unit: vital.LitrePerMin})
	with := *wrong.Refused.Read
	with.Metric = vital.OxygenSat
	wrong.Refused.See(&with, 0)
	other := r.refusedValue(150, vital.ReasonUnit, "no unit", vital.BodyWeight, 0, vital.Quantity{Mantissa: 71})
	before := r.refusedValue(150, vital.ReasonClock, "before it was theirs", vital.BodyWeight, 0, vital.Quantity{Mantissa: 71, Unit: vital.Kilogram})
	before.Refused.ReceivedAt = since().Add(-time.Hour)
	r.advance(t, wrong, other, before)
	now = since().Add(10 * time.Hour)
	strip, err := s.Strip(t.Context(), r.nurse, r.patient.UID, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]measuring.Cover{
		"peak_flow 03:00": measuring.CoverClock, "peak_flow 05:00": measuring.CoverMissed, "oxygen_saturation 03:00": measuring.CoverClock, "body_weight 03:00": measuring.CoverMissed,
	}
	for _, c := range strip.Slots {
		name := c.Metric.String() + " " + c.Due.In(vital.ZoneOrUTC(r.patient.Zone)).Format("15:04")
		if c.Cover != want[name] {
			t.Errorf("%s: %s, want %s", name, c.Cover, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not on the strip: %v", want)
	}
}
