package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"hale/simulators"
)

// gatewayGetsASensor: what a gateway sent of a sensor that it was not given waits, and is taken when the desk has given it that and has it
// decoded again. The connection that stands gets the sensor, and loses it.
func gatewayGetsASensor(t *testing.T, told announcement, staff *simulators.Staff) {
	t.Helper()
	hub := kit{device: "hub-1"}
	var err error
	if hub.secret, err = staff.Enrol(t.Context(), hub.device, "gateway"); err != nil {
		t.Fatal(err)
	}
	spills().plant("a device's secret", hub.secret)
	line, desk := hub.dial(t, told.MQTT), nurseOf(t, told)
	at := time.Now().UTC().Add(-time.Hour)
	send := func(kilograms int) {
		t.Helper()
		at = at.Add(time.Minute)
		text := fmt.Sprintf(`{"metric":"body_weight","value":%d,"unit":"kg","time":%q}`, kilograms, at.Format(time.RFC3339))
		if err := line.Publish(t.Context(), "hale/v1/hub-1/sensors/scale-new/readings", []byte(text), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	type refused struct {
		ID, Reason, RefusedAgain string
		Accepted                 int
		SettledAt                *time.Time `json:"settled_at"`
	}
	var waits struct{ Quarantined []refused }
	became := func(parked, quarantined int) {
		t.Helper()
		eventually(t, 10*time.Second, func() string {
			var in struct {
				Parked int
			}
			desk.call(t, http.MethodGet, "/v1/devices/hub-1/intake", nil, &in)
			desk.call(t, http.MethodGet, "/v1/quarantine?device=hub-1", nil, &waits)
			if in.Parked != parked || len(waits.Quarantined) != quarantined {
				return fmt.Sprintf("%d wait for an owner, want %d; refused are %+v, want %d", in.Parked, parked, waits.Quarantined, quarantined)
			}
			return ""
		})
	}
	send(71)
	became(0, 1)
	held := waits.Quarantined[0]
	retry := func() (got refused) {
		t.Helper()
		desk.call(t, http.MethodPost, "/v1/quarantine/"+held.ID+"/retry", map[string]string{}, &got)
		return got
	}
	if got := retry(); held.Reason != "sensor" || got.Accepted != 0 || got.SettledAt != nil {
		t.Errorf("%+v, and decoded again before it was granted %+v", held, got)
	}
	desk.call(t, http.MethodPut, "/v1/devices/hub-1/sensors/scale-new", map[string]string{"serial": "S9"}, nil)
	if got := retry(); got.Accepted != 1 || got.SettledAt == nil {
		t.Errorf("decoded again after it was granted: %+v", got)
	}
	became(1, 0) // whose it is nobody has said
	send(72)
	became(2, 0)
	desk.call(t, http.MethodDelete, "/v1/devices/hub-1/sensors/scale-new", nil, nil)
	send(73)
	became(2, 1)
}
