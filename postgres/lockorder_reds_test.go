package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/safe"
	"hale/vital"
)

// Whoever marks values that an unverified red stands for takes the reds first, and all of them in their order: what waits for one of them
// holds no value, and no red behind it.
func TestUnverifiedRedsAreLockedBeforeTheirValues(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(t *testing.T, r *record) func() error{
		"a device takes back two": func(t *testing.T, r *record) func() error {
			t.Helper()
			r.advance(t, r.named(r.sugarOfNobody(-30, 30), "o-1", vital.Final), r.named(r.saturation(-40, 72, 0), "o-2", vital.Final))
			var first string
			for _, m := range query(t, r, `SELECT metric FROM unverified ORDER BY metric`, pgx.RowTo[vital.Metric]) {
				first = map[vital.Metric]string{vital.Glucose: "o-1", vital.OxygenSat: "o-2"}[m]
			}
			second := map[string]string{"o-1": "o-2", "o-2": "o-1"}[first] // what is locked last by the order is taken back first
			r.advance(t, r.inError(-20, first), r.inError(-10, second))
			return func() error {
				_, err := r.work.StepWithdrawal(t.Context(), r.now(t))
				return err
			}
		},
		"a person takes an average back": func(t *testing.T, r *record) func() error {
			t.Helper()
			mean := r.saturation(10, 74, vital.Averaged)
			mean.Reading.Patient, mean.Reading.Assignment, mean.Reading.Epoch = r.patient.ID, r.given.ID, r.given.Epoch
			r.advance(t, mean)
			return func() error {
				w := &safe.Withdrawals{People: r.app, Book: r.app}
				return w.Withdraw(t.Context(), r.nurse, r.patient.UID, mean.Reading.ID(), mean.Reading.MeasuredAt, "On the table.")
			}
		},
		"what was refused is read again": func(t *testing.T, r *record) func() error {
			t.Helper()
			r.advance(t, r.glucose(1, 30))
			list, _, err := r.app.Refusals(t.Context(), r.nurse, devices.RefusalFilter{Limit: 10})
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			return func() error {
				_, err := r.app.NoteRetried(t.Context(), r.nurse, list[0].UID, devices.Retried{Accepted: 1})
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			do := act(t, r)
			const first = `(SELECT o.id FROM unverified o ORDER BY o.sensor_id, o.metric, o.side, o.historic, o.id LIMIT 1)`
			held := r.hold(t, `SELECT 1 FROM unverified WHERE id = `+first+` FOR NO KEY UPDATE`)
			done := r.begun(t, do)
			other := r.hold(t, `SELECT 1`)
			for _, free := range []string{`SELECT 1 FROM unverified WHERE id <> ` + first, `SELECT 1 FROM unverified_value`} {
				if _, err := other.Exec(t.Context(), free+` FOR NO KEY UPDATE NOWAIT`); err != nil {
					t.Errorf("who waits for the first red holds others, or values (%s): %v", free, err)
				}
			}
			if err := other.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := held.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if n := r.count(t, `SELECT count(*) FROM unverified_value WHERE left_at IS NULL OR became NOT IN ('taken_back', 'read_again')`); n != 0 {
				t.Errorf("%d values are not marked", n)
			}
		})
	}
}
