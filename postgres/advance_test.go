package postgres_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

func TestABatchIsStoredOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	res := r.advance(t, r.pressure(10, 130, 80), r.pressure(20, 132, 81), r.pressure(10, 130, 80))
	if res.Stored != 2 || res.Duplicates != 1 {
		t.Errorf("first batch: %+v", res)
	}
	res = r.advance(t, r.pressure(20, 132, 81), r.pressure(15, 131, 80), r.pressure(30, 133, 82))
	if res.Stored != 2 || res.Duplicates != 1 {
		t.Errorf("second batch: %+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 4 {
		t.Errorf("%d readings stored, want 4", n)
	}
	if n := r.count(t, "SELECT count(*) FROM reading WHERE value = 131 AND value2 = 80 AND value3 IS NULL AND mantissa = 131 AND unit = 1 AND patient_id = $1", int64(r.patient.ID)); n != 1 {
		t.Error("a reading is not stored as it was sent")
	}
}

func TestABatchCrossesMonthsThatHaveNoPartition(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	if res := r.advance(t, r.pressure(0, 130, 80), r.pressure(60*24*45, 131, 80)); res.Stored != 2 {
		t.Errorf("%+v", res)
	}
}

func TestABatchOfAnotherEpochCommitsNothing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 130, 80))
	paused := r.cursor
	taken := r.claim(t, r.cursor.Partition, "p1") // the same owner's next life
	if taken.Epoch <= paused.Epoch || taken.LiveSeq != paused.LiveSeq {
		t.Fatalf("claimed %+v after %+v", taken, paused)
	}
	if _, err := r.tryAdvance(t.Context(), r.pressure(20, 190, 110)); !fault.Is(err, fault.Conflict) {
		t.Fatalf("the old epoch got %v, want a conflict", err)
	}
	if n := r.count(t, "SELECT count(*) FROM reading"); n != 1 {
		t.Errorf("%d readings, want 1", n)
	}
	if err := r.work.Renew(t.Context(), paused, time.Minute); !fault.Is(err, fault.Conflict) {
		t.Errorf("the old epoch renewed its lease: %v", err)
	}
	if _, err := r.work.Claim(t.Context(), r.cursor.Partition, streamID, "p2", time.Minute); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stranger took a leased partition: %v", err)
	}
	if _, err := r.work.Claim(t.Context(), r.cursor.Partition, "stream-2", "p1", time.Minute); !fault.Is(err, fault.Gone) {
		t.Errorf("a replaced stream was taken on: %v", err)
	}
}

func TestAReadingWithoutAnOwnerIsParkedOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stray := r.pressure(-60, 190, 120) // before the assignment began
	stray.Reading.Patient, stray.Reading.Assignment, stray.Reading.Epoch = 0, 0, 0
	if res := r.advance(t, stray); res.Parked != 1 || res.Stored != 0 {
		t.Errorf("first time: %+v", res)
	}
	if res := r.advance(t, stray); res.Parked != 0 || res.Duplicates != 1 {
		t.Errorf("second time: %+v", res)
	}
}

func TestAStaleAssignmentIsSettledByTheRecord(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stale := r.pressure(10, 130, 80)
	stale.Reading.Epoch = 99
	unknown := r.pressure(20, 130, 80)
	unknown.Reading.Patient, unknown.Reading.Assignment = 0, 0 // an edge that has not heard of the assignment yet
	if res := r.advance(t, stale, unknown); res.Stored != 2 || res.Parked != 0 {
		t.Errorf("%+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1 AND assignment_id = $2", int64(r.patient.ID), int64(r.given.ID)); n != 2 {
		t.Errorf("%d readings are the patient's, want 2", n)
	}
}

func TestAReadingOfSomebodyElsesPartitionIsJudgedThere(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.patient
	for n := '2'; vital.PartitionOf(uint64(other.ID)) == r.cursor.Partition; n++ {
		other = r.addPatient(t, r.nurse, string(n))
	}
	device, _ := r.addDevice(t, r.nurse, other, "cuff-2")
	misled := r.pressure(10, 190, 115)
	misled.Reading.Sensor, misled.Reading.Device = device.Own, device.ID // the edge still thinks it is our patient's
	misled.Reading.Epoch = 99
	res := r.advance(t, misled)
	if res.Stored != 1 || len(res.Events) != 0 {
		t.Fatalf("%+v", res)
	}
	r.cursor, r.decider = r.claim(t, vital.PartitionOf(uint64(other.ID)), "p1"), alerts.NewDecider(10)
	if res = r.advance(t); len(res.Events) == 0 {
		t.Fatal("the owner's partition did not judge the reading")
	}
	open, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(open) != 1 || open[0].PatientUID != other.UID {
		t.Errorf("worklist %+v, %v", open, err)
	}
}

func TestASequenceNumberWithAnotherValueIsKeptAndRefused(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first, other := r.pressure(10, 130, 80), r.pressure(10, 150, 90)
	for _, rec := range []vital.Record{first, other} {
		rec.Reading.HasSequence, rec.Reading.Tie = true, 7
	}
	r.advance(t, first)
	if res := r.advance(t, other); res.Stored != 0 || res.Refused != 1 {
		t.Errorf("another batch: %+v", res)
	}
	if res := r.advance(t, first); res.Stored != 0 || res.Refused != 0 || res.Duplicates != 1 {
		t.Errorf("the same again: %+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM quarantine WHERE reason = 'conflict'"); n != 1 {
		t.Errorf("%d conflicts kept", n)
	}
}

func TestRefusedBytesAreKeptOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	raw := []byte("\x00\xffnot json")
	refused := vital.Record{Refused: &vital.Refused{
		Org: r.nurse.Org, Device: r.device.ID, ReceivedAt: since(), Topic: "hale/v1/\xff\x00/readings", Reason: vital.ReasonUnparsable,
		Detail: "not JSON", Raw: raw, Length: int64(len(raw)), Hash: sha256.Sum256(raw),
	}}
	if res := r.advance(t, refused, refused); res.Refused != 1 {
		t.Errorf("%+v", res)
	}
	if n := r.count(t, "SELECT times FROM quarantine WHERE raw = $1", raw); n != 2 {
		t.Errorf("seen %d times, want 2", n)
	}
}

func TestAnAlertIsRaisedHandledAndAudited(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	res := r.advance(t, r.pressure(10, 130, 80), r.pressure(20, 185, 100))
	if len(res.Events) == 0 {
		t.Fatal("nothing to announce")
	}
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("worklist %+v, %v", list, err)
	}
	a := list[0]
	if a.Level != alerts.Red || a.State != alerts.Open || !a.Holds || a.PatientName != r.patient.Name || !cmp.Equal(a.LastValues, []float64{185, 100}) {
		t.Errorf("alert %+v", a)
	}
	triage := &alerts.Triage{Cases: r.app, Now: time.Now}
	a, err = triage.Acknowledge(t.Context(), r.nurse, a.UID, a.Version, time.Time{}, "I call her")
	if err != nil || a.State != alerts.Acknowledged || a.AckName != r.nurse.Name {
		t.Fatalf("acknowledged: %+v, %v", a, err)
	}
	if _, err := triage.Resolve(t.Context(), r.nurse, a.UID, a.Version-1, alerts.StepNone, time.Time{}, "fine"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stale version resolved: %v", err)
	}
	// The processor hears of the act before its next batch: the next red reading of the same condition joins.
	r.advance(t, r.pressure(30, 186, 101))
	a, err = r.app.Alert(t.Context(), r.nurse, a.UID)
	if err != nil || a.Occurrences != 2 || a.State != alerts.Acknowledged {
		t.Fatalf("after another reading: %+v, %v", a, err)
	}
	if a, err = triage.Resolve(t.Context(), r.nurse, a.UID, a.Version, alerts.StepNone, time.Time{}, "fine"); err != nil || a.State != alerts.Closed {
		t.Fatalf("resolved: %+v, %v", a, err)
	}
	// A reading measured before that, no worse, opens nothing: it stands in the log of the resolved one.
	r.advance(t, r.pressure(35, 187, 101))
	if list, err = r.app.Worklist(t.Context(), r.nurse); err != nil || len(list) != 0 {
		t.Fatalf("a reading that was on its way opened an alert: %+v, %v", list, err)
	}
	if log, err := r.app.Log(t.Context(), r.nurse, a.UID); err != nil || log[len(log)-1].Kind != alerts.EntryAnnotated || log[len(log)-1].Cause != alerts.CauseLate {
		t.Errorf("the log does not end with the reading that was on its way: %+v, %v", log, err)
	}
	r.advance(t, r.pressure(40, 205, 101))
	if list, err = r.app.Worklist(t.Context(), r.nurse); err != nil || len(list) != 1 || list[0].UID == a.UID {
		t.Fatalf("a new alert after the resolved one: %+v, %v", list, err)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil {
		t.Fatal(err)
	}
	folded := alerts.FoldLog(alerts.Episode{ID: a.ID, UID: a.UID, Org: a.Org, Patient: a.Patient, Rule: a.Rule, Metric: a.Metric}, log)
	if diff := cmp.Diff(a.Episode, folded); diff != "" {
		t.Errorf("the log does not fold to the episode (-stored +folded):\n%s", diff)
	}
	if n := r.count(t, "SELECT count(*) FROM audit WHERE action IN ('alert opened', 'alert acknowledged', 'alert resolved') AND object = $1", "alert "+string(a.UID)); n != 3 {
		t.Errorf("%d audit rows of the alert's life, want 3", n)
	}
}

func TestLimitsMadeForThePastJudgeStoredReadingsAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 150, 80), r.pressure(20, 151, 80), r.pressure(30, 120, 80))
	low := 140.0
	_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
		EffectiveFrom: since(), Enabled: true, Reason: "her own target", Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &low}}, K: 1, N: 1, ClearAfter: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	if waits, err := r.work.Pending(t.Context(), r.cursor.Partition); err != nil || !waits {
		t.Fatalf("nothing waits for the processor: %v", err)
	}
	r.advance(t)
	list, err := r.app.Alerts(t.Context(), r.nurse, alerts.Filter{})
	if err != nil || len(list) != 1 || list[0].Occurrences != 2 {
		t.Fatalf("alerts %+v, %v", list, err)
	}
	if _, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{EffectiveFrom: since(), Reason: "late"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stale author was let through: %v", err)
	}
}

func TestAssignmentsDoNotOverlapNorTakeWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	if _, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: "cuff-1", Patient: other.UID, From: since().Add(time.Hour)}); !fault.Is(err, fault.Conflict) {
		t.Errorf("an overlapping assignment was made: %v", err)
	}
	stray := r.pressure(-60, 130, 80)
	stray.Reading.Patient, stray.Reading.Assignment = 0, 0
	r.advance(t, stray)
	before := devices.Binding{Sensor: "cuff-1", Patient: other.UID, From: since().Add(-2 * time.Hour), To: since()}
	if _, err := r.app.Assign(t.Context(), r.nurse, before); !fault.Is(err, fault.Conflict) {
		t.Errorf("an assignment took what is parked: %v", err)
	}
	before.From = since().Add(-30 * time.Minute)
	if _, err := r.app.Assign(t.Context(), r.nurse, before); err != nil {
		t.Errorf("an assignment over an empty span was refused: %v", err)
	}
}

func TestTheRecordKnowsTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	before, err := r.work.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.app.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: "gateway", Model: "hub", SecretHash: sha256.Sum256([]byte("g")), Sensors: []string{"scale"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.app.Revoke(t.Context(), r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	s, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Version <= before || !s.Devices["cuff-1"].Revoked || s.Devices["gateway"].Sensors["scale"] == 0 || !s.Devices["gateway"].Secret([]byte("g"), since()) {
		t.Errorf("snapshot %+v", s)
	}
	if a, ok := s.Owner(r.device.Own, since()); !ok || a.Patient != r.patient.ID {
		t.Errorf("owner %+v %v", a, ok)
	}
	if in, err := r.app.Intake(t.Context(), r.nurse, "cuff-1"); err != nil || in.Total() != 0 {
		t.Errorf("intake %+v, %v", in, err)
	}
}

func TestASequenceNumberThatContradictsAParkedOneIsKeptToo(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	stray := func(systolic int64) vital.Record {
		rec := r.pressure(-60, systolic, 80)
		rec.Reading.HasSequence, rec.Reading.Tie = true, 7
		rec.Reading.Patient, rec.Reading.Assignment = 0, 0
		return rec
	}
	r.advance(t, stray(130))
	if res := r.advance(t, stray(210)); res.Refused != 1 || res.Duplicates != 0 {
		t.Errorf("against the inbox, without an owner: %+v", res)
	}
	if res := r.advance(t, stray(130)); res.Refused != 0 || res.Duplicates != 1 {
		t.Errorf("the same again: %+v", res)
	}
}

func TestWhatARevokedDeviceSendsIsParked(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	if err := r.app.Revoke(t.Context(), r.nurse, r.device.UID); err != nil {
		t.Fatal(err)
	}
	before, after := r.pressure(10, 190, 110), r.pressure(20, 191, 110) // received long ago, on the record's clock
	after.Reading.ReceivedAt = time.Now().Add(time.Minute)
	if res := r.advance(t, before, after); res.Stored != 1 || res.Parked != 1 {
		t.Errorf("%+v", res)
	}
	if n := r.count(t, "SELECT count(*) FROM inbox WHERE reason = 'revoked'"); n != 1 {
		t.Errorf("%d readings are parked as revoked", n)
	}
}

func TestAWorseReadingBreaksAnAcknowledgementInTheRecord(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 185, 100)) // a day old and the last that is known: contact is asked for
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 || !list[0].Historic || !list[0].Contact || list[0].Paged != alerts.None {
		t.Fatalf("worklist %+v, %v", list, err)
	}
	triage := &alerts.Triage{Cases: r.app, Now: time.Now}
	a, err := triage.Acknowledge(t.Context(), r.nurse, list[0].UID, list[0].Version, time.Time{}, "")
	if err != nil || a.AckLevel != alerts.Red {
		t.Fatalf("acknowledged: %+v, %v", a, err)
	}
	r.advance(t, r.pressure(20, 205, 100))
	if a, err = r.app.Alert(t.Context(), r.nurse, a.UID); err != nil || a.State != alerts.Open || a.Level != alerts.Extreme || a.AckLevel != alerts.None {
		t.Fatalf("after a worse reading: %+v, %v", a, err)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil {
		t.Fatal(err)
	}
	if last := log[len(log)-1]; !last.Breaks || !last.Contact || last.Evaluator != alerts.Evaluator {
		t.Errorf("the last entry is %+v", last)
	}
	if diff := cmp.Diff(a.Episode, alerts.FoldLog(a.Episode, log)); diff != "" {
		t.Errorf("the log does not fold to the episode (-stored +folded):\n%s", diff)
	}
	if n := r.count(t, "SELECT count(*) FROM outbox WHERE topic = 'alert.contact_now'"); n != 2 {
		t.Errorf("%d notices ask for contact, want 2", n)
	}
	r.advance(t, r.pressure(30, 130, 80), r.pressure(40, 130, 80))
	if a, err = r.app.Alert(t.Context(), r.nurse, a.UID); err != nil || a.Holds || a.Ended != alerts.CauseReturned {
		t.Errorf("after two readings inside the limits: %+v, %v", a, err)
	}
}

func TestALateNormalByAnotherPartitionTakesNoAlertAway(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	high := 140.0
	_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
		EffectiveFrom: since(), Enabled: true, Reason: "confirm first", Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &high}}, K: 2, N: 2, ClearAfter: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.advance(t, r.pressure(10, 150, 80), r.pressure(30, 151, 80))
	late := r.pressure(20, 120, 80)
	late.Reading.Epoch = 99 // its edge does not know the assignment
	other := r.claim(t, (r.cursor.Partition+1)%vital.Partitions, "p1")
	now := since().Add(24 * time.Hour)
	if _, err := r.work.Advance(t.Context(), alerts.Batch{Cursor: other, Lane: vital.Late, To: 1, Records: []vital.Record{late}, Now: now}, alerts.NewDecider(10).Decide); err != nil {
		t.Fatal(err)
	}
	r.advance(t)
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("the worklist holds %d alerts, want the one that was there: %v", len(list), err)
	}
}

func TestALateNormalThatCommitsAmidABatchTakesNoAlertAway(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	high := 140.0
	_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
		EffectiveFrom: since(), Enabled: true, Reason: "confirm first", Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &high}}, K: 2, N: 2, ClearAfter: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.advance(t, r.pressure(10, 150, 80), r.pressure(30, 151, 80))
	late := r.pressure(20, 120, 80)
	late.Reading.Epoch = 99
	other := r.claim(t, (r.cursor.Partition+1)%vital.Partitions, "p1")
	now := since().Add(24 * time.Hour)
	r.decider.Forget() // a restart: what is known is read anew
	amid := func(ctx context.Context, _ time.Time, f alerts.Facts, changed []alerts.Change, fresh []alerts.Fresh) (alerts.Outcome, error) {
		if _, err := r.work.Advance(ctx, alerts.Batch{Cursor: other, Lane: vital.Late, To: 1, Records: []vital.Record{late}, Now: now}, alerts.NewDecider(10).Decide); err != nil {
			return alerts.Outcome{}, err
		}
		return r.decider.Decide(ctx, now, f, changed, fresh)
	}
	res, err := r.work.Advance(t.Context(), alerts.Batch{Cursor: r.cursor, Lane: vital.Live, To: r.cursor.LiveSeq + 1, Records: []vital.Record{r.pressure(40, 138, 80)}, Now: now}, amid)
	if err != nil {
		t.Fatal(err)
	}
	r.cursor = res.Cursor
	r.decider.Committed()
	r.advance(t)
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("the worklist holds %d alerts, want the one that was there: %v", len(list), err)
	}
}
