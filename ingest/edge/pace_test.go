package edge

import (
	"testing"
	"time"
)

func TestADeviceThatSendsTooFastIsReadSlowerAndNotCut(t *testing.T) {
	t.Parallel()
	cases := map[string]Limits{
		"too many messages": {DeviceMessagesPerSecond: 1, DeviceMessagesAtOnce: 3},
		"too many bytes":    {DeviceBytesPerSecond: 100, DeviceBytesAtOnce: 300},
	}
	for name, limits := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, limits, &recorder{always: accepted})
			h.stopped()
			one, two := h.connect(t, "d1"), h.connect(t, "d2")
			for id := range 5 {
				one.send(message("hale/v1/d1/readings", 1, uint16(id+1), string(make([]byte, 75))))
			}
			for id := range 3 {
				one.expect(ack("PUBACK", id+1))
			}
			eventually(t, "the device is held back", func() bool { return counted(t, h.metrics.slowed) == 1 })
			two.send(message("hale/v1/d2/readings", 1, 1, "another device is read as ever"))
			two.expect(ack("PUBACK", 1))
			h.core.wait(t, 4)

			h.clock.Add(int64(time.Second))
			one.expect(ack("PUBACK", 4))
			eventually(t, "the next one is held back", func() bool { return counted(t, h.metrics.heldBack) == 2 })
			h.clock.Add(int64(time.Second))
			one.expect(ack("PUBACK", 5))
			one.ping()
			if n := counted(t, h.metrics.slowed); n != 0 {
				t.Errorf("%v connections are held back", n)
			}
		})
	}
}

func TestConnectingAgainGainsADeviceNothing(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{DeviceMessagesPerSecond: 1, DeviceMessagesAtOnce: 2}, &recorder{always: accepted})
	h.stopped()
	one := h.connect(t, "d1")
	one.send(message("hale/v1/d1/readings", 1, 1, "a"), message("hale/v1/d1/readings", 1, 2, "b"))
	one.expect(ack("PUBACK", 1), ack("PUBACK", 2))
	again := h.connect(t, "d1")
	again.send(message("hale/v1/d1/readings", 1, 1, "c"))
	eventually(t, "it is held back", func() bool { return counted(t, h.metrics.slowed) == 1 })
	h.clock.Add(int64(time.Second))
	again.expect(ack("PUBACK", 1))
}

func TestWhoIsHeldBackIsLetGoAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{DeviceMessagesPerSecond: 1, DeviceMessagesAtOnce: 1}, &recorder{always: accepted})
	h.stopped()
	one := h.connect(t, "d1")
	one.send(message("hale/v1/d1/readings", 1, 1, "a"), message("hale/v1/d1/readings", 1, 2, "b"))
	one.expect(ack("PUBACK", 1))
	eventually(t, "it is held back", func() bool { return counted(t, h.metrics.slowed) == 1 })
	h.registry.Store(kit(2, "d2"))
	one.closed()
	h.core.wait(t, 1)
}

func TestAMessageLargerThanAllThatMayComeAtOnceComesAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := newPace(Limits{DeviceMessagesPerSecond: 10, DeviceMessagesAtOnce: 10, DeviceBytesPerSecond: 1000, DeviceBytesAtOnce: 1000})
	if wait := p.take(now, 1<<20); wait != 0 {
		t.Fatalf("it waits %v", wait)
	}
	if wait := p.take(now, 1<<20); wait != time.Second {
		t.Errorf("the next one waits %v, want a second", wait)
	}
	if p.rested(now.Add(500 * time.Millisecond)) {
		t.Error("it has rested after half of it")
	}
	if !p.rested(now.Add(time.Second)) {
		t.Error("it has not rested after all of it")
	}
}

func TestDevicesThatHaveRestedAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := NewPaces(Limits{}, func() time.Time { return now })
	connected := p.hold("connected")
	p.take("busy", 100)
	name := func(i int) string { return time.Duration(i).String() }
	for i := range pacesKept {
		p.release(p.hold(name(i)))
	}
	if len(p.of) > 4 || p.of["busy"] == nil || p.of["connected"] != connected {
		t.Errorf("%d are remembered, the busy one among them: %v, the connected one: %v", len(p.of), p.of["busy"] != nil, p.of["connected"] == connected)
	}
	p.release(connected)
	now = now.Add(time.Hour)
	for i := range 2 * pacesKept {
		p.take(name(-1-i), 1)
	}
	if p.of["busy"] != nil || p.of["connected"] != nil || p.of[name(-1)] == nil {
		t.Errorf("an hour later the busy one is remembered: %v, the one that left: %v, who has just sent: %v", p.of["busy"] != nil, p.of["connected"] != nil, p.of[name(-1)] != nil)
	}
}
