package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/vital"
)

// filed is what a batch put into the record.
type filed struct {
	stored []row
	parked int
	// parkedFirst are those that were parked for the first time.
	parkedFirst []*vital.Reading
	conflicts   []*vital.Refused
	water       *highWater
	raised      map[sensorMetric]time.Time
}

// raise lifts the high-water marks; only a committed batch may.
func (f *filed) raise() {
	for k, t := range f.raised {
		if t.After(f.water.newest[k]) {
			f.water.newest[k] = t
		}
	}
}

// file writes the readings of the batches: those above their high-water mark by one COPY, all others through staging,
// where what is there already falls out. stageAll sends everything through staging.
func (w *Work) file(ctx context.Context, tx statements, jobs []*job, stageAll bool) error {
	var copied []row
	below := make([][]*vital.Reading, len(jobs))
	for i, j := range jobs {
		f := filed{water: w.water(j.batch.Cursor), raised: map[sensorMetric]time.Time{}}
		if err := f.water.load(ctx, tx, j.placed); err != nil {
			return err
		}
		var above []*vital.Reading
		for _, r := range j.placed.owned {
			k := sensorMetric{r.Sensor, r.Metric}
			if !stageAll && r.SentAt.After(f.water.newest[k]) {
				above = append(above, r)
			} else {
				below[i] = append(below[i], r)
			}
			f.note(k, r.SentAt)
		}
		f.stored = rowsOf(above)
		copied = append(copied, f.stored...)
		j.filed = f
	}
	if len(copied) > 0 {
		if err := w.copyInto(ctx, tx, "reading", copied); err != nil {
			return fmt.Errorf("copy readings: %w", err)
		}
	}
	for i, j := range jobs {
		if len(below[i]) > 0 {
			if err := w.stage(ctx, tx, &j.filed, below[i]); err != nil {
				return err
			}
		}
		if len(j.placed.unowned) > 0 {
			if err := j.filed.park(ctx, tx, j.placed); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyInto copies rows into a table. Buffers are used again: a large batch is a megabyte.
func (w *Work) copyInto(ctx context.Context, tx statements, table string, rows []row) error {
	buffer, _ := w.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer w.buffers.Put(buffer)
	*buffer = copyRows((*buffer)[:0], rows)
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(*buffer), "COPY "+table+" ("+readingColumns+") FROM STDIN (FORMAT binary)")
	return err
}

func (f *filed) note(k sensorMetric, t time.Time) {
	if t.After(f.raised[k]) {
		f.raised[k] = t
	}
}

// Nothing is stored from before a sensor's first assignment: that bounds the partitions to look at.
const newestStored = `
SELECT k.sensor, k.metric, greatest(
    (SELECT r.sent_at FROM reading r WHERE r.sensor_id = k.sensor AND r.metric = k.metric
        AND r.sent_at >= (SELECT min(a.from_at) - interval '1 day' FROM assignment a WHERE a.sensor_id = k.sensor) ORDER BY r.sent_at DESC LIMIT 1),
    (SELECT i.sent_at FROM inbox i WHERE i.sensor_id = k.sensor AND i.metric = k.metric ORDER BY i.sent_at DESC LIMIT 1),
    (SELECT w.sent_at FROM withdrawn_reading w WHERE w.sensor_id = k.sensor AND w.metric = k.metric ORDER BY w.sent_at DESC LIMIT 1))
FROM unnest($1::bigint[], $2::smallint[]) AS k (sensor, metric)`

// load fills in the marks that this epoch has not needed before.
func (h *highWater) load(ctx context.Context, tx statements, p placed) error {
	var sensors []int64
	var metrics []int16
	asked := map[sensorMetric]bool{}
	for _, list := range [2][]*vital.Reading{p.owned, p.unowned} {
		for _, r := range list {
			k := sensorMetric{r.Sensor, r.Metric}
			if _, known := h.newest[k]; known || asked[k] {
				continue
			}
			asked[k] = true
			sensors = append(sensors, int64(k.sensor))
			metrics = append(metrics, int16(k.metric))
		}
	}
	if len(sensors) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, newestStored, sensors, metrics)
	if err != nil {
		return fmt.Errorf("load high-water marks: %w", err)
	}
	var k sensorMetric
	var newest *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&k.sensor, &k.metric, &newest}, func() error { h.newest[k] = timeOf(newest); return nil }); err != nil {
		return fmt.Errorf("load high-water marks: %w", err)
	}
	return nil
}

const makeStaging = `CREATE TEMP TABLE IF NOT EXISTS reading_staging (LIKE reading) ON COMMIT DELETE ROWS`

const fromStaging = `
INSERT INTO reading (` + readingColumns + `)
SELECT ` + readingColumns + ` FROM pg_temp.reading_staging s
WHERE NOT EXISTS (SELECT FROM inbox i WHERE (i.sensor_id, i.metric, i.sent_at, i.tie) = (s.sensor_id, s.metric, s.sent_at, s.tie))
    AND NOT EXISTS (SELECT FROM withdrawn_reading w WHERE (w.sensor_id, w.metric, w.sent_at, w.tie) = (s.sensor_id, s.metric, s.sent_at, s.tie))
ORDER BY sensor_id, metric, sent_at, tie
ON CONFLICT (sensor_id, metric, sent_at, tie) DO NOTHING
RETURNING sensor_id, metric, sent_at, tie`

// stage copies rows beside the table and inserts those that are not there yet.
func (w *Work) stage(ctx context.Context, tx statements, f *filed, readings []*vital.Reading) error {
	if _, err := tx.Exec(ctx, makeStaging); err != nil {
		return fmt.Errorf("make the staging table: %w", err)
	}
	staged := rowsOf(readings)
	if err := w.copyInto(ctx, tx, "pg_temp.reading_staging", staged); err != nil {
		return fmt.Errorf("copy into staging: %w", err)
	}
	rows, err := tx.Query(ctx, fromStaging)
	if err != nil {
		return fmt.Errorf("insert from staging: %w", err)
	}
	taken, err := collectKeys(rows)
	if err != nil {
		return fmt.Errorf("insert from staging: %w", err)
	}
	var sequenced []*vital.Reading
	for _, r := range staged {
		switch {
		case taken[utcKey(r.Key)]:
			f.stored = append(f.stored, r)
		case r.HasSequence:
			sequenced = append(sequenced, r.Reading)
		}
	}
	return f.findConflicts(ctx, tx, sequenced)
}

func collectKeys(rows pgx.Rows) (map[vital.Key]bool, error) {
	keys := map[vital.Key]bool{}
	var k vital.Key
	_, err := pgx.ForEachRow(rows, []any{&k.Sensor, &k.Metric, &k.SentAt, &k.Tie}, func() error { keys[utcKey(k)] = true; return nil })
	return keys, err
}

func utcKey(k vital.Key) vital.Key {
	k.SentAt = time.UnixMicro(k.SentAt.UnixMicro()).UTC()
	return k
}

const quantityColumns = `sensor_id, metric, sent_at, tie, s.mantissa, s.exponent, s.unit, s.mantissa2, s.exponent2, s.unit2, s.mantissa3, s.exponent3, s.unit3`

const storedQuantities = `
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS k (sensor_id, metric, sent_at, tie))
SELECT ` + quantityColumns + ` FROM k JOIN reading s USING (sensor_id, metric, sent_at, tie)
UNION ALL
SELECT ` + quantityColumns + ` FROM k JOIN inbox s USING (sensor_id, metric, sent_at, tie)`

// findConflicts looks at resent sequence numbers, whether the first one is stored or parked: the same number with
// another value is kept and refused.
func (f *filed) findConflicts(ctx context.Context, tx statements, resent []*vital.Reading) error {
	if len(resent) == 0 {
		return nil
	}
	byKey := make(map[vital.Key]*vital.Reading, len(resent))
	var sensors, ties []int64
	var metrics []int16
	var times []time.Time
	for _, r := range resent {
		byKey[utcKey(r.Key)] = r
		sensors, metrics, times, ties = append(sensors, int64(r.Sensor)), append(metrics, int16(r.Metric)), append(times, r.SentAt), append(ties, r.Tie)
	}
	rows, err := tx.Query(ctx, storedQuantities, sensors, metrics, times, ties)
	if err != nil {
		return fmt.Errorf("compare resent sequence numbers: %w", err)
	}
	var k vital.Key
	var first vital.Quantity
	var m2, m3 *int64
	var e2, e3, u2, u3 *int16
	_, err = pgx.ForEachRow(rows, []any{&k.Sensor, &k.Metric, &k.SentAt, &k.Tie, &first.Mantissa, &first.Exponent, &first.Unit, &m2, &e2, &u2, &m3, &e3, &u3}, func() error {
		sent, n := [3]vital.Quantity{first}, uint8(1)
		if m2 != nil {
			sent[1], n = vital.Quantity{Mantissa: *m2, Exponent: int8(*e2), Unit: vital.Unit(*u2)}, 2
		}
		if m3 != nil {
			sent[2], n = vital.Quantity{Mantissa: *m3, Exponent: int8(*e3), Unit: vital.Unit(*u3)}, 3
		}
		if r := byKey[utcKey(k)]; n != r.N || sent != r.Sent {
			f.conflicts = append(f.conflicts, conflict(r))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare resent sequence numbers: %w", err)
	}
	return nil
}

const insertInbox = `
INSERT INTO inbox (sensor_id, metric, sent_at, tie, org_id, device_id, id, measured_at, received_at,
    mantissa, mantissa2, mantissa3, exponent, exponent2, exponent3, unit, unit2, unit3, findings, has_sequence, reason)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21
WHERE NOT EXISTS (SELECT FROM reading r WHERE r.sensor_id = $1 AND r.metric = $2 AND r.sent_at = $3 AND r.tie = $4)
    AND NOT EXISTS (SELECT FROM withdrawn_reading w WHERE w.sensor_id = $1 AND w.metric = $2 AND w.sent_at = $3 AND w.tie = $4)
ON CONFLICT (sensor_id, metric, sent_at, tie) DO NOTHING`

// park puts readings without an owner into the inbox, with the reason.
func (f *filed) park(ctx context.Context, tx statements, p placed) error {
	batch := &pgx.Batch{}
	var resent []*vital.Reading
	for _, r := range p.unowned {
		reason := p.reasons[r]
		if reason == "" {
			reason = parkedNoOwner
		}
		var m [3]*int64
		var e, u [3]*int16
		for i := range int(r.N) {
			exponent, unit := int16(r.Sent[i].Exponent), int16(r.Sent[i].Unit)
			m[i], e[i], u[i] = &r.Sent[i].Mantissa, &exponent, &unit
		}
		batch.Queue(insertInbox, int64(r.Sensor), int16(r.Metric), r.SentAt, r.Tie, int32(r.Org), int64(r.Device), r.ID(), r.MeasuredAt, r.ReceivedAt,
			m[0], m[1], m[2], e[0], e[1], e[2], u[0], u[1], u[2], int32(r.Findings), r.HasSequence, reason).
			Exec(func(tag pgconn.CommandTag) error {
				f.parked += int(tag.RowsAffected())
				if tag.RowsAffected() > 0 {
					f.parkedFirst = append(f.parkedFirst, r)
				} else if r.HasSequence {
					resent = append(resent, r)
				}
				return nil
			})
		f.note(sensorMetric{r.Sensor, r.Metric}, r.SentAt)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("park readings without an owner: %w", err)
	}
	return f.findConflicts(ctx, tx, resent)
}

const insertQuarantine = `
INSERT INTO quarantine AS q (org_id, device_id, topic, reason, detail, raw, length, hash, identity, received_at, last_received_at, sensor_id, name, metrics)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, coalesce($11, CASE WHEN $12::bigint <> 0 THEN (SELECT s.id FROM sensor s WHERE s.org_id = $1 AND s.device_id = $2 LIMIT 1) END), $12, $13)
ON CONFLICT (org_id, device_id, identity) DO UPDATE SET times = q.times + 1, last_received_at = greatest(q.last_received_at, excluded.last_received_at),
    settled_at = CASE WHEN excluded.received_at > q.last_received_at AND excluded.received_at > q.settled_at THEN NULL ELSE q.settled_at END
RETURNING times = 1, q.received_at <> $10, q.id`

// quarantined is what was refused, with its row.
type quarantined struct {
	*vital.Refused
	row int64
}

// quarantine keeps what was refused, once per device and content, and returns how many were new. What was settled and comes again waits
// again. fresh are those that were not refused before, all parts of a new message among them, and those that may have been measured
// again: the same bytes without a time.
func quarantine(ctx context.Context, tx statements, refused []*vital.Refused) (added int, fresh []quarantined, err error) {
	if len(refused) == 0 {
		return 0, nil, nil
	}
	batch, news := &pgx.Batch{}, map[[sha256.Size]byte]bool{}
	for _, r := range refused {
		identity := identityOf(r)
		raw := r.Raw
		if raw == nil {
			raw = []byte{}
		}
		batch.Queue(insertQuarantine, int32(r.Org), int64(r.Device), validText(r.Topic), string(r.Reason), validText(r.Detail), raw, r.Length, r.Hash[:], identity[:], r.ReceivedAt, whoseClock(r), nameOf(r), metricsOf(r)).
			QueryRow(func(row pgx.Row) error {
				var first, later bool
				var id int64
				if err := row.Scan(&first, &later, &id); err != nil {
					return err
				}
				if first {
					added++
					news[identity] = true
				}
				if news[identity] || later && r.Read != nil && r.Read.Findings&vital.TimeAssumed != 0 {
					fresh = append(fresh, quarantined{r, id})
				}
				return nil
			})
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, nil, fmt.Errorf("quarantine: %w", err)
	}
	return added, fresh, nil
}

// identityOf is what a refusal is known by: the same bytes of the same topic, refused for the same reason, are one.
func identityOf(r *vital.Refused) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", r.Topic, r.Reason)
	h.Write(r.Hash[:])
	return [sha256.Size]byte(h.Sum(nil))
}

// nameOf is the sender's own name for what was refused (vital.TieOfName); 0 when it gave none, or several.
func nameOf(r *vital.Refused) (name int64) {
	for i, seen := range r.All() {
		if seen.Read.More == nil || i > 0 && seen.Read.More.Name != name {
			return 0
		}
		name = seen.Read.More.Name
	}
	return name
}

// whoseClock names the sensor whose time was refused, or whose measurement that has a name was; nil when that is not known, or something
// else was.
func whoseClock(r *vital.Refused) *int64 {
	if r.Read == nil || r.Reason != vital.ReasonClock && nameOf(r) == 0 {
		return nil
	}
	return nullID(r.Read.Sensor)
}

// metricsOf says what was measured of which the time was refused, each once.
func metricsOf(r *vital.Refused) []int16 {
	all := []int16{}
	for _, seen := range r.All() {
		if m := int16(seen.Read.Metric); r.Reason == vital.ReasonClock && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all
}

// violatedKey reports a violation of reading's primary key, whose index has a name per partition.
func violatedKey(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && len(pg.TableName) >= 7 && pg.TableName[:7] == "reading"
}

// validText drops what PostgreSQL's text cannot hold: raw bytes stand beside it anyway.
func validText(s string) string {
	return string(bytes.ReplaceAll(bytes.ToValidUTF8([]byte(s), []byte("?")), []byte{0}, []byte("?")))
}
