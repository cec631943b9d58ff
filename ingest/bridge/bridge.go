// Package bridge takes readings from other people's MQTT brokers: as a client with a session that the broker keeps, it
// acknowledges a message only when the ingest core says that it is durable. Several brokers at once, each with its own
// connection, queue and health; none of them can end the process. What a broker must promise before us, and what it
// drops by itself, is told in docs/bridge.md.
package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
)

// Core is the ingest core as the bridge needs it.
type Core interface {
	// Submit hands over a message. It blocks while the core has no room, and calls done exactly once, from any
	// goroutine and in any order, when the message is durable or will not be.
	Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt))
}

// Config says what a Bridge needs. Brokers, Snapshot and Core are required.
type Config struct {
	Brokers  []ingest.Broker
	Instance string // stands for ingest.InstancePlace in client ids
	// Snapshot returns the newest registry snapshot, or nil when there has been none.
	Snapshot func() *devices.Snapshot
	Core     Core
	// Credentials returns user name and password for a broker; it is asked at each attempt to connect, so that they can
	// be mended without a restart. nil: none.
	Credentials func(b *ingest.Broker) (user, password string, err error)
	Log         *slog.Logger          // nil: no log
	Now         func() time.Time      // nil: time.Now
	Registerer  prometheus.Registerer // nil: metrics are kept and not shown
	Limits      Limits                // what is zero in it has its default
}

// Limits bounds what the bridge holds and how long it waits. The zero value of a field means its default.
type Limits struct {
	HeldBytes        int           // of one broker's messages that are not durable; 64 MiB. In number they are bounded by MQTT: 65,535 with QoS 1
	Packet           int           // payload from which only the head is kept, as on the edge; ingest.LargestForeign
	RetryFirst       time.Duration // until what was not durable is tried again, doubling; 100 ms
	RetryLongest     time.Duration // to which that grows; 5 s
	RefusedFor       time.Duration // between attempts when the broker refuses our user name or password; 30 s
	SubscribeWithin  time.Duration // for the answer to SUBSCRIBE; 10 s
	ResubscribeEvery time.Duration // while the broker refuses a subscription; 30 s
	ConnectWithin    time.Duration // for one attempt to connect; 10 s
	ConnectEvery     time.Duration // between attempts until the first connection stands; 2 s
	KeepAlive        time.Duration // in whole seconds; 30 s
	DrainWithin      time.Duration // for what was received when the bridge stops; 5 s
}

func (l Limits) withDefaults() Limits {
	within := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	if l.HeldBytes <= 0 {
		l.HeldBytes = 64 << 20
	}
	if l.Packet <= 0 {
		l.Packet = ingest.LargestForeign
	}
	within(&l.RetryFirst, 100*time.Millisecond)
	within(&l.RetryLongest, 5*time.Second)
	within(&l.RefusedFor, 30*time.Second)
	within(&l.SubscribeWithin, 10*time.Second)
	within(&l.ResubscribeEvery, 30*time.Second)
	within(&l.ConnectWithin, 10*time.Second)
	within(&l.ConnectEvery, 2*time.Second)
	within(&l.KeepAlive, 30*time.Second)
	within(&l.DrainWithin, 5*time.Second)
	return l
}

// State is how it stands with one broker.
type State struct {
	Broker    string
	Connected bool
	// Subscribed is set when every subscription was granted on this connection.
	Subscribed bool
	Waiting    int    // messages received and not yet acknowledged
	Problem    string // what to mend; empty when nothing is
	Tried      bool   // the first attempt to connect has ended, well or not
}

// Well reports whether messages of this broker come and become durable.
func (s State) Well() bool { return s.Subscribed && s.Problem == "" }

// Bridge is a client of several brokers.
type Bridge struct {
	cfg     Config
	metrics *metrics
	brokers []*broker
}

// New returns a bridge that has not connected yet. A certificate authority's file that cannot be used is fault.Invalid.
func New(cfg Config) (*Bridge, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Credentials == nil {
		cfg.Credentials = func(*ingest.Broker) (user, password string, err error) { return "", "", nil }
	}
	bridge := &Bridge{cfg: cfg, metrics: newMetrics()}
	for i := range cfg.Brokers {
		b := cfg.Brokers[i]
		b.ClientID = strings.ReplaceAll(b.ClientID, ingest.InstancePlace, cfg.Instance)
		secure, err := tlsConfig(&b)
		if err != nil {
			return nil, err
		}
		bridge.brokers = append(bridge.brokers, newBroker(bridge, b, secure))
	}
	return bridge, nil
}

// tlsConfig returns how to speak TLS to the broker; nil where it is not spoken.
func tlsConfig(b *ingest.Broker) (*tls.Config, error) {
	if !b.TLS {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if b.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(b.CAFile)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the ca_file of broker %s cannot be read", b.Name)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Invalid, "the ca_file of broker %s, %s, holds no certificate in PEM form", b.Name, b.CAFile)
	}
	return cfg, nil
}

// Run takes messages until ctx ends. Then it takes no more, waits a bounded time until what it has is durable and
// acknowledged, and leaves; the brokers keep the sessions. It returns nil, or fault.Internal at once when its metrics
// cannot be registered.
func (b *Bridge) Run(ctx context.Context) error {
	if err := b.metrics.register(b.cfg.Registerer); err != nil {
		return fault.Wrap(fault.Internal, err, "register the metrics of the bridge")
	}
	var all sync.WaitGroup
	for _, one := range b.brokers {
		all.Go(func() { one.run(ctx) })
	}
	all.Wait()
	return nil
}

// States tells how it stands with each broker, in the order of the mapping file.
func (b *Bridge) States() []State {
	list := make([]State, len(b.brokers))
	for i, one := range b.brokers {
		list[i] = one.state()
	}
	return list
}
