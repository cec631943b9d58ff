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
	random                 *rand.Rand // chance in the pauses, so that not all devices come at once
	dialled                *atomic.Int64

	mu     sync.Mutex
	client mqtt.Client
	closed bool
}

// open connects; for as long as patience lasts it tries again. Patience 0 has no end.
func (c *connection) open(ctx context.Context, patience time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && c.client.IsConnectionOpen() {
		return nil
	}
	began, pause := time.Now(), firstPause
	for {
		if c.closed {
			return fmt.Errorf("device %s has ended", c.device)
		}
		err := c.dial(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if patience > 0 && time.Since(began) > patience {
			return fmt.Errorf("connect device %s: %w", c.device, err)
		}
		if err := waitUntil(ctx, time.Now().Add(pause/2+time.Duration(c.random.Int64N(int64(pause))))); err != nil {
			return err
		}
		pause = min(longestPause, 2*pause)
	}
}

func (c *connection) dial(ctx context.Context) error {
	options := mqtt.NewClientOptions().AddBroker(brokerURL(c.broker)).SetTLSConfig(c.trust).SetClientID(c.device).SetUsername(c.device).SetPassword(c.secret).
		SetProtocolVersion(4).SetAutoReconnect(false).SetKeepAlive(2 * time.Minute).SetOrderMatters(true).SetConnectTimeout(15 * time.Second).
		SetWriteTimeout(30 * time.Second)
	options.SetConnectionLostHandler(func(mqtt.Client, error) {
		go func() { _ = c.open(ctx, 0) }() // it ends with ctx, and says why to whoever publishes next
	})
	client := mqtt.NewClient(options)
	c.dialled.Add(1)
	token := client.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		client.Disconnect(0)
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return err
	}
	c.client = client
	return nil
}

// publish sends a message and returns when its PUBACK has come, however often the line breaks meanwhile.
func (c *connection) publish(ctx context.Context, topic string, body []byte) error {
	for {
		if err := c.open(ctx, 0); err != nil {
			return err
		}
		c.mu.Lock()
		client := c.client
		c.mu.Unlock()
		token := client.Publish(topic, 1, false, body)
		select {
		case <-token.Done():
			if token.Error() == nil {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends the connection with a DISCONNECT.
func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.client != nil {
		c.client.Disconnect(20)
	}
}

// stopped reports whether an error only says that somebody told us to end.
func stopped(err error) bool { return errors.Is(err, context.Canceled) }
