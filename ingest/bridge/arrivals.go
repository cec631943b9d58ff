package bridge

import (
	"hash/maphash"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// arrivals remembers when messages came first. One without a time of its own is taken as measured when it arrived, and
// the broker sends it again when our acknowledgement was lost: it must be the same reading then, not a second one. The
// broker sends it with the packet id that it had, and gives that id to no other message before it has our
// acknowledgement: one place for each id is all that can be in flight, and nothing in flight is ever overwritten. paho
// calls of from one goroutine at a time.
type arrivals struct {
	seed maphash.Seed
	at   map[uint16]arrival // by packet id
}

type arrival struct {
	of    uint64 // hash of topic and payload
	first time.Time
}

// of returns when the message came first. One of QoS 0 has no packet id and never comes again.
func (a *arrivals) of(m mqtt.Message, now time.Time) time.Time {
	if m.Qos() == 0 {
		return now
	}
	if a.at == nil {
		a.seed, a.at = maphash.MakeSeed(), map[uint16]arrival{}
	}
	var h maphash.Hash
	h.SetSeed(a.seed)
	_, _ = h.WriteString(m.Topic()) // it never fails
	_ = h.WriteByte(0)
	_, _ = h.Write(m.Payload())
	this := arrival{of: h.Sum64(), first: now}
	if before, ok := a.at[m.MessageID()]; ok && m.Duplicate() && before.of == this.of {
		return before.first
	}
	a.at[m.MessageID()] = this
	return now
}
