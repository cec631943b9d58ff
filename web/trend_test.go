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
			"The mean of all readings of 7 days without the first of them, rounded half up, counts. It says nothing before there are 12 readings on 4 days.",
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
