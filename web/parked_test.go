package web_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/internal/browser"
	"hale/safe"
	"hale/vital"
)

// lot is a record in memory of what is parked: what waits for an owner, what was refused, and the unverified reds of both.
type lot struct {
	*house
	mu      sync.Mutex
	waiting []safe.Waiting
	aside   []safe.Aside
	refused []devices.Refusal
	reds    []alerts.Unverified
	claimed []alerts.ClaimedRed

	unclaimed []alerts.UnverifiedAct
}

func (l *lot) Waiting(context.Context, account.Actor, int) ([]safe.Waiting, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.waiting), nil
}

func (l *lot) Dismiss(_ context.Context, _ account.Actor, d safe.Dismissal) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.waiting)
	l.waiting = slices.DeleteFunc(l.waiting, func(w safe.Waiting) bool { return w.Sensor == d.Sensor && w.Reason == d.Reason })
	return before - len(l.waiting), nil
}

func (l *lot) Aside(context.Context, account.Actor, int) ([]safe.Aside, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.aside), nil
}

func (l *lot) BringBack(_ context.Context, _ account.Actor, r safe.Return) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.aside)
	l.aside = slices.DeleteFunc(l.aside, func(g safe.Aside) bool {
		if g.Sensor != r.Sensor || !g.At.Equal(r.At) || g.First.Before(r.From) || !g.Last.Before(r.To) {
			return false
		}
		l.waiting = append(l.waiting, g.Waiting)
		return true
	})
	return before - len(l.aside), nil
}

func (l *lot) Refusals(_ context.Context, _ account.Actor, f devices.RefusalFilter) ([]devices.Refusal, []vital.PatientID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.Device != "" && !slices.ContainsFunc(l.refused, func(h devices.Refusal) bool { return h.Device == f.Device }) {
		return nil, nil, fault.New(fault.NotFound, "there is no device %q", f.Device)
	}
	var list []devices.Refusal
	for _, h := range l.refused {
		if (f.Device == "" || h.Device == f.Device) && (f.Reason == "" || h.Reason == f.Reason) && (f.All || h.SettledAt.IsZero() != f.Settled) {
			list = append(list, h)
		}
	}
	return list, nil, nil
}

func (l *lot) Refusal(context.Context, account.Actor, vital.UID) (devices.Refusal, []vital.PatientID, error) {
	return devices.Refusal{}, nil, fault.New(fault.NotFound, "there is no refused message of this name")
}

func (l *lot) NoteRetried(context.Context, account.Actor, vital.UID, devices.Retried) (devices.Refusal, error) {
	return devices.Refusal{}, fault.New(fault.NotFound, "there is no refused message of this name")
}

func (l *lot) Unverifieds(_ context.Context, _ account.Actor, f alerts.UnverifiedFilter) ([]alerts.Unverified, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.reds), func(u alerts.Unverified) bool { return (u.State == alerts.Closed) != f.Closed }), nil
}

func (l *lot) Unverified(_ context.Context, _ account.Actor, uid vital.UID) (alerts.Unverified, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.reds {
		if u.UID == uid {
			return u, nil
		}
	}
	return alerts.Unverified{}, fault.New(fault.NotFound, "there is no unverified red %s", uid)
}

// AmendUnverified lets a person do nothing here but take back whose a value was said to be.
func (l *lot) AmendUnverified(ctx context.Context, actor account.Actor, uid vital.UID, decide func(alerts.Unverified, time.Time) (alerts.UnverifiedAct, error)) (alerts.Unverified, []alerts.Event, error) {
	u, err := l.Unverified(ctx, actor, uid)
	if err != nil {
		return u, nil, err
	}
	act, err := decide(u, l.clock())
	if err != nil {
		return u, nil, err
	}
	if act.Unclaimed == 0 {
		return u, nil, fault.New(fault.Conflict, "nobody acts on it here")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unclaimed = append(l.unclaimed, act)
	l.claimed = slices.DeleteFunc(l.claimed, func(c alerts.ClaimedRed) bool { return c.Value == act.Unclaimed })
	return u, nil, nil
}

func (l *lot) Claimed(_ context.Context, _ account.Actor, f alerts.ClaimedFilter) ([]alerts.ClaimedRed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []alerts.ClaimedRed
	for _, c := range l.claimed {
		if (f.Patient == "" || c.Owner.UID == f.Patient) && (!f.Unjudged || !c.Filed()) && !c.ClosedAt.Before(f.Since) {
			list = append(list, c)
		}
	}
	return list, nil
}

// fill parks something of everything, that long names and many facts are among.
func (l *lot) fill(ana, bert account.Patient) {
	now := l.clock()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	l.waiting = []safe.Waiting{
		{Sensor: "scale-of-the-household-17", Device: "gateway-0017", Model: "A&D UC-352BLE", Reason: "refiled", Count: 1, First: ago(2 * time.Hour), Last: ago(2 * time.Hour),
			Readings:    []safe.Parked{{Metric: vital.BodyWeight, Values: []float64{84.4}, MeasuredAt: ago(2 * time.Hour), ReceivedAt: ago(2 * time.Hour)}},
			Suggestions: []safe.Suggestion{{Patient: bert, Reasons: []string{"held another sensor of the same kit at that time", "weighs about 84.1 kg, which is near this"}}}},
		{Sensor: "ox-1", Device: "ox-1", Model: "Nonin 3230", Reason: "no_owner", Count: 3, First: ago(5 * time.Hour), Last: ago(time.Hour),
			Readings: []safe.Parked{
				{Metric: vital.OxygenSat, Values: []float64{72}, MeasuredAt: ago(time.Hour), ReceivedAt: ago(time.Hour), Findings: vital.PoorSignal | vital.TimeCorrected},
				{Metric: vital.OxygenSat, Values: []float64{96}, MeasuredAt: ago(5 * time.Hour), ReceivedAt: ago(time.Hour)},
			},
			Suggestions: []safe.Suggestion{
				{Patient: ana, Reasons: []string{"held the sensor until 20 November 2026, 08:00 UTC"}},
				{Patient: bert, Reasons: []string{"held another sensor of the same kit at that time", "somebody said of 1 of them that they are not theirs"}},
			}},
		{Sensor: "cuff-9", Device: "cuff-9", Model: "Cuff", Reason: "revoked", Count: 1, First: ago(time.Hour), Last: ago(time.Hour)},
	}
	l.aside = []safe.Aside{{
		Waiting: safe.Waiting{Sensor: "ox-of-the-ward-3", Device: "gateway-0017", Model: "Nonin 3230", Reason: "no_owner", Count: 2, First: ago(26 * time.Hour), Last: ago(25 * time.Hour),
			Readings: []safe.Parked{{Metric: vital.OxygenSat, Values: []float64{71}, MeasuredAt: ago(25 * time.Hour), ReceivedAt: ago(25 * time.Hour)}, {Metric: vital.OxygenSat, Values: []float64{97}, MeasuredAt: ago(26 * time.Hour), ReceivedAt: ago(25 * time.Hour)}}},
		By: "Dora Desk", Why: "The wrong line was clicked.", At: ago(24 * time.Hour),
	}}
	l.refused = []devices.Refusal{
		{UID: "q1", Device: "cuff-1", Topic: "hale/v1/cuff-1/readings", Reason: vital.ReasonUnit, Detail: "unit: name one, for example mm[Hg]", Raw: []byte(`{"metric":"blood_pressure","values":{"systolic":210,"diastolic":140},"measured_at":"2026-11-21T08:00:00Z","sequence":12345678}`),
			Length: 127, ReceivedAt: ago(3 * time.Hour), LastAt: ago(time.Hour), Times: 4, TriedAt: ago(2 * time.Hour), TriedBy: "Dora Desk", RefusedAgain: "unit: name one, for example mm[Hg]"},
		{UID: "q2", Device: "ox-1", Topic: "hale/v1/ox-1/gatt/2A5F", Reason: vital.ReasonUnparsable, Detail: "flags: byte 0 has reserved bits", Raw: []byte{0xFF, 0x62, 0, 0x48, 0, 1, 2, 3}, Length: 8, ReceivedAt: ago(time.Hour), LastAt: ago(time.Hour), Times: 1},
	}
	red := alerts.Unverified{
		ID: 1, UID: "u1", Org: org, Device: "ox-1", Sensor: "ox-1", Metric: vital.OxygenSat, Level: alerts.Extreme, Ground: alerts.GroundExtreme, Values: []float64{72}, Findings: vital.PoorSignal,
		MeasuredAt: ago(time.Hour), ReceivedAt: ago(time.Hour), LastAt: ago(time.Hour), Times: 3, Place: alerts.InInbox, Why: "no_owner", OpenedAt: ago(12 * time.Minute), Deadline: ago(2 * time.Minute),
		State: alerts.Open, Version: 1, Holders: []alerts.Holder{{ID: ana.ID, Patient: ana.UID, Name: ana.Name, Number: ana.Number, How: "held", From: ago(90 * time.Hour), To: ago(26 * time.Hour)}},
	}
	refused := red
	refused.ID, refused.UID, refused.Device, refused.Sensor, refused.Metric, refused.Values = 2, "u2", "cuff-1", "cuff-1", vital.BloodPressure, []float64{250, 140}
	refused.Place, refused.Why, refused.MeasuredAt, refused.Findings, refused.Times = alerts.InQuarantine, string(vital.ReasonClock), time.Time{}, 0, 1
	refused.Deadline, refused.Holders = now.Add(6*time.Minute), nil
	aside := red
	aside.ID, aside.UID, aside.State, aside.Closing, aside.ClosedAt, aside.ClosedBy, aside.Note = 5, "u5", alerts.Closed, alerts.ClosedAsDismissed, ago(30*time.Minute), "Dora Desk", "A test at the desk."
	aside.All = []alerts.UnverifiedValue{
		{Place: alerts.InInbox, Why: "no_owner", Ground: alerts.GroundExtreme, Values: []float64{72}, MeasuredAt: ago(time.Hour), ReceivedAt: ago(time.Hour), Became: alerts.ClosedAsDismissed, By: "Dora Desk", Note: aside.Note, EndedAt: ago(30 * time.Minute)},
		{Place: alerts.InQuarantine, Why: string(vital.ReasonClock), Ground: alerts.GroundExtreme, Values: []float64{74}, ReceivedAt: ago(time.Hour)},
	}
	aside.Log = []alerts.UnverifiedEntry{{Kind: "opened", At: ago(time.Hour), Values: []float64{72}}, {Kind: "dismissed", At: ago(30 * time.Minute), By: "Dora Desk", Values: []float64{72}, Note: aside.Note}}
	l.reds = []alerts.Unverified{red, refused, aside}
	done := refused
	done.ID, done.UID, done.State, done.Closing, done.ClosedAt, done.ClosedBy, done.Note = 3, "u3", alerts.Closed, alerts.ClosedAsClaimed, ago(20*time.Minute), "Mira Zupan", "She called: it was her cuff."
	done.Unitless = true // the longest words of a value
	done.All = []alerts.UnverifiedValue{{
		ID: 31, Place: alerts.InQuarantine, Why: string(vital.ReasonClock), Ground: alerts.GroundExtreme, Values: []float64{250, 140}, ReceivedAt: ago(time.Hour), Became: alerts.ClosedAsClaimed, By: "Mira Zupan",
		Note: done.Note, EndedAt: done.ClosedAt, Claim: alerts.Claim{Owner: ana},
	}}
	l.reds = append(l.reds, done)
	filed := red
	filed.ID, filed.UID, filed.State, filed.Closing, filed.ClosedAt, filed.ClosedBy = 4, "u4", alerts.Closed, alerts.ClosedAsClaimed, ago(time.Hour), "Jan Kovač"
	l.claimed = []alerts.ClaimedRed{{Unverified: done, Value: 31, Claim: alerts.Claim{Owner: ana}}, {Unverified: filed, Value: 41, Claim: alerts.Claim{Owner: ana, Refile: "f1"}}}
}

func TestWhatIsParkedIsShownWithWhoseItMayBe(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	app := f.app(t)
	nurse, desk := visit(t, app, "mira"), visit(t, app, "desk")
	_, page := nurse.get("/devices/inbox")
	wants(t, page, "scale-of-the-household-17", "somebody said that it is not whose it was filed under", "84.4 kg", "weighs about 84.1 kg, which is near this", "taken out of use is given to nobody", "poor signal")
	_, page = desk.get("/devices/quarantine")
	wants(t, page, "its unit is missing or unknown", "4 times, last", "refused again", "ff 62 00 48")
	answer, page := desk.get("/devices/quarantine?device=no-such")
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("a device that is not there: %d", answer.StatusCode)
	}
	wants(t, page, "There is no device", `value="no-such"`)
	_, page = nurse.get("/unverified/u2")
	wants(t, page, "Blood pressure: 250/140 mmHg", "was refused: its time cannot be", "will stand on their page as claimed")
}

// TestWhatWasPutAsideIsShownAndBroughtBack.
func TestWhatWasPutAsideIsShownAndBroughtBack(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	desk := visit(t, f.app(t), "desk")
	_, page := desk.get("/devices/inbox")
	wants(t, page, "Put aside 1", "ox-of-the-ward-3: 2 readings, put aside by Dora Desk", "The wrong line was clicked.", "71 %", "nobody held the sensor then", "Bring back")
	for _, act := range []string{"claim", "dismiss", "bring-back"} { // another device that speaks for the sensor may be in another home
		if got := desk.form(page, "/devices/inbox/"+act); got.Get("sensor") == "" || got.Get("device") == "" {
			t.Errorf("%s is not bounded to the device that sent it: %v", act, got)
		}
	}
	form := desk.form(page, "/devices/inbox/bring-back")
	if answer, page := desk.post("/devices/inbox/bring-back", form); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get("/devices/inbox")
	wants(t, page, "ox-of-the-ward-3 2")
	if strings.Contains(page, "Put aside <span") {
		t.Error("it is still put aside")
	}
	answer, page := desk.post("/devices/inbox/bring-back", form)
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("brought back twice: %d", answer.StatusCode)
	}
	wants(t, page, "that was put aside is there any more")
	f.lot.reds[0].Note = alerts.AsideNote("Dora Desk", "A test at the desk.")
	nurse := visit(t, f.app(t), "mira")
	for _, path := range []string{"/", "/unverified/u1"} {
		_, page = nurse.get(path)
		wants(t, page, "Put aside in the inbox by Dora Desk: A test at the desk.")
	}
}

// TestWhatBecameOfAnUnverifiedRedCanBeLookedUp: it does not vanish from the board without a word.
func TestWhatBecameOfAnUnverifiedRedCanBeLookedUp(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	nurse := visit(t, f.app(t), "mira")
	_, page := nurse.get("/")
	wants(t, page, `href="/unverified"`)
	_, page = nurse.get("/unverified")
	wants(t, page, "put aside in the inbox by Dora Desk", "A test at the desk.", `href="/unverified/u5"`)
	if strings.Contains(page, `href="/unverified/u1"`) {
		t.Error("one that is open stands among those that have ended")
	}
	_, page = nurse.get("/unverified/u5")
	wants(t, page, "What it stands for 2", "74 %", "was refused: its time cannot be", "What happened", "Put aside in the inbox: 72 %, Dora Desk")
}

func TestAClaimedRedIsOnThePatientsPageAndTheBoard(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	app := f.app(t)
	nurse := visit(t, app, "mira")
	_, page := nurse.get("/patients/" + string(f.ana.UID))
	wants(t, page, "Claimed reds 2", "claimed by Mira Zupan", "She called: it was her cuff.", "it was refused: its time cannot be; it is not among the readings, and no limit judges it", "claimed by Jan Kovač", "it is filed among the readings")
	_, page = nurse.get("/")
	wants(t, page, "Claimed in the last day, and judged by no limit 1", f.ana.Name, "Blood pressure 250/140 mmHg")
	if strings.Contains(words(page), "Jan Kovač said") || strings.Contains(page, `/unverified/u4`) {
		t.Error("what is a reading by now stands on the board for itself")
	}
	_, page = nurse.get("/patients/" + string(f.people[1].UID))
	if strings.Contains(page, "Claimed reds") {
		t.Error("it stands with somebody else")
	}
}

// TestWhatWasClaimedForTheWrongPersonIsTakenBackWhereItStands: on the patient's page and on its own. What was filed leads to its filing.
func TestWhatWasClaimedForTheWrongPersonIsTakenBackWhereItStands(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	nurse := visit(t, f.app(t), "mira")
	const act = "/unverified/u3/values/31/unclaim"
	patient := "/patients/" + string(f.ana.UID)
	_, page := nurse.get("/unverified/u3")
	wants(t, page, "Said to be of "+f.ana.Name, "Not "+f.ana.Name+"'s?")
	form := nurse.form(page, act)
	if answer, page := nurse.post(act, form); answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(words(page), "say why it is not theirs") {
		t.Errorf("without a reason: %d %s", answer.StatusCode, words(page))
	}
	_, page = nurse.get(patient)
	wants(t, page, "Not "+f.ana.Name+"'s? It was filed: undo that filing")
	if !strings.Contains(page, `href="/refiles/f1"`) {
		t.Error("what was filed does not lead to its filing")
	}
	form = nurse.form(page, act)
	form.Set("reason", "She was away that day.")
	if answer, page := nurse.post(act, form); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != patient {
		t.Fatalf("%d to %q: %s", answer.StatusCode, answer.Header.Get("Location"), words(page))
	}
	if got := f.lot.unclaimed; len(got) != 1 || got[0].Claimed != f.ana.ID || got[0].Note != "She was away that day." {
		t.Errorf("%+v", got)
	}
	_, page = nurse.get(patient)
	wants(t, page, "Claimed reds 1")
	if answer, _ := nurse.post("/unverified/u3/values/x/unclaim", form); answer.StatusCode != http.StatusNotFound {
		t.Errorf("of no value: %d", answer.StatusCode)
	}
}

func TestThePagesOfWhatIsParkedFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	fitAPhoneAndReadAloud(t, browser.Start(t), f.serve(t), "admin", map[string]string{
		"parked-inbox": "/devices/inbox", "parked-quarantine": "/devices/quarantine", "parked-unverified": "/unverified/u1", "parked-refused": "/unverified/u2", "parked-ended": "/unverified", "parked-aside": "/unverified/u5", "parked-claimed": "/unverified/u3",
		"parked-board": "/", "parked-patient": "/patients/" + string(f.ana.UID),
	})
}
