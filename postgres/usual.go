package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// mostPast is how many readings are looked through to say what is usual: a month of one every 10 seconds.
const mostPast = 300_000

const readingsJudged = `SELECT r.measured_at, r.id, r.value, r.value2, r.value3, r.received_at, r.findings, r.sensor_id ` + patientReadings + `AND ` + judged + ` LIMIT @limit`

// EachReading hands over the patient's readings that rules judge, one by one. See alerts.Past.
func (a *App) EachReading(ctx context.Context, actor account.Actor, patient vital.UID, metric vital.Metric, from, to time.Time, take func(*alerts.Point)) error {
	return a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, readingsJudged, pgx.NamedArgs{
			"patient": int64(p.ID), "metric": int16(metric), "from": from, "to": to, "low": from.Add(-widen), "high": to.Add(widen), "limit": mostPast + 1,
		})
		if err != nil {
			return fmt.Errorf("read what was measured: %w", err)
		}
		row, n := pointRow{metric: metric}, 0
		_, err = pgx.ForEachRow(rows, row.targets(), func() error {
			if n++; n > mostPast {
				return fault.New(fault.Invalid, "more than %d readings in the days that are looked back on: too many to say here what is usual", mostPast)
			}
			point := row.point()
			take(&point)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read what was measured: %w", err)
		}
		return nil
	})
}
