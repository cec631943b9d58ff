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

const waitingChanges = `SELECT id, patient_id, rejudge_from, late, moved, withdrawn FROM situation_change WHERE partition = $1 ORDER BY id`
const dropChanges = `DELETE FROM situation_change WHERE partition = $1 AND id = ANY ($2)`

// judgedAnew is of how many patients a batch judges the past anew that brings nothing of them. The others wait for the next
// batches [J: some seconds at most].
const judgedAnew = 500

// job is one batch on its way into the record.
type job struct {
	batch   alerts.Batch
	sifted  sifted
	decide  alerts.Decide
	moved   bool     // the position was ours to move
	waiting []change // of situations, the oldest first
	taken   []int64  // which of them are done with in this batch
	placed  placed
	filed   filed
	outcome alerts.Outcome
	result  alerts.Result

	suspected  []suspect
	unverified []alerts.Event // of all batches of the transaction, with the first of them
}

// change is a row of situation_change.
type change struct {
	alerts.Change
	id int64
}

// Advance commits one batch, or nothing. See alerts.Store. Small live batches of several partitions may share a
// transaction (together.go).
//
// Lock order: cursor rows by partition; of each batch readings, inbox, what stands beside readings, withdrawals by key, what was refused;
// unverified reds by sensor, metric and side, and then their values and log; tracks and episodes, situation changes, canaries, outbox, timeline; and of who
// was heard devices, firmware of sensors, sensors, commands and clocks, each in the order of the keys; the registry's version. What is of
// one patient or device is of one partition, so that its cursor row keeps others away; unverified reds, notices, what was heard of a shared
// gateway and the version are everybody's, and only their order keeps two batches from waiting for each other.
//
// Each group of statements is one round trip: the opening, the COPY, what was decided (when something was), the end.
func (w *Work) Advance(ctx context.Context, b alerts.Batch, decide alerts.Decide) (alerts.Result, error) {
	j := &job{batch: b, sifted: sift(b.Records), decide: decide}
	if err := w.ensureMonths(ctx, j.sifted.readings); err != nil {
		return alerts.Result{}, err
	}
	var err error
	if j.small() {
		err = w.together(ctx, j)
	} else {
		err = w.alone(ctx, j)
	}
	if err != nil {
		return alerts.Result{}, classify(err)
	}
	return j.result, nil
}

// alone commits a batch in a transaction of its own.
func (w *Work) alone(ctx context.Context, j *job) error {
	err := w.advance(ctx, []*job{j}, false)
	if violatedKey(err) {
		// Something stands above a high-water mark that we believed: a bug, or a sensor that changed partitions.
		w.violations.Add(1)
		w.log.Error("copy met a reading that was there already; the batch is redone through staging", "partition", j.batch.Cursor.Partition, "error", err)
		w.forget(j.batch.Cursor.Partition, j.batch.Cursor.Epoch)
		err = w.advance(ctx, []*job{j}, true)
	}
	return err
}

// advance commits batches of different partitions, in the order of the partitions, all of them or nothing.
func (w *Work) advance(ctx context.Context, jobs []*job, stageAll bool) error {
	now := jobs[0].batch.Now
	var known known
	tx, err := w.begin(ctx, func(q *pgx.Batch) {
		q.Queue(`SELECT coalesce(@now, clock_timestamp())`, pgx.NamedArgs{"now": nullTime(now)}).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
		for _, j := range jobs {
			j.queueFence(q)
			j.queueChanges(q)
		}
		known = queueStanding(q, jobs)
	})
	if err != nil {
		return err
	}
	defer tx.end(ctx)
	now = now.UTC()
	for _, j := range jobs {
		c := j.batch.Cursor
		if !j.moved {
			return fault.New(fault.Conflict, "partition %d is not where epoch %d left it: another process has it", c.Partition, c.Epoch)
		}
		if j.placed, err = settleOwners(ctx, tx, c.Partition, now, j.sifted.readings, known); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		if slices.ContainsFunc(j.waiting, func(c change) bool { return c.Moved }) {
			// A sensor may have come to this partition: what another has filed of it stands above our marks.
			w.forget(j.batch.Cursor.Partition, j.batch.Cursor.Epoch)
		}
	}
	if err := w.file(ctx, tx, jobs, stageAll); err != nil {
		return err
	}
	last := &pgx.Batch{}
	for _, j := range jobs {
		if err := j.settle(ctx, tx, now); err != nil {
			return err
		}
		j.queueTaken(last)
		if err := noteCanaries(ctx, tx, last, j.batch.Cursor.Partition, j.sifted.canaries); err != nil {
			return err
		}
	}
	if jobs[0].unverified, err = screen(ctx, tx, now, suspectsOf(jobs)); err != nil {
		return err
	}
	if err := saveAll(ctx, tx, jobs, now, last); err != nil {
		return err
	}
	heard := w.ears.hear(jobs)
	heard.queue(last)
	if err := queueClocks(ctx, tx, last, jobs); err != nil {
		return err
	}
	if err := tx.commit(ctx, last); err != nil {
		return err
	}
	w.ears.wrote(heard)
	for _, j := range jobs {
		j.result.Events = append(j.result.Events, j.unverified...)
		j.committed()
	}
	return nil
}

// settle keeps what was refused and judges what was stored for the first time.
func (j *job) settle(ctx context.Context, tx statements, now time.Time) (err error) {
	j.result = alerts.Result{Cursor: j.batch.Cursor, Stored: len(j.filed.stored), Parked: j.filed.parked}
	j.result.Duplicates = j.sifted.duplicates + len(j.sifted.readings) - len(j.filed.stored) - j.filed.parked - len(j.filed.conflicts)
	if err := j.keepBeside(ctx, tx); err != nil {
		return err
	}
	tooMuch, err := j.askWithdrawals(ctx, tx, now)
	if err != nil {
		return err
	}
	var first []quarantined
	if j.result.Refused, first, err = quarantine(ctx, tx, slices.Concat(j.sifted.refused, j.filed.conflicts, tooMuch)); err != nil {
		return err
	}
	j.suspected = j.suspects(first)
	f := &facts{tx: tx, batch: make([]alerts.Fresh, 0, len(j.filed.stored))}
	for _, r := range j.filed.stored {
		if j.placed.elsewhere[r.Reading] || r.Findings&vital.NotJudged != 0 {
			continue // the partition of its owner judges it, or nobody
		}
		p := alerts.Point{Mark: alerts.Mark{At: r.MeasuredAt, ID: r.id}, Metric: r.Metric, Values: r.values, ReceivedAt: r.ReceivedAt, Findings: r.Findings, Sensor: r.Sensor, Unsure: r.Unsure()}
		f.batch = append(f.batch, alerts.Fresh{Org: r.Org, Patient: r.Patient, Point: p})
	}
	if j.outcome, err = j.decide(ctx, now, f, j.take(f.batch), f.batch); err != nil {
		return fmt.Errorf("judge the batch: %w", err)
	}
	return nil
}

// saveAll writes what was decided, and gives each batch its events.
func saveAll(ctx context.Context, tx statements, jobs []*job, now time.Time, last *pgx.Batch) error {
	var all alerts.Outcome
	for _, j := range jobs {
		all.Tracks = append(all.Tracks, j.outcome.Tracks...)
		all.Episodes = append(all.Episodes, j.outcome.Episodes...)
		all.Notices = append(all.Notices, j.outcome.Notices...)
	}
	events, err := save(ctx, tx, all, now, last)
	for _, j := range jobs {
		if n := len(j.outcome.Episodes); n > 0 && err == nil {
			j.result.Events, events = events[:n:n], events[n:]
		}
	}
	return err
}

// committed notes where the partition stands now.
func (j *job) committed() {
	j.filed.raise()
	if j.batch.Lane == vital.Live {
		j.result.Cursor.LiveSeq = j.batch.To
	} else {
		j.result.Cursor.LateSeq = j.batch.To
	}
}

// queueFence moves the position; that row is held until the end of the transaction, and it is what stops a process that
// slept past its lease. Where moved stays false the statements behind it have done nothing that will be kept.
func (j *job) queueFence(q *pgx.Batch) {
	b, query := j.batch, moveLate
	if b.Lane == vital.Live {
		query = moveLive
	}
	args := pgx.NamedArgs{"to": int64(b.To), "from": int64(b.Cursor.Seq(b.Lane)), "partition": b.Cursor.Partition, "epoch": b.Cursor.Epoch, "stream": b.Cursor.Stream}
	q.Queue(query, args).Exec(func(tag pgconn.CommandTag) error {
		j.moved = tag.RowsAffected() == 1
		return nil
	})
}

// queueChanges reads all situation changes, as they are once the position is held: no reading is judged by what was so before.
func (j *job) queueChanges(q *pgx.Batch) {
	q.Queue(waitingChanges, j.batch.Cursor.Partition).Query(func(rows pgx.Rows) (err error) {
		j.waiting, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (change, error) {
			var c change
			var from *time.Time
			err := row.Scan(&c.id, &c.Patient, &from, &c.Late, &c.Moved, &c.Withdrawn)
			c.Rejudge, c.From = from != nil, timeOf(from)
			return c, err
		})
		return err
	})
}

// take returns what changed, of every patient, and notes which changes are done with then. The past is judged anew for those
// who have waited longest, up to judgedAnew patients, and for all of whom the batch brings readings: these come after it.
// All changes of a patient are taken at once.
func (j *job) take(fresh []alerts.Fresh) []alerts.Change {
	j.taken = nil
	if len(j.waiting) == 0 {
		return nil
	}
	turn := make(map[vital.PatientID]bool)
	for i := range j.waiting {
		if len(turn) == judgedAnew {
			break
		}
		if c := &j.waiting[i]; c.Rejudge {
			turn[c.Patient] = true
		}
	}
	for i := range fresh {
		turn[fresh[i].Patient] = true
	}
	changed := make([]alerts.Change, len(j.waiting))
	for i := range j.waiting {
		c := &j.waiting[i]
		changed[i] = c.Change
		if c.Rejudge && !turn[c.Patient] {
			changed[i] = alerts.Change{Patient: c.Patient}
			continue
		}
		j.taken = append(j.taken, c.id)
	}
	return changed
}

// queueTaken drops the changes that are done with.
func (j *job) queueTaken(q *pgx.Batch) {
	if len(j.taken) > 0 {
		q.Queue(dropChanges, j.batch.Cursor.Partition, j.taken)
	}
}

// sifted is a batch without what it holds twice.
type sifted struct {
	readings   []*vital.Reading // one per identity, in the order of the key
	refused    []*vital.Refused
	canaries   []*vital.Canary
	statuses   []*vital.Status
	originals  []*vital.Original
	again      []*vital.Reading       // of what the batch holds twice: those that amend
	withdrawn  []*vital.Reading       // take back what was sent before: they have no number
	said       map[*vital.Reading]int // of those that amend or take back, where in the batch each came
	notes      []*vital.Reading       // said beside the measurement of a sequence number: they have no number
	duplicates int
}

// sift keeps the first of each identity. Another value under the same sequence number is a conflict and refused.
func sift(records []vital.Record) sifted {
	s := sifted{readings: make([]*vital.Reading, 0, len(records))}
	for i, rec := range records {
		if rec.Reading != nil && takesBack(rec.Reading) {
			if s.said == nil {
				s.said = map[*vital.Reading]int{}
			}
			s.said[rec.Reading] = i
		}
		switch {
		case rec.Canary != nil:
			s.canaries = append(s.canaries, rec.Canary)
		case rec.Status != nil:
			s.statuses = append(s.statuses, rec.Status)
		case rec.Original != nil:
			s.originals = append(s.originals, rec.Original)
		case rec.Refused != nil:
			s.refused = append(s.refused, rec.Refused)
		case takenBack(rec.Reading):
			s.withdrawn = append(s.withdrawn, rec.Reading)
		case note(rec.Reading):
			s.notes = append(s.notes, rec.Reading)
		case rec.Reading != nil && rec.Reading.N > 0:
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
			if s.duplicates++; r.More != nil && r.More.Standing == vital.Amended {
				s.again = append(s.again, r)
			}
		}
	}
	s.readings = kept
	return s
}

// takenBack reports whether a record is no measurement but takes one back that was sent before.
func takenBack(r *vital.Reading) bool {
	return r != nil && r.N == 0 && r.More != nil && r.More.Standing == vital.EnteredInError
}

// note reports whether a record is no measurement but what was said beside one.
func note(r *vital.Reading) bool {
	return r != nil && r.N == 0 && r.HasSequence && r.More != nil && r.More.Standing == vital.Final
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
		Raw:    raw, Length: int64(len(raw)), Hash: sha256.Sum256(raw), Read: r,
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
