package postgres_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

func (r *record) inbox() *safe.Inbox { return &safe.Inbox{Book: r.app, Refiles: r.refiles()} }

// TestAnAverageIsScreenedThoughNoLimitJudgesIt.
func TestAnAverageIsScreenedThoughNoLimitJudgesIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	mean := r.saturation(10, 74, vital.Averaged)
	mean.Reading.Patient, mean.Reading.Assignment, mean.Reading.Epoch = r.patient.ID, r.given.ID, r.given.Epoch
	r.advance(t, mean)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Place != alerts.InRecord || len(list[0].Holders) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestWhatWaitsIsClaimedWithItsTimeAndJudged(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-50, 96, 0))
	list, err := r.inbox().List(t.Context(), r.nurse)
	if err != nil || len(list) != 1 || list[0].Count != 2 || list[0].Reason != "no_owner" || len(list[0].Readings) != 2 || list[0].Readings[1].Values[0] != 72 {
		t.Fatalf("%+v, %v", list, err)
	}
	if s := list[0].Suggestions; len(s) != 1 || s[0].Patient.UID != r.patient.UID || !strings.HasPrefix(s[0].Reasons[0], "holds the sensor since") {
		t.Errorf("suggested %+v", s)
	}
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", list[0].First, list[0].Last.Add(time.Microsecond), other.UID, "Her visit that day."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND measured_at IN ($2, $3)`, int64(other.ID), since().Add(-time.Hour), since().Add(-50*time.Minute)); n != 2 {
		t.Fatalf("%d readings are hers", n)
	}
	r.judgeAll(t, other)
	if told := r.alertsOf(t, other); len(told) != 1 {
		t.Errorf("judged by her limits: %v", told)
	}
	if res := r.advance(t, r.saturation(-60, 72, 0)); res.Parked+res.Stored != 0 {
		t.Errorf("sent again it is taken again: %+v", res)
	}
	// What a claim gave is no reason for the next.
	r.advance(t, r.saturation(-40, 96, 0))
	if list, err = r.inbox().List(t.Context(), r.nurse); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, s := range list[0].Suggestions {
		if s.Patient.UID == other.UID {
			t.Errorf("a claim feeds the next: %+v", s)
		}
	}
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", since().Add(-time.Hour), since().Add(-50*time.Minute), other.UID, "Again."); !fault.Is(err, fault.Conflict) {
		t.Errorf("nothing was claimed: %v", err)
	}
}

// TestWhatSomebodyWeighsIsToldToThoseWhoSeeTheirReadings: what waits is nobody's, and may be seen; what one of those whose it may be
// usually weighs is theirs.
func TestWhatSomebodyWeighsIsToldToThoseWhoSeeTheirReadings(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	parked := r.weight(-60, 74300)
	parked.Reading.Patient, parked.Reading.Assignment, parked.Reading.Epoch = 0, 0, 0
	r.advance(t, r.weight(10, 74000), r.weight(20, 74100), r.weight(30, 74200), parked)
	desk := r.nurse
	desk.Role = account.DeviceDesk
	for name, c := range map[string]struct {
		who   account.Actor
		whose int  // suggestions
		tells bool // what they weigh
	}{
		"one of the care team":        {r.nurse, 1, true},
		"the device desk":             {desk, 1, false},
		"a nurse of no care team":     {r.stranger(t, "zoe"), 0, false},
		"an administrator of no team": {func() account.Actor { a := r.stranger(t, "adam"); a.Role = account.Administrator; return a }(), 1, false},
	} {
		list, err := r.inbox().List(t.Context(), c.who)
		if err != nil || len(list) != 1 || len(list[0].Readings) != 1 || len(list[0].Suggestions) != c.whose {
			t.Errorf("%s: %+v, %v", name, list, err)
			continue
		}
		for _, s := range list[0].Suggestions {
			if tells := strings.Contains(strings.Join(s.Reasons, "; "), "kg"); tells != c.tells || len(s.Reasons) == 0 {
				t.Errorf("%s is told: %q", name, s.Reasons)
			}
		}
	}
}

// TestWhatWaitsWithinAnothersTimeIsClaimed: the clock is uncertain, or who it was is not said; of the other nothing is taken but that
// instant.
func TestWhatWaitsWithinAnothersTimeIsClaimed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 130, 80), r.pressure(30, 131, 81))
	r.advance(t, r.saturation(-20, 97, 0), r.saturation(-10, 95, 0))
	// They were measured, by an uncertain clock, while the sensor was the patient's.
	r.exec(t, `UPDATE inbox SET measured_at = measured_at + interval '40 minutes', reason = 'clock_uncertain'`)
	at := since().Add(20 * time.Minute)
	if _, err := r.refiles().Ask(t.Context(), r.nurse, safe.Wish{Sensor: "cuff-1", From: at, To: at.Add(time.Microsecond), BelongsTo: other.UID, Reason: "x"}); err == nil {
		r.carryOut(t, 100) // which finds that it was somebody's throughout
	}
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", at, at.Add(time.Microsecond), other.UID, "It was she."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", at.Add(10*time.Minute), at.Add(11*time.Minute), r.patient.UID, "It was he."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	for p, want := range map[vital.PatientID]int{other.ID: 1, r.patient.ID: 1} {
		if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND metric = 3`, int64(p)); n != want {
			t.Errorf("patient %d has %d of them", p, n)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND metric = 1`, int64(r.patient.ID)); n != 2 {
		t.Errorf("%d of the patient's own readings are left", n)
	}
	r.cursor, r.decider = r.claim(t, r.cursor.Partition, "p1"), alerts.NewDecider(100)
	if res := r.advance(t, r.pressure(40, 132, 82)); res.Stored != 1 {
		t.Errorf("the sensor is the patient's no more: %+v", res)
	}
	// Every reading lies in an assignment of whoever has it.
	if n := r.count(t, `SELECT count(*) FROM reading r WHERE NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = r.sensor_id AND a.patient_id = r.patient_id
		AND a.from_at <= r.measured_at AND (a.to_at IS NULL OR a.to_at > r.measured_at))`); n != 0 {
		t.Errorf("%d readings lie outside of every assignment of their patient", n)
	}
}

func TestWhoClaimsIsWhoCaresForThePatientOrTheDesk(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stranger := r.stranger(t, "eva")
	r.advance(t, r.saturation(-60, 72, 0))
	list, err := r.inbox().List(t.Context(), stranger)
	if err != nil || len(list) != 1 || len(list[0].Suggestions) != 0 {
		t.Errorf("a nurse of no care team is told of %+v, %v", list, err)
	}
	from, to := since().Add(-2*time.Hour), since()
	if _, err := r.inbox().Claim(t.Context(), stranger, "cuff-1", from, to, r.patient.UID, "x"); !fault.Is(err, fault.NotFound) {
		t.Errorf("claimed for somebody out of reach: %v", err)
	}
	r.exec(t, `INSERT INTO team_member (org_id, team_id, staff_id, from_at) SELECT t.org_id, t.id, s.id, '2020-01-01' FROM team t JOIN staff s ON s.login = 'eva' WHERE t.usual`)
	r.exec(t, `UPDATE team_patient SET from_at = '2020-01-01'`)
	if _, err := r.inbox().Claim(t.Context(), stranger, "cuff-1", from, to, r.patient.UID, "She says so."); err != nil {
		t.Errorf("a nurse of the patient's care team: %v", err)
	}
	manager := account.Actor{Org: r.nurse.Org, Role: account.Manager, Name: "Max"}
	if _, err := r.inbox().List(t.Context(), manager); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a manager sees values: %v", err)
	}
}

func TestWhatIsPutAsideWaitsNoMore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 96, 0))
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Why: "A test at the desk."}
	if n, err := r.inbox().Dismiss(t.Context(), r.nurse, d); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if list, err := r.inbox().List(t.Context(), r.nurse); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if res := r.advance(t, r.saturation(-60, 96, 0)); res.Parked != 0 || r.count(t, `SELECT count(*) FROM inbox WHERE state = 'dismissed'`) != 1 {
		t.Errorf("sent again it waits again: %+v", res)
	}
	if _, err := r.inbox().Dismiss(t.Context(), r.nurse, d); !fault.Is(err, fault.Conflict) {
		t.Errorf("put aside twice: %v", err)
	}
	if in, err := r.app.Intake(t.Context(), r.nurse, "cuff-1"); err != nil || in.Total() != 1 {
		t.Errorf("a reading is in none of the three: %+v, %v", in, err)
	}
}

// named gives a reading of the record's patient its sender's name and standing.
func (r *record) named(rec vital.Record, name string, standing vital.Standing) vital.Record {
	rec.Reading.More = &vital.More{Name: vital.TieOfName(name), Standing: standing}
	if standing == vital.Amended {
		rec.Reading.Findings |= vital.Amending
	}
	return rec
}

// inError takes back what was sent under the name.
func (r *record) inError(minutes int, name string) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	return vital.Record{Reading: &vital.Reading{
		Key: vital.Key{Sensor: r.device.Own, Metric: vital.BloodPressure, SentAt: at, Tie: vital.TieOfName(name)}, MeasuredAt: at, ReceivedAt: at.Add(time.Hour), Org: r.nurse.Org,
		Device: r.device.ID, Patient: r.patient.ID, Assignment: r.given.ID, Epoch: r.given.Epoch,
		More: &vital.More{Name: vital.TieOfName(name), Standing: vital.EnteredInError, Facts: []vital.Fact{{Name: vital.Identifier, Value: name}}},
	}}
}

func (r *record) withdrawAll(t *testing.T) {
	t.Helper()
	for {
		found, err := r.work.StepWithdrawal(t.Context(), r.now(t))
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return
		}
	}
}

func TestWhatADeviceTakesBackLeavesTheRecordVisibly(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	res := r.advance(t, r.named(r.pressure(30, 192, 110), "obs-1", vital.Final), r.pressure(20, 130, 80))
	if len(res.Events) == 0 {
		t.Fatal("192 is not red")
	}
	r.advance(t, r.inError(30, "obs-1"))
	r.withdrawAll(t)
	if n := r.count(t, `SELECT count(*) FROM reading`); n != 1 {
		t.Fatalf("%d readings are left", n)
	}
	w := &safe.Withdrawals{People: r.app, Book: r.app}
	list, err := w.Of(t.Context(), r.nurse, r.patient.UID)
	if err != nil || len(list) != 1 || list[0].Values[0] != 192 || list[0].How != "entered_in_error" || list[0].By != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	a := r.only(t)
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil || !strings.Contains(log[len(log)-1].Note, "the device took the reading back") {
		t.Errorf("%+v, %v", log, err)
	}
	r.judgeAll(t, r.patient)
	if a = r.only(t); a.Holds || a.State == alerts.Closed {
		t.Errorf("a red that nobody has handled, after its only reading was taken back: %+v", a.Episode)
	}
	copied, err := r.app.Withdrawn(t.Context(), r.self(), r.patient.ID, safe.WithdrawnMark{}, r.now(t), 10)
	if err != nil || len(copied) != 1 || copied[0].Sent[0].Mantissa != 192 || copied[0].Withdrawn.Words() != "taken back by the device" {
		t.Errorf("their copy says %+v, %v", copied, err)
	}
	if rest, err := r.app.Withdrawn(t.Context(), r.self(), r.patient.ID, safe.WithdrawnMark{At: copied[0].Withdrawn.At, ID: copied[0].ID}, r.now(t), 10); err != nil || len(rest) != 0 {
		t.Errorf("the next page: %+v, %v", rest, err)
	}
	// Sent again, in this epoch and in the next, it does not come back.
	again := r.named(r.pressure(30, 192, 110), "obs-1", vital.Final)
	for range 2 {
		if res := r.advance(t, again); res.Stored != 0 || res.Duplicates != 1 {
			t.Errorf("sent again: %+v", res)
		}
		r.cursor, r.decider = r.claim(t, r.cursor.Partition, "p1"), alerts.NewDecider(100)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine`); n != 0 {
		t.Error("what was known under that name went to quarantine")
	}
}

func TestAnAmendmentTakesThePlaceOfWhatItNames(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.named(r.pressure(10, 192, 110), "obs-1", vital.Final))
	amended := r.named(r.pressure(10, 129, 80), "obs-1", vital.Amended)
	amended.Reading.ReceivedAt = amended.Reading.ReceivedAt.Add(time.Hour)
	r.advance(t, amended)
	r.withdrawAll(t)
	if n := r.count(t, `SELECT count(*) FROM reading WHERE value = 129 AND findings & $1 <> 0`, int64(vital.Amending)); n != 1 || r.count(t, `SELECT count(*) FROM reading`) != 1 {
		t.Errorf("%d amended readings", n)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawn_reading WHERE value = 192 AND how = 'amended'`); n != 1 {
		t.Error("what it amended is not kept")
	}
}

func TestWhatWasNeverSentUnderThatNameGoesToQuarantine(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.inError(10, "never-sent"))
	now := r.now(t)
	for range 20 {
		if _, err := r.work.StepWithdrawal(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Minute)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine WHERE reason = 'name'`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestWhatWasTakenBackGoesWithTheOthers when the sensor was somebody else's all the time.
func TestWhatWasTakenBackGoesWithTheOthers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.pressure(10, 192, 110), r.pressure(20, 130, 80))
	w := &safe.Withdrawals{People: r.app, Book: r.app}
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, r.pressure(10, 192, 110).Reading.ID(), since().Add(10*time.Minute), "On the table."); err != nil {
		t.Fatal(err)
	}
	r.ask(t, r.wish(r.patient.UID, other.UID, 0, 60))
	r.carryOut(t, 100)
	for p, want := range map[vital.UID]int{r.patient.UID: 0, other.UID: 1} {
		if list, err := w.Of(t.Context(), r.nurse, p); err != nil || len(list) != want {
			t.Errorf("%+v, %v; want %d", list, err, want)
		}
	}
}

func TestAPersonMarksAReadingAsEnteredInError(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stranger := r.stranger(t, "eva")
	r.advance(t, r.pressure(10, 192, 110), r.pressure(20, 130, 80))
	at := since().Add(10 * time.Minute)
	id := r.pressure(10, 192, 110).Reading.ID()
	w := &safe.Withdrawals{People: r.app, Book: r.app}
	if err := w.Withdraw(t.Context(), stranger, r.patient.UID, id, at, "x"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of somebody out of reach: %v", err)
	}
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, id, at, " "); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a reason: %v", err)
	}
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, id, at, "The cuff lay on the table."); err != nil {
		t.Fatal(err)
	}
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, id, at, "Again."); !fault.Is(err, fault.Conflict) {
		t.Errorf("twice: %v", err)
	}
	list, err := w.Of(t.Context(), r.nurse, r.patient.UID)
	if err != nil || len(list) != 1 || list[0].By != r.nurse.Name || list[0].Why != "The cuff lay on the table." {
		t.Errorf("%+v, %v", list, err)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'reading.withdrawn' AND audience = 'patient' AND patient_id = $1`, int64(r.patient.ID)); n != 1 {
		t.Error("the patient is not told")
	}
}
