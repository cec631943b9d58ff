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

// withdrawalsFor is how long it is known that something was taken back already, or named in vain. Asked again later, nothing is found that
// was not taken back.
const withdrawalsFor = 30 * 24 * time.Hour

// Only what belongs to a row is kept: a reading of somebody who was erased is let go while it is stored, and what was sent again
// meets its first outcome, whatever has become known of its clock since. All of a batch is one statement, and the limit has each row
// looked up by the key.
const insertMore = `
INSERT INTO reading_more (org_id, sensor_id, metric, sent_at, tie, clock_offset_us, clock_method, uncertainty_us, standing, name, facts)
SELECT u.org, u.sensor, u.metric, u.sent_at, u.tie, u.off, u.method, u.unsure, u.standing, u.name, u.facts::jsonb
FROM unnest($1::integer[], $2::bigint[], $3::smallint[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::smallint[], $8::bigint[], $9::smallint[],
        $10::bigint[], $11::text[], $12::timestamptz[]) u (org, sensor, metric, sent_at, tie, off, method, unsure, standing, name, facts, measured_at)
    CROSS JOIN LATERAL (
        SELECT FROM reading r WHERE r.sensor_id = u.sensor AND r.metric = u.metric AND r.sent_at = u.sent_at AND r.tie = u.tie AND r.measured_at = u.measured_at
        UNION ALL
        SELECT FROM inbox i WHERE i.sensor_id = u.sensor AND i.metric = u.metric AND i.sent_at = u.sent_at AND i.tie = u.tie AND i.measured_at = u.measured_at
        LIMIT 1) kept
ON CONFLICT DO NOTHING`

// besides are what stands beside the readings of a batch, column by column as insertMore takes it.
type besides struct {
	counted
	sentAt, measuredAt     []time.Time
	offsets, unsure, names []int64
	methods, standings     []int16
	facts                  []string
}

func (b *besides) keep(r *vital.Reading) error {
	facts, err := factsJSON(r.More.Facts)
	if err != nil {
		return err
	}
	c := r.More.Clock
	b.add(r)
	b.sentAt, b.measuredAt = append(b.sentAt, r.SentAt), append(b.measuredAt, r.MeasuredAt)
	b.offsets, b.methods, b.unsure = append(b.offsets, c.Offset.Microseconds()), append(b.methods, int16(c.Method)), append(b.unsure, c.Uncertainty.Microseconds())
	b.standings, b.names, b.facts = append(b.standings, int16(r.More.Standing)), append(b.names, r.More.Name), append(b.facts, facts)
	return nil
}

// notesOfSensor is how many notes of one sensor wait: no meter remembers as many measurements. The oldest go.
const notesOfSensor = 5000

// A note that comes again is said once, and replaces what an earlier count left behind.
const insertNote = `
INSERT INTO reading_note AS n (org_id, sensor_id, metric, tie, received_at, facts) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (org_id, sensor_id, metric, tie) DO UPDATE SET received_at = excluded.received_at, facts = excluded.facts WHERE n.received_at < excluded.received_at`

// joinNotes gives what waits to the measurement of its sequence number that arrived next to it: a meter counts from 0 again when
// its battery is changed. Each sensor's record is looked through once, however many notes it has.
const joinNotes = `
sensors AS (
    SELECT org_id, sensor_id, metric, array_agg(tie) AS ties, min(received_at) - interval '1 day' AS since, max(received_at) + interval '1 day' AS until FROM wanted GROUP BY org_id, sensor_id, metric
), measured AS MATERIALIZED (
    SELECT x.* FROM sensors s CROSS JOIN LATERAL (
        SELECT r.sensor_id, r.metric, r.tie, r.sent_at, r.received_at FROM reading r
        WHERE r.sensor_id = s.sensor_id AND r.metric = s.metric AND r.tie = ANY (s.ties) AND r.has_sequence AND r.sent_at BETWEEN s.since - interval '399 days' AND s.until
        UNION ALL
        SELECT i.sensor_id, i.metric, i.tie, i.sent_at, i.received_at FROM inbox i WHERE i.sensor_id = s.sensor_id AND i.metric = s.metric AND i.tie = ANY (s.ties) AND i.has_sequence
    ) x WHERE x.received_at BETWEEN s.since AND s.until
), found AS MATERIALIZED (
    SELECT DISTINCT ON (n.org_id, n.sensor_id, n.metric, n.tie) n.*, m.sent_at
    FROM wanted n JOIN measured m ON m.sensor_id = n.sensor_id AND m.metric = n.metric AND m.tie = n.tie
        AND m.received_at BETWEEN n.received_at - interval '1 day' AND n.received_at + interval '1 day'
    ORDER BY n.org_id, n.sensor_id, n.metric, n.tie, abs(extract(epoch FROM m.received_at - n.received_at))
), gone AS (
    DELETE FROM reading_note n USING found f WHERE (n.org_id, n.sensor_id, n.metric, n.tie) = (f.org_id, f.sensor_id, f.metric, f.tie)
)
INSERT INTO reading_more AS m (org_id, sensor_id, metric, sent_at, tie, facts)
SELECT org_id, sensor_id, metric, sent_at, tie, facts FROM found ORDER BY org_id, sensor_id, metric, sent_at, tie
ON CONFLICT (org_id, sensor_id, metric, sent_at, tie) DO UPDATE SET facts = CASE WHEN m.facts @> excluded.facts THEN m.facts ELSE m.facts || excluded.facts END`

// joinNotesOf joins those of the sequence numbers that a batch brought; joinAllNotes all that wait.
const (
	joinNotesOf = `
WITH wanted AS MATERIALIZED (
    SELECT n.* FROM (SELECT DISTINCT * FROM unnest($1::integer[], $2::bigint[], $3::smallint[], $4::bigint[]) u (org, sensor, metric, tie)) k
        JOIN reading_note n ON n.org_id = k.org AND n.sensor_id = k.sensor AND n.metric = k.metric AND n.tie = k.tie
), ` + joinNotes
	joinAllNotes = `WITH wanted AS MATERIALIZED (SELECT * FROM reading_note), ` + joinNotes
)

const dropManyNotes = `
DELETE FROM reading_note n USING (
    SELECT org_id, sensor_id, metric, tie, row_number() OVER (PARTITION BY org_id, sensor_id ORDER BY received_at DESC, metric, tie DESC) AS nth FROM reading_note) o
WHERE (n.org_id, n.sensor_id, n.metric, n.tie) = (o.org_id, o.sensor_id, o.metric, o.tie) AND o.nth > $1`

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

// counted are sequence numbers of meters that a batch brought, of measurements and of notes.
type counted struct {
	orgs          []int32
	sensors, ties []int64
	metrics       []int16
}

func (c *counted) add(r *vital.Reading) {
	c.orgs, c.sensors, c.metrics, c.ties = append(c.orgs, int32(r.Org)), append(c.sensors, int64(r.Sensor)), append(c.metrics, int16(r.Metric)), append(c.ties, r.Tie)
}

// keepBeside writes what stands beside the readings that the batch has stored or parked, and the messages as they were sent. Most
// batches have none of it, and send nothing.
func (j *job) keepBeside(ctx context.Context, tx statements) error {
	batch := &pgx.Batch{}
	var counted counted
	var beside besides
	keep := func(r *vital.Reading) error {
		if r.More == nil {
			return nil
		}
		if r.Metric == vital.Glucose && r.HasSequence {
			counted.add(r)
		}
		return beside.keep(r)
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
	if len(beside.ties) > 0 {
		batch.Queue(insertMore, beside.orgs, beside.sensors, beside.metrics, beside.sentAt, beside.ties, beside.offsets, beside.methods, beside.unsure,
			beside.standings, beside.names, beside.facts, beside.measuredAt)
	}
	for _, n := range j.sifted.notes {
		facts, err := factsJSON(n.More.Facts)
		if err != nil {
			return err
		}
		counted.add(n)
		batch.Queue(insertNote, int32(n.Org), int64(n.Sensor), int16(n.Metric), n.Tie, n.ReceivedAt, facts)
	}
	if len(counted.ties) > 0 {
		batch.Queue(joinNotesOf, counted.orgs, counted.sensors, counted.metrics, counted.ties)
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
		args  []any
	}{
		{joinAllNotes, nil},
		{dropManyNotes, []any{notesOfSensor}},
		{`DELETE FROM reading_note WHERE received_at < $1`, []any{now.Add(-notesFor)}},
		{`DELETE FROM withdrawal WHERE state <> 'asked' AND next_action_at < $1`, []any{now.Add(-withdrawalsFor)}},
		{`DELETE FROM original WHERE last_received_at < $1`, []any{now.Add(-OriginalsFor)}},
	} {
		if _, err := w.pool.Exec(ctx, s.query, s.args...); err != nil {
			return classify(fmt.Errorf("clear what was kept beside readings: %w", err))
		}
	}
	return nil
}

// parkedSlot is why a reading waits whose sensor several people share, and that tells of none of them, or of one who is not known; and one
// of which the device says that it is not sure whose it is (vital.UserUnsure), whoever holds the sensor.
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
