package web_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// risingWeight is an alert of a weight of this morning that rose by 2.3 kg in 3 days.
func risingWeight(h *house, p account.Patient) vital.UID {
	at := h.clock().Add(-time.Hour)
	return h.trendAlarm(p, alerts.TrendOn(vital.BodyWeight, alerts.FormChange), at, &alerts.Grounds{
		Form: alerts.FormChange, Direction: alerts.Rise, Day: "2026-11-21", Value: 68.1, Against: 65.8, AgainstDay: "2026-11-18", By: 2.3, Days: 3,
	}, 68.1)
}

// TestATrendIsExplained shows the alert of a weight that rises on the board, on its own page and at the patient.
func TestATrendIsExplained(t *testing.T) {
	t.Parallel()
	h := newHouse(time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC))
	nurse := visit(t, h.app(t), "mira")
	p := h.admit("Zofija Hribar", "P-77", 1944, "female", "Europe/Ljubljana")
	uid := risingWeight(h, p)
	const why = "up 2.3 kg in 3 days: 68.1 kg on"
	for path, want := range map[string][]string{
		"/": {why, "lowest 65.8 kg on Wed 18 Nov"},
		"/alerts/" + string(uid): {
			"Opened: " + why, "up more than 2 kg in 3 days; up 1.36 kg or more in 1 day; up 2.27 kg or more in 7 days; down more than 2 kg in 3 days",
			"The first value of each day from 04:00 until 12:00 counts, compared with those of the same device.",
			"A repeat within 10 minutes counts instead. What lies more than 5 kg from the 7-day median may be somebody else", "it is yellow, whatever the step, asks who was measured",
			"the alert then waits for a person",
		},
		"/patients/" + string(p.UID): {
			why, "Body weight: change over days", "Body weight: moving average", "mean of 3 days 1 kg or more above the median of the 7 days before",
			"Blood pressure: average of days", "systolic below 110 mmHg, or at or above 145 mmHg; diastolic at or above 85 mmHg",
			"The mean of the sessions of 7 days without the first of them, rounded half up, counts. A session is the mean of the readings of a day before noon",
			"each weighs the same, however many readings it has. It says nothing before there are 12 readings on 4 days.",
		},
	} {
		_, page := nurse.get(path)
		wants(t, page, want...)
	}
	h.log(uid, alerts.Entry{Kind: alerts.EntryCleared, Cause: alerts.CauseReturned, Reading: alerts.Mark{At: h.clock(), ID: 99}})
	_, board := nurse.get("/")
	wants(t, board, "no longer changing so fast")
	if strings.Contains(board, "back inside the limits") {
		t.Error("a weight that stays high is said to be back inside the limits")
	}
}

// TestAnAlertIsExplainedByTheVersionInForce: a new dry weight under an open alert, with advice of its own.
func TestAnAlertIsExplainedByTheVersionInForce(t *testing.T) {
	t.Parallel()
	h := newHouse(time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC))
	nurse := visit(t, h.app(t), "mira")
	p := h.admit("Zofija Hribar", "P-77", 1944, "female", "Europe/Ljubljana")
	key := alerts.TrendOn(vital.BodyWeight, alerts.FormReference)
	version := func(number int, kg float64, advice string) alerts.Version {
		return alerts.Version{
			Number: number, EffectiveFrom: h.clock().AddDate(0, 0, -7), Enabled: true, Reason: "discharge letter", Author: 3, AuthorName: "Ana Kos", Advice: advice,
			Trend: &alerts.Trend{ClearAfter: 1, Reference: &alerts.TrendReference{
				Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Name: "dry weight", Value: kg, Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}},
			}},
		}
	}
	versions := []alerts.Version{version(1, 77.3, "Drink less."), version(2, 66, "Call the ward.")}
	h.mu.Lock()
	h.rules[p.UID] = append(h.rules[p.UID], alerts.Rule{
		ID: 190, UID: ruleUID(p.ID, key), Org: org, Patient: p.ID, Kind: key.Kind, Form: key.Form, Metric: key.Metric,
		Versions: versions,
	})
	h.mu.Unlock()
	grounds := func(against, by float64) *alerts.Grounds {
		return &alerts.Grounds{Form: alerts.FormReference, Direction: alerts.Rise, Name: "dry weight", Day: "2026-11-21", Value: 79.4, Against: against, By: by}
	}
	at := h.clock().Add(-time.Hour)
	uid := h.trendAlarm(p, key, at, grounds(77.3, 2.1), 79.4)
	_, page := nurse.get("/alerts/" + string(uid))
	wants(t, page, "2 kg or more above the dry weight of 77.3 kg", "Version 1, by Ana Kos", "Drink less.")
	if strings.Contains(page, "It opened under") {
		t.Error("the version that opened it is told apart from itself")
	}
	log, err := h.Log(t.Context(), account.Actor{}, uid)
	if err != nil {
		t.Fatal(err)
	}
	h.log(uid, alerts.Entry{
		Kind: alerts.EntryAnnotated, RecordedAt: h.clock(), Cause: alerts.CauseRule, Level: alerts.Yellow, Reading: log[0].Reading, Values: []float64{79.4}, RuleVersion: 2, Worst: true,
		Grounds: grounds(66, 13.4), Note: "judged anew by version 2: its latest reading, which is its worst",
	})
	_, page = nurse.get("/alerts/" + string(uid))
	wants(
		t, page, "2 kg or more above the dry weight of 66 kg", "Version 2, by Ana Kos", "It opened under version 1.", "Call the ward.",
		"Yellow Judged anew by the rule as it was changed: 13.4 kg above the dry weight of 66 kg: 79.4 kg on Sat 21 Nov, measured",
	)
	_, board := nurse.get("/")
	wants(t, board, "13.4 kg above the dry weight of 66 kg")
	for _, shown := range []string{board, strings.Split(page, "What happened")[0]} {
		if strings.Contains(shown, "77.3") {
			t.Error("a dry weight that is no longer in force is shown")
		}
	}
}
