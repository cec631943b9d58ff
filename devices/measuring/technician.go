package measuring

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"hale/account"
	"hale/vital"
)

// TechnicianStore is the record as the Technician needs it.
type TechnicianStore interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// Measurers returns who has readings of the metrics that were sent in [q.From, q.To) and arrived after a time.
	Measurers(ctx context.Context, q MarkQuery, arrived time.Time) ([]vital.PatientID, error)
	// TakenOf returns readings by patient, in the order of time.
	TakenOf(ctx context.Context, q MarkQuery) (map[vital.PatientID][]Taken, error)
	// Raise stores doubts of patients, each once however often it is raised and of each kind one of a sitting, and returns how many
	// are new.
	Raise(ctx context.Context, now time.Time, doubts map[vital.PatientID][]Doubted) (int, error)
}

// Technician looks through what was measured for what is doubtful about how, and puts it before people. What it finds follows from
// the stored readings alone, so any number of processes may run one, and one that was away misses nothing of the last days.
type Technician struct {
	Store TechnicianStore
	Every time.Duration // between two looks; 0 is a minute
	Log   *slog.Logger

	deep time.Time // of the latest look at all days
}

const (
	technicianEvery = time.Minute
	deepEvery       = time.Hour           // all days are looked at: something may have come late, or been held up
	deepDays        = 15 * 24 * time.Hour // what was measured before is asked about no more
	lateDays        = 36 * time.Hour      // that are looked at every time
	heldUp          = time.Hour           // an arrival may become visible so much later
	patientsAtOnce  = 500                 // patients
)

// Run looks until ctx ends. What fails is tried again at the next look.
func (t *Technician) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(t.Every, technicianEvery), t.runOnce, func(err error, first bool) {
		if first {
			t.Log.Error("measurements cannot be looked through just now", "error", err)
		}
	})
}

func (t *Technician) runOnce(ctx context.Context) error {
	now, err := t.Store.Clock(ctx)
	if err != nil {
		return err
	}
	since, arrived, deep := now.Add(-lateDays), now.Add(-heldUp), now.Sub(t.deep) >= deepEvery
	if deep {
		since, arrived = now.Add(-deepDays), time.Time{}
	}
	raised, err := t.look(ctx, now, since, arrived)
	if err == nil && deep {
		t.deep = now
	}
	if raised > 0 {
		t.Log.Info("measurements are in doubt", "new", raised)
	}
	return err
}

// look raises what is doubtful among readings measured since a time, of patients of whom something arrived after another.
func (t *Technician) look(ctx context.Context, now, since, arrived time.Time) (raised int, err error) {
	q := MarkQuery{Metrics: []vital.Metric{vital.BloodPressure, vital.BodyWeight}, From: since, To: now.Add(oneDay)}
	patients, err := t.Store.Measurers(ctx, q, arrived)
	if err != nil {
		return 0, err
	}
	for len(patients) > 0 {
		q.Patients = patients[:min(patientsAtOnce, len(patients))]
		patients = patients[len(q.Patients):]
		q.From = since.Add(-weighedFor)
		taken, err := t.Store.TakenOf(ctx, q)
		if err != nil {
			return raised, err
		}
		found := map[vital.PatientID][]Doubted{}
		for p, readings := range taken {
			for _, d := range Doubtful(readings) {
				if !d.At.Before(since) {
					found[p] = append(found[p], d)
				}
			}
		}
		if len(found) == 0 {
			continue
		}
		n, err := t.Store.Raise(ctx, now, found)
		raised += n
		if err != nil {
			return raised, err
		}
	}
	return raised, nil
}
