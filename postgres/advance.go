package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

const moveLive = `UPDATE stream_cursor SET live_seq = @to WHERE partition = @partition AND epoch = @epoch AND live_seq = @from AND stream_identity = @stream`
const moveLate = `UPDATE stream_cursor SET late_seq = @to WHERE partition = @partition AND epoch = @epoch AND late_seq = @from AND stream_identity = @stream`

const takeChanges = `
WITH taken AS (DELETE FROM situation_change WHERE partition = $1
    AND id IN (SELECT id FROM situation_change WHERE partition = $1 ORDER BY id LIMIT 500) RETURNING id, patient_id, rejudge_from, late)
SELECT patient_id, rejudge_from, late FROM taken ORDER BY id`

// Advance commits one batch, or nothing. See alerts.Store.
//
// Lock order: cursor row, situation changes, readings, episodes, outbox.
//
// Each batch of statements is one round trip: the opening, the COPY, what was decided (when something was), the end.
func (w *Work) Advance(ctx context.Context, b alerts.Batch, decide alerts.Decide) (alerts.Result, error) {
	batch := sift(b.Records)
	if err := w.ensureMonths(ctx, batch.readings); err != nil {
		return alerts.Result{}, err
	}
	res, err := w.advance(ctx, b, batch, decide, false)
	if violatedKey(err) {
		// Something stands above a high-water mark that we believed: a bug, or a sensor that changed partitions.
		w.violations.Add(1)
		w.log.Error("copy met a reading that was there already; the batch is redone through staging", "partition", b.Cursor.Partition, "error", err)
		w.forget(b.Cursor.Partition, b.Cursor.Epoch)
		res, err = w.advance(ctx, b, batch, decide, true)
	}
	if err != nil {
		return alerts.Result{}, classify(err)
	}
	return res, nil
}

func (w *Work) advance(ctx context.Context, b alerts.Batch, batch sifted, decide alerts.Decide, stageAll bool) (alerts.Result, error) {
	res := alerts.Result{Cursor: b.Cursor, Duplicates: batch.duplicates}
	var now time.Time
	var moved bool
	var changed []alerts.Change
	var known known
	tx, err := w.begin(ctx, func(q *pgx.Batch) {
		q.Queue(`SELECT coalesce(@now, clock_timestamp())`, pgx.NamedArgs{"now": nullTime(b.Now)}).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
		queueFence(q, b, &moved)
		queueChanges(q, b.Cursor.Partition, &changed)
		known = queueStanding(q, batch.readings)
	})
	if err != nil {
		return res, err
	}
	defer tx.end(ctx)
	now = now.UTC()
	if !moved {
		return res, fault.New(fault.Conflict, "partition %d is not where epoch %d left it: another process has it", b.Cursor.Partition, b.Cursor.Epoch)
	}
	f := &facts{tx: tx}
	placed, err := settleOwners(ctx, tx, b.Cursor.Partition, now, batch.readings, known)
	if err != nil {
		return res, err
	}
	filed, err := w.file(ctx, tx, b.Cursor, placed, stageAll)
	if err != nil {
		return res, err
	}
	res.Stored, res.Parked = len(filed.stored), filed.parked
	res.Duplicates += len(batch.readings) - len(filed.stored) - filed.parked - len(filed.conflicts)
	refused := append(batch.refused, filed.conflicts...)
	if res.Refused, err = quarantine(ctx, tx, refused); err != nil {
		return res, err
	}

	fresh := make([]alerts.Fresh, 0, len(filed.stored))
	for _, r := range filed.stored {
		if placed.elsewhere[r.Reading] {
			continue // the partition of its owner judges it
		}
		p := alerts.Point{Mark: alerts.Mark{At: r.MeasuredAt, ID: r.id}, Metric: r.Metric, Values: r.values, ReceivedAt: r.ReceivedAt, Findings: r.Findings, Sensor: r.Sensor}
		fresh = append(fresh, alerts.Fresh{Org: r.Org, Patient: r.Patient, Point: p})
	}
	f.batch = fresh
	outcome, err := decide(ctx, now, f, changed, fresh)
	if err != nil {
		return res, fmt.Errorf("judge the batch: %w", err)
	}
	last := &pgx.Batch{}
	if res.Events, err = save(ctx, tx, outcome, now, last); err != nil {
		return res, err
	}
	if err := noteCanaries(ctx, tx, last, b.Cursor.Partition, batch.canaries); err != nil {
		return res, err
	}
	if err := tx.commit(ctx, last); err != nil {
		return res, err
	}
	filed.raise()
	if b.Lane == vital.Live {
		res.Cursor.LiveSeq = b.To
	} else {
		res.Cursor.LateSeq = b.To
	}
	return res, nil
}

// queueFence moves the position; that row is held until the end of the transaction, and it is what stops a process that
// slept past its lease. Where moved stays false the statements behind it have done nothing that will be kept.
func queueFence(q *pgx.Batch, b alerts.Batch, moved *bool) {
	query := moveLate
	if b.Lane == vital.Live {
		query = moveLive
	}
	args := pgx.NamedArgs{"to": int64(b.To), "from": int64(b.Cursor.Seq(b.Lane)), "partition": b.Cursor.Partition, "epoch": b.Cursor.Epoch, "stream": b.Cursor.Stream}
	q.Queue(query, args).Exec(func(tag pgconn.CommandTag) error {
		*moved = tag.RowsAffected() == 1
		return nil
	})
}

// queueChanges takes the situation changes, as they are once the position is held.
func queueChanges(q *pgx.Batch, partition int, changed *[]alerts.Change) {
	q.Queue(takeChanges, partition).Query(func(rows pgx.Rows) (err error) {
		*changed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Change, error) {
			var c alerts.Change
			var from *time.Time
			err := row.Scan(&c.Patient, &from, &c.Late)
			c.Rejudge, c.From = from != nil, timeOf(from)
			return c, err
		})
		return err
	})
}

// sifted is a batch without what it holds twice.
type sifted struct {
	readings   []*vital.Reading // one per identity, in the order of the key
	refused    []*vital.Refused
	canaries   []*vital.Canary
	duplicates int
}

// sift keeps the first of each identity. Another value under the same sequence number is a conflict and refused.
func sift(records []vital.Record) sifted {
	s := sifted{readings: make([]*vital.Reading, 0, len(records))}
	for _, rec := range records {
		switch {
		case rec.Canary != nil:
			s.canaries = append(s.canaries, rec.Canary)
		case rec.Refused != nil:
			s.refused = append(s.refused, rec.Refused)
		case rec.Reading != nil:
			s.readings = append(s.readings, rec.Reading)
		}
	}
	slices.SortStableFunc(s.readings, byKey)
	kept := s.readings[:0]
	for _, r := range s.readings {
		var first *vital.Reading
		if n := len(kept); n > 0 && byKey(kept[n-1], r) == 0 {
			first = kept[n-1]
		}
		switch {
		case first == nil:
			kept = append(kept, r)
		case conflicting(first, r):
			s.refused = append(s.refused, conflict(r))
		default:
			s.duplicates++
		}
	}
	s.readings = kept
	return s
}

func conflicting(a, b *vital.Reading) bool {
	return a.HasSequence && b.HasSequence && (a.N != b.N || a.Sent != b.Sent)
}

// conflict keeps a reading that contradicts a stored one: the first committed stands.
func conflict(r *vital.Reading) *vital.Refused {
	raw := rebuilt(r)
	return &vital.Refused{
		Org: r.Org, Device: r.Device, ReceivedAt: r.ReceivedAt, Topic: "", Reason: vital.ReasonConflict,
		Detail: fmt.Sprintf("sequence number %d of %s was sent before with another value; the first one stands (raw is rebuilt from what was decoded)", r.Tie, r.Metric),
		Raw:    raw, Length: int64(len(raw)), Hash: sha256.Sum256(raw),
	}
}

// rebuilt writes a reading as docs/wire.md has it: by the time a conflict is known, its bytes have been decoded.
func rebuilt(r *vital.Reading) []byte {
	d, _ := vital.Define(r.Metric) // the edge knew it, or it would not be a reading
	parts := map[string]any{"metric": r.Metric.String(), "time": r.SentAt.UTC().Format(time.RFC3339Nano), "seq": r.Tie}
	for i := range int(r.N) {
		number := map[string]any{"value": json.Number(r.Sent[i].String()), "unit": r.Sent[i].Unit.UCUM()}
		if len(d.Components) == 1 {
			maps.Copy(parts, number)
			break
		}
		parts[d.Components[i].Code] = number
	}
	raw, err := json.Marshal(parts)
	if err != nil {
		return fmt.Appendf(nil, "%v", parts) // a number that JSON cannot hold is still kept
	}
	return raw
}
