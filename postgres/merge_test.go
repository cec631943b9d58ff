package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

func (r *record) merges() *safe.Merges { return &safe.Merges{People: r.app, Book: r.app} }

// merge makes one record of two, and carries it out.
func (r *record) merge(t *testing.T, from, into account.Patient) safe.Merge {
	t.Helper()
	made, err := r.tryMerge(t, from, into)
	if err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	return made
}

func (r *record) tryMerge(t *testing.T, from, into account.Patient) (safe.Merge, error) {
	t.Helper()
	seen, err := r.merges().Compare(t.Context(), r.nurse, from.UID, into.UID)
	if err != nil {
		t.Fatal(err)
	}
	return r.merges().Ask(t.Context(), r.nurse, safe.MergeWish{Patient: from.UID, Into: into.UID, Confirm: seen.Confirm, Reason: "enrolled twice", Override: "her daughter said so"})
}

// own gives a patient somebody whom they let in, something that they keep private, and an identifier.
func (r *record) own(t *testing.T, p account.Patient) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO caregiver (org_id, uid, name, created_at) VALUES (%[1]d, gen_random_uuid(), 'Daughter of %[2]d', now())`,
		`INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, scopes, from_at) SELECT %[1]d, %[2]d, id, 'SeePatients', now() FROM caregiver WHERE name = 'Daughter of %[2]d'`,
		`INSERT INTO private_item (org_id, uid, patient_id, kind, metric, marked_at, marked_by) VALUES (%[1]d, gen_random_uuid(), %[2]d, 'metric', 1, now(), 'x')`,
		`INSERT INTO patient_identifier (org_id, uid, patient_id, system, value, key, added_at) VALUES (%[1]d, gen_random_uuid(), %[2]d, 'urn:x', 'A%[2]d', 'a%[2]d', now())`,
	} {
		r.exec(t, fmt.Sprintf(statement, int32(p.Org), int64(p.ID)))
	}
}

// TestUndoingAMergeGivesBackOnlyWhatWasMoved checks the undo of a merge with every number of things on either side: what was
// the second person's own all along is a stranger's to the first.
func TestUndoingAMergeGivesBackOnlyWhatWasMoved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		first, last bool // has things of their own
	}{
		{"only the record that stays has something", false, true},
		{"only the record that was merged has something", true, false},
		{"both have something", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			y := r.addPatient(t, r.nurse, "2")
			for p, has := range map[*account.Patient]bool{&r.patient: c.first, &y: c.last} {
				if has {
					r.own(t, *p)
				}
			}
			made := r.merge(t, r.patient, y)
			moved := 0
			for _, has := range []bool{c.first, c.last} {
				if has {
					moved++
				}
			}
			tables := []string{"caregiver_grant", "private_item", "patient_identifier"}
			of := func(table string, p account.Patient) int {
				return r.count(t, "SELECT count(*) FROM "+table+" WHERE patient_id = $1", int64(p.ID))
			}
			for _, table := range tables {
				if of(table, y) != moved || of(table, r.patient) != 0 {
					t.Errorf("merged: %d and %d rows of %s, want 0 and %d", of(table, r.patient), of(table, y), table, moved)
				}
			}
			if _, err := r.merges().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
				t.Fatal(err)
			}
			for _, table := range tables {
				for p, has := range map[*account.Patient]bool{&r.patient: c.first, &y: c.last} {
					if got := of(table, *p) == 1; got != has {
						t.Errorf("undone: %s of patient %d: there is a row: %v, want %v", table, p.ID, got, has)
					}
				}
			}
		})
	}
}

var _ = []any{fault.Conflict, time.Now, vital.UID("")}
