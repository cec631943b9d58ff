package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"hale/vital"
)

// smallBatch is up to how many records a live batch may share a transaction: a larger one is worth its own.
const smallBatch = 256

// A partition may be held up by somebody who has its position locked. It must hold up no other for longer than this.
const (
	waitTogether   = 100 * time.Millisecond // for one's turn; then one goes alone
	commitTogether = time.Second            // for a group; then each goes alone
)

// Envelopes of several partitions leave together, so their batches come together. While they lately did, the first waits a
// moment for as many as there were in the latest group.
const (
	lately   = 20 * time.Millisecond
	patience = 500 * time.Microsecond
)

func (j *job) small() bool {
	return j.batch.Lane == vital.Live && len(j.batch.Records) <= smallBatch && j.batch.Now.IsZero()
}

// convoy lets small batches of this process's partitions commit together. A transaction costs as much as some hundred
// readings, whatever it holds, and under load eight partitions with thirty readings each come at the same time. Who comes
// alone goes at once, and who comes while a group is under way goes with the next. Each partition is fenced by its own
// position all the same.
type convoy struct {
	wait, commit time.Duration // 0: waitTogether and commitTogether

	mu       sync.Mutex
	underway bool
	ended    time.Time // the latest group
	usual    int       // how many went in it
	waiting  []*traveller
	full     chan struct{} // closed when enough wait; nil when nobody looks
	enough   int
}

// traveller is a job that waits for its turn.
type traveller struct {
	*job
	lead chan []*traveller // it is to commit these, itself among them
	done chan bool         // whether it was committed by another; if not it goes alone
}

// together commits a small batch, with others when there are some. When those cannot be committed together, each goes
// alone: one partition that was lost holds up no other.
func (w *Work) together(ctx context.Context, j *job) error {
	t := &traveller{job: j, lead: make(chan []*traveller, 1), done: make(chan bool, 1)}
	group, committed := w.convoy.join(ctx, t)
	switch {
	case committed:
		return nil
	case group == nil:
		return w.alone(ctx, j)
	}
	if group = w.convoy.gather(group); len(group) == 1 {
		defer w.convoy.next()
		return w.alone(ctx, j)
	}
	if w.lead(ctx, t, group) {
		return nil
	}
	return w.alone(ctx, j)
}

// join waits until t is to lead a group, or was taken along. With neither it goes alone.
func (c *convoy) join(ctx context.Context, t *traveller) (group []*traveller, committed bool) {
	c.mu.Lock()
	if !c.underway {
		c.underway = true
		c.mu.Unlock()
		return []*traveller{t}, false
	}
	c.waiting = append(c.waiting, t)
	if c.full != nil && len(c.waiting) >= c.enough {
		close(c.full)
		c.full = nil
	}
	c.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(c.wait, waitTogether))
	defer cancel()
	select {
	case group := <-t.lead:
		return group, false
	case committed := <-t.done:
		return nil, committed
	case <-bounded.Done():
	}
	c.mu.Lock()
	i := slices.Index(c.waiting, t)
	if i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
	c.mu.Unlock()
	if i >= 0 {
		return nil, false
	}
	select { // it was taken already: whoever leads may be judging with what is ours
	case group := <-t.lead:
		return group, false
	case committed := <-t.done:
		return nil, committed
	}
}

// lead commits the group, reports whether it could, and sends the next one on its way.
func (w *Work) lead(ctx context.Context, t *traveller, group []*traveller) bool {
	defer w.convoy.next()
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(w.convoy.commit, commitTogether))
	defer cancel()
	jobs := make([]*job, len(group))
	for i, one := range group {
		jobs[i] = one.job
	}
	slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(a.batch.Cursor.Partition, b.batch.Cursor.Partition) })
	err := w.advance(bounded, jobs, false)
	for _, one := range group {
		if one != t {
			one.done <- err == nil
		}
	}
	return err == nil
}

// gather takes along who comes within a moment, when others have lately.
func (c *convoy) gather(group []*traveller) []*traveller {
	c.mu.Lock()
	c.enough = c.usual - len(group)
	if time.Since(c.ended) < lately && len(c.waiting) < c.enough {
		full := make(chan struct{})
		c.full = full
		c.mu.Unlock()
		select {
		case <-full:
		case <-time.After(patience):
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	group = append(group, c.waiting...)
	c.waiting, c.full, c.usual = nil, nil, len(group)
	return group
}

// next lets those go who wait, led by the first of them.
func (c *convoy) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = time.Now()
	if len(c.waiting) == 0 {
		c.underway = false
		return
	}
	group := c.waiting
	c.waiting = nil
	group[0].lead <- group
}
