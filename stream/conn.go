package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"hale/fault"
)

// Config says how to connect.
type Config struct {
	Name        string // of the process, as the server shows it; "hale" when empty
	Credentials string // file with NATS credentials; empty when the URL or nobody asks for them
	Log         *slog.Logger
	Metrics     prometheus.Registerer // nil keeps the figures to ourselves
	Timeout     time.Duration         // of one question to the server; 5 s when 0
}

// Conn is a connection to a NATS server. It reconnects by itself for as long as it is open.
type Conn struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger
	metrics *metrics
	timeout time.Duration

	// Of the embedded server; nil and 0 elsewhere.
	free    func() (uint64, error)
	minFree uint64
	restart func(context.Context) error

	mu      sync.Mutex
	next    int
	waiting map[int]context.CancelCauseFunc // who waits for an answer on the connection as it is
}

var errDisconnected = errors.New("the connection to the stream server was lost")

// Dial connects to the NATS server at url ("nats://host:4222", several separated by commas). A server that cannot be
// reached is fault.Unavailable. It must run JetStream with `sync_interval: always`, or what it acknowledges can be lost
// with the power.
func Dial(ctx context.Context, url string, cfg Config) (*Conn, error) {
	return dial(ctx, url, cfg, nats.ReconnectWait(250*time.Millisecond))
}

func dial(ctx context.Context, url string, cfg Config, more ...nats.Option) (*Conn, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Name == "" {
		cfg.Name = "hale"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{log: cfg.Log, metrics: newMetrics(cfg.Metrics), timeout: cfg.Timeout, waiting: map[int]context.CancelCauseFunc{}}
	options := append([]nats.Option{
		nats.Name(cfg.Name), nats.Timeout(timeLeft(ctx, cfg.Timeout)), nats.MaxReconnects(-1),
		// Nothing is kept back for a later connection: an envelope is repeated by whoever holds it.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(c.disconnected),
		nats.ClosedHandler(func(nc *nats.Conn) { c.disconnected(nc, nil) }),
		nats.ReconnectHandler(func(*nats.Conn) { c.log.Info("stream server is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.log.Warn("stream server complains", "error", err)
		}),
	}, more...)
	if cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(cfg.Credentials))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "connect to the stream server")
	}
	c.nc = nc
	c.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(cfg.Timeout))
	if err != nil {
		nc.Close()
		return nil, fault.Wrap(fault.Internal, err, "prepare JetStream")
	}
	return c, nil
}

// Close ends the connection; readers and publishers on it end with fault.Unavailable.
func (c *Conn) Close() { c.nc.Close() }

// Up reports whether the connection stands at the moment.
func (c *Conn) Up() bool { return c.nc.Status() == nats.CONNECTED }

// disconnected wakes everybody whose answer was lost with the connection, so that nobody sits out a time limit.
func (c *Conn) disconnected(_ *nats.Conn, err error) {
	if err != nil {
		c.log.Warn("stream server is away", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cancel := range c.waiting {
		cancel(errDisconnected)
	}
}

// whileConnected returns a context that ends with the connection as it is now.
func (c *Conn) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	id := c.next
	c.next++
	c.waiting[id] = cancel
	c.mu.Unlock()
	if !c.Up() {
		cancel(errDisconnected)
	}
	return ctx, func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		cancel(context.Canceled)
	}
}

// ask bounds one question to the server.
func (c *Conn) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, release := c.whileConnected(ctx)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	return ctx, func() { cancel(); release() }
}

// wrap gives an answer of the server its kind: a stream that is not there is fault.Gone, all else fault.Unavailable.
func wrap(err error, format string, args ...any) error {
	var kinded *fault.Error
	if err == nil || errors.As(err, &kinded) {
		return err
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fault.Wrap(fault.Gone, err, format, args...)
	}
	return fault.Wrap(fault.Unavailable, err, format, args...)
}

// pause waits, or returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
