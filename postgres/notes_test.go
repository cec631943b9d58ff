package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hale/vital"
)

// TestNotesThatFindNothingHoldUpNoBatch: a meter whose measurements are refused leaves many behind.
func TestNotesThatFindNothingHoldUpNoBatch(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.sugar(10, 8, 121), r.sugar(11, 9, 122))
	r.exec(t, fmt.Sprintf(`INSERT INTO reading_note (org_id, sensor_id, metric, tie, received_at, facts)
		SELECT 1, %d, %d, n, r.received_at - n * interval '1 second', '[]' FROM reading r, generate_series(100, 6099) n WHERE r.tie = 8`, r.device.Own, vital.Glucose))
	r.exec(t, `INSERT INTO inbox (sensor_id, metric, sent_at, tie, org_id, device_id, id, measured_at, received_at, mantissa, exponent, unit, findings, has_sequence, reason)
		SELECT r.sensor_id, r.metric, r.sent_at - n * interval '1 minute', 10000 + n, 1, r.device_id, n, r.measured_at - n * interval '1 minute', r.received_at, 1, 0, r.unit, 0, true, 'no_owner'
		FROM reading r, generate_series(1, 6000) n WHERE r.tie = 8`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // each with each takes 20
	defer cancel()
	res, err := r.tryAdvance(ctx, r.withContext(20, 10, 123), r.meal(21, 9, "fasting"))
	if err != nil || res.Stored != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if n := r.count(t, `SELECT count(*) FROM reading_more WHERE tie = 9 AND facts @> '[{"value": "fasting"}]'`); n != 1 {
		t.Error("the meal has not found its measurement")
	}
	if n := r.count(t, `SELECT count(*) FROM reading_note`); n != 6000 {
		t.Errorf("%d notes wait", n)
	}
	r.exec(t, `UPDATE reading_note SET tie = 8 WHERE tie = 100`) // as when another process stored it at the same moment
	r.exec(t, `UPDATE reading_note SET received_at = received_at + interval '10 years'`)
	r.exec(t, `UPDATE reading_note SET received_at = received_at - interval '10 years' WHERE tie = 8`)
	if err := r.work.KeepOriginals(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM reading_more WHERE tie = 8`); n != 1 {
		t.Error("what was left was not joined")
	}
	if n := r.count(t, `SELECT count(*) FROM reading_note WHERE tie BETWEEN 101 AND 5100`); n != 5000 || r.count(t, `SELECT count(*) FROM reading_note`) != 5000 {
		t.Errorf("%d of the newest are left", n)
	}
}

func TestANoteThatComesAgainWaitsOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	later := r.meal(20, 8, "bedtime")
	later.Reading.ReceivedAt = later.Reading.ReceivedAt.Add(time.Hour)
	r.advance(t, r.meal(10, 8, "fasting"), later, r.meal(10, 8, "fasting"))
	if got := r.text(t, `SELECT string_agg(facts ->> 0, ' ') FROM reading_note`); got != `{"name": "meal", "value": "bedtime"}` {
		t.Errorf("what waits is %s", got)
	}
}
