package postgres_test

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// lookThrough lets the technician of the record look once, at a time.
func (r *record) lookThrough(t *testing.T, now time.Time) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store := lookedThrough{TechnicianStore: r.work, now: now, done: cancel}
	if err := (&measuring.Technician{Store: &store, Log: slog.New(slog.DiscardHandler)}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if store.err != nil {
		t.Fatal(store.err)
	}
}

// lookedThrough ends the technician after its first look.
type lookedThrough struct {
	measuring.TechnicianStore
	now  time.Time
	done func()
	err  error
}

func (l *lookedThrough) Clock(context.Context) (time.Time, error) { return l.now, nil }

func (l *lookedThrough) Measurers(ctx context.Context, q measuring.MarkQuery, arrived time.Time) ([]vital.PatientID, error) {
	list, err := l.TechnicianStore.Measurers(ctx, q, arrived)
	l.err = err
	if len(list) == 0 {
		l.done()
	}
	return list, err
}

func (l *lookedThrough) Raise(ctx context.Context, now time.Time, doubts map[vital.PatientID][]measuring.Doubted) (int, error) {
	defer l.done()
	n, err := l.TechnicianStore.Raise(ctx, now, doubts)
	l.err = err
	return n, err
}

// TestAWeightOfSomebodyElseGoesWithItsAnswer: both or neither, since nobody can answer any more once the weight is away.
func TestAWeightOfSomebodyElseGoesWithItsAnswer(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_200), r.weight(20, 84_400), r.weight(30, 92_100))
	now := since().Add(3 * time.Hour)
	r.lookThrough(t, now)
	refiles := &safe.Refiles{People: r.app, Book: r.app, Now: func() time.Time { return now }}
	meanwhile := func(measuring.Question) {}
	technique := &measuring.Technique{Book: r.app, People: r.app, Now: func() time.Time { return now }, Away: func(ctx context.Context, actor account.Actor, q measuring.Question, reason string) error {
		meanwhile(q)
		_, err := refiles.Ask(ctx, actor, safe.Wish{
			Sensor: q.Sensor, From: q.MeasuredAt, To: q.MeasuredAt.Add(time.Microsecond), Owner: q.Patient.UID, Reason: reason, Doubt: q.UID, DoubtNote: q.Note,
		})
		return err
	}}
	waits, err := technique.Waiting(t.Context(), r.nurse, "", 0)
	if err != nil || len(waits.List) != 2 {
		t.Fatalf("%+v, %v", waits.List, err)
	}
	meanwhile = func(q measuring.Question) {
		q.Answer = measuring.Theirs
		if _, err := r.app.SettleQuestion(t.Context(), r.nurse, q); err != nil {
			t.Error(err)
		}
	}
	if _, err := technique.Settle(t.Context(), r.nurse, waits.List[0].UID, measuring.NotTheirs, "her son's"); !fault.Is(err, fault.Conflict) {
		t.Errorf("somebody else has said meanwhile that it is hers: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM refile`); n != 0 {
		t.Error("it is taken away although it was said to be hers")
	}
	meanwhile = func(measuring.Question) {}
	q, err := technique.Settle(t.Context(), r.nurse, waits.List[1].UID, measuring.NotTheirs, "her son's")
	if err != nil || q.Answer != measuring.NotTheirs || q.AnsweredBy != r.nurse.Name {
		t.Errorf("%+v, %v", q, err)
	}
	if n := r.count(t, `SELECT count(*) FROM refile, technique_doubt d WHERE d.answer = 'somebody_else' AND d.note = 'her son''s' AND d.answered_at IS NOT NULL`); n != 1 {
		t.Error("the answer is not stored with the command")
	}
}

// TestADateIsInNoSitting: two pressures of one day, sent with the date alone, were not taken one after the other, as far as anybody knows.
// A weight of the day is asked about as one of the day.
func TestADateIsInNoSitting(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	odd := r.weight(30, 92_100)
	from := r.dated(128, 79)
	odd.Reading.More, odd.Reading.ReceivedAt = from.Reading.More, from.Reading.ReceivedAt
	odd.Reading.FindAge()
	r.advance(t, from, r.weight(0, 78_000), r.weight(10, 78_200), odd)
	again := r.dated(152, 90)
	again.Reading.Tie = 1
	r.advance(t, again)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE metric = $1`, int16(vital.BloodPressure)); n != 2 {
		t.Fatalf("%d pressures are in the record", n)
	}
	now := since().Add(24 * time.Hour)
	r.lookThrough(t, now)
	technique := &measuring.Technique{Book: r.app, People: r.app, Now: func() time.Time { return now }}
	sat, err := technique.Of(t.Context(), r.nurse, r.patient.UID, 0)
	if err != nil || len(sat.Sittings) != 0 || len(sat.Questions) != 1 {
		t.Fatalf("%+v, %v", sat, err)
	}
	want := vital.VagueWithin(24*time.Hour+5*time.Minute, odd.Reading.ReceivedAt)
	if q := sat.Questions[0]; q.Doubt != measuring.OtherPerson || q.Vague != want {
		t.Errorf("%s, %v", q.Doubt, q.Vague)
	}
}

// TestWhatIsDoubtfulWaitsForAPerson measures a sitting that is too quick and a weight of somebody else, and answers both.
func TestWhatIsDoubtfulWaitsForAPerson(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	quick := r.pressure(60, 128, 80)
	quick.Reading.SentAt = quick.Reading.SentAt.Add(12 * time.Second)
	quick.Reading.MeasuredAt = quick.Reading.SentAt
	r.advance(t, r.pressure(60, 131, 82), quick, r.weight(0, 78_000), r.weight(10, 78_200), r.weight(20, 84_400))
	now := since().Add(3 * time.Hour)
	r.lookThrough(t, now)
	quicker := r.pressure(60, 129, 80)
	quicker.Reading.SentAt = quicker.Reading.SentAt.Add(5 * time.Second)
	quicker.Reading.MeasuredAt = quicker.Reading.SentAt
	r.advance(t, quicker)
	r.lookThrough(t, now.Add(time.Minute)) // finds the same again, and that something came late: of a sitting it asks once

	refiles := &safe.Refiles{People: r.app, Book: r.app, Now: func() time.Time { return now }}
	technique := &measuring.Technique{Book: r.app, People: r.app, Now: func() time.Time { return now }, Away: func(ctx context.Context, actor account.Actor, q measuring.Question, reason string) error {
		_, err := refiles.Ask(ctx, actor, safe.Wish{Sensor: q.Sensor, From: q.MeasuredAt, To: q.MeasuredAt.Add(time.Microsecond), Owner: q.Patient.UID, Reason: reason, Doubt: q.UID, DoubtNote: q.Note})
		return err
	}}
	waits, err := technique.Waiting(t.Context(), r.nurse, "", 0)
	waiting := waits.List
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	byDoubt := map[measuring.Doubt]measuring.Question{}
	for _, q := range waiting {
		got = append(got, string(q.Doubt)+" "+q.Sensor+" "+q.Apart.String())
		byDoubt[q.Doubt] = q
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"other_person cuff-1 0s", "too_soon cuff-1 12s"}, got); diff != "" {
		t.Fatal(diff)
	}
	weight, sitting := byDoubt[measuring.OtherPerson], byDoubt[measuring.TooSoon]
	if diff := cmp.Diff([][]float64{{84.4}, {78.1}, {128, 80}, {131, 82}}, [][]float64{weight.Values, weight.Compared, sitting.Values, sitting.Compared}); diff != "" {
		t.Error(diff)
	}
	desk := r.nurse
	desk.Role = account.DeviceDesk
	if seen, err := technique.Waiting(t.Context(), desk, "", 0); err != nil || len(seen.List) != 2 || seen.List[0].Values != nil || seen.List[1].Compared != nil {
		t.Errorf("the device desk is told of values: %+v, %v", seen, err)
	}
	sat, err := technique.Of(t.Context(), r.nurse, r.patient.UID, 14)
	if err != nil || len(sat.Sittings) != 1 || len(sat.Questions) != 2 {
		t.Fatalf("of the patient: %+v, %v", sat, err)
	}
	if diff := cmp.Diff([]float64{129, 81}, sat.Sittings[0].Mean()); diff != "" { // 80.67 is rounded up
		t.Error(diff)
	}

	_, silent := technique.Settle(t.Context(), desk, sitting.UID, measuring.Closed, " ")
	_, wrong := technique.Settle(t.Context(), r.nurse, weight.UID, measuring.Closed, "seen to")
	pharmacist := r.nurse
	pharmacist.Role = account.Pharmacist
	_, forbidden := technique.Settle(t.Context(), pharmacist, weight.UID, measuring.Theirs, "")
	if !fault.Is(silent, fault.Invalid) || !fault.Is(wrong, fault.Invalid) || !fault.Is(forbidden, fault.Forbidden) {
		t.Errorf("refused: %v; %v; %v", silent, wrong, forbidden)
	}
	if _, err := technique.Settle(t.Context(), desk, sitting.UID, measuring.Closed, "Called: she rests in between now."); err != nil {
		t.Fatal(err)
	}
	if _, err := technique.Settle(t.Context(), r.nurse, sitting.UID, measuring.Closed, "me too"); !fault.Is(err, fault.Conflict) {
		t.Errorf("answered twice: %v", err)
	}
	if _, err := technique.Settle(t.Context(), r.nurse, weight.UID, measuring.NotTheirs, ""); err != nil {
		t.Fatal(err)
	}
	for range 20 { // the refile goes step by step
		if _, err := r.work.StepRefile(t.Context(), now.Add(time.Minute), 100); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM inbox WHERE state = 'waiting' AND mantissa = 84400`); n != 1 {
		t.Errorf("%d weights wait in the inbox, want the one of somebody else", n)
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE metric = 4 AND patient_id = $1`, int64(r.patient.ID)); n != 2 {
		t.Errorf("%d weights are the patient's, want 2", n)
	}
	if left, err := technique.Waiting(t.Context(), r.nurse, "", 0); err != nil || len(left.List) != 0 || left.Waiting != 0 {
		t.Errorf("still waiting: %+v, %v", left, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'answer a doubt about a measurement'`); n != 2 {
		t.Errorf("%d audit rows of answers, want 2", n)
	}
}

// TestAWeightThatWasMovedIsNotAskedAboutAnyMore: a doubt hangs on its reading being the patient's.
func TestAWeightThatWasMovedIsNotAskedAboutAnyMore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_200), r.weight(20, 84_400))
	r.lookThrough(t, since().Add(time.Hour))
	other := r.addPatient(t, r.nurse, "2")
	if list, err := r.app.Questions(t.Context(), r.nurse, measuring.DoubtFilter{Limit: 10}); err != nil || len(list.List) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	refiles := &safe.Refiles{People: r.app, Book: r.app, Now: func() time.Time { return since().Add(2 * time.Hour) }}
	at := since().Add(20 * time.Minute)
	if _, err := refiles.Ask(t.Context(), r.nurse, safe.Wish{Sensor: "cuff-1", From: at, To: at.Add(time.Second), Owner: r.patient.UID, BelongsTo: other.UID, Reason: "her husband's"}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := r.work.StepRefile(t.Context(), since().Add(3*time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := r.app.Questions(t.Context(), r.nurse, measuring.DoubtFilter{Limit: 10}); err != nil || len(list.List) != 0 {
		t.Errorf("still asked about: %+v, %v", list, err)
	}
}

// TestDoubtsArePaged: each waits on exactly one page, a nurse is shown and counted those of her teams only, and what others have does
// not push hers out of sight.
func TestDoubtsArePaged(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(0, 78_000), r.weight(10, 78_200), r.weight(20, 84_400))
	r.lookThrough(t, since().Add(time.Hour))
	mine := r.member(t, "nina", account.Nurse)
	stranger := r.stranger(t, "eva")
	// A scale that streams: the same reading is in doubt many times over.
	r.exec(t, `ALTER TABLE technique_doubt DROP CONSTRAINT technique_doubt_org_id_patient_id_reading_id_kind_key`)
	r.exec(t, `INSERT INTO technique_doubt (org_id, uid, patient_id, sensor_id, metric, sent_at, tie, measured_at, reading_id, kind, compared, raised_at)
		SELECT org_id, gen_random_uuid(), patient_id, sensor_id, metric, sent_at, tie, measured_at, reading_id, kind, compared, raised_at + n * interval '1 second' FROM technique_doubt, generate_series(1, 24) n`)
	technique := &measuring.Technique{Book: r.app, People: r.app, Now: time.Now}
	seen := map[vital.UID]bool{}
	var before vital.UID
	for range 3 {
		page, err := technique.Waiting(t.Context(), mine, before, 10)
		if err != nil || page.Waiting != 25 || len(page.List) == 0 {
			t.Fatalf("%d of %d, %v", len(page.List), page.Waiting, err)
		}
		for i, q := range page.List {
			if i > 0 && q.RaisedAt.After(page.List[i-1].RaisedAt) || seen[q.UID] {
				t.Errorf("out of order, or twice: %s", q.UID)
			}
			seen[q.UID], before = true, q.UID
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d are on the pages", len(seen))
	}
	if page, err := technique.Waiting(t.Context(), stranger, "", 10); err != nil || page.Waiting != 0 || len(page.List) != 0 {
		t.Errorf("a nurse of no team of theirs: %+v, %v", page, err)
	}
	r.exec(t, `INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at) SELECT org_id, gen_random_uuid(), `+strconv.FormatInt(int64(r.patient.ID), 10)+`, id, 'x', now() - interval '1 hour', now() + interval '1 hour'
		FROM staff WHERE login = 'eva'`)
	if page, err := technique.Waiting(t.Context(), stranger, "", 10); err != nil || page.Waiting != 0 || len(page.List) != 0 {
		t.Errorf("who has broken the glass may not answer, and is told of none: %+v, %v", page, err)
	}
	if _, err := technique.Waiting(t.Context(), mine, "", 501); !fault.Is(err, fault.Invalid) {
		t.Errorf("a page of 501: %v", err)
	}
}
