package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/ingest"
)

// quarantine is where what was refused is looked after.
func (h *house) quarantine(looks *account.Looks) *devices.Quarantine {
	return &devices.Quarantine{Book: h.app, Again: h.again, Looks: looks}
}

// againWithin is how long a message may take to be durable that is decoded again.
const againWithin = 20 * time.Second

// again gives what was refused to the core once more. What came through another broker needs that broker's mapping, which the process
// with role bridge has.
func (h *house) again(ctx context.Context, held *devices.Refusal) (devices.Retried, error) {
	if h.core == nil {
		return devices.Retried{}, fault.New(fault.Unavailable, "this process decodes nothing: ask one with role edge or bridge")
	}
	snapshot, _ := h.cache.Current()
	if snapshot == nil || snapshot.Devices[held.Device] == nil || snapshot.Devices[held.Device].Revoked {
		return devices.Retried{}, fault.New(fault.Conflict, "the device %s is not enrolled any more: nothing of it is taken", held.Device)
	}
	m := ingest.Message{Device: snapshot.Devices[held.Device], Topic: held.Topic, Payload: append([]byte{}, held.Raw...), ReceivedAt: held.ReceivedAt}
	if !strings.HasPrefix(held.Topic, credential.TopicRoot) {
		if m.Mapping = h.mappingOf(held.Device); m.Mapping == nil {
			return devices.Retried{}, fault.New(fault.Unavailable, "it came through another broker, whose mapping this process does not have: ask the one with role bridge")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, againWithin)
	defer cancel()
	done := make(chan ingest.Receipt, 1)
	h.core.Submit(ctx, m, func(r ingest.Receipt) { done <- r })
	select {
	case r := <-done:
		return retriedOf(r), r.Err
	case <-ctx.Done():
		return devices.Retried{}, fault.Wrap(fault.Unavailable, ctx.Err(), "it is not on disk yet: try again in a moment")
	}
}

// mappingOf returns the mapping of the broker for which the device stands; nil when this process has none.
func (h *house) mappingOf(device string) *ingest.Mapping {
	if h.others == nil {
		return nil
	}
	for i := range h.others.Brokers {
		if b := &h.others.Brokers[i]; b.Device == device {
			return b.Mapping
		}
	}
	return nil
}

func retriedOf(r ingest.Receipt) devices.Retried {
	all := devices.Retried{Accepted: r.Accepted}
	var details []string
	for _, no := range r.Refused {
		details = append(details, fmt.Sprintf("%s: %s", no.Reason, no.Detail))
	}
	all.Refused = strings.Join(details, "; ")
	return all
}
