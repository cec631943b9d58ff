package postgres

// ReadingQueries are the queries on readings, for the test that looks at what they touch.
func ReadingQueries() map[string]string {
	return map[string]string{
		"newest stored": newestStored, "tails": tails, "points after": pointsAfter, "points before": pointsBefore,
		"latest": latest, "stored quantities": storedQuantities, "intake": sensorsOfDevice + countReadings,
	}
}
