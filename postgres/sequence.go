package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

// mostNumbers bounds what is read of one sensor and metric: a sensor that measures every second hides nobody else's.
const mostNumbers = 20_000

// numbersOfDevice reads what was counted by the sensors of a device, and by the user slots that share them.
const numbersOfDevice = `
SELECT w.uid, m.metric, r.tie, r.sent_at
FROM (SELECT n.id, coalesce(whole.uid, n.uid) AS uid FROM speaks JOIN sensor n ON n.id = speaks.id LEFT JOIN sensor whole ON whole.org_id = n.org_id AND whole.id = n.parent_id) w
CROSS JOIN unnest($2::smallint[]) AS m (metric)
CROSS JOIN LATERAL (
    (SELECT r.tie, r.sent_at FROM reading r WHERE r.sensor_id = w.id AND r.metric = m.metric AND r.sent_at >= $3 AND r.has_sequence ORDER BY r.sent_at DESC LIMIT $4)
    UNION ALL
    (SELECT i.tie, i.sent_at FROM inbox i WHERE i.sensor_id = w.id AND i.metric = m.metric AND i.sent_at >= $3 AND i.has_sequence AND i.state = 'waiting' ORDER BY i.sent_at DESC LIMIT $4)) r
ORDER BY 1, 2, 4, 3`

// Numbers returns what a device's sensors counted. See devices.NumberBook.
func (a *App) Numbers(ctx context.Context, actor account.Actor, device string, since time.Time) (map[string][]devices.Counted, error) {
	all := map[string][]devices.Counted{}
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		id, err := deviceID(ctx, tx, device)
		if err != nil {
			return err
		}
		metrics := make([]int16, 0, len(vital.Metrics()))
		for _, d := range vital.Metrics() {
			metrics = append(metrics, int16(d.Metric))
		}
		rows, err := tx.Query(ctx, sensorsOfDevice+numbersOfDevice, id, metrics, since, mostNumbers)
		if err != nil {
			return fmt.Errorf("read the numbers of readings: %w", err)
		}
		var sensor string
		var c devices.Counted
		_, err = pgx.ForEachRow(rows, []any{&sensor, &c.Metric, &c.Number, &c.SentAt}, func() error {
			all[sensor] = append(all[sensor], devices.Counted{Metric: c.Metric, Number: c.Number, SentAt: c.SentAt.UTC()})
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the numbers of readings: %w", err)
		}
		return nil
	})
	return all, err
}
