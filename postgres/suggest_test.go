package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices"
	"hale/safe"
)

// suggestions are the reasons for each patient, of what waits for one reason.
func (r *record) suggestions(t *testing.T, reason string) map[string]string {
	t.Helper()
	list, err := r.inbox().List(t.Context(), r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Reason != reason {
			continue
		}
		told := map[string]string{}
		for _, s := range list[i].Suggestions {
			told[string(s.Patient.UID)] = strings.Join(s.Reasons, "; ")
		}
		return told
	}
	t.Fatalf("nothing waits as %s: %+v", reason, list)
	return nil
}

// away says that what the patient's sensor measured in that minute is not theirs.
func (r *record) away(t *testing.T, p account.Patient, minute int) safe.Refile {
	t.Helper()
	at := since().Add(time.Duration(minute) * time.Minute)
	made := r.ask(t, safe.Wish{Sensor: "cuff-1", From: at, To: at.Add(time.Microsecond), Owner: p.UID, Reason: "the weight is somebody else's"})
	r.carryOut(t, 100)
	return made
}

// TestWhoeverWasRuledOutIsNotSuggested: the cut that "somebody else's" made is no evidence for the person of whom it was said.
func TestWhoeverWasRuledOutIsNotSuggested(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_100), r.weight(20, 78_200), r.weight(30, 84_400))
	made := r.away(t, r.patient, 30)
	if told := r.suggestions(t, "refiled"); len(told) != 0 {
		t.Errorf("somebody said that it is not theirs, and it is suggested: %q", told)
	}
	// Of what was measured at another time nothing was said; that the assignment is in two pieces now is not told.
	r.advance(t, r.saturation(30, 97, 0))
	r.exec(t, `UPDATE inbox SET measured_at = measured_at + interval '10 minutes', reason = 'clock_uncertain' WHERE metric = 3`)
	if got, want := r.suggestions(t, "clock_uncertain")[string(r.patient.UID)], "held the sensor at that time, by the clock"; got != want {
		t.Errorf("by the whole of the assignment: %q, want %q", got, want)
	}
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.exec(t, `UPDATE inbox SET state = 'waiting' WHERE metric = 4`)
	if got := r.suggestions(t, "refiled")[string(r.patient.UID)]; !strings.Contains(got, "held the sensor") {
		t.Errorf("what was taken back rules nobody out: %q", got)
	}
}

// TestWhoseADateMayBeIsNotToldByATime: of a reading with no more than its date, everybody who had the sensor in that time may have had it
// then, also when it was in two pieces; none is told by the midnight that stands for the day.
func TestWhoseADateMayBeIsNotToldByATime(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	changed := since().Add(10 * time.Hour)
	r.exec(t, fmt.Sprintf(`UPDATE assignment SET from_at = from_at - interval '3 days', to_at = '%s', epoch = epoch + 1 WHERE id = %d`, changed.Format(time.RFC3339), r.given.ID))
	if _, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: "cuff-1", Patient: other.UID, From: changed}); err != nil {
		t.Fatal(err)
	}
	r.advance(t, r.dated(225, 130))
	reds := r.unverified(t, r.nurse)
	if len(reds) != 1 || len(reds[0].Holders) != 2 || reds[0].Holders[0].How != "held" || reds[0].Holders[1].How != "held" {
		t.Errorf("either had it in that time, and nobody knows who did then: %+v", reds)
	}
	day := since().Format("2 January 2006")
	want := map[string]string{
		string(r.patient.UID): "may have had the sensor then: had it until " + day + ", 10:00 UTC",
		string(other.UID):     "may have had the sensor then: has had it since " + day + ", 10:00 UTC",
	}
	if diff := cmp.Diff(want, r.suggestions(t, "clock_uncertain")); diff != "" {
		t.Error(diff)
	}
	r.exec(t, fmt.Sprintf(`UPDATE assignment SET from_at = from_at + interval '3 days' WHERE id = %d`, r.given.ID))
	want[string(r.patient.UID)] = "may have had the sensor then: had it from " + day + ", 00:00 to " + day + ", 10:00 UTC"
	if diff := cmp.Diff(want, r.suggestions(t, "clock_uncertain")); diff != "" {
		t.Error(diff)
	}
}

// TestWhoeverWasRuledOutOfAPartComesLast, with the number.
func TestWhoeverWasRuledOutOfAPartComesLast(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.weight(10, 78_100), r.weight(30, 84_400), r.saturation(-60, 96, 0))
	r.away(t, r.patient, 30)
	at := since().Add(-time.Hour)
	made, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", at, at.Add(time.Microsecond), other.UID, "Hers.")
	if err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	told := r.suggestions(t, "refiled")
	if got := told[string(r.patient.UID)]; len(told) != 1 || !strings.HasSuffix(got, "somebody said of 1 of them that they are not theirs") {
		t.Errorf("%q", told)
	}
}

// TestAClaimMakesNoEvidenceAndTakesNoneAway: neither what is left of an assignment that a claim made, nor what it filed. A claim within
// the patient's own time leaves that time what it is.
func TestAClaimMakesNoEvidenceAndTakesNoneAway(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_100), r.weight(20, 78_200))
	r.advance(t, r.saturation(-60, 96, 0), r.saturation(-50, 96, 0), r.saturation(-40, 96, 0), r.saturation(-20, 97, 0))
	r.exec(t, `UPDATE inbox SET measured_at = measured_at + interval '45 minutes', reason = 'clock_uncertain' WHERE mantissa = 97`)
	claim := func(from, to time.Duration, whose account.Patient) {
		t.Helper()
		if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", since().Add(from), since().Add(to), whose.UID, "She says so."); err != nil {
			t.Fatal(err)
		}
		r.carryOut(t, 100)
	}
	claim(25*time.Minute, 26*time.Minute, r.patient)
	claim(-time.Hour, -39*time.Minute, other)
	r.away(t, other, -50) // of what the claim made two pieces are left
	parked := r.weight(30, 78_300)
	parked.Reading.Patient, parked.Reading.Assignment, parked.Reading.Epoch = 0, 0, 0
	parked.Reading.SentAt = since().Add(-90 * time.Minute)
	parked.Reading.MeasuredAt = parked.Reading.SentAt
	r.advance(t, parked)
	told := r.suggestions(t, "no_owner")
	if got, want := told[string(r.patient.UID)], "holds the sensor since "+since().Format("2 January 2006, 15:04")+" UTC, after it was measured; weighs about 78.1 kg, which is near this"; got != want {
		t.Errorf("the patient:\n%q, want\n%q", got, want)
	}
	if got, some := told[string(other.UID)]; some {
		t.Errorf("a claim feeds the next: %q", got)
	}
}
