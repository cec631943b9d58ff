package alerts_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// ledger is a record of one partition that keeps nothing but positions: enough to see in which order a Processor
// works and what it does when something fails. The real record is tested with the real Processor elsewhere.
type ledger struct {
	mu       sync.Mutex
	cursor   alerts.Cursor
	epochs   int64
	batches  []string // lane, position and number of records of every attempt to commit
	fail     []error  // what the next attempts end in
	claims   []error  // what the next claims end in
	renewals []error
	claimed  []time.Time
	released int
	pending  bool
	slow     time.Duration
	lanes    map[vital.Lane]*lane
	opened   map[vital.Lane][]uint64
}

func newLedger() *ledger {
	return &ledger{
		lanes:  map[vital.Lane]*lane{vital.Live: {}, vital.Late: {}},
		opened: map[vital.Lane][]uint64{},
	}
}

func next(list *[]error) error {
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func (l *ledger) Claim(_ context.Context, partition int, stream, _ string, _ time.Duration) (alerts.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claimed = append(l.claimed, time.Now())
	if err := next(&l.claims); err != nil {
		return alerts.Cursor{}, err
	}
	l.epochs++
	l.cursor.Partition, l.cursor.Stream, l.cursor.Epoch = partition, stream, l.epochs
	return l.cursor, nil
}

func (l *ledger) Renew(context.Context, alerts.Cursor, time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return next(&l.renewals)
}

func (l *ledger) Release(context.Context, alerts.Cursor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
	return nil
}

func (l *ledger) Advance(_ context.Context, b alerts.Batch, _ alerts.Decide) (alerts.Result, error) {
	if l.slow > 0 {
		<-time.After(l.slow)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, fmt.Sprintf("%s to %d, %d records", b.Lane, b.To, len(b.Records)))
	if err := next(&l.fail); err != nil {
		return alerts.Result{}, err
	}
	if b.Cursor != l.cursor {
		return alerts.Result{}, fault.New(fault.Conflict, "position %+v is not ours", b.Cursor)
	}
	if b.Lane == vital.Live {
		l.cursor.LiveSeq = b.To
	} else {
		l.cursor.LateSeq = b.To
	}
	l.pending = false
	return alerts.Result{Cursor: l.cursor}, nil
}

func (l *ledger) Pending(context.Context, int) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending, nil
}

// asked is how often the partition was claimed.
func (l *ledger) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.claimed)
}

func (l *ledger) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.batches)
}

// lane is a lane of a stream in memory.
type lane struct {
	mu   sync.Mutex
	all  []vital.Envelope
	idle uint64
	gone bool
	more chan struct{} // made in the bubble: a channel from outside would let no time pass
}

func (l *lane) publish(records int) {
	l.mu.Lock()
	l.all = append(l.all, vital.Envelope{Seq: uint64(len(l.all) + 1), Records: make([]vital.Record, records)})
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// reader reads a lane in memory.
type reader struct {
	*lane
	at uint64
}

func (r *reader) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone || int(r.at) < len(r.all)
}

func (r *reader) Next(ctx context.Context, limit int) ([]vital.Envelope, error) {
	for {
		r.mu.Lock()
		if r.gone {
			r.mu.Unlock()
			return nil, fault.New(fault.Gone, "position %d is not in the stream", r.at)
		}
		var taken []vital.Envelope
		for n := 0; int(r.at) < len(r.all) && n < limit; r.at++ {
			taken = append(taken, r.all[r.at])
			n += len(r.all[r.at].Records)
		}
		r.mu.Unlock()
		if len(taken) > 0 {
			return taken, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.more:
		}
	}
}

func (r *reader) Idle(context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle, nil
}

func (r *reader) Close() {}

func (l *ledger) open(_ context.Context, _ int, name vital.Lane, after uint64) (alerts.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened[name] = append(l.opened[name], after)
	return &reader{lane: l.lanes[name], at: after}, nil
}

// running plays a scheduling test in a bubble of its own time, and stops the Processor at the end.
func running(t *testing.T, l *ledger, change func(c *alerts.Config), body func(p *alerts.Processor)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, lane := range l.lanes {
			lane.more = make(chan struct{}, 1)
		}
		c := alerts.Config{
			Store: l, Open: l.open, Owner: "test", Partitions: []int{3},
			Identity: func(context.Context) (string, error) { return "stream", nil },
		}
		if change != nil {
			change(&c)
		}
		p := alerts.NewProcessor(c)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		body(p)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// passes lets time go by in the bubble.
func passes(d time.Duration) { <-time.After(d); synctest.Wait() }

func want(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestLiveComesBeforeLate(t *testing.T) {
	l := newLedger()
	l.slow = 10 * time.Millisecond
	for range 3 {
		l.lanes[vital.Late].publish(512)
	}
	l.lanes[vital.Live].publish(2)
	l.lanes[vital.Live].publish(3)
	running(t, l, nil, func(*alerts.Processor) {
		passes(15 * time.Millisecond) // the first late batch is being committed
		l.lanes[vital.Live].publish(1)
		passes(time.Second)
		want(t, "order", []string{"live to 2, 5 records", "late to 1, 512 records", "live to 3, 1 records", "late to 3, 1024 records"}, l.seen())
	})
	if l.released != 1 {
		t.Errorf("the partition was given back %d times", l.released)
	}
}

func TestLateHasItsTurnUnderSteadyLiveLoad(t *testing.T) {
	l := newLedger()
	for range 40 {
		l.lanes[vital.Live].publish(1)
	}
	l.lanes[vital.Late].publish(1)
	running(t, l, func(c *alerts.Config) { c.MaxRows = 1 }, func(*alerts.Processor) {
		passes(time.Second)
		seen := l.seen()
		if i := slices.Index(seen, "late to 1, 1 records"); i < 1 || i > 20 || len(seen) != 41 {
			t.Errorf("the late batch was number %d of %d", i, len(seen))
		}
	})
}

func TestAnAbsentRecordIsWaitedForWithTheSameBatch(t *testing.T) {
	l := newLedger()
	l.fail = []error{fault.New(fault.Unavailable, "away"), fault.New(fault.Unavailable, "away"), fault.New(fault.Internal, "our own mistake")}
	l.lanes[vital.Live].publish(2)
	var failures, committed int
	running(t, l, func(c *alerts.Config) {
		c.Watch.Failed = func(int, error) { failures++ }
		c.Watch.Committed = func(r alerts.BatchReport) { committed += r.Records }
	}, func(p *alerts.Processor) {
		passes(250 * time.Millisecond)
		if s := p.Status()[0]; s.State != alerts.PartitionOwned || s.Problem == "" || !p.Ready() {
			t.Errorf("while the record is away: %+v", s)
		}
		l.lanes[vital.Live].publish(4)
		passes(10 * time.Second)
		same := "live to 1, 2 records"
		want(t, "attempts", []string{same, same, same, same, "live to 2, 4 records"}, l.seen())
		if s := p.Status()[0]; s.Problem != "" || s.Cursor.LiveSeq != 2 {
			t.Errorf("afterwards: %+v", s)
		}
	})
	if failures != 3 || committed != 6 || l.epochs != 1 {
		t.Errorf("%d failures, %d records committed, claimed %d times", failures, committed, l.epochs)
	}
}

func TestAConflictMeansTheRecordIsAskedAgain(t *testing.T) {
	l := newLedger()
	l.lanes[vital.Live].publish(2)
	l.lanes[vital.Live].publish(2)
	running(t, l, nil, func(*alerts.Processor) {
		passes(time.Second)
		l.mu.Lock()
		l.cursor.Epoch, l.cursor.LiveSeq = 9, 3 // somebody else had it, and went on
		l.epochs = 9
		l.mu.Unlock()
		l.lanes[vital.Live].publish(1)
		l.lanes[vital.Live].publish(1)
		passes(3 * time.Second)
		want(t, "attempts", []string{"live to 2, 4 records", "live to 4, 2 records", "live to 4, 1 records"}, l.seen())
		want(t, "opened behind", []uint64{0, 3}, l.opened[vital.Live])
	})
}

func TestALostLeaseIsClaimedAgain(t *testing.T) {
	l := newLedger()
	l.renewals = []error{nil, fault.New(fault.Unavailable, "away"), fault.New(fault.Conflict, "taken")}
	running(t, l, nil, func(p *alerts.Processor) {
		passes(14 * time.Second)
		if l.epochs != 1 {
			t.Errorf("claimed %d times before the lease was lost", l.epochs)
		}
		passes(1500 * time.Millisecond)
		if s := p.Status()[0]; s.State != alerts.PartitionWaiting || p.Ready() {
			t.Errorf("just after: %+v", s)
		}
		passes(time.Second)
		if l.epochs != 2 || !p.Ready() {
			t.Errorf("claimed %d times, ready %v", l.epochs, p.Ready())
		}
	})
}

func TestAPartitionThatIsHeldIsAskedForEverySecond(t *testing.T) {
	l := newLedger()
	held := fault.New(fault.Conflict, "held by another")
	l.claims = []error{held, held, held}
	var changes []alerts.PartitionState
	running(t, l, func(c *alerts.Config) {
		c.Watch.Changed = func(s alerts.PartitionStatus) { changes = append(changes, s.State) }
	}, func(p *alerts.Processor) {
		passes(2500 * time.Millisecond)
		if s := p.Status()[0]; l.asked() != 3 || s.State != alerts.PartitionWaiting || !s.Held || !p.Ready() {
			t.Errorf("asked %d times in 2.5 s, ready %v: %+v", l.asked(), p.Ready(), s)
		}
		passes(time.Second)
		if s := p.Status()[0]; s.State != alerts.PartitionOwned || s.Held || !p.Ready() {
			t.Errorf("not ours though it became free: %+v", s)
		}
	})
	want(t, "changes", []alerts.PartitionState{alerts.PartitionOwned}, changes)
}

func TestAProcessorIsNotReadyForAPartitionOfWhichTheRecordSaysNothing(t *testing.T) {
	l := newLedger()
	held, away := fault.New(fault.Conflict, "held by another"), fault.New(fault.Unavailable, "away")
	l.claims = []error{held, away, away, away, away}
	running(t, l, nil, func(p *alerts.Processor) {
		passes(500 * time.Millisecond)
		if !p.Ready() {
			t.Errorf("standing by: %+v", p.Status()[0])
		}
		passes(time.Second)
		if s := p.Status()[0]; s.State != alerts.PartitionWaiting || s.Held || p.Ready() {
			t.Errorf("the record is away: %+v", s)
		}
	})
}

func TestAGonePositionStopsThePartition(t *testing.T) {
	l := newLedger()
	l.lanes[vital.Live].gone = true
	running(t, l, nil, func(p *alerts.Processor) {
		passes(10 * time.Second)
		s := p.Status()[0]
		if s.State != alerts.PartitionStopped || s.Problem == "" || p.Ready() || l.asked() != 2 || len(l.seen()) != 0 {
			t.Errorf("%+v after %d claims and batches %v", s, l.asked(), l.seen())
		}
		// A person puts it right: the partition goes on by itself.
		l.lanes[vital.Live].mu.Lock()
		l.lanes[vital.Live].gone = false
		l.lanes[vital.Live].mu.Unlock()
		passes(time.Minute)
		if s := p.Status()[0]; s.State != alerts.PartitionOwned {
			t.Errorf("after it was mended: %+v", s)
		}
	})
}

func TestWhoSleptPastItsLeaseWaitsForTheNewOwner(t *testing.T) {
	l := newLedger()
	l.lanes[vital.Live].gone = true // purged behind whoever took over
	l.claims = []error{nil, fault.New(fault.Conflict, "another process has it"), fault.New(fault.Conflict, "another process has it")}
	running(t, l, nil, func(p *alerts.Processor) {
		passes(500 * time.Millisecond)
		if s := p.Status()[0]; s.State != alerts.PartitionWaiting {
			t.Errorf("a sleeper raised an alarm: %+v", s)
		}
		l.lanes[vital.Live].mu.Lock()
		l.lanes[vital.Live].gone = false // a new claim brings a new position
		l.lanes[vital.Live].mu.Unlock()
		passes(time.Minute)
		if s := p.Status()[0]; s.State != alerts.PartitionOwned {
			t.Errorf("it did not take over from the owner that went away: %+v", s)
		}
	})
}

func TestAReplacedStreamStopsThePartition(t *testing.T) {
	l := newLedger()
	l.claims = []error{fault.New(fault.Gone, "another stream")}
	running(t, l, nil, func(p *alerts.Processor) {
		passes(10 * time.Second)
		if s := p.Status()[0]; s.State != alerts.PartitionStopped || l.asked() != 1 || l.released != 0 {
			t.Errorf("%+v after %d claims, given back %d times", s, l.asked(), l.released)
		}
	})
}

func TestChangedSituationsAndIdleCursorsNeedNoReading(t *testing.T) {
	l := newLedger()
	l.lanes[vital.Late].idle = 700
	running(t, l, nil, func(*alerts.Processor) {
		passes(100 * time.Millisecond)
		want(t, "at once", []string{"late to 700, 0 records"}, l.seen())
		l.mu.Lock()
		l.pending = true
		l.mu.Unlock()
		passes(400 * time.Millisecond)
		want(t, "soon", []string{"late to 700, 0 records", "live to 0, 0 records"}, l.seen())
		l.lanes[vital.Live].mu.Lock()
		l.lanes[vital.Live].idle = 900
		l.lanes[vital.Live].mu.Unlock()
		passes(6 * time.Second)
		want(t, "later", []string{"late to 700, 0 records", "live to 0, 0 records", "live to 900, 0 records"}, l.seen())
	})
}
