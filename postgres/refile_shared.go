package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/fault"
	"hale/vital"
)

// splitsShared asks whether a sensor would go on as one person's ($2) while another has a part of it: the whole of it while a user
// slot is not theirs, or a slot while the whole is another's. From the source ($4, 0 for nobody) nothing goes on that has ended. Slots
// are counted against who would get the whole where nobody has them, too: whoever asks may not see all who do.
const splitsShared = `
SELECT coalesce(p.uid, s.uid) FROM sensor s LEFT JOIN sensor p ON p.org_id = s.org_id AND p.id = s.parent_id
WHERE s.id = $1
    AND ($4 = 0 OR EXISTS (SELECT FROM assignment a WHERE a.org_id = s.org_id AND a.sensor_id = s.id AND a.patient_id = $4 AND (a.to_at IS NULL OR a.to_at > $3 AND a.to_at > a.from_at)))
    AND (EXISTS (SELECT FROM sensor c WHERE c.org_id = s.org_id AND c.parent_id = s.id AND NOT EXISTS (SELECT FROM assignment a
            WHERE a.org_id = c.org_id AND a.sensor_id = c.id AND a.patient_id = $2 AND a.from_at <= $3 AND a.to_at IS NULL))
        OR EXISTS (SELECT FROM assignment a WHERE a.org_id = s.org_id AND a.sensor_id = p.id AND a.patient_id <> $2 AND (a.to_at IS NULL OR a.to_at > $3 AND a.to_at > a.from_at)))`

// notOneOfMany refuses to file what is still to come of a shared sensor under one of those who share it: a reading that names no user
// slot would be of either. What lies in the past may be filed, since somebody has looked at it. A zero to is further notice.
func notOneOfMany(ctx context.Context, tx pgx.Tx, sensor vital.SensorID, source, target vital.PatientID, to, now time.Time) error {
	if target == 0 || !to.IsZero() && !to.After(now) {
		return nil
	}
	var shared string
	err := tx.QueryRow(ctx, splitsShared, int64(sensor), int64(target), now, int64(source)).Scan(&shared)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look who shares the sensor: %w", err)
	}
	return fault.New(fault.Conflict, "several people use the sensor %q, and what is still to come of it would go to one of them: say until when, not later than now; to change who uses it, take the kit back and issue it anew", shared)
}
