// Package edge is Hale's own MQTT 3.1.1 listener, server side and for devices only. Its PUBACK means that every part of
// the message is durable; it keeps no session, no retained message, and routes nothing from device to device. What a
// device may send and hear is told in docs/wire.md; what a message means is for the ingest core.
package edge

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
)

// Server accepts devices and hands what they publish to the ingest core.
type Server struct {
	cfg      Config
	limits   Limits
	log      *slog.Logger
	now      func() time.Time
	metrics  *metrics
	throttle *throttle
	porch    *porch
	paces    *Paces
	rivals   *rivalry
	canary   *canary // nil: there is none
	held     budget  // bytes received and not yet durable
	arriving budget  // of these, messages that have begun to arrive and are larger than a buffer
	beyond   budget  // bytes received for which there is no room in held, nor in their connection's reserve
	inflows  sync.Pool
	outflows sync.Pool // of *outflow
	// submit hands a message to the core, for as long as the server may wait for it. Run sets it.
	submit  func(m ingest.Message, done func(ingest.Receipt))
	workers sync.WaitGroup
	crew    *crew
	ready   atomic.Bool
	open    atomic.Int64 // connections

	mu        sync.Mutex
	listeners []Listener
	sessions  map[string]*session   // by device UID
	live      map[*session]struct{} // those above, and those that are not over yet
	epoch     int64                 // the highest that was given or heard of
	firstEnd  time.Time             // when the first client certificate of those ends that are connected; zero: none does
	draining  bool
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Log, now: cfg.Now,
		listeners: asking(cfg.Listeners), sessions: map[string]*session{}, live: map[*session]struct{}{}, paces: cfg.Paces, rivals: newRivalry(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("node", cfg.NodeID)
	if s.now == nil {
		s.now = time.Now
	}
	if s.paces == nil {
		s.paces = NewPaces(s.limits, s.now)
	}
	s.canary = newCanary(cfg.Canary, s)
	s.crew = newCrew(&s.workers)
	s.throttle = newThrottle(s.limits.WrongSecretFor)
	s.held.size, s.arriving.size = s.limits.HeldBytes, max(s.limits.HeldBytes/2, max(s.limits.Packet, headKept)+maxTopic+messageCost)
	s.beyond.size = s.limits.Beyond
	s.porch = newPorch(s.limits, s.now)
	s.metrics = newMetrics(s.held.inUse, s.porch.inLine)
	s.inflows.New = func() any { return new([inflowBusy]byte) }
	s.outflows.New = func() any { return &outflow{b: make([]byte, 0, outflowFirst)} }
	return s
}

// Listen binds the address, so that Addr tells it before Run. Run calls it when nobody has. An address that cannot be
// had is fault.Unavailable.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) > 0 {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "listen for devices on %s", s.cfg.Addr)
	}
	s.listeners = []Listener{{Listener: l}}
	return nil
}

// Addr returns where the first listener of the server listens, or nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return nil
	}
	return s.listeners[0].Addr()
}

// Ready reports whether devices can connect.
func (s *Server) Ready() bool { return s.ready.Load() }

// Run accepts devices until ctx ends. Then it stops accepting and reading, waits a bounded time until what was received
// is acknowledged, and closes every connection. It returns nil after that, or the error that kept it from accepting.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	if err := s.metrics.register(s.cfg.Registerer); err != nil {
		s.closeListeners()
		return fault.Wrap(fault.Internal, err, "register the edge's metrics")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The core is still needed while the server drains, so its context outlives ctx.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	s.begin(ctx, work)
	s.workers.Go(func() { s.watch(ctx) })
	failures := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		s.workers.Go(func() {
			failures <- s.accept(ctx, l)
			stop()
		})
	}
	s.ready.Store(true)
	if s.canary != nil {
		s.workers.Go(func() { s.canary.run(ctx) })
	}
	<-ctx.Done()
	s.drain(stopWork)
	var err error
	for range s.listeners {
		err = errors.Join(err, <-failures)
	}
	return err
}

// begin connects the parts of the server, so that connections can be taken until ctx ends and messages until work does.
func (s *Server) begin(ctx, work context.Context) {
	s.submit = func(m ingest.Message, done func(ingest.Receipt)) { s.cfg.Core.Submit(work, m, done) }
	s.porch.ask = func(a *arrival) { s.workers.Go(func() { s.greet(ctx, a) }) }
	s.porch.refuse = s.turnAway
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close() // accept returns; an error means that it is closed
	}
}

// drain ends what Run has started.
func (s *Server) drain(stopWork func()) {
	s.ready.Store(false)
	close(s.crew.dismissed)
	s.closeListeners()
	s.porch.close()
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, one := range s.everybody() {
		one.end(causeDrain)
	}
	late := time.AfterFunc(s.limits.DrainWithin, func() {
		stopWork()
		for _, one := range s.everybody() {
			one.abandon()
		}
	})
	defer late.Stop()
	s.workers.Wait()
}

// everybody returns the sessions that are not over.
func (s *Server) everybody() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.live))
}

// accept takes connections until the listener closes.
func (s *Server) accept(ctx context.Context, l Listener) error {
	const longestPause = time.Second
	pause := time.Duration(0)
	for ctx.Err() == nil {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.arrive(ctx, l, conn)
			continue
		case ctx.Err() == nil && errors.Is(err, net.ErrClosed):
			return fault.Wrap(fault.Unavailable, err, "accept devices")
		}
		// Out of file descriptors, mostly: the listener is good and somebody will leave.
		pause = min(max(2*pause, 5*time.Millisecond), longestPause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			s.log.Error("cannot accept a device, trying again", "error", err)
		}
	}
	return nil
}

func (s *Server) willSettled(r ingest.Receipt) {
	s.metrics.unacked.Dec()
	s.metrics.settled(r)
	if r.Err != nil {
		s.log.Warn("will not durable, it is lost", "error", r.Err)
	}
}

// Deliver sends a message down to a device, QoS 0, and reports whether the device is connected here, listens for
// messages of that kind and reads what it is sent. The payload must be shorter than 256 KiB.
func (s *Server) Deliver(device string, kind Kind, payload []byte) bool {
	s.mu.Lock()
	one := s.sessions[device]
	s.mu.Unlock()
	return one != nil && one.deliver(kind, payload)
}

// watch looks again and again whether the credentials of those who are connected are still good, and calls the roll.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(s.limits.WatchEvery)
	defer ticker.Stop()
	var seen *devices.Snapshot
	var due time.Time
	called := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			seen, due = s.recheck(seen, due)
			s.forgetQuestions()
			if now := s.now(); now.Sub(called) >= s.limits.RollCallEvery {
				called = now
				s.RollCall()
			}
		}
	}
}

// recheck compares the sessions with the newest snapshot, if it is another than the one seen before or an old secret (due, when
// set) or a client certificate has ended since. It returns the snapshot, and when the next one ends.
func (s *Server) recheck(seen *devices.Snapshot, due time.Time) (*devices.Snapshot, time.Time) {
	now := s.now()
	snapshot, _ := s.cfg.Snapshot()
	if ended := s.ended(now); snapshot == nil || snapshot == seen && !ended && (due.IsZero() || now.Before(due)) {
		return seen, due
	}
	for _, one := range s.everybody() {
		one.renew(snapshot)
	}
	return snapshot, snapshot.NextEnd(now)
}

// renew takes the device as the snapshot has it, or ends the session when it may not be connected any more.
func (s *session) renew(snapshot *devices.Snapshot) {
	if s.canary != "" {
		return // it is in no registry
	}
	now := snapshot.Devices[s.uid]
	if why := s.standing(snapshot, now); why != "" {
		s.end(why)
		return
	}
	s.device.Store(now)
}
