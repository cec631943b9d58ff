package postgres

import (
	"context"
	"time"
)

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
		"preview of a refile": previewFiled, "alerts of a refile": previewAlerts,
		"log": selectLog, "worklist": selectWorklist,
	}
}

// LeavingQueries are the statements on unverified values that leave, for the test that counts what they read.
func LeavingQueries() map[string]string {
	return map[string]string{
		"values by key": valuesByKey, "lock": lockUnverifieds, "leave the inbox": leaveInbox, "store averages": storeAverages, "back in inbox": backInInbox,
		"wait again": waitAgain, "due": dueUnverifieds, "values of it": standingValues, "end values": endedValues,
	}
}

// OpeningValues writes what unverified reds stand for, for the test that counts what it reads.
const OpeningValues = insertUnverifiedValues

// Patient lets small batches wait for their turn, and for their group, however slow the machine is.
func (w *Work) Patient() { w.convoy.wait, w.convoy.commit = time.Minute, time.Minute }

// Travelling is how many small batches wait for their turn.
func (w *Work) Travelling() int {
	w.convoy.mu.Lock()
	defer w.convoy.mu.Unlock()
	return len(w.convoy.waiting)
}
