package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"hale/alerts"
	"hale/stream"
	"hale/vital"
)

// announcer tells the live feed what was committed.
type announcer struct {
	feed *stream.Feed
	log  *slog.Logger
}

// Announce sends every event to whoever listens for its organisation.
func (a announcer) Announce(ctx context.Context, events []alerts.Event) {
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			a.log.Error("an event cannot be written", "error", err)
			continue
		}
		a.feed.Announce(ctx, int32(e.Org), b)
	}
}

// listener hears what announcers tell.
type listener struct {
	feed *stream.Feed
	log  *slog.Logger
}

// Listen hands every announced event to heard until ctx ends.
func (l listener) Listen(ctx context.Context, heard func(org vital.OrgID, e alerts.Event)) error {
	return l.feed.Listen(ctx, func(org int32, payload []byte) {
		var e alerts.Event
		if err := json.Unmarshal(payload, &e); err != nil {
			l.log.Error("an announcement cannot be read", "error", err)
			return
		}
		heard(vital.OrgID(org), e)
	})
}

// takeoverTopic is the topic on which an edge tells the others that a device is connected to it now.
const takeoverTopic = "takeover"

// takeover is what an edge tells: the connection of the device with the highest epoch is its only one.
type takeover struct {
	Device string `json:"device"`
	Epoch  int64  `json:"epoch"`
}

// takeovers tells other edges of a device's new connection, and hears of theirs.
type takeovers struct {
	feed *stream.Feed
	log  *slog.Logger
}

func (t takeovers) tell(device string, epoch int64) {
	b, err := json.Marshal(takeover{device, epoch})
	if err != nil {
		t.log.Error("a take-over cannot be written", "device", device, "error", err)
		return
	}
	t.feed.Tell(takeoverTopic, b)
}

// hear hands every take-over to superseded until ctx ends. Our own come back too: they are of the epoch that we have.
func (t takeovers) hear(ctx context.Context, superseded func(device string, epoch int64)) error {
	return t.feed.Hear(ctx, takeoverTopic, func(payload []byte) {
		var told takeover
		if err := json.Unmarshal(payload, &told); err != nil {
			t.log.Error("a take-over cannot be read", "error", err)
			return
		}
		superseded(told.Device, told.Epoch)
	})
}
