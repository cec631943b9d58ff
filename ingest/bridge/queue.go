package bridge

import (
	"context"
	"sync"
	"time"

	"hale/ingest"
)

// entryCost is added to the bytes of a message for what is kept beside them.
const entryCost = 512

// entry is one message on its way from the broker to its acknowledgement.
type entry struct {
	message ingest.Message
	ack     func()
	qos     byte
	cost    int
	number  int // in the order of arrival
	stage   stage
}

// stage is how far a message has come.
type stage string

// The stages.
const (
	stageWaiting stage = "waiting" // for the core
	stageGiven   stage = "given"   // to the core
	stageDurable stage = "durable"
)

// queue holds the messages of one broker from their arrival until they are acknowledged, in order. Its length is bounded
// by the broker, which has no more than 65,535 messages of QoS 1 unacknowledged on a connection, and its bytes by us.
type queue struct {
	limits  Limits
	metrics brokerMetrics

	mu       sync.Mutex
	entries  []*entry // entries[0] has the number head
	head     int
	from     int // the number of the first that may be waiting
	bytes    int
	failures int
	resume   time.Time // nothing is given to the core before
	closed   bool
	acking   int // taken out for acknowledgement, not yet acknowledged

	freed chan struct{} // closed and made anew when bytes are freed
	come  chan struct{} // holds a token when there may be something for the core
	done  chan struct{} // holds a token when there may be something to acknowledge
}

func newQueue(l Limits, m brokerMetrics) *queue {
	return &queue{limits: l, metrics: m, freed: make(chan struct{}), come: make(chan struct{}, 1), done: make(chan struct{}, 1)}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a token lies there already
	}
}

// add takes a message in. While there is no room it waits, so that nothing more is read from the broker, until the
// connection is gone or ctx ends: then the message is left unacknowledged, for the broker to send again. A message of
// QoS 0 carries no promise and does not wait.
func (q *queue) add(ctx context.Context, gone <-chan struct{}, e *entry) {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return
		}
		if len(q.entries) == 0 || q.bytes+e.cost <= q.limits.HeldBytes {
			e.number, e.stage = q.head+len(q.entries), stageWaiting
			q.entries = append(q.entries, e)
			q.bytes += e.cost
			q.metrics.waiting.Set(float64(len(q.entries)))
			q.mu.Unlock()
			nudge(q.come)
			return
		}
		freed := q.freed
		q.mu.Unlock()
		if e.qos == 0 {
			q.metrics.dropped.Inc()
			return
		}
		select {
		case <-freed:
		case <-gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// next waits for a message that the core shall have; nil when ctx ends.
func (q *queue) next(ctx context.Context) *entry {
	for {
		e, pause := q.take(time.Now())
		if e != nil {
			return e
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-q.come:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// take returns the first message that waits, or for how long there is surely none.
func (q *queue) take(now time.Time) (*entry, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if pause := q.resume.Sub(now); pause > 0 {
		return nil, pause
	}
	q.from = max(q.from, q.head)
	for ; q.from < q.head+len(q.entries); q.from++ {
		if e := q.entries[q.from-q.head]; e.stage == stageWaiting {
			e.stage = stageGiven
			q.from++
			return e, 0
		}
	}
	return nil, time.Hour
}

// settle notes that a message is durable, or that it is not: then it waits again, and everything with it for a pause that
// doubles while nothing succeeds.
func (q *queue) settle(e *entry, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		e.stage = stageDurable
		q.failures = 0
		if e.number == q.head {
			nudge(q.done)
		}
		return
	}
	q.metrics.retried.Inc()
	e.stage = stageWaiting
	q.from = min(q.from, e.number)
	if now := time.Now(); !now.Before(q.resume) { // the first of those that failed together
		pause := min(q.limits.RetryFirst<<min(q.failures, 16), q.limits.RetryLongest)
		q.failures++
		q.resume = now.Add(pause)
	}
	nudge(q.come)
}

// durable waits for messages that are to be acknowledged now, in order; nil when ctx ends.
func (q *queue) durable(ctx context.Context) []*entry {
	for {
		q.mu.Lock()
		n := 0
		for n < len(q.entries) && q.entries[n].stage == stageDurable {
			q.bytes -= q.entries[n].cost
			n++
		}
		if n > 0 {
			out := append([]*entry(nil), q.entries[:n]...)
			clear(q.entries[:n])
			q.entries = q.entries[n:]
			q.head += n
			q.acking = n
			close(q.freed)
			q.freed = make(chan struct{})
			q.metrics.waiting.Set(float64(len(q.entries)))
			q.mu.Unlock()
			return out
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-q.done:
		}
	}
}

// acknowledged notes that what durable returned has been acknowledged.
func (q *queue) acknowledged() {
	q.mu.Lock()
	q.acking = 0
	q.mu.Unlock()
}

// close takes no more.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}

// drain waits until everything is acknowledged, for that long at most.
func (q *queue) drain(within time.Duration) {
	deadline := time.After(within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !q.empty() {
		select {
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) == 0 && q.acking == 0
}

// size returns how many messages are not acknowledged yet.
func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) + q.acking
}
