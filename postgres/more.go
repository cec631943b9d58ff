package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/vital"
)

// OriginalsFor is how long messages are kept as they were sent.
const OriginalsFor = 30 * 24 * time.Hour

// notesFor is how long a note waits for the measurement of its sequence number.
const notesFor = 30 * 24 * time.Hour

// Only what belongs to a row is kept: a reading of somebody who was erased is let go while it is stored, and what was sent again
// meets its first outcome, whatever has become known of its clock since.
const insertMore = `
INSERT INTO reading_more (org_id, sensor_id, metric, sent_at, tie, clock_offset_us, clock_method, uncertainty_us, standing, name, facts)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
WHERE EXISTS (SELECT FROM reading r WHERE r.sensor_id = $2 AND r.metric = $3 AND r.sent_at = $4 AND r.tie = $5 AND r.measured_at = $12)
   OR EXISTS (SELECT FROM inbox i WHERE i.sensor_id = $2 AND i.metric = $3 AND i.sent_at = $4 AND i.tie = $5 AND i.measured_at = $12)
ON CONFLICT DO NOTHING`

const insertNote = `
INSERT INTO reading_note (org_id, sensor_id, metric, tie, received_at, facts) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

// joinNotes gives what waits to the measurement of its sequence number that arrived next to it: a meter counts from 0 again when
// its battery is changed. A note that came twice is said once.
const joinNotes = `
WITH found AS MATERIALIZED (
    SELECT n.org_id, n.sensor_id, n.metric, n.tie, n.received_at, n.facts, m.sent_at
    FROM reading_note n CROSS JOIN LATERAL (
        SELECT x.sent_at FROM (
            SELECT r.sent_at, r.received_at FROM reading r
            WHERE r.sensor_id = n.sensor_id AND r.metric = n.metric AND r.tie = n.tie AND r.has_sequence AND r.sent_at BETWEEN n.received_at - interval '400 days' AND n.received_at + interval '1 day'
            UNION ALL
            SELECT i.sent_at, i.received_at FROM inbox i
            WHERE i.sensor_id = n.sensor_id AND i.metric = n.metric AND i.tie = n.tie AND i.has_sequence
        ) x WHERE x.received_at BETWEEN n.received_at - interval '1 day' AND n.received_at + interval '1 day'
        ORDER BY abs(extract(epoch FROM x.received_at - n.received_at)) LIMIT 1) m
    WHERE $1::bigint[] IS NULL OR n.sensor_id = ANY ($1)
), gone AS (
    DELETE FROM reading_note n USING found f
    WHERE (n.org_id, n.sensor_id, n.metric, n.tie, n.received_at) = (f.org_id, f.sensor_id, f.metric, f.tie, f.received_at)
)
INSERT INTO reading_more AS m (org_id, sensor_id, metric, sent_at, tie, facts)
SELECT DISTINCT ON (org_id, sensor_id, metric, sent_at, tie) org_id, sensor_id, metric, sent_at, tie, facts FROM found
ORDER BY org_id, sensor_id, metric, sent_at, tie, received_at
ON CONFLICT (org_id, sensor_id, metric, sent_at, tie) DO UPDATE SET facts = CASE WHEN m.facts @> excluded.facts THEN m.facts ELSE m.facts || excluded.facts END`

const insertOriginal = `
INSERT INTO original AS o (org_id, device_id, hash, topic, raw, received_at, last_received_at) VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (org_id, device_id, hash) DO UPDATE SET last_received_at = greatest(o.last_received_at, excluded.last_received_at)`

// storedFact is how a fact stands in the record.
type storedFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func factsJSON(facts []vital.Fact) (string, error) {
	list := make([]storedFact, len(facts))
	for i, f := range facts {
		list[i] = storedFact{validText(f.Name), validText(f.Value)}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("write facts: %w", err)
	}
	return string(b), nil
}

// factsOf reads what factsJSON has written; nil reads as none.
func factsOf(b []byte) ([]vital.Fact, error) {
	if b == nil {
		return nil, nil
	}
	var list []storedFact
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	var facts []vital.Fact
	for _, f := range list {
		facts = append(facts, vital.Fact(f))
	}
	return facts, nil
}

// keepBeside writes what stands beside the readings that the batch has stored or parked, and the messages as they were sent. Most
// batches have none of it, and send nothing.
func (j *job) keepBeside(ctx context.Context, tx statements) error {
	batch := &pgx.Batch{}
	var meters []int64
	keep := func(r *vital.Reading) error {
		if r.More == nil {
			return nil
		}
		if r.Metric == vital.Glucose && r.HasSequence {
			meters = append(meters, int64(r.Sensor))
		}
		facts, err := factsJSON(r.More.Facts)
		if err != nil {
			return err
		}
		c := r.More.Clock
		batch.Queue(insertMore, int32(r.Org), int64(r.Sensor), int16(r.Metric), r.SentAt, r.Tie, c.Offset.Microseconds(), int16(c.Method),
			c.Uncertainty.Microseconds(), int16(r.More.Standing), r.More.Name, facts, r.MeasuredAt)
		return nil
	}
	for i := range j.filed.stored {
		if err := keep(j.filed.stored[i].Reading); err != nil {
			return err
		}
	}
	for _, r := range j.placed.unowned {
		if err := keep(r); err != nil {
			return err
		}
	}
	for _, n := range j.sifted.notes {
		facts, err := factsJSON(n.More.Facts)
		if err != nil {
			return err
		}
		meters = append(meters, int64(n.Sensor))
		batch.Queue(insertNote, int32(n.Org), int64(n.Sensor), int16(n.Metric), n.Tie, n.ReceivedAt, facts)
	}
	if len(meters) > 0 {
		batch.Queue(joinNotes, meters)
	}
	for _, o := range j.sifted.originals {
		batch.Queue(insertOriginal, int32(o.Org), int64(o.Device), o.Hash[:], validText(o.Topic), o.Raw, o.ReceivedAt)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("keep what stands beside readings: %w", err)
	}
	return nil
}

// KeepOriginals deletes the messages that have been kept long enough, and joins notes to measurements that were stored by another
// process at the same moment; what never finds its own is dropped.
func (w *Work) KeepOriginals(ctx context.Context) error {
	now, err := w.Clock(ctx)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		query string
		arg   any
	}{
		{joinNotes, nil},
		{`DELETE FROM reading_note WHERE received_at < $1`, now.Add(-notesFor)},
		{`DELETE FROM original WHERE last_received_at < $1`, now.Add(-OriginalsFor)},
	} {
		if _, err := w.pool.Exec(ctx, s.query, s.arg); err != nil {
			return classify(fmt.Errorf("clear what was kept beside readings: %w", err))
		}
	}
	return nil
}

// parkedSlot is why a reading waits whose sensor several people share, and that tells of none of them, or of one who is not known.
const parkedSlot = "slot"

const sharedSensors = `SELECT DISTINCT parent_id FROM sensor WHERE (org_id, parent_id) IN (SELECT * FROM unnest($1::integer[], $2::bigint[]))`

// sharedBy notes which of the readings without an owner come from a sensor that several people share.
func (p *placed) sharedBy(ctx context.Context, tx statements) error {
	var orgs []int32
	var sensors []int64
	for _, r := range p.unowned {
		if p.reasons[r] == "" {
			orgs = append(orgs, int32(r.Org))
			sensors = append(sensors, int64(r.Sensor))
		}
	}
	if len(sensors) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, sharedSensors, orgs, sensors)
	if err != nil {
		return fmt.Errorf("look for shared sensors: %w", err)
	}
	shared := map[vital.SensorID]bool{}
	var sensor vital.SensorID
	if _, err := pgx.ForEachRow(rows, []any{&sensor}, func() error { shared[sensor] = true; return nil }); err != nil {
		return fmt.Errorf("look for shared sensors: %w", err)
	}
	for _, r := range p.unowned {
		if p.reasons[r] == "" && shared[r.Sensor] {
			p.reasons[r] = parkedSlot
		}
	}
	return nil
}
