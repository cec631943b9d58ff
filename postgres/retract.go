package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// withdrawnOne is a reading that was just taken out of the record.
type withdrawnOne struct {
	org     vital.OrgID
	patient vital.PatientID
	metric  vital.Metric
	id      int64
	at      time.Time
	how     alerts.Undone
	instead *alerts.Instead // of one that was amended
}

// insteadOf is the newest reading of the patient that the sensor sent as a correction under that name; what stands again ($7 to $9) is one.
const insteadOf = `
SELECT r.measured_at, r.id, r.value, r.value2, r.value3
FROM reading_more m JOIN reading r ON r.org_id = m.org_id AND r.sensor_id = m.sensor_id AND r.metric = m.metric AND r.sent_at = m.sent_at AND r.tie = m.tie
    LEFT JOIN withdrawal l ON l.org_id = m.org_id AND l.sensor_id = m.sensor_id AND l.name = m.name AND l.standing = 1 AND l.sent_at = m.sent_at AND l.tie = m.tie
WHERE m.org_id = $1 AND m.sensor_id = $2 AND m.name = $3 AND m.metric = $4 AND r.patient_id = $5
    AND (m.standing = 1 AND r.received_at >= $6 OR (m.metric, m.sent_at, m.tie) = ($7, $8, $9))
ORDER BY coalesce(l.received_at, r.received_at) DESC, l.said DESC NULLS LAST, r.id DESC LIMIT 1`

// instead returns what stands in the place of a reading that was amended; nil when that is not the patient's, or waits.
func (w *withdrawing) instead(ctx context.Context, tx pgx.Tx, o *withdrawnOne) (*alerts.Instead, error) {
	var found alerts.Instead
	values, scan := threeValues()
	err := tx.QueryRow(ctx, insteadOf, int32(w.org), int64(w.sensor), w.name, int16(o.metric), int64(o.patient), w.received, int16(w.metric), w.sent, w.tie).
		Scan(append([]any{&found.Reading.At, &found.Reading.ID}, scan...)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // that there is none is an answer here
	case err != nil:
		return nil, fmt.Errorf("find what stands instead: %w", err)
	}
	found.Reading, found.Values = utcMark(found.Reading), values()
	return &found, nil
}

// threeValues returns where to scan the values of a reading, and what they are then.
func threeValues() (values func() []float64, scan []any) {
	var v [3]*float64
	return func() (list []float64) {
		for _, one := range v {
			if one != nil {
				list = append(list, *one)
			}
		}
		return list
	}, []any{&v[0], &v[1], &v[2]}
}

const toldOfOne = `
SELECT DISTINCT e.id FROM episode e JOIN timeline t ON t.org_id = e.org_id AND t.episode_id = e.id
WHERE e.org_id = $1 AND e.patient_id = $2 AND e.metric = $3 AND t.reading_at = $4 AND t.reading_id = $5 AND t.kind IN ('opened', 'occurred', 'worsened', 'annotated')`

const valuesWithdrawn = `SELECT value, value2, value3 FROM withdrawn_reading WHERE patient_id = $1 AND id = $2 AND metric = $3 ORDER BY withdrawn_at DESC LIMIT 1`

const noteWithdrawn = `INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, withdrawn, at) VALUES ($1, $2, $3, $4, true, $5)`

// settle lets the alerts say that told of it, whatever their state, has the patient judged anew from then on, and writes the trail.
func (o *withdrawnOne) settle(ctx context.Context, tx pgx.Tx, actor account.Actor, why string, now time.Time) error {
	if err := o.retract(ctx, tx, actor, why, now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, noteWithdrawn, int32(o.org), vital.PartitionOf(uint64(o.patient)), int64(o.patient), o.at, now); err != nil {
		return fmt.Errorf("note the changed situation: %w", err)
	}
	return writeAudit(ctx, tx, account.Audit{Org: o.org, At: now, Actor: actor, Action: "reading withdrawn", Patient: o.patient, Object: fmt.Sprintf("reading %d", o.id), Detail: o.metric.String()})
}

func (o *withdrawnOne) retract(ctx context.Context, tx pgx.Tx, actor account.Actor, why string, now time.Time) error {
	rows, err := tx.Query(ctx, toldOfOne, int32(o.org), int64(o.patient), int16(o.metric), o.at, o.id)
	if err != nil {
		return fmt.Errorf("find the alerts that told of it: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find the alerts that told of it: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	r := alerts.Retraction{Reading: utcMark(alerts.Mark{At: o.at, ID: o.id}), How: o.how, Instead: o.instead}
	values, scan := threeValues()
	if err := tx.QueryRow(ctx, valuesWithdrawn, int64(o.patient), o.id, int16(o.metric)).Scan(scan...); err != nil {
		return fmt.Errorf("read what was taken back: %w", err)
	}
	r.Values = values()
	_, err = changeEpisodes(ctx, tx, o.org, ids, now, func(e *alerts.Episode) (alerts.EpisodeChange, bool) {
		return alerts.Withdrawn(e, actor, r, why, now), true
	})
	return err
}

// changeEpisodes locks episodes in the order of their ids and writes what became of each; of the others nothing is written.
func changeEpisodes(
	ctx context.Context, tx pgx.Tx, org vital.OrgID, ids []int64, now time.Time, change func(*alerts.Episode) (c alerts.EpisodeChange, changed bool),
) ([]alerts.Event, error) {
	rows, err := tx.Query(ctx, lockEpisodes, int32(org), ids)
	if err != nil {
		return nil, fmt.Errorf("load the alerts that told of it: %w", err)
	}
	episodes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Episode, error) { return scanEpisode(row) })
	if err != nil {
		return nil, fmt.Errorf("load the alerts that told of it: %w", err)
	}
	var changes []alerts.EpisodeChange
	for i := range episodes {
		if c, changed := change(&episodes[i]); changed {
			changes = append(changes, c)
		}
	}
	return saveEpisodes(ctx, tx, changes, now)
}

// movedMark is a reading that was filed anew as alerts know it.
type movedMark struct {
	metric vital.Metric
	alerts.Mark
}

// knownBy are the source's alerts whose last or worst reading was taken away: those that have said that readings were, as well.
const knownBy = `
SELECT DISTINCT e.id FROM episode e JOIN unnest($3::smallint[], $4::timestamptz[], $5::bigint[]) AS m (metric, at, id)
    ON m.metric = e.metric AND ((m.at, m.id) = (e.last_at, e.last_id) OR (m.at, m.id) = (e.worst_at, e.worst_id))
WHERE e.org_id = $1 AND e.patient_id = $2`

// marksOfMoved returns readings as arrays, and as a set.
func marksOfMoved(moved []movedReading) (metrics []int16, times []time.Time, ids []int64, known map[movedMark]bool) {
	known = make(map[movedMark]bool, len(moved))
	for i := range moved {
		metrics, times, ids = append(metrics, int16(moved[i].metric)), append(times, moved[i].At), append(ids, moved[i].ID)
		known[movedMark{moved[i].metric, utcMark(moved[i].Mark)}] = true
	}
	return metrics, times, ids, known
}

// annotate lets every alert that told of readings which were taken away say so: what a person has closed as well. Of its last reading
// and its worst it says it of each.
func (r *refiling) annotate(ctx context.Context, tx pgx.Tx, moved []movedReading) error {
	metrics, times, ids, known := marksOfMoved(moved)
	rows, err := tx.Query(ctx, toldOf, int32(r.org), r.id, int64(r.source), metrics, times, ids)
	if err != nil {
		return fmt.Errorf("find the alerts that told of them: %w", err)
	}
	touched, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find the alerts that told of them: %w", err)
	}
	first := make(map[alerts.EpisodeID]bool, len(touched))
	for _, id := range touched {
		first[alerts.EpisodeID(id)] = true
	}
	if !r.merged {
		if rows, err = tx.Query(ctx, knownBy, int32(r.org), int64(r.source), metrics, times, ids); err != nil {
			return fmt.Errorf("find the alerts that they were the last of: %w", err)
		}
		more, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("find the alerts that they were the last of: %w", err)
		}
		touched = append(touched, more...)
	}
	if len(touched) == 0 {
		return nil
	}
	_, err = changeEpisodes(ctx, tx, r.org, touched, r.now, func(e *alerts.Episode) (alerts.EpisodeChange, bool) {
		var taken []alerts.Mark
		for _, m := range []alerts.Mark{e.Last, e.Worst} {
			if known[movedMark{e.Metric, utcMark(m)}] && (len(taken) == 0 || taken[0].Compare(m) != 0) {
				taken = append(taken, m)
			}
		}
		return alerts.Refiled(e, r.says(), taken), first[e.ID] || len(taken) > 0
	})
	return err
}

func (r *refiling) says() alerts.Refiling {
	return alerts.Refiling{AskedBy: r.askedBy, SamePerson: r.merged, At: r.now}
}

const retractedOf = `SELECT e.id FROM episode e WHERE e.org_id = $1 AND e.patient_id = $2 AND e.retracted <> '[]'`

// restore lets the target's alerts that had said of readings that they are somebody else's say that they are not.
func (r *refiling) restore(ctx context.Context, tx pgx.Tx, moved []movedReading) error {
	if len(moved) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, retractedOf, int32(r.org), int64(r.target))
	if err != nil {
		return fmt.Errorf("find the alerts that had lost them: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find the alerts that had lost them: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	_, _, _, known := marksOfMoved(moved)
	_, err = changeEpisodes(ctx, tx, r.org, ids, r.now, func(e *alerts.Episode) (alerts.EpisodeChange, bool) {
		var back []alerts.Mark
		for _, one := range e.Retracted {
			if one.How == alerts.NotHere && known[movedMark{e.Metric, utcMark(one.Reading)}] {
				back = append(back, one.Reading)
			}
		}
		return alerts.Returned(e, r.says(), back), len(back) > 0
	})
	return err
}
