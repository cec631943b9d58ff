package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

const alertColumns = episodeColumns + `, p.uid::text, ` + nameSeen + `, ` + numberSeen + `, p.state, p.zone, r.uid::text, r.kind, r.form, ` + newerKnown + `, ` + relationColumns

// newerKnown looks for a reading of the vital that is newer than the one contact was asked for: of open alerts that asked
// only, by the key, in the partitions since then.
const newerKnown = `CASE WHEN e.contact AND e.contact_at IS NOT NULL AND e.state <> 'closed' THEN EXISTS (
    SELECT 1 FROM (SELECT DISTINCT a.sensor_id FROM assignment a WHERE a.patient_id = e.patient_id) s
    JOIN reading m ON m.sensor_id = s.sensor_id AND m.metric = e.metric AND m.patient_id = e.patient_id
        AND m.sent_at >= e.contact_at - interval '24 hours' AND (m.measured_at, m.id) > (e.contact_at, e.contact_id)) ELSE false END`

const alertTables = ` FROM episode e JOIN patient p ON p.org_id = e.org_id AND p.id = e.patient_id JOIN rule r ON r.org_id = e.org_id AND r.id = e.rule_id
LEFT JOIN my_patients() mine ON mine.patient_id = e.patient_id `

func scanAlert(row pgx.CollectableRow) (alerts.Alert, error) {
	var a alerts.Alert
	var err error
	var glass *time.Time
	a.Episode, err = scanEpisode(row, &a.PatientUID, &a.PatientName, &a.PatientNumber, &a.PatientState, &a.PatientZone, &a.RuleUID, &a.RuleKind, &a.RuleForm, &a.Newer,
		&a.Relation.Team, &glass, &a.Relation.Shared)
	a.Relation.Glass = timeOf(glass)
	return a, err
}

const selectAlerts = `SELECT ` + alertColumns + alertTables + `
WHERE (@patient::uuid IS NULL OR p.uid = @patient) AND (@states::text[] IS NULL OR CASE WHEN e.state = 'acknowledged' AND e.ack_until <= @now THEN 'open' ELSE e.state END = ANY(@states))
  AND (@before::uuid IS NULL OR e.id < (SELECT b.id FROM episode b WHERE b.uid = @before))
ORDER BY e.id DESC LIMIT @limit`

// Alerts returns the alerts within the actor's view that the filter chooses, newest first. One whose acknowledgement has run out
// is open.
func (a *App) Alerts(ctx context.Context, actor account.Actor, f alerts.Filter) ([]alerts.Alert, error) {
	args := pgx.NamedArgs{"patient": nil, "states": nil, "before": nil, "limit": f.Limit}
	if f.Limit <= 0 {
		args["limit"] = 100
	}
	for name, uid := range map[string]vital.UID{"patient": f.Patient, "before": f.Before} {
		if uid == "" {
			continue
		}
		u, err := parseUID(uid, name)
		if err != nil {
			return nil, err
		}
		args[name] = u
	}
	if len(f.States) > 0 {
		states := make([]string, len(f.States))
		for i, s := range f.States {
			states[i] = string(s)
		}
		args["states"] = states
	}
	if actor.Role == account.CaregiverRole {
		return a.caregiverAlerts(ctx, actor, selectAlerts, args, f.States, cmp.Or(max(f.Limit, 0), 100))
	}
	return a.queryAlerts(ctx, actor, selectAlerts, args)
}

const selectWorklist = `SELECT ` + alertColumns + alertTables + `WHERE e.state <> 'closed'`

// Worklist returns every episode within the actor's view that is not closed.
func (a *App) Worklist(ctx context.Context, actor account.Actor) ([]alerts.Alert, error) {
	if actor.Role == account.CaregiverRole {
		return a.Alerts(ctx, actor, alerts.Filter{States: []alerts.State{alerts.Open, alerts.Acknowledged}, Limit: mostCaregiverAlerts})
	}
	return a.queryAlerts(ctx, actor, selectWorklist, pgx.NamedArgs{})
}

func (a *App) queryAlerts(ctx context.Context, actor account.Actor, query string, args pgx.NamedArgs) ([]alerts.Alert, error) {
	var list []alerts.Alert
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		args["now"] = now
		rows, err := tx.Query(ctx, query, args)
		if err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		if list, err = pgx.CollectRows(rows, scanAlert); err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		return asSeen(ctx, tx, actor, list)
	})
	return list, err
}

const selectAlert = `SELECT ` + alertColumns + alertTables + `WHERE e.uid = $1`

// Alert returns one alert; fault.NotFound when the actor's view has none of this name.
func (a *App) Alert(ctx context.Context, actor account.Actor, uid vital.UID) (alerts.Alert, error) {
	u, err := parseUID(uid, "alert")
	if err != nil {
		return alerts.Alert{}, err
	}
	var found alerts.Alert
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		found, err = oneAlert(ctx, tx, u)
		if err != nil {
			return err
		}
		list := []alerts.Alert{found}
		err = asSeen(ctx, tx, actor, list)
		found = list[0]
		return err
	})
	return found, err
}

func oneAlert(ctx context.Context, tx pgx.Tx, u uuid.UUID) (alerts.Alert, error) {
	rows, err := tx.Query(ctx, selectAlert, u)
	if err != nil {
		return alerts.Alert{}, fmt.Errorf("load alert: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanAlert)
	if errors.Is(err, pgx.ErrNoRows) {
		return alerts.Alert{}, fault.New(fault.NotFound, "there is no alert %s", u)
	}
	if err != nil {
		return alerts.Alert{}, fmt.Errorf("load alert: %w", err)
	}
	return found, nil
}

const selectLog = `
SELECT t.id, t.kind, t.recorded_at, coalesce(t.actor_id, 0), t.actor_name, t.actor_role, t.level, t.reading_at, coalesce(t.reading_id, 0), t.vals,
    t.rule_version, t.historic, t.closes, t.until_at, t.next_step, t.next_step_at, t.note, t.breaks, t.contact, t.cause, t.evaluator, t.grounds, t.worst, t.retracts, t.vague, m.unsure, m.received_at, coalesce(m.findings, 0) | CASE WHEN EXISTS (SELECT FROM correction c
        WHERE c.patient_id = e.patient_id AND c.reading_id = t.reading_id AND c.kind = 'reading' AND c.state IN ('asked', 'accepted')) THEN 1024 ELSE 0 END
FROM episode e JOIN timeline t ON t.org_id = e.org_id AND t.episode_id = e.id
LEFT JOIN LATERAL (
    SELECT r.findings, r.received_at, ` + vagueWithin + ` AS unsure FROM (SELECT DISTINCT a.sensor_id FROM assignment a WHERE a.patient_id = e.patient_id) s
    JOIN reading r ON r.sensor_id = s.sensor_id AND r.metric = e.metric AND r.patient_id = e.patient_id AND r.id = t.reading_id
        AND r.sent_at BETWEEN t.reading_at - interval '24 hours' AND t.reading_at + interval '24 hours' LIMIT 1) m ON true
WHERE e.uid = $1 ORDER BY t.id`

// Log returns the alert's log, oldest first.
func (a *App) Log(ctx context.Context, actor account.Actor, uid vital.UID) ([]alerts.Entry, error) {
	u, err := parseUID(uid, "alert")
	if err != nil {
		return nil, err
	}
	var log []alerts.Entry
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectLog, u)
		if err != nil {
			return fmt.Errorf("load the timeline: %w", err)
		}
		log, err = pgx.CollectRows(rows, scanEntry)
		if err != nil {
			return fmt.Errorf("load the timeline: %w", err)
		}
		tellVague(log)
		return logSeen(ctx, tx, actor, u, log)
	})
	return log, err
}

func scanEntry(row pgx.CollectableRow) (alerts.Entry, error) {
	var n alerts.Entry
	var readingAt, until, next *time.Time
	var findings int32
	var vague vagueColumns
	err := row.Scan(&n.ID, &n.Kind, &n.RecordedAt, &n.Actor.Staff, &n.Actor.Name, &n.Actor.Role, &n.Level, &readingAt, &n.Reading.ID, &n.Values,
		&n.RuleVersion, &n.Historic, &n.Closes, &until, &n.NextStep, &next, &n.Note, &n.Breaks, &n.Contact, &n.Cause, &n.Evaluator, &n.Grounds, &n.Worst, &n.Retracts, &vague.told, &vague.unsure, &vague.received, &findings)
	n.Vague = vague.of()
	n.Findings = vital.Finding(uint32(findings))
	n.RecordedAt, n.Reading.At, n.Until, n.NextStepAt = n.RecordedAt.UTC(), timeOf(readingAt), timeOf(until), timeOf(next)
	return n, err
}

const patientOfEpisode = `SELECT e.patient_id FROM episode e WHERE e.uid = $1`
const lockEpisode = `SELECT 1 FROM episode e WHERE e.uid = $1 FOR NO KEY UPDATE`

// Amend lets a person act on an alert: the act, its log, its audit row and the word to the processor are one
// transaction. See alerts.Cases.
func (a *App) Amend(ctx context.Context, actor account.Actor, uid vital.UID, decide alerts.Amendment) (alerts.Alert, []alerts.Event, error) {
	u, err := parseUID(uid, "alert")
	if err != nil {
		return alerts.Alert{}, nil, err
	}
	var after alerts.Alert
	var events []alerts.Event
	err = a.as(ctx, actor, func(tx pgx.Tx, entered time.Time) error {
		var patient vital.PatientID
		switch err := tx.QueryRow(ctx, patientOfEpisode, u).Scan(&patient); {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no alert %s", u)
		case err != nil:
			return fmt.Errorf("find alert: %w", err)
		}
		if err := tellProcessor(ctx, tx, actor.Org, patient, nil, entered); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockEpisode, u); err != nil {
			return fmt.Errorf("lock alert: %w", err)
		}
		// The clock is read again: the locks may have taken their time.
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		before, err := oneAlert(ctx, tx, u)
		if err != nil {
			return err
		}
		entries, err := decide(before, now.UTC())
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			after = before
			return nil
		}
		e := before.Episode
		for i := range entries {
			entries[i].Actor = actor
			e = e.Apply(entries[i])
		}
		if events, err = saveEpisodes(ctx, tx, []alerts.EpisodeChange{{Episode: &e, Entries: entries}}, now.UTC()); err != nil {
			return err
		}
		after = before
		after.Episode = e
		return nil
	})
	return after, events, err
}

const shareCursor = `SELECT 1 FROM stream_cursor WHERE partition = $1 FOR SHARE`
const noteChange = `INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, at) VALUES ($1, $2, $3, $4, $5)`

// tellProcessor notes that what the patient's readings are judged against changes in this transaction. Holding the
// cursor row shared keeps it apart from every batch: one before sees nothing of it, one after sees all of it.
func tellProcessor(ctx context.Context, tx pgx.Tx, org vital.OrgID, patient vital.PatientID, rejudge *time.Time, now time.Time) error {
	partition := vital.PartitionOf(uint64(patient))
	if _, err := tx.Exec(ctx, shareCursor, partition); err != nil {
		return fmt.Errorf("hold partition %d: %w", partition, err)
	}
	if _, err := tx.Exec(ctx, noteChange, int32(org), partition, int64(patient), rejudge, now); err != nil {
		return fmt.Errorf("note the changed situation: %w", err)
	}
	return nil
}

// resumeOverlap is how far a feed that resumes looks behind the last event it saw: ids are drawn before commits, so
// a smaller id can become visible later. No transaction of ours lasts as long.
const resumeOverlap = 2 * time.Minute

const eventsSince = `
WITH since AS MATERIALIZED (
    SELECT coalesce((SELECT l.recorded_at FROM timeline l WHERE l.id = $1), (SELECT n.recorded_at FROM unverified_entry n WHERE n.id = $1), $3::timestamptz) - $4::interval AS at)
SELECT * FROM (
    SELECT t.id, e.org_id, p.uid::text AS patient, e.uid::text, e.version, false
    FROM timeline t JOIN episode e ON e.org_id = t.org_id AND e.id = t.episode_id JOIN patient p ON p.org_id = e.org_id AND p.id = e.patient_id
    WHERE t.recorded_at >= (SELECT at FROM since) AND t.id <> $1
    UNION ALL
    SELECT n.id, u.org_id, '', u.uid::text, u.version, true
    FROM unverified_entry n JOIN unverified u ON u.org_id = n.org_id AND u.id = n.unverified_id
    WHERE n.recorded_at >= (SELECT at FROM since) AND n.id <> $1) all_of_it
ORDER BY id LIMIT $2`

// EventsSince returns what changed since the event with this id, and a little before it. See alerts.Cases.
func (a *App) EventsSince(ctx context.Context, org vital.OrgID, id int64, limit int) ([]alerts.Event, error) {
	var events []alerts.Event
	err := a.inOrg(ctx, org, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, eventsSince, id, limit, now, resumeOverlap)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Event, error) {
			var e alerts.Event
			err := row.Scan(&e.ID, &e.Org, &e.Patient, &e.Alert, &e.Version, &e.Unverified)
			return e, err
		})
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		return nil
	})
	return events, err
}
