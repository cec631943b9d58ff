// Package ingest turns what devices send into records: it decodes, normalises and checks once, finds device and
// owner, and gathers records into envelopes, one in flight per partition and lane, so that what waits travels
// together by itself. A message is acknowledged only when every envelope with a part of it is durable. The doors
// are ingest/edge (Hale's own MQTT listener) and ingest/bridge (the client of other brokers).
package ingest

import (
	"context"
	"time"

	"hale/devices"
	"hale/vital"
)

// Message is one publication as a door received it. The payload belongs to the core from Submit on.
type Message struct {
	Device     *devices.Device // who is connected; the patient is never taken from the payload
	Topic      string
	Payload    []byte
	ReceivedAt time.Time
	// Canary names the edge process whose own canary sent the message; a door sets it for nobody else. Device is not
	// looked at then, and nothing but the canary's beat is taken.
	Canary string
	// Mapping is set by the bridge: the message came through somebody else's broker, and this is how to read it.
	Mapping *Mapping
	// Untimed is set by a door that was told when the message was made: it is the time of what in it has none of its own.
	Untimed time.Time
	// Retained is set by the bridge when the broker had kept the message and gave it to us because we subscribed: that it
	// comes tells nothing of when it was measured.
	Retained bool
	// Oversize is set when the door drained a message that is too large to take: Payload is then its head.
	Oversize *Oversize
	// Connection is the epoch of the connection that brought the message, where the door has such: what a device told by an older
	// connection says nothing of it now.
	Connection int64
	// Presence is set by a door for what it knows of the connection itself: a will that it tells for a device (vital.StatusWill),
	// or, without topic and payload, that the device came or left. Zero for what a device publishes.
	Presence vital.StatusKind
}

// Oversize describes a message of which only the head was kept.
type Oversize struct {
	Length int64
	Hash   [32]byte // SHA-256 of the whole
}

// Refusal is one part of a message that was not taken as a reading.
type Refusal struct {
	Index  int // place in the array; 0 for a single object
	Reason vital.Reason
	Field  string // the path of the field in the sender's own words, where one is known
	Detail string
}

// Receipt tells what became of a message. With a nil Err all of it is durable: readings and refusals alike.
type Receipt struct {
	Err      error // fault.Unavailable: not durable, close the connection without an acknowledgement
	Accepted int
	Refused  []Refusal
	Wanted   bool // the device asked for a receipt of acceptance
}

// Publisher makes records durable as one envelope. It returns nil only when the envelope is on disk; a publish with
// an unknown outcome it repeats as the same envelope until ctx ends.
type Publisher interface {
	Publish(ctx context.Context, partition int, lane vital.Lane, records []vital.Record) error
}
