package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// dated is a pressure of the first day of the record, received near its end, of which no more than the day is known.
func (r *record) dated(systolic, diastolic int64) vital.Record {
	rec := r.pressure(0, systolic, diastolic)
	rec.Reading.ReceivedAt = since().Add(23*time.Hour + 50*time.Minute)
	rec.Reading.Findings |= vital.TimeLocal
	rec.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockZone, Uncertainty: 24*time.Hour + 5*time.Minute}}
	rec.Reading.FindAge()
	return rec
}

// TestARedThatMayBeOfNowIsNoneOfThePast: what is known of its time counts when it comes, and when it is judged anew from the record.
func TestARedThatMayBeOfNowIsNoneOfThePast(t *testing.T) {
	t.Parallel()
	t.Run("when it comes", func(t *testing.T) {
		t.Parallel()
		r := newRecord(t)
		r.advance(t, r.dated(185, 100))
		if a := r.only(t); a.Historic || a.Paged != alerts.Red {
			t.Errorf("a red of today's date: %+v", a)
		}
	})
	t.Run("judged anew", func(t *testing.T) {
		t.Parallel()
		r := newRecord(t)
		r.advance(t, r.dated(130, 80))
		high := 120.0
		_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
			EffectiveFrom: since(), Enabled: true, Reason: "her own target", Limit: alerts.Limit{Components: []alerts.Bounds{{RedHigh: &high}}, K: 1, N: 1, ClearAfter: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.advance(t)
		if a := r.only(t); a.Historic || a.Paged != alerts.Red {
			t.Errorf("a red of today's date, by new limits: %+v", a)
		}
	})
}

// TestAnAlertSaysHowWellTheTimesOfItsReadingsAreKnown: when it comes, when it is judged anew from the record, and when it is taken back.
func TestAnAlertSaysHowWellTheTimesOfItsReadingsAreKnown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	past := r.dated(199, 110) // it came three days later, and the pressures of the days between before it
	past.Reading.ReceivedAt = since().Add(75 * time.Hour)
	past.Reading.FindAge()
	if past.Reading.Findings&(vital.Historic|vital.TimeUnsure) != vital.Historic|vital.TimeUnsure {
		t.Fatalf("it is marked %v", past.Reading.Findings.Names())
	}
	r.advance(t, r.dated(185, 100))
	want := vital.Vague{Within: 24*time.Hour + 5*time.Minute, ReceivedAt: since().Add(23*time.Hour + 50*time.Minute)}
	a := r.only(t)
	if a.FirstVague != want || a.SinceVague != want || a.LastVague != want || a.WorstVague != want {
		t.Errorf("first %v, since %v, last %v, worst %v", a.FirstVague, a.SinceVague, a.LastVague, a.WorstVague)
	}
	known := r.pressure(24*60, 172, 95)
	r.advance(t, known)
	past.Reading.SentAt, past.Reading.MeasuredAt = since().Add(time.Minute), since().Add(time.Minute)
	r.advance(t, past)
	if a = r.only(t); !a.LastVague.IsZero() || a.WorstVague != past.Reading.Vague() || a.FirstVague != want {
		t.Errorf("after a known one, and a worse one of which no more than the day is known, judged from the record: last %v, worst %v, first %v", a.LastVague, a.WorstVague, a.FirstVague)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alerts.FoldLog(a.Episode, log), a.Episode); diff != "" {
		t.Errorf("the alert is not what its log says (-log +alert):\n%s", diff)
	}
	late := false
	for _, n := range log {
		if n.Reading.ID == past.Reading.ID() {
			late = late || n.Vague == past.Reading.Vague()
		}
	}
	if !late {
		t.Errorf("of what was judged from the record, and tells of the past, nothing says that its time is not known: %+v", log)
	}
}

// TestWhatWaitsOrWasRefusedSaysHowWellItsTimeIsKnown: an unverified red with the values that it stands for, the inbox, and what was put
// aside; and the newest reading of a patient.
func TestWhatWaitsOrWasRefusedSaysHowWellItsTimeIsKnown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	vague := func(rec vital.Record) vital.Record {
		rec.Reading.ReceivedAt = rec.Reading.MeasuredAt.Add(5 * time.Hour)
		rec.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockCoincident, Uncertainty: 3 * time.Hour}}
		rec.Reading.FindAge()
		return rec
	}
	waits := vague(r.saturation(-300, 72, 0))
	refused := vague(r.saturation(-290, 70, 0))
	no := vital.Record{Refused: &vital.Refused{
		Org: r.nurse.Org, Device: r.device.ID, ReceivedAt: refused.Reading.ReceivedAt, Topic: "t", Reason: vital.ReasonConflict, Detail: "d", Raw: []byte("x"), Length: 1, Read: refused.Reading,
	}}
	refused.Reading.Findings = 0 // nobody has looked at it in that way
	r.advance(t, waits)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Vague != waits.Reading.Vague() || list[0].Vague.IsZero() {
		t.Fatalf("an unverified red says %+v", list)
	}
	r.advance(t, no)
	one, err := r.app.Unverified(t.Context(), r.nurse, list[0].UID)
	if err != nil {
		t.Fatal(err)
	}
	if one.Vague != refused.Reading.Vague() || len(one.All) != 2 || one.All[0].Vague != refused.Reading.Vague() || one.All[1].Vague != waits.Reading.Vague() {
		t.Errorf("of a worse one that was refused: %+v of %+v", one.Vague, one.All)
	}
	inbox, err := r.app.Waiting(t.Context(), r.nurse, 10)
	if err != nil || len(inbox) != 1 || inbox[0].Vague != waits.Reading.Vague() || inbox[0].Readings[0].Vague != waits.Reading.Vague() {
		t.Errorf("the inbox says %+v, %v", inbox, err)
	}
	if _, err := r.inbox().Dismiss(t.Context(), r.nurse, safe.Dismissal{Sensor: "cuff-1", From: since().Add(-10 * time.Hour), To: since(), Why: "a test"}); err != nil {
		t.Fatal(err)
	}
	aside, err := r.app.Aside(t.Context(), r.nurse, 10)
	if err != nil || len(aside) != 1 || aside[0].Vague != waits.Reading.Vague() || aside[0].Readings[0].Vague != waits.Reading.Vague() {
		t.Errorf("what was put aside says %+v, %v", aside, err)
	}
	theirs := r.dated(131, 81)
	r.advance(t, theirs, r.saturation(10, 97, 0))
	newest, err := r.app.Latest(t.Context(), r.nurse, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range newest {
		if want := p.Metric == vital.BloodPressure; !p.Vague().IsZero() != want || want && p.Vague() != theirs.Reading.Vague() {
			t.Errorf("the newest %s says %v", p.Metric, p.Vague())
		}
	}
	if len(newest) != 2 {
		t.Errorf("%d newest", len(newest))
	}
}
