package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/vital"
)

// record is a database with one organisation, one nurse, one patient and their device.
type record struct {
	db      pgtest.Database
	app     *postgres.App
	work    *postgres.Work
	nurse   account.Actor
	patient account.Patient
	device  devices.Device
	given   devices.Assignment
	cursor  alerts.Cursor
	decider *alerts.Decider
}

const streamID = "stream-1"

// since is when the device's assignment begins.
func since() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

func newRecord(t *testing.T) *record {
	t.Helper()
	ctx := t.Context()
	r := &record{db: pgtest.New(t), decider: alerts.NewDecider(100)}
	var err error
	if r.app, err = postgres.OpenApp(ctx, r.db.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.app.Close)
	if r.work, err = postgres.OpenWork(ctx, r.db.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.work.Close)
	r.nurse = r.staff(t, "Home", "ana")
	r.patient = r.addPatient(t, r.nurse, "1")
	r.device, r.given = r.addDevice(t, r.nurse, r.patient, "cuff-1")
	r.cursor = r.claim(t, vital.PartitionOf(uint64(r.patient.ID)), "p1")
	return r
}

func (r *record) staff(t *testing.T, org, login string) account.Actor {
	t.Helper()
	who, err := postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: org, Login: login, Name: "Nurse " + login, Role: account.Administrator, PasswordHash: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func (r *record) addPatient(t *testing.T, by account.Actor, number string) account.Patient {
	t.Helper()
	p, err := r.app.AddPatient(t.Context(), by, account.Patient{Name: "Person " + number, Number: number, Sex: "unknown", Zone: "Europe/Ljubljana"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *record) addDevice(t *testing.T, by account.Actor, p account.Patient, uid string) (devices.Device, devices.Assignment) {
	t.Helper()
	d, err := r.app.Enrol(t.Context(), by, devices.Enrolment{UID: uid, Model: "cuff", SecretHash: sha256.Sum256([]byte(uid))})
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.app.Assign(t.Context(), by, devices.Binding{Sensor: uid, Patient: p.UID, From: since()})
	if err != nil {
		t.Fatal(err)
	}
	return d, a
}

func (r *record) claim(t *testing.T, partition int, owner string) alerts.Cursor {
	t.Helper()
	c, err := r.work.Claim(t.Context(), partition, streamID, owner, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pressure is a reading of the record's patient, minutes after the assignment began.
func (r *record) pressure(minutes int, systolic, diastolic int64) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	sent := [3]vital.Quantity{{Mantissa: systolic, Unit: vital.MmHg}, {Mantissa: diastolic, Unit: vital.MmHg}}
	return vital.Record{Reading: &vital.Reading{
		Key:        vital.Key{Sensor: r.device.Own, Metric: vital.BloodPressure, SentAt: at, Tie: vital.TieOf(sent[:2])},
		MeasuredAt: at, ReceivedAt: at.Add(time.Second), Org: r.nurse.Org, Device: r.device.ID, Patient: r.patient.ID,
		Assignment: r.given.ID, Epoch: r.given.Epoch, Sent: sent, N: 2,
	}}
}

// weight is a weight of the record's patient in grams, minutes after the assignment began.
func (r *record) weight(minutes int, grams int64) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	sent := [3]vital.Quantity{{Mantissa: grams, Exponent: -3, Unit: vital.Kilogram}}
	return vital.Record{Reading: &vital.Reading{
		Key:        vital.Key{Sensor: r.device.Own, Metric: vital.BodyWeight, SentAt: at, Tie: vital.TieOf(sent[:1])},
		MeasuredAt: at, ReceivedAt: at.Add(time.Second), Org: r.nurse.Org, Device: r.device.ID, Patient: r.patient.ID,
		Assignment: r.given.ID, Epoch: r.given.Epoch, Sent: sent, N: 1,
	}}
}

// advance commits records as the next batch of the record's partition.
func (r *record) advance(t *testing.T, records ...vital.Record) alerts.Result {
	t.Helper()
	res, err := r.tryAdvance(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	r.cursor = res.Cursor
	r.decider.Committed()
	return res
}

func (r *record) tryAdvance(ctx context.Context, records ...vital.Record) (alerts.Result, error) {
	now := since().Add(24 * time.Hour)
	return r.work.Advance(ctx, alerts.Batch{Cursor: r.cursor, Lane: vital.Live, To: r.cursor.LiveSeq + 1, Records: records, Now: now}, r.decider.Decide)
}

// count asks the database as its superuser.
func (r *record) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var n int
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return n
}

// exec runs a statement as the superuser, for what no method does.
func (r *record) exec(t *testing.T, statement string) {
	t.Helper()
	asAdmin(t, r.db.AdminURL(), statement)
}
