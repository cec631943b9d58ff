package postgres

// EraseRule returns why erasure does with a table what it does, and whether it knows of it.
func EraseRule(table string) (why string, known bool) {
	for _, r := range eraseRules() {
		if r.table == table {
			return r.why, true
		}
	}
	return "", false
}

// EraseTables returns the tables of the rules.
func EraseTables() []string {
	var names []string
	for _, r := range eraseRules() {
		names = append(names, r.table)
	}
	return names
}

// ScrubStatistics are the statements that let the planner forget who was erased.
func ScrubStatistics() []string { return scrubStatistics() }

// ErasePhases returns the phases of the rules.
func ErasePhases() []string {
	var names []string
	for _, r := range eraseRules() {
		names = append(names, r.phase)
	}
	return names
}
