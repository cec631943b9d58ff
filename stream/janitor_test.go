package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/fault"
	"hale/stream"
	"hale/vital"
)

func TestJanitorPurgesBehindTheCursorAndKeepsAWindow(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	publish(t, h.stream.Publisher(stream.PublisherConfig{}), 0, vital.Live, count(1, 100)...)
	var cursor uint64
	j := &stream.Janitor{Stream: h.stream, Cursors: func(context.Context) (uint64, error) { return cursor, nil }}
	start := time.Now()
	timetable := []struct {
		after  time.Duration
		cursor uint64
		first  uint64 // of the stream, afterwards
	}{
		{0, 0, 1},
		{10 * time.Minute, 30, 1},
		{20 * time.Minute, 60, 1},
		{60 * time.Minute, 90, 1},
		{69 * time.Minute, 90, 1},
		{70 * time.Minute, 90, 31}, // 30 was committed an hour ago
		{80 * time.Minute, 90, 61},
		{119 * time.Minute, 90, 61},
		{5 * time.Hour, 90, 91},
		{6 * time.Hour, 90, 91}, // what is not committed stays, however old
		{9 * time.Hour, 90, 91},
	}
	for _, row := range timetable {
		cursor = row.cursor
		if err := j.RunOnce(soon(t), start.Add(row.after)); err != nil {
			t.Fatal(err)
		}
		if first, _, _ := stream.Bounds(t, h.stream); first != row.first {
			t.Errorf("after %s with cursor %d the stream begins at %d, want %d", row.after, row.cursor, first, row.first)
		}
	}
}

func TestJanitorGivesTheWindowUpWhenTheStreamIsHalfFull(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<10)
	p := h.stream.Publisher(stream.PublisherConfig{})
	kilo := []vital.Record{{Refused: &vital.Refused{Raw: make([]byte, 1000)}}}
	var cursor uint64
	j := &stream.Janitor{Stream: h.stream, Cursors: func(context.Context) (uint64, error) { return cursor, nil }}
	now := time.Now()
	for range 5 {
		for range 10 {
			if err := p.Publish(soon(t), 0, vital.Live, kilo); err != nil {
				t.Fatal(err)
			}
		}
		cursor += 10
		now = now.Add(time.Minute)
		if err := j.RunOnce(soon(t), now); err != nil {
			t.Fatal(err)
		}
		if _, _, bytes := stream.Bounds(t, h.stream); bytes > 32<<10 {
			t.Errorf("%d committed bytes are kept of 64 KiB", bytes)
		}
	}
	first, last, _ := stream.Bounds(t, h.stream)
	if first == 1 || first > 41 || last != 50 {
		t.Errorf("the stream holds %d to %d: the window was not given up step by step", first, last)
	}
	for range 35 { // uncommitted
		if err := p.Publish(soon(t), 0, vital.Live, kilo); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.RunOnce(soon(t), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if first, last, _ := stream.Bounds(t, h.stream); first != 51 || last != 85 {
		t.Errorf("the stream holds %d to %d, want all that is uncommitted and nothing else", first, last)
	}
}

func TestJanitorTellsFillAndAge(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	c, err := startServer(t, stream.ServerConfig{}).Connect(soon(t), stream.Config{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := ensure(t, c, 10<<10)
	log := &heard{}
	var cursor uint64
	j := &stream.Janitor{Stream: s, Cursors: func(context.Context) (uint64, error) { return cursor, nil }, Log: log.logger()}
	p := s.Publisher(stream.PublisherConfig{})
	round := func(now time.Time) {
		t.Helper()
		if err := j.RunOnce(soon(t), now); err != nil {
			t.Fatal(err)
		}
	}
	kilo := []vital.Record{{Refused: &vital.Refused{Raw: make([]byte, 1000)}}}
	for n := 1; n <= 9; n++ {
		if err := p.Publish(soon(t), 0, vital.Live, kilo); err != nil {
			t.Fatal(err)
		}
		round(time.Now())
	}
	if n := log.count("stream is more than half full"); n != 1 {
		t.Errorf("half full was said %d times, want once", n)
	}
	if n := log.count("stream is nearly full: publishing stops when it is"); n != 1 {
		t.Errorf("nearly full was said %d times, want once", n)
	}
	if fill := counted(t, registry, "hale_stream_fill_ratio"); fill < 0.8 || fill > 1 {
		t.Errorf("fill is %v", fill)
	}
	oldest := stream.Age(t, s, 1)
	round(oldest.Add(90 * time.Second))
	if age := counted(t, registry, "hale_stream_oldest_uncommitted_seconds"); age != 90 {
		t.Errorf("the oldest is %v s old, want 90", age)
	}
	if n := log.count("oldest uncommitted envelope is old: is a partition standing still?"); n != 1 {
		t.Errorf("the age was said %d times, want once", n)
	}
	cursor = 9
	round(oldest.Add(100 * time.Second))
	if age := counted(t, registry, "hale_stream_oldest_uncommitted_seconds"); age != 0 {
		t.Errorf("with all committed the oldest is %v s old", age)
	}
	if fill := counted(t, registry, "hale_stream_fill_ratio"); fill > 0.5 {
		t.Errorf("with all committed the fill is %v", fill)
	}
	if n := log.count("stream has room again"); n != 1 {
		t.Errorf("room was said %d times, want once", n)
	}
}

func TestWhatWaitedWhileEverythingWasDownIsGivenTimeFirst(t *testing.T) {
	t.Parallel()
	h := open(t, 1<<20)
	publish(t, h.stream.Publisher(stream.PublisherConfig{}), 0, vital.Live, count(1, 1)...)
	log := &heard{}
	j := &stream.Janitor{Stream: h.stream, Cursors: func(context.Context) (uint64, error) { return 0, nil }, Log: log.logger()}
	start := stream.Age(t, h.stream, 1).Add(8 * time.Hour) // of a stop for the night
	for _, row := range []struct {
		after time.Duration
		said  int
	}{{0, 0}, {30 * time.Second, 0}, {time.Minute, 0}, {61 * time.Second, 1}, {2 * time.Minute, 1}} {
		if err := j.RunOnce(soon(t), start.Add(row.after)); err != nil {
			t.Fatal(err)
		}
		if n := log.count("oldest uncommitted envelope is old: is a partition standing still?"); n != row.said {
			t.Errorf("%s after the start it was said %d times, want %d", row.after, n, row.said)
		}
	}
}

func TestJanitorTouchesNothingOnDoubt(t *testing.T) {
	t.Parallel()
	h := open(t, 1<<10)
	publish(t, h.stream.Publisher(stream.PublisherConfig{}), 0, vital.Live, count(1, 6)...) // more than half full
	away := fault.New(fault.Unavailable, "the record is away")
	j := &stream.Janitor{Stream: h.stream, Cursors: func(context.Context) (uint64, error) { return 6, away }}
	if err := j.RunOnce(soon(t), time.Now()); !errors.Is(err, away) {
		t.Errorf("cursors that are not known: %v", err)
	}
	j = &stream.Janitor{Stream: h.stream, Cursors: func(context.Context) (uint64, error) { return 7, nil }}
	if err := j.RunOnce(soon(t), time.Now()); !fault.Is(err, fault.Gone) {
		t.Errorf("cursors ahead of the stream: %v, want gone", err)
	}
	if first, last, _ := stream.Bounds(t, h.stream); first != 1 || last != 6 {
		t.Errorf("the stream holds %d to %d, want 1 to 6", first, last)
	}
	stream.Delete(t, h.conn)
	ensure(t, h.conn, 1<<10)
	if err := j.RunOnce(soon(t), time.Now()); !fault.Is(err, fault.Gone) {
		t.Errorf("a stream that was made anew: %v, want gone", err)
	}
}

func TestJanitorRunsUntilItIsTold(t *testing.T) {
	t.Parallel()
	h := open(t, 1<<10)
	publish(t, h.stream.Publisher(stream.PublisherConfig{}), 0, vital.Live, count(1, 6)...)
	rounds := 0
	ctx, cancel := context.WithCancel(t.Context())
	j := &stream.Janitor{Stream: h.stream, Every: time.Millisecond, Cursors: func(context.Context) (uint64, error) {
		if rounds++; rounds == 1 {
			return 0, errors.New("the record is away for a moment")
		}
		return 6, nil
	}}
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	eventually(t, "a purge", func() bool { first, _, _ := stream.Bounds(t, h.stream); return first == 7 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}
