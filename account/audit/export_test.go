package audit

// SubjectOf lets a test blank a row as the record does.
func SubjectOf(r *Row) Hash { return r.subject() }
