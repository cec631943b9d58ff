package stream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"hale/fault"
)

// ServerConfig says how the embedded server runs.
type ServerConfig struct {
	Dir        string // where the stream lies; made when it is missing
	MaxBytes   int64  // most bytes of the stream; 0 takes half of the disk's free space, at most 10 GiB
	MinFree    uint64 // free bytes of the disk at which publishing stops; 0 is 256 MiB
	SyncAlways bool   // every write is on disk before it is acknowledged; false is for trials only
	Listen     string // loopback address for other processes, port 0 for any; empty is in process only
	Log        *slog.Logger
	// Free tells the free bytes of the disk; nil asks the file system of Dir.
	Free func() (uint64, error)
}

// Server is a NATS server with JetStream inside this process.
type Server struct {
	cfg  ServerConfig
	host string
	port int // -1 until the first start has found one

	mu        sync.Mutex
	current   *server.Server // nil while it is stopped
	restarted time.Time
}

const (
	defaultMaxBytes = 10 << 30
	defaultMinFree  = 256 << 20
	// restartPause keeps a disk that never recovers from turning into a server that only restarts.
	restartPause = 30 * time.Second
	// stopWithin bounds a shutdown whose context has no end: closing the store flushes and syncs.
	stopWithin = 20 * time.Second
)

// StartServer starts the embedded server and returns when it has recovered its stream and takes connections. ctx
// bounds the start only. A wrong address is fault.Invalid; a server that cannot start is fault.Unavailable.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := s.parseListen(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "make the stream's directory")
	}
	if s.cfg.Free == nil {
		s.cfg.Free = func() (uint64, error) { return FreeSpace(cfg.Dir) }
	}
	if s.cfg.MinFree == 0 {
		s.cfg.MinFree = defaultMinFree
	}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// parseListen refuses addresses that others could reach: the embedded server asks nobody for a password.
func (s *Server) parseListen() error {
	if s.cfg.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "stream address %q is not host:port", s.cfg.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.New(fault.Invalid, "stream address %q is not on loopback; run a NATS server of your own for other machines", s.cfg.Listen)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "stream address %q has no port", s.cfg.Listen)
	}
	s.host, s.port = host, int(n)
	if n == 0 {
		s.port = server.RANDOM_PORT
	}
	return nil
}

// reserve brings MaxBytes down to what the disk really has.
func (s *Server) reserve() error {
	free, err := s.cfg.Free()
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "ask for free disk space")
	}
	used, err := usedSpace(s.cfg.Dir)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "measure the stream's directory")
	}
	wanted := s.cfg.MaxBytes
	if wanted <= 0 {
		wanted = min(defaultMaxBytes, int64(min((free+used)/2, 1<<62)))
	}
	got := reservable(wanted, free, used, s.cfg.MinFree)
	if got < s.cfg.MaxBytes {
		s.cfg.Log.Warn("stream is smaller than configured: the disk has no more", "wanted_bytes", s.cfg.MaxBytes, "bytes", got, "free_bytes", free)
	}
	s.cfg.MaxBytes = got
	return nil
}

// start starts the server; s.mu is held.
func (s *Server) start(ctx context.Context) error {
	log := &serverLog{log: s.cfg.Log}
	ns, err := server.NewServer(&server.Options{
		ServerName: "hale", Host: s.host, Port: s.port, DontListen: s.cfg.Listen == "",
		NoSigs: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: s.cfg.Dir, SyncAlways: s.cfg.SyncAlways,
		// The stream's own MaxBytes is the limit. A tight limit here would keep a stream from being recovered after
		// somebody lowered it.
		JetStreamMaxStore: 1 << 50, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "prepare the embedded stream server")
	}
	ns.SetLoggerV2(log, false, false, false)
	if err := ready(ctx, ns, log); err != nil {
		return errors.Join(err, stop(ctx, ns))
	}
	if addr, ok := ns.Addr().(*net.TCPAddr); ok && s.cfg.Listen != "" {
		s.port = addr.Port // a restart must be found where its clients look for it
	}
	s.current = ns
	return nil
}

func ready(ctx context.Context, ns *server.Server, log *serverLog) error {
	started := make(chan struct{})
	go func() {
		ns.Start()
		close(started)
	}()
	select {
	case <-started:
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "wait for the embedded stream server")
	}
	if why := log.reason(); why != "" {
		return fault.New(fault.Unavailable, "the embedded stream server did not start: %s", why)
	}
	if !ns.ReadyForConnections(timeLeft(ctx, 5*time.Second)) || !ns.JetStreamEnabled() {
		return fault.New(fault.Unavailable, "the embedded stream server did not start and does not say why")
	}
	return nil
}

// stop ends a server within ctx, or within stopWithin.
func stop(ctx context.Context, ns *server.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeLeft(ctx, stopWithin))
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		ns.Shutdown()
		ns.WaitForShutdown()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "stop the embedded stream server")
	}
}

// timeLeft is the time until ctx's deadline, at most the given one. A cancelled context without a deadline still
// leaves it whole: that is how a program is told to stop, and stopping well takes a moment.
func timeLeft(ctx context.Context, atMost time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(atMost, time.Until(deadline))
	}
	return atMost
}

// MaxBytes returns how many bytes the stream may take on this disk: the configured number, or less.
func (s *Server) MaxBytes() int64 { return s.cfg.MaxBytes }

// ClientURL returns the address for other processes, or "" when the server does not listen.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Listen == "" || s.port <= 0 {
		return ""
	}
	return "nats://" + net.JoinHostPort(s.host, strconv.Itoa(s.port))
}

// Connect connects to the server inside the process. The connection outlives restarts of the server, stops publishing
// at the disk's low-water mark, and restarts the server when it is stuck.
func (s *Server) Connect(ctx context.Context, cfg Config) (*Conn, error) {
	c, err := dial(ctx, nats.DefaultURL, cfg, nats.InProcessServer(inProcess{s}), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 20*time.Millisecond))
	if err != nil {
		return nil, err
	}
	c.free, c.minFree, c.restart = s.cfg.Free, s.cfg.MinFree, s.Restart
	return c, nil
}

type inProcess struct{ s *Server }

// InProcessConn returns a connection to the server that runs now.
func (p inProcess) InProcessConn() (net.Conn, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.current == nil {
		return nil, fault.New(fault.Unavailable, "the embedded stream server is stopped")
	}
	return p.s.current.InProcessConn()
}

// Restart stops the server and starts it on the same directory. After a disk was really full its stream stays stuck
// until then. It does nothing within 30 s of the restart before.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.restarted.IsZero() && time.Since(s.restarted) < restartPause {
		return nil
	}
	if s.current == nil {
		return fault.New(fault.Unavailable, "the embedded stream server is stopped")
	}
	s.cfg.Log.Error("embedded stream server is restarted: it does not answer")
	if err := stop(ctx, s.current); err != nil {
		return err // two servers on one directory would destroy it
	}
	s.current = nil
	s.restarted = time.Now()
	return s.start(ctx)
}

// Shutdown stops the server within ctx, at most 20 s. What it has acknowledged is on disk by then in any case.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	err := stop(ctx, s.current)
	s.current = nil
	return err
}
