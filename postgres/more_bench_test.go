package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/vital"
)

// BenchmarkAdvance is the batch of one partition with and without what stands beside readings (insertMore), which `hale bench` does not
// send: its devices have clocks that are right, and say nothing but numbers.
func BenchmarkAdvance(b *testing.B) {
	facts := []vital.Fact{{Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "body_site", Value: "left arm"}, {Name: "meal", Value: "fasting"}}
	for _, more := range []struct {
		name string
		of   *vital.More
	}{
		{"numbers alone", nil},
		{"a clock put right", &vital.More{Clock: vital.Clock{Offset: 90 * time.Second, Method: vital.ClockCoincident, Uncertainty: time.Second}}},
		{"three facts and a name", &vital.More{Name: 7, Facts: facts}},
	} {
		for _, size := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s, %d readings", more.name, size), func(b *testing.B) { benchAdvance(b, more.of, size) })
		}
	}
}

func benchAdvance(b *testing.B, more *vital.More, size int) {
	b.Helper()
	ctx, db := b.Context(), pgtest.New(b)
	app, err := postgres.OpenApp(ctx, db.Config())
	if err != nil {
		b.Fatal(err)
	}
	defer app.Close()
	work, err := postgres.OpenWork(ctx, db.Config())
	if err != nil {
		b.Fatal(err)
	}
	defer work.Close()
	by, err := postgres.Operator{AdminURL: db.AdminURL()}.SetStaff(ctx, postgres.Staff{Organisation: "Home", Login: "ana", Name: "Nurse", Role: account.Administrator, PasswordHash: "x"})
	if err != nil {
		b.Fatal(err)
	}
	p, err := app.AddPatient(ctx, by, account.Patient{Name: "Person", Number: "1", Sex: "unknown", Zone: "UTC"})
	if err != nil {
		b.Fatal(err)
	}
	d, err := app.Enrol(ctx, by, devices.Enrolment{UID: "cuff-1", Model: "cuff", SecretHash: sha256.Sum256([]byte("x"))})
	if err != nil {
		b.Fatal(err)
	}
	a, err := app.Assign(ctx, by, devices.Binding{Sensor: "cuff-1", Patient: p.UID, From: since()})
	if err != nil {
		b.Fatal(err)
	}
	cursor, err := work.Claim(ctx, vital.PartitionOf(uint64(p.ID)), streamID, "p1", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	decider, sent := alerts.NewDecider(100), 0
	for b.Loop() {
		records := make([]vital.Record, size)
		for i := range records {
			sent++
			at := since().Add(time.Duration(sent) * time.Millisecond)
			numbers := [3]vital.Quantity{{Mantissa: int64(60 + sent%30), Unit: vital.PerMinute}}
			r := &vital.Reading{
				Key:        vital.Key{Sensor: d.Own, Metric: vital.HeartRate, SentAt: at, Tie: vital.TieOf(numbers[:1])},
				MeasuredAt: at, ReceivedAt: at.Add(time.Second), Org: by.Org, Device: d.ID, Patient: p.ID, Assignment: a.ID, Epoch: a.Epoch, Sent: numbers, N: 1,
			}
			if more != nil {
				one := *more
				r.More = &one
			}
			records[i] = vital.Record{Reading: r}
		}
		res, err := work.Advance(ctx, alerts.Batch{Cursor: cursor, Lane: vital.Live, To: cursor.LiveSeq + 1, Records: records, Now: since().Add(24 * time.Hour)}, decider.Decide)
		if err != nil {
			b.Fatal(err)
		}
		cursor = res.Cursor
		decider.Committed()
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "readings/s")
}
