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

// desk is somebody of the device desk: who looks after the inbox and handles no alerts.
func (r *record) desk() account.Actor {
	desk := r.nurse
	desk.Role, desk.Name = account.DeviceDesk, "Dora Desk"
	return desk
}

// TestTheDeskEndsNoRed: what it puts aside waits for nobody, and the red of it stays with those who handle alerts until they end it.
func TestTheDeskEndsNoRed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-50, 96, 0))
	r.calm(t)
	before := r.unverified(t, r.nurse)[0]
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Why: "A test at the desk."}
	if n, err := r.inbox().Dismiss(t.Context(), r.desk(), d); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	if n := r.look(t, 0); n != 0 {
		t.Errorf("%d events", n)
	}
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].UID != before.UID || list[0].State != alerts.Open || list[0].Version != before.Version+1 || list[0].Note != "put aside in the inbox by Dora Desk: A test at the desk." {
		t.Fatalf("the desk put it aside: %+v", list)
	}
	u, err := r.app.Unverified(t.Context(), r.nurse, before.UID)
	if err != nil {
		t.Fatal(err)
	}
	if e := lastOf(&u); e.Kind != "dismissed" || e.By != "Dora Desk" || e.Note != d.Why || len(u.All) != 1 || u.All[0].Became != alerts.ClosedAsDismissed || !u.All[0].LeftAt.IsZero() {
		t.Errorf("%+v, %+v", u.Log, u.All)
	}
	// What somebody else puts aside of the same sensor later ends nothing of it.
	r.advance(t, r.saturation(-40, 95, 0))
	if _, err := r.inbox().Dismiss(t.Context(), r.nurse, d); err != nil {
		t.Fatal(err)
	}
	if n := r.look(t, 0); n != 0 || len(r.unverified(t, r.nurse)) != 1 {
		t.Errorf("%d events; %+v", n, r.unverified(t, r.nurse))
	}
	if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, r.patient.UID, "hers"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "bring it back") {
		t.Errorf("a claim of what was put aside: %v", err)
	}
	if _, err := r.watchlist().Close(t.Context(), r.nurse, u.UID, u.Version, alerts.ClosedAsNotReal, "I was at the desk."); err != nil {
		t.Fatal(err)
	}
	if u = r.ended(t, r.nurse); u.Closing != alerts.ClosedAsNotReal || u.ClosedBy != r.nurse.Name || u.Note != "I was at the desk." {
		t.Errorf("%+v", u)
	}
	// What a nurse said of it stays said.
	if n, err := r.inbox().BringBack(t.Context(), r.desk(), safe.Return{Sensor: "cuff-1", From: d.From, To: d.To}); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if n := r.look(t, time.Second); n != 0 || len(r.unverified(t, r.nurse)) != 0 {
		t.Errorf("%d events of what was not real; %+v", n, r.unverified(t, r.nurse))
	}
}

// TestWhatWasPutAsideIsBroughtBack: one wrong click loses nothing, and a red of it is on the list again.
func TestWhatWasPutAsideIsBroughtBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-50, 96, 0))
	r.calm(t)
	for _, who := range []account.Actor{r.nurse, r.desk()} {
		d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Why: "The wrong line."}
		if _, err := r.inbox().Dismiss(t.Context(), who, d); err != nil {
			t.Fatal(err)
		}
		r.look(t, 0)
		list, err := r.inbox().ListAside(t.Context(), who)
		if err != nil || len(list) != 1 || list[0].Count != 2 || list[0].By != who.Name || list[0].Why != d.Why || list[0].At.IsZero() || list[0].Sensor != "cuff-1" ||
			!list[0].First.Equal(since().Add(-time.Hour)) || len(list[0].Readings) != 2 || list[0].Readings[1].Values[0] != 72 {
			t.Fatalf("%s: %+v, %v", who.Role, list, err)
		}
		back := safe.Return{Sensor: "cuff-1", From: list[0].First, To: list[0].Last.Add(time.Microsecond), At: list[0].At.Add(-time.Hour)}
		if _, err := r.inbox().BringBack(t.Context(), who, back); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: what was put aside at another time: %v", who.Role, err)
		}
		back.At = list[0].At
		if n, err := r.inbox().BringBack(t.Context(), who, back); err != nil || n != 2 {
			t.Fatalf("%s: %d, %v", who.Role, n, err)
		}
		if _, err := r.inbox().BringBack(t.Context(), who, back); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: brought back twice: %v", who.Role, err)
		}
		r.look(t, time.Second)
		reds := r.unverified(t, r.nurse)
		if len(reds) != 1 || reds[0].Values[0] != 72 || reds[0].State != alerts.Open || reds[0].Note != "" {
			t.Errorf("%s: the red of what waits again: %+v", who.Role, reds)
		}
		if list, err = r.inbox().ListAside(t.Context(), who); err != nil || len(list) != 0 {
			t.Errorf("%s: %+v, %v", who.Role, list, err)
		}
	}
	if waiting, err := r.inbox().List(t.Context(), r.nurse); err != nil || len(waiting) != 1 || waiting[0].Count != 2 {
		t.Errorf("%+v, %v", waiting, err)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified_entry WHERE kind = 'brought_back'`); n != 2 {
		t.Errorf("%d entries", n)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'bring back to the inbox' AND object = 'sensor cuff-1' AND detail = '2 readings'`); n != 2 {
		t.Errorf("%d rows of the trail", n)
	}
	if _, err := r.inbox().ListAside(t.Context(), account.Actor{Org: r.nurse.Org, Role: account.Manager, Name: "Max"}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a manager sees values: %v", err)
	}
}

// TestWhatItsDeviceTookBackIsNotBroughtBack, whoever had put it aside before.
func TestWhatItsDeviceTookBackIsNotBroughtBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.named(r.sugarOfNobody(-30, 30), "o-9", vital.Final))
	r.calm(t)
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Why: "A test at the desk."}
	if _, err := r.inbox().Dismiss(t.Context(), r.desk(), d); err != nil {
		t.Fatal(err)
	}
	r.advance(t, r.inError(-30, "o-9"))
	r.withdrawAll(t)
	if list, err := r.inbox().ListAside(t.Context(), r.desk()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := r.inbox().BringBack(t.Context(), r.desk(), safe.Return{Sensor: "cuff-1", From: d.From, To: d.To}); !fault.Is(err, fault.Conflict) {
		t.Errorf("brought back: %v", err)
	}
	r.look(t, 0)
	if u := r.ended(t, r.nurse); u.Closing != alerts.ClosedAsTakenBack {
		t.Errorf("%+v", u)
	}
}

// TestAsideIsToldAtOnce: who looks at the board hears of what the desk did to a red as of any other act on it, by the same event that the
// record has for those who resume.
func TestAsideIsToldAtOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 72, 0), r.saturation(-50, 96, 0))
	r.calm(t)
	d := safe.Dismissal{Sensor: "cuff-1", From: since().Add(-2 * time.Hour), To: since(), Why: "A test at the desk."}
	r.announced(t, "put aside", func() (int, []alerts.Event, error) { return r.app.DismissTold(t.Context(), r.desk(), d) })
	r.announced(t, "brought back", func() (int, []alerts.Event, error) {
		return r.app.BringBackTold(t.Context(), r.desk(), safe.Return{Sensor: d.Sensor, From: d.From, To: d.To})
	})
}

// announced does something to two readings, of which one is red, and looks for its event.
func (r *record) announced(t *testing.T, what string, do func() (int, []alerts.Event, error)) {
	t.Helper()
	before := r.unverified(t, r.nurse)[0]
	n, events, err := do()
	if err != nil || n != 2 || len(events) != 1 {
		t.Fatalf("%s: %d, %+v, %v", what, n, events, err)
	}
	after := r.unverified(t, r.nurse)[0]
	want := alerts.Event{ID: events[0].ID, Org: r.nurse.Org, Alert: before.UID, Version: before.Version + 1, Unverified: true}
	if events[0] != want || events[0].ID == 0 || after.Version != want.Version {
		t.Errorf("%s: %+v, want %+v; the red is at %d", what, events[0], want, after.Version)
	}
	since, err := r.app.EventsSince(t.Context(), r.nurse.Org, want.ID-1, 10)
	if err != nil || len(since) == 0 || since[len(since)-1] != want {
		t.Errorf("%s: the record has %+v, %v", what, since, err)
	}
}
