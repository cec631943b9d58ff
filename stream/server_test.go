package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"hale/fault"
	"hale/stream"
	"hale/vital"
)

// house is a server in a directory of its own with a connection and a stream.
type house struct {
	server *stream.Server
	conn   *stream.Conn
	stream *stream.Stream
}

// patience is how long a test waits for what must happen soon.
const patience = 15 * time.Second

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func plenty() (uint64, error) { return 100 << 30, nil }

func startServer(t *testing.T, cfg stream.ServerConfig) *stream.Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Free == nil {
		cfg.Free = plenty
	}
	cfg.SyncAlways = true
	s, err := stream.StartServer(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, s *stream.Server) *stream.Conn {
	t.Helper()
	c, err := s.Connect(soon(t), stream.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ensure(t *testing.T, c *stream.Conn, maxBytes int64) *stream.Stream {
	t.Helper()
	s, err := c.Ensure(soon(t), stream.StreamConfig{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, maxBytes int64) house {
	t.Helper()
	s := startServer(t, stream.ServerConfig{MaxBytes: maxBytes})
	c := connect(t, s)
	return house{s, c, ensure(t, c, maxBytes)}
}

// publish puts one envelope with a reading for each n into the lane.
func publish(t *testing.T, p *stream.Publisher, partition int, lane vital.Lane, ns ...int) {
	t.Helper()
	for _, n := range ns {
		if err := p.Publish(soon(t), partition, lane, []vital.Record{{Reading: sample(n)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func reader(t *testing.T, s *stream.Stream, partition int, lane vital.Lane, after uint64) *stream.Reader {
	t.Helper()
	r, err := s.OpenReader(soon(t), partition, lane, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// numbers reads until it has seen want envelopes and returns the numbers of their samples and the last sequence.
func numbers(t *testing.T, r *stream.Reader, want int) (ns []int, last uint64) {
	t.Helper()
	ctx := soon(t)
	for len(ns) < want {
		envelopes, err := r.Next(ctx, 100)
		if err != nil {
			t.Fatalf("after %d of %d envelopes: %v", len(ns), want, err)
		}
		for _, e := range envelopes {
			if e.Seq <= last {
				t.Fatalf("sequence %d came after %d", e.Seq, last)
			}
			last = e.Seq
			for _, r := range e.Records {
				ns = append(ns, int(r.Reading.Tie))
			}
		}
	}
	return ns, last
}

func count(from, to int) []int {
	ns := make([]int, 0, to-from+1)
	for n := from; n <= to; n++ {
		ns = append(ns, n)
	}
	return ns
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not happen within %s", what, patience)
		}
	}
}

func TestServerSyncsEveryWriteAndListensOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	s := startServer(t, stream.ServerConfig{})
	if !stream.SyncsAlways(s) {
		t.Error("the embedded server does not sync every write")
	}
	if url := s.ClientURL(); url != "" {
		t.Errorf("a server for this process only listens on %s", url)
	}
}

func TestServerRefusesAnAddressThatOthersReach(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":4222", "192.0.2.1:1", "127.0.0.1", "127.0.0.1:many"} {
		if _, err := stream.StartServer(soon(t), stream.ServerConfig{Dir: t.TempDir(), Listen: listen}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v, want invalid", listen, err)
		}
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, err = stream.StartServer(soon(t), stream.ServerConfig{Dir: t.TempDir(), Listen: taken.Addr().String(), Free: plenty})
	if !fault.Is(err, fault.Unavailable) || err == nil {
		t.Fatalf("got %v, want unavailable", err)
	}
}

func TestServerTakesNoMoreThanTheDiskHas(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		wanted, most int64
		free         uint64
	}{
		"a wish within the disk is granted":   {8 << 30, 8 << 30, 100 << 30},
		"a wish beyond the disk is cut":       {8 << 30, 1<<30 - 256<<20 + 1<<20, 1 << 30},
		"no wish takes half of a small disk":  {0, 1<<29 + 1<<20, 1 << 30},
		"no wish takes 10 GiB of a large one": {0, 10 << 30, 100 << 30},
		"a full disk still starts":            {8 << 30, 1 << 20, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, stream.ServerConfig{MaxBytes: c.wanted, Free: func() (uint64, error) { return c.free, nil }})
			if got := s.MaxBytes(); got > c.most || got < c.most-1<<20 {
				t.Errorf("takes %d bytes, want about %d", got, c.most)
			}
		})
	}
}

func TestSmallerStreamAfterARestartKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, stream.ServerConfig{Dir: dir, MaxBytes: 64 << 20})
	publish(t, ensure(t, connect(t, s), 64<<20).Publisher(stream.PublisherConfig{}), 1, vital.Live, count(1, 20)...)
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	again := startServer(t, stream.ServerConfig{Dir: dir, MaxBytes: 2 << 20})
	small := ensure(t, connect(t, again), 1000) // fewer bytes than it holds
	if ns, _ := numbers(t, reader(t, small, 1, vital.Live, 0), 20); len(ns) != 20 {
		t.Errorf("%d envelopes are left of 20", len(ns))
	}
	quick := stream.PublisherConfig{FullTries: 1}
	err := small.Publisher(quick).Publish(soon(t), 1, vital.Live, []vital.Record{{Reading: sample(21)}})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("publishing into less than is there: %v, want unavailable", err)
	}
}

func TestIdentityFollowsTheStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, stream.ServerConfig{Dir: dir})
	conn := connect(t, s)
	first := ensure(t, conn, 8<<20)
	if again := ensure(t, conn, 16<<20); again.Identity() != first.Identity() {
		t.Errorf("another size made another identity: %s, was %s", again.Identity(), first.Identity())
	}
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	restarted := connect(t, startServer(t, stream.ServerConfig{Dir: dir}))
	again := ensure(t, restarted, 8<<20)
	if again.Identity() != first.Identity() {
		t.Errorf("a restart made another identity: %s, was %s", again.Identity(), first.Identity())
	}
	r := reader(t, again, 0, vital.Live, 0)
	stream.Delete(t, restarted)
	made := ensure(t, restarted, 8<<20)
	if made.Identity() == first.Identity() {
		t.Error("a stream that was made anew has the old identity")
	}
	if _, err := again.OpenReader(soon(t), 0, vital.Live, 0); !fault.Is(err, fault.Gone) {
		t.Errorf("opening a reader on the stream that is gone: %v, want gone", err)
	}
	if _, err := r.Next(soon(t), 1); !fault.Is(err, fault.Gone) {
		t.Errorf("reading the stream that is gone: %v, want gone", err)
	}
}

func TestEnsureMendsSettingsThatLoseReadings(t *testing.T) {
	t.Parallel()
	conn := connect(t, startServer(t, stream.ServerConfig{}))
	stream.MakeCareless(t, conn)
	s := ensure(t, conn, 8<<20)
	if wrong := stream.WhatLoses(t, s); len(wrong) > 0 {
		t.Errorf("the stream still loses readings: %v", wrong)
	}
	if s.Identity() == "" || s.Identity()[0] == '-' {
		t.Errorf("a stream that was there before got the identity %q", s.Identity())
	}
}

func TestEnsureNeedsASizeForANewStreamOnly(t *testing.T) {
	t.Parallel()
	conn := connect(t, startServer(t, stream.ServerConfig{}))
	if _, err := conn.Ensure(soon(t), stream.StreamConfig{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a new stream without a size: %v, want invalid", err)
	}
	ensure(t, conn, 8<<20)
	if s := ensure(t, conn, 0); s.MaxBytes() != 8<<20 {
		t.Errorf("whoever names no size changed it to %d", s.MaxBytes())
	}
	if _, err := conn.Ensure(soon(t), stream.StreamConfig{MaxBytes: 1 << 20, Replicas: 3}); !fault.Is(err, fault.Invalid) {
		t.Errorf("three replicas on one server: %v, want invalid", err)
	}
}

func TestDialReachesAServerOverTCP(t *testing.T) {
	t.Parallel()
	s := startServer(t, stream.ServerConfig{Listen: "127.0.0.1:0", MaxBytes: 8 << 20})
	inside := ensure(t, connect(t, s), 8<<20)
	c, err := stream.Dial(soon(t), s.ClientURL(), stream.Config{Name: "outside", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	outside := ensure(t, c, 8<<20)
	if inside.Identity() != outside.Identity() {
		t.Errorf("inside it is %s, outside %s", inside.Identity(), outside.Identity())
	}
	publish(t, outside.Publisher(stream.PublisherConfig{}), 3, vital.Late, 1, 2, 3)
	ns, _ := numbers(t, reader(t, inside, 3, vital.Late, 0), 3)
	if len(ns) != 3 {
		t.Errorf("read %v", ns)
	}
}

func TestDialSaysThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	_, err := stream.Dial(soon(t), "nats://127.0.0.1:1", stream.Config{})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestFreeSpaceIsMeasured(t *testing.T) {
	t.Parallel()
	if free, err := stream.FreeSpace(t.TempDir()); err != nil || free == 0 {
		t.Errorf("FreeSpace = %d, %v", free, err)
	}
	if _, err := stream.FreeSpace(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a directory that is not there has free space")
	}
	_, err := stream.StartServer(soon(t), stream.ServerConfig{Dir: t.TempDir(), Free: func() (uint64, error) { return 0, errors.New("no disk") }})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a disk that does not answer: %v, want unavailable", err)
	}
}
