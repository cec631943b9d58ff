package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// saturation is a value of the record's device that nobody owns, minutes after the assignment began (before, when negative).
func (r *record) saturation(minutes int, percent int64, findings vital.Finding) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	sent := [3]vital.Quantity{{Mantissa: percent, Unit: vital.Percent}}
	return vital.Record{Reading: &vital.Reading{
		Key:        vital.Key{Sensor: r.device.Own, Metric: vital.OxygenSat, SentAt: at, Tie: vital.TieOf(sent[:1])},
		MeasuredAt: at, ReceivedAt: at.Add(time.Second), Org: r.nurse.Org, Device: r.device.ID, Sent: sent, N: 1, Findings: findings,
	}}
}

// stranger is a nurse of the record's organisation who is in no care team.
func (r *record) stranger(t *testing.T, login string) account.Actor {
	t.Helper()
	who, err := postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: "Home", Login: login, Name: "Nurse " + login, Role: account.Nurse, PasswordHash: "x"})
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, fmt.Sprintf(`DELETE FROM team_member WHERE staff_id = %d`, who.Staff))
	return who
}

// bare is a device of the record's organisation that nobody holds.
func (r *record) bare(t *testing.T, uid string) devices.Device {
	t.Helper()
	d, err := r.app.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: uid, Model: "oximeter", SecretHash: sha256.Sum256([]byte(uid))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refusedValue is a measurement of the record's device that was refused, with what could be read of it.
func (r *record) refusedValue(minutes int, reason vital.Reason, raw string, metric vital.Metric, beyond vital.Beyond, sent ...vital.Quantity) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	read := &vital.Reading{Key: vital.Key{Sensor: r.device.Own, Metric: metric, SentAt: at}, MeasuredAt: at, ReceivedAt: at, Org: r.nurse.Org, Device: r.device.ID, N: uint8(len(sent))}
	copy(read.Sent[:], sent)
	return vital.Record{Refused: &vital.Refused{
		Org: r.nurse.Org, Device: r.device.ID, ReceivedAt: at, Topic: "t", Reason: reason, Detail: "mend it", Raw: []byte(raw), Length: int64(len(raw)),
		Hash: sha256.Sum256([]byte(raw)), Read: read, Beyond: beyond,
	}}
}

// unverified are the open ones as the nurse sees them.
func (r *record) unverified(t *testing.T, who account.Actor) []alerts.Unverified {
	t.Helper()
	list, err := r.app.Unverifieds(t.Context(), who, alerts.UnverifiedFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAnEmergencyOfNobodyIsOnEverybodysListInTheBatchThatBroughtIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stranger := r.stranger(t, "eva") // a nurse of the organisation, and of no care team of the patient
	res := r.advance(t, r.saturation(-60, 72, vital.PoorSignal))
	if len(res.Events) != 1 || !res.Events[0].Unverified || res.Events[0].ID == 0 || res.Parked != 1 {
		t.Fatalf("%+v", res)
	}
	for _, who := range []account.Actor{r.nurse, stranger} {
		list := r.unverified(t, who)
		if len(list) != 1 {
			t.Fatalf("%s sees %d of one", who.Name, len(list))
		}
		u := list[0]
		want := alerts.Unverified{
			ID: u.ID, UID: u.UID, Org: r.nurse.Org, Device: "cuff-1", Sensor: "cuff-1", Metric: vital.OxygenSat, Level: alerts.Extreme, Ground: alerts.GroundExtreme, Values: []float64{72},
			Findings: vital.PoorSignal, MeasuredAt: since().Add(-time.Hour), ReceivedAt: since().Add(time.Second - time.Hour), LastAt: since().Add(time.Second - time.Hour), Times: 1,
			Place: alerts.InInbox, Why: "no_owner", OpenedAt: since().Add(24 * time.Hour), Deadline: since().Add(24*time.Hour + 10*time.Minute), State: alerts.Open, Version: 1, Holders: u.Holders,
		}
		if diff := cmp.Diff(want, u); diff != "" {
			t.Errorf("as %s sees it:\n%s", who.Name, diff)
		}
		if knows := len(u.Holders) == 1 && u.Holders[0].Patient == r.patient.UID; knows != (who.Staff == r.nurse.Staff) {
			t.Errorf("%s is told of %+v", who.Name, u.Holders)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'unverified.opened' AND severity = 'extreme' AND patient_id IS NULL`); n != 1 {
		t.Errorf("%d notices are owed", n)
	}
	worse := r.advance(t, r.refusedValue(-10, vital.ReasonUnit, "a", vital.Glucose, 0, vital.Quantity{Mantissa: 20, Unit: vital.NoUnit}))
	events, err := r.app.EventsSince(t.Context(), r.nurse.Org, res.Events[0].ID, 10)
	if diff := cmp.Diff(worse.Events, events); err != nil || diff != "" {
		t.Errorf("who resumes is told otherwise than who listened (%v):\n%s", err, diff)
	}
}

func TestARepeatingDeviceOpensOneAndTheWorstIsKept(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 80, 0))
	first := r.unverified(t, r.nurse)[0]
	if res := r.advance(t, r.saturation(-60, 80, 0)); len(res.Events) != 0 || r.unverified(t, r.nurse)[0].Times != 1 {
		t.Error("the same measurement sent again counts as another")
	}
	r.advance(t, r.saturation(-50, 78, 0), r.saturation(-40, 82, 0), r.saturation(-30, 97, 0))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Times != 3 || list[0].Values[0] != 78 || list[0].UID != first.UID || list[0].Version != first.Version+1 {
		t.Fatalf("%+v", list)
	}
	r.advance(t, r.refusedValue(-20, vital.ReasonUnit, "a", vital.OxygenSat, 0, vital.Quantity{Mantissa: 71, Unit: vital.NoUnit}))
	list = r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Times != 4 || list[0].Values[0] != 71 || !list[0].Unitless || list[0].Place != alerts.InQuarantine || list[0].Why != "unit" {
		t.Fatalf("the worst is kept wherever it lies: %+v", list)
	}
}

func TestWhatWasRefusedIsScreenedToo(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	none := vital.NoUnit
	res := r.advance(t,
		r.refusedValue(10, vital.ReasonImplausible, "a", vital.BodyTemperature, 0, vital.Quantity{Mantissa: 295, Exponent: -1, Unit: vital.Celsius}),
		r.refusedValue(11, vital.ReasonUnit, "b", vital.Glucose, 0, vital.Quantity{Mantissa: 20, Unit: none}),
		r.refusedValue(12, vital.ReasonUnit, "c", vital.GlucoseFasting, 0, vital.Quantity{Mantissa: 38, Unit: none}),
		r.refusedValue(13, vital.ReasonImplausible, "d", vital.OxygenSat, 0, vital.Quantity{Mantissa: 20, Unit: vital.Percent}),
		r.refusedValue(14, vital.ReasonImplausible, "e", vital.HeartRate, 0, vital.Quantity{Mantissa: 0, Unit: vital.PerMinute}),
		r.refusedValue(15, vital.ReasonNotANumber, "f", vital.GlucosePostMeal, vital.Below),
	)
	if len(res.Events) != 3 || res.Refused != 6 {
		t.Fatalf("%+v", res)
	}
	found := map[vital.Metric]alerts.Ground{}
	for _, u := range r.unverified(t, r.nurse) {
		found[u.Metric] = u.Ground
		if len(u.Holders) != 1 || u.Holders[0].How != "holds" {
			t.Errorf("%s: %+v", u.Metric, u.Holders)
		}
	}
	want := map[vital.Metric]alerts.Ground{vital.BodyTemperature: alerts.GroundExtreme, vital.Glucose: alerts.GroundUnit, vital.GlucosePostMeal: alerts.GroundBeyond}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// TestAWrongClockHidesNoEmergency, nor does it make one of the past: when it was measured is not known.
func TestAWrongClockHidesNoEmergency(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	wrong := r.refusedValue(10, vital.ReasonClock, "a", vital.HeartRate, 0, vital.Quantity{Mantissa: 22, Unit: vital.PerMinute})
	wrong.Refused.Read.MeasuredAt = time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC)
	r.advance(t, wrong)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Historic || !list[0].MeasuredAt.IsZero() || list[0].Deadline.IsZero() {
		t.Errorf("%+v", list)
	}
}

func TestThePastIsListedAndCallsNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	old := r.saturation(-60, 72, 0)
	old.Reading.ReceivedAt = old.Reading.MeasuredAt.Add(7 * time.Hour)
	r.advance(t, old)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || !list[0].Historic || !list[0].Deadline.IsZero() {
		t.Fatalf("%+v", list)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox`); n != 0 {
		t.Error("somebody is called for what was measured seven hours ago")
	}
	r.advance(t, r.saturation(-30, 84, 0))
	if list = r.unverified(t, r.nurse); len(list) != 2 || list[0].Historic {
		t.Errorf("what is measured now is hidden behind the past: %+v", list)
	}
}

func TestTheRedLimitsOfWhoHoldsItAreAsked(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 90, 0)) // red begins below 92 for a new patient
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Level != alerts.Red || list[0].Ground != alerts.GroundLimit {
		t.Fatalf("%+v", list)
	}
	other := r.bare(t, "cuff-9") // held by nobody
	lonely := r.saturation(-60, 90, 0)
	lonely.Reading.Sensor, lonely.Reading.Device = other.Own, other.ID
	r.advance(t, lonely)
	if list = r.unverified(t, r.nurse); len(list) != 1 {
		t.Errorf("90 %% of nobody at all: %+v", list[1])
	}
}

func TestAnUnverifiedRedIsTakenRaisedAndClosed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0))
	list := &alerts.Watchlist{Book: r.app, Now: time.Now}
	u := r.unverified(t, r.nurse)[0]
	if _, err := list.Acknowledge(t.Context(), r.nurse, u.UID, u.Version+1, time.Time{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("acknowledged as something else: %v", err)
	}
	raised, err := r.work.RaiseOverdue(t.Context(), u.Deadline.Add(-time.Second))
	if err != nil || len(raised) != 0 {
		t.Fatalf("%+v, %v before its time", raised, err)
	}
	raised, err = r.work.RaiseOverdue(t.Context(), u.Deadline)
	if err != nil || len(raised) != 1 {
		t.Fatalf("%+v, %v at its time", raised, err)
	}
	if again, err := r.work.RaiseOverdue(t.Context(), u.Deadline.Add(time.Hour)); err != nil || len(again) != 0 {
		t.Errorf("raised twice: %+v, %v", again, err)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'unverified.overdue'`); n != 1 {
		t.Errorf("%d notices that it is overdue", n)
	}
	u, err = list.Acknowledge(t.Context(), r.nurse, u.UID, raised[0].Version, time.Time{})
	if err != nil || u.State != alerts.Acknowledged || u.AckName != r.nurse.Name || u.Loud(time.Now()) {
		t.Fatalf("%+v, %v", u, err)
	}
	if ran, err := r.work.RaiseOverdue(t.Context(), u.AckUntil); err != nil || len(ran) != 1 {
		t.Errorf("acknowledged and forgotten: %+v, %v", ran, err)
	}
	u = r.unverified(t, r.nurse)[0]
	if _, err := list.Close(t.Context(), r.nurse, u.UID, u.Version, alerts.ClosedAsNotReal, " "); !fault.Is(err, fault.Invalid) {
		t.Errorf("closed without a reason: %v", err)
	}
	if u, err = list.Close(t.Context(), r.nurse, u.UID, u.Version, alerts.ClosedAsNotReal, "A test at the desk."); err != nil || u.State != alerts.Closed {
		t.Fatalf("%+v, %v", u, err)
	}
	if _, err := list.Acknowledge(t.Context(), r.nurse, u.UID, u.Version, time.Time{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a closed one was taken: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action LIKE 'unverified red %' AND object = 'unverified ' || $1`, string(u.UID)); n != 5 {
		t.Errorf("%d rows in the trail of opened, overdue twice, acknowledged and closed", n)
	}
}

// TestWhatWasCalledNotRealIsHushedForAWhile, unless it becomes worse.
func TestWhatWasCalledNotRealIsHushedForAWhile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0))
	u := r.unverified(t, r.nurse)[0]
	list := &alerts.Watchlist{Book: r.app, Now: time.Now}
	if _, err := list.Close(t.Context(), r.nurse, u.UID, u.Version, alerts.ClosedAsNotReal, "A test."); err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE unverified SET closed_at = '`+since().Add(24*time.Hour-time.Minute).Format(time.RFC3339)+`'`) // as the batches' clock has it
	r.advance(t, r.saturation(-50, 72, 0))
	if n := len(r.unverified(t, r.nurse)); n != 0 {
		t.Error("the same again opens another at once")
	}
	if n := r.count(t, `SELECT times FROM unverified`); n != 2 {
		t.Errorf("it is counted %d times", n)
	}
	r.advance(t, r.saturation(-40, 70, 0))
	if n := len(r.unverified(t, r.nurse)); n != 1 {
		t.Error("what is worse is hushed")
	}
}

func TestAConflictAndARevokedDeviceAreScreened(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	own := r.saturation(10, 97, 0)
	own.Reading.Patient, own.Reading.Assignment, own.Reading.Epoch = r.patient.ID, r.given.ID, r.given.Epoch
	own.Reading.HasSequence, own.Reading.Tie = true, 7
	other := r.saturation(10, 71, 0)
	other.Reading.Patient, other.Reading.Assignment, other.Reading.Epoch = r.patient.ID, r.given.ID, r.given.Epoch
	other.Reading.HasSequence, other.Reading.Tie = true, 7
	r.advance(t, own)
	r.advance(t, other)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Why != string(vital.ReasonConflict) || list[0].Values[0] != 71 || len(list[0].Holders) != 1 || list[0].Holders[0].How != "holds" {
		t.Fatalf("%+v", list)
	}
}

// TestNothingOfSomebodyErasedComesOntoTheList, however late it arrives.
func TestNothingOfSomebodyErasedComesOntoTheList(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	r.cursor, r.decider = r.claim(t, r.cursor.Partition, "p1"), alerts.NewDecider(100)
	r.advance(t, r.refusedValue(10, vital.ReasonUnit, "a", vital.Glucose, 0, vital.Quantity{Mantissa: 20, Unit: vital.NoUnit}))
	if list := r.unverified(t, r.nurse); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestValuesThatAreNoneAreKept(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.refusedValue(10, vital.ReasonImplausible, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 210, Unit: vital.MmHg}, vital.Quantity{Mantissa: 2047, Unit: vital.MmHg}))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Values[0] != 210 || !math.IsNaN(list[0].Values[1]) {
		t.Errorf("%+v", list)
	}
}
