package postgres

import (
	"context"
	"fmt"

	"hale/push"
)

// noticeConns is how many connections the handing over of notices has [J]. It has them for itself: however many notices wait for however
// many channels, no batch of readings waits for a connection behind them.
const noticeConns = 3

// OpenNotices connects as hale_work for the dispatcher of notices alone, with few connections.
func OpenNotices(ctx context.Context, cfg Config) (*Work, error) {
	cfg.MaxConns = noticeConns
	return OpenWork(ctx, cfg)
}

// The test of a channel tells of nothing, and goes with its delivery. Any other notice stays: it is what keeps its like from being owed
// twice, and it stands in the copy of the person whom it is about, with whom it is erased.
const clearDeliveries = `
WITH old AS (
    SELECT d.org_id, d.id FROM delivery d WHERE d.state <> 'waiting' AND d.settled_at < $1 ORDER BY d.settled_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM delivery d USING old o WHERE d.org_id = o.org_id AND d.id = o.id RETURNING d.org_id, d.outbox_id
), tests AS (
    DELETE FROM outbox n USING gone g WHERE n.org_id = g.org_id AND n.id = g.outbox_id AND n.topic = $3
)
SELECT count(*) FROM gone`

// clearedAtOnce is how many deliveries one statement removes.
const clearedAtOnce = 2000

// KeepDeliveries removes the deliveries that were settled push.KeptFor ago. However many there are, each statement takes a few.
func (w *Work) KeepDeliveries(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	for gone := clearedAtOnce; gone == clearedAtOnce; {
		if err := w.pool.QueryRow(ctx, clearDeliveries, now.Add(-push.KeptFor), clearedAtOnce, string(push.ChannelTested)).Scan(&gone); err != nil {
			return classify(fmt.Errorf("clear deliveries: %w", err))
		}
	}
	return nil
}
