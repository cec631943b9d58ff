package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/push"
	"hale/vital"
)

// suspect is a value of a batch that no limit of a known person judged.
type suspect struct {
	alerts.Suspect
	org        vital.OrgID
	device     vital.DeviceID
	sensor     vital.SensorID // 0: the device's own
	findings   vital.Finding
	reading    int64         // 0: it is none
	measured   time.Time     // zero: not known
	unsure     time.Duration // of measured, either way
	received   time.Time
	place      alerts.Place
	why        string
	mayBeKnown vital.PatientID // whose it would be, as the record or the edge saw it
}

func suspectOf(r *vital.Reading, place alerts.Place, why string) suspect {
	return suspect{
		Suspect: alerts.Suspect{Metric: r.Metric, Sent: r.Sent[:r.N], At: r.MeasuredAt}, unsure: r.Unsure(), org: r.Org, device: r.Device, sensor: r.Sensor,
		findings: r.Findings, reading: r.ID(), measured: r.MeasuredAt, received: r.ReceivedAt, place: place, why: why, mayBeKnown: r.Patient,
	}
}

// refusedSuspect is what could be read of a refused measurement; ok is false when that was nothing.
func refusedSuspect(no *vital.Refused) (s suspect, ok bool) {
	if no.Read == nil {
		return s, false // what a value of no metric means, nobody knows
	}
	s = suspectOf(no.Read, alerts.InQuarantine, string(no.Reason))
	s.org, s.device, s.received, s.reading, s.Beyond = no.Org, no.Device, no.ReceivedAt, 0, no.Beyond
	if s.measured.IsZero() || no.Reason == vital.ReasonClock || !vital.ClockPlausible(s.measured, s.received) {
		s.measured, s.At = time.Time{}, s.received // it may have been measured just now
	}
	return s, true
}

// historic reports whether the value tells of the past. Of one whose time is not known, or not so well that it may have been measured
// just now, that is not known either.
func (s *suspect) historic() bool {
	return !s.measured.IsZero() && s.received.Sub(vital.Latest(s.measured, s.unsure, s.received)) > vital.HistoricAfter
}

// suspects are what a batch brought that is screened: parked and refused for the first time, and stored without being judged.
func (j *job) suspects(first []*vital.Refused) []suspect {
	var all []suspect
	for _, r := range j.filed.parkedFirst {
		all = append(all, suspectOf(r, alerts.InInbox, cmp.Or(j.placed.reasons[r], parkedNoOwner)))
	}
	for _, no := range first {
		if s, ok := refusedSuspect(no); ok {
			all = append(all, s)
		}
	}
	for i := range j.filed.stored {
		if r := &j.filed.stored[i]; r.Findings&vital.NotJudged != 0 {
			all = append(all, suspectOf(r.Reading, alerts.InRecord, "averaged"))
		}
	}
	return all
}

// How much a batch asks for whom a suspect may concern. Beyond that universal extremes alone are asked.
const (
	mostSuspectSensors = 64
	mostHolders        = 16 // of one sensor
	heldLately         = 30 * 24 * time.Hour
)

// holder is somebody whose a value of a sensor may be.
type holder struct {
	patient  vital.PatientID
	how      string
	from, to time.Time
}

// possibleHolders are, of each sensor, those who hold or held it lately, and those who hold another sensor of a device that speaks for
// it, or another slot of the same shared sensor: a household, or the kit's patient. Nobody whose record is locked, and nobody because of what
// a claim made: it is no evidence for the next.
const possibleHolders = `
SELECT k.sensor, h.patient_id, h.near, h.from_at, h.to_at FROM unnest($1::bigint[]) AS k (sensor) CROSS JOIN LATERAL (
    SELECT a.patient_id, a.sensor_id <> k.sensor AS near, a.from_at, a.to_at
    FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id AND p.state NOT IN ('locked', 'merged')
    WHERE (a.to_at IS NULL OR a.to_at > a.from_at AND a.to_at >= $2)
      AND NOT EXISTS (SELECT FROM refile_part t JOIN refile f ON f.org_id = t.org_id AND f.id = t.refile_id WHERE t.target_assignment = a.id AND f.source_id IS NULL)
      AND a.sensor_id IN (
        SELECT k.sensor
        UNION SELECT s.id FROM sensor n JOIN sensor s ON s.org_id = n.org_id AND (s.parent_id = n.id OR s.parent_id = n.parent_id OR s.id = n.parent_id) WHERE n.id = k.sensor
        UNION SELECT o.sensor_id FROM gateway_grant g JOIN gateway_grant o ON o.org_id = g.org_id AND o.device_id = g.device_id WHERE g.sensor_id = k.sensor
        UNION SELECT s.id FROM gateway_grant g JOIN sensor s ON s.org_id = g.org_id AND s.device_id = g.device_id WHERE g.sensor_id = k.sensor
        UNION SELECT g.sensor_id FROM sensor s JOIN gateway_grant g ON g.org_id = s.org_id AND g.device_id = s.device_id WHERE s.id = k.sensor)
    ORDER BY near, a.from_at DESC LIMIT $3) h`

// screen opens an unverified red for each suspect that may be an emergency, in the transaction of the batch that brought it. It
// returns the events to announce after the commit.
func screen(ctx context.Context, tx statements, now time.Time, list []suspect) ([]alerts.Event, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if err := nameSensors(ctx, tx, list); err != nil {
		return nil, err
	}
	list, err := withoutErased(ctx, tx, list)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	holders, err := holdersOf(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	rules, err := rulesOfHolders(ctx, tx, list, holders)
	if err != nil {
		return nil, err
	}
	var events []alerts.Event
	for _, h := range hitsOf(list, holders, rules) {
		told, err := h.open(ctx, tx, now)
		if err != nil {
			return nil, err
		}
		events = append(events, told...)
	}
	return events, nil
}

// nameSensors fills in the own sensor of devices that spoke for themselves.
func nameSensors(ctx context.Context, tx statements, list []suspect) error {
	var devices []int64
	for i := range list {
		if list[i].sensor == 0 {
			devices = append(devices, int64(list[i].device))
		}
	}
	if len(devices) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT device_id, id FROM sensor WHERE device_id = ANY($1)`, devices)
	if err != nil {
		return fmt.Errorf("find the devices' own sensors: %w", err)
	}
	own := map[vital.DeviceID]vital.SensorID{}
	var device vital.DeviceID
	var sensor vital.SensorID
	if _, err := pgx.ForEachRow(rows, []any{&device, &sensor}, func() error { own[device] = sensor; return nil }); err != nil {
		return fmt.Errorf("find the devices' own sensors: %w", err)
	}
	for i := range list {
		if list[i].sensor == 0 {
			list[i].sensor = own[list[i].device]
		}
	}
	return nil
}

const erasedOfSensors = `SELECT sensor_id, from_at, coalesce(to_at, erased_at) FROM erased_span WHERE sensor_id = ANY($1)`

// withoutErased leaves out what was measured by people who were erased: nothing of it is kept, and there is nobody to look after.
func withoutErased(ctx context.Context, tx statements, list []suspect) ([]suspect, error) {
	sensors := make([]int64, len(list))
	for i := range list {
		sensors[i] = int64(list[i].sensor)
	}
	rows, err := tx.Query(ctx, erasedOfSensors, sensors)
	if err != nil {
		return nil, fmt.Errorf("look for people who were erased: %w", err)
	}
	erased := map[vital.SensorID][]span{}
	var sensor vital.SensorID
	var one span
	if _, err := pgx.ForEachRow(rows, []any{&sensor, &one.from, &one.to}, func() error { erased[sensor] = append(erased[sensor], one); return nil }); err != nil {
		return nil, fmt.Errorf("look for people who were erased: %w", err)
	}
	return slices.DeleteFunc(list, func(s suspect) bool {
		return slices.ContainsFunc(erased[s.sensor], func(e span) bool { return !s.At.Before(e.from) && s.At.Before(e.to) })
	}), nil
}

func holdersOf(ctx context.Context, tx statements, list []suspect) (map[vital.SensorID][]holder, error) {
	var sensors []int64
	earliest := list[0].At
	for i := range list {
		if s := int64(list[i].sensor); !slices.Contains(sensors, s) && len(sensors) < mostSuspectSensors {
			sensors = append(sensors, s)
		}
		if list[i].At.Before(earliest) {
			earliest = list[i].At
		}
	}
	rows, err := tx.Query(ctx, possibleHolders, sensors, earliest.Add(-heldLately), mostHolders)
	if err != nil {
		return nil, fmt.Errorf("find whose a parked value may be: %w", err)
	}
	all := map[vital.SensorID][]holder{}
	var sensor vital.SensorID
	var h holder
	var near bool
	var to *time.Time
	_, err = pgx.ForEachRow(rows, []any{&sensor, &h.patient, &near, &h.from, &to}, func() error {
		h.from, h.to, h.how = h.from.UTC(), timeOf(to), "held"
		if near {
			h.how = "near"
		}
		all[sensor] = append(all[sensor], h)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find whose a parked value may be: %w", err)
	}
	return all, nil
}

func rulesOfHolders(ctx context.Context, tx statements, list []suspect, holders map[vital.SensorID][]holder) (map[vital.PatientID][]alerts.Rule, error) {
	var patients []int64
	add := func(p vital.PatientID) {
		if p != 0 && !slices.Contains(patients, int64(p)) {
			patients = append(patients, int64(p))
		}
	}
	for i := range list {
		add(list[i].mayBeKnown)
		for _, h := range holders[list[i].sensor] {
			add(h.patient)
		}
	}
	if len(patients) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, rulesOfPatients, patients)
	if err != nil {
		return nil, fmt.Errorf("load the limits of whose a parked value may be: %w", err)
	}
	rules, err := collectRules(rows)
	if err != nil {
		return nil, fmt.Errorf("load the limits of whose a parked value may be: %w", err)
	}
	all := map[vital.PatientID][]alerts.Rule{}
	for _, r := range rules {
		all[r.Patient] = append(all[r.Patient], r)
	}
	return all, nil
}

// hit is what the suspects of one sensor, metric and side found together: the worst number of them, whether the device could not even
// measure one, and how many there were.
type hit struct {
	*suspect
	alerts.Screened
	beyond  vital.Beyond
	times   int
	last    time.Time
	holders []holder
}

// take adds a finding of another suspect. A number is better known than that the device could not measure one, and a worse one counts.
func (h *hit) take(s *suspect, one *alerts.Screened) {
	switch {
	case one.Ground == alerts.GroundBeyond:
		h.beyond, h.Level = one.Side, max(h.Level, one.Level)
	case h.Ground == alerts.GroundBeyond, one.Badness > h.Badness:
		level := max(h.Level, one.Level)
		h.suspect, h.Screened = s, *one
		h.Level = level
	}
	h.times++
	if s.received.After(h.last) {
		h.last = s.received
	}
}

// hitsOf screens the suspects and returns the hits in an order that is the same for everybody who writes them.
func hitsOf(list []suspect, holders map[vital.SensorID][]holder, rules map[vital.PatientID][]alerts.Rule) []*hit {
	type key struct {
		sensor   vital.SensorID
		metric   vital.Metric
		side     vital.Beyond
		historic bool
	}
	found := map[key]*hit{}
	for i := range list {
		s := &list[i]
		mine := whose(s, holders[s.sensor])
		var theirs []alerts.Rule
		for _, h := range mine {
			theirs = append(theirs, rules[h.patient]...)
		}
		one, ok := alerts.Screen(s.Suspect, theirs)
		if !ok || s.sensor == 0 {
			continue
		}
		k := key{s.sensor, s.Metric, one.Side, s.historic()}
		if found[k] == nil {
			found[k] = &hit{suspect: s, Screened: one, holders: mine}
		}
		found[k].take(s, &one)
	}
	all := make([]*hit, 0, len(found))
	for _, h := range found {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *hit) int {
		return cmp.Or(cmp.Compare(a.sensor, b.sensor), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Side, b.Side), a.received.Compare(b.received))
	})
	return all
}

// whose says of each possible holder how, at the moment of the value. One stands once, by the nearest way.
func whose(s *suspect, all []holder) []holder {
	var list []holder
	known := s.mayBeKnown == 0
	for _, h := range all {
		if h.how == "held" && !s.At.Before(h.from) && (h.to.IsZero() || s.At.Before(h.to)) {
			h.how = "holds"
		}
		known = known || h.patient == s.mayBeKnown
		if i := slices.IndexFunc(list, func(o holder) bool { return o.patient == h.patient }); i < 0 {
			list = append(list, h)
		} else if h.how == "holds" {
			list[i] = h
		}
	}
	if !known {
		list = append(list, holder{patient: s.mayBeKnown, how: "holds"})
	}
	return list
}

// openUnverified counts up what is open, keeping the worst; hushes what a person has just called not real; or opens a new one. Too low
// and too high are two emergencies: what is open or closed of one side says nothing of the other. A first number after values that the
// device could not even measure calls again, and so it does after "not real": it is better known. So is one with a unit.
const openUnverified = `
WITH before AS (SELECT o.version FROM unverified o WHERE o.sensor_id = $4 AND o.metric = $5 AND o.historic = $20 AND o.side = $24 AND o.state <> 'closed'), hushed AS (
    UPDATE unverified u SET times = u.times + $17, last_received_at = greatest(u.last_received_at, $16)
    WHERE u.id = (SELECT o.id FROM unverified o WHERE o.org_id = $1 AND o.sensor_id = $4 AND o.metric = $5 AND o.historic = $20 AND o.side = $24 AND o.state = 'closed'
        AND o.closing = 'not_real' AND o.closed_at > $21::timestamptz - $23::interval
        AND ($8 = 0 OR o.beyond <> 0) AND (cardinality($9::float8[]) = 0 OR cardinality(o.vals) > 0 AND o.badness >= $11 AND ($10 OR NOT o.unitless)) ORDER BY o.id DESC LIMIT 1)
    AND NOT EXISTS (SELECT FROM unverified o WHERE o.sensor_id = $4 AND o.metric = $5 AND o.historic = $20 AND o.side = $24 AND o.state <> 'closed')
    RETURNING u.id
)
INSERT INTO unverified AS u (org_id, uid, device_id, sensor_id, metric, level, ground, beyond, vals, unitless, badness, findings, reading_id, measured_at, received_at,
    last_received_at, times, place, why, historic, opened_at, deadline_at, next_action_at, side)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $22, $24
WHERE NOT EXISTS (SELECT FROM hushed)
ON CONFLICT (sensor_id, metric, historic, side) WHERE state <> 'closed' DO UPDATE SET times = u.times + excluded.times, last_received_at = greatest(u.last_received_at, excluded.last_received_at),
    beyond = CASE WHEN excluded.beyond <> 0 THEN excluded.beyond ELSE u.beyond END,
    vals = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.vals ELSE u.vals END,
    unitless = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.unitless ELSE u.unitless END,
    ground = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.ground ELSE u.ground END,
    findings = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.findings ELSE u.findings END,
    reading_id = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.reading_id ELSE u.reading_id END,
    measured_at = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.measured_at ELSE u.measured_at END,
    received_at = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.received_at ELSE u.received_at END,
    place = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.place ELSE u.place END,
    why = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.why ELSE u.why END,
    badness = CASE WHEN cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness) THEN excluded.badness ELSE u.badness END,
    level = greatest(u.level, excluded.level),
    version = u.version + (excluded.level > u.level OR cardinality(u.vals) = 0 AND cardinality(excluded.vals) > 0)::int,
    state = CASE WHEN (excluded.level > u.level OR cardinality(u.vals) = 0 AND cardinality(excluded.vals) > 0) THEN 'open' ELSE u.state END,
    next_action_at = CASE WHEN (excluded.level > u.level OR cardinality(u.vals) = 0 AND cardinality(excluded.vals) > 0) AND NOT u.historic THEN least(excluded.deadline_at, u.deadline_at) ELSE u.next_action_at END
RETURNING u.id, u.uid::text, u.version, u.times = $17, u.version > coalesce((SELECT b.version FROM before b), u.version)`

const insertUnverifiedPerson = `
INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, from_at, to_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

const insertUnverifiedEntry = `
INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, vals, note, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`

// A notice of what is nobody's is for whoever is on duty: there is no patient and no care team to name.
const insertUnverifiedNotice = `
INSERT INTO outbox (org_id, topic, dedup, severity, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org_id, topic, dedup) DO NOTHING`

func (h *hit) open(ctx context.Context, tx statements, now time.Time) ([]alerts.Event, error) {
	var deadline *time.Time
	if !h.historic() {
		at := now.Add(alerts.VerifyWithin)
		deadline = &at
	}
	var id int64
	var version int
	var uid vital.UID
	var opened, worse bool
	err := tx.QueryRow(ctx, openUnverified, int32(h.org), string(newUID()), int64(h.device), int64(h.sensor), int16(h.Metric), int16(h.Level), string(h.Ground), int16(h.beyond),
		h.Values, h.Unitless, h.Badness, int32(h.findings), nullID(h.reading), nullTime(h.measured), h.received, h.last, h.times, string(h.place), h.why, h.historic(), now, deadline, alerts.HushFor, int16(h.Side)).
		Scan(&id, &uid, &version, &opened, &worse)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil // it was called not real a moment ago
	}
	if err != nil {
		return nil, fmt.Errorf("open an unverified red: %w", err)
	}
	for _, p := range h.holders {
		if _, err := tx.Exec(ctx, insertUnverifiedPerson, int32(h.org), id, int64(p.patient), p.how, nullTime(p.from), nullTime(p.to)); err != nil {
			return nil, fmt.Errorf("note whose an unverified red may be: %w", err)
		}
	}
	kind, topic := "opened", push.UnverifiedOpened
	switch {
	case opened:
	case worse:
		kind, topic = "worsened", push.UnverifiedWorsened
	default:
		return nil, nil
	}
	e := alerts.Event{Org: h.org, Alert: uid, Version: version, Unverified: true}
	if err := tx.QueryRow(ctx, insertUnverifiedEntry, int32(h.org), id, kind, now, nil, "", "", h.Values, "", version).Scan(&e.ID); err != nil {
		return nil, fmt.Errorf("log an unverified red: %w", err)
	}
	audited := account.Audit{Org: h.org, At: now, Action: "unverified red " + kind, Object: "unverified " + string(uid)}
	if _, err := tx.Exec(ctx, insertAudit, auditArgs(audited)...); err != nil {
		return nil, fmt.Errorf("log an unverified red: %w", err)
	}
	if !h.historic() {
		dedup := fmt.Sprintf("%s/%d", uid, version)
		if _, err := tx.Exec(ctx, insertUnverifiedNotice, int32(h.org), string(topic), dedup, h.Level.String(), now); err != nil {
			return nil, fmt.Errorf("owe a notice of an unverified red: %w", err)
		}
	}
	return []alerts.Event{e}, nil
}
