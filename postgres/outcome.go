package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/push"
	"hale/vital"
)

const episodeColumns = `e.id, e.uid::text, e.org_id, e.patient_id, e.rule_id, e.metric, e.state, e.holds, e.level, e.historic, e.rule_version,
e.opened_at, e.first_at, e.first_id, e.last_at, e.last_id, e.last_values, e.occurrences, coalesce(e.ack_by, 0), e.ack_name, e.ack_at, e.ack_until,
e.closed_at, e.closing, e.next_step, e.next_step_at, e.note, e.version, e.contact, e.paged, e.ended, e.ack_level, e.last_grounds,
coalesce(e.since_at, e.first_at), e.worst_at, coalesce(e.worst_id, 0), e.worst_level, e.worst_values, e.worst_grounds, e.contact_at, coalesce(e.contact_id, 0),
coalesce(e.last_version, e.rule_version), e.retracted, e.vague`

// scanEpisode reads episodeColumns, and whatever columns follow them into more.
func scanEpisode(row pgx.CollectableRow, more ...any) (alerts.Episode, error) {
	var e alerts.Episode
	var ackAt, ackUntil, closedAt, nextAt, worstAt, contactAt *time.Time
	var vague *vagueTimes
	err := row.Scan(append([]any{
		&e.ID, &e.UID, &e.Org, &e.Patient, &e.Rule, &e.Metric, &e.State, &e.Holds, &e.Level, &e.Historic, &e.RuleVersion,
		&e.OpenedAt, &e.First.At, &e.First.ID, &e.Last.At, &e.Last.ID, &e.LastValues, &e.Occurrences, &e.AckBy, &e.AckName, &ackAt, &ackUntil,
		&closedAt, &e.Closing, &e.NextStep, &nextAt, &e.Note, &e.Version, &e.Contact, &e.Paged, &e.Ended, &e.AckLevel, &e.LastGrounds,
		&e.Since, &worstAt, &e.Worst.ID, &e.WorstLevel, &e.WorstValues, &e.WorstGrounds, &contactAt, &e.ContactAbout.ID,
		&e.LastVersion, &e.Retracted, &vague,
	}, more...)...)
	vague.into(&e)
	if len(e.Retracted) == 0 {
		e.Retracted = nil
	}
	e.OpenedAt, e.First, e.Last = e.OpenedAt.UTC(), utcMark(e.First), utcMark(e.Last)
	e.AckAt, e.AckUntil, e.ClosedAt, e.NextStepAt = timeOf(ackAt), timeOf(ackUntil), timeOf(closedAt), timeOf(nextAt)
	e.Since, e.Worst.At, e.ContactAbout.At = e.Since.UTC(), timeOf(worstAt), timeOf(contactAt)
	return e, err
}

const dropIntervals = `DELETE FROM condition_interval WHERE org_id = $1 AND rule_id = $2 AND (from_at, from_id) >= ($3, $4)`

const insertInterval = `
INSERT INTO condition_interval (org_id, rule_id, patient_id, from_at, from_id, to_at, to_id, peak, count, last_at, last_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// save writes what was decided: tracks and episodes at once, what depends on them with the statements of last, which the
// caller sends. The events to announce after the commit are complete when last was sent.
func save(ctx context.Context, tx statements, o alerts.Outcome, now time.Time, last *pgx.Batch) ([]alerts.Event, error) {
	queueNotices(last, o.Notices)
	if len(o.Tracks) == 0 && len(o.Episodes) == 0 {
		return nil, nil
	}
	first := &pgx.Batch{}
	queueTracks(first, o.Tracks)
	uids := queueEpisodes(first, o.Episodes)
	if err := tx.SendBatch(ctx, first).Close(); err != nil {
		return nil, fmt.Errorf("write condition tracks and episodes: %w", err)
	}
	return queueTimeline(last, o.Episodes, uids, now), nil
}

// saveEpisodes writes what a person's act made of episodes and returns the events to announce after the commit.
func saveEpisodes(ctx context.Context, tx statements, changes []alerts.EpisodeChange, now time.Time) ([]alerts.Event, error) {
	last := &pgx.Batch{}
	events, err := save(ctx, tx, alerts.Outcome{Episodes: changes}, now, last)
	if err != nil || last.Len() == 0 {
		return events, err
	}
	if err := tx.SendBatch(ctx, last).Close(); err != nil {
		return nil, fmt.Errorf("write the timeline: %w", err)
	}
	return events, nil
}

func queueTracks(q *pgx.Batch, tracks []alerts.TrackChange) {
	for _, t := range tracks {
		q.Queue(dropIntervals, int32(t.Org), int64(t.Rule), floor(t.DropFrom), t.DropFrom.ID)
		for _, i := range t.Intervals {
			var toID *int64
			if !i.Open() {
				id := i.To.ID
				toID = &id
			}
			q.Queue(insertInterval, int32(t.Org), int64(t.Rule), int64(t.Patient), i.From.At, i.From.ID, nullTime(i.To.At), toID, int16(i.Peak), i.Count, i.Last.At, i.Last.ID)
		}
	}
}

const insertEpisode = `
INSERT INTO episode (org_id, uid, patient_id, rule_id, metric, state, holds, level, historic, rule_version, opened_at, first_at, first_id,
    last_at, last_id, last_values, occurrences, ack_by, ack_name, ack_at, ack_until, closed_at, closing, next_step, next_step_at, note, version,
    contact, paged, ended, ack_level, last_grounds, since_at, worst_at, worst_id, worst_level, worst_values, worst_grounds, contact_at, contact_id,
    last_version, vague)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32,
    $33, $34, $35, $36, $37, $38, $39, $40, $41, $42)
RETURNING id`

const updateEpisode = `
UPDATE episode SET state = $3, holds = $4, level = $5, historic = $6, last_at = $7, last_id = $8, last_values = $9, occurrences = $10,
    ack_by = $11, ack_name = $12, ack_at = $13, ack_until = $14, closed_at = $15, closing = $16, next_step = $17, next_step_at = $18, note = $19,
    version = $20, first_at = $21, first_id = $22, contact = $23, paged = $24, ended = $25, ack_level = $26, last_grounds = $27,
    since_at = $28, worst_at = $29, worst_id = $30, worst_level = $31, worst_values = $32, worst_grounds = $33, contact_at = $34, contact_id = $35,
    last_version = $36, retracted = $37, vague = $38
WHERE org_id = $1 AND id = $2`

const insertEntry = `
INSERT INTO timeline (org_id, episode_id, kind, recorded_at, actor_id, actor_name, actor_role, level, reading_at, reading_id, vals, rule_version,
    historic, closes, until_at, next_step, next_step_at, note, episode_version, breaks, contact, cause, evaluator, grounds, worst, retracts, vague)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
RETURNING id`

// queueEpisodes writes episodes in order (a rule may close one and open the next in one batch), and asks for the names of
// their patients, which are there when q was sent.
func queueEpisodes(q *pgx.Batch, changes []alerts.EpisodeChange) map[vital.PatientID]vital.UID {
	uids := make(map[vital.PatientID]vital.UID, len(changes))
	if len(changes) == 0 {
		return uids
	}
	ids := make([]int64, 0, len(changes))
	for _, c := range changes {
		e := c.Episode
		ids = append(ids, int64(e.Patient))
		values := e.LastValues
		if values == nil {
			values = []float64{}
		}
		if e.ID == 0 {
			e.UID = newUID()
			q.Queue(insertEpisode, int32(e.Org), string(e.UID), int64(e.Patient), int64(e.Rule), int16(e.Metric), string(e.State), e.Holds, int16(e.Level), e.Historic,
				e.RuleVersion, e.OpenedAt, e.First.At, e.First.ID, e.Last.At, e.Last.ID, values, e.Occurrences, nullID(e.AckBy), e.AckName, nullTime(e.AckAt),
				nullTime(e.AckUntil), nullTime(e.ClosedAt), string(e.Closing), string(e.NextStep), nullTime(e.NextStepAt), e.Note, e.Version,
				e.Contact, int16(e.Paged), string(e.Ended), int16(e.AckLevel), nullGrounds(e.LastGrounds),
				e.Since, nullTime(e.Worst.At), nullMark(e.Worst), int16(e.WorstLevel), e.WorstValues, nullGrounds(e.WorstGrounds),
				nullTime(e.ContactAbout.At), nullMark(e.ContactAbout), e.LastVersion, vagueOf(e)).
				QueryRow(func(row pgx.Row) error { return row.Scan(&e.ID) })
			continue
		}
		q.Queue(updateEpisode, int32(e.Org), int64(e.ID), string(e.State), e.Holds, int16(e.Level), e.Historic, e.Last.At, e.Last.ID, values, e.Occurrences,
			nullID(e.AckBy), e.AckName, nullTime(e.AckAt), nullTime(e.AckUntil), nullTime(e.ClosedAt), string(e.Closing), string(e.NextStep), nullTime(e.NextStepAt),
			e.Note, e.Version, e.First.At, e.First.ID, e.Contact, int16(e.Paged), string(e.Ended), int16(e.AckLevel), nullGrounds(e.LastGrounds),
			e.Since, nullTime(e.Worst.At), nullMark(e.Worst), int16(e.WorstLevel), e.WorstValues, nullGrounds(e.WorstGrounds),
			nullTime(e.ContactAbout.At), nullMark(e.ContactAbout), e.LastVersion, retractions(e.Retracted), vagueOf(e))
	}
	q.Queue(`SELECT id, uid::text FROM patient WHERE id = ANY($1)`, ids).Query(func(rows pgx.Rows) error {
		var id vital.PatientID
		var uid vital.UID
		_, err := pgx.ForEachRow(rows, []any{&id, &uid}, func() error { uids[id] = uid; return nil })
		return err
	})
	return uids
}

// queueTimeline writes the log of the episodes, their audit rows, and makes the events.
func queueTimeline(q *pgx.Batch, changes []alerts.EpisodeChange, uids map[vital.PatientID]vital.UID, now time.Time) []alerts.Event {
	events := make([]alerts.Event, len(changes))
	for i, c := range changes {
		e := c.Episode
		events[i] = alerts.Event{Org: e.Org, Patient: uids[e.Patient], Alert: e.UID, Version: e.Version}
		for j := range c.Entries {
			entry := &c.Entries[j]
			q.Queue(insertEntry, entryArgs(e, *entry)...).QueryRow(func(row pgx.Row) error {
				err := row.Scan(&entry.ID)
				events[i].ID = entry.ID
				return err
			})
			q.Queue(insertAudit, auditArgs(account.Audit{
				Org: e.Org, At: now, Actor: entry.Actor, Action: "alert " + string(entry.Kind), Patient: e.Patient, Object: "alert " + string(e.UID),
			})...)
		}
	}
	return events
}

func entryArgs(e *alerts.Episode, n alerts.Entry) []any {
	values := n.Values
	if values == nil {
		values = []float64{}
	}
	return []any{
		int32(e.Org), int64(e.ID), string(n.Kind), n.RecordedAt, nullID(n.Actor.Staff), n.Actor.Name, string(n.Actor.Role), int16(n.Level),
		nullTime(n.Reading.At), nullMark(n.Reading), values, n.RuleVersion, n.Historic, n.Closes, nullTime(n.Until), string(n.NextStep), nullTime(n.NextStepAt), n.Note, e.Version,
		n.Breaks, n.Contact, string(n.Cause), n.Evaluator, nullGrounds(n.Grounds), n.Worst, nullRetractions(n.Retracts), nullVague(n.Vague),
	}
}

// retractions is a list that is written as JSON and never null.
func retractions(list []alerts.Retraction) []alerts.Retraction {
	if list == nil {
		return []alerts.Retraction{}
	}
	return list
}

// nullRetractions keeps none from being written as the JSON word null.
func nullRetractions(list []alerts.Retraction) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// nullMark is the id of a reading that there may be none of.
func nullMark(m alerts.Mark) any {
	if m.IsZero() {
		return nil
	}
	return m.ID
}

// nullGrounds keeps no grounds from being written as the JSON word null.
func nullGrounds(g *alerts.Grounds) any {
	if g == nil {
		return nil
	}
	return g
}

const insertNotice = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (org_id, topic, dedup) DO NOTHING`

func queueNotices(q *pgx.Batch, notices []push.Notice) {
	for _, n := range notices {
		q.Queue(insertNotice, int32(n.Org), int64(n.Patient), string(n.Topic), n.Dedup, n.Severity, n.CreatedAt)
	}
}
