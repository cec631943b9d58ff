package alerts

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hale/fault"
	"hale/vital"
)

// Config is what a Processor is made of. Store, Open and Identity are needed; zero values of the rest mean what is
// written beside them.
type Config struct {
	Store      Store
	Open       OpenReader
	Identity   func(ctx context.Context) (string, error) // of the stream
	Announcer  Announcer                                 // nil: nobody listens
	Owner      string                                    // names this process in the record
	Partitions []int                                     // nil: all of them
	Lease      time.Duration                             // 30 s
	Renew      time.Duration                             // 5 s
	MaxRows    int                                       // records per batch: 4096
	Patients   int                                       // states kept per partition: DefaultPatients
	Log        *slog.Logger                              // nil: nothing is logged
	Watch      Watch
}

// Watch is told what a Processor does, for metrics. Its functions are called from several goroutines and must not
// block; nil ones are left out.
type Watch struct {
	Committed func(BatchReport)
	Failed    func(partition int, err error) // a batch or a read that will be tried again
	Changed   func(PartitionStatus)
}

// BatchReport tells of one committed batch.
type BatchReport struct {
	Partition int
	Lane      vital.Lane
	Records   int
	Result    Result
	Took      time.Duration
	Mended    int // tracks found wrong and judged anew, since the start
}

// PartitionState is where a Processor is with a partition.
type PartitionState string

// The states of a partition.
const (
	PartitionWaiting PartitionState = "waiting" // not ours (yet): somebody else holds it, or the record is away
	PartitionOwned   PartitionState = "owned"
	PartitionStopped PartitionState = "stopped" // its position is not in the stream any more: a person must look
)

// PartitionStatus tells of one partition.
type PartitionStatus struct {
	Partition int
	State     PartitionState
	Cursor    Cursor    // last known position while owned
	Problem   string    // why it waits or has stopped; of an owned one, what it is trying to get over
	Held      bool      // it waits because another process holds it under a living lease
	Since     time.Time // when the Problem began; zero without one
}

// How long the Processor waits for what.
const (
	claimAgain   = time.Second            // for a partition that somebody else holds
	firstBackoff = 100 * time.Millisecond // doubling ...
	lastBackoff  = 5 * time.Second        // ... up to this, while a part is away
	liveWait     = 50 * time.Millisecond  // for a live reading, before the late lane is looked at again
	pendingEvery = 250 * time.Millisecond // between looks for situation changes while nothing is read
	idleEvery    = 5 * time.Second        // between moves of an idle cursor
	stoppedAgain = 30 * time.Second       // for a partition that is stopped
	askWithin    = 5 * time.Second        // for the record to answer a short question
	leastAttempt = 10 * time.Second       // to commit a batch, however short the lease
	mostAttempt  = 10 * time.Minute       // ... and at the last of many attempts
	troubledFor  = time.Minute            // until a partition that gets on with nothing counts as not ready
	releaseIn    = 5 * time.Second        // to give a partition back at the end
)

// Processor judges what the stream brings: it owns partitions, reads both their lanes, decides, and commits readings,
// tracks, episodes and its position in one transaction each. Any number of them may run against one record.
type Processor struct {
	Config
	mu     sync.Mutex
	status map[int]PartitionStatus
}

// NewProcessor returns a Processor; Run starts it.
func NewProcessor(c Config) *Processor {
	if c.Partitions == nil {
		for i := range vital.Partitions {
			c.Partitions = append(c.Partitions, i)
		}
	}
	c.Lease = orElse(c.Lease, 30*time.Second)
	c.Renew = orElse(c.Renew, 5*time.Second)
	c.MaxRows = orElse(c.MaxRows, 4096)
	c.Patients = orElse(c.Patients, DefaultPatients)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := &Processor{Config: c, status: make(map[int]PartitionStatus)}
	for _, n := range c.Partitions {
		p.status[n] = PartitionStatus{Partition: n, State: PartitionWaiting}
	}
	return p
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Run owns and works its partitions until ctx ends; then it finishes or drops the batch in hand, gives the partitions
// back and returns nil.
func (p *Processor) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, n := range p.Partitions {
		group.Go(func() {
			w := &worker{Processor: p, partition: n, decider: NewDecider(p.Patients)}
			w.run(ctx)
		})
	}
	group.Wait()
	return nil
}

// Status returns where every wanted partition is, in their order.
func (p *Processor) Status() []PartitionStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]PartitionStatus, 0, len(p.status))
	for _, s := range p.status {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b PartitionStatus) int { return a.Partition - b.Partition })
	return list
}

// Ready reports whether every wanted partition is in good hands: owned by this process, or held by another under a
// living lease, so that a process that stands by is ready too. Status tells which are ours.
func (p *Processor) Ready() bool {
	return !slices.ContainsFunc(p.Status(), func(s PartitionStatus) bool {
		stuck := s.State == PartitionOwned && s.Problem != "" && time.Since(s.Since) > troubledFor
		return s.State != PartitionOwned && !s.Held || stuck
	})
}

func (p *Processor) set(s PartitionStatus) {
	p.mu.Lock()
	before := p.status[s.Partition]
	changed := before.State != s.State
	if s.Problem != "" {
		s.Since = before.Since
		if s.Since.IsZero() {
			s.Since = time.Now()
		}
	}
	p.status[s.Partition] = s
	p.mu.Unlock()
	if changed && p.Watch.Changed != nil {
		p.Watch.Changed(s)
	}
}

func (p *Processor) failed(partition int, err error) {
	if p.Watch.Failed != nil {
		p.Watch.Failed(partition, err)
	}
}

// pause waits; it reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// backoff grows from firstBackoff to lastBackoff.
type backoff time.Duration

func (b *backoff) next() time.Duration {
	*b = min(max(2*(*b), backoff(firstBackoff)), backoff(lastBackoff))
	return time.Duration(*b)
}

// worker works one partition.
type worker struct {
	*Processor
	partition int
	decider   *Decider
	cursor    Cursor
	stopped   bool // until something was read again
}

// run claims the partition, works it until it is lost, and claims it again.
//
// A position that is gone is believed only right after a claim: whoever slept past its lease may merely be behind a new
// owner, behind whom the stream was purged. A partition that is stopped is looked at again, slowly: a person may have
// mended it, or this process may be the last one left.
func (w *worker) run(ctx context.Context) {
	var wait backoff
	gone := false
	for ctx.Err() == nil {
		err := w.claim(ctx)
		refused := err != nil
		sure := gone || refused
		if err == nil {
			wait = 0
			began := w.cursor
			err = w.own(ctx)
			sure = sure && w.cursor == began // who got on since then may have slept again
		}
		switch {
		case ctx.Err() != nil:
			return
		case fault.Is(err, fault.Gone) && !sure:
			gone = true // claim first, then believe it
		case fault.Is(err, fault.Gone):
			gone = false
			w.stop(ctx, err)
			pause(ctx, stoppedAgain)
		case fault.Is(err, fault.Conflict):
			gone = false
			// Whoever lost the partition knows only that it is gone; whom the record refused, that another lease lives.
			w.set(PartitionStatus{Partition: w.partition, State: PartitionWaiting, Problem: err.Error(), Held: refused})
			pause(ctx, claimAgain)
		default:
			w.set(PartitionStatus{Partition: w.partition, State: PartitionWaiting, Problem: err.Error()})
			w.failed(w.partition, err)
			w.Log.WarnContext(ctx, "cannot claim partition, will try again", "partition", w.partition, "kind", fault.KindOf(err), "error", err)
			pause(ctx, wait.next())
		}
	}
}

func (w *worker) claim(ctx context.Context) error {
	stream, err := w.Identity(ctx)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	w.cursor, err = w.Store.Claim(asking, w.partition, stream, w.Owner, w.Lease)
	if err != nil {
		return err
	}
	w.decider.Forget() // somebody else may have written since we knew anything
	if !w.stopped {
		w.set(PartitionStatus{Partition: w.partition, State: PartitionOwned, Cursor: w.cursor})
	}
	w.Log.InfoContext(ctx, "partition claimed", "partition", w.partition, "epoch", w.cursor.Epoch, "live", w.cursor.LiveSeq, "late", w.cursor.LateSeq)
	return nil
}

// stop gives up on a partition whose position is gone. Skipping would lose readings without anybody knowing: it waits
// for a person instead.
func (w *worker) stop(ctx context.Context, err error) {
	w.stopped = true
	w.set(PartitionStatus{Partition: w.partition, State: PartitionStopped, Cursor: w.cursor, Problem: err.Error()})
	w.failed(w.partition, err)
	w.Log.ErrorContext(ctx, "partition stopped: its position is not in the stream, readings are not being judged",
		"partition", w.partition, "live", w.cursor.LiveSeq, "late", w.cursor.LateSeq, "error", err)
	w.release(ctx)
}

func (w *worker) release(ctx context.Context) {
	if w.cursor.Epoch == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseIn)
	defer cancel()
	if err := w.Store.Release(ctx, w.cursor); err != nil && !fault.Is(err, fault.Conflict) {
		w.Log.WarnContext(ctx, "cannot give partition back, its lease will run out", "partition", w.partition, "error", err)
	}
}

// own works the partition while it is ours, with the lease renewed beside. It returns why it is not ours any more.
func (w *worker) own(ctx context.Context) error {
	mine, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	var renewal sync.WaitGroup
	held := w.cursor
	renewal.Go(func() { w.renew(mine, held, lose) })
	defer renewal.Wait()
	defer lose(nil)

	err := w.work(mine)
	if ctx.Err() != nil {
		w.release(ctx)
		return nil
	}
	if lost := context.Cause(mine); lost != nil {
		err = lost
	}
	w.Log.WarnContext(ctx, "partition lost", "partition", w.partition, "kind", fault.KindOf(err), "error", err)
	return err
}

func (w *worker) renewOnce(ctx context.Context, held Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return w.Store.Renew(ctx, held, w.Lease)
}

func (w *worker) renew(ctx context.Context, held Cursor, lose context.CancelCauseFunc) {
	for pause(ctx, w.Renew) {
		err := w.renewOnce(ctx, held)
		switch {
		case err == nil || ctx.Err() != nil:
		case fault.Is(err, fault.Conflict):
			lose(err)
			return
		default: // the epoch in the record is the fence: without a renewal nothing can go wrong but losing the partition
			w.Log.WarnContext(ctx, "cannot renew lease, will try again", "partition", w.partition, "error", err)
		}
	}
}
