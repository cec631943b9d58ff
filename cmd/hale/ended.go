package main

import (
	"context"
	"strings"

	"hale/api/feed"
	"hale/stream"
	"hale/vital"
)

// sessionsTopic is the topic on which APIs tell each other which sessions were ended.
const sessionsTopic = "sessions"

// tellEnded returns what closes the feeds of sessions in this process, and tells the other APIs to close theirs. What is missed
// on the way, the hub finds out from the record within a second.
func tellEnded(hub *feed.Hub, line *stream.Feed) func(uids ...vital.UID) {
	return func(uids ...vital.UID) {
		hub.End(uids...)
		names := make([]string, len(uids))
		for i, uid := range uids {
			names[i] = string(uid)
		}
		line.Tell(sessionsTopic, []byte(strings.Join(names, ",")))
	}
}

// hearEnded closes the feeds of sessions that another API has ended.
func hearEnded(ctx context.Context, hub *feed.Hub, line *stream.Feed) error {
	return line.Hear(ctx, sessionsTopic, func(payload []byte) {
		var uids []vital.UID
		for name := range strings.SplitSeq(string(payload), ",") {
			uids = append(uids, vital.UID(name))
		}
		hub.End(uids...)
	}, func() {}) // the hub asks the record anyway
}
