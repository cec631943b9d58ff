package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/safe"
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
