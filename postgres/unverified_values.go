package postgres

import (
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// What a batch opens and counts up stands for very many values sometimes: a sensor of nobody that empties its memory. Whatever is written of
// each of them is one statement, for the partition of the batch waits for it.

// Each red with whose it may be. What stands there already stays.
const insertUnverifiedPersons = `
INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, from_at, to_at)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::timestamptz[]) ON CONFLICT DO NOTHING`

// Of the same bytes without a time, received again, one value is kept. Each OFFSET has it looked up by its key, whatever the planner knows
// of the tables: the outer one, so that it does not take all of them together for one. (NOT IN is a look into a hash; an anti join might
// go through all for each.)
const insertUnverifiedValues = `
WITH n AS MATERIALIZED (
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[], $9::text[],
        $10::smallint[], $11::text[], $12::text[], $13::boolean[], $14::float8[], $15::integer[], $16::bigint[], $17::timestamptz[], $18::timestamptz[], $19::integer[], $21::bigint[]) WITH ORDINALITY
        AS u (org, red, sensor, metric, sent, tie, refused, place, why, level, ground, vals, unitless, badness, findings, reading, measured, received, times, unsure, nth)
), again AS (
    UPDATE unverified_value v SET times = v.times + o.times, received_at = greatest(v.received_at, o.received) FROM (
        SELECT n.nth, n.times, n.received, k.id FROM n CROSS JOIN LATERAL (
            SELECT y.id FROM (
                SELECT x.id, x.unverified_id, x.ground FROM unverified_value x WHERE x.quarantine_id = n.refused AND x.vals = n.vals::float8[] AND x.ended_at IS NULL OFFSET 0) y
            WHERE y.unverified_id = n.red AND y.ground = n.ground OFFSET 0) k
        WHERE n.refused IS NOT NULL AND n.findings & $20 <> 0) o
    WHERE v.id = o.id RETURNING o.nth
)
INSERT INTO unverified_value (org_id, unverified_id, sensor_id, metric, sent_at, tie, quarantine_id, place, why, level, ground, vals, unitless, badness, findings, reading_id, measured_at, received_at, times, unsure_us)
SELECT n.org, n.red, n.sensor, n.metric, n.sent, n.tie, n.refused, n.place, n.why, n.level, n.ground, n.vals::float8[], n.unitless, n.badness, n.findings, n.reading, n.measured, n.received, n.times, n.unsure
FROM n WHERE n.nth NOT IN (SELECT nth FROM again) ORDER BY n.nth`

// standingFor are the values of unverified reds and whose these may be, column by column.
type standingFor struct {
	orgs, findings, times       []int32
	reds, sensors, unsure       []int64
	metrics, levels             []int16
	sent, measured              []*time.Time
	ties, refused, readings     []*int64
	places, whys, grounds, vals []string
	unitless                    []bool
	badness                     []float64
	received                    []time.Time
	seen                        map[sameBytes]int
	personOrgs                  []int32
	personReds, persons         []int64
	hows                        []string
	from, to                    []*time.Time
}

// sameBytes is what tells values of what was refused apart: in a list the time does, where one was sent.
type sameBytes struct {
	red, refused int64
	ground       alerts.Ground
	vals         string
	at           int64
}

// add notes what an unverified red stands for from now on.
func (s *standingFor) add(o *opened) {
	h := o.hit
	for _, p := range h.holders {
		s.personOrgs, s.personReds, s.persons = append(s.personOrgs, int32(h.org)), append(s.personReds, o.id), append(s.persons, int64(p.patient))
		s.hows, s.from, s.to = append(s.hows, p.how), append(s.from, nullTime(p.from)), append(s.to, nullTime(p.to))
	}
	for i := range h.values {
		s.value(o.id, h, &h.values[i])
	}
}

func (s *standingFor) value(red int64, h *hit, v *value) {
	vals := arrayText(v.Values)
	var sent *time.Time
	var tie *int64
	if v.place == alerts.InQuarantine {
		same := sameBytes{red, v.quarantine, v.Ground, vals, 0}
		if v.findings&vital.TimeAssumed == 0 {
			same.at = v.measured.UnixMicro()
		}
		if i, ok := s.seen[same]; ok {
			s.times[i]++
			if v.received.After(s.received[i]) {
				s.received[i] = v.received
			}
			return
		}
		if s.seen == nil {
			s.seen = map[sameBytes]int{}
		}
		s.seen[same] = len(s.reds)
	} else {
		sent, tie = &v.sent, &v.tie
	}
	s.orgs, s.reds, s.sensors, s.metrics = append(s.orgs, int32(h.org)), append(s.reds, red), append(s.sensors, int64(h.sensor)), append(s.metrics, int16(h.Metric))
	s.sent, s.ties, s.refused = append(s.sent, sent), append(s.ties, tie), append(s.refused, nullID(v.quarantine))
	s.places, s.whys, s.levels, s.grounds = append(s.places, string(v.place)), append(s.whys, v.why), append(s.levels, int16(v.Level)), append(s.grounds, string(v.Ground))
	s.vals, s.unitless, s.badness, s.findings = append(s.vals, vals), append(s.unitless, v.Unitless), append(s.badness, v.Badness), append(s.findings, int32(v.findings))
	s.readings, s.measured = append(s.readings, nullID(v.reading)), append(s.measured, nullTime(v.measured))
	s.received, s.times, s.unsure = append(s.received, v.received), append(s.times, 1), append(s.unsure, v.unsure.Microseconds())
}

// queue writes it all.
func (s *standingFor) queue(q *pgx.Batch) {
	if len(s.persons) > 0 {
		q.Queue(insertUnverifiedPersons, s.personOrgs, s.personReds, s.persons, s.hows, s.from, s.to)
	}
	if len(s.reds) > 0 {
		q.Queue(insertUnverifiedValues, s.orgs, s.reds, s.sensors, s.metrics, s.sent, s.ties, s.refused, s.places, s.whys, s.levels, s.grounds, s.vals, s.unitless,
			s.badness, s.findings, s.readings, s.measured, s.received, s.times, int32(vital.TimeAssumed), s.unsure)
	}
}

// arrayText writes numbers as PostgreSQL reads an array of them: a list of lists is no list of arrays there.
func arrayText(numbers []float64) string {
	text := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, n, 'g', -1, 64)
	}
	return string(append(text, '}'))
}
