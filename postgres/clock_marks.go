package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/measuring"
	"hale/vital"
)

// clockMarks are when something arrived whose time was refused, of whoever held its sensor then. What came as the same bytes again tells of
// its first time and of its last.
const clockMarks = `
SELECT DISTINCT a.patient_id, m.metric, c.at FROM (SELECT * FROM assignment WHERE patient_id = ANY(@patients)) a
JOIN quarantine q ON q.org_id = a.org_id AND q.sensor_id = a.sensor_id AND q.reason = '` + string(vital.ReasonClock) + `' AND q.last_received_at >= @from AND q.received_at < @to
CROSS JOIN unnest(q.metrics) AS m (metric) CROSS JOIN LATERAL (VALUES (q.received_at), (q.last_received_at)) AS c (at)
WHERE m.metric = ANY(@metrics) AND c.at >= @from AND c.at < @to AND c.at >= a.from_at AND c.at < coalesce(a.to_at, 'infinity')
ORDER BY 1, 3, 2`

func clocksRefused(ctx context.Context, tx statements, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	rows, err := tx.Query(ctx, clockMarks, markArgs(q))
	if err != nil {
		return nil, fmt.Errorf("read what came with a wrong clock: %w", err)
	}
	return collectMarks(rows)
}

// ClocksRefused returns when something of patients arrived whose clock cannot be right. What was refused is nobody's by itself, so it is
// read in the view of the organisation: of patients whom the actor was found to reach. See measuring.Schedules.
func (a *App) ClocksRefused(ctx context.Context, actor account.Actor, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	var marks map[vital.PatientID][]measuring.Mark
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, _ time.Time) (err error) {
		marks, err = clocksRefused(ctx, tx, q)
		return err
	})
	return marks, err
}

// ClocksRefused returns the same for loops of the process role.
func (w *Work) ClocksRefused(ctx context.Context, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	var marks map[vital.PatientID][]measuring.Mark
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		marks, err = clocksRefused(ctx, tx, q)
		return err
	})
	return marks, classify(err)
}
