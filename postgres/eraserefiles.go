package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/safe"
	"hale/vital"
)

// endedRefiles are those that the cutting off has just ended and of which some had moved, with those whom they leave behind.
const endedRefiles = `
SELECT f.id, f.org_id, f.uid::text, f.moved, f.total, f.earliest_at, coalesce(f.source_id, 0), coalesce(f.target_id, 0),
    f.source_id IN (SELECT x FROM erased_people($1, $2) x), f.target_id IN (SELECT x FROM erased_people($1, $2) x)
FROM refile f WHERE f.org_id = $1 AND f.state = 'failed' AND f.ended_at = $3 AND f.problem = '` + endedForErasure + `'
    AND EXISTS (SELECT FROM erased_people($1, $2) x WHERE x IN (f.source_id, f.target_id)) ORDER BY f.id`

// settleRefiles says of the refiles that an erasure has ended what became of them: in the trail of whoever else they concern, who
// is judged anew from the first reading that had moved. By the end of the refile, which never comes, nobody else would be.
func settleRefiles(ctx context.Context, tx pgx.Tx, t safe.EraseTask, now time.Time) error {
	rows, err := tx.Query(ctx, endedRefiles, int32(t.Org), int64(t.Patient), now)
	if err != nil {
		return fmt.Errorf("look for refiles that were ended: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*refiling, error) {
		r := &refiling{now: now}
		var earliest *time.Time
		var sourceGone, targetGone *bool
		err := row.Scan(&r.id, &r.org, &r.uid, &r.moved, &r.total, &earliest, &r.source, &r.target, &sourceGone, &targetGone)
		r.earliest = timeOf(earliest)
		if sourceGone != nil && *sourceGone {
			r.source = 0
		}
		if targetGone != nil && *targetGone {
			r.target = 0
		}
		return r, err
	})
	if err != nil {
		return fmt.Errorf("look for refiles that were ended: %w", err)
	}
	for _, r := range list {
		if err := r.audit(ctx, tx, "refile failed", fmt.Sprintf("%d of %d readings", r.moved, r.total)); err != nil {
			return err
		}
		if err := r.judge(ctx, tx, nullTime(r.earliest)); err != nil {
			return err
		}
	}
	return nil
}

// othersInSpans are assignments of other people, made before the erasure was carried out or back-dated to before it, of a sensor
// that the person wore in their time. What is somebody's who is erased too is nobody's already.
const othersInSpans = `
SELECT a.id, a.sensor_id, a.patient_id, a.from_at, a.to_at, a.created_at > $4 FROM assignment a
WHERE a.org_id = $1 AND a.from_at < $4 AND (a.to_at IS NULL OR a.to_at > a.from_at)
    AND a.patient_id NOT IN (SELECT x FROM erased_people($1, $3) x) AND NOT being_erased(a.org_id, a.patient_id)
    AND EXISTS (SELECT FROM erased_span s WHERE s.org_id = $1 AND s.erasure_id = $2 AND s.sensor_id = a.sensor_id
        AND s.from_at < coalesce(a.to_at, 'infinity') AND a.from_at < coalesce(s.to_at, 'infinity'))
ORDER BY a.sensor_id, a.from_at`

const spansOfSensor = `SELECT from_at, to_at FROM erased_span WHERE org_id = $1 AND erasure_id = $2 AND sensor_id = $3 ORDER BY from_at`

// endAtNext ends a span that goes on where somebody else has the sensor after the erasure.
const endAtNext = `
UPDATE erased_span s SET to_at = n.at FROM (
    SELECT s.id, min(greatest(a.from_at, s.erased_at)) AS at FROM erased_span s JOIN assignment a ON a.org_id = s.org_id AND a.sensor_id = s.sensor_id
    WHERE s.org_id = $1 AND s.erasure_id = $2 AND s.to_at IS NULL AND a.patient_id NOT IN (SELECT x FROM erased_people($1, $3) x)
        AND (a.to_at IS NULL OR a.to_at > a.from_at) AND coalesce(a.to_at, 'infinity') > s.erased_at
    GROUP BY s.id
) n WHERE s.org_id = $1 AND s.id = n.id AND n.at > s.from_at`

// giveTheirTime takes out of the assignments of a restored record what the person wore then, in the truth that came after the
// backup: what their device still sends would be somebody else's again. To whom a device was given on after the erasure, it stays.
func giveTheirTime(ctx context.Context, tx pgx.Tx, org vital.OrgID, erasure, person int64, entry *safe.LedgerEntry, now time.Time) error {
	type other struct {
		refiling
		assignment int64
		was        span
		after      bool // it was made after the erasure, by who did not know of it
	}
	rows, err := tx.Query(ctx, othersInSpans, int32(org), erasure, person, entry.At)
	if err != nil {
		return fmt.Errorf("find who else has the sensors: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*other, error) {
		o := &other{refiling: refiling{org: org, now: now}}
		var to *time.Time
		err := row.Scan(&o.assignment, &o.sensor, &o.source, &o.was.from, &to, &o.after)
		o.was.from, o.was.to = o.was.from.UTC(), timeOf(to)
		return o, err
	})
	if err != nil {
		return fmt.Errorf("find who else has the sensors: %w", err)
	}
	for _, o := range list {
		theirs, err := readSpans(ctx, tx, spansOfSensor, int32(org), erasure, int64(o.sensor))
		if err != nil {
			return err
		}
		left := []span{o.was}
		for _, s := range theirs {
			if s.to.IsZero() && o.after {
				s.to = entry.At
			}
			left = without(left, s)
		}
		if err := o.keep(ctx, tx, o.assignment, o.was, left); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, endAtNext, int32(org), erasure, person); err != nil {
		return fmt.Errorf("end what the person wore where somebody else has it: %w", err)
	}
	return nil
}
