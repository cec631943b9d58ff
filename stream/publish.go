package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"hale/fault"
	"hale/vital"
)

// PublisherConfig holds the patience of a Publisher; the zero value is right for production.
type PublisherConfig struct {
	AckWithin  time.Duration // one attempt waits this long for the acknowledgement; 5 s when 0
	FullTries  int           // attempts at a full stream before the envelope is given back; 5 when 0, less than a second
	StuckAfter time.Duration // attempts that time out for this long restart the embedded server; 10 s when 0
	Now        func() time.Time
}

// Publisher makes envelopes durable. Any number of goroutines may use it; the order within a partition and lane is
// kept as long as there is one of them in flight, which is the caller's part.
type Publisher struct {
	stream  *Stream
	cfg     PublisherConfig
	company company

	mu       sync.Mutex
	timeouts int // in a row, over all goroutines
	since    time.Time
}

const (
	firstPause = 20 * time.Millisecond
	longPause  = 250 * time.Millisecond
	// stuckTimeouts is the least number of time-outs in a row before the server counts as stuck.
	stuckTimeouts = 3
)

// Publisher returns a publisher to this stream.
func (s *Stream) Publisher(cfg PublisherConfig) *Publisher {
	if cfg.AckWithin <= 0 {
		cfg.AckWithin = 5 * time.Second
	}
	if cfg.FullTries <= 0 {
		cfg.FullTries = 5
	}
	if cfg.StuckAfter <= 0 {
		cfg.StuckAfter = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Publisher{stream: s, cfg: cfg}
	p.company.send = p.sendTogether
	return p
}

// Publish makes the records durable as one envelope, or as several in order when one would be larger than
// MaxEnvelope. It returns nil only when all of them are on disk. Small envelopes of several live lanes that come at the same
// moment share a bundle. An attempt whose outcome is not known is repeated as the same message until ctx ends (in a bundle:
// of all that share it). A full stream, a disk at its low-water mark and an ended ctx are fault.Unavailable: some of the
// records may be on disk then, and publishing all of them again does no harm. Records that fit no envelope are fault.Invalid.
func (p *Publisher) Publish(ctx context.Context, partition int, lane vital.Lane, records []vital.Record) error {
	subject, err := subjectOf(partition, lane)
	if err != nil {
		return err
	}
	envelopes, err := split(vital.Partitions, MaxEnvelope, records)
	if err != nil {
		return err
	}
	if lane == vital.Live && len(envelopes) == 1 && len(envelopes[0]) <= parcelMost {
		err = p.company.travel(ctx, parcel{partition, envelopes[0]})
	} else {
		for i := 0; i < len(envelopes) && err == nil; i++ {
			err = p.send(ctx, subject, lane, envelopes[i])
		}
	}
	if err != nil {
		return err
	}
	p.stream.conn.metrics.publishedRecords.WithLabelValues(string(lane)).Add(float64(len(records)))
	return nil
}

// sendTogether publishes small envelopes of live lanes: one under its partition's own subject, several as a bundle.
func (p *Publisher) sendTogether(ctx context.Context, parcels []parcel) error {
	if len(parcels) == 1 {
		return p.send(ctx, fmt.Sprintf("%s%d", liveSubject, parcels[0].partition), vital.Live, parcels[0].envelope)
	}
	n := 0
	for _, one := range parcels {
		n += len(one.envelope)
	}
	return p.send(ctx, bundleSubject, vital.Live, encodeBundle(make([]byte, 0, bundleSize(len(parcels), n)), parcels))
}

// send publishes one message and counts it.
func (p *Publisher) send(ctx context.Context, subject string, lane vital.Lane, data []byte) error {
	m, start := p.stream.conn.metrics, p.cfg.Now()
	if err := p.publish(ctx, subject, data); err != nil {
		return err
	}
	m.publishSeconds.Observe(p.cfg.Now().Sub(start).Seconds())
	m.published.WithLabelValues(string(lane)).Inc()
	m.publishedBytes.Add(float64(len(data)))
	return nil
}

// publish repeats one envelope until it is on disk, cannot be, or ctx ends.
func (p *Publisher) publish(ctx context.Context, subject string, envelope []byte) error {
	conn := p.stream.conn
	full := 0
	for wait := firstPause; ; wait = min(2*wait, longPause) {
		if err := p.lowWater(); err != nil {
			conn.metrics.refused.WithLabelValues("disk").Inc()
			return err
		}
		err := p.attempt(ctx, subject, envelope)
		switch outcomeOf(err) {
		case stored:
			return nil
		case noRoom:
			if full++; full >= p.cfg.FullTries {
				conn.metrics.refused.WithLabelValues("full").Inc()
				return fault.Wrap(fault.Unavailable, err, "the stream is full")
			}
		case never:
			return fault.Wrap(fault.Internal, err, "publish an envelope of %d bytes", len(envelope))
		case closed:
			return fault.Wrap(fault.Unavailable, err, "publish an envelope")
		case unknown:
		}
		if !pause(ctx, wait) {
			return fault.Wrap(fault.Unavailable, errors.Join(ctx.Err(), err), "publish an envelope: gave up waiting")
		}
		conn.metrics.retries.Inc()
	}
}

// lowWater refuses before the disk is really full: a JetStream that ran out of space answers nobody until it is
// restarted.
func (p *Publisher) lowWater() error {
	conn := p.stream.conn
	if conn.free == nil {
		return nil
	}
	free, err := conn.free()
	if err != nil {
		conn.log.Warn("free disk space is not known", "error", err)
		return nil
	}
	conn.metrics.freeBytes.Set(float64(free))
	if free < conn.minFree {
		return fault.New(fault.Unavailable, "the disk has %d bytes left, the stream stops at %d", free, conn.minFree)
	}
	return nil
}

// attempt sends the envelope once and waits for the acknowledgement.
func (p *Publisher) attempt(ctx context.Context, subject string, envelope []byte) error {
	if p.stream.conn.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	up, release := p.stream.conn.whileConnected(ctx)
	defer release()
	limited, cancel := context.WithTimeout(up, p.cfg.AckWithin)
	defer cancel()
	ack, err := p.stream.conn.js.PublishMsg(limited, &nats.Msg{Subject: subject, Data: envelope})
	switch {
	case err == nil && ack.Stream != p.stream.name:
		return errWrongStream
	case err == nil:
		p.answered()
	case errors.Is(limited.Err(), context.DeadlineExceeded) && up.Err() == nil:
		p.timedOut(ctx)
	case apiError(err) != nil:
		p.answered()
	}
	return err
}

var errWrongStream = errors.New("another stream takes Hale's subjects: give them to one stream only")

// answered notes that the server is not stuck.
func (p *Publisher) answered() {
	p.mu.Lock()
	p.timeouts = 0
	p.mu.Unlock()
}

// timedOut counts silence on a connection that stands. After enough of it the embedded server is restarted: after a
// real ENOSPC, or a failed write, its stream stays mute although there is space again.
func (p *Publisher) timedOut(ctx context.Context) {
	now := p.cfg.Now()
	p.mu.Lock()
	if p.timeouts == 0 {
		p.since = now
	}
	p.timeouts++
	stuck := p.timeouts >= stuckTimeouts && now.Sub(p.since) >= p.cfg.StuckAfter
	if stuck {
		p.timeouts = 0
	}
	p.mu.Unlock()

	conn := p.stream.conn
	if !stuck || conn.restart == nil || p.lowWater() != nil {
		return
	}
	conn.metrics.restarts.Inc()
	if err := conn.restart(context.WithoutCancel(ctx)); err != nil {
		conn.log.Error("embedded stream server could not be restarted", "error", err)
	}
}

type outcome int

const (
	stored  outcome = iota
	unknown         // it may be on disk or not: the same envelope again
	noRoom          // it is not on disk; there may be room later
	never           // it is not on disk and never will be
	closed          // it may be on disk or not, and nobody can find out on this connection
)

// Codes of the server's answers that mean: not stored for want of room.
const (
	codeResourcesExceeded jetstream.ErrorCode = 10002 // account limit
	codeInsufficient      jetstream.ErrorCode = 10023 // server limit
	codeStorageExceeded   jetstream.ErrorCode = 10047
	codeStoreFailed       jetstream.ErrorCode = 10077 // DiscardNew: maximum bytes exceeded
	codeTooLarge                              = jetstream.JSErrCodeStreamMessageExceedsMaximum
)

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return stored
	case errors.Is(err, nats.ErrConnectionClosed):
		return closed
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, errWrongStream):
		return never
	}
	if api := apiError(err); api != nil {
		switch api.ErrorCode { //nolint:exhaustive // of the server's hundreds of codes only these are told apart
		case codeResourcesExceeded, codeInsufficient, codeStorageExceeded, codeStoreFailed:
			return noRoom
		case codeTooLarge:
			return never
		}
	}
	return unknown
}

func apiError(err error) *jetstream.APIError {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api
	}
	return nil
}
