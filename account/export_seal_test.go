package account

// SubjectOf lets a test blank a row as the record does.
func SubjectOf(r *AuditRow) Hash { return r.subject() }
