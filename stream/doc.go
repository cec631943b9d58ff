// Package stream carries records from the doors of the house to whoever judges them, and never drops one that is not
// committed yet. It holds the codec of envelopes, the embedded NATS server (JetStream, every write synced), the
// Publisher that returns only when an envelope is on disk, the Reader that hands out one lane of one partition in
// order and without gaps, the Janitor that purges behind the committed cursors, and the live Feed that tells screens
// and caches that something changed.
//
// One JetStream stream holds all partitions: subjects hale.live.<partition>, hale.late.<partition>, and hale.live.many for
// small envelopes of several partitions that left at the same moment. Nothing ages out of it and a full stream refuses
// (DiscardNew), so a position is lost only when somebody removes messages by hand; that is seen and is an error of kind
// fault.Gone.
package stream
