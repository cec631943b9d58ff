package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/fault"
	"hale/ingest"
)

// Times that the brokers' side of the house agreed on (architecture.md, Bridge).
const (
	maxReconnectInterval = 5 * time.Second
	writeWithin          = 10 * time.Second
	leaveWithin          = 500 * time.Millisecond
)

// broker is the connection to one broker, with what was received on it.
type broker struct {
	ingest.Broker
	bridge   *Bridge
	secure   *tls.Config
	log      *slog.Logger
	metrics  brokerMetrics
	queue    *queue
	arrivals arrivals
	seal     seal
	now      func() time.Time
	limits   Limits

	conn  atomic.Pointer[conn] // the newest
	known atomic.Bool          // the broker has had a session of ours since we started

	standing sync.Mutex // one look at the connection at a time

	mu         sync.Mutex
	subscribed *conn               // the connection on which every subscription was granted
	refusedTil time.Time           // no attempt to connect before
	problems   map[concern]problem // what is wrong, each until it is right again
	since      time.Time           // when trouble was told of that is not over; zero without
}

// concern is what a problem is about: the newest word on each stands.
type concern string

// The concerns, in the order in which they are told.
const (
	ofConnection   concern = "connection"
	ofCredentials  concern = "credentials"
	ofSubscription concern = "subscription"
	ofDurability   concern = "durability"
)

type problem string

// notYet stands until the first attempt to connect has ended. It is not logged.
const notYet problem = "not connected yet"

func newBroker(b *Bridge, cfg ingest.Broker, secure *tls.Config) *broker {
	one := &broker{
		Broker: cfg, bridge: b, secure: secure, log: b.cfg.Log.With("broker", cfg.Name), metrics: b.metrics.of(cfg.Name),
		now: b.cfg.Now, limits: b.cfg.Limits, seal: newSeal(), problems: map[concern]problem{ofConnection: notYet},
	}
	one.queue = newQueue(one.limits, one.metrics)
	return one
}

// state tells how it stands.
func (b *broker) state() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stands()
}

// stands is state for who holds the lock.
func (b *broker) stands() State {
	s := State{Broker: b.Name, Connected: b.up(), Waiting: b.queue.size(), Tried: b.problems[ofConnection] != notYet}
	s.Subscribed = s.Connected && b.subscribed == b.conn.Load()
	var texts []string
	for _, c := range []concern{ofCredentials, ofConnection, ofSubscription, ofDurability} {
		if p, ok := b.problems[c]; ok && p != "" {
			texts = append(texts, string(p))
		}
	}
	s.Problem = strings.Join(texts, "; ")
	return s
}

// say notes what is wrong, or "" when it is right again. Each trouble is logged when it changes, and the end of all once,
// as loudly: whoever reads of the one looks for the other.
func (b *broker) say(about concern, text problem) {
	b.mu.Lock()
	defer b.mu.Unlock() // while it is logged too: the log has the order of what happened
	before := b.problems[about]
	b.problems[about] = text
	if text != "" && before != text {
		b.log.Warn("bridge has trouble", "about", string(about), "problem", string(text))
		if b.since.IsZero() {
			b.since = b.now()
		}
	}
	if text == "" && !b.since.IsZero() && b.stands().Well() {
		b.log.Warn("bridge is well again", "after", b.now().Sub(b.since).Round(time.Millisecond).String())
		b.since = time.Time{}
	}
}

// run takes messages until ctx ends, and then waits for those that it has.
func (b *broker) run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers sync.WaitGroup
	workers.Go(func() { b.handOver(work) })
	workers.Go(func() { b.acknowledge(work) })
	client := mqtt.NewClient(b.options(ctx))
	client.Connect() // paho tries until it stands, and tells us through the options' handlers
	<-ctx.Done()
	b.queue.close()
	b.queue.drain(b.limits.DrainWithin)
	client.Disconnect(uint(leaveWithin.Milliseconds()))
	if c := b.conn.Load(); c != nil {
		_ = c.Close() // it is closed already when paho was quick
	}
	stop()
	workers.Wait()
}

// options is how paho is to behave. The traps are in the comments.
func (b *broker) options(ctx context.Context) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions().AddBroker("tcp://" + b.Addr)
	o.SetClientID(b.ClientID).SetCleanSession(false).SetProtocolVersion(4) // 4 said aloud, or paho falls back to 3.1 when it is refused
	o.SetAutoAckDisabled(true).SetOrderMatters(true).SetDefaultPublishHandler(b.received(ctx))
	o.SetAutoReconnect(true).SetMaxReconnectInterval(maxReconnectInterval)
	o.SetConnectRetry(true).SetConnectRetryInterval(b.limits.ConnectEvery).SetConnectTimeout(b.limits.ConnectWithin)
	o.SetKeepAlive(b.limits.KeepAlive).SetPingTimeout(10 * time.Second).SetWriteTimeout(writeWithin)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return b.open(ctx) })
	o.SetCredentialsProvider(func() (user, password string) { return b.credentials() })
	o.SetOnConnectHandler(func(c mqtt.Client) { b.subscribe(ctx, c) })
	o.SetConnectionNotificationHandler(func(_ mqtt.Client, n mqtt.ConnectionNotification) { b.noted(ctx, n) })
	return o
}

// credentials reads user name and password for the next attempt.
func (b *broker) credentials() (user, password string) {
	user, password, err := b.bridge.cfg.Credentials(&b.Broker)
	if err != nil {
		b.say(ofCredentials, problem(fault.MessageOf(err)))
		return "", ""
	}
	b.say(ofCredentials, "")
	return user, password
}

// errPatience is how an attempt ends that comes too early after a refusal.
var errPatience = errors.New("the broker has refused us a moment ago")

// open connects to the broker.
func (b *broker) open(ctx context.Context) (net.Conn, error) {
	b.mu.Lock()
	early := b.now().Before(b.refusedTil)
	b.mu.Unlock()
	if early {
		return nil, errPatience
	}
	ctx, cancel := context.WithTimeout(ctx, b.limits.ConnectWithin)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr)
	if err != nil {
		return nil, err
	}
	if b.secure != nil {
		cfg := b.secure.Clone()
		if cfg.ServerName, _, err = net.SplitHostPort(b.Addr); err != nil {
			_ = raw.Close()
			return nil, err
		}
		secured := tls.Client(raw, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		raw = secured
	}
	c := newConn(raw, b.limits.Packet, b.seal, b.welcomed)
	c.wrong = func(err error) { b.say(ofConnection, problem(err.Error())) }
	b.conn.Store(c)
	return c, nil
}

// welcomed hears the broker's CONNACK, of which paho tells only a part.
func (b *broker) welcomed(code byte, sessionPresent bool) {
	if code != packets.Accepted {
		return
	}
	if b.known.Swap(true) && !sessionPresent {
		b.metrics.forgotten.Inc()
		b.log.Error("the broker has forgotten our session: what it held for us is lost; does it keep sessions on disk?")
	}
}

// noted hears what becomes of the connection.
func (b *broker) noted(ctx context.Context, n mqtt.ConnectionNotification) {
	switch n := n.(type) {
	case mqtt.ConnectionNotificationConnected, mqtt.ConnectionNotificationLost:
		b.look(ctx)
	case mqtt.ConnectionNotificationConnecting:
		if n.IsReconnect {
			b.metrics.reconnects.Inc()
		}
	case mqtt.ConnectionNotificationFailed:
		if ctx.Err() == nil && !errors.Is(n.Reason, errPatience) {
			b.failed(n.Reason)
		}
	}
}

// up reports whether the newest connection stands.
func (b *broker) up() bool {
	c := b.conn.Load()
	return c != nil && c.accepted.Load() && !c.isGone()
}

// look says whether we are connected. paho tells of a lost connection and of the next one in any order, so that we look
// for ourselves.
func (b *broker) look(ctx context.Context) {
	b.standing.Lock()
	defer b.standing.Unlock()
	switch {
	case b.up():
		b.metrics.connected.Set(1)
		b.say(ofConnection, "")
	case ctx.Err() == nil:
		b.metrics.connected.Set(0)
		b.lost()
	}
}

// lost says that the connection is gone, unless it was said already why.
func (b *broker) lost() {
	b.mu.Lock()
	before := b.problems[ofConnection]
	b.mu.Unlock()
	if before == "" || before == notYet {
		b.say(ofConnection, "the connection was lost; trying again")
	}
}

// failed says why an attempt to connect did not succeed. Where a person must mend something, we ask rarely: brokers lock
// out those who guess.
func (b *broker) failed(reason error) {
	var text problem
	var wrong *violation
	switch {
	case errors.As(reason, &wrong):
		b.say(ofConnection, problem(wrong.Error()))
		return
	case errors.Is(reason, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(reason, packets.ErrorRefusedNotAuthorised):
		text = "the broker refuses our user name or password: mend the credentials of this broker"
	case errors.Is(reason, packets.ErrorRefusedIDRejected):
		text = "the broker refuses our client id: choose another client_id"
	default:
		b.say(ofConnection, problem("the broker cannot be reached: "+plainly(reason)))
		return
	}
	b.mu.Lock()
	b.refusedTil = b.now().Add(b.limits.RefusedFor)
	b.mu.Unlock()
	b.metrics.rejected.Inc()
	b.say(ofConnection, text+problem("; trying again every "+b.limits.RefusedFor.String()))
}

// plainly tells an error of the network without the ports, which are others at each attempt.
func plainly(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// subscribe asks for our topics after each connect, whether or not the broker has kept them, and again for those that it
// refuses: for each that it grants, it sends all that it retains.
func (b *broker) subscribe(ctx context.Context, client mqtt.Client) {
	mine := b.conn.Load()
	filters := map[string]byte{}
	for _, s := range b.Subscriptions {
		filters[s.Topic()] = 1
	}
	for mine == b.conn.Load() {
		refused, err := b.ask(client, filters) // and filters are those that are still to be granted
		if mine != b.conn.Load() || mine.isGone() || ctx.Err() != nil {
			return
		}
		switch {
		case err != nil:
			b.metrics.resubscribeFailures.Inc()
			b.say(ofSubscription, problem("the broker did not answer our subscriptions: "+err.Error()))
		case len(refused) > 0:
			b.metrics.resubscribeFailures.Inc()
			b.say(ofSubscription, problem("the broker refuses the subscriptions "+strings.Join(refused, ", ")+": let our user read them there"))
		default:
			b.mu.Lock()
			b.subscribed = mine
			b.mu.Unlock()
			b.say(ofSubscription, "")
			b.log.Info("subscribed", "subscriptions", len(b.Subscriptions))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-mine.gone:
			return
		case <-time.After(b.limits.ResubscribeEvery):
		}
	}
}

// subscriptionRefused is the code of a filter in SUBACK that the broker does not let us have.
const subscriptionRefused = 0x80

// ask subscribes and returns the filters that the broker refused, or grants without a promise. What it granted is taken
// out of filters.
func (b *broker) ask(client mqtt.Client, filters map[string]byte) (refused []string, err error) {
	token := client.SubscribeMultiple(filters, nil)
	if !token.WaitTimeout(b.limits.SubscribeWithin) {
		return nil, fault.New(fault.Unavailable, "no SUBACK within %s", b.limits.SubscribeWithin)
	}
	if err := token.Error(); err != nil {
		return nil, err
	}
	given, ok := token.(*mqtt.SubscribeToken)
	if !ok {
		return nil, fault.New(fault.Internal, "paho answered a SUBSCRIBE with another token")
	}
	for filter, code := range given.Result() {
		switch code {
		case 1, 2:
			delete(filters, filter)
		case 0:
			refused = append(refused, filter+" (granted with QoS 0 only, which may lose)")
		case subscriptionRefused:
			refused = append(refused, filter)
		default:
			refused = append(refused, filter)
		}
	}
	slices.Sort(refused)
	return refused, nil
}

// received takes one message from paho. It only enqueues: as long as it has not returned, nothing else is read from this
// broker, its answers to our pings included.
func (b *broker) received(ctx context.Context) mqtt.MessageHandler {
	return func(_ mqtt.Client, m mqtt.Message) {
		b.metrics.received.Inc()
		e := &entry{ack: m.Ack, qos: m.Qos(), cost: len(m.Payload()) + len(m.Topic()) + entryCost}
		e.message = ingest.Message{Topic: m.Topic(), Mapping: b.Mapping, ReceivedAt: b.arrivals.of(m, b.now()), Retained: m.Retained()}
		e.message.Payload, e.message.Oversize = b.seal.open(m.Payload())
		if m.Retained() {
			b.metrics.retained.Inc()
		}
		gone := (<-chan struct{})(nil)
		if c := b.conn.Load(); c != nil {
			gone = c.gone
		}
		b.queue.add(ctx, gone, e)
	}
}

// handOver gives message after message to the core, and what was not durable again after a pause.
func (b *broker) handOver(ctx context.Context) {
	for {
		e := b.queue.next(ctx)
		if e == nil {
			return
		}
		snapshot := b.bridge.cfg.Snapshot()
		if snapshot == nil {
			b.settled(e, fault.New(fault.Unavailable, "the registry has not been read yet"))
			continue
		}
		m := e.message
		if m.Device = snapshot.Devices[b.Device]; m.Device == nil || m.Device.Revoked {
			b.settled(e, fault.New(fault.Forbidden, "the bridge's device %s is not enrolled, or was revoked: enrol it at the device desk", b.Device))
			continue
		}
		b.bridge.cfg.Core.Submit(ctx, m, func(r ingest.Receipt) {
			if r.Err == nil && len(r.Refused) > 0 {
				b.metrics.refused.Inc()
			}
			b.settled(e, r.Err)
		})
	}
}

// settled notes what became of a message.
func (b *broker) settled(e *entry, err error) {
	b.queue.settle(e, err)
	if err != nil {
		b.say(ofDurability, problem("messages wait, because they cannot be made durable: "+fault.MessageOf(err)))
		return
	}
	b.say(ofDurability, "")
}

// acknowledge tells the broker of messages that are durable, in the order in which they came. paho drops what belongs to
// a connection that is gone; the broker sends that message again, and the record knows it.
func (b *broker) acknowledge(ctx context.Context) {
	for {
		done := b.queue.durable(ctx)
		if done == nil {
			return
		}
		for _, e := range done {
			e.ack()
			if e.qos > 0 {
				b.metrics.acked.Inc()
			}
		}
		b.queue.acknowledged()
	}
}
