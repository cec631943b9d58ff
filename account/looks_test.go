package account_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/vital"
)

// lookbook is a record of looks in memory.
type lookbook struct {
	rows   []account.Audit
	writes int
	broken error
}

func (b *lookbook) RecordLooks(_ context.Context, a account.Audit, patients []vital.PatientID) error {
	if b.broken != nil {
		return b.broken
	}
	b.writes++
	for _, p := range patients {
		a.Patient = p
		b.rows = append(b.rows, a)
	}
	return nil
}

func looking() (*account.Looks, *lookbook, *time.Time) {
	now := noon()
	book := &lookbook{}
	return &account.Looks{Log: book, Now: func() time.Time { return now }}, book, &now
}

func TestAWorklistIsOneWriteWithARowForEachPatientOnce(t *testing.T) {
	t.Parallel()
	looks, book, _ := looking()
	if err := looks.Saw(t.Context(), nurse(), "worklist", "", 1, 2, 1, 3); err != nil {
		t.Fatal(err)
	}
	var patients []vital.PatientID
	for _, r := range book.rows {
		if r.Action != account.LookAction || r.Object != "worklist" || r.Org != 1 || r.Actor != nurse() || !r.At.Equal(noon()) {
			t.Errorf("row %+v", r)
		}
		patients = append(patients, r.Patient)
	}
	if diff := cmp.Diff([]vital.PatientID{1, 2, 3}, patients); diff != "" || book.writes != 1 {
		t.Errorf("%d writes; %s", book.writes, diff)
	}
}

func TestOneRowStandsForTenMinutesOfOneSessionAndOneThing(t *testing.T) {
	t.Parallel()
	other := nurse()
	other.Session = "another"
	for name, c := range map[string]struct {
		actor  account.Actor
		object string
		detail string
		after  time.Duration
		want   int // rows in all
	}{
		"the same within ten minutes is written once":         {nurse(), "worklist", "", 9*time.Minute + 59*time.Second, 1},
		"after ten minutes it is written again":               {nurse(), "worklist", "", 10 * time.Minute, 2},
		"another session is another look":                     {other, "worklist", "", time.Second, 2},
		"another thing is another look":                       {nurse(), "limits", "", time.Second, 2},
		"another detail is another look":                      {nurse(), "worklist", "heart_rate", time.Second, 2},
		"another person is another look":                      {desk(), "worklist", "", time.Second, 2},
		"a key is another than a person":                      {account.Actor{Org: 1, Key: 3, Role: account.SystemRole}, "worklist", "", time.Second, 2},
		"a clock that was set back writes again, never less":  {nurse(), "worklist", "", -time.Hour, 2},
		"a patient is not the caregiver who has the same id":  {account.Actor{Org: 1, Self: 3, Role: account.SelfRole}, "worklist", "", time.Second, 2},
		"the same id in another organisation is another look": {account.Actor{Org: 2, Staff: 3, Role: account.Nurse}, "worklist", "", time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			looks, book, now := looking()
			if err := looks.Saw(t.Context(), nurse(), "worklist", "", 7); err != nil {
				t.Fatal(err)
			}
			*now = now.Add(c.after)
			if err := looks.Saw(t.Context(), c.actor, c.object, c.detail, 7); err != nil {
				t.Fatal(err)
			}
			if len(book.rows) != c.want {
				t.Errorf("%d rows, want %d", len(book.rows), c.want)
			}
		})
	}
}

func TestOnlyWhoIsNewOnTheWorklistIsWritten(t *testing.T) {
	t.Parallel()
	looks, book, _ := looking()
	for _, list := range [][]vital.PatientID{{1, 2}, {2, 3}, {1, 2, 3}} {
		if err := looks.Saw(t.Context(), nurse(), "worklist", "", list...); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.EqualFunc(book.rows, []vital.PatientID{1, 2, 3}, func(a account.Audit, p vital.PatientID) bool { return a.Patient == p }) || book.writes != 2 {
		t.Errorf("%d writes: %+v", book.writes, book.rows)
	}
}

func TestALookThatWasNotWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	looks, book, _ := looking()
	book.broken = errors.New("disk full")
	if err := looks.Saw(t.Context(), nurse(), "worklist", "", 1); !errors.Is(err, book.broken) {
		t.Errorf("it said %v", err)
	}
	book.broken = nil
	if err := looks.Saw(t.Context(), nurse(), "worklist", "", 1); err != nil || len(book.rows) != 1 {
		t.Errorf("%v, %d rows", err, len(book.rows))
	}
}
