package main

import (
	"bytes"
	"context"
	"sync"
	"time"

	"hale/devices"
	"hale/ingest"
	"hale/ingest/formats"
	"hale/vital"
)

// collected takes what a core makes durable.
type collected struct {
	mu      sync.Mutex
	records []vital.Record
}

// Publish keeps the records.
func (c *collected) Publish(_ context.Context, _ int, _ vital.Lane, records []vital.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, records...)
	return nil
}

// nativeMessage sends the payload through a core of its own, as the front door does.
func nativeMessage(ctx context.Context, payload []byte) (formats.Message, error) {
	var got collected
	device := &devices.Device{ID: 1, Org: 1, UID: "sample", Own: 1}
	snapshot := &devices.Snapshot{Devices: map[string]*devices.Device{device.UID: device}}
	core := ingest.New(ingest.Config{Snapshot: func() *devices.Snapshot { return snapshot }, Publisher: &got})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	done := make(chan ingest.Receipt, 1)
	core.Submit(ctx, ingest.Message{Device: device, Topic: "hale/v1/sample/readings", Payload: bytes.Clone(payload), ReceivedAt: time.Now()},
		func(r ingest.Receipt) { done <- r })
	receipt := <-done
	stop()
	if err := <-ended; err != nil && receipt.Err == nil {
		receipt.Err = err
	}
	var m formats.Message
	for _, r := range got.records {
		if r.Reading != nil {
			m.Drafts = append(m.Drafts, draftOf(r.Reading))
		}
	}
	for _, r := range receipt.Refused {
		m.Refused = append(m.Refused, formats.Refusal{Of: formats.Of{Index: r.Index}, Reason: r.Reason, Detail: r.Detail})
	}
	return m, receipt.Err
}

// draftOf brings a reading of the wire to the form of the others. A time that was not sent is none.
func draftOf(r *vital.Reading) formats.Draft {
	d := formats.Draft{Metric: r.Metric, Sent: r.Sent, N: r.N, Findings: r.Findings, HasSequence: r.HasSequence}
	if r.HasSequence {
		d.Sequence = r.Tie
	}
	if r.Findings&vital.TimeAssumed == 0 {
		d.Time.At = r.SentAt
	}
	return d
}
