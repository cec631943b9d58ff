package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hale/ingest"
	"hale/vital"
)

const status = "hale/v1/cuff-7/status"

func statuses(t *testing.T, m ingest.Message) []vital.Status {
	t.Helper()
	records, receipt := decode(m)
	if receipt.Err != nil || len(receipt.Refused) > 0 {
		t.Fatalf("%s: %+v", m.Payload, receipt)
	}
	var all []vital.Status
	for _, r := range records {
		if r.Status == nil {
			t.Fatalf("%s: %+v is no status", m.Payload, r)
		}
		all = append(all, *r.Status)
	}
	return all
}

func TestAStatusIsKeptWithWhatIsUnderstoodOfIt(t *testing.T) {
	t.Parallel()
	bare := vital.Status{Org: ourOrg, Device: ours, Sensor: own, ReceivedAt: moment(), Kind: vital.StatusTold, Connection: 9}
	with := func(f func(s *vital.Status)) vital.Status {
		s := bare
		f(&s)
		return s
	}
	clock := time.Date(2026, 11, 21, 7, 24, 0, 0, time.UTC)
	for payload, want := range map[string][]vital.Status{
		`{"online":true}`: {bare},
		`"hello"`:         {bare},
		`[1,2]`:           {bare},
		`{"battery":80,"signal":-71,"firmware":"1.4.2","clock":"2026-11-21T08:24:00+01:00"}`: {with(func(s *vital.Status) {
			s.Battery, s.HasBattery, s.Signal, s.Firmware, s.Clock = 80, true, -71, "1.4.2", clock
			s.Look = &vital.ClockLook{At: moment(), Clock: vital.Clock{Offset: moment().Sub(clock), Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
		})},
		`{"battery":0}`:    {with(func(s *vital.Status) { s.HasBattery = true })},
		`{"battery":101}`:  {bare},
		`{"battery":0.8}`:  {bare},
		`{"battery":"80"}`: {bare},
		`{"signal":12,"firmware":7,"clock":"noon","sensors":[1],"command":"x"}`: {bare},
		`{"battery":"full","signal":-40}`:                                       {with(func(s *vital.Status) { s.Signal = -40 })},
		`{"sensors":{"scale-1":{"battery":20},"stranger":{"battery":3}}}`: {bare, with(func(s *vital.Status) {
			s.Sensor, s.Battery, s.HasBattery = granted, 20, true
		})},
		`{"command":{"id":"c1","outcome":"failed","detail":"no cuff"}}`: {with(func(s *vital.Status) {
			s.Answer = &vital.Answer{Command: "c1", Detail: "no cuff"}
		})},
		`{"command":{"id":"c1","outcome":"maybe"}}`: {bare},
	} {
		m := message(status, payload)
		m.Connection = 9
		if diff := cmp.Diff(want, statuses(t, m), cmpopts.IgnoreFields(vital.Status{}, "Raw", "Look")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", payload, diff)
		}
	}
	of := message("hale/v1/cuff-7/sensors/scale-1/status", `{"battery":20,"command":{"id":"c1","outcome":"done"}}`)
	of.Connection = 9
	if diff := cmp.Diff([]vital.Status{with(func(s *vital.Status) { s.Sensor, s.Battery, s.HasBattery = granted, 20, true })}, statuses(t, of)); diff != "" {
		t.Errorf("of a sensor (-want +got):\n%s", diff)
	}
	will := message(status, `{"online":false}`)
	will.Presence = vital.StatusWill
	if got := statuses(t, will)[0]; got.Kind != vital.StatusWill || string(got.Raw) != `{"online":false}` {
		t.Errorf("a will is %+v", got)
	}
	long := `{"note":"` + strings.Repeat("x", 9000) + `"}`
	if got := statuses(t, message(status, long))[0]; len(got.Raw) != 4<<10 {
		t.Errorf("%d bytes of a status are kept", len(got.Raw))
	}
}

func TestADeviceSaysWhatBecameOfACommand(t *testing.T) {
	t.Parallel()
	got := statuses(t, message("hale/v1/cuff-7/commands/c1", `{"outcome":"done","detail":"m\u0000easured"}`))
	want := []vital.Status{{
		Org: ourOrg, Device: ours, Sensor: own, ReceivedAt: moment(), Kind: vital.StatusTold,
		Answer: &vital.Answer{Command: "c1", Done: true, Detail: "measured"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for topic, payload := range map[string]string{
		"hale/v1/cuff-7/commands/c1":                         `{"outcome":"perhaps"}`,
		"hale/v1/cuff-7/commands/c2":                         `"done"`,
		"hale/v1/cuff-7/commands/c3":                         `done`,
		"hale/v1/cuff-7/commands/":                           `{"outcome":"done"}`,
		"hale/v1/cuff-7/commands/c/d":                        `{"outcome":"done"}`,
		"hale/v1/cuff-7/commands/" + strings.Repeat("c", 65): `{"outcome":"done"}`,
		"hale/v1/other/commands/c1":                          `{"outcome":"done"}`,
		"hale/v1/cuff-7/sensors/scale-1/commands/c1":         `{"outcome":"done"}`,
	} {
		if _, receipt := decode(message(topic, payload)); len(receipt.Refused) != 1 {
			t.Errorf("%s %s: %+v", topic, payload, receipt)
		}
	}
}
