package postgres

import "context"

// MigrateTo brings the tables to an older version, for the test that goes on from there.
func MigrateTo(ctx context.Context, adminURL string, version int64) error {
	_, err := migrateTo(ctx, adminURL, version)
	return err
}

// ReadingQueries are the queries on readings, for the test that looks at what they touch.
func ReadingQueries() map[string]string {
	return map[string]string{
		"newest stored": newestStored, "tails": tails, "points after": pointsAfter, "points before": pointsBefore, "points since": pointsSince,
		"latest": latest, "stored quantities": storedQuantities, "intake": sensorsOfDevice + countReadings,
		"log": selectLog,
	}
}
