package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// TestNobodyIsJudgedByRulesOfBefore: 701 changes wait when hers comes, the last of them without anything to judge anew. Her next
// reading is judged by her new limits all the same, and the one before it anew.
func TestNobodyIsJudgedByRulesOfBefore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 80)) // what is in force is known now, and 150 is inside it
	r.crowd(t, 700)
	high := 140.0
	_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
		EffectiveFrom: since(), Enabled: true, Reason: "her own target", Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &high}}, K: 1, N: 1, ClearAfter: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for batch, want := range []struct {
		records            []vital.Record
		told, anew, remain int
	}{
		{[]vital.Record{r.pressure(20, 150, 80)}, 702, 501, 200},
		{nil, 200, 200, 0},
		{nil, 0, 0, 0},
	} {
		told, anew := map[vital.PatientID]bool{}, map[vital.PatientID]bool{}
		spy := func(ctx context.Context, now time.Time, f alerts.Facts, changed []alerts.Change, fresh []alerts.Fresh) (alerts.Outcome, error) {
			for _, c := range changed {
				told[c.Patient] = true
				if c.Rejudge {
					anew[c.Patient] = true
				}
			}
			return r.decider.Decide(ctx, now, f, changed, fresh)
		}
		b := alerts.Batch{Cursor: r.cursor, Lane: vital.Live, To: r.cursor.LiveSeq + 1, Records: want.records, Now: since().Add(24 * time.Hour)}
		res, err := r.work.Advance(t.Context(), b, spy)
		if err != nil {
			t.Fatal(err)
		}
		r.cursor = res.Cursor
		r.decider.Committed()
		remain := r.count(t, `SELECT count(*) FROM situation_change WHERE partition = $1`, r.cursor.Partition)
		if len(told) != want.told || len(anew) != want.anew || remain != want.remain {
			t.Errorf("batch %d: told of %d patients, %d judged anew, %d changes wait on, want %d, %d and %d", batch+1, len(told), len(anew), remain, want.told, want.anew, want.remain)
		}
		list, err := r.app.Alerts(t.Context(), r.nurse, alerts.Filter{})
		if err != nil || len(list) != 1 || list[0].Occurrences != 2 {
			t.Fatalf("batch %d: alerts %+v, %v; want one of both readings", batch+1, list, err)
		}
		log, err := r.app.Log(t.Context(), r.nurse, list[0].UID)
		if err != nil || slices.ContainsFunc(log, func(e alerts.Entry) bool { return e.Cause == alerts.CauseLate }) || r.decider.Mended() != 0 {
			t.Errorf("batch %d: what a person changed is taken for late data: %+v, %v", batch+1, log, err)
		}
	}
}

// crowd makes people of whom changes wait in the record's partition: somebody set their limits for the past, and of one more
// gave them a device.
func (r *record) crowd(t *testing.T, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), `
WITH people AS (INSERT INTO patient (org_id, uid, name, sex, zone, created_at)
    SELECT $1, gen_random_uuid(), 'Person', 'unknown', 'UTC', $3 FROM generate_series(0, $4::int) RETURNING org_id, id)
INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, at) SELECT org_id, $2, id, nullif($3::timestamptz, CASE WHEN id = max(id) OVER () THEN $3 END), $3 FROM people ORDER BY id`,
		int32(r.nurse.Org), r.cursor.Partition, since(), n)
	if err != nil {
		t.Fatal(err)
	}
}
