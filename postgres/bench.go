package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// Bench is what `hale bench` does to a record of its own, past the front door: making many people at once, and the
// reference that everything is compared with. AdminURL must log in as a superuser.
type Bench struct{ AdminURL string }

// BenchOrganisation is the name of the organisation that Enrol makes.
const BenchOrganisation = "hale bench"

const benchOrg = `INSERT INTO org (uid, name, created_at) VALUES (gen_random_uuid(), $1, $2) RETURNING id`

const benchDevices = `
WITH made AS (
    INSERT INTO device (org_id, uid, model, secret_hash, created_at)
    SELECT $1, $2 || lpad(n::text, 5, '0'), 'bench', $3, $4 FROM generate_series(1, $5) n RETURNING id, uid)
INSERT INTO sensor (org_id, uid, device_id) SELECT $1, uid, id FROM made`

const benchPatients = `
INSERT INTO patient (org_id, uid, name, number, sex, zone, created_at)
SELECT $1, gen_random_uuid(), 'Bench ' || n, 'BENCH-' || lpad(n::text, 5, '0'), 'unknown', 'UTC', $2 FROM generate_series(1, $3) n`

const benchAssignments = `
INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, created_at)
SELECT $1, s.id, p.id, $3, $4 FROM patient p JOIN sensor s ON s.uid = $2 || substr(p.number, 7) WHERE p.org_id = $1`

// The people of a gateway are neighbours: with 8 each, the first has the sensors 00001 to 00008.
const benchGrants = `
INSERT INTO gateway_grant (org_id, device_id, sensor_id)
SELECT $1, d.id, s.id FROM generate_series(1, $4::int) n
JOIN sensor s ON s.uid = $2 || lpad(n::text, 5, '0')
JOIN device d ON d.uid = $3 || lpad(((n - 1) / ($4::int / $5::int) + 1)::text, 5, '0')`

const benchRules = `
WITH made AS (
    INSERT INTO rule (org_id, uid, patient_id, kind, metric)
    SELECT $1, gen_random_uuid(), p.id, 'limit', $2 FROM patient p WHERE p.org_id = $1 RETURNING id)
INSERT INTO rule_version (org_id, rule_id, number, effective_from, enabled, spec, advice, author_name, reason, created_at)
SELECT $1, id, 1, $3, true, $4, '', 'bench', 'bench', $5 FROM made`

// BenchPeople says whom Enrol makes: that many patients, each with one device named Prefix and a number of five digits
// from 00001 on, judged by these limits.
type BenchPeople struct {
	Prefix   string
	Patients int
	Idle     string // prefix of further devices, which belong to nobody
	Devices  int    // how many of those
	Gateway  string // prefix of gateways, which speak for the people's sensors in equal parts
	Gateways int    // how many of those
	Secret   string // of every device
	Rules    []alerts.Default
}

// Enrol makes the people and returns their UIDs in the order of their devices.
func (b Bench) Enrol(ctx context.Context, want BenchPeople) ([]vital.UID, error) {
	hash := sha256.Sum256([]byte(want.Secret))
	var uids []vital.UID
	err := Operator(b).do(ctx, func(tx pgx.Tx, now time.Time) error {
		var org int32
		if err := tx.QueryRow(ctx, benchOrg, BenchOrganisation, now).Scan(&org); err != nil {
			return fmt.Errorf("make the organisation: %w", err)
		}
		work := &pgx.Batch{}
		work.Queue(benchDevices, org, want.Prefix, hash[:], now, want.Patients)
		work.Queue(benchDevices, org, want.Idle, hash[:], now, want.Devices)
		work.Queue(benchPatients, org, now, want.Patients)
		work.Queue(benchAssignments, org, want.Prefix, now.AddDate(-1, 0, 0), now)
		if want.Gateways > 0 {
			work.Queue(benchDevices, org, want.Gateway, hash[:], now, want.Gateways)
			work.Queue(benchGrants, org, want.Prefix, want.Gateway, want.Patients, want.Gateways)
		}
		for _, r := range want.Rules {
			spec, err := json.Marshal(r.Version.Limit)
			if err != nil {
				return fmt.Errorf("write a limit: %w", err)
			}
			work.Queue(benchRules, org, int16(r.Metric), r.Version.EffectiveFrom, spec, now)
		}
		work.Queue(`UPDATE registry_version SET version = version + 1`)
		if err := tx.SendBatch(ctx, work).Close(); err != nil {
			return fmt.Errorf("make the people: %w", err)
		}
		rows, err := tx.Query(ctx, `SELECT uid::text FROM patient WHERE org_id = $1 ORDER BY number`, org)
		if err != nil {
			return fmt.Errorf("name the people: %w", err)
		}
		uids, err = pgx.CollectRows(rows, pgx.RowTo[vital.UID])
		return err
	})
	return uids, err
}

// BenchCopy is the reference: bare binary COPY of rows that are encoded beforehand into the table of readings, with its
// key and its partitions, and nothing else. It is used once.
type BenchCopy struct {
	bench   Bench
	batches [][]byte
	rows    int
}

// benchSensors is where the sensors of the reference begin: they are in no registry, so that no reading meets its rows.
const benchSensors = 1 << 40

// PrepareCopy encodes so many rows of the same shape as the load's: every batch holds each (patient, metric) in turn, as
// a batch of the processor does, in the order of the key. Times lie from start on, a millisecond apart.
func (b Bench) PrepareCopy(start time.Time, patients int, metrics []vital.Metric, rows, batch int) *BenchCopy {
	c := &BenchCopy{bench: b}
	series := patients * len(metrics)
	for c.rows < rows {
		list := make([]*vital.Reading, 0, batch)
		for i := range min(batch, rows-c.rows) {
			n := c.rows + i
			list = append(list, benchReading(start, n%series, n/series, patients, metrics))
		}
		slices.SortFunc(list, byKey)
		c.batches = append(c.batches, copyRows(nil, rowsOf(list)))
		c.rows += len(list)
	}
	return c
}

func benchReading(start time.Time, series, round, patients int, metrics []vital.Metric) *vital.Reading {
	patient := series % patients
	r := &vital.Reading{
		Key: vital.Key{
			Sensor: benchSensors + vital.SensorID(patient), Metric: metrics[series/patients],
			SentAt: start.Add(time.Duration(round) * time.Millisecond), Tie: int64(series*7919 + round),
		},
		ReceivedAt: start.Add(time.Duration(round) * time.Millisecond), Org: 1, Device: vital.DeviceID(benchSensors + patient),
		Patient: vital.PatientID(benchSensors + patient), Assignment: 1,
	}
	r.MeasuredAt = r.SentAt
	d, _ := vital.Define(r.Metric)
	for i := range d.Components {
		r.Sent[i] = vital.Quantity{Mantissa: int64(60 + (series+i)%30), Unit: d.Components[i].Canonical}
		r.N++
	}
	return r
}

// Run copies everything over so many connections, one batch a transaction, and returns the rows and how long it took.
func (c *BenchCopy) Run(ctx context.Context, connections int) (rows int, took time.Duration, err error) {
	conns := make([]*pgx.Conn, connections)
	for i := range conns {
		if conns[i], err = pgx.Connect(ctx, c.bench.AdminURL); err != nil {
			return 0, 0, fault.Wrap(fault.Unavailable, err, "connect for the reference")
		}
		defer func() { _ = conns[i].Close(context.WithoutCancel(ctx)) }()
	}
	next := make(chan []byte, len(c.batches))
	for _, b := range c.batches {
		next <- b
	}
	close(next)
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for _, conn := range conns {
		group.Go(func() error {
			for b := range next {
				if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(b), "COPY reading ("+readingColumns+") FROM STDIN (FORMAT binary)"); err != nil {
					return classify(fmt.Errorf("copy the reference: %w", err))
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return c.rows, time.Since(start), err
}

// Stored counts the readings of real sensors, which are those that came through the front door.
func (b Bench) Stored(ctx context.Context) (n int, err error) {
	err = Operator(b).do(ctx, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SELECT count(*) FROM reading WHERE sensor_id < $1`, int64(benchSensors)).Scan(&n)
	})
	return n, err
}

// Version tells which PostgreSQL it is.
func (b Bench) Version(ctx context.Context) (version string, err error) {
	err = Operator(b).do(ctx, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SHOW server_version`).Scan(&version)
	})
	return version, err
}
