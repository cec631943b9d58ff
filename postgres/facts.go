package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// facts is alerts.Facts over the transaction of one batch.
type facts struct {
	tx      statements
	batch   []alerts.Fresh                           // what this batch stored: not part of a situation before it
	inBatch map[vital.PatientID]map[alerts.Mark]bool // the same by patient, once it is asked for
}

// exclude sorts what this batch stored by patient. Most batches never ask: their situations are known.
func (f *facts) exclude() {
	if f.inBatch != nil {
		return
	}
	f.inBatch = make(map[vital.PatientID]map[alerts.Mark]bool)
	for i := range f.batch {
		p := f.batch[i].Patient
		if f.inBatch[p] == nil {
			f.inBatch[p] = map[alerts.Mark]bool{}
		}
		f.inBatch[p][utcMark(f.batch[i].Point.Mark)] = true
	}
}

func utcMark(m alerts.Mark) alerts.Mark {
	if m.At.IsZero() {
		return m
	}
	m.At = time.UnixMicro(m.At.UnixMicro()).UTC()
	return m
}

const rulesOfPatients = `
SELECT r.id, r.uid::text, r.org_id, r.patient_id, r.kind, r.form, r.metric, v.number, v.effective_from, v.enabled, v.spec, v.advice, coalesce(v.author_id, 0), v.author_name, v.reason, v.review_by, v.created_at
FROM rule r JOIN rule_version v ON v.org_id = r.org_id AND v.rule_id = r.id
WHERE r.patient_id = ANY($1)
ORDER BY r.patient_id, r.id, v.number`

const lastIntervals = `
SELECT DISTINCT ON (patient_id, rule_id) patient_id, rule_id, from_at, from_id, to_at, to_id, peak, count, last_at, last_id
FROM condition_interval WHERE rule_id = ANY($1)
ORDER BY patient_id, rule_id, from_at DESC, from_id DESC`

const openEpisodes = `SELECT ` + episodeColumns + ` FROM episode e WHERE e.patient_id = ANY($1) AND e.state <> 'closed'`

// judged is of which rows of reading r a rule may learn: 8192 are vital.NotJudged.
const judged = `r.findings & 8192 = 0`

// unsureSeen is within how much of its time a reading was measured, in microseconds, where its time must not be told as if it were known
// (131072 is vital.TimeUnsure), or that says whether it tells of the past: of one that came live (vital.LiveWithin), or was long over
// however late it was measured (64 is vital.Historic), it does not.
const unsureSeen = `CASE WHEN r.findings & 131072 <> 0 OR r.findings & 64 = 0 AND r.received_at - r.measured_at >= interval '15 minutes' THEN (SELECT m.uncertainty_us FROM reading_more m
    WHERE m.org_id = r.org_id AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie) END`

// tails reads, per patient and metric, the newest readings of every sensor that is or was the patient's, in no order.
const tails = `
SELECT k.patient, k.metric, t.measured_at, t.id, t.value, t.value2, t.value3, t.received_at, t.findings, t.sensor_id, t.unsure
FROM unnest($1::bigint[], $2::smallint[], $3::int[]) AS k (patient, metric, n)
JOIN (SELECT patient_id, org_id, sensor_id, min(from_at) - interval '1 day' AS low FROM assignment WHERE patient_id = ANY($1) GROUP BY patient_id, org_id, sensor_id) a ON a.patient_id = k.patient
CROSS JOIN LATERAL (` + tailFirst + `reading r WHERE r.sensor_id = a.sensor_id AND r.metric = k.metric AND r.sent_at >= a.low AND r.patient_id = k.patient AND ` + judged + tailSent + `k.n) x) top
CROSS JOIN LATERAL (` + tailReach + `m.metric = k.metric) THEN top.around ELSE top.sent END AS low OFFSET 0) reach
CROSS JOIN LATERAL (` + tailColumns + `, ` + unsureSeen + ` AS unsure FROM reading r
    WHERE r.sensor_id = a.sensor_id AND r.metric = k.metric AND r.sent_at >= a.low AND r.sent_at >= reach.low AND r.patient_id = k.patient AND ` + judged + tailMeasured + `k.n) t`

// Of a sensor, the newest by time of measurement are wanted; the key has them by time as sent. Where no time as sent was put right
// since a day before the earliest of the newest by that, the two are the same, and no more is read. Otherwise all since then is.
const (
	tailFirst    = `SELECT min(x.sent_at) AS sent, min(x.measured_at) - interval '24 hours' AS around FROM (SELECT r.sent_at, r.measured_at FROM `
	tailSent     = ` ORDER BY r.sent_at DESC, r.id DESC LIMIT `
	tailReach    = `SELECT CASE WHEN EXISTS (SELECT FROM reading_more m WHERE m.org_id = a.org_id AND m.sensor_id = a.sensor_id AND m.sent_at >= top.around AND m.clock_offset_us <> 0 AND `
	tailColumns  = `SELECT r.measured_at, r.id, r.value, r.value2, r.value3, r.received_at, r.findings, r.sensor_id`
	tailMeasured = ` ORDER BY r.measured_at DESC, r.id DESC LIMIT `
)

// Situations loads what patients' readings are judged against, as it was before this batch.
func (f *facts) Situations(ctx context.Context, patients []vital.PatientID) ([]alerts.Situation, error) {
	f.exclude()
	ids := make([]int64, len(patients))
	byID := make(map[vital.PatientID]*alerts.Situation, len(patients))
	list := make([]alerts.Situation, len(patients))
	for i, p := range patients {
		ids[i] = int64(p)
		list[i] = alerts.Situation{
			Patient: p, Last: map[alerts.RuleID]alerts.Interval{}, Episodes: map[alerts.RuleID]alerts.Episode{},
			Newest: map[vital.Metric]alerts.Mark{}, Tail: map[vital.Metric][]alerts.Point{},
		}
		byID[p] = &list[i]
	}
	ruleIDs, err := f.loadRules(ctx, ids, byID)
	if err != nil {
		return nil, err
	}
	if err := f.loadIntervals(ctx, ruleIDs, byID); err != nil {
		return nil, err
	}
	if err := f.loadEpisodes(ctx, ids, byID); err != nil {
		return nil, err
	}
	if err := f.loadTails(ctx, byID); err != nil {
		return nil, err
	}
	return list, nil
}

func (f *facts) loadRules(ctx context.Context, ids []int64, byID map[vital.PatientID]*alerts.Situation) ([]int64, error) {
	rows, err := f.tx.Query(ctx, rulesOfPatients, ids)
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	rules, err := collectRules(rows)
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	ruleIDs := make([]int64, 0, len(rules))
	for _, r := range rules {
		s := byID[r.Patient]
		s.Org = r.Org
		s.Rules = append(s.Rules, r)
		ruleIDs = append(ruleIDs, int64(r.ID))
	}
	return ruleIDs, nil
}

func (f *facts) loadIntervals(ctx context.Context, ruleIDs []int64, byID map[vital.PatientID]*alerts.Situation) error {
	rows, err := f.tx.Query(ctx, lastIntervals, ruleIDs)
	if err != nil {
		return fmt.Errorf("load intervals: %w", err)
	}
	var patient vital.PatientID
	var rule alerts.RuleID
	var row intervalRow
	_, err = pgx.ForEachRow(rows, append([]any{&patient, &rule}, row.targets()...), func() error {
		byID[patient].Last[rule] = row.interval()
		return nil
	})
	if err != nil {
		return fmt.Errorf("load intervals: %w", err)
	}
	return nil
}

func (f *facts) loadEpisodes(ctx context.Context, ids []int64, byID map[vital.PatientID]*alerts.Situation) error {
	rows, err := f.tx.Query(ctx, openEpisodes, ids)
	if err != nil {
		return fmt.Errorf("load open episodes: %w", err)
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Episode, error) { return scanEpisode(row) })
	if err != nil {
		return fmt.Errorf("load open episodes: %w", err)
	}
	for _, e := range open {
		byID[e.Patient].Episodes[e.Rule] = e
	}
	return nil
}

func (f *facts) loadTails(ctx context.Context, byID map[vital.PatientID]*alerts.Situation) error {
	var patients []int64
	var metrics []int16
	var counts []int32
	for p, s := range byID {
		ruled := map[vital.Metric]bool{}
		for _, r := range s.Rules {
			if !ruled[r.Metric] {
				ruled[r.Metric] = true
				patients = append(patients, int64(p))
				metrics = append(metrics, int16(r.Metric))
				counts = append(counts, int32(alerts.TailOf(s.Rules, r.Metric)+len(f.inBatch[p])))
			}
		}
	}
	if len(patients) == 0 {
		return nil
	}
	rows, err := f.tx.Query(ctx, tails, patients, metrics, counts)
	if err != nil {
		return fmt.Errorf("load newest readings: %w", err)
	}
	var patient vital.PatientID
	var row pointRow
	_, err = pgx.ForEachRow(rows, append([]any{&patient, &row.metric}, row.judged()...), func() error {
		p := row.point()
		if s := byID[patient]; !f.inBatch[patient][p.Mark] {
			s.Tail[p.Metric] = append(s.Tail[p.Metric], p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load newest readings: %w", err)
	}
	for _, s := range byID {
		for m, tail := range s.Tail {
			sort.Slice(tail, func(i, j int) bool { return tail[i].Before(tail[j].Mark) })
			if n := alerts.TailOf(s.Rules, m); len(tail) > n {
				tail = tail[len(tail)-n:]
			}
			s.Tail[m], s.Newest[m] = tail, tail[len(tail)-1].Mark
		}
	}
	return nil
}

// widen is how far the corrected time may lie from the time as sent, by which readings are partitioned.
const widen = 24 * time.Hour

const pointsAfter = `
SELECT r.metric, r.measured_at, r.id, r.value, r.value2, r.value3, r.received_at, r.findings, r.sensor_id, ` + unsureSeen + `
FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) a
JOIN reading r ON r.sensor_id = a.sensor_id AND r.metric = $2 AND r.sent_at >= $5 AND r.patient_id = $1 AND ` + judged + `
WHERE (r.measured_at, r.id) > ($3, $4)
ORDER BY r.measured_at, r.id`

// Points returns the patient's readings of the metric after the mark, in order, this batch's included.
func (f *facts) Points(ctx context.Context, patient vital.PatientID, metric vital.Metric, after alerts.Mark) ([]alerts.Point, error) {
	at := floor(after)
	return f.points(ctx, pointsAfter, int64(patient), int16(metric), at, after.ID, at.Add(-widen))
}

const pointsBefore = `
SELECT * FROM (
    SELECT r.metric, r.measured_at, r.id, r.value, r.value2, r.value3, r.received_at, r.findings, r.sensor_id, ` + unsureSeen + `
    FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) a
    JOIN reading r ON r.sensor_id = a.sensor_id AND r.metric = $2 AND r.sent_at BETWEEN $7 AND $8 AND r.patient_id = $1 AND ` + judged + `
    WHERE (r.measured_at, r.id) < ($3, $4) AND (r.measured_at, r.id) > ($5, $6)
    ORDER BY r.measured_at DESC, r.id DESC LIMIT $9) newest
ORDER BY measured_at, id`

// PointsBefore returns at most n readings before one mark and after another, in order, this batch's included.
func (f *facts) PointsBefore(ctx context.Context, patient vital.PatientID, metric vital.Metric, before, after alerts.Mark, n int) ([]alerts.Point, error) {
	if n <= 0 {
		return nil, nil
	}
	high := floor(before)
	// A few readings are wanted and they mostly lie near: growing windows keep a long history from being read for them.
	for window := widen; ; window *= 8 {
		low := alerts.Mark{At: high.Add(-window)}
		last := !after.Before(low) || low.At.Before(floor(alerts.Mark{}))
		if last {
			low = alerts.Mark{At: floor(after), ID: after.ID}
		}
		points, err := f.points(ctx, pointsBefore, int64(patient), int16(metric), high, before.ID, low.At, low.ID, low.At.Add(-widen), high.Add(widen), n)
		if err != nil || last || len(points) == n {
			return points, err
		}
	}
}

const pointsSince = `
SELECT r.metric, r.measured_at, r.id, r.value, r.value2, r.value3, r.received_at, r.findings, r.sensor_id, ` + unsureSeen + `
FROM (SELECT DISTINCT sensor_id FROM assignment WHERE patient_id = $1) a
JOIN reading r ON r.sensor_id = a.sensor_id AND r.metric = $2 AND r.sent_at BETWEEN $6 AND $7 AND r.patient_id = $1 AND ` + judged + `
WHERE r.measured_at >= $3 AND (r.measured_at, r.id) < ($4, $5)
ORDER BY r.measured_at, r.id`

// PointsSince returns the patient's readings of the metric from a time on and before the mark, in order, this batch's included.
func (f *facts) PointsSince(ctx context.Context, patient vital.PatientID, metric vital.Metric, from time.Time, before alerts.Mark) ([]alerts.Point, error) {
	high := floor(before)
	return f.points(ctx, pointsSince, int64(patient), int16(metric), from, high, before.ID, from.Add(-widen), high.Add(widen))
}

// floor is the mark's time, or a time before all readings.
func floor(m alerts.Mark) time.Time {
	if m.At.IsZero() {
		return time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return m.At
}

func (f *facts) points(ctx context.Context, query string, args ...any) ([]alerts.Point, error) {
	rows, err := f.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("load readings: %w", err)
	}
	points, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Point, error) {
		var p pointRow
		err := row.Scan(append([]any{&p.metric}, p.judged()...)...)
		return p.point(), err
	})
	if err != nil {
		return nil, fmt.Errorf("load readings: %w", err)
	}
	return points, nil
}

const intervalsFrom = `
(SELECT from_at, from_id, to_at, to_id, peak, count, last_at, last_id FROM condition_interval
 WHERE rule_id = $1 AND patient_id = $2 AND (from_at, from_id) < ($3, $4) ORDER BY from_at DESC, from_id DESC LIMIT 1)
UNION ALL
(SELECT from_at, from_id, to_at, to_id, peak, count, last_at, last_id FROM condition_interval
 WHERE rule_id = $1 AND patient_id = $2 AND (from_at, from_id) >= ($3, $4))
ORDER BY from_at, from_id`

// Intervals returns the rule's stored intervals from the mark on, and the one before it, in order.
func (f *facts) Intervals(ctx context.Context, patient vital.PatientID, rule alerts.RuleID, from alerts.Mark) ([]alerts.Interval, error) {
	rows, err := f.tx.Query(ctx, intervalsFrom, int64(rule), int64(patient), floor(from), from.ID)
	if err != nil {
		return nil, fmt.Errorf("load intervals: %w", err)
	}
	intervals, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Interval, error) {
		var r intervalRow
		err := row.Scan(r.targets()...)
		return r.interval(), err
	})
	if err != nil {
		return nil, fmt.Errorf("load intervals: %w", err)
	}
	return intervals, nil
}

type intervalRow struct {
	from, last alerts.Mark
	toAt       *time.Time
	toID       *int64
	peak       int16
	count      int
}

func (r *intervalRow) targets() []any {
	return []any{&r.from.At, &r.from.ID, &r.toAt, &r.toID, &r.peak, &r.count, &r.last.At, &r.last.ID}
}

func (r *intervalRow) interval() alerts.Interval {
	i := alerts.Interval{From: utcMark(r.from), Peak: alerts.Level(r.peak), Count: r.count, Last: utcMark(r.last)}
	if r.toAt != nil {
		i.To = utcMark(alerts.Mark{At: *r.toAt, ID: *r.toID})
	}
	return i
}

type pointRow struct {
	metric         vital.Metric
	mark           alerts.Mark
	value          float64
	value2, value3 *float64
	received       time.Time
	findings       int32
	sensor         vital.SensorID
	unsure         *int64
}

// judged are the targets of a reading that is judged: with unsureSeen.
func (r *pointRow) judged() []any { return append(r.targets(), &r.unsure) }

func (r *pointRow) targets() []any {
	return []any{&r.mark.At, &r.mark.ID, &r.value, &r.value2, &r.value3, &r.received, &r.findings, &r.sensor}
}

func (r *pointRow) point() alerts.Point {
	p := alerts.Point{
		Mark: utcMark(r.mark), Metric: r.metric, Values: []float64{r.value}, ReceivedAt: r.received.UTC(), Findings: vital.Finding(uint32(r.findings)), Sensor: r.sensor,
	}
	if r.unsure != nil {
		p.Unsure = time.Duration(*r.unsure) * time.Microsecond
	}
	if r.value2 != nil {
		p.Values = append(p.Values, *r.value2)
	}
	if r.value3 != nil {
		p.Values = append(p.Values, *r.value3)
	}
	return p
}

// collectRules reads rows of rules joined with their versions, ordered by rule.
func collectRules(rows pgx.Rows) ([]alerts.Rule, error) {
	var rules []alerts.Rule
	var r alerts.Rule
	var v alerts.Version
	var spec []byte
	var review *time.Time
	targets := []any{
		&r.ID, &r.UID, &r.Org, &r.Patient, &r.Kind, &r.Form, &r.Metric, &v.Number, &v.EffectiveFrom, &v.Enabled, &spec, &v.Advice,
		&v.Author, &v.AuthorName, &v.Reason, &review, &v.CreatedAt,
	}
	_, err := pgx.ForEachRow(rows, targets, func() error {
		if err := readSpec(spec, r.Kind, &v); err != nil {
			return fmt.Errorf("read the spec of rule %d version %d: %w", r.ID, v.Number, err)
		}
		v.EffectiveFrom, v.ReviewBy, v.CreatedAt = v.EffectiveFrom.UTC(), timeOf(review), v.CreatedAt.UTC()
		if n := len(rules); n == 0 || rules[n-1].ID != r.ID {
			rules = append(rules, r)
		}
		last := &rules[len(rules)-1]
		last.Versions = append(last.Versions, v)
		return nil
	})
	return rules, err
}

func readSpec(spec []byte, kind alerts.Kind, v *alerts.Version) error {
	v.Limit, v.Trend = alerts.Limit{}, nil
	if kind == alerts.KindTrend {
		v.Trend = &alerts.Trend{}
		return json.Unmarshal(spec, v.Trend)
	}
	return json.Unmarshal(spec, &v.Limit)
}

const logged = `
WITH e AS MATERIALIZED (
    SELECT e.org_id, e.id, CASE WHEN e.state = 'acknowledged' THEN (
        SELECT max(a.id) FROM timeline a WHERE a.org_id = e.org_id AND a.episode_id = e.id AND a.kind = 'acknowledged') END AS acked
    FROM episode e WHERE e.rule_id = $1 AND e.patient_id = $2)
SELECT t.reading_at, t.reading_id, e.id, coalesce(min(t.id) < e.acked, false) FROM e JOIN timeline t ON t.org_id = e.org_id AND t.episode_id = e.id
WHERE t.kind IN ('opened', 'occurred', 'worsened', 'annotated') AND (t.reading_at, t.reading_id) >= ($3, $4)
GROUP BY t.reading_at, t.reading_id, e.id, e.acked ORDER BY t.reading_at, t.reading_id, e.id`

// Logged returns the readings that the rule's episodes already tell of, from the mark on, in order.
func (f *facts) Logged(ctx context.Context, patient vital.PatientID, rule alerts.RuleID, from alerts.Mark) ([]alerts.Told, error) {
	rows, err := f.tx.Query(ctx, logged, int64(rule), int64(patient), floor(from), from.ID)
	if err != nil {
		return nil, fmt.Errorf("load logged readings: %w", err)
	}
	told, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Told, error) {
		var t alerts.Told
		err := row.Scan(&t.At, &t.ID, &t.Episode, &t.Acked)
		t.Mark = utcMark(t.Mark)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("load logged readings: %w", err)
	}
	return told, nil
}

const resolvedEpisodes = `SELECT ` + episodeColumns + `
FROM episode e WHERE e.rule_id = $1 AND e.patient_id = $2 AND e.closing = 'resolved' AND e.closed_at > $3 ORDER BY e.id`

// Resolved returns the rule's episodes that a person resolved after the given time, oldest first.
func (f *facts) Resolved(ctx context.Context, patient vital.PatientID, rule alerts.RuleID, after time.Time) ([]alerts.Episode, error) {
	rows, err := f.tx.Query(ctx, resolvedEpisodes, int64(rule), int64(patient), after)
	if err != nil {
		return nil, fmt.Errorf("load resolved episodes: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Episode, error) { return scanEpisode(row) })
	if err != nil {
		return nil, fmt.Errorf("load resolved episodes: %w", err)
	}
	return list, nil
}
