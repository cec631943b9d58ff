package postgres_test

import (
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

// dated is a pressure of the first day of the record, received near its end, of which no more than the day is known.
func (r *record) dated(systolic, diastolic int64) vital.Record {
	rec := r.pressure(0, systolic, diastolic)
	rec.Reading.ReceivedAt = since().Add(23*time.Hour + 50*time.Minute)
	rec.Reading.Findings |= vital.TimeLocal
	rec.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockZone, Uncertainty: 24*time.Hour + 5*time.Minute}}
	rec.Reading.FindAge()
	return rec
}

// TestARedThatMayBeOfNowIsNoneOfThePast: what is known of its time counts when it comes, and when it is judged anew from the record.
func TestARedThatMayBeOfNowIsNoneOfThePast(t *testing.T) {
	t.Parallel()
	t.Run("when it comes", func(t *testing.T) {
		t.Parallel()
		r := newRecord(t)
		r.advance(t, r.dated(185, 100))
		if a := r.only(t); a.Historic || a.Paged != alerts.Red {
			t.Errorf("a red of today's date: %+v", a)
		}
	})
	t.Run("judged anew", func(t *testing.T) {
		t.Parallel()
		r := newRecord(t)
		r.advance(t, r.dated(130, 80))
		high := 120.0
		_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
			EffectiveFrom: since(), Enabled: true, Reason: "her own target", Limit: alerts.Limit{Components: []alerts.Bounds{{RedHigh: &high}}, K: 1, N: 1, ClearAfter: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.advance(t)
		if a := r.only(t); a.Historic || a.Paged != alerts.Red {
			t.Errorf("a red of today's date, by new limits: %+v", a)
		}
	})
}
