package bridge

import (
	"context"
	"errors"
	"testing"
	"time"

	"hale/ingest"
)

func queueOf(held int) *queue {
	return newQueue(Limits{HeldBytes: held, RetryFirst: time.Millisecond, RetryLongest: 4 * time.Millisecond}, newMetrics().of("x"))
}

func TestAcknowledgementsKeepTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	q := queueOf(1 << 20)
	var all []*entry
	for range 4 {
		e := &entry{qos: 1, cost: 1}
		q.add(t.Context(), nil, e)
		all = append(all, e)
	}
	for range 4 {
		q.next(t.Context())
	}
	q.settle(all[2], nil)
	q.settle(all[1], errors.New("away"))
	q.settle(all[3], nil)
	select {
	case <-q.done:
		t.Error("something is to be acknowledged before the first is durable")
	default:
	}
	q.settle(all[0], nil)
	if out := q.durable(t.Context()); len(out) != 1 || out[0] != all[0] {
		t.Errorf("%d are to be acknowledged, want the first alone", len(out))
	}
	if again := q.next(t.Context()); again != all[1] {
		t.Error("what was not durable is not tried again")
	}
	q.settle(all[1], nil)
	if out := q.durable(t.Context()); len(out) != 3 || out[0] != all[1] || out[2] != all[3] {
		t.Errorf("%d are to be acknowledged, want three in order", len(out))
	}
	if q.size() == 0 {
		t.Error("what is being acknowledged is forgotten too early")
	}
	q.acknowledged()
	if !q.empty() {
		t.Error("something is left")
	}
}

func TestAPauseGrowsWhileNothingSucceeds(t *testing.T) {
	t.Parallel()
	q := queueOf(1 << 20)
	e := &entry{qos: 1, cost: 1}
	q.add(t.Context(), nil, e)
	for range 6 {
		q.next(t.Context())
		q.settle(e, errors.New("away"))
	}
	if got, pause := q.take(time.Now()); got != nil || pause > 4*time.Millisecond {
		t.Errorf("the pause is %s", pause)
	}
	if q.failures != 6 {
		t.Errorf("%d failures are counted", q.failures)
	}
	q.next(t.Context())
	q.settle(e, nil)
	if q.failures != 0 {
		t.Error("a success does not end the count")
	}
}

func TestAFullQueueHoldsTheBrokerBackAndNeverForGood(t *testing.T) {
	t.Parallel()
	q := queueOf(10)
	q.add(t.Context(), nil, &entry{qos: 1, cost: 100, message: ingest.Message{Topic: "first"}}) // alone it may be larger than all room
	q.add(t.Context(), nil, &entry{qos: 0, cost: 1})                                            // no promise: it does not wait
	if q.size() != 1 {
		t.Errorf("%d wait", q.size())
	}
	gone := make(chan struct{})
	left := make(chan struct{})
	go func() {
		q.add(t.Context(), gone, &entry{qos: 1, cost: 1})
		close(left)
	}()
	close(gone) // the connection is lost: the broker sends it again
	<-left
	ctx, cancel := context.WithCancel(t.Context())
	left = make(chan struct{})
	go func() {
		q.add(ctx, nil, &entry{qos: 1, cost: 1})
		close(left)
	}()
	cancel()
	<-left
	if q.size() != 1 {
		t.Errorf("%d wait, want the first alone", q.size())
	}
	entered := make(chan struct{})
	go func() {
		q.add(t.Context(), nil, &entry{qos: 1, cost: 1})
		close(entered)
	}()
	e := q.next(t.Context())
	q.settle(e, nil)
	if out := q.durable(t.Context()); len(out) != 1 {
		t.Errorf("%d", len(out))
	}
	<-entered
	q.close()
	q.add(t.Context(), nil, &entry{qos: 1, cost: 1})
	if q.size() != 2 { // the one that entered, and the one that is being acknowledged
		t.Errorf("%d wait", q.size())
	}
}
