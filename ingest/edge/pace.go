package edge

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pace is how fast one device is read: generous enough for a gateway that flushes its memory of a day, and no faster for one
// that has lost its mind. Who sends faster is not cut off: its connection is read when it is due, and TCP holds it back.
type pace struct {
	mu       sync.Mutex
	messages *rate.Limiter
	bytes    *rate.Limiter
	held     int // by how many it is used right now; guarded by the mutex of the Paces
}

func newPace(l Limits) *pace {
	return &pace{
		messages: rate.NewLimiter(rate.Limit(l.DeviceMessagesPerSecond), l.DeviceMessagesAtOnce),
		bytes:    rate.NewLimiter(rate.Limit(l.DeviceBytesPerSecond), l.DeviceBytesAtOnce),
	}
}

// take takes a message of that many bytes and returns 0, or returns in which time it may ask again. What is longer than all
// that may come at once counts as just that.
func (p *pace) take(now time.Time, bytes int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes = min(bytes, p.bytes.Burst())
	wait := max(lacking(p.messages, now, 1), lacking(p.bytes, now, bytes))
	if wait == 0 {
		p.messages.AllowN(now, 1)
		p.bytes.AllowN(now, bytes)
	}
	return wait
}

// lacking returns how long it takes until the limiter has so many tokens.
func lacking(l *rate.Limiter, now time.Time, tokens int) time.Duration {
	missing := float64(tokens) - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Millisecond, time.Duration(missing/float64(l.Limit())*float64(time.Second)))
}

// rested reports whether nothing is remembered of the device that a new pace would not know too.
func (p *pace) rested(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages.TokensAt(now) >= float64(p.messages.Burst()) && p.bytes.TokensAt(now) >= float64(p.bytes.Burst())
}

// pacesKept is how many devices are remembered before those that have rested are forgotten.
const pacesKept = 8192

// Paces are how fast each device is read, by whichever door of a process it comes. Make them with NewPaces and give them to all doors.
type Paces struct {
	limits Limits
	now    func() time.Time

	mu   sync.Mutex
	of   map[string]*pace // by device UID
	most int              // so many are remembered before they are looked through
}

// NewPaces returns the paces of devices of which nobody has been heard yet. Of the limits those of a device count; what is zero in them
// has its default. Now may be nil: time.Now.
func NewPaces(l Limits, now func() time.Time) *Paces {
	if now == nil {
		now = time.Now
	}
	return &Paces{limits: l.withDefaults(), now: now, of: map[string]*pace{}, most: pacesKept}
}

// take takes a message of the device as its pace does.
func (p *Paces) take(uid string, bytes int) time.Duration {
	p.mu.Lock()
	one := p.find(uid)
	one.held++ // so that it is not forgotten meanwhile
	p.mu.Unlock()
	defer p.release(one)
	return one.take(p.now(), bytes)
}

// hold returns the pace of a device, which is remembered until it is released: it outlives the connection, so that connecting again
// gains nothing, and while there is one no other door makes a pace of its own.
func (p *Paces) hold(uid string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.find(uid)
	one.held++
	return one
}

// release lets go of what was held.
func (p *Paces) release(one *pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.held--
}

// find returns, with mu held, the pace of a device.
func (p *Paces) find(uid string) *pace {
	if one := p.of[uid]; one != nil {
		return one
	}
	if len(p.of) >= p.most {
		now := p.now()
		for other, one := range p.of {
			if one.held == 0 && one.rested(now) {
				delete(p.of, other)
			}
		}
		p.most = max(pacesKept, 2*len(p.of))
	}
	one := newPace(p.limits)
	p.of[uid] = one
	return one
}

// keepPace waits until the next message of that many bytes may be read. Meanwhile nothing behind it is, and what is due at the
// device's end counts from then on.
func (s *session) keepPace(bytes int) error {
	if s.pace == nil {
		return nil // our own canary
	}
	wait := s.pace.take(s.server.now(), bytes)
	if wait == 0 {
		return nil
	}
	s.server.metrics.heldBack.Inc()
	s.server.metrics.slowed.Inc()
	defer s.server.metrics.slowed.Dec()
	if !s.slowed {
		s.slowed = true
		s.server.log.Warn("a device sends faster than it is read", "device", s.uid)
	}
	for wait > 0 {
		if err := s.rest(min(wait, s.server.limits.WatchEvery)); err != nil {
			return err
		}
		wait = s.pace.take(s.server.now(), bytes)
	}
	return nil
}

// rest waits that long, or until the session ends.
func (s *session) rest(d time.Duration) error {
	over := false
	timer := time.AfterFunc(d, func() {
		s.mu.Lock()
		over = true
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !over && s.ended == "" {
		s.changed.Wait()
	}
	return s.over()
}
