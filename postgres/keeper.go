package postgres

import (
	"context"
	"fmt"
	"time"

	"hale/vital"
)

// monthsAhead is how many months of partitions are made before they are needed.
const monthsAhead = 2

// KeepPartitions makes the partitions of this month and the next ones. It runs outside batch transactions.
func (w *Work) KeepPartitions(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	for i := range monthsAhead + 1 {
		if err := w.ensureMonth(ctx, month(now).AddDate(0, i, 0)); err != nil {
			return err
		}
	}
	return nil
}

// ensureMonths makes the partitions that readings of a batch need, before its transaction begins.
func (w *Work) ensureMonths(ctx context.Context, readings []*vital.Reading) error {
	var last time.Time
	for _, r := range readings {
		m := month(r.SentAt)
		if m.Equal(last) {
			continue
		}
		last = m
		if err := w.ensureMonth(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *Work) ensureMonth(ctx context.Context, m time.Time) error {
	w.mu.Lock()
	known := w.months[m]
	w.mu.Unlock()
	if known {
		return nil
	}
	if _, err := w.pool.Exec(ctx, `SELECT make_reading_partition($1::date)`, m); err != nil {
		return classify(fmt.Errorf("make the partition of %s: %w", m.Format("2006-01"), err))
	}
	w.mu.Lock()
	w.months[m] = true
	w.mu.Unlock()
	return nil
}
