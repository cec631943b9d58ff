package postgres

// CopiedTables are the tables with a patient: what of a copy of the record holds them, or why none does.
func CopiedTables() map[string]string {
	all := map[string]string{}
	for name, file := range exportedElsewhere() {
		all[name] = file
	}
	for name, why := range notExported() {
		all[name] = why
	}
	for _, t := range exportedTables() {
		all[t.name] = "tables/" + t.name + ".csv"
	}
	return all
}
