package alerts_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// slow is a record that needs long for a large batch, and that may leave one question unanswered.
type slow struct {
	*ledger
	needs time.Duration
	deaf  atomic.Bool // Pending gets no answer, as on a dead connection
}

func (s *slow) Advance(ctx context.Context, b alerts.Batch, d alerts.Decide) (alerts.Result, error) {
	if len(b.Records) > 100 {
		select {
		case <-time.After(s.needs):
		case <-ctx.Done():
			return alerts.Result{}, fault.Wrap(fault.Unavailable, ctx.Err(), "the record is not reachable just now")
		}
	}
	return s.ledger.Advance(ctx, b, d)
}

func (s *slow) Pending(ctx context.Context, partition int) (bool, error) {
	if s.deaf.Load() {
		<-ctx.Done()
		return false, fault.Wrap(fault.Unavailable, ctx.Err(), "the record is not reachable just now")
	}
	return s.ledger.Pending(ctx, partition)
}

func TestABatchThatIsSlowGetsMoreTimeAtEachAttempt(t *testing.T) {
	l := newLedger()
	s := &slow{ledger: l, needs: 70 * time.Second}
	running(t, l, func(c *alerts.Config) { c.Store = s }, func(p *alerts.Processor) {
		l.lanes[vital.Late].publish(512)
		passes(90 * time.Second)
		if p.Ready() {
			t.Error("a partition that has got on with nothing for over a minute counts as ready")
		}
		passes(10 * time.Minute)
		if len(l.seen()) == 0 || !p.Ready() {
			t.Errorf("the slow batch never went through: %+v", p.Status()[0])
		}
	})
}

func TestAQuestionWithoutAnAnswerHoldsNothing(t *testing.T) {
	l := newLedger()
	s := &slow{ledger: l}
	s.deaf.Store(true)
	running(t, l, func(c *alerts.Config) { c.Store = s }, func(*alerts.Processor) {
		passes(time.Second)
		l.lanes[vital.Live].publish(1)
		passes(time.Minute)
		if len(l.seen()) == 0 {
			t.Error("a live reading waits behind a question that nobody answers")
		}
	})
}

func TestWhoGotOnAndSleptAgainClaimsAgain(t *testing.T) {
	l := newLedger()
	purged := func() {
		l.mu.Lock()
		l.fail = []error{fault.New(fault.Gone, "purged behind another")}
		l.mu.Unlock()
		l.lanes[vital.Live].publish(1)
	}
	running(t, l, nil, func(p *alerts.Processor) {
		passes(time.Second)
		purged()
		passes(time.Hour)
		purged()
		passes(5 * time.Second)
		if s := p.Status()[0]; s.State != alerts.PartitionOwned || !p.Ready() {
			t.Errorf("after an hour of good work it did not claim first: %+v", s)
		}
	})
}
