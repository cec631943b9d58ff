package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/safe"
	"hale/vital"
)

// filer files what is claimed of an unverified red, as the program does.
type filer struct{ inbox *safe.Inbox }

func (f filer) Claim(ctx context.Context, actor account.Actor, sensor string, from, to time.Time, patient vital.UID, reason string) error {
	_, err := f.inbox.Claim(ctx, actor, sensor, from, to, patient, reason)
	return err
}

func (r *record) watchlist() *alerts.Watchlist {
	return &alerts.Watchlist{Book: r.app, Claimer: filer{r.inbox()}, Looks: &account.Looks{Log: r.app, Now: time.Now}}
}

// look lets Hale end and raise what is due, and returns how many events that made.
func (r *record) look(t *testing.T, later time.Duration) int {
	t.Helper()
	events, err := r.work.RaiseOverdue(t.Context(), r.now(t).Add(later))
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

// ended is the newest closed unverified red, with its log.
func (r *record) ended(t *testing.T, who account.Actor) alerts.Unverified {
	t.Helper()
	list, err := r.app.Unverifieds(t.Context(), who, alerts.UnverifiedFilter{Closed: true, Limit: 1})
	if err != nil || len(list) == 0 {
		t.Fatalf("nothing is closed: %v", err)
	}
	u, err := r.app.Unverified(t.Context(), who, list[0].UID)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func lastOf(u *alerts.Unverified) alerts.UnverifiedEntry { return u.Log[len(u.Log)-1] }

// calm keeps the unverified reds of a test from being overdue: the batches live in spring, and the acts of people today.
func (r *record) calm(t *testing.T) {
	t.Helper()
	r.exec(t, `UPDATE unverified SET deadline_at = now() + interval '10 minutes', next_action_at = now() + interval '10 minutes' WHERE state = 'open'`)
}

func TestWhatIsClaimedFromTheInboxEndsAsUnverifiedOnceItWasJudged(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other, stranger := r.addPatient(t, r.nurse, "2"), r.stranger(t, "eva")
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-50, 96, 0))
	r.calm(t)
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", since().Add(-time.Hour), since().Add(-time.Hour+time.Microsecond), other.UID, "Her visit that day."); err != nil {
		t.Fatal(err)
	}
	if r.look(t, 0); len(r.unverified(t, r.nurse)) != 1 {
		t.Fatal("it ended before it was filed")
	}
	r.carryOut(t, 100)
	if r.look(t, 0); len(r.unverified(t, r.nurse)) != 1 {
		t.Fatal("it ended before her alert was there: nobody has it")
	}
	r.judgeAll(t, other)
	if told := r.alertsOf(t, other); len(told) != 1 {
		t.Fatalf("judged: %v", told)
	}
	if n := r.look(t, 0); n != 1 || len(r.unverified(t, r.nurse)) != 0 {
		t.Fatalf("%d events; %+v", n, r.unverified(t, r.nurse))
	}
	u := r.ended(t, r.nurse)
	claimed := u.Holders[0]
	if u.Closing != alerts.ClosedAsClaimed || u.ClosedBy != r.nurse.Name || claimed.How != "claimed" || claimed.Patient != other.UID {
		t.Errorf("%+v", u)
	}
	if e := lastOf(&u); e.Kind != "claimed" || e.By != r.nurse.Name || e.Values[0] != 72 || len(u.All) != 1 || u.All[0].Became != alerts.ClosedAsClaimed || u.All[0].EndedAt.IsZero() {
		t.Errorf("%+v, %+v", u.Log, u.All)
	}
	if u = r.ended(t, stranger); len(u.Holders) != 0 || u.Closing != alerts.ClosedAsClaimed {
		t.Errorf("who does not reach her is told of %+v", u.Holders)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'unverified red ended' AND detail = 'claimed' AND patient_id = $1`, int64(other.ID)); n != 1 {
		t.Errorf("%d rows in her trail", n)
	}
	if n := r.look(t, 0); n != 0 {
		t.Error("it ends twice")
	}
}

func TestWhatIsPutAsideOrTakenBackEndsAsUnverifiedWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0), r.named(r.sugarOfNobody(-30, 30), "o-9", vital.Final))
	r.calm(t)
	if n := len(r.unverified(t, r.nurse)); n != 2 {
		t.Fatalf("%d are open", n)
	}
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since().Add(-35 * time.Minute), Why: "A test at the desk."}
	if _, err := r.inbox().Dismiss(t.Context(), r.nurse, d); err != nil {
		t.Fatal(err)
	}
	if n := r.look(t, 0); n != 1 || len(r.unverified(t, r.nurse)) != 1 {
		t.Fatalf("put aside: %d events; %+v", n, r.unverified(t, r.nurse))
	}
	u := r.ended(t, r.nurse)
	if e := lastOf(&u); u.Closing != alerts.ClosedAsDismissed || u.ClosedBy != r.nurse.Name || u.Note != d.Why || e.Kind != "dismissed" || e.By != r.nurse.Name || e.Note != d.Why {
		t.Errorf("%+v, %+v", u, u.Log)
	}
	r.advance(t, r.inError(-30, "o-9"))
	r.withdrawAll(t)
	if n := r.look(t, 0); n != 1 || len(r.unverified(t, r.nurse)) != 0 {
		t.Fatalf("taken back: %d events; %+v", n, r.unverified(t, r.nurse))
	}
	u = r.ended(t, r.nurse)
	if e := lastOf(&u); u.Closing != alerts.ClosedAsTakenBack || u.Metric != vital.Glucose || u.ClosedBy != "" || e.Kind != "taken_back" {
		t.Errorf("%+v, %+v", u, u.Log)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'unverified.overdue'`); n != 0 {
		t.Errorf("%d notices that what has ended is overdue", n)
	}
}

// sugarOfNobody is a glucose of the record's meter that nobody owns.
func (r *record) sugarOfNobody(minutes int, mgdl int64) vital.Record {
	rec := r.saturation(minutes, mgdl, 0)
	rec.Reading.Metric, rec.Reading.Sent[0].Unit = vital.Glucose, vital.MgPerDL
	return rec
}

// TestAClaimedRedIsLookedAfterUntilItIsJudged: the claim of an unverified red files what waits; until its patient was judged by it the row
// is theirs who said so, and it calls again when that takes too long.
func TestAClaimedRedIsLookedAfterUntilItIsJudged(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-59, 74, 0), r.saturation(-58, 97, 0))
	u := r.unverified(t, r.nurse)[0]
	after, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "she says so")
	if err != nil || after.State != alerts.Acknowledged || after.AckName != r.nurse.Name {
		t.Fatalf("%+v, %v", after, err)
	}
	if n := r.look(t, alerts.FiledWithin-10*time.Second); n != 0 {
		t.Errorf("%d events while it is being filed", n)
	}
	if n := r.look(t, alerts.FiledWithin+time.Second); n != 1 {
		t.Errorf("%d events when it was not filed in time", n)
	}
	if list := r.unverified(t, r.nurse); len(list) != 1 || list[0].State != alerts.Open || list[0].LoudAt.IsZero() {
		t.Errorf("a claim that is not carried out: %+v", list)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, other)
	if n := r.look(t, 0); n != 2 {
		t.Errorf("%d events of one that has ended and one that was opened", n)
	}
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].UID == u.UID || list[0].Times != 1 || list[0].Values[0] != 74 || list[0].Place != alerts.InInbox || list[0].Why != "no_owner" ||
		!list[0].MeasuredAt.Equal(since().Add(-59*time.Minute)) || len(list[0].Holders) != 1 || list[0].Holders[0].Patient != r.patient.UID {
		t.Fatalf("what was not claimed: %+v", list)
	}
	if u = r.ended(t, r.nurse); u.Closing != alerts.ClosedAsClaimed || len(u.All) != 1 || u.All[0].Values[0] != 72 {
		t.Errorf("what was: %+v", u)
	}
	if n := r.look(t, 0); n != 0 {
		t.Errorf("%d events of nothing", n)
	}
	// Her claim is undone: what waits again is on the list again.
	r.ask(t, safe.Wish{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Owner: other.UID, Reason: "It was not she."})
	r.carryOut(t, 100)
	r.look(t, 0)
	if list = r.unverified(t, r.nurse); len(list) != 1 || list[0].Times != 2 || list[0].Values[0] != 72 || list[0].Why != "refiled" {
		t.Errorf("what a claim was undone of: %+v", list)
	}
}

// TestWhatARefusedRedStoodForIsOpenedAnew, whatever is asked of the sensor meanwhile and never ends.
func TestWhatARefusedRedStoodForIsOpenedAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.glucose(1, 30), r.glucose(2, 41), r.beyondMeter(3, vital.Below))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Times != 3 || list[0].Values[0] != 30 {
		t.Fatalf("%+v", list)
	}
	u, err := r.app.Unverified(t.Context(), r.nurse, list[0].UID)
	if err != nil || len(u.All) != 3 || u.All[0].Values[0] != 30 || u.All[2].Ground != alerts.GroundBeyond || u.All[1].Why != string(vital.ReasonClock) {
		t.Fatalf("what it stands for: %+v, %v", u.All, err)
	}
	r.ask(t, r.wish(r.patient.UID, other.UID, 0, 60)) // and nobody carries it out
	if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "she says so"); err != nil {
		t.Fatal(err)
	}
	if n := r.look(t, 0); n != 1 {
		t.Errorf("%d events", n)
	}
	list = r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].UID == u.UID || list[0].Times != 2 || list[0].Values[0] != 41 || list[0].Place != alerts.InQuarantine || list[0].Beyond != vital.Below {
		t.Fatalf("what else it stood for: %+v", list)
	}
	if u = r.ended(t, r.nurse); len(u.All) != 1 || u.All[0].Became != alerts.ClosedAsClaimed || u.All[0].By != r.nurse.Name {
		t.Errorf("%+v", u.All)
	}
	// What a person ends has ended with all that they were shown.
	if _, err := r.watchlist().Close(t.Context(), r.nurse, list[0].UID, list[0].Version, alerts.ClosedAsHandled, "She was called."); err != nil {
		t.Fatal(err)
	}
	if n := r.look(t, time.Second); n != 0 || len(r.unverified(t, r.nurse)) != 0 {
		t.Errorf("%d events; %+v", n, r.unverified(t, r.nurse))
	}
}

func TestWhatIsDecodedAgainEndsAsUnverified(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.glucose(1, 30))
	r.calm(t)
	list, _, err := r.app.Refusals(t.Context(), r.nurse, devices.RefusalFilter{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, again := range []devices.Retried{{Refused: "its time cannot be"}, {Accepted: 1}} {
		if _, err := r.app.NoteRetried(t.Context(), r.nurse, list[0].UID, again); err != nil {
			t.Fatal(err)
		}
		if n := r.look(t, time.Second); n != 0 {
			t.Errorf("%+v: %d events before what was accepted can have come", again, n)
		}
		want := again.Accepted
		if n := r.look(t, time.Minute); n != want {
			t.Errorf("%+v: %d events", again, n)
		}
	}
	if u := r.ended(t, r.nurse); u.Closing != alerts.ClosedAsReadAgain || u.ClosedBy != r.nurse.Name {
		t.Errorf("%+v", u)
	}
}

// TestAnAverageThatGetsAnOwnerStaysOnTheList: no limit judges it, so its owner would not be called.
func TestAnAverageThatGetsAnOwnerStaysOnTheList(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.saturation(-60, 72, vital.Averaged))
	r.calm(t)
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", since().Add(-time.Hour), since(), other.UID, "Her visit that day."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, other)
	r.look(t, 0)
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Place != alerts.InRecord || list[0].Why != "averaged" || list[0].Holders[0].How != "claimed" || list[0].Holders[0].Patient != other.UID {
		t.Errorf("%+v", list)
	}
}

// TestWhatAClaimGaveIsNoReasonForTheNext: somebody who has a sensor only because a claim said so is not among those whose the next value
// may be.
func TestWhatAClaimGaveIsNoReasonForTheNext(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.saturation(-60, 72, 0))
	if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", since().Add(-time.Hour), since().Add(-time.Hour+time.Microsecond), other.UID, "Her visit that day."); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, other)
	r.look(t, 0)
	r.advance(t, r.saturation(-50, 73, 0))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Values[0] != 73 || len(list[0].Holders) != 1 || list[0].Holders[0].Patient != r.patient.UID {
		var names []string
		for _, h := range list[0].Holders {
			names = append(names, h.Name+" "+h.How)
		}
		t.Errorf("a claim feeds the next: %s", strings.Join(names, ", "))
	}
}
