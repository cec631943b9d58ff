package stream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"hale/fault"
	"hale/vital"
)

const (
	// readAheadBytes bounds what one reader holds; there are two for each partition.
	readAheadBytes = 4 << 20
	fetchMessages  = 64
	fetchBytes     = 2 << 20 // well above MaxEnvelope, or nothing would ever fit
	// quiet is how often the server says that it is still there; two missed ones end a fetch.
	quiet = time.Second
	// fetchWithin ends a fetch in which nothing came; the reader then looks whether messages were lost.
	fetchWithin = 20 * time.Second
	// lookEvery is how often, while messages come, the reader looks whether some were taken away unread. All readers of a
	// process share what one of them saw.
	lookEvery = 50 * time.Millisecond
	// leftAlone is after how long the server clears away a subscription that nobody reads.
	leftAlone = time.Minute
)

// follow reads ahead until the reader is closed or something is lost. Whatever else goes wrong, a disconnection, a
// restart of the server, a message that went missing on the way, is answered in the same way: a new subscription
// behind the last sequence that was read.
func (r *Reader) follow(ctx context.Context) {
	defer close(r.done)
	wait := firstPause
	for {
		before := r.position()
		err := r.subscribe(ctx)
		switch {
		case ctx.Err() != nil:
			r.fail(fault.New(fault.Unavailable, "the reader of %s is closed", r.subject))
			return
		case fault.Is(err, fault.Gone), fault.Is(err, fault.Internal):
			r.fail(err)
			return
		case r.stream.conn.nc.IsClosed():
			r.fail(fault.Wrap(fault.Unavailable, err, "read %s: the connection is closed", r.subject))
			return
		}
		r.stream.conn.metrics.reopened.Inc()
		r.stream.conn.log.Debug("reader takes up its subscription again", "subject", r.subject, "after", r.position(), "error", err)
		if r.position() > before {
			wait = firstPause
		}
		pause(ctx, wait)
		wait = min(2*wait, longPause)
	}
}

// subscribe opens a consumer behind the position and reads until something is wrong with it.
func (r *Reader) subscribe(ctx context.Context) error {
	ctx, release := r.stream.conn.whileConnected(ctx)
	defer release()
	consumer, err := r.consumer(ctx)
	if err != nil {
		return err
	}
	defer r.forget(ctx, consumer)
	for expected := uint64(1); ; {
		// Looked at after the consumer has its place, so that nothing can be purged unseen before it.
		if err := r.check(ctx); err != nil {
			return err
		}
		if err := r.waitForRoom(ctx); err != nil {
			return err
		}
		n, err := r.fetch(ctx, consumer, expected)
		if err != nil {
			return err
		}
		expected += n
	}
}

// consumer opens a consumer in the server's memory that acknowledges nothing: the position is in the record.
func (r *Reader) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := r.stream.conn.ask(ctx)
	defer cancel()
	consumer, err := r.stream.js.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubjects: r.subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.position() + 1,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, Replicas: 1, MemoryStorage: true, InactiveThreshold: leftAlone,
	})
	return consumer, wrap(err, "open a consumer of %s", r.subject)
}

// forget takes the consumer off the server; one that cannot be reached goes by itself.
func (r *Reader) forget(ctx context.Context, consumer jetstream.Consumer) {
	if !r.stream.conn.Up() {
		return
	}
	ctx, cancel := r.stream.conn.ask(context.WithoutCancel(ctx))
	defer cancel()
	_ = r.stream.js.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}

// fetch reads what one request to the server brings and returns the number of messages.
func (r *Reader) fetch(ctx context.Context, consumer jetstream.Consumer, expected uint64) (uint64, error) {
	limited, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	batch, err := consumer.Fetch(fetchMessages, jetstream.FetchMaxBytes(fetchBytes), jetstream.FetchContext(limited), jetstream.FetchHeartbeat(quiet))
	if err != nil {
		return 0, wrap(err, "fetch from %s", r.subject)
	}
	var n uint64
	looked, first := time.Now(), true // what anybody saw before the fetch is too old: waiting for room may take long
	for msg := range batch.Messages() {
		// Messages that were purged unread leave no gap in what a consumer delivers: only the stream's first sequence
		// shows it, and only until we have read past it.
		if first || time.Since(looked) > r.stream.lookEvery {
			since := time.Now().Add(-r.stream.lookEvery)
			if since.Before(looked) {
				since = looked
			}
			if looked, err = r.look(ctx, since); err != nil {
				return n, err
			}
			first = false
		}
		if err := r.accept(msg, expected+n); err != nil {
			return n, err // the fetch ends with the context
		}
		n++
	}
	if err := batch.Error(); err != nil {
		return n, wrap(err, "fetch from %s", r.subject)
	}
	return n, nil
}

// accept puts one message into the queue, if it is the one that comes next.
func (r *Reader) accept(msg jetstream.Msg, expected uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "read the place of a message of %s", r.subject)
	}
	seq := meta.Sequence.Stream
	if meta.Sequence.Consumer != expected || seq <= r.position() {
		return fault.New(fault.Unavailable, "message %d of %s came out of turn", seq, r.subject)
	}
	envelope, records, err := r.contents(msg)
	if err != nil {
		// What is skipped is lost in silence: the reader stops here.
		return fault.Wrap(fault.Internal, err, "message %d of %s", seq, r.subject)
	}
	r.mu.Lock()
	if envelope != nil {
		r.queue = append(r.queue, waiting{vital.Envelope{Seq: seq, Records: records}, len(envelope)})
		r.bytes += len(envelope)
	}
	r.read = seq
	r.passed = max(r.passed, seq)
	r.mu.Unlock()
	signal(r.wake)
	return nil
}

// contents returns the envelope in a message and its records; the envelope is nil in a bundle with none for this partition.
func (r *Reader) contents(msg jetstream.Msg) (envelope []byte, records []vital.Record, err error) {
	envelope = msg.Data()
	if msg.Subject() == bundleSubject {
		if envelope, err = openBundle(envelope, r.partition); err != nil || envelope == nil {
			return nil, nil, err
		}
	}
	partitions, records, err := decode(envelope)
	if err == nil && partitions != vital.Partitions {
		err = fault.New(fault.Internal, "envelope was written for %d partitions, this is a house of %d: drain the stream before changing their number", partitions, vital.Partitions)
	}
	return envelope, records, err
}

// check asks the server whether something was lost before it was read. The janitor purges up to the lowest cursor of all
// lanes, and no cursor is ahead of what its reader has passed; so a first sequence beyond that means that messages were
// taken away unread. It runs where messages are accepted, or before: the position must not move on its way.
func (r *Reader) check(ctx context.Context) error {
	before := r.position()
	state, err := r.stream.state(ctx)
	if err != nil {
		return err
	}
	if state.LastSeq < before {
		return fault.New(fault.Gone, "%s was read up to %d, but the stream ends at %d: it is older than the position", r.subject, before, state.LastSeq)
	}
	return r.compare(ctx, state)
}

// look is a check between messages, with what any reader of this process saw after since; it returns when that was.
func (r *Reader) look(ctx context.Context, since time.Time) (time.Time, error) {
	state, at, err := r.stream.seenSince(ctx, since)
	if err != nil {
		return at, err
	}
	return at, r.compare(ctx, state)
}

// compare tells whether the stream, as it was a moment ago, lacks what was not read yet.
func (r *Reader) compare(ctx context.Context, state jetstream.StreamState) error {
	passed := r.position() // Idle may have moved it, and the janitor have purged behind it, since
	if state.FirstSeq > passed+1 {
		return fault.New(fault.Gone, "%s was read up to %d, but the stream begins at %d: what lay between is lost", r.subject, passed, state.FirstSeq)
	}
	if state.NumDeleted == 0 {
		return nil
	}
	holes, err := r.stream.holes(ctx)
	if err != nil {
		return err
	}
	for _, hole := range holes {
		if hole > passed {
			return fault.New(fault.Gone, "%s was read up to %d, but message %d was taken out of the stream", r.subject, passed, hole)
		}
	}
	return nil
}

// waitForRoom waits until the queue has shrunk below its bound.
func (r *Reader) waitForRoom(ctx context.Context) error {
	for {
		r.mu.Lock()
		full := r.bytes >= readAheadBytes
		r.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, ctx.Err(), "wait for room to read %s ahead", r.subject)
		}
	}
}

// position returns the sequence behind which the reader goes on.
func (r *Reader) position() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed
}

// fail ends the reading with err, behind what is in the queue.
func (r *Reader) fail(err error) {
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	signal(r.wake)
}
