package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
)

// keptLease is how long the row of an edge is kept that has ended, and longer while a device is held to be connected to it.
const keptLease = 7 * 24 * time.Hour

const renewLease = `
INSERT INTO edge_lease AS l (edge, began_at, seen_at) VALUES ($1, $2, $2)
ON CONFLICT (edge) DO UPDATE SET seen_at = greatest(l.seen_at, excluded.seen_at), missed_at = NULL`

// RenewEdge says that the life of an edge goes on. See devices.EdgeStore for this and LeaveEdge.
func (w *Work) RenewEdge(ctx context.Context, edge string) error {
	return w.tellOfEdge(ctx, edge, "renew the lease of", renewLease)
}

// LeaveEdge says that it has ended in order.
func (w *Work) LeaveEdge(ctx context.Context, edge string) error {
	return w.tellOfEdge(ctx, edge, "end the lease of", `UPDATE edge_lease SET ended_at = greatest(seen_at, $2) WHERE edge = $1 AND ended_at IS NULL`)
}

func (w *Work) tellOfEdge(ctx context.Context, edge, what, query string) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	if _, err := w.pool.Exec(ctx, query, edge, now); err != nil {
		return classify(fmt.Errorf("%s the edge %s: %w", what, edge, err))
	}
	return nil
}

const removeLeases = `
DELETE FROM edge_lease l WHERE greatest(l.seen_at, l.ended_at) < $1
  AND NOT EXISTS (SELECT FROM device_presence p WHERE p.edge = l.edge AND p.left_at IS NULL)`

// KeepLeases removes the rows of edges that ended a week ago and have no devices.
func (w *Work) KeepLeases(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	if _, err := w.pool.Exec(ctx, removeLeases, now.Add(-keptLease)); err != nil {
		return classify(fmt.Errorf("remove the leases of edges that ended: %w", err))
	}
	return nil
}

const missLeases = `UPDATE edge_lease SET missed_at = $1 WHERE ended_at IS NULL AND missed_at IS NULL AND seen_at < $2`

// edgeLives notes which leases are old at now, and returns all.
func edgeLives(ctx context.Context, tx pgx.Tx, now time.Time) (map[string]*devices.EdgeLife, error) {
	if _, err := tx.Exec(ctx, missLeases, now, now.Add(-devices.EdgeLease)); err != nil {
		return nil, fmt.Errorf("note which edges are missed: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT edge, seen_at, ended_at, missed_at FROM edge_lease`)
	if err != nil {
		return nil, fmt.Errorf("read the leases of edges: %w", err)
	}
	all := map[string]*devices.EdgeLife{}
	var e devices.EdgeLife
	var ended, missed *time.Time
	_, err = pgx.ForEachRow(rows, []any{&e.Name, &e.SeenAt, &ended, &missed}, func() error {
		all[e.Name] = &devices.EdgeLife{Name: e.Name, SeenAt: e.SeenAt.UTC(), EndedAt: timeOf(ended), MissedAt: timeOf(missed)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the leases of edges: %w", err)
	}
	return all, nil
}
