package api_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

const trendsOfAna = "/v1/patients/" + ana + "/trends"

func TestTrendRulesAreListedApartFromLimits(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	list := ask(t, s, "nurse", "GET", trendsOfAna, "").json(t)["rules"]
	rule := item(t, list, 0)
	if rule["form"] != "average" || rule["metric"] != "blood_pressure" || rule["version"] != 2.0 || rule["unit"] != "mm[Hg]" {
		t.Errorf("listed %v", rule)
	}
	first := item(t, rule["versions"], 0)
	average := object(t, first["average"])
	if first["zone"] != "Europe/Ljubljana" || average["least_readings"] != 12.0 || item(t, average["components"], 0)["yellow_high"] != 145.0 {
		t.Errorf("first version %v", first)
	}
	g := alerts.GradesOf(vital.BloodPressure, &h.trend.Versions[0])[0]
	want := map[string]any{"part": g.Component, "name": g.Bound, "value": g.Value, "grade": g.Grade, "source": g.Source}
	if diff := cmp.Diff(want, any(item(t, first["grades"], 0))); diff != "" {
		t.Errorf("the first grade (-want +got):\n%s", diff)
	}
	if second := item(t, rule["versions"], 1); second["enabled"] != false || second["grades"] != nil {
		t.Errorf("second version %v", second)
	}
	limits, _ := ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/limits", "").json(t)["rules"].([]any)
	if len(limits) != 1 {
		t.Errorf("%d limits beside it", len(limits))
	}
}

func TestSettingATrend(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	path := trendsOfAna + "/blood_pressure/average"
	a := ask(t, s, "nurse", "PUT", path, bodyFor("set-trend"), "If-Match", `"2"`)
	rule := a.json(t)
	if a.status != http.StatusOK || a.header.Get("ETag") != `"3"` || item(t, rule["versions"], 2)["zone"] != "Europe/Ljubljana" || item(t, rule["versions"], 2)["author"] != "Nina" {
		t.Errorf("%d %s", a.status, a.body)
	}
	off := ask(t, s, "administrator", "PUT", path, `{"reason":"in hospital","enabled":false}`, "If-Match", `"2"`)
	if off.status != http.StatusOK || item(t, off.json(t)["versions"], 2)["enabled"] != false {
		t.Errorf("switching off: %d %s", off.status, off.body)
	}
	wantProblem(t, ask(t, s, "administrator", "PUT", path, bodyFor("set-trend"), "If-Match", `"1"`), http.StatusPreconditionFailed, "Zala set version 2")
	wantProblem(t, ask(t, s, "administrator", "PUT", path, bodyFor("set-trend")), http.StatusPreconditionRequired, "If-Match")
	wantProblem(t, ask(t, s, "administrator", "PUT", trendsOfAna+"/blood_pressure/slope", bodyFor("set-trend"), "If-Match", "*"), http.StatusNotFound, "no form of trends")
	wantProblem(t, ask(t, s, "administrator", "PUT", trendsOfAna+"/mood/average", bodyFor("set-trend"), "If-Match", "*"), http.StatusNotFound, "no metric")
	wantProblem(t, ask(t, s, "administrator", "PUT", trendsOfAna+"/blood_pressure/change", bodyFor("set-trend"), "If-Match", "*"), http.StatusUnprocessableEntity, "of the form change")
	wantProblem(t, ask(t, s, "administrator", "PUT", path, `{"reason":"x"}`, "If-Match", `"2"`), http.StatusUnprocessableEntity, "of the form average")
	wantProblem(t, ask(t, s, "administrator", "PUT", path, strings.Replace(bodyFor("set-trend"), "140", "400", 1), "If-Match", `"2"`), http.StatusUnprocessableEntity, "yellow_high must be a number from 50 to 280")
	wantProblem(t, ask(t, s, "device_desk", "PUT", path, bodyFor("set-trend"), "If-Match", `"2"`), http.StatusForbidden, "may not")
}

// TestTheExampleOfADryWeightIsTaken sends the file that the documentation shows.
func TestTheExampleOfADryWeightIsTaken(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	h.trend.Metric, h.trend.Form, h.trend.Versions = vital.BodyWeight, alerts.FormReference, nil
	body, err := os.ReadFile("../docs/examples/dry-weight.json")
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, s, "nurse", "PUT", trendsOfAna+"/body_weight/reference", string(body), "If-Match", "*")
	if a.status != http.StatusOK || object(t, item(t, a.json(t)["versions"], 0)["reference"])["value"] != 66.0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestATrendAlertSaysWhy(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	g := &alerts.Grounds{Form: alerts.FormAverage, Day: "2026-05-01", Means: []float64{142, 88}, Days: 7, DaysWith: 6, Readings: 24, Sessions: 12, Skipped: 1}
	h.episode.RuleKind, h.episode.RuleForm, h.episode.LastGrounds, h.log[0].Grounds = alerts.KindTrend, alerts.FormAverage, g, g
	h.episode.RuleVersion, h.episode.LastVersion = 1, 2
	const words = "7-day average 142/88 mmHg from 24 readings in 12 sessions on 6 days, first day left out"
	a := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm, "").json(t)
	if a["kind"] != "trend" || a["form"] != "average" || a["because"] != words || object(t, a["grounds"])["readings"] != 24.0 || object(t, a["grounds"])["sessions"] != 12.0 {
		t.Errorf("alert %v", a)
	}
	if a["rule_version"] != 1.0 || a["last_rule_version"] != 2.0 {
		t.Errorf("opened by version %v, last judged by %v", a["rule_version"], a["last_rule_version"])
	}
	entry := item(t, ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm+"/timeline", "").json(t)["entries"], 0)
	if entry["because"] != words || object(t, entry["grounds"])["days_with"] != 6.0 {
		t.Errorf("entry %v", entry)
	}
}
