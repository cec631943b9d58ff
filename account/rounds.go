package account

import (
	"context"
	"time"
)

// Rounds calls look at once and then every so often, until ctx ends; then it returns nil. What fails is tried again in the next
// round; failed hears of it, and whether it is not what failed in the round before, so that a log says it once.
func Rounds(ctx context.Context, every time.Duration, look func(context.Context) error, failed func(err error, first bool)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			said = ""
		default:
			failed(err, err.Error() != said)
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
