package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/measuring"
	"hale/fault"
	"hale/internal/browser"
	"hale/vital"
)

// expectations is a record in memory of what patients are to measure, and of what is doubtful about it.
type expectations struct {
	*house
	plans  map[vital.UID]*measuring.History
	doubts []measuring.Question
	away   []string // readings that were filed as nobody's
}

func (m *expectations) Measuring(ctx context.Context, actor account.Actor, patient vital.UID) (measuring.History, error) {
	p, err := m.Patient(ctx, actor, patient)
	if err != nil {
		return measuring.History{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.plans[patient]; found != nil {
		all := *found
		all.Patient = p
		all.Versions, all.Breaks = slices.Clone(found.Versions), slices.Clone(found.Breaks)
		return all, nil
	}
	return measuring.History{Patient: p}, nil
}

func (m *expectations) of(id vital.PatientID) *measuring.History {
	i := slices.IndexFunc(m.people, func(p account.Patient) bool { return p.ID == id })
	uid := m.people[i].UID
	if m.plans[uid] == nil {
		m.plans[uid] = &measuring.History{}
	}
	return m.plans[uid]
}

func (m *expectations) AddSchedule(_ context.Context, actor account.Actor, patient vital.PatientID, expected int, a measuring.Authored) (measuring.Authored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.of(patient)
	if n := all.Newest(); n != expected {
		return a, fault.New(fault.Conflict, "the schedule is at version %d by now, not %d: look at it again before you change it", n, expected)
	}
	a.Number, a.Author, a.CreatedAt = expected+1, actor.Name, m.now
	all.Versions = append(all.Versions, a)
	return a, nil
}

func (m *expectations) SavePause(_ context.Context, actor account.Actor, patient vital.PatientID, b measuring.Break) (measuring.Break, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.of(patient)
	for i := range all.Breaks {
		if all.Breaks[i].UID == b.UID {
			all.Breaks[i] = b
			return b, nil
		}
	}
	b.UID, b.Author, b.CreatedAt = vital.UID(fmt.Sprintf("pause-%d", len(all.Breaks)+1)), actor.Name, m.now
	all.Breaks = append(all.Breaks, b)
	return b, nil
}

func (m *expectations) Measured(_ context.Context, _ account.Actor, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[vital.PatientID][]measuring.Mark{}
	for _, p := range m.people {
		for _, r := range m.points[p.UID] {
			if slices.Contains(q.Patients, p.ID) && slices.Contains(q.Metrics, r.Metric) && !r.At.Before(q.From) && r.At.Before(q.To) {
				all[p.ID] = append(all[p.ID], measuring.Mark{Metric: r.Metric, At: r.At.Truncate(time.Minute)})
			}
		}
	}
	return all, nil
}

func (m *expectations) TakenBy(_ context.Context, _ account.Actor, q measuring.MarkQuery) ([]measuring.Taken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []measuring.Taken
	for _, p := range m.people {
		for _, r := range m.points[p.UID] {
			if slices.Contains(q.Patients, p.ID) && slices.Contains(q.Metrics, r.Metric) && !r.At.Before(q.From) && r.At.Before(q.To) {
				all = append(all, measuring.Taken{Metric: r.Metric, At: r.At, ID: r.ID, Values: r.Values})
			}
		}
	}
	return all, nil
}

func (m *expectations) Questions(_ context.Context, _ account.Actor, f measuring.DoubtFilter) (measuring.Doubts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page measuring.Doubts
	past := f.Before == ""
	for _, q := range m.doubts {
		switch waits := f.Patient == "" && q.Answer == measuring.Waiting; {
		case waits:
			page.Waiting++
			if past && len(page.List) < f.Limit {
				page.List = append(page.List, q)
			}
		case f.Patient == q.Patient.UID:
			page.List = append(page.List, q)
		}
		past = past || q.UID == f.Before
	}
	return page, nil
}

func (m *expectations) Question(_ context.Context, _ account.Actor, uid vital.UID) (measuring.Question, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.doubts {
		if q.UID == uid {
			return q, nil
		}
	}
	return measuring.Question{}, fault.New(fault.NotFound, "there is no doubt %s", uid)
}

func (m *expectations) SettleQuestion(_ context.Context, actor account.Actor, q measuring.Question) (measuring.Question, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q.AnsweredAt, q.AnsweredBy = m.now, actor.Name
	for i := range m.doubts {
		if m.doubts[i].UID == q.UID {
			m.doubts[i] = q
		}
	}
	return q, nil
}

// Numbers are those of a cuff that lost three readings, sent one twice and was reset.
func (m *expectations) Numbers(_ context.Context, _ account.Actor, device string, _ time.Time) (map[string][]devices.Counted, error) {
	if device != "cuff-17" {
		return map[string][]devices.Counted{}, nil
	}
	var all []devices.Counted
	for i, n := range []int64{40, 41, 45, 46, 45, 47, 1, 2} {
		all = append(all, devices.Counted{Metric: vital.BloodPressure, Number: n, SentAt: m.clock().Add(time.Duration(i-48) * time.Hour)})
	}
	return map[string][]devices.Counted{"cuff-17": all, "scale-17": {{Metric: vital.BodyWeight, Number: 7, SentAt: m.clock()}}}, nil
}

func (m *expectations) schedules() *measuring.Schedules {
	return &measuring.Schedules{Book: m, Now: m.clock}
}

func (m *expectations) technique() *measuring.Technique {
	return &measuring.Technique{Book: m, People: m, Now: m.clock, Away: func(ctx context.Context, actor account.Actor, q measuring.Question, _ string) error {
		m.mu.Lock()
		m.away = append(m.away, string(q.UID))
		m.mu.Unlock()
		_, err := m.SettleQuestion(ctx, actor, q)
		return err
	}}
}

// expects gives Ana a fortnight with a schedule, a stay in hospital, a sitting of three and two doubts.
func (f furnished) expects(t *testing.T) *expectations {
	t.Helper()
	m := f.expected
	window := func(from, to int) measuring.Window {
		return measuring.Window{From: from * 60, At: from * 60, To: to * 60}
	}
	began := f.now.AddDate(0, 0, -12)
	m.mu.Lock()
	m.plans[f.ana.UID] = &measuring.History{
		Versions: []measuring.Authored{{
			Schedule: measuring.Schedule{Number: 1, EffectiveFrom: began, Lines: []measuring.Line{
				{Metric: vital.BloodPressure, First: vital.Date(began.Format(time.DateOnly)), Days: measuring.Days{Weekdays: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}}, Times: []measuring.Window{window(7, 10)},
					Intro: &measuring.Intro{For: 7, Times: []measuring.Window{window(7, 10), window(18, 21)}}},
				{Metric: vital.BodyWeight, First: vital.Date(began.Format(time.DateOnly)), Days: measuring.Days{Every: 3}, Times: []measuring.Window{window(6, 12)}},
			}},
			Reason: "Discharged with heart failure", Author: "Mira Zupan", CreatedAt: began,
		}},
		Breaks: []measuring.Break{{UID: "pause-1", Kind: measuring.InHospital, From: f.now.AddDate(0, 0, -6), EndedAt: f.now.AddDate(0, 0, -4), Reason: "Fell in the garden", Author: "Jan Kovač", EndedBy: "Jan Kovač"}},
	}
	m.plans[f.weak.UID] = m.plans[f.ana.UID]
	m.doubts = []measuring.Question{
		{UID: "doubt-1", Patient: f.ana, Sensor: "scale-17", Metric: vital.BodyWeight, MeasuredAt: f.now.Add(-time.Hour), Values: []float64{84.4}, Compared: []float64{78.1}, Doubt: measuring.OtherPerson},
		{UID: "doubt-2", Patient: f.ana, Sensor: "cuff-17", Metric: vital.BloodPressure, MeasuredAt: f.now.Add(-26 * time.Hour), Values: []float64{128, 80}, Compared: []float64{131, 82}, Apart: 12 * time.Second, Doubt: measuring.TooSoon},
	}
	m.mu.Unlock()
	for i := range 3 {
		f.measure(f.ana, vital.BloodPressure, f.now.Add(-26*time.Hour+time.Duration(i)*time.Minute), 131-float64(i), 82, 70)
	}
	return m
}

func TestTheScheduleIsSetAndPausedByForms(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	mira := visit(t, f.app(t), "mira")
	home := "/patients/" + string(f.old.UID)
	_, page := mira.get(home)
	wants(t, page, "Nobody has said what this person is to measure", `href="`+home+`/schedule"`)
	_, page = mira.get(home + "/schedule")
	form := mira.form(page, home+"/schedule")
	typed := url.Values{"csrf": form["csrf"], "version": form["version"], "reason": {"Blood pressure is new"}, "metric0": {"blood_pressure"}, "times0": {"7-10"}, "first0": {"2026-11-21"}, "days0": {"1", "2", "3", "4", "5"}, "introdays0": {"7"}, "introtimes0": {"07:00-10:00, 18:00–21:00 due 19:00"}, "metric1": {""}}
	answer, page := mira.post(home+"/schedule", typed)
	wants(t, page, "7-10", "cannot be read", `value="Blood pressure is new"`)
	if answer.StatusCode != http.StatusUnprocessableEntity && answer.StatusCode != http.StatusBadRequest {
		t.Errorf("times that cannot be read: status %d", answer.StatusCode)
	}
	typed.Set("times0", "07:00-10:00")
	if answer, page = mira.post(home+"/schedule", typed); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("set the schedule: status %d: %s", answer.StatusCode, words(page))
	}
	_, page = mira.get(home)
	wants(t, page, "In the morning 07:00-10:00, Monday to Friday.", "In the first 7 days, until 27 Nov 2026: in the morning 07:00-10:00 and in the evening 18:00-21:00 due 19:00, every day.",
		"Set by Mira Zupan", "Blood pressure is new", "The last 14 days")
	answer, page = mira.post(home+"/schedule", typed)
	wants(t, page, "at version 1 by now, not 0")
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("a version that was overtaken: status %d", answer.StatusCode)
	}

	pause := url.Values{"csrf": form["csrf"], "kind": {"holiday"}, "reason": {"At the sea"}, "to": {"2026-11-28T12:00"}}
	if answer, page = mira.post(home+"/pauses", pause); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("pause: status %d: %s", answer.StatusCode, words(page))
	}
	_, page = mira.get(home + "/schedule")
	wants(t, page, "On holiday from", "At the sea (Mira Zupan)")
	if answer, _ = mira.post(home+"/pauses/pause-1/end", url.Values{"csrf": form["csrf"]}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("end the pause: status %d", answer.StatusCode)
	}
	if answer, _ = mira.post(home+"/pauses/pause-1/end", url.Values{"csrf": form["csrf"]}); answer.StatusCode != http.StatusConflict {
		t.Errorf("end it twice: status %d", answer.StatusCode)
	}
}

func TestTheStripTellsWhatBecameOfEachSlot(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.expects(t)
	mira := visit(t, f.app(t), "mira")
	_, page := mira.get("/patients/" + string(f.ana.UID) + "/schedule?days=30")
	wants(t, page, "every third day, counted from 9 Nov 2026", "In hospital from", "measured at 08:00", "21 of 21 measured.", "due now", "The last 30 days", "Show 14 days", "Version 1, from")
	_, page = mira.get("/patients/" + string(f.ana.UID))
	wants(t, page, "4 readings in one sitting, mean 134/83 mmHg", "Is this Ana Novak's weight?", "It is 84.4 kg; the middle of the week before is 78.1 kg.", "12 s after 131/82 mmHg")
	_, page = mira.get("/patients/" + string(f.weak.UID)) // has measured neither
	wants(t, page, "0 of 21 measured, 18 missed, 3 in hospital.")
}

func TestADoubtIsAnsweredByWhoMay(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	m := f.expects(t)
	app := f.app(t)
	pia, mira, desk := visit(t, app, "pia"), visit(t, app, "mira"), visit(t, app, "desk")
	_, page := pia.get("/patients/" + string(f.ana.UID))
	wants(t, page, "Is this Ana Novak's weight?")
	if answer, _ := pia.get("/doubts"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a pharmacist is shown the list: status %d", answer.StatusCode)
	}
	_, page = desk.get("/doubts")
	wants(t, page, "Ana Novak", "It is what was measured, 12 s after what was measured before")
	form := desk.form(page, "/doubts/doubt-2/answer")
	form.Set("answer", "closed")
	answer, page := desk.post("/doubts/doubt-2/answer", form)
	if answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("closed without a note: status %d", answer.StatusCode)
	}
	wants(t, page, "Note: say what was done")
	form.Set("note", "She rests in between now.")
	if answer, _ = desk.post("/doubts/doubt-2/answer", form); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("close it: status %d", answer.StatusCode)
	}
	_, page = mira.get("/patients/" + string(f.ana.UID))
	form = mira.form(page, "/doubts/doubt-1/answer")
	form.Set("answer", "somebody_else")
	if answer, _ = mira.post("/doubts/doubt-1/answer", form); answer.Header.Get("Location") != "/patients/"+string(f.ana.UID)+"#technique" {
		t.Errorf("an answer leads to %q", answer.Header.Get("Location"))
	}
	if !slices.Equal(m.away, []string{"doubt-1"}) {
		t.Errorf("filed as nobody's: %v", m.away)
	}
	_, page = mira.get("/patients/" + string(f.ana.UID))
	wants(t, page, "Somebody else's: it waits for its owner, by Mira Zupan", "Seen to, by Dora Desk", "She rests in between now.")
}

func TestADeviceTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	app := furnish(t).app(t)
	desk := visit(t, app, "desk")
	_, page := desk.get("/devices/cuff-17/gaps")
	wants(t, page, "cuff-17, Blood pressure: 3 readings missing", "3 readings missing between number 41", "Number 45 came again under another time", "It began to count anew", "scale-17, Body weight: nothing missing")
	_, page = desk.get("/devices/other/gaps")
	wants(t, page, "This device does not number its readings")
	if answer, _ := visit(t, app, "mira").get("/devices/cuff-17/gaps"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse: status %d", answer.StatusCode)
	}
}

// TestTheScheduleInABrowser looks at the pages in the widths of a phone and a desk.
func TestTheScheduleInABrowser(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.expects(t)
	address := f.serve(t)
	chromium := browser.Start(t)
	fitAPhoneAndReadAloud(t, chromium, address, "mira", map[string]string{
		"sched-expected": "/patients/" + string(f.ana.UID) + "#expected", "sched-schedule": "/patients/" + string(f.ana.UID) + "/schedule?days=30", "sched-doubts": "/doubts",
	})
	fitAPhoneAndReadAloud(t, chromium, address, "admin", map[string]string{"sched-gaps": "/devices/cuff-17/gaps"})
}
