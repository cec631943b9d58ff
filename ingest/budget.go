package ingest

import (
	"context"
	"slices"
	"sync"

	"hale/fault"
)

// budget bounds the bytes that are accepted and not durable. Who finds it exhausted waits in line, so that a large
// message is not overtaken for ever by small ones.
type budget struct {
	size int64

	mu     sync.Mutex
	held   int64
	line   []*waiter
	closed bool
}

type waiter struct {
	bytes   int64
	settled chan error // nil: the bytes are granted
}

// clamp returns what a message is charged: one larger than the whole budget goes alone.
func (b *budget) clamp(bytes int64) int64 { return min(bytes, b.size) }

// take waits until the bytes are free. Its error is fault.Unavailable: ctx ended, or the budget closed.
func (b *budget) take(ctx context.Context, bytes int64) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return errClosing()
	}
	if len(b.line) == 0 && b.held+bytes <= b.size {
		b.held += bytes
		b.mu.Unlock()
		return nil
	}
	w := &waiter{bytes, make(chan error, 1)}
	b.line = append(b.line, w)
	b.mu.Unlock()

	select {
	case err := <-w.settled:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.line, w); i >= 0 {
		b.line = slices.Delete(b.line, i, i+1)
		b.admit() // those behind may be smaller
		return fault.Wrap(fault.Unavailable, context.Cause(ctx), "no room was free in time; send it again")
	}
	return <-w.settled // it was settled at the same moment
}

// grab takes the bytes if they are free now and nobody waits for any.
func (b *budget) grab(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.line) > 0 || b.held+bytes > b.size {
		return false
	}
	b.held += bytes
	return true
}

// give frees bytes that were taken.
func (b *budget) give(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= bytes
	b.admit()
}

// admit grants, with mu held, what the line's head asks for as long as there is room.
func (b *budget) admit() {
	for len(b.line) > 0 && b.held+b.line[0].bytes <= b.size {
		b.held += b.line[0].bytes
		b.line[0].settled <- nil
		b.line = slices.Delete(b.line, 0, 1)
	}
}

// close sends everybody in the line away, and whoever comes later.
func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, w := range b.line {
		w.settled <- errClosing()
	}
	b.line = nil
}

// used returns the bytes that are taken.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

func errClosing() error {
	return fault.New(fault.Unavailable, "the server is going down; send it again")
}
