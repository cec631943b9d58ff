package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hale/simulators"
)

// wayOfClocks sends what a device with a wrong clock measured, through the real door, until a person sees when that was.
func wayOfClocks(t *testing.T, told announcement, staff *simulators.Staff) {
	t.Helper()
	k := newKit(t, staff, "cuff-4", time.Now().Add(-24*time.Hour))
	own, ahead := "hale/v1/"+k.device, 37*time.Minute
	shows := func() string { return time.Now().Add(ahead).UTC().Format(time.RFC3339Nano) }
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		if err := mosquitto(t, told.MQTT, k, own+"/status", fmt.Appendf(nil, `{"clock":%q}`, shows())); err != nil {
			return err.Error()
		}
		return ""
	})
	// Another connection of the same device: what is measured now lies ahead of us by its clock.
	if err := mosquitto(t, told.MQTT, k, own+"/readings", fmt.Appendf(nil, `{"metric":"body_temperature","value":36.6,"unit":"Cel","time":%q}`, shows())); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() string {
		if in, err := staff.Intake(t.Context(), k.device); err != nil || in.Stored != 1 || len(in.Quarantined) != 0 {
			return fmt.Sprintf("%+v, %v", in, err)
		}
		return ""
	})
	shown := series(t, told, k.patient.ID, "body_temperature")
	for _, want := range []string{`"offset_seconds":-22`, `"method":"coincident"`, `"uncertainty_seconds":11`, `"time_corrected"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the series shows no %s:\n%s", want, shown)
		}
	}
	var token struct {
		Token string `json:"token"`
	}
	call(t, http.MethodPost, told.URL+"/v1/session", "", "", fmt.Sprintf(`{"login":%q,"password":%q}`, told.Login, told.Password), http.StatusOK, &token)
	var problems any
	call(t, http.MethodGet, told.URL+"/v1/device-problems", token.Token, "", "", http.StatusOK, &problems)
	if list := fmt.Sprint(problems); !strings.Contains(list, "cuff-4") || !strings.Contains(list, "clock") {
		t.Errorf("a clock that is 37 minutes ahead is no problem of the device:\n%s", list)
	}
}
