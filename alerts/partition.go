package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hale/fault"
	"hale/vital"
)

// How batches of the late lane are kept short, so that a live reading behind one waits little [J].
const (
	lateRows   = 512                    // records to begin with
	lateTook   = 100 * time.Millisecond // a full batch that took less may be followed by one twice as large ...
	lateTooks  = 300 * time.Millisecond // ... one that took longer, by one half as large
	liveInARow = 16                     // live batches after which one late batch has its turn, so that it always moves
)

// A transaction costs as much as some hundred readings: live batches of fewer begin no closer together than this, so that
// under load each is a little larger and there are far fewer of them. Who comes alone never waits.
const (
	batchSpacing = time.Millisecond
	manyRecords  = 256
)

// lanes is what a worker reads while it owns its partition.
type lanes struct {
	live, late Reader
	lateRows   int
	liveTaken  int       // live batches since the last late one
	began      time.Time // the latest live batch
	few        bool      // it was a small one
	looked     time.Time
	moved      time.Time
}

// work reads and commits until ctx ends or the partition is lost; it gets over parts that are away by itself.
func (w *worker) work(ctx context.Context) error {
	var wait backoff
	for {
		before := w.cursor
		err := w.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case fault.Is(err, fault.Gone), fault.Is(err, fault.Conflict):
			return err
		}
		if w.cursor != before {
			wait = 0
		}
		w.trouble(ctx, "cannot read the stream, will try again", err)
		if !pause(ctx, wait.next()) {
			return ctx.Err()
		}
	}
}

// read opens both lanes behind the committed position and works them until something fails.
func (w *worker) read(ctx context.Context) error {
	live, err := w.Open(ctx, w.partition, vital.Live, w.cursor.LiveSeq)
	if err != nil {
		return fmt.Errorf("open live lane: %w", err)
	}
	defer live.Close()
	late, err := w.Open(ctx, w.partition, vital.Late, w.cursor.LateSeq)
	if err != nil {
		return fmt.Errorf("open late lane: %w", err)
	}
	defer late.Close()
	l := &lanes{live: live, late: late, lateRows: min(lateRows, w.MaxRows)}
	for ctx.Err() == nil {
		if err := w.turn(ctx, l); err != nil {
			return err
		}
		if w.stopped {
			w.stopped = false
			w.set(PartitionStatus{Partition: w.partition, State: PartitionOwned, Cursor: w.cursor})
		}
	}
	return ctx.Err()
}

// turn does the most urgent thing there is: a live batch, a late batch, and when there is neither, what changed.
func (w *worker) turn(ctx context.Context, l *lanes) error {
	if err := w.moveIdle(ctx, l); err != nil {
		return err
	}
	lateReady := l.late.Ready()
	switch {
	case lateReady && (l.liveTaken >= liveInARow || !l.live.Ready()):
		l.liveTaken = 0
		return w.takeLate(ctx, l)
	case l.live.Ready():
		l.liveTaken++
		return w.takeLive(ctx, l)
	}
	if err := w.quiet(ctx, l); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, liveWait)
	defer cancel()
	envelopes, err := l.live.Next(soon, w.MaxRows)
	if err != nil && soon.Err() != nil && errors.Is(err, soon.Err()) {
		return ctx.Err() // nothing came
	}
	if err != nil {
		return fmt.Errorf("read live lane: %w", err)
	}
	return w.commitLive(ctx, l, envelopes)
}

func (w *worker) takeLive(ctx context.Context, l *lanes) error {
	if wait := batchSpacing - time.Since(l.began); l.few && wait > 0 && !pause(ctx, wait) {
		return ctx.Err()
	}
	envelopes, err := l.live.Next(ctx, w.MaxRows)
	if err != nil {
		return fmt.Errorf("read live lane: %w", err)
	}
	return w.commitLive(ctx, l, envelopes)
}

func (w *worker) commitLive(ctx context.Context, l *lanes, envelopes []vital.Envelope) error {
	l.began, l.few = time.Now(), countRecords(envelopes) < manyRecords
	return w.commit(ctx, vital.Live, envelopes)
}

func (w *worker) takeLate(ctx context.Context, l *lanes) error {
	start, from := time.Now(), w.cursor.LateSeq
	envelopes, err := l.late.Next(ctx, l.lateRows)
	if err != nil {
		return fmt.Errorf("read late lane: %w", err)
	}
	if err := w.commit(ctx, vital.Late, envelopes); err != nil {
		return err
	}
	took := time.Since(start)
	switch {
	case took > lateTooks:
		l.lateRows = max(l.lateRows/2, min(lateRows, w.MaxRows)/4)
	case took < lateTook && w.cursor.LateSeq > from && l.late.Ready():
		l.lateRows = min(2*l.lateRows, w.MaxRows)
	}
	return nil
}

// quiet uses the time in which nothing comes: changed situations are judged without waiting for a reading.
func (w *worker) quiet(ctx context.Context, l *lanes) error {
	now := time.Now()
	if now.Sub(l.looked) < pendingEvery {
		return nil
	}
	l.looked = now
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	pending, err := w.Store.Pending(asking, w.partition)
	if err != nil {
		return fmt.Errorf("look for changed situations: %w", err)
	}
	if !pending {
		return nil
	}
	return w.advance(ctx, Batch{Lane: vital.Live, To: w.cursor.LiveSeq})
}

// moveIdle lets the cursor of a lane in which nothing comes move on, so that the stream can be purged behind it, also
// while the other lane is busy.
func (w *worker) moveIdle(ctx context.Context, l *lanes) error {
	now := time.Now()
	if now.Sub(l.moved) < idleEvery {
		return nil
	}
	l.moved = now
	for lane, reader := range map[vital.Lane]Reader{vital.Live: l.live, vital.Late: l.late} {
		seq, err := reader.Idle(ctx)
		if err != nil {
			return fmt.Errorf("look for the end of the %s lane: %w", lane, err)
		}
		if seq <= w.cursor.Seq(lane) {
			continue
		}
		if err := w.advance(ctx, Batch{Lane: lane, To: seq}); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) commit(ctx context.Context, lane vital.Lane, envelopes []vital.Envelope) error {
	if len(envelopes) == 0 {
		return nil
	}
	b := Batch{Lane: lane, To: envelopes[len(envelopes)-1].Seq, Records: make([]vital.Record, 0, countRecords(envelopes))}
	for i := range envelopes {
		b.Records = append(b.Records, envelopes[i].Records...)
	}
	return w.advance(ctx, b)
}

func countRecords(envelopes []vital.Envelope) (n int) {
	for i := range envelopes {
		n += len(envelopes[i].Records)
	}
	return n
}

// advance commits one batch however often it takes. Nothing is ever skipped: a batch that cannot be committed is
// tried until it can, or until the partition is not ours.
func (w *worker) advance(ctx context.Context, b Batch) error {
	b.Cursor = w.cursor
	var wait backoff
	// A record that has fallen silent must not hold the partition for ever; one that is merely slow gets more time at
	// each attempt. The epoch is the fence in either case.
	patience := max(w.Lease*2/3, leastAttempt)
	for {
		start := time.Now()
		res, err := w.attempt(ctx, b, patience)
		patience = min(2*patience, mostAttempt)
		switch {
		case err == nil:
			w.committed(ctx, b, res, time.Since(start))
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case fault.Is(err, fault.Gone), fault.Is(err, fault.Conflict):
			return err
		}
		w.trouble(ctx, "cannot commit batch, will try again", err)
		if !pause(ctx, wait.next()) {
			return ctx.Err()
		}
	}
}

func (w *worker) attempt(ctx context.Context, b Batch, patience time.Duration) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return w.Store.Advance(ctx, b, w.decider.Decide)
}

func (w *worker) committed(ctx context.Context, b Batch, res Result, took time.Duration) {
	w.decider.Committed()
	w.cursor = res.Cursor
	w.set(PartitionStatus{Partition: w.partition, State: PartitionOwned, Cursor: w.cursor})
	if w.Announcer != nil && len(res.Events) > 0 {
		w.Announcer.Announce(ctx, res.Events)
	}
	if w.Watch.Committed != nil {
		w.Watch.Committed(BatchReport{
			Partition: w.partition, Lane: b.Lane, Records: len(b.Records), Result: res, Took: took, Mended: w.decider.Mended(),
		})
	}
}

// trouble makes known what is being got over: quietly when a part is away, loudly when it is our own mistake.
func (w *worker) trouble(ctx context.Context, what string, err error) {
	w.set(PartitionStatus{Partition: w.partition, State: PartitionOwned, Cursor: w.cursor, Problem: err.Error()})
	w.failed(w.partition, err)
	log := w.Log.ErrorContext
	if fault.Is(err, fault.Unavailable) {
		log = w.Log.WarnContext
	}
	log(ctx, what, "partition", w.partition, "kind", fault.KindOf(err), "error", err)
}
