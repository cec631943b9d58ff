package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// TestAScheduleIsKeptInVersionsAndPauses sets two versions and two pauses, and reads the strip that follows from them.
func TestAScheduleIsKeptInVersionsAndPauses(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC) // 13:00 at home
	s := &measuring.Schedules{Book: r.app, Now: func() time.Time { return now }}
	window := func(from, to int) measuring.Window {
		return measuring.Window{From: from * 60, At: from * 60, To: to * 60}
	}
	lines := []measuring.Line{
		{Metric: vital.BloodPressure, First: "2026-03-01", Times: []measuring.Window{window(7, 10)}, Intro: &measuring.Intro{For: 2, Times: []measuring.Window{window(7, 10), window(18, 21)}}},
		{Metric: vital.BodyWeight, First: "2026-03-01", Last: "2026-04-30", Days: measuring.Days{Weekdays: []time.Weekday{time.Sunday, time.Tuesday}}, Times: []measuring.Window{window(7, 12)}},
		{Metric: vital.Glucose, First: "2026-03-01", Days: measuring.Days{Every: 3}, Times: []measuring.Window{window(7, 9)}},
	}
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }
	now = at(1, 0)
	first, err := s.Set(t.Context(), r.nurse, r.patient.UID, 0, measuring.Authored{Schedule: measuring.Schedule{Lines: lines}, Reason: "heart failure"})
	if err != nil || first.Number != 1 || first.Author != r.nurse.Name {
		t.Fatalf("the first version: %+v, %v", first, err)
	}
	if _, err := s.Set(t.Context(), r.nurse, r.patient.UID, 0, measuring.Authored{Schedule: measuring.Schedule{Lines: lines}, Reason: "again"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a version on top of none while there is one: %v", err)
	}
	now = at(2, 12)
	if _, err := s.Set(t.Context(), r.nurse, r.patient.UID, 1, measuring.Authored{Schedule: measuring.Schedule{Lines: lines[:1]}, Reason: "weight is steady"}); err != nil {
		t.Fatal(err)
	}
	other, err := s.Pause(t.Context(), r.nurse, r.patient.UID, measuring.Break{Kind: measuring.InHospital, From: at(2, 16), Reason: "fell"})
	if err != nil {
		t.Fatal(err)
	}
	now = at(3, 5)
	if _, err := s.EndPause(t.Context(), r.nurse, r.patient.UID, other.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EndPause(t.Context(), r.nurse, r.patient.UID, other.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("a pause that is over was ended: %v", err)
	}
	m, err := s.Get(t.Context(), r.nurse, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines, m.Versions[0].Lines, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the lines as they came back: %s", diff)
	}
	if m.Newest() != 2 || !m.Breaks[0].EndedAt.Equal(now) || m.Breaks[0].Author != r.nurse.Name {
		t.Errorf("versions up to %d, pause %+v", m.Newest(), m.Breaks[0])
	}

	r.advance(t, r.pressure(7*60, 130, 80)) // the first of March, 08:00 at home
	now = at(3, 12)
	strip, err := s.Strip(t.Context(), r.nurse, r.patient.UID, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]measuring.Cover{}
	for _, c := range strip.Slots {
		got[c.Metric.String()+" "+c.Due.In(vital.ZoneOrUTC(r.patient.Zone)).Format("2 15:04")] = c.Cover
	}
	want := map[string]measuring.Cover{
		"blood_pressure 1 07:00": measuring.CoverMeasured, "blood_pressure 1 18:00": measuring.CoverMissed, "body_weight 1 07:00": measuring.CoverMissed, "glucose 1 07:00": measuring.CoverMissed,
		"blood_pressure 2 07:00": measuring.CoverMissed, "blood_pressure 2 18:00": measuring.CoverHospital, // in the intro, and after noon by the second version
		"blood_pressure 3 07:00": measuring.CoverMissed, // the stay ended at 06:00 of the home; no weight on this Tuesday any more
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	plans, err := r.work.Plans(t.Context(), []vital.PatientID{r.patient.ID})
	if err != nil {
		t.Fatal(err)
	}
	plan := plans[r.patient.ID]
	marks, err := r.work.Marks(t.Context(), measuring.MarkQuery{Patients: []vital.PatientID{r.patient.ID}, Metrics: plan.Metrics(), From: strip.From, To: strip.To})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strip.Slots, plan.Expected(measuring.Seen{Measured: marks[r.patient.ID]}, strip.From, strip.To, now)); diff != "" {
		t.Errorf("the process role sees it otherwise: %s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'set the measurement schedule' AND patient_id = $1`, int64(r.patient.ID)); n != 4 {
		t.Errorf("%d audit rows, want 4", n)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'schedule.changed' AND audience = 'patient' AND patient_id = $1`, int64(r.patient.ID)); n != 4 {
		t.Errorf("the patient is told %d times, want 4", n)
	}
}

func TestWhatAScheduleIsRefusedFor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	s := &measuring.Schedules{Book: r.app, Now: func() time.Time { return now }}
	version := measuring.Authored{Reason: "asked"}
	late := version
	late.EffectiveFrom = now.Add(-time.Hour)
	pharmacist, caregiver, desk := r.nurse, r.nurse, r.nurse
	pharmacist.Role = account.Pharmacist // no member of the patient's care team
	pharmacist.Staff = 0
	caregiver.Role, caregiver.Caregiver, desk.Role = account.CaregiverRole, 7, account.DeviceDesk
	_, back := s.Set(t.Context(), r.nurse, r.patient.UID, 0, late)
	_, silent := s.Set(t.Context(), r.nurse, r.patient.UID, 0, measuring.Authored{})
	_, stranger := s.Set(t.Context(), pharmacist, r.patient.UID, 0, version)
	_, byDesk := s.Set(t.Context(), desk, r.patient.UID, 0, version)
	_, relative := s.Get(t.Context(), caregiver, r.patient.UID)
	_, holiday := s.Pause(t.Context(), r.nurse, r.patient.UID, measuring.Break{Kind: measuring.OnHoliday, Reason: "the sea"})
	_, other := s.Pause(t.Context(), r.nurse, r.patient.UID, measuring.Break{Kind: measuring.OtherPause, To: now.Add(73 * time.Hour), Reason: "the painters"})
	_, unknown := s.EndPause(t.Context(), r.nurse, r.patient.UID, "01920000-0000-7000-8000-000000000000")
	_, days := s.Strip(t.Context(), r.nurse, r.patient.UID, 93)
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"a schedule does not begin in the past":    {back, fault.Invalid},
		"a change needs a reason":                  {silent, fault.Invalid},
		"somebody of another care team":            {stranger, fault.NotFound},
		"the device desk plans no care":            {byDesk, fault.Forbidden},
		"a relative is not shown the schedule":     {relative, fault.Forbidden},
		"a holiday has a last day":                 {holiday, fault.Invalid},
		"another pause ends after three days":      {other, fault.Invalid},
		"a pause that is not there":                {unknown, fault.NotFound},
		"a strip of more than a quarter of a year": {days, fault.Invalid},
	} {
		if !fault.Is(c.err, c.kind) {
			t.Errorf("%s: %v, want %s", name, c.err, c.kind)
		}
	}
}
