package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hale/fault"
)

// statements is a transaction that is under way, whoever began it.
type statements interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Conn() *pgx.Conn
}

// transaction is one that begins and ends in company: BEGIN travels with the first questions and COMMIT with the last
// changes. A batch of a few readings is three round trips then, where it would be nine, and under load round trips are
// what an alert waits for.
type transaction struct {
	*pooled
	over bool
}

// pooled is a pool's connection under a name that leaves Conn to its method.
type pooled = pgxpool.Conn

// rollbackWithin bounds the end of a transaction that failed; a connection that does not answer is thrown away.
const rollbackWithin = 2 * time.Second

// begin starts a transaction with the statements that opening queues. Their callbacks have run when it returns.
func (w *Work) begin(ctx context.Context, opening func(q *pgx.Batch)) (*transaction, error) {
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin batch: %w", err)
	}
	t := &transaction{pooled: conn}
	q := &pgx.Batch{}
	q.Queue("begin")
	opening(q)
	if err := conn.SendBatch(ctx, q).Close(); err != nil {
		t.end(ctx)
		return nil, fmt.Errorf("begin batch: %w", err)
	}
	return t, nil
}

// commit sends the queued statements and COMMIT. An error means that nothing was committed, or that nobody knows.
func (t *transaction) commit(ctx context.Context, q *pgx.Batch) error {
	var tag string
	q.Queue("commit").Exec(func(ct pgconn.CommandTag) error {
		tag = ct.String()
		return nil
	})
	if err := t.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("commit batch: %w", err)
	}
	t.over = true
	if tag != "COMMIT" { // the server says ROLLBACK when a statement had failed
		return fault.New(fault.Internal, "commit batch: the database answered %s", tag)
	}
	return nil
}

// end rolls back what was not committed and gives the connection back.
func (t *transaction) end(ctx context.Context) {
	defer t.Release()
	if t.over || t.Conn().IsClosed() {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWithin)
	defer cancel()
	if _, err := t.Exec(bounded, "rollback"); err != nil {
		_ = t.Conn().Close(bounded) // what it is in is not known: the pool makes another one
	}
}
