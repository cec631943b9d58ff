package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

// canaryBeat is what an edge's canary publishes.
func canaryBeat(number int64) ingest.Message {
	return ingest.Message{
		Canary: "edge-1", Topic: ingest.CanaryTopic, ReceivedAt: moment(),
		Payload: fmt.Appendf(nil, `{"metric":"heart_rate","value":%d,"unit":"/min","time":"2026-11-21T07:24:59.5Z","seq":%d}`, vital.CanaryValue(number), number),
	}
}

func TestACanaryBeatTravelsToEveryPartitionAndIsAcknowledgedWhenAllAreDurable(t *testing.T) {
	t.Parallel()
	s := newStream()
	registry := prometheus.NewRegistry()
	h := start(t, ingest.Config{Publisher: s, Snapshot: func() *devices.Snapshot { return nil }, Registerer: registry}) // a canary needs no registry
	told := newReceipts()
	h.core.Submit(t.Context(), canaryBeat(17), told.of(0))
	seen := map[int]bool{}
	for i := range vital.Partitions {
		e := s.next(t)
		seen[e.partition] = true
		want := []vital.Record{{Canary: &vital.Canary{
			Edge: "edge-1", Partition: e.partition, Number: 17, SentAt: moment().Add(-750 * time.Millisecond),
			Value: vital.Quantity{Mantissa: vital.CanaryBeyond, Unit: vital.PerMinute},
		}}}
		if diff := cmp.Diff(want, e.records); diff != "" || e.lane != vital.Live {
			t.Errorf("lane %s of partition %d (-want +got):\n%s", e.lane, e.partition, diff)
		}
		if told.count() != 0 {
			t.Fatalf("acknowledged with %d of %d partitions durable", i, vital.Partitions)
		}
		e.outcome <- nil
	}
	if len(seen) != vital.Partitions {
		t.Errorf("partitions %v", seen)
	}
	told.wait(t, 1)
	if r := told.one(t, 0); r.Err != nil || r.Accepted != 1 {
		t.Errorf("receipt %+v", r)
	}
	h.stop()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "hale_ingest_messages_total", "hale_ingest_readings_total", "hale_ingest_refused_total", "hale_ingest_held_bytes":
				if n := m.GetCounter().GetValue() + m.GetGauge().GetValue(); n != 0 {
					t.Errorf("a canary was counted in %s: %v", f.GetName(), n)
				}
			}
		}
	}
}

func TestWithTheCanarysCredentialNothingButABeatIsTaken(t *testing.T) {
	t.Parallel()
	s := newStream()
	h := start(t, ingest.Config{Publisher: s})
	change := func(f func(m *ingest.Message)) ingest.Message {
		m := canaryBeat(2)
		f(&m)
		return m
	}
	cases := map[string]ingest.Message{
		"a reading of a device":        change(func(m *ingest.Message) { m.Topic, m.Device = readings, registry().Devices[ownUID] }),
		"a reading of a sensor":        change(func(m *ingest.Message) { m.Topic = gateway }),
		"a status":                     change(func(m *ingest.Message) { m.Topic = "hale/v1/" + ingest.CanaryUID + "/status" }),
		"another metric":               change(func(m *ingest.Message) { m.Payload = []byte(`{"metric":"spo2","value":97,"unit":"%","seq":2}`) }),
		"two readings":                 change(func(m *ingest.Message) { m.Payload = fmt.Appendf(nil, "[%s,%s]", m.Payload, m.Payload) }),
		"one without a number":         change(func(m *ingest.Message) { m.Payload = []byte(`{"metric":"heart_rate","value":72,"unit":"/min"}`) }),
		"something that is not JSON":   change(func(m *ingest.Message) { m.Payload = []byte(`beat`) }),
		"one from a clock that is off": change(func(m *ingest.Message) { m.ReceivedAt = moment().Add(-time.Hour) }),
		"one that is too large":        change(func(m *ingest.Message) { m.Oversize = &ingest.Oversize{Length: 1 << 20} }),
	}
	told := newReceipts()
	n := 0
	for name, m := range cases {
		h.core.Submit(t.Context(), m, told.of(n))
		if r := told.one(t, n); !fault.Is(r.Err, fault.Forbidden) {
			t.Errorf("%s: %+v", name, r)
		}
		n++
	}
	// And the other way round: a device is not the canary because it writes like one.
	h.core.Submit(t.Context(), change(func(m *ingest.Message) { m.Canary, m.Device = "", registry().Devices[ownUID] }), told.of(n))
	e := s.next(t)
	if len(e.records) != 1 || e.records[0].Refused == nil || e.records[0].Refused.Reason != vital.ReasonTopic {
		t.Errorf("a device that writes to the canary's topic: %+v", e.records)
	}
	e.outcome <- nil
	told.wait(t, n+1)
}
