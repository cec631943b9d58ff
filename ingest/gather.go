package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"hale/vital"
)

// How many bytes of records one envelope carries at most, by estimate. One of the late lane is small: it is judged as a
// whole, and a live reading may have to wait for it.
const (
	maxEnvelope  = 512<<10 - 64
	lateEnvelope = 64<<10 - 64 // some 450 readings
)

// mostOf is how many bytes an envelope of the lane of that number carries (laneOf).
func mostOf(lane int) int {
	if lane%2 == 1 {
		return lateEnvelope
	}
	return maxEnvelope
}

// What a record takes in an envelope at most: a reading has only numbers in it, a refusal has its texts besides.
const (
	readingCost  = 144
	moreCost     = 48 // and each fact
	factCost     = 10 // and its texts
	refusedCost  = 104
	canaryCost   = 64 // and the name of its edge
	statusCost   = 128
	answerCost   = 16
	originalCost = 72
)

func costOf(r vital.Record) int {
	switch {
	case r.Reading != nil:
		return costOfReading(r.Reading)
	case r.Canary != nil:
		return canaryCost + len(r.Canary.Edge)
	case r.Status != nil:
		n := statusCost + len(r.Status.Firmware) + len(r.Status.Raw) + len(r.Status.Edge)
		if a := r.Status.Answer; a != nil {
			n += answerCost + len(a.Command) + len(a.Detail)
		}
		return n
	case r.Original != nil:
		return originalCost + len(r.Original.Topic) + len(r.Original.Raw)
	}
	n := refusedCost + len(r.Refused.Topic) + len(r.Refused.Reason) + len(r.Refused.Detail) + len(r.Refused.Raw)
	if r.Refused.Read != nil {
		n += costOfReading(r.Refused.Read)
	}
	for i := range r.Refused.Also {
		n += costOfReading(&r.Refused.Also[i].Read) + 1
	}
	return n
}

func costOfReading(r *vital.Reading) int {
	if r.More == nil {
		return readingCost
	}
	n := readingCost + moreCost
	for _, f := range r.More.Facts {
		n += factCost + len(f.Name) + len(f.Value)
	}
	return n
}

// lane gathers the records of one partition and lane that wait for their envelope. Whatever comes while one is on its
// way travels in the next, so envelopes grow with the load by themselves.
type lane struct {
	partition int
	lane      vital.Lane
	most      int // bytes of an envelope

	mu     sync.Mutex
	parts  []share // [head, len) wait
	head   int
	closed bool
	wake   chan struct{} // holds a token when something came or the lane was closed
}

// share is what one message has in one envelope.
type share struct {
	ticket  *ticket
	records []vital.Record
	bytes   int
}

func newLane(partition int, l vital.Lane, most int) *lane {
	return &lane{partition: partition, lane: l, most: most, wake: make(chan struct{}, 1)}
}

// add takes a share for one of the next envelopes; it reports false when the lane is closed.
func (l *lane) add(p share) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.parts = append(l.parts, p)
	l.mu.Unlock()
	l.nudge()
	return true
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // a token lies there already
	}
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.nudge()
}

// gatherFor lets more come for a moment, unless many wait already or the lane is closed.
func (l *lane) gatherFor(d time.Duration) {
	l.mu.Lock()
	enough := l.closed || len(l.parts)-l.head >= manyMessages
	l.mu.Unlock()
	if d > 0 && !enough {
		<-time.After(d)
	}
}

// take appends to batch what goes together next, in the order in which it came. more is false when the lane is closed
// and empty.
func (l *lane) take(batch []share) (taken []share, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for l.head < len(l.parts) {
		next := &l.parts[l.head]
		if bytes > 0 && bytes+next.bytes > l.most {
			break
		}
		bytes += next.bytes
		batch = append(batch, *next)
		*next = share{}
		l.head++
	}
	if l.head > len(l.parts)/2 { // move down what is left; each share is moved once at most on average
		n := copy(l.parts, l.parts[l.head:])
		clear(l.parts[n:])
		l.parts, l.head = l.parts[:n], 0
	}
	return batch, len(batch) > 0 || !l.closed
}

// ticket follows one message until every envelope with a share of it is settled.
type ticket struct {
	quiet   bool         // it is no device's message, and no count of messages has it
	open    atomic.Int32 // shares that are not settled
	failed  atomic.Bool
	charged int64
	receipt Receipt
	done    func(Receipt)
}

// settle tells the ticket what became of one share, and the sender as soon as the outcome of the message is known: at
// the first failure, or when the last share is durable. It reports whether this was the last share.
func (t *ticket) settle(err error) (last bool) {
	if err != nil && t.failed.CompareAndSwap(false, true) {
		t.done(Receipt{Err: err})
	}
	if t.open.Add(-1) > 0 {
		return false
	}
	if !t.failed.Load() {
		t.done(t.receipt)
	}
	return true
}

// laneOf returns the number of the lane of a record. Refusals and originals take the late lane: a device that sends rubbish must
// not hold up anybody's reading. But what may be an emergency among the refusals does not wait behind a backlog.
func laneOf(r vital.Record) int {
	switch {
	case r.Canary != nil:
		return 2 * r.Canary.Partition
	case r.Status != nil:
		return 2 * r.Status.Partition()
	case r.Original != nil:
		return 2*r.Original.Partition() + 1
	case r.Reading == nil:
		if no := r.Refused; no.Beyond != 0 || no.Read != nil && no.Read.N > 0 || len(no.Also) > 0 {
			return 2 * no.Partition()
		}
		return 2*r.Refused.Partition() + 1
	case r.Reading.Lane() == vital.Late:
		return 2*r.Reading.Partition() + 1
	}
	return 2 * r.Reading.Partition()
}

const lanes = 2 * vital.Partitions

func newLanes() (all [lanes]*lane) {
	for p := range vital.Partitions {
		all[2*p], all[2*p+1] = newLane(p, vital.Live, mostOf(2*p)), newLane(p, vital.Late, mostOf(2*p+1))
	}
	return all
}

// byLane sorts the records of a message by lane, keeping their order within each. A run of one lane stays where it is.
func byLane(records []vital.Record) []vital.Record {
	var count [lanes]int
	for i := range records {
		count[laneOf(records[i])]++
	}
	if len(records) == 0 || count[laneOf(records[0])] == len(records) {
		return records
	}
	var next [lanes]int
	for l := 1; l < lanes; l++ {
		next[l] = next[l-1] + count[l-1]
	}
	sorted := make([]vital.Record, len(records))
	for _, r := range records {
		l := laneOf(r)
		sorted[next[l]] = r
		next[l]++
	}
	return sorted
}

// cut returns how many of the records, which are sorted by lane, go into one envelope together, and their bytes.
func cut(records []vital.Record) (n, bytes int) {
	l := laneOf(records[0])
	for n < len(records) && laneOf(records[n]) == l {
		cost := costOf(records[n])
		if n > 0 && bytes+cost > mostOf(l) {
			break
		}
		bytes += cost
		n++
	}
	return n, bytes
}
