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

// exportedElsewhere are the tables that have a file of their own in the copy.
func exportedElsewhere() map[string]string {
	return map[string]string{
		"reading": "readings.csv, fhir.json",
		"episode": "alerts.csv, alert-log.csv, fhir.json",
		"audit":   "looks.csv, fhir.json",
	}
}

// notExported are the tables with a patient that are not copied, and why not.
func notExported() map[string]string {
	return map[string]string{
		"situation_change":   "a note to the processor that lives for a moment",
		"condition_interval": "worked out anew from readings and rules at any time; what it leads to stands in the alerts",
		"import_line":        "tells of the lines of a file about many people; what it changed stands in patient_change",
		"possible_double":    "a guess that two records are one person's: the other record is somebody else's data",
		"erasure_ledger":     "there is no record to copy of whoever stands in it",
	}
}
