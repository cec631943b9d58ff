package stream

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"hale/vital"
)

// Reseal makes a copy of b whose magic, version and checksum are right, for the fuzzer.
func Reseal(b []byte) []byte {
	c := make([]byte, max(len(b), headerSize))
	copy(c, b)
	copy(c, magic)
	c[len(magic)] = currentVersion
	binary.LittleEndian.PutUint32(c[checksumAt:], checksum(c))
	return c
}

// AsVersion makes a copy of an envelope that says it is of another version, with its checksum right.
func AsVersion(version byte, envelope []byte) []byte {
	c := append([]byte{}, envelope...)
	c[len(magic)] = version
	binary.LittleEndian.PutUint32(c[checksumAt:], checksum(c))
	return c
}

// SyncsAlways reports whether the server syncs every write.
func SyncsAlways(s *Server) bool { return s.current.JetStreamConfig().SyncAlways }

// Delete takes the stream away, as a person with the server's own tool would.
func Delete(t *testing.T, c *Conn) {
	t.Helper()
	if err := c.js.DeleteStream(t.Context(), defaultName); err != nil {
		t.Fatal(err)
	}
}

// PurgeTo removes everything up to and including seq, as a person would.
func PurgeTo(t *testing.T, s *Stream, seq uint64) {
	t.Helper()
	if err := s.js.Purge(t.Context(), jetstream.WithPurgeSequence(seq+1)); err != nil {
		t.Fatal(err)
	}
}

// PurgeSubject removes all messages of one subject, as a person would.
func PurgeSubject(t *testing.T, s *Stream, subject string) {
	t.Helper()
	if err := s.js.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Fatal(err)
	}
}

// Bounds returns the first and the last sequence of the stream, and its bytes.
func Bounds(t *testing.T, s *Stream) (first, last, bytes uint64) {
	t.Helper()
	state, err := s.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.FirstSeq, state.LastSeq, state.Bytes
}

// Age returns when the message at seq was stored.
func Age(t *testing.T, s *Stream, seq uint64) time.Time {
	t.Helper()
	_, at, err := s.firstFrom(t.Context(), seq, ">")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// PublishRaw stores bytes that are no envelope of ours.
func PublishRaw(t *testing.T, s *Stream, subject string, data []byte) uint64 {
	t.Helper()
	ack, err := s.conn.js.Publish(t.Context(), subject, data)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// MakeCareless makes a stream under our name with settings that lose readings.
func MakeCareless(t *testing.T, c *Conn) {
	t.Helper()
	_, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: defaultName, Subjects: []string{"hale.>"}, MaxAge: time.Hour, Discard: jetstream.DiscardOld, MaxMsgs: 10, MaxBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// WhatLoses names the settings of the stream that lose readings.
func WhatLoses(t *testing.T, s *Stream) (wrong []string) {
	t.Helper()
	info, err := s.js.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	for what, bad := range map[string]bool{
		"age": c.MaxAge != 0, "discards old": c.Discard != jetstream.DiscardNew, "count": c.MaxMsgs > 0, "count per subject": c.MaxMsgsPerSubject > 0,
		"memory": c.Storage != jetstream.FileStorage, "no limit": c.MaxBytes <= 0, "retention": c.Retention != jetstream.LimitsPolicy,
		"unsynced": c.PersistMode != jetstream.DefaultPersistMode, "subjects": len(c.Subjects) != 2,
	} {
		if bad {
			wrong = append(wrong, what)
		}
	}
	return wrong
}

// Mute replaces the stream by a listener that swallows what is published and never answers; it counts.
func Mute(t *testing.T, c *Conn) *atomic.Int64 {
	t.Helper()
	Delete(t, c)
	var swallowed atomic.Int64
	sub, err := c.nc.Subscribe(liveSubject+"*", func(*nats.Msg) { swallowed.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return &swallowed
}

// SetRestart replaces what a publisher does about a stuck server.
func SetRestart(c *Conn, restart func()) {
	c.restart = func(context.Context) error { restart(); return nil }
}

// Consumers returns how many consumers the stream has.
func Consumers(t *testing.T, s *Stream) int {
	t.Helper()
	state, err := s.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Consumers
}

// Queued returns how many envelopes the reader has read ahead.
func Queued(r *Reader) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// QueuedBytes returns how many bytes the reader has read ahead.
func QueuedBytes(r *Reader) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// ForgetRestart lets the server be restarted at once again.
func ForgetRestart(s *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarted = time.Time{}
}

// LookAlways makes the stream's readers look before every message whether some were taken away.
func LookAlways(s *Stream) { s.lookEvery = -1 }

// ServerID names the server that runs now.
func ServerID(s *Server) string { return s.current.ID() }

// message is a delivery of a consumer, as far as a reader looks at it.
type message struct {
	jetstream.Msg
	consumer, stream uint64
	data             []byte
}

// Metadata is part of jetstream.Msg.
func (m message) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Consumer: m.consumer, Stream: m.stream}}, nil
}

// Data is part of jetstream.Msg.
func (m message) Data() []byte { return m.data }

// Subject is part of jetstream.Msg.
func (m message) Subject() string { return liveSubject }

// Accept gives a reader a delivery while it expects another one.
func Accept(r *Reader, consumer, seq, expected uint64, data []byte) error {
	return r.accept(message{consumer: consumer, stream: seq, data: data}, expected)
}

// Bundle encodes envelopes, each of one partition, in the order of the partitions.
func Bundle(envelopes map[int][]byte) []byte {
	parcels := []parcel{}
	for partition := range vital.Partitions {
		if envelope, ok := envelopes[partition]; ok {
			parcels = append(parcels, parcel{partition, envelope})
		}
	}
	return encodeBundle(nil, parcels)
}

// OpenBundle returns the envelope of the partition.
func OpenBundle(b []byte, partition int) ([]byte, error) { return openBundle(b, partition) }

// ResealBundle makes a copy of b whose magic, version and checksum are right, when it is long enough for its list.
func ResealBundle(b []byte) []byte {
	c := make([]byte, max(len(b), bundleHeader))
	copy(c, b)
	copy(c, bundleMagic)
	c[len(bundleMagic)] = bundleVersion
	if begin := bundleSize(int(binary.LittleEndian.Uint16(c[5:])), 0); begin <= len(c) {
		binary.LittleEndian.PutUint32(c[bundleCheckAt:], bundleChecksum(c[:begin]))
	}
	return c
}

// Company lets envelopes travel together through a stream that the test plays.
type Company struct{ company }

// NewCompany returns one whose bundles are sent by send, which is told the partitions.
func NewCompany(send func(ctx context.Context, partitions []int) error) *Company {
	return &Company{company{send: func(ctx context.Context, parcels []parcel) error {
		partitions := make([]int, len(parcels))
		for i, p := range parcels {
			partitions[i] = p.partition
		}
		return send(ctx, partitions)
	}}}
}

// Travel sends an envelope.
func (c *Company) Travel(ctx context.Context, partition int) error {
	return c.travel(ctx, parcel{partition, []byte{1}})
}

// SeenByAnother is a look of another reader of the process.
func SeenByAnother(t *testing.T, s *Stream) {
	t.Helper()
	if _, _, err := s.seenSince(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
}

// Position is up to where the reader has read.
func Position(r *Reader) uint64 { return r.position() }
