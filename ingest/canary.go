package ingest

import (
	"context"
	"time"

	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// CanaryUID is the client id and user name of every edge's own canary. No device can have it: it does not match
// devices.UIDPattern.
const CanaryUID = "~canary"

// CanaryTopic is the one topic to which a canary publishes.
const CanaryTopic = topicRoot + CanaryUID + "/readings"

// submitCanary takes a beat of an edge's canary, which is written like any device's heart rate and goes through the same
// decoder, and gathers one record of it for the live lane of every partition. Anything else that comes with a canary's
// credential is fault.Forbidden: it can send nobody's reading. The other errors are those of submit.
func (c *Core) submitCanary(ctx context.Context, m *Message, done func(Receipt)) error {
	if m.ReceivedAt.IsZero() {
		m.ReceivedAt = c.now()
	}
	beat, err := c.beat(m)
	if err != nil {
		return err
	}
	beats := make([]vital.Canary, vital.Partitions)
	records := make([]vital.Record, vital.Partitions)
	cost := int64(len(m.Payload))
	for p := range beats {
		beats[p] = beat
		beats[p].Partition = p
		records[p].Canary = &beats[p]
		cost += int64(costOf(records[p]))
	}
	t := &ticket{done: done, receipt: Receipt{Accepted: 1}, quiet: true, charged: c.budget.clamp(cost)}
	if err := c.budget.take(ctx, t.charged); err != nil {
		return err
	}
	c.gather(t, records)
	return nil
}

// beat decodes the message of a canary.
func (c *Core) beat(m *Message) (vital.Canary, error) {
	if m.Topic != CanaryTopic || m.Oversize != nil {
		return vital.Canary{}, fault.New(fault.Forbidden, "a canary publishes nothing but its beat")
	}
	d := c.decoders.Get().(*decoder) //nolint:errcheck // the pool holds nothing else
	defer func() {
		d.forget()
		c.decoders.Put(d)
	}()
	d.snapshot, d.device, d.message = &devices.Snapshot{}, &devices.Device{UID: CanaryUID}, m
	d.received = m.ReceivedAt.UTC().Truncate(time.Microsecond)
	d.decode()
	if len(d.told) > 0 {
		return vital.Canary{}, fault.New(fault.Forbidden, "the canary's beat is refused (%s): %s", d.told[0].Reason, d.told[0].Detail)
	}
	if len(d.readings) != 1 || d.readings[0].Metric != vital.HeartRate || !d.readings[0].HasSequence {
		return vital.Canary{}, fault.New(fault.Forbidden, "a canary's beat is one heart rate with a sequence number")
	}
	r := &d.readings[0]
	return vital.Canary{Edge: m.Canary, Number: r.Tie, SentAt: r.SentAt, Value: r.Sent[0]}, nil
}
