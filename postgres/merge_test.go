package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
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
		`INSERT INTO kit (org_id, uid, label, state, state_at, issued_at, made_at) VALUES (%[1]d, gen_random_uuid(), 'K-%[2]d', 'issued', now(), now(), now())`,
		`INSERT INTO kit_holder (org_id, kit_id, patient_id, from_at) SELECT %[1]d, k.id, %[2]d, now() FROM kit k WHERE k.label = 'K-%[2]d'`,
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
			tables := []string{"caregiver_grant", "private_item", "patient_identifier", "kit_holder"}
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

// askErased writes that somebody asked for the erasure of the patient's data, and how far that is.
func (r *record) askErased(t *testing.T, p account.Patient, state safe.ErasureState) {
	t.Helper()
	decided := "now()"
	if state == safe.ErasureAsked || state == safe.ErasureWithdrawn {
		decided = "NULL"
	}
	r.exec(t, fmt.Sprintf(`DELETE FROM erasure; INSERT INTO erasure (org_id, uid, number, patient_id, state, asked_role, asked_at, decided_at, answer)
VALUES (%d, gen_random_uuid(), 1, %d, '%s', 'patient', now(), %s, 'x')`, int32(p.Org), int64(p.ID), state, decided))
}

// TestNothingLeavesARecordThatIsToBeErased checks what merges and refiles do while somebody has asked for an erasure: two records
// stay two, and one stays one, until that is settled; what was filed under the wrong person is mended until it is confirmed.
func TestNothingLeavesARecordThatIsToBeErased(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b, c := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	r.advance(t, r.pressure(10, 150, 90))
	merged := r.merge(t, c, b)
	moved := r.ask(t, r.wish(r.patient.UID, b.UID, 0, 0))
	r.carryOut(t, 10)
	for _, x := range []struct {
		state         safe.ErasureState
		merge, refile bool // are done
	}{
		{safe.ErasureAsked, false, true},
		{safe.ErasureDecided, false, true},
		{safe.ErasureConfirmed, false, false},
		{safe.ErasureErasing, false, false},
		{safe.ErasureKept, false, false},
		{safe.ErasureWithdrawn, true, true},
	} {
		for _, who := range []account.Patient{r.patient, b} {
			r.askErased(t, who, x.state)
			if _, err := r.refiles().Ask(t.Context(), r.nurse, r.wish(b.UID, r.patient.UID, 0, 0)); err == nil != x.refile || err != nil && !fault.Is(err, fault.Conflict) {
				t.Errorf("%s, of patient %d: refile: %v", x.state, who.ID, err)
			}
			r.exec(t, "DELETE FROM refile WHERE state = 'asked'")
			if _, err := r.refiles().Undo(t.Context(), r.nurse, moved.UID, ""); err == nil != x.refile || err != nil && !fault.Is(err, fault.Conflict) {
				t.Errorf("%s, of patient %d: undo of a refile: %v", x.state, who.ID, err)
			}
			r.exec(t, "DELETE FROM refile WHERE state = 'asked'")
			if x.merge {
				continue
			}
			if _, err := r.tryMerge(t, r.patient, b); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s, of patient %d: merged: %v", x.state, who.ID, err)
			}
		}
		if _, err := r.merges().Undo(t.Context(), r.nurse, merged.UID, ""); err == nil != x.merge || err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: undo of a merge: %v", x.state, err)
		}
	}
	r.carryOut(t, 10)
	if _, err := r.tryMerge(t, r.patient, b); err != nil {
		t.Errorf("withdrawn: %v", err)
	}
}

// TestTheNumberOnAnOldCardFindsThePerson checks that number and identifier of a record that was merged, twice, find the one that stays:
// for who sees that, who may never have seen the other, and for nobody else.
func TestTheNumberOnAnOldCardFindsThePerson(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b, c, other := r.addPatient(t, r.nurse, "OLD-2"), r.addPatient(t, r.nurse, "3"), r.addPatient(t, r.nurse, "4")
	r.own(t, b)
	r.merge(t, b, c)
	merged := r.merge(t, c, other)
	r.exec(t, fmt.Sprintf("UPDATE team_patient SET to_at = greatest(from_at, now()) WHERE patient_id IN (%d, %d)", b.ID, c.ID))
	nurse := r.nurse
	nurse.Role = account.Nurse
	stranger := r.staff(t, "Elsewhere", "eva")
	for _, x := range []struct {
		name string
		by   account.Actor
		want int
	}{{"an administrator", r.nurse, 1}, {"a nurse who saw only the record that stays", nurse, 1}, {"another organisation", stranger, 0}} {
		list, err := r.app.Patients(t.Context(), x.by, "OLD-2", 0)
		if err != nil || len(list) != x.want || x.want == 1 && (list[0].UID != other.UID || list[0].Before != "OLD-2") {
			t.Errorf("%s: the search finds %+v, %v", x.name, list, err)
		}
		if list, err = r.app.Numbered(t.Context(), x.by, "OLD-2"); err != nil || len(list) != x.want {
			t.Errorf("%s: the number finds %+v, %v", x.name, list, err)
		}
		if list, err = r.app.Identified(t.Context(), x.by, "urn:x", fmt.Sprintf("a%d", b.ID)); err != nil || len(list) != x.want {
			t.Errorf("%s: the identifier finds %+v, %v", x.name, list, err)
		}
	}
	if list, err := r.app.Patients(t.Context(), r.nurse, "4", 0); err != nil || len(list) != 1 || list[0].Before != "" {
		t.Errorf("by their own number: %+v, %v", list, err)
	}
	if _, err := r.merges().Undo(t.Context(), r.nurse, merged.UID, ""); err != nil {
		t.Fatal(err)
	}
	if list, err := r.app.Patients(t.Context(), r.nurse, "OLD-2", 0); err != nil || len(list) != 1 || list[0].UID != c.UID {
		t.Errorf("after the undo the search finds %+v, %v", list, err)
	}
}

// TestAMergeOverrulesNoRefusal checks that what somebody has refused under one record is not agreed to by their other one.
func TestAMergeOverrulesNoRefusal(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	y := r.addPatient(t, r.nurse, "2")
	day := 0
	decide := func(p account.Patient, c consent.Choice) {
		day++
		r.exec(t, fmt.Sprintf(`INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, through, recorded_by, decided_at, created_at)
SELECT %d, gen_random_uuid(), %d, '%s', v.version, v.language, '%s', 'self', 'own_session', 'x', '2026-01-01Z'::timestamptz + %d * interval '1 day', now()
FROM consent_text v WHERE v.purpose = '%[3]s' LIMIT 1`, int32(p.Org), int64(p.ID), consent.ForSharing, c, day))
	}
	decide(r.patient, consent.Given)
	decide(y, consent.Given)
	decide(r.patient, consent.Withdrawn)
	if n := r.count(t, "SELECT count(*) FROM consent_decision"); n != 3 {
		t.Fatalf("%d decisions were written, want 3", n)
	}
	if _, err := r.tryMerge(t, r.patient, y); !fault.Is(err, fault.Conflict) {
		t.Errorf("merged although sharing was withdrawn under the first record: %v", err)
	}
	if c, err := r.merges().Compare(t.Context(), r.nurse, r.patient.UID, y.UID); err != nil || !slices.Contains(c.Differ, "the consents") {
		t.Errorf("who looks first is not told that consents differ: %v, %v", c.Differ, err)
	}
	if _, err := r.tryMerge(t, r.patient, y); err == nil || strings.Contains(fault.MessageOf(err), string(consent.ForSharing)) {
		t.Errorf("the refusal tells what somebody decided: %v", err)
	}
	decide(y, consent.Withdrawn)
	decide(r.patient, consent.Given) // the record that stays is the more protective one
	if _, err := r.tryMerge(t, r.patient, y); err != nil {
		t.Errorf("merged into the more protective one: %v", err)
	}
}

// TestAMergeThatOpensARecordToWhoMakesItIsSeen: an administrator joins a record of another team with one of their own team, either way
// round.
func TestAMergeThatOpensARecordToWhoMakesItIsSeen(t *testing.T) {
	t.Parallel()
	for name, turned := range map[string]bool{"into theirs": false, "theirs into the other": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, boss, decoy := ownTeam(t)
			ctx := t.Context()
			from, into := r.patient, decoy
			if turned {
				from, into = into, from
			}
			merges := &safe.Merges{People: r.app, Book: r.app}
			seen, err := merges.Compare(ctx, boss, from.UID, into.UID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := merges.Ask(ctx, boss, safe.MergeWish{Patient: from.UID, Into: into.UID, Confirm: seen.Confirm, Reason: "enrolled twice", Override: "her daughter said so"}); err != nil {
				t.Fatal(err)
			}
			if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'access.let_in' AND audience = 'privacy_officer' AND patient_id = $1`, int64(into.ID)); n != 1 {
				t.Errorf("the privacy officer is owed %d notices", n)
			}
			if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'let oneself in' AND actor_name = 'boss' AND patient_id = $1 AND object LIKE 'merge %'`, int64(into.ID)); n != 1 {
				t.Errorf("the patient sees it %d times", n)
			}
		})
	}
}

// TestAMergeWithAClosedRecordIsNotUndone closes the second record, as an erasure does that keeps something by law.
func TestAMergeWithAClosedRecordIsNotUndone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	b := r.addPatient(t, r.nurse, "2")
	made := r.merge(t, r.patient, b)
	r.exec(t, fmt.Sprintf(`UPDATE patient SET restricted_at = now(), state = 'locked' WHERE id = %d`, b.ID))
	if _, err := r.merges().Undo(t.Context(), r.nurse, made.UID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("it is undone: %v", err)
	}
}

// ownTeam returns a record with an administrator who sees a patient of their own team, and not the record's.
func ownTeam(t *testing.T) (r *record, boss account.Actor, decoy account.Patient) {
	t.Helper()
	r = newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	boss = r.member(t, "boss", account.Administrator)
	boss.UID = r.uidOf(t, boss)
	decoy = r.addPatient(t, r.nurse, "2")
	own, err := teams.Add(ctx, boss, "Own")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{teams.Join(ctx, boss, own.UID, boss.UID, time.Time{}, time.Time{}), teams.TakeIn(ctx, boss, own.UID, decoy.UID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.exec(t, `UPDATE team_member m SET to_at = greatest(from_at, clock_timestamp()) FROM staff s, team t WHERE s.id = m.staff_id AND t.id = m.team_id AND s.login = 'boss' AND t.name <> 'Own'`)
	r.exec(t, `DELETE FROM outbox`)
	return r, boss, decoy
}

// TestReadingsThatAreFiledIntoSightAreTold: an administrator files somebody's readings to a patient of their own team.
func TestReadingsThatAreFiledIntoSightAreTold(t *testing.T) {
	t.Parallel()
	r, boss, decoy := ownTeam(t)
	r.advance(t, r.pressure(10, 150, 90))
	ask := func(who account.Actor, from, to int) {
		t.Helper()
		w := safe.Wish{
			Sensor: r.device.UID, From: since().Add(time.Duration(from) * time.Minute), To: since().Add(time.Duration(to) * time.Minute),
			Owner: r.patient.UID, BelongsTo: decoy.UID, Reason: "the boxes were mixed up",
		}
		if _, err := (&safe.Refiles{People: r.app, Book: r.app, Now: time.Now}).Ask(t.Context(), who, w); err != nil {
			t.Fatal(err)
		}
	}
	told := func() int {
		return r.count(t, `SELECT count(*) FROM outbox o JOIN audit a ON a.patient_id = o.patient_id WHERE o.topic = 'access.let_in' AND o.audience = 'privacy_officer' AND a.action = 'let oneself in'
			AND a.object LIKE 'refile %' AND o.patient_id = $1`, int64(r.patient.ID))
	}
	ask(boss, 5, 15)
	if n := told(); n != 1 {
		t.Errorf("the privacy officer and the patient are told %d times", n)
	}
}

// TestTheConsoleTellsOfATeamThatItLeavesAlone gives a team's last nurse other work.
func TestTheConsoleTellsOfATeamThatItLeavesAlone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	nina := r.member(t, "nina", account.Nurse)
	only, err := teams.Add(ctx, r.nurse, "Only")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{teams.Join(ctx, r.nurse, only.UID, r.uidOf(t, nina), time.Time{}, time.Time{}), teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).SetStaff(ctx, postgres.Staff{Organisation: "Home", Login: "nina", Name: "Nina", Role: account.Researcher, PasswordHash: "x"}); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'team.unattended' AND audience = 'manager'`); n != 1 {
		t.Errorf("whoever manages teams is owed %d notices", n)
	}
}
