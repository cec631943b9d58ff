package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// deadCanary is how long the row of an edge that beats no more is kept.
const deadCanary = 24 * time.Hour

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

const canaryBeats = `SELECT partition, edge, number, sent_at, committed_at, level, evaluator, wrong, wrong_at FROM canary ORDER BY partition, edge`

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
	var wrongAt *time.Time
	err := row.Scan(&b.Partition, &b.Edge, &b.Number, &b.SentAt, &b.CommittedAt, &b.Level, &b.Evaluator, &b.Wrong, &wrongAt)
	b.SentAt, b.CommittedAt, b.WrongAt = b.SentAt.UTC(), b.CommittedAt.UTC(), timeOf(wrongAt)
	return b, err
}

// KeepCanaries removes the rows of edges that have not beaten for a day.
func (w *Work) KeepCanaries(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	if _, err := w.pool.Exec(ctx, `DELETE FROM canary WHERE sent_at < $1 AND committed_at < $1`, now.Add(-deadCanary)); err != nil {
		return classify(fmt.Errorf("remove the rows of dead canaries: %w", err))
	}
	return nil
}
