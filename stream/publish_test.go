package stream_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"hale/fault"
	"hale/stream"
	"hale/vital"
)

func TestFullStreamRefusesAndRecoversAfterAPurge(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<10)
	p := h.stream.Publisher(stream.PublisherConfig{FullTries: 2})
	big := []vital.Record{{Refused: &vital.Refused{Raw: make([]byte, 10<<10)}}}
	stored := 0
	var err error
	for err == nil && stored < 100 {
		if err = p.Publish(soon(t), 0, vital.Live, big); err == nil {
			stored++
		}
	}
	if !fault.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded) || stored != 6 {
		t.Fatalf("after %d envelopes of 10 KiB in 64 KiB: %v, want unavailable after 6", stored, err)
	}
	if first, last, _ := stream.Bounds(t, h.stream); first != 1 || last != 6 {
		t.Fatalf("the full stream holds %d to %d: it dropped something", first, last)
	}
	r := reader(t, h.stream, 0, vital.Live, 0)
	stream.PurgeTo(t, h.stream, 0) // nothing
	if err := p.Publish(soon(t), 0, vital.Live, big); !fault.Is(err, fault.Unavailable) {
		t.Errorf("still full: %v, want unavailable", err)
	}
	for range 6 {
		if _, err := r.Next(soon(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	stream.PurgeTo(t, h.stream, 3)
	if err := p.Publish(soon(t), 0, vital.Live, big); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestPublishingStopsAtTheLowWaterMark(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(10 << 30)
	s := startServer(t, stream.ServerConfig{MinFree: 1 << 30, Free: func() (uint64, error) { return free.Load(), nil }})
	p := ensure(t, connect(t, s), 1<<20).Publisher(stream.PublisherConfig{})
	publish(t, p, 0, vital.Live, 1)
	free.Store(1<<30 - 1)
	if err := p.Publish(soon(t), 0, vital.Live, []vital.Record{{Reading: sample(2)}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("below the mark: %v, want unavailable", err)
	}
	free.Store(1 << 30)
	publish(t, p, 0, vital.Live, 3)
}

func TestPublishRepeatsUntilTheServerIsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, stream.ServerConfig{Dir: dir, Listen: "127.0.0.1:0"})
	url := s.ClientURL()
	c, err := stream.Dial(soon(t), url, stream.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	st := ensure(t, c, 8<<20)
	p := st.Publisher(stream.PublisherConfig{})
	publish(t, p, 0, vital.Live, 1)
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "noticing that the server is away", func() bool { return !c.Up() })

	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Publish(brief, 0, vital.Live, []vital.Record{{Reading: sample(99)}}); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a server: %v, want unavailable because the time ran out", err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Publish(soon(t), 0, vital.Live, []vital.Record{{Reading: sample(2)}}) }()
	startServer(t, stream.ServerConfig{Dir: dir, Listen: strings.TrimPrefix(url, "nats://")})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if ns, _ := numbers(t, reader(t, st, 0, vital.Live, 0), 2); !cmp.Equal(ns, []int{1, 2}) {
		t.Errorf("the stream holds %v, want 1 and 2", ns)
	}
	if _, last, _ := stream.Bounds(t, st); last != 2 {
		t.Errorf("the stream holds %d messages, want 2: what was given up came after all", last)
	}
}

func TestSilentServerIsRestartedWhileThereIsSpace(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(10 << 30)
	s := startServer(t, stream.ServerConfig{MinFree: 1 << 20, Free: func() (uint64, error) { return free.Load(), nil }})
	c := connect(t, s)
	p := ensure(t, c, 8<<20).Publisher(stream.PublisherConfig{AckWithin: 10 * time.Millisecond, StuckAfter: time.Nanosecond})
	swallowed := stream.Mute(t, c)
	restarts := make(chan struct{}, 1000)
	stream.SetRestart(c, func() { restarts <- struct{}{} })

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Publish(ctx, 0, vital.Live, []vital.Record{{Reading: sample(1)}}) }()
	select {
	case <-restarts:
	case <-time.After(patience):
		t.Fatal("a server that never answers was not restarted")
	}
	if n := swallowed.Load(); n < 3 {
		t.Errorf("it was restarted after %d attempts, want at least 3", n)
	}
	cancel()
	if err := <-done; !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestRestartedServerKeepsItsConnectionsAndItsStream(t *testing.T) {
	t.Parallel()
	h := open(t, 8<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	publish(t, p, 0, vital.Live, 1)
	if err := h.server.Restart(soon(t)); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 0, vital.Live, 2)
	if ns, _ := numbers(t, reader(t, h.stream, 0, vital.Live, 0), 2); !cmp.Equal(ns, []int{1, 2}) {
		t.Errorf("the stream holds %v", ns)
	}
	id := stream.ServerID(h.server)
	if err := h.server.Restart(soon(t)); err != nil || stream.ServerID(h.server) != id {
		t.Errorf("a second restart at once was made (%v): a broken disk would lead to nothing else", err)
	}
	if err := h.server.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	stream.ForgetRestart(h.server)
	if err := h.server.Restart(soon(t)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("restarting a server that was shut down: %v, want unavailable", err)
	}
}

func TestLargePublicationsAreSplitInOrder(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := startServer(t, stream.ServerConfig{})
	c, err := s.Connect(soon(t), stream.Config{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	st := ensure(t, c, 64<<20)
	var records []vital.Record
	for n := range 9 {
		records = append(records, vital.Record{Reading: sample(n)}, vital.Record{Refused: &vital.Refused{Length: int64(n), Raw: make([]byte, 200<<10)}})
	}
	if err := st.Publisher(stream.PublisherConfig{}).Publish(soon(t), 0, vital.Live, records); err != nil {
		t.Fatal(err)
	}
	r := reader(t, st, 0, vital.Live, 0)
	var got []vital.Record
	envelopes := 0
	for len(got) < len(records) {
		es, err := r.Next(soon(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		envelopes += len(es)
		for _, e := range es {
			got = append(got, e.Records...)
		}
	}
	if diff := cmp.Diff(records, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("the records changed on their way:\n%.500s", diff)
	}
	if envelopes != 5 { // two of 200 KiB fit into 512 KiB
		t.Errorf("%d envelopes, want 5", envelopes)
	}
	if n := counted(t, registry, "hale_stream_published_records_total"); n != float64(len(records)) {
		t.Errorf("%v records were counted, want %d", n, len(records))
	}
	if n := counted(t, registry, "hale_stream_published_envelopes_total"); n != 5 {
		t.Errorf("%v envelopes were counted, want 5", n)
	}
}

func TestPublishRefusesWhatFitsNoEnvelope(t *testing.T) {
	t.Parallel()
	h := open(t, 8<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	cases := map[string]struct {
		partition int
		lane      vital.Lane
		record    vital.Record
	}{
		"a record with nothing in it":         {0, vital.Live, vital.Record{}},
		"a record that is two things":         {0, vital.Live, vital.Record{Reading: sample(1), Refused: &vital.Refused{}}},
		"a record larger than an envelope":    {0, vital.Live, vital.Record{Refused: &vital.Refused{Raw: make([]byte, stream.MaxEnvelope)}}},
		"a partition that is not there":       {vital.Partitions, vital.Live, vital.Record{Reading: sample(1)}},
		"a lane that is neither live or late": {0, "", vital.Record{Reading: sample(1)}},
	}
	for name, c := range cases {
		if err := p.Publish(soon(t), c.partition, c.lane, []vital.Record{c.record}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if err := p.Publish(soon(t), 0, vital.Live, nil); err != nil {
		t.Errorf("nothing to publish: %v", err)
	}
	if _, last, _ := stream.Bounds(t, h.stream); last != 0 {
		t.Errorf("%d messages are in the stream, want none", last)
	}
}

// counted sums a counter or gauge over its labels.
func counted(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		var sum float64
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	t.Fatalf("there is no figure %s", name)
	return 0
}
