package stream

import (
	"context"
	"sync"

	"hale/fault"
	"hale/vital"
)

// Reader hands out one lane of one partition in order, without gaps and without anything twice, across disconnections
// and restarts of the server. It reads ahead within bounds. One goroutine calls Next; the other methods may be called
// from anywhere.
type Reader struct {
	stream    *Stream
	partition int
	lane      vital.Lane
	subject   string // of its own; subjects are all that it reads
	subjects  []string

	stop context.CancelFunc
	done chan struct{} // closed when the goroutine that reads ahead has ended
	wake chan struct{} // holds a token when Next may find something new
	room chan struct{} // holds a token when the queue has shrunk

	mu     sync.Mutex
	queue  []waiting
	bytes  int    // of the envelopes in the queue
	read   uint64 // last sequence that was put into the queue
	passed uint64 // nothing of this lane at or below it is still to come from the server; at least read
	err    error  // what ended the reading; Next returns it behind the queue
}

// waiting is an envelope that was read ahead.
type waiting struct {
	envelope vital.Envelope
	bytes    int
}

// OpenReader opens a reader behind the sequence after; 0 reads from the beginning. ctx bounds the opening only: Close
// ends the reader. A position that is no longer in the stream, or never was, is fault.Gone: messages were lost, and
// only a person may decide to go on behind them. A server that is away is fault.Unavailable.
func (s *Stream) OpenReader(ctx context.Context, partition int, lane vital.Lane, after uint64) (*Reader, error) {
	subject, err := subjectOf(partition, lane)
	if err != nil {
		return nil, err
	}
	r := &Reader{
		stream: s, partition: partition, lane: lane, subject: subject, subjects: []string{subject},
		done: make(chan struct{}), wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		read: after, passed: after,
	}
	if lane == vital.Live {
		r.subjects = append(r.subjects, bundleSubject)
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.follow(following)
	return r, nil
}

// Next waits for at least one envelope and returns those that are there, in order, until they hold about most
// records. It ends with fault.Gone when messages of the lane were lost, with fault.Internal when an envelope cannot be
// decoded, each naming the sequence, and with fault.Unavailable when ctx ends or the reader is closed.
func (r *Reader) Next(ctx context.Context, most int) ([]vital.Envelope, error) {
	for {
		envelopes, err := r.take(most)
		if len(envelopes) > 0 || err != nil {
			return envelopes, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait for an envelope of %s", r.subject)
		}
	}
}

// take removes what Next hands out from the queue.
func (r *Reader) take(most int) ([]vital.Envelope, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil, r.err
	}
	n, records := 0, 0
	for n < len(r.queue) && (n == 0 || records+len(r.queue[n].envelope.Records) <= most) {
		records += len(r.queue[n].envelope.Records)
		n++
	}
	envelopes := make([]vital.Envelope, n)
	for i, w := range r.queue[:n] {
		envelopes[i] = w.envelope
		r.bytes -= w.bytes
	}
	clear(r.queue[:n])
	r.queue = r.queue[n:]
	signal(r.room)
	m := r.stream.conn.metrics
	m.read.WithLabelValues(string(r.lane)).Add(float64(n))
	m.readRecords.WithLabelValues(string(r.lane)).Add(float64(records))
	return envelopes, nil
}

// Ready reports without waiting whether Next would return at once, with envelopes or an error.
func (r *Reader) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) > 0 || r.err != nil
}

// Idle returns a sequence up to which everything of this lane has been handed out by Next. In an idle lane that is the
// end of the whole stream: its cursor may advance by it, and the janitor purge behind it. It returns the errors of
// Next, and fault.Unavailable when the server does not answer.
func (r *Reader) Idle(ctx context.Context) (uint64, error) {
	// The end of the stream is read before anything else: what is published from here on lies behind it.
	state, err := r.stream.state(ctx)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	passed, busy, failed := r.passed, len(r.queue) > 0, r.err
	if busy {
		passed = r.queue[0].envelope.Seq - 1
	}
	r.mu.Unlock()
	switch {
	case busy, failed == nil && passed >= state.LastSeq:
		return passed, nil
	case failed != nil:
		return 0, failed
	}

	upTo := state.LastSeq
	for _, subject := range r.subjects {
		next, _, err := r.stream.firstFrom(ctx, passed+1, subject)
		if err != nil {
			return 0, err
		}
		if next != 0 {
			upTo = min(upTo, next-1)
		}
	}
	// A purge that came in between could have taken messages that nobody has read: the answer would pass over them.
	// Then it is not known, and the goroutine that reads ahead will find out what happened.
	if after, err := r.stream.state(ctx); err != nil || after.FirstSeq > passed+1 {
		return 0, err
	}
	r.pass(upTo)
	return upTo, nil
}

// Close ends the reader; it waits until nothing of it runs any more.
func (r *Reader) Close() {
	r.stop()
	<-r.done
}

// pass notes that nothing up to seq is still to come from the server.
func (r *Reader) pass(seq uint64) {
	r.mu.Lock()
	r.passed = max(r.passed, seq)
	r.mu.Unlock()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
