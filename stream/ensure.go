package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"hale/fault"
	"hale/vital"
)

// StreamConfig says what the stream must be like.
type StreamConfig struct {
	Name     string // "HALE" when empty
	MaxBytes int64  // at which it is full; must be space that is really there: Server.MaxBytes, or the site's own figure
	Replicas int    // 3 on a cluster
	// A stream that exists keeps its size and replicas when these are 0. A new one needs a size, and has one replica.
}

// Stream is the one stream that holds all partitions.
type Stream struct {
	conn     *Conn
	name     string
	identity string
	maxBytes int64
	js       jetstream.Stream

	lookEvery time.Duration // of readers; tests look always
	looking   chan struct{} // holds a token while nobody looks
	looked    time.Time     // when the state was asked for
	seen      jetstream.StreamState
}

const (
	defaultName = "HALE"
	identityKey = "hale.identity"
	liveSubject = "hale.live."
	lateSubject = "hale.late."
	// bundleSubject takes envelopes of several live lanes in one message.
	bundleSubject = liveSubject + "many"
)

// Ensure makes the stream, or brings an existing one to the settings that lose nothing: nothing ages out, a full
// stream refuses, files on disk. A stream that cannot be brought there is fault.Invalid and says what to mend.
func (c *Conn) Ensure(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	if cfg.Name == "" {
		cfg.Name = defaultName
	}
	ctx, cancel := c.ask(ctx)
	defer cancel()
	js, err := c.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		js, err = c.create(ctx, cfg)
	}
	if err != nil {
		return nil, wrap(err, "look at stream %s", cfg.Name)
	}
	if js, err = c.repair(ctx, cfg, js); err != nil {
		return nil, err
	}
	info := js.CachedInfo()
	c.metrics.maxBytes.Set(float64(info.Config.MaxBytes))
	return &Stream{conn: c, name: cfg.Name, identity: identityOf(info), maxBytes: info.Config.MaxBytes, js: js, lookEvery: lookEvery, looking: free()}, nil
}

// create makes the stream, or returns the one that another process made at the same moment.
func (c *Conn) create(ctx context.Context, cfg StreamConfig) (jetstream.Stream, error) {
	if cfg.MaxBytes <= 0 {
		return nil, fault.New(fault.Invalid, "stream %s needs a size: a stream without one fills the disk", cfg.Name)
	}
	js, err := c.js.CreateStream(ctx, required(cfg, jetstream.StreamConfig{
		MaxConsumers: -1, Replicas: 1, Metadata: map[string]string{identityKey: newIdentity()},
	}))
	if err == nil {
		return js, nil
	}
	// Another process may be making it: its space is taken before it can be seen, so the server may name want of space.
	for range lookAgain {
		if js, missing := c.js.Stream(ctx, cfg.Name); missing == nil {
			return js, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) && outcomeOf(err) != noRoom || !pause(ctx, longPause) {
			break
		}
	}
	return nil, refusedSettings(err, cfg.Name)
}

// lookAgain is how often a stream is looked for that somebody else seems to be making.
const lookAgain = 8

func newIdentity() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails: it ends the process first
	return hex.EncodeToString(id)
}

// required sets everything that the promises rest on; the rest stays as it is.
func required(cfg StreamConfig, have jetstream.StreamConfig) jetstream.StreamConfig {
	have.Name = cfg.Name
	have.Subjects = []string{liveSubject + "*", lateSubject + "*"}
	have.Storage = jetstream.FileStorage
	have.Retention = jetstream.LimitsPolicy
	have.Discard = jetstream.DiscardNew
	have.DiscardNewPerSubject = false
	have.MaxAge = 0
	have.MaxMsgs = -1
	have.MaxMsgsPerSubject = -1
	have.MaxMsgSize = -1
	if cfg.MaxBytes > 0 {
		have.MaxBytes = cfg.MaxBytes
	}
	if cfg.Replicas > 0 {
		have.Replicas = cfg.Replicas
	}
	have.NoAck = false
	have.AllowDirect = true
	// DenyDelete stays as it is: erasure overwrites single messages, all behind the cursors, and a stream that denies it
	// denies it for ever. One that is taken out before it was read is seen (Reader.compare).
	have.DenyPurge = false // the janitor's way
	have.AllowRollup = false
	have.AllowMsgTTL = false
	have.SubjectTransform = nil
	have.PersistMode = jetstream.DefaultPersistMode
	return have
}

// repair brings an existing stream to the required settings.
func (c *Conn) repair(ctx context.Context, cfg StreamConfig, js jetstream.Stream) (jetstream.Stream, error) {
	have := js.CachedInfo().Config
	if have.Mirror != nil || len(have.Sources) > 0 || have.Sealed {
		return nil, fault.New(fault.Invalid, "stream %s is a copy or sealed; give Hale a stream of its own", cfg.Name)
	}
	if have.MaxBytes <= 0 && cfg.MaxBytes <= 0 {
		return nil, fault.New(fault.Invalid, "stream %s needs a size: a stream without one fills the disk", cfg.Name)
	}
	want := required(cfg, have)
	if want.Metadata[identityKey] == "" {
		want.Metadata = maps.Clone(have.Metadata)
		if want.Metadata == nil {
			want.Metadata = map[string]string{}
		}
		want.Metadata[identityKey] = newIdentity()
	}
	slices.Sort(have.Subjects)
	slices.Sort(want.Subjects)
	if reflect.DeepEqual(have, want) {
		return js, nil
	}
	c.log.Warn("stream has other settings than it needs; they are set now", "stream", cfg.Name)
	updated, err := c.js.UpdateStream(ctx, want)
	if err != nil {
		return nil, refusedSettings(err, cfg.Name)
	}
	return updated, nil
}

// refusedSettings tells what the server will not do from a server that is away.
func refusedSettings(err error, name string) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code < 503 {
		return fault.Wrap(fault.Invalid, err, "stream %s cannot be set up; mend the setting that the server names, or the space it may use", name)
	}
	return wrap(err, "set up stream %s", name)
}

// identityOf names this very stream: one that is deleted and made again under the same name is another.
func identityOf(info *jetstream.StreamInfo) string {
	return fmt.Sprintf("%s-%d", info.Config.Metadata[identityKey], info.Created.UnixMilli())
}

// Identity is stable for as long as the stream exists and changes when it is made anew. Positions belong to it.
func (s *Stream) Identity() string { return s.identity }

// MaxBytes returns the size at which the stream is full.
func (s *Stream) MaxBytes() int64 { return s.maxBytes }

// state asks the server where the stream stands. A stream that was made anew is fault.Gone.
func (s *Stream) state(ctx context.Context) (jetstream.StreamState, error) {
	ctx, cancel := s.conn.ask(ctx)
	defer cancel()
	info, err := s.js.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, wrap(err, "ask where stream %s stands", s.name)
	}
	if got := identityOf(info); got != s.identity {
		return jetstream.StreamState{}, fault.New(fault.Gone, "stream %s is another than before (%s, was %s): positions do not belong to it", s.name, got, s.identity)
	}
	return info.State, nil
}

// free returns a lock that nobody holds, which a context can give up waiting for.
func free() chan struct{} {
	lock := make(chan struct{}, 1)
	lock <- struct{}{}
	return lock
}

// seenSince returns where the stream stood at a moment after since, and when it was asked: one question answers all readers
// who look at that time.
func (s *Stream) seenSince(ctx context.Context, since time.Time) (jetstream.StreamState, time.Time, error) {
	select {
	case <-s.looking:
		defer func() { s.looking <- struct{}{} }()
	case <-ctx.Done():
		return jetstream.StreamState{}, time.Time{}, fault.Wrap(fault.Unavailable, ctx.Err(), "ask where stream %s stands", s.name)
	}
	if s.looked.After(since) {
		return s.seen, s.looked, nil
	}
	now := time.Now()
	state, err := s.state(ctx)
	if err == nil {
		s.looked, s.seen = now, state
	}
	return state, now, err
}

// holes returns the sequences that were taken out of the middle of the stream.
func (s *Stream) holes(ctx context.Context) ([]uint64, error) {
	ctx, cancel := s.conn.ask(ctx)
	defer cancel()
	info, err := s.js.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, wrap(err, "ask what is missing in stream %s", s.name)
	}
	return info.State.Deleted, nil
}

// firstFrom finds the first message of the subject (">" for any) at or behind seq; it returns 0 when there is none.
// It asks the stream's leader: a direct get may be answered by a replica that lags and has not seen the message yet,
// and then a cursor would pass over it.
func (s *Stream) firstFrom(ctx context.Context, seq uint64, subject string) (uint64, time.Time, error) {
	ctx, cancel := s.conn.ask(ctx)
	defer cancel()
	question, err := json.Marshal(map[string]any{"seq": seq, "next_by_subj": subject, "no_hdr": true})
	if err != nil {
		return 0, time.Time{}, fault.Wrap(fault.Internal, err, "ask for a message")
	}
	reply, err := s.conn.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.name, question)
	if err != nil {
		return 0, time.Time{}, wrap(err, "ask for the first message from %d", seq)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq  uint64    `json:"seq"`
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return 0, time.Time{}, fault.Wrap(fault.Unavailable, err, "read the answer about the first message from %d", seq)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return 0, time.Time{}, nil
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return 0, time.Time{}, fault.Wrap(fault.Gone, answer.Error, "ask for the first message from %d", seq)
	case answer.Error != nil:
		return 0, time.Time{}, fault.Wrap(fault.Unavailable, answer.Error, "ask for the first message from %d", seq)
	case answer.Message == nil || answer.Message.Seq < seq:
		return 0, time.Time{}, fault.New(fault.Unavailable, "the stream server gave no proper answer about the first message from %d", seq)
	}
	return answer.Message.Seq, answer.Message.Time, nil
}

// subjectOf returns the subject of a lane of a partition, or fault.Invalid when there is no such thing.
func subjectOf(partition int, lane vital.Lane) (string, error) {
	if partition < 0 || partition >= vital.Partitions {
		return "", fault.New(fault.Invalid, "partition %d is not one of 0 to %d", partition, vital.Partitions-1)
	}
	switch lane {
	case vital.Live:
		return fmt.Sprintf("%s%d", liveSubject, partition), nil
	case vital.Late:
		return fmt.Sprintf("%s%d", lateSubject, partition), nil
	}
	return "", fault.New(fault.Invalid, "there is no lane %q", string(lane))
}
