package postgres

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/vital"
)

func TestOfOneIdentityInABatchTheFirstStandsAndWhatContradictsItIsRefused(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 8, 0, 0, 0, time.UTC)
	reading := func(seq, value int64) *vital.Reading {
		return &vital.Reading{
			Key: vital.Key{Sensor: 1, Metric: vital.HeartRate, SentAt: at, Tie: seq}, HasSequence: true,
			Sent: [3]vital.Quantity{{Mantissa: value, Unit: vital.PerMinute}}, N: 1,
		}
	}
	first, other := reading(7, 61), reading(6, 75)
	s := sift([]vital.Record{
		{Reading: first}, {Reading: reading(7, 62)}, {Reading: reading(7, 61)}, {Reading: other}, {Reading: reading(7, 62)},
	})
	if diff := cmp.Diff([]*vital.Reading{other, first}, s.readings); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if s.duplicates != 1 || len(s.refused) != 2 {
		t.Errorf("%d duplicates and %d refused, want 1 and 2", s.duplicates, len(s.refused))
	}
}
