package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// Of an unverified red that stood for several values, one was claimed, and by now filed. Each such row is taken by one process.
const claimedOfSeveral = `
UPDATE unverified u SET next_action_at = NULL
WHERE u.id IN (SELECT o.id FROM unverified o WHERE o.state = 'closed' AND o.next_action_at <= $1
    AND NOT EXISTS (SELECT FROM refile f WHERE f.org_id = o.org_id AND f.sensor_id = o.sensor_id AND f.ended_at IS NULL) ORDER BY o.next_action_at LIMIT 20 FOR UPDATE SKIP LOCKED)
RETURNING u.sensor_id, u.metric, least(u.received_at, u.opened_at)`

// What was counted into a row came around the time of its worst or later.
const stillWaiting = `
SELECT i.org_id, i.device_id, i.id, i.measured_at, i.received_at, i.findings, i.reason,
    i.mantissa, i.exponent, i.unit, i.mantissa2, i.exponent2, i.unit2, i.mantissa3, i.exponent3, i.unit3,
    coalesce((SELECT m.uncertainty_us FROM reading_more m WHERE (m.org_id, m.sensor_id, m.metric, m.sent_at, m.tie) = (i.org_id, i.sensor_id, i.metric, i.sent_at, i.tie)), 0)
FROM inbox i WHERE i.sensor_id = $1 AND i.metric = $2 AND i.state = 'waiting' AND i.received_at >= $3::timestamptz - interval '10 minutes' ORDER BY i.received_at DESC LIMIT 1000`

// screenAgain screens what still waits of the sensors and metrics of which something was claimed: a claim of one value must not take
// others off the list that were counted into the same row.
func screenAgain(ctx context.Context, tx pgx.Tx, now time.Time) ([]alerts.Event, error) {
	type left struct {
		sensor vital.SensorID
		metric vital.Metric
		since  time.Time
	}
	rows, err := tx.Query(ctx, claimedOfSeveral, now)
	if err != nil {
		return nil, fmt.Errorf("find what claims have left: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l left, err error) {
		err = row.Scan(&l.sensor, &l.metric, &l.since)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("find what claims have left: %w", err)
	}
	var list []suspect
	for _, l := range all {
		rows, err := tx.Query(ctx, stillWaiting, int64(l.sensor), int16(l.metric), l.since)
		if err != nil {
			return nil, fmt.Errorf("read what still waits: %w", err)
		}
		some, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (suspect, error) {
			s := suspect{sensor: l.sensor, place: alerts.InInbox}
			s.Metric = l.metric
			var findings int32
			var unsure int64
			var m [3]*int64
			var e [3]*int8
			var u [3]*vital.Unit
			err := row.Scan(&s.org, &s.device, &s.reading, &s.measured, &s.received, &findings, &s.why, &m[0], &e[0], &u[0], &m[1], &e[1], &u[1], &m[2], &e[2], &u[2], &unsure)
			s.unsure = time.Duration(unsure) * time.Microsecond
			for i := range m {
				if m[i] != nil && e[i] != nil && u[i] != nil {
					s.Sent = append(s.Sent, vital.Quantity{Mantissa: *m[i], Exponent: *e[i], Unit: *u[i]})
				}
			}
			s.findings, s.measured, s.received = vital.Finding(uint32(findings)), s.measured.UTC(), s.received.UTC()
			s.At = s.measured
			return s, err
		})
		if err != nil {
			return nil, fmt.Errorf("read what still waits: %w", err)
		}
		list = append(list, some...)
	}
	return screen(ctx, tx, now, list)
}
