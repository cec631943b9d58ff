package postgres_test

import (
	"testing"

	"hale/postgres"
)

func TestAReadingThatStandsAboveTheMarkIsCountedAndStoredOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 120, 80)) // from here on the mark of the sensor is known
	ours := r.work
	other, err := postgres.OpenWork(t.Context(), r.db.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	r.work = other // as if a mistake let two write under one epoch
	r.advance(t, r.pressure(20, 121, 80))
	r.work = ours
	res := r.advance(t, r.pressure(20, 121, 80), r.pressure(30, 122, 80))
	if res.Stored != 1 || res.Duplicates != 1 {
		t.Errorf("%+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 3 {
		t.Errorf("%d readings are stored, want 3", n)
	}
	if ours.CopyViolations() != 1 || other.CopyViolations() != 0 {
		t.Errorf("violations %d and %d", ours.CopyViolations(), other.CopyViolations())
	}
}
