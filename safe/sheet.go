package safe

import (
	"context"
	"time"

	"hale/account"
	"hale/vital"
)

// Sheet is the emergency sheet: what somebody who comes to help needs at once.
type Sheet struct {
	Patient account.Patient
	At      time.Time // when it was made
	Latest  []Vital
	Limits  []OwnLimit
	Helpers []Helper
	Teams   []CareTeam
}

// Vital is the newest reading of one metric, in canonical units.
type Vital struct {
	Metric   vital.Metric
	At       time.Time
	Vague    vital.Vague // of At
	Values   []float64
	Findings vital.Finding
}

// OwnLimit is a limit that a person set for this patient, and at which Hale calls somebody at once: the red bounds of one
// component, in its canonical unit. It tells a helper what is usual for this patient.
type OwnLimit struct {
	Metric    vital.Metric
	Component int
	Low, High *float64
	Reason    string
}

// Helper is somebody whom the patient lets in.
type Helper struct {
	Name     string
	Guardian bool
	Phone    string // empty: not recorded
}

// CareTeam looks after the patient.
type CareTeam struct {
	Name  string
	Phone string // empty: not recorded
}

// SheetBook is the record as Sheets needs it, bound to the actor's organisation and view.
type SheetBook interface {
	// Sheet fills in everything but Patient.
	Sheet(ctx context.Context, actor account.Actor, patient account.Patient) (Sheet, error)
}

// Sheets makes emergency sheets.
type Sheets struct {
	People People
	Book   SheetBook
	Looks  *account.Looks
	Now    func() time.Time
}

// Of returns the patient's emergency sheet as it is now. The look is written down first.
func (s *Sheets) Of(ctx context.Context, actor account.Actor, patient vital.UID) (Sheet, error) {
	p, err := reach(ctx, s.People, actor, account.SeeSheet, patient)
	if err != nil {
		return Sheet{}, err
	}
	if err := s.Looks.Saw(ctx, actor, "sheet", "", p.ID); err != nil {
		return Sheet{}, err
	}
	return s.Make(ctx, actor, p)
}

// Make is Of for somebody whose right to see the patient was found otherwise: by a share's secret.
func (s *Sheets) Make(ctx context.Context, actor account.Actor, p account.Patient) (Sheet, error) {
	sheet, err := s.Book.Sheet(ctx, actor, p)
	sheet.Patient, sheet.At = p, s.Now()
	return sheet, err
}
