package stream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hale/fault"
	"hale/vital"
)

// parcelMost is up to how many bytes an envelope may share a bundle: what is larger is worth a message of its own, and would
// be carried past seven readers for nothing.
const parcelMost = 16 << 10

// Envelopes of several partitions leave at the same ticks. While many do, the first waits a moment for as many as there were
// the last time.
const (
	companyLately = 30 * time.Millisecond
	companyWithin = 500 * time.Microsecond
)

// company lets small envelopes of the live lanes travel in one bundle. Who comes alone goes at once, and who comes while a
// bundle is under way goes with the next.
type company struct {
	send func(ctx context.Context, parcels []parcel) error

	mu       sync.Mutex
	underway bool
	left     time.Time // the latest bundle
	usual    int       // how many it held
	waiting  []*passenger
	full     chan struct{} // closed when usual wait; nil when nobody looks
}

// passenger is a parcel that waits for its bundle.
type passenger struct {
	parcel
	ctx   context.Context //nolint:containedctx // of the call that waits for it
	leads bool            // it was told to take the next bundle
	lead  chan struct{}
	done  chan error
}

// travel returns when the envelope is on disk, or what became of it.
func (c *company) travel(ctx context.Context, p parcel) error {
	me := &passenger{parcel: p, ctx: ctx, lead: make(chan struct{}, 1), done: make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, me)
	if c.full != nil && len(c.waiting) >= c.usual {
		close(c.full)
		c.full = nil
	}
	lead := !c.underway
	c.underway = true
	c.mu.Unlock()
	if !lead {
		select {
		case err := <-me.done:
			return err
		case <-me.lead:
		case <-ctx.Done():
			if c.leave(me) {
				return fault.Wrap(fault.Unavailable, ctx.Err(), "wait for the envelopes before this one")
			}
			select { // it has been taken along, or is to lead
			case err := <-me.done:
				return err
			case <-me.lead:
			}
		}
	}
	c.assemble()
	c.carry(c.board()) //nolint:contextcheck // it goes on for as long as any of them waits
	return <-me.done
}

// leave takes back an envelope that nobody has taken along and that is not to lead, and reports whether it could.
func (c *company) leave(me *passenger) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, me)
	if i < 0 || me.leads {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}

// assemble waits a moment for the others, when there have been some lately.
func (c *company) assemble() {
	c.mu.Lock()
	if c.usual < 2 || time.Since(c.left) > companyLately || len(c.waiting) >= c.usual {
		c.mu.Unlock()
		return
	}
	full := make(chan struct{})
	c.full = full
	c.mu.Unlock()
	select {
	case <-full:
	case <-time.After(companyWithin):
	}
}

// Whatever comes together fits a message.
const _ = uint(MaxEnvelope - bundleHeader - vital.Partitions*(bundlePlace+parcelMost))

// board takes those who go together: of each partition the first who waits.
func (c *company) board() []*passenger {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = nil
	var bundle, left []*passenger
	for _, p := range c.waiting {
		if slices.ContainsFunc(bundle, func(q *passenger) bool { return q.partition == p.partition }) {
			left = append(left, p)
		} else {
			bundle = append(bundle, p)
		}
	}
	c.waiting, c.usual, c.left = left, len(bundle), time.Now()
	return bundle
}

// carry sends the bundle, tells each who waits for it, and lets the next one lead.
func (c *company) carry(bundle []*passenger) {
	ctx, cancel := whileAny(bundle)
	defer cancel()
	parcels := make([]parcel, len(bundle))
	for i, p := range bundle {
		parcels[i] = p.parcel
	}
	err := c.send(ctx, parcels)
	for _, p := range bundle {
		p.done <- err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.underway = false
		return
	}
	c.waiting[0].leads = true
	c.waiting[0].lead <- struct{}{}
}

// whileAny returns a context that ends when nobody waits for the bundle any more.
func whileAny(bundle []*passenger) (context.Context, context.CancelFunc) {
	if len(bundle) == 1 {
		return bundle[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(bundle[0].ctx))
	var wait atomic.Int32
	wait.Store(int32(len(bundle)))
	stops := make([]func() bool, len(bundle))
	for i, p := range bundle {
		stops[i] = context.AfterFunc(p.ctx, func() {
			if wait.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		cancel()
		for _, stop := range stops {
			stop()
		}
	}
}
