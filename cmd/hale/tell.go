package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"hale/account"
	"hale/alerts"
	"hale/postgres"
	"hale/safe"
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

// inboxTold is the inbox of the record, which tells the live feed what became of unverified reds by it.
type inboxTold struct {
	*postgres.App
	announcer
}

// Dismiss puts readings aside. See safe.InboxBook.
func (t inboxTold) Dismiss(ctx context.Context, actor account.Actor, d safe.Dismissal) (int, error) {
	n, events, err := t.DismissTold(ctx, actor, d)
	if err == nil {
		t.Announce(ctx, events)
	}
	return n, err
}

// BringBack lets readings wait again. See safe.InboxBook.
func (t inboxTold) BringBack(ctx context.Context, actor account.Actor, r safe.Return) (int, error) {
	n, events, err := t.BringBackTold(ctx, actor, r)
	if err == nil {
		t.Announce(ctx, events)
	}
	return n, err
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

// takeoverTopic is the topic on which edges settle which of them has a device's newest connection.
const takeoverTopic = "takeover"
