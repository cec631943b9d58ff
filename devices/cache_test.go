package devices_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hale/devices"
	"hale/fault"
)

// shelf is a registry in memory that can be taken away.
type shelf struct {
	mu       sync.Mutex
	version  int64
	away     error
	empty    bool
	versions int // how often it was asked for its version
	reads    int // how often it was read
}

func (s *shelf) Version(ctx context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions++
	return s.version, errors.Join(s.away, ctx.Err())
}

func (s *shelf) Snapshot(context.Context) (*devices.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.empty {
		return nil, nil
	}
	return &devices.Snapshot{Version: s.version}, s.away
}

func (s *shelf) set(version int64, away error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.away = version, away
}

func (s *shelf) asked() (versions, reads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions, s.reads
}

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 7, 25, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func holds(t *testing.T, c *devices.Cache, version int64, reachable bool) {
	t.Helper()
	s, reached := c.Current()
	got := int64(0)
	if s != nil {
		got = s.Version
	}
	if got != version || reached != reachable || c.Ready() != (s != nil) || c.Snapshot() != s {
		t.Errorf("the cache holds version %d, reachable %v; want %d, %v", got, reached, version, reachable)
	}
}

func TestTheCacheFollowsTheRegistry(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	registry, now := &shelf{version: 1, away: gone}, newClock()
	c := devices.NewCache(devices.CacheConfig{Registry: registry, Now: now.now})
	holds(t, c, 0, false)
	steps := []struct {
		name      string
		version   int64
		away      error
		want      int64
		reachable bool
		reads     int // in all
	}{
		{"before the first load it is not ready", 1, gone, 0, false, 0},
		{"the first load makes it ready", 1, nil, 1, true, 1},
		{"the same version is not read again", 1, nil, 1, true, 1},
		{"a change is read", 2, nil, 2, true, 2},
		{"what was read last stays while the registry is away", 3, gone, 2, false, 2},
		{"and for as long as it is", 3, gone, 2, false, 2},
		{"a change while it was away is read after", 3, nil, 3, true, 3},
		{"an older version, of a restored record, is another one", 2, nil, 2, true, 4},
	}
	for _, s := range steps {
		registry.set(s.version, s.away)
		err := c.Look(t.Context())
		if (err != nil) != !s.reachable || err != nil && (!fault.Is(err, fault.Unavailable) || !errors.Is(err, gone)) {
			t.Errorf("%s: %v", s.name, err)
		}
		holds(t, c, s.want, s.reachable)
		if _, reads := registry.asked(); reads != s.reads {
			t.Errorf("%s: read %d times, want %d", s.name, reads, s.reads)
		}
		now.pass(time.Second)
	}
}

func TestACacheThatHasSleptKnowsNothingOfThisMoment(t *testing.T) {
	t.Parallel()
	now := newClock()
	c := devices.NewCache(devices.CacheConfig{Registry: &shelf{version: 1}, Now: now.now})
	if err := c.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	now.pass(10 * time.Second)
	holds(t, c, 1, true)
	now.pass(time.Nanosecond)
	holds(t, c, 1, false)
	if err := c.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, c, 1, true)
}

func TestALookThatWasCalledOffSaysNothingOfTheRegistry(t *testing.T) {
	t.Parallel()
	c := devices.NewCache(devices.CacheConfig{Registry: &shelf{version: 1}, Now: newClock().now})
	if err := c.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Look(ended); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	holds(t, c, 1, true)
}

func TestARegistryThatReturnsNothingIsAway(t *testing.T) {
	t.Parallel()
	c := devices.NewCache(devices.CacheConfig{Registry: &shelf{version: 1, empty: true}, Now: newClock().now})
	if err := c.Look(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	holds(t, c, 0, false)
}

func TestARunningCacheLooksAtOnceWhenNudged(t *testing.T) {
	t.Parallel()
	registry := &shelf{version: 1}
	c := devices.NewCache(devices.CacheConfig{Registry: registry, Now: newClock().now, Every: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	reaches(t, c, 1)
	registry.set(2, nil)
	c.Nudge()
	reaches(t, c, 2)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	for range 3 {
		c.Nudge() // nobody listens any more, and nobody waits
	}
}

func TestARunningCacheLooksByItself(t *testing.T) {
	t.Parallel()
	registry := &shelf{version: 1}
	c := devices.NewCache(devices.CacheConfig{Registry: registry, Now: newClock().now, Every: time.Millisecond})
	go func() { _ = c.Run(t.Context()) }()
	reaches(t, c, 1)
	registry.set(2, nil)
	reaches(t, c, 2)
}

// reaches waits until the running cache holds a version.
func reaches(t *testing.T, c *devices.Cache, version int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if s, reachable := c.Current(); s != nil && s.Version == version && reachable {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("version %d was not read", version)
		}
	}
}

func TestTheLogTellsOfChangesOnly(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	registry := &shelf{version: 1, away: errors.New("connection refused")}
	c := devices.NewCache(devices.CacheConfig{Registry: registry, Now: newClock().now, Log: slog.New(slog.NewTextHandler(&lines, nil))})
	look := func() {
		for range 3 {
			_ = c.Look(t.Context())
		}
	}
	look()
	registry.set(1, nil)
	look()
	registry.set(1, errors.New("connection refused"))
	look()
	registry.set(1, nil)
	look()
	if away, read := strings.Count(lines.String(), "cannot be reached"), strings.Count(lines.String(), "registry read"); away != 2 || read != 2 {
		t.Errorf("told %d times that it is away and %d times that it was read:\n%s", away, read, lines.String())
	}
}

// gate is a shelf whose reading waits for the test.
type gate struct {
	shelf
	open chan struct{}
}

func (g *gate) Version(ctx context.Context) (int64, error) {
	v, err := g.shelf.Version(ctx)
	select {
	case <-g.open:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return v, err
}

func TestWhoeverWaitsSharesTheNextLookAndSeesTheOwnChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 200
		g := &gate{shelf: shelf{version: 1}, open: make(chan struct{})}
		c := devices.NewCache(devices.CacheConfig{Registry: g, Now: newClock().now})
		outcomes := make(chan error, callers+1)
		go func() { outcomes <- c.Look(t.Context()) }()
		synctest.Wait() // the first look has read version 1
		for i := range callers {
			own := int64(2 + i)
			g.set(own, nil) // the caller's change
			go func() {
				err := c.Look(t.Context())
				if s, reachable := c.Current(); err == nil && (!reachable || s.Version < own) {
					err = errors.New("the caller's own change is not there")
				}
				outcomes <- err
			}()
			synctest.Wait()
		}
		for range 2 {
			if len(outcomes) > 1 {
				t.Fatalf("%d callers had their answer before a look of theirs", len(outcomes)-1)
			}
			g.open <- struct{}{}
			synctest.Wait()
		}
		for range callers + 1 {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
		if versions, reads := g.asked(); versions != 2 || reads > 2 {
			t.Errorf("%d callers cost %d looks beside the first, want one; %d readings", callers, versions-1, reads)
		}
		holds(t, c, 1+callers, true)
	})
}

func TestWhoWaitsForALookThatIsCalledOffLooksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{shelf: shelf{version: 1}, open: make(chan struct{})}
		c := devices.NewCache(devices.CacheConfig{Registry: g, Now: newClock().now})
		looking := func(ctx context.Context) chan error {
			told := make(chan error, 1)
			go func() { told <- c.Look(ctx) }()
			synctest.Wait()
			return told
		}
		first := looking(t.Context())
		leading, cancel := context.WithCancel(t.Context())
		leader := looking(leading)
		waiting, leave := context.WithCancel(t.Context())
		follower, gone := looking(t.Context()), looking(waiting)
		leave()
		if err := <-gone; !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("whoever waited no longer was told %v", err)
		}
		cancel()
		if err := <-leader; !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("whoever called it off was told %v", err)
		}
		synctest.Wait()
		g.set(2, nil)
		for _, told := range []chan error{first, follower} {
			g.open <- struct{}{}
			if err := <-told; err != nil {
				t.Errorf("whoever waited was told %v", err)
			}
		}
		holds(t, c, 2, true)
	})
}
