// Package embedded runs the PostgreSQL server that `hale up` keeps for itself: it finds or installs the programs, makes
// the cluster, starts the server on a private Unix socket, and sees to it that it ends when Hale ends, however that
// happens.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"hale/fault"
)

const (
	superuser = "hale" // owns the cluster; the roles that Hale works with are made by the migrations
	database  = "hale"
	port      = 5432 // a part of the socket's name only: no TCP port is ever opened

	fastShutdown      = 20 * time.Second // for a checkpoint of everything in memory, on a slow disk
	immediateShutdown = 7 * time.Second  // the server itself kills what lingers after 5 s
)

// Config says where the server lives and what it may do. Every function of this package takes it.
type Config struct {
	Dir        string // Hale's data directory; the cluster is Dir/postgres
	SearchRoot string // put before every place of the system that is searched or written; "" means "/"
	BinDir     string // the programs to use, and no others; "" means search
	PathEnv    string // the PATH in which programs are looked up
	RuntimeDir string // a directory for sockets when Dir is too long a path ($XDG_RUNTIME_DIR); may be ""
	Install    bool   // whether a missing PostgreSQL may be installed
	Log        *slog.Logger
	Out        func(line string) // what a person should read while it happens; nil means nobody reads
	Now        func() time.Time
}

func (cfg Config) withDefaults() Config {
	if cfg.SearchRoot == "" {
		cfg.SearchRoot = "/"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Out == nil {
		cfg.Out = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

// Server is a PostgreSQL server that is ready, together with the lock on Hale's data directory.
type Server struct {
	log        *slog.Logger
	cluster    *cluster
	postmaster *postmaster
	socket     socket
	adopted    bool
	unexpected chan struct{}

	mu       sync.Mutex
	stopping bool
	reason   error
	stopped  error
	once     sync.Once
}

// Start brings up the server of cfg.Dir and returns when it takes connections. It installs PostgreSQL if it is missing
// and cfg.Install allows it, makes the cluster and the database "hale" if there are none, and adopts a server that
// lives on from an earlier run. ctx bounds the start only: the server runs until Stop, or until this process ends.
//
// It returns fault.Conflict when another Hale holds the directory, fault.Unavailable when PostgreSQL is missing or does
// not start, fault.Invalid when the directory cannot be used as it is and fault.Forbidden when it is somebody else's.
//
// When ctx ends first, the error says so and wraps ctx's own.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := start(ctx, cfg.withDefaults())
	if err != nil && ctx.Err() != nil { // a tool that was killed would be told as a failure of PostgreSQL's
		return nil, fault.Wrap(fault.Unavailable, errors.Join(ctx.Err(), err), "stopped before PostgreSQL was ready")
	}
	return s, err
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	began := cfg.Now()
	bin, version, err := findOrInstall(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c, err := openCluster(ctx, cfg, bin)
	if err != nil {
		return nil, err
	}
	s, err := c.start(ctx)
	if err != nil {
		return nil, errors.Join(err, c.lock.release())
	}
	go s.watch()
	cfg.Log.Info("postgresql is ready", "pid", s.PID(), "adopted", s.adopted, "version", version,
		"took_ms", cfg.Now().Sub(began).Milliseconds())
	return s, nil
}

// findOrInstall returns programs to run.
func findOrInstall(ctx context.Context, cfg Config) (binDir string, version int, err error) {
	binDir, version, err = find(ctx, cfg)
	if !fault.Is(err, fault.NotFound) {
		return binDir, version, err
	}
	if err := Install(ctx, cfg); err != nil {
		return "", 0, err
	}
	return find(ctx, cfg)
}

// start adopts a living server or starts one.
func (c *cluster) start(ctx context.Context) (*Server, error) {
	s := &Server{log: c.cfg.Log, cluster: c, unexpected: make(chan struct{})}
	adopted, err := c.adopt(ctx)
	switch {
	case err != nil:
		return nil, err
	case adopted != nil:
		s.postmaster, s.socket, s.adopted = adopted.postmaster, adopted.socket, true
		return s, nil
	}
	if err := c.initialise(ctx); err != nil {
		return nil, err
	}
	if s.socket, err = c.makeSocketDir(); err != nil {
		return nil, err
	}
	if s.postmaster, err = c.launch(ctx, s.socket); err != nil {
		return nil, err
	}
	return s, nil
}

// watch tells when the server ends although nobody asked for it.
func (s *Server) watch() {
	<-s.postmaster.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return
	}
	s.reason = fault.Wrap(fault.Unavailable, s.cluster.explain(s.postmaster), "PostgreSQL ended by itself (start hale up again; nothing acknowledged is lost)")
	close(s.unexpected)
}

// URL returns the connection string of the database "hale" for a login role, by the Unix socket.
func (s *Server) URL(role string) string { return s.socket.url(role, database) }

// SuperURL returns the connection string of any database for the cluster's superuser.
func (s *Server) SuperURL(db string) string { return s.socket.url(superuser, db) }

// Done returns a channel that is closed when the server ended although nobody called Stop; Err says why.
func (s *Server) Done() <-chan struct{} { return s.unexpected }

// Err returns why the server ended by itself, a fault.Unavailable, and nil as long as it has not.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// PID returns the process id of the server's first process, the postmaster.
func (s *Server) PID() int { return s.postmaster.pid }

// Adopted reports whether the server was found running. Such a server is not our child: it outlives a kill -9 of this
// process, and the next Start adopts it again.
func (s *Server) Adopted() bool { return s.adopted }

// Stop shuts the server down and gives the data directory back. It ends transactions and writes a checkpoint; if that
// takes longer than ctx or 20 s allow, the server is stopped where it stands (the next start then recovers from the
// log, and nothing committed is lost) and Stop says so with fault.Unavailable. Only the first call acts.
func (s *Server) Stop(ctx context.Context) error {
	s.once.Do(func() {
		s.mu.Lock()
		s.stopping = true
		s.mu.Unlock()
		s.stopped = errors.Join(s.postmaster.stop(ctx, s.log), s.socket.remove(), s.cluster.lock.release())
	})
	return s.stopped
}

// stop asks for a fast shutdown, then for an immediate one, then leaves the process no choice.
func (p *postmaster) stop(ctx context.Context, log *slog.Logger) error {
	if p.hasEnded() {
		return nil
	}
	p.send(signalFast, log)
	if waitFor(ctx, p.ended, fastShutdown) {
		return nil
	}
	log.Warn("postgresql does not stop in time, stopping it at once", "pid", p.pid)
	p.send(signalImmediate, log)
	if !waitFor(context.WithoutCancel(ctx), p.ended, immediateShutdown) {
		p.send(os.Kill, log)
		if !waitFor(context.WithoutCancel(ctx), p.ended, immediateShutdown) {
			return fault.New(fault.Internal, "PostgreSQL (pid %d) cannot be stopped", p.pid)
		}
	}
	return fault.New(fault.Unavailable, "PostgreSQL did not stop in time and was stopped at once; it recovers at the next start")
}

// send sends a signal. A process that is gone needs none; of any other failure the wait that follows is the judge.
func (p *postmaster) send(sig os.Signal, log *slog.Logger) {
	if err := p.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.Warn("postgresql cannot be signalled", "pid", p.pid, "error", err)
	}
}

// waitFor waits for done, at most for the given time and while ctx lives, and reports whether done came.
func waitFor(ctx context.Context, done <-chan struct{}, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// socket is where a server listens.
type socket struct {
	dir  string
	port int
	// lent is the file that remembers a directory outside Hale's own, "" when it is inside.
	lent string
}

func (s socket) path() string { return filepath.Join(s.dir, fmt.Sprintf(".s.PGSQL.%d", s.port)) }

func (s socket) url(role, db string) string {
	query := url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}}
	// PostgreSQL's clients know %20 for a space, and not the plus that a form would send.
	u := url.URL{Scheme: "postgresql", User: url.User(role), Path: "/" + db, RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}
	return u.String()
}
