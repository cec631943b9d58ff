package alerts

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"hale/vital"
)

// CanaryRows is the record as a CanaryWatch needs it.
type CanaryRows interface {
	// CanaryBeats returns the newest beat of every edge in every partition, and the record's clock.
	CanaryBeats(ctx context.Context) (beats []CanaryBeat, now time.Time, err error)
}

// CanaryConfig is what a CanaryWatch is made of. Rows is needed; zero values of the rest mean what is written beside
// them.
type CanaryConfig struct {
	Rows     CanaryRows
	Edge     string           // names this process's own canary; empty: it has none
	Every    time.Duration    // between two looks: 1 s
	Deadline time.Duration    // age of a partition's newest beat that is an alarm: 30 s
	Now      func() time.Time // this machine's clock: time.Now
	Log      *slog.Logger     // nil: nothing is logged
	Looked   func(CanaryReport)
	Arrived  func(took time.Duration) // an own beat is in the record, so long after it was sent
	Failed   func(CanaryTrouble)      // once for each
}

// CanaryTrouble says what a CanaryWatch has found wrong.
type CanaryTrouble string

// The troubles that a CanaryWatch sees in the record.
const (
	CanaryLate   CanaryTrouble = "late"   // a partition's newest beat is older than the deadline
	CanaryWrong  CanaryTrouble = "wrong"  // a beat was judged otherwise than it must be
	CanaryRecord CanaryTrouble = "record" // the record did not tell
)

// CanaryReport is how the canaries stand after a look.
type CanaryReport struct {
	Partitions  []CanaryState // all of them, in order
	ClockOffset time.Duration // of the record's clock from this machine's, give or take half of the question's time
	ClockKnown  bool
	ClockOff    bool // the offset is more than a reading's time may be off
}

// CanaryState is how the way of one partition stands.
type CanaryState struct {
	Partition int
	Known     bool          // a beat is in the record
	Age       time.Duration // since the newest committed beat of any edge was sent
	Own       time.Duration // the same of this process's own beats, since its start when there is none yet; 0 without a canary
	Late      bool          // alarm: Age or Own is beyond the deadline
	Wrong     bool          // alarm: a beat was judged wrongly within twice the deadline
}

const (
	canaryLooks     = time.Second
	canaryDeadline  = 30 * time.Second
	canaryTellAgain = time.Minute
	// clockOffAtMost is how far this machine's clock may be from the record's [J]: an edge's clock decides what is live,
	// and what is in the future.
	clockOffAtMost = 2 * time.Second
)

// CanaryWatch looks at the canaries' rows and raises the alarm when a partition's newest beat is too old, or was judged
// wrongly. It sees what readiness cannot: readings that are safe in the stream, and that nobody judges. Run it in every
// process; each one alarms by itself.
type CanaryWatch struct {
	CanaryConfig
	began time.Time

	mu     sync.Mutex
	beats  map[canaryKey]CanaryBeat
	report CanaryReport
	said   string // what was logged last
	saidAt time.Time
}

type canaryKey struct {
	partition int
	edge      string
}

// NewCanaryWatch returns a CanaryWatch that has not looked yet.
func NewCanaryWatch(c CanaryConfig) *CanaryWatch {
	c.Every, c.Deadline = orElse(c.Every, canaryLooks), orElse(c.Deadline, canaryDeadline)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &CanaryWatch{CanaryConfig: c, began: c.Now(), beats: map[canaryKey]CanaryBeat{}}
}

// Run looks again and again until ctx ends, and returns nil then.
func (w *CanaryWatch) Run(ctx context.Context) error {
	for {
		w.RunOnce(ctx)
		if !pause(ctx, w.Every) {
			return nil
		}
	}
}

// RunOnce looks once. A record that does not answer is no reason to be silent: the ages go on growing.
func (w *CanaryWatch) RunOnce(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	start := w.Now()
	beats, now, err := w.Rows.CanaryBeats(asking)
	end := w.Now()
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.Log.WarnContext(ctx, "cannot look at the canaries' rows", "error", err)
		w.failed(CanaryRecord)
		now = end.Add(w.report.ClockOffset)
	} else {
		w.clock(now, start, end)
		w.take(beats, now)
	}
	before := w.report.Partitions
	w.report.Partitions = w.states(now)
	for i, s := range w.report.Partitions {
		if s.Late && (before == nil || !before[i].Late) {
			w.failed(CanaryLate)
		}
	}
	w.tell(ctx, end)
	if w.Looked != nil {
		w.Looked(w.report)
	}
}

// clock compares this machine's clock with the record's, which was read somewhere between start and end.
func (w *CanaryWatch) clock(now, start, end time.Time) {
	half := end.Sub(start) / 2
	w.report.ClockOffset = now.Sub(start.Add(half))
	w.report.ClockKnown = true
	w.report.ClockOff = w.report.ClockOffset.Abs()-half > clockOffAtMost
}

// take keeps the rows, and tells of what is new in them.
func (w *CanaryWatch) take(beats []CanaryBeat, now time.Time) {
	fresh := make(map[canaryKey]CanaryBeat, len(beats))
	for _, b := range beats {
		k := canaryKey{b.Partition, b.Edge}
		fresh[k] = b
		before, known := w.beats[k]
		if b.Edge == w.Edge && b.Number != before.Number && w.Arrived != nil {
			w.Arrived(max(0, b.CommittedAt.Sub(b.SentAt)))
		}
		wrong := b.Wrong - before.Wrong
		if !known && !w.recent(b.WrongAt, now) {
			wrong = 0 // of before our time
		}
		for range wrong {
			w.failed(CanaryWrong)
		}
	}
	w.beats = fresh
}

func (w *CanaryWatch) recent(at, now time.Time) bool {
	return !at.IsZero() && now.Sub(at) <= 2*w.Deadline
}

func (w *CanaryWatch) failed(t CanaryTrouble) {
	if w.Failed != nil {
		w.Failed(t)
	}
}

// states judges what is known as of now on the record's clock.
func (w *CanaryWatch) states(now time.Time) []CanaryState {
	list := make([]CanaryState, vital.Partitions)
	began := w.began.Add(w.report.ClockOffset)
	for p := range list {
		s := &list[p]
		s.Partition = p
		if w.Edge != "" {
			s.Own = max(0, now.Sub(began))
		}
	}
	for _, b := range w.beats {
		if b.Partition < 0 || b.Partition >= len(list) {
			continue
		}
		s := &list[b.Partition]
		age := max(0, now.Sub(b.SentAt))
		if !s.Known || age < s.Age {
			s.Known, s.Age = true, age
		}
		if b.Edge == w.Edge {
			s.Own = age
		}
		s.Wrong = s.Wrong || w.recent(b.WrongAt, now)
	}
	for p := range list {
		list[p].Late = list[p].Age > w.Deadline || list[p].Own > w.Deadline
	}
	return list
}

// tell logs an alarm once per change, and again every minute while it lasts.
func (w *CanaryWatch) tell(ctx context.Context, now time.Time) {
	late, wrong := w.report.late(), w.report.wrong()
	key := fmt.Sprint(late, wrong, w.report.ClockOff)
	well := len(late)+len(wrong) == 0 && !w.report.ClockOff
	if key == w.said && (well || now.Sub(w.saidAt) < canaryTellAgain) || well && w.said == "" {
		return
	}
	w.said, w.saidAt = key, now
	if well {
		w.Log.InfoContext(ctx, "the canaries are well again")
		return
	}
	w.Log.ErrorContext(ctx, "canary alarm", "what", w.report.Text(), "late", late, "wrong", wrong, "clock_offset_seconds", w.report.ClockOffset.Seconds())
}

func (r CanaryReport) late() []int  { return r.where(func(s CanaryState) bool { return s.Late }) }
func (r CanaryReport) wrong() []int { return r.where(func(s CanaryState) bool { return s.Wrong }) }

func (r CanaryReport) where(holds func(CanaryState) bool) (list []int) {
	for _, s := range r.Partitions {
		if holds(s) {
			list = append(list, s.Partition)
		}
	}
	return list
}

// Text says what is wrong, for a person; it is empty when nothing is.
func (r CanaryReport) Text() string {
	var texts []string
	if late := r.late(); len(late) > 0 {
		oldest := time.Duration(0)
		for _, p := range late {
			oldest = max(oldest, r.Partitions[p].Age, r.Partitions[p].Own)
		}
		texts = append(texts, fmt.Sprintf("no canary has come through partition %s for %s: readings may wait in the stream unjudged", numbers(late), oldest.Round(time.Second)))
	}
	if wrong := r.wrong(); len(wrong) > 0 {
		texts = append(texts, fmt.Sprintf("a canary was judged wrongly in partition %s: alerts may be wrong or missing", numbers(wrong)))
	}
	if r.ClockOff {
		texts = append(texts, fmt.Sprintf("this machine's clock is %s from the record's", r.ClockOffset.Abs().Round(time.Millisecond)))
	}
	return strings.Join(texts, "; ")
}

func numbers(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = fmt.Sprint(n)
	}
	return strings.Join(texts, ", ")
}

// Report returns what the last look found.
func (w *CanaryWatch) Report() CanaryReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.report
	r.Partitions = slices.Clone(r.Partitions)
	return r
}

// Clock returns the record's time as far as this process knows it: its own until it has looked.
func (w *CanaryWatch) Clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Now().Add(w.report.ClockOffset)
}
