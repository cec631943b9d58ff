package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/safe"
	"hale/vital"
)

// pieces is where the pieces of an erasure are carried out: a pool, in which each is a transaction, or one transaction.
type pieces interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Readings and audit rows of one piece [J]: a fraction of a second each.
const (
	erasePiece = 10_000
	auditPiece = 20_000
)

// erasedSensors are all that were ever the person's, and from when on. Rows of pairing that are gone stand as spans; of one that
// was to be somebody else's, and was not wholly, the refile tells.
const erasedSensors = `
SELECT w.sensor_id, min(w.from_at) FROM (
    SELECT a.sensor_id, a.from_at FROM assignment a WHERE a.org_id = $1 AND a.patient_id IN (SELECT x FROM erased_people($1, $2) x)
    UNION ALL SELECT s.sensor_id, s.from_at FROM erased_span s WHERE s.org_id = $1 AND s.erasure_id = $3
    UNION ALL SELECT f.sensor_id, f.from_at FROM refile f WHERE f.org_id = $1 AND f.state = 'failed' AND f.source_id IN (SELECT x FROM erased_people($1, $2) x)
) w GROUP BY w.sensor_id ORDER BY w.sensor_id`

const eraseReadingsOf = `SELECT erase_readings($1, $2, $3, $4, $5, $6, $7)`

// stayAt lengthens the lease of who is at it, counted from now and not from when it was taken.
func stayAt(ctx context.Context, in pieces, t safe.EraseTask) error {
	var now time.Time
	if err := in.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return classify(fmt.Errorf("read the clock: %w", err))
	}
	return noteOf(ctx, in, t, `lease_until = greatest(lease_until, $3)`, now.Add(eraseLease))
}

// eraseReadings deletes the person's readings when they are due: sensor by sensor, month by month, and of a month as many at a
// time as nobody feels. Those who measure go on meanwhile, and nothing more comes: the person is cut off.
func eraseReadings(ctx context.Context, in pieces, t safe.EraseTask, now time.Time) error {
	due := false
	for _, c := range t.Due(now) {
		due = due || c == safe.ClassReadings
	}
	if !due {
		return nil
	}
	rows, err := in.Query(ctx, erasedSensors, int32(t.Org), int64(t.Patient), t.ID)
	if err != nil {
		return fmt.Errorf("find the person's sensors: %w", err)
	}
	type worn struct {
		sensor vital.SensorID
		since  time.Time
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w worn, err error) {
		err = row.Scan(&w.sensor, &w.since)
		return w, err
	})
	if err != nil {
		return fmt.Errorf("find the person's sensors: %w", err)
	}
	for _, w := range list {
		// Before the first month and after the last lie clocks that were wrong.
		low := any("-infinity")
		for m := month(w.since.Add(-widen)); ; m = m.AddDate(0, 1, 0) {
			high := any(m)
			if m.After(now.Add(widen)) {
				high = "infinity"
			}
			if err := eraseMonth(ctx, in, t, w.sensor, low, high, now); err != nil {
				return err
			}
			if high == "infinity" {
				break
			}
			low = m
		}
	}
	return eraseElsewhere(ctx, in, t, now)
}

const eraseReadingsElsewhere = `SELECT patient, since, readings FROM erase_elsewhere($1, $2, $3, $4)`

// eraseElsewhere deletes what the person's sensors measured while they wore them and what stands under somebody else, because
// what was to bring it back never ended. Those are judged anew without it.
func eraseElsewhere(ctx context.Context, in pieces, t safe.EraseTask, now time.Time) error {
	for n := int64(erasePiece); n >= erasePiece; {
		n = 0
		err := pgx.BeginFunc(ctx, in, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, eraseReadingsElsewhere, int32(t.Org), t.ID, erasePiece, now)
			if err != nil {
				return err
			}
			since := map[int64]time.Time{}
			var patient, taken int64
			var at time.Time
			if _, err := pgx.ForEachRow(rows, []any{&patient, &at, &taken}, func() error { since[patient], n = at, n+taken; return nil }); err != nil {
				return err
			}
			for patient, at := range since {
				if _, err := tx.Exec(ctx, noteMoved, int32(t.Org), vital.PartitionOf(uint64(patient)), patient, at, false, now); err != nil {
					return err
				}
			}
			if n >= erasePiece {
				err = stayAt(ctx, tx, t)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("erase what stands under somebody else: %w", err)
		}
	}
	return nil
}

func eraseMonth(ctx context.Context, in pieces, t safe.EraseTask, sensor vital.SensorID, low, high any, now time.Time) error {
	for {
		var n int
		if err := in.QueryRow(ctx, eraseReadingsOf, int32(t.Org), t.ID, int64(sensor), low, high, erasePiece, now).Scan(&n); err != nil {
			return fmt.Errorf("erase readings of sensor %d: %w", sensor, err)
		}
		if n < erasePiece {
			return nil
		}
		if err := stayAt(ctx, in, t); err != nil {
			return err
		}
	}
}

// inAudit are audit rows about a person, among those up to a place in the chain.
type inAudit struct {
	rows []int64
	seen int64
}

// findInAudit reads the sealed part of the organisation's trail for what is about the person, in pieces: the row of the chain is
// held for what is found and for what has come since.
func findInAudit(ctx context.Context, in pieces, t safe.EraseTask, now time.Time) (inAudit, error) {
	var found inAudit
	identity, looks := blanks(t.Due(now))
	if !identity && !looks {
		return found, nil
	}
	if err := in.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM audit_chain WHERE org_id = $1`, int32(t.Org)).Scan(&found.seen); err != nil {
		return found, fmt.Errorf("look at the audit trail: %w", err)
	}
	for low := int64(0); low < found.seen; low += auditPiece {
		rows, err := in.Query(ctx, `SELECT find_audit($1, $2, $3, $4, $5)`, int32(t.Org), t.ID, looks, low, min(low+auditPiece, found.seen))
		if err != nil {
			return found, fmt.Errorf("look through the audit trail: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return found, fmt.Errorf("look through the audit trail: %w", err)
		}
		found.rows = append(found.rows, ids...)
		if err := stayAt(ctx, in, t); err != nil {
			return found, err
		}
	}
	return found, nil
}

// blanks reports whether audit rows are blanked when these classes go: those that name the person, and all that are about them.
func blanks(due []safe.Class) (identity, looks bool) {
	for _, c := range due {
		identity, looks = identity || c == safe.ClassIdentity, looks || c == safe.ClassLooks
	}
	return identity, looks
}

// judgedBy returns the partitions that judge the person, in any of their records.
func judgedBy(ctx context.Context, tx pgx.Tx, t safe.EraseTask) ([]int, error) {
	rows, err := tx.Query(ctx, `SELECT x FROM erased_people($1, $2) x`, int32(t.Org), int64(t.Patient))
	if err != nil {
		return nil, fmt.Errorf("find the person's records: %w", err)
	}
	people, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("find the person's records: %w", err)
	}
	held := make([]int, len(people))
	for i, p := range people {
		held[i] = vital.PartitionOf(uint64(p))
	}
	return held, nil
}
