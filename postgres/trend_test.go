package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

const day = 24 * 60 // minutes

// TestAWeightThatRisesIsExplained goes the way of a trend through the record: defaults, readings, alert, grounds, log.
func TestAWeightThatRisesIsExplained(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(7*60, 65_900), r.weight(day+7*60, 65_800), r.weight(2*day+7*60, 66_400))
	res := r.advance(t, r.weight(3*day+7*60, 68_100))
	if len(res.Events) != 1 {
		t.Fatalf("%d events", len(res.Events))
	}
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("worklist %v, %v", list, err)
	}
	a := list[0]
	want := "up 2.3 kg in 3 days: 68.1 kg on Wed 4 Mar, lowest 65.8 kg on Mon 2 Mar"
	if a.RuleKind != alerts.KindTrend || a.RuleForm != alerts.FormChange || a.Level != alerts.Yellow || a.Because() != want {
		t.Errorf("%s %s %s: %q, want %q", a.RuleKind, a.RuleForm, a.Level, a.Because(), want)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil || len(log) != 1 {
		t.Fatalf("log %v, %v", log, err)
	}
	if diff := cmp.Diff(&alerts.Grounds{
		Form: alerts.FormChange, Direction: alerts.Rise, Day: "2026-03-04", Value: 68.1, Against: 65.8, AgainstDay: "2026-03-02", By: 2.3, Days: 3,
	}, log[0].Grounds); diff != "" {
		t.Errorf("grounds (-want +stored):\n%s", diff)
	}
	// Whoever knows nothing of the patient goes on as if it had been there.
	r.decider = alerts.NewDecider(10)
	r.advance(t, r.weight(4*day+7*60, 68_300))
	if a, err = r.app.Alert(t.Context(), r.nurse, a.UID); err != nil || a.Occurrences != 2 || a.LastGrounds.Value != 68.3 {
		t.Errorf("after a restart %+v, %v", a.Episode, err)
	}
}

func TestANewPatientHasTrendRules(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	old, err := r.app.AddPatient(t.Context(), r.nurse, account.Patient{Name: "Old", Number: "old", Sex: "unknown", Zone: "Europe/Madrid", BirthYear: time.Now().Year() - 90})
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[vital.UID]struct {
		zone string
		high float64
	}{r.patient.UID: {"Europe/Ljubljana", 135}, old.UID: {"Europe/Madrid", 145}} {
		rules, err := r.app.Rules(t.Context(), r.nurse, uid)
		if err != nil {
			t.Fatal(err)
		}
		var trends []string
		for i := range rules {
			v := &rules[i].Versions[0]
			if rules[i].Kind != alerts.KindTrend {
				continue
			}
			trends = append(trends, rules[i].Key().String())
			if v.Trend.Zone != want.zone || len(alerts.GradesOf(rules[i].Metric, v)) == 0 {
				t.Errorf("%s: zone %s, grades %v", rules[i].Key(), v.Trend.Zone, alerts.GradesOf(rules[i].Metric, v))
			}
			if a := v.Trend.Average; a != nil && *a.Components[0].YellowHigh != want.high {
				t.Errorf("average from %v, want %v", *a.Components[0].YellowHigh, want.high)
			}
		}
		if diff := cmp.Diff([]string{"blood_pressure average", "body_weight change", "body_weight moving_average"}, trends); diff != "" {
			t.Errorf("trend rules (-want +got):\n%s", diff)
		}
	}
}

func TestSettingATrendJudgesAnew(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.weight(7*60, 68_000))
	dry := alerts.Version{EffectiveFrom: since(), Enabled: true, Reason: "discharge letter", Trend: &alerts.Trend{Zone: "Mars/Base", ClearAfter: 1, Reference: &alerts.TrendReference{
		Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Name: "dry weight", Value: 66, Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}},
	}}}
	key := alerts.TrendOn(vital.BodyWeight, alerts.FormReference)
	rule, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, key, 0, dry)
	if err != nil || rule.Key() != key || rule.Versions[0].Trend.Zone != "Europe/Ljubljana" {
		t.Fatalf("set %+v, %v", rule, err)
	}
	if dry.Trend.Zone != "Mars/Base" {
		t.Error("what was given in was changed")
	}
	if _, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, key, 0, dry); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second author: %v", err)
	}
	r.advance(t)
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 || list[0].Because() != "2 kg above the dry weight of 66 kg: 68 kg on Sun 1 Mar" {
		t.Errorf("worklist %+v, %v", list, err)
	}
	if n := r.count(t, "SELECT count(*) FROM audit WHERE action = 'set limits' AND detail LIKE 'body_weight reference version 1%'"); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

// TestANewDryWeightRenewsWhatAnOpenAlertSays: what the version says of the readings that are counted already is stored, and
// the log tells it.
func TestANewDryWeightRenewsWhatAnOpenAlertSays(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	key := alerts.TrendOn(vital.BodyWeight, alerts.FormReference)
	set := func(seen int, kg float64) {
		t.Helper()
		_, err := r.app.AddVersion(t.Context(), r.nurse, r.patient.UID, key, seen, alerts.Version{
			EffectiveFrom: since(), Enabled: true, Reason: "discharge letter", Trend: &alerts.Trend{ClearAfter: 1, Reference: &alerts.TrendReference{
				Part: alerts.DayPart{From: "04:00", Until: "12:00"}, Name: "dry weight", Value: kg, Steps: []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(0, 77.3)
	const day = 24 * 60
	r.advance(t, r.weight(7*60, 79_700))
	r.advance(t, r.weight(7*60+day, 79_400))
	notices := r.count(t, "SELECT count(*) FROM outbox")
	set(1, 66)
	r.decider.Forget()
	r.advance(t)
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("worklist %+v, %v", list, err)
	}
	a := list[0]
	const last, worst = "13.4 kg above the dry weight of 66 kg: 79.4 kg on Mon 2 Mar", "13.7 kg above the dry weight of 66 kg: 79.7 kg on Sun 1 Mar"
	if a.Because() != last || a.WorstBecause() != worst || a.RuleVersion != 1 || a.LastVersion != 2 || a.Occurrences != 2 {
		t.Errorf("it says %q and at worst %q, versions %d and %d, %d readings", a.Because(), a.WorstBecause(), a.RuleVersion, a.LastVersion, a.Occurrences)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil || len(log) != 4 || !log[2].Renews() || !log[3].Renews() {
		t.Fatalf("log %+v, %v", log, err)
	}
	if diff := cmp.Diff(a.Episode, alerts.FoldLog(a.Episode, log)); diff != "" {
		t.Errorf("the log does not fold to the episode (-stored +folded):\n%s", diff)
	}
	if n := r.count(t, "SELECT count(*) FROM outbox"); n != notices {
		t.Errorf("%d notices, before it was %d", n, notices)
	}
}
