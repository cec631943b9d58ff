package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// saidSince reports whether the device has said something else under that name since.
const saidSince = `
SELECT EXISTS (SELECT FROM withdrawal l JOIN sensor s ON s.org_id = $1 AND s.id = $2 AND l.sensor_id IN (s.id, s.parent_id)
    WHERE l.org_id = $1 AND l.name = $3 AND (l.received_at, l.standing, l.said) > ($4, $5, $6) AND l.state <> 'unknown' AND l.standing <> 4)`

const restoreReading = `SELECT patient_id, id, measured_at FROM restore_reading($1, $2, $3, $4, $5, $6)`

const restoreParked = `
UPDATE inbox SET state = 'waiting', settled_at = NULL, settled_by = '', settled_why = ''
WHERE sensor_id = $1 AND metric = $2 AND sent_at = $3 AND tie = $4 AND state = 'dismissed' AND settled_by = 'the device'`

// What an unverified red stood for waits again, and is opened anew if it had ended.
const backByKey = `
WITH back AS (
    UPDATE unverified_value SET left_at = NULL, ended_at = NULL, became = '', by_name = '', note = ''
    WHERE sensor_id = $1 AND metric = $2 AND sent_at = $3 AND tie = $4 AND place = 'inbox' AND became = 'taken_back' RETURNING unverified_id)
UPDATE unverified u SET next_action_at = $5 FROM back b WHERE u.id = b.unverified_id AND u.state = 'closed'`

// restore lets an amendment stand whose value the device had taken back before (61, amended to 64, amended to 61), and reports whether
// it had. What a person took back stays so.
func (w *withdrawing) restore(ctx context.Context, tx pgx.Tx) (restored bool, err error) {
	if w.standing != vital.Amended {
		return false, nil
	}
	var said bool
	if err := tx.QueryRow(ctx, saidSince, int32(w.org), int64(w.sensor), w.name, w.received, int16(w.standing), w.said).Scan(&said); err != nil || said {
		return false, wrapped(err, "find what was said since")
	}
	tag, err := tx.Exec(ctx, restoreParked, int64(w.sensor), int16(w.metric), w.sent, w.tie)
	if err != nil {
		return false, fmt.Errorf("let an amendment wait again: %w", err)
	}
	if tag.RowsAffected() > 0 {
		_, err := tx.Exec(ctx, backByKey, int64(w.sensor), int16(w.metric), w.sent, w.tie, w.now)
		return true, wrapped(err, "let an unverified red wait again")
	}
	one := withdrawnOne{org: w.org, metric: w.metric}
	err = tx.QueryRow(ctx, restoreReading, int32(w.org), int64(w.sensor), int16(w.metric), w.sent, w.tie, int32(vital.Amending)).Scan(&one.patient, &one.id, &one.at)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("let an amendment stand again: %w", err)
	}
	return true, one.standsAgain(ctx, tx, w)
}

// standsAgain lets the alerts that told of the reading say so, has the patient judged anew, and writes the trail.
func (o *withdrawnOne) standsAgain(ctx context.Context, tx pgx.Tx, w *withdrawing) error {
	rows, err := tx.Query(ctx, toldOfOne, int32(o.org), int64(o.patient), int16(o.metric), o.at, o.id)
	if err != nil {
		return fmt.Errorf("find the alerts that told of it: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("find the alerts that told of it: %w", err)
	}
	mark := utcMark(alerts.Mark{At: o.at, ID: o.id})
	if len(ids) > 0 {
		_, err := changeEpisodes(ctx, tx, o.org, ids, w.now, func(e *alerts.Episode) (alerts.EpisodeChange, bool) {
			known := slices.ContainsFunc(e.Retracted, func(r alerts.Retraction) bool { return r.Reading.Compare(mark) == 0 })
			return alerts.StandsAgain(e, mark, w.now), known
		})
		if err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, noteWithdrawn, int32(o.org), vital.PartitionOf(uint64(o.patient)), int64(o.patient), o.at, w.now); err != nil {
		return fmt.Errorf("note the changed situation: %w", err)
	}
	return writeAudit(ctx, tx, account.Audit{Org: o.org, At: w.now, Action: "reading restored", Patient: o.patient, Object: fmt.Sprintf("reading %d", o.id), Detail: o.metric.String()})
}
