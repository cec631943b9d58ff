package devices

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hale/fault"
)

// Times of the cache. A look that is overdue by more than overdue says nothing of this moment: the process has slept.
const (
	lookEvery  = time.Second
	lookWithin = 5 * time.Second
	overdue    = 4 * time.Second
)

// CacheConfig says what a Cache needs. Registry is required.
type CacheConfig struct {
	Registry Registry
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: no log
	Every    time.Duration    // between two looks at the version; 1 s when zero
}

// Cache keeps the newest snapshot of the registry in memory, so that devices can connect and be read while the record is
// away. It looks at the registry's version every second, and reads the registry again when that has changed.
type Cache struct {
	registry Registry
	now      func() time.Time
	log      *slog.Logger
	every    time.Duration
	nudged   chan struct{}

	looking chan struct{} // holds a token during a look: one at a time, so that an older snapshot never follows a newer one
	state   atomic.Pointer[cached]

	mu   sync.Mutex
	next *look // that has not begun yet; whoever wants to look takes part in it
}

// look is one look at the registry, on behalf of everybody who asked before it began.
type look struct {
	done      chan struct{} // closed when it is over
	calledOff bool          // whoever was to look has gone away: it says nothing
	err       error
}

// cached is what the last look found.
type cached struct {
	snapshot  *Snapshot // the newest that could be read
	reachable bool
	at        time.Time
}

// NewCache returns a cache that has not looked yet.
func NewCache(c CacheConfig) *Cache {
	cache := &Cache{registry: c.Registry, now: c.Now, log: c.Log, every: c.Every, nudged: make(chan struct{}, 1), looking: make(chan struct{}, 1)}
	if cache.now == nil {
		cache.now = time.Now
	}
	if cache.log == nil {
		cache.log = slog.New(slog.DiscardHandler)
	}
	if cache.every <= 0 {
		cache.every = lookEvery
	}
	cache.state.Store(&cached{})
	return cache
}

// Current returns the newest snapshot, nil when there has been none, and whether the registry can be reached, which is
// to say whether that snapshot is the truth of this moment, but for a second.
func (c *Cache) Current() (snapshot *Snapshot, reachable bool) {
	s := c.state.Load()
	return s.snapshot, s.reachable && c.now().Sub(s.at) <= c.every+lookWithin+overdue
}

// Snapshot returns the newest snapshot, nil when there has been none.
func (c *Cache) Snapshot() *Snapshot { return c.state.Load().snapshot }

// Ready reports whether a snapshot has been read.
func (c *Cache) Ready() bool { return c.Snapshot() != nil }

// Nudge makes the running cache look at once: somebody knows that the registry has changed. It does not wait.
func (c *Cache) Nudge() {
	select {
	case c.nudged <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Look looks at the registry now and waits for the outcome: after nil, Current shows what was committed before the call.
// Those who call while a look is under way share the next one: however many wait, they cost one reading of the registry.
// An error is of kind fault.Unavailable, and the last snapshot stays.
func (c *Cache) Look(ctx context.Context) error {
	for {
		l, ours := c.join()
		if ours {
			return c.lead(ctx, l)
		}
		select {
		case <-l.done:
			if !l.calledOff {
				return l.err
			}
		case <-ctx.Done():
			return calledOff(ctx)
		}
	}
}

// join returns the look that has not begun yet, and whether the caller is the one who has to lead it.
func (c *Cache) join() (l *look, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		return c.next, false
	}
	c.next = &look{done: make(chan struct{})}
	return c.next, true
}

// lead waits for its turn and looks. What is committed from then on is the matter of the look after this one.
func (c *Cache) lead(ctx context.Context, l *look) error {
	defer close(l.done)
	select {
	case c.looking <- struct{}{}:
		defer func() { <-c.looking }()
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.next = nil
	c.mu.Unlock()
	if ctx.Err() == nil {
		l.err = c.runOnce(ctx, c.now())
	}
	if ctx.Err() != nil { // whether it looked or not
		l.calledOff, l.err = true, calledOff(ctx)
	}
	return l.err
}

func calledOff(ctx context.Context) error {
	return fault.Wrap(fault.Unavailable, ctx.Err(), "look at the registry")
}

// Run keeps the snapshot fresh until ctx ends, and returns nil then.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		_ = c.Look(ctx) // it is logged, and the next look is due in a second
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.nudged:
		}
	}
}

// runOnce looks at the version, and reads the registry when it is another than that of our snapshot. Only lead calls it.
func (c *Cache) runOnce(ctx context.Context, now time.Time) error {
	before := c.state.Load()
	snapshot, err := c.load(ctx, before.snapshot)
	if ctx.Err() != nil {
		return calledOff(ctx) // it says nothing about the registry
	}
	if err != nil {
		if before.reachable || before.at.IsZero() {
			c.log.Warn("registry cannot be reached", "error", err)
		}
		c.state.Store(&cached{before.snapshot, false, now})
		return fault.Wrap(fault.Unavailable, err, "the registry cannot be reached")
	}
	if snapshot != before.snapshot || !before.reachable {
		c.log.Info("registry read", "version", snapshot.Version, "devices", len(snapshot.Devices))
	}
	c.state.Store(&cached{snapshot, true, now})
	return nil
}

// load returns the snapshot of the registry's present version: the one that we have, or a new one.
func (c *Cache) load(ctx context.Context, have *Snapshot) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	version, err := c.registry.Version(ctx)
	if err != nil {
		return nil, err
	}
	if have != nil && have.Version == version {
		return have, nil
	}
	snapshot, err := c.registry.Snapshot(ctx)
	if err == nil && snapshot == nil {
		err = errors.New("the registry returned no snapshot")
	}
	return snapshot, err
}
