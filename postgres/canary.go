package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// How long rows are kept that nobody renews: an edge that died is an alarm for as long, and of one that stopped in order
// what it had left in the stream must find its row.
const (
	deadCanary  = 24 * time.Hour
	endedCanary = 7 * 24 * time.Hour
)

const noteBeat = `
INSERT INTO canary (partition, edge, number, sent_at, committed_at, level, evaluator, wrong, wrong_at)
VALUES (@partition, @edge, @number, @sent, @now, @level, @evaluator, @wrong, @wrong_at)
ON CONFLICT (partition, edge) DO UPDATE SET number = excluded.number, sent_at = excluded.sent_at, committed_at = excluded.committed_at,
    level = excluded.level, evaluator = excluded.evaluator, wrong = canary.wrong + excluded.wrong, wrong_at = coalesce(excluded.wrong_at, canary.wrong_at)
WHERE canary.number < excluded.number`

// noteCanaries judges the canaries of a batch and queues what keeps the newest beat of each edge, with the last
// statements of the transaction. A beat that is read twice changes nothing.
func noteCanaries(ctx context.Context, tx statements, last *pgx.Batch, partition int, canaries []*vital.Canary) error {
	if len(canaries) == 0 {
		return nil
	}
	var now time.Time // asked here and not at the batch's beginning, which would hide how long the batch took
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return fmt.Errorf("ask the clock for the canaries: %w", err)
	}
	for _, c := range canaries {
		level, right := alerts.JudgeCanary(c, partition)
		wrong, wrongAt := int64(0), (*time.Time)(nil)
		if !right {
			wrong, wrongAt = 1, &now
		}
		last.Queue(noteBeat, pgx.NamedArgs{
			"partition": partition, "edge": c.Edge, "number": c.Number, "sent": c.SentAt, "now": now, "level": int16(level),
			"evaluator": alerts.Evaluator, "wrong": wrong, "wrong_at": wrongAt,
		})
	}
	return nil
}

const canaryBeats = `SELECT partition, edge, number, sent_at, committed_at, level, evaluator, wrong, wrong_at, ended_at FROM canary ORDER BY partition, edge`

// CanaryBeats returns the newest beat of every edge in every partition, and the record's clock.
func (w *Work) CanaryBeats(ctx context.Context) (beats []alerts.CanaryBeat, now time.Time, err error) {
	batch := &pgx.Batch{}
	batch.Queue(canaryBeats).Query(func(rows pgx.Rows) error {
		beats, err = pgx.CollectRows(rows, scanBeat)
		return err
	})
	batch.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, time.Time{}, classify(fmt.Errorf("read the canaries: %w", err))
	}
	return beats, now.UTC(), nil
}

func scanBeat(row pgx.CollectableRow) (alerts.CanaryBeat, error) {
	var b alerts.CanaryBeat
	var wrongAt, endedAt *time.Time
	err := row.Scan(&b.Partition, &b.Edge, &b.Number, &b.SentAt, &b.CommittedAt, &b.Level, &b.Evaluator, &b.Wrong, &wrongAt, &endedAt)
	b.SentAt, b.CommittedAt, b.WrongAt, b.EndedAt = b.SentAt.UTC(), b.CommittedAt.UTC(), timeOf(wrongAt), timeOf(endedAt)
	return b, err
}

// Rows of the same place that a newer one has taken over from: without this a process that starts again and again would
// leave eight rows each time.
const removeSuperseded = `
DELETE FROM canary old USING canary new
WHERE old.partition = new.partition AND old.edge <> new.edge AND old.edge <> @edge
  AND starts_with(old.edge, @place || '/') AND starts_with(new.edge, @place || '/')
  AND (new.number > 0 OR new.ended_at IS NOT NULL)
  AND greatest(new.sent_at, new.ended_at) > greatest(old.sent_at, old.ended_at)`

// An edge that has entered the same place before, and never beaten, is missed since then: its row is enough.
const enterCanary = `
INSERT INTO canary (partition, edge, number, sent_at, committed_at, level, evaluator)
SELECT p, @edge, 0, @now, @now, 0, @evaluator FROM generate_series(0, @partitions::int - 1) p
WHERE NOT EXISTS (
    SELECT FROM canary c WHERE c.partition = p AND starts_with(c.edge, @place || '/') AND c.number = 0 AND c.ended_at IS NULL)
ON CONFLICT (partition, edge) DO NOTHING`

// EnterCanary says that an edge starts: from now on its beats are missed in every partition.
func (w *Work) EnterCanary(ctx context.Context, edge string) error {
	return w.markCanary(ctx, edge, "enter", removeSuperseded, enterCanary)
}

const leaveCanary = `
INSERT INTO canary (partition, edge, number, sent_at, committed_at, level, evaluator, ended_at)
SELECT p, @edge, 0, @now, @now, 0, @evaluator, @now FROM generate_series(0, @partitions::int - 1) p
ON CONFLICT (partition, edge) DO UPDATE SET ended_at = excluded.ended_at`

// LeaveCanary says that an edge stops in order: nobody is to miss its beats. What it has still in the stream changes
// nothing of that.
func (w *Work) LeaveCanary(ctx context.Context, edge string) error {
	return w.markCanary(ctx, edge, "leave", leaveCanary)
}

func (w *Work) markCanary(ctx context.Context, edge, what string, queries ...string) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{} // one transaction
	for _, q := range queries {
		batch.Queue(q, pgx.NamedArgs{"edge": edge, "place": alerts.CanaryPlace(edge), "now": now, "evaluator": alerts.Evaluator, "partitions": vital.Partitions})
	}
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		return classify(fmt.Errorf("%s the canary %s: %w", what, edge, err))
	}
	return nil
}

// The newest row of a partition stays however old it is, and so does every row while no edge is there that beats or ought
// to: an alarm must not end because it has lasted long.
const removeDeadCanaries = `
DELETE FROM canary dead
WHERE (ended_at IS NULL AND sent_at < @dead AND committed_at < @dead OR ended_at < @ended)
  AND EXISTS (SELECT FROM canary c WHERE c.partition = dead.partition AND c.ended_at IS NULL AND c.sent_at > dead.sent_at)`

// KeepCanaries removes the rows of edges that died a day ago or stopped in order a week ago, where others came after them.
func (w *Work) KeepCanaries(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	if _, err := w.pool.Exec(ctx, removeDeadCanaries, pgx.NamedArgs{"dead": now.Add(-deadCanary), "ended": now.Add(-endedCanary)}); err != nil {
		return classify(fmt.Errorf("remove the rows of dead canaries: %w", err))
	}
	return nil
}
