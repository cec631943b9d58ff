package ingest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// Config says what a Core needs. Snapshot and Publisher are required.
type Config struct {
	// Snapshot returns the newest registry snapshot, or nil when there has been none.
	Snapshot  func() *devices.Snapshot
	Publisher Publisher
	// Edge names this life of the device edge that hands messages over; empty where there is none. No two lives have the same.
	Edge string
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: no log
	// MaxBytes bounds what is accepted and not durable yet, in bytes; 64 MiB when zero.
	MaxBytes int64
	// DrainWithin is how long Run goes on publishing what was gathered when its context ends; 10 s when zero.
	DrainWithin time.Duration
	Registerer  prometheus.Registerer // nil: metrics are kept and not shown
}

// Core decodes messages, gathers their records into envelopes and tells each sender when its message is durable.
type Core struct {
	snapshot    func() *devices.Snapshot
	publisher   Publisher
	edge        string
	now         func() time.Time
	log         *slog.Logger
	drainWithin time.Duration
	metrics     *metrics
	budget      budget
	lanes       [lanes]*lane
	clocks      *devices.ClockBook // what this process has heard itself
	decoders    sync.Pool
	registerer  prometheus.Registerer
	began       time.Time // when the first tick was
	running     atomic.Bool
}

// New returns a core that decodes at once, and publishes as soon as it runs.
func New(c Config) *Core {
	core := &Core{
		snapshot: c.Snapshot, publisher: c.Publisher, edge: c.Edge, now: c.Now, log: c.Log, drainWithin: c.DrainWithin,
		registerer: c.Registerer, budget: budget{size: c.MaxBytes}, lanes: newLanes(), clocks: devices.NewClockBook(), began: time.Now(),
	}
	if core.now == nil {
		core.now = time.Now
	}
	if core.log == nil {
		core.log = slog.New(slog.DiscardHandler)
	}
	if core.budget.size <= 0 {
		core.budget.size = 64 << 20
	}
	if core.drainWithin <= 0 {
		core.drainWithin = 10 * time.Second
	}
	words := newVocabulary()
	core.decoders.New = func() any { return &decoder{vocabulary: words} }
	core.metrics = newMetrics(core.budget.used)
	return core
}

// Submit decodes a message and gathers its records. It blocks while the byte budget is exhausted, until ctx ends; a
// message that was gathered goes its way whatever becomes of ctx. done is called exactly once, on this goroutine or
// another, possibly before Submit returns: when the whole message is durable, or with an Err of kind
// fault.Unavailable (it is not, or not known to be: send it again) or fault.Forbidden (the device is enrolled no
// longer, or was revoked: close the connection).
func (c *Core) Submit(ctx context.Context, m Message, done func(Receipt)) {
	if err := c.submit(ctx, &m, done); err != nil {
		if m.Canary == "" {
			c.metrics.failed.Inc()
		}
		done(Receipt{Err: err})
	}
}

// submit returns an error when done has not been called and will not be.
func (c *Core) submit(ctx context.Context, m *Message, done func(Receipt)) error {
	if m.Canary != "" {
		return c.submitCanary(ctx, m, done)
	}
	snapshot, device, err := c.known(m)
	if err != nil {
		return err
	}
	if m.ReceivedAt.IsZero() {
		m.ReceivedAt = c.now()
	}
	t := &ticket{done: done}
	records, cost := c.decode(snapshot, device, m, t)
	if len(records) == 0 {
		c.metrics.taken.Inc()
		done(t.receipt)
		return nil
	}
	t.charged = c.budget.clamp(cost)
	if err := c.budget.take(ctx, t.charged); err != nil {
		return err
	}
	c.gather(t, records)
	return nil
}

// Note keeps that a device came, or left (vital.StatusCame, vital.StatusLeft): by a connection of that epoch, at a moment. It
// waits for nothing; when there is no room, or the record of it does not become durable, nobody is the wiser: presence is judged
// by what is heard, and this is help.
func (c *Core) Note(d *devices.Device, kind vital.StatusKind, connection int64, at time.Time) {
	status := &vital.Status{Org: d.Org, Device: d.ID, Sensor: d.Own, ReceivedAt: at.UTC().Truncate(time.Microsecond), Kind: kind, Connection: connection, Edge: c.edge}
	records := []vital.Record{{Status: status}}
	t := &ticket{done: func(Receipt) {}, quiet: true, charged: c.budget.clamp(int64(costOf(records[0])))}
	if c.budget.grab(t.charged) {
		c.gather(t, records)
	}
}

// gather puts the records into the lanes in which they travel.
func (c *Core) gather(t *ticket, records []vital.Record) {
	t.open.Store(1) // ours, so that the ticket does not close while we are still handing out shares
	for rest := byLane(records); len(rest) > 0; {
		n, bytes := cut(rest)
		t.open.Add(1)
		s := share{t, rest[:n:n], bytes}
		if !c.lanes[laneOf(rest[0])].add(s) {
			c.settle(s, errClosing())
		}
		rest = rest[n:]
	}
	c.settle(share{ticket: t}, nil)
}

// known returns the newest snapshot and the device's entry in it: between CONNECT and PUBLISH it may have been revoked.
func (c *Core) known(m *Message) (*devices.Snapshot, *devices.Device, error) {
	snapshot := c.snapshot()
	if snapshot == nil {
		return nil, nil, fault.New(fault.Unavailable, "the registry has not been read yet; send it again")
	}
	if m.Device == nil {
		return nil, nil, fault.New(fault.Forbidden, "no device is connected")
	}
	device := snapshot.Devices[m.Device.UID]
	if device == nil || device.Revoked || device.ID != m.Device.ID {
		return nil, nil, fault.New(fault.Forbidden, "the device is not enrolled any more")
	}
	return snapshot, device, nil
}

// decode returns the message's records and what they are charged, and fills in the ticket's receipt.
func (c *Core) decode(s *devices.Snapshot, device *devices.Device, m *Message, t *ticket) ([]vital.Record, int64) {
	d := c.decoders.Get().(*decoder) //nolint:errcheck // the pool holds nothing else
	defer func() {
		d.forget()
		c.decoders.Put(d)
	}()
	d.snapshot, d.device, d.message, d.received = s, device, m, m.ReceivedAt.UTC().Truncate(time.Microsecond)
	d.clocks = c.clocks
	d.decode()

	t.receipt = Receipt{Accepted: len(d.readings), Refused: slices.Clone(d.told), Wanted: d.wanted}
	readings, refused := slices.Clone(d.readings), slices.Clone(d.refused)
	statuses, originals := slices.Clone(d.statuses), slices.Clone(d.originals)
	records := make([]vital.Record, 0, len(readings)+len(refused)+len(statuses)+len(originals))
	for i := range readings {
		records = append(records, vital.Record{Reading: &readings[i]})
	}
	for i := range refused {
		records = append(records, vital.Record{Refused: &refused[i]})
	}
	for i := range statuses {
		if statuses[i].Connection != 0 { // it came by the edge, and not through a broker or an app
			statuses[i].Edge = c.edge
		}
		records = append(records, vital.Record{Status: &statuses[i]})
	}
	for i := range originals {
		records = append(records, vital.Record{Original: &originals[i]})
	}
	cost := int64(len(m.Payload))
	for _, r := range records {
		cost += int64(costOf(r))
	}
	return records, cost
}

// Run publishes until ctx ends; then it takes nothing more and publishes what was gathered, for DrainWithin at most.
// Senders of what is not durable by then are told so. It returns nil then, and fault.Internal at once when it is called
// twice or its metrics cannot be registered.
func (c *Core) Run(ctx context.Context) error {
	if c.running.Swap(true) {
		return fault.New(fault.Internal, "the ingest core runs already")
	}
	if err := c.metrics.register(c.registerer); err != nil {
		return fault.Wrap(fault.Internal, err, "register the metrics of the ingest core")
	}
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var writers sync.WaitGroup
	for _, l := range c.lanes {
		writers.Go(func() { c.write(publishing, l) })
	}
	<-ctx.Done()
	c.budget.close()
	for _, l := range c.lanes {
		l.close()
	}
	late := time.AfterFunc(c.drainWithin, stop)
	defer late.Stop()
	writers.Wait()
	return nil
}

// Under load the envelopes of a lane leave at ticks, unless many messages wait: each is a little larger then, there are far
// fewer of them, and those of all partitions leave together, which is one write to disk and one transaction. Who comes alone
// never waits.
const (
	envelopeSpacing = 8 * time.Millisecond
	manyMessages    = 128
)

// untilTick returns how long an envelope waits whose lane's latest one left at left: until the next tick, when that was just
// now.
func (c *Core) untilTick(left time.Time) time.Duration {
	if time.Since(left) >= envelopeSpacing {
		return 0
	}
	return envelopeSpacing - time.Since(c.began)%envelopeSpacing
}

// write publishes one lane: one envelope after the other, each with all that came during the one before.
func (c *Core) write(ctx context.Context, l *lane) {
	var batch []share
	var left time.Time // when the latest envelope did
	for {
		l.gatherFor(c.untilTick(left))
		var more bool
		if batch, more = l.take(batch[:0]); !more {
			return
		}
		if len(batch) == 0 {
			<-l.wake
			continue
		}
		left = time.Now()
		err := c.publish(ctx, l, batch)
		for _, s := range batch {
			c.settle(s, err)
		}
		clear(batch)
	}
}

// publish makes the shares of a batch durable as one envelope. The error is fault.Unavailable.
func (c *Core) publish(ctx context.Context, l *lane, batch []share) error {
	if ctx.Err() != nil {
		return errClosing()
	}
	n := 0
	for _, s := range batch {
		n += len(s.records)
	}
	records := make([]vital.Record, 0, n) // of its own: the publisher may keep it
	for _, s := range batch {
		records = append(records, s.records...)
	}
	start := time.Now()
	if err := c.publisher.Publish(ctx, l.partition, l.lane, records); err != nil {
		c.log.Error("envelope is not durable", "partition", l.partition, "lane", string(l.lane), "records", n, "error", err)
		c.metrics.unsent.Inc()
		return fault.Wrap(fault.Unavailable, err, "the stream did not take it; send it again")
	}
	c.metrics.published(time.Since(start), records)
	return nil
}

// settle tells the message of a share what became of it, and frees its bytes with the last one.
func (c *Core) settle(s share, err error) {
	if !s.ticket.settle(err) {
		return
	}
	c.budget.give(s.ticket.charged)
	switch {
	case s.ticket.quiet:
	case s.ticket.failed.Load():
		c.metrics.failed.Inc()
	default:
		c.metrics.taken.Inc()
	}
}
