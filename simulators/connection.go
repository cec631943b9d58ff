package simulators

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Pauses between attempts to connect (docs/wire.md, store and forward).
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// connection is one device on a paho client of its own. A message counts as sent when its PUBACK has come: when the
// line breaks before, it is sent again on the next one. (The client's own reconnecting would forget it.)
type connection struct {
	broker, device, secret string
	trust                  *tls.Config
	random                 *rand.Rand // chance in the pauses, so that not all devices come at once; for whoever holds opening
	dialled                *atomic.Int64
	patience               time.Duration // how long a line that broke is tried again; 0 has no end

	opening chan struct{} // holds something while somebody dials or pauses before it dials again
	ended   chan struct{} // closed by close
	end     func()

	mu     sync.Mutex // never held while something is waited for
	client mqtt.Client
}

// newConnection makes one whole; it is not open yet.
func newConnection(c *connection) *connection {
	c.opening, c.ended = make(chan struct{}, 1), make(chan struct{})
	c.end = sync.OnceFunc(func() { close(c.ended) })
	return c
}

// open connects; for as long as patience lasts it tries again. Patience 0 has no end.
func (c *connection) open(ctx context.Context, patience time.Duration) error {
	began, pause := time.Now(), firstPause
	trying := ctx
	if patience > 0 {
		var stop context.CancelFunc
		trying, stop = context.WithDeadline(ctx, began.Add(patience))
		defer stop()
	}
	err := errors.New("another attempt is under way")
	select {
	case c.opening <- struct{}{}:
		defer func() { <-c.opening }()
	case <-c.ended:
		return c.over()
	case <-trying.Done():
		return c.gaveUp(ctx, err)
	}
	for {
		if client := c.line(); client != nil && client.IsConnectionOpen() {
			return nil
		}
		if err = c.dial(ctx); err == nil {
			return nil
		}
		timer := time.NewTimer(pause/2 + time.Duration(c.random.Int64N(int64(pause))))
		select {
		case <-timer.C:
		case <-c.ended:
			timer.Stop()
			return c.over()
		case <-trying.Done():
			timer.Stop()
			return c.gaveUp(ctx, err)
		}
		pause = min(longestPause, 2*pause)
	}
}

func (c *connection) over() error { return fmt.Errorf("device %s has ended", c.device) }

// gaveUp says why: somebody told us to end, or patience did.
func (c *connection) gaveUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("connect device %s: %w", c.device, err)
}

// line is the client of now; nil when there was none yet.
func (c *connection) line() mqtt.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client
}

func (c *connection) dial(ctx context.Context) error {
	options := mqtt.NewClientOptions().AddBroker(brokerURL(c.broker)).SetTLSConfig(c.trust).SetClientID(c.device).SetUsername(c.device).SetPassword(c.secret).
		SetProtocolVersion(4).SetAutoReconnect(false).SetKeepAlive(2 * time.Minute).SetOrderMatters(true).SetConnectTimeout(15 * time.Second).
		SetWriteTimeout(30 * time.Second)
	options.SetConnectionLostHandler(func(mqtt.Client, error) {
		go func() { _ = c.open(ctx, c.patience) }() // it ends with ctx or with c; whoever publishes next tries again and says why
	})
	client := mqtt.NewClient(options)
	c.dialled.Add(1)
	token := client.Connect()
	select {
	case <-token.Done():
	case <-c.ended:
		client.Disconnect(0)
		return c.over()
	case <-ctx.Done():
		client.Disconnect(0)
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return err
	}
	c.mu.Lock()
	c.client = client
	c.mu.Unlock()
	select {
	case <-c.ended: // close may have looked before this client was there
		client.Disconnect(20)
		return c.over()
	default:
		return nil
	}
}

// publish sends a message and returns when its PUBACK has come, however often the line breaks meanwhile, as long as
// patience lasts.
func (c *connection) publish(ctx context.Context, topic string, body []byte) error {
	for {
		if err := c.open(ctx, c.patience); err != nil {
			return err
		}
		token := c.line().Publish(topic, 1, false, body)
		select {
		case <-token.Done():
			if token.Error() == nil {
				return nil
			}
		case <-c.ended:
			return c.over()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends the connection, with a DISCONNECT when there is one, and whatever waits for it. It does not wait for a Hale
// that is gone.
func (c *connection) close() {
	c.end()
	if client := c.line(); client != nil {
		client.Disconnect(20)
	}
}

// stopped reports whether an error only says that somebody told us to end.
func stopped(err error) bool { return errors.Is(err, context.Canceled) }
