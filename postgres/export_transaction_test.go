package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CommitInSpiteOf commits a transaction in which a statement has failed that nobody heard of.
func (w *Work) CommitInSpiteOf(ctx context.Context, failing string) error {
	tx, err := w.begin(ctx, func(*pgx.Batch) {})
	if err != nil {
		return err
	}
	defer tx.end(ctx)
	if _, err := tx.Exec(ctx, failing); err == nil {
		return fmt.Errorf("%s did not fail", failing)
	}
	return tx.commit(ctx, &pgx.Batch{})
}
