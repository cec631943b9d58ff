package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

const beat = `{"metric":"heart_rate","value":61,"unit":"/min","seq":%d}`

func submit(h *harness, told *receipts, n int, payload string) {
	h.core.Submit(context.Background(), message(readings, payload), told.of(n))
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		runtime.Gosched()
	}
}

func TestAMessageIsDurableWhenItsLastEnvelopeIs(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s})
	submit(h, told, 1, `[{"metric":"heart_rate","value":61,"unit":"/min"},
		{"metric":"heart_rate","value":62,"unit":"/min","time":"2026-11-21T07:00:00Z"},
		{"metric":"heart_rate","value":63,"unit":"/min","time":"2026-11-20T18:00:00Z"},
		{"metric":"glucose","value":"six"},
		{"metric":"heart_rate","value":64,"unit":"/min"}]`)
	places := map[string]int{}
	var last envelope
	for len(places) < 5 {
		if last.outcome != nil {
			if told.count() != 0 {
				t.Fatal("told before all was durable")
			}
			last.outcome <- nil
		}
		last = s.next(t)
		for _, r := range last.records {
			switch {
			case r.Refused != nil:
				places[fmt.Sprintf("refused %s %v", last.lane, last.partition == r.Refused.Partition())]++
			default:
				places[fmt.Sprintf("%s %s %v", r.Reading.Sent[0], last.lane, last.partition == r.Reading.Partition())]++
			}
		}
	}
	want := map[string]int{"61 live true": 1, "62 late true": 1, "63 late true": 1, "refused late true": 1, "64 live true": 1}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Fatal(diff)
	}
	if told.count() != 0 {
		t.Fatal("told before all was durable")
	}
	last.outcome <- nil
	told.wait(t, 1)
	if r := told.one(t, 1); r.Err != nil || r.Accepted != 4 || len(r.Refused) != 1 || r.Refused[0].Index != 3 {
		t.Errorf("told %+v", r)
	}
	until(t, "nothing is charged", func() bool { return h.core.Held() == 0 })
}

func TestWhatWaitsTravelsTogetherAndInOrder(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s})
	submit(h, told, 0, fmt.Sprintf(beat, 0))
	first := s.next(t)
	if len(first.records) != 1 {
		t.Fatalf("the first envelope has %d records", len(first.records))
	}
	for n := 1; n <= 50; n++ {
		submit(h, told, n, fmt.Sprintf(beat, n))
	}
	first.outcome <- nil
	second := s.next(t)
	if len(second.records) != 50 {
		t.Fatalf("the second envelope has %d records", len(second.records))
	}
	for i, r := range second.records {
		if r.Reading.Tie != int64(i+1) {
			t.Fatalf("record %d has sequence %d", i, r.Reading.Tie)
		}
	}
	if told.count() > 1 {
		t.Error("told before it was durable")
	}
	second.outcome <- nil
	told.wait(t, 51)
	for i, n := range told.inOrder() {
		if i != n {
			t.Fatalf("receipt %d is of message %d", i, n)
		}
	}
}

func TestAnEnvelopeIsBounded(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s})
	submit(h, told, 0, fmt.Sprintf(beat, 0))
	first := s.next(t)
	// A message that no one envelope holds, and many that fill several.
	long := `{"metric":"` + strings.Repeat("x", 80<<10) + `"}`
	submit(h, told, 1, "["+strings.Repeat(long+",", 9)+long+"]")
	full := "[" + strings.Repeat(fmt.Sprintf(beat, 1)+",", 999) + fmt.Sprintf(beat, 1) + "]"
	for n := 2; n < 12; n++ {
		submit(h, told, n, full)
	}
	memory := strings.ReplaceAll(full, `"seq"`, `"time":"2026-11-20T18:00:00Z","seq"`)
	for n := 12; n < 15; n++ {
		submit(h, told, n, memory)
	}
	first.outcome <- nil
	kept, refused := 0, 0
	for kept+refused < 13_010 {
		e := s.next(t)
		bytes := 0
		for _, r := range e.records {
			bytes += ingest.CostOf(r)
			if r.Refused != nil {
				refused++
				if len(r.Refused.Raw) != ingest.RawKept || r.Refused.Length != int64(len(long)) {
					t.Fatalf("kept %d bytes of %d", len(r.Refused.Raw), r.Refused.Length)
				}
			} else {
				kept++
			}
		}
		if bytes > ingest.MaxEnvelope || e.lane == vital.Late && len(e.records) > 1 && bytes > ingest.LateEnvelope {
			t.Errorf("an envelope of the %s lane has %d bytes", e.lane, bytes)
		}
		e.outcome <- nil
	}
	told.wait(t, 15)
	if refused != 10 || told.one(t, 1).Err != nil {
		t.Errorf("%d refused, told %+v", refused, told.one(t, 1))
	}
}

func TestAFailedEnvelopeIsToldOnceAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s})
	submit(h, told, 1, `[{"metric":"heart_rate","value":61,"unit":"/min"},{"metric":"heart_rate","value":62,"unit":"/min","time":"2026-11-21T07:00:00Z"}]`)
	one, other := s.next(t), s.next(t)
	submit(h, told, 2, fmt.Sprintf(beat, 2))
	gaveUp := errors.New("the disk is full")
	one.outcome <- gaveUp
	told.wait(t, 1)
	if r := told.one(t, 1); !fault.Is(r.Err, fault.Unavailable) || !errors.Is(r.Err, gaveUp) || r.Accepted != 0 {
		t.Errorf("told %+v", r)
	}
	if h.core.Held() == 0 {
		t.Error("the bytes are free while a part is on its way")
	}
	other.outcome <- nil
	s.next(t).outcome <- nil
	told.wait(t, 2)
	if r := told.one(t, 2); r.Err != nil || r.Accepted != 1 {
		t.Errorf("told %+v", r)
	}
	told.one(t, 1)
	until(t, "nothing is charged", func() bool { return h.core.Held() == 0 })
}

func TestSubmitWaitsForRoom(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	payload := fmt.Sprintf(beat, 1)
	each := int64(len(payload)) + ingest.ReadingCost
	h := start(t, ingest.Config{Publisher: s, MaxBytes: 2 * each})
	submit(h, told, 1, payload)
	first := s.next(t)
	submit(h, told, 2, payload)
	if h.core.Held() != 2*each {
		t.Fatalf("%d bytes are charged, want %d", h.core.Held(), 2*each)
	}
	returned := make(chan int, 8)
	waiting := func(ctx context.Context, n int, payload string) {
		before := h.core.Waiting()
		go func() {
			h.core.Submit(ctx, message(readings, payload), told.of(n))
			returned <- n
		}()
		until(t, "it waits", func() bool { return h.core.Waiting() == before+1 })
	}
	impatient, giveUp := context.WithCancel(context.Background())
	waiting(impatient, 3, payload)
	waiting(context.Background(), 4, "["+payload+","+payload+"]") // larger than the whole budget
	waiting(context.Background(), 5, payload)

	giveUp()
	if n := <-returned; n != 3 {
		t.Fatalf("message %d returned", n)
	}
	if r := told.one(t, 3); !fault.Is(r.Err, fault.Unavailable) || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("told %+v", r)
	}
	first.outcome <- nil
	second := s.next(t)
	if told.wait(t, 2); h.core.Waiting() != 2 || len(returned) != 0 {
		t.Error("the small message overtook the large one")
	}
	second.outcome <- nil
	if n := <-returned; n != 4 {
		t.Fatalf("message %d returned", n)
	}
	if h.core.Waiting() != 1 {
		t.Error("the large message does not go alone")
	}
	s.next(t).outcome <- nil
	if n := <-returned; n != 5 {
		t.Fatalf("message %d returned", n)
	}
	s.next(t).outcome <- nil
	told.wait(t, 5)
	until(t, "nothing is charged", func() bool { return h.core.Held() == 0 })
}

func TestWhoWaitsForRoomKeepsTheirPlace(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	payload := fmt.Sprintf(beat, 1)
	h := start(t, ingest.Config{Publisher: s, MaxBytes: 2 * (int64(len(payload)) + ingest.ReadingCost)})
	submit(h, told, 1, payload)
	first := s.next(t)
	impatient, giveUp := context.WithCancel(context.Background())
	go h.core.Submit(impatient, message(readings, "["+payload+","+payload+"]"), told.of(2))
	until(t, "the large message waits", func() bool { return h.core.Waiting() == 1 })
	go submit(h, told, 3, payload) // there would be room for it
	until(t, "the small message waits behind it", func() bool { return h.core.Waiting() == 2 })
	giveUp()
	until(t, "the small message has the room that the large one wanted", func() bool { return h.core.Waiting() == 0 })
	first.outcome <- nil
	s.next(t).outcome <- nil
	told.wait(t, 3)
	if r := told.one(t, 2); !fault.Is(r.Err, fault.Unavailable) {
		t.Errorf("the large message was told %+v", r)
	}
	if r := told.one(t, 3); r.Err != nil {
		t.Errorf("the small message was told %+v", r)
	}
}

func TestAtTheEndWhatWasGatheredIsPublished(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	payload := fmt.Sprintf(beat, 1)
	h := start(t, ingest.Config{Publisher: s, MaxBytes: 2 * (int64(len(payload)) + ingest.ReadingCost)})
	submit(h, told, 1, payload)
	first := s.next(t)
	submit(h, told, 2, payload)
	go submit(h, told, 3, payload)
	until(t, "the third waits", func() bool { return h.core.Waiting() == 1 })

	h.stopping()
	told.wait(t, 1)
	if r := told.one(t, 3); !fault.Is(r.Err, fault.Unavailable) {
		t.Errorf("what waited for room was told %+v", r)
	}
	submit(h, told, 4, payload)
	if r := told.one(t, 4); !fault.Is(r.Err, fault.Unavailable) {
		t.Errorf("what came later was told %+v", r)
	}
	first.outcome <- nil
	s.next(t).outcome <- nil
	h.stop()
	for n := 1; n <= 2; n++ {
		if r := told.one(t, n); r.Err != nil || r.Accepted != 1 {
			t.Errorf("message %d was told %+v", n, r)
		}
	}
	if h.core.Held() != 0 {
		t.Errorf("%d bytes are charged at the end", h.core.Held())
	}
}

func TestADrainEnds(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s, DrainWithin: time.Millisecond})
	submit(h, told, 1, fmt.Sprintf(beat, 1))
	s.next(t) // and nothing ever becomes of it
	submit(h, told, 2, fmt.Sprintf(beat, 2))
	h.stop()
	for n := 1; n <= 2; n++ {
		if r := told.one(t, n); !fault.Is(r.Err, fault.Unavailable) {
			t.Errorf("message %d was told %+v", n, r)
		}
	}
	if h.core.Held() != 0 {
		t.Errorf("%d bytes are charged at the end", h.core.Held())
	}
}

func TestTheDeviceIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	device := func(change func(*devices.Device)) *devices.Snapshot {
		s := registry()
		change(s.Devices[ownUID])
		return s
	}
	cases := map[string]struct {
		snapshot *devices.Snapshot
		kind     fault.Kind
	}{
		"a revoked device may not":              {device(func(d *devices.Device) { d.Revoked = true }), fault.Forbidden},
		"a device that is gone may not":         {&devices.Snapshot{}, fault.Forbidden},
		"another device of the name is another": {device(func(d *devices.Device) { d.ID++ }), fault.Forbidden},
		"without a registry nobody knows":       {nil, fault.Unavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := newReceipts()
			h := start(t, ingest.Config{Publisher: taker{}, Snapshot: func() *devices.Snapshot { return c.snapshot }})
			submit(h, told, 1, fmt.Sprintf(beat, 1))
			if r := told.one(t, 1); !fault.Is(r.Err, c.kind) {
				t.Errorf("told %+v", r)
			}
		})
	}
	t.Run("a sensor granted since the device connected is its own", func(t *testing.T) {
		t.Parallel()
		s, told := newStream(), newReceipts()
		now := device(func(d *devices.Device) { d.Sensors["scale-2"] = granted + 1 })
		h := start(t, ingest.Config{Publisher: s, Snapshot: func() *devices.Snapshot { return now }})
		h.core.Submit(context.Background(), message("hale/v1/cuff-7/sensors/scale-2/readings", fmt.Sprintf(beat, 1)), told.of(1))
		e := s.next(t)
		e.outcome <- nil
		if e.records[0].Reading == nil || e.records[0].Reading.Sensor != granted+1 {
			t.Errorf("got %+v", e.records[0])
		}
	})
	t.Run("a sensor taken from it since the device connected is refused", func(t *testing.T) {
		t.Parallel()
		s, told := newStream(), newReceipts()
		now := device(func(d *devices.Device) { d.Sensors = map[string]vital.SensorID{} })
		h := start(t, ingest.Config{Publisher: s, Snapshot: func() *devices.Snapshot { return now }})
		h.core.Submit(context.Background(), message("hale/v1/cuff-7/sensors/scale-1/readings", fmt.Sprintf(beat, 1)), told.of(1))
		e := s.next(t)
		e.outcome <- nil
		if len(e.records) != 1 || e.records[0].Refused == nil || e.records[0].Refused.Reason != vital.ReasonSensor {
			t.Errorf("got %+v", e.records)
		}
	})
	t.Run("nobody is no device", func(t *testing.T) {
		t.Parallel()
		told := newReceipts()
		h := start(t, ingest.Config{Publisher: taker{}})
		h.core.Submit(context.Background(), ingest.Message{Topic: readings}, told.of(1))
		if r := told.one(t, 1); !fault.Is(r.Err, fault.Forbidden) {
			t.Errorf("told %+v", r)
		}
	})
}

func TestAMessageWithoutRecordsIsDurableAtOnce(t *testing.T) {
	t.Parallel()
	told := newReceipts()
	core := ingest.New(ingest.Config{Snapshot: registry, Publisher: taker{}}) // it does not even run
	core.Submit(context.Background(), message(readings, ` [ ] `), told.of(1))
	core.Submit(context.Background(), message(readings, `[]`), told.of(2))
	for n := 1; n <= 2; n++ {
		if diff := cmp.Diff(ingest.Receipt{}, told.one(t, n)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAMessageWithoutATimeOfArrivalGetsOne(t *testing.T) {
	t.Parallel()
	s, told := newStream(), newReceipts()
	h := start(t, ingest.Config{Publisher: s})
	m := message(readings, fmt.Sprintf(beat, 1))
	m.ReceivedAt = time.Time{}
	h.core.Submit(context.Background(), m, told.of(1))
	e := s.next(t)
	e.outcome <- nil
	if r := e.records[0].Reading; r == nil || !r.ReceivedAt.Equal(moment()) {
		t.Errorf("got %+v", e.records[0])
	}
}

func TestRunSaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	h := start(t, ingest.Config{Publisher: taker{}})
	told := newReceipts()
	submit(h, told, 1, fmt.Sprintf(beat, 1))
	told.wait(t, 1) // it runs
	if err := h.core.Run(context.Background()); !fault.Is(err, fault.Internal) {
		t.Errorf("a second Run: %v", err)
	}
	registry := prometheus.NewRegistry()
	one := start(t, ingest.Config{Publisher: taker{}, Registerer: registry})
	submit(one, told, 2, `[`+fmt.Sprintf(beat, 1)+`,{}]`)
	told.wait(t, 2)
	if err := ingest.New(ingest.Config{Publisher: taker{}, Registerer: registry}).Run(context.Background()); !fault.Is(err, fault.Internal) {
		t.Errorf("the metrics of two cores in one registry: %v", err)
	}
	one.stop()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if m.GetHistogram() == nil {
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	want := map[string]float64{
		"hale_ingest_messages_total durable": 1, "hale_ingest_messages_total failed": 0,
		"hale_ingest_envelopes_total durable": 2, "hale_ingest_envelopes_total failed": 0,
		"hale_ingest_readings_total": 1, "hale_ingest_refused_total metric": 1, "hale_ingest_held_bytes": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
