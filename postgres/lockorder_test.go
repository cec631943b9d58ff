package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// Two batches that tell of the firmware of the same sensors must take their rows in the same order, however the rows lie in the table: one
// that waits for the first of them holds none of the others.
func TestSensorsAreLockedInTheirOrder(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	second, _ := r.addDevice(t, r.nurse, r.patient, "scale-9")
	third, _ := r.addDevice(t, r.nurse, r.patient, "scale-10")
	sensors := []vital.SensorID{r.device.Own, second.Own, third.Own}
	for _, first := range []string{"cuff-1", "scale-9"} { // their rows lie behind the third one's now
		r.exec(t, `UPDATE sensor SET firmware = '0.9' WHERE uid = '`+first+`'`)
	}
	held := r.hold(t, `SELECT 1 FROM sensor WHERE id = $1 FOR UPDATE`, int64(sensors[0]))
	var told []vital.Record
	for _, sensor := range sensors {
		told = append(told, r.told(1, func(s *vital.Status) { s.Sensor, s.Firmware = sensor, "1.0" }))
	}
	done := r.begun(t, func() error {
		_, err := r.tryAdvance(t.Context(), told...)
		return err
	})
	other := r.hold(t, `SELECT 1`)
	for _, sensor := range sensors[1:] {
		if _, err := other.Exec(t.Context(), `SELECT 1 FROM sensor WHERE id = $1 FOR NO KEY UPDATE NOWAIT`, int64(sensor)); err != nil {
			t.Fatalf("who waits for the first sensor holds sensor %d: %v", sensor, err)
		}
	}
	for _, tx := range []pgx.Tx{other, held} {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM sensor WHERE firmware = '1.0'`); n != len(sensors) {
		t.Errorf("the firmware of %d sensors is written", n)
	}
}

// A nurse says whose an unverified red is while what she claims is being filed: that holds the sensor and waits for the red. She must not
// wait for the sensor in turn, nor whoever asks about it.
func TestWhoClaimsARedDoesNotWaitForItsSensor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0))
	u := r.unverified(t, r.nurse)[0]
	filing := r.hold(t, `SELECT 1 FROM sensor WHERE id = $1 FOR UPDATE`, int64(r.device.Own))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, _, err := r.app.AmendUnverified(ctx, r.nurse, u.UID, func(_ alerts.Unverified, now time.Time) (alerts.UnverifiedAct, error) {
		return alerts.UnverifiedAct{Kind: alerts.EntryAcknowledged, Claimed: r.patient.ID, Note: "hers", Until: now.Add(time.Hour)}, nil
	})
	if err != nil {
		t.Errorf("she waits for whoever files the sensor's readings, who waits for her: %v", err)
	}
	if err := filing.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := r.unverified(t, r.nurse)[0]; after.State != alerts.Acknowledged || after.Note != "hers" {
		t.Errorf("%+v", after)
	}
}
