package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hale/simulators"
)

// TestTheSheetOfTheAPIHoldsWhatThePageHolds sets limits of somebody's own, and reads the sheet as a program does.
func TestTheSheetOfTheAPIHoldsWhatThePageHolds(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-48*time.Hour))
	err := staff.SetLimits(t.Context(), k.patient.ID, "blood_pressure", 1, simulators.Limits{
		EffectiveFrom: time.Now(), Reason: "kidneys", Enabled: true, Components: []simulators.Bounds{{"red_high": 165}, {}}, K: 1, N: 1, ClearAfter: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	line := k.dial(t, told.MQTT)
	if err := line.Publish(t.Context(), k.topic(), pressure(128, 81, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	boss := officer{url: told.URL}
	var in struct{ Token string }
	boss.call(t, http.MethodPost, "/v1/session", map[string]string{"login": told.Login, "password": told.Password}, &in)
	boss.token = in.Token
	var sheet struct {
		Latest []map[string]any
		Limits []struct {
			Metric, Component, Unit, Reason string
			High                            float64  `json:"red_at_or_above"`
			Low                             *float64 `json:"red_below"`
		}
	}
	eventually(t, 20*time.Second, func() string {
		boss.call(t, http.MethodGet, "/v1/patients/"+k.patient.ID+"/sheet", nil, &sheet)
		if len(sheet.Latest) == 0 {
			return "the reading has not arrived"
		}
		return ""
	})
	if _, has := sheet.Latest[0]["received_at"]; has || !strings.HasPrefix(sheet.Latest[0]["measured_at"].(string), "20") { //nolint:errcheck,forcetypeassert // a time is a string
		t.Errorf("the newest is %v", sheet.Latest[0])
	}
	if l := sheet.Limits; len(l) != 1 || l[0].Metric != "blood_pressure" || l[0].Component != "systolic" || l[0].High != 165 || l[0].Low != nil || l[0].Unit != "mm[Hg]" || l[0].Reason != "kidneys" {
		t.Errorf("the limits are %+v", l)
	}
}
