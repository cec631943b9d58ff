package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices/measuring"
	"hale/safe"
	"hale/vital"
)

// slotsOf are what is expected of the patient in some days around the record's time, by the metric.
func (r *record) slotsOf(t *testing.T, p account.Patient, from, to time.Time) map[string]int {
	t.Helper()
	plans, err := r.work.Plans(t.Context(), []vital.PatientID{p.ID})
	if err != nil {
		t.Fatal(err)
	}
	plan := plans[p.ID]
	all := map[string]int{}
	for _, c := range plan.Expected(measuring.Seen{}, from, to, to) {
		all[fmt.Sprintf("%s %s", c.Metric, c.Cover)]++
	}
	return all
}

// TestAMergeCarriesWhatIsExpected: schedule, pauses and doubts follow the person, no past is changed, and undoing gives back what was.
func TestAMergeCarriesWhatIsExpected(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	y := r.addPatient(t, r.nurse, "2")
	now := r.now(t)
	long := now.AddDate(0, 0, -20)
	line := func(code string, from int) string {
		return fmt.Sprintf(`[{"metric":"%s","first":"2020-01-01","times":[[%d,%d,%d]]}]`, code, from, from+30, from+60)
	}
	for p, lines := range map[vital.PatientID]string{r.patient.ID: line("body_weight", 420), y.ID: line("blood_pressure", 1140)} {
		r.exec(t, fmt.Sprintf(`INSERT INTO measurement_schedule (org_id, patient_id, number, effective_from, lines, reason, author_name, created_at) VALUES (%d, %d, 1, '%s', '%s', 'x', 'Eva', now())`,
			int32(y.Org), int64(p), long.Format(time.RFC3339), lines))
	}
	r.exec(t, fmt.Sprintf(`INSERT INTO measurement_pause (org_id, uid, patient_id, kind, from_at, reason, author_name, created_at) VALUES (%d, gen_random_uuid(), %d, 'hospital', '%s', 'hip', 'Eva', now())`,
		int32(y.Org), int64(r.patient.ID), now.AddDate(0, 0, -3).Format(time.RFC3339)))
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_200), r.weight(20, 84_400))
	r.lookThrough(t, since().Add(time.Hour))
	technique := &measuring.Technique{Book: r.app, People: r.app, Now: time.Now}
	list, err := technique.Waiting(t.Context(), r.nurse, "", 0)
	if err != nil || len(list.List) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := technique.Settle(t.Context(), r.nurse, list.List[0].UID, measuring.Theirs, "She wore her coat."); err != nil {
		t.Fatal(err)
	}
	noon := now.Truncate(24 * time.Hour).Add(12 * time.Hour) // no window is open then, whenever this runs
	before, yesterday, tomorrow, after := noon.AddDate(0, 0, -10), noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 10)
	past := map[vital.PatientID]map[string]int{}
	ahead := map[vital.PatientID]map[string]int{}
	for _, p := range []account.Patient{r.patient, y} {
		past[p.ID], ahead[p.ID] = r.slotsOf(t, p, before, yesterday), r.slotsOf(t, p, tomorrow, after)
	}

	made := r.merge(t, r.patient, y)
	if diff := cmp.Diff(past[y.ID], r.slotsOf(t, y, before, yesterday)); diff != "" {
		t.Errorf("the past of the record that stays is another (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"blood_pressure hospital": 9, "body_weight hospital": 9}, r.slotsOf(t, y, tomorrow, after)); diff != "" {
		t.Errorf("what is expected of the one person (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{}, r.slotsOf(t, r.patient, before, after)); diff != "" {
		t.Errorf("something is missing in the record that was merged: %s", diff)
	}
	r.lookThrough(t, since().Add(2*time.Hour))
	if list, err = technique.Waiting(t.Context(), r.nurse, "", 0); err != nil || len(list.List) != 0 {
		t.Errorf("what was answered is asked again of the one person: %+v, %v", list, err)
	}
	if sat, err := technique.Of(t.Context(), r.nurse, y.UID, 0); err != nil || len(sat.Questions) != 1 || sat.Questions[0].Note != "She wore her coat." {
		t.Errorf("the answer did not follow: %+v, %v", sat.Questions, err)
	}

	// She comes home while they are one.
	breaks, err := r.app.Measuring(t.Context(), r.nurse, y.UID)
	if err != nil || len(breaks.Breaks) != 1 {
		t.Fatalf("%+v, %v", breaks.Breaks, err)
	}
	home := breaks.Breaks[0]
	home.EndedAt, home.EndedBy = r.now(t), "Eva"
	if _, err := r.app.SavePause(t.Context(), r.nurse, y.ID, home); err != nil {
		t.Fatal(err)
	}
	if _, err := (&safe.Merges{People: r.app, Book: r.app}).Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if diff := cmp.Diff(ahead[y.ID], r.slotsOf(t, y, tomorrow, after)); diff != "" {
		t.Errorf("apart again, of the record that stayed (-want +got):\n%s", diff)
	}
	for _, p := range []account.Patient{r.patient, y} {
		if diff := cmp.Diff(past[p.ID], r.slotsOf(t, p, before, yesterday)); diff != "" {
			t.Errorf("apart again, the past of %d (-want +got):\n%s", p.ID, diff)
		}
	}
	if diff := cmp.Diff(map[string]int{"body_weight missed": 9}, r.slotsOf(t, r.patient, tomorrow, after)); diff != "" {
		t.Errorf("apart again, she is home (-want +got):\n%s", diff)
	}
	if sat, err := technique.Of(t.Context(), r.nurse, r.patient.UID, 0); err != nil || len(sat.Questions) != 1 {
		t.Errorf("the answer did not come back: %+v, %v", sat.Questions, err)
	}
}
