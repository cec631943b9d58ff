package ingest

import (
	"hale/devices"
	"hale/vital"
)

// Names of bounds that the outside tests measure by.
const (
	MaxElements  = maxElements
	MaxDepth     = maxDepth
	MaxEnvelope  = maxEnvelope
	LateEnvelope = lateEnvelope
	RawKept      = rawKept
	ReadingCost  = readingCost
	MostSeen     = mostSeen
)

// Decode shows what a message becomes, without gathering or publishing it. The device is taken as the snapshot's entry.
func (c *Core) Decode(s *devices.Snapshot, m Message) ([]vital.Record, Receipt) {
	t := &ticket{}
	records, _ := c.decode(s, m.Device, &m, t)
	return records, t.receipt
}

// Held returns the bytes that are charged to the budget.
func (c *Core) Held() int64 { return c.budget.used() }

// CostOf returns what a record is estimated to take in an envelope.
func CostOf(r vital.Record) int { return costOf(r) }

// Waiting returns how many submissions wait for room.
func (c *Core) Waiting() int {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	return len(c.budget.line)
}
