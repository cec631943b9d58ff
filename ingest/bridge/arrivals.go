package bridge

import (
	"hash/maphash"
	"time"
)

// remembered is how many arrivals are kept in mind: more than brokers have on their way to us at once.
const remembered = 16 << 10

// arrivals remembers when messages came first. One without a time of its own is taken as measured when it arrived, and
// the broker sends it again when our acknowledgement was lost: it must be the same reading then, not a second one. paho
// calls of from one goroutine at a time.
type arrivals struct {
	seed  maphash.Seed
	at    map[uint64]time.Time
	order []uint64
	next  int
}

// of returns when the message came first.
func (a *arrivals) of(topic string, payload []byte, again bool, now time.Time) time.Time {
	if a.at == nil {
		a.seed, a.at = maphash.MakeSeed(), make(map[uint64]time.Time, remembered)
	}
	var h maphash.Hash
	h.SetSeed(a.seed)
	_, _ = h.WriteString(topic) // it never fails
	_ = h.WriteByte(0)
	_, _ = h.Write(payload)
	key := h.Sum64()
	if first, ok := a.at[key]; ok && again {
		return first
	}
	if len(a.order) < remembered {
		a.order = append(a.order, key)
	} else {
		delete(a.at, a.order[a.next])
		a.order[a.next] = key
		a.next = (a.next + 1) % remembered
	}
	a.at[key] = now
	return now
}
