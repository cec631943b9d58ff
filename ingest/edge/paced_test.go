package edge

import (
	"context"
	"testing"
	"time"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
)

// counting is a core that counts what it takes.
type counting struct {
	n int
}

func (t *counting) Submit(_ context.Context, _ ingest.Message, done func(ingest.Receipt)) {
	t.n++
	done(ingest.Receipt{Accepted: 1})
}

func TestAPhoneIsTakenNoFasterThanADeviceAtTheEdge(t *testing.T) {
	t.Parallel()
	now, core := time.Now(), &counting{}
	door := NewPaced(core, NewPaces(Limits{DeviceMessagesPerSecond: 1, DeviceMessagesAtOnce: 2}, func() time.Time { return now }))
	send := func(uid string) (err error) {
		door.Submit(t.Context(), ingest.Message{Device: &devices.Device{UID: uid}, Payload: []byte("{}")}, func(r ingest.Receipt) { err = r.Err })
		return err
	}
	for i := range 2 {
		if err := send("phone-1"); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := send("phone-1"); !fault.Is(err, fault.Unavailable) || core.n != 2 {
		t.Errorf("the third at once: %v, %d are taken", err, core.n)
	}
	if err := send("phone-2"); err != nil {
		t.Errorf("another's: %v", err)
	}
	now = now.Add(time.Second)
	if err := send("phone-1"); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

func TestADeviceHasOnePaceByAllDoors(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{DeviceMessagesPerSecond: 1, DeviceMessagesAtOnce: 3}, &recorder{always: accepted})
	h.stopped()
	door := NewPaced(&counting{}, h.paces)
	post := func() (err error) {
		door.Submit(t.Context(), ingest.Message{Device: &devices.Device{UID: "d1"}, Payload: []byte("{}")}, func(r ingest.Receipt) { err = r.Err })
		return err
	}
	one := h.connect(t, "d1")
	one.send(message("hale/v1/d1/readings", 1, 1, "a"), message("hale/v1/d1/readings", 1, 2, "b"))
	one.expect(ack("PUBACK", 1), ack("PUBACK", 2))
	if err := post(); err != nil {
		t.Fatalf("the third by HTTP: %v", err)
	}
	if err := post(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the fourth by HTTP: %v", err)
	}
	one.send(message("hale/v1/d1/readings", 1, 3, "c"))
	eventually(t, "by MQTT it is held back", func() bool { return counted(t, h.metrics.slowed) == 1 })
	h.clock.Add(int64(time.Second))
	one.expect(ack("PUBACK", 3))
	if err := post(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("right behind it by HTTP: %v", err)
	}
}
