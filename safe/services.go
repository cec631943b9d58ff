package safe

import (
	"time"

	"hale/account"
)

// Record is what the services here need of the record.
type Record interface {
	People
	LookLog
	CorrectionBook
	ShareBook
	SheetBook
	ExportBook
	account.LookLog
}

// Safe is what people do with their own data: the services over one record.
type Safe struct {
	Looks       *Looks
	Corrections *Corrections
	Shares      *Shares
	Sheets      *Sheets
	Exports     *Exports
}

// New returns the services over a record; looks may be shared with other services of the process.
func New(record Record, fhir Exporter, looks *account.Looks, now func() time.Time) *Safe {
	shares := NewShares(record, record, now)
	shares.Looks = looks
	return &Safe{
		Looks:       &Looks{People: record, Log: record, Now: now},
		Corrections: &Corrections{People: record, Book: record, Looks: looks, Now: now},
		Shares:      shares,
		Sheets:      &Sheets{People: record, Book: record, Looks: looks, Now: now},
		Exports:     &Exports{People: record, Book: record, FHIR: fhir, Looks: looks, Now: now},
	}
}
