package alerts

import (
	"context"
	"time"

	"hale/vital"
)

// Cursor is the position of a partition's owner. The record holds it; a batch commits only against the same epoch
// and position, which is the fence against a paused process.
type Cursor struct {
	Partition int
	Stream    string // identity of the stream the positions belong to
	Epoch     int64
	LiveSeq   uint64
	LateSeq   uint64
}

// Seq returns the position in a lane.
func (c Cursor) Seq(l vital.Lane) uint64 {
	if l == vital.Live {
		return c.LiveSeq
	}
	return c.LateSeq
}

// Reader reads one lane of one partition from a position on, in order and without gaps. It ends with an error of
// kind fault.Gone when the position is no longer in the stream: that stops the partition, it is never skipped.
type Reader interface {
	// Next waits for at least one envelope and returns all that are there, up to about max records. When its context
	// ends first it returns the context's error and nothing is lost: the next call goes on where this one began.
	Next(ctx context.Context, max int) ([]vital.Envelope, error)
	// Ready reports without waiting whether Next would return at once.
	Ready() bool
	// Idle returns a sequence up to which everything of this lane has been handed out by Next, or 0 when unknown;
	// an idle partition's cursor advances by it, so that the stream can be purged behind it.
	Idle(ctx context.Context) (uint64, error)
	Close()
}

// OpenReader opens a reader on one lane of one partition, behind the given position.
type OpenReader func(ctx context.Context, partition int, lane vital.Lane, after uint64) (Reader, error)

// Announcer tells the live feed what was committed. A lost announcement loses nothing: feeds also catch up.
type Announcer interface {
	Announce(ctx context.Context, events []Event)
}

// Batch is what one transaction takes on: records of one lane and the new position behind them. Records may be
// empty: the cursor then moves alone, or only situation changes are worked off.
type Batch struct {
	Cursor  Cursor
	Lane    vital.Lane
	To      uint64 // new position in Lane; equal to the old one when nothing was read
	Records []vital.Record
	Now     time.Time // zero: what the record's clock says when the transaction begins
}

// Result tells what a committed batch did.
type Result struct {
	Cursor     Cursor
	Stored     int // readings taken for the first time
	Duplicates int // readings that were there already
	Refused    int // written to quarantine
	Parked     int // written to the unassigned inbox
	Events     []Event
}

// Decide judges the fresh readings of a batch as of now. changed holds the situation changes since the last batch of this
// owner; whatever was cached of those patients must be forgotten first. It may be called again for the same batch
// when the transaction is retried, and must not keep anything until Committed is called.
type Decide func(ctx context.Context, now time.Time, facts Facts, changed []Change, fresh []Fresh) (Outcome, error)

// Store is the record as the Processor needs it.
type Store interface {
	// Claim takes the partition when it is free or its lease has run out, and returns where it stands with a new
	// epoch. A partition that somebody else holds is fault.Conflict; a stream identity that differs from the
	// stored one is fault.Gone.
	Claim(ctx context.Context, partition int, stream, owner string, lease time.Duration) (Cursor, error)
	// Renew prolongs the lease; fault.Conflict when the epoch is no longer ours.
	Renew(ctx context.Context, c Cursor, lease time.Duration) error
	// Release gives the partition back at once.
	Release(ctx context.Context, c Cursor) error
	// Advance commits one batch: position, readings, quarantine, inbox, tracks, episodes, log, audit, outbox. An
	// epoch or position that is no longer ours is fault.Conflict and commits nothing; fault.Unavailable means: try
	// the same batch again.
	Advance(ctx context.Context, b Batch, decide Decide) (Result, error)
	// Pending reports whether situation changes wait for this partition.
	Pending(ctx context.Context, partition int) (bool, error)
}
