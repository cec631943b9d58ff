// Package edge is Hale's own MQTT 3.1.1 listener, server side and for devices only. Its PUBACK means that every part of
// the message is durable; it keeps no session, no retained message, and routes nothing from device to device. What a
// device may send and hear is told in docs/wire.md; what a message means is for the ingest core.
package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

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
	held     *semaphore.Weighted // bytes received and not yet durable
	workers  sync.WaitGroup
	ready    atomic.Bool

	open       atomic.Int64 // connections
	handshakes atomic.Int64 // of these, the ones that have not said who they are

	mu       sync.Mutex
	listener net.Listener
	sessions map[string]*session // by device UID
	epoch    int64               // of the newest session
	draining bool
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Log, now: cfg.Now,
		metrics: newMetrics(), listener: cfg.Listener, sessions: map[string]*session{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("node", cfg.NodeID)
	if s.now == nil {
		s.now = time.Now
	}
	s.throttle = newThrottle(s.limits.WrongSecretFor)
	s.held = semaphore.NewWeighted(int64(s.limits.HeldBytes))
	return s
}

// Listen binds the address, so that Addr tells it before Run. Run calls it when nobody has. An address that cannot be
// had is fault.Unavailable.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "listen for devices on %s", s.cfg.Addr)
	}
	s.listener = l
	return nil
}

// Addr returns where the server listens, or nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
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
		_ = s.listener.Close()
		return fault.Wrap(fault.Internal, err, "register the edge's metrics")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The core is still needed while the server drains, so its context outlives ctx.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	s.workers.Go(func() { s.watch(ctx) })
	var failure error
	s.workers.Go(func() {
		failure = s.accept(ctx, work)
		stop()
	})
	s.ready.Store(true)
	<-ctx.Done()
	s.drain(stopWork)
	return failure
}

// drain ends what Run has started.
func (s *Server) drain(stopWork func()) {
	s.ready.Store(false)
	_ = s.listener.Close() // accept returns; an error means that it is closed
	s.mu.Lock()
	s.draining = true
	live := make([]*session, 0, len(s.sessions))
	for _, one := range s.sessions {
		live = append(live, one)
	}
	s.mu.Unlock()
	for _, one := range live {
		one.end(causeDrain)
	}
	late := time.AfterFunc(s.limits.DrainWithin, stopWork)
	defer late.Stop()
	s.workers.Wait()
}

// accept takes connections until the listener closes.
func (s *Server) accept(ctx, work context.Context) error {
	const longestPause = time.Second
	pause := time.Duration(0)
	for ctx.Err() == nil {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(ctx, work, conn)
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

// admit starts to serve a connection, unless there are too many.
func (s *Server) admit(ctx, work context.Context, conn net.Conn) {
	if s.open.Load() >= int64(s.limits.Connections) || s.handshakes.Load() >= int64(s.limits.Handshakes) {
		s.metrics.connects.WithLabelValues("full").Inc()
		_ = conn.Close()
		return
	}
	s.open.Add(1)
	s.handshakes.Add(1)
	s.metrics.connections.Inc()
	s.workers.Go(func() {
		defer func() {
			_ = conn.Close()
			s.open.Add(-1)
			s.metrics.connections.Dec()
		}()
		one := s.handshake(ctx, work, conn)
		s.handshakes.Add(-1)
		if one == nil {
			return
		}
		reading, cancel := context.WithCancel(ctx)
		defer cancel()
		one.cancel = cancel
		if !s.welcome(one) {
			return
		}
		defer context.AfterFunc(work, one.abandon)()
		one.serve(reading)
	})
}

// hold waits until the edge may keep n more bytes. First come, first served.
func (s *Server) hold(ctx context.Context, n int) error {
	if err := s.held.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	s.metrics.held.Add(float64(n))
	return nil
}

func (s *Server) release(n int) {
	s.held.Release(int64(n))
	s.metrics.held.Sub(float64(n))
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

// watch looks again and again whether the credentials of those who are connected are still good.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(s.limits.WatchEvery)
	defer ticker.Stop()
	var seen *devices.Snapshot
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			seen = s.recheck(seen)
		}
	}
}

// recheck compares the sessions with the newest snapshot, if it is another than the one seen before, and returns it.
func (s *Server) recheck(seen *devices.Snapshot) *devices.Snapshot {
	snapshot, _ := s.cfg.Snapshot()
	if snapshot == nil || snapshot == seen {
		return seen
	}
	s.mu.Lock()
	live := make([]*session, 0, len(s.sessions))
	for _, one := range s.sessions {
		live = append(live, one)
	}
	s.mu.Unlock()
	for _, one := range live {
		one.renew(snapshot)
	}
	return snapshot
}

// renew takes the device as the snapshot has it, or ends the session when it may not be connected any more.
func (s *session) renew(snapshot *devices.Snapshot) {
	now := snapshot.Devices[s.uid]
	if now == nil || now.Revoked || now.SecretHash != s.device.Load().SecretHash {
		s.end(causeRevoked)
		return
	}
	s.device.Store(now)
}
