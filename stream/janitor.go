package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"hale/fault"
)

// Janitor purges the stream behind the lowest committed cursor. What is committed stays for a repair window, as long as
// that takes no more than half of the stream. It also watches how full the stream is and how old its oldest uncommitted
// envelope. Several janitors on one stream do no harm.
type Janitor struct {
	Stream *Stream
	// Cursors returns the lowest committed position over all partitions and both lanes of this stream's identity; 0
	// as long as one of them has none.
	Cursors func(ctx context.Context) (uint64, error)
	Window  time.Duration    // of repair; 1 h when 0
	Every   time.Duration    // between two rounds of Run; 10 s when 0
	Stale   time.Duration    // age of the oldest uncommitted envelope that is worth a warning, so long after the first round; 1 min when 0
	Now     func() time.Time // time.Now when nil
	Log     *slog.Logger

	past  []snapshot // oldest first
	began time.Time  // of the first round
	level fillLevel
	stale bool
}

// snapshot is where the lowest cursor stood at a time.
type snapshot struct {
	at  time.Time
	min uint64
}

// fillLevel is how worried the janitor is about space.
type fillLevel int

const (
	roomy fillLevel = iota
	halfFull
	nearlyFull
)

const (
	defaultWindow = time.Hour
	defaultEvery  = 10 * time.Second
	defaultStale  = time.Minute
	// steps is how finely the repair window is remembered.
	steps = 120
)

// Run works until ctx ends, round after round. A round that fails is logged and tried again.
func (j *Janitor) Run(ctx context.Context) error {
	every, now := j.Every, j.Now
	if every <= 0 {
		every = defaultEvery
	}
	if now == nil {
		now = time.Now
	}
	for {
		if err := j.RunOnce(ctx, now()); err != nil && ctx.Err() == nil {
			j.log().Warn("stream janitor failed", "error", err, "kind", string(fault.KindOf(err)))
		}
		if !pause(ctx, every) {
			return nil
		}
	}
}

// RunOnce does one round as of now. It returns the errors of Cursors, fault.Gone when the stream is another or ends
// below the cursors, and fault.Unavailable when the server is away; nothing is purged then.
func (j *Janitor) RunOnce(ctx context.Context, now time.Time) error {
	lowest, err := j.Cursors(ctx)
	if err != nil {
		return err
	}
	state, err := j.Stream.state(ctx)
	if err != nil {
		return err
	}
	if lowest > state.LastSeq {
		return fault.New(fault.Gone, "cursors stand at %d, but the stream ends at %d: it is older than they are", lowest, state.LastSeq)
	}
	j.remember(now, lowest)
	if state, err = j.purgeTo(ctx, state, j.outOfWindow(now)); err != nil {
		return err
	}
	// Committed envelopes give way, oldest first, when the stream is more than half full.
	for len(j.past) > 0 && state.Bytes > uint64(j.Stream.maxBytes)/2 {
		if state, err = j.purgeTo(ctx, state, j.past[0].min); err != nil {
			return err
		}
		if len(j.past) == 1 {
			break // the latest one: nothing else is committed
		}
		j.past = j.past[1:]
	}
	j.watchFill(state)
	return j.watchAge(ctx, now, state, lowest)
}

// remember keeps the course of the lowest cursor over the window, thinly.
func (j *Janitor) remember(now time.Time, lowest uint64) {
	latest := snapshot{now, lowest}
	if n := len(j.past); n > 1 && now.Sub(j.past[n-2].at) < j.window()/steps {
		j.past[n-1] = latest
		return
	}
	j.past = append(j.past, latest)
}

func (j *Janitor) window() time.Duration {
	if j.Window > 0 {
		return j.Window
	}
	return defaultWindow
}

// outOfWindow returns up to where everything was committed a window ago, and forgets what lies before.
func (j *Janitor) outOfWindow(now time.Time) uint64 {
	var to uint64
	for len(j.past) > 1 && now.Sub(j.past[0].at) >= j.window() {
		to = j.past[0].min
		j.past = j.past[1:]
	}
	return to
}

// purgeTo removes everything up to and including seq and returns where the stream stands then.
func (j *Janitor) purgeTo(ctx context.Context, state jetstream.StreamState, seq uint64) (jetstream.StreamState, error) {
	if seq < state.FirstSeq || seq > state.LastSeq {
		return state, nil
	}
	asking, cancel := j.Stream.conn.ask(ctx)
	defer cancel()
	if err := j.Stream.js.Purge(asking, jetstream.WithPurgeSequence(seq+1)); err != nil {
		return state, wrap(err, "purge stream %s up to %d", j.Stream.name, seq)
	}
	j.Stream.conn.metrics.purged.Set(float64(seq))
	return j.Stream.state(ctx)
}

// watchFill tells how full the stream is, loudly at 50 and 80 percent.
func (j *Janitor) watchFill(state jetstream.StreamState) {
	fill := float64(state.Bytes) / float64(j.Stream.maxBytes)
	m := j.Stream.conn.metrics
	m.bytes.Set(float64(state.Bytes))
	m.fill.Set(fill)
	level := roomy
	if fill >= 0.5 {
		level = halfFull
	}
	if fill >= 0.8 {
		level = nearlyFull
	}
	if level == j.level {
		return
	}
	j.level = level
	switch level {
	case roomy:
		j.log().Info("stream has room again", "fill", fill)
	case halfFull:
		j.log().Warn("stream is more than half full", "fill", fill)
	case nearlyFull:
		j.log().Error("stream is nearly full: publishing stops when it is", "fill", fill)
	}
}

// watchAge tells how long the oldest uncommitted envelope has waited. Lanes are committed apart and only the lowest
// cursor is known here, so in a busy house with an idle lane the figure is too large by what that lane lags.
func (j *Janitor) watchAge(ctx context.Context, now time.Time, state jetstream.StreamState, lowest uint64) error {
	var age time.Duration
	if lowest < state.LastSeq {
		_, at, err := j.Stream.firstFrom(ctx, max(lowest+1, state.FirstSeq), ">")
		if err != nil {
			return err
		}
		if !at.IsZero() {
			age = max(0, now.Sub(at))
		}
	}
	j.Stream.conn.metrics.oldest.Set(age.Seconds())
	if j.began.IsZero() {
		j.began = now
	}
	limit := j.Stale
	if limit <= 0 {
		limit = defaultStale
	}
	// What was left when everything was down is being caught up: it has the limit's time for that.
	if stale := min(age, now.Sub(j.began)) > limit; stale != j.stale {
		j.stale = stale
		if stale {
			j.log().Warn("oldest uncommitted envelope is old: is a partition standing still?", "age_seconds", age.Seconds())
		} else {
			j.log().Info("uncommitted envelopes are young again")
		}
	}
	return nil
}

func (j *Janitor) log() *slog.Logger {
	if j.Log == nil {
		return j.Stream.conn.log
	}
	return j.Log
}
