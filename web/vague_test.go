package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/internal/browser"
	"hale/safe"
	"hale/vital"
)

// dated is somebody in Auckland, whose oximeter sends no more than a date: a red that came two minutes ago may be of now, and is told as
// of today. What waits of the sensor of nobody is of some hours.
func (f furnished) dated() (dana account.Patient, alert vital.UID) {
	dana = f.admit("Dana Date", "K-0050", 1950, "female", "Pacific/Auckland")
	now := f.clock()
	midnight := time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC) // there
	f.mu.Lock()
	point := alerts.Point{
		Mark: alerts.Mark{At: midnight, ID: 1}, Metric: vital.OxygenSat, Values: []float64{70}, ReceivedAt: now.Add(-2 * time.Minute), Unsure: 24*time.Hour + 5*time.Minute,
		Findings: vital.TimeLocal | vital.TimeUnsure,
	}
	f.points[dana.UID] = append(f.points[dana.UID], point)
	f.mu.Unlock()
	alert = f.open(dana, alerts.LimitOn(vital.OxygenSat), alerts.Entry{Level: alerts.Extreme}, point)
	second := f.measure(dana, vital.OxygenSat, now.Add(-time.Minute), 80)
	f.log(alert, alerts.Entry{Kind: alerts.EntryOccurred, RecordedAt: second.At, Level: alerts.Extreme, Reading: second.Mark, Values: second.Values, RuleVersion: 1})
	hours := vital.VagueWithin(3*time.Hour, now.Add(-2*time.Minute))
	f.lot.reds[0].MeasuredAt, f.lot.reds[0].ReceivedAt, f.lot.reds[0].Vague = now.Add(-time.Hour), hours.ReceivedAt, hours
	f.lot.reds[0].All = []alerts.UnverifiedValue{{Place: alerts.InInbox, Why: "no_owner", Ground: alerts.GroundExtreme, Values: []float64{72}, MeasuredAt: now.Add(-time.Hour), ReceivedAt: hours.ReceivedAt, Vague: hours}, {Place: alerts.InInbox, Why: "no_owner", Ground: alerts.GroundExtreme, Values: []float64{73}, MeasuredAt: now, ReceivedAt: now}}
	f.lot.waiting = append(f.lot.waiting, safe.Waiting{Sensor: "ox-5", Device: "ox-5", Model: "Nonin 3230", Reason: "no_owner", Count: 1, First: now.Add(-time.Hour), Last: now.Add(-time.Hour), Vague: hours,
		Readings: []safe.Parked{{Metric: vital.OxygenSat, Values: []float64{72}, MeasuredAt: now.Add(-time.Hour), ReceivedAt: hours.ReceivedAt, Vague: hours}}})
	return dana, alert
}

// undated is somebody there of whom nothing else was measured than what was sent with its date alone.
func (f furnished) undated() vital.UID {
	ed := f.admit("Ed Erstwhile", "K-0051", 1950, "male", "Pacific/Auckland")
	now := f.clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points[ed.UID] = []alerts.Point{{
		Mark: alerts.Mark{At: time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC), ID: 1}, Metric: vital.OxygenSat, Values: []float64{70}, ReceivedAt: now.Add(-2 * time.Minute),
		Unsure: 24*time.Hour + 5*time.Minute, Findings: vital.TimeLocal | vital.TimeUnsure,
	}}
	return ed.UID
}

// Sheet is an emergency sheet with what was measured last.
func (h *house) Sheet(ctx context.Context, actor account.Actor, p account.Patient) (safe.Sheet, error) {
	newest, err := h.Latest(ctx, actor, p.UID)
	var s safe.Sheet
	for _, n := range newest {
		s.Latest = append(s.Latest, safe.Vital{Metric: n.Metric, At: n.At, Vague: n.Vague(), Values: n.Values, Findings: n.Findings})
	}
	return s, err
}

// TestNobodyIsShownATimeThatIsNotKnown: on the board, on the page of an alert, of an unverified red and of a patient, on their emergency
// sheet, and in the inbox.
func TestNobodyIsShownATimeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	dana, alert := f.dated()
	ed := f.undated()
	f.safe = &safe.Safe{Sheets: &safe.Sheets{People: f, Book: f, Now: f.clock}}
	nurse := visit(t, f.app(t), "mira")
	const today, span = "measured today, the time of day was not sent", "between 21 Nov 2026, 05:04 UTC and 21 Nov 2026, 09:02 UTC"
	for path, want := range map[string][]string{
		"/":                              {"worst 70 % (" + today, "measured between 4 h ago and 2 min ago"},
		"/alerts/" + string(alert):       {"worst 70 % (" + today, "Opened: 70 %, " + today},
		"/patients/" + string(dana.UID):  {"worst 70 % (" + today, "on 21 Nov 2026, the time of day was not sent", "only a date was sent, read as the patient's own"},
		"/unverified/u1":                 {"Measured " + span + "; received", "72 %, measured " + span},
		"/safe/" + string(ed) + "/sheet": {"Oxygen saturation 70 % on 21 Nov 2026, the time of day was not sent"},
		"/devices/inbox":                 {"measured " + span, "72 % " + span},
	} {
		_, page := nurse.get(path)
		wants(t, page, want...)
		if text := words(page); strings.Contains(text, "22 h ago") || strings.Contains(text, "began") || strings.Contains(text, "measured 00:00") || strings.Contains(text, "2026, 00:00") {
			t.Errorf("%s tells the midnight as if it were known: %s", path, text)
		}
		if strings.Contains(page, `datetime=""`) {
			t.Errorf("%s has a time for machines that says nothing", path)
		}
	}
}

func TestThePagesOfTimesThatAreNotKnownFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.lot.fill(f.ana, f.people[1])
	dana, alert := f.dated()
	f.safe = &safe.Safe{Sheets: &safe.Sheets{People: f, Book: f, Now: f.clock}}
	fitAPhoneAndReadAloud(t, browser.Start(t), f.serve(t), "admin", map[string]string{
		"vague-board": "/", "vague-alert": "/alerts/" + string(alert), "vague-patient": "/patients/" + string(dana.UID), "vague-unverified": "/unverified/u1", "vague-inbox": "/devices/inbox",
		"vague-sheet": "/safe/" + string(f.undated()) + "/sheet",
	})
}
