package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"hale/vital"
)

// TestWhatADeviceTakesBackIsBounded for each: beyond it waits in quarantine, and what was named in vain can be named again.
func TestWhatADeviceTakesBackIsBounded(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	flood := make([]vital.Record, 1100)
	for i := range flood {
		flood[i] = r.inError(10, fmt.Sprintf("never-%d", i))
	}
	flood = append(flood, flood[0]) // in one batch twice
	if res := r.advance(t, flood...); res.Refused != 100 {
		t.Errorf("%d are refused", res.Refused)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state = 'asked'`); n != 1000 {
		t.Errorf("%d are open", n)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine WHERE reason = 'name' AND detail LIKE '%more than 1000%'`); n != 100 {
		t.Errorf("%d are in quarantine", n)
	}
	// Sent again they are what they were; with the first ones done there is room.
	if res := r.advance(t, flood[:1000]...); res.Refused != 0 {
		t.Errorf("%d of those that are open are refused", res.Refused)
	}
	r.exec(t, `UPDATE withdrawal SET state = CASE WHEN id % 2 = 0 THEN 'done' ELSE 'unknown' END`)
	if res := r.advance(t, flood...); res.Refused != 0 {
		t.Errorf("%d are refused though nothing is open", res.Refused)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state = 'asked'`); n != 600 {
		t.Errorf("%d are asked: those that were named in vain, and those that were too many", n)
	}
	r.exec(t, `UPDATE withdrawal SET next_action_at = clock_timestamp() - interval '31 days', state = CASE WHEN id % 3 = 0 THEN 'asked' ELSE state END`)
	if err := r.work.KeepOriginals(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state <> 'asked'`); n != 0 || r.count(t, `SELECT count(*) FROM withdrawal`) == 0 {
		t.Errorf("%d that are done are kept for good, or those that are open are gone", n)
	}
}

// TestAFloodOfWithdrawalsHoldsNobodyUp: what a device names in vain for the second time comes after what another takes back.
func TestAFloodOfWithdrawalsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.named(r.pressure(30, 192, 110), "obs-1", vital.Final))
	loud := r.bare(t, "loud")
	r.exec(t, fmt.Sprintf(`INSERT INTO withdrawal (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, attempts, next_action_at)
		SELECT 1, %d, %d, n, 2, 1, '2026-01-01Z', n, '2026-01-01Z', 1, '2026-01-01Z' FROM generate_series(1, 12000) n`, loud.Own, loud.ID))
	r.advance(t, r.inError(30, "obs-1"))
	if found, err := r.work.StepWithdrawal(t.Context(), r.now(t)); !found || err != nil {
		t.Fatal(found, err)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawn_reading`); n != 1 {
		t.Error("the other's is not carried out")
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE attempts = 2`); n != 49 {
		t.Errorf("%d of the loud one's were looked for", n)
	}
}

// TestWithdrawalsAreCarriedOutOnceEach by processes that look at the same time, and again when one fell silent.
func TestWithdrawalsAreCarriedOutOnceEach(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	flood := make([]vital.Record, 240)
	for i := range flood {
		flood[i] = r.inError(10, fmt.Sprintf("never-%d", i))
	}
	r.advance(t, flood...)
	now := r.now(t).Add(time.Hour)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for found := true; found; {
				var err error
				if found, err = r.work.StepWithdrawal(t.Context(), now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE attempts = 1`); n != len(flood) {
		t.Errorf("%d were looked for once", n)
	}
	r.exec(t, `UPDATE withdrawal SET attempts = 0, next_action_at = '2026-01-01Z'::timestamptz + interval '1 minute'`) // claimed, and the process fell silent
	if found, err := r.work.StepWithdrawal(t.Context(), now); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}
