package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
)

// Clocks counts the clocks of all organisations' devices with which something is wrong.
func (o Operator) Clocks(ctx context.Context) (devices.ClockCount, error) {
	var count devices.ClockCount
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		list, err := deviceFacts(ctx, tx, 0, now)
		count = devices.CountClocks(list, now)
		return err
	})
	return count, err
}
