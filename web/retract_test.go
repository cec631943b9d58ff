package web_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/internal/browser"
	"hale/vital"
)

// retracted is a house with alerts of which readings do not stand any more, for every reason.
type retracted struct {
	furnished
	device, person, corrected, still, weight, closed vital.UID
}

func retract(t *testing.T) retracted {
	t.Helper()
	f := retracted{furnished: furnish(t)}
	now := f.now
	jan := f.staff["jan"]
	first := func(uid vital.UID) alerts.Mark { return f.logs[uid][0].Reading }
	back := func(uid vital.UID, by account.Actor, r alerts.Retraction, entries ...alerts.Entry) {
		e, err := f.Alert(t.Context(), jan, uid)
		if err != nil {
			t.Fatal(err)
		}
		c := alerts.Withdrawn(&e.Episode, by, r, "it was entered in error", now.Add(-4*time.Minute))
		f.log(uid, append(c.Entries, entries...)...)
	}
	over := alerts.Entry{Kind: alerts.EntryCleared, RecordedAt: now.Add(-4 * time.Minute), Cause: alerts.CauseWithdrawn}

	f.device = f.red
	back(f.device, account.Actor{}, alerts.Retraction{Reading: first(f.device), Values: []float64{182, 104, 88}, How: alerts.InError}, over)
	f.person = f.alarm(f.weak, alerts.Extreme, now.Add(-9*time.Minute), vital.OxygenSat, false, 71)
	back(f.person, jan, alerts.Retraction{Reading: first(f.person), Values: []float64{71}, How: alerts.InError}, over)
	f.corrected = f.alarm(f.old, alerts.Red, now.Add(-9*time.Minute), vital.BloodPressure, false, 210, 104, 88)
	back(f.corrected, account.Actor{}, alerts.Retraction{
		Reading: first(f.corrected), Values: []float64{210, 104, 88}, How: alerts.Amended, Instead: &alerts.Instead{Reading: alerts.Mark{At: now, ID: 4}, Values: []float64{120, 74, 88}},
	}, over)
	f.still = f.alarm(f.hostile, alerts.Red, now.Add(-9*time.Minute), vital.Glucose, false, 410)
	again := alerts.Mark{At: now.Add(-8 * time.Minute), ID: 77}
	f.log(f.still, alerts.Entry{Kind: alerts.EntryOccurred, RecordedAt: now.Add(-5 * time.Minute), Level: alerts.Red, Reading: again, Values: []float64{318}, RuleVersion: 1, Worst: true})
	back(f.still, account.Actor{}, alerts.Retraction{
		Reading: first(f.still), Values: []float64{410}, How: alerts.Amended, Instead: &alerts.Instead{Reading: again, Values: []float64{318}},
	})
	f.weight = f.trendAlarm(f.weak, alerts.TrendOn(vital.BodyWeight, alerts.FormChange), now.Add(-2*time.Hour), &alerts.Grounds{
		Form: alerts.FormChange, Direction: alerts.Rise, Day: "2026-11-21", Value: 84.4, Against: 78.1, AgainstDay: "2026-11-18", By: 6.3, Days: 3,
	}, 84.4)
	e, err := f.Alert(t.Context(), jan, f.weight)
	if err != nil {
		t.Fatal(err)
	}
	f.log(f.weight, alerts.Refiled(&e.Episode, alerts.Refiling{AskedBy: "Jan Kovač", At: now.Add(-3 * time.Minute)}, []alerts.Mark{e.Last}).Entries...)
	f.closed = f.alarm(f.ana, alerts.Yellow, now.Add(-30*time.Minute), vital.HeartRate, false, 104)
	over.Closes = true
	back(f.closed, account.Actor{}, alerts.Retraction{Reading: first(f.closed), Values: []float64{104}, How: alerts.InError}, over)
	return f
}

// TestWhatDoesNotStandIsNeverShownAsIfItDid on the board, the page of the patient and of the alert: in words, since nobody hears a line
// through a number.
func TestWhatDoesNotStandIsNeverShownAsIfItDid(t *testing.T) {
	t.Parallel()
	f := retract(t)
	nurse := visit(t, f.app(t), "mira")
	const (
		byDevice  = "182/104 mmHg, pulse 88 /min taken back by the device, 4 min ago"
		byPerson  = "71 % taken back by Jan Kovač, 4 min ago"
		corrected = "210/104 mmHg, pulse 88 /min corrected by the device, 4 min ago: it is 120/74 mmHg, pulse 88 /min"
		still     = "318 mg/dL (was 410 mg/dL, corrected by the device, 4 min ago)"
		closed    = "104 /min taken back by the device, 10:00"
	)
	for path, want := range map[string][]string{
		"/":                                 {byDevice, byPerson, corrected, still, "somebody else's, as Jan Kovač said, 3 min ago", "nothing beyond the limits is left"},
		"/alerts/" + string(f.device):       {"taken back by the device, 10:00", "Opened: 182/104", "Taken back by the device, 10:00: 182/104", "it was entered in error", "No longer so: readings that it told of were taken back"},
		"/alerts/" + string(f.person):       {"taken back by Jan Kovač, 10:00"},
		"/alerts/" + string(f.weight):       {"somebody else's, as Jan Kovač said, 10:01", "Readings that it told of are not in this record any more"},
		"/patients/" + string(f.ana.UID):    {"taken back by the device, 10:00", closed, "closed by itself 10:00: what was beyond the limits was taken back"},
		"/patients/" + string(f.weak.UID):   {"taken back by Jan Kovač, 10:00", "somebody else's, as Jan Kovač said, 10:01"},
		"/patients/" + string(f.old.UID):    {"210/104 mmHg"},
		"/patients/" + string(f.calm().UID): {"Steps"},
	} {
		_, page := nurse.get(path)
		wants(t, page, want...)
	}
	_, page := nurse.get("/alerts/" + string(f.device))
	for _, struck := range []string{"<del>182/104", "<del>Opened: 182/104"} {
		if !strings.Contains(page, struck) {
			t.Errorf("%q is not struck out", struck)
		}
	}
}

func (f retracted) calm() account.Patient { return f.people[4] }

func TestThePagesOfWhatDoesNotStandFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := retract(t)
	address := f.serve(t)
	fitAPhoneAndReadAloud(t, browser.Start(t), address, "mira", map[string]string{
		"gone-board": "/", "gone-alert": "/alerts/" + string(f.device), "gone-weight": "/alerts/" + string(f.weight), "gone-still": "/alerts/" + string(f.still), "gone-patient": "/patients/" + string(f.ana.UID),
	})
}
