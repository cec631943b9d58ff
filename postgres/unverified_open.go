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

// hit is what the suspects of one sensor, metric and side found together: the worst number of them, whether the device could not even
// measure one, and how many there were.
type hit struct {
	*suspect
	alerts.Screened
	beyond  vital.Beyond
	past    bool // it calls nobody
	times   int
	last    time.Time
	holders []holder
	values  []value
	restOf  int64 // the closed row whose rest it is, with the values there; 0: new values
}

// value is one of those that a hit stands for.
type value struct {
	*suspect
	alerts.Screened
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
	h.values = append(h.values, value{s, *one})
	if s.received.After(h.last) {
		h.last = s.received
	}
}

// mayBeOf adds whose a further value may be: what came together need not be of one time.
func (h *hit) mayBeOf(theirs []holder) {
	for _, one := range theirs {
		if !slices.Contains(h.holders, one) {
			h.holders = append(h.holders, one)
		}
	}
}

// hitsOf screens the suspects and returns the hits in order.
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
			found[k] = &hit{suspect: s, Screened: one, past: k.historic}
		}
		found[k].take(s, &one)
		found[k].mayBeOf(mine)
	}
	all := make([]*hit, 0, len(found))
	for _, h := range found {
		all = append(all, h)
	}
	slices.SortFunc(all, inOrder)
	return all
}

// inOrder is the order in which rows are locked, the same for everybody who writes them (lockUnverifieds).
func inOrder(a, b *hit) int {
	historic := 0
	switch {
	case a.past && !b.past:
		historic = 1
	case b.past && !a.past:
		historic = -1
	}
	return cmp.Or(cmp.Compare(a.sensor, b.sensor), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Side, b.Side), historic, a.received.Compare(b.received))
}

// whose says of each possible holder how, at the moment of the value; of one that is not known well only who had it all that time holds it,
// and of the others it is told from when, or until when, they did. One stands once, by the nearest way.
func whose(s *suspect, all []holder) []holder {
	var list []holder
	known := s.mayBeKnown == 0
	first, last := s.At, s.At
	if !s.measured.IsZero() {
		first, last = vital.VagueWithin(s.unsure, s.received).Span(s.At)
	}
	for _, h := range all {
		if !h.to.IsZero() && h.to.Before(s.At.Add(-heldLately)) {
			continue // asked for because of an older value that came with it
		}
		if h.how == "held" && !first.Before(h.from) && (h.to.IsZero() || last.Before(h.to)) {
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
// The version counts whatever the row shows anew, so that nobody acts on a value that they were not shown; it calls again (called_version)
// for a worse level, and for any worse value than the one that somebody looks after: nobody knows whether both are of one person.
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
    version = u.version + (excluded.level > u.level OR excluded.beyond NOT IN (0, u.beyond) OR cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness))::int,
    called_version = CASE WHEN (excluded.level > u.level OR cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness AND u.state = 'acknowledged')) THEN u.version + 1 ELSE u.called_version END,
    state = CASE WHEN (excluded.level > u.level OR cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness AND u.state = 'acknowledged')) THEN 'open' ELSE u.state END,
    next_action_at = CASE WHEN (excluded.level > u.level OR cardinality(excluded.vals) > 0 AND (cardinality(u.vals) = 0 OR excluded.badness > u.badness AND u.state = 'acknowledged')) AND NOT u.historic THEN least(excluded.deadline_at, u.deadline_at) ELSE u.next_action_at END
RETURNING u.id, u.uid::text, u.version, u.times = $17, u.called_version = u.version AND u.version > coalesce((SELECT b.version FROM before b), u.version)`

const insertUnverifiedEntry = `
INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, vals, note, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`

// A notice of what is nobody's is for whoever is on duty: there is no patient and no care team to name.
const insertUnverifiedNotice = `
INSERT INTO outbox (org_id, topic, dedup, severity, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org_id, topic, dedup) DO NOTHING`

// What still waits of a closed row goes to the new one, with whose it may be.
const takeRest = `
WITH moved AS (UPDATE unverified_value SET unverified_id = $2 WHERE unverified_id = $1 AND ended_at IS NULL)
INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, from_at, to_at)
SELECT org_id, $2, patient_id, how, from_at, to_at FROM unverified_person WHERE unverified_id = $1 AND how <> 'claimed' ON CONFLICT DO NOTHING`

// A row of the same that a person has just called not real speaks of the rest as well.
const hushRest = `UPDATE unverified_value SET ended_at = $2, left_at = coalesce(left_at, $2), became = 'not_real' WHERE unverified_id = $1 AND ended_at IS NULL`

// opened is what became of a hit: a row that was opened or that counted it up. There is none when somebody has just called it not real.
type opened struct {
	hit     *hit
	found   bool
	id      int64
	uid     vital.UID
	version int
	fresh   bool // the row was opened by it
	worse   bool // the row calls again
	event   alerts.Event
}

// openAll opens the hits, or counts them up, in their order: one round trip for the rows and one for what hangs on them.
func openAll(ctx context.Context, tx statements, now time.Time, hits []*hit) ([]alerts.Event, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	rows, q := make([]opened, len(hits)), &pgx.Batch{}
	for i, h := range hits {
		rows[i].hit = h
		h.queue(q, now, &rows[i])
	}
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return nil, fmt.Errorf("open unverified reds: %w", err)
	}
	q = &pgx.Batch{}
	var all standingFor
	for i := range rows {
		switch o := &rows[i]; {
		case o.found:
			all.add(o)
			o.queue(q, now)
		case o.hit.restOf != 0:
			q.Queue(hushRest, o.hit.restOf, now)
		}
	}
	all.queue(q)
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return nil, fmt.Errorf("log unverified reds: %w", err)
	}
	var events []alerts.Event
	for i := range rows {
		if rows[i].event.ID != 0 {
			events = append(events, rows[i].event)
		}
	}
	return events, nil
}

func (h *hit) queue(q *pgx.Batch, now time.Time, into *opened) {
	var deadline *time.Time
	if !h.past {
		at := now.Add(alerts.VerifyWithin)
		deadline = &at
	}
	q.Queue(openUnverified, int32(h.org), string(newUID()), int64(h.device), int64(h.sensor), int16(h.Metric), int16(h.Level), string(h.Ground), int16(h.beyond),
		h.Values, h.Unitless, h.Badness, int32(h.findings), nullID(h.reading), nullTime(h.measured), h.received, h.last, h.times, string(h.place), h.why, h.past, now, deadline, alerts.HushFor, int16(h.Side)).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&into.id, &into.uid, &into.version, &into.fresh, &into.worse)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // it was called not real a moment ago
			}
			into.found = err == nil
			return err
		})
}

// queue moves to it what a closed one leaves behind, and writes that it calls, where it does.
func (o *opened) queue(q *pgx.Batch, now time.Time) {
	h := o.hit
	if h.restOf != 0 {
		q.Queue(takeRest, h.restOf, o.id)
	}
	kind, topic := "opened", push.UnverifiedOpened
	switch {
	case o.fresh:
	case o.worse:
		kind, topic = "worsened", push.UnverifiedWorsened
	default:
		return
	}
	e := alerts.Event{Org: h.org, Alert: o.uid, Version: o.version, Unverified: true}
	q.Queue(insertUnverifiedEntry, int32(h.org), o.id, kind, now, nil, "", "", h.Values, "", o.version).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&e.ID)
		o.event = e
		return err
	})
	q.Queue(insertAudit, auditArgs(account.Audit{Org: h.org, At: now, Action: "unverified red " + kind, Object: "unverified " + string(o.uid)})...)
	if !h.past {
		q.Queue(insertUnverifiedNotice, int32(h.org), string(topic), fmt.Sprintf("%s/%d", o.uid, o.version), h.Level.String(), now)
	}
}
