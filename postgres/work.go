package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// Work is the record as the processor and the edges' registry reach it: across organisations, with minimal grants.
type Work struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	violations atomic.Int64 // of the copy path

	buffers sync.Pool // of COPY: *[]byte
	convoy  convoy
	ears    ears

	mu         sync.Mutex
	months     map[time.Time]bool // partitions of reading known to exist
	partitions map[int]*highWater // what is known of each partition under its present epoch
}

// OpenWork connects as hale_work.
func OpenWork(ctx context.Context, cfg Config) (*Work, error) {
	pool, err := openPool(ctx, cfg, RoleWork)
	if err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Work{
		pool: pool, log: log, months: map[time.Time]bool{}, partitions: map[int]*highWater{},
		ears: ears{devices: map[vital.DeviceID]time.Time{}, sensors: map[vital.SensorID]time.Time{}, refused: map[vital.SensorID]bool{}},
	}, nil
}

// Close gives the connections back.
func (w *Work) Close() { w.pool.Close() }

// Ping reports whether the database answers.
func (w *Work) Ping(ctx context.Context) error {
	return fault.Wrap(fault.Unavailable, w.pool.Ping(ctx), "the database does not answer")
}

// CopyViolations returns how often, since the start, a batch had to be redone through staging because a reading that
// was believed to be new was there already. It happens by a mistake of ours, and otherwise never.
func (w *Work) CopyViolations() int64 { return w.violations.Load() }

// Clock is the one clock of the installation: PostgreSQL's.
func (w *Work) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := w.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return time.Time{}, classify(fmt.Errorf("read the clock: %w", err))
	}
	return now.UTC(), nil
}

const claimCursor = `
UPDATE stream_cursor
SET owner = @owner, epoch = epoch + 1, lease_until = @now::timestamptz + @lease::interval, stream_identity = @stream
WHERE partition = @partition
  AND (lease_until <= @now OR owner = @owner)
  AND stream_identity IN ('', @stream)
RETURNING epoch, live_seq, late_seq`

// Claim takes a partition whose lease has run out, or that the same owner held before (an owner's name is unique to
// its data directory or host, and up holds a lock on that). See alerts.Store for the kinds of error.
func (w *Work) Claim(ctx context.Context, partition int, stream, owner string, lease time.Duration) (alerts.Cursor, error) {
	now, err := w.Clock(ctx)
	if err != nil {
		return alerts.Cursor{}, err
	}
	c := alerts.Cursor{Partition: partition, Stream: stream}
	row := w.pool.QueryRow(ctx, claimCursor, pgx.NamedArgs{"owner": owner, "now": now, "lease": lease, "stream": stream, "partition": partition})
	switch err := row.Scan(&c.Epoch, &c.LiveSeq, &c.LateSeq); {
	case err == nil:
		w.forget(partition, c.Epoch)
		return c, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return alerts.Cursor{}, classify(fmt.Errorf("claim partition %d: %w", partition, err))
	}
	var held, known string
	var until time.Time
	if err := w.pool.QueryRow(ctx, `SELECT owner, stream_identity, lease_until FROM stream_cursor WHERE partition = $1`, partition).Scan(&held, &known, &until); err != nil {
		return alerts.Cursor{}, classify(fmt.Errorf("look at partition %d: %w", partition, err))
	}
	if known != "" && known != stream {
		return alerts.Cursor{}, fault.New(fault.Gone, "partition %d stands in stream %s, but this is stream %s: the stream was replaced; what it held and was not committed is lost, and an operator must decide", partition, known, stream)
	}
	return alerts.Cursor{}, fault.New(fault.Conflict, "partition %d is held by %s until %s", partition, held, until.UTC().Format(time.RFC3339))
}

const renewCursor = `UPDATE stream_cursor SET lease_until = @now::timestamptz + @lease::interval WHERE partition = @partition AND epoch = @epoch`

// Renew prolongs the lease of an owner that still has its epoch.
func (w *Work) Renew(ctx context.Context, c alerts.Cursor, lease time.Duration) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	return w.fenced(ctx, c, renewCursor, pgx.NamedArgs{"now": now, "lease": lease, "partition": c.Partition, "epoch": c.Epoch})
}

const releaseCursor = `UPDATE stream_cursor SET lease_until = '-infinity', owner = '' WHERE partition = @partition AND epoch = @epoch`

// Release gives the partition back at once, so that another process need not wait for the lease.
func (w *Work) Release(ctx context.Context, c alerts.Cursor) error {
	return w.fenced(ctx, c, releaseCursor, pgx.NamedArgs{"partition": c.Partition, "epoch": c.Epoch})
}

func (w *Work) fenced(ctx context.Context, c alerts.Cursor, query string, args pgx.NamedArgs) error {
	tag, err := w.pool.Exec(ctx, query, args)
	if err != nil {
		return classify(fmt.Errorf("keep partition %d: %w", c.Partition, err))
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.Conflict, "partition %d is not ours any more (epoch %d is over)", c.Partition, c.Epoch)
	}
	return nil
}

const lowestPosition = `
SELECT CASE WHEN count(*) FILTER (WHERE stream_identity <> $1) > 0 THEN 0 ELSE min(least(live_seq, late_seq)) END FROM stream_cursor`

// Committed returns the lowest position that every partition has committed in both lanes of this stream: below it
// the stream may be purged. It is 0 as long as a partition has no position in the stream.
func (w *Work) Committed(ctx context.Context, stream string) (uint64, error) {
	var low int64
	if err := w.pool.QueryRow(ctx, lowestPosition, stream).Scan(&low); err != nil {
		return 0, classify(fmt.Errorf("read the lowest position: %w", err))
	}
	return uint64(low), nil
}

// Pending reports whether situation changes wait for the partition.
func (w *Work) Pending(ctx context.Context, partition int) (bool, error) {
	var waits bool
	if err := w.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM situation_change WHERE partition = $1)`, partition).Scan(&waits); err != nil {
		return false, classify(fmt.Errorf("look for situation changes: %w", err))
	}
	return waits, nil
}

// highWater holds, per sensor and metric, the newest time as sent that the record holds. It is authoritative under
// the fence of one epoch; above it a reading must be new and may be copied in.
type highWater struct {
	epoch  int64
	newest map[sensorMetric]time.Time // zero time: nothing stored
}

type sensorMetric struct {
	sensor vital.SensorID
	metric vital.Metric
}

func (w *Work) forget(partition int, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partitions[partition] = &highWater{epoch: epoch, newest: map[sensorMetric]time.Time{}}
}

func (w *Work) water(c alerts.Cursor) *highWater {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.partitions[c.Partition]
	if h == nil || h.epoch != c.Epoch {
		h = &highWater{epoch: c.Epoch, newest: map[sensorMetric]time.Time{}}
		w.partitions[c.Partition] = h
	}
	return h
}
