package push

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Store is the outbox as the Dispatcher needs it.
type Store interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// Plan makes the deliveries of at most so many notices that have none yet, one for each channel that wants the notice, and
	// returns of how many.
	Plan(ctx context.Context, now time.Time, most int) (int, error)
	// ClaimDeliveries returns deliveries that are due, the most urgent first, at most so many of each channel and none of the busy
	// ones. Nobody else gets them until the lease has run out.
	ClaimDeliveries(ctx context.Context, c Claiming) ([]*Parcel, error)
	// Settle stores what became of a try, unless another try has been claimed since.
	Settle(ctx context.Context, p *Parcel, o Outcome, now time.Time) error
}

// Claiming says which deliveries are wanted.
type Claiming struct {
	Now   time.Time
	Lease time.Duration
	Most  int     // of each channel
	Busy  []int64 // channels
}

// Sender hands a parcel over. It has its own deadline, well below the lease, and logs nothing that stands in an address.
type Sender interface {
	Send(ctx context.Context, p *Parcel, now time.Time) Answer
}

// Watch is told what happens, for metrics. Any of it may be nil.
type Watch struct {
	// Settled is called after each try, with how long after the notice was written it ended.
	Settled func(o Outcome, after time.Duration)
}

// DispatcherConfig is what a Dispatcher needs. Store, Sender and Log are required.
type DispatcherConfig struct {
	Store  Store
	Sender Sender
	Every  time.Duration // between two looks at the outbox when nobody nudges; 0 is 250 ms
	Jitter func() float64
	Log    *slog.Logger
	Watch  Watch
}

// Dispatcher hands the outbox over. Any number of processes may run one: each delivery is claimed by a lease. A delivery that was
// under way when a process died is tried again when its lease has run out, under the same id.
type Dispatcher struct {
	DispatcherConfig
	nudged chan struct{}

	mu   sync.Mutex
	busy map[int64]bool // channels that a batch is on its way to
	sent sync.WaitGroup
	ill  map[string]bool // what was said to be failing; it is said once
}

const (
	lookEvery   = 250 * time.Millisecond
	restFor     = 25 * time.Millisecond // between two looks at least, however often somebody nudges
	leaseFor    = 30 * time.Second
	batchOf     = 8   // deliveries that are on their way to one channel at once
	plannedOnce = 500 // notices
)

// NewDispatcher returns a Dispatcher that has not begun.
func NewDispatcher(c DispatcherConfig) *Dispatcher {
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return &Dispatcher{DispatcherConfig: c, nudged: make(chan struct{}, 1), busy: map[int64]bool{}, ill: map[string]bool{}}
}

// Nudge has the Dispatcher look at once: something was committed.
func (d *Dispatcher) Nudge() {
	select {
	case d.nudged <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run hands notices over until ctx ends; then it waits for what is on its way.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.sent.Wait()
	tick := time.NewTicker(cmp.Or(d.Every, lookEvery))
	defer tick.Stop()
	for {
		d.failing(ctx, d.RunOnce(ctx), "look", func(err error) { d.Log.Error("the outbox cannot be looked at just now", "error", err) })
		rested := time.After(restFor)
		select {
		case <-ctx.Done():
			return nil
		case <-d.nudged:
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rested:
		}
	}
}

// RunOnce makes deliveries of what is new and sends off what is due. It does not wait for what it has sent off; Wait does.
func (d *Dispatcher) RunOnce(ctx context.Context) error {
	now, err := d.Store.Clock(ctx)
	if err != nil {
		return err
	}
	for planned := plannedOnce; planned == plannedOnce; {
		if planned, err = d.Store.Plan(ctx, now, plannedOnce); err != nil {
			return err
		}
	}
	list, err := d.Store.ClaimDeliveries(ctx, Claiming{Now: now, Lease: leaseFor, Most: batchOf, Busy: d.occupied()})
	if err != nil {
		return err
	}
	batches := map[int64][]*Parcel{}
	for _, p := range list {
		batches[p.Channel.ID] = append(batches[p.Channel.ID], p)
	}
	for channel, batch := range batches {
		d.mark(channel, true)
		d.sent.Go(func() { d.sendOff(context.WithoutCancel(ctx), channel, batch) })
	}
	return nil
}

// Wait returns when nothing is on its way any more.
func (d *Dispatcher) Wait() { d.sent.Wait() }

func (d *Dispatcher) occupied() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]int64, 0, len(d.busy))
	for channel := range d.busy {
		list = append(list, channel)
	}
	return list
}

func (d *Dispatcher) mark(channel int64, busy bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if busy {
		d.busy[channel] = true
	} else {
		delete(d.busy, channel)
	}
}

// sendOff tries the deliveries of one channel at once: one that is slow keeps no other channel waiting.
func (d *Dispatcher) sendOff(ctx context.Context, channel int64, batch []*Parcel) {
	var all sync.WaitGroup
	for _, p := range batch {
		all.Go(func() { d.try(ctx, p) })
	}
	all.Wait()
	d.mark(channel, false)
	d.Nudge()
}

// try hands one parcel over, if that may still be done, and settles it.
func (d *Dispatcher) try(ctx context.Context, p *Parcel) {
	now, err := d.Store.Clock(ctx)
	if err != nil {
		d.failing(ctx, err, "settle", d.unsettled)
		return
	}
	o := Outcome{State: Cancelled, Reason: p.mayNot()}
	if o.Reason == "" {
		answer := d.Sender.Send(ctx, p, now)
		if now, err = d.Store.Clock(ctx); err == nil {
			o = Decide(p, answer, now, d.Jitter())
		}
	}
	if err == nil {
		err = d.Store.Settle(ctx, p, o, now)
	}
	d.failing(ctx, err, "settle", d.unsettled)
	if err == nil {
		d.report(p, o, now)
	}
}

// report tells people of what does not get better by itself.
func (d *Dispatcher) report(p *Parcel, o Outcome, now time.Time) {
	if d.Watch.Settled != nil {
		d.Watch.Settled(o, now.Sub(p.CreatedAt))
	}
	log := d.Log.With("channel", p.Channel.UID, "delivery", p.UID, "reason", string(o.Reason), "status", o.Status)
	switch {
	case o.Disable:
		log.Error("a channel answers that it is gone and was disabled; its notices do not leave the house")
	case o.State == GivenUp:
		log.Error("a notice was given up: it did not get through", "tries", p.Claim)
	case o.Reason == NoKey:
		d.once("key", func() {
			log.Error("this process cannot open the secrets of channels: give it the same key as the one that made them")
		})
	case o.State == Waiting && p.Claim == 1:
		log.Warn("a notice did not get through and is tried again")
	}
}

func (d *Dispatcher) unsettled(err error) {
	d.Log.Error("a delivery cannot be settled; it is tried again", "error", err)
}

// failing has what fails said once, until it works again.
func (d *Dispatcher) failing(ctx context.Context, err error, what string, say func(error)) {
	if err == nil {
		d.mu.Lock()
		delete(d.ill, what)
		d.mu.Unlock()
		return
	}
	if ctx.Err() == nil {
		d.once(what, func() { say(err) })
	}
}

func (d *Dispatcher) once(what string, say func()) {
	d.mu.Lock()
	said := d.ill[what]
	d.ill[what] = true
	d.mu.Unlock()
	if !said {
		say()
	}
}
